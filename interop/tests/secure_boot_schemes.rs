//! Secure Boot V2 with every scheme against espsecure, our keys and signatures against its own, on random content.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_factory::private_key::PrivateKey;
use cotter_factory::public_key::{KeyKind, PublicKey};
use cotter_formats::secure_boot::v2::{
    ContentDigests, Curve, FileRefusal, Scheme, SignedFile, Trusted, add_block, append_block, content_padded_len,
};
use cotter_interop::{Generator, ToolRun, hex, temp_dir, tools};
use std::path::Path;

/// Names as espsecure has them.
const SCHEMES: [(&str, KeyKind); 4] = [
    ("rsa3072", KeyKind::Rsa(3072)),
    ("ecdsa192", KeyKind::Ecdsa(Curve::P192)),
    ("ecdsa256", KeyKind::Ecdsa(Curve::P256)),
    ("ecdsa384", KeyKind::Ecdsa(Curve::P384)),
];

struct Workshop {
    dir: tempfile::TempDir,
    random: Generator,
}

impl Workshop {
    fn new() -> Self {
        Self { dir: temp_dir(), random: Generator::seeded() }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// A key that espsecure made and we read.
    fn their_key(&self, name: &str, scheme: &str) -> PrivateKey {
        let pem = self.path(name);
        // espsecure does not replace a key either.
        let _ = std::fs::remove_file(&pem);
        tools().espsecure(["generate-signing-key", "--version", "2", "--scheme", scheme, &pem]).accepted();
        PrivateKey::from_pem(&self.read(name), None).unwrap()
    }

    /// A key that we made and espsecure reads.
    fn our_key(&self, name: &str, kind: KeyKind) -> PrivateKey {
        let key = PrivateKey::generate(kind).unwrap();
        self.write(name, key.to_pem().unwrap().as_bytes());
        key
    }

    fn content(&mut self) -> Vec<u8> {
        let length = self.random.between(1, 12_000);
        self.random.bytes(length)
    }

    fn accepts(&self, key: &str, signed: &str) -> ToolRun {
        tools().espsecure(["verify-signature", "-v", "2", "-k", &self.path(key), &self.path(signed)])
    }
}

fn padded(content: &[u8]) -> Vec<u8> {
    let mut padded = content.to_vec();
    padded.resize(content_padded_len(content.len()), 0xff);
    padded
}

fn sign(key: &PrivateKey, content: &[u8]) -> Vec<u8> {
    append_block(content, &key.sign_block(&ContentDigests::of(&padded(content))).unwrap())
}

#[test]
fn each_accepts_what_the_other_signs_with_a_key_that_either_made() {
    let mut shop = Workshop::new();
    for (scheme, kind) in SCHEMES {
        let (theirs, ours) = (shop.their_key("theirs", scheme), shop.our_key("ours", kind));
        for (name, key, other) in [("theirs", &theirs, "ours"), ("ours", &ours, "theirs")] {
            assert_eq!(key.public().kind(), kind);
            let digest = key.public().secure_boot_digest().unwrap();
            let out = shop.path("digest");
            tools().espsecure(["digest-sbv2-public-key", "--keyfile", &shop.path(name), "--output", &out]).accepted();
            assert_eq!(shop.read("digest"), digest, "{scheme}: the digest of a key that {name} made");

            let content = shop.content();
            shop.write("signed", &sign(key, &content));
            shop.accepts(name, "signed").accepted();
            shop.accepts(other, "signed").refused();
            let info = tools().espsecure(["signature-info-v2", &shop.path("signed")]).accepted();
            assert!(info.replace(' ', "").to_lowercase().contains(&hex(&digest)), "{scheme}: {info}");

            let plain = shop.write("plain", &content);
            let signed = shop.path("signed");
            tools().espsecure(["sign-data", "-v", "2", "-k", &shop.path(name), "-o", &signed, &plain]).accepted();
            let file = shop.read("signed");
            let parsed = SignedFile::parse(&file).unwrap();
            assert_eq!(parsed.content, padded(&content));
            assert_eq!(parsed.verify_any(&[[0; 32], digest]), Ok(Trusted { block: 0, digest: 1 }), "{scheme} {name}");
            assert_eq!(parsed.verify_any(&[[0; 32]]), Err(FileRefusal::Untrusted));
        }
    }
}

#[test]
fn three_blocks_of_both_stand_in_one_sector() {
    let mut shop = Workshop::new();
    for (scheme, kind) in SCHEMES {
        let keys = [shop.our_key("0", kind), shop.their_key("1", scheme), shop.our_key("2", kind)];
        let content = shop.content();
        let digests = ContentDigests::of(&padded(&content));
        // Ours, theirs, ours.
        let one = shop.write("one", &sign(&keys[0], &content));
        let two = shop.path("two");
        tools().espsecure(["sign-data", "-v", "2", "-a", "-k", &shop.path("1"), "-o", &two, &one]).accepted();
        let three = add_block(&shop.read("two"), &keys[2].sign_block(&digests).unwrap()).unwrap();
        shop.write("three", &three);
        let parsed = SignedFile::parse(&three).unwrap();
        for (block, key) in keys.iter().enumerate() {
            let digest = key.public().secure_boot_digest().unwrap();
            assert_eq!(parsed.verify_any(&[digest]), Ok(Trusted { block, digest: 0 }), "{scheme}");
            shop.accepts(&block.to_string(), "three").accepted();
        }
        assert_eq!(add_block(&three, &keys[0].sign_block(&digests).unwrap()), Err(FileRefusal::Full));
        let more = shop.path("more");
        tools()
            .espsecure(["sign-data", "-v", "2", "-a", "-k", &shop.path("1"), "-o", &more, &shop.path("three")])
            .refused();
    }
}

#[test]
fn a_signature_of_openssl_becomes_the_same_block_in_both() {
    let mut shop = Workshop::new();
    for (scheme, kind) in SCHEMES {
        let key = shop.our_key("key", kind);
        let content = shop.content();
        let (pem, signature) = (shop.path("key"), shop.path("signature"));
        let to_sign = shop.write("to-sign", &padded(&content));
        let public = shop.write("public", key.public().to_pem().unwrap().as_bytes());
        let hash = if kind == KeyKind::Ecdsa(Curve::P384) { "-sha384" } else { "-sha256" };
        let mut arguments = vec!["dgst", hash, "-sign", &pem, "-out", &signature];
        if matches!(kind, KeyKind::Rsa(_)) {
            arguments.extend(["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]);
        }
        arguments.push(&to_sign);
        tools().openssl(arguments).accepted();

        let made = PublicKey::from_pem(&std::fs::read(&public).unwrap()).unwrap().secure_boot().unwrap();
        let bytes = shop.read("signature");
        let numbers = match Curve::of(made.scheme()) {
            Some(curve) => curve.numbers(&bytes).unwrap(),
            None => bytes,
        };
        let ours = append_block(&content, &made.block(&ContentDigests::of(&padded(&content)), &numbers).unwrap());
        let theirs = shop.path("theirs");
        tools()
            .espsecure([
                "sign-data",
                "-v",
                "2",
                "--pub-key",
                &public,
                "--signature",
                &signature,
                "-o",
                &theirs,
                &to_sign,
            ])
            .accepted();
        assert!(shop.read("theirs") == ours, "{scheme}: the same block, byte for byte");
    }
}

#[test]
fn every_single_bit_of_small_signed_files_is_protected() {
    let mut shop = Workshop::new();
    for (scheme, kind) in SCHEMES {
        let key = shop.our_key("key", kind);
        let content = shop.random.bytes(64);
        let good = sign(&key, &content);
        let trusted = [key.public().secure_boot_digest().unwrap()];
        let block = content_padded_len(content.len());
        let (mut detected, mut unread) = (0, 0);
        let read = block + 1200;
        // Every bit of the first 64 bytes of the content, which one hash covers, and of the block; one of each byte behind.
        let behind: Vec<_> = (read..good.len()).map(|byte| 8 * byte + shop.random.below(8)).collect();
        for bit in (0..8 * 64).chain(8 * block..8 * read).chain(behind) {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let verdict = SignedFile::parse(&bad).map_err(FileRefusal::from).and_then(|file| file.verify_any(&trusted));
            match verdict {
                Err(_) => detected += 1,
                // Nobody reads the 16 bytes behind the CRC, nor what follows the last block.
                Ok(_) if bit / 8 >= read => unread += 1,
                Ok(_) => panic!("{scheme}: bit {bit} is not protected"),
            }
        }
        println!("{scheme}: {detected} flips detected, {unread} in bytes that no ROM reads");
        assert_eq!(unread, 4096 - 1200);
    }
}

#[test]
fn mixed_schemes_are_refused_though_espsecure_mixes_them() {
    let mut shop = Workshop::new();
    let rsa = shop.our_key("rsa", KeyKind::Rsa(3072));
    let content = shop.content();
    let digests = ContentDigests::of(&padded(&content));
    let first = sign(&rsa, &content);
    let one = shop.write("one", &first);
    for (scheme, kind) in SCHEMES.into_iter().skip(1) {
        let other = shop.our_key("other", kind);
        let KeyKind::Ecdsa(curve) = kind else { continue };
        let mixed = FileRefusal::Mixed { first: Scheme::Rsa3072, block: 1, other: curve.scheme() };
        assert_eq!(add_block(&first, &other.sign_block(&digests).unwrap()), Err(mixed));
        let two = shop.path("two");
        tools().espsecure(["sign-data", "-v", "2", "-a", "-k", &shop.path("other"), "-o", &two, &one]).accepted();
        let theirs = shop.read("two");
        let trusted = [rsa.public().secure_boot_digest().unwrap(), other.public().secure_boot_digest().unwrap()];
        assert_eq!(SignedFile::parse(&theirs).unwrap().verify_any(&trusted), Err(mixed), "{scheme}");
    }
}

#[test]
fn openssl_reads_the_keys_that_we_write() {
    let shop = Workshop::new();
    for (scheme, kind) in SCHEMES {
        let key = PrivateKey::generate(kind).unwrap();
        shop.write("plain", key.to_pem().unwrap().as_bytes());
        shop.write("encrypted", key.to_encrypted_pem(b"correct horse").unwrap().as_bytes());
        shop.write("password", b"correct horse\n");
        let expected = key.public().to_pem().unwrap();
        let public = tools().openssl(["pkey", "-pubout", "-in", &shop.path("plain")]).accepted();
        assert_eq!(public, expected, "{scheme}");
        let password = format!("file:{}", shop.path("password"));
        let public =
            tools().openssl(["pkey", "-pubout", "-in", &shop.path("encrypted"), "-passin", &password]).accepted();
        assert_eq!(public, expected, "{scheme}, encrypted");
        tools().openssl(["pkey", "-in", &shop.path("encrypted"), "-passin", "pass:wrong"]).refused();
        // And theirs, read by us: OpenSSL's own defaults, and scrypt.
        for options in [&["-v2", "aes-256-cbc"][..], &["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"], &["-scrypt"]]
        {
            let out = shop.path("theirs");
            let mut arguments = vec!["pkcs8", "-topk8", "-passout", &password, "-out", &out];
            arguments.extend(options);
            let input = shop.path("plain");
            arguments.extend(["-in", &input]);
            tools().openssl(arguments).accepted();
            let read = PrivateKey::from_pem(&std::fs::read(Path::new(&out)).unwrap(), Some(b"correct horse")).unwrap();
            assert_eq!(read.public(), key.public(), "{scheme} {options:?}");
        }
    }
}
