//! The sequence numbers of compact packets: reserved on flash in lots, so that a packet seldom writes, and never given
//! twice, whatever happens to the power.
//!
//! What is stored is a mark: no number above it was ever given out. At a boot the numbers up to the mark count as used,
//! so a power cut skips at most [`AHEAD`] of them. The mark starts where the nonces of version 1 ended, and that counter is
//! then retired: the server takes no packet of version 1 after one of version 2. So a device had better change its
//! protocol once its firmware is confirmed, and not while it may still be rolled back to one that speaks version 1 only.

use crate::nonces;
use crate::nvs::{Nvs, NvsError};
use cotter_formats::nvs::entry::Key;
use cotter_wire::ids::Sequence;
use embedded_storage::nor_flash::NorFlash;

/// Where the mark is stored, as `u64`.
pub const NAMESPACE: Key = nonces::NAMESPACE;
/// See [`NAMESPACE`].
pub const KEY: Key = Key::literal("sequence");
/// How many numbers one write reserves.
pub const AHEAD: u64 = 64;

/// Gives out sequence numbers; starts anew at each boot.
#[derive(Debug)]
pub struct SequenceCounter {
    // The last number given out since the boot, or the mark as the boot found it.
    used: u64,
    mark: u64,
}

impl SequenceCounter {
    /// Continues above the mark or, on a device that has only spoken version 1, above its nonces. Writes nothing.
    ///
    /// # Errors
    /// [`SequenceError::Missing`] if neither is stored, or the mark was lost: only a new key epoch helps then, because
    /// starting anywhere could repeat a number. The store's.
    pub fn start<F: NorFlash>(store: &mut Nvs<F>) -> Result<Self, SequenceError<F::Error>> {
        let nonce = store.u32(&nonces::NAMESPACE, &nonces::KEY)?.filter(|nonce| *nonce != RETIRED).map(u64::from);
        // The nonce is above the mark if a firmware that speaks version 1 ran between.
        let used = store.u64(&NAMESPACE, &KEY)?.max(nonce).ok_or(SequenceError::Missing)?;
        Ok(Self { used, mark: used })
    }

    /// The next number. A mark at or above it is on flash before it is returned.
    ///
    /// # Errors
    /// [`SequenceError::Exhausted`] after 2^40 - 1. The store's; then no number was given out.
    pub fn next<F: NorFlash>(&mut self, store: &mut Nvs<F>) -> Result<Sequence, SequenceError<F::Error>> {
        if self.used >= self.mark {
            self.reserve(store)?;
        }
        let next = self.used.saturating_add(1);
        let number = Sequence::new(next).ok_or(SequenceError::Exhausted)?;
        self.used = next;
        Ok(number)
    }

    /// Takes the next lot. The mark is read again: what another counter has reserved since the boot stays its own.
    fn reserve<F: NorFlash>(&mut self, store: &mut Nvs<F>) -> Result<(), SequenceError<F::Error>> {
        let used = self.used.max(store.u64(&NAMESPACE, &KEY)?.unwrap_or(0));
        if used >= Sequence::MAX.get() {
            return Err(SequenceError::Exhausted);
        }
        let mark = used.saturating_add(AHEAD);
        store.set_u64(&NAMESPACE, &KEY, mark)?;
        retire_nonces(store)?;
        (self.used, self.mark) = (used, mark);
        Ok(())
    }
}

/// After the mark is stored: whatever is lost later, no number below it can be taken for unused.
fn retire_nonces<F: NorFlash>(store: &mut Nvs<F>) -> Result<(), NvsError<F::Error>> {
    match store.u32(&nonces::NAMESPACE, &nonces::KEY)? {
        None | Some(RETIRED) => Ok(()),
        Some(_) => store.set_u32(&nonces::NAMESPACE, &nonces::KEY, RETIRED),
    }
}

/// What stands in the place of the nonce when sequence numbers are given out; as a nonce it is used up.
const RETIRED: u32 = u32::MAX;

