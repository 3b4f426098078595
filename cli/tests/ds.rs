//! `cotter ds` as a person types it.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Runs in the folder of golden vectors; returns exit code, stdout and stderr.
fn cotter(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("cotter").unwrap();
    let output = command
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors"))
        .arg("ds")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors").join(name)).unwrap()
}

#[test]
fn a_known_iv_gives_the_golden_ciphertexts() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("c.bin");
    let iv: String = golden("ds/iv.bin").iter().map(|byte| format!("{byte:02x}")).collect();
    for (chip, key, tool_width) in [
        ("esp32c3", "rsa2048_dev", false),
        ("esp32c3", "rsa3072_dev", false),
        ("esp32c5", "rsa2048_dev", true),
        ("esp32s2", "rsa2048_dev", false),
        ("esp32s2", "rsa4096_dev", false),
        ("esp32s3", "rsa3072_dev", false),
    ] {
        let path = format!("keys/{key}.pem");
        let mut arguments = vec!["encrypt", "--chip", chip, "--key", &path, "--hmac-key", "ds/hmac_key.bin"];
        arguments.extend(["--test-iv", &iv, "--ciphertext-only", "-o", out.to_str().unwrap()]);
        arguments.extend(tool_width.then_some("--tool-width"));
        let (code, text, error) = cotter(&arguments);
        assert_eq!(code, 0, "{error}");
        assert!(text.contains("PKCS#1 v1.5 and PSS verified"), "{text}");
        assert!(std::fs::read(&out).unwrap() == golden(&format!("ds/c-{chip}-{key}.bin")), "{chip} {key}");
    }
}

#[test]
fn a_fresh_key_is_for_its_owner_only_and_the_box_is_checked_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (hmac, data) = (at("hmac.bin"), at("ds.bin"));
    let encrypt = |out: &str| {
        let arguments = ["encrypt", "--chip", "esp32c3", "--key", "keys/rsa2048_dev.pem", "--key-block", "3"];
        cotter(&[&arguments[..], &["--hmac-key-out", &hmac, "-o", out]].concat())
    };
    let (code, text, error) = encrypt(&data);
    assert_eq!(code, 0, "{error}");
    let burn = format!("espefuse --chip esp32c3 burn-key BLOCK_KEY3 {hmac} HMAC_DOWN_DIGITAL_SIGNATURE");
    assert!(text.contains(&burn), "{text}");
    assert_eq!(std::fs::metadata(&hmac).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!((std::fs::read(&hmac).unwrap().len(), std::fs::read(&data).unwrap().len()), (32, 1220));
    let (code, _, error) = encrypt(&data);
    assert!(code == 1 && error.contains("exists") && error.contains("--force"), "{error}");

    let check = |extra: &[&str]| cotter(&[&["check", "--hmac-key", &hmac], extra, &[&data[..]]].concat());
    let (code, text, error) = check(&["--chip", "esp32c6", "--public", "keys/dev_cert_rsa2048.pem"]);
    assert!(code == 0 && text.contains("signs with RSA-2048, modulus SHA-256 "), "{text}{error}");
    let (code, text, _) = check(&["--public", "keys/rsa3072_a.pem"]);
    assert!(code == 1 && text.contains("BAD: digital signature: the box holds another key"), "{text}");
    let (code, text, _) = check(&["--chip", "esp32s3"]);
    assert!(code == 1 && text.contains("BAD: 1200 bytes of ciphertext, the chip reads 1584"), "{text}");
    let (code, text, _) = cotter(&["check", "--hmac-key", "ds/hmac_key.bin", &data]);
    assert!(code == 1 && text.contains("the digest in the box does not match: another HMAC key or IV"), "{text}");
    let (code, json, _) = cotter(&["check", "--hmac-key", &hmac, &data, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(code == 0 && json["boxes"][0]["signs"] == true && json["boxes"][0]["rsa_bits"] == 2048, "{json}");
}

#[test]
fn bare_ciphertexts_and_partitions_are_checked_too() {
    let (code, text, error) =
        cotter(&["check", "--hmac-key", "ds/hmac_key.bin", "--iv", "ds/iv.bin", "ds/c-esp32s2-rsa4096_dev.bin"]);
    assert!(code == 0 && text.contains("signs with RSA-4096"), "{text}{error}");
    let (code, text, error) = cotter(&["check", "--hmac-key", "keys/hmac_key.bin", "securecert/rsads3072-c3.bin"]);
    assert!(code == 0 && text.contains("DS data 0: signs with RSA-3072"), "{text}{error}");
    let (code, text, _) =
        cotter(&["check", "--chip", "esp32c5", "--hmac-key", "keys/hmac_key.bin", "securecert/rsads-c5.bin"]);
    assert!(code == 1 && text.contains("BAD: 1584 bytes of ciphertext, the chip reads 1200"), "{text}");
    let (code, _, error) = cotter(&["check", "--hmac-key", "keys/hmac_key.bin", "securecert/plain-p256.bin"]);
    assert!(code == 1 && error.contains("neither esp_ds_data_t nor a partition") && error.contains("--iv"), "{error}");
}

#[test]
fn refuses_chips_and_keys_by_name() {
    let refusal = |chip: &str, key: &str| {
        let (code, _, error) =
            cotter(&["encrypt", "--chip", chip, "--key", key, "--hmac-key", "ds/hmac_key.bin", "-o", "-"]);
        assert_eq!(code, 1);
        error
    };
    for chip in ["esp32", "esp32c2", "esp32c61"] {
        let error = refusal(chip, "keys/rsa2048_dev.pem");
        assert!(error.contains(&format!("the {chip} has no digital signature peripheral")), "{error}");
    }
    let error = refusal("esp32c3", "keys/rsa4096_dev.pem");
    assert!(error.contains("the key has 4096 bits, but the peripheral takes 3072"), "{error}");
    let error = refusal("esp32c3", "keys/ecdsa_p256.pem");
    assert!(error.contains("the digital signature peripheral needs an RSA key"), "{error}");
    let (code, _, error) = cotter(&["encrypt", "--chip", "esp32c3", "--key", "keys/rsa2048_dev.pem", "-o", "-"]);
    assert!(code == 2 && error.contains("--hmac-key-out"), "{error}");
}

#[test]
fn an_encrypted_key_opens_with_its_password_from_a_file_or_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (key, password) = (at("device.pem"), at("password"));
    std::fs::write(&password, "correct horse\n").unwrap();
    let make = ["key", "generate", "rsa2048", "--password-file", &password, "-o", &key];
    Command::cargo_bin("cotter").unwrap().args(make).assert().success();
    let data = at("ds.bin");
    let encrypt = ["encrypt", "--chip", "esp32c3", "--hmac-key", "ds/hmac_key.bin", "--key", &key, "-o", &data];
    let (code, _, error) = cotter(&[&encrypt[..], &["--password-file", &password]].concat());
    assert_eq!(code, 0, "{error}");
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors");
    let mut command = Command::cargo_bin("cotter").unwrap();
    command.current_dir(vectors).env("COTTER_KEY_PASSWORD", "correct horse").arg("ds").args(encrypt).assert().success();
    std::fs::write(&password, "wrong\n").unwrap();
    let (code, _, error) = cotter(&[&encrypt[..], &["--password-file", &password]].concat());
    assert!(code == 1 && error.contains("does not decrypt") && error.contains("COTTER_KEY_PASSWORD"), "{error}");
}
