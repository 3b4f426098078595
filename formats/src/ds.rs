//! Parameters of the digital signature peripheral: an RSA key that only the chip with the right HMAC key can use.
//!
//! The box is encrypted off the chip and lies in flash. The peripheral derives its AES key from the HMAC key in an eFuse
//! block, decrypts the box, checks the digest and the padding in it, and signs with the key it found.
//! Source: ESP-IDF 6.2-dev `components/esp_security/include/esp_ds.h`, `docs/en/api-reference/peripherals/ds.rst`, the
//! ROMs' `digital_signature.h`; esp_secure_cert_tool 2.6.1 `configure_ds.py`, whose comment gets the order of the fields
//! wrong while its code has it right.

mod montgomery;
mod record;

pub use record::{DsContext, DsData, DsRecordError, EfuseKeyId};

use crate::chip::Chip;
use crate::hmac_key::HmacKey;
use aes::Aes256;
use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use core::fmt;
use crypto_bigint::modular::FixedMontyParams;
use crypto_bigint::{Odd, U1024, U2048, U3072, U4096, Uint};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// How much room the peripheral gives a number.
#[doc(alias = "ETS_DS_MAX_BITS")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// ESP32-C3, C5, C6, H2, H21: 1200 bytes of ciphertext.
    Bits3072,
    /// ESP32-S2, S3, P4, S31: 1584 bytes of ciphertext.
    Bits4096,
}

impl Width {
    /// The peripheral of this chip; `None` if it has none.
    ///
    /// Off-spec: configure_esp_secure_cert.py 2.6.1 takes the ESP32-C5 for a chip of 4096 bits. Its ROM says 3072.
    #[must_use]
    pub const fn of(chip: Chip) -> Option<Self> {
        match chip {
            Chip::Esp32S2 | Chip::Esp32S3 | Chip::Esp32P4 | Chip::Esp32S31 => Some(Self::Bits4096),
            Chip::Esp32C3 | Chip::Esp32C5 | Chip::Esp32C6 | Chip::Esp32H2 | Chip::Esp32H21 => Some(Self::Bits3072),
            _ => None,
        }
    }

    /// The width of a ciphertext of this length.
    #[must_use]
    pub const fn of_ciphertext(len: usize) -> Option<Self> {
        match len {
            1200 => Some(Self::Bits3072),
            1584 => Some(Self::Bits4096),
            _ => None,
        }
    }

    /// The longest RSA key, in bits.
    #[must_use]
    pub const fn bits(self) -> usize {
        match self {
            Self::Bits3072 => 3072,
            Self::Bits4096 => 4096,
        }
    }

    /// Bytes of the ciphertext: three numbers, digest, M', L, padding.
    #[doc(alias = "ESP_DS_C_LEN")]
    #[must_use]
    pub const fn ciphertext_len(self) -> usize {
        3 * self.number_len() + TRAILER
    }

    const fn number_len(self) -> usize {
        self.bits() / 8
    }
}

/// An RSA private key with the constants that the peripheral wants beside it. Little-endian, zero above the key's length.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct DsKey {
    /// Private exponent.
    y: [u8; MAX_NUMBER],
    /// Modulus.
    m: [u8; MAX_NUMBER],
    /// 2^(2 * bits) mod m.
    rb: [u8; MAX_NUMBER],
    /// -m^-1 mod 2^32.
    m_prime: u32,
    /// Length of the modulus in 32-bit words, less one.
    length: u32,
}

impl DsKey {
    /// From modulus and private exponent, both big-endian without leading zeros. The modulus decides the length: 1024,
    /// 2048, 3072 or 4096 bits.
    ///
    /// # Errors
    /// [`DsError::KeySize`] for other lengths, [`DsError::Key`] if the modulus is even or the exponent is not below it.
    pub fn new(n_be: &[u8], d_be: &[u8]) -> Result<Self, DsError> {
        if d_be.is_empty() || d_be.len() > n_be.len() || (d_be.len() == n_be.len() && d_be >= n_be) {
            return Err(DsError::Key);
        }
        let mut key = Self { y: [0; MAX_NUMBER], m: [0; MAX_NUMBER], rb: [0; MAX_NUMBER], m_prime: 0, length: 0 };
        match n_be.len() {
            128 => key.constants(U1024::from_be_slice(n_be))?,
            256 => key.constants(U2048::from_be_slice(n_be))?,
            384 => key.constants(U3072::from_be_slice(n_be))?,
            512 => key.constants(U4096::from_be_slice(n_be))?,
            other => return Err(DsError::KeySize { bits: 8 * other }),
        }
        key.y.iter_mut().zip(d_be.iter().rev()).for_each(|(to, &from)| *to = from);
        key.m.iter_mut().zip(n_be.iter().rev()).for_each(|(to, &from)| *to = from);
        Ok(key)
    }

