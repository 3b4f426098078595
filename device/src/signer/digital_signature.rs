//! An RSA key in a box in flash that only the Digital Signature peripheral opens.
//!
//! The peripheral raises a number to the private exponent. What makes of a digest the number that is a signature,
//! EMSA-PKCS1-v1_5 (RFC 8017 section 9.2), is done here:
//!
//! ```text
//! 00 01  ff ...  00  DigestInfo of SHA-256 (19 bytes)  digest (32 bytes)           as long as the key
//! ```
//!
//! The peripheral takes and gives numbers least significant byte first. Source: ESP-IDF 6.2-dev
//! `docs/en/api-reference/peripherals/ds.rst`, `components/esp_security/src/esp_ds.c`.

use cotter_formats::ds::{DsContext, DsData, EfuseKeyId};

/// The peripheral of the chip.
#[doc(alias = "esp_ds_sign")]
pub trait DigitalSignature {
    /// Why it did not compute.
    type Error;

    /// `message ^ d mod n` with the key in the box, which the HMAC key in that block opens. Both numbers are as long as the
    /// RSA key, least significant byte first.
    ///
    /// # Errors
    /// Those of the peripheral: a block that was burned for something else, a box that was made for another key.
    fn exponentiate(
        &mut self,
        key: EfuseKeyId,
        data: &DsData<'_>,
        message: &[u8],
        signature: &mut [u8],
    ) -> Result<(), Self::Error>;
}

impl<P: DigitalSignature + ?Sized> DigitalSignature for &mut P {
    type Error = P::Error;

    fn exponentiate(
        &mut self,
        key: EfuseKeyId,
        data: &DsData<'_>,
        message: &[u8],
        signature: &mut [u8],
    ) -> Result<(), P::Error> {
        (**self).exponentiate(key, data, message, signature)
    }
}

/// The peripheral with a box, both of which `esp_secure_cert` names. Its public key is in the device's certificate.
#[derive(Debug)]
pub struct DsSigner<'a, P> {
    peripheral: P,
    key: EfuseKeyId,
    data: DsData<'a>,
    len: usize,
}

impl<'a, P: DigitalSignature> DsSigner<'a, P> {
    /// `context` and `data` are the two entries of `esp_secure_cert`.
    ///
    /// # Errors
    /// [`DsSignerError::KeySize`] below 2048 bits and above 4096, [`DsSignerError::Context`] if the entries do not belong
    /// together.
    pub fn new(peripheral: P, context: &DsContext, data: DsData<'a>) -> Result<Self, DsSignerError<P::Error>> {
        let bits = data.rsa_bits;
        if u32::from(context.rsa_bits) != bits {
            return Err(DsSignerError::Context { context: context.rsa_bits, data: bits });
        }
        let len = usize::from(context.rsa_bits) / 8;
        let is_whole = context.rsa_bits.is_multiple_of(8);
        if !is_whole || !(MIN_LEN..=MAX_LEN).contains(&len) {
            return Err(DsSignerError::KeySize { bits });
        }
        Ok(Self { peripheral, key: context.key_id, data, len })
    }

    /// RSASSA-PKCS1-v1_5 of a message's SHA-256, as long as the modulus, big-endian: RS256, and `rsa_pkcs1_sha256` of TLS.
    ///
    /// # Errors
    /// [`DsSignerError::Peripheral`].
    pub fn sign_digest<'o>(
        &mut self,
        digest: &[u8; 32],
        out: &'o mut [u8; MAX_LEN],
    ) -> Result<&'o [u8], DsSignerError<P::Error>> {
        let mut message = [0; MAX_LEN];
        let (Some(message), Some(out)) = (message.get_mut(..self.len), out.get_mut(..self.len)) else {
            return Err(DsSignerError::KeySize { bits: self.data.rsa_bits });
        };
        encode(digest, message);
        message.reverse();
        self.peripheral.exponentiate(self.key, &self.data, message, out).map_err(DsSignerError::Peripheral)?;
        out.reverse();
        Ok(out)
    }
}

