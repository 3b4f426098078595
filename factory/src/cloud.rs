//! What is made for a device that reports to somebody else's cloud: the signature that a custom authorizer of AWS wants, and
//! whether certificate and key are what a cloud takes.

use crate::pki::leaf::judge_key;
use crate::pki::{Certificate, DateTime, PkiError};
use crate::private_key::{PrivateKey, PrivateKeyError};
use crate::public_key::{KeyKind, PublicKeyError};
use crate::signing::{SigningError, random};
use base64ct::{Base64UrlUnpadded, Encoding};
use cotter_wire::cloud::aws::{AuthorizerToken, MAX_SIGNATURE, MAX_USER_NAME};
use zeroize::Zeroizing;

/// A key that signs tokens for a custom authorizer, which has its public half.
pub struct AuthorizerKey(PrivateKey);

impl AuthorizerKey {
    /// RSA, 2048 to 4096 bits.
    ///
    /// # Errors
    /// [`CloudError::AuthorizerKey`] for any other.
    pub fn new(key: PrivateKey) -> Result<Self, CloudError> {
        match key.public().kind() {
            KeyKind::Rsa(2048..=MAX_BITS) => Ok(Self(key)),
            kind => Err(CloudError::AuthorizerKey { kind }),
        }
    }

    /// The MQTT user name with the token and its signature.
    ///
    /// # Errors
    /// [`CloudError::PrivateKey`] if signing fails.
    pub fn user_name(&self, token: &AuthorizerToken<'_>) -> Result<Zeroizing<String>, CloudError> {
        let signature = self.0.sign_message(token.signing_input())?;
        let mut out = Zeroizing::new(vec![0; MAX_USER_NAME]);
        let name = token.user_name(&signature, &mut out).map_err(|_| PrivateKeyError::Library)?;
        Ok(Zeroizing::new(name.to_owned()))
    }
}

/// 32 random bytes as base64url.
///
/// # Errors
/// [`CloudError::Random`].
pub fn fresh_token() -> Result<Zeroizing<String>, CloudError> {
    let mut bytes = Zeroizing::new([0; 32]);
    random(&mut *bytes)?;
    Ok(Zeroizing::new(Base64UrlUnpadded::encode_string(&*bytes)))
}

/// A device's certificate that a cloud may be shown.
pub struct ClientCertificate {
    /// Its common name, which is what both clouds know the device by.
    pub common_name: String,
    /// RSA or which curve.
    pub kind: KeyKind,
    /// Its last second.
    pub not_after: DateTime,
}

impl ClientCertificate {
    /// The first certificate of a file, at that moment. `key` is its private key, if that is where it can be read.
    ///
    /// # Errors
    /// [`CloudError`]: a key of another certificate, a certificate of no use now, or without a name, or of a kind of key that
    /// nobody takes.
    pub fn judge(certificate: &Certificate, key: Option<&PrivateKey>, now: DateTime) -> Result<Self, CloudError> {
        let public = certificate.public_key()?;
        judge_key(&public)?;
        if key.is_some_and(|key| *key.public() != public) {
            return Err(CloudError::OtherKey);
        }
        let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
        if not_after < now {
            return Err(CloudError::Expired { not_after });
        }
        if not_before > now {
            return Err(CloudError::NotYet { not_before });
        }
        let common_name = certificate.subject().common_name().ok_or(CloudError::NoName)?;
        Ok(Self { common_name, kind: public.kind(), not_after })
    }
}

const MAX_BITS: usize = 8 * MAX_SIGNATURE;

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// An authorizer verifies RSA.
    #[error("a custom authorizer's key is RSA of 2048 to 4096 bits, and this one is {kind}")]
    AuthorizerKey {
        /// What it is.
        kind: KeyKind,
    },
    /// They do not belong together.
    #[error("the certificate is for another key")]
    OtherKey,
    /// Its time is over.
    #[error("the certificate ended on {not_after}")]
    Expired {
        /// Its last second.
        not_after: DateTime,
    },
    /// Its time has not come.
    #[error("the certificate begins on {not_before}")]
    NotYet {
        /// Its first second.
        not_before: DateTime,
    },
    /// No common name.
    #[error("the certificate has no common name")]
    NoName,
    /// A key that nobody takes.
    #[error(transparent)]
    Weak(#[from] PkiError),
    /// The certificate's key.
    #[error(transparent)]
    PublicKey(#[from] PublicKeyError),
    /// The private key.
    #[error(transparent)]
    PrivateKey(#[from] PrivateKeyError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] SigningError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::ProductCa;
    use crate::public_key::KeyKind::Ecdsa;
    use cotter_formats::secure_boot::v2::Curve;
    use std::time::Duration;

    fn moment(of: DateTime, offset: i64) -> DateTime {
        let seconds = of.unix_duration().as_secs().checked_add_signed(offset).unwrap();
        DateTime::from_unix_duration(Duration::from_secs(seconds)).unwrap()
    }

    #[test]
    fn a_certificate_is_for_its_key_and_its_time() {
        let issued = ProductCa::generate("test CA").unwrap().issue_device("lamp").unwrap();
        let key = PrivateKey::from_pem(issued.key_pem.as_bytes(), None).unwrap();
        let other = PrivateKey::generate(Ecdsa(Curve::P256)).unwrap();
        let certificate = Certificate::from_der(&issued.certificate_der).unwrap();
        let (begin, end) = (certificate.not_before(), certificate.not_after());
        for (at, key, expected) in [
            (begin, Some(&key), Ok("lamp")),
            (end, Some(&key), Ok("lamp")),
            (end, None, Ok("lamp")),
            (end, Some(&other), Err(CloudError::OtherKey)),
            (moment(end, 1), Some(&key), Err(CloudError::Expired { not_after: end })),
            (moment(begin, -1), Some(&key), Err(CloudError::NotYet { not_before: begin })),
        ] {
            let found = ClientCertificate::judge(&certificate, key, at);
            let found = found.map(|certificate| certificate.common_name).map_err(|refused| refused.to_string());
            assert_eq!(found, expected.map(str::to_owned).map_err(|refused| refused.to_string()));
        }
    }

    #[test]
    fn authorizers_take_no_elliptic_curve_and_fresh_tokens_are_fresh() {
        let curve = PrivateKey::generate(Ecdsa(Curve::P256)).unwrap();
        let refused = AuthorizerKey::new(curve).err().unwrap();
        assert!(matches!(refused, CloudError::AuthorizerKey { kind: Ecdsa(Curve::P256) }));
        let [first, second] = [fresh_token().unwrap(), fresh_token().unwrap()];
        assert!(first.len() == 43 && first != second);
    }
}
