//! Room for new entries: opening pages, and freeing one by moving its live entries when only the reserve is left.
//!
//! At rest at least one page is free. Freeing marks the old page FREEING, opens the reserve, copies, and retires the old
//! page; at every moment each value is whole on one of the two, and the mark says which one counts.

use super::medium::Slot;
use super::{Nvs, NvsError, Page};
use cotter_formats::nvs::page::{ENTRIES, EntryState, PageState};
use embedded_storage::nor_flash::NorFlash;

impl<F: NorFlash> Nvs<F> {
    /// Makes `needed` consecutive entries available on the newest page; returns the first.
    ///
    /// # Errors
    /// [`NvsError::NoSpace`]: freeing any one page would not give as many. Nothing is changed then.
    pub(super) fn reserve(&mut self, needed: usize) -> Result<Slot, NvsError<F::Error>> {
        let open = self.pages.last().filter(|page| page.state == PageState::ACTIVE && page.next + needed <= ENTRIES);
        if open.is_none() {
            if self.free_pages() >= 2 {
                self.close_newest()?;
                self.open_page()?;
            } else {
                let emptiest = self.emptiest()?.filter(|&(_, unused)| unused >= needed);
                let (page, _) = emptiest.ok_or(NvsError::NoSpace { needed })?;
                self.close_newest()?;
                self.medium.set_page_state(page, PageState::FREEING)?;
                self.move_page(page)?;
            }
        }
        let newest = self.pages.last().filter(|page| page.next + needed <= ENTRIES);
        newest.map(|page| Slot { page: page.number, index: page.next }).ok_or(NvsError::NoSpace { needed })
    }

    /// Says that the newest page is used up to `next`.
    pub(super) fn used_up_to(&mut self, next: usize) {
        if let Some(newest) = self.pages.last_mut() {
            newest.next = next;
        }
    }

    pub(super) fn free_pages(&self) -> usize {
        usize::try_from(self.medium.page_count()).unwrap_or(usize::MAX).saturating_sub(self.pages.len())
    }

    /// The newest page takes no more entries.
    pub(super) fn close_newest(&mut self) -> Result<(), NvsError<F::Error>> {
        if let Some(newest) = self.pages.last_mut()
            && newest.state == PageState::ACTIVE
        {
            self.medium.set_page_state(newest.number, PageState::FULL)?;
            newest.state = PageState::FULL;
        }
        Ok(())
    }

    /// Opens the free page after the newest one, so that all pages wear alike.
    fn open_page(&mut self) -> Result<(), NvsError<F::Error>> {
        let count = self.medium.page_count();
        let (after, sequence) = match self.pages.last() {
            Some(newest) => (newest.number + 1, newest.sequence.checked_add(1).ok_or(NvsError::SequenceExhausted)?),
            None => (0, 0),
        };
        let mut candidates = (0..count).map(|step| (after + step) % count);
        let free = candidates.find(|number| self.pages.iter().all(|page| page.number != *number));
        let number = free.ok_or(NvsError::NoFreePage)?;
        self.medium.activate(number, sequence)?;
        let page = Page { number, sequence, state: PageState::ACTIVE, next: 0 };
        self.pages.push(page).expect("there are never more pages than the partition has");
        Ok(())
    }

    /// The page with the fewest live entries, the older one of two, and how many entries moving it would leave free.
    fn emptiest(&mut self) -> Result<Option<(u32, usize)>, NvsError<F::Error>> {
        let mut best = None;
        for position in 0..self.pages.len() {
            let number = self.pages[position].number;
            let unused = ENTRIES - self.medium.map(number)?.count(EntryState::Written);
            if best.is_none_or(|(_, most)| unused > most) {
                best = Some((number, unused));
            }
        }
        Ok(best)
    }

    /// Copies the items of `old`, which is marked FREEING, to a new page and retires it.
    pub(super) fn move_page(&mut self, old: u32) -> Result<(), NvsError<F::Error>> {
        self.open_page()?;
        let Some(new) = self.pages.last().map(|page| page.number) else { return Err(NvsError::NoFreePage) };
        let map = self.medium.map(old)?;
        let (mut at, mut next) = (0, 0);
        while let Some((slot, entry)) = self.medium.next_item(old, &map, at)? {
            let head = Slot { page: new, index: next };
            for part in 0..entry.span() {
                let bytes = self.medium.bytes(Slot { page: old, index: slot.index + part })?;
                self.medium.program(Slot { page: new, index: next + part }, bytes)?;
            }
            self.medium.mark_written(head, entry.span())?;
            at = slot.index + entry.span();
            next += entry.span();
            self.used_up_to(next);
        }
        self.medium.retire(old)?;
        self.pages.retain(|page| page.number != old);
        Ok(())
    }
}
