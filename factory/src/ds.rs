//! Parameters of the digital signature peripheral: made with a fresh IV, and tried as the peripheral would use them.

use crate::device_key::DeviceKey;
use crate::public_key::RsaNumbers;
use crate::signing::{SigningError, random};
use aws_lc_rs::signature::{
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaParameters, RsaPublicKeyComponents,
};
use cotter_formats::ds::{DsData, DsError, DsKey, Width};
use cotter_formats::hmac_key::HmacKey;
use cotter_formats::secret::Secret;
use sha2::{Digest, Sha256};

/// An encrypted key with its IV.
pub struct Parameters {
    /// Length of the key in bits.
    pub rsa_bits: usize,
    /// Drawn for this box alone.
    pub iv: [u8; 16],
    /// 1200 or 1584 bytes.
    pub ciphertext: Vec<u8>,
}

impl Parameters {
    /// Encrypts an RSA key for the peripheral and tries the result: opened with the HMAC key as the peripheral opens it,
    /// it must hold the very numbers that went in. [`check`] also signs with them.
    ///
    /// # Errors
    /// [`DsMakeError`].
    pub fn encrypt(key: &DeviceKey, width: Width, hmac_key: &HmacKey) -> Result<Self, DsMakeError> {
        let mut iv = [0; 16];
        random(&mut iv)?;
        Self::encrypt_with(key, width, hmac_key, iv)
    }

    /// As [`Self::encrypt`] with an IV of the caller's. An IV that is used twice gives away what two boxes have in common,
    /// so this is for reproducing a known result.
    ///
    /// # Errors
    /// [`DsMakeError`].
    pub fn encrypt_with(key: &DeviceKey, width: Width, hmac_key: &HmacKey, iv: [u8; 16]) -> Result<Self, DsMakeError> {
        let (public, d) = key.rsa_numbers().ok_or(DsMakeError::NotRsa)?;
        let ds_key = DsKey::new(&public.n, d)?;
        let mut ciphertext = vec![0; width.ciphertext_len()];
        ds_key.encrypt(width, hmac_key, &iv, &mut ciphertext)?;
        let made = Self { rsa_bits: ds_key.bits(), iv, ciphertext };
        if made.opens_to(width, hmac_key)? { Ok(made) } else { Err(DsMakeError::OtherKey) }
    }

    /// What the peripheral opens, put into a box again, is this box: then no number in it is another.
    fn opens_to(&self, width: Width, hmac_key: &HmacKey) -> Result<bool, DsError> {
        let opened = DsKey::decrypt(&self.ciphertext, hmac_key, &self.iv)?;
        let mut again = vec![0; width.ciphertext_len()];
        opened.encrypt(width, hmac_key, &self.iv, &mut again)?;
        Ok(again == self.ciphertext)
    }

    /// As the driver wants it.
    ///
    /// # Panics
    /// Never: no key is longer than 4096 bits.
    #[must_use]
    pub fn data(&self) -> DsData<'_> {
        let rsa_bits = u32::try_from(self.rsa_bits).expect("no key is longer than 4096 bits");
        DsData { rsa_bits, iv: &self.iv, ciphertext: &self.ciphertext }
    }
}

/// A fresh HMAC key from the system's CSPRNG.
///
/// # Errors
/// [`SigningError::Library`] if the system has no randomness to give.
pub fn fresh_hmac_key() -> Result<HmacKey, SigningError> {
    Secret::try_filled_by(|key| random(key)).map(HmacKey::new)
}

/// What [`check`] tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Length of the key in the box.
    pub rsa_bits: usize,
    /// Its modulus, big-endian.
    pub modulus: Vec<u8>,
    /// True if a PSS signature was tried too; not for RSA-1024.
    pub pss: bool,
}

