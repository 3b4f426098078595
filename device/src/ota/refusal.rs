//! Why an update was not taken: one variant per reason, each with a stable name.

use super::record::Reason;
use crate::label::MalformedLabel;
use crate::self_test::SelfTestFailure;
use cotter_formats::chip::Chip;
use cotter_wire::ids::{ReleaseId, SecureVersion};
use cotter_wire::manifest::{ManifestError, Unsuitable};
use cotter_wire::version::Version;

/// A refusal of the updater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    // Before any download:
    /// The answer to the poll is no manifest, or not signed as required.
    #[error("{0}")]
    Manifest(ManifestError),
    /// The signed manifest is not for this device, now.
    #[error("{0}")]
    Unsuitable(Unsuitable),
    /// The image does not fit into its slot, or is too short to be one.
    #[error("image of {size} bytes, the slot holds {capacity}")]
    ImageSize {
        /// In the manifest.
        size: u32,
        /// Of the slot.
        capacity: u32,
    },
    /// This release was tried and given up.
    #[error("release {release} was given up before")]
    KnownBad {
        /// Which one.
        release: ReleaseId,
    },
    /// The envelope has no content key, or one that does not open with this device's key.
    #[error("no content key for this device, epoch and release")]
    ContentKey,
    // During the download:
    /// A chunk that nobody asked for.
    #[error("chunk {index} was not asked for")]
    UnexpectedChunk {
        /// Its number.
        index: u32,
    },
    /// Another chunk than the one asked for.
    #[error("chunk {found}, asked for {expected}")]
    ChunkOrder {
        /// Asked for.
        expected: u32,
        /// Received.
        found: u32,
    },
    /// A chunk of another length.
    #[error("chunk {index} has {found} bytes, expected {expected}")]
    ChunkLength {
        /// Its number.
        index: u32,
        /// What follows from the manifest.
        expected: usize,
        /// What arrived.
        found: usize,
    },
    // After the download, before the slot is marked:
    /// The padding of the last chunk.
    #[error("the padding of the last chunk is wrong")]
    Padding,
    /// What is in flash is not what was signed.
    #[error("SHA-256 of the slot is not that of the manifest")]
    Hash,
    /// The manifest in memory is no longer the one that was verified first.
    #[error("the manifest changed during the download")]
    ManifestChanged,
    /// The image is no application image.
    #[error("{0}")]
    ImageLabel(MalformedLabel),
    /// The image says another chip than the manifest.
    #[error("the image is for {found}, the manifest says {promised}")]
    ImageChip {
        /// In the manifest.
        promised: Chip,
        /// In the image.
        found: Chip,
    },
    /// The image says another project than the manifest.
    #[error("the image belongs to another project than the manifest")]
    ImageProject,
    /// The image says another version than the manifest.
    #[error("the image says version {found}, the manifest {promised}")]
    ImageVersion {
        /// In the manifest.
        promised: Version,
        /// In the image.
        found: Version,
    },
    /// The image says another secure version than the manifest.
    #[error("the image says secure version {found}, the manifest {promised}")]
    ImageSecureVersion {
        /// In the manifest.
        promised: SecureVersion,
        /// In the image.
        found: SecureVersion,
    },
    // After the boot:
    /// The new firmware found itself bad.
    #[error("self-test: {0}")]
    SelfTest(SelfTestFailure),
    /// The new firmware was started and never confirmed itself, or the second stage refused it.
    #[error("the new firmware did not come up in {attempts} attempts")]
    DidNotBoot {
        /// How many.
        attempts: u8,
    },
}

impl Refusal {
    /// A stable name, kebab-case.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Manifest(error) => error.code(),
            Self::Unsuitable(unsuitable) => unsuitable.code(),
            Self::ImageSize { .. } => "image-size",
            Self::KnownBad { .. } => "known-bad-release",
            Self::ContentKey => "content-key",
            Self::UnexpectedChunk { .. } => "unexpected-chunk",
            Self::ChunkOrder { .. } => "chunk-order",
            Self::ChunkLength { .. } => "chunk-length",
            Self::Padding => "padding",
            Self::Hash => "image-hash",
            Self::ManifestChanged => "manifest-changed",
            Self::ImageLabel(_) => "image-label",
            Self::ImageChip { .. } => "image-chip",
            Self::ImageProject => "image-project",
            Self::ImageVersion { .. } => "image-version",
            Self::ImageSecureVersion { .. } => "image-secure-version",
            Self::SelfTest(failure) => failure.as_str(),
            Self::DidNotBoot { .. } => "did-not-boot",
        }
    }

    /// What the server is told. A wrong padding is reported as a wrong hash: whoever can send chunks and read reports
    /// must not learn which of the two it was, or he could decrypt the image with them.
    #[must_use]
    pub fn reason(&self) -> Reason {
        let name = if matches!(self, Self::Padding) { Self::Hash.as_str() } else { self.as_str() };
        Reason::new(name).unwrap_or_default()
    }
}
