//! The app slots and the otadata that says which of them boots.
//!
//! Every change is safe against a power cut at every flash operation. Three rules make it so:
//!
//! 1. Only one of the two otadata sectors is touched at a time, never the one that the fallback lives in.
//! 2. An entry dies before it is erased: its `ota_seq` is programmed to 0, which its CRC contradicts. A torn erase can
//!    therefore not bring back an aborted entry with another state. (The CRC covers `ota_seq` only, and CRC-32 over
//!    four bytes is injective: every change of `ota_seq` is noticed.)
//! 3. An entry comes to life with its last write: bytes 16..32 (state, CRC) first, then bytes 0..16 (`ota_seq`).
//!
//! Both rules hold on the plain and on the flash-encrypted view, where 16 bytes are the smallest write.
//! Source: ESP-IDF v5.5 `app_update/esp_ota_ops.c`, `bootloader_support/src/bootloader_common_loader.c`.

use cotter_formats::addr::{FlashAddr, FlashLen, SECTOR};
use cotter_formats::otadata::{self, ENTRY_LEN, OtaEntry, OtaState};
use cotter_formats::partition::{PartitionError, PartitionTable, PartitionType, Subtype, TABLE_LEN};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use heapless::Vec;

/// The app slots of one partition table, the running one among them, and where otadata is.
///
/// All flash access goes through the transparent view of the whole flash; sizes: about 220 bytes.
#[derive(Clone, Debug)]
pub struct Slots {
    slots: Vec<Slot, MAX_SLOTS>,
    otadata: FlashAddr,
    running: SlotIndex,
}

/// One app slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its number.
    pub index: SlotIndex,
    /// Where it starts in flash.
    pub start: FlashAddr,
    /// How long it is.
    pub len: FlashLen,
}

/// The number of an app slot: 0 is `ota_0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotIndex(pub u8);

/// Says that the image in a slot was read back from flash and verified. Only the updater can make one.
#[derive(Debug)]
pub struct VerifiedSlot(SlotIndex);

impl VerifiedSlot {
    pub(crate) const fn new(slot: SlotIndex) -> Self {
        Self(slot)
    }

    /// Which slot.
    #[must_use]
    pub const fn slot(&self) -> SlotIndex {
        self.0
    }
}

impl Slots {
    /// Reads the partition table at `table` (0x8000 unless the product moved it), then as [`Self::of`].
    /// `scratch` holds the raw table meanwhile; the parsed one takes another 4 KB of stack until this returns.
    ///
    /// # Errors
    /// [`SlotError::Flash`], [`SlotError::Table`], and those of [`Self::of`].
    pub fn read<F: ReadNorFlash>(
        flash: &mut F,
        table: FlashAddr,
        scratch: &mut [u8; TABLE_LEN],
    ) -> Result<Self, SlotError<F::Error>> {
        flash.read(table.0, scratch).map_err(SlotError::Flash)?;
        Self::of(&PartitionTable::parse(scratch)?, flash)
    }

    /// The slots of a table that was read already. The running slot is taken to be the one that otadata selects; see
    /// [`Self::with_running`].
    ///
    /// # Errors
    /// [`SlotError::NoOtadata`], [`SlotError::TooFewSlots`], [`SlotError::Flash`].
    pub fn of<F: ReadNorFlash>(table: &PartitionTable, flash: &mut F) -> Result<Self, SlotError<F::Error>> {
        let otadata = table.find_type(PartitionType::DATA, Subtype::DATA_OTA).ok_or(SlotError::NoOtadata)?.offset;
        let slots: Vec<Slot, MAX_SLOTS> = (0..)
            .zip(table.ota_slots())
            .map(|(index, slot)| Slot { index: SlotIndex(index), start: slot.offset, len: slot.size })
            .collect();
        if slots.len() < 2 {
            return Err(SlotError::TooFewSlots { found: slots.len() });
        }
        let mut this = Self { slots, otadata, running: SlotIndex(0) };
        if let Some(active) = this.active(flash)? {
            this.running = active.slot;
        }
        Ok(this)
    }

