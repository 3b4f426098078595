//! What an image must be before it becomes a release: whole, for this chip and project, and signed for Secure Boot.

use cotter_formats::chip::Chip;
use cotter_formats::image::{Image, ImageError};
use cotter_formats::secure_boot::v2::{SignatureError, SignedFile, content_padded_len};
use cotter_wire::ids::SecureVersion;
use cotter_wire::version::Version;

/// What the signed application says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFacts {
    /// Project in its descriptor.
    pub project: String,
    /// Version in its descriptor.
    pub version: Version,
    /// Anti-rollback counter in its descriptor.
    pub secure_version: SecureVersion,
}

/// Checks an uploaded file, the way the second stage of the bootloader will look at it:
/// 1. the image parses for the chip, its checksum and appended SHA-256 hold;
/// 2. the signature sector lies directly behind its padding, where the chip looks for it;
/// 3. a block by one of the trusted keys signs it;
/// 4. it carries an application descriptor with a version that we can compare.
///
/// # Errors
/// [`ImageRefusal`] names the first that does not hold.
pub fn check(file: &[u8], chip: Chip, trusted_key_digests: &[[u8; 32]]) -> Result<ImageFacts, ImageRefusal> {
    let image = Image::parse(file, chip)?;

    let signed = SignedFile::parse(file).map_err(ImageRefusal::Unsigned)?;
    let expected = content_padded_len(image.len());
    if signed.content.len() != expected {
        return Err(ImageRefusal::SignaturePlace { expected, found: signed.content.len() });
    }

    let mut refusal = SignatureError::Untrusted;
    let trusted = trusted_key_digests.iter().any(|digest| match signed.verify(digest) {
        Ok(_) => true,
        Err(SignatureError::Untrusted) => false,
        Err(bad) => {
            refusal = bad;
            false
        }
    });
    if !trusted {
        return Err(ImageRefusal::Signature(refusal));
    }

    let descriptor = image.app_descriptor().ok_or(ImageRefusal::NoDescriptor)?;
    Ok(ImageFacts {
        project: descriptor.project_name().to_owned(),
        version: descriptor.version().parse().map_err(|_| ImageRefusal::Version)?,
        secure_version: SecureVersion(descriptor.secure_version.get()),
    })
}

/// Why an image becomes no release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImageRefusal {
    /// Not an image for this chip.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// There is no signature sector at its end.
    #[error("image is not signed for Secure Boot: {0}")]
    Unsigned(SignatureError),
    /// The chip would look for the signature elsewhere.
    #[error("signature sector at {found:#x}, but the chip looks for it at {expected:#x}")]
    SignaturePlace {
        /// Where the chip looks.
        expected: usize,
        /// Where it is.
        found: usize,
    },
    /// Signed, but not validly by a trusted key.
    #[error("Secure Boot signature: {0}")]
    Signature(SignatureError),
    /// No application descriptor.
    #[error("image has no application descriptor")]
    NoDescriptor,
    /// The version in the descriptor is not three numbers.
    #[error("version in the application descriptor is not three numbers")]
    Version,
}
