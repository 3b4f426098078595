//! Plans for every chip: what they reach, in which order, and what they refuse.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_factory::efuse::{
    Burn, Curve, DownloadMode, EfusePlan, EfusePolicy, FlashEncryptionMode, JtagMode, NvsMode, OrderRule, PolicyError,
    ProductProfile, SecureBootMode, StageName, Wishes, build, order_findings, outcome,
};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::lint::{Expectation, Rule, Severity, findings};
use cotter_formats::efuse::{ChipRevision, EfuseBlock, EfuseImage, EfuseMap};

/// Chips on which ESP-IDF supports Secure Boot.
const SIGNED: [Chip; 12] = [
    Chip::Esp32,
    Chip::Esp32S2,
    Chip::Esp32S3,
    Chip::Esp32C2,
    Chip::Esp32C3,
    Chip::Esp32C5,
    Chip::Esp32C6,
    Chip::Esp32C61,
    Chip::Esp32H2,
    Chip::Esp32H21,
    Chip::Esp32P4,
    Chip::Esp32S31,
];

fn plan_from(image: &EfuseImage, wishes: &Wishes) -> EfusePlan {
    let chip = image.map().chip;
    let policy = EfusePolicy::of(chip, wishes).unwrap_or_else(|error| unreachable!("{chip}: {error}"));
    build(&policy, image).unwrap_or_else(|error| unreachable!("{chip}: {error}"))
}

fn plan(chip: Chip, wishes: &Wishes) -> EfusePlan {
    plan_from(&EfuseImage::blank(chip), wishes)
}

fn after(chip: Chip, wishes: &Wishes) -> EfuseImage {
    outcome(&plan(chip, wishes), &EfuseImage::blank(chip)).unwrap()
}

fn everything() -> Wishes {
    Wishes { digests: Some(2), nvs: Some(NvsMode::Hmac), ds: Some(1), anti_rollback: Some(3), ..Wishes::default() }
}

#[test]
fn a_release_plan_leaves_nothing_for_the_lint_to_find_on_any_chip() {
    for chip in SIGNED {
        let after = after(chip, &Wishes::default());
        assert_eq!(findings(&after, &Expectation::RELEASE), [], "{chip}");
    }
    let h4 = Wishes { secure_boot: Some(SecureBootMode::Off), ..Wishes::default() };
    let expectation = Expectation { secure_boot: false, ..Expectation::RELEASE };
    assert_eq!(findings(&after(Chip::Esp32H4, &h4), &expectation), []);
    for chip in [Chip::Esp32S2, Chip::Esp32S3, Chip::Esp32P4, Chip::Esp32S31] {
        let wishes = Wishes { key_size: Some(256), ..Wishes::default() };
        assert_eq!(findings(&after(chip, &wishes), &Expectation::RELEASE), [], "{chip}");
    }
    let v1 = Wishes { secure_boot: Some(SecureBootMode::V1), ..Wishes::default() };
    assert_eq!(findings(&after(Chip::Esp32, &v1), &Expectation::RELEASE), []);
}

#[test]
fn a_full_plan_leaves_nothing_to_find_either_and_its_order_is_safe() {
    for chip in [Chip::Esp32S3, Chip::Esp32C3, Chip::Esp32C6, Chip::Esp32H2, Chip::Esp32C5, Chip::Esp32P4] {
        let plan = plan(chip, &everything());
        let blank = EfuseImage::blank(chip);
        assert_eq!(order_findings(&plan, &blank), [], "{chip}");
        let found = findings(&outcome(&plan, &blank).unwrap(), &Expectation::RELEASE);
        assert_eq!(found, [], "{chip}");
        let stages: Vec<_> = plan.stages.iter().map(|stage| stage.stage).collect();
        assert!(stages.is_sorted() && stages.len() == 5, "{chip}: {stages:?}");
        let last = plan.burns().last().unwrap().1;
        assert_eq!(last.name(), "ENABLE_SECURITY_DOWNLOAD", "{chip}");
    }
}

