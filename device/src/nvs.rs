//! The live NVS store: key-value pairs in ESP-IDF's on-flash format, on flash that may lose power at any operation.
//!
//! | file | noun |
//! |---|---|
//! | `medium` | pages and entries on flash, and the order in which bits change |
//! | `mount` | finds the pages and finishes what was interrupted |
//! | `space` | room for new entries, freeing pages |
//!
//! A value is replaced in three steps: the new one is programmed, marked as written, and only then the old one erased.
//! Between the second and the third both are there and the newer counts. A value is therefore always the old or the
//! new one, and a `set` that returned `Ok` is durable.
//!
//! One key has one value, whatever its type, as in ESP-IDF 5.3 and later (older ones kept one per type). Blobs are
//! written as one chunk and an index, and read with any number of chunks, or in the old one-page form.
//!
//! What it does not defend against: someone who writes to the flash chip. XTS hides values and garbles what is changed,
//! but old ciphertext can be put back, and a head that is garbled exposes the data behind it to be read as entries.
//!
//! Source: esp-idf v5.5 `components/nvs_flash/src/nvs_{page,pagemanager,storage}.cpp`.

mod medium;
mod mount;
mod space;

use crate::platform::{Region, RegionError};
use cotter_formats::addr::FlashLen;
use cotter_formats::crc::crc_a;
use cotter_formats::nvs::entry::{
    BlobIndex, Entry, ItemType, Key, LAST_NAMESPACE, NAMESPACE_TABLE, NOT_A_CHUNK, span_of,
};
use cotter_formats::nvs::page::{ENTRIES, ENTRY_SIZE, PageState, Version};
use embedded_storage::nor_flash::NorFlash;
use heapless::Vec;
use medium::{Medium, Slot};

/// A mounted partition. See [`Nvs::mount`].
#[derive(Debug)]
pub struct Nvs<F> {
    medium: Medium<F>,
    /// Pages that hold entries, oldest first. All others are free.
    pages: Vec<Page, MAX_PAGES>,
    /// A flash operation failed half-way: only a new mount knows what is there.
    failed: bool,
}

/// Most pages of a partition (256 KiB).
pub const MAX_PAGES: usize = 64;
/// Most bytes of a blob that can be set.
pub const MAX_BLOB: usize = 1984;
/// Most bytes of a string that can be set.
pub const MAX_STRING: usize = 511;

#[derive(Clone, Copy, Debug)]
struct Page {
    number: u32,
    sequence: u32,
    state: PageState,
    /// First entry never used, [`ENTRIES`] if there is none.
    next: usize,
}

