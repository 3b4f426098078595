//! What the rules look at: fields by name, what is frozen and hidden, and what each key block is for.

use crate::efuse::{ChipRevision, EfuseBlock, EfuseImage, EfuseMap, Family, Field, KeyPurpose};
use alloc::string::String;
use alloc::vec::Vec;

/// The eFuses of a chip, by name.
pub(in crate::efuse) struct State<'a> {
    pub(super) image: &'a EfuseImage,
    pub(super) map: EfuseMap,
    write_disabled: u32,
    read_disabled: u32,
    pub(super) keys: Vec<Key<'a>>,
}

/// What a key block is used for, whatever the family calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Blank.
    Free,
    /// Data without a purpose.
    Plain,
    /// Flash encryption, in one block (legacy AES, XTS-AES-128).
    Flash,
    /// XTS-AES-256, first or second half.
    FlashHalf(u8),
    /// The trusted Secure Boot V2 digest of that slot.
    Digest(u8),
    /// The key of Secure Boot V1.
    BootKey,
    /// ECDSA P-384: high or low part.
    EcdsaHalf(KeyPurpose),
    /// Any other secret.
    Secret(KeyPurpose),
    /// A purpose that this chip gives no meaning, or an open one.
    Other(KeyPurpose),
}

impl Role {
    /// True if software must never read it.
    pub(super) const fn is_secret(self) -> bool {
        matches!(self, Self::Flash | Self::FlashHalf(_) | Self::BootKey | Self::EcdsaHalf(_) | Self::Secret(_))
    }
}

/// A key block, or on the ESP32-C2 half of one.
pub(super) struct Key<'a> {
    pub(super) name: &'static str,
    pub(super) role: Role,
    /// What is readable: zeros if hidden.
    pub(super) bytes: &'a [u8],
    pub(super) is_hidden: bool,
    pub(super) is_frozen: bool,
    /// `None` if the chip has no field for it.
    pub(super) purpose: Option<(&'static Field, bool)>,
    pub(super) index: u8,
}

impl Key<'_> {
    pub(super) fn is_zero(&self) -> bool {
        !self.is_hidden && self.bytes.iter().all(|byte| *byte == 0)
    }
}

impl<'a> State<'a> {
    pub(in crate::efuse) fn new(image: &'a EfuseImage) -> Self {
        let map = *image.map();
        let read = |field: &Field| image.block(field.block).and_then(|block| field.read(block)).unwrap_or(0);
        let (write_disabled, read_disabled) = (read(map.wr_dis()), read(map.rd_dis()));
        let mut state = Self { image, map, write_disabled, read_disabled, keys: Vec::new() };
        state.keys = state.read_keys();
        state
    }

