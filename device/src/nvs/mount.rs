//! Mounting: finds the pages and finishes whatever a power cut interrupted. Each step can itself be cut and is then done
//! again; none of them touches a value that has no newer one.

use super::medium::{Medium, Slot, is_whole};
use super::{MAX_PAGES, Nvs, NvsError, Page};
use crate::platform::Region;
use cotter_formats::crc::crc_a;
use cotter_formats::nvs::NvsKeys;
use cotter_formats::nvs::crypt::EntryCipher;
use cotter_formats::nvs::entry::{Entry, ItemType};
use cotter_formats::nvs::page::{ENTRIES, EntryState, PAGE_SIZE, PageState, Version};
use embedded_storage::nor_flash::NorFlash;
use heapless::Vec;

/// Fewest pages of a partition that can be written: two that hold values, one to move to.
const MIN_PAGES: u32 = 3;

impl<F: NorFlash> Nvs<F> {
    /// Mounts the partition `flash`, a window of the raw view, and repairs it. `keys` if it is encrypted. An erased
    /// partition mounts as an empty store.
    ///
    /// # Errors
    /// [`NvsError`]: the size, a newer format, keys that open nothing (nothing is changed then), no free page, flash.
    pub fn mount(flash: Region<F>, keys: Option<NvsKeys>) -> Result<Self, NvsError<F::Error>> {
        let len = flash.len();
        let medium = Medium::new(flash, keys.as_ref().map(EntryCipher::new));
        let count = medium.page_count();
        let whole = usize::try_from(len.0).is_ok_and(|bytes| bytes.is_multiple_of(PAGE_SIZE));
        if !whole || count < MIN_PAGES || usize::try_from(count).is_ok_and(|count| count > MAX_PAGES) {
            return Err(NvsError::Size { len });
        }
        let mut store = Self { medium, pages: Vec::new(), failed: false };
        // 1. Which pages hold entries, oldest first.
        store.find_pages()?;
        // 2. With the wrong keys every entry looks damaged. Refuse before anything is repaired away.
        store.expect_something_readable()?;
        // 3. Entries that were half-written or half-erased.
        for position in 0..store.pages.len() {
            store.repair(position)?;
        }
        // 4. A page whose entries were on their way to another.
        store.finish_moves()?;
        // 5. Values that were replaced but not yet erased, then chunks that lost their blob or never got one.
        store.drop_superseded()?;
        store.drop_orphans()?;
        if store.free_pages() == 0 {
            return Err(NvsError::NoFreePage);
        }
        Ok(store)
    }

    fn find_pages(&mut self) -> Result<(), NvsError<F::Error>> {
        for number in 0..self.medium.page_count() {
            let header = self.medium.header(number)?;
            if !header.state().holds_entries() || !header.crc_holds() {
                continue; // free; erased before it is used
            }
            let version = header.version();
            if !matches!(version, Version::V1 | Version::V2) {
                return Err(NvsError::Version { page: number, version });
            }
            let page = Page { number, sequence: header.sequence(), state: header.state(), next: ENTRIES };
            let place = self.pages.iter().position(|other| other.sequence > page.sequence);
            let place = place.unwrap_or(self.pages.len());
            self.pages.insert(place, page).expect("the page count was checked");
        }
        Ok(())
    }

    fn expect_something_readable(&mut self) -> Result<(), NvsError<F::Error>> {
        let mut written = false;
        for position in 0..self.pages.len() {
            let number = self.pages[position].number;
            let map = self.medium.map(number)?;
            if self.medium.next_item(number, &map, 0)?.is_some() {
                return Ok(());
            }
            written |= map.count(EntryState::Written) > 0;
        }
        if written { Err(NvsError::NothingReadable) } else { Ok(()) }
    }

    /// Drops what is half-written, half-erased or damaged on one page, and finds where new entries go.
    fn repair(&mut self, position: usize) -> Result<(), NvsError<F::Error>> {
        let Page { number, state, .. } = self.pages[position];
        let mut map = self.medium.map(number)?;
        let mut next = ENTRIES;
        if state == PageState::ACTIVE {
            while let Some(index) = next.checked_sub(1) {
                if map.state(index) != EntryState::Empty || !self.medium.is_blank_entry(Slot { page: number, index })? {
                    break;
                }
                next = index;
            }
            // Before `next`, empty means programmed or skipped, but never marked.
            self.medium.mark_unused(number, &mut map, 0..next)?;
        }
        let mut index = 0;
        while index < ENTRIES {
            if map.state(index) != EntryState::Written {
                index += 1;
                continue;
            }
            let head = Slot { page: number, index };
            let entry = self.medium.entry(head)?;
            let span = if entry.check(index).is_ok() { entry.span() } else { 0 };
            if span == 0 {
                // How much of what follows belonged to it cannot be known.
                self.medium.mark_erased(head, 1)?;
            } else if !is_whole(&map, index, span) {
                self.medium.mark_erased(head, span)?;
            }
            index += span.max(1);
            if state == PageState::ACTIVE {
                next = next.max(index);
            }
        }
        self.pages[position].next = next;
        Ok(())
    }

