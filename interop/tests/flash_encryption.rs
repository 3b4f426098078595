//! Flash encryption against espsecure: the same ciphertext, and each reads the other's.

// The helpers are tests too: a broken expectation is a panic.
#![allow(clippy::unwrap_used)]

mod batch;

use batch::batch;
use cotter_formats::addr::FlashAddr;
use cotter_formats::flash_encryption::xts::{XtsError, XtsKey, decrypt, encrypt};
use cotter_formats::secret::Secret;
use cotter_interop::{Generator, temp_dir, tools};
use std::path::Path;

/// A key from a key file, by its length.
fn key(file: &[u8]) -> XtsKey {
    match file.len() {
        16 => XtsKey::derived(&Secret::from_slice(file).unwrap()),
        32 => XtsKey::Aes128(Secret::from_slice(file).unwrap()),
        _ => XtsKey::Aes256(Secret::from_slice(file).unwrap()),
    }
}

fn command(verb: &str, key: &Path, address: u32, input: &Path, output: &Path) -> Vec<String> {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let options = [verb, "--aes-xts", "--keyfile", &text(key), "--address", &format!("{address:#x}"), "--output"];
    options.iter().map(|&option| option.to_owned()).chain([text(output), text(input)]).collect()
}

#[test]
fn ciphertexts_are_equal_and_theirs_decrypts_ours() {
    let (dir, mut random) = (temp_dir(), Generator::seeded());
    let path = |name: String| dir.path().join(name);
    let mut cases = Vec::new();
    let (mut encryptions, mut decryptions) = (Vec::new(), Vec::new());
    for index in 0..60 {
        let key_len = *random.pick(&[16, 32, 64]);
        let key_file = random.bytes(key_len);
        // espsecure takes 32-bit addresses; half of ours begin inside a 128-byte unit.
        let address = random.next_u32() & *random.pick(&[0x03ff_fff0, 0x00ff_ff80]);
        let length = 16 * random.between(1, 300);
        let plain = random.bytes(length);
        let mut ours = plain.clone();
        encrypt(&key(&key_file), FlashAddr(address), &mut ours).unwrap();

        let [key_path, plain_path, ours_path] = ["key", "plain", "ours"].map(|name| path(format!("{index}.{name}")));
        let [cipher_path, back_path] = ["cipher", "back"].map(|name| path(format!("{index}.{name}")));
        std::fs::write(&key_path, &key_file).unwrap();
        std::fs::write(&plain_path, &plain).unwrap();
        std::fs::write(&ours_path, &ours).unwrap();
        encryptions.push(command("encrypt-flash-data", &key_path, address, &plain_path, &cipher_path));
        decryptions.push(command("decrypt-flash-data", &key_path, address, &ours_path, &back_path));
        cases.push((key_file, address, plain, ours, cipher_path, back_path));
    }
    for outcome in batch("espsecure", &encryptions).into_iter().chain(batch("espsecure", &decryptions)) {
        assert!(outcome.accepted, "{}", outcome.output);
    }
    for (key_file, address, plain, ours, cipher_path, back_path) in cases {
        let what = format!("{} byte key, {address:#x}, {} bytes", key_file.len(), plain.len());
        let mut theirs = std::fs::read(cipher_path).unwrap();
        assert!(theirs == ours, "{what}");
        assert!(std::fs::read(back_path).unwrap() == plain, "{what}");
        decrypt(&key(&key_file), FlashAddr(address), &mut theirs).unwrap();
        assert!(theirs == plain, "{what}");
    }
}

#[test]
fn reads_the_key_files_that_espsecure_generates() {
    let dir = temp_dir();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for (bits, len) in [("256", 32), ("512", 64)] {
        let (key_path, plain, cipher) = (path(bits), path("plain"), path("cipher"));
        tools().espsecure(["generate-flash-encryption-key", "--keylen", bits, &key_path]).accepted();
        let key_file = std::fs::read(&key_path).unwrap();
        assert_eq!(key_file.len(), len);
        std::fs::write(&plain, [0x5a; 4096]).unwrap();
        let options = ["encrypt-flash-data", "--aes-xts", "-k", &key_path, "-a", "0x8000", "-o", &cipher, &plain];
        tools().espsecure(options).accepted();
        let mut theirs = std::fs::read(&cipher).unwrap();
        decrypt(&key(&key_file), FlashAddr(0x8000), &mut theirs).unwrap();
        assert_eq!(theirs, [0x5a; 4096]);
    }
}

#[test]
fn both_refuse_an_unaligned_address() {
    let dir = temp_dir();
    let [key_path, plain, cipher] = ["key", "plain", "cipher"].map(|name| dir.path().join(name));
    std::fs::write(&key_path, [1; 32]).unwrap();
    std::fs::write(&plain, [2; 32]).unwrap();
    tools().espsecure(command("encrypt-flash-data", &key_path, 0x1008, &plain, &cipher)).refused();
    let address = FlashAddr(0x1008);
    assert_eq!(encrypt(&key(&[1; 32]), address, &mut [2; 32]), Err(XtsError::Address { address }));
}
