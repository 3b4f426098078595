//! `cotter key` as a person types it.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Runs in the folder of golden vectors; returns exit code, stdout and stderr.
fn cotter(arguments: &[&str]) -> (i32, Vec<u8>, String) {
    let mut command = Command::cargo_bin("cotter").unwrap();
    let output = command
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors"))
        .arg("key")
        .args(arguments)
        .output()
        .unwrap();
    (output.status.code().unwrap(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors").join(name)).unwrap()
}

#[test]
fn digests_and_public_keys_are_those_of_espsecure() {
    for name in ["rsa3072_a", "rsa3072_b", "ecdsa_p192", "ecdsa_p256", "ecdsa_p384"] {
        for key in [format!("keys/{name}.pem"), format!("sbv2/pub-{name}.pem")] {
            let (code, digest, error) = cotter(&["digest", &key, "-o", "-"]);
            assert_eq!((code, digest), (0, golden(&format!("sbv2/digest-{name}.bin"))), "{key} {error}");
            assert_eq!(cotter(&["public", &key]).1, golden(&format!("sbv2/pub-{name}.pem")), "{key}");
        }
    }
    let (code, _, error) = cotter(&["digest", "keys/ca_cert.pem"]);
    assert!(code == 1 && error.contains("neither a private nor a public key") && error.contains("help: "), "{error}");
    let (code, _, error) = cotter(&["digest", "keys/rsa2048_dev.pem"]);
    assert!(code == 1 && error.contains("RSA-2048 is no Secure Boot V2 key"), "{error}");
}

#[test]
fn every_kind_is_made_for_its_owner_only_and_never_over_another() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, says) in [
        ("rsa2048", "RSA-2048 private key"),
        ("rsa3072", "RSA-3072 private key\nSecure Boot key digest "),
        ("rsa4096", "RSA-4096 private key"),
        ("p192", "ECDSA P-192 private key\nSecure Boot key digest "),
        ("p256", "ECDSA P-256 private key\nSecure Boot key digest "),
        ("p384", "ECDSA P-384 private key\nSecure Boot key digest "),
        ("firmware-rsa", "RSA-2048 private key"),
        ("firmware-p256", "ECDSA P-256 private key"),
        ("flash-encryption-128", "raw bytes of a symmetric key or a digest, 128 bits"),
        ("flash-encryption-192", "raw bytes of a symmetric key or a digest, 192 bits"),
        ("flash-encryption-256", "raw bytes of a symmetric key or a digest, 256 bits"),
        ("flash-encryption-512", "raw bytes of a symmetric key or a digest, 512 bits"),
        ("secure-boot-v1-192", "raw bytes of a symmetric key or a digest, 192 bits"),
        ("secure-boot-v1-256", "raw bytes of a symmetric key or a digest, 256 bits"),
        ("hmac", "raw bytes of a symmetric key or a digest, 256 bits"),
        ("nvs", "NVS encryption keys, as partition nvs_keys"),
    ] {
        let path = folder.path().join(kind);
        let file = path.to_str().unwrap();
        let (code, _, error) = cotter(&["generate", kind, "-o", file]);
        assert_eq!(code, 0, "{kind}: {error}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{kind}");
        let text = String::from_utf8(cotter(&["inspect", file]).1).unwrap();
        assert!(text.starts_with(says), "{kind}: {text}");
        let first = std::fs::read(&path).unwrap();
        let (code, _, error) = cotter(&["generate", kind, "-o", file]);
        assert!(code == 1 && error.contains("exists") && error.contains("--force"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), first);
        assert_eq!(cotter(&["generate", kind, "-o", file, "--force"]).0, 0);
        assert_ne!(std::fs::read(&path).unwrap(), first, "{kind}: a new key");
    }
}

#[test]
fn a_kind_that_the_chip_has_no_use_for_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    for (kind, chip, refusal) in [
        ("flash-encryption-512", "esp32c3", "esp32c3 takes 32 bytes, not 64 bytes"),
        ("flash-encryption-192", "esp32s3", "esp32s3 takes 32 or 64 bytes, not 24 bytes"),
        ("secure-boot-v1-256", "esp32c3", "the esp32c3 has no Secure Boot V1"),
        ("p192", "esp32s2", "the esp32s2 does not verify ECDSA P-192, but RSA-3072"),
        ("rsa3072", "esp32c61", "the esp32c61 does not verify RSA-3072"),
    ] {
        let (code, _, error) = cotter(&["generate", kind, "--chip", chip, "-o", file.to_str().unwrap()]);
        assert!(code == 1 && error.contains(refusal) && !file.exists(), "{kind} {chip}: {error}");
    }
    for (kind, chip) in [("flash-encryption-192", "esp32"), ("p192", "esp32c2"), ("flash-encryption-512", "esp32c5")] {
        let file = folder.path().join(kind);
        assert_eq!(cotter(&["generate", kind, "--chip", chip, "-o", file.to_str().unwrap()]).0, 0, "{kind} {chip}");
    }
}

