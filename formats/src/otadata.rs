//! `otadata`: two 32-byte entries, one per sector, that say which slot boots and how far it is trusted.
//!
//! Source: ESP-IDF 6.2-dev `esp_flash_partitions.h`, `bootloader_common_loader.c`, `otatool.py`.

use crate::addr::SECTOR;
use crate::crc::crc_a;
use crate::read::{ReadError, Reader};

/// One entry, valid or not: whatever is in flash survives a round trip.
#[doc(alias = "esp_ota_select_entry_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtaEntry {
    /// Counts switches; [`slot_of`] turns it into a slot. All ones if never written.
    pub seq: u32,
    /// Unused by every known bootloader; erased.
    pub label: [u8; 20],
    /// How far the image is trusted. Not covered by the CRC.
    pub state: OtaState,
    /// CRC-A of the four bytes of [`Self::seq`] only.
    pub crc: u32,
}

impl OtaEntry {
    /// What erased flash reads as.
    pub const ERASED: Self = Self { seq: u32::MAX, label: [0xff; 20], state: OtaState::UNDEFINED, crc: u32::MAX };

    /// An entry with the right CRC.
    #[must_use]
    pub fn new(seq: u32, state: OtaState) -> Self {
        Self { seq, label: [0xff; 20], state, crc: crc_a(&seq.to_le_bytes()) }
    }

    /// Reads one entry, already decrypted.
    ///
    /// # Errors
    /// [`ReadError`] unless there are exactly [`ENTRY_LEN`] bytes. Any content is an entry; see [`Self::is_valid`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        let mut reader = Reader::new(bytes);
        let seq = reader.u32_le()?;
        let label = reader.array()?;
        let state = OtaState(reader.u32_le()?);
        let crc = reader.u32_le()?;
        reader.finish()?;
        Ok(Self { seq, label, state, crc })
    }

    /// The bytes for flash.
    #[must_use]
    pub fn encode(&self) -> [u8; ENTRY_LEN] {
        let mut out = [0; ENTRY_LEN];
        out[..4].copy_from_slice(&self.seq.to_le_bytes());
        out[4..24].copy_from_slice(&self.label);
        out[24..28].copy_from_slice(&self.state.0.to_le_bytes());
        out[28..].copy_from_slice(&self.crc.to_le_bytes());
        out
    }

    /// True if the bootloader would consider it: written, intact, and its image not given up.
    #[doc(alias = "bootloader_common_ota_select_valid")]
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.seq != u32::MAX
            && !matches!(self.state, OtaState::INVALID | OtaState::ABORTED)
            && self.crc == crc_a(&self.seq.to_le_bytes())
    }
}

/// Life of an image in its slot. Open: the bootloader treats what it does not know like [`OtaState::UNDEFINED`].
#[doc(alias = "esp_ota_img_states_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OtaState(pub u32);

impl OtaState {
    /// Written by an update, never booted.
    pub const NEW: Self = Self(0);
    /// Booted once and not yet confirmed; the next reset aborts it.
    pub const PENDING_VERIFY: Self = Self(1);
    /// Confirmed by the application.
    pub const VALID: Self = Self(2);
    /// Refused by the application.
    pub const INVALID: Self = Self(3);
    /// Never confirmed.
    pub const ABORTED: Self = Self(4);
    /// Boots unconditionally; what tools without rollback write.
    pub const UNDEFINED: Self = Self(u32::MAX);
}

/// Picks the entry that the bootloader will honour: the valid one with the higher `seq`, the first on a tie.
/// `None`: boot `factory`, else slot 0.
#[doc(alias = "bootloader_common_get_active_otadata")]
#[must_use]
pub fn select(entries: &[OtaEntry; 2]) -> Option<usize> {
    match [entries[0].is_valid(), entries[1].is_valid()] {
        [true, true] => Some(usize::from(entries[1].seq > entries[0].seq)),
        [true, false] => Some(0),
        [false, true] => Some(1),
        [false, false] => None,
    }
}

/// The slot that a `seq` stands for among `slot_count` OTA slots; `None` if there are none.
/// Wraps at 0 as the bootloader's unsigned arithmetic does, although no tool writes a `seq` of 0.
#[must_use]
pub const fn slot_of(seq: u32, slot_count: u32) -> Option<u32> {
    seq.wrapping_sub(1).checked_rem(slot_count)
}

/// The smallest `seq` above `current` that stands for `wanted_slot`; `current` is 0 if no entry is valid.
/// `None` if there is no such slot, or after four thousand million switches.
#[must_use]
pub fn next_seq(current: u32, wanted_slot: u32, slot_count: u32) -> Option<u32> {
    if wanted_slot >= slot_count {
        return None;
    }
    let following = u64::from(current) + 1;
    let (wanted, count) = (u64::from(wanted_slot), u64::from(slot_count));
    let step = (wanted + count - (following - 1) % count) % count;
    u32::try_from(following + step).ok().filter(|&seq| seq != u32::MAX)
}

/// Reads both entries of a whole otadata partition of [`PARTITION_LEN`] bytes, already decrypted.
///
/// # Errors
/// [`ReadError`] if the length is another.
pub fn parse_partition(bytes: &[u8]) -> Result<[OtaEntry; 2], ReadError> {
    let mut reader = Reader::new(bytes);
    let sectors = [reader.take(SECTOR as usize)?, reader.take(SECTOR as usize)?];
    reader.finish()?;
    Ok([OtaEntry::parse(&sectors[0][..ENTRY_LEN])?, OtaEntry::parse(&sectors[1][..ENTRY_LEN])?])
}

