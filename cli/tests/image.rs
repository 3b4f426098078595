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
    let (code, _, error) = cotter("image verify --efuse efuse/esp32c3-sbv2.bin --chip esp32 sbv2/signed-rsa-ab.bin");
    assert!(code == 1 && error.contains("512 bytes, but the register file has 288"), "{error}");
    assert_eq!(cotter("image verify sbv2/signed-rsa-ab.bin").0, 2, "trust in nothing is bad usage");
}

#[test]
fn verify_believes_the_efuses_that_espefuse_burned() {
    let (code, report) = json("image verify --efuse efuse/esp32c3-sbv2.bin sbv2/signed-rsa-ab.bin");
    assert_eq!((code, &report["accepted"]), (0, &true.into()), "{report}");
    assert!(report["trusted_by"].as_str().unwrap().starts_with("SECURE_BOOT_DIGEST"), "{report}");
}

/// A file as espefuse keeps it: registers backwards. `burned`: register offset and byte.
fn efuse_file(folder: &std::path::Path, len: usize, burned: &[(usize, u8)]) -> String {
    let mut file = vec![0; len];
    for &(offset, byte) in burned {
        file[len - 1 - offset] |= byte;
    }
    let path = folder.join("efuses.bin");
    std::fs::write(&path, file).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn verify_knows_the_efuses_of_other_chips() {
    let folder = tempfile::tempdir().unwrap();
    let digest = |name: &str| {
        std::fs::read(format!("{}/../vectors/sbv2/digest-{name}.bin", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let at = |start: usize, bytes: &[u8]| -> Vec<(usize, u8)> { (start..).zip(bytes.iter().copied()).collect() };

    // ESP32-C2: the high half of its key block.
    let c2 = "--chip esp32c2 sbv2/signed-ecdsa_p256.bin";
    let file = efuse_file(folder.path(), 0x200, &at(0x70, &digest("ecdsa_p256")[..16]));
    let (code, report) = json(&format!("image verify --efuse {file} {c2}"));
    assert_eq!((code, &report["accepted"]), (0, &true.into()), "{report}");
    assert!(report["trusted_by"].as_str().unwrap().contains("(BLOCK_KEY0) of"), "{report}");
    assert!(report["trusted_by"].as_str().unwrap().ends_with("first 16 bytes"), "{report}");
    let file = efuse_file(folder.path(), 0x200, &at(0x70, &digest("ecdsa_p192")[..16]));
    let (code, report) = json(&format!("image verify --efuse {file} {c2}"));
    assert_eq!((code, &report["accepted"]), (1, &false.into()), "{report}");

    // ESP32: BLOCK2 and ABS_DONE_1; revision 3 or not.
    let v2 = [at(0x58, &digest("rsa3072_a")), vec![(0x18, 1 << 5)]].concat();
    let v3 = [v2.clone(), vec![(0x0d, 0x80), (0x16, 0x10)]].concat();
    let file = efuse_file(folder.path(), 0x120, &v3);
    let (code, text, _) = cotter(&format!("image verify --efuse {file} --chip esp32 sbv2/signed-rsa3072_a.bin"));
    assert!(code == 0 && text.contains("trusted by SECURE_BOOT_DIGEST0 (BLOCK2)"), "{text}");
    let file = efuse_file(folder.path(), 0x120, &v2);
    let (code, text, _) = cotter(&format!("image verify --efuse {file} --chip esp32 sbv2/signed-rsa3072_a.bin"));
    assert!(code == 1 && text.contains("needs an esp32 of revision v3.0, this one is v0.0"), "{text}");
    let file = efuse_file(folder.path(), 0x120, &[at(0x58, &[7; 32]), vec![(0x18, 1 << 4)]].concat());
    let (code, text, _) = cotter(&format!("image verify --efuse {file} --chip esp32 sbv2/signed-rsa3072_a.bin"));
    assert!(
        code == 1 && text.contains("Secure Boot V1 is enabled in these eFuses: BLOCK2 is its bootloader key"),
        "{text}"
    );

    // A revoked digest is named.
    let golden = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/efuse/esp32c3-sbv2.bin")).unwrap();
    let burned: Vec<(usize, u8)> = (0..).zip(golden.iter().rev().copied()).collect();
    let file = efuse_file(folder.path(), 0x200, &[burned, vec![(0x2c + 85 / 8, 1 << (85 % 8))]].concat());
    let (code, text, _) = cotter(&format!("image verify --efuse {file} sbv2/signed-rsa3072_a.bin"));
    assert!(code == 1 && text.contains("block 0 is signed by a revoked key, SECURE_BOOT_DIGEST0"), "{text}");
    let (code, text, _) = cotter(&format!("image verify --efuse {file} sbv2/signed-rsa-ab.bin"));
    assert!(code == 0 && text.contains("accepted: block 1") && text.contains("is revoked: "), "{text}");

    // P-384 needs its eFuse.
    let (_, report) = json("image verify --chip esp32c5 --key sbv2/pub-ecdsa_p384.pem sbv2/signed-ecdsa_p384.bin");
    assert_eq!(report["accepted"], true);
    let file = efuse_file(folder.path(), 0x200, &[]);
    let c5 =
        format!("image verify --efuse {file} --key sbv2/pub-ecdsa_p384.pem --chip esp32c5 sbv2/signed-ecdsa_p384.bin");
    let (code, text, _) = cotter(&c5);
    assert!(code == 1 && text.contains("ECDSA P-384 needs SECURE_BOOT_SHA384_EN, which is not burned"), "{text}");
}
