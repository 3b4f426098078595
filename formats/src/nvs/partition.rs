//! Reads a whole NVS partition from a byte slice and reports every fault in it, entry by entry. It repairs nothing: that
//! is the device's live store. Where a power cut left two values under one key, the newer one counts, as on the device.

use super::crypt::EntryCipher;
use super::entry::{BlobIndex, Entry, EntryError, ItemType, Key, LAST_NAMESPACE, NAMESPACE_TABLE};
use super::image::map_of;
use super::keys::NvsKeys;
use super::page::{ENTRIES, ENTRY_SIZE, EntryState, PAGE_SIZE, PageHeader, PageState, Version, entry_offset};
use super::value::Value;
use crate::crc::crc_a;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Name of its namespace.
    pub namespace: Key,
    /// Its key.
    pub key: Key,
    /// What it stands for.
    pub value: Value<'static>,
}

/// All that could be read, and all that could not.
#[derive(Debug, Default)]
pub struct Contents {
    /// Values, oldest first.
    pub items: Vec<Item>,
    /// Faults, in the order in which they were met.
    pub faults: Vec<Fault>,
}

/// Reads an undamaged partition, as a generator or an orderly device leaves it.
///
/// # Errors
/// [`NvsError`]: the size, or the first fault. [`inspect`] reads past faults.
pub fn read_partition(bytes: &[u8], keys: Option<&NvsKeys>) -> Result<Vec<Item>, NvsError> {
    let contents = inspect(bytes, keys)?;
    contents.faults.first().map_or(Ok(contents.items), |&fault| Err(NvsError::Fault(fault)))
}

/// Reads what can be read. `bytes` is the whole partition; `keys` are needed if it is encrypted.
///
/// # Errors
/// [`NvsError::Size`] only; everything else becomes a [`Fault`].
pub fn inspect(bytes: &[u8], keys: Option<&NvsKeys>) -> Result<Contents, NvsError> {
    if bytes.is_empty() || !bytes.len().is_multiple_of(PAGE_SIZE) || u32::try_from(bytes.len()).is_err() {
        return Err(NvsError::Size { len: bytes.len() });
    }
    let mut scan = Scan { bytes, cipher: keys.map(EntryCipher::new), faults: Vec::new(), pieces: Vec::new() };
    for page in scan.pages_in_order() {
        scan.page(page);
    }
    Ok(scan.assemble())
}

/// What is wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("NVS page {page}, entry {entry:?}: {kind}")]
pub struct Fault {
    /// Page, counted from the start of the partition.
    pub page: usize,
    /// Entry on that page; `None` if it is about the page itself.
    pub entry: Option<usize>,
    /// What is wrong.
    pub kind: FaultKind,
}

/// What is wrong with a page or an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// The CRC of the page header does not hold: the whole page is unreadable.
    #[error("page header CRC does not hold")]
    HeaderCrc,
    /// No state in which a page holds entries, nor an erased page.
    #[error("page state {:#010x}", .0.0)]
    PageState(PageState),
    /// A format newer than this reader.
    #[error("page version byte {:#04x}", .0.0)]
    Version(Version),
    /// A move to another page was interrupted.
    #[error("page is being freed")]
    Freeing,
    /// The header says never used, but some bytes are not 0xFF.
    #[error("page has no header but is not erased")]
    NotErased,
    /// The entry's state is not one.
    #[error("illegal entry state")]
    IllegalState,
    /// Bytes under an entry that was never marked as written: a write was interrupted.
    #[error("entry was never marked as written but is not erased")]
    HalfWritten,
    /// The entry itself.
    #[error("{0}")]
    Entry(EntryError),
    /// Some entries of the item are not marked as written.
    #[error("only part of the item is marked as written")]
    Incomplete,
    /// The data do not match the head.
    #[error("data CRC is {stored:#010x}, the data give {computed:#010x}")]
    DataCrc {
        /// In the head.
        stored: u32,
        /// Over the data.
        computed: u32,
    },
    /// A newer value exists under the same key.
    #[error("a newer value has the same key")]
    Superseded,
    /// No namespace has this index.
    #[error("no namespace has index {0}")]
    UnknownNamespace(u8),
    /// A namespace with an index that cannot be used, or that another namespace has.
    #[error("namespace index {0} is not free to use")]
    NamespaceIndex(u8),
    /// Not a number: the namespace table holds only `U8`.
    #[error("namespace of type {:#04x}", .0.0)]
    NamespaceType(ItemType),
    /// A string that is not UTF-8, or without its final NUL, or with another one.
    #[error("malformed string")]
    NotText,
    /// A chunk that no blob claims.
    #[error("chunk {0:#04x} belongs to no blob")]
    OrphanChunk(u8),
    /// A blob without one of its chunks.
    #[error("chunk {0:#04x} of the blob is missing")]
    MissingChunk(u8),
    /// The chunks do not add up.
    #[error("blob of {stored} bytes has chunks of {found}")]
    BlobSize {
        /// In the index.
        stored: u32,
        /// Sum of the chunks.
        found: usize,
    },
}

