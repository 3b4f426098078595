//! What a release is, signed: everything that a device acts on is under the signatures.
//!
//! The body is one canonical JSON object, and signatures cover SHA-256 of `cotter/manifest/v1\0` and the body's bytes:
//!
//! ```json
//! {"format":1,"project":"cotter-app","chip":"esp32c3","version":"1.1.0","secure_version":1,"size":135168,
//!  "sha256":"<64 hex>","encrypted_size":135184,"chunk_size":2048,"iv":"<32 hex>","issued":1,"expires":2}
//! ```
//!
//! It travels in an envelope with its signatures and, from server to device, the wrapped content key:
//!
//! ```json
//! {"manifest":"<base64 body>","signatures":[{"key_id":"<16 hex>","alg":"rsa-pss-2048","signature":"<base64>"}],
//!  "content_key":{"epoch":1,"nonce":"<24 hex>","wrapped":"<96 hex>"}}
//! ```
//! (both without line breaks). The content key is not signed: it is bound to device, epoch and release by its own tag.

mod envelope;
mod policy;

use crate::canonical::{CanonicalError, OutputFull, Scanner, Writer};
use crate::content;
use crate::ids::{SecureVersion, UnixTime};
use crate::version::Version;
use cotter_formats::chip::Chip;
use sha2::{Digest, Sha256};

pub use envelope::{Envelope, ManifestSignature, VerifiedManifest, encode_envelope};
pub(crate) use envelope::{decode, read_signatures, write_signatures};
pub use policy::{PolicyError, SignatureFault, VerifyPolicy};

/// Longest body, in bytes.
pub const MAX_BODY: usize = 512;
/// Longest envelope, in bytes.
pub const MAX_ENVELOPE: usize = 4096;
/// Most signatures in an envelope, and most keys in a policy.
pub const MAX_SIGNATURES: usize = 4;
/// How far ahead of a device's clock a manifest may be issued, in seconds.
pub const CLOCK_SKEW: u64 = 600;

/// A release, as its manifest states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Project name of the application descriptor.
    pub project: Project,
    /// Which chip it is built for.
    pub chip: Chip,
    /// Version of the application descriptor.
    pub version: Version,
    /// `secure_version` of the application descriptor.
    pub secure_version: SecureVersion,
    /// Length of the signed image in bytes, signature sector included.
    pub size: u32,
    /// SHA-256 of the signed image.
    pub sha256: [u8; 32],
    /// CBC IV of the content.
    pub iv: [u8; 16],
    /// When it was issued.
    pub issued: UnixTime,
    /// When devices stop accepting it.
    pub expires: UnixTime,
}

/// A project name: 1 to 31 printable ASCII characters other than `"` and `\`, as the application descriptor holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project(heapless::String<31>);

impl Project {
    /// The project of this name; `None` if it cannot be one.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let legal = !name.is_empty() && name.bytes().all(Self::allows);
        if !legal {
            return None;
        }
        heapless::String::try_from(name).ok().map(Self)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    const fn allows(byte: u8) -> bool {
        matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
    }
}

impl Manifest {
    /// Writes the body into `out`; [`MAX_BODY`] bytes are always enough.
    ///
    /// # Errors
    /// [`OutputFull`]; also if the image is so large that its ciphertext has no 32-bit length.
    pub fn encode<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], OutputFull> {
        let mut body = Writer::new(out);
        body.literal("{\"format\":1,\"project\":\"").literal(self.project.as_str());
        body.literal("\",\"chip\":\"").literal(self.chip.name());
        body.literal("\",\"version\":\"").literal(&self.version.text());
        body.literal("\",\"secure_version\":").number(self.secure_version.0);
        body.literal(",\"size\":").number(self.size);
        body.literal(",\"sha256\":\"").hex(&self.sha256);
        body.literal("\",\"encrypted_size\":").number(content::encrypted_len(self.size).ok_or(OutputFull)?);
        body.literal(",\"chunk_size\":2048,\"iv\":\"").hex(&self.iv);
        body.literal("\",\"issued\":").number(self.issued.0);
        body.literal(",\"expires\":").number(self.expires.0).literal("}");
        body.finish()
    }

    /// Reads the one spelling of a body.
    ///
    /// # Errors
    /// [`ManifestError::Form`] with an offset, or [`ManifestError::Inconsistent`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut scan = Scanner::new(bytes, MAX_BODY)?;
        scan.literal("{\"format\":1,\"project\":\"")?;
        let at = scan.offset();
        let project = text(scan.text(31, Project::allows)?).and_then(Project::new);
        let project = project.ok_or(CanonicalError::Character { at })?;
        scan.literal("\",\"chip\":\"")?;
        let at = scan.offset();
        let chip = text(scan.text(16, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())?);
        let chip = chip.and_then(Chip::from_name).ok_or(ManifestError::UnknownChip { at })?;
        scan.literal("\",\"version\":\"")?;
        let at = scan.offset();
        let version = scan.text(Version::MAX_LEN, |byte| byte.is_ascii_digit() || byte == b'.')?;
        let version = Version::from_bytes(version).map_err(|_| CanonicalError::Number { at })?;
        scan.literal("\",\"secure_version\":")?;
        let secure_version = SecureVersion(scan.u32()?);
        scan.literal(",\"size\":")?;
        let size = scan.u32()?;
        scan.literal(",\"sha256\":\"")?;
        let sha256 = scan.hex()?;
        scan.literal("\",\"encrypted_size\":")?;
        let encrypted_size = scan.u32()?;
        scan.literal(",\"chunk_size\":2048,\"iv\":\"")?;
        let iv = scan.hex()?;
        scan.literal("\",\"issued\":")?;
        let issued = UnixTime(scan.u64()?);
        scan.literal(",\"expires\":")?;
        let expires = UnixTime(scan.u64()?);
        scan.literal("}")?;
        scan.end()?;
        if size == 0 || content::encrypted_len(size) != Some(encrypted_size) || issued >= expires {
            return Err(ManifestError::Inconsistent);
        }
        Ok(Self { project, chip, version, secure_version, size, sha256, iv, issued, expires })
    }

    /// Length of the content on the wire, in bytes.
    #[must_use]
    pub fn encrypted_size(&self) -> u32 {
        content::encrypted_len(self.size).unwrap_or(u32::MAX)
    }

    /// Whether a device in this situation may install the release.
    ///
    /// # Errors
    /// [`Unsuitable`], the first reason in the order of its variants.
    pub fn check(&self, situation: &Situation<'_>) -> Result<(), Unsuitable> {
        if self.issued.0 > situation.now.0.saturating_add(CLOCK_SKEW) {
            return Err(Unsuitable::FromTheFuture);
        }
        if self.expires <= situation.now {
            return Err(Unsuitable::Expired);
        }
        if self.project.as_str() != situation.project {
            return Err(Unsuitable::WrongProject);
        }
        if self.chip != situation.chip {
            return Err(Unsuitable::WrongChip);
        }
        if self.secure_version < situation.secure_version {
            return Err(Unsuitable::SecureVersionTooLow);
        }
        if self.version <= situation.version {
            return Err(Unsuitable::NotNewer);
        }
        Ok(())
    }
}

