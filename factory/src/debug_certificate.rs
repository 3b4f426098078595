//! Debug certificates of the ESP32-S31, signed.

use crate::private_key::{PrivateKey, PrivateKeyError};
use crate::public_key::{KeyKind, PublicKey};
use crate::token::{TokenError, TokenKey};
use cotter_formats::secure_boot::v2::Curve;
use cotter_formats::secure_debug::{ChipInfo, DebugCertificate, Unlock, key_digest};

/// Signs the permission to unlock `unlock` in one session of one chip. The certificate is verified before it is returned.
///
/// # Errors
/// [`DebugError`].
#[doc(alias = "generate_sdc_certificate")]
pub fn sign(key: &PrivateKey, unlock: Unlock, chip: &ChipInfo) -> Result<DebugCertificate, DebugError> {
    let point = point(key.public())?;
    let signature = key.sign_p256(&DebugCertificate::message_digest(&unlock, chip))?;
    let certificate = DebugCertificate { unlock, point, signature, nonce: chip.nonce };
    certificate.verify(chip).map_err(|_| PrivateKeyError::Library)?;
    Ok(certificate)
}

/// As [`sign`], with a key that a token holds.
///
/// # Errors
/// [`DebugError`].
pub fn sign_with_token(key: &TokenKey, unlock: Unlock, chip: &ChipInfo) -> Result<DebugCertificate, DebugError> {
    let point = point(key.public())?;
    let signature = key.sign_p256(&DebugCertificate::message_digest(&unlock, chip))?;
    let certificate = DebugCertificate { unlock, point, signature, nonce: chip.nonce };
    certificate.verify(chip).map_err(|_| TokenError::Wrong)?;
    Ok(certificate)
}

/// What is burned for a key, in the order of the file that `espefuse burn-key` takes.
///
/// # Errors
/// [`DebugError::Kind`].
pub fn digest(key: &PublicKey) -> Result<[u8; 32], DebugError> {
    Ok(key_digest(&point(key)?))
}

fn point(key: &PublicKey) -> Result<[u8; 64], DebugError> {
    match key {
        PublicKey::Ecdsa(point) if point.curve() == Curve::P256 => {
            Ok(point.point().try_into().expect("a coordinate of P-256 has 32 bytes"))
        }
        other => Err(DebugError::Kind(other.kind())),
    }
}

/// Why no certificate was made.
#[derive(Debug, thiserror::Error)]
pub enum DebugError {
    /// The ROM verifies nothing else.
    #[error("debug certificates are signed with ECDSA P-256, not with {0}")]
    Kind(KeyKind),
    /// Signing failed.
    #[error(transparent)]
    Key(#[from] PrivateKeyError),
    /// The token refused, or answered something else.
    #[error(transparent)]
    Token(#[from] TokenError),
}
