//! Whose firmware a device takes, changed by those whose firmware it takes: the root rotation of The Update Framework.
//!
//! What the factory wrote is number 0. A statement is the number after it, and says all of the new policy:
//!
//! ```json
//! {"format":1,"project":"cotter-app","number":1,"required":2,"keys":["<base64 SubjectPublicKeyInfo>",..],
//!  "secure_boot":["<64 hex>",..]}
//! ```
//!
//! Signatures cover SHA-256 of `cotter/trust/v1\0` and the body's bytes. Enough keys of the old policy must have signed, and
//! enough of the new one: nobody is locked out by keys that nobody has. It travels like a manifest:
//!
//! ```json
//! {"statement":"<base64 body>","signatures":[{"key_id":"<16 hex>","alg":"es256","signature":"<base64>"}]}
//! ```
//!
//! (both without line breaks). At most four keys sign a statement, as at most four sign a manifest: so whoever can sign the
//! change can sign a release that both sides of it accept.

use crate::canonical::{CanonicalError, OutputFull, Scanner, Writer};
use crate::firmware_key::{FirmwareKey, KeyError};
use crate::manifest::{
    MAX_SIGNATURES, ManifestSignature, PolicyError, Project, SignatureFault, VerifyPolicy, decode, read_signatures,
    write_signatures,
};
use core::fmt;
use sha2::{Digest, Sha256};

/// Longest body, in bytes.
pub const MAX_BODY: usize = 1984;
/// Longest statement with its signatures, in bytes.
pub const MAX_STATEMENT: usize = 4608;
/// Most digests of Secure Boot keys, as many as the eFuses hold.
pub const MAX_DIGESTS: usize = 3;

/// How often the keys of a product have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustNumber(pub u32);

impl TrustNumber {
    /// What the factory wrote.
    pub const BEGINNING: Self = Self(0);

    /// The one that follows; `None` after the last.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(next) => Some(Self(next)),
            None => None,
        }
    }
}

impl fmt::Display for TrustNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a statement says. About 1.3 KB.
#[derive(Clone, Debug)]
pub struct Statement {
    /// For the devices of which project.
    pub project: Project,
    /// Its place in the chain, from 1.
    pub number: TrustNumber,
    /// Whose firmware they take from now on.
    pub policy: VerifyPolicy,
    /// SHA-256 of the Secure Boot keys whose signatures images carry from now on; as before if there are none. It tells
    /// release engineers and the server: no device changes its eFuses because of it.
    pub secure_boot: heapless::Vec<[u8; 32], MAX_DIGESTS>,
}

impl Statement {
    /// Writes the body into `out`; [`MAX_BODY`] bytes are always enough.
    ///
    /// # Errors
    /// [`OutputFull`].
    pub fn encode<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], OutputFull> {
        let mut body = Writer::new(out);
        body.literal("{\"format\":1,\"project\":\"").literal(self.project.as_str());
        body.literal("\",\"number\":").number(self.number.0).literal(",\"required\":");
        body.number(u32::try_from(self.policy.required()).map_err(|_| OutputFull)?).literal(",\"keys\":[");
        for (index, key) in self.policy.keys().iter().enumerate() {
            body.literal(if index == 0 { "\"" } else { ",\"" });
            body.base64(key.spki(&mut [0; FirmwareKey::MAX_SPKI])).literal("\"");
        }
        body.literal("],\"secure_boot\":[");
        for (index, digest) in self.secure_boot.iter().enumerate() {
            body.literal(if index == 0 { "\"" } else { ",\"" }).hex(digest).literal("\"");
        }
        body.literal("]}");
        body.finish()
    }

    /// Reads the one spelling of a body. Whether anybody signed it is [`SignedStatement::verify`]'s to say.
    ///
    /// # Errors
    /// [`TrustError::Form`] with an offset, [`TrustError::Key`], [`TrustError::Policy`], [`TrustError::DuplicateDigest`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        let mut scan = Scanner::new(bytes, MAX_BODY)?;
        scan.literal("{\"format\":1,\"project\":\"")?;
        let at = scan.offset();
        let project = scan.text(31, |byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\')?;
        let project = core::str::from_utf8(project).ok().and_then(Project::new);
        let project = project.ok_or(CanonicalError::Character { at })?;
        scan.literal("\",\"number\":")?;
        let number = TrustNumber(scan.u32()?);
        scan.literal(",\"required\":")?;
        let required = scan.u32()?;
        scan.literal(",\"keys\":[\"")?;
        let mut keys = heapless::Vec::<_, MAX_SIGNATURES>::new();
        loop {
            let at = scan.offset();
            let mut spki = heapless::Vec::<u8, { FirmwareKey::MAX_SPKI }>::new();
            decode(&mut scan, &mut spki)?;
            let key = FirmwareKey::from_spki(&spki).map_err(|source| TrustError::Key { at, source })?;
            keys.push(key).map_err(|_| PolicyError::TooManyKeys)?;
            if !scan.accepts("\",\"") {
                scan.literal("\"]")?;
                break;
            }
        }
        let policy = VerifyPolicy::new(keys, usize::try_from(required).unwrap_or(usize::MAX))?;
        scan.literal(",\"secure_boot\":[")?;
        let mut secure_boot = heapless::Vec::<[u8; 32], MAX_DIGESTS>::new();
        if !scan.accepts("]") {
            scan.literal("\"")?;
            loop {
                let at = scan.offset();
                let digest = scan.hex()?;
                if secure_boot.contains(&digest) {
                    return Err(TrustError::DuplicateDigest { at });
                }
                secure_boot.push(digest).map_err(|_| CanonicalError::TooLong { at, max: MAX_DIGESTS })?;
                if !scan.accepts("\",\"") {
                    scan.literal("\"]")?;
                    break;
                }
            }
        }
        scan.literal("}")?;
        scan.end()?;
        Ok(Self { project, number, policy, secure_boot })
    }
}

