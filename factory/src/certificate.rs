//! Certificates as a device's partition holds them: PEM with a NUL, or DER; one or a chain.

use crate::pki::Certificate;
use crate::pki::certificate::CertificateError as Malformed;
use crate::public_key::{PublicKey, PublicKeyError};

/// The certificates of one file or entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// DER, in the order of the file: the device's own first.
    pub ders: Vec<Vec<u8>>,
    pem: bool,
}

impl Certificates {
    /// Reads one DER certificate, or every "CERTIFICATE" block of a PEM file; a NUL at the end, as partitions have it, is
    /// taken off.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`].
    pub fn read(bytes: &[u8]) -> Result<Self, CertificateError> {
        let pem = bytes.first() != Some(&0x30);
        let bytes = if pem { bytes.strip_suffix(&[0]).unwrap_or(bytes) } else { bytes };
        let certificates = Certificate::read_all(bytes)?;
        Ok(Self { ders: certificates.iter().map(|certificate| certificate.as_der().to_vec()).collect(), pem })
    }

    /// One certificate in DER that will be stored as PEM.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`].
    pub fn from_der(der: Vec<u8>) -> Result<Self, CertificateError> {
        Certificate::from_der(&der)?;
        Ok(Self { ders: vec![der], pem: true })
    }

    /// The public key that the first certificate vouches for.
    ///
    /// # Errors
    /// [`CertificateError::Key`] for a key of a kind that no peripheral has.
    pub fn public_key(&self) -> Result<PublicKey, CertificateError> {
        let first = self.ders.first().ok_or(Malformed::None)?;
        Ok(Certificate::from_der(first)?.public_key()?)
    }

    /// As a partition holds them: PEM with a NUL behind it if they came as PEM, else DER.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`] if what was read does not read again.
    pub fn to_stored(&self) -> Result<Vec<u8>, CertificateError> {
        if !self.pem {
            return Ok(self.ders.concat());
        }
        let mut stored = String::new();
        for der in &self.ders {
            stored.push_str(&Certificate::from_der(der)?.to_pem());
        }
        stored.push('\0');
        Ok(stored.into_bytes())
    }
}

/// Why a file holds no certificate that can be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Not a certificate.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Its key.
    #[error("the key of the certificate: {0}")]
    Key(#[from] PublicKeyError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device_key::DeviceKey;

    fn golden(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../vectors/keys/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn certificates_name_the_keys_that_they_were_issued_for() {
        for (certificate, key) in [
            ("dev_cert_p256.pem", "ecdsa_p256_dev.pem"),
            ("dev_cert_p256.der", "ecdsa_p256_dev.der"),
            ("dev_cert_rsa2048.pem", "rsa2048_dev.pem"),
        ] {
            let read = Certificates::read(&golden(certificate)).unwrap();
            let key = DeviceKey::read(&golden(key), None).unwrap();
            assert_eq!(&read.public_key().unwrap(), key.public(), "{certificate}");
            let stored = read.to_stored().unwrap();
            assert_eq!(Certificates::read(&stored).unwrap(), read);
        }
    }

    #[test]
    fn a_chain_stays_a_chain_and_garbage_is_refused_by_name() {
        let chain = [golden("dev_cert_p256.pem"), b"a comment\n".to_vec(), golden("ca_cert.pem")].concat();
        let read = Certificates::read(&chain).unwrap();
        assert_eq!(read.ders, [golden("dev_cert_p256.der"), golden("ca_cert.der")]);
        for garbage in [golden("ecdsa_p256_dev.pem"), b"hello".to_vec()] {
            let refused = Certificates::read(&garbage).unwrap_err().to_string();
            assert_eq!(refused, "no certificate in it, neither in PEM nor in DER");
        }
        let der = golden("ca_cert.der");
        for len in 1..der.len() {
            assert!(matches!(Certificates::read(&der[..len]), Err(CertificateError::Malformed(_))), "{len}");
        }
    }
}
