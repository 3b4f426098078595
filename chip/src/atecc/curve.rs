//! P-256 as the part has it: keys are scalars of 32 bytes, points are X and Y.

use crate::entropy::Entropy;
use cotter_formats::atecc::Status;
use ecdsa::hazmat;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::elliptic_curve::point::AffineCoordinates;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{NistP256, PublicKey, SecretKey};
use sha2::Sha256;
use zeroize::Zeroizing;

/// A private key.
pub(super) struct PrivateKey(SecretKey);

impl PrivateKey {
    pub(super) fn generate(entropy: &Entropy) -> Self {
        loop {
            let mut bytes = Zeroizing::new([0; 32]);
            entropy.fill(&mut *bytes);
            // One number in 2^32 is no scalar.
            if let Some(key) = Self::from_bytes(&bytes) {
                return key;
            }
        }
    }

    /// `None` for zero and for what is not below the order of the curve.
    pub(super) fn from_bytes(bytes: &Zeroizing<[u8; 32]>) -> Option<Self> {
        SecretKey::from_slice(&**bytes).ok().map(Self)
    }

    pub(super) fn bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    /// X and Y.
    pub(super) fn public(&self) -> [u8; 64] {
        let point = self.0.public_key().to_sec1_point(false);
        let mut out = [0; 64];
        out.copy_from_slice(&point.as_bytes()[1..]);
        out
    }

    /// R and S over a digest; another signature each time, as the part's are.
    pub(super) fn sign(&self, digest: &[u8; 32], entropy: &Entropy) -> [u8; 64] {
        let mut noise = Zeroizing::new([0; 32]);
        entropy.fill(&mut *noise);
        let scalar = self.0.to_nonzero_scalar();
        let (signature, _) = hazmat::sign_prehashed_rfc6979::<NistP256, Sha256>(&scalar, digest, &*noise);
        signature.to_bytes().into()
    }

    /// X of the shared point; `None` if the other one is not on the curve.
    pub(super) fn agree(&self, point: &[u8; 64]) -> Option<Zeroizing<[u8; 32]>> {
        let shared = public_key(point)?.to_projective() * *self.0.to_nonzero_scalar();
        Some(Zeroizing::new(shared.to_affine().x().into()))
    }
}

/// Whether R and S are a signature of the digest.
///
/// # Errors
/// [`Status::ECC_FAULT`] if the key is no point of the curve. What a part answers then is not documented.
pub(super) fn verify(key: &[u8; 64], digest: &[u8; 32], signature: &[u8; 64]) -> Result<bool, Status> {
    let key = VerifyingKey::from(public_key(key).ok_or(Status::ECC_FAULT)?);
    Ok(Signature::from_slice(signature).is_ok_and(|signature| key.verify_prehash(digest, &signature).is_ok()))
}

fn public_key(point: &[u8; 64]) -> Option<PublicKey> {
    let mut encoded = [4; 65];
    encoded[1..].copy_from_slice(point);
    PublicKey::from_sec1_bytes(&encoded).ok()
}
