//! Secure Boot V2 against espsecure, with OpenSSL as the signer: each accepts what the other signs, and refuses the rest.

// The helpers are tests too: a broken expectation is a panic.
#![allow(clippy::unwrap_used)]

use cotter_formats::secure_boot::v2::{
    RsaPublicKey, SignError, SignatureError, SignedFile, add_signature, append_signature,
};
use cotter_interop::{Generator, temp_dir, tools};
use std::path::{Path, PathBuf};

/// A key pair in a file that espsecure made; OpenSSL signs with it.
struct Key {
    pem: String,
    public: RsaPublicKey,
    /// As espsecure computes it.
    digest: [u8; 32],
    dir: PathBuf,
}

impl Key {
    fn generate(dir: &Path, name: &str) -> Self {
        let pem = text(&dir.join(format!("{name}.pem")));
        tools().espsecure(["generate-signing-key", "--version", "2", "--scheme", "rsa3072", &pem]).accepted();
        let modulus = tools().openssl(["rsa", "-in", &pem, "-noout", "-modulus"]).accepted();
        let hex = modulus.lines().find_map(|line| line.strip_prefix("Modulus=")).expect("openssl prints the modulus");
        let mut n_be = [0; 384];
        for (byte, digits) in n_be.iter_mut().zip(hex.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        }
        let digest_file = text(&dir.join(format!("{name}.digest")));
        tools().espsecure(["digest-sbv2-public-key", "--keyfile", &pem, "--output", &digest_file]).accepted();
        let digest = std::fs::read(&digest_file).unwrap().try_into().unwrap();
        Self { pem, public: RsaPublicKey { n_be, e: 65537 }, digest, dir: dir.to_owned() }
    }

    fn sign(&self, digest: &[u8; 32]) -> Result<[u8; 384], &'static str> {
        let (input, output) = (text(&self.dir.join("to-sign")), text(&self.dir.join("signature")));
        std::fs::write(&input, digest).unwrap();
        let options = ["rsa_padding_mode:pss", "digest:sha256", "rsa_mgf1_md:sha256", "rsa_pss_saltlen:32"];
        let mut arguments = vec!["pkeyutl", "-sign", "-inkey", &self.pem, "-in", &input, "-out", &output];
        arguments.extend(options.iter().flat_map(|option| ["-pkeyopt", option]));
        tools().openssl(arguments).accepted();
        std::fs::read(&output).unwrap().try_into().map_err(|_| "not 384 bytes")
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("temporary paths are UTF-8").to_owned()
}

#[test]
fn each_accepts_the_other_s_signatures() {
    let (dir, mut random) = (temp_dir(), Generator::seeded());
    let path = |name: &str| text(&dir.path().join(name));
    let (key, other) = (Key::generate(dir.path(), "key"), Key::generate(dir.path(), "other"));
    assert_eq!(key.public.key_digest(), Ok(key.digest));
    let (plain, signed) = (path("plain"), path("signed"));

    for length in [1, 4096, random.between(2, 20_000)] {
        let content = random.bytes(length);
        std::fs::write(&plain, &content).unwrap();

        // Ours, read by theirs.
        let ours = append_signature(&content, &key.public, |digest| key.sign(digest)).unwrap();
        std::fs::write(&signed, &ours).unwrap();
        tools().espsecure(["verify-signature", "-v", "2", "-k", &key.pem, &signed]).accepted();
        tools().espsecure(["verify-signature", "-v", "2", "-k", &other.pem, &signed]).refused();
        let info = tools().espsecure(["signature-info-v2", &signed]).accepted();
        let digest: String = key.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(info.replace(' ', "").to_lowercase().contains(&digest), "{info}");

        // Theirs, read by ours.
        let theirs = path("theirs");
        tools().espsecure(["sign-data", "-v", "2", "-k", &key.pem, "-o", &theirs, &plain]).accepted();
        let theirs = std::fs::read(&theirs).unwrap();
        let parsed = SignedFile::parse(&theirs).unwrap();
        assert_eq!((parsed.verify(&key.digest), parsed.content.len()), (Ok(0), ours.len() - 4096));
        assert_eq!(parsed.verify(&other.digest), Err(SignatureError::Untrusted));
        // All but the random signature and its CRC is the same.
        let block = ours.len() - 4096;
        assert!(ours[..block + 812] == theirs[..block + 812] && ours[block + 1200..] == theirs[block + 1200..]);
    }
}

#[test]
fn blocks_of_both_stand_in_one_sector() {
    let (dir, mut random) = (temp_dir(), Generator::seeded());
    let path = |name: &str| text(&dir.path().join(name));
    let (a, b) = (Key::generate(dir.path(), "a"), Key::generate(dir.path(), "b"));
    let content = random.bytes(5000);
    let (file, more) = (path("file"), path("more"));

    // Ours, theirs, ours.
    std::fs::write(&file, append_signature(&content, &a.public, |digest| a.sign(digest)).unwrap()).unwrap();
    tools().espsecure(["sign-data", "-v", "2", "-a", "-k", &b.pem, "-o", &more, &file]).accepted();
    let three = add_signature(&std::fs::read(&more).unwrap(), &a.public, |digest| a.sign(digest)).unwrap();
    std::fs::write(&file, &three).unwrap();
    for key in [&a, &b] {
        tools().espsecure(["verify-signature", "-v", "2", "-k", &key.pem, &file]).accepted();
    }
    let parsed = SignedFile::parse(&three).unwrap();
    assert_eq!((parsed.verify(&a.digest), parsed.verify(&b.digest)), (Ok(0), Ok(1)));
    assert_eq!(parsed.signatures.blocks().count(), 3);

    // Neither adds a fourth.
    assert_eq!(add_signature(&three, &b.public, |digest| b.sign(digest)), Err(SignError::Full));
    tools().espsecure(["sign-data", "-v", "2", "-a", "-k", &b.pem, "-o", &more, &file]).refused();
}

#[test]
fn both_refuse_what_was_changed_after_signing() {
    let (dir, mut random) = (temp_dir(), Generator::seeded());
    let key = Key::generate(dir.path(), "key");
    let content = random.bytes(6000);
    let good = append_signature(&content, &key.public, |digest| key.sign(digest)).unwrap();
    let block = 8192;
    // Content, its padding, and in the block: digest, key, signature, CRC.
    for at in [random.below(6000), random.between(6000, 8191), block + 4, block + 40, block + 900, block + 1196] {
        let mut bad = good.clone();
        bad[at] ^= 1 << random.below(8);
        let file = text(&dir.path().join("bad"));
        std::fs::write(&file, &bad).unwrap();
        tools().espsecure(["verify-signature", "-v", "2", "-k", &key.pem, &file]).refused();
        let refusal = SignedFile::parse(&bad).and_then(|file| file.verify(&key.digest)).unwrap_err();
        match at {
            ..8192 => assert_eq!(refusal, SignatureError::Digest, "{at:#x}"),
            _ => assert!(matches!(refusal, SignatureError::Crc { .. }), "{at:#x}: {refusal}"),
        }
    }
}
