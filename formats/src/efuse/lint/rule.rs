//! Every rule by its code: how bad it is, what it means, where that is written.

use core::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The chip does not boot, or a key that is burned cannot do its work.
    Brick,
    /// Somebody gets in, or a promise of the release mode is not kept.
    Open,
    /// Worth knowing; neither dangerous nor open.
    Advice,
}

impl Severity {
    /// In one word, as it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Brick => "brick",
            Self::Open => "open",
            Self::Advice => "advice",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

macro_rules! rules {
    ($($name:ident $code:literal $severity:ident $why:literal $source:literal;)*) => {
        /// A rule. Its code is stable: scripts name it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Rule {
            $(#[doc = $why] $name,)*
        }

        impl Rule {
            /// All of them, the worst first.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The stable name.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// How bad it is, as a rule; a finding can be milder.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// Why it matters.
            #[must_use]
            pub const fn why(self) -> &'static str {
                match self { $(Self::$name => $why,)* }
            }

            /// Where that is written.
            #[must_use]
            pub const fn source(self) -> &'static str {
                match self { $(Self::$name => $source,)* }
            }
        }
    };
}

// Sources: FE is `esp_flash_encryption_cfg_verify_release_mode` (flash_encrypt.c), SB is
// `esp_secure_boot_cfg_verify_release_mode` (secure_boot.c), both of ESP-IDF 6.2-dev at 10212290.
rules! {
    SecureBootNoDigest "secure-boot-no-digest" Brick
        "With Secure Boot on and no key digest burned, no signature is accepted and nothing boots."
        "SB, ROM of the ESP32-C3";
    SecureBootAllRevoked "secure-boot-all-revoked" Brick
        "A revoked digest counts for nothing: with the last one revoked, nothing boots."
        "secure-boot-v2.rst, ROM of the ESP32-C3";
    DigestReadProtected "digest-read-protected" Brick
        "The ROM must read the digest. Hidden, it reads as zero and no signature matches it; ESP-IDF aborts as well."
        "SB, esptool issue 640";
    DigestEmpty "digest-empty" Brick
        "A digest of zeros matches no key. The ROM refuses it, and ESP-IDF aborts at every start."
        "SB, secure_boot_v2_check";
    DigestImplausible "digest-implausible" Brick
        "These bytes are no SHA-256 of a key: no private key in the world signs for them."
        "pattern";
    SecureBootV1NoKey "secure-boot-v1-no-key" Brick
        "Secure Boot V1 checks the bootloader with the key in BLOCK2, and that block is blank and readable."
        "secure_boot_v1/secure_boot.c";
    SecureBootCodingScheme "secure-boot-coding-scheme" Brick
        "Secure Boot V2 needs 256 bits in BLOCK2; ESP-IDF refuses every coding scheme but NONE."
        "secure_boot_v2/secure_boot.c";
    CodingSchemeUnsupported "coding-scheme-unsupported" Brick
        "With the repeat coding a key block holds 128 bits: no key fits, and ESP-IDF refuses it."
        "flash_encryption/flash_encrypt.c";
    FlashKeyMissing "flash-key-missing" Brick
        "Flash encryption is on without a key: the chip decrypts with zeros, and what is in flash is noise."
        "FE";
    FlashKeyHalfMissing "flash-key-half-missing" Brick
        "XTS-AES-256 takes its key from two blocks; with one of them the chip decrypts to noise."
        "flash_encryption/flash_encrypt.c";
    FlashKeySizesMixed "flash-key-sizes-mixed" Brick
        "With a 128-bit and a 256-bit flash key present the hardware takes the wrong one: nothing boots."
        "FE, esp-idf issue 13783";
    FlashKeyOverridden "flash-key-overridden" Brick
        "The key manager is forced for flash encryption: content encrypted with the key in eFuse cannot be read."
        "security-features-enablement-workflows.rst";
    Key5Quirk "key5-quirk" Brick
        "A hardware defect: BLOCK_KEY5 does not deliver this kind of key, so the key is lost."
        "SOC_EFUSE_BLOCK9_KEY_PURPOSE_QUIRK";
    KeyLengthTakesDigest "key-length-takes-digest" Brick
        "XTS_KEY_LENGTH_256 makes the whole key block the flash key: no room is left for the Secure Boot digest."
        "esp32c2 esp_efuse_api_key.c";
    CryptCntFrozenEven "crypt-cnt-frozen-even" Brick
        "The counter says that encryption is off and can never change: encrypted content never boots again."
        "flash-encryption.rst";
    CacheDisabled "cache-disabled" Brick
        "Without the cache no code in flash runs."
        "flash_encryption_secure_features.c";
    UsbJtagRomBug "usb-jtag-rom-bug" Brick
        "With both USB bits burned the ROM of the ESP32-S3 panics in download mode."
        "esp-idf issue 13946, espefuse 5.6.0";
    EcdsaHalfMissing "ecdsa-half-missing" Brick
        "An ECDSA P-384 key takes two blocks; with one of them the device cannot sign."
        "esp_efuse.h";
    BlockDamaged "block-damaged" Brick
        "The controller reports coding errors: a burn was torn, or two were laid on top of each other."
        "RD_RS_ERR, RD_REPEAT_ERR, DEC_STATUS";

    SecureBootOff "secure-boot-off" Open
        "Whoever writes to the flash runs code of their own."
        "SB";
    SecureBootV2Unsupported "secure-boot-v2-unsupported" Open
        "Before revision v3.0 the ROM of the ESP32 does not know ABS_DONE_1: the chip boots anything."
        "SB";
    DigestSlotOpen "digest-slot-open" Open
        "Code on the chip can burn a digest of its own into the unused slot, and the ROM will trust it."
        "secure_boot_v2_check, secure-boot-v2.rst";
    RdDisOpen "rd-dis-open" Open
        "Code on the chip can hide the digest, after which nothing boots."
        "SB";
    RdDisLockedEarly "rd-dis-locked-early" Open
        "RD_DIS is frozen: what is readable now stays readable. Secure Boot freezes it, so keys must be burned before."
        "esp-idf issue 13909, security-features-enablement-workflows.rst";
    FlashEncryptionOff "flash-encryption-off" Open
        "Whoever reads the flash part has firmware, certificates and everything in NVS."
        "FE";
    FlashEncryptionDevelopment "flash-encryption-development" Open
        "The counter has room left: encryption can be turned off again."
        "FE";
    CryptCntEven "crypt-cnt-even" Open
        "Only an odd number of burned bits turns flash encryption on."
        "flash-encryption.rst";
    CryptConfig "crypt-config" Open
        "It says which key bits the address changes: 0 encrypts equal blocks to equal ciphertext everywhere."
        "FE";
    CryptKeyLengthOpen "crypt-key-length-open" Open
        "Burning XTS_KEY_LENGTH_256 afterwards makes the chip derive another key: nothing boots."
        "esp_get_flash_encryption_mode";
    ManualEncryptOpen "manual-encrypt-open" Open
        "The serial loader encrypts for whoever asks, and so it also tells what ciphertext a plaintext has."
        "FE";
    DownloadDecryptOpen "download-decrypt-open" Open
        "The serial loader hands out decrypted flash."
        "FE";
    DownloadCacheOpen "download-cache-open" Open
        "The serial loader can read decrypted flash through the cache."
        "FE";
    DownloadFlashOpen "download-flash-open" Open
        "The serial loader can reach decrypted flash through the memory controller."
        "FE, flash_encryption_secure_features.c";
    DownloadModeOpen "download-mode-open" Open
        "The serial loader runs code that anyone sends it."
        "SB, esp_flash_encryption_set_release_mode";
    ConsoleOpen "console-open" Open
        "If the flash does not boot, the ROM offers a BASIC interpreter."
        "FE, SB";
    JtagOpen "jtag-open" Open
        "With a probe anyone reads memory and runs code."
        "FE, SB";
    SoftJtagWithoutKey "soft-jtag-without-key" Open
        "SOFT_DIS_JTAG counts only with an HMAC key for JTAG: without one, code on the chip burns its own and opens JTAG."
        "FE, SB";
    SoftJtagEven "soft-jtag-even" Open
        "Only an odd number of burned bits of SOFT_DIS_JTAG turns JTAG off."
        "esp_efuse_table.csv";
    DirectBootOpen "direct-boot-open" Open
        "The ROM can be made to run flash without the second stage and its checks."
        "FE, SB";
    BootRemapOpen "boot-remap-open" Open
        "ROM can be remapped to RAM: code in RAM runs in its place after a reset."
        "FE, SB";
    CacheBitOpen "cache-bit-open" Open
        "Anyone with code on the chip can burn the cache away, after which nothing runs."
        "FE";
    PseudoRoundsOff "pseudo-rounds-off" Open
        "Without pseudo rounds the flash key is easier to measure from the supply current."
        "FE";
    CurveModeOpen "curve-mode-open" Open
        "Code on the chip can change the curves that the ECDSA peripheral accepts."
        "SB";
    Sha384Open "sha384-open" Open
        "Code on the chip can demand SHA-384, after which no image signed over SHA-256 boots."
        "SB";
    KeyReadable "key-readable" Open
        "Code on the chip, and the serial loader, can read the key."
        "FE";
    KeyNotFrozen "key-not-frozen" Open
        "More bits can be burned into the block: the key changes, or its check bytes no longer fit."
        "FE, SB";
    PurposeNotFrozen "purpose-not-frozen" Open
        "Bits can be added to the purpose: the key then does something else, or nothing."
        "FE, SB";
    KeyEmpty "key-empty" Open
        "A key of zeros is everybody's key."
        "pattern";
    KeyWeak "key-weak" Open
        "The key has a pattern that no random generator makes: it can be guessed."
        "pattern";
    KeyDuplicate "key-duplicate" Open
        "Two blocks hold the same secret: whoever learns it in one use has it in the other; in XTS it cancels out."
        "pattern";
    SecureVersionNotUnary "secure-version-not-unary" Open
        "SECURE_VERSION counts burned bits; a number written into it makes another version than it says."
        "esp_efuse_fields.c, espefuse 5.6.0";
    SecureVersionFrozen "secure-version-frozen" Open
        "Anti-rollback is used, but its counter is frozen by a protection bit that other fields share."
        "esp_efuse_table.csv";

    DownloadModesBoth "download-modes-both" Advice
        "DIS_DOWNLOAD_MODE wins: there is no loader left that could be secure."
        "esp_efuse.h";
    AggressiveRevokeOneKey "aggressive-revoke-one-key" Advice
        "One failed signature check revokes the key; with a single key, a glitch in time ends the chip."
        "secure-boot-v2.rst, ROM of the ESP32-C3";
    DigestDuplicate "digest-duplicate" Advice
        "Two slots trust the same key: revoking one changes nothing, and a slot is spent."
        "pattern";
    KeyWithoutPurpose "key-without-purpose" Advice
        "The block holds data but no purpose, so no hardware uses it: as a key it is not burned completely."
        "esp_efuse.h";
    PurposeUnknown "purpose-unknown" Advice
        "This chip gives the purpose no meaning: no hardware uses the key."
        "espefuse 5.6.0, KEY_PURPOSES";
    CryptConfigHidden "crypt-config-hidden" Advice
        "RD_DIS bit 3 hides FLASH_CRYPT_CONFIG and CODING_SCHEME: nobody can check them, and ESP-IDF reports them missing."
        "esp_efuse_table.csv";
    Sha384Only "sha384-only" Advice
        "The ROM takes signatures over SHA-384 only: images must be signed with ECDSA P-384."
        "SB";
    ReleaseSettingsMissing "release-settings-missing" Advice
        "Fine while developing; none of this may leave the factory so."
        "FE, SB";
    DevelopmentLocked "development-locked" Advice
        "A chip for development was expected, but this one cannot be opened any more."
        "FE";
}

impl Rule {
    /// The rule with that code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.code() == code)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_kebab_case_and_find_their_rule() {
        for rule in Rule::ALL {
            let code = rule.code();
            assert!(code.chars().all(|c| c == '-' || c.is_ascii_lowercase() || c.is_ascii_digit()), "{code}");
            assert_eq!(Rule::from_code(code), Some(*rule));
        }
    }

    #[test]
    fn the_worst_come_first() {
        assert!(Rule::ALL.is_sorted_by_key(|rule| rule.severity()));
    }
}
