//! NVS pages on flash: reads and programs headers, state maps and entries, encrypting the entries if there are keys.
//!
//! Every function that programs is one flash operation unless it says otherwise, and the order of operations is what
//! makes the store survive power cuts:
//! - An entry is programmed while its state is still *empty*, and nobody parses an empty entry.
//! - A state moves by single bits: empty (11) to written (10) to erased (00), or empty to illegal (01) to erased, so that
//!   a torn write never shows as *written* what was not.
//! - Of an item with data, the head is marked written first and erased last. Data are thus never found without their
//!   head, and never taken for heads themselves.

use super::NvsError;
use crate::platform::Region;
use core::ops::Range;
use cotter_formats::nvs::crypt::EntryCipher;
use cotter_formats::nvs::entry::Entry;
use cotter_formats::nvs::page::{
    ENTRIES, ENTRY_SIZE, EntryState, MAP_OFFSET, PAGE_SIZE, PageHeader, PageState, StateMap, Version, entry_offset,
};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

/// The partition, seen as pages.
#[derive(Debug)]
pub(super) struct Medium<F> {
    flash: Region<F>,
    cipher: Option<EntryCipher>,
}

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Page, counted from the start of the partition.
    pub(super) page: u32,
    /// Entry on that page.
    pub(super) index: usize,
}

/// Size of a page as flash offsets count.
const PAGE_BYTES: u32 = 4096;
const _: () = assert!(PAGE_BYTES as usize == PAGE_SIZE);
/// Entries whose states share one flash word.
const STATES_PER_WORD: usize = 16;

impl<F: NorFlash> Medium<F> {
    pub(super) const fn new(flash: Region<F>, cipher: Option<EntryCipher>) -> Self {
        const {
            assert!(F::READ_SIZE <= 4 && F::WRITE_SIZE <= 4, "NVS needs the raw view of flash, with words of 4 bytes");
            assert!(PAGE_SIZE.is_multiple_of(F::ERASE_SIZE), "a page must be erasable on its own");
        }
        Self { flash, cipher }
    }

    pub(super) fn into_region(self) -> Region<F> {
        self.flash
    }

    pub(super) fn page_count(&self) -> u32 {
        self.flash.len().0 / PAGE_BYTES
    }

    pub(super) fn header(&mut self, page: u32) -> Result<PageHeader, NvsError<F::Error>> {
        let mut bytes = [0; ENTRY_SIZE];
        self.flash.read(page * PAGE_BYTES, &mut bytes)?;
        Ok(PageHeader::from_bytes(bytes))
    }

    pub(super) fn map(&mut self, page: u32) -> Result<StateMap, NvsError<F::Error>> {
        let mut map = StateMap::EMPTY;
        self.flash.read(page * PAGE_BYTES + offset(MAP_OFFSET), &mut map.0)?;
        Ok(map)
    }

    /// One entry, decrypted.
    pub(super) fn bytes(&mut self, slot: Slot) -> Result<[u8; ENTRY_SIZE], NvsError<F::Error>> {
        let mut bytes = [0; ENTRY_SIZE];
        let at = address(slot);
        self.flash.read(at, &mut bytes)?;
        if let Some(cipher) = &self.cipher {
            cipher.decrypt(at, &mut bytes);
        }
        Ok(bytes)
    }

    pub(super) fn entry(&mut self, slot: Slot) -> Result<Entry, NvsError<F::Error>> {
        self.bytes(slot).map(Entry::from_bytes)
    }

    /// The first item at or after `from` that is sound and wholly marked as written.
    pub(super) fn next_item(
        &mut self,
        page: u32,
        map: &StateMap,
        from: usize,
    ) -> Result<Option<(Slot, Entry)>, NvsError<F::Error>> {
        for index in (from..ENTRIES).filter(|&index| map.state(index) == EntryState::Written) {
            let slot = Slot { page, index };
            let entry = self.entry(slot)?;
            if entry.check(index).is_ok() && is_whole(map, index, entry.span()) {
                return Ok(Some((slot, entry)));
            }
        }
        Ok(None)
    }

    pub(super) fn is_blank_entry(&mut self, slot: Slot) -> Result<bool, NvsError<F::Error>> {
        self.is_blank(address(slot))
    }

