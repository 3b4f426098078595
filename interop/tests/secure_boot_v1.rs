//! Secure Boot V1 against espsecure and OpenSSL on random inputs: the same bytes, and each accepts and refuses the other's.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod batch;

use batch::batch;
use cotter_factory::private_key::PrivateKey;
use cotter_factory::public_key::KeyKind;
use cotter_formats::secure_boot::v1::{BootloaderKey, DigestedBootloader, SIGNATURE_LEN, SignedFile, add_digest};
use cotter_formats::secure_boot::v2::Curve;
use cotter_interop::{Generator, temp_dir, tools};
use sha2::{Digest, Sha256};
use std::path::Path;

fn text(path: &Path) -> String {
    path.to_str().expect("temporary paths are UTF-8").to_owned()
}

fn strings(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|argument| (*argument).to_owned()).collect()
}

/// A bootloader of the ESP32 with random segments, with a SHA-256 or without.
fn image(random: &mut Generator) -> Vec<u8> {
    let hash = random.below(3) != 0;
    let count = random.between(1, 4);
    let mut image = vec![0xe9, u8::try_from(count).unwrap(), 2, 0x20];
    image.extend(random.next_u32().to_le_bytes());
    image.extend([0xee, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0, u8::from(hash)]);
    let mut checksum = 0xef;
    for index in 0..count {
        let length = 4 * random.between(1, if index == 0 { 64 } else { 2000 });
        let data = random.bytes(length);
        image.extend((0x3ffb_0000 + 0x1_0000 * u32::try_from(index).unwrap()).to_le_bytes());
        image.extend(u32::try_from(length).unwrap().to_le_bytes());
        image.extend(&data);
        checksum = data.iter().fold(checksum, |sum, byte| sum ^ byte);
    }
    image.resize(image.len() | 15, 0);
    image.push(checksum);
    if hash {
        let digest = Sha256::digest(&image);
        image.extend(digest);
    }
    image
}

#[test]
fn random_bootloaders_get_the_same_digest_under_random_keys_and_ivs() {
    let (dir, mut random) = (temp_dir(), Generator::seeded());
    let path = |index: usize, name: &str| dir.path().join(format!("{index}.{name}"));
    let (mut commands, mut cases) = (Vec::new(), Vec::new());
    for index in 0..120 {
        let length = *random.pick(&[32, 32, 24, 16]);
        let (key, iv, image) = (random.bytes(length), random.array::<128>(), image(&mut random));
        for (name, bytes) in [("key", &key[..]), ("iv", &iv), ("image", &image)] {
            std::fs::write(path(index, name), bytes).unwrap();
        }
        let [key_file, iv_file, out, input] = ["key", "iv", "out", "image"].map(|name| text(&path(index, name)));
        commands.push(strings(&[
            "digest-secure-bootloader",
            "--keyfile",
            &key_file,
            "--iv",
            &iv_file,
            "--output",
            &out,
            &input,
        ]));
        cases.push((key, iv, image));
    }
    let mut ends = [0; 8];
    for (index, (outcome, (key, iv, image))) in batch("espsecure", &commands).into_iter().zip(cases).enumerate() {
        assert!(outcome.accepted, "{}", outcome.output);
        let theirs = std::fs::read(path(index, "out")).unwrap();
        let key = BootloaderKey::from_file(&key).unwrap();
        assert!(add_digest(&key, &iv, &image).unwrap() == theirs, "{index}: image of {} bytes", image.len());
        assert_eq!(DigestedBootloader::parse(&theirs).unwrap().verify(&key), Ok(()));
        ends[image.len() % 128 / 16] += 1;
    }
    println!("120 digests equal; image length modulo 128, in steps of 16: {ends:?}");
    assert!(ends.iter().filter(|&&count| count > 0).count() >= 6, "the trimming rule has several cases: {ends:?}");
}

