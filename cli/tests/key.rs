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
    let (code, _, error) = cotter(&["digest", "keys/rsa2048_dev.pem"]);
    assert!(code == 1 && error.contains("RSA-2048 is no Secure Boot V2 key"), "{error}");
}

#[test]
fn every_kind_is_made_for_its_owner_only_and_never_over_another() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, says) in [
        ("rsa2048", "RSA-2048 private key"),
        ("rsa3072", "RSA-3072 private key\nSecure Boot key digest "),
        ("p256", "ECDSA P-256 private key\nSecure Boot key digest "),
        ("p384", "ECDSA P-384 private key\nSecure Boot key digest "),
        ("firmware-rsa", "RSA-2048 private key"),
        ("firmware-p256", "ECDSA P-256 private key"),
        ("flash-encryption128", "raw bytes of a symmetric key or a digest, 128 bits"),
        ("flash-encryption256", "raw bytes of a symmetric key or a digest, 256 bits"),
        ("flash-encryption512", "raw bytes of a symmetric key or a digest, 512 bits"),
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
    let (code, _, error) = cotter(&["generate", "p192", "-o", folder.path().join("p192").to_str().unwrap()]);
    assert!(code == 1 && error.contains("P-192 keys are neither made nor used"), "{error}");
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
