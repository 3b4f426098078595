//! Pre-encrypted OTA images, made for a public key and opened with the private one.
//!
//! Both directions hold the whole image: the tag stands before the ciphertext, and no byte is released before it holds.

use crate::private_key::{PrivateKey, PrivateKeyError};
use crate::public_key::{KeyKind, PublicKey};
use crate::signing::{SigningError, random};
use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use aws_lc_rs::rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey};
use cotter_formats::encrypted_image::{
    ContentKey, DEVICE_KEY_SALT, Ecies, EncryptedImage, HEADER_LEN, NotOpened, Refusal, TooLong, WRAPPED_KEY_LEN,
    WrappedKey,
};
use cotter_formats::secret::Secret;
use cotter_formats::secure_boot::v2::Curve;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// The key with which a device opens ECIES images: it derives it from an eFuse key with the purpose `HMAC_UP`.
/// `efuse_key`: as `espefuse burn-key` takes it.
///
/// # Errors
/// [`NoDeviceKey`] for one HMAC key in 2^32.
#[doc(alias = "derive_ota_ecc_device_key")]
pub fn device_key(efuse_key: &Secret<32>) -> Result<PrivateKey, NoDeviceKey> {
    let scalar = Secret::filled_by(|scalar| {
        pbkdf2::derive(PBKDF2_HMAC_SHA256, ROUNDS, &DEVICE_KEY_SALT, efuse_key.expose(), scalar);
    });
    PrivateKey::from_p256_scalar(&scalar).map_err(|_| NoDeviceKey)
}

/// Of PBKDF2.
#[doc(alias = "PBKDF2_ITERATIONS")]
const ROUNDS: NonZeroU32 = NonZeroU32::new(2048).expect("2048 is not 0");

/// Encrypts `image` to an RSA-3072 or a P-256 key, under a fresh content key.
///
/// # Errors
/// [`EncryptError`].
pub fn encrypt(image: &[u8], recipient: &PublicKey) -> Result<Vec<u8>, EncryptError> {
    let (wrapped, key) = match recipient.kind() {
        KeyKind::Rsa(3072) => to_rsa(recipient)?,
        KeyKind::Ecdsa(Curve::P256) => to_p256(recipient)?,
        other => return Err(EncryptError::Recipient(other)),
    };
    let mut iv = [0; 16];
    random(&mut iv)?;
    let mut file = vec![0; HEADER_LEN];
    file.extend(image);
    let (head, content) = file.split_at_mut(HEADER_LEN);
    head.copy_from_slice(&key.seal(wrapped, iv, content)?.encode());
    Ok(file)
}

fn to_rsa(recipient: &PublicKey) -> Result<(WrappedKey, ContentKey), EncryptError> {
    let library = || EncryptError::Library;
    let spki = recipient.to_spki().map_err(|_| library())?;
    let public = PublicEncryptingKey::from_der(&spki).map_err(|_| library())?;
    let public = Pkcs1PublicEncryptingKey::new(public).map_err(|_| library())?;
    let key = ContentKey::new(Secret::try_filled_by(|key| random(key))?);
    let mut wrapped = [0; WRAPPED_KEY_LEN];
    let written = public.encrypt(key.expose(), &mut wrapped).map_err(|_| library())?.len();
    if written != WRAPPED_KEY_LEN {
        return Err(library());
    }
    Ok((WrappedKey(wrapped), key))
}

fn to_p256(recipient: &PublicKey) -> Result<(WrappedKey, ContentKey), EncryptError> {
    let library = || EncryptError::Library;
    let PublicKey::Ecdsa(public) = recipient else { return Err(library()) };
    let theirs: [u8; 64] = public.point().try_into().map_err(|_| library())?;
    let ephemeral = PrivateKey::generate(KeyKind::Ecdsa(Curve::P256)).map_err(|_| library())?;
    let PublicKey::Ecdsa(ours) = ephemeral.public() else { return Err(library()) };
    let mut ecies = Ecies { point: ours.point().try_into().map_err(|_| library())?, salt: [0; 32] };
    random(&mut ecies.salt)?;
    let shared = ephemeral.agree_p256(&theirs).ok_or_else(library)?;
    Ok((ecies.into(), ContentKey::agreed(&shared, &ecies)))
}

/// Opens a file with the private key for which it was made.
///
/// # Errors
/// [`DecryptError`]. What depends on the private key is [`NotOpened`] and nothing else, so that nobody learns from the
/// refusal which part of a forged header was right.
pub fn decrypt(file: &[u8], key: &PrivateKey) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let image = EncryptedImage::parse(file)?;
    let wrapped = &image.header.wrapped;
    let content_key = match (key.public().kind(), wrapped.ecies()) {
        (KeyKind::Rsa(3072), Err(_)) => {
            let substitute = Secret::try_filled_by(|key| random(key))?;
            ContentKey::new(key.decrypt_or(&wrapped.0, substitute)?)
        }
        (KeyKind::Ecdsa(Curve::P256), Ok(ecies)) => {
            ContentKey::agreed(&key.agree_p256(&ecies.point).ok_or(NotOpened)?, &ecies)
        }
        (KeyKind::Rsa(3072), Ok(_)) => return Err(DecryptError::Ecies),
        (KeyKind::Ecdsa(Curve::P256), Err(reserved)) => return Err(DecryptError::NotEcies(reserved)),
        (other, _) => return Err(DecryptError::Key(other)),
    };
    let mut content = Zeroizing::new(image.ciphertext.to_vec());
    content_key.open(&image.header, &mut content)?;
    Ok(content)
}

