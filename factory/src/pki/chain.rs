//! Chains: from a leaf over intermediates to a root, link by link, with everything that speaks against each.
//!
//! The signature over each certificate is verified with the key of the next. Names are compared as bytes, as ESP-IDF's
//! certificate bundle does. Revocation is not looked at. Name constraints, and critical extensions that are not read here, are
//! refused; certificate policies ask nothing of a device.

use super::certificate::{Certificate, CertificateError};
use super::leaf::Purpose;
use super::signature::{SignatureAlgorithm, SignatureError};
use crate::public_key::KeyKind;
use cotter_formats::secure_boot::v2::Curve;
use der::DateTime;
use der::asn1::ObjectIdentifier;
use der::oid::db::rfc5280::{
    ANY_EXTENDED_KEY_USAGE, ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS, ID_CE_CERTIFICATE_POLICIES,
    ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE, ID_CE_NAME_CONSTRAINTS, ID_CE_SUBJECT_ALT_NAME, ID_CE_SUBJECT_KEY_IDENTIFIER,
};
use x509_cert::ext::pkix::name::GeneralName;

/// The longest path that is followed.
pub const MOST_LINKS: usize = 10;

/// What a chain is verified for.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// When.
    pub at: DateTime,
    /// What the leaf is used for.
    pub purpose: Option<Purpose>,
    /// Which host a client wanted to reach.
    pub host: Option<&'a str>,
}

/// A path that was found, leaf first.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The certificates on it.
    pub links: Vec<Link>,
    /// Where it ends.
    pub end: End,
    /// Presented certificates that are not on it, by their place in what was presented.
    pub unused: Vec<usize>,
    /// The presented certificates come leaf first, each followed by its issuer, as TLS wants them.
    pub in_order: bool,
}

/// A certificate on the path.
#[derive(Clone, Debug)]
pub struct Link {
    /// It.
    pub certificate: Certificate,
    /// Its place among the presented ones; `None`: it came from the trusted ones.
    pub presented: Option<usize>,
    /// What speaks against it.
    pub faults: Vec<Fault>,
}

/// Where a path ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At a certificate that is trusted.
    Trusted,
    /// At a self-signed certificate that nobody said to trust.
    Untrusted,
    /// At a certificate whose issuer is not at hand.
    Incomplete,
    /// After [`MOST_LINKS`], or in a circle.
    Endless,
}

/// What speaks against a certificate on a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Fault {
    #[error("not valid before {0}")]
    NotYet(DateTime),
    #[error("expired at {0}")]
    Expired(DateTime),
    #[error("not signed by the next certificate: {0}")]
    Signature(SignatureError),
    #[error("its signature, {0}, is too weak to believe")]
    WeakSignature(SignatureAlgorithm),
    #[error("its {0} key is too weak to believe")]
    WeakKey(KeyKind),
    #[error("its authority key id is not the key id of the next certificate")]
    KeyId,
    #[error("it has signed the previous certificate, but is no CA")]
    NotAuthority,
    #[error("it has signed the previous certificate, but its key usage is not to sign certificates")]
    KeyUsage,
    #[error("its path length is {allowed}, but {below} intermediate CAs are below it")]
    PathLength { allowed: u8, below: usize },
    #[error("it is version {0}, which says nothing about CAs")]
    Version(u8),
    #[error("it is not for {0}")]
    Purpose(&'static str),
    #[error("it does not name {0}")]
    Host(String),
    #[error("nobody here understands its extension {0}")]
    Extension(ObjectIdentifier),
    #[error(transparent)]
    Unreadable(#[from] CertificateError),
}

impl Chain {
    /// Finds a path from the first of `presented` to one of `trusted`, else to wherever it leads, and judges every link.
    /// Returns `None` if nothing is presented.
    #[must_use]
    pub fn find(presented: &[Certificate], trusted: &[Certificate], question: &Question<'_>) -> Option<Self> {
        let leaf = presented.first()?;
        let mut path = vec![(leaf, Some(0))];
        let end = loop {
            let (last, _) = path[path.len() - 1];
            if trusted.contains(last) {
                break End::Trusted;
            }
            if last.is_self_issued() && own_signature(last) {
                break End::Untrusted;
            }
            if path.len() == MOST_LINKS {
                break End::Endless;
            }
            match issuer_of(last, presented, trusted) {
                None => break End::Incomplete,
                Some((next, _)) if path.iter().any(|(known, _)| *known == next) => break End::Endless,
                Some(found) => path.push(found),
            }
        };
        let used: Vec<usize> = path.iter().filter_map(|(_, place)| *place).collect();
        let unused: Vec<usize> = (0..presented.len()).filter(|place| !used.contains(place)).collect();
        let in_order = used.iter().enumerate().all(|(index, &place)| index == place);
        let links = (0..path.len()).map(|index| link(&path, index, end, question)).collect();
        Some(Self { links, end, unused, in_order })
    }

    /// It ends at a trusted certificate and nothing speaks against any of its links.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.end == End::Trusted && self.is_sound()
    }

    /// Nothing speaks against any of its links, wherever it ends.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.links.iter().all(|link| link.faults.is_empty())
    }
}