    #[allow(clippy::cast_possible_truncation, reason = "M' is defined as the low 32 bits, and no length exceeds 127")]
    fn constants<const LIMBS: usize>(&mut self, n: Uint<LIMBS>) -> Result<(), DsError> {
        let bits = Uint::<LIMBS>::BITS;
        let odd = Odd::new(n).into_option().ok_or(DsError::Key)?;
        if n.bits_vartime() != bits {
            return Err(DsError::KeySize { bits: n.bits_vartime() as usize });
        }
        // Only the modulus goes in here, and it is public.
        let params = FixedMontyParams::new_vartime(odd);
        let square = params.r2().to_le_bytes();
        let square: &[u8] = square.as_ref();
        self.rb.iter_mut().zip(square).for_each(|(to, &from)| *to = from);
        self.m_prime = params.mod_neg_inv().0 as u32;
        self.length = bits / 32 - 1;
        Ok(())
    }

    /// Length of the key in bits.
    #[must_use]
    pub const fn bits(&self) -> usize {
        (self.length as usize + 1) * 32
    }

    /// The modulus, little-endian.
    #[must_use]
    pub fn modulus_le(&self) -> &[u8] {
        &self.m[..self.bits() / 8]
    }

    /// Encrypts the box into `out`, which is [`Width::ciphertext_len`] long. `iv` must be fresh for every box.
    ///
    /// # Errors
    /// [`DsError::TooLong`] if the peripheral has no room for the key, [`DsError::Ciphertext`] for another `out`.
    pub fn encrypt(&self, width: Width, key: &HmacKey, iv: &[u8; 16], out: &mut [u8]) -> Result<(), DsError> {
        if out.len() != width.ciphertext_len() {
            return Err(DsError::Ciphertext { len: out.len() });
        }
        if self.bits() > width.bits() {
            return Err(DsError::TooLong { bits: self.bits(), limit: width.bits() });
        }
        let number = width.number_len();
        for (field, value) in out.chunks_exact_mut(number).zip([&self.y, &self.m, &self.rb]) {
            field.copy_from_slice(&value[..number]);
        }
        let (numbers, trailer) = out.split_at_mut(3 * number);
        trailer[32..36].copy_from_slice(&self.m_prime.to_le_bytes());
        trailer[36..40].copy_from_slice(&self.length.to_le_bytes());
        trailer[40..].fill(PADDING);
        let digest = digest(numbers, &trailer[32..40], iv);
        trailer[..32].copy_from_slice(&digest);

        let cipher = Aes256::new(key.aes_key().expose().into());
        let mut previous = *iv;
        for block in out.chunks_exact_mut(16) {
            let mut state = Array(previous);
            state.iter_mut().zip(&*block).for_each(|(state, byte)| *state ^= byte);
            cipher.encrypt_block(&mut state);
            block.copy_from_slice(&state);
            previous.copy_from_slice(&state);
        }
        Ok(())
    }

    /// Opens the box as the peripheral does: decrypts it, checks digest and padding. Beyond that it checks that L fits
    /// the width and M' and Rb belong to the modulus, for the peripheral would sign nonsense otherwise.
    ///
    /// # Errors
    /// [`DsError`]; [`DsError::Digest`] is what the peripheral says if the key, the IV or the ciphertext is another.
    pub fn decrypt(ciphertext: &[u8], key: &HmacKey, iv: &[u8; 16]) -> Result<Self, DsError> {
        let width = Width::of_ciphertext(ciphertext.len()).ok_or(DsError::Ciphertext { len: ciphertext.len() })?;
        let cipher = Aes256::new(key.aes_key().expose().into());
        let mut plain = zeroize::Zeroizing::new([0; 3 * MAX_NUMBER + TRAILER]);
        let mut previous = iv.as_slice();
        for (out, block) in plain.chunks_exact_mut(16).zip(ciphertext.chunks_exact(16)) {
            out.copy_from_slice(block);
            let state: &mut [u8; 16] = out.try_into().expect("a chunk of 16 bytes");
            cipher.decrypt_block(state.into());
            out.iter_mut().zip(previous).for_each(|(out, byte)| *out ^= byte);
            previous = block;
        }
        let number = width.number_len();
        let (numbers, trailer) = plain[..ciphertext.len()].split_at(3 * number);
        if !bool::from(digest(numbers, &trailer[32..40], iv).ct_eq(&trailer[..32])) {
            return Err(DsError::Digest);
        }
        if trailer[40..].iter().any(|&byte| byte != PADDING) {
            return Err(DsError::Padding);
        }
        let word = |at: usize| u32::from_le_bytes([trailer[at], trailer[at + 1], trailer[at + 2], trailer[at + 3]]);
        let mut opened =
            Self { y: [0; MAX_NUMBER], m: [0; MAX_NUMBER], rb: [0; MAX_NUMBER], m_prime: word(32), length: word(36) };
        for (value, field) in
            [&mut opened.y, &mut opened.m, &mut opened.rb].into_iter().zip(numbers.chunks_exact(number))
        {
            value[..number].copy_from_slice(field);
        }
        opened.check(width)?;
        Ok(opened)
    }