/// Why a partition cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NvsError {
    /// Not a positive multiple of the page size, or 4 GiB and more.
    #[error("NVS partition of {len} bytes is not a multiple of 4096")]
    Size {
        /// Its length.
        len: usize,
    },
    /// The first fault.
    #[error("{0}")]
    Fault(Fault),
}

/// A sound entry with its data, and where it was found.
struct Piece {
    page: usize,
    index: usize,
    entry: Entry,
    data: Vec<u8>,
}

struct Scan<'a> {
    bytes: &'a [u8],
    cipher: Option<EntryCipher>,
    faults: Vec<Fault>,
    pieces: Vec<Piece>,
}

impl Scan<'_> {
    fn fault(&mut self, page: usize, entry: Option<usize>, kind: FaultKind) {
        self.faults.push(Fault { page, entry, kind });
    }

    /// The readable pages, oldest first.
    fn pages_in_order(&mut self) -> Vec<usize> {
        let mut pages = Vec::new();
        for (number, page) in self.bytes.chunks_exact(PAGE_SIZE).enumerate() {
            let mut header = [0; ENTRY_SIZE];
            header.copy_from_slice(&page[..ENTRY_SIZE]);
            let header = PageHeader::from_bytes(header);
            let fault = match header.state() {
                PageState::UNINITIALIZED if page.iter().all(|&byte| byte == 0xFF) => continue,
                PageState::UNINITIALIZED => FaultKind::NotErased,
                state if !state.holds_entries() => FaultKind::PageState(state),
                _ if !header.crc_holds() => FaultKind::HeaderCrc,
                _ if !matches!(header.version(), Version::V1 | Version::V2) => FaultKind::Version(header.version()),
                state => {
                    pages.push((header.sequence(), number));
                    if state != PageState::FREEING {
                        continue;
                    }
                    FaultKind::Freeing
                }
            };
            self.fault(number, None, fault);
        }
        pages.sort_unstable();
        pages.into_iter().map(|(_, number)| number).collect()
    }

    /// Takes the sound items of one page.
    fn page(&mut self, page: usize) {
        let bytes = &self.bytes[page * PAGE_SIZE..(page + 1) * PAGE_SIZE];
        let map = map_of(bytes);
        let mut index = 0;
        while index < ENTRIES {
            let at = index;
            index += 1;
            match map.state(at) {
                EntryState::Erased => continue,
                EntryState::Illegal => {
                    self.fault(page, Some(at), FaultKind::IllegalState);
                    continue;
                }
                EntryState::Empty => {
                    let start = entry_offset(at);
                    if bytes[start..start + ENTRY_SIZE].iter().any(|&byte| byte != 0xFF) {
                        self.fault(page, Some(at), FaultKind::HalfWritten);
                    }
                    continue;
                }
                EntryState::Written => {}
            }
            let entry = Entry::from_bytes(self.entry(page, at));
            if let Err(error) = entry.check(at) {
                self.fault(page, Some(at), FaultKind::Entry(error));
                continue;
            }
            index = at + entry.span();
            if (at..index).any(|part| map.state(part) != EntryState::Written) {
                self.fault(page, Some(at), FaultKind::Incomplete);
                continue;
            }
            let mut data: Vec<u8> = (at + 1..index).flat_map(|part| self.entry(page, part)).collect();
            if entry.kind().has_data() {
                data.truncate(usize::from(entry.data_size()));
                let (stored, computed) = (entry.data_crc(), crc_a(&data));
                if stored != computed {
                    self.fault(page, Some(at), FaultKind::DataCrc { stored, computed });
                    continue;
                }
            }
            self.pieces.push(Piece { page, index: at, entry, data });
        }
    }

    /// One entry, decrypted.
    fn entry(&self, page: usize, index: usize) -> [u8; ENTRY_SIZE] {
        let at = page * PAGE_SIZE + entry_offset(index);
        let mut entry = [0; ENTRY_SIZE];
        entry.copy_from_slice(&self.bytes[at..at + ENTRY_SIZE]);
        if let Some(cipher) = &self.cipher {
            cipher.decrypt(u32::try_from(at).expect("the partition is smaller than 4 GiB"), &mut entry);
        }
        entry
    }

    /// Makes values of the pieces.
    fn assemble(mut self) -> Contents {
        let pieces = core::mem::take(&mut self.pieces);
        let namespaces = self.namespaces(&pieces);
        // The last piece under a key is the newest.
        let mut newest = BTreeMap::new();
        let mut chunks = BTreeMap::new();
        for (position, piece) in pieces.iter().enumerate().filter(|(_, piece)| piece.entry.namespace() != 0) {
            let entry = &piece.entry;
            let older = match entry.kind() {
                ItemType::BLOB_DATA => chunks.insert((entry.namespace(), entry.key(), entry.chunk()), position),
                _ => newest.insert((entry.namespace(), entry.key()), position),
            };
            if let Some(older) = older.and_then(|older: usize| pieces.get(older)) {
                self.fault(older.page, Some(older.index), FaultKind::Superseded);
            }
        }
        let mut values: Vec<usize> = newest.into_values().collect();
        values.sort_unstable();
        let mut items = Vec::new();
        for piece in values.into_iter().filter_map(|position| pieces.get(position)) {
            let entry = &piece.entry;
            let value = match entry.kind() {
                ItemType::STRING => text(&piece.data).ok_or(FaultKind::NotText),
                ItemType::BLOB => Ok(Value::blob(piece.data.clone())),
                ItemType::BLOB_INDEX => blob(entry, entry.index(), &mut chunks, &pieces),
                kind => Ok(Value::from_number(kind, entry.value())),
            };
            let namespace = namespaces.get(&entry.namespace()).copied();
            match (value, namespace) {
                (Ok(value), Some(namespace)) => items.push(Item { namespace, key: entry.key(), value }),
                (Ok(_), None) => {
                    self.fault(piece.page, Some(piece.index), FaultKind::UnknownNamespace(entry.namespace()));
                }
                (Err(kind), _) => self.fault(piece.page, Some(piece.index), kind),
            }
        }
        for piece in chunks.into_values().filter_map(|position| pieces.get(position)) {
            self.fault(piece.page, Some(piece.index), FaultKind::OrphanChunk(piece.entry.chunk()));
        }
        Contents { items, faults: self.faults }
    }

    /// Namespaces by index.
    fn namespaces(&mut self, pieces: &[Piece]) -> BTreeMap<u8, Key> {
        let mut found = BTreeMap::new();
        for piece in pieces.iter().filter(|piece| piece.entry.namespace() == NAMESPACE_TABLE) {
            let [index, ..] = piece.entry.value();
            let usable = (1..=LAST_NAMESPACE).contains(&index) && !found.contains_key(&index);
            let kind = match piece.entry.kind() {
                ItemType::U8 if usable => {
                    found.insert(index, piece.entry.key());
                    continue;
                }
                ItemType::U8 => FaultKind::NamespaceIndex(index),
                kind => FaultKind::NamespaceType(kind),
            };
            self.fault(piece.page, Some(piece.index), kind);
        }
        found
    }
}

