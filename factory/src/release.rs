//! A release: the signed image, its signed manifest, and its content under a key of its own.

use crate::signing::{ManifestKey, SigningError, random};
use cotter_formats::chip::Chip;
use cotter_formats::image::{Image, ImageError};
use cotter_formats::secret::Secret;
use cotter_wire::canonical::OutputFull;
use cotter_wire::content::{self, ContentKey};
use cotter_wire::firmware_key::{FirmwareKey, KeyError};
use cotter_wire::ids::{ReleaseId, SecureVersion, UnixTime};
use cotter_wire::manifest::{
    MAX_BODY, MAX_ENVELOPE, Manifest, ManifestSignature, Project, encode_envelope, signed_digest,
};
use cotter_wire::version::{Version, VersionError};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Everything that is uploaded to the server.
#[derive(Debug)]
pub struct Release {
    /// What it is.
    pub manifest: Manifest,
    /// SHA-256 of the manifest's body.
    pub id: ReleaseId,
    /// The envelope with its signatures, without a content key.
    pub envelope: Vec<u8>,
    /// The signed image, in plain.
    pub image: Vec<u8>,
    /// AES-256 key of the content.
    pub content_key: ContentKey,
}

impl Release {
    /// Hashes the image, draws IV and content key, writes the manifest and signs it with every key.
    /// `signed_image`: with its Secure Boot signature sector; what the manifest says comes from its descriptor.
    ///
    /// # Errors
    /// [`ReleaseError`] if the image is none, or its descriptor does not fit a manifest.
    pub fn prepare(
        signed_image: Vec<u8>,
        chip: Chip,
        keys: &[&ManifestKey],
        issued: UnixTime,
        life: Duration,
    ) -> Result<Self, ReleaseError> {
        let image = Image::parse(&signed_image, chip)?;
        let descriptor = image.app_descriptor().ok_or(ReleaseError::NoDescriptor)?;
        let project = Project::new(descriptor.project_name()).ok_or(ReleaseError::Project)?;
        let mut iv = [0; 16];
        random(&mut iv)?;
        let manifest = Manifest {
            project,
            chip,
            version: descriptor.version().parse::<Version>()?,
            secure_version: SecureVersion(descriptor.secure_version.get()),
            size: u32::try_from(signed_image.len()).map_err(|_| ReleaseError::TooLarge)?,
            sha256: Sha256::digest(&signed_image).into(),
            iv,
            issued,
            expires: UnixTime(issued.0.saturating_add(life.as_secs())),
        };
        Self::sign(manifest, signed_image, keys)
    }

    /// Signs a manifest as it is. For tests of those who must refuse it, and for [`Self::prepare`].
    ///
    /// # Errors
    /// [`ReleaseError`] from the keys.
    pub fn sign(manifest: Manifest, image: Vec<u8>, keys: &[&ManifestKey]) -> Result<Self, ReleaseError> {
        let mut body = [0; MAX_BODY];
        let body = manifest.encode(&mut body)?;
        let digest = signed_digest(body);
        let mut signatures = Vec::new();
        for key in keys {
            let public = FirmwareKey::from_spki(&key.public_spki()?)?;
            let bytes = heapless::Vec::from_slice(&key.sign_digest(&digest)?).map_err(|_| ReleaseError::TooLarge)?;
            signatures.push(ManifestSignature { key: public.id(), algorithm: public.algorithm(), bytes });
        }
        let mut envelope = vec![0; MAX_ENVELOPE];
        let envelope = encode_envelope(body, &signatures, None, &mut envelope)?.to_vec();
        let content_key = ContentKey::new(Secret::try_filled_by(|key| random(key))?);
        Ok(Self { id: ReleaseId(Sha256::digest(body).into()), manifest, envelope, image, content_key })
    }

    /// The content as it travels: AES-256-CBC with the manifest's IV.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        content::encrypt(&self.content_key, &self.manifest.iv, &self.image)
    }
}

/// Why there is no release.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Not an image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// An image without an application descriptor.
    #[error("the image has no application descriptor")]
    NoDescriptor,
    /// The project name does not fit a manifest.
    #[error("the project name is not 1 to 31 printable characters")]
    Project,
    /// The version is no version.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// No randomness, or no signature.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// A signing key that no device could trust.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The image is larger than 4 GiB.
    #[error("the image is too large")]
    TooLarge,
    /// The manifest is longer than its bound.
    #[error(transparent)]
    Output(#[from] OutputFull),
}