#[test]
fn a_development_plan_breaks_nothing_and_can_be_released_later() {
    for chip in SIGNED {
        let wishes = Wishes { profile: Some(ProductProfile::Development), ..Wishes::default() };
        let developing = after(chip, &wishes);
        let found = findings(&developing, &Expectation::DEVELOPMENT);
        let advice = found.iter().all(|finding| finding.severity == Severity::Advice);
        assert!(advice || chip == Chip::Esp32C2, "{chip}: {found:#?}");
        if chip == Chip::Esp32C2 {
            // Its one key block is spent: Secure Boot comes with flash encryption or never.
            let policy = EfusePolicy::of(chip, &Wishes::default()).unwrap();
            assert!(build(&policy, &developing).unwrap_err().to_string().contains("BLOCK_KEY0"));
            continue;
        }
        let release = plan_from(&developing, &Wishes::default());
        assert!(!release.already.is_empty());
        let found = findings(&outcome(&release, &developing).unwrap(), &Expectation::RELEASE);
        assert_eq!(found, [], "{chip}");
    }
}

#[test]
fn burning_a_plan_twice_is_refused_or_does_nothing() {
    for chip in SIGNED.into_iter().filter(|chip| *chip != Chip::Esp32C2) {
        let after = after(chip, &Wishes::default());
        let again = plan_from(&after, &Wishes::default());
        let burns: Vec<_> = again.burns().map(|(_, burn)| burn.name().to_owned()).collect();
        assert!(burns.is_empty(), "{chip}: {burns:?}");
    }
}