/// Why there is no sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError<E> {
    /// The store.
    #[error("sequence: {0}")]
    Store(#[from] NvsError<E>),
    /// The device was never given a counter, or lost it.
    #[error("sequence: no mark is stored")]
    Missing,
    /// All have been used.
    #[error("sequence: all up to {} are used", Sequence::MAX)]
    Exhausted,
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::nonces::{NonceCounter, NonceError};
    use crate::test_store::{FIRST_NONCE, TestStore};
    use cotter_chip::flash::{Flash, FlashError};
    use cotter_wire::ids::Nonce;
    use std::collections::BTreeSet;

    const V1: NonceCounter = NonceCounter::new(Nonce(0));

    fn next(counter: &mut SequenceCounter, store: &mut Nvs<Flash>) -> Result<u64, SequenceError<FlashError>> {
        counter.next(store).map(Sequence::get)
    }

    #[test]
    fn goes_on_where_the_nonces_ended_and_retires_them() {
        let mut store = TestStore::factory().mount();
        let used = V1.next(&mut store).unwrap();
        assert_eq!(used, Nonce(FIRST_NONCE + 1));
        let mut counter = SequenceCounter::start(&mut store).unwrap();
        assert_eq!(next(&mut counter, &mut store), Ok(u64::from(FIRST_NONCE) + 2));
        assert_eq!(V1.next(&mut store), Err(NonceError::Exhausted));
        assert_eq!(V1.provision(&mut store), Ok(()));
        assert_eq!(V1.next(&mut store), Err(NonceError::Exhausted), "provisioning again changes nothing");
    }

    #[test]
    fn a_boot_goes_on_above_the_mark_and_reads_only() {
        let mut store = TestStore::factory().mount();
        let floor = u64::from(FIRST_NONCE);
        for boot in 0..4 {
            for _ in 0..3 {
                // Whoever gives out nothing writes nothing.
                SequenceCounter::start(&mut store).unwrap();
            }
            let mut counter = SequenceCounter::start(&mut store).unwrap();
            assert_eq!(next(&mut counter, &mut store), Ok(floor + AHEAD * boot + 1));
            assert_eq!(next(&mut counter, &mut store), Ok(floor + AHEAD * boot + 2));
        }
    }

    #[test]
    fn a_lost_mark_is_not_started_again() {
        let mut store = TestStore::factory().mount();
        let mut counter = SequenceCounter::start(&mut store).unwrap();
        next(&mut counter, &mut store).unwrap();
        store.erase_key(&NAMESPACE, &KEY).unwrap();
        assert_eq!(SequenceCounter::start(&mut store).err(), Some(SequenceError::Missing), "the nonce is retired");
        store.erase_key(&nonces::NAMESPACE, &nonces::KEY).unwrap();
        assert_eq!(SequenceCounter::start(&mut store).err(), Some(SequenceError::Missing));
    }

    #[test]
    fn a_firmware_of_version_1_that_ran_between_repeats_nothing() {
        let mut store = TestStore::factory().mount();
        // Cut between the mark and the retirement.
        store.set_u64(&NAMESPACE, &KEY, 10_064).unwrap();
        store.set_u32(&nonces::NAMESPACE, &nonces::KEY, 10_200).unwrap();
        let mut counter = SequenceCounter::start(&mut store).unwrap();
        assert_eq!(next(&mut counter, &mut store), Ok(10_201));
        assert_eq!(V1.next(&mut store), Err(NonceError::Exhausted));
    }

    #[test]
    fn two_counters_of_one_boot_share_no_number() {
        let mut store = TestStore::factory().mount();
        let mut counters = [(); 3].map(|()| SequenceCounter::start(&mut store).unwrap());
        let mut given = BTreeSet::new();
        for turn in 0..500 {
            assert!(given.insert(next(&mut counters[turn * turn % 3], &mut store).unwrap()), "turn {turn}");
        }
    }

    #[test]
    fn ends_where_40_bits_do() {
        let mut store = TestStore::factory().mount();
        store.set_u64(&NAMESPACE, &KEY, Sequence::MAX.get() - 2).unwrap();
        let mut counter = SequenceCounter::start(&mut store).unwrap();
        assert_eq!(next(&mut counter, &mut store), Ok(Sequence::MAX.get() - 1));
        assert_eq!(next(&mut counter, &mut store), Ok(Sequence::MAX.get()));
        for mark in [Sequence::MAX.get(), u64::MAX] {
            assert_eq!(next(&mut counter, &mut store), Err(SequenceError::Exhausted));
            store.set_u64(&NAMESPACE, &KEY, mark).unwrap();
            counter = SequenceCounter::start(&mut store).unwrap();
        }
        assert_eq!(next(&mut counter, &mut store), Err(SequenceError::Exhausted));
    }
}