    /// Names several fields at once: the rule is about the first that the chip has.
    pub(super) fn first<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        names.iter().copied().find(|name| self.has(name))
    }

    pub(in crate::efuse) fn has(&self, name: &str) -> bool {
        self.map.field(name).is_some()
    }

    /// 0 for a field that the chip does not have.
    pub(in crate::efuse) fn value(&self, name: &str) -> u32 {
        self.map.field(name).map_or(0, |field| self.read(field))
    }

    pub(super) fn read(&self, field: &Field) -> u32 {
        self.image.block(field.block).and_then(|block| field.read(block)).unwrap_or(0)
    }

    pub(in crate::efuse) fn is_set(&self, name: &str) -> bool {
        self.value(name) != 0
    }

    /// True if no bit of the field can be burned any more.
    pub(in crate::efuse) fn is_frozen(&self, name: &str) -> bool {
        self.map.field(name).is_some_and(|field| self.is_frozen_bit(field.write_protect_bit))
    }

    pub(in crate::efuse) fn all_ones(&self, name: &str) -> u32 {
        self.map.field(name).map_or(0, Field::all_ones)
    }

    pub(super) fn is_frozen_bit(&self, bit: Option<u8>) -> bool {
        bit.is_some_and(|bit| self.write_disabled.checked_shr(bit.into()).unwrap_or(0) & 1 == 1)
    }

    /// True if everything under the mask is hidden.
    pub(super) const fn is_hidden(&self, read_protect_mask: u8) -> bool {
        read_protect_mask != 0 && self.read_disabled & read_protect_mask as u32 == read_protect_mask as u32
    }

    /// Other fields, shown by name, that the write protection of this one freezes too.
    pub(in crate::efuse) fn shares_protection_with(map: &EfuseMap, name: &str) -> Vec<&'static str> {
        let Some(field) = map.field(name) else { return Vec::new() };
        let Some(bit) = field.write_protect_bit else { return Vec::new() };
        let same = map.fields.iter().filter(|other| other.write_protect_bit == Some(bit) && !other.reserved);
        same.filter(|other| other.name != field.name).map(|other| other.name).collect()
    }

    pub(super) fn flash_keys(&self) -> impl Iterator<Item = &Key<'a>> {
        self.keys.iter().filter(|key| matches!(key.role, Role::Flash | Role::FlashHalf(_)))
    }

    /// The blocks that hold the digest of a slot.
    pub(super) fn digests(&self) -> impl Iterator<Item = (u8, &Key<'a>)> {
        self.keys.iter().filter_map(|key| match key.role {
            Role::Digest(slot) => Some((slot, key)),
            _ => None,
        })
    }

    /// The revision; `None` for an image without a MAC, which is of no real chip and may become any.
    pub(in crate::efuse) fn revision(&self) -> Option<ChipRevision> {
        (self.image.mac() != [0; 6]).then(|| self.image.revision())
    }

    /// How many Secure Boot V2 digests this chip can trust.
    pub(super) fn slots(&self) -> u8 {
        if self.map.family == Family::Many { 3 } else { 1 }
    }

    pub(super) fn is_revoked(&self, slot: u8) -> bool {
        self.map.key_revokes.get(usize::from(slot)).is_some_and(|field| self.read(field) != 0)
    }

    pub(super) fn secure_boot_v1(&self) -> bool {
        self.is_set("ABS_DONE_0")
    }

    /// True if BLOCK2 of an ESP32 is used as Secure Boot V1 uses it.
    pub(super) fn is_boot_v1(&self) -> bool {
        self.secure_boot_v1() || self.keys.iter().any(|key| key.role == Role::BootKey)
    }

    pub(super) fn secure_boot_v2(&self) -> bool {
        self.is_set("ABS_DONE_1") || self.is_set("SECURE_BOOT_EN")
    }

    /// The counter's name, its value, and all its bits.
    pub(super) fn crypt_cnt(&self) -> (&'static str, u32, u32) {
        let name = if self.map.family == Family::Esp32 { "FLASH_CRYPT_CNT" } else { "SPI_BOOT_CRYPT_CNT" };
        (name, self.value(name), self.map.field(name).map_or(0, Field::all_ones))
    }

    pub(super) fn flash_encryption(&self) -> bool {
        self.crypt_cnt().1.count_ones() % 2 == 1
    }

    /// Bit 1 of `FORCE_USE_KEY_MANAGER_KEY`: flash encryption takes its key from the key manager.
    pub(super) fn flash_key_is_managed(&self) -> bool {
        self.value("FORCE_USE_KEY_MANAGER_KEY") >> 1 & 1 == 1
    }

    fn read_keys(&self) -> Vec<Key<'a>> {
        match self.map.family {
            Family::Esp32 => self.keys_of_esp32(),
            Family::Esp32C2 => self.keys_of_esp32c2(),
            Family::Many => self.map.key_blocks().filter_map(|block| self.key_with_purpose(block)).collect(),
        }
    }

    fn key_with_purpose(&self, block: EfuseBlock) -> Option<Key<'a>> {
        let (low, high) = self.map.key_purpose_fields(block)?;
        let purpose = self.read(low) | high.map_or(0, |high| self.read(high) << low.len);
        let purpose = KeyPurpose(u8::try_from(purpose).unwrap_or(u8::MAX));
        let frozen = self.is_frozen_bit(low.write_protect_bit);
        let mut key = self.key(block, 0)?;
        key.purpose = Some((low, frozen));
        let digest = KeyPurpose::SECURE_BOOT_DIGESTS.iter().position(|digest| *digest == purpose);
        key.role = match purpose {
            KeyPurpose::USER if key.is_zero() && !key.is_frozen => Role::Free,
            KeyPurpose::USER => Role::Plain,
            KeyPurpose::XTS_AES_128_KEY => Role::Flash,
            KeyPurpose::XTS_AES_256_KEY_1 if self.map.purpose(purpose).is_some_and(|known| known.is_hidden) => {
                Role::FlashHalf(1)
            }
            KeyPurpose::XTS_AES_256_KEY_2 if self.map.purpose(purpose).is_some_and(|known| known.is_hidden) => {
                Role::FlashHalf(2)
            }
            KeyPurpose::ECDSA_KEY_P384_L | KeyPurpose::ECDSA_KEY_P384_H if self.map.purpose(purpose).is_some() => {
                Role::EcdsaHalf(purpose)
            }
            _ => match (digest.and_then(|slot| u8::try_from(slot).ok()), self.map.purpose(purpose)) {
                (Some(slot), _) => Role::Digest(slot),
                (None, Some(known)) if known.is_hidden => Role::Secret(purpose),
                _ => Role::Other(purpose),
            },
        };
        Some(key)
    }

    /// BLOCK1 is the flash key; BLOCK2 the V1 key or the V2 digest, which only the enable bits and the protection tell.
    fn keys_of_esp32(&self) -> Vec<Key<'a>> {
        let mut keys = Vec::new();
        if let Some(mut key) = self.key(EfuseBlock(1), 0) {
            key.role =
                if key.is_zero() && !key.is_frozen && !self.flash_encryption() { Role::Free } else { Role::Flash };
            keys.push(key);
        }
        if let Some(mut key) = self.key(EfuseBlock(2), 0) {
            key.role = if self.secure_boot_v2() {
                Role::Digest(0)
            } else if self.secure_boot_v1() || key.is_hidden {
                Role::BootKey
            } else if key.is_zero() && !key.is_frozen {
                Role::Free
            } else {
                Role::Digest(0)
            };
            keys.push(key);
        }
        keys
    }

    /// One block: all of it the flash key, or its low half, with the digest in the high half.
    fn keys_of_esp32c2(&self) -> Vec<Key<'a>> {
        let block = EfuseBlock(3);
        let mut keys = Vec::new();
        if self.is_set("XTS_KEY_LENGTH_256") && !self.secure_boot_v2() {
            if let Some(mut key) = self.key(block, 0) {
                key.role = Role::Flash;
                keys.push(key);
            }
            return keys;
        }
        if let Some(mut key) = self.key(block, 0b01) {
            key.name = "BLOCK_KEY0_LOW_128";
            key.role = if key.is_zero() && !self.flash_encryption() { Role::Free } else { Role::Flash };
            keys.push(key);
        }
        if let Some(mut key) = self.key(block, 0b10) {
            key.name = "BLOCK_KEY0_HI_128";
            key.role = if key.is_zero() && !self.secure_boot_v2() { Role::Free } else { Role::Digest(0) };
            keys.push(key);
        }
        keys
    }

    /// `hidden_by`: the bit of `RD_DIS` that hides the low (1) or high (2) half, on the ESP32-C2; 0 for the whole block.
    fn key(&self, block: EfuseBlock, hidden_by: u8) -> Option<Key<'a>> {
        let layout = self.map.block(block)?;
        let mask = if hidden_by == 0 { layout.read_protect_mask } else { hidden_by };
        let whole = self.image.block(block)?;
        let bytes = match hidden_by {
            0b01 => whole.get(..16)?,
            0b10 => whole.get(16..)?,
            _ => whole,
        };
        Some(Key {
            name: layout.name,
            role: Role::Free,
            bytes,
            is_hidden: self.is_hidden(mask),
            is_frozen: self.is_frozen_bit(layout.write_protect_bit),
            purpose: None,
            index: self.map.key_index(block)?,
        })
    }
}

/// Names in a sentence: "A, B and C".
pub(super) fn listed(names: &[&str]) -> String {
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        let joint = match index {
            0 => "",
            _ if index + 1 == names.len() => " and ",
            _ => ", ",
        };
        text.push_str(joint);
        text.push_str(name);
    }
    text
}
