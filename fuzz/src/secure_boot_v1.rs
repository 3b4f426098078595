//! Secure Boot V1: signatures behind tables and applications, and bootloaders with a digest.

use cotter_formats::secure_boot::v1::{
    BOOTLOADER_AT, BootloaderKey, DigestedBootloader, SIGNATURE_LEN, Signature, SignedFile, VerifyingKey, signature_at,
};

/// What is found lies within the input, where the bootloader looks, and is the bytes that stand there.
pub fn secure_boot_v1(data: &[u8]) {
    if let Ok(signature) = Signature::parse(data) {
        assert_eq!(signature.to_bytes(), data, "a signature changed in a round trip");
    }
    if let Ok(file) = SignedFile::parse(data) {
        let at = file.content.len();
        assert_eq!(file.content, &data[..at]);
        assert_eq!(file.signature.to_bytes(), data[at..at + SIGNATURE_LEN]);
        match signature_at(data) {
            Some(expected) => assert_eq!(at, expected),
            None => assert_eq!(at + SIGNATURE_LEN, data.len()),
        }
        // The generator of P-256: nobody has signed anything with the private number 1.
        if let Ok(key) = VerifyingKey::from_raw(&GENERATOR) {
            assert!(key.verify(&file).is_err(), "verifies by a key that did not sign it");
        }
    }
    if let Ok(file) = DigestedBootloader::parse(data) {
        assert_eq!((&file.iv[..], &file.digest[..]), (&data[..128], &data[128..192]));
        assert_eq!(file.covered, &data[BOOTLOADER_AT..BOOTLOADER_AT + file.covered.len()]);
        let key = BootloaderKey::from_file(&[0x42; 32]).expect("32 bytes are a key");
        assert!(file.verify(&key).is_err(), "a digest under another key holds");
    }
}

const GENERATOR: [u8; 64] = [
    0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d,
    0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a,
    0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb,
    0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
];
