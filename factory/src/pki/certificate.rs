//! X.509 certificates as they are read: every field by its bytes, extensions typed, nothing trusted yet.

use super::name::Name;
use super::signature::SignatureAlgorithm;
use crate::public_key::{PublicKey, PublicKeyError};
use base64ct::{Base64, Encoding};
use pem_rfc7468::LineEnding;
use sha2::{Digest, Sha256};
use std::fmt;
use x509_cert::der::asn1::{BitStringRef, ObjectIdentifier, OctetStringRef};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{DateTime, Decode, Reader, SliceReader, Tag, TagNumber};
use x509_cert::ext::pkix;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

/// A certificate as somebody presents it.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    signed: Vec<u8>,
    version: u8,
    serial: Vec<u8>,
    issuer: Name,
    not_before: DateTime,
    not_after: DateTime,
    subject: Name,
    spki: Vec<u8>,
    extensions: Vec<Extension>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

/// One extension, its value still in DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// What it is.
    pub oid: ObjectIdentifier,
    /// Whoever does not understand it must refuse.
    pub critical: bool,
    /// What is inside of its OCTET STRING.
    pub value: Vec<u8>,
}

impl Certificate {
    /// Reads one certificate.
    ///
    /// # Errors
    /// [`CertificateError::Der`] with the field that cannot be read, [`CertificateError::Repeated`].
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let mut reader = SliceReader::new(der).map_err(|_| CertificateError::Der("length"))?;
        let parts = reader.sequence(|outer| {
            let tbs = outer.tlv_bytes()?;
            let algorithm = outer.tlv_bytes()?;
            let signature = BitStringRef::decode(outer)?;
            Ok::<_, x509_cert::der::Error>((tbs, algorithm, signature.as_bytes()))
        });
        let (tbs, algorithm, signature) = parts.map_err(|_| CertificateError::Der("structure"))?;
        reader.finish().map_err(|_| CertificateError::Trailing)?;
        let signature = signature.ok_or(CertificateError::Der("signature"))?;
        let fields = Fields::read(tbs)?;
        if fields.algorithm != algorithm {
            return Err(CertificateError::Algorithms);
        }
        Ok(Self {
            der: der.to_vec(),
            signed: tbs.to_vec(),
            version: fields.version,
            serial: fields.serial.to_vec(),
            issuer: Name::from_der(fields.issuer).map_err(|_| CertificateError::Der("issuer"))?,
            not_before: fields.not_before,
            not_after: fields.not_after,
            subject: Name::from_der(fields.subject).map_err(|_| CertificateError::Der("subject"))?,
            spki: fields.spki.to_vec(),
            extensions: fields.extensions,
            algorithm: algorithm.to_vec(),
            signature: signature.to_vec(),
        })
    }

    /// Reads every certificate of a file: one in DER, or any number in PEM with whatever text between them.
    ///
    /// # Errors
    /// [`CertificateError`]; [`CertificateError::None`] if there is none.
    pub fn read_all(file: &[u8]) -> Result<Vec<Self>, CertificateError> {
        if file.first() == Some(&0x30) {
            return Ok(vec![Self::from_der(file)?]);
        }
        let blocks = pem_blocks(file, "CERTIFICATE")?;
        if blocks.is_empty() {
            return Err(CertificateError::None);
        }
        blocks.iter().map(|der| Self::from_der(der)).collect()
    }

    /// All of it, as it was signed.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// PEM, 64 columns, with a final newline.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }

    /// Serial number, big-endian, as it is encoded: a leading zero byte, or a negative number, is there to see.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// 1 to 3.
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.version
    }

    /// Whom it names.
    #[must_use]
    pub const fn subject(&self) -> &Name {
        &self.subject
    }

    /// Who is said to have signed it.
    #[must_use]
    pub const fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// First second of its life.
    #[must_use]
    pub const fn not_before(&self) -> DateTime {
        self.not_before
    }

    /// Last second of its life; [`DateTime::INFINITY`] is "no well-defined expiry" (RFC 5280, 4.1.2.5).
    #[must_use]
    pub const fn not_after(&self) -> DateTime {
        self.not_after
    }

    /// SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The public key, if it is of a kind that is used here.
    ///
    /// # Errors
    /// [`PublicKeyError`].
    pub fn public_key(&self) -> Result<PublicKey, PublicKeyError> {
        PublicKey::from_spki(&self.spki)
    }

    /// What the signature covers.
    #[must_use]
    pub fn signed(&self) -> &[u8] {
        &self.signed
    }

    /// How it is signed.
    #[must_use]
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::from_der(&self.algorithm)
    }

    /// The signature itself.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// All extensions.
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// Subject and issuer are the same. Whether it is signed by its own key is another question.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Is it a CA, and how many more CAs may follow below it.
    ///
    /// # Errors
    /// [`CertificateError::Der`] if the extension cannot be read.
    pub fn authority(&self) -> Result<Authority, CertificateError> {
        Ok(match self.extension::<pkix::BasicConstraints>("basicConstraints")? {
            None => Authority { ca: false, path_length: None },
            Some(constraints) => Authority { ca: constraints.ca, path_length: constraints.path_len_constraint },
        })
    }

    /// What its key may do; `None` if it does not say.
    ///
    /// # Errors
    /// As [`Self::authority`].
    pub fn key_usage(&self) -> Result<Option<pkix::KeyUsage>, CertificateError> {
        self.extension("keyUsage")
    }

    /// What it is for; empty if it does not say.
    ///
    /// # Errors
    /// As [`Self::authority`].
    pub fn extended_key_usage(&self) -> Result<Vec<ObjectIdentifier>, CertificateError> {
        let usage = self.extension::<pkix::ExtendedKeyUsage>("extKeyUsage")?;
        Ok(usage.map_or_else(Vec::new, |usage| usage.0))
    }

    /// Its alternative names.
    ///
    /// # Errors
    /// As [`Self::authority`].
    pub fn alternative_names(&self) -> Result<Vec<GeneralName>, CertificateError> {
        let names = self.extension::<pkix::SubjectAltName>("subjectAltName")?;
        Ok(names.map_or_else(Vec::new, |names| names.0))
    }

    /// The identifier of its key.
    ///
    /// # Errors
    /// As [`Self::authority`].
    pub fn subject_key_id(&self) -> Result<Option<Vec<u8>>, CertificateError> {
        let id = self.extension::<pkix::SubjectKeyIdentifier>("subjectKeyIdentifier")?;
        Ok(id.map(|id| id.0.as_bytes().to_vec()))
    }

    /// The identifier of the key that signed it.
    ///
    /// # Errors
    /// As [`Self::authority`].
    pub fn authority_key_id(&self) -> Result<Option<Vec<u8>>, CertificateError> {
        let id = self.extension::<pkix::AuthorityKeyIdentifier>("authorityKeyIdentifier")?;
        Ok(id.and_then(|id| id.key_identifier).map(|id| id.as_bytes().to_vec()))
    }

    /// Where its issuer's certificate can be had (authority information access).
    ///
    /// # Errors
    /// As [`Self::authority`].
    pub fn issuer_urls(&self) -> Result<Vec<String>, CertificateError> {
        let access = self.extension::<pkix::AuthorityInfoAccessSyntax>("authorityInfoAccess")?;
        let urls = access.iter().flat_map(|access| &access.0).filter(|access| access.access_method == CA_ISSUERS);
        Ok(urls
            .filter_map(|access| match &access.access_location {
                GeneralName::UniformResourceIdentifier(url) => Some(harmless(url.as_str())),
                _ => None,
            })
            .collect())
    }

    /// SHA-256 over all of it: what others call its fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }

    fn extension<'a, T: Decode<'a> + AssociatedOid>(
        &'a self,
        name: &'static str,
    ) -> Result<Option<T>, CertificateError> {
        let found = self.extensions.iter().find(|extension| extension.oid == T::OID);
        found.map(|extension| T::from_der(&extension.value).map_err(|_| CertificateError::Der(name))).transpose()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.subject)
    }
}

