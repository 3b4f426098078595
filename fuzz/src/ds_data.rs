//! Parameters of the digital signature peripheral: the records, and the box under a known key.

use cotter_formats::ds::{DsContext, DsData, DsKey};
use cotter_formats::hmac_key::HmacKey;

/// Records round trip; a box that opens is encrypted again to the same bytes and signs.
pub fn ds_data(data: &[u8]) {
    if let Ok(context) = DsContext::parse(data) {
        assert_eq!(DsContext::parse(&context.to_bytes()), Ok(context));
    }
    let Ok(record) = DsData::parse(data) else { return };
    assert_eq!(record.to_bytes(), data, "a record changed in a round trip");
    let key = HmacKey::from_slice(&[0x42; 32]).expect("32 bytes are a key");
    let width = record.width().expect("a record has a ciphertext of a known length");
    if let Ok(opened) = DsKey::decrypt(record.ciphertext, &key, record.iv) {
        let mut again = vec![0; record.ciphertext.len()];
        opened.encrypt(width, &key, record.iv, &mut again).expect("it came out of this width");
        assert!(again == record.ciphertext, "a box changed in a round trip");
        assert!(!format!("{opened:?}").is_empty());
    }
}
