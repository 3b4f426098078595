//! `cotter image encrypt`, `decrypt` and `encryption-key` as a person types them.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Runs in the folder of golden vectors; returns exit code, stdout and stderr. `OUT/` stands for the folder.
fn cotter(folder: &Path, arguments: &str) -> (i32, Vec<u8>, String) {
    let arguments = arguments.replace("OUT", folder.to_str().unwrap());
    let mut command = Command::cargo_bin("cotter").unwrap();
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors"));
    let output = command.args(arguments.split_whitespace()).output().unwrap();
    (output.status.code().unwrap(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors").join(name)).unwrap()
}

#[test]
fn espressifs_files_decrypt() {
    let folder = tempfile::tempdir().unwrap();
    for (key, file) in [("rsa3072_a", "rsa"), ("ecdsa_p256", "ecies")] {
        let (code, image, error) =
            cotter(folder.path(), &format!("image decrypt --key keys/{key}.pem -o - encimg/{file}.enc"));
        assert_eq!((code, image), (0, golden("encimg/in.bin")), "{error}");
    }
}

#[test]
fn what_is_encrypted_decrypts_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    for key in ["--key encimg/rsa_pub.pem", "--key keys/ecdsa_p256.pem", "--hmac-key efuse/hmac_key.bin"] {
        let private = key.replace("encimg/rsa_pub", "keys/rsa3072_a");
        let (code, text, error) = cotter(folder.path(), &format!("image encrypt {key} -o OUT/enc image/esp32c3.bin"));
        assert!(code == 0 && String::from_utf8(text).unwrap().contains("encrypted to an "), "{error}");
        let (code, text, error) = cotter(folder.path(), &format!("--json image decrypt {private} -o OUT/dec OUT/enc"));
        assert_eq!(code, 0, "{error}");
        let report: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(report["image_bytes"], golden("image/esp32c3.bin").len());
        assert_eq!(std::fs::read(folder.path().join("dec")).unwrap(), golden("image/esp32c3.bin"));
        assert_eq!(std::fs::metadata(folder.path().join("dec")).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn the_device_s_public_key_receives_what_its_efuse_key_opens() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        "image encryption-key efuse/hmac_key.bin -o OUT/device.pub.pem",
        "image encrypt --key OUT/device.pub.pem -o OUT/enc encimg/in.bin",
        "image decrypt --hmac-key efuse/hmac_key.bin -o OUT/dec OUT/enc",
    ] {
        let (code, _, error) = cotter(folder.path(), arguments);
        assert_eq!(code, 0, "{arguments}: {error}");
    }
    assert_eq!(std::fs::read(folder.path().join("dec")).unwrap(), golden("encimg/in.bin"));
}

#[test]
fn refuses_by_name_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("empty"), b"").unwrap();
    let mut bad = golden("encimg/rsa.enc");
    bad[600] ^= 1;
    std::fs::write(folder.path().join("changed"), &bad).unwrap();
    bad.truncate(600);
    std::fs::write(folder.path().join("short"), &bad).unwrap();
    for (arguments, refusal) in [
        ("encrypt --key encimg/ec_pub.pem OUT/empty", "is empty"),
        ("encrypt --key encimg/ec_pub.pem encimg/rsa.enc", "is encrypted already"),
        ("encrypt --key sbv2/pub-ecdsa_p384.pem encimg/in.bin", "not to ECDSA P-384"),
        ("encrypt --key keys/rsa2048_dev.pem encimg/in.bin", "not to RSA-2048"),
        ("encrypt --hmac-key flashenc/plain-272.bin encimg/in.bin", "this file has 272"),
        ("decrypt --key encimg/rsa_pub.pem encimg/rsa.enc", "not a PEM private key"),
        ("decrypt --key keys/rsa3072_b.pem encimg/rsa.enc", "does not decrypt: made for another key, or changed"),
        ("decrypt --key keys/rsa3072_a.pem OUT/changed", "does not decrypt: made for another key, or changed"),
        (
            "decrypt --hmac-key efuse/hmac_key.bin encimg/ecies.enc",
            "does not decrypt: made for another key, or changed",
        ),
        ("decrypt --key keys/rsa3072_a.pem OUT/short", "truncated at offset 0x200: 5000 bytes needed, 88 remain"),
        ("decrypt --key keys/rsa3072_a.pem encimg/ecies.enc", "name the P-256 key"),
        ("decrypt --key keys/ecdsa_p256.pem encimg/rsa.enc", "name the RSA-3072 key"),
        ("decrypt --key keys/ecdsa_p256.pem image/esp32c3.bin", "expected 0x0788b6cf"),
    ] {
        let (code, _, error) = cotter(folder.path(), &format!("image {arguments} -o OUT/out"));
        assert!(code == 1 && error.contains(refusal), "{arguments}: {error}");
        assert!(!folder.path().join("out").exists(), "{arguments}");
    }
    for arguments in ["encrypt encimg/in.bin", "decrypt --key a --hmac-key b encimg/rsa.enc"] {
        assert_eq!(cotter(folder.path(), &format!("image {arguments} -o OUT/out")).0, 2, "{arguments}");
    }
}