/// A statement with its signatures, whose form is right; nothing in it is trusted yet. About 3.1 KB.
#[derive(Clone, Debug)]
pub struct SignedStatement {
    body: heapless::Vec<u8, MAX_BODY>,
    signatures: heapless::Vec<ManifestSignature, MAX_SIGNATURES>,
}

impl SignedStatement {
    /// Reads the one spelling.
    ///
    /// # Errors
    /// [`TrustError::Form`] with an offset.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        let mut scan = Scanner::new(bytes, MAX_STATEMENT)?;
        scan.literal("{\"statement\":\"")?;
        let mut body = heapless::Vec::new();
        decode(&mut scan, &mut body)?;
        scan.literal("\",\"signatures\":[")?;
        let signatures = read_signatures(&mut scan)?;
        scan.literal("}")?;
        scan.end()?;
        Ok(Self { body, signatures })
    }

    /// Believes the statement if it follows `number`, and enough keys of `policy` and of its own policy signed it. The body
    /// is read only once the old keys have signed it.
    ///
    /// # Errors
    /// [`TrustError`], the first reason in this order.
    pub fn verify(
        &self,
        project: &Project,
        number: TrustNumber,
        policy: &VerifyPolicy,
    ) -> Result<Statement, TrustError> {
        if self.signatures.is_empty() {
            return Err(TrustError::Unsigned);
        }
        let digest = signed_digest(&self.body);
        let (valid, required) = (policy.count(&digest, &self.signatures)?, policy.required());
        if valid < required {
            return Err(TrustError::NotEnoughOld { valid, required });
        }
        let statement = Statement::parse(&self.body)?;
        if statement.project != *project {
            return Err(TrustError::WrongProject);
        }
        if Some(statement.number) != number.next() {
            return Err(TrustError::Number { after: number, found: statement.number });
        }
        let (valid, required) = (statement.policy.count(&digest, &self.signatures)?, statement.policy.required());
        if valid < required {
            return Err(TrustError::NotEnoughNew { valid, required });
        }
        Ok(statement)
    }

    /// The body's bytes, as signed.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The signatures.
    #[must_use]
    pub fn signatures(&self) -> &[ManifestSignature] {
        &self.signatures
    }
}

/// Writes a statement with its signatures into `out`; [`MAX_STATEMENT`] bytes are always enough.
///
/// # Errors
/// [`OutputFull`].
pub fn encode_statement<'o>(
    body: &[u8],
    signatures: &[ManifestSignature],
    out: &'o mut [u8],
) -> Result<&'o [u8], OutputFull> {
    let mut writer = Writer::new(out);
    writer.literal("{\"statement\":\"").base64(body).literal("\",\"signatures\":[");
    write_signatures(&mut writer, signatures);
    writer.literal("}");
    writer.finish()
}

/// What is signed: SHA-256 of the domain and the body's bytes.
#[must_use]
pub fn signed_digest(body: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(b"cotter/trust/v1\0").chain_update(body).finalize().into()
}

/// Why bytes are no statement, or not one to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Not the one spelling.
    #[error("trust statement: {0}")]
    Form(#[from] CanonicalError),
    /// A key that nobody should trust.
    #[error("trust statement: offset {at}: {source}")]
    Key {
        /// Where it stands.
        at: usize,
        /// What is wrong with it.
        source: KeyError,
    },
    /// The keys together.
    #[error("trust statement: {0}")]
    Policy(#[from] PolicyError),
    /// One digest twice.
    #[error("trust statement: a Secure Boot digest is there twice, at offset {at}")]
    DuplicateDigest {
        /// Where it stands again.
        at: usize,
    },
    /// No signature at all.
    #[error("trust statement: not signed")]
    Unsigned,
    /// The signatures.
    #[error("trust statement: {0}")]
    Signature(#[from] SignatureFault),
    /// Too few of those who are trusted now.
    #[error("trust statement: {valid} signatures by the keys that it replaces, {required} required")]
    NotEnoughOld {
        /// How many there are.
        valid: usize,
        /// How many there must be.
        required: usize,
    },
    /// Too few of those who are to be trusted.
    #[error("trust statement: {valid} signatures by its own keys, {required} required")]
    NotEnoughNew {
        /// How many there are.
        valid: usize,
        /// How many there must be.
        required: usize,
    },
    /// Another product's.
    #[error("trust statement: for another project")]
    WrongProject,
    /// One of the past, or one too far ahead.
    #[error("trust statement: number {found} does not follow number {after}")]
    Number {
        /// What is trusted now.
        after: TrustNumber,
        /// What it is.
        found: TrustNumber,
    },
}

impl TrustError {
    /// A stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Form(_) | Self::DuplicateDigest { .. } => "trust-malformed",
            Self::Key { .. } => "trust-key",
            Self::Policy(_) => "trust-policy",
            Self::Unsigned => "trust-unsigned",
            Self::Signature(_) => "trust-signature",
            Self::NotEnoughOld { .. } => "trust-too-few-old-keys",
            Self::NotEnoughNew { .. } => "trust-too-few-new-keys",
            Self::WrongProject => "trust-wrong-project",
            Self::Number { .. } => "trust-number",
        }
    }
}

#[cfg(test)]
mod tests;
