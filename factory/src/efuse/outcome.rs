//! How a chip reads after a plan: the burns applied to a register image, each refused if the chip would refuse it.
//!
//! Keys are not at hand here: a digest is stood in for by a hash of its name, a hidden key reads as zero anyway.

use super::plan::{Burn, EfusePlan};
use cotter_formats::efuse::{EfuseBlock, EfuseImage, Family, PurposeValue};
use sha2::{Digest, Sha256};
use std::fmt;

/// What stands in the way of a burn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// A field, a block or a purpose.
    pub at: String,
    /// Why not.
    pub why: String,
}

impl Obstacle {
    pub(super) fn new(at: &str, why: &str) -> Self {
        Self { at: at.to_owned(), why: why.to_owned() }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.why)
    }
}

/// The registers after the plan.
///
/// # Errors
/// The first [`Obstacle`].
pub fn outcome(plan: &EfusePlan, image: &EfuseImage) -> Result<EfuseImage, Obstacle> {
    let mut after = image.clone();
    for stage in &plan.stages {
        let mut locks = Locks::default();
        for burn in &stage.burns {
            apply(&mut after, burn, &mut locks)?;
        }
        // Within a batch protections come last.
        locks.close(&mut after)?;
    }
    Ok(after)
}

/// What a batch protects when it is through.
#[derive(Default)]
pub(super) struct Locks {
    write: u32,
    read: u32,
}

impl Locks {
    pub(super) fn close(&self, image: &mut EfuseImage) -> Result<(), Obstacle> {
        let map = *image.map();
        for (field, bits) in [(map.rd_dis(), self.read), (map.wr_dis(), self.write)] {
            if bits & !image.value(field) != 0 {
                merge(image, field.name, bits)?;
            }
        }
        for block in map.block_numbers() {
            let mask = map.block(block).map_or(0, |layout| u32::from(layout.read_protect_mask));
            let hidden = image.value(map.rd_dis()) & mask;
            let Some(bytes) = image.block_mut(block).filter(|_| mask != 0) else { continue };
            let half = bytes.len() / 2;
            match (map.family, hidden) {
                (Family::Esp32C2, 0b01) => bytes[..half].fill(0),
                (Family::Esp32C2, 0b10) => bytes[half..].fill(0),
                (_, hidden) if hidden == mask => bytes.fill(0),
                _ => {}
            }
        }
        Ok(())
    }
}

pub(super) fn apply(image: &mut EfuseImage, burn: &Burn, locks: &mut Locks) -> Result<(), Obstacle> {
    let map = *image.map();
    match burn {
        Burn::Field { field, value, .. } => merge(image, field, *value),
        Burn::ReadProtect { block, .. } => {
            let layout = map.block_named(block).and_then(|block| map.block(block));
            locks.read |= layout.map(|layout| u32::from(layout.read_protect_mask)).ok_or_else(|| unknown(block))?;
            Ok(())
        }
        Burn::WriteProtect { name, bit, .. } => {
            let by_block = map.block_named(name).and_then(|block| map.block(block)?.write_protect_bit);
            let known = map.field(name).and_then(|field| field.write_protect_bit).or(by_block);
            if known != Some(*bit) {
                return Err(Obstacle::new(name, &format!("bit {bit} of WR_DIS does not protect it")));
            }
            locks.write |= 1u32.checked_shl((*bit).into()).unwrap_or(0);
            Ok(())
        }
        Burn::Key { block, purpose, key, read_protect, write_protect, .. } => {
            let number = map.block_named(block).ok_or_else(|| unknown(block))?;
            key_burn(image, number, block, purpose, key)?;
            let layout = map.block(number).ok_or_else(|| unknown(block))?;
            let mask = u32::from(layout.read_protect_mask);
            if *read_protect {
                locks.read |= if purpose.ends_with("DERIVED_FROM_128_EFUSE_BITS") { 1 } else { mask };
            }
            if *write_protect {
                locks.write |= layout.write_protect_bit.map_or(0, |bit| 1 << bit);
            }
            if let Some((field, _)) = map.key_purpose_fields(number) {
                locks.write |= field.write_protect_bit.map_or(0, |bit| 1 << bit);
            }
            Ok(())
        }
    }
}

fn key_burn(image: &mut EfuseImage, number: EfuseBlock, block: &str, purpose: &str, key: &str) -> Result<(), Obstacle> {
    let map = *image.map();
    if !image.is_block_readable(number) || !image.is_block_writable(number) {
        return Err(Obstacle::new(block, "it is protected already"));
    }
    let known = map.purpose_named(purpose);
    let part = match (map.family, known.map(|known| known.value)) {
        (Family::Esp32, _) => 0..32,
        (_, Some(PurposeValue::LowHalf)) => 0..16,
        (_, Some(PurposeValue::HighHalf)) => 16..32,
        (_, Some(PurposeValue::WholeBlock)) => {
            merge(image, "XTS_KEY_LENGTH_256", 1)?;
            0..32
        }
        (_, Some(PurposeValue::Burned(value))) => {
            let Some((low, high)) = map.key_purpose_fields(number) else { return Err(unknown(block)) };
            merge(image, low.name, u32::from(value.0) & low.all_ones())?;
            if let Some(high) = high {
                merge(image, high.name, u32::from(value.0) >> low.len)?;
            }
            0..32
        }
        _ => return Err(Obstacle::new(purpose, "this chip has no such purpose")),
    };
    let stand_in: [u8; 32] = Sha256::digest(format!("{block} {key} {purpose}")).into();
    let bytes = image.block_mut(number).ok_or_else(|| unknown(block))?;
    let end = part.end.min(bytes.len());
    let target = bytes.get_mut(part.start..end).ok_or_else(|| unknown(block))?;
    if target.iter().any(|byte| *byte != 0) {
        return Err(Obstacle::new(block, "it is burned already, and its coding allows one burn"));
    }
    target.iter_mut().zip(stand_in).for_each(|(byte, new)| *byte = new);
    Ok(())
}

/// Sets bits of a field, unless they are frozen.
fn merge(image: &mut EfuseImage, name: &str, value: u32) -> Result<(), Obstacle> {
    let field = *image.map().field(name).ok_or_else(|| unknown(name))?;
    if value & !image.value(&field) != 0 && !image.is_writable(&field) {
        return Err(Obstacle::new(name, "it is write-protected"));
    }
    let merged = image.block_mut(field.block).and_then(|block| field.merge(value, block));
    merged.ok_or_else(|| Obstacle::new(name, &format!("{value:#x} does not fit")))
}

fn unknown(name: &str) -> Obstacle {
    Obstacle::new(name, "this chip has no such field or block")
}
