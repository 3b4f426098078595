//! X.509 certificates as they are read: every field by its bytes, extensions typed, nothing trusted yet.

use super::alternative::harmless;
use super::extension::{self, Extension};
use super::name::Name;
use super::pem;
use super::signature::SignatureAlgorithm;
use crate::public_key::{PublicKey, PublicKeyError};
use der::asn1::{AnyRef, BitStringRef, ContextSpecific, ObjectIdentifier};
use der::oid::db::rfc5280::ID_AD_CA_ISSUERS;
use der::{DateTime, Decode, Reader, SliceReader, Tag, TagNumber, Tagged};
use sha2::{Digest, Sha256};
use std::fmt;
use x509_cert::certificate::Version;
use x509_cert::ext::pkix;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Validity;

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
            Ok::<_, der::Error>((tbs, algorithm, signature.as_bytes()))
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
        let blocks = pem::decode(file, "CERTIFICATE")?;
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
        pem::encode("CERTIFICATE", &self.der)
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
        Ok(match extension::find::<pkix::BasicConstraints>(&self.extensions, "basicConstraints")? {
            None => Authority { ca: false, path_length: None },
            Some(constraints) => Authority { ca: constraints.ca, path_length: constraints.path_len_constraint },
        })
    }

    /// What its key may do; `None` if it does not say.
    ///
    /// # Errors
    /// As [`Self::authority`].
    pub fn key_usage(&self) -> Result<Option<pkix::KeyUsage>, CertificateError> {
        extension::find(&self.extensions, "keyUsage")
    }

    /// What it is for; empty if it does not say.
    ///
    /// # Errors
    /// As [`Self::authority`].
    pub fn extended_key_usage(&self) -> Result<Vec<ObjectIdentifier>, CertificateError> {
        let usage = extension::find::<pkix::ExtendedKeyUsage>(&self.extensions, "extKeyUsage")?;
        Ok(usage.map_or_else(Vec::new, |usage| usage.0))
    }

    /// Its alternative names.
    ///
    /// # Errors
    /// As [`Self::authority`].
    pub fn alternative_names(&self) -> Result<Vec<GeneralName>, CertificateError> {
        let names = extension::find::<pkix::SubjectAltName>(&self.extensions, "subjectAltName")?;
        Ok(names.map_or_else(Vec::new, |names| names.0))
    }

    /// The identifier of its key.
    ///
    /// # Errors
    /// As [`Self::authority`].
    pub fn subject_key_id(&self) -> Result<Option<Vec<u8>>, CertificateError> {
        let id = extension::find::<pkix::SubjectKeyIdentifier>(&self.extensions, "subjectKeyIdentifier")?;
        Ok(id.map(|id| id.0.as_bytes().to_vec()))
    }

    /// The identifier of the key that signed it.
    ///
    /// # Errors
    /// As [`Self::authority`].
    pub fn authority_key_id(&self) -> Result<Option<Vec<u8>>, CertificateError> {
        let id = extension::find::<pkix::AuthorityKeyIdentifier>(&self.extensions, "authorityKeyIdentifier")?;
        Ok(id.and_then(|id| id.key_identifier).map(|id| id.as_bytes().to_vec()))
    }

    /// Where its issuer's certificate can be had (authority information access).
    ///
    /// # Errors
    /// As [`Self::authority`].
    pub fn issuer_urls(&self) -> Result<Vec<String>, CertificateError> {
        let access = extension::find::<pkix::AuthorityInfoAccessSyntax>(&self.extensions, "authorityInfoAccess")?;
        let urls = access.iter().flat_map(|access| &access.0).filter(|access| access.access_method == ID_AD_CA_ISSUERS);
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
        let at = |field| move |_: der::Error| CertificateError::Der(field);
        let mut outer = SliceReader::new(tbs).map_err(at("length"))?;
        outer.sequence(|reader| {
            let version = ContextSpecific::<Version>::decode_explicit(reader, TagNumber(0)).map_err(at("version"))?;
            let serial = AnyRef::decode(reader).map_err(at("serial number"))?;
            if serial.tag() != Tag::Integer {
                return Err(CertificateError::Der("serial number"));
            }
            let algorithm = reader.tlv_bytes().map_err(at("signature algorithm"))?;
            let issuer = reader.tlv_bytes().map_err(at("issuer"))?;
            let validity: Validity = Validity::decode(reader).map_err(at("validity"))?;
            let subject = reader.tlv_bytes().map_err(at("subject"))?;
            let spki = reader.tlv_bytes().map_err(at("public key"))?;
            // Unique identifiers of version 2: nobody has used them since.
            for number in [1, 2] {
                ContextSpecific::<BitStringRef<'_>>::decode_implicit(reader, TagNumber(number))
                    .map_err(at("unique identifier"))?;
            }
            let extensions = ContextSpecific::<Vec<Extension>>::decode_explicit(reader, TagNumber(3));
            let extensions = extensions.map_err(at("extensions"))?.map_or_else(Vec::new, |field| field.value);
            Ok(Self {
                version: version.map_or(1, |field| field.value as u8 + 1),
                serial: serial.value(),
                algorithm,
                issuer,
                not_before: validity.not_before.to_date_time(),
                not_after: validity.not_after.to_date_time(),
                subject,
                spki,
                extensions: extension::each_once(extensions)?,
            })
        })
    }
}

impl From<der::Error> for CertificateError {
    fn from(_: der::Error) -> Self {
        Self::Der("structure")
    }
}

/// Why bytes are no certificate, or no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Neither DER nor a PEM block of a certificate.
    #[error("no certificate in it, neither in PEM nor in DER")]
    None,
    /// Neither DER nor a PEM block of a certification request.
    #[error("no certification request in it, neither in PEM nor in DER")]
    NoRequest,
    /// The n-th PEM block, counted from 1.
    #[error("PEM block {0} has no end, or is not base64")]
    Pem(usize),
    /// The field that could not be read.
    #[error("not valid DER: its {0} cannot be read")]
    Der(&'static str),
    /// Something follows.
    #[error("bytes follow where it ends")]
    Trailing,
    /// The algorithm inside of what is signed is not the one outside.
    #[error("the certificate names two different signature algorithms")]
    Algorithms,
    /// RFC 5280, 4.2: at most one of each.
    #[error("the extension {0} is there twice")]
    Repeated(ObjectIdentifier),
}
