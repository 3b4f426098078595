//! Every rule by the smallest change to a clean chip that breaks it, and clean chips of every kind without a finding.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_formats::chip::Chip;
use cotter_formats::efuse::lint::{Expectation, Finding, Fix, Rule, Severity, findings};
use cotter_formats::efuse::release::{Features, Scheme, Want, download_modes, requirements};
use cotter_formats::efuse::{EfuseBlock, EfuseImage, EfuseMap, Family, KeyPurpose};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// A chip under test: an image whose bits go both ways.
#[derive(Clone)]
struct Bench(EfuseImage);

impl Bench {
    fn blank(chip: Chip) -> Self {
        Self(EfuseImage::blank(chip))
    }

    fn map(&self) -> EfuseMap {
        *self.0.map()
    }

    fn write(&mut self, name: &str, value: u32) -> &mut Self {
        let field = *self.map().field(name).expect(name);
        let block = self.0.block_mut(field.block).unwrap();
        for index in 0..field.len {
            let bit = usize::from(field.bit + index);
            let on = u8::from(value.checked_shr(index.into()).unwrap_or(0) & 1 == 1);
            block[bit / 8] = block[bit / 8] & !(1 << (bit % 8)) | on << (bit % 8);
        }
        self
    }

    fn value(&self, name: &str) -> u32 {
        self.0.value_named(name).unwrap()
    }

    fn freeze(&mut self, name: &str) -> &mut Self {
        let bit = self.map().field(name).unwrap().write_protect_bit.unwrap();
        let value = self.value("WR_DIS") | 1 << bit;
        self.write("WR_DIS", value)
    }

    fn thaw(&mut self, name: &str) -> &mut Self {
        let bit = self.map().field(name).unwrap().write_protect_bit.unwrap();
        let value = self.value("WR_DIS") & !(1 << bit);
        self.write("WR_DIS", value)
    }

    fn protect_block(&mut self, block: EfuseBlock, frozen: bool) -> &mut Self {
        let bit = self.map().block(block).unwrap().write_protect_bit.unwrap();
        let value = self.value("WR_DIS") & !(1 << bit) | u32::from(frozen) << bit;
        self.write("WR_DIS", value)
    }

    fn fill(&mut self, block: EfuseBlock, data: &[u8]) -> &mut Self {
        self.0.block_mut(block).unwrap().iter_mut().zip(data).for_each(|(byte, new)| *byte = *new);
        self
    }

    /// Hidden as the registers show it: all zeros.
    fn hide(&mut self, block: EfuseBlock) -> &mut Self {
        let mask = self.map().block(block).unwrap().read_protect_mask;
        let value = self.value("RD_DIS") | u32::from(mask);
        self.fill(block, &[0; 32]).write("RD_DIS", value)
    }

    fn show(&mut self, block: EfuseBlock, data: &[u8]) -> &mut Self {
        let mask = self.map().block(block).unwrap().read_protect_mask;
        let value = self.value("RD_DIS") & !u32::from(mask);
        self.fill(block, data).write("RD_DIS", value)
    }

    fn purpose(&mut self, index: u8, purpose: u8) -> &mut Self {
        let fields = self.map().key_purpose_fields(key(index)).unwrap();
        self.write(fields.0.name, u32::from(purpose) & fields.0.all_ones())
    }

    /// A key with everything that belongs to it: random, protected.
    fn burned(&mut self, index: u8, purpose: KeyPurpose) -> &mut Self {
        let fields = self.map().key_purpose_fields(key(index)).unwrap();
        self.purpose(index, purpose.0).freeze(fields.0.name).protect_block(key(index), true);
        if purpose.wants_read_protection() { self.hide(key(index)) } else { self.fill(key(index), &random(index)) }
    }

    /// Nothing, not even protection.
    fn removed(&mut self, index: u8) -> &mut Self {
        let fields = self.map().key_purpose_fields(key(index)).unwrap();
        self.purpose(index, 0).thaw(fields.0.name).protect_block(key(index), false).show(key(index), &[0; 32])
    }

    fn findings(&self, expectation: &Expectation) -> Vec<Finding> {
        findings(&self.0, expectation)
    }
}

fn key(index: u8) -> EfuseBlock {
    EfuseBlock::key(index).unwrap()
}