/// What is to be stored.
enum Content<'a> {
    Number(ItemType, [u8; 8]),
    /// With its NUL.
    String(&'a [u8]),
    Blob(&'a [u8]),
}

impl<F: NorFlash> Nvs<F> {
    /// A number of 4 bytes; `None` if there is no such key.
    ///
    /// # Errors
    /// [`NvsError::Type`] if the key holds something else; flash.
    pub fn u32(&mut self, namespace: &Key, key: &Key) -> Result<Option<u32>, NvsError<F::Error>> {
        let value = self.number(namespace, key, ItemType::U32)?;
        Ok(value.map(|[a, b, c, d, ..]| u32::from_le_bytes([a, b, c, d])))
    }

    /// Stores a number of 4 bytes. Durable when it returns.
    ///
    /// # Errors
    /// [`NvsError`]; after [`NvsError::Flash`] the value is the old or the new one, which the next mount decides.
    pub fn set_u32(&mut self, namespace: &Key, key: &Key, value: u32) -> Result<(), NvsError<F::Error>> {
        let [a, b, c, d] = value.to_le_bytes();
        self.set(namespace, key, &Content::Number(ItemType::U32, [a, b, c, d, 0xFF, 0xFF, 0xFF, 0xFF]))
    }

    /// A number of 8 bytes; `None` if there is no such key.
    ///
    /// # Errors
    /// As [`Self::u32`].
    pub fn u64(&mut self, namespace: &Key, key: &Key) -> Result<Option<u64>, NvsError<F::Error>> {
        Ok(self.number(namespace, key, ItemType::U64)?.map(u64::from_le_bytes))
    }

    /// Stores a number of 8 bytes. Durable when it returns.
    ///
    /// # Errors
    /// As [`Self::set_u32`].
    pub fn set_u64(&mut self, namespace: &Key, key: &Key, value: u64) -> Result<(), NvsError<F::Error>> {
        self.set(namespace, key, &Content::Number(ItemType::U64, value.to_le_bytes()))
    }

    /// Reads a blob into the front of `out` and returns its length; `None` if there is no such key.
    ///
    /// # Errors
    /// [`NvsError::Room`] if `out` is too short, [`NvsError::Damaged`] if the content does not match its CRC or is not all
    /// there, [`NvsError::Type`]; flash. `out` may then hold part of it.
    pub fn blob(&mut self, namespace: &Key, key: &Key, out: &mut [u8]) -> Result<Option<usize>, NvsError<F::Error>> {
        let Some((slot, entry)) = self.find(namespace, key)? else { return Ok(None) };
        match entry.kind() {
            ItemType::BLOB => self.data(slot, &entry, out).map(Some),
            ItemType::BLOB_INDEX => {
                let index = entry.index();
                let needed = usize::try_from(index.size).unwrap_or(usize::MAX);
                let room = out.len();
                let mut rest = out.get_mut(..needed).ok_or(NvsError::Room { needed, room })?;
                for position in 0..index.chunks {
                    let chunk = index.first_chunk.checked_add(position).ok_or(NvsError::Damaged)?;
                    let found = self.latest(|candidate| is_chunk(candidate, &entry, chunk))?;
                    let (slot, head) = found.ok_or(NvsError::Damaged)?;
                    let len = usize::from(head.data_size());
                    if len > rest.len() {
                        return Err(NvsError::Damaged);
                    }
                    self.data(slot, &head, rest)?;
                    rest = rest.split_at_mut(len).1;
                }
                if rest.is_empty() { Ok(Some(needed)) } else { Err(NvsError::Damaged) }
            }
            stored => Err(NvsError::Type { stored }),
        }
    }

    /// Stores a blob of at most [`MAX_BLOB`] bytes. Durable when it returns.
    ///
    /// # Errors
    /// [`NvsError::TooLong`], and as [`Self::set_u32`].
    pub fn set_blob(&mut self, namespace: &Key, key: &Key, value: &[u8]) -> Result<(), NvsError<F::Error>> {
        if value.len() > MAX_BLOB {
            return Err(NvsError::TooLong { len: value.len(), limit: MAX_BLOB });
        }
        self.set(namespace, key, &Content::Blob(value))
    }

    /// Reads a string into the front of `out`, which must also have room for its NUL; `None` if there is no such key.
    ///
    /// # Errors
    /// As [`Self::blob`]; [`NvsError::Damaged`] also if it is not UTF-8 or does not end in its one NUL.
    pub fn string<'a>(
        &mut self,
        namespace: &Key,
        key: &Key,
        out: &'a mut [u8],
    ) -> Result<Option<&'a str>, NvsError<F::Error>> {
        let Some((slot, entry)) = self.find(namespace, key)? else { return Ok(None) };
        if entry.kind() != ItemType::STRING {
            return Err(NvsError::Type { stored: entry.kind() });
        }
        let len = self.data(slot, &entry, out)?;
        match out[..len].split_last() {
            Some((0, text)) if !text.contains(&0) => {
                core::str::from_utf8(text).map(Some).map_err(|_| NvsError::Damaged)
            }
            _ => Err(NvsError::Damaged),
        }
    }

    /// Stores a string of at most [`MAX_STRING`] bytes without NUL. Durable when it returns.
    ///
    /// # Errors
    /// [`NvsError::TooLong`], [`NvsError::NulInString`], and as [`Self::set_u32`].
    pub fn set_string(&mut self, namespace: &Key, key: &Key, value: &str) -> Result<(), NvsError<F::Error>> {
        let mut data = [0; MAX_STRING + 1];
        let too_long = NvsError::TooLong { len: value.len(), limit: MAX_STRING };
        data[..MAX_STRING].get_mut(..value.len()).ok_or(too_long)?.copy_from_slice(value.as_bytes());
        if value.contains('\0') {
            return Err(NvsError::NulInString);
        }
        self.set(namespace, key, &Content::String(&data[..=value.len()]))
    }

    /// Removes a value of any type; tells if there was one.
    ///
    /// # Errors
    /// Flash; the value is then there or not, which the next mount decides.
    pub fn erase_key(&mut self, namespace: &Key, key: &Key) -> Result<bool, NvsError<F::Error>> {
        self.guarded(|store| {
            let Some((_, entry)) = store.find(namespace, key)? else { return Ok(false) };
            store.erase_all_but(None, entry.namespace(), key)?;
            Ok(true)
        })
    }

    /// Gives the flash back.
    pub fn unmount(self) -> Region<F> {
        self.medium.into_region()
    }

    /// After a failed flash operation only a new mount knows what is there.
    fn guarded<T>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<T, NvsError<F::Error>>,
    ) -> Result<T, NvsError<F::Error>> {
        if self.failed {
            return Err(NvsError::MountAgain);
        }
        let result = run(self);
        self.failed = matches!(result, Err(NvsError::Flash(_)));
        result
    }

    fn number(&mut self, namespace: &Key, key: &Key, kind: ItemType) -> Result<Option<[u8; 8]>, NvsError<F::Error>> {
        match self.find(namespace, key)? {
            Some((_, entry)) if entry.kind() == kind => Ok(Some(entry.value())),
            Some((_, entry)) => Err(NvsError::Type { stored: entry.kind() }),
            None => Ok(None),
        }
    }

    /// The value under a key, which for a blob of chunks is its index.
    fn find(&mut self, namespace: &Key, key: &Key) -> Result<Option<(Slot, Entry)>, NvsError<F::Error>> {
        if self.failed {
            return Err(NvsError::MountAgain);
        }
        match self.namespace(namespace)? {
            Some(index) => self.latest(|entry| entry.is_value(index, key)),
            None => Ok(None),
        }
    }

    /// Index of a namespace.
    fn namespace(&mut self, name: &Key) -> Result<Option<u8>, NvsError<F::Error>> {
        let found = self.latest(|entry| entry.is_value(NAMESPACE_TABLE, name))?;
        Ok(found.and_then(|(_, entry)| namespace_index(&entry)))
    }

    /// The newest item that `wanted` accepts.
    fn latest(&mut self, wanted: impl Fn(&Entry) -> bool) -> Result<Option<(Slot, Entry)>, NvsError<F::Error>> {
        for position in (0..self.pages.len()).rev() {
            let page = self.pages[position].number;
            let (map, mut at, mut found) = (self.medium.map(page)?, 0, None);
            while let Some((slot, entry)) = self.medium.next_item(page, &map, at)? {
                at = slot.index + entry.span();
                if wanted(&entry) {
                    found = Some((slot, entry));
                }
            }
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Reads the data behind a head into the front of `out`.
    fn data(&mut self, slot: Slot, head: &Entry, out: &mut [u8]) -> Result<usize, NvsError<F::Error>> {
        let needed = usize::from(head.data_size());
        let room = out.len();
        let out = out.get_mut(..needed).ok_or(NvsError::Room { needed, room })?;
        for (part, piece) in out.chunks_mut(ENTRY_SIZE).enumerate() {
            let bytes = self.medium.bytes(Slot { index: slot.index + 1 + part, ..slot })?;
            piece.copy_from_slice(&bytes[..piece.len()]);
        }
        if crc_a(out) == head.data_crc() { Ok(needed) } else { Err(NvsError::Damaged) }
    }

    fn set(&mut self, namespace: &Key, key: &Key, content: &Content<'_>) -> Result<(), NvsError<F::Error>> {
        self.guarded(|store| {
            let index = match store.namespace(namespace)? {
                Some(index) => index,
                None => store.create_namespace(namespace)?,
            };
            let old = store.latest(|entry| entry.is_value(index, key))?;
            if let Some((slot, entry)) = &old
                && store.holds(*slot, entry, content)?
            {
                return Ok(());
            }
            let new = store.write(index, key, content, old.map(|(_, entry)| entry))?;
            store.erase_all_but(Some(new), index, key)
        })
    }

    /// Writes a new value beside the old one and returns where its head is.
    fn write(
        &mut self,
        namespace: u8,
        key: &Key,
        content: &Content<'_>,
        old: Option<Entry>,
    ) -> Result<Slot, NvsError<F::Error>> {
        let too_long = |data: &[u8]| NvsError::TooLong { len: data.len(), limit: MAX_BLOB };
        match *content {
            Content::Number(kind, value) => {
                let slot = self.reserve(1)?;
                self.append(slot, Entry::number(namespace, key, kind, value), &[])?;
                Ok(slot)
            }
            Content::String(data) => {
                let head = Entry::head(namespace, key, ItemType::STRING, NOT_A_CHUNK, data).ok_or(too_long(data))?;
                let slot = self.reserve(head.span())?;
                self.append(slot, head, data)?;
                Ok(slot)
            }
            Content::Blob(data) => {
                // The other half of the chunk numbers, so that old and new chunks can stand side by side.
                let old = old.filter(|entry| entry.kind() == ItemType::BLOB_INDEX).map(|entry| entry.index());
                let first_chunk = if old.is_some_and(|index| index.first_chunk < 0x80) { 0x80 } else { 0 };
                let head = Entry::head(namespace, key, ItemType::BLOB_DATA, first_chunk, data);
                let head = head.ok_or(too_long(data))?;
                let size = u32::try_from(data.len()).map_err(|_| too_long(data))?;
                let index = Entry::blob_index(namespace, key, BlobIndex { size, chunks: 1, first_chunk });
                let slot = self.reserve(head.span() + 1)?;
                self.append(slot, head, data)?;
                let slot = Slot { index: slot.index + head.span(), ..slot };
                self.append(slot, index, &[])?;
                Ok(slot)
            }
        }
    }

    /// Programs an item at `slot`, which is reserved, and makes it count.
    fn append(&mut self, slot: Slot, head: Entry, data: &[u8]) -> Result<(), NvsError<F::Error>> {
        self.medium.program(slot, head.to_bytes())?;
        for (part, piece) in data.chunks(ENTRY_SIZE).enumerate() {
            let mut bytes = [0xFF; ENTRY_SIZE];
            bytes[..piece.len()].copy_from_slice(piece);
            self.medium.program(Slot { index: slot.index + 1 + part, ..slot }, bytes)?;
        }
        let span = span_of(data.len());
        self.medium.mark_written(slot, span)?;
        self.used_up_to(slot.index + span);
        Ok(())
    }

    /// Erases whatever is stored under a key, oldest first, except the value at `kept` and its chunks. Chunks go last:
    /// without their index they are nothing.
    fn erase_all_but(&mut self, kept: Option<Slot>, namespace: u8, key: &Key) -> Result<(), NvsError<F::Error>> {
        let kept_index = match kept {
            Some(slot) => Some(self.medium.entry(slot)?).filter(|entry| entry.kind() == ItemType::BLOB_INDEX),
            None => None,
        };
        let is_kept_chunk = |entry: &Entry| kept_index.is_some_and(|index| index.index().covers(entry.chunk()));
        self.erase_matching(|slot, entry| Some(slot) != kept && entry.is_value(namespace, key))?;
        self.erase_matching(|_, entry| {
            let chunk = entry.kind() == ItemType::BLOB_DATA && entry.namespace() == namespace && entry.key() == *key;
            chunk && !is_kept_chunk(entry)
        })
    }

    fn erase_matching(&mut self, unwanted: impl Fn(Slot, &Entry) -> bool) -> Result<(), NvsError<F::Error>> {
        for position in 0..self.pages.len() {
            let page = self.pages[position].number;
            let (map, mut at) = (self.medium.map(page)?, 0);
            while let Some((slot, entry)) = self.medium.next_item(page, &map, at)? {
                at = slot.index + entry.span();
                if unwanted(slot, &entry) {
                    self.medium.mark_erased(slot, entry.span())?;
                }
            }
        }
        Ok(())
    }

    /// True if the stored value is `content` already: writing it again would only wear the flash.
    fn holds(&mut self, slot: Slot, entry: &Entry, content: &Content<'_>) -> Result<bool, NvsError<F::Error>> {
        match *content {
            Content::Number(kind, value) => Ok(entry.kind() == kind && entry.value() == value),
            Content::String(data) => Ok(entry.kind() == ItemType::STRING && self.has_data(slot, entry, data)?),
            Content::Blob(data) => {
                let index = entry.index();
                let one_chunk = index.chunks == 1 && usize::try_from(index.size) == Ok(data.len());
                if entry.kind() != ItemType::BLOB_INDEX || !one_chunk {
                    return Ok(false);
                }
                match self.latest(|candidate| is_chunk(candidate, entry, index.first_chunk))? {
                    Some((slot, head)) => self.has_data(slot, &head, data),
                    None => Ok(false),
                }
            }
        }
    }

    fn has_data(&mut self, slot: Slot, head: &Entry, data: &[u8]) -> Result<bool, NvsError<F::Error>> {
        if usize::from(head.data_size()) != data.len() {
            return Ok(false);
        }
        for (part, piece) in data.chunks(ENTRY_SIZE).enumerate() {
            let bytes = self.medium.bytes(Slot { index: slot.index + 1 + part, ..slot })?;
            if bytes[..piece.len()] != *piece {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives a namespace the lowest index that nothing on flash refers to.
    fn create_namespace(&mut self, name: &Key) -> Result<u8, NvsError<F::Error>> {
        let mut taken = [false; 256];
        for position in 0..self.pages.len() {
            let page = self.pages[position].number;
            let (map, mut at) = (self.medium.map(page)?, 0);
            while let Some((slot, entry)) = self.medium.next_item(page, &map, at)? {
                at = slot.index + entry.span();
                taken[usize::from(entry.namespace())] = true;
                if entry.namespace() == NAMESPACE_TABLE
                    && let Some(index) = namespace_index(&entry)
                {
                    taken[usize::from(index)] = true;
                }
            }
        }
        let free = (1..=LAST_NAMESPACE).find(|&index| !taken[usize::from(index)]);
        let index = free.ok_or(NvsError::TooManyNamespaces)?;
        let value = [index, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
        let slot = self.write(NAMESPACE_TABLE, name, &Content::Number(ItemType::U8, value), None)?;
        self.erase_all_but(Some(slot), NAMESPACE_TABLE, name)?;
        Ok(index)
    }
}

/// True if `candidate` is chunk number `chunk` of the blob that `index` describes.
fn is_chunk(candidate: &Entry, index: &Entry, chunk: u8) -> bool {
    candidate.kind() == ItemType::BLOB_DATA
        && candidate.chunk() == chunk
        && candidate.namespace() == index.namespace()
        && candidate.key() == index.key()
}

/// The index that an entry of the namespace table gives, if it can be one.
fn namespace_index(entry: &Entry) -> Option<u8> {
    let [index, ..] = entry.value();
    (entry.kind() == ItemType::U8 && (1..=LAST_NAMESPACE).contains(&index)).then_some(index)
}

/// Why the store refused or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NvsError<E> {
    /// Flash failed. What was being written is there or not; the store must be mounted again.
    #[error("NVS: {0}")]
    Flash(#[from] RegionError<E>),
    /// An earlier operation failed; see [`NvsError::Flash`].
    #[error("NVS: mount again after a flash failure")]
    MountAgain,
    /// Not 3 to [`MAX_PAGES`] whole pages.
    #[error("NVS: a partition of {len} is not 3 to {MAX_PAGES} pages of 4096 bytes")]
    Size {
        /// Size of the partition.
        len: FlashLen,
    },
    /// A page of a newer format.
    #[error("NVS: page {page} has version byte {:#04x}, this store knows 0xff and 0xfe", .version.0)]
    Version {
        /// Which page.
        page: u32,
        /// Its version.
        version: Version,
    },
    /// There are entries, and not one of them is sound: wrong keys, or none, or keys for a store in the clear.
    #[error("NVS: not one entry can be read with these keys")]
    NothingReadable,
    /// Every page holds entries; a writable partition has one in reserve.
    #[error("NVS: no free page")]
    NoFreePage,
    /// The values need the room.
    #[error("NVS: no room for {needed} more entries")]
    NoSpace {
        /// Entries of 32 bytes.
        needed: usize,
    },
    /// The newest page has the last sequence number there is.
    #[error("NVS: page sequence numbers are used up")]
    SequenceExhausted,
    /// All 254 are in use.
    #[error("NVS: all {LAST_NAMESPACE} namespaces are in use")]
    TooManyNamespaces,
    /// The key holds something else.
    #[error("NVS: the value has type {:#04x}", .stored.0)]
    Type {
        /// What it holds.
        stored: ItemType,
    },
    /// The caller's buffer is too short.
    #[error("NVS: the value is {needed} bytes, the buffer {room}")]
    Room {
        /// Bytes of the value.
        needed: usize,
        /// Bytes of the buffer.
        room: usize,
    },
    /// The value's data do not match its CRC, are not all there, or are no text.
    #[error("NVS: the value is damaged")]
    Damaged,
    /// Longer than this store writes.
    #[error("NVS: the value is {len} bytes, at most {limit} can be set")]
    TooLong {
        /// Bytes of the value.
        len: usize,
        /// Most that can be set.
        limit: usize,
    },
    /// A NUL would end the string early.
    #[error("NVS: the string contains a NUL")]
    NulInString,
}

const _: () = assert!(span_of(MAX_BLOB) < ENTRIES && MAX_STRING < MAX_BLOB);
