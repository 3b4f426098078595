//! A set of burns, done as a careful tool does it: everything is checked before the first bit, keys come before the
//! settings that use them, protection comes last, and each pass is read back.
//!
//! The order is espefuse's (5.6.0, `base_fields.py`): blocks from 10 down to 1, then block 0 without the fields that
//! switch protection on, then those. Off-spec: espefuse burns the latter in one pass; here `LOCKING` comes after
//! `ENABLING`, because a torn pass that has frozen `SECURE_BOOT_EN` before setting it can never be finished. What
//! remains: `WR_DIS` bit 18 freezes the two download fields beside it, and they must be burned together.

use super::Efuses;
use super::controller::BLOCK_MAX;
use crate::fault::PowerLost;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::coding::Coding;
use cotter_formats::efuse::{EfuseBlock, EfuseMap, Field, KeyPurpose};
use cotter_formats::secret::Secret;
use zeroize::Zeroizing;

/// What is to be burned, block by block. Building it burns nothing.
pub struct BurnSet {
    map: EfuseMap,
    blocks: Vec<Zeroizing<[u8; BLOCK_MAX]>>,
}

/// Fields that make the chip act on what was burned before: a pass of their own after the other settings.
const ENABLING: [&str; 6] =
    ["SPI_BOOT_CRYPT_CNT", "FLASH_CRYPT_CNT", "SECURE_BOOT_EN", "ABS_DONE_0", "ABS_DONE_1", "RD_DIS"];

/// Fields that lock mistakes in, or the tool out: the very last pass.
const LOCKING: [&str; 4] = ["WR_DIS", "ENABLE_SECURITY_DOWNLOAD", "DIS_DOWNLOAD_MODE", "UART_DOWNLOAD_DIS"];

/// What else is burned with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyProtection {
    /// Software can no longer read it (`RD_DIS`).
    pub hidden: bool,
    /// Nobody can burn more bits into it (`WR_DIS`).
    pub frozen: bool,
}

impl KeyProtection {
    /// What a purpose asks for: always frozen, and hidden unless it is a digest or the user's.
    #[must_use]
    pub fn of(purpose: KeyPurpose) -> Self {
        Self { hidden: purpose.wants_read_protection(), frozen: true }
    }
}

impl BurnSet {
    /// Nothing to burn yet.
    #[must_use]
    pub fn new(chip: Chip) -> Self {
        Self::for_map(EfuseMap::of(chip))
    }

    /// As [`Self::new`], for the revision of that map.
    #[must_use]
    pub fn for_map(map: EfuseMap) -> Self {
        Self::of_blocks(map, map.blocks.iter().map(|_| Zeroizing::new([0; BLOCK_MAX])).collect())
    }

    /// With what somebody else has prepared, a block of the map for each.
    pub(super) const fn of_blocks(map: EfuseMap, blocks: Vec<Zeroizing<[u8; BLOCK_MAX]>>) -> Self {
        Self { map, blocks }
    }

    /// Adds the bits of a value to a field. For a unary field see [`cotter_formats::efuse::unary::bits`].
    ///
    /// # Errors
    /// [`BurnError::DoesNotFit`].
    pub fn field(&mut self, field: &Field, value: u32) -> Result<&mut Self, BurnError> {
        let block = self.blocks.get_mut(usize::from(field.block.0));
        let merged = block.and_then(|block| field.merge(value, &mut **block));
        merged.map(|()| self).ok_or(BurnError::DoesNotFit { field: field.name, value })
    }

    /// Adds raw bits to a whole block.
    ///
    /// # Errors
    /// [`BurnError::NoSuchBlock`], also if the block is shorter than `data`.
    pub fn block(&mut self, block: EfuseBlock, data: &[u8]) -> Result<&mut Self, BurnError> {
        if self.map.block(block).is_none_or(|layout| layout.len() < data.len()) {
            return Err(BurnError::NoSuchBlock { block });
        }
        let target = self.blocks.get_mut(usize::from(block.0)).ok_or(BurnError::NoSuchBlock { block })?;
        target.iter_mut().zip(data).for_each(|(byte, more)| *byte |= more);
        Ok(self)
    }

