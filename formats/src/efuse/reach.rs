//! Whether one state of the eFuses can become another: bits only burn, protected ones not at all, coded ones once.

use super::coding::{Coding, three_quarters};
use super::field::{EfuseBlock, Field};
use super::image::EfuseImage;
use alloc::vec::Vec;
use core::fmt;

/// Why a state cannot be reached from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A burned bit would have to go back.
    Cleared(&'static Field),
    /// `WR_DIS` has frozen the field.
    Frozen(&'static Field),
    /// The block is RS-coded and holds something else already.
    BurnedOnce(EfuseBlock),
    /// Chunk `1` of the block, counted from 0, is 3/4-coded and holds something else already.
    ChunkBurnedOnce(EfuseBlock, u8),
    /// The block cannot be read, so nobody can tell.
    Hidden(EfuseBlock),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cleared(field) => write!(f, "{}: a burned bit cannot be cleared", field.name),
            Self::Frozen(field) => match field.write_protect_bit {
                Some(bit) => write!(f, "{} is frozen by bit {bit} of WR_DIS", field.name),
                None => write!(f, "{} is frozen", field.name),
            },
            Self::BurnedOnce(block) => write!(f, "{block} holds something else, and its coding allows one burn"),
            Self::ChunkBurnedOnce(block, chunk) => write!(
                f,
                "{block}: bytes {} to {} hold something else, and their coding allows one burn",
                6 * chunk,
                6 * chunk + 5
            ),
            Self::Hidden(block) => write!(f, "{block} is hidden: what is burned in it cannot be compared"),
        }
    }
}

/// Everything that keeps `from` from becoming `to` by burning; empty if it can. Both are of the same chip.
#[must_use]
pub fn obstacles(from: &EfuseImage, to: &EfuseImage) -> Vec<Obstacle> {
    let mut found = Vec::new();
    let map = from.map();
    for field in map.fields {
        let (before, after) = (from.bytes(field), to.bytes(field));
        // What `to` hides reads as zero and has not gone back.
        let is_hidden = from.is_readable(field) && !to.is_readable(field);
        if !is_hidden && before.iter().zip(after.iter()).any(|(before, after)| before & !after != 0) {
            found.push(Obstacle::Cleared(field));
        }
        if !from.is_writable(field) && before.iter().zip(after.iter()).any(|(before, after)| after & !before != 0) {
            found.push(Obstacle::Frozen(field));
        }
    }
    for block in map.block_numbers() {
        let (Some(before), Some(after)) = (from.block(block), to.block(block)) else { continue };
        if !from.is_block_readable(block) && before != after {
            found.push(Obstacle::Hidden(block));
        }
        let adds = |before: &[u8], after: &[u8]| {
            before.iter().any(|byte| *byte != 0) && before.iter().zip(after).any(|(before, after)| after & !before != 0)
        };
        match from.coding(block) {
            Coding::ReedSolomon if adds(before, after) => found.push(Obstacle::BurnedOnce(block)),
            Coding::ThreeQuarters => {
                let chunks = before.chunks(three_quarters::CHUNK).zip(after.chunks(three_quarters::CHUNK));
                let burned = (0_u8..).zip(chunks).filter(|(_, (before, after))| adds(before, after));
                found.extend(burned.map(|(chunk, _)| Obstacle::ChunkBurnedOnce(block, chunk)));
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chip::Chip;
    use crate::efuse::esp32c3::{DIS_PAD_JTAG, DIS_USB_JTAG, WR_DIS};

    fn image(fields: &[(&Field, u32)]) -> EfuseImage {
        let mut image = EfuseImage::blank(Chip::Esp32C3);
        for (field, value) in fields {
            field.merge(*value, image.block_mut(field.block).unwrap()).unwrap();
        }
        image
    }

    #[test]
    fn burning_reaches_more_bits_and_never_fewer() {
        let (none, one) = (image(&[]), image(&[(&DIS_PAD_JTAG, 1)]));
        assert_eq!(obstacles(&none, &one), []);
        assert_eq!(obstacles(&one, &none).len(), 1);
        assert!(matches!(obstacles(&one, &none)[0], Obstacle::Cleared(field) if field.name == "DIS_PAD_JTAG"));
    }

    #[test]
    fn a_shared_protection_bit_stands_in_the_way() {
        let frozen = image(&[(&WR_DIS, 1 << 2)]);
        let wanted = image(&[(&WR_DIS, 1 << 2), (&DIS_USB_JTAG, 1)]);
        let found = obstacles(&frozen, &wanted);
        assert!(matches!(found[..], [Obstacle::Frozen(field)] if field.name == "DIS_USB_JTAG"));
    }

    #[test]
    fn a_coded_block_is_reached_once() {
        let mut first = image(&[]);
        first.block_mut(EfuseBlock(3)).unwrap()[0] = 1;
        let mut second = first.clone();
        second.block_mut(EfuseBlock(3)).unwrap()[0] = 3;
        assert_eq!(obstacles(&image(&[]), &second), []);
        assert_eq!(obstacles(&first, &second), [Obstacle::BurnedOnce(EfuseBlock(3))]);
    }

    #[test]
    fn a_block_that_was_hidden_since_is_reached() {
        let mut key = image(&[]);
        key.block_mut(EfuseBlock(4)).unwrap().fill(7);
        let hidden = image(&[(&crate::efuse::esp32c3::RD_DIS, 1)]);
        assert_eq!(obstacles(&key, &hidden), []);
        assert!(obstacles(&hidden, &key).contains(&Obstacle::Hidden(EfuseBlock(4))));
    }
}