    /// Completes the freeing of pages.
    fn finish_moves(&mut self) -> Result<(), NvsError<F::Error>> {
        // Each round takes one page out of the state FREEING, and none enters it.
        while let Some(position) = self.pages.iter().position(|page| page.state == PageState::FREEING) {
            let freeing = self.pages[position].number;
            if let Some(newest) = self.pages.last().copied().filter(|page| page.state == PageState::ACTIVE) {
                // Off-spec: ESP-IDF takes the newest page for the unfinished copy and erases it unseen. One flipped bit
                // in the state of an old page (full to freeing) would cost it the newest values.
                if self.is_copy(newest.number, freeing)? {
                    self.medium.erase(newest.number)?;
                    self.pages.pop();
                } else {
                    self.close_newest()?;
                }
            }
            self.move_page(freeing)?;
        }
        Ok(())
    }

    /// True if every item of `copy` is also on `original`, in the same order.
    fn is_copy(&mut self, copy: u32, original: u32) -> Result<bool, NvsError<F::Error>> {
        let (copy_map, original_map) = (self.medium.map(copy)?, self.medium.map(original)?);
        let (mut at, mut from) = (0, 0);
        while let Some((slot, entry)) = self.medium.next_item(copy, &copy_map, at)? {
            loop {
                let Some((candidate, twin)) = self.medium.next_item(original, &original_map, from)? else {
                    return Ok(false);
                };
                from = candidate.index + twin.span();
                if twin == entry {
                    break;
                }
            }
            at = slot.index + entry.span();
        }
        Ok(true)
    }

    /// Erases every value that has a newer one under its key.
    fn drop_superseded(&mut self) -> Result<(), NvsError<F::Error>> {
        for position in (0..self.pages.len()).rev() {
            let number = self.pages[position].number;
            let mut seen: Vec<(u32, usize), ENTRIES> = Vec::new();
            let (map, mut at) = (self.medium.map(number)?, 0);
            while let Some((slot, entry)) = self.medium.next_item(number, &map, at)? {
                at = slot.index + entry.span();
                if entry.kind() == ItemType::BLOB_DATA {
                    continue;
                }
                // A later one on the same page is newer.
                if let Some(older) = self.twin(&seen, number, &entry)? {
                    let old = Slot { page: number, index: seen[older].1 };
                    self.drop_item(old)?;
                    seen.remove(older);
                }
                seen.push((fingerprint(&entry), slot.index)).expect("a page has room for as many");
            }
            for older in 0..position {
                let page = self.pages[older].number;
                let (map, mut at) = (self.medium.map(page)?, 0);
                while let Some((slot, entry)) = self.medium.next_item(page, &map, at)? {
                    at = slot.index + entry.span();
                    if entry.kind() != ItemType::BLOB_DATA && self.twin(&seen, number, &entry)?.is_some() {
                        self.medium.mark_erased(slot, entry.span())?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Which of the `seen` values of `page` has the key of `entry`.
    fn twin(&mut self, seen: &[(u32, usize)], page: u32, entry: &Entry) -> Result<Option<usize>, NvsError<F::Error>> {
        let fingerprint = fingerprint(entry);
        for (place, &(other, index)) in seen.iter().enumerate() {
            if other == fingerprint
                && self.medium.entry(Slot { page, index })?.is_value(entry.namespace(), &entry.key())
            {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Erases every chunk that no blob claims.
    fn drop_orphans(&mut self) -> Result<(), NvsError<F::Error>> {
        for position in 0..self.pages.len() {
            let number = self.pages[position].number;
            let mut orphans: Vec<(u32, usize), ENTRIES> = Vec::new();
            let (map, mut at) = (self.medium.map(number)?, 0);
            while let Some((slot, entry)) = self.medium.next_item(number, &map, at)? {
                at = slot.index + entry.span();
                if entry.kind() == ItemType::BLOB_DATA {
                    orphans.push((fingerprint(&entry), slot.index)).expect("a page has room for as many");
                }
            }
            for other in 0..self.pages.len() {
                if orphans.is_empty() {
                    break;
                }
                let page = self.pages[other].number;
                let (map, mut at) = (self.medium.map(page)?, 0);
                while let Some((slot, entry)) = self.medium.next_item(page, &map, at)? {
                    at = slot.index + entry.span();
                    if entry.kind() == ItemType::BLOB_INDEX {
                        self.claim(&mut orphans, number, &entry)?;
                    }
                }
            }
            for (_, index) in orphans {
                self.drop_item(Slot { page: number, index })?;
            }
        }
        Ok(())
    }

    /// Strikes from `orphans`, chunks on `page`, those that belong to the blob `index`.
    fn claim(
        &mut self,
        orphans: &mut Vec<(u32, usize), ENTRIES>,
        page: u32,
        index: &Entry,
    ) -> Result<(), NvsError<F::Error>> {
        let fingerprint = fingerprint(index);
        let mut place = 0;
        while let Some(&(other, at)) = orphans.get(place) {
            if other == fingerprint {
                let chunk = self.medium.entry(Slot { page, index: at })?;
                let same = chunk.namespace() == index.namespace() && chunk.key() == index.key();
                if same && index.index().covers(chunk.chunk()) {
                    orphans.remove(place);
                    continue;
                }
            }
            place += 1;
        }
        Ok(())
    }

    fn drop_item(&mut self, slot: Slot) -> Result<(), NvsError<F::Error>> {
        let span = self.medium.entry(slot)?.span();
        self.medium.mark_erased(slot, span)
    }
}

/// Short for namespace and key. Equal ones are then compared in full.
fn fingerprint(entry: &Entry) -> u32 {
    let bytes = entry.to_bytes();
    crc_a(&bytes[8..24]) ^ u32::from(bytes[0])
}
