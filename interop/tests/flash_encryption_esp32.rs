//! The ESP32's own flash encryption against espsecure: the same ciphertext, and each reads the other's.

// The helpers are tests too: a broken expectation is a panic.
#![allow(clippy::unwrap_used)]

mod batch;

use batch::batch;
use cotter_formats::addr::FlashAddr;
use cotter_formats::chip::Chip;
use cotter_formats::flash_encryption::esp32::CryptConfig;
use cotter_formats::flash_encryption::key::{FlashKey, KeyHolder};
use cotter_interop::{Generator, temp_dir, tools};
use std::path::Path;

fn command(verb: &str, key: &Path, config: u8, address: u32, input: &Path, output: &Path) -> Vec<String> {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (address, config) = (format!("{address:#x}"), format!("{config:#x}"));
    [verb, "--keyfile", &text(key), "--flash-crypt-conf", &config, "--address", &address, "--output"]
        .map(str::to_owned)
        .into_iter()
        .chain([text(output), text(input)])
        .collect()
}

#[test]
fn ciphertexts_are_equal_and_theirs_decrypts_ours() {
    let (dir, mut random) = (temp_dir(), Generator::seeded());
    let path = |name: String| dir.path().join(name);
    let mut cases = Vec::new();
    let (mut encryptions, mut decryptions) = (Vec::new(), Vec::new());
    for index in 0..64_u8 {
        let key_len = *random.pick(&[24, 32]);
        let key_file = random.bytes(key_len);
        let config = index % 16;
        let length = 16 * random.between(1, 300);
        // Half begin inside a 32-byte line; some end with the last byte that the scheme reaches.
        let last = 0x0100_0000 - u32::try_from(length).unwrap();
        let anywhere = random.next_u32() & 0x00ff_fff0;
        let address = *random.pick(&[anywhere, last]) & *random.pick(&[!0, !0x1f]);
        let address = address.min(last);

        let plain = random.bytes(length);
        let key = FlashKey::for_chip(Chip::Esp32, KeyHolder::Efuse, CryptConfig::new(config), &key_file).unwrap();
        let mut ours = plain.clone();
        key.encrypt(FlashAddr(address), &mut ours).unwrap();

        let [key_path, plain_path, ours_path] = ["key", "plain", "ours"].map(|name| path(format!("{index}.{name}")));
        let [cipher_path, back_path] = ["cipher", "back"].map(|name| path(format!("{index}.{name}")));
        std::fs::write(&key_path, &key_file).unwrap();
        std::fs::write(&plain_path, &plain).unwrap();
        std::fs::write(&ours_path, &ours).unwrap();
        encryptions.push(command("encrypt-flash-data", &key_path, config, address, &plain_path, &cipher_path));
        decryptions.push(command("decrypt-flash-data", &key_path, config, address, &ours_path, &back_path));
        cases.push((key, config, address, plain, ours, cipher_path, back_path));
    }
    for outcome in batch("espsecure", &encryptions).into_iter().chain(batch("espsecure", &decryptions)) {
        assert!(outcome.accepted, "{}", outcome.output);
    }
    for (key, config, address, plain, ours, cipher_path, back_path) in cases {
        let what = format!("config {config:#x}, {address:#x}, {} bytes", plain.len());
        let mut theirs = std::fs::read(cipher_path).unwrap();
        assert!(theirs == ours, "{what}");
        assert!(std::fs::read(back_path).unwrap() == plain, "{what}");
        key.decrypt(FlashAddr(address), &mut theirs).unwrap();
        assert!(theirs == plain, "{what}");
    }
}

#[test]
fn both_refuse_the_keys_of_other_chips() {
    let dir = temp_dir();
    let [key_path, plain, cipher] = ["key", "plain", "cipher"].map(|name| dir.path().join(name));
    std::fs::write(&plain, [2; 32]).unwrap();
    for len in [16, 64, 31] {
        std::fs::write(&key_path, vec![1; len]).unwrap();
        tools().espsecure(command("encrypt-flash-data", &key_path, 0xf, 0x1000, &plain, &cipher)).refused();
        assert!(FlashKey::for_chip(Chip::Esp32, KeyHolder::Efuse, None, &vec![1; len]).is_err());
    }
}
