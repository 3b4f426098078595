//! Secure Boot V1 with `cotter image` and `cotter key`, as a person types it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

use assert_cmd::Command;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Runs in the folder of golden vectors; returns exit code, stdout and stderr. `OUT/` stands for the folder.
fn cotter(folder: &Path, arguments: &str) -> (i32, Vec<u8>, String) {
    let arguments = arguments.replace("OUT", folder.to_str().unwrap());
    let mut command = Command::cargo_bin("cotter").unwrap();
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors")).env("COTTER_KEY_PASSWORD", "hunter2");
    let output = command.args(arguments.split_whitespace()).output().unwrap();
    (output.status.code().unwrap(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors")).join(name)).unwrap()
}

/// Runs and asserts that it worked; returns stdout.
fn works(folder: &Path, arguments: &str) -> String {
    let (code, out, error) = cotter(folder, arguments);
    assert_eq!(code, 0, "{arguments}: {error}");
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn every_golden_file_of_espsecure_is_made_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, file) in [
        ("image sign --scheme v1 --key keys/ecdsa_p256.pem image/esp32-secure-pad-v1.bin", "esp32-app-signed-v1.bin"),
        (
            "image bootloader-digest --key keys/sbv1_key_256.bin --iv keys/sbv1_iv.bin image/esp32-bootloader.bin",
            "esp32-bootloader-digest-256.bin",
        ),
        (
            "image bootloader-digest --key keys/sbv1_key_192.bin --iv keys/sbv1_iv.bin image/esp32-bootloader.bin",
            "esp32-bootloader-digest-192.bin",
        ),
        ("key digest-private keys/ecdsa_p256.pem", "privkey-digest-256.bin"),
        ("key digest-private --bits 192 keys/ecdsa_p256.pem", "privkey-digest-192.bin"),
        ("key public --raw keys/ecdsa_p256.pem", "pubkey-v1-raw64.bin"),
    ] {
        works(folder.path(), &format!("{arguments} -o OUT/{file}"));
        assert!(std::fs::read(folder.path().join(file)).unwrap() == golden(&format!("sbv1/{file}")), "{file}");
    }
    let mode = std::fs::metadata(folder.path().join("privkey-digest-256.bin")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "a bootloader key is secret");
    let (code, _, error) =
        cotter(folder.path(), "key digest-private keys/ecdsa_p256.pem -o OUT/privkey-digest-256.bin");
    assert!(code == 1 && error.contains("exists"), "{error}");
}

#[test]
fn a_signature_is_seen_and_verified_by_every_form_of_the_key() {
    let at = tempfile::tempdir().unwrap();
    let text = works(at.path(), "image info sbv1/esp32-app-signed-v1.bin");
    assert!(text.contains("padded for    Secure Boot V1") && text.contains("Secure Boot V1 (ECDSA P-256) at 0x1ffb0"));
    for key in ["keys/ecdsa_p256.pem", "sbv2/pub-ecdsa_p256.pem", "sbv1/pubkey-v1-raw64.bin"] {
        let text = works(at.path(), &format!("image verify --scheme v1 --key {key} sbv1/esp32-app-signed-v1.bin"));
        assert!(text.contains("accepted: signed for Secure Boot V1"), "{text}");
    }
    // A partition table: the signature is at 0xC00.
    let table = "partition/two_ota_sec-secv1.bin";
    works(at.path(), &format!("image sign --scheme v1 --key keys/ecdsa_p256.pem -o OUT/table {table}"));
    assert_eq!(std::fs::read(at.path().join("table")).unwrap().len(), 0xc00 + 68);
    works(at.path(), "image verify --scheme v1 --key keys/ecdsa_p256.pem OUT/table");
    works(at.path(), "key generate p256 -o OUT/other.pem");
    let (code, out, _) = cotter(at.path(), "image verify --scheme v1 --key OUT/other.pem OUT/table");
    assert_eq!((code, out), (1, b"refused: Secure Boot V1 signature: does not verify\n".to_vec()));
    let check = "image bootloader-digest --check --key keys/sbv1_key_256.bin sbv1/esp32-bootloader-digest-256.bin";
    works(at.path(), check);
    let (code, out, _) = cotter(at.path(), &check.replace("key_256", "key_192"));
    assert!(code == 1 && String::from_utf8(out).unwrap().contains("refused: bootloader: the digest is not that of"));
}

#[test]
fn ivs_are_random() {
    let at = tempfile::tempdir().unwrap();
    works(at.path(), "key generate secure-boot-v1-256 -o OUT/key");
    for name in ["a", "b"] {
        works(at.path(), &format!("image bootloader-digest --key OUT/key -o OUT/{name} image/esp32-bootloader.bin"));
        works(at.path(), &format!("image bootloader-digest --key OUT/key --check OUT/{name}"));
    }
    let [a, b] = ["a", "b"].map(|name| std::fs::read(at.path().join(name)).unwrap());
    assert!(a[..128] != b[..128] && a[0x1000..] == b[0x1000..]);
}

#[test]
fn encrypted_keys_take_their_password_from_a_file_or_the_environment() {
    let at = tempfile::tempdir().unwrap();
    std::fs::write(at.path().join("password"), "hunter2\n").unwrap();
    std::fs::write(at.path().join("wrong"), "hunter3\n").unwrap();
    std::fs::write(at.path().join("key.pem"), ENCRYPTED).unwrap();
    for password in ["--password-file OUT/password", ""] {
        let sign =
            format!("image sign --scheme v1 --key OUT/key.pem {password} -o OUT/signed image/esp32-secure-pad-v1.bin");
        works(at.path(), &sign);
        works(at.path(), &format!("image verify --scheme v1 --key OUT/key.pem {password} OUT/signed"));
        let v2 = "--chip esp32c6 image/esp32c6.bin";
        works(at.path(), &format!("image sign --key OUT/key.pem {password} -o OUT/v2 {v2}"));
        works(at.path(), &format!("image verify --key OUT/key.pem {password} OUT/v2"));
        works(at.path(), &format!("key digest {password} OUT/key.pem"));
    }
    let verify = "image verify --scheme v1 --key OUT/key.pem --password-file OUT/wrong OUT/signed";
    let (code, _, error) = cotter(at.path(), verify);
    assert!(code == 1 && error.contains("the key does not decrypt: wrong password"), "{error}");
}

#[test]
fn refuses_by_name_and_writes_nothing() {
    let at = tempfile::tempdir().unwrap();
    let (code, _, error) =
        cotter(at.path(), "image sign --scheme v1 --key keys/ecdsa_p256.pem -o OUT/x image/esp32.bin");
    assert!(code == 0 && error.contains("warning: image/esp32.bin is not padded"), "{error}");
    std::fs::remove_file(at.path().join("x")).unwrap();
    std::fs::write(at.path().join("long"), [golden("image/esp32.bin"), vec![0xff; 64]].concat()).unwrap();
    std::fs::write(at.path().join("iv"), [0; 100]).unwrap();
    let p256 = "image sign --scheme v1 --key keys/ecdsa_p256.pem";
    for (arguments, refusal) in [
        (format!("{p256} image/esp32c3.bin"), "the esp32c3 has no Secure Boot V1, only the esp32 has it"),
        (format!("{p256} --chip esp32s3 partition/two_ota_sec.bin"), "the esp32s3 has no Secure Boot V1"),
        (format!("{p256} sbv1/esp32-app-signed-v1.bin"), "is signed already (Secure Boot V1)"),
        (format!("{p256} --key keys/ecdsa_p256.pem image/esp32.bin"), "one signature: give one --key"),
        (format!("{p256} --append image/esp32.bin"), "there is nothing to append to"),
        (format!("{p256} OUT/long"), "the bootloader looks for the signature at 0x11050, but"),
        ("image sign --scheme v1 --key keys/rsa3072_a.pem image/esp32.bin".into(), "RSA-3072 is no Secure Boot V1 key"),
        (
            "image sign --scheme v1 --key keys/ecdsa_p384.pem image/esp32.bin".into(),
            "ECDSA P-384 is no Secure Boot V1 key",
        ),
        (format!("{p256} --chip esp32 sbv2/signed-rsa3072_a.bin"), "mixed schemes: sbv2/signed-rsa3072_a.bin has 1"),
        ("image sign --key keys/rsa3072_a.pem sbv1/esp32-app-signed-v1.bin".into(), "has a Secure Boot V1 signature"),
        (
            "image bootloader-digest --key keys/ecdsa_p256.pem image/esp32-bootloader.bin".into(),
            "bootloader key: 227 bytes",
        ),
        (
            "image bootloader-digest --key keys/sbv1_key_256.bin image/esp32c3-bootloader.bin".into(),
            "the esp32c3 has no Secure Boot V1",
        ),
        (
            "image bootloader-digest --key keys/sbv1_key_256.bin --iv OUT/iv image/esp32-bootloader.bin".into(),
            "an IV is 128 bytes, this file has 100",
        ),
        (
            "image bootloader-digest --key keys/sbv1_key_256.bin OUT/long".into(),
            "the image is 69712 bytes, the file has",
        ),
        (
            "image bootloader-digest --key keys/sbv1_key_256.bin image/esp32.bin".into(),
            "reach into the partition table",
        ),
        ("key digest-private keys/ecdsa_p384.pem".into(), "Secure Boot V1"),
    ] {
        let (code, _, error) = cotter(at.path(), &format!("{arguments} -o OUT/x"));
        assert!(code == 1 && error.contains(refusal), "{arguments}: {error}");
        assert!(!at.path().join("x").exists(), "{arguments}");
    }
    let efuses = "image verify --scheme v1 --efuse efuse/esp32c3-sbv2.bin --chip esp32 sbv1/esp32-app-signed-v1.bin";
    let (code, _, error) = cotter(at.path(), efuses);
    assert!(code == 1 && error.contains("Secure Boot V1 knows no key digests"), "{error}");
}

/// The key of `keys/ecdsa_p256.pem`: `openssl pkcs8 -topk8 -v2 aes-256-cbc -passout pass:hunter2`, OpenSSL 3.0.
const ENCRYPTED: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjUfoepANmF/QICCAAw\n\
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEEXBr3//ELT9bn0Cylfins0EgZBz\n\
O97U9grD1FQxuopOjMjs9qyVCPdQIKuBdlcAY9ZpeeMnoS90vsqFaS3a6Y/QElo7\n\
U3LejRpOk8K5mDPr82o7zIhw9D4b3PIg94jiB+nrRHND31r8bBNUa1wWt1V29FFB\n\
KExYk38ZuUkY6hUhL1oG4mc6z5BvQfxRdtYXixxKgImkH1gTHhBR27GUR0M3qxU=\n\
-----END ENCRYPTED PRIVATE KEY-----\n";
