//! The esp_secure_cert partition: entries, signatures, and the legacy format.

use cotter_factory::secure_cert::open;
use cotter_formats::chip::Chip;
use cotter_formats::crc::crc_a;
use cotter_formats::hmac_key::HmacKey;
use cotter_formats::secure_cert::{Builder, CustFlash, Entries, Entry, SignatureData, Weight, inspect, signature_data};

/// Entries lie one behind the other; what is sound is written again to the same bytes; nothing secret is ever printed.
pub fn secure_cert(data: &[u8]) {
    described(data);
    // A CRC keeps mutations out, so each entry is tried with its own mended too.
    let mut mended = data.to_vec();
    for entry in Entries::new(data).flatten() {
        let crc = entry.end() - Entry::CRC_LEN;
        let sum = crc_a(&mended[entry.offset..crc]);
        mended[crc..entry.end()].copy_from_slice(&sum.to_le_bytes());
    }
    described(&mended);
    let _ = CustFlash::recognise(data);
    if let Ok(legacy) = CustFlash::parse(data) {
        assert!(legacy.device_cert.len() <= 2048 && legacy.ca_cert.is_none_or(|ca| ca.len() <= 4096));
        let _ = format!("{legacy:?}");
    }
}

fn described(data: &[u8]) {
    let read = inspect(data, Some(Chip::Esp32C3));
    for signature in open::signatures(data, &read) {
        let _ = (signature.scheme, signature.verdict);
    }
    let mut at = 0;
    let key = HmacKey::from_slice(&[0x42; 32]).expect("32 bytes are a key");
    for entry in &read.entries {
        if let Ok(plain) = open::decrypt(entry.data, &key) {
            assert_eq!(open::encrypt(&plain, &key).ok().as_deref(), Some(entry.data), "sealed otherwise than opened");
        }
        assert_eq!(entry.offset, at, "a gap between entries");
        at = entry.end();
        assert!(entry.bytes.len().is_multiple_of(Entry::ALIGNMENT) && entry.padding().len() < Entry::ALIGNMENT);
        let _ = format!("{entry:?} {} {:?}", entry.kind, entry.flags.protection());
        if let Ok(signature) = SignatureData::parse(entry.data) {
            for digest in [&[0x5A; 32][..], &[0x5A; 48]] {
                let Ok(block) = signature.to_block(digest) else { continue };
                if let Ok(again) = signature_data(&block, signature.length) {
                    assert_eq!(&again[16..], &entry.data[16..], "a signature changed in a round trip");
                }
            }
        }
    }
    assert_eq!(read.end, at);
    for finding in &read.findings {
        assert!(!finding.kind.to_string().contains(char::is_control));
    }
    if read.findings.iter().all(|finding| finding.kind.weight() < Weight::Broken) {
        let mut builder = Builder::new(0x1_0000).expect("64 KiB is the limit");
        for entry in &read.entries {
            if builder.add(entry.kind, entry.subtype, entry.flags, entry.data).is_err() {
                return;
            }
        }
        let zeros = |entry: &Entry<'_>| entry.reserved == [0; 3] && entry.padding().iter().all(|&byte| byte == 0);
        if read.entries.iter().all(zeros) {
            assert!(*builder.finish() == data[..read.end], "a sound partition changed in a round trip");
        }
    }
}
