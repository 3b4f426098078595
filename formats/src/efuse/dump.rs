//! The texts and files into which `espefuse dump` writes the blocks.
//!
//! | form | content |
//! |---|---|
//! | text (`default`, on the console) | a line for each block: name, number, words in hexadecimal, lowest first |
//! | hex (`split` and `joint`, on the console) | a line for each block: its bytes in hexadecimal |
//! | joint | all blocks in one file, lowest byte first |
//! | split | the same, a file for each block |
//!
//! Source: esptool 5.6.0 `espefuse/efuse/base_operations.py`, `base_fields.py` (`print_block`).

use super::field::EfuseBlock;
use super::image::EfuseImage;
use crate::chip::Chip;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use zeroize::Zeroizing;

/// What `espefuse dump` prints, without its banner.
#[must_use]
pub fn to_text(image: &EfuseImage) -> String {
    let mut text = String::new();
    for (block, layout) in image.map().block_numbers().zip(image.map().blocks) {
        let mut alternates = layout.alternates.join(" ");
        alternates.truncate(16);
        let _ = write!(text, "{:<15} ({alternates:<16}) [{:<2}] dump:", layout.name, block.0);
        for word in image.block(block).unwrap_or_default().chunks_exact(4) {
            let word = word.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
            let _ = write!(text, " {word:08x}");
        }
        text.push('\n');
    }
    text
}

/// What `espefuse dump --format joint` prints.
#[must_use]
pub fn to_hex(image: &EfuseImage) -> String {
    let mut text = String::new();
    for block in image.map().block_numbers() {
        for byte in image.block(block).unwrap_or_default() {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text
}

/// What `espefuse dump --format joint --file-name F` writes.
#[must_use]
pub fn to_joint(image: &EfuseImage) -> Vec<u8> {
    image.map().block_numbers().filter_map(|block| image.block(block)).collect::<Vec<_>>().concat()
}

/// Reads either text; lines that are neither, such as a banner, do not matter.
///
/// # Errors
/// [`DumpError`].
pub fn from_text(chip: Chip, text: &str) -> Result<EfuseImage, DumpError> {
    let mut blocks = Vec::new();
    for line in text.lines() {
        if let Some((head, words)) = line.split_once("dump:") {
            let number = head.rsplit_once('[').and_then(|(_, number)| number.trim_end().strip_suffix(']'));
            let number = number.and_then(|number| number.trim().parse().ok()).map(EfuseBlock);
            let words =
                words.split_whitespace().map(|word| u32::from_str_radix(word, 16).ok().filter(|_| word.len() == 8));
            let words: Option<Vec<u32>> = words.collect();
            let (Some(block), Some(words)) = (number, words) else { return Err(DumpError::Line) };
            let data = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            blocks.push((block, Zeroizing::new(data)));
        } else if let Some(data) = bytes(line.trim()) {
            let block = EfuseBlock(u8::try_from(blocks.len()).map_err(|_| DumpError::Line)?);
            blocks.push((block, data));
        }
    }
    from_blocks(chip, &blocks)
}

/// Reads a joint file.
///
/// # Errors
/// [`DumpError`].
pub fn from_joint(chip: Chip, file: &[u8]) -> Result<EfuseImage, DumpError> {
    let blank = EfuseImage::blank(chip);
    let expected = joint_len(chip);
    // Under the 3/4 coding of the ESP32, three blocks are 8 bytes shorter.
    let shorter = if chip == Chip::Esp32 && file.len() + 24 == expected { 8 } else { 0 };
    let (mut rest, mut blocks) = (file, Vec::new());
    for (block, layout) in blank.map().block_numbers().zip(blank.map().blocks) {
        let len = layout.len() - if block == EfuseBlock::SETTINGS { 0 } else { shorter };
        let (data, after) = rest.split_at_checked(len).ok_or(DumpError::Length { expected, got: file.len() })?;
        blocks.push((block, Zeroizing::new(data.to_vec())));
        rest = after;
    }
    if !rest.is_empty() {
        return Err(DumpError::Length { expected, got: file.len() });
    }
    from_blocks(chip, &blocks)
}

/// How long a joint file is, without 3/4 coding.
#[must_use]
pub fn joint_len(chip: Chip) -> usize {
    EfuseImage::blank(chip).map().blocks.iter().map(super::BlockLayout::len).sum()
}

/// Puts blocks together, each given once.
///
/// # Errors
/// [`DumpError`].
pub fn from_blocks(chip: Chip, blocks: &[(EfuseBlock, Zeroizing<Vec<u8>>)]) -> Result<EfuseImage, DumpError> {
    let mut image = EfuseImage::blank(chip);
    for block in image.map().block_numbers() {
        let mut given = blocks.iter().filter(|(given, _)| *given == block);
        let (Some((_, data)), None) = (given.next(), given.next()) else { return Err(DumpError::Missing { block }) };
        image.set_block(block, data).ok_or(DumpError::BlockLength { block, got: data.len() })?;
    }
    match blocks.iter().find(|(block, _)| image.map().block(*block).is_none()) {
        Some((block, _)) => Err(DumpError::NoSuchBlock { block: *block }),
        None => Ok(image.with_map_of_its_revision()),
    }
}

fn bytes(digits: &str) -> Option<Zeroizing<Vec<u8>>> {
    let is_hex =
        digits.len() >= 16 && digits.len().is_multiple_of(8) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !is_hex {
        return None;
    }
    let pairs = digits.as_bytes().chunks_exact(2).map(|pair| core::str::from_utf8(pair).ok());
    let bytes: Option<Vec<u8>> = pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect();
    bytes.map(Zeroizing::new)
}

/// Why a text or file is no eFuse dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum DumpError {
    Line,
    Missing { block: EfuseBlock },
    NoSuchBlock { block: EfuseBlock },
    BlockLength { block: EfuseBlock, got: usize },
    Length { expected: usize, got: usize },
}

impl fmt::Display for DumpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("eFuse dump: ")?;
        match self {
            Self::Line => f.write_str("a line is not as espefuse writes it"),
            Self::Missing { block } => write!(f, "{block} is missing, or there twice"),
            Self::NoSuchBlock { block } => write!(f, "this chip has no {block}"),
            Self::BlockLength { block, got } => write!(f, "{block} cannot have {got} bytes"),
            Self::Length { expected, got } => write!(f, "{got} bytes, but the blocks of this chip have {expected}"),
        }
    }
}

