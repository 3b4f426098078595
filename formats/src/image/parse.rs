//! An image in bytes that nobody has checked yet.
//!
//! Source: ESP-IDF 6.2-dev `esp_image_format.c`, esptool 5.6.0 `bin_image.py`; the ROM's verdicts as observed.

use super::descriptor::{AppDescriptor, BootDescriptor};
use super::header::{HEADER_LEN, ImageHeader, MAX_SEGMENTS};
use crate::chip::Chip;
use crate::read::{ReadError, Reader};
use sha2::{Digest as _, Sha256};
use zerocopy::FromBytes;

/// An image whose segments lie within the bytes it was read from.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// Exactly the image, nothing behind it.
    bytes: &'a [u8],
    header: &'a ImageHeader,
    /// Where the checksum byte is.
    checksum_at: usize,
}

impl<'a> Image<'a> {
    /// Parses the image at the start of `bytes` for this chip; what follows it (padding, signature) is ignored.
    /// Structure, checksum and, if present, appended SHA-256 all hold.
    ///
    /// # Errors
    /// [`ImageError`] names the first thing that is wrong.
    pub fn parse(bytes: &'a [u8], chip: Chip) -> Result<Self, ImageError> {
        let image = Self::scan(bytes, chip)?;
        let Checksum { stored, computed } = image.checksum();
        if stored != computed {
            return Err(ImageError::Checksum { stored, computed });
        }
        if image.digest().is_some_and(|digest| digest.stored != digest.computed) {
            return Err(ImageError::Digest);
        }
        Ok(image)
    }

    /// Like [`Self::parse`] without looking at checksum and SHA-256, for who has an opinion of their own about them:
    /// the ROM boots with a wrong SHA-256 unless Secure Boot is on.
    ///
    /// # Errors
    /// [`ImageError`] names the first thing that is wrong.
    pub fn scan(bytes: &'a [u8], chip: Chip) -> Result<Self, ImageError> {
        let (header, mut reader) = Self::structure(bytes, chip)?;
        let checksum_at = reader.offset() - 1;
        reader.take(if header.hash_appended == 1 { 32 } else { 0 })?;
        let bytes = &bytes[..reader.offset()];
        Ok(Self { bytes, header, checksum_at })
    }

    /// Bytes up to and including the checksum, which holds: all that the ROM loads. A SHA-256 that should follow may be
    /// cut off or missing, as in a bootloader with a Secure Boot V1 digest.
    ///
    /// # Errors
    /// [`ImageError`] names the first thing that is wrong.
    pub fn loaded_len(bytes: &'a [u8], chip: Chip) -> Result<usize, ImageError> {
        let (header, reader) = Self::structure(bytes, chip)?;
        let end = reader.offset();
        let Checksum { stored, computed } = Self { bytes: &bytes[..end], header, checksum_at: end - 1 }.checksum();
        if stored == computed { Ok(end) } else { Err(ImageError::Checksum { stored, computed }) }
    }

    /// Header and segments; the reader has passed the checksum.
    fn structure(bytes: &'a [u8], chip: Chip) -> Result<(&'a ImageHeader, Reader<'a>), ImageError> {
        let mut reader = Reader::new(bytes);
        let header = ImageHeader::ref_from_bytes(reader.take(HEADER_LEN)?)
            .expect("the header is as long as its struct and has no alignment");
        if header.magic != ImageHeader::MAGIC {
            return Err(ImageError::Magic { found: header.magic });
        }
        let found = header.chip_id.get();
        if found != chip.image_chip_id() {
            return Err(ImageError::Chip { expected: chip.image_chip_id(), found });
        }
        let count = header.segment_count;
        if count == 0 || usize::from(count) > MAX_SEGMENTS {
            return Err(ImageError::SegmentCount { found: count });
        }
        if header.hash_appended > 1 {
            return Err(ImageError::HashAppended { found: header.hash_appended });
        }
        for index in 0..count {
            let at = reader.offset();
            let (_, length) = (reader.u32_le()?, reader.u32_le()?);
            if !length.is_multiple_of(4) || length >= MAX_SEGMENT {
                return Err(ImageError::SegmentLength { index, at, length });
            }
            let remaining = reader.remaining();
            let within = usize::try_from(length).ok().and_then(|length| reader.take(length).ok());
            within.ok_or(ImageError::Segment { index, at, length, remaining })?;
        }
        let checksum_at = reader.offset() | 15;
        reader.take(checksum_at + 1 - reader.offset())?;
        Ok((header, reader))
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &'a ImageHeader {
        self.header
    }

