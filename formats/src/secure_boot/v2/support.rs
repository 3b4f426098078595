//! Which chip verifies which scheme, and how many blocks it looks at.
//!
//! Source: ESP-IDF 6.2-dev (commit 10212290) `components/soc/<chip>/include/soc/soc_caps.h` (`SOC_SECURE_BOOT_V2_RSA`,
//! `SOC_SECURE_BOOT_V2_ECC`, `SOC_ECDSA_SUPPORT_CURVE_P384`), `components/bootloader/Kconfig.projbuild`
//! (`SECURE_BOOT_V2_ECDSA_INSECURE`, `SECURE_BOOT_ECDSA_KEY_LEN_SIZE`); P-192 as in v5.5 and before.

use super::{MAX_BLOCKS, Scheme};
use crate::chip::Chip;

/// What a chip makes of a scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It verifies it.
    Yes,
    /// It verifies it, but ESP-IDF calls it vulnerable: "not functional for certain input vectors".
    #[doc(alias = "SECURE_BOOT_V2_ECDSA_INSECURE")]
    Insecure,
    /// Its ROM verifies it, but ESP-IDF offers it no more since 6.0: applications are checked only by older bootloaders.
    #[doc(alias = "SECURE_BOOT_ECDSA_KEY_LEN_192_BITS")]
    Legacy,
    /// Its ROM does not know it, or ESP-IDF does not offer it.
    No,
}

/// Whether the ROM of this chip verifies blocks of this scheme.
#[must_use]
pub const fn support(chip: Chip, scheme: Scheme) -> Support {
    match (chip, scheme) {
        // ESP32 from revision 3.0 on.
        (Chip::Esp32 | Chip::Esp32S2 | Chip::Esp32S3 | Chip::Esp32C3, Scheme::Rsa3072)
        | (Chip::Esp32C6 | Chip::Esp32H2 | Chip::Esp32C5 | Chip::Esp32P4, Scheme::Rsa3072)
        | (Chip::Esp32H21 | Chip::Esp32S31, Scheme::Rsa3072)
        | (Chip::Esp32C2 | Chip::Esp32C6, Scheme::EcdsaP256) => Support::Yes,
        (Chip::Esp32C2 | Chip::Esp32C6, Scheme::EcdsaP192) => Support::Legacy,
        (Chip::Esp32H2 | Chip::Esp32C5 | Chip::Esp32C61 | Chip::Esp32P4, Scheme::EcdsaP192 | Scheme::EcdsaP256)
        | (Chip::Esp32C5 | Chip::Esp32P4, Scheme::EcdsaP384) => Support::Insecure,
        _ => Support::No,
    }
}

/// How many blocks this chip looks at: as many as it has slots for key digests.
#[must_use]
pub const fn blocks_of(chip: Chip) -> usize {
    match chip {
        Chip::Esp32 | Chip::Esp32C2 => 1,
        _ => MAX_BLOCKS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chip_has_a_scheme_and_rsa_is_never_insecure() {
        let schemes = [Scheme::Rsa3072, Scheme::EcdsaP192, Scheme::EcdsaP256, Scheme::EcdsaP384];
        // ESP-IDF 6.2 has no Secure Boot for the ESP32-H4 yet.
        for chip in Chip::ALL.into_iter().filter(|chip| *chip != Chip::Esp32H4) {
            assert!(schemes.iter().any(|&scheme| support(chip, scheme) != Support::No), "{chip}");
            assert_ne!(support(chip, Scheme::Rsa3072), Support::Insecure);
        }
    }
}
