//! The NVS entry: 32 bytes that hold a key and a number, or the head of a string or blob whose data fills the entries
//! after it.

use super::page::{ENTRIES, ENTRY_SIZE};
use crate::crc::crc_a;
use core::fmt;
use core::str::FromStr;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Chunk index of everything that is not a chunk of a blob.
#[doc(alias = "CHUNK_ANY")]
pub const NOT_A_CHUNK: u8 = 0xFF;

/// Namespace 0 holds the namespaces themselves: key = name, value = index.
pub const NAMESPACE_TABLE: u8 = 0;
/// The highest index a namespace can have.
pub const LAST_NAMESPACE: u8 = 254;

/// Most data bytes behind one head: all the other entries of its page.
#[doc(alias = "CHUNK_MAX_SIZE")]
pub const MAX_DATA: usize = (ENTRIES - 1) * ENTRY_SIZE;

/// What an entry holds.
#[doc(alias = "nvs_type_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemType(pub u8);

impl ItemType {
    /// Unsigned, 1 byte.
    pub const U8: Self = Self(0x01);
    /// Signed, 1 byte.
    pub const I8: Self = Self(0x11);
    /// Unsigned, 2 bytes.
    pub const U16: Self = Self(0x02);
    /// Signed, 2 bytes.
    pub const I16: Self = Self(0x12);
    /// Unsigned, 4 bytes.
    pub const U32: Self = Self(0x04);
    /// Signed, 4 bytes.
    pub const I32: Self = Self(0x14);
    /// Unsigned, 8 bytes.
    pub const U64: Self = Self(0x08);
    /// Signed, 8 bytes.
    pub const I64: Self = Self(0x18);
    /// IEEE 754, 4 bytes; firmware only, the generator has no spelling for it.
    pub const FLOAT: Self = Self(0x24);
    /// IEEE 754, 8 bytes; firmware only.
    pub const DOUBLE: Self = Self(0x28);
    /// Text. Its size includes a final NUL.
    pub const STRING: Self = Self(0x21);
    /// A blob on one page: version 1 only.
    pub const BLOB: Self = Self(0x41);
    /// One chunk of a blob.
    pub const BLOB_DATA: Self = Self(0x42);
    /// What makes chunks a blob: written last.
    pub const BLOB_INDEX: Self = Self(0x48);

    /// True if data entries follow the head.
    #[must_use]
    pub const fn has_data(self) -> bool {
        matches!(self, Self::STRING | Self::BLOB | Self::BLOB_DATA)
    }
}

/// The name of a value or of a namespace: 1 to 15 bytes, none of them NUL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 16]);

impl Key {
    /// Most bytes in a key.
    pub const MAX_LEN: usize = 15;

