//! The numbers of an elliptic curve key, laid open: SEC1 `ECPrivateKey` (RFC 5915), read and written.

use super::PrivateKeyError;
use super::p192::P192Key;
use crate::public_key::{curve_of_oid, oid_of};
use cotter_formats::secure_boot::v2::{Curve, EcdsaPublicKey};
use der::{Decode, Encode};
use p256::elliptic_curve::sec1::ToSec1Point;
use sec1::{EcParameters, EcPrivateKey};
use zeroize::Zeroizing;

/// A scalar and its point.
pub(crate) struct EcNumbers {
    pub(crate) curve: Curve,
    /// Big-endian, as long as a coordinate of the curve.
    pub(crate) scalar: Zeroizing<Vec<u8>>,
    pub(crate) public: EcdsaPublicKey,
}

impl EcNumbers {
    /// Reads DER. `outside`: the curve that PKCS#8 names around it.
    ///
    /// # Errors
    /// [`PrivateKeyError::Key`] if no curve is named, or two, or the point is not that of the scalar.
    pub(crate) fn from_sec1(der: &[u8], outside: Option<Curve>) -> Result<Self, PrivateKeyError> {
        let key = EcPrivateKey::from_der(der).map_err(|_| PrivateKeyError::Key)?;
        let inside = key.parameters.and_then(|parameters| parameters.named_curve()).map(curve_of_oid).transpose()?;
        let curve = outside.or(inside).ok_or(PrivateKeyError::Key)?;
        if inside.is_some_and(|inside| inside != curve) {
            return Err(PrivateKeyError::Key);
        }
        let numbers = Self::new(curve, key.private_key)?;
        let claimed = key.public_key.map(|point| EcdsaPublicKey::from_sec1(curve, point));
        match claimed.transpose() {
            Ok(claimed) if claimed.is_none_or(|claimed| claimed == numbers.public) => Ok(numbers),
            _ => Err(PrivateKeyError::Key),
        }
    }

    /// From the scalar alone.
    ///
    /// # Errors
    /// [`PrivateKeyError::Key`] if it is 0 or not below the order of the curve.
    pub(crate) fn new(curve: Curve, scalar: &[u8]) -> Result<Self, PrivateKeyError> {
        let bad = |_| PrivateKeyError::Key;
        let mut padded = Zeroizing::new(vec![0; curve.coordinate_len()]);
        let start = padded.len().checked_sub(scalar.len()).ok_or(PrivateKeyError::Key)?;
        padded[start..].copy_from_slice(scalar);
        let point = match curve {
            Curve::P192 => return Ok(Self { public: P192Key::from_scalar(&padded)?.public()?, curve, scalar: padded }),
            Curve::P256 => {
                let secret = p256::SecretKey::from_slice(&padded).map_err(bad)?;
                secret.public_key().to_sec1_point(false).as_bytes().to_vec()
            }
            Curve::P384 => {
                let secret = p384::SecretKey::from_slice(&padded).map_err(bad)?;
                secret.public_key().to_sec1_point(false).as_bytes().to_vec()
            }
        };
        let public = EcdsaPublicKey::from_sec1(curve, &point).map_err(|_| PrivateKeyError::Key)?;
        Ok(Self { curve, scalar: padded, public })
    }

    /// DER, with curve and point.
    ///
    /// # Errors
    /// [`PrivateKeyError::Library`] if encoding fails.
    pub(crate) fn to_sec1(&self) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
        let point = self.point();
        let key = EcPrivateKey {
            private_key: &self.scalar,
            parameters: Some(EcParameters::NamedCurve(oid_of(self.curve))),
            public_key: Some(&point),
        };
        key.to_der().map(Zeroizing::new).map_err(|_| PrivateKeyError::Library)
    }

    /// The point, uncompressed.
    pub(super) fn point(&self) -> Vec<u8> {
        [&[4], self.public.point()].concat()
    }
}