/// What a manifest is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation<'a> {
    /// Authenticated time.
    pub now: UnixTime,
    /// The project of the running application.
    pub project: &'a str,
    /// This chip.
    pub chip: Chip,
    /// The running version.
    pub version: Version,
    /// The higher of the running `secure_version` and what the eFuses demand.
    pub secure_version: SecureVersion,
}

/// What is signed: SHA-256 of the domain and the body's bytes.
#[must_use]
pub fn signed_digest(body: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(b"cotter/manifest/v1\0").chain_update(body).finalize().into()
}

fn text(bytes: &[u8]) -> Option<&str> {
    core::str::from_utf8(bytes).ok()
}

/// Why bytes are no manifest, or not one to believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not the one spelling of a manifest or envelope.
    #[error("manifest: {0}")]
    Form(#[from] CanonicalError),
    /// A chip that this is not built for.
    #[error("manifest: unknown chip at offset {at}")]
    UnknownChip {
        /// Where its name stands.
        at: usize,
    },
    /// The sizes do not fit each other, or it expires before it is issued.
    #[error("manifest: its fields contradict each other")]
    Inconsistent,
    /// No signature at all.
    #[error("manifest: not signed")]
    Unsigned,
    /// The same key twice.
    #[error("manifest: two signatures name one key")]
    DuplicateSignature,
    /// A trusted key is named with an algorithm that is not the key's.
    #[error("manifest: a signature names an algorithm that its key does not have")]
    AlgorithmMismatch,
    /// A trusted key is named, and the signature is not its own.
    #[error("manifest: a signature does not match the manifest")]
    BadSignature,
    /// Too few signatures by trusted keys.
    #[error("manifest: {valid} signatures by trusted keys, {required} required")]
    NotEnoughSignatures {
        /// How many there are.
        valid: usize,
        /// How many there must be.
        required: usize,
    },
}

impl From<SignatureFault> for ManifestError {
    fn from(fault: SignatureFault) -> Self {
        match fault {
            SignatureFault::Duplicate => Self::DuplicateSignature,
            SignatureFault::AlgorithmMismatch => Self::AlgorithmMismatch,
            SignatureFault::Bad => Self::BadSignature,
        }
    }
}

impl ManifestError {
    /// A stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Form(_) => "manifest-malformed",
            Self::UnknownChip { .. } => "manifest-unknown-chip",
            Self::Inconsistent => "manifest-inconsistent",
            Self::Unsigned => "manifest-unsigned",
            Self::DuplicateSignature => "manifest-duplicate-signature",
            Self::AlgorithmMismatch => "manifest-algorithm-mismatch",
            Self::BadSignature => "manifest-bad-signature",
            Self::NotEnoughSignatures { .. } => "manifest-untrusted",
        }
    }
}

/// Why a believed release is not for this device, now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsuitable {
    /// Issued more than ten minutes ahead of the device's authenticated time.
    #[error("release: issued in the future")]
    FromTheFuture,
    /// Past its expiry.
    #[error("release: expired")]
    Expired,
    /// Another product's.
    #[error("release: for another project")]
    WrongProject,
    /// Another chip's.
    #[error("release: for another chip")]
    WrongChip,
    /// Below the anti-rollback counter.
    #[error("release: secure_version is lower than the device's")]
    SecureVersionTooLow,
    /// Not newer than what runs.
    #[error("release: not newer than the running version")]
    NotNewer,
}

impl Unsuitable {
    /// A stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::FromTheFuture => "manifest-from-the-future",
            Self::Expired => "manifest-expired",
            Self::WrongProject => "manifest-wrong-project",
            Self::WrongChip => "manifest-wrong-chip",
            Self::SecureVersionTooLow => "manifest-secure-version-too-low",
            Self::NotNewer => "manifest-not-newer",
        }
    }
}

#[cfg(test)]
mod tests;
