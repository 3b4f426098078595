//! otadata: which slot is tried first, and what a boot writes back.
//!
//! Off-spec: ESP-IDF erases an entry and writes it again. If power goes while it erases, the state of a failed update
//! can read as UNDEFINED with its sequence number still intact, and the failed application runs for ever. Here an entry
//! dies first (its sequence number is programmed to 0, which its CRC contradicts), then is erased, and comes back to
//! life with its last write: the half with state and CRC before the half with the sequence number.

use super::app;
use crate::crypt::{TransparentFlash, UNIT};
use crate::flash_image::WalkError;
use crate::report::{AppSlot, Record, RefusalCode, Stage};
use cotter_formats::addr::{FlashAddr, SECTOR};
use cotter_formats::otadata::{ENTRY_LEN, OtaEntry, OtaState, select, slot_of};
use cotter_formats::partition::{PartitionTable, PartitionType, Subtype};
use embedded_storage::nor_flash::NorFlash;

/// The two entries, as they are in flash now.
pub(super) struct Selection {
    otadata: Option<(FlashAddr, [OtaEntry; 2])>,
    slots: Vec<FlashAddr>,
    has_factory: bool,
    /// True if neither entry was ever written (or both are damaged) and there is no factory slot to fall back to.
    is_initial: bool,
}

/// Where to start.
#[derive(Clone, Copy)]
pub(super) enum Start {
    /// Nothing is selected: factory, then every slot.
    Factory,
    /// The slot of an entry.
    Slot { slot: u8, entry: usize, state: OtaState },
}

impl Start {
    pub(super) const fn slot(self) -> Option<u8> {
        match self {
            Self::Factory => None,
            Self::Slot { slot, .. } => Some(slot),
        }
    }

    /// The state in which a slot is booted, if it is the selected one.
    pub(super) fn state_of(self, booted: AppSlot) -> Option<OtaState> {
        match self {
            Self::Slot { slot, state, .. } if booted == AppSlot::Ota(slot) => Some(match state {
                OtaState::NEW => OtaState::PENDING_VERIFY,
                other => other,
            }),
            _ => None,
        }
    }
}

impl Selection {
    /// Reads both entries.
    pub(super) fn read(table: &PartitionTable, flash: &TransparentFlash) -> Result<Self, RefusalCode> {
        let partition = table.find_type(PartitionType::DATA, Subtype::DATA_OTA);
        let otadata = match partition {
            None => None,
            Some(partition) => {
                let entries = [read_entry(flash, partition.offset, 0)?, read_entry(flash, partition.offset, 1)?];
                Some((partition.offset, entries))
            }
        };
        let has_factory = table.find_type(PartitionType::APP, Subtype::APP_FACTORY).is_some();
        let slots = table.ota_slots().map(|slot| slot.offset).collect();
        Ok(Self { otadata, slots, has_factory, is_initial: false })
    }

    /// An application that was booted and did not confirm itself is given up.
    pub(super) fn abort_unconfirmed(
        &mut self,
        flash: &mut TransparentFlash,
        record: &mut Record,
    ) -> Result<(), RefusalCode> {
        for index in 0..2 {
            let Some(entry) = self.entry(index).filter(|entry| entry.state == OtaState::PENDING_VERIFY) else {
                continue;
            };
            self.write(index, OtaEntry { state: OtaState::ABORTED, ..entry }, flash)?;
            record.line(format!("boot: otadata[{index}] is marking as ABORTED"));
            record.step(Stage::SecondStage, "rollback", format!("otadata[{index}] was not confirmed: aborted"));
        }
        Ok(())
    }

