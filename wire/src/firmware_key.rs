//! Public keys that release manifests are verified with. The algorithm is a property of the key, never of the message.

use crate::ids::KeyId;
use cotter_formats::rsa_pss;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

/// A trusted key, with the id that signatures name it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirmwareKey {
    id: KeyId,
    public: Public,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "no allocator to box it, and a device has four at most")]
enum Public {
    /// Modulus, big-endian; the exponent is 65537.
    RsaPss2048([u8; 256]),
    /// Uncompressed SEC1 point on the curve.
    Es256([u8; 65]),
}

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PSS, 2048 bits, SHA-256, MGF1-SHA-256, 32 bytes of salt.
    RsaPss2048,
    /// ECDSA P-256 with SHA-256; a signature is `r || s`, 64 bytes.
    Es256,
}

impl Algorithm {
    /// The name in a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RsaPss2048 => "rsa-pss-2048",
            Self::Es256 => "es256",
        }
    }
}

impl FirmwareKey {
    /// Longest SubjectPublicKeyInfo that is read, in bytes.
    pub const MAX_SPKI: usize = 294;

    /// Reads SubjectPublicKeyInfo, DER: RSA-2048 with exponent 65537, or an uncompressed P-256 point.
    ///
    /// # Errors
    /// [`KeyError::Kind`] for any other key or encoding, [`KeyError::Weak`] for a modulus or point that is none.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let public = if let Some(rest) = der.strip_prefix(RSA_2048_HEAD) {
            let n_be: &[u8; 256] =
                rest.strip_suffix(RSA_2048_TAIL).and_then(|n| n.try_into().ok()).ok_or(KeyError::Kind)?;
            if n_be[0] & 0x80 == 0 || n_be[255] & 1 == 0 {
                return Err(KeyError::Weak);
            }
            Public::RsaPss2048(*n_be)
        } else {
            let point: &[u8; 65] = der.strip_prefix(P256_HEAD).and_then(|p| p.try_into().ok()).ok_or(KeyError::Kind)?;
            VerifyingKey::from_sec1_bytes(point).map_err(|_| KeyError::Weak)?;
            if point[0] != 4 {
                return Err(KeyError::Kind);
            }
            Public::Es256(*point)
        };
        let digest: [u8; 32] = Sha256::digest(der).into();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        Ok(Self { id: KeyId(id), public })
    }

    /// The first 8 bytes of SHA-256 over the SubjectPublicKeyInfo.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// How this key signs.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.public {
            Public::RsaPss2048(_) => Algorithm::RsaPss2048,
            Public::Es256(_) => Algorithm::Es256,
        }
    }

    /// The SubjectPublicKeyInfo that this key was read from, in `out`.
    #[must_use]
    pub fn spki<'o>(&self, out: &'o mut [u8; Self::MAX_SPKI]) -> &'o [u8] {
        let parts: [&[u8]; 3] = match &self.public {
            Public::RsaPss2048(n_be) => [RSA_2048_HEAD, n_be, RSA_2048_TAIL],
            Public::Es256(point) => [P256_HEAD, point, &[]],
        };
        let mut at = 0;
        for part in parts {
            out[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        &out[..at]
    }

    /// True if `signature` is one of this key over `digest`.
    #[must_use]
    pub fn verifies(&self, digest: &[u8; 32], signature: &[u8]) -> bool {
        match &self.public {
            Public::RsaPss2048(n_be) => rsa_pss::verify_2048(n_be, 65_537, digest, signature).is_ok(),
            Public::Es256(point) => match (VerifyingKey::from_sec1_bytes(point), Signature::from_slice(signature)) {
                (Ok(key), Ok(signature)) => key.verify_prehash(digest, &signature).is_ok(),
                _ => false,
            },
        }
    }

    /// True if the key material is the same, whatever the ids say.
    #[must_use]
    pub fn is_same_key(&self, other: &Self) -> bool {
        self.public == other.public
    }
}

/// DER up to the modulus' bytes: rsaEncryption, a 2048-bit modulus with its leading zero.
const RSA_2048_HEAD: &[u8] = &[
    0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00,
];
/// DER after it: exponent 65537.
const RSA_2048_TAIL: &[u8] = &[0x02, 0x03, 0x01, 0x00, 0x01];
/// SubjectPublicKeyInfo of a P-256 key, DER, up to its uncompressed point: id-ecPublicKey, prime256v1, a bit string of 65
/// bytes.
pub const P256_HEAD: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Why bytes are no key to trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither RSA-2048 with exponent 65537 nor an uncompressed P-256 point, or not DER.
    #[error("firmware key: not an RSA-2048 (e = 65537) or P-256 SubjectPublicKeyInfo")]
    Kind,
    /// A short or even modulus, or a point that is not on the curve.
    #[error("firmware key: the modulus or point is not usable")]
    Weak,
}
