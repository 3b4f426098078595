//! Rehearsals of products that say what their second stage was compiled with.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

use cotter_factory::policy::ProductPolicy;
use cotter_factory::rehearse::{Depth, RehearsalError, Trial, rehearse_with};
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A folder with a ready policy that names a second stage, and golden files.
fn product(policy: &str, second_stage: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let text = std::fs::read_to_string(format!("{ROOT}/docs/policies/{policy}.toml")).unwrap();
    let text = text.replace("# second-stage = \"second-stage.toml\"\n", "");
    put("product.toml", format!("second-stage = \"second-stage.toml\"\n{text}").as_bytes());
    put("second-stage.toml", second_stage.as_bytes());
    put(
        "partitions.csv",
        b"nvs,data,nvs,0x9000,0x4000\notadata,data,ota,0xd000,0x2000\nota_0,app,ota_0,0x10000,0x30000\n",
    );
    for (name, vector) in files {
        put(name, &std::fs::read(format!("{ROOT}/vectors/{vector}")).unwrap());
    }
    folder
}

/// What was tried, whether or not all of it ended as it had to.
fn trials(folder: &Path) -> Vec<Trial> {
    let text = std::fs::read_to_string(folder.join("product.toml")).unwrap();
    let birth = ProductPolicy::from_toml(&text).unwrap().birth(folder).unwrap();
    match rehearse_with(birth, Depth::Quick, &mut |_| ()) {
        Ok(rehearsed) => rehearsed.trials().to_vec(),
        Err(RehearsalError::Failed(verdict)) => verdict.trials,
        Err(error) => panic!("{error}"),
    }
}

const V1: [(&str, &str); 4] = [
    ("bootloader-with-digest.bin", "sbv1/esp32-bootloader-digest-256.bin"),
    ("secure-boot-v1.bin", "keys/sbv1_key_256.bin"),
    ("app-signed-v1.bin", "sbv1/esp32-app-signed-v1.bin"),
    ("app-key.pub.pem", "sbv2/pub-ecdsa_p256.pem"),
];

