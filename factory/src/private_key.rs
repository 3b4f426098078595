//! Private keys in PEM: read in every spelling that OpenSSL and espsecure write, made, saved, and used to sign blocks.
//!
//! RSA, P-256 and P-384 are the business of aws-lc-rs; for P-192 see its own file.

mod file;
mod numbers;
mod p192;
mod primitive;
mod v1;

pub(crate) use self::file::{PrivateDer, private_der};
pub(crate) use self::numbers::EcNumbers;
use self::p192::P192Key;
use crate::public_key::{EC, KeyKind, PublicKey, PublicKeyError, RSA, curve_of};
use crate::signing::{SigningError, random};
use aws_lc_rs::digest::{Digest, SHA256, SHA384};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
};
use cotter_formats::secure_boot::v1::SignatureError;
use cotter_formats::secure_boot::v2::{BLOCK_LEN, BlockRefusal, ContentDigests, Curve, EcdsaPublicKey};
use der::Decode;
use pem_rfc7468::LineEnding;
use pkcs8::PrivateKeyInfoRef;
use pkcs8::pkcs5::pbes2;
use zeroize::Zeroizing;

/// A private key that can sign for Secure Boot or a manifest, or only be converted.
pub struct PrivateKey {
    pair: Pair,
    public: PublicKey,
    /// Of an elliptic curve key that was read.
    scalar: Option<Zeroizing<Vec<u8>>>,
}

enum Pair {
    Rsa(RsaKeyPair),
    P192(P192Key),
    Ecdsa(EcdsaKeyPair),
}