    fn check(&self, width: Width) -> Result<(), DsError> {
        if self.length as usize >= width.bits() / 32 {
            return Err(DsError::Length { length: self.length });
        }
        // The peripheral takes every multiple of 32; nobody makes such keys.
        if !self.bits().is_multiple_of(64) {
            return Err(DsError::KeySize { bits: self.bits() });
        }
        let used = self.bits() / 8;
        let spills = |number: &[u8; MAX_NUMBER]| number[used..].iter().any(|&byte| byte != 0);
        if spills(&self.y) || spills(&self.m) || spills(&self.rb) || self.m[used - 1] < 0x80 {
            return Err(DsError::Length { length: self.length });
        }
        montgomery::check_constants(&self.m[..used], &self.rb[..used], self.m_prime)
    }

    /// `message ^ d mod n` as the peripheral computes it: with the stored Rb and M', in Montgomery's form.
    /// Little-endian, [`Self::bits`] / 8 bytes; the time it takes does not depend on the exponent.
    ///
    /// # Errors
    /// [`DsError::Message`] if `message` is not as long as the key or not below the modulus.
    pub fn sign(&self, message: &[u8], out: &mut [u8]) -> Result<(), DsError> {
        let used = self.bits() / 8;
        if message.len() != used || out.len() != used || !message.iter().rev().lt(self.m[..used].iter().rev()) {
            return Err(DsError::Message);
        }
        montgomery::power(message, &self.y[..used], &self.m[..used], &self.rb[..used], self.m_prime, out);
        Ok(())
    }
}

impl fmt::Debug for DsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DsKey(RSA-{})", self.bits())
    }
}

/// SHA-256 of the numbers, M' and L, and the IV.
fn digest(numbers: &[u8], constants: &[u8], iv: &[u8; 16]) -> [u8; 32] {
    Sha256::new().chain_update(numbers).chain_update(constants).chain_update(iv).finalize().into()
}

/// Bytes of the longest number.
const MAX_NUMBER: usize = 512;
/// Digest, M', L, padding.
const TRAILER: usize = 48;
const PADDING: u8 = 0x08;

/// Why parameters were not made, or would not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DsError {
    /// A key of a length that is not supported.
    #[error("digital signature: an RSA key of {bits} bits; 1024, 2048, 3072 and 4096 are supported")]
    KeySize {
        /// Its length.
        bits: usize,
    },
    /// An even modulus, or an exponent that is not below it.
    #[error("digital signature: modulus and exponent are no RSA key")]
    Key,
    /// Longer than the numbers of the peripheral.
    #[error("digital signature: the key has {bits} bits, but the peripheral takes {limit}")]
    TooLong {
        /// Length of the key.
        bits: usize,
        /// What fits.
        limit: usize,
    },
    /// Not a length that any peripheral reads.
    #[error("digital signature: the ciphertext has {len} bytes; peripherals read 1200 or 1584")]
    Ciphertext {
        /// Its length.
        len: usize,
    },
    /// What the peripheral answers if anything at all is not as it was.
    #[error("digital signature: the digest in the box does not match: another HMAC key or IV, or a damaged ciphertext")]
    Digest,
    /// Whoever made the box did not pad it with 0x08.
    #[error("digital signature: the padding of the box is wrong")]
    Padding,
    /// L does not fit the peripheral or the numbers.
    #[error("digital signature: L is {length}, which does not fit the numbers beside it")]
    Length {
        /// As in the box.
        length: u32,
    },
    /// M' or Rb does not belong to the modulus.
    #[error("digital signature: M' or Rb does not belong to the modulus; every signature would be wrong")]
    Constants,
    /// Not a number below the modulus, or not as long.
    #[error("digital signature: the message is not a number below the modulus")]
    Message,
}

#[cfg(test)]
mod tests;