/// Joins the chunks of a blob, which are taken from `chunks`.
fn blob(
    entry: &Entry,
    index: BlobIndex,
    chunks: &mut BTreeMap<(u8, Key, u8), usize>,
    pieces: &[Piece],
) -> Result<Value<'static>, FaultKind> {
    let mut bytes = Vec::new();
    for position in 0..index.chunks {
        let chunk = index.first_chunk.checked_add(position).ok_or(FaultKind::MissingChunk(u8::MAX))?;
        let piece = chunks.remove(&(entry.namespace(), entry.key(), chunk)).and_then(|position| pieces.get(position));
        bytes.extend_from_slice(&piece.ok_or(FaultKind::MissingChunk(chunk))?.data);
    }
    if usize::try_from(index.size) != Ok(bytes.len()) {
        return Err(FaultKind::BlobSize { stored: index.size, found: bytes.len() });
    }
    Ok(Value::blob(bytes))
}

/// A string up to its one NUL, which is its last byte.
fn text(data: &[u8]) -> Option<Value<'static>> {
    let (&last, text) = data.split_last()?;
    if last != 0 || text.contains(&0) {
        return None;
    }
    core::str::from_utf8(text).ok().map(|text| Value::string(String::from(text)))
}

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "flip_tests.rs"]
mod flip_tests;
