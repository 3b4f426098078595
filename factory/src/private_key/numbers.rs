//! The numbers of an elliptic curve key, laid open: SEC1 `ECPrivateKey` (RFC 5915), read and written.

use super::PrivateKeyError;
use super::p192::P192Key;
use crate::public_key::{curve_of_oid, oid_of};
use aws_lc_rs::agreement::{ECDH_P256, ECDH_P384, PrivateKey};
use cotter_formats::secure_boot::v2::{Curve, EcdsaPublicKey};
use der::{Decode, Encode};
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
        let mut padded = Zeroizing::new(vec![0; curve.coordinate_len()]);
        let start = padded.len().checked_sub(scalar.len()).ok_or(PrivateKeyError::Key)?;
        padded[start..].copy_from_slice(scalar);
        let algorithm = match curve {
            Curve::P192 => return Ok(Self { public: P192Key::from_scalar(&padded)?.public()?, curve, scalar: padded }),
            Curve::P256 => &ECDH_P256,
            Curve::P384 => &ECDH_P384,
        };
        // aws-lc: a signing process would spend most of its own time on this in the p256 crate.
        let key = PrivateKey::from_private_key(algorithm, &padded).map_err(|_| PrivateKeyError::Key)?;
        let point = key.compute_public_key().map_err(|_| PrivateKeyError::Key)?;
        let public = EcdsaPublicKey::from_sec1(curve, point.as_ref()).map_err(|_| PrivateKeyError::Key)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    // SEC 2, version 2.0, 2.4.2 and 2.5.1.
    const N_256: [u8; 32] = hex!("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    const N_384: [u8; 48] =
        hex!("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973");

    #[test]
    fn a_scalar_outside_the_order_is_no_key() {
        for (curve, order) in [(Curve::P256, &N_256[..]), (Curve::P384, &N_384)] {
            let refused = |scalar: &[u8]| matches!(EcNumbers::new(curve, scalar), Err(PrivateKeyError::Key));
            let mut last = order.to_vec();
            *last.last_mut().unwrap() -= 1;
            assert!(!refused(&last), "{curve:?}");
            assert!(refused(&[]) && refused(&[0]) && refused(order) && refused(&vec![0xff; order.len()]), "{curve:?}");
            assert!(refused(&vec![1; order.len() + 1]), "{curve:?}");
        }
    }

    #[test]
    fn the_scalar_1_has_the_generator() {
        let point = EcNumbers::new(Curve::P256, &[1]).unwrap().point();
        let generator = hex!(
            "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
            "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
        );
        assert_eq!(point, generator);
    }
}