/// EMSA-PKCS1-v1_5. `message` has at least [`MIN_LEN`] bytes, so all of it fits.
fn encode(digest: &[u8; 32], message: &mut [u8]) {
    let tail = [0].iter().chain(&DIGEST_INFO).chain(digest).rev();
    let filling = core::iter::repeat(&0xff);
    message.iter_mut().rev().zip(tail.chain(filling)).for_each(|(to, from)| *to = *from);
    message.iter_mut().zip([0, 1]).for_each(|(to, from)| *to = from);
}

/// The DER before a SHA-256 (RFC 8017 section 9.2, note 1).
const DIGEST_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// Bytes of the shortest key that may sign.
const MIN_LEN: usize = 256;

/// Bytes of the longest key that a peripheral takes.
pub const MAX_LEN: usize = 512;

/// Why nothing was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DsSignerError<E> {
    /// Too weak, or longer than any peripheral takes.
    #[error("digital signature: a key of {bits} bits; 2048 to 4096 sign")]
    KeySize {
        /// Its length.
        bits: u32,
    },
    /// Not written together.
    #[error("digital signature: the context says {context} bits, the box {data}")]
    Context {
        /// Length of the key by the context.
        context: u16,
        /// By the box.
        data: u32,
    },
    /// The peripheral.
    #[error("digital signature: {0}")]
    Peripheral(E),
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    /// Gives the number back.
    #[derive(Debug)]
    struct Mirror;

    impl DigitalSignature for Mirror {
        type Error = ();

        fn exponentiate(
            &mut self,
            key: EfuseKeyId,
            data: &DsData<'_>,
            message: &[u8],
            signature: &mut [u8],
        ) -> Result<(), ()> {
            assert_eq!(8 * message.len(), data.rsa_bits as usize);
            signature.copy_from_slice(message);
            if key.get() == 0 { Ok(()) } else { Err(()) }
        }
    }

    fn signer(context_bits: u16, bits: u32, key: u8) -> Result<DsSigner<'static, Mirror>, DsSignerError<()>> {
        let context = DsContext { key_id: EfuseKeyId::new(key).unwrap(), rsa_bits: context_bits };
        DsSigner::new(Mirror, &context, DsData { rsa_bits: bits, iv: &[0; 16], ciphertext: &[0; 1200] })
    }

    #[test]
    fn what_is_raised_is_the_digest_in_pkcs1_clothes() {
        let digest = Sha256::digest(b"abc").into();
        for bits in [2048_u16, 3072, 4096] {
            let mut out = [0; MAX_LEN];
            let number = signer(bits, bits.into(), 0).unwrap().sign_digest(&digest, &mut out).unwrap();
            assert_eq!(number.len(), usize::from(bits) / 8);
            let (head, tail) = number.split_at(number.len() - 52);
            assert_eq!(head[..2], [0, 1]);
            assert!(head.len() >= 10 && head[2..].iter().all(|byte| *byte == 0xff));
            assert_eq!((tail[0], &tail[1..20], &tail[20..]), (0, &DIGEST_INFO[..], &digest[..]));
        }
    }

    #[test]
    fn weak_keys_and_entries_of_two_partitions_are_refused() {
        assert_eq!(signer(1024, 1024, 0).unwrap_err(), DsSignerError::KeySize { bits: 1024 });
        assert_eq!(signer(4128, 4128, 0).unwrap_err(), DsSignerError::KeySize { bits: 4128 });
        assert_eq!(signer(2048, 3072, 0).unwrap_err(), DsSignerError::Context { context: 2048, data: 3072 });
        let refused = signer(2048, 2048, 1).unwrap().sign_digest(&[0; 32], &mut [0; MAX_LEN]).map(<[u8]>::len);
        assert_eq!(refused, Err(DsSignerError::Peripheral(())));
    }
}
