//! A private key in an eFuse block that only the ECDSA peripheral reads.
//!
//! The key is burned least significant byte first, and the peripheral's registers are in the same order: digest, R, S and
//! the public key. Here they become big-endian, as everybody else has them.
//!
//! Source: ESP-IDF 6.2-dev `components/hal/ecdsa_hal.c`, `mbedtls/port/ecdsa/ecdsa_alt.c` (`ecdsa_be_to_le`); espefuse 5,
//! which reverses the key that it burns.

use super::Signer;
use cotter_formats::ds::EfuseKeyId;

/// The peripheral of the chip. Numbers have 32 bytes, least significant first.
#[doc(alias = "esp_ecdsa_pk_conf_t")]
pub trait EcdsaPeripheral {
    /// Why it did not compute.
    type Error;

    /// X and Y of the key in that block.
    ///
    /// # Errors
    /// Those of the peripheral, which refuses blocks that were burned for something else.
    #[doc(alias = "ecdsa_hal_export_pubkey")]
    fn public_key(&mut self, key: EfuseKeyId) -> Result<[[u8; 32]; 2], Self::Error>;

    /// R and S over a digest, over P-256, with a nonce of the peripheral's own.
    ///
    /// # Errors
    /// As [`Self::public_key`].
    #[doc(alias = "ecdsa_hal_gen_signature")]
    fn sign(&mut self, key: EfuseKeyId, digest: &[u8; 32]) -> Result<[[u8; 32]; 2], Self::Error>;
}

impl<P: EcdsaPeripheral + ?Sized> EcdsaPeripheral for &mut P {
    type Error = P::Error;

    fn public_key(&mut self, key: EfuseKeyId) -> Result<[[u8; 32]; 2], P::Error> {
        (**self).public_key(key)
    }

    fn sign(&mut self, key: EfuseKeyId, digest: &[u8; 32]) -> Result<[[u8; 32]; 2], P::Error> {
        (**self).sign(key, digest)
    }
}

/// The peripheral with one of its keys.
#[derive(Debug)]
pub struct EcdsaSigner<P> {
    peripheral: P,
    key: EfuseKeyId,
}

impl<P> EcdsaSigner<P> {
    /// `key` was burned for `ECDSA_KEY` (`ECDSA_KEY_P256` on chips with more curves).
    #[must_use]
    pub const fn new(peripheral: P, key: EfuseKeyId) -> Self {
        Self { peripheral, key }
    }
}

impl<P: EcdsaPeripheral> Signer for EcdsaSigner<P> {
    type Error = P::Error;

    fn public_key(&mut self) -> Result<[u8; 64], P::Error> {
        self.peripheral.public_key(self.key).map(big_endian)
    }

    fn sign_digest(&mut self, digest: &[u8; 32]) -> Result<[u8; 64], P::Error> {
        let mut number = *digest;
        number.reverse();
        self.peripheral.sign(self.key, &number).map(big_endian)
    }
}

fn big_endian(numbers: [[u8; 32]; 2]) -> [u8; 64] {
    let mut out = [0; 64];
    let bytes = numbers.iter().flat_map(|number| number.iter().rev());
    out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Recorded;

    impl EcdsaPeripheral for Recorded {
        type Error = u8;

        fn public_key(&mut self, key: EfuseKeyId) -> Result<[[u8; 32]; 2], u8> {
            Err(key.get())
        }

        fn sign(&mut self, key: EfuseKeyId, digest: &[u8; 32]) -> Result<[[u8; 32]; 2], u8> {
            assert_eq!((key.get(), digest[0], digest[31]), (3, 31, 0));
            Ok([core::array::from_fn(|at| 31 - u8::try_from(at).unwrap()), [9; 32]])
        }
    }

    #[test]
    fn numbers_are_turned_around_both_ways() {
        let mut signer = EcdsaSigner::new(Recorded, EfuseKeyId::new(3).unwrap());
        let digest = core::array::from_fn(|at| u8::try_from(at).unwrap());
        let signature = signer.sign_digest(&digest).unwrap();
        assert_eq!((&signature[..32], &signature[32..]), (&digest[..], &[9; 32][..]));
        assert_eq!(signer.public_key(), Err(3), "what the peripheral says");
    }
}