type Placed<'a> = (&'a Certificate, Option<usize>);

/// The certificate that signed `of`: one whose key verifies if there is one, else any with the right name.
fn issuer_of<'a>(of: &Certificate, presented: &'a [Certificate], trusted: &'a [Certificate]) -> Option<Placed<'a>> {
    let trusted = trusted.iter().map(|certificate| (certificate, None));
    let presented = presented.iter().enumerate().map(|(place, certificate)| (certificate, Some(place)));
    let mut named = trusted.chain(presented).filter(|(candidate, _)| candidate.subject() == of.issuer());
    let first = named.next()?;
    let mut all = std::iter::once(first).chain(named);
    Some(all.find(|(candidate, _)| signed_by(of, candidate).is_ok()).unwrap_or(first))
}

fn signed_by(certificate: &Certificate, issuer: &Certificate) -> Result<(), SignatureError> {
    certificate.signature_algorithm().verify(issuer.spki(), certificate.signed(), certificate.signature())
}

/// Whether a self-issued certificate is a root. A weak or unknown signature is no argument, because nobody relies on a
/// root's; that it names another key as its signer is one.
#[must_use]
pub fn own_signature(certificate: &Certificate) -> bool {
    if let (Ok(Some(signer)), Ok(Some(own))) = (certificate.authority_key_id(), certificate.subject_key_id())
        && signer != own
    {
        return false;
    }
    !matches!(signed_by(certificate, certificate), Err(SignatureError::Wrong | SignatureError::Kind(_)))
}

