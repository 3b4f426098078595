//! Release plans against the two checks that ESP-IDF's firmware makes, written down once more from its source and the
//! soc_caps.h of each chip: what a plan burns passes them, and what they do not ask for is named here.
//!
//! Source: ESP-IDF 6.2-dev at 10212290, `components/bootloader_support/src/{flash_encrypt,secure_boot}.c`.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_factory::efuse::{Burn, EfusePolicy, SecureBootMode, Wishes, build, outcome};
use cotter_formats::chip::Chip::{self, *};
use cotter_formats::efuse::{EfuseBlock, EfuseImage, Family, KeyPurpose};

/// `SOC_EFUSE_*` and the like, as each chip's soc_caps.h defines them.
fn caps(chip: Chip) -> &'static [&'static str] {
    match chip {
        Esp32 => &[],
        Esp32S2 => &["DL_ICACHE", "DL_DCACHE", "HARD_DIS_JTAG", "DIS_BOOT_REMAP", "DIS_LEGACY_SPI_BOOT", "DIS_ICACHE"],
        Esp32S3 => &["DL_ICACHE", "DL_DCACHE", "HARD_DIS_JTAG", "DIS_USB_JTAG", "DIS_DIRECT_BOOT", "DIS_ICACHE"],
        Esp32C2 => &["DL_ICACHE", "DIS_PAD_JTAG", "DIS_DIRECT_BOOT", "ONE_KEY_BLOCK", "DERIVED"],
        Esp32C3 | Esp32C6 => &["DL_ICACHE", "DIS_PAD_JTAG", "DIS_USB_JTAG", "DIS_DIRECT_BOOT", "DIS_ICACHE"],
        Esp32C5 => &["DIS_PAD_JTAG", "DIS_USB_JTAG", "DIS_DIRECT_BOOT", "DIS_ICACHE", "PSEUDO_ROUND", "P384_WR_DIS"],
        Esp32C61 => &["DIS_PAD_JTAG", "DIS_USB_JTAG", "DIS_DIRECT_BOOT", "DIS_ICACHE", "PSEUDO_ROUND"],
        Esp32H2 | Esp32H21 => {
            &["DIS_PAD_JTAG", "DIS_USB_JTAG", "DIS_DIRECT_BOOT", "DIS_ICACHE", "PSEUDO_ROUND", "P192_DISABLED"]
        }
        Esp32H4 => &["DIS_PAD_JTAG", "DIS_USB_JTAG", "DIS_DIRECT_BOOT", "PSEUDO_ROUND", "P384_WR_DIS"],
        Esp32P4 | Esp32S31 => &["DL_MSPI", "DIS_PAD_JTAG", "DIS_USB_JTAG", "DIS_DIRECT_BOOT", "PSEUDO_ROUND"],
    }
}

struct Device<'a>(&'a EfuseImage);