/// What `basicConstraints` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority {
    /// It may sign certificates.
    pub ca: bool,
    /// How many intermediate CAs may stand between it and a leaf.
    pub path_length: Option<u8>,
}

/// A name of a certificate's subject as people write it.
#[must_use]
pub fn alternative_name(name: &GeneralName) -> String {
    match name {
        GeneralName::DnsName(name) => format!("DNS:{}", harmless(name.as_str())),
        GeneralName::Rfc822Name(name) => format!("email:{}", harmless(name.as_str())),
        GeneralName::UniformResourceIdentifier(name) => format!("URI:{}", harmless(name.as_str())),
        GeneralName::IpAddress(bytes) => match *bytes.as_bytes() {
            [a, b, c, d] => format!("IP:{}", std::net::Ipv4Addr::new(a, b, c, d)),
            ref other => match <[u8; 16]>::try_from(other) {
                Ok(address) => format!("IP:{}", std::net::Ipv6Addr::from(address)),
                Err(_) => "IP:(of no known length)".to_owned(),
            },
        },
        GeneralName::DirectoryName(_) => "a directory name".to_owned(),
        GeneralName::RegisteredId(oid) => format!("OID:{oid}"),
        GeneralName::OtherName(other) => format!("other:{}", other.type_id),
        GeneralName::EdiPartyName(_) => "an EDI party name".to_owned(),
    }
}