/// As good as random: a hash.
fn random(seed: u8) -> [u8; 32] {
    Sha256::digest([seed]).into()
}

const BOTH: Features = Features { flash_encryption: true, secure_boot: Some(Scheme::V2) };

/// A chip in release mode, of unknown revision.
fn release(chip: Chip) -> Bench {
    with(chip, BOTH)
}

fn with(chip: Chip, features: Features) -> Bench {
    let mut bench = Bench::blank(chip);
    match bench.map().family {
        Family::Esp32 => {
            if features.flash_encryption {
                bench.protect_block(EfuseBlock(1), true).hide(EfuseBlock(1));
            }
            match features.secure_boot {
                Some(Scheme::V1) => bench.protect_block(EfuseBlock(2), true).hide(EfuseBlock(2)),
                Some(_) => bench.protect_block(EfuseBlock(2), true).fill(EfuseBlock(2), &random(0)),
                None => &mut bench,
            };
        }
        Family::Esp32C2 => {
            let mut data = [0; 32];
            data[16..].copy_from_slice(&random(0)[..16]);
            bench.fill(EfuseBlock(3), &data).write("RD_DIS", 0b01).protect_block(EfuseBlock(3), true);
        }
        Family::Many => {
            if features.secure_boot.is_some() {
                bench.burned(0, KeyPurpose::SECURE_BOOT_DIGEST0);
                bench.write("SECURE_BOOT_KEY_REVOKE1", 1).write("SECURE_BOOT_KEY_REVOKE2", 1);
            }
            if features.flash_encryption {
                bench.burned(1, KeyPurpose::XTS_AES_128_KEY);
            }
        }
    }
    for line in requirements(&bench.map(), None, &features) {
        match line.want {
            Want::Value(value) | Want::AtLeast(value) => bench.write(line.field, value),
            Want::Counter => {
                let all = bench.map().field(line.field).unwrap().all_ones();
                bench.write(line.field, all)
            }
            Want::Frozen | Want::FrozenOr(_) => bench.freeze(line.field),
        };
    }
    if !matches!(features.secure_boot, Some(Scheme::V1)) {
        bench.write(download_modes(chip).last().unwrap(), 1);
    }
    bench
}

/// With a flash key of 256 bits.
fn release_256(chip: Chip) -> Bench {
    let mut bench = release(chip);
    bench.burned(1, KeyPurpose::XTS_AES_256_KEY_1).burned(2, KeyPurpose::XTS_AES_256_KEY_2);
    bench
}

fn flash_only(chip: Chip) -> Bench {
    with(chip, Features { secure_boot: None, ..BOTH })
}

fn boot_v1() -> Bench {
    with(Chip::Esp32, Features { secure_boot: Some(Scheme::V1), ..BOTH })
}