    pub(super) fn is_blank_page(&mut self, page: u32) -> Result<bool, NvsError<F::Error>> {
        for block in 0..PAGE_BYTES / offset(ENTRY_SIZE) {
            if !self.is_blank(page * PAGE_BYTES + block * offset(ENTRY_SIZE))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_blank(&mut self, at: u32) -> Result<bool, NvsError<F::Error>> {
        let mut bytes = [0; ENTRY_SIZE];
        self.flash.read(at, &mut bytes)?;
        Ok(bytes == [0xFF; ENTRY_SIZE])
    }

    /// Programs one entry, which is blank. It does not count until it is marked.
    pub(super) fn program(&mut self, slot: Slot, mut bytes: [u8; ENTRY_SIZE]) -> Result<(), NvsError<F::Error>> {
        let at = address(slot);
        if let Some(cipher) = &self.cipher {
            cipher.encrypt(at, &mut bytes);
        }
        Ok(self.flash.write(at, &bytes)?)
    }

    /// Makes an item of programmed entries count: head first, then the data. The item is there with the last operation.
    pub(super) fn mark_written(&mut self, head: Slot, span: usize) -> Result<(), NvsError<F::Error>> {
        let mut map = self.map(head.page)?;
        self.mark(head.page, &mut map, head.index..head.index + 1, EntryState::Written)?;
        self.mark(head.page, &mut map, head.index + 1..head.index + span, EntryState::Written)
    }

    /// Drops an item: data first, then the head. The item is gone with the first operation.
    pub(super) fn mark_erased(&mut self, head: Slot, span: usize) -> Result<(), NvsError<F::Error>> {
        let mut map = self.map(head.page)?;
        // Off-spec: ESP-IDF may clear the head's word, head and data together.
        self.mark_unused(head.page, &mut map, head.index + 1..head.index + span)?;
        self.mark(head.page, &mut map, head.index + 1..head.index + span, EntryState::Erased)?;
        self.mark(head.page, &mut map, head.index..head.index + 1, EntryState::Erased)
    }

    /// Takes those entries of `range` out of use that are not marked as written.
    pub(super) fn mark_unused(
        &mut self,
        page: u32,
        map: &mut StateMap,
        range: Range<usize>,
    ) -> Result<(), NvsError<F::Error>> {
        let unused = |map: &StateMap, index| matches!(map.state(index), EntryState::Empty | EntryState::Illegal);
        for step in [EntryState::Illegal, EntryState::Erased] {
            self.change(page, map, range.clone(), |map, index| {
                if unused(map, index) {
                    map.set(index, step);
                }
            })?;
        }
        Ok(())
    }

    /// Sets all of `range` to `state`, one operation for every 16 entries.
    fn mark(
        &mut self,
        page: u32,
        map: &mut StateMap,
        range: Range<usize>,
        state: EntryState,
    ) -> Result<(), NvsError<F::Error>> {
        self.change(page, map, range, |map, index| map.set(index, state))
    }

    fn change(
        &mut self,
        page: u32,
        map: &mut StateMap,
        range: Range<usize>,
        mut set: impl FnMut(&mut StateMap, usize),
    ) -> Result<(), NvsError<F::Error>> {
        let mut start = range.start;
        while start < range.end {
            let word = start / STATES_PER_WORD;
            let end = range.end.min((word + 1) * STATES_PER_WORD);
            let before = *map;
            (start..end).for_each(|index| set(map, index));
            if *map != before {
                let at = word * 4;
                self.flash.write(page * PAGE_BYTES + offset(MAP_OFFSET + at), &map.0[at..at + 4])?;
            }
            start = end;
        }
        Ok(())
    }

    /// Moves a page on. Each step clears one bit, so that it happens or does not.
    pub(super) fn set_page_state(&mut self, page: u32, state: PageState) -> Result<(), NvsError<F::Error>> {
        Ok(self.flash.write(page * PAGE_BYTES, &state.0.to_le_bytes())?)
    }

    /// Opens a free page, erasing it first if anything is left on it.
    pub(super) fn activate(&mut self, page: u32, sequence: u32) -> Result<(), NvsError<F::Error>> {
        if !self.is_blank_page(page)? {
            self.erase(page)?;
        }
        let header = PageHeader::active(sequence, Version::V2).to_bytes();
        Ok(self.flash.write(page * PAGE_BYTES, &header)?)
    }

    /// Takes a page out of use in two operations.
    pub(super) fn retire(&mut self, page: u32) -> Result<(), NvsError<F::Error>> {
        // Off-spec: ESP-IDF erases right away. A torn erase may then leave a valid header over a map in which erased
        // entries are back; with the header gone first, nothing on the page can come back.
        self.flash.write(page * PAGE_BYTES, &[0; ENTRY_SIZE])?;
        self.erase(page)
    }

    pub(super) fn erase(&mut self, page: u32) -> Result<(), NvsError<F::Error>> {
        Ok(self.flash.erase(page * PAGE_BYTES, (page + 1) * PAGE_BYTES)?)
    }
}

/// True if all of an item is marked as written.
pub(super) fn is_whole(map: &StateMap, index: usize, span: usize) -> bool {
    (index..index + span).all(|part| map.state(part) == EntryState::Written)
}

/// An entry's offset in the partition.
fn address(slot: Slot) -> u32 {
    slot.page * PAGE_BYTES + offset(entry_offset(slot.index))
}

/// An offset on a page, as flash offsets count.
fn offset(on_page: usize) -> u32 {
    u32::try_from(on_page).expect("a page is 4096 bytes")
}
