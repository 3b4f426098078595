//! Boxes against the golden files of Espressif's tool, and every way in which one can be wrong.

extern crate std;

use super::*;
use std::vec;
use std::vec::Vec;

const IV: &[u8; 16] = include_bytes!("../../../vectors/ds/iv.bin");

fn hmac_key() -> HmacKey {
    HmacKey::from_slice(include_bytes!("../../../vectors/ds/hmac_key.bin")).unwrap()
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(std::format!("{}/../vectors/ds/c-{name}.bin", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn what_the_tool_encrypted_opens_signs_and_encrypts_again_to_the_same_bytes() {
    for (name, bits) in [
        ("esp32c3-rsa2048_dev", 2048),
        ("esp32c3-rsa3072_dev", 3072),
        ("esp32c5-rsa2048_dev", 2048),
        ("esp32s2-rsa2048_dev", 2048),
        ("esp32s2-rsa4096_dev", 4096),
        ("esp32s3-rsa3072_dev", 3072),
    ] {
        let ciphertext = golden(name);
        let key = DsKey::decrypt(&ciphertext, &hmac_key(), IV).unwrap();
        assert_eq!(key.bits(), bits, "{name}");
        let mut again = vec![0; ciphertext.len()];
        let width = Width::of_ciphertext(ciphertext.len()).unwrap();
        key.encrypt(width, &hmac_key(), IV, &mut again).unwrap();
        assert!(again == ciphertext, "{name}");
        let be = |number: &[u8]| number[..bits / 8].iter().rev().copied().collect::<Vec<u8>>();
        let exponent: Vec<u8> = be(&key.y).into_iter().skip_while(|&byte| byte == 0).collect();
        let fresh = DsKey::new(&be(&key.m), &exponent).unwrap();
        assert!(fresh.rb == key.rb && fresh.m_prime == key.m_prime, "{name}");
    }
}

#[test]
fn the_stored_constants_give_a_signature_that_the_public_key_undoes() {
    let key = DsKey::decrypt(&golden("esp32c3-rsa2048_dev"), &hmac_key(), IV).unwrap();
    let message: Vec<u8> = (0..256).map(|at| u8::try_from(at & 0x3F).unwrap()).collect();
    let mut signature = vec![0; 256];
    key.sign(&message, &mut signature).unwrap();
    let mut exponent = vec![0; 256];
    exponent[..3].copy_from_slice(&[1, 0, 1]);
    let mut back = vec![0; 256];
    montgomery::power(&signature, &exponent, key.modulus_le(), &key.rb[..256], key.m_prime, &mut back);
    assert_eq!(back, message);
    assert_eq!(key.sign(&message[1..], &mut signature), Err(DsError::Message));
    assert_eq!(key.sign(key.modulus_le(), &mut signature), Err(DsError::Message));
}

#[test]
fn every_flipped_bit_of_ciphertext_iv_and_hmac_key_is_refused_by_the_digest() {
    let ciphertext = golden("esp32c3-rsa2048_dev");
    let mut refused = 0;
    for bit in 0..8 * ciphertext.len() {
        let mut flipped = ciphertext.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match DsKey::decrypt(&flipped, &hmac_key(), IV).err() {
            Some(DsError::Digest) => {}
            // The digest does not cover the padding, which has a check of its own; it shares its block with L, so only
            // what CBC carries over from the block before can reach it alone.
            Some(DsError::Padding) => assert!((ciphertext.len() - 24..ciphertext.len() - 16).contains(&(bit / 8))),
            other => panic!("bit {bit}: {other:?}"),
        }
        refused += 1;
    }
    for bit in 0..128 {
        let mut iv = *IV;
        iv[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(DsKey::decrypt(&ciphertext, &hmac_key(), &iv).err(), Some(DsError::Digest));
        refused += 1;
    }
    for bit in 0..256 {
        let mut key = *hmac_key().expose();
        key[bit / 8] ^= 1 << (bit % 8);
        let key = HmacKey::from_slice(&key).unwrap();
        assert_eq!(DsKey::decrypt(&ciphertext, &key, IV).err(), Some(DsError::Digest));
        refused += 1;
    }
    std::println!("{refused} single-bit flips, all refused");
}

#[test]
fn a_box_with_wrong_constants_is_refused_although_its_digest_holds() {
    let ciphertext = golden("esp32s3-rsa3072_dev");
    let spoilt = |spoil: fn(&mut DsKey)| {
        let mut key = DsKey::decrypt(&ciphertext, &hmac_key(), IV).unwrap();
        spoil(&mut key);
        let mut out = vec![0; ciphertext.len()];
        key.encrypt(Width::Bits4096, &hmac_key(), IV, &mut out).unwrap();
        DsKey::decrypt(&out, &hmac_key(), IV).err()
    };
    assert_eq!(spoilt(|_| ()), None);
    assert_eq!(spoilt(|key| key.m_prime ^= 0x8000_0000), Some(DsError::Constants));
    assert_eq!(spoilt(|key| key.rb[7] ^= 1), Some(DsError::Constants));
    assert_eq!(spoilt(|key| key.length -= 1), Some(DsError::KeySize { bits: 3040 }));
    assert_eq!(spoilt(|key| key.length -= 2), Some(DsError::Length { length: 93 }));
    assert_eq!(spoilt(|key| key.length += 2), Some(DsError::Length { length: 97 }));
    assert_eq!(spoilt(|key| key.y[400] = 1), Some(DsError::Length { length: 95 }));
}

#[test]
fn refuses_keys_and_chips_by_name() {
    assert_eq!(DsKey::new(&[0xFF; 255], &[1]).err(), Some(DsError::KeySize { bits: 2040 }));
    let mut short = [0xFF; 256];
    short[0] = 0x7F;
    assert_eq!(DsKey::new(&short, &[1]).err(), Some(DsError::KeySize { bits: 2047 }));
    let mut even = [0xFF; 256];
    even[255] = 0xFE;
    assert_eq!(DsKey::new(&even, &[1]).err(), Some(DsError::Key));
    assert_eq!(DsKey::new(&[0xFF; 256], &[0xFF; 256]).err(), Some(DsError::Key), "the exponent is the modulus");
    assert_eq!(DsKey::new(&[0xFF; 256], &[]).err(), Some(DsError::Key));
    for (chip, width) in [
        (Chip::Esp32, None),
        (Chip::Esp32C2, None),
        (Chip::Esp32C61, None),
        (Chip::Esp32H4, None),
        (Chip::Esp32H21, Some(Width::Bits3072)),
        (Chip::Esp32S31, Some(Width::Bits4096)),
        (Chip::Esp32C5, Some(Width::Bits3072)),
        (Chip::Esp32S2, Some(Width::Bits4096)),
    ] {
        assert_eq!(Width::of(chip), width, "{chip}");
    }
    let key = DsKey::decrypt(&golden("esp32s2-rsa4096_dev"), &hmac_key(), IV).unwrap();
    let refusal = key.encrypt(Width::Bits3072, &hmac_key(), IV, &mut [0; 1200]);
    assert_eq!(refusal, Err(DsError::TooLong { bits: 4096, limit: 3072 }));
    assert_eq!(DsKey::decrypt(&[0; 1199], &hmac_key(), IV).err(), Some(DsError::Ciphertext { len: 1199 }));
}

#[test]
fn records_round_trip_and_refuse_every_truncation() {
    let partition = include_bytes!("../../../vectors/securecert/rsads-c3.bin");
    let data = &partition[12..12 + 1220];
    let parsed = DsData::parse(data).unwrap();
    assert_eq!((parsed.rsa_bits, parsed.width()), (2048, Some(Width::Bits3072)));
    assert_eq!(parsed.to_bytes(), data);
    for len in 0..data.len() {
        assert!(DsData::parse(&data[..len]).is_err(), "{len}");
    }
    let context = &partition[0x4e0 + 12..][..8];
    let parsed = DsContext::parse(context).unwrap();
    assert_eq!((parsed.key_id.block(), parsed.rsa_bits), (5, 2048));
    assert_eq!(parsed.to_bytes(), context);
    for len in 0..8 {
        assert!(DsContext::parse(&context[..len]).is_err());
    }
    assert_eq!(DsContext::parse(&[0, 0, 0, 0, 6, 0, 0, 8]), Err(DsRecordError::KeyId { id: 6 }));
    let mut long = data.to_vec();
    long[0] = 96;
    assert_eq!(DsData::parse(&long), Err(DsRecordError::RsaLength { words: 96 }));
}
