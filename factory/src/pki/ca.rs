//! An authority: made, loaded, issuing. Its key signs certificates and nothing else. Any number of threads may issue.

use super::alternative::{AlternativeName, AlternativeNameError};
use super::certificate::{Certificate, CertificateError};
use super::compressed::{CompressionError, LeafTemplate, point, validity};
use super::leaf::{Leaf, Purpose, Validity, judge_key};
use super::name::{Name, NameError};
use super::now;
use super::profile::{Issuer, Profile, SERIAL_LEN};
use super::signature::SignatureError;
use crate::output::{Visibility, write_whole};
use crate::private_key::{PrivateKey, PrivateKeyError};
use crate::public_key::{KeyKind, PublicKey, PublicKeyError};
use cotter_formats::atecc::certificate::CompressedDates;
use cotter_formats::secure_boot::v2::Curve;
use der::DateTime;
use std::io;
use std::path::Path;
use x509_cert::{builder, spki};
use zeroize::Zeroizing;

/// Days that [`ProductCa::generate`] gives to itself and to what it issues.
const CA_DAYS: u32 = 20 * 365;
const LEAF_DAYS: u32 = 10 * 365;

/// A certificate authority: its certificate and the key to it.
pub struct ProductCa {
    key: PrivateKey,
    certificate: Certificate,
    certificate_pem: String,
    key_id: Option<Vec<u8>>,
    path_length: Option<u8>,
}

/// What an authority is to be.
#[derive(Clone, Debug)]
pub struct AuthorityPlan {
    /// Its name.
    pub subject: Name,
    /// How many intermediate CAs may stand between it and a leaf; `None`: any number.
    pub path_length: Option<u8>,
    /// How long.
    pub validity: Validity,
}

impl ProductCa {
    /// A fresh self-signed P-256 CA named `common_name`, for 20 years; it cannot issue further CAs.
    ///
    /// # Errors
    /// [`PkiError`] from key generation, for a name that cannot be one.
    pub fn generate(common_name: &str) -> Result<Self, PkiError> {
        let plan = AuthorityPlan {
            subject: Name::common(common_name)?,
            path_length: Some(0),
            validity: Validity::days(now()?, CA_DAYS)?,
        };
        Self::root(PrivateKey::generate(KeyKind::Ecdsa(Curve::P256))?, &plan)
    }

    /// A self-signed root with this key.
    ///
    /// # Errors
    /// [`PkiError::Weak`] for a key that is not worth it, [`PkiError`] if signing fails.
    pub fn root(key: PrivateKey, plan: &AuthorityPlan) -> Result<Self, PkiError> {
        judge_key(key.public())?;
        let profile = Profile::authority(None, &plan.subject, plan.path_length)?;
        let certificate = profile.certify(key.public(), plan.validity, &key)?;
        Self::new(certificate, key)
    }

    /// An intermediate CA with this key, signed by this one. Without a path length it gets the longest that is allowed.
    ///
    /// # Errors
    /// [`PkiError::PathLength`] if this CA may not have such a CA below it, otherwise as [`Self::issue`].
    pub fn intermediate(&self, key: PrivateKey, plan: &AuthorityPlan) -> Result<Self, PkiError> {
        let path_length = match (self.path_length, plan.path_length) {
            (None, asked) => asked,
            (Some(ours), asked) => {
                let most = ours.checked_sub(1).ok_or(PkiError::PathLength(ours))?;
                if asked.is_some_and(|asked| asked > most) {
                    return Err(PkiError::PathLength(ours));
                }
                Some(asked.unwrap_or(most))
            }
        };
        let profile = Profile::authority(Some(self.issuer()?), &plan.subject, path_length)?;
        let certificate = self.certify(key.public(), profile, plan.validity)?;
        Self::new(certificate, key)
    }

    /// A CA that exists: the first certificate in `certificate` (PEM or DER), and its key.
    ///
    /// # Errors
    /// [`PkiError::NotAuthority`] with the reason, [`PkiError::OtherKey`].
    pub fn load(certificate: &[u8], key: PrivateKey) -> Result<Self, PkiError> {
        let mut found = Certificate::read_all(certificate)?;
        Self::new(found.swap_remove(0), key)
    }