#[test]
fn an_encrypted_key_says_so_and_opens_with_its_password_only() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("password"), "correct horse\nnot part of it").unwrap();
    std::fs::write(at("wrong"), "wrong horse").unwrap();
    std::fs::write(at("empty"), "\n").unwrap();
    let (key, password) = (at("key.pem"), at("password"));
    assert_eq!(cotter(&["generate", "p256", "--password-file", &password, "-o", &key]).0, 0);
    assert!(std::fs::read_to_string(&key).unwrap().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let text = |arguments: &[&str]| String::from_utf8(cotter(arguments).1).unwrap();
    assert!(text(&["inspect", &key]).starts_with("encrypted private key; which kind"));
    assert!(text(&["inspect", &key, "--password-file", &password]).starts_with("ECDSA P-256 private key"));
    let (code, _, error) = cotter(&["digest", &key, "--password-file", &at("wrong")]);
    assert!(code == 1 && error.contains("does not decrypt"), "{error}");
    let (code, _, error) = cotter(&["generate", "p256", "--password-file", &at("empty"), "-o", &at("other")]);
    assert!(code == 1 && error.contains("the password is empty"), "{error}");
    let (code, _, error) = cotter(&["generate", "hmac", "--encrypt", "-o", &at("other")]);
    assert!(code == 1 && error.contains("a symmetric key has no format"), "{error}");
}

#[test]
fn secure_boot_v1_keys_are_those_of_espsecure() {
    let folder = tempfile::tempdir().unwrap();
    for (bits, golden_file) in [("256", "sbv1/privkey-digest-256.bin"), ("192", "sbv1/privkey-digest-192.bin")] {
        let file = folder.path().join(bits);
        let arguments = ["digest-private", "keys/ecdsa_p256.pem", "--bits", bits, "-o", file.to_str().unwrap()];
        assert_eq!(cotter(&arguments).0, 0);
        assert_eq!(std::fs::read(&file).unwrap(), golden(golden_file));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(cotter(&arguments).2.contains("--force"));
    }
    assert_eq!(cotter(&["public", "--raw", "keys/ecdsa_p256.pem"]).1, golden("sbv1/pubkey-v1-raw64.bin"));
    for (arguments, refusal) in [
        (["digest-private", "keys/rsa3072_a.pem"], "RSA-3072 is no Secure Boot V1 key"),
        (["digest-private", "keys/ecdsa_p192.pem"], "ECDSA P-192 is no Secure Boot V1 key"),
    ] {
        let (code, out, error) = cotter(&[arguments[0], arguments[1], "-o", "-"]);
        assert!(code == 1 && out.is_empty() && error.contains(refusal), "{error}");
    }
}

#[test]
fn a_digest_for_a_chip_is_one_that_the_chip_can_check() {
    let (code, text, _) = cotter(&["digest", "--chip", "esp32c2", "keys/ecdsa_p192.pem"]);
    let whole: String = golden("sbv2/digest-ecdsa_p192.bin").iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = format!("{whole}\nin the eFuses of the esp32c2, the first 16 bytes: {}\n", &whole[..32]);
    assert_eq!((code, String::from_utf8(text).unwrap()), (0, expected));
    let (code, _, error) = cotter(&["digest", "--chip", "esp32c3", "keys/ecdsa_p256.pem"]);
    assert!(code == 1 && error.contains("the esp32c3 does not verify ECDSA P-256"), "{error}");
    let (code, _, error) = cotter(&["digest", "--chip", "esp32p4", "keys/ecdsa_p256.pem"]);
    assert!(code == 0 && error.contains("warning") && error.contains("insecure"), "{error}");
}

#[test]
fn a_key_of_equal_bytes_is_called_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zeros");
    std::fs::write(&file, [0; 32]).unwrap();
    let (code, text, _) = cotter(&["inspect", file.to_str().unwrap()]);
    assert!(code == 0 && String::from_utf8(text).unwrap().contains("all bytes are the same"));
}

#[test]
fn the_header_holds_the_public_key_and_no_secret_unless_told_to() {
    let (code, header, _) = cotter(&["export-header", "keys/rsa2048_dev.pem"]);
    let header = String::from_utf8(header).unwrap();
    assert!(code == 0 && header.contains("RSA_PUBLIC_KEY =\n\"-----BEGIN PUBLIC KEY-----\\n\"\n\"MI"), "{header}");
    assert!(!header.contains("PRIVATE") && !header.contains("HMAC"), "{header}");
    let (code, out, error) = cotter(&["export-header", "efuse/hmac_key.bin"]);
    assert!(code == 1 && out.is_empty() && error.contains("the same in every device"), "{error}");
    let (code, header, _) =
        cotter(&["export-header", "keys/rsa2048_dev.pem", "--expose-symmetric-key", "efuse/hmac_key.bin"]);
    let first = format!("0x{:02x}, ", golden("efuse/hmac_key.bin")[0]);
    let header = String::from_utf8(header).unwrap();
    assert!(code == 0 && header.contains("HMAC_KEY[32]") && header.contains(&first), "{header}");
}
