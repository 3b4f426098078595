//! What needs a key: signatures, entries under the HMAC key, and the public key that a device would show.

use crate::device_key::DeviceKey;
use crate::private_key::PrivateKeyError;
use aes_gcm::aead::consts::U16;
use aes_gcm::{AeadInOut, AesGcm, KeyInit};
use cotter_formats::hmac_key::HmacKey;
use cotter_formats::secure_boot::v2::{BlockRefusal, ContentDigests, Scheme, SignatureBlock, SignatureError};
use cotter_formats::secure_cert::{Inspection, SignatureData, SignatureDataError, TAG_LEN, TlvType};
use zeroize::Zeroizing;

/// AES-256-GCM with the 16-byte nonce of the firmware.
type EntryCipher = AesGcm<aes_gcm::aes::Aes256, U16>;

/// Encrypts an entry as the firmware decrypts it: ciphertext, then the tag. The nonce follows from the key alone, so no key
/// may ever encrypt two different entries.
///
/// # Errors
/// [`OpenError::Tag`] if the library refuses, which it does for more than 64 GiB.
pub fn encrypt(plain: &[u8], key: &HmacKey) -> Result<Vec<u8>, OpenError> {
    let cipher = EntryCipher::new(key.aes_key().expose().into());
    let mut out = Vec::with_capacity(plain.len() + TAG_LEN);
    out.extend_from_slice(plain);
    let nonce = key.entry_nonce();
    let tag = cipher.encrypt_inout_detached((&nonce).into(), &[], out.as_mut_slice().into());
    out.extend_from_slice(&tag.map_err(|_| OpenError::Tag)?);
    Ok(out)
}

/// Decrypts an entry.
///
/// # Errors
/// [`OpenError::Tag`]: another key, or a damaged entry.
pub fn decrypt(data: &[u8], key: &HmacKey) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let (ciphertext, tag) = data.split_last_chunk::<TAG_LEN>().ok_or(OpenError::Tag)?;
    let cipher = EntryCipher::new(key.aes_key().expose().into());
    let mut plain = Zeroizing::new(ciphertext.to_vec());
    let nonce = key.entry_nonce();
    cipher
        .decrypt_inout_detached((&nonce).into(), &[], plain.as_mut_slice().into(), tag.into())
        .map_err(|_| OpenError::Tag)?;
    Ok(plain)
}

/// The ECDSA key that a chip derives from its HMAC key and this salt.
///
/// # Errors
/// [`OpenError::Derived`] for the one salt in 2^32 or so that gives no key on P-256; draw another.
pub fn derive(key: &HmacKey, salt: &[u8]) -> Result<DeviceKey, OpenError> {
    DeviceKey::from_p256_scalar(key.derived_scalar(salt).expose()).map_err(OpenError::Derived)
}

/// One signature of a partition.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Index of the entry.
    pub subtype: u8,
    /// How it is signed.
    pub scheme: Scheme,
    /// What a device's eFuses hold if it trusts the key.
    pub key_digest: [u8; 32],
    /// Whether it holds for what is before the first signature.
    pub verdict: Result<(), SignatureRefusal>,
}

/// Verifies the signatures, as the firmware builds and the ROM checks their blocks. Damaged ones are left out: the
/// inspection has a finding for each.
#[must_use]
pub fn signatures(partition: &[u8], inspection: &Inspection<'_>) -> Vec<Signature> {
    let Some(content) = inspection.signed_len().and_then(|len| partition.get(..len)) else { return Vec::new() };
    let digests = ContentDigests::of(content);
    let entries = inspection.entries.iter().filter(|entry| entry.kind == TlvType::SIGNATURE);
    let read = entries.filter_map(|entry| Some((entry, SignatureData::parse(entry.data).ok()?)));
    let verdict = |(entry, data): (&cotter_formats::secure_cert::Entry<'_>, SignatureData<'_>)| {
        let bytes = data.to_block(digests.of_scheme(data.scheme())).ok()?;
        let block = SignatureBlock::parse(&bytes).map_err(SignatureRefusal::Form);
        let key_digest = block.as_ref().map_or([0; 32], SignatureBlock::key_digest);
        let verdict = match block {
            Err(refused) => Err(refused),
            Ok(_) if content.is_empty() => Err(SignatureRefusal::Nothing),
            Ok(block) => block.verify_any(&digests).map_err(SignatureRefusal::Block),
        };
        Some(Signature { subtype: entry.subtype, scheme: data.scheme(), key_digest, verdict })
    };
    read.filter_map(verdict).collect()
}

/// Why a signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureRefusal {
    /// The entry.
    #[error(transparent)]
    Data(#[from] SignatureDataError),
    /// The block in it is none.
    #[error(transparent)]
    Form(SignatureError),
    /// The key or the signature.
    #[error(transparent)]
    Block(BlockRefusal),
    /// Nothing is before it.
    #[error("it covers nothing")]
    Nothing,
}

/// Why a secret was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The tag does not hold.
    #[error("secure cert: the entry does not decrypt: another HMAC key, or it is damaged")]
    Tag,
    /// Salt and key give no scalar.
    #[error("secure cert: the derived number is no P-256 key")]
    Derived(#[source] PrivateKeyError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use cotter_formats::secure_cert::inspect;

    fn golden(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../vectors/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn the_golden_encrypted_key_opens_and_is_encrypted_again_to_the_same_bytes() {
        let key = HmacKey::from_slice(&golden("keys/hmac_key.bin")).unwrap();
        let bytes = golden("securecert/derived-hmac-encrypted.bin");
        let read = inspect(&bytes, None);
        let entry = read.entry(TlvType::PRIVATE_KEY, 0).unwrap();
        let plain = decrypt(entry.data, &key).unwrap();
        assert_eq!(*plain, golden("keys/ecdsa_p256_dev.der"));
        assert_eq!(encrypt(&plain, &key).unwrap(), entry.data);
        for bit in 0..8 * entry.data.len() {
            let mut flipped = entry.data.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decrypt(&flipped, &key), Err(OpenError::Tag)), "bit {bit}");
        }
        assert!(matches!(decrypt(entry.data, &HmacKey::from_slice(&[0; 32]).unwrap()), Err(OpenError::Tag)));
        for len in 0..TAG_LEN {
            assert!(matches!(decrypt(&entry.data[..len], &key), Err(OpenError::Tag)));
        }
    }

    #[test]
    fn the_tools_signatures_verify_and_its_misordered_file_does_not() {
        for (name, scheme, key) in [
            ("rsa", Scheme::Rsa3072, "rsa3072_a"),
            ("p256", Scheme::EcdsaP256, "ecdsa_p256"),
            ("p384", Scheme::EcdsaP384, "ecdsa_p384"),
        ] {
            let bytes = golden(&format!("securecert/signed-{name}_signed.bin"));
            let found = signatures(&bytes, &inspect(&bytes, None));
            assert_eq!((found.len(), found[0].scheme, found[0].verdict), (1, scheme, Ok(())));
            assert_eq!(found[0].key_digest.to_vec(), golden(&format!("sbv2/digest-{key}.bin")), "{name}");
            let mut changed = bytes.clone();
            changed[100] ^= 1;
            assert!(signatures(&changed, &inspect(&changed, None))[0].verdict.is_err());
            let bytes = golden(&format!("securecert/signed-{name}.bin"));
            let found = signatures(&bytes, &inspect(&bytes, None));
            assert_eq!(found[0].verdict, Err(SignatureRefusal::Nothing), "{name}");
        }
    }
}