    /// Bytes of the image, with checksum and SHA-256, without signature.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // an image is never empty
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Exactly those bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The segments in the order of the file, padding included.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'a>> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        let skipped = reader.take(HEADER_LEN);
        debug_assert!(skipped.is_ok(), "scan has been here");
        (0..self.header.segment_count).map_while(move |_| {
            let (load_address, length) = (reader.u32_le().ok()?, reader.u32_le().ok()?);
            let file_offset = reader.offset();
            let data = reader.take(usize::try_from(length).ok()?).ok()?;
            Some(Segment { load_address, data, file_offset })
        })
    }

    /// The checksum byte: 0xEF xor all bytes of all segments.
    #[must_use]
    pub fn checksum(&self) -> Checksum {
        let fold = |sum: u8, segment: Segment<'_>| segment.data.iter().fold(sum, |sum, byte| sum ^ byte);
        Checksum { stored: self.bytes[self.checksum_at], computed: self.segments().fold(CHECKSUM_SEED, fold) }
    }

    /// The SHA-256 over everything before it, if the header says that there is one.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        let (covered, stored) = self.bytes.split_at(self.checksum_at + 1);
        let stored = stored.try_into().ok()?;
        Some(Digest { stored, computed: Sha256::digest(covered).into() })
    }

    /// What an application says about itself.
    #[must_use]
    pub fn app_descriptor(&self) -> Option<&'a AppDescriptor> {
        AppDescriptor::of(self.first_segment())
    }

    /// The rest of the first segment behind the application descriptor; empty if there is none.
    #[must_use]
    pub fn custom_descriptor(&self) -> &'a [u8] {
        match self.app_descriptor() {
            Some(_) => self.first_segment().get(AppDescriptor::LEN..).unwrap_or_default(),
            None => &[],
        }
    }

    /// What a second stage says about itself.
    #[must_use]
    pub fn boot_descriptor(&self) -> Option<&'a BootDescriptor> {
        BootDescriptor::of(self.first_segment())
    }

    fn first_segment(&self) -> &'a [u8] {
        self.segments().next().map_or(&[], |segment| segment.data)
    }
}

/// A piece of an image and where it goes.
#[doc(alias = "esp_image_segment_header_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// CPU address; 0 for padding, which goes nowhere.
    pub load_address: u32,
    /// Its bytes.
    pub data: &'a [u8],
    /// Where [`Self::data`] begins in the image.
    pub file_offset: usize,
}

/// The checksum byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// As in the file.
    pub stored: u8,
    /// Of the segments.
    pub computed: u8,
}

/// The appended SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// As in the file.
    pub stored: [u8; 32],
    /// Of everything before it.
    pub computed: [u8; 32],
}

/// What the checksum of nothing is.
pub(super) const CHECKSUM_SEED: u8 = 0xef;
const MAX_SEGMENT: u32 = 16 << 20;