#[test]
fn an_application_under_secure_boot_v1_is_judged_by_the_key_that_is_compiled_in() {
    let second_stage = "[secure-boot]\nscheme = \"v1\"\nverification-key = \"app-key.pub.pem\"\n";
    let folder = product("secure-boot-v1", second_stage, &V1);
    let trials = trials(folder.path());
    let seen = |name: &str| trials.iter().find(|trial| trial.name == name).map(|trial| trial.seen.as_str());
    assert_eq!(seen("power on"), Some("verified and booted v1.2.3-golden"));
    let mended = "modified application, checksum and SHA-256 mended";
    assert_eq!(seen(mended), Some("bad-signature"), "{trials:#?}");
    let failed: Vec<_> = trials.iter().filter(|trial| !trial.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn the_wrong_key_in_the_second_stage_is_found() {
    let second_stage = "[secure-boot]\nscheme = \"v1\"\nverification-key = \"other.bin\"\n";
    let folder = product("secure-boot-v1", second_stage, &V1);
    // Another point of the curve: the generator itself.
    let generator = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                     4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    let byte = |at: usize| u8::from_str_radix(&generator[at..at + 2], 16).unwrap();
    let point: Vec<u8> = (0..generator.len()).step_by(2).map(byte).collect();
    std::fs::write(folder.path().join("other.bin"), point).unwrap();
    let trials = trials(folder.path());
    let first = trials.first().unwrap();
    assert_eq!((first.name.as_str(), first.seen.as_str()), ("power on", "no-bootable-app"));
}

#[test]
fn a_product_that_burned_everything_has_nothing_left_for_the_first_boot() {
    let second_stage = "[secure-boot]\nscheme = \"v2\"\n[flash-encryption]\nmode = \"release\"\n";
    let files = [
        ("bootloader-signed.bin", "sbv2/signed-rsa3072_a.bin"),
        ("app-signed.bin", "sbv2/app-esp32c3-signed-rsa_a.bin"),
        ("secure-boot.pub.pem", "sbv2/pub-rsa3072_a.pem"),
    ];
    let folder = product("production", second_stage, &files);
    let trials = trials(folder.path());
    let failed: Vec<_> = trials.iter().filter(|trial| !trial.passed()).collect();
    assert!(failed.is_empty() && trials.len() > 10, "{failed:#?}");
    assert_eq!(trials[0].seen, "verified and booted v1.2.3-golden");
}

#[test]
fn a_second_stage_without_secure_boot_fails_a_policy_with_it() {
    let files = [
        ("bootloader-signed.bin", "sbv2/signed-rsa3072_a.bin"),
        ("app-signed.bin", "sbv2/app-esp32c3-signed-rsa_a.bin"),
        ("secure-boot.pub.pem", "sbv2/pub-rsa3072_a.pem"),
    ];
    let folder = product("production", "[secure-boot]\nscheme = \"off\"\n", &files);
    let trials = trials(folder.path());
    let first = trials.first().unwrap();
    let expected = "verified and booted v1.2.3-golden";
    assert_eq!((first.expected.as_str(), first.seen.as_str()), (expected, "booted v1.2.3-golden"));
}

#[test]
fn the_partition_table_lies_where_the_second_stage_looks_for_it() {
    let files = [
        ("bootloader-signed.bin", "sbv2/signed-rsa3072_a.bin"),
        ("app-signed.bin", "sbv2/app-esp32c3-signed-rsa_a.bin"),
        ("secure-boot.pub.pem", "sbv2/pub-rsa3072_a.pem"),
    ];
    // A larger second stage, as Secure Boot V2 with verbose logs needs one.
    let csv = "nvs,data,nvs,0x11000,0x4000\notadata,data,ota,0x15000,0x2000\nota_0,app,ota_0,0x20000,0x30000\n";
    let moved = |second_stage: &str| {
        let folder = product("production", second_stage, &files);
        let policy = folder.path().join("product.toml");
        let text = std::fs::read_to_string(&policy).unwrap();
        std::fs::write(policy, format!("partition-table-offset = 0x10000\n{text}")).unwrap();
        std::fs::write(folder.path().join("partitions.csv"), csv).unwrap();
        folder
    };
    let release = "[secure-boot]\nscheme = \"v2\"\n[flash-encryption]\nmode = \"release\"\n";
    let sdkconfig = "CONFIG_PARTITION_TABLE_OFFSET=0x10000\nCONFIG_SECURE_BOOT_V2_ENABLED=y\n\
                     CONFIG_BOOTLOADER_APP_ANTI_ROLLBACK=y\nCONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE=y\n\
                     CONFIG_SECURE_FLASH_ENC_ENABLED=y\nCONFIG_SECURE_FLASH_ENCRYPTION_MODE_RELEASE=y\n";
    for second_stage in [&format!("partition-table-offset = 0x10000\n{release}"), sdkconfig] {
        let trials = trials(moved(second_stage).path());
        let failed: Vec<_> = trials.iter().filter(|trial| !trial.passed()).collect();
        assert!(failed.is_empty() && trials.len() > 10, "{failed:#?}");
        assert_eq!(trials[0].seen, "verified and booted v1.2.3-golden");
    }

    // The same by the device itself: only the policy says it.
    let folder = moved(release);
    let policy = std::fs::read_to_string(format!("{ROOT}/docs/policies/first-boot-production.toml")).unwrap();
    let policy = format!("partition-table-offset = 0x10000\n{policy}");
    std::fs::write(folder.path().join("product.toml"), policy).unwrap();
    let by_itself = trials(folder.path());
    let failed: Vec<_> = by_itself.iter().filter(|trial| !trial.passed()).collect();
    assert!(failed.is_empty() && by_itself.len() > 10, "{failed:#?}");

    let folder = moved(release);
    let text = std::fs::read_to_string(folder.path().join("product.toml")).unwrap();
    let error = ProductPolicy::from_toml(&text).unwrap().birth(folder.path()).unwrap_err();
    let expected =
        "policy: partition-table-offset is 0x10000, but the second stage was compiled to find the table at 0x8000";
    assert_eq!(error.to_string(), expected);
}
