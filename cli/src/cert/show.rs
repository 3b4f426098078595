//! A certificate in a few lines, for people and for machines.

use crate::image::hex;
use cotter_factory::pki::Certificate;
use cotter_factory::pki::alternative;
use cotter_factory::public_key::{PublicKey, PublicKeyError};
use serde::Serialize;
use std::fmt;

/// What a person wants to know of a certificate.
#[derive(Serialize)]
pub(super) struct Shown {
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) serial: String,
    pub(super) key: String,
    pub(super) signature: String,
    pub(super) not_before: String,
    pub(super) not_after: String,
    pub(super) ca: bool,
    pub(super) path_length: Option<u8>,
    pub(super) names: Vec<String>,
    pub(super) sha256: String,
}

impl Shown {
    pub(super) fn of(certificate: &Certificate) -> Self {
        let authority = certificate.authority().ok();
        Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            serial: hex(certificate.serial()),
            key: key(certificate.spki()),
            signature: certificate.signature_algorithm().to_string(),
            not_before: certificate.not_before().to_string(),
            not_after: certificate.not_after().to_string(),
            ca: authority.is_some_and(|authority| authority.ca),
            path_length: authority.and_then(|authority| authority.path_length),
            names: certificate.alternative_names().unwrap_or_default().iter().map(alternative::shown).collect(),
            sha256: hex(&certificate.fingerprint()),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match (self.ca, self.path_length) {
            (true, Some(length)) => format!("CA, path length {length}"),
            (true, None) => "CA, any path length".to_owned(),
            (false, _) => "no CA".to_owned(),
        };
        writeln!(f, "{} ({kind})", self.subject)?;
        writeln!(f, "  issuer    {}", self.issuer)?;
        writeln!(f, "  serial    {}", self.serial)?;
        writeln!(f, "  key       {}, signed by {}", self.key, self.signature)?;
        writeln!(f, "  valid     {} to {}", self.not_before, self.not_after)?;
        if !self.names.is_empty() {
            writeln!(f, "  names     {}", self.names.join(", "))?;
        }
        write!(f, "  SHA-256   {}", self.sha256)
    }
}

/// Kind and size of the key, or what stands in the way.
pub(super) fn key(spki: &[u8]) -> String {
    match PublicKey::from_spki(spki) {
        Ok(key) => key.kind().to_string(),
        Err(PublicKeyError::Algorithm(oid)) => match oid.to_string().as_str() {
            "1.3.132.0.35" => "ECDSA P-521".to_owned(),
            "1.3.101.112" => "Ed25519".to_owned(),
            other => format!("key of algorithm {other}"),
        },
        Err(refused) => refused.to_string(),
    }
}