/// Why an image was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ImageError {
    /// Ends inside a header, the checksum block or the SHA-256.
    #[error("image: {0}")]
    Read(#[from] ReadError),
    #[error("image: begins with {found:#04x} instead of 0xe9")]
    Magic { found: u8 },
    #[error("image: built for chip id {found}, this is {expected}")]
    Chip { expected: u16, found: u16 },
    #[error("image: {found} segments, 1 to 16 are possible")]
    SegmentCount { found: u8 },
    #[error("image: hash flag is {found}, neither 0 nor 1")]
    HashAppended { found: u8 },
    /// Not in whole words, or 16 MiB and more.
    #[error("image: segment {index} at {at:#x} has an impossible length of {length} bytes")]
    SegmentLength { index: u8, at: usize, length: u32 },
    #[error("image: segment {index} at {at:#x} is {length} bytes, but only {remaining} remain")]
    Segment { index: u8, at: usize, length: u32, remaining: usize },
    #[error("image: calculated checksum {computed:#04x}, stored {stored:#04x}")]
    Checksum { stored: u8, computed: u8 },
    #[error("image: appended SHA-256 does not match")]
    Digest,
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::path::Path;
    use std::vec::Vec;

    fn golden(name: &str) -> Vec<u8> {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/image")).join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn small() -> Vec<u8> {
        golden("esp32c3-bootloader.bin")
    }

    #[test]
    fn reads_every_golden_application() {
        let later = [Chip::Esp32H21, Chip::Esp32H4, Chip::Esp32S31];
        for chip in Chip::ALL.into_iter().filter(|chip| !later.contains(chip)) {
            let bytes = golden(&std::format!("{chip}.bin"));
            let image = Image::parse(&bytes, chip).unwrap();
            assert_eq!((image.len(), image.as_bytes()), (bytes.len(), &bytes[..]));
            let descriptor = image.app_descriptor().unwrap();
            assert_eq!(descriptor.project_name(), std::format!("golden_{chip}"));
            assert_eq!((descriptor.version(), descriptor.secure_version.get()), ("v1.2.3-golden", 3));
            assert_eq!((descriptor.time(), descriptor.date()), ("12:34:56", "Jan 02 2026"));
            assert_eq!(descriptor.idf_version(), "v6.1-golden");
            assert_eq!(descriptor.max_efuse_revision.get(), 99);
            assert_eq!(descriptor.app_elf_sha256[..], Sha256::digest(golden(&std::format!("{chip}.elf")))[..]);
            assert_eq!(image.header().max_revision.get(), 399);
            assert_eq!(image.custom_descriptor().len(), 0x400 - 256);
            assert!(image.boot_descriptor().is_none());
        }
    }

    #[test]
    fn reads_the_segments_that_image_info_prints() {
        let bytes = golden("esp32c3.bin");
        let image = Image::parse(&bytes, Chip::Esp32C3).unwrap();
        let segments: Vec<_> = image.segments().map(|s| (s.load_address, s.data.len(), s.file_offset)).collect();
        assert_eq!(
            segments,
            [
                (0x3c00_0020, 0x400, 0x20),
                (0x3fc8_1000, 0x120, 0x428),
                (0x4038_0000, 0x400, 0x550),
                (0, 0xf6c0, 0x958),
                (0x4200_0020, 0x1000, 0x1_0020),
            ]
        );
        assert_eq!(image.checksum(), Checksum { stored: 0x5a, computed: 0x5a });
    }

    #[test]
    fn reads_an_image_without_digest_and_a_boot_image() {
        let bytes = golden("esp32c3-nodigest.bin");
        let image = Image::parse(&bytes, Chip::Esp32C3).unwrap();
        assert_eq!((image.digest(), image.len()), (None, bytes.len()));
        let bytes = small();
        let image = Image::parse(&bytes, Chip::Esp32C3).unwrap();
        assert!(image.boot_descriptor().is_some() && image.app_descriptor().is_none());
        assert!(image.custom_descriptor().is_empty());
    }

    #[test]
    fn ignores_what_follows_and_knows_where_it_ends() {
        let signed =
            std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/sbv2/signed-rsa3072_a.bin")).unwrap();
        let image = Image::parse(&signed, Chip::Esp32C3).unwrap();
        assert_eq!(image.as_bytes(), small());
    }

    #[test]
    fn refuses_truncation_at_every_length() {
        let bytes = small();
        for len in 0..bytes.len() {
            let refusal = Image::parse(&bytes[..len], Chip::Esp32C3).unwrap_err();
            assert!(matches!(refusal, ImageError::Read(_) | ImageError::Segment { .. }), "{len}: {refusal}");
        }
    }

    #[test]
    fn detects_every_single_bit_flip() {
        let bytes = small();
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let verdict = Image::parse(&flipped, Chip::Esp32C3);
            match bit {
                // Without the flag nothing covers the header; the signature does.
                184 => assert!(verdict.unwrap().digest().is_none()),
                _ => assert!(verdict.is_err(), "bit {bit}"),
            }
        }
    }

    fn refusal(change: impl FnOnce(&mut Vec<u8>)) -> ImageError {
        let mut bytes = small();
        change(&mut bytes);
        Image::parse(&bytes, Chip::Esp32C3).unwrap_err()
    }

    #[test]
    fn refuses_each_defect_by_name() {
        assert_eq!(refusal(|b| b[0] = 0xe8), ImageError::Magic { found: 0xe8 });
        assert_eq!(refusal(|b| b[12] = 0), ImageError::Chip { expected: 5, found: 0 });
        assert_eq!(refusal(|b| b[1] = 0), ImageError::SegmentCount { found: 0 });
        assert_eq!(refusal(|b| b[1] = 17), ImageError::SegmentCount { found: 17 });
        assert_eq!(refusal(|b| b[23] = 2), ImageError::HashAppended { found: 2 });
        assert_eq!(refusal(|b| b[28] += 1), ImageError::SegmentLength { index: 0, at: 24, length: 0x51 });
        assert_eq!(refusal(|b| b[31] = 1), ImageError::SegmentLength { index: 0, at: 24, length: 0x0100_0050 });
        assert_eq!(
            refusal(|b| b[30] = 1),
            ImageError::Segment { index: 0, at: 24, length: 0x1_0050, remaining: small().len() - 32 }
        );
        let checksum = small().len() - 33;
        let stored = small()[checksum];
        assert_eq!(refusal(|b| b[checksum] ^= 1), ImageError::Checksum { stored: stored ^ 1, computed: stored });
        assert_eq!(refusal(|b| b[4] ^= 1), ImageError::Digest);
        assert_eq!(refusal(|b| *b.last_mut().unwrap() ^= 1), ImageError::Digest);
    }

    #[test]
    fn scan_leaves_checksum_and_digest_to_the_caller() {
        let mut bytes = small();
        *bytes.last_mut().unwrap() ^= 1;
        let image = Image::scan(&bytes, Chip::Esp32C3).unwrap();
        let digest = image.digest().unwrap();
        assert_ne!(digest.stored, digest.computed);
    }
}
