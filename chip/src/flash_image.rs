//! An image as ROM and second stage find it in flash: walked by its own lengths, judged by nobody yet.

use crate::crypt::TransparentFlash;
use crate::flash::FlashError;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::chip::Chip;
use cotter_formats::image::{HEADER_LEN, Image, ImageHeader};
use cotter_formats::secure_boot::v2;
use zerocopy::{FromZeros, IntoBytes};

/// A whole image, up to its checksum or appended digest.
pub(crate) struct FlashImage {
    bytes: Vec<u8>,
    chip: Chip,
}

/// Why the walk ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WalkError {
    PowerLost,
    /// A segment, or what follows the last one, ends past the limit, or has an impossible length.
    DoesNotFit,
}

/// What a Secure Boot V2 signature covers, padding included, and the sector with the signatures.
pub(crate) struct SignedContent {
    pub(crate) bytes: Vec<u8>,
    pub(crate) sector: Vec<u8>,
}

/// Reads the 24 bytes at the start, whatever they are.
pub(crate) fn read_header(flash: &TransparentFlash, at: FlashAddr) -> Result<ImageHeader, WalkError> {
    let mut header = ImageHeader::new_zeroed();
    flash.read_at(at, header.as_mut_bytes())?;
    Ok(header)
}

impl FlashImage {
    /// Walks the segments from `at`; nothing may lie past `limit` bytes. The header has been looked at already.
    pub(crate) fn read(flash: &TransparentFlash, at: FlashAddr, limit: FlashLen) -> Result<Self, WalkError> {
        let (header, chip) = (read_header(flash, at)?, flash.chip());
        let limit = limit.0 as usize;
        let mut end = HEADER_LEN;
        for _ in 0..header.segment_count {
            let mut words = [0; SEGMENT_HEADER];
            flash.read_at(address(at, end)?, &mut words)?;
            let len = u32::from_le_bytes([words[4], words[5], words[6], words[7]]) as usize;
            let after = (end + SEGMENT_HEADER).checked_add(len);
            end = after.filter(|end| *end <= limit).ok_or(WalkError::DoesNotFit)?;
        }
        let total = (end | 15) + 1 + if header.hash_appended == 1 { DIGEST } else { 0 };
        if total > limit {
            return Err(WalkError::DoesNotFit);
        }
        let mut bytes = vec![0; total];
        flash.read_at(at, &mut bytes)?;
        match Image::scan(&bytes, chip) {
            Ok(image) if image.len() == total => Ok(Self { bytes, chip }),
            _ => Err(WalkError::DoesNotFit),
        }
    }

    /// Header, segments, checksum, digest.
    pub(crate) fn parsed(&self) -> Image<'_> {
        Image::scan(&self.bytes, self.chip).expect("it was scanned when it was read")
    }

    /// The same as bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Length without signature.
    pub(crate) fn len(&self) -> FlashLen {
        FlashLen(u32::try_from(self.bytes.len()).expect("it fits into the flash"))
    }

    /// The image with its padding as it is in flash, and the sector behind that.
    pub(crate) fn signed_content(
        &self,
        flash: &TransparentFlash,
        at: FlashAddr,
        limit: FlashLen,
    ) -> Result<SignedContent, WalkError> {
        let padded = v2::content_padded_len(self.bytes.len());
        if padded.checked_add(v2::SECTOR_LEN).is_none_or(|end| end > limit.0 as usize) {
            return Err(WalkError::DoesNotFit);
        }
        let mut padding = vec![0; padded - self.bytes.len()];
        flash.read_at(address(at, self.bytes.len())?, &mut padding)?;
        let mut sector = vec![0; v2::SECTOR_LEN];
        flash.read_at(address(at, padded)?, &mut sector)?;
        let bytes = [&self.bytes[..], &padding].concat();
        Ok(SignedContent { bytes, sector })
    }
}

const SEGMENT_HEADER: usize = 8;
const DIGEST: usize = 32;

impl From<FlashError> for WalkError {
    fn from(error: FlashError) -> Self {
        match error {
            FlashError::PowerLost => Self::PowerLost,
            FlashError::OutOfBounds { .. } | FlashError::NotAligned { .. } => Self::DoesNotFit,
        }
    }
}

fn address(at: FlashAddr, offset: usize) -> Result<FlashAddr, WalkError> {
    let offset = u32::try_from(offset).ok().map(FlashLen);
    offset.and_then(|offset| at.checked_add(offset)).ok_or(WalkError::DoesNotFit)
}