fn link(path: &[Placed<'_>], index: usize, end: End, question: &Question<'_>) -> Link {
    let (certificate, presented) = path[index];
    let mut faults = Vec::new();
    if question.at < certificate.not_before() {
        faults.push(Fault::NotYet(certificate.not_before()));
    }
    if question.at > certificate.not_after() {
        faults.push(Fault::Expired(certificate.not_after()));
    }
    let kind = certificate.public_key().map(|key| key.kind());
    if let Ok(kind @ (KeyKind::Rsa(..2048) | KeyKind::Ecdsa(Curve::P192))) = kind {
        faults.push(Fault::WeakKey(kind));
    }
    let is_root = index + 1 == path.len() && matches!(end, End::Trusted | End::Untrusted);
    if let Some((issuer, _)) = path.get(index + 1) {
        signature_faults(certificate, issuer, &mut faults);
    }
    let judged = authority_faults(certificate, index, path, is_root, &mut faults)
        .and_then(|()| purpose_faults(certificate, index, is_root, question, &mut faults));
    if let Err(unreadable) = judged {
        faults.push(unreadable.into());
    }
    let extensions = certificate.extensions().iter();
    let binding = extensions
        .filter(|one| one.extn_id == ID_CE_NAME_CONSTRAINTS || one.critical && !UNDERSTOOD.contains(&one.extn_id));
    faults.extend(binding.map(|extension| Fault::Extension(extension.extn_id)));
    Link { certificate: certificate.clone(), presented, faults }
}

fn signature_faults(certificate: &Certificate, issuer: &Certificate, faults: &mut Vec<Fault>) {
    match signed_by(certificate, issuer) {
        Ok(()) => {}
        Err(SignatureError::Weak(algorithm)) => faults.push(Fault::WeakSignature(algorithm)),
        Err(refused) => faults.push(Fault::Signature(refused)),
    }
    if let (Ok(Some(wanted)), Ok(Some(found))) = (certificate.authority_key_id(), issuer.subject_key_id())
        && wanted != found
    {
        faults.push(Fault::KeyId);
    }
}

fn authority_faults(
    certificate: &Certificate,
    index: usize,
    path: &[Placed<'_>],
    is_root: bool,
    faults: &mut Vec<Fault>,
) -> Result<(), CertificateError> {
    if index == 0 {
        return Ok(());
    }
    // Roots of version 1 are trusted for what they are, not for what they say.
    if certificate.version() < 3 {
        if !is_root {
            faults.push(Fault::Version(certificate.version()));
        }
        return Ok(());
    }
    let authority = certificate.authority()?;
    if !authority.ca {
        faults.push(Fault::NotAuthority);
    }
    if certificate.key_usage()?.is_some_and(|usage| !usage.key_cert_sign()) {
        faults.push(Fault::KeyUsage);
    }
    let below = path[1..index].iter().filter(|(below, _)| !below.is_self_issued()).count();
    if let Some(allowed) = authority.path_length
        && below > usize::from(allowed)
    {
        faults.push(Fault::PathLength { allowed, below });
    }
    Ok(())
}

fn purpose_faults(
    certificate: &Certificate,
    index: usize,
    is_root: bool,
    question: &Question<'_>,
    faults: &mut Vec<Fault>,
) -> Result<(), CertificateError> {
    let usages = certificate.extended_key_usage()?;
    if let Some(purpose) = question.purpose
        && !usages.is_empty()
        && (index == 0 || !is_root)
        && !usages.contains(&purpose.oid())
        && !usages.contains(&ANY_EXTENDED_KEY_USAGE)
    {
        faults.push(Fault::Purpose(match purpose {
            Purpose::Client => "TLS clients",
            Purpose::Server => "TLS servers",
            Purpose::Other(_) => "this purpose",
        }));
    }
    if index == 0
        && let Some(host) = question.host
        && !names_host(&certificate.alternative_names()?, host)
    {
        faults.push(Fault::Host(host.to_owned()));
    }
    Ok(())
}

/// RFC 9525: only alternative names count; a `*` stands for exactly one first label.
#[must_use]
pub fn names_host(names: &[GeneralName], host: &str) -> bool {
    if let Ok(address) = host.parse::<std::net::IpAddr>() {
        let bytes = match address {
            std::net::IpAddr::V4(address) => address.octets().to_vec(),
            std::net::IpAddr::V6(address) => address.octets().to_vec(),
        };
        return names.iter().any(|name| matches!(name, GeneralName::IpAddress(found) if found.as_bytes() == bytes));
    }
    let host = host.trim_end_matches('.');
    names.iter().any(|name| {
        let GeneralName::DnsName(name) = name else { return false };
        let name = name.as_str().trim_end_matches('.');
        match name.strip_prefix("*.") {
            Some(parent) => {
                parent.contains('.') && host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent))
            }
            None => name.eq_ignore_ascii_case(host),
        }
    })
}

/// Extensions that are read here, or (certificate policies) that only add what nobody has to follow.
const UNDERSTOOD: [ObjectIdentifier; 7] = [
    ID_CE_SUBJECT_KEY_IDENTIFIER,
    ID_CE_KEY_USAGE,
    ID_CE_SUBJECT_ALT_NAME,
    ID_CE_BASIC_CONSTRAINTS,
    ID_CE_AUTHORITY_KEY_IDENTIFIER,
    ID_CE_EXT_KEY_USAGE,
    ID_CE_CERTIFICATE_POLICIES,
];