    /// Checks `bytes`.
    ///
    /// # Errors
    /// [`KeyError`]: empty, too long, or with a NUL in it.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.is_empty() {
            return Err(KeyError::Empty);
        }
        if bytes.contains(&0) {
            return Err(KeyError::Nul);
        }
        let mut key = [0; 16];
        let room = key[..Self::MAX_LEN].get_mut(..bytes.len()).ok_or(KeyError::TooLong { len: bytes.len() })?;
        room.copy_from_slice(bytes);
        Ok(Self(key))
    }

    /// A key written in the source: `const NONCE: Key = Key::literal("nonce");` does not compile if it is none.
    ///
    /// # Panics
    /// If `text` is not a key; keys from outside go through [`Self::new`].
    #[must_use]
    pub const fn literal(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= Self::MAX_LEN, "an NVS key is 1 to 15 bytes");
        let mut key = [0; 16];
        let mut at = 0;
        while at < bytes.len() {
            assert!(bytes[at] != 0, "an NVS key has no NUL");
            key[at] = bytes[at];
            at += 1;
        }
        Self(key)
    }

    /// Without the padding. ESP-IDF does not ask for UTF-8.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let len = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        &self.0[..len]
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::new(text.as_bytes())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Why bytes are not a [`Key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No bytes at all.
    #[error("NVS key is empty")]
    Empty,
    /// More than 15 bytes.
    #[error("NVS key is {len} bytes, at most 15 fit")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// A NUL, which would end the key early.
    #[error("NVS key contains a NUL")]
    Nul,
}

/// One entry as on flash, decrypted. It may hold anything until [`Entry::check`] has passed.
#[doc(alias = "nvs::Item")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Entry {
    namespace: u8,
    kind: u8,
    span: u8,
    chunk: u8,
    crc: U32,
    key: [u8; 16],
    value: [u8; 8],
}

const _: () = assert!(size_of::<Entry>() == ENTRY_SIZE);

impl Entry {
    /// A number: `value` is little-endian, the rest of the eight bytes 0xFF.
    #[must_use]
    pub fn number(namespace: u8, key: &Key, kind: ItemType, value: [u8; 8]) -> Self {
        Self::sealed(namespace, key, kind, 1, NOT_A_CHUNK, value)
    }

    /// The head of `data`, which fills the entries after it. `None` above [`MAX_DATA`] bytes.
    #[must_use]
    pub fn head(namespace: u8, key: &Key, kind: ItemType, chunk: u8, data: &[u8]) -> Option<Self> {
        if data.len() > MAX_DATA {
            return None;
        }
        let size = u16::try_from(data.len()).ok()?;
        let span = u8::try_from(span_of(data.len())).ok()?;
        let mut value = [0xFF; 8];
        value[..2].copy_from_slice(&size.to_le_bytes());
        value[4..].copy_from_slice(&crc_a(data).to_le_bytes());
        Some(Self::sealed(namespace, key, kind, span, chunk, value))
    }

    /// The index that makes `chunks` chunks, numbered from `first_chunk`, a blob of `size` bytes.
    #[must_use]
    pub fn blob_index(namespace: u8, key: &Key, index: BlobIndex) -> Self {
        let mut value = [0xFF; 8];
        value[..4].copy_from_slice(&index.size.to_le_bytes());
        value[4] = index.chunks;
        value[5] = index.first_chunk;
        Self::sealed(namespace, key, ItemType::BLOB_INDEX, 1, NOT_A_CHUNK, value)
    }

    fn sealed(namespace: u8, key: &Key, kind: ItemType, span: u8, chunk: u8, value: [u8; 8]) -> Self {
        let mut entry = Self { namespace, kind: kind.0, span, chunk, crc: 0.into(), key: key.0, value };
        entry.crc = entry.expected_crc().into();
        entry
    }

    /// Reads an entry that may hold anything.
    #[must_use]
    pub fn from_bytes(bytes: [u8; ENTRY_SIZE]) -> Self {
        zerocopy::transmute!(bytes)
    }

    /// As on flash, before encryption.
    #[must_use]
    pub fn to_bytes(self) -> [u8; ENTRY_SIZE] {
        zerocopy::transmute!(self)
    }

    /// Checks the entry found at `index` of its page: CRC, key, and a span that its type and size explain and that
    /// stays on the page.
    ///
    /// # Errors
    /// The first [`EntryError`] found.
    pub fn check(&self, index: usize) -> Result<(), EntryError> {
        if self.crc.get() != self.expected_crc() {
            return Err(EntryError::Crc { stored: self.crc.get(), computed: self.expected_crc() });
        }
        let padded = self.key.iter().skip_while(|&&byte| byte != 0).all(|&byte| byte == 0);
        if self.key[0] == 0 || self.key[15] != 0 || !padded {
            return Err(EntryError::Key);
        }
        let needed = if self.kind().has_data() { span_of(usize::from(self.data_size())) } else { 1 };
        if usize::from(self.span) != needed || index + needed > ENTRIES {
            return Err(EntryError::Span { span: self.span, needed });
        }
        Ok(())
    }

    /// Index of the namespace, [`NAMESPACE_TABLE`] for a namespace itself.
    #[must_use]
    pub const fn namespace(&self) -> u8 {
        self.namespace
    }

    /// Type.
    #[must_use]
    pub const fn kind(&self) -> ItemType {
        ItemType(self.kind)
    }

    /// How many entries it takes with its data; at least 1 after [`Self::check`].
    #[must_use]
    pub fn span(&self) -> usize {
        usize::from(self.span)
    }

    /// Number of this chunk, for `BLOB_DATA`.
    #[must_use]
    pub const fn chunk(&self) -> u8 {
        self.chunk
    }

    /// Key. Only a [`check`](Self::check)ed entry is sure to have a well-formed one.
    #[must_use]
    pub const fn key(&self) -> Key {
        Key(self.key)
    }

    /// The eight value bytes.
    #[must_use]
    pub const fn value(&self) -> [u8; 8] {
        self.value
    }

    /// For a type that [`has_data`](ItemType::has_data): bytes of data.
    #[must_use]
    pub const fn data_size(&self) -> u16 {
        u16::from_le_bytes([self.value[0], self.value[1]])
    }

    /// For a type that [`has_data`](ItemType::has_data): CRC-A of the data.
    #[must_use]
    pub const fn data_crc(&self) -> u32 {
        u32::from_le_bytes([self.value[4], self.value[5], self.value[6], self.value[7]])
    }

    /// For [`ItemType::BLOB_INDEX`]: which chunks make the blob.
    #[must_use]
    pub const fn index(&self) -> BlobIndex {
        let [a, b, c, d, chunks, first_chunk, ..] = self.value;
        BlobIndex { size: u32::from_le_bytes([a, b, c, d]), chunks, first_chunk }
    }

    /// True if the entry names the same value, whatever its type; chunks of a blob are not values.
    #[must_use]
    pub fn is_value(&self, namespace: u8, key: &Key) -> bool {
        self.namespace == namespace && self.key == key.0 && self.kind() != ItemType::BLOB_DATA
    }

    fn expected_crc(&self) -> u32 {
        let mut covered = [0; 28];
        let bytes = self.as_bytes();
        covered[..4].copy_from_slice(&bytes[..4]);
        covered[4..].copy_from_slice(&bytes[8..]);
        crc_a(&covered)
    }
}

/// Entries that a head and `data_len` bytes of data take.
#[must_use]
pub const fn span_of(data_len: usize) -> usize {
    1 + data_len.div_ceil(ENTRY_SIZE)
}

/// The value of a `BLOB_INDEX` entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobIndex {
    /// Bytes of the whole blob.
    pub size: u32,
    /// How many chunks.
    pub chunks: u8,
    /// Number of the first: 0x00 or 0x80 in turn, so that the new version never meets the old one's chunks.
    #[doc(alias = "VerOffset")]
    pub first_chunk: u8,
}

impl BlobIndex {
    /// True if chunk number `chunk` belongs to this blob.
    #[must_use]
    pub fn covers(&self, chunk: u8) -> bool {
        chunk.checked_sub(self.first_chunk).is_some_and(|position| position < self.chunks)
    }
}

/// What is wrong with one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The entry's own CRC.
    #[error("CRC is {stored:#010x}, the entry gives {computed:#010x}")]
    Crc {
        /// In the entry.
        stored: u32,
        /// Over the entry.
        computed: u32,
    },
    /// Empty, without an end, or with bytes after the end.
    #[error("malformed key")]
    Key,
    /// The span is not what type and size ask for, or leaves the page.
    #[error("span is {span}, type and size need {needed} on one page")]
    Span {
        /// In the entry.
        span: u8,
        /// By type and size.
        needed: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        text.parse().unwrap()
    }

    #[test]
    fn first_entries_are_the_generators() {
        let basic = include_bytes!("../../../vectors/nvs/basic-v2.bin");
        let namespace = Entry::number(0, &key("storage"), ItemType::U8, [1, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(basic[64..96], namespace.to_bytes());
        let number = Entry::number(1, &key("u8"), ItemType::U8, [255; 8]);
        assert_eq!(basic[96..128], number.to_bytes());
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let good = Entry::head(1, &key("name"), ItemType::STRING, NOT_A_CHUNK, b"text\0").unwrap().to_bytes();
        assert_eq!(Entry::from_bytes(good).check(0), Ok(()));
        for bit in 0..256 {
            let mut flipped = good;
            flipped[bit / 8] ^= 1 << (bit % 8);
            let refusal = Entry::from_bytes(flipped).check(0);
            assert!(matches!(refusal, Err(EntryError::Crc { .. })), "bit {bit}: {refusal:?}");
        }
    }

    #[test]
    fn refuses_a_span_that_leaves_the_page() {
        let entry = Entry::head(1, &key("k"), ItemType::BLOB_DATA, 0, &[0; 64]).unwrap();
        assert_eq!(entry.check(123), Ok(()));
        assert_eq!(entry.check(124), Err(EntryError::Span { span: 3, needed: 3 }));
    }

    #[test]
    fn refuses_a_span_its_type_does_not_explain() {
        for span in [0, 2, 255] {
            let entry = Entry::sealed(1, &key("k"), ItemType::U32, span, NOT_A_CHUNK, [0; 8]);
            assert_eq!(entry.check(0), Err(EntryError::Span { span, needed: 1 }));
        }
    }

    #[test]
    fn refuses_a_malformed_key_under_a_good_crc() {
        for raw in [[0; 16], [b'a'; 16], *b"a\0b\0\0\0\0\0\0\0\0\0\0\0\0\0"] {
            let entry = Entry::sealed(1, &Key(raw), ItemType::U32, 1, NOT_A_CHUNK, [0; 8]);
            assert_eq!(entry.check(0), Err(EntryError::Key));
        }
    }

    #[test]
    fn keys_are_one_to_fifteen_bytes() {
        assert_eq!(Key::new(b""), Err(KeyError::Empty));
        assert_eq!(Key::new(&[b'a'; 16]), Err(KeyError::TooLong { len: 16 }));
        assert_eq!(Key::new(b"a\0"), Err(KeyError::Nul));
        assert_eq!(key("abcdefghijklmno").as_bytes(), b"abcdefghijklmno");
    }

    #[test]
    fn a_head_never_spans_more_than_a_page() {
        assert!(Entry::head(1, &key("k"), ItemType::BLOB_DATA, 0, &[0; MAX_DATA + 1]).is_none());
        assert_eq!(Entry::head(1, &key("k"), ItemType::BLOB_DATA, 0, &[0; MAX_DATA]).unwrap().check(0), Ok(()));
    }

    #[test]
    fn a_blob_covers_only_its_own_version() {
        let index = BlobIndex { size: 1, chunks: 3, first_chunk: 0x80 };
        assert!(!index.covers(0x7F) && index.covers(0x80) && index.covers(0x82) && !index.covers(0x83));
        assert!(!index.covers(2));
    }
}
