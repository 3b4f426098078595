//! The one-line form in which espefuse passes eFuses around: `EFSR:esp32c3:000:<blocks>:<errors>:<crc>`.
//!
//! Each block is base64url without padding, empty if it is zero; the CRC-32 covers everything before it, the last
//! colon included. `EFSR` is what was read, `EFSW` what is to be burned. Source: esptool 5.6.0 `espefuse/efuse/token.py`.

use super::field::EfuseBlock;
use super::image::EfuseImage;
use super::map::ChipRevision;
use crate::chip::Chip;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use core::fmt;
use zeroize::Zeroizing;

/// Reading registers: what the chip holds, what is to be burned, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// `EFSR`
    Read,
    /// `EFSW`
    Write,
    /// `EFSRW`, which espefuse takes and never writes.
    ReadWrite,
}

impl TokenKind {
    const ALL: [Self; 3] = [Self::Read, Self::Write, Self::ReadWrite];

    /// The first word of the token.
    #[must_use]
    pub const fn magic(self) -> &'static str {
        match self {
            Self::Read => "EFSR",
            Self::Write => "EFSW",
            Self::ReadWrite => "EFSRW",
        }
    }
}

/// A token, opened.
#[derive(Debug)]
pub struct EfuseToken {
    /// What it says about.
    pub kind: TokenKind,
    /// The revision that it names, which the eFuses may not tell.
    pub revision: ChipRevision,
    /// The blocks and error registers.
    pub image: EfuseImage,
}

impl EfuseToken {
    /// Reads a token; blanks around it do not matter.
    ///
    /// # Errors
    /// [`TokenError`]. Nothing of the content is in it.
    pub fn parse(token: &str) -> Result<Self, TokenError> {
        let token = token.trim();
        let (prefix, crc) = token.rsplit_once(':').ok_or(TokenError::Parts { got: 1 })?;
        let parts: Vec<&str> = prefix.split(':').collect();
        let [magic, chip, revision, blocks @ .., errors] = parts.as_slice() else {
            return Err(TokenError::Parts { got: parts.len() + 1 });
        };
        let kind = TokenKind::ALL.into_iter().find(|kind| kind.magic() == *magic).ok_or(TokenError::Magic)?;
        let chip = Chip::from_name(chip).ok_or(TokenError::Chip)?;
        let stored: [u8; 4] =
            decode(crc).and_then(|crc| crc[..].try_into().ok()).ok_or(TokenError::Base64 { part: "CRC" })?;
        let computed = crc32(&token.as_bytes()[..=prefix.len()]);
        if u32::from_le_bytes(stored) != computed {
            return Err(TokenError::Crc { stored: u32::from_le_bytes(stored), computed });
        }
        let revision = Some(*revision).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
        let revision = revision.and_then(|digits| digits.parse().ok()).map(ChipRevision).ok_or(TokenError::Revision)?;
        let mut image = EfuseImage::blank(chip);
        let expected = image.map().blocks.len();
        if blocks.len() != expected {
            return Err(TokenError::Blocks { expected, got: blocks.len() });
        }
        for (block, piece) in image.map().block_numbers().zip(blocks) {
            let data = decode(piece).ok_or(TokenError::Base64 { part: "block" })?;
            // An empty piece is a block of zeros.
            if data.is_empty() {
                continue;
            }
            image.set_block(block, &data).ok_or(TokenError::BlockLength { block, got: data.len() })?;
        }
        let errors = decode(errors).ok_or(TokenError::Base64 { part: "error registers" })?;
        let registers = image.map().error_registers();
        if !errors.is_empty() && errors.len() != 4 * registers.len() {
            return Err(TokenError::Errors { expected: 4 * registers.len(), got: errors.len() });
        }
        for (offset, word) in registers.iter().zip(errors.chunks_exact(4)) {
            let value = word.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
            image.set_register(*offset, value).ok_or(TokenError::Chip)?;
        }
        Ok(Self { kind, revision, image: image.with_map_of_its_revision() })
    }
}

/// Writes the token of an image, as `espefuse dump --format token` does.
#[must_use]
pub fn token(image: &EfuseImage, kind: TokenKind) -> String {
    let map = image.map();
    let mut token = format!("{}:{}:{:03}", kind.magic(), map.chip, image.revision().0);
    for block in map.block_numbers() {
        token.push(':');
        token.push_str(&encode(image.block(block).unwrap_or_default()));
    }
    let errors = map.error_registers().iter().filter_map(|offset| image.register(*offset));
    let errors: Vec<u8> = errors.flat_map(u32::to_le_bytes).collect();
    token.push(':');
    token.push_str(&encode(&errors));
    token.push(':');
    token.push_str(&Base64UrlUnpadded::encode_string(&crc32(token.as_bytes()).to_le_bytes()));
    token
}

