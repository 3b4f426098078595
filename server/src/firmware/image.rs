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
    /// Digests of the trusted keys that signed it, at least one.
    pub signers: Vec<[u8; 32]>,
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
    let signs = |digest: &&[u8; 32]| match signed.verify(digest) {
        Ok(_) => true,
        Err(SignatureError::Untrusted) => false,
        Err(bad) => {
            refusal = bad;
            false
        }
    };
    let signers: Vec<_> = trusted_key_digests.iter().filter(signs).copied().collect();
    if signers.is_empty() {
        return Err(ImageRefusal::Signature(refusal));
    }

    let descriptor = image.app_descriptor().ok_or(ImageRefusal::NoDescriptor)?;
    Ok(ImageFacts {
        project: descriptor.project_name().to_owned(),
        version: descriptor.version().parse().map_err(|_| ImageRefusal::Version)?,
        secure_version: SecureVersion(descriptor.secure_version.get()),
        signers,
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

#[cfg(test)]
mod tests {
    use super::*;
    use cotter_formats::read::ReadError;

    /// Signed by espsecure, see /vectors/sbv2/README.md.
    const SIGNED: &[u8] = include_bytes!("../../../vectors/sbv2/app-esp32c3-signed-rsa_a.bin");
    const KEY_A: &[u8; 32] = include_bytes!("../../../vectors/sbv2/digest-rsa3072_a.bin");
    const KEY_B: &[u8; 32] = include_bytes!("../../../vectors/sbv2/digest-rsa3072_b.bin");
    /// The same without signature, by esptool.
    const UNSIGNED: &[u8] = include_bytes!("../../../vectors/image/esp32c3-secure-pad-v2.bin");

    #[test]
    fn believes_the_signature_of_espsecure() {
        // All that is left to refuse is its version, "v1.2.3-golden".
        assert_eq!(check(SIGNED, Chip::Esp32C3, &[*KEY_B, *KEY_A]), Err(ImageRefusal::Version));
    }

    #[test]
    fn refuses_an_untrusted_key() {
        let untrusted = Err(ImageRefusal::Signature(SignatureError::Untrusted));
        assert_eq!(check(SIGNED, Chip::Esp32C3, &[*KEY_B]), untrusted);
        assert_eq!(check(SIGNED, Chip::Esp32C3, &[]), untrusted);
    }

    #[test]
    fn refuses_an_unsigned_image() {
        let refusal = check(UNSIGNED, Chip::Esp32C3, &[*KEY_A]).unwrap_err();
        assert!(matches!(refusal, ImageRefusal::Unsigned(_)), "{refusal}");
    }

    #[test]
    fn refuses_a_signature_that_the_chip_would_not_find() {
        // A sector more between image and signature: the chip looks where the sector is now erased.
        let (content, sector) = SIGNED.split_at(SIGNED.len() - 4096);
        let moved = [content, &[0xff; 4096], sector].concat();
        let expected = content.len();
        let found = expected + 4096;
        let refused = Err(ImageRefusal::SignaturePlace { expected, found });
        assert_eq!(check(&moved, Chip::Esp32C3, &[*KEY_A]), refused);
    }

    #[test]
    fn refuses_another_chip_and_every_truncation() {
        let other = check(SIGNED, Chip::Esp32S3, &[*KEY_A]).unwrap_err();
        assert_eq!(other, ImageRefusal::Image(ImageError::Chip { expected: 9, found: 5 }));
        for length in (0..SIGNED.len()).step_by(997) {
            assert!(check(&SIGNED[..length], Chip::Esp32C3, &[*KEY_A]).is_err(), "{length}");
        }
        let empty = check(&[], Chip::Esp32C3, &[*KEY_A]).unwrap_err();
        assert!(matches!(empty, ImageRefusal::Image(ImageError::Read(ReadError::Truncated { .. }))), "{empty}");
    }

    #[test]
    fn refuses_a_flipped_bit_anywhere() {
        for bit in (0..SIGNED.len() * 8).step_by(40_009) {
            let mut flipped = SIGNED.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let refusal = check(&flipped, Chip::Esp32C3, &[*KEY_A]);
            // The erased rest of the signature sector is not signed, and nobody reads it.
            let in_slack = bit / 8 >= SIGNED.len() - 4096 + 1216;
            assert_eq!(refusal == Err(ImageRefusal::Version), in_slack, "bit {bit}: {refusal:?}");
        }
    }
}
