//! Certificates on their way to the encoder: version 3 of RFC 5280, serial numbers of 20 random bytes, both key
//! identifiers.

use super::alternative::AlternativeName;
use super::ca::PkiError;
use super::certificate::Certificate;
use super::leaf::{Leaf, Validity};
use super::name::Name;
use super::signature::{algorithm_identifier, sign};
use crate::private_key::PrivateKey;
use crate::public_key::PublicKey;
use crate::signing::random;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use der::Encode;
use der::asn1::{BitString, ObjectIdentifier, OctetString};
use der::oid::AssociatedOid;
use ecdsa::signature::Keypair;
use sha2::{Digest, Sha256};
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{self, Builder, CertificateBuilder};
use x509_cert::certificate::TbsCertificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::ext::{Criticality, Extension, Extensions, ToExtension};
use x509_cert::name::Name as Typed;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{
    self, AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef,
};
use x509_cert::time::Time;

/// Who, by whom, and what for.
pub(super) struct Profile {
    /// `None`: by itself.
    issuer: Option<Issuer>,
    subject: Typed,
    role: Role,
    key_id: KeyId,
}

/// How the identifier of the subject's key comes about.
#[derive(Clone, Copy)]
enum KeyId {
    /// The first 160 bits of SHA-256 over the key's bits: RFC 7093, method 1.
    Sha256,
    /// SHA-1 over them, which is not for security here: RFC 5280 section 4.2.1.2, method 1. All that cryptoauthlib computes.
    Sha1,
}

/// What the certificate of an issuer says of it.
pub(super) struct Issuer {
    name: Typed,
    key_id: Option<Vec<u8>>,
}

enum Role {
    Authority { path_length: Option<u8> },
    Leaf { purposes: Vec<ObjectIdentifier>, names: Vec<GeneralName> },
}

impl Issuer {
    pub(super) fn new(name: &Name, key_id: Option<Vec<u8>>) -> Result<Self, PkiError> {
        Ok(Self { name: name.typed()?, key_id })
    }
}

impl Profile {
    /// An authority; a root if it has no issuer.
    pub(super) fn authority(issuer: Option<Issuer>, subject: &Name, path_length: Option<u8>) -> Result<Self, PkiError> {
        Ok(Self { issuer, subject: subject.typed()?, role: Role::Authority { path_length }, key_id: KeyId::Sha256 })
    }

    /// A device or a server.
    pub(super) fn leaf(issuer: Issuer, leaf: &Leaf) -> Result<Self, PkiError> {
        let purposes = leaf.purposes.iter().map(|purpose| purpose.oid()).collect();
        let names = general_names(&leaf.alternative_names)?;
        Ok(Self {
            issuer: Some(issuer),
            subject: leaf.subject.typed()?,
            role: Role::Leaf { purposes, names },
            key_id: KeyId::Sha256,
        })
    }

    /// The same as cryptoauthlib makes it out of 72 bytes.
    pub(super) fn compressible(issuer: Issuer, leaf: &Leaf) -> Result<Self, PkiError> {
        Ok(Self { key_id: KeyId::Sha1, ..Self::leaf(issuer, leaf)? })
    }

    /// The certificate for `key`, signed by `signer`.
    ///
    /// # Errors
    /// [`PkiError`] if encoding or signing fails.
    pub(super) fn certify(
        self,
        key: &PublicKey,
        validity: Validity,
        signer: &PrivateKey,
    ) -> Result<Certificate, PkiError> {
        self.certify_numbered(key, validity, &serial()?, signer)
    }

    /// The same with that serial number.
    pub(super) fn certify_numbered(
        self,
        key: &PublicKey,
        validity: Validity,
        serial: &[u8],
        signer: &PrivateKey,
    ) -> Result<Certificate, PkiError> {
        let mut builder = self.builder(key, validity, serial)?;
        let signature = sign(signer, &builder.finalize(signer)?)?;
        Ok(Certificate::from_der(&builder.assemble(signature, signer)?.to_der()?)?)
    }

    /// A certificate that was signed before, from all that it says. Whether the signature holds is another question.
    pub(super) fn assemble(
        self,
        key: &PublicKey,
        validity: Validity,
        serial: &[u8],
        signer: &PublicKey,
        signature: &[u8],
    ) -> Result<Certificate, PkiError> {
        let mut builder = self.builder(key, validity, serial)?;
        builder.finalize(&Absent(signer))?;
        let signature = BitString::from_bytes(signature)?;
        Ok(Certificate::from_der(&builder.assemble(signature, &Absent(signer))?.to_der()?)?)
    }