#[test]
fn a_plan_survives_json() {
    for chip in SIGNED {
        let plan = plan(chip, &Wishes::default());
        let json = serde_json::to_vec(&plan).unwrap();
        assert_eq!(EfusePlan::from_json(&json).unwrap(), plan);
    }
    let error = EfusePlan::from_json(br#"{"format":"cotter-efuse-plan/1"}"#).unwrap_err();
    assert!(error.to_string().contains("missing field"), "{error}");
}

#[test]
fn keys_that_cannot_sit_in_key5_choose_first_when_there_is_no_room() {
    // Six keys on a chip with the defect: three digests, the flash key, two HMAC keys.
    let wishes = Wishes { digests: Some(3), nvs: Some(NvsMode::Hmac), ds: Some(1), ..Wishes::default() };
    for chip in [Chip::Esp32C3, Chip::Esp32C6, Chip::Esp32S3] {
        let plan = plan(chip, &wishes);
        let holder = |wanted: &str| {
            plan.burns().find_map(|(_, burn)| match burn {
                Burn::Key { block, purpose, .. } if purpose == wanted => Some(block.clone()),
                _ => None,
            })
        };
        assert!(holder("XTS_AES_128_KEY").is_some_and(|block| block != "BLOCK_KEY5"), "{chip}");
        assert_eq!(plan.burns().filter(|(_, burn)| matches!(burn, Burn::Key { .. })).count(), 6);
        assert_eq!(findings(&outcome(&plan, &EfuseImage::blank(chip)).unwrap(), &Expectation::RELEASE), []);
    }
    // H2: neither the flash key nor the ECDSA key.
    let wishes = Wishes { ecdsa: Some(vec![Curve::P256]), digests: Some(3), ds: Some(1), ..Wishes::default() };
    assert_eq!(findings(&after(Chip::Esp32H2, &wishes), &Expectation::RELEASE), []);
    // Seven keys are one too many.
    let wishes = Wishes { ds: Some(2), digests: Some(3), nvs: Some(NvsMode::Hmac), ..Wishes::default() };
    let policy = EfusePolicy::of(Chip::Esp32C3, &wishes).unwrap();
    let refused = build(&policy, &EfuseImage::blank(Chip::Esp32C3)).unwrap_err();
    assert!(refused.to_string().contains("no key block is free"), "{refused}");
}

#[test]
fn an_ecdsa_key_on_p384_takes_a_pair_of_blocks() {
    let wishes = Wishes { ecdsa: Some(vec![Curve::P384]), ..Wishes::default() };
    for chip in [Chip::Esp32C5, Chip::Esp32S31] {
        let plan = plan(chip, &wishes);
        let pair =
            plan.burns().filter(|(_, burn)| matches!(burn, Burn::Key { purpose, .. } if purpose.contains("P384")));
        assert_eq!(pair.count(), 2, "{chip}");
        assert_eq!(findings(&outcome(&plan, &EfuseImage::blank(chip)).unwrap(), &Expectation::RELEASE), []);
    }
    // Before v3.0 the purposes of the P4 have four bits.
    let refused = EfusePolicy::of(Chip::Esp32P4, &wishes).unwrap_err();
    assert_eq!(refused, PolicyError::Unsupported { chip: Chip::Esp32P4, what: "an ECDSA key on P-384" });
    let v3 = EfuseMap::of_revision(Chip::Esp32P4, ChipRevision(300));
    assert_eq!(EfusePolicy::of_map(&v3, &wishes).map(|policy| policy.ecdsa), Ok(vec![Curve::P384]));
}

#[test]
fn what_a_chip_cannot_do_is_refused_by_name() {
    let refused = |chip, wishes: Wishes| EfusePolicy::of(chip, &wishes).unwrap_err().to_string();
    let wish = Wishes::default;
    let cases = [
        (Chip::Esp32H4, wish(), "the esp32h4 does not support Secure Boot V2 with RSA-3072"),
        (Chip::Esp32C3, Wishes { secure_boot: Some(SecureBootMode::V1), ..wish() }, "Secure Boot V1 (ESP32 only)"),
        (Chip::Esp32C3, Wishes { key_size: Some(256), ..wish() }, "XTS-AES-256 with a key in eFuse"),
        (Chip::Esp32, Wishes { key_size: Some(128), ..wish() }, "flash encryption with a key of 128 bits"),
        (Chip::Esp32S3, Wishes { key_size: Some(192), ..wish() }, "there are 128 and 256"),
        (Chip::Esp32C2, Wishes { digests: Some(2), ..wish() }, "takes 1 to 1 digests, not 2"),
        (Chip::Esp32, Wishes { nvs: Some(NvsMode::Hmac), ..wish() }, "it has no HMAC peripheral"),
        (Chip::Esp32C61, Wishes { ds: Some(1), ..wish() }, "the Digital Signature peripheral"),
        (Chip::Esp32, Wishes { download: Some(DownloadMode::Secure), ..wish() }, "a secure download mode"),
        (Chip::Esp32C61, Wishes { jtag: Some(JtagMode::Soft), ..wish() }, "a soft lock of JTAG"),
        (Chip::Esp32C2, Wishes { anti_rollback: Some(5), ..wish() }, "SECURE_VERSION of the esp32c2 counts to 4"),
        (Chip::Esp32C3, Wishes { ecdsa: Some(vec![Curve::P256]), ..wish() }, "an ECDSA key on P-256"),
    ];
    for (chip, wishes, text) in cases {
        let message = refused(chip, wishes);
        assert!(message.contains(text), "{chip}: {message}");
    }
    let wishes =
        Wishes { nvs: Some(NvsMode::Flash), flash_encryption: Some(FlashEncryptionMode::Off), ..Wishes::default() };
    assert_eq!(EfusePolicy::of(Chip::Esp32C3, &wishes), Err(PolicyError::NvsNeedsFlashEncryption));
}

fn burned(chip: Chip, bits: &[(&str, u32)]) -> EfuseImage {
    let mut image = EfuseImage::blank(chip);
    for (name, value) in bits {
        let field = image.map().field(name).unwrap();
        field.merge(*value, image.block_mut(field.block).unwrap()).unwrap();
    }
    image
}

#[test]
fn what_is_no_longer_possible_is_refused_with_the_reason() {
    let c3 = Chip::Esp32C3;
    let policy = EfusePolicy::of(c3, &Wishes::default()).unwrap();
    let cases: [(&[(&str, u32)], &str); 7] = [
        (&[("WR_DIS", 1)], "RD_DIS is write-protected: a key that is burned now can never be hidden"),
        (&[("WR_DIS", 1 << 2)], "DIS_PAD_JTAG: it is write-protected by WR_DIS bit 2, which it shares with DIS_ICACHE"),
        (&[("WR_DIS", 1 << 15)], "SECURE_BOOT_EN: it is write-protected"),
        (&[("SPI_BOOT_CRYPT_CNT", 3), ("WR_DIS", 1 << 4)], "SPI_BOOT_CRYPT_CNT: it is write-protected"),
        (
            &[("SECURE_BOOT_KEY_REVOKE0", 1), ("SECURE_BOOT_KEY_REVOKE1", 1), ("SECURE_BOOT_KEY_REVOKE2", 1)],
            "1 digests are wanted, and only 0 slots are not revoked",
        ),
        (&[("KEY_PURPOSE_0", 9), ("RD_DIS", 1)], "the digest is read-protected"),
        (&[("KEY_PURPOSE_0", 9)], "its key is all zeros"),
    ];
    for (bits, text) in cases {
        let refused = build(&policy, &burned(c3, bits)).unwrap_err().to_string();
        assert!(refused.contains(text), "{bits:?}: {refused}");
    }
    let s3 = EfusePolicy::of(Chip::Esp32S3, &Wishes { key_size: Some(256), ..Wishes::default() }).unwrap();
    let refused = build(&s3, &burned(Chip::Esp32S3, &[("KEY_PURPOSE_4", 4)])).unwrap_err().to_string();
    assert!(refused.contains("a flash key of the other size"), "{refused}");
    let esp32 = EfusePolicy::of(Chip::Esp32, &Wishes::default()).unwrap();
    let refused = build(&esp32, &burned(Chip::Esp32, &[("WR_DIS", 1 << 2)])).unwrap_err().to_string();
    assert!(refused.contains("UART_DOWNLOAD_DIS") && refused.contains("FLASH_CRYPT_CNT"), "{refused}");
}

#[test]
fn a_revoked_slot_is_passed_over() {
    let image = burned(Chip::Esp32C3, &[("SECURE_BOOT_KEY_REVOKE0", 1)]);
    let plan = plan_from(&image, &Wishes::default());
    assert_eq!(plan.keys[0].name, "digest1");
    assert_eq!(findings(&outcome(&plan, &image).unwrap(), &Expectation::RELEASE), []);
}

#[test]
fn a_plan_in_the_wrong_order_is_caught_before_it_is_burned() {
    let chip = Chip::Esp32C3;
    let blank = EfuseImage::blank(chip);
    let good = plan(chip, &Wishes::default());
    let codes = |plan: &EfusePlan| {
        let mut codes: Vec<_> = order_findings(plan, &blank).iter().map(|finding| finding.rule).collect();
        codes.dedup();
        codes
    };
    assert_eq!(codes(&good), []);
    let swapped = |a: StageName, b: StageName| {
        let mut plan = good.clone();
        let at = |name| plan.stages.iter().position(|stage| stage.stage == name).unwrap();
        let (a, b) = (at(a), at(b));
        plan.stages.swap(a, b);
        plan
    };
    // RD_DIS is frozen before the flash key is hidden, and the loader is closed.
    let early = codes(&swapped(StageName::Keys, StageName::Locks));
    assert!(early.contains(&OrderRule::Impossible) && early.contains(&OrderRule::AfterLoader), "{early:?}");
    // Secure Boot is on before there is a digest.
    let enabled = codes(&swapped(StageName::Keys, StageName::Enables));
    assert!(enabled.contains(&OrderRule::BrickBetween) && enabled.contains(&OrderRule::BeforeContent), "{enabled:?}");
    // DIS_ICACHE is frozen, and with it DIS_PAD_JTAG.
    let frozen = swapped(StageName::Restrictions, StageName::Locks);
    let found = order_findings(&frozen, &blank);
    assert!(found.iter().any(|finding| finding.at == "DIS_USB_JTAG"), "{found:#?}");
    // Content after the enabling bits.
    assert_eq!(codes(&swapped(StageName::Content, StageName::Enables)), [OrderRule::BeforeContent]);
}

#[test]
fn open_wishes_are_named_as_what_stays_open() {
    let wishes = Wishes {
        jtag: Some(JtagMode::Open),
        download: Some(DownloadMode::Open),
        flash_encryption: Some(FlashEncryptionMode::Off),
        ..Wishes::default()
    };
    let plan = plan(Chip::Esp32C3, &wishes);
    let open = plan.open.join("\n");
    for name in ["DIS_PAD_JTAG", "SPI_BOOT_CRYPT_CNT", "ENABLE_SECURITY_DOWNLOAD"] {
        assert!(open.contains(name), "{name}: {open}");
    }
    let after = outcome(&plan, &EfuseImage::blank(Chip::Esp32C3)).unwrap();
    assert!(findings(&after, &Expectation::RELEASE).iter().any(|finding| finding.rule == Rule::JtagOpen));
}

#[test]
fn the_digest_halves_of_the_c2_are_burned_together() {
    let plan = plan(Chip::Esp32C2, &Wishes::default());
    let keys: Vec<_> = plan.burns().filter(|(_, burn)| matches!(burn, Burn::Key { .. })).collect();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|(stage, burn)| *stage == StageName::Keys && burn.name() == "BLOCK_KEY0"));
    let after = outcome(&plan, &EfuseImage::blank(Chip::Esp32C2)).unwrap();
    let block = after.block(EfuseBlock(3)).unwrap();
    assert!(block[..16] == [0; 16] && block[16..] != [0; 16]);
}
