//! Private keys that sign what devices boot and install. They stay on the release engineer's side: the server never links this.

use crate::output::{Visibility, write_whole};
use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PSS_SHA256};
use cotter_formats::secure_boot::v2::{self, RsaPublicKey};
use pem_rfc7468::{LineEnding, PemLabel};
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

/// Secure Boot V2 key, RSA-3072: what the boot ROM and the second stage check.
pub struct SecureBootKey(RsaKeyPair);

impl SecureBootKey {
    /// A fresh key from the system's CSPRNG.
    ///
    /// # Errors
    /// [`SigningError::Library`] if the generator fails.
    pub fn generate() -> Result<Self, SigningError> {
        Ok(Self(RsaKeyPair::generate(KeySize::Rsa3072).map_err(|_| SigningError::Library)?))
    }

    /// Reads an unencrypted PKCS#8 PEM file.
    ///
    /// # Errors
    /// I/O, a file that is not PKCS#8 PEM, or a key that is not RSA-3072.
    pub fn load(path: &Path) -> Result<Self, SigningError> {
        let key = RsaKeyPair::from_pkcs8(&read_pkcs8(path)?).map_err(|_| SigningError::NotThisKind("RSA-3072"))?;
        match key.public_modulus_len() {
            384 => Ok(Self(key)),
            _ => Err(SigningError::NotThisKind("RSA-3072")),
        }
    }

    /// Writes PKCS#8 PEM, mode 0600.
    ///
    /// # Errors
    /// I/O.
    pub fn save(&self, path: &Path) -> Result<(), SigningError> {
        let der: Pkcs8V1Der<'_> = self.0.as_der().map_err(|_| SigningError::Library)?;
        write_pkcs8(path, der.as_ref())
    }

    /// Modulus and exponent as the signature block wants them.
    #[must_use]
    pub fn public(&self) -> RsaPublicKey {
        // RFC 8017 RSAPublicKey: 30 82 LL LL | 02 82 01 81 00 <384 bytes n> | 02 03 01 00 01
        let der = self.0.public_key().as_ref();
        let mut n_be = [0; 384];
        n_be.copy_from_slice(&der[9..393]);
        RsaPublicKey { n_be, e: 65_537 }
    }

    /// SHA-256 over the public key fields of the block: what is burned into the eFuse.
    ///
    /// # Errors
    /// [`SigningError::Library`] if the modulus is not one (it comes from the library).
    pub fn digest(&self) -> Result<[u8; 32], SigningError> {
        self.public().key_digest().map_err(|_| SigningError::Library)
    }

    /// Pads `image` to a sector with 0xFF and appends the signature sector.
    ///
    /// # Errors
    /// [`SigningError::Library`] if signing fails.
    pub fn sign(&self, image: &[u8]) -> Result<Vec<u8>, SigningError> {
        v2::append_signature(image, &self.public(), |digest| {
            let digest = Digest::import_less_safe(digest, &SHA256).map_err(|_| SigningError::Library)?;
            let mut signature = [0; 384];
            self.0.sign_digest(&RSA_PSS_SHA256, &digest, &mut signature).map_err(|_| SigningError::Library)?;
            Ok(signature)
        })
        .map_err(|refused: v2::SignError<SigningError>| match refused {
            v2::SignError::Signer(error) => error,
            _ => SigningError::Library,
        })
    }
}

/// A key that signs release manifests: the first of the two signatures on every update.
pub enum ManifestKey {
    /// RSA-2048, PSS with SHA-256 and a 32-byte salt, as the EcoWatt guide has it.
    RsaPss2048(RsaKeyPair),
    /// ECDSA P-256 with SHA-256.
    Es256(EcdsaKeyPair),
}

