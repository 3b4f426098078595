//! Certification requests (PKCS#10, RFC 2986): made for a key, read, and judged before anything is issued.

use super::alternative::AlternativeName;
use super::ca::PkiError;
use super::certificate::{CertificateError, Extension, alternative_name, pem, pem_blocks, read_extensions};
use super::der::{INTEGER, SEQUENCE, SET, context, nest, oid, tlv};
use super::leaf::{alternative_names, judge_key};
use super::name::Name;
use super::signature::{SignatureAlgorithm, sign};
use crate::private_key::PrivateKey;
use crate::public_key::PublicKey;
use x509_cert::der::asn1::{AnyRef, BitStringRef, ObjectIdentifier};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Reader, SliceReader};
use x509_cert::ext::pkix;

/// A request for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    der: Vec<u8>,
    signed: Vec<u8>,
    subject: Name,
    spki: Vec<u8>,
    extensions: Vec<Extension>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

impl Request {
    /// A request for this key, signed by it.
    ///
    /// # Errors
    /// [`PkiError::Weak`], [`PkiError::PrivateKey`] if signing fails.
    pub fn create(key: &PrivateKey, subject: &Name, names: &[AlternativeName]) -> Result<Self, PkiError> {
        judge_key(key.public())?;
        let attributes = alternative_names(names, false).map(|names| {
            let extensions = nest(SEQUENCE, &[names]);
            nest(SEQUENCE, &[oid(EXTENSION_REQUEST), nest(SET, &[extensions])])
        });
        let info = nest(
            SEQUENCE,
            &[
                tlv(INTEGER, &[0]),
                subject.as_der().to_vec(),
                key.public().to_spki()?,
                tlv(context(0), &attributes.unwrap_or_default()),
            ],
        );
        Ok(Self::from_der(&sign(key, &info)?)?)
    }

    /// Reads a file with one request, PEM or DER.
    ///
    /// # Errors
    /// [`CertificateError::None`] if there is none, [`CertificateError::Der`] with the field that cannot be read.
    pub fn read(file: &[u8]) -> Result<Self, CertificateError> {
        if file.first() == Some(&0x30) {
            return Self::from_der(file);
        }
        let mut blocks = pem_blocks(file, "CERTIFICATE REQUEST")?;
        if blocks.is_empty() {
            blocks = pem_blocks(file, "NEW CERTIFICATE REQUEST")?;
        }
        Self::from_der(blocks.first().ok_or(CertificateError::None)?)
    }

    fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let at = |field| move |_: x509_cert::der::Error| CertificateError::Der(field);
        let mut outer = SliceReader::new(der).map_err(at("length"))?;
        let (signed, algorithm, signature) = outer
            .sequence(|outer| Ok((outer.tlv_bytes()?, outer.tlv_bytes()?, BitStringRef::decode(outer)?)))
            .map_err(at("structure"))?;
        outer.finish().map_err(|_| CertificateError::Trailing)?;
        let signature = signature.as_bytes().ok_or(CertificateError::Der("signature"))?;
        let mut info = SliceReader::new(signed).map_err(at("length"))?;
        let (subject, spki, attributes) = info
            .sequence(|info| {
                info.tlv_bytes()?;
                let (subject, spki) = (info.tlv_bytes()?, info.tlv_bytes()?);
                let mut attributes: &[u8] = &[];
                // The attributes are not optional, but some leave them out.
                if !info.is_finished() {
                    attributes = AnyRef::decode(info)?.value();
                }
                Ok((subject, spki, attributes))
            })
            .map_err(at("request info"))?;
        Ok(Self {
            der: der.to_vec(),
            signed: signed.to_vec(),
            subject: Name::from_der(subject).map_err(|_| CertificateError::Der("subject"))?,
            spki: spki.to_vec(),
            extensions: requested_extensions(attributes)?,
            algorithm: algorithm.to_vec(),
            signature: signature.to_vec(),
        })
    }

    /// Its DER.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem("CERTIFICATE REQUEST", &self.der)
    }

    /// Who it wants to be.
    #[must_use]
    pub const fn subject(&self) -> &Name {
        &self.subject
    }

    /// The key that it wants certified.
    ///
    /// # Errors
    /// [`crate::public_key::PublicKeyError`] for a kind of key that is not used here.
    pub fn public_key(&self) -> Result<PublicKey, PkiError> {
        Ok(PublicKey::from_spki(&self.spki)?)
    }

    /// How it is signed.
    #[must_use]
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::from_der(&self.algorithm)
    }

    /// The extensions that it asks for.
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// Whether whoever made it holds the key, the key is worth a certificate, and nothing is asked for that makes a CA.
    ///
    /// # Errors
    /// [`PkiError::Weak`], [`PkiError::Possession`], [`PkiError::WantsAuthority`].
    pub fn judge(&self) -> Result<PublicKey, PkiError> {
        let key = self.public_key()?;
        judge_key(&key)?;
        let algorithm = self.signature_algorithm();
        algorithm.verify(&self.spki, &self.signed, &self.signature).map_err(PkiError::Possession)?;
        if self.extension::<pkix::BasicConstraints>("basicConstraints")?.is_some_and(|constraints| constraints.ca) {
            return Err(PkiError::WantsAuthority("CA:TRUE"));
        }
        let usage = self.extension::<pkix::KeyUsage>("keyUsage")?;
        if usage.is_some_and(|usage| usage.key_cert_sign() || usage.crl_sign()) {
            return Err(PkiError::WantsAuthority("keyCertSign or cRLSign"));
        }
        Ok(key)
    }

    /// The alternative names that it asks for.
    ///
    /// # Errors
    /// [`PkiError::RequestedName`] for one of a kind that is not issued.
    pub fn alternative_names(&self) -> Result<Vec<AlternativeName>, PkiError> {
        let names = self.extension::<pkix::SubjectAltName>("subjectAltName")?.map_or_else(Vec::new, |names| names.0);
        let known = |name| AlternativeName::from_general(name).ok_or_else(|| alternative_name(name));
        names.iter().map(known).collect::<Result<_, _>>().map_err(PkiError::RequestedName)
    }

    fn extension<'a, T: Decode<'a> + AssociatedOid>(
        &'a self,
        name: &'static str,
    ) -> Result<Option<T>, CertificateError> {
        let found = self.extensions.iter().find(|extension| extension.oid == T::OID);
        found.map(|extension| T::from_der(&extension.value).map_err(|_| CertificateError::Der(name))).transpose()
    }
}

/// The extensions in the attribute `extensionRequest`, of `Attributes` without its header.
fn requested_extensions(attributes: &[u8]) -> Result<Vec<Extension>, CertificateError> {
    let at = |_: x509_cert::der::Error| CertificateError::Der("attributes");
    let mut reader = SliceReader::new(attributes).map_err(at)?;
    let mut found = None;
    while !reader.is_finished() {
        let (id, values) = reader
            .sequence(|reader| Ok((ObjectIdentifier::decode(reader)?, AnyRef::decode(reader)?.value())))
            .map_err(at)?;
        // Two such attributes could ask for two different things.
        if id == EXTENSION_REQUEST && found.replace(values).is_some() {
            return Err(CertificateError::Repeated(id));
        }
    }
    found.map_or(Ok(Vec::new()), read_extensions)
}

const EXTENSION_REQUEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");