    /// Says which slot really runs, where the platform knows it (the MMU's mapping, the boot report). It differs from
    /// what otadata selects when the second stage had to skip a slot whose image it refused.
    ///
    /// # Errors
    /// [`UnknownSlot`].
    pub fn with_running(mut self, running: SlotIndex) -> Result<Self, UnknownSlot> {
        self.slot(running).ok_or(UnknownSlot(running))?;
        self.running = running;
        Ok(self)
    }

    /// The slot this code runs from.
    #[must_use]
    pub fn running(&self) -> Slot {
        self.slot(self.running).expect("checked when it was set")
    }

    /// The slot that an update goes to: the one after the running one.
    #[must_use]
    pub fn inactive(&self) -> Slot {
        let next = (usize::from(self.running.0) + 1) % self.slots.len();
        self.slots[next]
    }

    /// The slot of that number.
    #[must_use]
    pub fn slot(&self, index: SlotIndex) -> Option<Slot> {
        self.slots.get(usize::from(index.0)).copied()
    }

    /// What the next boot will honour; `None` if neither entry is valid (then `factory` or `ota_0` boots).
    ///
    /// # Errors
    /// [`SlotError::Flash`].
    pub fn active<F: ReadNorFlash>(&self, flash: &mut F) -> Result<Option<Active>, SlotError<F::Error>> {
        let entries = self.entries(flash)?;
        Ok(otadata::select(&entries).map(|sector| self.describe(sector, &entries[sector])))
    }