/// Does in software what the peripheral does: opens the box, then signs with the numbers in it, and has aws-lc verify the
/// signatures with `public`. Without `public`, the modulus in the box and the exponent 65537 are taken.
///
/// # Errors
/// [`DsMakeError`]: [`DsError`] if the peripheral would refuse the box, [`DsMakeError::OtherKey`] if it holds another key
/// than `public`, [`DsMakeError::Signature`] if what it signs does not verify.
pub fn check(data: &DsData<'_>, hmac_key: &HmacKey, public: Option<&RsaNumbers>) -> Result<Checked, DsMakeError> {
    let key = DsKey::decrypt(data.ciphertext, hmac_key, data.iv)?;
    if usize::try_from(data.rsa_bits) != Ok(key.bits()) {
        return Err(DsMakeError::Length { written: data.rsa_bits, found: key.bits() });
    }
    let modulus: Vec<u8> = key.modulus_le().iter().rev().copied().collect();
    if public.is_some_and(|public| public.n != modulus) {
        return Err(DsMakeError::OtherKey);
    }
    let e: &[u8] = public.map_or(&[1, 0, 1], |public| &public.e);
    let message = b"cotter: the peripheral signs this";
    let pss = key.bits() >= 2048;
    let pkcs1 = if pss { &RSA_PKCS1_2048_8192_SHA256 } else { &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY };
    let digest: [u8; 32] = Sha256::digest(message).into();
    let verify = |encoded: Vec<u8>, scheme: &'static RsaParameters| {
        let signature = raw_signature(&key, encoded)?;
        let public = RsaPublicKeyComponents { n: modulus.as_slice(), e };
        public.verify(scheme, message, &signature).map_err(|_| DsMakeError::Signature)
    };
    verify(pkcs1_encoded(&digest, modulus.len()), pkcs1)?;
    if pss {
        let mut salt = [0; 32];
        random(&mut salt)?;
        verify(pss_encoded(&digest, &salt, modulus.len()), &RSA_PSS_2048_8192_SHA256)?;
    }
    Ok(Checked { rsa_bits: key.bits(), modulus, pss })
}

/// A signature over a SHA-256 digest, PKCS#1 v1.5, big-endian: what the device would give.
///
/// # Errors
/// [`DsMakeError`].
pub fn sign_pkcs1(data: &DsData<'_>, hmac_key: &HmacKey, digest: &[u8; 32]) -> Result<Vec<u8>, DsMakeError> {
    let key = DsKey::decrypt(data.ciphertext, hmac_key, data.iv)?;
    raw_signature(&key, pkcs1_encoded(digest, key.bits() / 8))
}

/// The private operation on an encoded message, both big-endian.
fn raw_signature(key: &DsKey, mut encoded: Vec<u8>) -> Result<Vec<u8>, DsMakeError> {
    encoded.reverse();
    let mut signature = vec![0; encoded.len()];
    key.sign(&encoded, &mut signature)?;
    signature.reverse();
    Ok(signature)
}

/// EMSA-PKCS1-v1_5 (RFC 8017, 9.2) for SHA-256.
fn pkcs1_encoded(digest: &[u8; 32], len: usize) -> Vec<u8> {
    const INFO: [u8; 19] =
        [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0, 0x04, 0x20];
    let mut encoded = vec![0xFF; len];
    encoded[..2].copy_from_slice(&[0, 1]);
    let info = len - INFO.len() - digest.len();
    encoded[info - 1] = 0;
    encoded[info..info + INFO.len()].copy_from_slice(&INFO);
    encoded[len - digest.len()..].copy_from_slice(digest);
    encoded
}