/// The DER inside of every PEM block with this label. Text around the blocks is ignored.
///
/// # Errors
/// [`CertificateError::Pem`] for a block that does not end or is not base64.
pub(super) fn pem_blocks(file: &[u8], label: &str) -> Result<Vec<Vec<u8>>, CertificateError> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let mut blocks = Vec::new();
    let mut rest = file;
    while let Some(at) = find(rest, begin.as_bytes()) {
        let index = blocks.len() + 1;
        let body = &rest[at + begin.len()..];
        let length = find(body, end.as_bytes()).ok_or(CertificateError::Pem(index))?;
        let text: Vec<u8> = body[..length].iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let text = str::from_utf8(&text).map_err(|_| CertificateError::Pem(index))?;
        blocks.push(Base64::decode_vec(text).map_err(|_| CertificateError::Pem(index))?);
        rest = &body[length + end.len()..];
    }
    Ok(blocks)
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    pem_rfc7468::encode_string(label, LineEnding::LF, der).expect("the label is ours and memory suffices")
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len()).position(|window| window == pattern)
}

/// IA5 text of a stranger, on its way to a terminal.
fn harmless(text: &str) -> String {
    text.chars()
        .flat_map(|letter| if letter.is_control() { letter.escape_unicode().collect() } else { vec![letter] })
        .collect()
}

/// TBSCertificate, field by field (RFC 5280, 4.1).
struct Fields<'a> {
    version: u8,
    serial: &'a [u8],
    algorithm: &'a [u8],
    issuer: &'a [u8],
    not_before: DateTime,
    not_after: DateTime,
    subject: &'a [u8],
    spki: &'a [u8],
    extensions: Vec<Extension>,
}