/// The whole partition holding these entries and erased bytes.
#[cfg(feature = "alloc")]
#[must_use]
pub fn build_partition(entries: &[OtaEntry; 2]) -> alloc::vec::Vec<u8> {
    let mut out = alloc::vec![0xff; PARTITION_LEN];
    for (entry, sector) in entries.iter().zip(out.chunks_mut(SECTOR as usize)) {
        sector[..ENTRY_LEN].copy_from_slice(&entry.encode());
    }
    out
}

/// Bytes of one entry; each starts a sector.
pub const ENTRY_LEN: usize = 32;
/// Bytes of the partition.
pub const PARTITION_LEN: usize = 2 * SECTOR as usize;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AFTER_ONE: &[u8] = include_bytes!("../../vectors/otadata/otadata-1-slot0.bin");
    const AFTER_TWO: &[u8] = include_bytes!("../../vectors/otadata/otadata-2-slot1.bin");
    const AFTER_THREE: &[u8] = include_bytes!("../../vectors/otadata/otadata-3-slot0.bin");

    #[test]
    fn reads_and_rebuilds_what_otatool_wrote() {
        for (golden, seq, index, slot) in [(AFTER_ONE, 1, 0, 0), (AFTER_TWO, 2, 1, 1), (AFTER_THREE, 3, 0, 0)] {
            let entries = parse_partition(golden).unwrap();
            assert_eq!(select(&entries), Some(index));
            assert_eq!(entries[index], OtaEntry::new(seq, OtaState::UNDEFINED));
            assert_eq!(slot_of(seq, 2), Some(slot));
            assert_eq!(build_partition(&entries), golden);
        }
    }

    #[test]
    fn switches_as_otatool_does() {
        assert_eq!(next_seq(0, 0, 2), Some(1));
        assert_eq!(next_seq(1, 1, 2), Some(2));
        assert_eq!(next_seq(2, 0, 2), Some(3));
        assert_eq!(next_seq(3, 0, 2), Some(5));
        assert_eq!(next_seq(0, 1, 2), Some(2));
    }

    #[test]
    fn never_hands_out_the_erased_seq_or_a_missing_slot() {
        assert_eq!(next_seq(u32::MAX - 2, 1, 2), Some(u32::MAX - 1));
        assert_eq!(next_seq(u32::MAX - 1, 0, 2), None);
        assert_eq!(next_seq(u32::MAX, 0, 2), None);
        assert_eq!(next_seq(1, 2, 2), None);
        assert_eq!(next_seq(1, 0, 0), None);
        assert_eq!(slot_of(1, 0), None);
    }

    #[test]
    fn erased_and_given_up_entries_are_not_selected() {
        assert!(!OtaEntry::ERASED.is_valid());
        assert_eq!(select(&[OtaEntry::ERASED; 2]), None);
        for state in [OtaState::INVALID, OtaState::ABORTED] {
            let entries = [OtaEntry::new(7, OtaState::VALID), OtaEntry::new(8, state)];
            assert_eq!(select(&entries), Some(0));
        }
        for state in [OtaState::NEW, OtaState::PENDING_VERIFY, OtaState::VALID, OtaState::UNDEFINED] {
            assert!(OtaEntry::new(8, state).is_valid());
        }
        assert_eq!(select(&[OtaEntry::new(7, OtaState::VALID); 2]), Some(0));
    }

    #[test]
    fn refuses_every_other_length() {
        for len in (0..ENTRY_LEN).chain([ENTRY_LEN + 1]) {
            assert!(OtaEntry::parse(&[0xff; ENTRY_LEN + 1][..len]).is_err(), "{len}");
        }
        for len in [0, 31, 0x1000, PARTITION_LEN - 1] {
            assert!(parse_partition(&AFTER_ONE[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn a_flipped_bit_of_seq_or_crc_invalidates_and_of_state_is_kept() {
        let entry = OtaEntry::new(2, OtaState::VALID);
        for bit in 0..8 * ENTRY_LEN {
            let mut raw = entry.encode();
            raw[bit / 8] ^= 1 << (bit % 8);
            let flipped = OtaEntry::parse(&raw).unwrap();
            assert_eq!(flipped.encode(), raw);
            // The format's CRC does not cover label and state: 2 ^ 1 = INVALID, 2 ^ 2 = NEW, the rest is unknown.
            let covered = !(32..8 * 28).contains(&bit) || flipped.state == OtaState::INVALID;
            assert_eq!(flipped.is_valid(), !covered, "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn next_seq_is_the_smallest_above_that_fits(current in 0..u32::MAX - 64, count in 1u32..17, slot in 0u32..17) {
            prop_assume!(slot < count);
            let next = next_seq(current, slot, count).unwrap();
            let first = (current + 1..).find(|&seq| slot_of(seq, count) == Some(slot)).unwrap();
            prop_assert_eq!(next, first);
        }

        #[test]
        fn any_entry_survives_a_round_trip(raw: [u8; ENTRY_LEN]) {
            prop_assert_eq!(OtaEntry::parse(&raw).unwrap().encode(), raw);
        }
    }
}
