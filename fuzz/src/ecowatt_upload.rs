//! Uploads of EcoWatt devices, and the text and the values inside.

use cotter_formats::secret::Secret;
use cotter_server::ecowatt::inner::Batch;
use cotter_server::ecowatt::values;
use cotter_wire::ecowatt::upload::{MAX_INNER, MAX_UPLOAD, Upload, UploadError, seal};
use cotter_wire::keys::EcowattKey;

/// An upload has one spelling and opens exactly if its device signed it; the text inside is bounded.
pub fn ecowatt_upload(data: &[u8]) {
    let key = EcowattKey::new(Secret::filled_by(|key| key.fill(0x42)));
    if let Ok(upload) = Upload::parse(data) {
        // Signed by another key there is nothing to compare with.
        let mut out = [0; MAX_INNER + 2];
        match upload.open(&key, &mut out) {
            Ok(inner) => {
                text(inner);
                let mut again = [0; MAX_UPLOAD];
                assert_eq!(seal(&key, upload.nonce(), inner, &mut again), Ok(data), "a second spelling was accepted");
            }
            Err(refusal) => assert_eq!(refusal, UploadError::Mac),
        }
    }
    text(data);
    if let Some(values) = values::decode(data) {
        assert_eq!(values.len() * 4, data.len());
    }
}

fn text(inner: &[u8]) {
    if let Ok(batch) = Batch::parse(inner) {
        assert!((1..=8).contains(&batch.packets.len()));
        for packet in &batch.packets {
            let layout = packet.layout();
            assert!(layout.is_err() || layout.is_ok_and(|layout| layout.len() <= 255));
        }
    }
}