    fn new(certificate: Certificate, key: PrivateKey) -> Result<Self, PkiError> {
        if certificate.public_key()? != *key.public() {
            return Err(PkiError::OtherKey);
        }
        judge_key(key.public())?;
        let authority = certificate.authority()?;
        if !authority.ca {
            return Err(PkiError::NotAuthority("basicConstraints does not say CA:TRUE"));
        }
        if certificate.key_usage()?.is_some_and(|usage| !usage.key_cert_sign()) {
            return Err(PkiError::NotAuthority("keyUsage does not include keyCertSign"));
        }
        let key_id = certificate.subject_key_id()?;
        let certificate_pem = certificate.to_pem();
        Ok(Self { key, certificate, certificate_pem, key_id, path_length: authority.path_length })
    }

    /// Its certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Its key.
    #[must_use]
    pub const fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The trust anchor that devices carry.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The same in DER.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        self.certificate.as_der()
    }

    /// Issues a certificate for a key that somebody else holds.
    ///
    /// # Errors
    /// [`PkiError::Expired`] and [`PkiError::NotYet`] if this CA is not alive, [`PkiError::Weak`] for such a key,
    /// [`PkiError::Life`] for a life that ends before it begins.
    pub fn issue(&self, key: &PublicKey, leaf: &Leaf) -> Result<Certificate, PkiError> {
        self.certify(key, Profile::leaf(self.issuer()?, leaf)?, leaf.validity)
    }

    /// Issues a certificate that [`super::Shape`] compresses: issued at a full hour, its serial number a hash of key and
    /// dates.
    ///
    /// # Errors
    /// As [`Self::issue`]; [`PkiError::Compression`] for keys and dates that do not fit.
    pub fn issue_compressible(
        &self,
        key: &PublicKey,
        subject: &Name,
        template: LeafTemplate,
        dates: CompressedDates,
    ) -> Result<Certificate, PkiError> {
        let unique = point(key)?;
        point(self.key.public()).map_err(|_| CompressionError::Issuer)?;
        let leaf = template.leaf(subject, validity(dates)?);
        self.judge(key, leaf.validity)?;
        let serial = dates.hashed_serial(&unique);
        let serial = serial.get(..SERIAL_LEN).unwrap_or(&serial);
        Profile::compressible(self.issuer()?, &leaf)?.certify_numbered(key, leaf.validity, serial, &self.key)
    }

    /// Issues a certificate for this private key and keeps the two together.
    ///
    /// # Errors
    /// As [`Self::issue`].
    pub fn issue_with_key(&self, key: &PrivateKey, leaf: &Leaf) -> Result<Issued, PkiError> {
        let certificate = self.issue(key.public(), leaf)?;
        Ok(Issued {
            certificate_pem: certificate.to_pem(),
            certificate_der: certificate.as_der().to_vec(),
            key_pem: key.to_pem()?,
        })
    }

    /// Issues a TLS server certificate for `hosts` (DNS names or IP addresses), with a fresh P-256 key, for 10 years.
    ///
    /// # Errors
    /// [`PkiError::AlternativeName`] for a host that is neither.
    pub fn issue_server(&self, hosts: &[&str]) -> Result<Issued, PkiError> {
        let names = hosts.iter().map(|host| host.parse::<AlternativeName>()).collect::<Result<_, _>>()?;
        self.issue_fresh(hosts.first().unwrap_or(&"server"), names, Purpose::Server)
    }

    /// Issues a device's identity certificate with a fresh P-256 key, for 10 years; the device id is its common name.
    ///
    /// # Errors
    /// [`PkiError`] from key generation or encoding.
    pub fn issue_device(&self, device_id: &str) -> Result<Issued, PkiError> {
        self.issue_fresh(device_id, Vec::new(), Purpose::Client)
    }

    fn issue_fresh(
        &self,
        common_name: &str,
        alternative_names: Vec<AlternativeName>,
        purpose: Purpose,
    ) -> Result<Issued, PkiError> {
        let leaf = Leaf {
            subject: Name::common(common_name)?,
            alternative_names,
            purposes: vec![purpose],
            validity: Validity::days(now()?, LEAF_DAYS)?,
        };
        self.issue_with_key(&PrivateKey::generate(KeyKind::Ecdsa(Curve::P256))?, &leaf)
    }

    /// Writes `ca.pem` (public) and `ca.key.pem` (0600) into `folder`.
    ///
    /// # Errors
    /// I/O.
    pub fn save(&self, folder: &Path) -> Result<(), PkiError> {
        write_whole(&folder.join("ca.pem"), self.certificate_pem.as_bytes(), Visibility::Public)?;
        Ok(write_whole(&folder.join("ca.key.pem"), self.key.to_pem()?.as_bytes(), Visibility::Secret)?)
    }

    fn issuer(&self) -> Result<Issuer, PkiError> {
        Issuer::new(self.certificate.subject(), self.key_id.clone())
    }

    fn certify(&self, key: &PublicKey, profile: Profile, validity: Validity) -> Result<Certificate, PkiError> {
        self.judge(key, validity)?;
        profile.certify(key, validity, &self.key)
    }

    /// Whether this CA is alive, and the key and the life are such that it certifies them.
    fn judge(&self, key: &PublicKey, validity: Validity) -> Result<(), PkiError> {
        judge_key(key)?;
        let now = now()?;
        if now > self.certificate.not_after() {
            return Err(PkiError::Expired(self.certificate.not_after()));
        }
        if now < self.certificate.not_before() {
            return Err(PkiError::NotYet(self.certificate.not_before()));
        }
        if validity.not_after < validity.not_before {
            return Err(PkiError::Life);
        }
        Ok(())
    }
}