    /// Adds a key as its file has it (reversed here if the purpose asks for it), its purpose, the write protection of
    /// the purpose, and the protection of the key.
    ///
    /// # Errors
    /// [`BurnError::NoSuchBlock`] if this is no key block with a purpose, [`BurnError::QuirkOfKey5`], [`BurnError::DigestMustBeReadable`].
    pub fn key(
        &mut self,
        block: EfuseBlock,
        purpose: KeyPurpose,
        key: &Secret<32>,
        protection: KeyProtection,
    ) -> Result<&mut Self, BurnError> {
        let index = self.map.key_index(block).ok_or(BurnError::NoSuchBlock { block })?;
        let layout = self.map.block(block).ok_or(BurnError::NoSuchBlock { block })?;
        if index == 5 && self.map.has_key5_quirk() && !purpose.is_allowed_in_key5() {
            return Err(BurnError::QuirkOfKey5 { purpose });
        }
        if protection.hidden && KeyPurpose::SECURE_BOOT_DIGESTS.contains(&purpose) {
            return Err(BurnError::DigestMustBeReadable { block });
        }
        let mut data = Zeroizing::new(*key.expose());
        purpose.reorder(&mut data);
        let (low, high) = self.map.key_purpose_fields(block).ok_or(BurnError::NoSuchBlock { block })?;
        let value = u32::from(purpose.0);
        self.block(block, &*data)?.field(low, value & low.all_ones())?.write_protect(low)?;
        if let Some(high) = high.filter(|_| value > low.all_ones()) {
            self.field(high, value >> low.len)?.write_protect(high)?;
        }
        if protection.frozen {
            self.field(self.map.wr_dis(), mask(layout.write_protect_bit))?;
        }
        if protection.hidden {
            self.field(self.map.rd_dis(), u32::from(layout.read_protect_mask))?;
        }
        Ok(self)
    }

    /// Freezes a field, and every other field that shares its bit of `WR_DIS`.
    ///
    /// # Errors
    /// [`BurnError::HasNoProtection`].
    pub fn write_protect(&mut self, field: &Field) -> Result<&mut Self, BurnError> {
        let bit = field.write_protect_bit.ok_or(BurnError::HasNoProtection { field: field.name })?;
        self.field(self.map.wr_dis(), 1 << bit)
    }

    /// The program commands, in their order.
    #[must_use]
    pub fn passes(&self) -> Vec<Pass> {
        let pass = |block: EfuseBlock| Pass { block, data: self.blocks[usize::from(block.0)].clone() };
        let keys = self.map.block_numbers().rev().filter(|block| *block != EfuseBlock::SETTINGS).map(pass);
        let mut first = self.blocks[0].clone();
        let [enabling, locking] = [&ENABLING[..], &LOCKING].map(|names| self.take(names, &mut first));
        let settings = [first, enabling, locking].map(|data| Pass { block: EfuseBlock::SETTINGS, data });
        keys.chain(settings).filter(|pass| pass.data.iter().any(|byte| *byte != 0)).collect()
    }

    /// Moves fields out of block 0 into a block of their own.
    fn take(&self, names: &[&str], block: &mut [u8; BLOCK_MAX]) -> Zeroizing<[u8; BLOCK_MAX]> {
        let mut taken = Zeroizing::new([0; BLOCK_MAX]);
        let fields = names.iter().filter_map(|name| self.map.field(name));
        for bit in fields.flat_map(|field| field.bit..field.bit + field.len) {
            let (byte, mask) = (usize::from(bit / 8), 1 << (bit % 8));
            taken[byte] |= block[byte] & mask;
            block[byte] &= !mask;
        }
        taken
    }

    /// The purposes that are to be burned: field, value.
    fn purposes(&self) -> impl Iterator<Item = (&'static Field, u32)> {
        let fields = self.map.key_blocks().filter_map(|block| self.map.key_purpose_fields(block));
        fields.flat_map(|(low, high)| [Some(low), high]).flatten().map(|field| (field, self.wanted(field)))
    }

    fn wanted(&self, field: &Field) -> u32 {
        self.blocks.get(usize::from(field.block.0)).and_then(|block| field.read(&**block)).unwrap_or(0)
    }
}

impl std::fmt::Debug for BurnSet {
    /// The settings only: the other blocks are keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BurnSet").field("block0", &self.blocks[0]).finish_non_exhaustive()
    }
}

/// One program command: a block and its bits.
pub struct Pass {
    /// The block.
    pub block: EfuseBlock,
    data: Zeroizing<[u8; BLOCK_MAX]>,
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pass").field("block", &self.block).finish_non_exhaustive()
    }
}

/// What to make of a block that cannot be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hidden {
    Refuse,
    TrustEarlierPass,
}

impl Efuses {
    /// Checks everything, then burns it pass by pass, reading back each pass. What is burned already is skipped.
    ///
    /// # Errors
    /// [`BurnError`]; nothing is burned unless it is `PowerLost` or `NotReadBack`.
    pub fn burn(&self, set: &BurnSet) -> Result<(), BurnError> {
        self.burn_with(set, Hidden::Refuse)
    }