    fn builder(self, key: &PublicKey, validity: Validity, serial: &[u8]) -> Result<CertificateBuilder<Self>, PkiError> {
        let validity = x509_cert::time::Validity::new(Time::from(validity.not_before), Time::from(validity.not_after));
        let spki = SubjectPublicKeyInfoOwned::from_key(key)?;
        Ok(CertificateBuilder::new(self, SerialNumber::new(serial)?, validity, spki)?)
    }
}

impl BuilderProfile for Profile {
    fn get_issuer(&self, subject: &Typed) -> Typed {
        self.issuer.as_ref().map_or(subject, |issuer| &issuer.name).clone()
    }

    fn get_subject(&self) -> Typed {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        spki: SubjectPublicKeyInfoRef<'_>,
        signer: SubjectPublicKeyInfoRef<'_>,
        _tbs: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        let mut list = List { subject: &self.subject, extensions: Vec::new() };
        match &self.role {
            Role::Authority { path_length } => {
                list.push(&BasicConstraints { ca: true, path_len_constraint: *path_length })?;
                list.push(&KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))?;
            }
            Role::Leaf { purposes, names } => {
                list.push(&BasicConstraints { ca: false, path_len_constraint: None })?;
                list.push(&KeyUsage(KeyUsages::DigitalSignature.into()))?;
                if !purposes.is_empty() {
                    list.push(&ExtendedKeyUsage(purposes.clone()))?;
                }
                if !names.is_empty() {
                    list.push(&SubjectAltName(names.clone()))?;
                }
            }
        }
        list.push(&SubjectKeyIdentifier(self.key_id.of(&spki)?))?;
        let issuer_key_id = match &self.issuer {
            None => Some(KeyId::Sha256.of(&signer)?),
            Some(issuer) => issuer.key_id.as_deref().map(OctetString::new).transpose()?,
        };
        if issuer_key_id.is_some() {
            list.push(&AuthorityKeyIdentifier { key_identifier: issuer_key_id, ..Default::default() })?;
        }
        Ok(list.extensions)
    }
}

/// Extensions, critical where RFC 5280 wants it.
struct List<'a> {
    subject: &'a Typed,
    extensions: Extensions,
}

impl List<'_> {
    fn push<T: Criticality + AssociatedOid + Encode>(&mut self, extension: &T) -> der::Result<()> {
        self.extensions.push(extension.to_extension(self.subject, &self.extensions)?);
        Ok(())
    }
}

/// Alternative names for an encoder.
pub(super) fn general_names(names: &[AlternativeName]) -> Result<Vec<GeneralName>, PkiError> {
    Ok(names.iter().map(AlternativeName::to_general).collect::<Result<_, _>>()?)
}

/// 20 bytes: as many as RFC 5280 (4.1.2.2) allows, positive, and never shorter. 158 of the bits are random.
fn serial() -> Result<[u8; SERIAL_LEN], PkiError> {
    let mut serial = [0; SERIAL_LEN];
    random(&mut serial).map_err(|_| PkiError::Random)?;
    serial[0] = serial[0] & 0x3f | 0x40;
    Ok(serial)
}

/// Bytes of a serial number.
pub(super) const SERIAL_LEN: usize = 20;

/// A signer whose private key is elsewhere.
struct Absent<'a>(&'a PublicKey);

impl Keypair for Absent<'_> {
    type VerifyingKey = PublicKey;

    fn verifying_key(&self) -> PublicKey {
        self.0.clone()
    }
}

impl DynSignatureAlgorithmIdentifier for Absent<'_> {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        algorithm_identifier(self.0)
    }
}

impl KeyId {
    fn of(self, spki: &SubjectPublicKeyInfoRef<'_>) -> der::Result<OctetString> {
        let bits = spki.subject_public_key.raw_bytes();
        match self {
            Self::Sha256 => OctetString::new(&Sha256::digest(bits)[..20]),
            Self::Sha1 => OctetString::new(digest(&SHA1_FOR_LEGACY_USE_ONLY, bits).as_ref()),
        }
    }
}
