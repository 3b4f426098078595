//! Builds a whole NVS partition, byte for byte as `esp_idf_nvs_partition_gen` 0.3.0 does, its page breaks included.
//!
//! Off-spec: the generator adds `sta.pmk`, `ap.pmk_info` and their like when it sees certain Wi-Fi keys; here nothing is
//! written that the caller did not put. It gives a repeated `namespace` row no effect at all (what follows lands in the
//! namespace created last); here every value names its namespace. It takes the same key twice; here that is refused.

use super::crypt::EntryCipher;
use super::entry::{BlobIndex, Entry, ItemType, Key, LAST_NAMESPACE, NAMESPACE_TABLE, NOT_A_CHUNK, span_of};
use super::keys::NvsKeys;
use super::page::entry_offset;
use super::page::{ENTRIES, ENTRY_SIZE, EntryState, MAP_OFFSET, PAGE_SIZE, PageHeader, PageState, StateMap, Version};
use super::value::Value;
use crate::addr::FlashLen;
use alloc::vec::Vec;
use zeroize::Zeroizing;

/// A partition under construction. Wiped when dropped: it is where factory secrets go.
pub struct NvsImage {
    version: Version,
    /// All pages in use, the last of them active.
    bytes: Zeroizing<Vec<u8>>,
    /// Entries in use on the last page.
    used: usize,
    size: usize,
    /// Pages that may be used; the reserved one is not among them.
    page_limit: usize,
    namespaces: Vec<Key>,
    keys: Vec<(u8, Key)>,
}

/// Most bytes of a version-1 blob, or of a version-1 string with its NUL.
const MAX_V1: usize = 1984;
/// Most bytes of a version-2 string with its NUL. The generator states 4000, but any string that would leave no entry free on an
/// empty page makes it fail.
const MAX_STRING: usize = (ENTRIES - 2) * ENTRY_SIZE;
/// Most chunks of a version-2 blob (ESP-IDF: `(CHUNK_ANY - 1) / 2`).
const MAX_CHUNKS: u8 = 127;
/// Most bytes of a version-2 blob.
pub const MAX_BLOB: usize = MAX_CHUNKS as usize * (ENTRIES - 1) * ENTRY_SIZE;
/// From this size on the last page is reserved and the image is as large as the partition.
const WRITABLE_SIZE: usize = 3 * PAGE_SIZE;

impl NvsImage {
    /// An empty image for a partition of `size` bytes. Below 0x3000 the partition can only be mounted read-only: no page
    /// is reserved then, and the image ends with its last used page.
    ///
    /// # Errors
    /// [`BuildError::Size`] unless `size` is a positive multiple of 4096; [`BuildError::Version`].
    pub fn new(size: FlashLen, version: Version) -> Result<Self, BuildError> {
        if !matches!(version, Version::V1 | Version::V2) {
            return Err(BuildError::Version { version: version.0 });
        }
        let bytes = usize::try_from(size.0).ok().filter(|&bytes| bytes > 0 && bytes.is_multiple_of(PAGE_SIZE));
        let size = bytes.ok_or(BuildError::Size { size })?;
        let reserved = usize::from(size >= WRITABLE_SIZE);
        let mut image = Self {
            version,
            // All of it now: growing would leave copies behind.
            bytes: Zeroizing::new(Vec::with_capacity(size)),
            used: 0,
            size,
            page_limit: size / PAGE_SIZE - reserved,
            namespaces: Vec::new(),
            keys: Vec::new(),
        };
        image.new_page()?;
        Ok(image)
    }

