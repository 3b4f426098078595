//! `cotter image` as a person types it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

use assert_cmd::Command;
use serde_json::Value;

/// Runs in the folder of golden vectors; returns exit code, stdout and stderr.
fn cotter(arguments: &str) -> (i32, String, String) {
    let mut command = Command::cargo_bin("cotter").unwrap();
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors")).args(arguments.split_whitespace());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn json(arguments: &str) -> (i32, Value) {
    let (code, stdout, stderr) = cotter(&format!("--json {arguments}"));
    (code, serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}")))
}

#[test]
fn info_shows_what_esptool_shows() {
    let (code, info) = json("image info image/esp32c3.bin");
    assert_eq!((code, &info["chip"], &info["valid"]), (0, &"esp32c3".into(), &true.into()));
    assert_eq!(info["segments"].as_array().unwrap().len(), 5);
    assert_eq!((&info["checksum"]["stored"], &info["checksum"]["valid"]), (&0x5a.into(), &true.into()));
    assert_eq!((&info["digest"]["valid"], &info["application"]["secure_version"]), (&true.into(), &3.into()));
    assert_eq!(info["application"]["project_name"], "golden_esp32c3");
    let (code, text, _) = cotter("image info image/esp32c3.bin");
    assert_eq!(code, 0);
    assert!(text.contains("golden_esp32c3 v1.2.3-golden, secure version 3"), "{text}");
    assert!(text.contains("0x3c000020") && text.contains("signature     none"), "{text}");
}

#[test]
fn info_shows_every_signature_block() {
    let (code, info) = json("image info sbv2/signed-rsa-ab.bin");
    assert_eq!(code, 0);
    let blocks = info["signature_blocks"].as_array().unwrap();
    assert_eq!((blocks.len(), &blocks[1]["scheme"], &blocks[1]["valid"]), (2, &"RSA-3072".into(), &true.into()));
    assert!(info["bootloader"].is_object());
    let (code, text, _) = cotter("image info sbv2/signed-rsa-ab-plus-ecdsa.bin");
    assert_eq!(code, 1);
    assert!(text.ends_with("BAD: mixed schemes: block 0 is RSA-3072, block 2 is ECDSA P-256\n"), "{text}");
}

#[test]
fn verify_names_block_and_digest_in_every_scheme() {
    for (name, chip, accepted) in [
        ("rsa3072_a", "esp32c3", true),
        ("rsa3072_b", "esp32c6", true),
        ("ecdsa_p192", "esp32c2", true),
        ("ecdsa_p256", "esp32c6", true),
        ("ecdsa_p384", "esp32c5", true),
        ("ecdsa_p256", "esp32c3", false),
    ] {
        let file = format!("--chip {chip} sbv2/signed-{name}.bin");
        for trust in [
            format!("--key sbv2/pub-{name}.pem"),
            format!("--key keys/{name}.pem"),
            format!("--digest sbv2/digest-{name}.bin"),
        ] {
            let (code, report) = json(&format!("image verify {trust} {file}"));
            assert_eq!(
                (code, &report["accepted"]),
                (i32::from(!accepted), &accepted.into()),
                "{name} {trust}: {report}"
            );
            match accepted {
                true => assert_eq!(report["block"], 0),
                false => assert_eq!(report["refusal"], "the esp32c3 does not verify ECDSA P-256"),
            }
        }
    }
    let (code, text, _) =
        cotter("image verify --key sbv2/pub-rsa3072_a.pem --key sbv2/pub-rsa3072_b.pem sbv2/signed-rsa3072_b.bin");
    assert!(code == 0 && text.trim().ends_with("trusted by sbv2/pub-rsa3072_b.pem"), "{text}");
    let (code, text, _) =
        cotter("image verify --chip esp32c5 --key sbv2/pub-ecdsa_p384.pem sbv2/signed-ecdsa_p384.bin");
    assert!(code == 0 && text.contains("note: ESP-IDF calls ECDSA P-384 on the esp32c5 insecure"), "{text}");
}

#[test]
fn verify_refuses_with_the_reason() {
    for (arguments, refusal) in [
        (
            "--key sbv2/pub-rsa3072_b.pem sbv2/signed-rsa3072_a.bin",
            "signed by no trusted key (1 blocks, 1 trusted digests)",
        ),
        ("--key sbv2/pub-rsa3072_a.pem image/esp32c3.bin", "not signed: signature block: begins with"),
        ("--key sbv2/pub-rsa3072_a.pem sbv2/signed-rsa-ab-plus-ecdsa.bin", "mixed schemes: block 0 is RSA-3072"),
        ("--chip esp32 --key sbv2/pub-rsa3072_b.pem sbv2/signed-rsa-ab.bin", "block 1 holds, but the esp32 reads 1"),
        (
            "--efuse efuse/blank-esp32c3.bin sbv2/signed-rsa-ab.bin",
            "signed by no trusted key (2 blocks, 0 trusted digests)",
        ),
    ] {
        let (code, text, stderr) = cotter(&format!("image verify {arguments}"));
        assert!(code == 1 && text.contains(&format!("refused: {refusal}")), "{arguments}: {text}{stderr}");
    }
    let (code, _, error) = cotter("image verify --key keys/rsa2048_dev.pem sbv2/signed-rsa-ab.bin");
    assert!(code == 1 && error.contains("RSA-2048 is no Secure Boot V2 key"), "{error}");
    let (code, _, error) = cotter("image verify --efuse efuse/esp32c3-sbv2.bin --chip esp32s3 sbv2/signed-rsa-ab.bin");
    assert!(code == 1 && error.contains("no map of the eFuses of esp32s3"), "{error}");
    assert_eq!(cotter("image verify sbv2/signed-rsa-ab.bin").0, 2, "trust in nothing is bad usage");
}

#[test]
fn verify_believes_the_efuses_that_espefuse_burned() {
    let (code, report) = json("image verify --efuse efuse/esp32c3-sbv2.bin sbv2/signed-rsa-ab.bin");
    assert_eq!((code, &report["accepted"]), (0, &true.into()), "{report}");
    assert!(report["trusted_by"].as_str().unwrap().starts_with("SECURE_BOOT_DIGEST"), "{report}");
}