impl PrivateKey {
    /// A fresh key from the system's CSPRNG. RSA of 2048, 3072 or 4096 bits.
    ///
    /// # Errors
    /// [`PrivateKeyError::Size`] for other sizes, [`PrivateKeyError::Library`] if the generator fails.
    pub fn generate(kind: KeyKind) -> Result<Self, PrivateKeyError> {
        let library = |_| PrivateKeyError::Library;
        let pair = match kind {
            KeyKind::Rsa(bits) => {
                let size = match bits {
                    2048 => KeySize::Rsa2048,
                    3072 => KeySize::Rsa3072,
                    4096 => KeySize::Rsa4096,
                    _ => return Err(PrivateKeyError::Size(bits)),
                };
                Pair::Rsa(RsaKeyPair::generate(size).map_err(library)?)
            }
            KeyKind::Ecdsa(Curve::P192) => Pair::P192(P192Key::generate()?),
            KeyKind::Ecdsa(Curve::P256) => {
                Pair::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(library)?)
            }
            KeyKind::Ecdsa(Curve::P384) => {
                Pair::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).map_err(library)?)
            }
        };
        let curve = match kind {
            KeyKind::Ecdsa(curve) => Some(curve),
            KeyKind::Rsa(_) => None,
        };
        Self::of(pair, curve)
    }

    /// Reads PKCS#8 (encrypted too), PKCS#1 or SEC1. Other PEM blocks before it (EC PARAMETERS) are skipped.
    ///
    /// # Errors
    /// [`PrivateKeyError`]; [`PrivateKeyError::PasswordNeeded`] for an encrypted key without a password.
    pub fn from_pem(pem: &[u8], password: Option<&[u8]>) -> Result<Self, PrivateKeyError> {
        match private_der(pem, password)? {
            PrivateDer::Pkcs8(der) => Self::from_pkcs8(&der),
            PrivateDer::Pkcs1(der) => {
                Self::of(Pair::Rsa(RsaKeyPair::from_der(&der).map_err(|_| PrivateKeyError::Key)?), None)
            }
            PrivateDer::Sec1(der) => Self::from_numbers(EcNumbers::from_sec1(&der, None)?),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, PrivateKeyError> {
        let info = PrivateKeyInfoRef::from_der(der).map_err(|_| PrivateKeyError::Key)?;
        match info.algorithm.oid {
            RSA => Self::of(Pair::Rsa(RsaKeyPair::from_pkcs8(der).map_err(|_| PrivateKeyError::Key)?), None),
            EC => {
                let curve = curve_of(&info.algorithm)?;
                Self::from_numbers(EcNumbers::from_sec1(info.private_key.as_bytes(), Some(curve))?)
            }
            other => Err(PublicKeyError::Algorithm(other).into()),
        }
    }

    fn from_numbers(numbers: EcNumbers) -> Result<Self, PrivateKeyError> {
        let (scalar, point) = (&numbers.scalar, numbers.point());
        let pair = match numbers.curve {
            Curve::P192 => Pair::P192(P192Key::from_scalar(scalar)?),
            Curve::P256 => ecdsa_pair(&ECDSA_P256_SHA256_FIXED_SIGNING, scalar, &point)?,
            Curve::P384 => ecdsa_pair(&ECDSA_P384_SHA384_FIXED_SIGNING, scalar, &point)?,
        };
        Ok(Self { pair, public: PublicKey::Ecdsa(numbers.public), scalar: Some(numbers.scalar) })
    }

    fn of(pair: Pair, curve: Option<Curve>) -> Result<Self, PrivateKeyError> {
        let point = |bytes: &[u8]| {
            let curve = curve.ok_or(PrivateKeyError::Key)?;
            Ok::<_, PrivateKeyError>(PublicKey::Ecdsa(
                EcdsaPublicKey::from_sec1(curve, bytes).map_err(|_| PrivateKeyError::Key)?,
            ))
        };
        let public = match &pair {
            Pair::Rsa(key) => PublicKey::from_pkcs1(key.public_key().as_ref())?,
            Pair::P192(key) => PublicKey::Ecdsa(key.public()?),
            Pair::Ecdsa(key) => point(key.public_key().as_ref())?,
        };
        Ok(Self { pair, public, scalar: None })
    }

    /// The private number of an elliptic curve key that was read, highest byte first, for the ECDSA peripheral.
    #[must_use]
    pub fn scalar(&self) -> Option<&[u8]> {
        self.scalar.as_ref().map(|scalar| scalar.as_slice())
    }

    /// Its public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// PKCS#8 PEM, unencrypted.
    ///
    /// # Errors
    /// [`PrivateKeyError::Library`] if encoding fails.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, PrivateKeyError> {
        pem("PRIVATE KEY", &self.to_pkcs8()?)
    }

    /// PKCS#8 PEM under a password: PBES2 with PBKDF2-HMAC-SHA256 (600,000 rounds) and AES-256-CBC, which OpenSSL and
    /// mbedTLS read.
    ///
    /// # Errors
    /// [`PrivateKeyError::EmptyPassword`], or [`PrivateKeyError::Library`] if encoding fails.
    pub fn to_encrypted_pem(&self, password: &[u8]) -> Result<Zeroizing<String>, PrivateKeyError> {
        if password.is_empty() {
            return Err(PrivateKeyError::EmptyPassword);
        }
        let (mut salt, mut iv) = ([0; 16], [0; 16]);
        random(&mut salt)?;
        random(&mut iv)?;
        let parameters = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(PBKDF2_ROUNDS, &salt, iv);
        let parameters = parameters.map_err(|_| PrivateKeyError::Library)?;
        let der = self.to_pkcs8()?;
        let info = PrivateKeyInfoRef::from_der(&der).map_err(|_| PrivateKeyError::Library)?;
        let encrypted = info.encrypt_with_params(parameters, password).map_err(|_| PrivateKeyError::Library)?;
        pem("ENCRYPTED PRIVATE KEY", encrypted.as_bytes())
    }

    /// PKCS#8, DER, unencrypted.
    fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
        let library = |_| PrivateKeyError::Library;
        Ok(Zeroizing::new(match &self.pair {
            Pair::Rsa(key) => {
                let der: Pkcs8V1Der<'_> = key.as_der().map_err(library)?;
                der.as_ref().to_vec()
            }
            Pair::Ecdsa(key) => key.to_pkcs8v1().map_err(library)?.as_ref().to_vec(),
            Pair::P192(key) => key.to_pkcs8()?.as_bytes().to_vec(),
        }))
    }

    /// A signature over `message` as X.509 has it: PKCS#1 v1.5 with SHA-256 for RSA, for ECDSA (SHA-256 on P-256, SHA-384
    /// on P-384) the DER of both numbers.
    ///
    /// # Errors
    /// [`PrivateKeyError::P192`], [`PrivateKeyError::Library`] if signing fails.
    pub(crate) fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, PrivateKeyError> {
        let library = |_| PrivateKeyError::Library;
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(library)?;
                Ok(signature)
            }
            Pair::Ecdsa(key) => {
                let signature = key.sign(&random, message).map_err(library)?;
                let numbers = signature.as_ref();
                let der =
                    match self.public.kind() {
                        KeyKind::Ecdsa(Curve::P384) => p384::ecdsa::Signature::from_slice(numbers)
                            .map(|numbers| numbers.to_der().as_bytes().to_vec()),
                        _ => p256::ecdsa::Signature::from_slice(numbers)
                            .map(|numbers| numbers.to_der().as_bytes().to_vec()),
                    };
                der.map_err(|_| PrivateKeyError::Library)
            }
            Pair::P192(_) => Err(PrivateKeyError::P192),
        }
    }

    /// A Secure Boot V2 block over content with these digests. The signature is verified before it is returned.
    ///
    /// # Errors
    /// [`PrivateKeyError::Public`] if no ROM verifies keys of this kind, [`PrivateKeyError::Library`] if signing fails.
    pub fn sign_block(&self, digests: &ContentDigests) -> Result<[u8; BLOCK_LEN], PrivateKeyError> {
        let public = self.public.secure_boot()?;
        let digest = digests.of_scheme(public.scheme());
        let library = |_| PrivateKeyError::Library;
        let import = |algorithm| Digest::import_less_safe(digest, algorithm).map_err(library);
        let signature = match &self.pair {
            Pair::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign_digest(&RSA_PSS_SHA256, &import(&SHA256)?, &mut signature).map_err(library)?;
                signature
            }
            Pair::Ecdsa(key) => {
                let algorithm = if digest.len() == 48 { &SHA384 } else { &SHA256 };
                key.sign_digest(&import(algorithm)?).map_err(library)?.as_ref().to_vec()
            }
            Pair::P192(key) => key.sign(&digests.sha256),
        };
        Ok(public.block(digests, &signature)?)
    }
}

