//! Certification requests (PKCS#10, RFC 2986): made for a key, read, and judged before anything is issued.

use super::alternative::{self, AlternativeName};
use super::ca::PkiError;
use super::certificate::CertificateError;
use super::extension::{self, Extension};
use super::leaf::judge_key;
use super::name::Name;
use super::pem;
use super::profile::general_names;
use super::signature::{SignatureAlgorithm, SignatureError, sign};
use crate::private_key::PrivateKey;
use crate::public_key::PublicKey;
use der::asn1::{BitString, BitStringRef, ContextSpecific};
use der::oid::AssociatedOid;
use der::oid::db::rfc5912;
use der::{Decode, Encode, Reader, SliceReader, TagNumber};
use x509_cert::attr::Attributes;
use x509_cert::ext::{ToExtension, pkix};
use x509_cert::request::{CertReq, CertReqInfo, ExtensionReq, Version};
use x509_cert::spki::{AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, SubjectPublicKeyInfoOwned};

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
        let unsigned = UnsignedRequest::new(key.public(), subject, names)?;
        let signature = sign(key, unsigned.to_be_signed())?;
        let request = CertReq { info: unsigned.info, algorithm: key.signature_algorithm_identifier()?, signature };
        Ok(Self::from_der(&request.to_der()?)?)
    }

    /// Reads a file with one request, PEM or DER.
    ///
    /// # Errors
    /// [`CertificateError::NoRequest`] if there is none, [`CertificateError::Der`] with the field that cannot be read.
    pub fn read(file: &[u8]) -> Result<Self, CertificateError> {
        if file.first() == Some(&0x30) {
            return Self::from_der(file);
        }
        let mut blocks = pem::decode(file, "CERTIFICATE REQUEST")?;
        if blocks.is_empty() {
            blocks = pem::decode(file, "NEW CERTIFICATE REQUEST")?;
        }
        Self::from_der(blocks.first().ok_or(CertificateError::NoRequest)?)
    }

    fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let at = |field| move |_: der::Error| CertificateError::Der(field);
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
                // The attributes are not optional, but some leave them out.
                let attributes = ContextSpecific::<Attributes>::decode_implicit(info, TagNumber(0))?;
                Ok((subject, spki, attributes))
            })
            .map_err(at("request info"))?;
        Ok(Self {
            der: der.to_vec(),
            signed: signed.to_vec(),
            subject: Name::from_der(subject).map_err(|_| CertificateError::Der("subject"))?,
            spki: spki.to_vec(),
            extensions: attributes.map_or_else(|| Ok(Vec::new()), |field| requested(&field.value))?,
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
        pem::encode("CERTIFICATE REQUEST", &self.der)
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
        if extension::find::<pkix::BasicConstraints>(&self.extensions, "basicConstraints")?
            .is_some_and(|constraints| constraints.ca)
        {
            return Err(PkiError::WantsAuthority("CA:TRUE"));
        }
        let usage = extension::find::<pkix::KeyUsage>(&self.extensions, "keyUsage")?;
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
        let names = extension::find::<pkix::SubjectAltName>(&self.extensions, "subjectAltName")?
            .map_or_else(Vec::new, |names| names.0);
        let known = |name| AlternativeName::from_general(name).ok_or_else(|| alternative::shown(name));
        names.iter().map(known).collect::<Result<_, _>>().map_err(PkiError::RequestedName)
    }
}

/// A request that is signed where the key is: in a secure element.
#[derive(Clone, Debug)]
pub struct UnsignedRequest {
    info: CertReqInfo,
    to_be_signed: Vec<u8>,
}

impl UnsignedRequest {
    /// A request for this key.
    ///
    /// # Errors
    /// [`PkiError::Weak`].
    pub fn new(key: &PublicKey, subject: &Name, names: &[AlternativeName]) -> Result<Self, PkiError> {
        judge_key(key)?;
        let subject = subject.typed()?;
        let mut attributes = Attributes::new();
        if !names.is_empty() {
            let names = pkix::SubjectAltName(general_names(names)?);
            let extensions = vec![(false, &names).to_extension(&subject, &[])?];
            attributes.insert(ExtensionReq(extensions).try_into()?)?;
        }
        let public_key = SubjectPublicKeyInfoOwned::from_key(key)?;
        let info = CertReqInfo { version: Version::V1, subject, public_key, attributes };
        Ok(Self { to_be_signed: info.to_der()?, info })
    }

    /// CertificationRequestInfo, DER: what the signature is over.
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        &self.to_be_signed
    }

    /// The request with a signature of ECDSA over P-256 and SHA-256: R, then S, both big-endian.
    ///
    /// # Errors
    /// [`PkiError::Possession`] if it is not that of the key.
    pub fn signed(self, signature: &[u8; 64]) -> Result<Request, PkiError> {
        let wrong = |_| PkiError::Possession(SignatureError::Wrong);
        let signature = p256::ecdsa::Signature::from_slice(signature).map_err(wrong)?.to_der();
        let signature = BitString::from_bytes(signature.as_bytes())?;
        let algorithm = AlgorithmIdentifierOwned { oid: rfc5912::ECDSA_WITH_SHA_256, parameters: None };
        let request = Request::from_der(&CertReq { info: self.info, algorithm, signature }.to_der()?)?;
        request.judge()?;
        Ok(request)
    }
}

/// The extensions in the attribute `extensionRequest`.
fn requested(attributes: &Attributes) -> Result<Vec<Extension>, CertificateError> {
    let requests = attributes.iter().filter(|attribute| attribute.oid == ExtensionReq::OID);
    let mut lists = requests.flat_map(|attribute| attribute.values.iter());
    let Some(list) = lists.next() else { return Ok(Vec::new()) };
    // Two of them could ask for two different things.
    if lists.next().is_some() {
        return Err(CertificateError::Repeated(ExtensionReq::OID));
    }
    extension::each_once(list.decode_as().map_err(|_| CertificateError::Der("attributes"))?)
}