    /// The newest intact entry of a slot, whatever its state: an aborted one tells of a rollback.
    ///
    /// # Errors
    /// [`SlotError::Flash`].
    pub fn entry_of<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        slot: SlotIndex,
    ) -> Result<Option<Active>, SlotError<F::Error>> {
        let entries = self.entries(flash)?;
        Ok(self.newest(&entries, |active| active.slot == slot))
    }

    /// The sequence number that [`Self::mark_bootable`] would write for `slot` now: the lowest that belongs to the
    /// slot above every intact one. Off-spec: ESP-IDF counts from the active entry and so reuses an aborted number;
    /// a number that is never reused lets the updater tell its own entry from an older one.
    ///
    /// # Errors
    /// [`SlotError::Flash`], [`SlotError::SequenceExhausted`], [`SlotError::UnknownSlot`].
    pub fn next_sequence<F: ReadNorFlash>(&self, flash: &mut F, slot: SlotIndex) -> Result<u32, SlotError<F::Error>> {
        self.slot(slot).ok_or(UnknownSlot(slot))?;
        let entries = self.entries(flash)?;
        let newest = self.newest(&entries, |_| true).map_or(0, |entry| entry.sequence);
        self.sequence_above(newest, slot)
    }

    /// Makes sure that otadata selects the running slot, so that there is an entry to fall back on and the other slot
    /// can be overwritten. Changes nothing if it does already. A device that was never updated has no entry at all (both
    /// sectors erased); one whose second stage skipped a broken slot has an entry that selects the broken one.
    ///
    /// # Errors
    /// [`SlotError::Flash`], [`SlotError::SequenceExhausted`].
    pub fn anchor<F: NorFlash>(&self, flash: &mut F) -> Result<(), SlotError<F::Error>> {
        let entries = self.entries(flash)?;
        let active = otadata::select(&entries);
        match self.fallback(&entries) {
            Some(fallback) if active == Some(fallback) => Ok(()),
            Some(fallback) => self.remove(flash, 1 - fallback, &entries),
            None => {
                let spare = active.map_or(0, |active| 1 - active);
                let sequence = self.next_sequence(flash, self.running)?;
                self.replace(flash, spare, &entries, OtaEntry::new(sequence, OtaState::VALID))
            }
        }
    }

    /// Makes the next boot try `slot`: its entry, in state NEW, replaces the one that is not the running slot's.
    ///
    /// # Errors
    /// [`SlotError::Flash`], [`SlotError::SequenceExhausted`], [`SlotError::UnknownSlot`];
    /// [`SlotError::SlotIsRunning`] for the running slot.
    pub fn mark_bootable<F: NorFlash>(&self, flash: &mut F, verified: VerifiedSlot) -> Result<(), SlotError<F::Error>> {
        let VerifiedSlot(slot) = verified;
        self.slot(slot).ok_or(UnknownSlot(slot))?;
        if slot == self.running {
            return Err(SlotError::SlotIsRunning { slot });
        }
        self.anchor(flash)?;
        let sequence = self.next_sequence(flash, slot)?;
        let entries = self.entries(flash)?;
        let keep = self.fallback(&entries).ok_or(SlotError::NothingToFallBackOn)?;
        let spare = 1 - keep;
        self.replace(flash, spare, &entries, OtaEntry::new(sequence, OtaState::NEW))
    }

    /// The running image is good: its entry becomes VALID. A cut in the middle loses the entry, so the previous slot
    /// boots again and the update is marked once more.
    ///
    /// # Errors
    /// [`SlotError::Flash`]; [`SlotError::NotSelected`] if otadata does not select the running slot.
    pub fn confirm<F: NorFlash>(&self, flash: &mut F) -> Result<(), SlotError<F::Error>> {
        self.restate(flash, OtaState::VALID)
    }

    /// The running image is bad: its entry becomes INVALID and the next boot takes the previous slot.
    ///
    /// # Errors
    /// As [`Self::confirm`]; [`SlotError::NothingToFallBackOn`] if no other entry could boot then.
    pub fn invalidate<F: NorFlash>(&self, flash: &mut F) -> Result<(), SlotError<F::Error>> {
        let entries = self.entries(flash)?;
        let others =
            |sector: usize| entries[sector].is_valid() && self.describe(sector, &entries[sector]).slot != self.running;
        if !others(0) && !others(1) {
            return Err(SlotError::NothingToFallBackOn);
        }
        self.restate(flash, OtaState::INVALID)
    }

    /// True while the running image is on trial: started from a NEW entry and not confirmed yet.
    ///
    /// # Errors
    /// [`SlotError::Flash`].
    pub fn on_trial<F: ReadNorFlash>(&self, flash: &mut F) -> Result<bool, SlotError<F::Error>> {
        let active = self.active(flash)?.filter(|active| active.slot == self.running);
        Ok(active.is_some_and(|active| matches!(active.state, OtaState::NEW | OtaState::PENDING_VERIFY)))
    }

    fn restate<F: NorFlash>(&self, flash: &mut F, state: OtaState) -> Result<(), SlotError<F::Error>> {
        let entries = self.entries(flash)?;
        let sector = otadata::select(&entries)
            .filter(|sector| self.describe(*sector, &entries[*sector]).slot == self.running)
            .ok_or(SlotError::NotSelected { slot: self.running })?;
        if entries[sector].state == state {
            return Ok(());
        }
        self.replace(flash, sector, &entries, OtaEntry::new(entries[sector].seq, state))
    }

    /// Rule 3 of the module.
    fn replace<F: NorFlash>(
        &self,
        flash: &mut F,
        sector: usize,
        entries: &[OtaEntry; 2],
        new: OtaEntry,
    ) -> Result<(), SlotError<F::Error>> {
        self.remove(flash, sector, entries)?;
        let at = self.sector(sector);
        let bytes = new.encode();
        let (sequence, state) = bytes.split_at(HALF);
        flash.write(at + STATE_HALF, state).map_err(SlotError::Flash)?;
        flash.write(at, sequence).map_err(SlotError::Flash)
    }

    /// Rule 2 of the module.
    fn remove<F: NorFlash>(
        &self,
        flash: &mut F,
        sector: usize,
        entries: &[OtaEntry; 2],
    ) -> Result<(), SlotError<F::Error>> {
        let at = self.sector(sector);
        if is_intact(&entries[sector]) {
            flash.write(at, &[0; HALF]).map_err(SlotError::Flash)?;
        }
        flash.erase(at, at + SECTOR).map_err(SlotError::Flash)
    }

    fn entries<F: ReadNorFlash>(&self, flash: &mut F) -> Result<[OtaEntry; 2], SlotError<F::Error>> {
        let mut entries = [OtaEntry::ERASED; 2];
        for (sector, entry) in entries.iter_mut().enumerate() {
            let mut bytes = [0; ENTRY_LEN];
            flash.read(self.sector(sector), &mut bytes).map_err(SlotError::Flash)?;
            *entry = OtaEntry::parse(&bytes).expect("the length is right, and any content is an entry");
        }
        Ok(entries)
    }

    /// The sector of the running slot's newest bootable entry.
    fn fallback(&self, entries: &[OtaEntry; 2]) -> Option<usize> {
        let usable = |entry: &Active| entry.slot == self.running && entries[entry.sector].is_valid();
        self.newest(entries, usable).map(|entry| entry.sector)
    }

    fn newest(&self, entries: &[OtaEntry; 2], wanted: impl Fn(&Active) -> bool) -> Option<Active> {
        let intact = entries.iter().enumerate().filter(|(_, entry)| is_intact(entry));
        let described = intact.map(|(sector, entry)| self.describe(sector, entry));
        described.filter(wanted).max_by_key(|active| active.sequence)
    }

    fn describe(&self, sector: usize, entry: &OtaEntry) -> Active {
        let slot = otadata::slot_of(entry.seq, self.count()).and_then(|slot| u8::try_from(slot).ok());
        let slot = SlotIndex(slot.expect("there are 2 to 16 slots"));
        Active { slot, state: entry.state, sequence: entry.seq, sector }
    }

    fn sequence_above<E>(&self, current: u32, slot: SlotIndex) -> Result<u32, SlotError<E>> {
        otadata::next_seq(current, u32::from(slot.0), self.count()).ok_or(SlotError::SequenceExhausted)
    }

    fn count(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("at most 16 slots")
    }

    fn sector(&self, sector: usize) -> u32 {
        self.otadata.0 + if sector == 0 { 0 } else { SECTOR }
    }
}

