//! `cotter demo` as a person types it.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn cotter() -> Command {
    Command::cargo_bin("cotter").unwrap()
}

#[test]
fn every_stage_and_every_attack_ends_as_expected() {
    let folder = tempfile::tempdir().unwrap();
    let keep = folder.path().join("kept");
    let output = cotter().args(["demo", "--json", "--keep"]).arg(&keep).assert().success().get_output().clone();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["passed"], true);
    let titles: Vec<&str> =
        report["stages"].as_array().unwrap().iter().map(|stage| stage["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Keys", "Images", "Birth", "Telemetry", "Update"]);
    let attacks = report["attacks"].as_array().unwrap();
    for (name, refusal) in [
        ("replayed packet", "409 duplicate"),
        ("forged MAC", "401 packet-forged"),
        ("tampered ciphertext", "401 packet-forged"),
        ("another device's packet", "401 packet-of-another-device"),
        ("man in the middle", "no connection"),
        ("unsigned firmware", "manifest-unsigned"),
        ("firmware signed by a wrong key", "manifest-untrusted"),
        ("one flipped bit in a chunk", "image-hash"),
        ("older version", "manifest-not-newer"),
        ("lower secure_version", "manifest-secure-version-too-low"),
        ("manifest edited after signing", "manifest-bad-signature"),
        ("expired manifest", "manifest-expired"),
        ("application patched with care", "signed-digest-mismatch"),
        ("flash read out", "0 blocks of the application in clear"),
        ("failing self-test", "rolled-back self-test-zero-gain"),
    ] {
        let attack = attacks.iter().find(|attack| attack["name"] == name).unwrap_or_else(|| panic!("{name} not tried"));
        assert_eq!((attack["stopped"].as_bool(), attack["refusal"].as_str()), (Some(true), Some(refusal)), "{name}");
    }
    for secret in ["keys/secure-boot.key.pem", "keys/solar-0001.root.key", "device/efuse-cells.bin", "server/cotter.db"]
    {
        assert_eq!(mode(&keep.join(secret)), 0o600, "{secret}");
    }
}

#[test]
fn a_secure_element_signs_its_way_into_the_bridge_and_copies_do_not() {
    let output = cotter().args(["demo", "--story", "secure-element", "--json"]).assert().success().get_output().clone();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["passed"], true);
    let titles: Vec<&str> =
        report["stages"].as_array().unwrap().iter().map(|stage| stage["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Server", "Secure element", "Registration", "Token and bridge"]);
    let refusals: Vec<_> =
        report["attacks"].as_array().unwrap().iter().map(|attack| attack["refusal"].as_str().unwrap()).collect();
    assert_eq!(refusals, ["token-no-key", "token-signature", "token-algorithm", "execution error", "execution error"]);
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn nothing_is_kept_in_a_folder_that_holds_something() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine"), "mine").unwrap();
    let assert = cotter().args(["demo", "--keep"]).arg(folder.path()).assert().code(1);
    let error = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(error.contains("is not empty") && error.contains("help: name a new folder with --keep"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn bad_usage_is_exit_code_2() {
    cotter().arg("demonstrate").assert().code(2);
    cotter().assert().code(2);
    cotter().args(["demo", "--keep"]).assert().code(2);
}

#[test]
fn a_missing_configuration_is_exit_code_1_with_the_next_step() {
    let assert = cotter().args(["serve", "--config", "/nonexistent/cotter.toml"]).assert().code(1);
    let error = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(error.contains("help: `cotter-server init`"), "{error}");
}