fn texts(found: &[Finding]) -> Vec<String> {
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn a_release_chip_of_any_kind_is_clean() {
    for chip in Chip::ALL {
        let found = release(chip).findings(&Expectation::RELEASE);
        assert!(found.is_empty(), "{chip}: {:#?}", texts(&found));
        let found = flash_only(chip).findings(&Expectation { secure_boot: false, ..Expectation::RELEASE });
        let harmless = chip == Chip::Esp32C2; // its one block always holds both in these tests
        assert!(found.is_empty() || harmless, "{chip}: {:#?}", texts(&found));
    }
    for chip in [Chip::Esp32S2, Chip::Esp32S3, Chip::Esp32H4, Chip::Esp32P4, Chip::Esp32S31] {
        assert_eq!(release_256(chip).findings(&Expectation::RELEASE), [], "{chip}");
    }
    assert_eq!(boot_v1().findings(&Expectation::RELEASE), []);
}

#[test]
fn a_blank_chip_is_open_but_not_broken() {
    for chip in Chip::ALL {
        let found = Bench::blank(chip).findings(&Expectation::RELEASE);
        assert!(found.iter().all(|finding| finding.severity == Severity::Open), "{chip}: {:#?}", texts(&found));
        assert!(found.iter().all(|finding| matches!(finding.fix, Fix::Burn(_))), "{chip}: {:#?}", texts(&found));
        let has = |rule| found.iter().any(|finding| finding.rule == rule);
        assert!(has(Rule::SecureBootOff) && has(Rule::FlashEncryptionOff) && has(Rule::JtagOpen), "{chip}");
    }
}

/// A smallest change to a clean chip, what it is held against, and the codes that must come of it: the first is the rule
/// that is shown, others cannot be kept apart from it.
type Case = (&'static [Rule], Bench, Expectation);

fn case(rules: &'static [Rule], mut bench: Bench, change: impl FnOnce(&mut Bench)) -> Case {
    change(&mut bench);
    (rules, bench, Expectation::RELEASE)
}

#[expect(clippy::too_many_lines, reason = "one line or two for each rule")]
fn cases() -> Vec<Case> {
    use Chip::*;
    use Rule::*;
    let c3 = || release(Esp32C3);
    let without_secure_boot = Expectation { secure_boot: false, ..Expectation::RELEASE };
    let mut cases = vec![
        case(&[SecureBootNoDigest], c3(), |bench| _ = bench.removed(0)),
        case(&[SecureBootNoDigest], release(Esp32), |bench| _ = bench.fill(EfuseBlock(2), &[0; 32])),
        case(&[SecureBootNoDigest], release(Esp32C2), |bench| _ = bench.fill(EfuseBlock(3), &[0; 32])),
        case(&[SecureBootAllRevoked], c3(), |bench| _ = bench.write("SECURE_BOOT_KEY_REVOKE0", 1)),
        case(&[DigestReadProtected], c3(), |bench| _ = bench.hide(key(0))),
        case(&[DigestReadProtected], release(Esp32), |bench| _ = bench.hide(EfuseBlock(2))),
        case(&[DigestReadProtected], release(Esp32C2), |bench| _ = bench.hide(EfuseBlock(3))),
        case(&[DigestEmpty], c3(), |bench| _ = bench.fill(key(0), &[0; 32])),
        case(&[DigestImplausible], c3(), |bench| _ = bench.fill(key(0), &[0x66; 32])),
        case(&[SecureBootV1NoKey], boot_v1(), |bench| {
            _ = bench.show(EfuseBlock(2), &[0; 32]).protect_block(EfuseBlock(2), false);
        }),
        case(&[SecureBootCodingScheme], release(Esp32), |bench| _ = bench.write("CODING_SCHEME", 1)),
        case(&[CodingSchemeUnsupported], boot_v1(), |bench| _ = bench.write("CODING_SCHEME", 2)),
        case(&[FlashKeyMissing], c3(), |bench| _ = bench.removed(1)),
        case(&[FlashKeyMissing], boot_v1(), |bench| {
            _ = bench.show(EfuseBlock(1), &[0; 32]).protect_block(EfuseBlock(1), false);
        }),
        case(&[FlashKeyHalfMissing], release_256(Esp32S3), |bench| _ = bench.removed(2)),
        case(&[FlashKeySizesMixed], release_256(Esp32S3), |bench| _ = bench.burned(3, KeyPurpose::XTS_AES_128_KEY)),
        case(&[FlashKeyOverridden], release(Esp32C5), |bench| _ = bench.write("FORCE_USE_KEY_MANAGER_KEY", 2)),
        case(&[Key5Quirk], c3(), |bench| _ = bench.removed(1).burned(5, KeyPurpose::XTS_AES_128_KEY)),
        case(&[Key5Quirk], release(Esp32H2), |bench| _ = bench.burned(5, KeyPurpose::ECDSA_KEY_P256)),
        case(&[KeyLengthTakesDigest], release(Esp32C2), |bench| _ = bench.write("XTS_KEY_LENGTH_256", 1)),
        case(&[CryptCntFrozenEven], c3(), |bench| {
            _ = bench.write("SPI_BOOT_CRYPT_CNT", 3).freeze("SPI_BOOT_CRYPT_CNT");
        }),
        case(&[CacheDisabled], c3(), |bench| _ = bench.write("DIS_ICACHE", 1)),
        case(&[CacheDisabled], release(Esp32), |bench| _ = bench.write("DIS_CACHE", 1)),
        case(&[UsbJtagRomBug], release(Esp32S3), |bench| _ = bench.write("DIS_USB_SERIAL_JTAG", 1)),
        case(&[EcdsaHalfMissing], release(Esp32C5), |bench| _ = bench.burned(3, KeyPurpose::ECDSA_KEY_P384_L)),
        case(&[BlockDamaged], c3(), |bench| bench.0.set_register(0x1c0, 0x0008_0000).unwrap()),
        case(&[BlockDamaged], release(Esp32), |bench| bench.0.set_register(0x11c, 1).unwrap()),
        case(&[SecureBootOff], c3(), |bench| _ = bench.write("SECURE_BOOT_EN", 0)),
        case(&[SecureBootOff], release(Esp32), |bench| _ = bench.write("ABS_DONE_1", 0)),
        case(&[SecureBootV2Unsupported], release(Esp32), |bench| _ = bench.write("MAC_CRC", 1).write_mac()),
        case(&[DigestSlotOpen], c3(), |bench| _ = bench.write("SECURE_BOOT_KEY_REVOKE2", 0)),
        case(&[RdDisOpen], c3(), |bench| _ = bench.thaw("RD_DIS")),
        case(&[RdDisLockedEarly], c3(), |bench| _ = bench.show(key(1), &random(1))),
        case(&[RdDisLockedEarly, FlashEncryptionOff], c3(), |bench| {
            _ = bench.removed(1).write("SPI_BOOT_CRYPT_CNT", 0);
        }),
        case(&[FlashEncryptionOff], c3(), |bench| _ = bench.write("SPI_BOOT_CRYPT_CNT", 0)),
        case(&[FlashEncryptionDevelopment], c3(), |bench| _ = bench.write("SPI_BOOT_CRYPT_CNT", 1)),
        case(&[FlashEncryptionDevelopment], release(Esp32), |bench| _ = bench.write("FLASH_CRYPT_CNT", 0b1_1111)),
        case(&[CryptCntEven], c3(), |bench| _ = bench.write("SPI_BOOT_CRYPT_CNT", 3)),
        case(&[CryptConfig], release(Esp32), |bench| _ = bench.write("FLASH_CRYPT_CONFIG", 0)),
        case(&[CryptKeyLengthOpen], release(Esp32C2), |bench| _ = bench.thaw("XTS_KEY_LENGTH_256")),
        case(&[ManualEncryptOpen], c3(), |bench| _ = bench.write("DIS_DOWNLOAD_MANUAL_ENCRYPT", 0)),
        case(&[DownloadDecryptOpen], release(Esp32), |bench| _ = bench.write("DISABLE_DL_DECRYPT", 0)),
        case(&[DownloadCacheOpen], release(Esp32S2), |bench| _ = bench.write("DIS_DOWNLOAD_DCACHE", 0)),
        case(&[DownloadFlashOpen], release(Esp32P4), |bench| _ = bench.write("SPI_DOWNLOAD_MSPI_DIS", 0)),
        case(&[DownloadModeOpen], c3(), |bench| _ = bench.write("ENABLE_SECURITY_DOWNLOAD", 0)),
        case(&[DownloadModeOpen], release(Esp32), |bench| _ = bench.write("UART_DOWNLOAD_DIS", 0)),
        case(&[ConsoleOpen], release(Esp32), |bench| _ = bench.write("CONSOLE_DEBUG_DISABLE", 0)),
        case(&[JtagOpen], c3(), |bench| _ = bench.write("DIS_USB_JTAG", 0)),
        case(&[JtagOpen], c3(), |bench| {
            // A key, but not all bits: ESP-IDF does not count it.
            _ = bench.burned(3, KeyPurpose::HMAC_DOWN_JTAG).write("SOFT_DIS_JTAG", 1).write("DIS_USB_JTAG", 0);
        }),
        case(&[SoftJtagWithoutKey], c3(), |bench| _ = bench.write("DIS_PAD_JTAG", 0).write("SOFT_DIS_JTAG", 7)),
        case(&[SoftJtagEven], c3(), |bench| _ = bench.write("DIS_PAD_JTAG", 0).write("SOFT_DIS_JTAG", 3)),
        case(&[DirectBootOpen], c3(), |bench| _ = bench.write("DIS_DIRECT_BOOT", 0)),
        case(&[DirectBootOpen], release(Esp32S2), |bench| _ = bench.write("DIS_LEGACY_SPI_BOOT", 0)),
        case(&[BootRemapOpen], release(Esp32S2), |bench| _ = bench.write("DIS_BOOT_REMAP", 0)),
        case(&[CacheBitOpen], c3(), |bench| _ = bench.thaw("DIS_ICACHE")),
        case(&[PseudoRoundsOff], release(Esp32C5), |bench| _ = bench.write("XTS_DPA_PSEUDO_LEVEL", 0)),
        case(&[CurveModeOpen], release(Esp32H2), |bench| _ = bench.thaw("ECDSA_CURVE_MODE")),
        case(&[Sha384Open], release(Esp32C5), |bench| _ = bench.thaw("SECURE_BOOT_SHA384_EN")),
        case(&[KeyNotFrozen], c3(), |bench| _ = bench.protect_block(key(1), false)),
        case(&[KeyNotFrozen], release(Esp32), |bench| _ = bench.protect_block(EfuseBlock(2), false)),
        case(&[PurposeNotFrozen], c3(), |bench| _ = bench.thaw("KEY_PURPOSE_1")),
        case(&[KeyEmpty], c3(), |bench| _ = bench.burned(3, KeyPurpose::HMAC_UP).show(key(3), &[0; 32])),
        case(&[SecureVersionNotUnary], c3(), |bench| _ = bench.write("SECURE_VERSION", 8)),
        case(&[SecureVersionFrozen], c3(), |bench| _ = bench.write("SECURE_VERSION", 3).freeze("SECURE_VERSION")),
        case(&[DownloadModesBoth], c3(), |bench| _ = bench.write("DIS_DOWNLOAD_MODE", 1)),
        case(&[AggressiveRevokeOneKey], c3(), |bench| _ = bench.write("SECURE_BOOT_AGGRESSIVE_REVOKE", 1)),
        case(&[DigestDuplicate], c3(), |bench| {
            bench.burned(2, KeyPurpose::SECURE_BOOT_DIGEST1).fill(key(2), &random(0));
            _ = bench.write("SECURE_BOOT_KEY_REVOKE1", 0);
        }),
        case(&[KeyWithoutPurpose], c3(), |bench| _ = bench.fill(key(3), &random(3))),
        case(&[PurposeUnknown], c3(), |bench| _ = bench.burned(3, KeyPurpose::XTS_AES_256_KEY_1)),
        case(&[CryptConfigHidden], release(Esp32), |bench| {
            let hidden = bench.value("RD_DIS") | 1 << 3;
            _ = bench.write("FLASH_CRYPT_CONFIG", 0).write("RD_DIS", hidden);
        }),
        case(&[Sha384Only], release(Esp32C5), |bench| _ = bench.write("SECURE_BOOT_SHA384_EN", 1)),
    ];
    let with = |cases: &mut Vec<Case>, rules, mut bench: Bench, expectation, change: &dyn Fn(&mut Bench)| {
        change(&mut bench);
        cases.push((rules, bench, expectation));
    };
    with(&mut cases, &[KeyReadable], flash_only(Esp32C3), without_secure_boot, &|bench| {
        _ = bench.show(key(1), &random(1));
    });
    with(&mut cases, &[KeyWeak, KeyReadable], flash_only(Esp32C3), without_secure_boot, &|bench| {
        _ = bench.show(key(1), &[7; 32]);
    });
    with(&mut cases, &[KeyDuplicate, KeyReadable], flash_only(Esp32C3), without_secure_boot, &|bench| {
        bench.burned(3, KeyPurpose::HMAC_UP).show(key(1), &random(1)).show(key(3), &random(1));
    });
    with(&mut cases, &[ReleaseSettingsMissing], c3(), Expectation::DEVELOPMENT, &|bench| {
        _ = bench.write("SPI_BOOT_CRYPT_CNT", 1).write("DIS_PAD_JTAG", 0);
    });
    with(&mut cases, &[DevelopmentLocked], c3(), Expectation::DEVELOPMENT, &|_| {});
    cases
}

impl Bench {
    /// A chip that has left Espressif's factory, of revision v0.
    fn write_mac(&mut self) -> &mut Self {
        let field = *self.map().field("MAC").unwrap();
        field.merge_bytes(&[1, 2, 3, 4, 5, 6], self.0.block_mut(field.block).unwrap()).unwrap();
        self
    }
}

#[test]
fn every_rule_is_broken_by_its_change_and_by_nothing_else() {
    let mut shown = BTreeSet::new();
    for (rules, bench, expectation) in cases() {
        let found = bench.findings(&expectation);
        let codes: BTreeSet<_> = found.iter().map(|finding| finding.rule.code()).collect();
        let expected: BTreeSet<_> = rules.iter().map(|rule| rule.code()).collect();
        assert_eq!(codes, expected, "{}: {:#?}", bench.map().chip, texts(&found));
        shown.insert(rules[0].code());
        let of_rule = found.iter().find(|finding| finding.rule == rules[0]).unwrap();
        assert_eq!(of_rule.severity, of_rule.rule.severity(), "{of_rule}");
    }
    for rule in Rule::ALL {
        assert!(shown.contains(rule.code()), "{rule} has no case");
    }
}

#[test]
fn a_soft_lock_with_its_key_is_as_good_as_a_hard_one() {
    let mut bench = release(Chip::Esp32C3);
    bench.burned(3, KeyPurpose::HMAC_DOWN_JTAG).write("SOFT_DIS_JTAG", 7);
    bench.write("DIS_PAD_JTAG", 0).write("DIS_USB_JTAG", 0);
    assert_eq!(bench.findings(&Expectation::RELEASE), []);
}

#[test]
fn what_is_frozen_cannot_be_mended_and_the_reason_names_the_shared_bit() {
    let mut bench = release(Chip::Esp32C3);
    bench.write("DIS_PAD_JTAG", 0);
    let found = bench.findings(&Expectation::RELEASE);
    // DIS_ICACHE was frozen with its list, and with it everything behind WR_DIS bit 2.
    let Fix::Impossible(reason) = &found[0].fix else { panic!("{:?}", found[0]) };
    assert!(reason.contains("WR_DIS bit 2") && reason.contains("DIS_ICACHE"), "{reason}");
    bench.thaw("DIS_ICACHE");
    let found = bench.findings(&Expectation::RELEASE);
    let jtag = found.iter().find(|finding| finding.rule == Rule::JtagOpen).unwrap();
    assert_eq!(jtag.fix, Fix::Burn("burn DIS_PAD_JTAG 0x1, from firmware: the loader is closed".into()));
}

#[test]
fn freezing_the_counter_of_an_esp32_keeps_its_loader_open_for_ever() {
    let mut bench = release(Chip::Esp32);
    bench.write("UART_DOWNLOAD_DIS", 0).freeze("FLASH_CRYPT_CNT");
    let found = bench.findings(&Expectation::RELEASE);
    let loader = found.iter().find(|finding| finding.rule == Rule::DownloadModeOpen).unwrap();
    assert!(matches!(&loader.fix, Fix::Impossible(reason) if reason.contains("FLASH_CRYPT_CNT")), "{loader}");
}

#[test]
fn every_setting_of_a_release_chip_matters() {
    for chip in Chip::ALL {
        let clean = release(chip);
        let settings = clean.0.block(EfuseBlock::SETTINGS).unwrap().to_vec();
        for bit in (0..8 * settings.len()).filter(|bit| settings[bit / 8] >> (bit % 8) & 1 == 1) {
            let mut bench = clean.clone();
            bench.0.block_mut(EfuseBlock::SETTINGS).unwrap()[bit / 8] &= !(1 << (bit % 8));
            let found = bench.findings(&Expectation::RELEASE);
            assert!(!found.is_empty(), "{chip}: bit {bit} can be missing without a finding");
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_registers_are_judged(chip in 0..Chip::ALL.len(), seed: [u8; 32], density in 0u8..4) {
        let mut image = EfuseImage::blank(Chip::ALL[chip]);
        let mut state = seed;
        for offset in (0..image.registers().len()).step_by(4) {
            state = Sha256::digest(state).into();
            let mut word = u32::MAX;
            for part in state.chunks_exact(4).take(density.into()) {
                word &= u32::from_le_bytes(part.try_into().unwrap());
            }
            image.set_register(offset, word).unwrap();
        }
        let image = image.with_map_of_its_revision();
        for expectation in [Expectation::RELEASE, Expectation::DEVELOPMENT] {
            let found = findings(&image, &expectation);
            proptest::prop_assert!(found.is_sorted_by_key(|finding| finding.severity));
        }
    }
}
