#![cfg(feature = "alloc")]
extern crate std;
use super::*;
use std::println;
use std::vec::Vec;

macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!("../../../../../vectors/", $name))
    };
}
const IMAGE: &[u8] = golden!("image/esp32-bootloader.bin");
const IV: &[u8; IV_LEN] = golden!("keys/sbv1_iv.bin");
const DIGESTED: &[u8] = golden!("sbv1/esp32-bootloader-digest-256.bin");

fn key() -> BootloaderKey {
    BootloaderKey::from_file(golden!("keys/sbv1_key_256.bin")).unwrap()
}

#[test]
fn makes_the_same_file_as_espsecure_for_both_key_lengths() {
    for (key, file) in [
        (&golden!("keys/sbv1_key_256.bin")[..], DIGESTED),
        (golden!("keys/sbv1_key_192.bin"), golden!("sbv1/esp32-bootloader-digest-192.bin")),
    ] {
        let key = BootloaderKey::from_file(key).unwrap();
        assert!(add_digest(&key, IV, IMAGE).unwrap() == file);
        assert_eq!(DigestedBootloader::parse(file).unwrap().verify(&key), Ok(()));
    }
    let other = BootloaderKey::from_file(&[1; 32]).unwrap();
    assert_eq!(DigestedBootloader::parse(DIGESTED).unwrap().verify(&other), Err(BootloaderError::Mismatch));
}

/// An image of one segment with this many bytes, with SHA-256 or without.
fn image(len: usize, hash: bool) -> Vec<u8> {
    let data: Vec<u8> = (0..len).map(|at| at.to_le_bytes()[0] ^ 0x5a).collect();
    let mut image = IMAGE[..24].to_vec();
    (image[1], image[23]) = (1, hash.into());
    image.extend(0x3ffb_0000u32.to_le_bytes());
    image.extend(u32::try_from(len).unwrap().to_le_bytes());
    image.extend(&data);
    image.resize(image.len() | 15, 0);
    image.push(data.iter().fold(0xef, |sum, byte| sum ^ byte));
    if hash {
        let digest = Sha256::digest(&image);
        image.extend(digest);
    }
    image
}

#[test]
fn covers_whole_units_and_of_the_sha256_only_what_lies_in_the_last() {
    for len in (4..400).step_by(4) {
        for hash in [false, true] {
            let image = image(len, hash);
            let file = add_digest(&key(), IV, &image).unwrap();
            let loaded = image.len() - if hash { 32 } else { 0 };
            assert_eq!(file.len(), 0x1000 + loaded.next_multiple_of(128), "{len} {hash}");
            assert_eq!(DigestedBootloader::parse(&file).unwrap().verify(&key()), Ok(()), "{len} {hash}");
            // The whole image in flash, with its SHA-256 and with what was there before, gives the same verdict.
            let mut flash = [&file[..0x1000], &image].concat();
            flash.resize(file.len().max(flash.len()), 0xff);
            flash.extend([0x77; 100]);
            assert_eq!(DigestedBootloader::parse(&flash).unwrap().verify(&key()), Ok(()), "{len} {hash}");
        }
    }
}

#[test]
fn every_single_bit_flip_is_detected_or_in_bytes_that_nobody_reads() {
    let (mut detected, mut harmless) = (0, 0);
    for bit in 0..8 * DIGESTED.len() {
        let mut bad = DIGESTED.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        let holds = DigestedBootloader::parse(&bad).and_then(|file| file.verify(&key())).is_ok();
        let unread = (IV_LEN + DIGEST_LEN..BOOTLOADER_AT).contains(&(bit / 8));
        assert_eq!(holds, unread, "bit {bit}");
        if holds { harmless += 1 } else { detected += 1 }
    }
    println!("bootloader with digest: {detected} flips detected, {harmless} in the gap between digest and bootloader");
}

#[test]
fn refuses_by_name() {
    for len in [0, 15, 20, 31, 33, 64] {
        assert_eq!(BootloaderKey::from_file(&std::vec![0; len]).err(), Some(BootloaderError::Key { len }));
    }
    let refusal = |image: &[u8]| add_digest(&key(), IV, image).unwrap_err();
    let longer = [IMAGE, &[0xff; 16]].concat();
    assert_eq!(refusal(&longer), BootloaderError::Trailing { len: IMAGE.len(), file: longer.len() });
    let chip = ImageError::Chip { expected: 0, found: 5 };
    assert_eq!(refusal(golden!("image/esp32c3-bootloader.bin")), BootloaderError::Image(chip));
    assert_eq!(refusal(&image(0x7000, true)), BootloaderError::TooLarge { len: 0x7080 });
    let mut bad = IMAGE.to_vec();
    bad[0x30] ^= 1;
    assert!(matches!(refusal(&bad), BootloaderError::Image(ImageError::Checksum { .. })));
}

#[test]
fn refuses_truncation_at_every_length() {
    for len in 0..DIGESTED.len() {
        let refused = DigestedBootloader::parse(&DIGESTED[..len]).and_then(|file| file.verify(&key()));
        // Of the last unit only 0xFF is missing, which the ROM finds in erased flash anyway.
        assert_eq!(refused.is_ok(), len >= BOOTLOADER_AT + IMAGE.len(), "{len}");
    }
}