#[test]
fn random_files_get_the_same_signature_and_each_accepts_the_other_s() {
    let (dir, mut random) = (temp_dir(), Generator::seeded());
    let path = |name: &str| text(&dir.path().join(name));
    let mut commands = Vec::new();
    let mut cases = Vec::new();
    for index in 0..16 {
        let key = PrivateKey::generate(KeyKind::Ecdsa(Curve::P256)).unwrap();
        let pem = path(&format!("{index}.pem"));
        std::fs::write(&pem, key.to_pem().unwrap().as_bytes()).unwrap();
        let (raw, digest, digest192) =
            (path(&format!("{index}.raw")), path(&format!("{index}.256")), path(&format!("{index}.192")));
        commands.push(strings(&["extract-public-key", "--version", "1", "--keyfile", &pem, &raw]));
        commands.push(strings(&["digest-private-key", "--keyfile", &pem, &digest]));
        commands.push(strings(&["digest-private-key", "--keyfile", &pem, "--keylen", "192", &digest192]));
        let any = random.between(2, 70_000);
        let length = *random.pick(&[0, 1, 0xc00, 4096, any]);
        let mut content = random.bytes(length);
        // Neither an image nor a table, so that any length can be signed.
        content.iter_mut().take(1).for_each(|byte| *byte &= 0x0f);
        let (plain, signed, ours) =
            (path(&format!("{index}.bin")), path(&format!("{index}.signed")), path(&format!("{index}.ours")));
        std::fs::write(&plain, &content).unwrap();
        commands.push(strings(&["sign-data", "--version", "1", "--keyfile", &pem, "--output", &signed, &plain]));
        let mine = [&content[..], &key.sign_v1(&content).unwrap().to_bytes()].concat();
        std::fs::write(&ours, &mine).unwrap();
        commands.push(strings(&["verify-signature", "--version", "1", "--keyfile", &raw, &ours]));
        cases.push((key, mine, index));
    }
    for (outcome, command) in batch("espsecure", &commands).into_iter().zip(&commands) {
        assert!(outcome.accepted, "{command:?}: {}", outcome.output);
    }
    for (key, mine, index) in cases {
        let read = |name: &str| std::fs::read(path(&format!("{index}.{name}"))).unwrap();
        assert!(read("signed") == mine, "{index}: another signature");
        let public = key.public().secure_boot_v1().unwrap();
        assert_eq!(public.raw(), read("raw"));
        let derived = key.secure_boot_v1_key().unwrap();
        assert_eq!((&derived[..], &derived[..24]), (&read("256")[..], &read("192")[..]));
        assert_eq!(public.verify(&SignedFile::parse(&read("signed")).unwrap()), Ok(()));

        // OpenSSL verifies it as DER, and both refuse what was changed.
        let (der, spki, content) = (path("der"), path("spki"), path("content"));
        let (body, signature) = mine.split_at(mine.len() - SIGNATURE_LEN);
        std::fs::write(&der, as_der(&signature[4..36], &signature[36..])).unwrap();
        std::fs::write(&spki, key.public().to_pem().unwrap()).unwrap();
        std::fs::write(&content, body).unwrap();
        tools().openssl(["dgst", "-sha256", "-verify", &spki, "-signature", &der, &content]).accepted();
        let mut bad = mine.clone();
        let at =
            if index % 2 == 0 { random.between(mine.len() - 64, mine.len() - 1) } else { random.below(mine.len()) };
        bad[at] ^= 1 << random.below(8);
        std::fs::write(path("bad"), &bad).unwrap();
        tools().espsecure(["verify-signature", "-v", "1", "-k", &spki, &path("bad")]).refused();
        // A flip in the first byte can make an image or a table of it, where the signature is looked for elsewhere.
        assert!(SignedFile::parse(&bad).and_then(|file| public.verify(&file)).is_err(), "{index} {at}");
    }
}

#[test]
fn a_private_number_that_begins_with_zeros_gives_the_same_secure_boot_v1_key() {
    let dir = temp_dir();
    let path = |name: &str| text(&dir.path().join(name));
    for zeros in [1, 2] {
        let (pem, digest) = (path("zeros.pem"), path("digest"));
        let script = "import sys\n\
            from cryptography.hazmat.primitives.asymmetric import ec\n\
            from cryptography.hazmat.primitives import serialization as s\n\
            key = ec.derive_private_key(int.from_bytes(b'\\x55' * (32 - int(sys.argv[1])), 'big'), ec.SECP256R1())\n\
            open(sys.argv[2], 'wb').write(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))";
        tools().python(["-c", script, &zeros.to_string(), &pem]).accepted();
        tools().espsecure(["digest-private-key", "--keyfile", &pem, &digest]).accepted();
        let key = PrivateKey::from_pem(&std::fs::read(&pem).unwrap(), None).unwrap();
        assert_eq!(key.secure_boot_v1_key().unwrap()[..], std::fs::read(&digest).unwrap(), "{zeros}");
    }
}

/// SEQUENCE { INTEGER r, INTEGER s }.
fn as_der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let start = number.iter().position(|&byte| byte != 0).unwrap();
        let sign: &[u8] = if number[start] & 0x80 == 0 { &[] } else { &[0] };
        let body = [sign, &number[start..]].concat();
        [&[2, u8::try_from(body.len()).unwrap()], &body[..]].concat()
    };
    let body = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(body.len()).unwrap()], &body[..]].concat()
}