impl ManifestKey {
    /// A fresh RSA-2048 key.
    ///
    /// # Errors
    /// [`SigningError::Library`] if the generator fails.
    pub fn generate_rsa() -> Result<Self, SigningError> {
        Ok(Self::RsaPss2048(RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| SigningError::Library)?))
    }

    /// A fresh P-256 key.
    ///
    /// # Errors
    /// [`SigningError::Library`] if the generator fails.
    pub fn generate_p256() -> Result<Self, SigningError> {
        Ok(Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| SigningError::Library)?))
    }

    /// Reads an unencrypted PKCS#8 PEM file.
    ///
    /// # Errors
    /// I/O, a file that is not PKCS#8 PEM, or a key that is neither RSA-2048 nor P-256.
    pub fn load(path: &Path) -> Result<Self, SigningError> {
        let der = read_pkcs8(path)?;
        if let Ok(key) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der) {
            return Ok(Self::Es256(key));
        }
        match RsaKeyPair::from_pkcs8(&der) {
            Ok(key) if key.public_modulus_len() == 256 => Ok(Self::RsaPss2048(key)),
            _ => Err(SigningError::NotThisKind("RSA-2048 or P-256")),
        }
    }

    /// Writes PKCS#8 PEM, mode 0600.
    ///
    /// # Errors
    /// I/O.
    pub fn save(&self, path: &Path) -> Result<(), SigningError> {
        match self {
            Self::RsaPss2048(key) => {
                let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| SigningError::Library)?;
                write_pkcs8(path, der.as_ref())
            }
            Self::Es256(key) => write_pkcs8(path, key.to_pkcs8v1().map_err(|_| SigningError::Library)?.as_ref()),
        }
    }

    /// SubjectPublicKeyInfo, DER: what devices and the server trust.
    ///
    /// # Errors
    /// [`SigningError::Library`] if encoding fails.
    pub fn public_spki(&self) -> Result<Vec<u8>, SigningError> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::RsaPss2048(key) => key.public_key().as_der(),
            Self::Es256(key) => key.public_key().as_der(),
        }
        .map_err(|_| SigningError::Library)?;
        Ok(der.as_ref().to_vec())
    }

    /// [`Self::public_spki`] as PEM ("BEGIN PUBLIC KEY").
    ///
    /// # Errors
    /// [`SigningError::Library`] if encoding fails.
    pub fn public_pem(&self) -> Result<String, SigningError> {
        let der = self.public_spki()?;
        pem_rfc7468::encode_string("PUBLIC KEY", LineEnding::LF, &der).map_err(|_| SigningError::Library)
    }

    /// Signs a SHA-256 digest: 256 bytes big-endian for RSA, 64 bytes `r || s` for P-256.
    ///
    /// # Errors
    /// [`SigningError::Library`] if signing fails.
    pub fn sign_digest(&self, digest: &[u8; 32]) -> Result<Vec<u8>, SigningError> {
        let digest = Digest::import_less_safe(digest, &SHA256).map_err(|_| SigningError::Library)?;
        match self {
            Self::RsaPss2048(key) => {
                let mut signature = vec![0; 256];
                key.sign_digest(&RSA_PSS_SHA256, &digest, &mut signature).map_err(|_| SigningError::Library)?;
                Ok(signature)
            }
            Self::Es256(key) => {
                key.sign_digest(&digest).map(|s| s.as_ref().to_vec()).map_err(|_| SigningError::Library)
            }
        }
    }
}

/// Fills `bytes` from the system's CSPRNG.
///
/// # Errors
/// [`SigningError::Library`] if the system has no randomness to give.
pub fn random(bytes: &mut [u8]) -> Result<(), SigningError> {
    use aws_lc_rs::rand::SecureRandom;
    SystemRandom::new().fill(bytes).map_err(|_| SigningError::Library)
}

fn read_pkcs8(path: &Path) -> Result<Zeroizing<Vec<u8>>, SigningError> {
    let pem = Zeroizing::new(std::fs::read(path)?);
    let (label, der) = pem_rfc7468::decode_vec(&pem).map_err(|_| SigningError::NotPem)?;
    let der = Zeroizing::new(der);
    match label {
        "PRIVATE KEY" => Ok(der),
        _ => Err(SigningError::NotPem),
    }
}

fn write_pkcs8(path: &Path, der: &[u8]) -> Result<(), SigningError> {
    struct Pkcs8;
    impl PemLabel for Pkcs8 {
        const PEM_LABEL: &'static str = "PRIVATE KEY";
    }
    let pem = pem_rfc7468::encode_string(Pkcs8::PEM_LABEL, LineEnding::LF, der).map_err(|_| SigningError::Library)?;
    Ok(write_whole(path, Zeroizing::new(pem).as_bytes(), Visibility::Secret)?)
}

/// Why a key could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The file could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Not a PKCS#8 PEM file ("BEGIN PRIVATE KEY").
    #[error("not an unencrypted PKCS#8 PEM private key")]
    NotPem,
    /// A key, but of another kind.
    #[error("the key is not {0}")]
    NotThisKind(&'static str),
    /// The cryptographic library refused; it gives no reason.
    #[error("the cryptographic library refused the operation")]
    Library,
}