impl core::error::Error for DumpError {}

#[cfg(test)]
mod tests {
    use super::*;

    // espefuse v5.6.0, vectors/efuse/README.md
    const FILE: &[u8] = include_bytes!("../../../vectors/efuse/esp32c3-prod.bin");
    const TEXT: &str = include_str!("../../../vectors/efuse/esp32c3-prod.dump.txt");

    fn image() -> EfuseImage {
        EfuseImage::from_virtual_file(Chip::Esp32C3, FILE).unwrap()
    }

    #[test]
    fn writes_the_text_that_espefuse_prints() {
        let theirs = TEXT.split_once("command ===\n").unwrap().1;
        assert_eq!(to_text(&image()), theirs);
    }

    #[test]
    fn every_form_leads_back_to_the_same_blocks() {
        let image = image();
        let forms = [
            from_text(Chip::Esp32C3, TEXT),
            from_text(Chip::Esp32C3, &to_hex(&image)),
            from_joint(Chip::Esp32C3, &to_joint(&image)),
        ];
        for read in forms {
            assert_eq!(to_text(&read.unwrap()), to_text(&image));
        }
    }

    #[test]
    fn a_cut_dump_is_refused() {
        let lines: Vec<&str> = TEXT.lines().collect();
        let cut = lines[..lines.len() - 1].join("\n");
        assert_eq!(from_text(Chip::Esp32C3, &cut).unwrap_err(), DumpError::Missing { block: EfuseBlock(10) });
        let joint = to_joint(&image());
        for len in 0..joint.len() {
            assert!(from_joint(Chip::Esp32C3, &joint[..len]).is_err(), "{len}");
        }
        assert_eq!(
            from_text(Chip::Esp32C2, TEXT).unwrap_err(),
            DumpError::BlockLength { block: EfuseBlock(0), got: 24 }
        );
    }
}