impl Device<'_> {
    fn bit(&self, name: &str) -> bool {
        self.0.value_named(name).is_some_and(|value| value != 0)
    }

    fn wr_dis(&self, name: &str) -> bool {
        !self.0.is_writable(self.0.map().field(name).unwrap())
    }

    fn has(&self, cap: &str) -> bool {
        caps(self.0.map().chip).contains(&cap)
    }

    /// The settings that both checks share.
    fn closed(&self) -> bool {
        let all = [
            "DIS_PAD_JTAG",
            "DIS_USB_JTAG",
            "HARD_DIS_JTAG",
            "DIS_DIRECT_BOOT",
            "DIS_BOOT_REMAP",
            "DIS_LEGACY_SPI_BOOT",
        ];
        all.into_iter().filter(|cap| self.has(cap)).all(|name| self.bit(name))
    }

    fn keys(&self, purpose: KeyPurpose) -> impl Iterator<Item = EfuseBlock> {
        let map = *self.0.map();
        map.key_blocks().filter(move |block| self.0.key_purpose(*block) == Some(purpose))
    }

    fn key_is_locked(&self, block: EfuseBlock) -> bool {
        let purpose = self.0.map().key_purpose_fields(block).is_none_or(|(field, _)| !self.0.is_writable(field));
        !self.0.is_block_writable(block) && purpose
    }

    /// `esp_flash_encryption_cfg_verify_release_mode`, and of `esp_get_flash_encryption_mode` what it adds.
    fn flash_encryption_release(&self) -> bool {
        let counter = |name: &str| {
            let field = self.0.map().field(name).unwrap();
            let value = self.0.value(field);
            value.count_ones() % 2 == 1 && (value == field.all_ones() || self.wr_dis(name))
        };
        let bits = |names: &[&str]| names.iter().all(|name| self.bit(name));
        if self.0.map().family == Family::Esp32 {
            let settings = [
                "DISABLE_DL_ENCRYPT",
                "DISABLE_DL_DECRYPT",
                "DISABLE_DL_CACHE",
                "JTAG_DISABLE",
                "CONSOLE_DEBUG_DISABLE",
            ];
            return counter("FLASH_CRYPT_CNT")
                && self.0.value_named("FLASH_CRYPT_CONFIG") == Some(0xf)
                && bits(&settings)
                && self.wr_dis("DIS_CACHE")
                && !self.0.is_block_readable(EfuseBlock(1))
                && !self.0.is_block_writable(EfuseBlock(1));
        }
        let loader = [
            ("DL_ICACHE", "DIS_DOWNLOAD_ICACHE"),
            ("DL_DCACHE", "DIS_DOWNLOAD_DCACHE"),
            ("DL_MSPI", "SPI_DOWNLOAD_MSPI_DIS"),
        ];
        let key = if self.has("ONE_KEY_BLOCK") {
            let low = self.0.value(self.0.map().rd_dis()) & 1 == 1;
            low && !self.0.is_block_writable(EfuseBlock(3))
        } else {
            let purposes = [KeyPurpose::XTS_AES_256_KEY_1, KeyPurpose::XTS_AES_256_KEY_2, KeyPurpose::XTS_AES_128_KEY];
            let blocks: Vec<_> = purposes.into_iter().flat_map(|purpose| self.keys(purpose)).collect();
            !blocks.is_empty()
                && blocks.iter().all(|block| !self.0.is_block_readable(*block) && self.key_is_locked(*block))
        };
        counter("SPI_BOOT_CRYPT_CNT")
            && self.bit("DIS_DOWNLOAD_MANUAL_ENCRYPT")
            && loader.into_iter().filter(|(cap, _)| self.has(cap)).all(|(_, name)| self.bit(name))
            && self.closed()
            && (!self.has("DIS_ICACHE") || self.wr_dis("DIS_ICACHE"))
            && (!self.has("DERIVED") || self.wr_dis("SPI_BOOT_CRYPT_CNT"))
            && key
            && (!self.has("PSEUDO_ROUND")
                || self.0.map().field("XTS_DPA_PSEUDO_LEVEL").is_none()
                || self.bit("XTS_DPA_PSEUDO_LEVEL"))
    }

    /// `esp_secure_boot_cfg_verify_release_mode`, without aggressive revocation and for SHA-256.
    fn secure_boot_release(&self) -> bool {
        if self.0.map().family == Family::Esp32 {
            let (v1, v2) = (self.bit("ABS_DONE_0"), self.bit("ABS_DONE_1"));
            let block = EfuseBlock(2);
            return (v2 || v1 && !self.0.is_block_readable(block))
                && !self.0.is_block_writable(block)
                && self.bit("JTAG_DISABLE")
                && self.bit("CONSOLE_DEBUG_DISABLE")
                && (!v2
                    || (self.bit("UART_DOWNLOAD_DIS") && self.wr_dis("RD_DIS") && self.0.is_block_readable(block)));
        }
        let digest = if self.has("ONE_KEY_BLOCK") {
            let high = self.0.value(self.0.map().rd_dis()) & 2 == 0;
            high && self.0.block(EfuseBlock(3)).unwrap()[16..] != [0; 16] && self.key_is_locked(EfuseBlock(3))
        } else {
            let digests = (0..).zip(KeyPurpose::SECURE_BOOT_DIGESTS);
            let trusted = digests.filter(|(slot, _)| self.0.value(&self.0.map().key_revokes[*slot]) == 0);
            let blocks: Vec<_> = trusted.flat_map(|(_, purpose)| self.keys(purpose)).collect();
            let whole =
                |block: &EfuseBlock| self.0.is_block_readable(*block) && self.0.block(*block).unwrap() != [0; 32];
            !blocks.is_empty() && blocks.iter().all(|block| whole(block) && self.key_is_locked(*block))
        };
        self.bit("SECURE_BOOT_EN")
            && (self.bit("DIS_DOWNLOAD_MODE") || self.bit("ENABLE_SECURITY_DOWNLOAD"))
            && self.closed()
            && (!self.has("P192_DISABLED") || self.wr_dis("ECDSA_CURVE_MODE"))
            && (!self.has("P384_WR_DIS") || self.wr_dis("SECURE_BOOT_SHA384_EN"))
            && self.wr_dis("RD_DIS")
            && digest
    }
}

/// Burned although neither check fails without it, and why.
const BEYOND: [(&str, &str); 4] = [
    ("SECURE_BOOT_KEY_REVOKE1", "esp_secure_boot_init_checks revokes unused slots"),
    ("SECURE_BOOT_KEY_REVOKE2", "esp_secure_boot_init_checks revokes unused slots"),
    ("SPI_DOWNLOAD_MSPI_DIS", "C5, C61, H4: esp_flash_encryption_enable_secure_features burns it"),
    ("ENABLE_SECURITY_DOWNLOAD", "H4, without Secure Boot: esp_flash_encryption_set_release_mode burns it"),
];

#[test]
fn a_release_plan_burns_what_the_firmware_checks_and_nothing_unnamed() {
    for chip in Chip::ALL {
        let signed = chip != Esp32H4;
        let secure_boot = (!signed).then_some(SecureBootMode::Off);
        let policy = EfusePolicy::of(chip, &Wishes { secure_boot, ..Wishes::default() }).unwrap();
        let blank = EfuseImage::blank(chip);
        let plan = build(&policy, &blank).unwrap();
        let passes = |image: &EfuseImage| {
            let device = Device(image);
            device.flash_encryption_release() && (!signed || device.secure_boot_release())
        };
        assert!(passes(&outcome(&plan, &blank).unwrap()), "{chip}");
        assert!(!passes(&blank), "{chip}");
        for (stage, batch) in plan.stages.iter().enumerate() {
            for (index, burn) in batch.burns.iter().enumerate() {
                let mut less = plan.clone();
                less.stages[stage].burns.remove(index);
                let still = passes(&outcome(&less, &blank).unwrap());
                let named = BEYOND.iter().any(|(name, _)| *name == burn.name()) && matches!(burn, Burn::Field { .. });
                assert!(!still || named, "{chip}: {} is asked for by nobody", burn.name());
            }
        }
    }
}
