//! Encrypts or decrypts a whole partition in place, entry by entry, whatever is in it.
//!
//! Covered is what the device encrypts: entries marked as written, and erased ones that hold something. Page headers,
//! maps and what was never written stay as they are, so decrypting undoes encrypting exactly.

use super::crypt::EntryCipher;
use super::keys::NvsKeys;
use super::page::{ENTRIES, ENTRY_SIZE, EntryState, MAP_OFFSET, PAGE_SIZE, PageHeader, StateMap, entry_offset};

/// Encrypts every entry of a plain partition; returns how many.
///
/// # Errors
/// [`LengthError`]; `partition` is unchanged.
pub fn encrypt_partition(keys: &NvsKeys, partition: &mut [u8]) -> Result<usize, LengthError> {
    for_each_entry(partition, |cipher, offset, entry| cipher.encrypt(offset, entry), keys)
}

/// Decrypts every entry of an encrypted partition; returns how many. Whether `keys` were the right ones is seen only by
/// reading the result.
///
/// # Errors
/// [`LengthError`]; `partition` is unchanged.
pub fn decrypt_partition(keys: &NvsKeys, partition: &mut [u8]) -> Result<usize, LengthError> {
    for_each_entry(partition, |cipher, offset, entry| cipher.decrypt(offset, entry), keys)
}

fn for_each_entry(
    partition: &mut [u8],
    apply: impl Fn(&EntryCipher, u32, &mut [u8; ENTRY_SIZE]),
    keys: &NvsKeys,
) -> Result<usize, LengthError> {
    let len = partition.len();
    if len == 0 || !len.is_multiple_of(PAGE_SIZE) || u32::try_from(len).is_err() {
        return Err(LengthError { len });
    }
    let (cipher, mut entries) = (EntryCipher::new(keys), 0);
    for (number, page) in partition.as_chunks_mut::<PAGE_SIZE>().0.iter_mut().enumerate() {
        let mut header = [0; ENTRY_SIZE];
        header.copy_from_slice(&page[..ENTRY_SIZE]);
        if !PageHeader::from_bytes(header).state().holds_entries() {
            continue;
        }
        let mut map = StateMap::EMPTY;
        map.0.copy_from_slice(&page[MAP_OFFSET..MAP_OFFSET + ENTRY_SIZE]);
        for index in 0..ENTRIES {
            let at = entry_offset(index);
            let entry: &mut [u8; ENTRY_SIZE] =
                (&mut page[at..at + ENTRY_SIZE]).try_into().expect("the range is one entry long");
            let covered = match map.state(index) {
                EntryState::Written => true,
                EntryState::Erased => entry.iter().any(|&byte| byte != 0xFF),
                EntryState::Empty | EntryState::Illegal => false,
            };
            if covered {
                let offset = u32::try_from(number * PAGE_SIZE + at).expect("the length came from a u32");
                apply(&cipher, offset, entry);
                entries += 1;
            }
        }
    }
    Ok(entries)
}

/// Not a positive multiple of the page size, or 4 GiB and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("NVS partition of {len} bytes is not a multiple of 4096")]
pub struct LengthError {
    /// Its length.
    pub len: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> NvsKeys {
        NvsKeys::parse(include_bytes!("../../../vectors/nvs/nvs_keys_fixed.bin")).unwrap()
    }

    #[test]
    fn turns_the_generators_plain_image_into_its_encrypted_one_and_back() {
        for (plain, encrypted) in [
            (
                &include_bytes!("../../../vectors/nvs/basic-v2.bin")[..],
                &include_bytes!("../../../vectors/nvs/basic-v2-enc.bin")[..],
            ),
            (
                include_bytes!("../../../vectors/nvs/fill-v1.bin"),
                include_bytes!("../../../vectors/nvs/fill-v1-enc.bin"),
            ),
            (
                include_bytes!("../../../vectors/nvs/multipage-v2.bin"),
                include_bytes!("../../../vectors/nvs/multipage-v2-enc.bin"),
            ),
        ] {
            let mut bytes = plain.to_vec();
            let entries = encrypt_partition(&keys(), &mut bytes).unwrap();
            assert!(bytes == encrypted && entries > 0);
            assert_eq!(decrypt_partition(&keys(), &mut bytes), Ok(entries));
            assert!(bytes == plain);
        }
    }

    #[test]
    fn refuses_a_part_of_a_page() {
        for len in [0, 1, 4095, 4097] {
            let mut bytes = alloc::vec![0; len];
            assert_eq!(decrypt_partition(&keys(), &mut bytes), Err(LengthError { len }));
        }
    }
}