/// EMSA-PSS (RFC 8017, 9.1.1) with SHA-256 and 32 bytes of salt, for a modulus whose top bit is set.
fn pss_encoded(digest: &[u8; 32], salt: &[u8; 32], len: usize) -> Vec<u8> {
    let hash: [u8; 32] = Sha256::new().chain_update([0; 8]).chain_update(digest).chain_update(salt).finalize().into();
    let mut encoded = vec![0; len];
    let (block, end) = encoded.split_at_mut(len - 33);
    end[..32].copy_from_slice(&hash);
    end[32] = 0xBC;
    let at = block.len() - 33;
    block[at] = 1;
    block[at + 1..].copy_from_slice(salt);
    for (counter, chunk) in (0_u32..).zip(block.chunks_mut(32)) {
        let mask = Sha256::new().chain_update(hash).chain_update(counter.to_be_bytes()).finalize();
        chunk.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
    block[0] &= 0x7F;
    encoded
}

/// Why parameters were not made, or would not work.
#[derive(Debug, thiserror::Error)]
pub enum DsMakeError {
    /// The peripheral does RSA.
    #[error("the digital signature peripheral needs an RSA key")]
    NotRsa,
    /// The box.
    #[error(transparent)]
    Ds(#[from] DsError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] SigningError),
    /// What is written beside the box is not what is in it.
    #[error("digital signature: written down as RSA-{written}, but the box holds RSA-{found}")]
    #[allow(missing_docs)]
    Length { written: u32, found: usize },
    /// The box holds the key of somebody else.
    #[error("digital signature: the box holds another key than this public key's")]
    OtherKey,
    /// The numbers in the box are no key.
    #[error("digital signature: what the box signs does not verify")]
    Signature,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public_key::PublicKey;

    fn golden(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../vectors/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn the_golden_ciphertexts_are_made_again_byte_for_byte() {
        let hmac_key = HmacKey::from_slice(&golden("ds/hmac_key.bin")).unwrap();
        let iv: [u8; 16] = golden("ds/iv.bin").try_into().unwrap();
        for (chip, key, width) in [
            ("esp32c3", "rsa2048_dev", Width::Bits3072),
            ("esp32c3", "rsa3072_dev", Width::Bits3072),
            ("esp32s2", "rsa2048_dev", Width::Bits4096),
            ("esp32s2", "rsa4096_dev", Width::Bits4096),
            ("esp32s3", "rsa3072_dev", Width::Bits4096),
            // What the tool writes for this chip, and the chip cannot read.
            ("esp32c5", "rsa2048_dev", Width::Bits4096),
        ] {
            let device_key = DeviceKey::read(&golden(&format!("keys/{key}.pem")), None).unwrap();
            let made = Parameters::encrypt_with(&device_key, width, &hmac_key, iv).unwrap();
            assert!(made.ciphertext == golden(&format!("ds/c-{chip}-{key}.bin")), "{chip} {key}");
        }
    }

    #[test]
    fn a_box_of_another_key_or_of_no_key_is_refused() {
        let hmac_key = fresh_hmac_key().unwrap();
        let key = DeviceKey::read(&golden("keys/rsa2048_dev.pem"), None).unwrap();
        let other = DeviceKey::read(&golden("keys/rsa3072_dev.pem"), None).unwrap();
        let made = Parameters::encrypt(&key, Width::Bits3072, &hmac_key).unwrap();
        assert!(check(&made.data(), &hmac_key, None).is_ok_and(|checked| checked.pss && checked.rsa_bits == 2048));
        let PublicKey::Rsa(numbers) = other.public() else { panic!("RSA") };
        assert!(matches!(check(&made.data(), &hmac_key, Some(numbers)), Err(DsMakeError::OtherKey)));
        let longer = DsData { rsa_bits: 3072, ..made.data() };
        let refusal = check(&longer, &hmac_key, None);
        assert!(matches!(refusal, Err(DsMakeError::Length { written: 3072, found: 2048 })));
        // A box that is sound in itself, with an exponent that belongs to no key.
        let (public, d) = key.rsa_numbers().unwrap();
        let mut wrong = d.to_vec();
        wrong[9] ^= 1;
        let mut ciphertext = vec![0; 1200];
        DsKey::new(&public.n, &wrong).unwrap().encrypt(Width::Bits3072, &hmac_key, &[7; 16], &mut ciphertext).unwrap();
        let data = DsData { rsa_bits: 2048, iv: &[7; 16], ciphertext: &ciphertext };
        assert!(matches!(check(&data, &hmac_key, None), Err(DsMakeError::Signature)));
        let p256 = DeviceKey::read(&golden("keys/ecdsa_p256_dev.pem"), None).unwrap();
        assert!(matches!(Parameters::encrypt(&p256, Width::Bits3072, &hmac_key), Err(DsMakeError::NotRsa)));
    }
}