/// Nothing but zeros is an empty piece.
fn encode(bytes: &[u8]) -> String {
    if bytes.iter().all(|byte| *byte == 0) { String::new() } else { Base64UrlUnpadded::encode_string(bytes) }
}

fn decode(piece: &str) -> Option<Zeroizing<Vec<u8>>> {
    Base64UrlUnpadded::decode_vec(piece).ok().map(Zeroizing::new)
}

/// The CRC of zlib.
fn crc32(bytes: &[u8]) -> u32 {
    crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(bytes)
}

/// Why a text is no eFuse token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum TokenError {
    Parts { got: usize },
    Magic,
    Chip,
    Revision,
    Base64 { part: &'static str },
    Blocks { expected: usize, got: usize },
    BlockLength { block: EfuseBlock, got: usize },
    Errors { expected: usize, got: usize },
    Crc { stored: u32, computed: u32 },
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("eFuse token: ")?;
        match self {
            Self::Parts { got } => write!(f, "{got} parts between colons, but the shortest has 6"),
            Self::Magic => f.write_str("begins with none of EFSR, EFSW, EFSRW"),
            Self::Chip => f.write_str("unknown chip"),
            Self::Revision => f.write_str("the revision is no number of up to five digits"),
            Self::Base64 { part } => write!(f, "the {part} is not base64url without padding"),
            Self::Blocks { expected, got } => write!(f, "{got} blocks, but the chip has {expected}"),
            Self::BlockLength { block, got } => write!(f, "{block} cannot have {got} bytes"),
            Self::Errors { expected, got } => write!(f, "{got} bytes of error registers, expected {expected} or none"),
            Self::Crc { stored, computed } => write!(f, "CRC {stored:#010x}, but the text gives {computed:#010x}"),
        }
    }
}

impl core::error::Error for TokenError {}

#[cfg(test)]
mod tests {
    use super::*;

    // espefuse v5.6.0, vectors/efuse/README.md
    const FILE: &[u8] = include_bytes!("../../../vectors/efuse/esp32c3-prod.bin");
    const TOKEN: &str = "EFSR:esp32c3:000:AAeAAwYGHwAAANxJCAAQACLAAAAAAAAA::::e9It1-cm20GrOBixRPMdrVzIau0euq4WFeVJnKjb_gc::::::::I44wxA";

    #[test]
    fn writes_the_token_that_espefuse_writes() {
        let image = EfuseImage::from_virtual_file(Chip::Esp32C3, FILE).unwrap();
        assert_eq!(token(&image, TokenKind::Read), TOKEN);
    }

    #[test]
    fn reads_the_blocks_that_espefuse_wrote() {
        let (opened, file) =
            (EfuseToken::parse(TOKEN).unwrap(), EfuseImage::from_virtual_file(Chip::Esp32C3, FILE).unwrap());
        assert_eq!((opened.kind, opened.revision), (TokenKind::Read, ChipRevision(0)));
        for block in file.map().block_numbers() {
            assert_eq!(opened.image.block(block), file.block(block), "{block}");
        }
    }

    #[test]
    fn a_flipped_or_missing_character_is_noticed() {
        for at in 0..TOKEN.len() {
            assert!(EfuseToken::parse(&TOKEN[..at]).is_err(), "cut at {at}");
            for bit in 0..7 {
                let mut bytes = TOKEN.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                let flipped = core::str::from_utf8(&bytes).unwrap();
                assert!(EfuseToken::parse(flipped).is_err(), "bit {bit} of character {at}");
            }
        }
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let error = |token: &str| EfuseToken::parse(token).unwrap_err();
        assert_eq!(error("EFSR:esp32c3"), TokenError::Parts { got: 2 });
        assert_eq!(error(&TOKEN.replace("EFSR", "EFSX")), TokenError::Magic);
        assert_eq!(error(&TOKEN.replace("esp32c3", "esp32x9")), TokenError::Chip);
        assert!(matches!(error(&TOKEN.replace(":000:", ":001:")), TokenError::Crc { .. }));
    }
}