    /// Picks the entry with the higher sequence number among those that are intact, not given up, and whose slot holds
    /// an application of at least the required secure version.
    pub(super) fn start(
        &mut self,
        flash: &TransparentFlash,
        required: u32,
        record: &mut Record,
    ) -> Result<Start, RefusalCode> {
        let Some((_, mut entries)) = self.otadata else {
            record.step(Stage::SecondStage, "otadata", "no such partition");
            return Ok(Start::Factory);
        };
        // ABORTED and INVALID entries were written by somebody: that is no initial state.
        let is_unwritten = |entry: &OtaEntry| !OtaEntry { state: OtaState::UNDEFINED, ..*entry }.is_valid();
        if entries.iter().all(is_unwritten) {
            self.is_initial = !self.has_factory;
            record.step(Stage::SecondStage, "otadata", "in initial state");
            return Ok(Start::Factory);
        }
        for entry in &mut entries {
            if entry.is_valid() && !self.is_new_enough(*entry, flash, required)? {
                *entry = OtaEntry::ERASED;
            }
        }
        let selected = select(&entries).and_then(|entry| Some((entry, self.slot_of(entries[entry])?)));
        let Some((entry, slot)) = selected else {
            record.line("boot: ota data partition invalid");
            record.step(Stage::SecondStage, "otadata", "no entry can be used");
            return Ok(Start::Factory);
        };
        let state = entries[entry].state;
        record.step(Stage::SecondStage, "otadata", format!("entry {entry} selects ota_{slot}"));
        Ok(Start::Slot { slot, entry, state })
    }

    /// A new application gets one boot to confirm itself.
    pub(super) fn put_on_probation(
        &mut self,
        start: Start,
        flash: &mut TransparentFlash,
        record: &mut Record,
    ) -> Result<(), RefusalCode> {
        if let Start::Slot { entry: index, state: OtaState::NEW, .. } = start
            && let Some(entry) = self.entry(index)
        {
            self.write(index, OtaEntry { state: OtaState::PENDING_VERIFY, ..entry }, flash)?;
            record.step(Stage::SecondStage, "rollback", format!("otadata[{index}] is new: must confirm itself"));
        }
        Ok(())
    }

    /// The very first boot of a chip without factory slot: the slot that boots is written down as confirmed.
    pub(super) fn confirm_initial(
        &mut self,
        booted: AppSlot,
        flash: &mut TransparentFlash,
        record: &mut Record,
    ) -> Result<Option<OtaState>, RefusalCode> {
        let AppSlot::Ota(slot) = booted else { return Ok(None) };
        if !self.is_initial {
            return Ok(None);
        }
        let seq = u32::from(slot) + 1;
        self.write(0, OtaEntry::new(seq, OtaState::VALID), flash)?;
        record.line(format!("boot: Set actual ota_seq={seq} in otadata[0]"));
        record.step(Stage::SecondStage, "otadata", format!("first boot: ota_{slot} written down as valid"));
        Ok(Some(OtaState::VALID))
    }

    fn entry(&self, index: usize) -> Option<OtaEntry> {
        self.otadata.map(|(_, entries)| entries[index])
    }

    fn slot_of(&self, entry: OtaEntry) -> Option<u8> {
        let count = u32::try_from(self.slots.len()).ok()?;
        slot_of(entry.seq, count).and_then(|slot| u8::try_from(slot).ok())
    }

    fn is_new_enough(&self, entry: OtaEntry, flash: &TransparentFlash, required: u32) -> Result<bool, RefusalCode> {
        let at = self.slot_of(entry).and_then(|slot| self.slots.get(usize::from(slot)));
        let Some(at) = at else { return Ok(false) };
        match app::secure_version(flash, *at) {
            Ok(version) => Ok(version.is_some_and(|version| version >= required)),
            Err(WalkError::PowerLost) => Err(RefusalCode::PowerLost),
            Err(WalkError::DoesNotFit) => Ok(false),
        }
    }

    fn write(&mut self, index: usize, entry: OtaEntry, flash: &mut TransparentFlash) -> Result<(), RefusalCode> {
        let Some((otadata, entries)) = &mut self.otadata else { return Ok(()) };
        let at = sector(*otadata, index).0;
        let bytes = entry.encode();
        let (sequence, state) = bytes.split_at(UNIT as usize);
        flash.write(at, &[0; UNIT as usize])?;
        flash.erase(at, at + SECTOR)?;
        flash.write(at + UNIT, state)?;
        flash.write(at, sequence)?;
        entries[index] = entry;
        Ok(())
    }
}

fn read_entry(flash: &TransparentFlash, otadata: FlashAddr, index: usize) -> Result<OtaEntry, RefusalCode> {
    let mut bytes = [0; ENTRY_LEN];
    flash.read_at(sector(otadata, index), &mut bytes)?;
    Ok(OtaEntry::parse(&bytes).expect("as long as an entry"))
}

const fn sector(otadata: FlashAddr, index: usize) -> FlashAddr {
    FlashAddr(if index == 0 { otadata.0 } else { otadata.0 + SECTOR })
}
