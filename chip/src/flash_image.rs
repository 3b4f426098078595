//! An image as ROM and second stage find it in flash: walked by its own lengths, judged by nobody yet.

use crate::crypt::TransparentFlash;
use crate::flash::FlashError;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::secure_boot::v2;
use sha2::{Digest, Sha256};

/// The 24 bytes at the start, whatever they are.
#[doc(alias = "esp_image_header_t")]
pub(crate) struct Header([u8; HEADER]);

/// A whole image, up to its checksum or appended digest.
pub(crate) struct FlashImage {
    pub(crate) header: Header,
    pub(crate) segments: Vec<Segment>,
    bytes: Vec<u8>,
}

/// One segment of it.
pub(crate) struct Segment {
    pub(crate) load_address: u32,
    pub(crate) len: usize,
    offset: usize,
}

/// What is stored, and what it should be.
pub(crate) struct Pair<T> {
    pub(crate) stored: T,
    pub(crate) calculated: T,
}

/// Why the walk ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WalkError {
    PowerLost,
    /// A segment, or what follows the last one, ends past the limit.
    DoesNotFit,
}

const HEADER: usize = 24;
const SEGMENT_HEADER: usize = 8;
const DIGEST: usize = 32;

impl Header {
    pub(crate) const MAGIC: u8 = 0xe9;
    pub(crate) const MAX_SEGMENTS: u8 = 16;

    pub(crate) fn read(flash: &TransparentFlash, at: FlashAddr) -> Result<Self, WalkError> {
        let mut bytes = [0; HEADER];
        flash.read_at(at, &mut bytes)?;
        Ok(Self(bytes))
    }

    pub(crate) fn first_word(&self) -> u32 {
        self.u32(0)
    }

    pub(crate) const fn has_magic(&self) -> bool {
        self.0[0] == Self::MAGIC
    }

    pub(crate) const fn segment_count(&self) -> u8 {
        self.0[1]
    }

    /// As the ROM names it.
    pub(crate) const fn spi_mode(&self) -> &'static str {
        match self.0[2] {
            0 => "QIO",
            1 => "QOUT",
            2 => "DIO",
            3 => "DOUT",
            4 => "FAST_RD",
            _ => "SLOW_RD",
        }
    }

    /// Divider of the 80 MHz clock.
    pub(crate) const fn clock_divider(&self) -> u8 {
        match self.0[3] & 0x0f {
            0x0f => 1,
            0 => 2,
            1 => 3,
            _ => 4,
        }
    }

    pub(crate) fn entry(&self) -> u32 {
        self.u32(4)
    }

    pub(crate) const fn write_protect_pin(&self) -> u8 {
        self.0[8]
    }

    pub(crate) const fn chip_id(&self) -> u16 {
        u16::from_le_bytes([self.0[12], self.0[13]])
    }

    /// major * 100 + minor.
    pub(crate) const fn min_revision(&self) -> u16 {
        u16::from_le_bytes([self.0[15], self.0[16]])
    }

    /// major * 100 + minor; 0 and 65535 mean no limit.
    pub(crate) const fn max_revision(&self) -> u16 {
        u16::from_le_bytes([self.0[17], self.0[18]])
    }

    pub(crate) const fn has_digest(&self) -> bool {
        self.0[23] == 1
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }
}

impl FlashImage {
    /// Walks the segments from `at`; nothing may lie past `limit` bytes.
    pub(crate) fn read(flash: &TransparentFlash, at: FlashAddr, limit: FlashLen) -> Result<Self, WalkError> {
        let header = Header::read(flash, at)?;
        let limit = limit.0 as usize;
        let mut segments = Vec::with_capacity(header.segment_count().into());
        let mut end = HEADER;
        for _ in 0..header.segment_count() {
            let offset = end + SEGMENT_HEADER;
            let mut words = [0; SEGMENT_HEADER];
            flash.read_at(address(at, end)?, &mut words)?;
            let [load_address, len] =
                [0, 4].map(|i| u32::from_le_bytes([words[i], words[i + 1], words[i + 2], words[i + 3]]));
            let len = len as usize;
            end = offset.checked_add(len).filter(|end| *end <= limit).ok_or(WalkError::DoesNotFit)?;
            segments.push(Segment { load_address, len, offset });
        }
        let total = (end | 15) + 1 + if header.has_digest() { DIGEST } else { 0 };
        if total > limit {
            return Err(WalkError::DoesNotFit);
        }
        let mut bytes = vec![0; total];
        flash.read_at(at, &mut bytes)?;
        Ok(Self { header, segments, bytes })
    }

    /// 0xEF XORed with every byte of every segment.
    pub(crate) fn checksum(&self) -> Pair<u8> {
        let data = self.segments.iter().flat_map(|segment| &self.bytes[segment.offset..segment.offset + segment.len]);
        let at = self.bytes.len() - 1 - if self.header.has_digest() { DIGEST } else { 0 };
        Pair { stored: self.bytes[at], calculated: data.fold(0xef, |sum, byte| sum ^ byte) }
    }

    /// The appended SHA-256 of everything before it.
    pub(crate) fn digest(&self) -> Option<Pair<[u8; DIGEST]>> {
        let (content, stored) = self.bytes.split_last_chunk::<DIGEST>()?;
        let pair = || Pair { stored: *stored, calculated: Sha256::digest(content).into() };
        self.header.has_digest().then(pair)
    }

    /// Length without signature.
    pub(crate) fn len(&self) -> FlashLen {
        FlashLen(u32::try_from(self.bytes.len()).expect("it fits into the flash"))
    }

    /// What a Secure Boot V2 signature covers, and the sector after it: digest of the padded image as it is in flash.
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
        let digest = Sha256::new().chain_update(&self.bytes).chain_update(&padding).finalize().into();
        Ok(SignedContent { digest, sector })
    }

    /// Bytes from the start of the image; `None` past its end.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// See [`FlashImage::signed_content`].
pub(crate) struct SignedContent {
    pub(crate) digest: [u8; 32],
    pub(crate) sector: Vec<u8>,
}

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