impl<'a> Fields<'a> {
    fn read(tbs: &'a [u8]) -> Result<Self, CertificateError> {
        let at = |field| move |_: x509_cert::der::Error| CertificateError::Der(field);
        let mut outer = SliceReader::new(tbs).map_err(at("length"))?;
        outer.sequence(|reader| {
            let version = match Tag::peek(reader).map_err(at("version"))? {
                Tag::ContextSpecific { constructed: true, number: TagNumber(0) } => {
                    reader.tlv_bytes().map_err(at("version")).and_then(version)?
                }
                _ => 1,
            };
            let serial = reader.tlv_bytes().map_err(at("serial number"))?;
            let serial = inside(serial, Tag::Integer).ok_or(CertificateError::Der("serial number"))?;
            let algorithm = reader.tlv_bytes().map_err(at("signature algorithm"))?;
            let issuer = reader.tlv_bytes().map_err(at("issuer"))?;
            let (not_before, not_after) = reader
                .sequence(|times| Ok::<_, x509_cert::der::Error>((Time::decode(times)?, Time::decode(times)?)))
                .map_err(at("validity"))?;
            let subject = reader.tlv_bytes().map_err(at("subject"))?;
            let spki = reader.tlv_bytes().map_err(at("public key"))?;
            let mut extensions = Vec::new();
            while !reader.is_finished() {
                match Tag::peek(reader).map_err(at("extensions"))? {
                    // Unique identifiers of version 2: nobody has used them since.
                    Tag::ContextSpecific { number: TagNumber(1 | 2), .. } if extensions.is_empty() => {
                        reader.tlv_bytes().map_err(at("unique identifier"))?;
                    }
                    Tag::ContextSpecific { constructed: true, number: TagNumber(3) } if extensions.is_empty() => {
                        let all = reader.tlv_bytes().map_err(at("extensions"))?;
                        extensions = read_extensions(inside_any(all).ok_or(CertificateError::Der("extensions"))?)?;
                    }
                    _ => return Err(CertificateError::Der("extensions")),
                }
            }
            Ok(Self {
                version,
                serial,
                algorithm,
                issuer,
                not_before: not_before.to_date_time(),
                not_after: not_after.to_date_time(),
                subject,
                spki,
                extensions,
            })
        })
    }
}

fn version(explicit: &[u8]) -> Result<u8, CertificateError> {
    match inside_any(explicit) {
        Some([2, 1, version @ 0..=2]) => Ok(version + 1),
        _ => Err(CertificateError::Der("version")),
    }
}

/// `Extensions`, with its own header. A certificate and a request have them in common.
pub(super) fn read_extensions(der: &[u8]) -> Result<Vec<Extension>, CertificateError> {
    let at = |_: x509_cert::der::Error| CertificateError::Der("extensions");
    let mut outer = SliceReader::new(der).map_err(at)?;
    let mut extensions: Vec<Extension> = Vec::new();
    outer.sequence(|reader| {
        while !reader.is_finished() {
            let extension = reader
                .sequence(|reader| {
                    let oid = ObjectIdentifier::decode(reader)?;
                    let critical = if Tag::peek(reader)? == Tag::Boolean { bool::decode(reader)? } else { false };
                    let value = <&OctetStringRef>::decode(reader)?.as_bytes().to_vec();
                    Ok(Extension { oid, critical, value })
                })
                .map_err(at)?;
            if extensions.iter().any(|known| known.oid == extension.oid) {
                return Err(CertificateError::Repeated(extension.oid));
            }
            extensions.push(extension);
        }
        Ok(())
    })?;
    outer.finish().map_err(at)?;
    Ok(extensions)
}

fn inside(tlv: &[u8], tag: Tag) -> Option<&[u8]> {
    let value = x509_cert::der::asn1::AnyRef::from_der(tlv).ok()?;
    (x509_cert::der::Tagged::tag(&value) == tag).then(|| value.value())
}

fn inside_any(tlv: &[u8]) -> Option<&[u8]> {
    Some(x509_cert::der::asn1::AnyRef::from_der(tlv).ok()?.value())
}

/// id-ad-caIssuers.
const CA_ISSUERS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.2");

impl From<x509_cert::der::Error> for CertificateError {
    fn from(_: x509_cert::der::Error) -> Self {
        Self::Der("structure")
    }
}

/// Why bytes are no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Neither DER nor a PEM block of a certificate.
    #[error("no certificate in it, neither in PEM nor in DER")]
    None,
    /// The n-th PEM block, counted from 1.
    #[error("PEM block {0} has no end, or is not base64")]
    Pem(usize),
    /// The field that could not be read.
    #[error("not a valid certificate: its {0} cannot be read")]
    Der(&'static str),
    /// Something follows.
    #[error("bytes follow the certificate")]
    Trailing,
    /// The algorithm inside of what is signed is not the one outside.
    #[error("the certificate names two different signature algorithms")]
    Algorithms,
    /// RFC 5280, 4.2: at most one of each.
    #[error("the certificate has the extension {0} twice")]
    Repeated(ObjectIdentifier),
}
