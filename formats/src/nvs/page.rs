//! The NVS page: a 32-byte header, a 32-byte map of entry states, and 126 entries of 32 bytes. The first two are never
//! encrypted.

use crate::crc::crc_a;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Size of a page: one flash sector.
pub const PAGE_SIZE: usize = 4096;
/// Entries on a page.
#[doc(alias = "ENTRY_COUNT")]
pub const ENTRIES: usize = 126;
/// Size of an entry, and of the header, and of the map.
pub const ENTRY_SIZE: usize = 32;
/// Where the map of entry states starts.
#[doc(alias = "ENTRY_TABLE_OFFSET")]
pub const MAP_OFFSET: usize = 32;

/// Where entry `index` starts on its page. `index` is below [`ENTRIES`].
#[must_use]
pub const fn entry_offset(index: usize) -> usize {
    64 + index * ENTRY_SIZE
}

/// What a page is used for. Each step clears one more bit, so that a page moves on without being erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageState(pub u32);

impl PageState {
    /// Erased, never used.
    pub const UNINITIALIZED: Self = Self(0xFFFF_FFFF);
    /// Takes new entries.
    pub const ACTIVE: Self = Self(0xFFFF_FFFE);
    /// Takes no new entries.
    pub const FULL: Self = Self(0xFFFF_FFFC);
    /// Its entries are being copied to a new page.
    pub const FREEING: Self = Self(0xFFFF_FFF8);
    /// Found damaged.
    pub const CORRUPT: Self = Self(0xFFFF_FFF0);
    /// Retired.
    pub const INVALID: Self = Self(0);

    /// True for the three states in which a page holds entries.
    #[must_use]
    pub const fn holds_entries(self) -> bool {
        matches!(self, Self::ACTIVE | Self::FULL | Self::FREEING)
    }
}

/// Format version of a page. It counts down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub u8);

impl Version {
    /// Blobs on one page only.
    pub const V1: Self = Self(0xFF);
    /// Blobs in chunks over several pages (ESP-IDF 4.0 and later).
    pub const V2: Self = Self(0xFE);
}

/// The first 32 bytes of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct PageHeader {
    state: U32,
    sequence: U32,
    version: u8,
    unused: [u8; 19],
    crc: U32,
}

const _: () = assert!(size_of::<PageHeader>() == ENTRY_SIZE);

impl PageHeader {
    /// The header of a fresh active page.
    #[must_use]
    pub fn active(sequence: u32, version: Version) -> Self {
        let mut header = Self {
            state: PageState::ACTIVE.0.into(),
            sequence: sequence.into(),
            version: version.0,
            unused: [0xFF; 19],
            crc: 0.into(),
        };
        header.crc = header.expected_crc().into();
        header
    }

    /// Reads a header that may hold anything.
    #[must_use]
    pub fn from_bytes(bytes: [u8; ENTRY_SIZE]) -> Self {
        zerocopy::transmute!(bytes)
    }

    /// As on flash.
    #[must_use]
    pub fn to_bytes(self) -> [u8; ENTRY_SIZE] {
        zerocopy::transmute!(self)
    }

    /// State word. The CRC does not cover it.
    #[must_use]
    pub const fn state(&self) -> PageState {
        PageState(self.state.get())
    }

    /// Moves the page on.
    pub fn set_state(&mut self, state: PageState) {
        self.state = state.0.into();
    }

    /// Pages are read in the order of this number; the newest page has the highest.
    #[must_use]
    pub const fn sequence(&self) -> u32 {
        self.sequence.get()
    }

    /// Format version.
    #[must_use]
    pub const fn version(&self) -> Version {
        Version(self.version)
    }

    /// True if the stored CRC is right.
    #[must_use]
    pub fn crc_holds(&self) -> bool {
        self.crc.get() == self.expected_crc()
    }

    fn expected_crc(&self) -> u32 {
        crc_a(&self.as_bytes()[4..28])
    }
}

/// What the map says of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// `0b11`: never written.
    Empty,
    /// `0b10`: holds data. One bit away from empty, so a power cut leaves one or the other.
    Written,
    /// `0b01`: not a state; ESP-IDF never writes it on purpose.
    Illegal,
    /// `0b00`: dropped.
    Erased,
}

impl EntryState {
    /// The two bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Empty => 0b11,
            Self::Written => 0b10,
            Self::Illegal => 0b01,
            Self::Erased => 0b00,
        }
    }
}

/// The states of the 126 entries, two bits each, lowest bits first; the last four bits stay 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateMap(pub [u8; ENTRY_SIZE]);

impl StateMap {
    /// The map of an erased page.
    pub const EMPTY: Self = Self([0xFF; ENTRY_SIZE]);

    /// State of entry `index`, which is below [`ENTRIES`].
    #[must_use]
    pub const fn state(&self, index: usize) -> EntryState {
        match self.0[index / 4] >> (index % 4 * 2) & 0b11 {
            0b11 => EntryState::Empty,
            0b10 => EntryState::Written,
            0b01 => EntryState::Illegal,
            _ => EntryState::Erased,
        }
    }

    /// Sets the state of entry `index`, which is below [`ENTRIES`].
    pub const fn set(&mut self, index: usize, state: EntryState) {
        let shift = index % 4 * 2;
        self.0[index / 4] = self.0[index / 4] & !(0b11 << shift) | state.bits() << shift;
    }

    /// How many entries are in `state`.
    #[must_use]
    pub fn count(&self, state: EntryState) -> usize {
        (0..ENTRIES).filter(|&index| self.state(index) == state).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_the_generators() {
        let basic = include_bytes!("../../../vectors/nvs/basic-v2.bin");
        assert_eq!(basic[..32], PageHeader::active(0, Version::V2).to_bytes());
    }

    #[test]
    fn crc_covers_everything_but_the_state() {
        let good = PageHeader::active(7, Version::V2).to_bytes();
        for bit in 0..256 {
            let mut flipped = good;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(PageHeader::from_bytes(flipped).crc_holds(), bit < 32, "bit {bit}");
        }
    }

    #[test]
    fn map_keeps_neighbours_apart() {
        let mut map = StateMap::EMPTY;
        map.set(0, EntryState::Written);
        map.set(5, EntryState::Erased);
        map.set(125, EntryState::Illegal);
        assert_eq!(map.0[..2], [0b1111_1110, 0b1111_0011]);
        assert_eq!(map.0[31], 0b1111_0111);
        assert_eq!((map.state(0), map.state(1)), (EntryState::Written, EntryState::Empty));
        assert_eq!((map.state(5), map.state(125)), (EntryState::Erased, EntryState::Illegal));
        assert_eq!(map.count(EntryState::Empty), 123);
    }
}