fn pem(label: &str, der: &[u8]) -> Result<Zeroizing<String>, PrivateKeyError> {
    let pem = pem_rfc7468::encode_string(label, LineEnding::LF, der);
    pem.map(Zeroizing::new).map_err(|_| PrivateKeyError::Library)
}

fn ecdsa_pair(
    algorithm: &'static EcdsaSigningAlgorithm,
    secret: &[u8],
    public: &[u8],
) -> Result<Pair, PrivateKeyError> {
    let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, secret, public);
    pair.map(Pair::Ecdsa).map_err(|_| PrivateKeyError::Key)
}

/// What OWASP asks for with HMAC-SHA256.
const PBKDF2_ROUNDS: u32 = 600_000;

/// Why a private key was not read, made or used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateKeyError {
    /// No PEM block that holds a private key.
    #[error("not a PEM private key")]
    NotPem,
    /// OpenSSL's old encryption, one round of MD5.
    #[error("the key is encrypted in OpenSSL's legacy way (\"Proc-Type\"), which protects it badly")]
    LegacyEncryption,
    /// Encrypted in a way that this library does not know.
    #[error("the key is encrypted in a way that is not supported")]
    Encryption,
    /// Encrypted, but nobody gave a password.
    #[error("the key is encrypted and needs a password")]
    PasswordNeeded,
    /// It did not decrypt.
    #[error("the key does not decrypt: wrong password, or an unsupported cipher")]
    Password,
    /// The structure inside is not that of a key, or its halves do not belong together.
    #[error("the private key is malformed")]
    Key,
    /// Something in it that has to do with its public half.
    #[error(transparent)]
    Public(#[from] PublicKeyError),
    /// A size of RSA key that is not made.
    #[error("RSA keys are made with 2048, 3072 or 4096 bits, not {0}")]
    Size(usize),
    /// The signature is not one; it comes from a library.
    #[error(transparent)]
    Block(#[from] BlockRefusal),
    /// Nobody who reads certificates takes that curve any more.
    #[error("P-192 keys sign for Secure Boot only, no certificates: NIST withdrew the curve, and TLS does not know it")]
    P192,
    /// The Secure Boot V1 signature does not verify; it comes from a library.
    #[error(transparent)]
    V1(#[from] SignatureError),
    /// A key under an empty password is not protected.
    #[error("the password is empty: it would protect nothing")]
    EmptyPassword,
    /// The cryptographic library refused; it gives no reason.
    #[error("the cryptographic library refused the operation")]
    Library,
    /// No randomness to be had.
    #[error(transparent)]
    Random(#[from] SigningError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use cotter_formats::secure_boot::v2::{SignedFile, Trusted, append_block};

    const KINDS: [KeyKind; 4] =
        [KeyKind::Rsa(3072), KeyKind::Ecdsa(Curve::P192), KeyKind::Ecdsa(Curve::P256), KeyKind::Ecdsa(Curve::P384)];

    fn golden(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../vectors/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn reads_what_openssl_writes() {
        for name in ["rsa3072_a", "rsa3072_b", "ecdsa_p192", "ecdsa_p256", "ecdsa_p384"] {
            let key = PrivateKey::from_pem(&golden(&format!("keys/{name}.pem")), None).unwrap();
            assert_eq!(key.public().to_pem().unwrap().as_bytes(), golden(&format!("sbv2/pub-{name}.pem")), "{name}");
        }
        let small = PrivateKey::from_pem(&golden("keys/rsa2048_dev.pem"), None).unwrap();
        assert_eq!(small.public().kind(), KeyKind::Rsa(2048));
        let refusal = small.sign_block(&ContentDigests::of(b"")).unwrap_err();
        assert!(matches!(refusal, PrivateKeyError::Public(PublicKeyError::NotSecureBoot(KeyKind::Rsa(2048)))));
    }

    #[test]
    fn fresh_keys_survive_pem_and_sign_what_verifies() {
        for kind in KINDS {
            let made = PrivateKey::generate(kind).unwrap();
            let key = PrivateKey::from_pem(made.to_pem().unwrap().as_bytes(), None).unwrap();
            assert_eq!((key.public(), key.public().kind()), (made.public(), kind));
            let content = vec![0x5a; 4096];
            let file = append_block(&content, &key.sign_block(&ContentDigests::of(&content)).unwrap());
            let trusted = [made.public().secure_boot_digest().unwrap()];
            let verdict = SignedFile::parse(&file).unwrap().verify_any(&trusted);
            assert_eq!(verdict, Ok(Trusted { block: 0, digest: 0 }), "{kind}");
        }
    }

    #[test]
    fn a_password_protects_a_key_and_is_needed_to_read_it() {
        for kind in KINDS {
            let made = PrivateKey::generate(kind).unwrap();
            let pem = made.to_encrypted_pem(b"correct horse").unwrap();
            assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "{kind}");
            let read = |password: Option<&[u8]>| PrivateKey::from_pem(pem.as_bytes(), password);
            assert_eq!(read(Some(b"correct horse")).unwrap().public(), made.public(), "{kind}");
            assert!(matches!(read(None), Err(PrivateKeyError::PasswordNeeded)));
            assert!(matches!(read(Some(b"wrong horse")), Err(PrivateKeyError::Password | PrivateKeyError::Key)));
            assert!(matches!(made.to_encrypted_pem(b""), Err(PrivateKeyError::EmptyPassword)));
        }
    }

    #[test]
    fn two_fresh_keys_differ() {
        for kind in KINDS.into_iter().skip(1) {
            let [a, b] = [0, 1].map(|_| PrivateKey::generate(kind).unwrap());
            assert_ne!(a.public(), b.public());
        }
    }

    #[test]
    fn refuses_what_is_no_key_by_name() {
        let refusal = |pem: &str| PrivateKey::from_pem(pem.as_bytes(), None).err().unwrap().to_string();
        assert_eq!(refusal("hello"), "not a PEM private key");
        let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        assert!(refusal(legacy).contains("legacy"));
        let pem = golden("keys/ecdsa_p256.pem");
        let (label, mut der) = pem_rfc7468::decode_vec(&pem).unwrap();
        let last = der.len() - 1;
        der[last] ^= 1;
        let torn = pem_rfc7468::encode_string(label, LineEnding::LF, &der).unwrap();
        assert_eq!(refusal(&torn), "the private key is malformed", "the public half is of another key");
    }
}