/// Why an HMAC key gives no device key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no P-256 key follows from this HMAC key: a device would refuse it, generate another")]
pub struct NoDeviceKey;

/// Why an image was not encrypted.
#[derive(Debug, thiserror::Error)]
pub enum EncryptError {
    /// No header carries a content key for such a key.
    #[error("images are encrypted to RSA-3072 and P-256 keys, not to {0}")]
    Recipient(KeyKind),
    /// Too long for its header.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] SigningError),
    /// The cryptographic library refused; it gives no reason.
    #[error("the cryptographic library refused the operation")]
    Library,
}

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
pub enum DecryptError {
    /// Not such a file.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// A key for which no such file is made.
    #[error("images are encrypted to RSA-3072 and P-256 keys, not to {0}")]
    Key(KeyKind),
    /// An RSA key was given.
    #[error("encrypted image: made for a P-256 key, this one is RSA-3072")]
    Ecies,
    /// A P-256 key was given.
    #[error("encrypted image: not made for a P-256 key ({0})")]
    NotEcies(Refusal),
    /// The key is another one, or the file changed.
    #[error(transparent)]
    NotOpened(#[from] NotOpened),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] SigningError),
    /// The private operation was not even tried.
    #[error(transparent)]
    PrivateKey(#[from] PrivateKeyError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../vectors/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn key(name: &str) -> PrivateKey {
        PrivateKey::from_pem(&golden(&format!("keys/{name}.pem")), None).unwrap()
    }

    const PAIRS: [(&str, &str); 2] = [("rsa3072_a", "rsa"), ("ecdsa_p256", "ecies")];

    #[test]
    fn opens_espressifs_files() {
        for (private, file) in PAIRS {
            let plain = decrypt(&golden(&format!("encimg/{file}.enc")), &key(private)).unwrap();
            assert_eq!(*plain, golden("encimg/in.bin"), "{file}");
        }
    }

    #[test]
    fn opens_its_own_and_never_writes_the_same_twice() {
        for (private, _) in PAIRS {
            let key = key(private);
            for len in [0, 1, 16, 4097] {
                let image = vec![0x5A; len];
                let [one, two] = [(); 2].map(|()| encrypt(&image, key.public()).unwrap());
                assert_ne!(one, two);
                assert_eq!(one.len(), HEADER_LEN + len);
                assert_eq!(*decrypt(&one, &key).unwrap(), image);
            }
        }
    }

    #[test]
    fn a_wrong_key_and_a_changed_file_get_the_same_refusal() {
        for (private, file) in PAIRS {
            let (good, other) =
                (golden(&format!("encimg/{file}.enc")), PrivateKey::generate(key(private).public().kind()));
            let refused = |file: &[u8], key: &PrivateKey| match decrypt(file, key) {
                Err(DecryptError::NotOpened(_)) => {}
                other => panic!("{:?}", other.err()),
            };
            refused(&good, &other.unwrap());
            // Key material (a number above the modulus among it, a point off the curve), IV, tag, ciphertext.
            for at in [4, 5, 60, 67, 68, 99, 388, 403, 408, 423, 512, 5511] {
                let mut bad = good.clone();
                bad[at] ^= 0x80;
                refused(&bad, &key(private));
            }
            let mut bad = good.clone();
            bad[4..100].fill(0xFF);
            refused(&bad, &key(private));
        }
    }

    #[test]
    fn names_the_key_that_cannot_fit() {
        let kinds = |file: &str, private: &str| decrypt(&golden(&format!("encimg/{file}.enc")), &key(private)).err();
        assert!(matches!(kinds("ecies", "rsa3072_a"), Some(DecryptError::Ecies)));
        assert!(matches!(kinds("rsa", "ecdsa_p256"), Some(DecryptError::NotEcies(Refusal::Reserved { at: 100 }))));
        assert!(matches!(kinds("rsa", "ecdsa_p384"), Some(DecryptError::Key(KeyKind::Ecdsa(Curve::P384)))));
        assert!(matches!(kinds("rsa", "rsa2048_dev"), Some(DecryptError::Key(KeyKind::Rsa(2048)))));
        for private in ["ecdsa_p384", "rsa2048_dev", "rsa4096_dev"] {
            let kind = key(private).public().kind();
            assert!(matches!(encrypt(b"x", key(private).public()), Err(EncryptError::Recipient(at)) if at == kind));
        }
    }

    #[test]
    fn every_flipped_bit_of_the_header_is_refused() {
        // RSA decrypts a few hundred times a second: every 32nd bit of its key material.
        for (private, file, key_bits) in [("rsa3072_a", "rsa", 96), ("ecdsa_p256", "ecies", 3072)] {
            let (good, key) = (golden(&format!("encimg/{file}.enc")), key(private));
            let wrapped = (0..key_bits).map(|index| 32 + index * 3072 / key_bits);
            for bit in (0..32).chain(wrapped).chain(8 * 388..8 * HEADER_LEN) {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(decrypt(&bad, &key).is_err(), "{file} {bit}");
            }
        }
    }
}
