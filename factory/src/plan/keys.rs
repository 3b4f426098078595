//! The keys of a plan, by name, and the bits that each becomes in its block.

use super::PlanError;
use cotter_chip::efuse::{BurnSet, KeyProtection};
use cotter_formats::efuse::{EfuseMap, Family, PurposeValue};
use cotter_formats::secret::Secret;
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// Key files by the names that a plan has for them; in the order of the file, ECDSA keys as the big-endian number.
#[derive(Default)]
pub struct KeyFiles(BTreeMap<String, Zeroizing<Vec<u8>>>);

impl KeyFiles {
    /// Adds a file.
    pub fn insert(&mut self, name: &str, bytes: &[u8]) {
        self.0.insert(name.to_owned(), Zeroizing::new(bytes.to_vec()));
    }

    /// A file.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(|bytes| bytes.as_slice())
    }
}

impl fmt::Debug for KeyFiles {
    /// The names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What a plan says about a key.
pub(super) struct Wanted<'a> {
    pub(super) key: &'a str,
    pub(super) purpose: &'a str,
    pub(super) block: &'a str,
    pub(super) half: Option<u8>,
    pub(super) hide: bool,
    pub(super) freeze: bool,
}

/// Adds a key, its purpose and its protection.
pub(super) fn add(set: &mut BurnSet, map: &EfuseMap, files: &KeyFiles, wanted: &Wanted<'_>) -> Result<(), PlanError> {
    let no_block = || PlanError::NoField(wanted.block.to_owned());
    let block = map.block_named(wanted.block).ok_or_else(no_block)?;
    let layout = map.block(block).ok_or_else(no_block)?;
    let (mut write, mut read) = (layout.write_protect_bit.map_or(0, |bit| 1 << bit), layout.read_protect_mask.into());
    match map.family {
        Family::Many => {
            let purpose = map.purpose_named(wanted.purpose).map(|purpose| purpose.value);
            let Some(PurposeValue::Burned(purpose)) = purpose else {
                return Err(PlanError::NoField(wanted.purpose.to_owned()));
            };
            let whole = padded(files, wanted)?;
            let from = if wanted.half == Some(2) { 32 } else { 0 };
            let part = whole.get(from..from + 32).and_then(Secret::from_slice);
            let part = part.ok_or_else(|| length(wanted, if wanted.half.is_some() { 64 } else { 32 }, whole.len()))?;
            set.key(block, purpose, &part, KeyProtection { hidden: wanted.hide, frozen: wanted.freeze })?;
            return Ok(());
        }
        Family::Esp32 => {
            let mut bytes = exactly(files, wanted, &[32, 24])?;
            if wanted.purpose != "secure_boot_v2" {
                bytes.reverse();
            }
            set.block(block, &bytes)?;
        }
        Family::Esp32C2 => {
            let purpose = map.purpose_named(wanted.purpose);
            let purpose = purpose.ok_or_else(|| PlanError::NoField(wanted.purpose.to_owned()))?;
            let whole = purpose.value == PurposeValue::WholeBlock;
            let mut bytes = exactly(files, wanted, if whole { &[32] } else { &[16, 32] })?;
            if !whole {
                bytes.truncate(16);
            }
            if purpose.is_reversed {
                bytes.reverse();
            }
            let at = if purpose.value == PurposeValue::HighHalf { 16 } else { 0 };
            let mut data = Zeroizing::new([0; 32]);
            data.iter_mut().skip(at).zip(bytes.iter()).for_each(|(to, from)| *to = *from);
            set.block(block, &*data)?;
            read = match purpose.value {
                PurposeValue::LowHalf => 1,
                PurposeValue::HighHalf => 2,
                _ => 3,
            };
            if whole && let Some(field) = map.field("XTS_KEY_LENGTH_256") {
                set.field(field, 1)?;
            }
        }
    }
    write *= u32::from(wanted.freeze);
    read *= u32::from(wanted.hide);
    set.field(map.wr_dis(), write)?.field(map.rd_dis(), read)?;
    Ok(())
}

/// The file, if it has one of these lengths.
fn exactly(files: &KeyFiles, wanted: &Wanted<'_>, lengths: &[usize]) -> Result<Zeroizing<Vec<u8>>, KeyRefusal> {
    let first = lengths.first().copied().unwrap_or(0);
    let missing = || KeyRefusal::Missing { name: wanted.key.to_owned(), bytes: first };
    let bytes = files.get(wanted.key).ok_or_else(missing)?;
    if lengths.contains(&bytes.len()) {
        Ok(Zeroizing::new(bytes.to_vec()))
    } else {
        Err(length(wanted, first, bytes.len()))
    }
}

/// The file, an ECDSA key with zeros before the number so that it fills its blocks.
fn padded(files: &KeyFiles, wanted: &Wanted<'_>) -> Result<Zeroizing<Vec<u8>>, KeyRefusal> {
    let bytes = if wanted.half.is_some() { 64 } else { 32 };
    let missing = || KeyRefusal::Missing { name: wanted.key.to_owned(), bytes };
    let file = files.get(wanted.key).ok_or_else(missing)?;
    let zeros = if wanted.purpose.starts_with("ECDSA_KEY") { bytes.saturating_sub(file.len()) } else { 0 };
    let mut whole = Zeroizing::new(vec![0; zeros]);
    whole.extend_from_slice(file);
    if whole.len() == bytes { Ok(whole) } else { Err(length(wanted, bytes, file.len())) }
}

fn length(wanted: &Wanted<'_>, expected: usize, got: usize) -> KeyRefusal {
    KeyRefusal::Length { name: wanted.key.to_owned(), expected, got }
}

/// Why a key cannot be burned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum KeyRefusal {
    #[error("key {name} is missing: {bytes} bytes")]
    Missing { name: String, bytes: usize },
    #[error("key {name} has {got} bytes instead of {expected}")]
    Length { name: String, expected: usize, got: usize },
}