    /// Finishes a burn of the same set that lost power. A key that is already hidden is taken for burned: our passes
    /// hide a key only after it was read back.
    ///
    /// # Errors
    /// As [`Self::burn`].
    pub fn resume_burn(&self, set: &BurnSet) -> Result<(), BurnError> {
        self.burn_with(set, Hidden::TrustEarlierPass)
    }

    fn burn_with(&self, set: &BurnSet, hidden: Hidden) -> Result<(), BurnError> {
        for (field, wanted) in set.purposes() {
            let current = self.image()?.value(field);
            if wanted != 0 && current & !wanted != 0 {
                return Err(BurnError::PurposeTaken { field: field.name, current, wanted });
            }
        }
        let mut passes = set.passes();
        let mut needed = Vec::with_capacity(passes.len());
        for pass in passes.drain(..) {
            if self.is_needed(&pass, hidden)? {
                needed.push(pass);
            }
        }
        for pass in needed {
            self.program(pass.block, &*pass.data)?;
            self.read_back(&pass)?;
        }
        Ok(())
    }

    /// True if the pass has bits to set, false if they all are; an error if they cannot be.
    fn is_needed(&self, pass: &Pass, hidden: Hidden) -> Result<bool, BurnError> {
        let block = pass.block;
        let image = self.image()?;
        let readable = image.block(block).ok_or(BurnError::NoSuchBlock { block })?;
        if self.is_hidden(block) {
            return match hidden {
                Hidden::Refuse => Err(BurnError::ReadProtected { block }),
                Hidden::TrustEarlierPass => Ok(false),
            };
        }
        let silicon = self.silicon();
        let is_whole = !silicon.is_damaged(block);
        let is_burned = || pass.data.iter().zip(readable).all(|(wanted, burned)| wanted & !burned == 0);
        if is_whole && is_burned() {
            return Ok(false);
        }
        let frozen = silicon.frozen(block);
        let new_bits = pass.data.iter().zip(readable).map(|(wanted, burned)| wanted & !burned);
        if new_bits.zip(frozen).any(|(new, frozen)| new & frozen != 0) {
            return Err(BurnError::WriteProtected { block });
        }
        let is_coded = matches!(silicon.coding(block), Coding::ReedSolomon | Coding::ThreeQuarters);
        if is_coded && !silicon.can_become(block, &silicon.code_word(block, &*pass.data)) {
            return Err(BurnError::AlreadyBurned { block });
        }
        Ok(true)
    }

    fn read_back(&self, pass: &Pass) -> Result<(), BurnError> {
        let block = pass.block;
        let silicon = self.silicon();
        let whole = !silicon.is_damaged(block);
        let all = pass.data.iter().zip(silicon.data(block).iter()).all(|(wanted, burned)| wanted & !burned == 0);
        if whole && all { Ok(()) } else { Err(BurnError::NotReadBack { block }) }
    }

    fn is_hidden(&self, block: EfuseBlock) -> bool {
        let silicon = self.silicon();
        let hidden = silicon.value(silicon.map().rd_dis());
        silicon.map().block(block).is_some_and(|layout| hidden & u32::from(layout.read_protect_mask) != 0)
    }
}

/// Why something is not burned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum BurnError {
    #[error("eFuse burn: power lost")]
    PowerLost,
    #[error("eFuse {field}: {value:#x} does not fit")]
    DoesNotFit { field: &'static str, value: u32 },
    #[error("eFuse {field} has no write protection bit")]
    HasNoProtection { field: &'static str },
    #[error("eFuse {block}: no such block, or no key block")]
    NoSuchBlock { block: EfuseBlock },
    #[error("eFuse BLOCK_KEY5 cannot hold a key of purpose {purpose} (hardware defect)")]
    QuirkOfKey5 { purpose: KeyPurpose },
    #[error("eFuse {block}: a Secure Boot digest must stay readable, or nothing boots")]
    DigestMustBeReadable { block: EfuseBlock },
    #[error("eFuse {field} is {current} already and cannot become {wanted}")]
    PurposeTaken { field: &'static str, current: u32, wanted: u32 },
    #[error("eFuse {block} is write-protected")]
    WriteProtected { block: EfuseBlock },
    #[error("eFuse {block} is read-protected: what is burned in it cannot be checked")]
    ReadProtected { block: EfuseBlock },
    #[error("eFuse {block} is burned already with something else, and its coding allows one burn")]
    AlreadyBurned { block: EfuseBlock },
    #[error("eFuse {block} does not read back as it was burned")]
    NotReadBack { block: EfuseBlock },
}

impl From<PowerLost> for BurnError {
    fn from(PowerLost: PowerLost) -> Self {
        Self::PowerLost
    }
}

const fn mask(bit: Option<u8>) -> u32 {
    match bit {
        Some(bit) => 1 << bit,
        None => 0,
    }
}