    /// Adds one value; the first use of a namespace adds the namespace before it.
    ///
    /// # Errors
    /// [`BuildError`]; the image is then no longer of use.
    pub fn put(&mut self, namespace: &Key, key: &Key, value: &Value<'_>) -> Result<(), BuildError> {
        let index = self.namespace(namespace)?;
        if self.keys.contains(&(index, *key)) {
            return Err(BuildError::Duplicate { namespace: *namespace, key: *key });
        }
        self.keys.push((index, *key));
        if let Some((kind, raw)) = value.number() {
            return self.number(Entry::number(index, key, kind, raw));
        }
        match value {
            Value::String(text) => {
                if text.contains('\0') {
                    return Err(BuildError::NulInString { key: *key });
                }
                let mut data = Zeroizing::new(Vec::with_capacity(text.len() + 1));
                data.extend_from_slice(text.as_bytes());
                data.push(0);
                let limit = if self.version == Version::V1 { MAX_V1 } else { MAX_STRING };
                self.on_one_page(index, key, ItemType::STRING, &data, limit)
            }
            Value::Blob(bytes) if self.version == Version::V1 => {
                self.on_one_page(index, key, ItemType::BLOB, bytes, MAX_V1)
            }
            Value::Blob(bytes) => self.in_chunks(index, key, bytes),
            _ => Ok(()),
        }
    }

    /// Adds a namespace, which may stay empty; nothing happens if it is there. [`Self::put`] does the same when needed.
    ///
    /// # Errors
    /// [`BuildError`]; the image is then no longer of use.
    pub fn declare(&mut self, namespace: &Key) -> Result<(), BuildError> {
        self.namespace(namespace).map(drop)
    }

    /// The finished image, in the clear.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        if self.size >= WRITABLE_SIZE {
            self.bytes.resize(self.size, 0xFF);
        }
        core::mem::take(&mut *self.bytes)
    }

    /// The finished image, every written entry encrypted.
    #[must_use]
    pub fn finish_encrypted(self, keys: &NvsKeys) -> Vec<u8> {
        let cipher = EntryCipher::new(keys);
        let mut bytes = self.finish();
        for (page_index, page) in bytes.chunks_exact_mut(PAGE_SIZE).enumerate() {
            let map = map_of(page);
            for index in (0..ENTRIES).filter(|&index| map.state(index) == EntryState::Written) {
                let at = entry_offset(index);
                let entry: &mut [u8; ENTRY_SIZE] =
                    (&mut page[at..at + ENTRY_SIZE]).try_into().expect("the range is one entry long");
                let offset = u32::try_from(page_index * PAGE_SIZE + at).expect("the size came from a u32");
                cipher.encrypt(offset, entry);
            }
        }
        bytes
    }

    /// Index of a namespace, which is written first if it is new.
    fn namespace(&mut self, name: &Key) -> Result<u8, BuildError> {
        if let Some(position) = self.namespaces.iter().position(|known| known == name) {
            return Ok(u8::try_from(position + 1).expect("at most 254 were let in"));
        }
        let index = u8::try_from(self.namespaces.len() + 1).ok().filter(|&index| index <= LAST_NAMESPACE);
        let index = index.ok_or(BuildError::TooManyNamespaces)?;
        self.number(Entry::number(
            NAMESPACE_TABLE,
            name,
            ItemType::U8,
            [index, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        ))?;
        self.namespaces.push(*name);
        Ok(index)
    }

    fn number(&mut self, entry: Entry) -> Result<(), BuildError> {
        if self.used >= ENTRIES {
            self.new_page()?;
        }
        self.append(&entry.to_bytes());
        Ok(())
    }

    fn on_one_page(
        &mut self,
        namespace: u8,
        key: &Key,
        kind: ItemType,
        data: &[u8],
        limit: usize,
    ) -> Result<(), BuildError> {
        let too_long = BuildError::TooLong { key: *key, len: data.len(), limit };
        let head = Entry::head(namespace, key, kind, NOT_A_CHUNK, data).filter(|_| data.len() <= limit);
        let head = head.ok_or(too_long)?;
        // `>=`: what would fill the page exactly is pushed to the next one.
        if self.used + span_of(data.len()) >= ENTRIES {
            self.new_page()?;
        }
        self.append(&head.to_bytes());
        self.append(data);
        Ok(())
    }

    fn in_chunks(&mut self, namespace: u8, key: &Key, data: &[u8]) -> Result<(), BuildError> {
        let too_long = BuildError::TooLong { key: *key, len: data.len(), limit: MAX_BLOB };
        let size = u32::try_from(data.len()).ok().ok_or(too_long)?;
        if self.used >= ENTRIES {
            self.new_page()?;
        }
        let (mut rest, mut chunks) = (data, 0);
        loop {
            // A page with one free entry takes a chunk without data.
            let room = (ENTRIES - self.used - 1) * ENTRY_SIZE;
            let (chunk, after) = rest.split_at(rest.len().min(room));
            let head = Entry::head(namespace, key, ItemType::BLOB_DATA, chunks, chunk).filter(|_| chunks < MAX_CHUNKS);
            self.append(&head.ok_or(too_long)?.to_bytes());
            self.append(chunk);
            chunks += 1;
            rest = after;
            if !rest.is_empty() || room - chunk.len() < ENTRY_SIZE {
                self.new_page()?;
            }
            if rest.is_empty() {
                break;
            }
        }
        self.append(&Entry::blob_index(namespace, key, BlobIndex { size, chunks, first_chunk: 0 }).to_bytes());
        Ok(())
    }

    /// Closes the last page and opens another.
    fn new_page(&mut self) -> Result<(), BuildError> {
        let pages = self.bytes.len() / PAGE_SIZE;
        if pages >= self.page_limit {
            return Err(BuildError::Full { size: self.size });
        }
        if let Some(last) = pages.checked_sub(1) {
            let at = last * PAGE_SIZE;
            self.bytes[at..at + 4].copy_from_slice(&PageState::FULL.0.to_le_bytes());
        }
        let sequence = u32::try_from(pages).expect("the size came from a u32");
        self.bytes.extend_from_slice(&PageHeader::active(sequence, self.version).to_bytes());
        self.bytes.resize((pages + 1) * PAGE_SIZE, 0xFF);
        self.used = 0;
        Ok(())
    }

    /// Writes `data` into the next entries of the last page. The caller has seen to it that there is room.
    fn append(&mut self, data: &[u8]) {
        let page_start = self.bytes.len() - PAGE_SIZE;
        let page = &mut self.bytes[page_start..];
        let mut map = map_of(page);
        for entry in data.chunks(ENTRY_SIZE) {
            let at = entry_offset(self.used);
            page[at..at + entry.len()].copy_from_slice(entry);
            map.set(self.used, EntryState::Written);
            self.used += 1;
        }
        page[MAP_OFFSET..MAP_OFFSET + ENTRY_SIZE].copy_from_slice(&map.0);
    }
}

