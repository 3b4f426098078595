#![cfg(feature = "ecdsa")]
extern crate std;
use super::*;
use std::println;
use std::vec::Vec;

macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!("../../../../../vectors/", $name))
    };
}
const SIGNED: &[u8] = golden!("sbv1/esp32-app-signed-v1.bin");

fn key() -> VerifyingKey {
    VerifyingKey::from_raw(golden!("sbv1/pubkey-v1-raw64.bin")).unwrap()
}

#[test]
fn verifies_what_espsecure_signed() {
    let file = SignedFile::parse(SIGNED).unwrap();
    assert_eq!((file.content, key().verify(&file)), (&golden!("image/esp32-secure-pad-v1.bin")[..], Ok(())));
    assert_eq!(file.signature.to_bytes(), SIGNED[SIGNED.len() - SIGNATURE_LEN..]);
    // A partition read back from flash.
    let partition = [SIGNED, &[0xff; 4096]].concat();
    assert_eq!(SignedFile::parse(&partition), Ok(file));
}

#[test]
fn looks_behind_images_and_tables_and_at_the_end_of_anything_else() {
    assert_eq!(signature_at(SIGNED), Some(SIGNED.len() - SIGNATURE_LEN));
    assert_eq!(signature_at(golden!("partition/two_ota_sec.bin")), Some(0xc00));
    assert_eq!(signature_at(b"anything"), None);
    let file = [&b"anything"[..], &[0; SIGNATURE_LEN]].concat();
    assert_eq!(SignedFile::parse(&file).unwrap().content, b"anything");
    // No bootloader finds it there, whatever espsecure says.
    let mut late = golden!("image/esp32-secure-pad-v1.bin").to_vec();
    late.extend([0xff; 32]);
    late.extend(&SIGNED[SIGNED.len() - SIGNATURE_LEN..]);
    assert_eq!(SignedFile::parse(&late), Err(SignatureError::Version { found: u32::MAX }));
}

/// The golden signature over a content of no kind, which is what it signs only in the golden file.
fn verdict(signature: &[u8]) -> Result<(), SignatureError> {
    key().verify(&SignedFile {
        content: &SIGNED[..SIGNED.len() - SIGNATURE_LEN],
        signature: Signature::parse(signature)?,
    })
}

#[test]
fn every_single_bit_flip_of_the_signature_is_detected() {
    let good = &SIGNED[SIGNED.len() - SIGNATURE_LEN..];
    assert_eq!(verdict(good), Ok(()));
    for bit in 0..8 * SIGNATURE_LEN {
        let mut bad = good.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        let refusal = verdict(&bad).unwrap_err();
        match bit / 8 {
            0..4 => assert!(matches!(refusal, SignatureError::Version { .. }), "bit {bit}: {refusal}"),
            _ => assert!(matches!(refusal, SignatureError::Mismatch | SignatureError::Numbers), "bit {bit}: {refusal}"),
        }
    }
    println!("V1 signature: {} flips detected", 8 * SIGNATURE_LEN);
}

#[test]
fn refuses_each_defect_by_name() {
    let good = &SIGNED[SIGNED.len() - SIGNATURE_LEN..];
    let changed = |at: core::ops::Range<usize>, byte: u8| {
        let mut bad = good.to_vec();
        bad[at].fill(byte);
        verdict(&bad)
    };
    for number in [4..36, 36..68] {
        for byte in [0, 0xff] {
            assert_eq!(changed(number.clone(), byte), Err(SignatureError::Numbers));
        }
    }
    assert_eq!(changed(0..1, 1), Err(SignatureError::Version { found: 1 }));
    assert_eq!(VerifyingKey::from_raw(&[7; 64]), Err(SignatureError::Key));
    let content: Vec<u8> = SIGNED[1..SIGNED.len() - SIGNATURE_LEN].to_vec();
    let moved = SignedFile { content: &content, signature: Signature::parse(good).unwrap() };
    assert_eq!(key().verify(&moved), Err(SignatureError::Mismatch));
}

#[test]
fn refuses_truncation_at_every_length() {
    let good = &SIGNED[SIGNED.len() - SIGNATURE_LEN..];
    for len in 0..SIGNATURE_LEN {
        assert!(matches!(Signature::parse(&good[..len]), Err(SignatureError::Read(_))), "{len}");
    }
    assert!(matches!(Signature::parse(&[good, &[0]].concat()), Err(SignatureError::Read(_))));
    for len in [0, 1, 67] {
        assert!(matches!(SignedFile::parse(&SIGNED[..len]), Err(SignatureError::Read(_))), "{len}");
    }
}
