//! The product's own PKI: one P-256 CA that vouches for the server and for every device.

use crate::output::{Visibility, write_whole};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// How long the CA and what it issues are valid.
const CA_LIFE: Duration = Duration::from_secs(20 * 365 * 86_400);
const LEAF_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The product CA: its key signs certificates and nothing else.
pub struct ProductCa {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    certificate_der: Vec<u8>,
}

impl ProductCa {
    /// A fresh self-signed CA named `common_name`; it cannot issue further CAs.
    ///
    /// # Errors
    /// [`PkiError::Library`] from key generation or encoding.
    pub fn generate(common_name: &str) -> Result<Self, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name(common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_life(&mut params, CA_LIFE);
        let certificate = params.self_signed(&key)?;
        let (certificate_pem, certificate_der) = (certificate.pem(), certificate.der().to_vec());
        Ok(Self { issuer: Issuer::new(params, key), certificate_pem, certificate_der })
    }

    /// The trust anchor that devices carry.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The same in DER.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate_der
    }

    /// Issues a TLS server certificate for `hosts` (DNS names or IP addresses).
    ///
    /// # Errors
    /// [`PkiError::Library`] for a host that is neither.
    pub fn issue_server(&self, hosts: &[&str]) -> Result<Issued, PkiError> {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(hosts.clone())?;
        params.distinguished_name = name(hosts.first().map_or("server", String::as_str));
        self.issue(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Issues a device's identity certificate; the device id is its common name.
    ///
    /// # Errors
    /// [`PkiError::Library`] from key generation or encoding.
    pub fn issue_device(&self, device_id: &str) -> Result<Issued, PkiError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(device_id);
        self.issue(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// Writes `ca.pem` (public) and `ca.key.pem` (0600) into `folder`.
    ///
    /// # Errors
    /// I/O.
    pub fn save(&self, folder: &Path) -> Result<(), PkiError> {
        write_whole(&folder.join("ca.pem"), self.certificate_pem.as_bytes(), Visibility::Public)?;
        let key = Zeroizing::new(self.issuer.key().serialize_pem());
        Ok(write_whole(&folder.join("ca.key.pem"), key.as_bytes(), Visibility::Secret)?)
    }

    fn issue(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Result<Issued, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        set_life(&mut params, LEAF_LIFE);
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            certificate_pem: certificate.pem(),
            certificate_der: certificate.der().to_vec(),
            key_pem: Zeroizing::new(key.serialize_pem()),
        })
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

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// Valid from an hour ago, so that a device whose clock is a little behind agrees.
fn set_life(params: &mut CertificateParams, life: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - Duration::from_secs(3600)).into();
    params.not_after = (now + life).into();
}

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The file could not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Key generation or encoding failed.
    #[error("certificate: {0}")]
    Library(#[from] rcgen::Error),
}
