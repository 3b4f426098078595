//! `cotter factory batch` as a person types it.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use std::path::Path;

/// Returns exit code, stdout and stderr.
fn cotter(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("cotter").unwrap().current_dir(folder).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_batch_is_made_resumed_and_read_by_the_other_verbs() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| cotter(folder.path(), arguments);
    let (code, _, error) = run(&["cert", "ca", "--subject", "CN=Batch CA", "-o", "ca.pem"]);
    assert_eq!(code, 0, "{error}");
    let batch = ["factory", "batch", "--chip", "esp32c3", "--ca", "ca.pem", "--ca-key", "ca.key.pem"];
    let batch = |extra: &[&str]| run(&[&batch[..], extra].concat());
    let (code, text, error) = batch(&["--count", "3", "--prefix", "meter-", "--nvs-scheme", "hmac", "-o", "out"]);
    assert!(code == 0 && text.contains("out: 3 devices made in ") && text.contains(" per second)"), "{text}{error}");
    let (code, json, error) =
        batch(&["--count", "4", "--prefix", "meter-", "--nvs-scheme", "hmac", "-o", "out", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(code == 0 && json["made"] == 1 && json["kept"] == 3 && json["devices"] == 4, "{json}{error}");

    let hmac = "out/meter-2/block_key1_hmac_down_digital_signature.bin";
    let secure_cert = "out/meter-2/esp_secure_cert.bin";
    let (code, text, error) = run(&["cert", "show", "--chip", "esp32c3", "--hmac-key", hmac, secure_cert]);
    assert!(code == 0 && text.contains("opened with the HMAC key, matches the certificate"), "{text}{error}");
    let (code, text, error) =
        run(&["nvs", "show", "--hmac-key", "out/meter-2/block_key2_hmac_up.bin", "out/meter-2/nvs.bin"]);
    assert!(code == 0 && text.contains("device_id") && text.contains("1 values, 0 faults"), "{text}{error}");
    let index = std::fs::read_to_string(folder.path().join("out/index.csv")).unwrap();
    assert_eq!(index.lines().count(), 5);
}

#[test]
fn refuses_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| cotter(folder.path(), arguments);
    assert_eq!(run(&["cert", "ca", "--subject", "CN=Batch CA", "-o", "ca.pem"]).0, 0);
    for (extra, says) in [
        (&["--chip", "esp32c2", "--count", "1"][..], "the esp32c2 has no digital signature peripheral"),
        (&["--chip", "esp32c3", "--count", "1", "--rsa-bits", "4096"], "the peripheral takes 3072"),
        (&["--chip", "esp32c3", "--count", "1", "--prefix", "../x"], "cannot name a folder"),
        (&["--chip", "esp32c3", "--count", "1", "--mode", "ecdsa-peripheral"], "no peripheral for ECDSA P-256"),
    ] {
        let fixed = ["factory", "batch", "--ca", "ca.pem", "--ca-key", "ca.key.pem", "-o", "out"];
        let (code, _, error) = run(&[&fixed[..], extra].concat());
        assert!(code == 1 && error.contains(says), "{error}");
        assert!(!folder.path().join("out").exists());
    }
}
