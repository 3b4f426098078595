//! Which signature a chip trusts: eFuse files of every chip that espefuse burned, read by ours.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_formats::chip::Chip;
use cotter_formats::efuse::{ChipRevision, EfuseImage};
use cotter_formats::secure_boot::v2::{
    DigestSlot, EfuseTrust, Scheme, SlotDigest, Support, Version, needs_revision, support,
};
use cotter_interop::{ToolRun, temp_dir, tools};
use std::path::{Path, PathBuf};

fn vector(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors")).join(name)
}

fn digest(name: &str) -> [u8; 32] {
    std::fs::read(vector(&format!("sbv2/digest-{name}.bin"))).unwrap().try_into().unwrap()
}

fn espefuse(chip: Chip, file: &Path, command: &str) -> ToolRun {
    let mut arguments = vec!["--chip".to_owned(), chip.name().to_owned()];
    arguments.extend(["--virt", "--do-not-confirm", "--path-efuse-file"].map(String::from));
    arguments.push(file.display().to_string());
    arguments.extend(command.split_whitespace().map(|word| match word.strip_prefix("VECTORS/") {
        Some(name) => vector(name).display().to_string(),
        None => word.to_owned(),
    }));
    tools().espefuse(arguments)
}

fn trust(chip: Chip, file: &Path) -> (EfuseImage, EfuseTrust) {
    let image = EfuseImage::from_virtual_file(chip, &std::fs::read(file).unwrap()).unwrap();
    let trust = EfuseTrust::of(&image);
    (image, trust)
}

/// A scheme that the chip has, and the name of its test key.
fn key_of(chip: Chip) -> (Scheme, &'static str) {
    match chip {
        Chip::Esp32C2 | Chip::Esp32C61 => (Scheme::EcdsaP256, "ecdsa_p256"),
        _ => (Scheme::Rsa3072, "rsa3072_a"),
    }
}

#[test]
fn every_chip_trusts_the_key_whose_digest_espefuse_burned_and_no_other() {
    let dir = temp_dir();
    for chip in Chip::ALL {
        let file = dir.path().join(format!("{chip}.bin"));
        let (scheme, name) = key_of(chip);
        if chip != Chip::Esp32H4 {
            assert_ne!(support(chip, scheme), Support::No, "{chip}");
        }
        match chip {
            Chip::Esp32 => {
                espefuse(chip, &file, "burn-efuse CHIP_VER_REV1 1 CHIP_VER_REV2 1").accepted();
                espefuse(chip, &file, &format!("burn-key-digest VECTORS/keys/{name}.pem")).accepted();
                espefuse(chip, &file, "burn-efuse ABS_DONE_1 1").accepted();
            }
            Chip::Esp32C2 => {
                espefuse(chip, &file, &format!("burn-key-digest VECTORS/keys/{name}.pem")).accepted();
                espefuse(chip, &file, "burn-efuse SECURE_BOOT_EN 1").accepted();
            }
            _ => {
                // A digest that is revoked, and one that is trusted, in the wrong order and not in the first block.
                let keys = format!(
                    "burn-key BLOCK_KEY1 VECTORS/sbv2/digest-rsa3072_b.bin SECURE_BOOT_DIGEST2 \
                     BLOCK_KEY3 VECTORS/sbv2/digest-{name}.bin SECURE_BOOT_DIGEST0"
                );
                espefuse(chip, &file, &keys).accepted();
                espefuse(chip, &file, "burn-efuse SECURE_BOOT_KEY_REVOKE2 1 SECURE_BOOT_EN 1").accepted();
            }
        }
        let (image, trust) = trust(chip, &file);
        assert_eq!(trust.enabled, Some(Version::V2), "{chip}");
        let trusted: Vec<&DigestSlot> = trust.slots().filter(|slot| !slot.revoked).collect();
        assert_eq!(trusted.len(), 1, "{chip}: {trust:?}");
        assert!(trusted[0].holds(&digest(name)) && trusted[0].index == 0, "{chip}");
        assert!(!trusted[0].holds(&digest("rsa3072_b")), "{chip}");
        let revoked: Vec<&DigestSlot> = trust.slots().filter(|slot| slot.revoked).collect();
        let several = !matches!(chip, Chip::Esp32 | Chip::Esp32C2);
        assert_eq!(revoked.len(), usize::from(several), "{chip}");
        assert!(revoked.iter().all(|slot| slot.holds(&digest("rsa3072_b")) && slot.index == 2), "{chip}");
        assert_eq!(matches!(trusted[0].digest, SlotDigest::Half(_)), chip == Chip::Esp32C2);
        if let Some(needed) = needs_revision(chip, scheme) {
            assert!((chip, needed) == (Chip::Esp32, ChipRevision(300)) && image.revision() >= needed, "{chip}");
        }
        println!("{chip}: {scheme}, {} slot(s) in use, {} revoked", trust.slots().count(), revoked.len());
    }
}

#[test]
fn the_key_of_secure_boot_v1_is_no_digest() {
    let dir = temp_dir();
    let file = dir.path().join("esp32.bin");
    espefuse(Chip::Esp32, &file, "burn-key secure_boot_v1 VECTORS/keys/sbv1_key_256.bin").accepted();
    let (_, hidden) = trust(Chip::Esp32, &file);
    assert!(hidden.slots().all(|slot| slot.digest == SlotDigest::Hidden) && hidden.enabled.is_none(), "{hidden:?}");
    espefuse(Chip::Esp32, &file, "burn-efuse ABS_DONE_0 1").accepted();
    let (_, v1) = trust(Chip::Esp32, &file);
    assert_eq!((v1.enabled, v1.slots().count()), (Some(Version::V1), 0));
}

#[test]
fn a_digest_that_is_read_protected_is_said_to_be_hidden() {
    let dir = temp_dir();
    let file = dir.path().join("s3.bin");
    let chip = Chip::Esp32S3;
    espefuse(chip, &file, "burn-key BLOCK_KEY0 VECTORS/sbv2/digest-rsa3072_a.bin SECURE_BOOT_DIGEST0").accepted();
    espefuse(chip, &file, "burn-efuse RD_DIS 1").accepted();
    let (_, trust) = trust(chip, &file);
    let slot = trust.slots().next().unwrap();
    assert_eq!((slot.digest, slot.holds(&digest("rsa3072_a"))), (SlotDigest::Hidden, false));
}

#[test]
fn sha384_is_read_where_the_chip_has_it() {
    let dir = temp_dir();
    let file = dir.path().join("c5.bin");
    espefuse(Chip::Esp32C5, &file, "burn-key BLOCK_KEY0 VECTORS/sbv2/digest-ecdsa_p384.bin SECURE_BOOT_DIGEST0")
        .accepted();
    assert_eq!(trust(Chip::Esp32C5, &file).1.sha384, Some(false));
    espefuse(Chip::Esp32C5, &file, "burn-efuse SECURE_BOOT_SHA384_EN 1").accepted();
    assert_eq!(trust(Chip::Esp32C5, &file).1.sha384, Some(true));
    for chip in Chip::ALL {
        let has = matches!(chip, Chip::Esp32C5 | Chip::Esp32H4 | Chip::Esp32S31);
        assert_eq!(EfuseTrust::of(&EfuseImage::blank(chip)).sha384.is_some(), has, "{chip}");
    }
}