/// A certificate with its private key.
pub struct Issued {
    /// The certificate alone; the CA is sent by nobody, its verifier has it.
    pub certificate_pem: String,
    /// The same in DER.
    pub certificate_der: Vec<u8>,
    /// PKCS#8 PEM.
    pub key_pem: Zeroizing<String>,
}

impl Issued {
    /// Writes `<stem>.pem` (public) and `<stem>.key.pem` (0600) into `folder`.
    ///
    /// # Errors
    /// I/O.
    pub fn save(&self, folder: &Path, stem: &str) -> Result<(), PkiError> {
        write_whole(&folder.join(format!("{stem}.pem")), self.certificate_pem.as_bytes(), Visibility::Public)?;
        Ok(write_whole(&folder.join(format!("{stem}.key.pem")), self.key_pem.as_bytes(), Visibility::Secret)?)
    }
}

/// Why a certificate or a request was not made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The file could not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A certificate that was given.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The private key.
    #[error(transparent)]
    PrivateKey(#[from] PrivateKeyError),
    /// The public key.
    #[error(transparent)]
    PublicKey(#[from] PublicKeyError),
    /// The name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An alternative name.
    #[error(transparent)]
    AlternativeName(#[from] AlternativeNameError),
    /// No randomness.
    #[error("the system has no randomness to give")]
    Random,
    /// The encoder refused.
    #[error("the certificate cannot be encoded: {0}")]
    Encoder(#[from] builder::Error),
    /// The clock, or a life that leaves the calendar.
    #[error("a time before 1970 or after 9999")]
    Clock,
    /// A key that gets no certificate.
    #[error("the {0} key {1}")]
    Weak(KeyKind, &'static str),
    /// Certificate and key do not belong together.
    #[error("the private key is not that of the CA certificate")]
    OtherKey,
    /// It may not sign certificates.
    #[error("the certificate is not that of a CA: {0}")]
    NotAuthority(&'static str),
    /// A CA below this one would not be believed.
    #[error("the CA has path length {0}: no such CA may be below it")]
    PathLength(u8),
    /// The CA's life is over.
    #[error("the CA expired at {0}")]
    Expired(DateTime),
    /// The CA's life has not begun.
    #[error("the CA is not valid before {0}")]
    NotYet(DateTime),
    /// It does not fit into a secure element's 72 bytes.
    #[error(transparent)]
    Compression(#[from] Box<CompressionError>),
    /// A life that ends before it begins.
    #[error("the certificate would end before it begins")]
    Life,
    /// A request whose signature is not that of its own key.
    #[error("the request is not signed by the key that it names: {0}")]
    Possession(SignatureError),
    /// A request for more than a leaf.
    #[error("the request asks for {0}, which is for CAs only")]
    WantsAuthority(&'static str),
    /// A request that asks for a name that is not issued.
    #[error("the request asks for an alternative name that is not issued here: {0}")]
    RequestedName(String),
}

impl From<spki::Error> for PkiError {
    fn from(refused: spki::Error) -> Self {
        Self::Encoder(refused.into())
    }
}

impl From<der::Error> for PkiError {
    fn from(refused: der::Error) -> Self {
        Self::Encoder(refused.into())
    }
}