/// One intact otadata entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Active {
    /// The slot that it selects.
    pub slot: SlotIndex,
    /// Its state.
    pub state: OtaState,
    /// Its `ota_seq`.
    pub sequence: u32,
    sector: usize,
}

/// True if the CRC holds, whatever the state.
fn is_intact(entry: &OtaEntry) -> bool {
    OtaEntry { state: OtaState::UNDEFINED, ..*entry }.is_valid()
}

/// Why otadata was not read or not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotError<E> {
    /// The flash failed.
    #[error("slots: flash: {0}")]
    Flash(E),
    /// The partition table is not one.
    #[error("slots: {0}")]
    Table(#[from] PartitionError),
    /// The table has no otadata partition.
    #[error("slots: no otadata partition")]
    NoOtadata,
    /// An update needs two app slots.
    #[error("slots: {found} app slots, at least 2 needed")]
    TooFewSlots {
        /// How many there are.
        found: usize,
    },
    /// There is no such slot.
    #[error(transparent)]
    UnknownSlot(#[from] UnknownSlot),
    /// The running slot cannot be the next one to try.
    #[error("slots: slot {} is running", slot.0)]
    SlotIsRunning {
        /// The slot.
        slot: SlotIndex,
    },
    /// The running slot is not the one that otadata selects.
    #[error("slots: otadata does not select the running slot {}", slot.0)]
    NotSelected {
        /// The running slot.
        slot: SlotIndex,
    },
    /// No other slot could boot.
    #[error("slots: no other slot to fall back on")]
    NothingToFallBackOn,
    /// `ota_seq` has no number left for this slot.
    #[error("slots: otadata sequence numbers are used up")]
    SequenceExhausted,
}

/// The table has no slot of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("slots: there is no slot {}", .0.0)]
pub struct UnknownSlot(pub SlotIndex);

/// `ota_0` to `ota_15`.
const MAX_SLOTS: usize = 16;
/// What one write of an entry covers: the smallest write of the flash-encrypted view.
const HALF: usize = 16;
/// Where the half with the state and the CRC starts.
const STATE_HALF: u32 = 16;

#[cfg(test)]
mod tests;