/// The map of entry states of a whole page.
pub(super) fn map_of(page: &[u8]) -> StateMap {
    let mut map = StateMap::EMPTY;
    map.0.copy_from_slice(&page[MAP_OFFSET..MAP_OFFSET + ENTRY_SIZE]);
    map
}

/// Why an image cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Not a positive multiple of the page size.
    #[error("NVS partition size {size} is not a multiple of 4096")]
    Size {
        /// As given.
        size: FlashLen,
    },
    /// A format version that this builder does not write.
    #[error("NVS version byte {version:#04x} is neither V1 (0xff) nor V2 (0xfe)")]
    Version {
        /// As given.
        version: u8,
    },
    /// No page left.
    #[error("the values do not fit the {size:#x} bytes of the NVS partition")]
    Full {
        /// Size of the partition.
        size: usize,
    },
    /// The value is too long for its type.
    #[error("NVS value {key} is {len} bytes, its type takes {limit}")]
    TooLong {
        /// Key.
        key: Key,
        /// Bytes, for a string with its NUL.
        len: usize,
        /// Most that fit.
        limit: usize,
    },
    /// The same key twice in one namespace.
    #[error("NVS value {namespace}/{key} is given twice")]
    Duplicate {
        /// Namespace.
        namespace: Key,
        /// Key.
        key: Key,
    },
    /// A NUL would end the string early.
    #[error("NVS string {key} contains a NUL")]
    NulInString {
        /// Key.
        key: Key,
    },
    /// More than 254.
    #[error("an NVS partition holds at most 254 namespaces")]
    TooManyNamespaces,
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
