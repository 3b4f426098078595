//! `burn-key` and `burn-key-digest`: which bytes go where, in which order, and what is protected with them.

use super::{Session, SessionError};
use cotter_formats::efuse::esp32c2::{BLOCK_KEY0_HI_128, BLOCK_KEY0_LOW_128};
use cotter_formats::efuse::{Coding, EfuseBlock, Family, Field, KeyPurpose, Purpose, PurposeValue};
use zeroize::Zeroizing;

/// A key, the block that it goes to by any of its names, and what it is for.
pub struct KeyToBurn {
    /// `BLOCK_KEY0`, `BLOCK4`; on the ESP32 also `flash_encryption`, `secure_boot_v1`, `secure_boot_v2`.
    pub block: String,
    /// As the file has it. ECDSA private keys as the big-endian number, 24, 32 or 48 bytes.
    pub data: Zeroizing<Vec<u8>>,
    /// By espefuse's name; nothing on the ESP32, where the name of the block says it.
    pub purpose: Option<String>,
}

/// What is left open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyOptions {
    /// `--no-read-protect`. On the ESP32, `--no-protect-key` is both.
    pub keep_readable: bool,
    /// `--no-write-protect`.
    pub keep_writable: bool,
}

/// One block, with the bytes in the order of the file.
struct Part {
    block: EfuseBlock,
    data: Zeroizing<Vec<u8>>,
    purpose: Purpose,
}

impl Session {
    /// `burn-key`, several keys in one command.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn burn_keys(&mut self, keys: &[KeyToBurn], options: KeyOptions) -> Result<(), SessionError> {
        match self.image.map().family {
            Family::Esp32 => keys.iter().try_for_each(|key| self.burn_esp32_key(key, options)),
            Family::Esp32C2 => self.burn_esp32c2_keys(keys, options),
            Family::Many => {
                for part in self.parts(keys)? {
                    self.burn_part(&part, options)?;
                }
                Ok(())
            }
        }
    }

    /// `burn-key-digest`: the digest of a Secure Boot V2 key.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn burn_digest(
        &mut self,
        block: Option<&str>,
        digest: &[u8; 32],
        purpose: Option<&str>,
        options: KeyOptions,
    ) -> Result<(), SessionError> {
        let data = Zeroizing::new(digest.to_vec());
        match self.image.map().family {
            Family::Esp32 => {
                if self.image.coding(EfuseBlock(2)) != Coding::None {
                    return Err(SessionError::DigestCoded);
                }
                if self.image.revision().0 < 300 {
                    return Err(SessionError::TooOld(self.image.revision()));
                }
                let field = self.field("BLOCK2")?;
                self.take(EfuseBlock(2))?;
                self.save(field, &data)?;
                if options.keep_writable { Ok(()) } else { self.disable_write(field) }
            }
            Family::Esp32C2 => {
                let purpose = Some("SECURE_BOOT_DIGEST".to_owned());
                self.burn_keys(&[KeyToBurn { block: "BLOCK_KEY0".to_owned(), data, purpose }], options)
            }
            Family::Many => {
                let chip = self.image.map().chip;
                let purpose = purpose.unwrap_or("SECURE_BOOT_DIGEST0");
                let listed = self.image.map().purpose_named(purpose).filter(|purpose| purpose.is_digest);
                listed.ok_or_else(|| SessionError::UnknownPurpose { purpose: purpose.to_owned() })?;
                let block = block.ok_or(SessionError::NoSuchBlock { name: String::new(), chip })?.to_owned();
                self.burn_keys(&[KeyToBurn { block, data, purpose: Some(purpose.to_owned()) }], options)
            }
        }
    }

    fn burn_esp32_key(&mut self, key: &KeyToBurn, options: KeyOptions) -> Result<(), SessionError> {
        let block = self.block(&key.block)?;
        self.image.map().key_index(block).ok_or_else(|| self.no_key_block(&key.block))?;
        let name = self.image.map().block(block).map_or("", |layout| layout.name);
        let field = self.field(name)?;
        let expected = self.image.data_len(block).unwrap_or(0);
        if key.data.len() != expected {
            return Err(SessionError::Length { what: name.to_owned(), expected, got: key.data.len() });
        }
        self.take(block)?;
        let mut data = key.data.clone();
        let is_secret = matches!(key.block.as_str(), "flash_encryption" | "secure_boot_v1");
        if is_secret {
            data.reverse();
        } else if block.0 == 1 {
            self.notes.push("by the name BLOCK1 a key is neither reversed nor hidden: flash_encryption is".to_owned());
        }
        self.save(field, &data)?;
        if is_secret && !options.keep_readable {
            self.disable_read(field)?;
        }
        if options.keep_writable { Ok(()) } else { self.disable_write(field) }
    }

    fn burn_esp32c2_keys(&mut self, keys: &[KeyToBurn], options: KeyOptions) -> Result<(), SessionError> {
        let mut purposes = Vec::new();
        for key in keys {
            let block = self.block(&key.block)?;
            self.image.map().key_index(block).ok_or_else(|| self.no_key_block(&key.block))?;
            purposes.push(self.named(key.purpose.as_deref())?);
        }
        if let [a, b, ..] = purposes.as_slice() {
            let is_half = |purpose: &Purpose| matches!(purpose.value, PurposeValue::LowHalf | PurposeValue::HighHalf);
            let clash = a.value == b.value || a.name == "XTS_AES_128_KEY" || b.name == "XTS_AES_128_KEY";
            if keys.len() > 2 || clash || (is_half(a) && !is_half(b)) {
                return Err(SessionError::PurposesClash(a.to_string(), b.to_string()));
            }
        }
        for (key, purpose) in keys.iter().zip(purposes) {
            let mut data = key.data.clone();
            let field: &'static Field = match purpose.value {
                PurposeValue::LowHalf => &BLOCK_KEY0_LOW_128,
                PurposeValue::HighHalf => &BLOCK_KEY0_HI_128,
                _ => self.field("BLOCK_KEY0")?,
            };
            if purpose.is_digest && data.len() == 32 {
                data.truncate(16);
            }
            if data.len() != usize::from(field.len / 8) {
                let (what, expected) = (field.name.to_owned(), usize::from(field.len / 8));
                return Err(SessionError::Length { what, expected, got: data.len() });
            }
            if purpose.is_reversed {
                data.reverse();
            }
            self.save(field, &data)?;
            if purpose.value == PurposeValue::WholeBlock {
                self.save_named("XTS_KEY_LENGTH_256", 1)?;
            }
            if purpose.is_reversed && !options.keep_readable {
                self.disable_read(field)?;
            }
            if !options.keep_writable {
                self.disable_write(field)?;
            }
        }
        Ok(())
    }

    /// Splits keys of 64 bytes over two blocks, and pads ECDSA keys.
    fn parts(&self, keys: &[KeyToBurn]) -> Result<Vec<Part>, SessionError> {
        let mut given = Vec::new();
        for key in keys {
            let block = self.block(&key.block)?;
            self.image.map().key_index(block).ok_or_else(|| self.no_key_block(&key.block))?;
            given.push((block, self.named(key.purpose.as_deref())?, padded(key)));
        }
        let mut parts: Vec<Part> = Vec::new();
        for (index, (block, purpose, data)) in given.iter().enumerate() {
            let PurposeValue::Pair(first, second) = purpose.value else {
                parts.push(Part { block: *block, data: data.clone(), purpose: *purpose });
                continue;
            };
            if data.len() != 64 {
                return Err(SessionError::Length { what: purpose.to_string(), expected: 64, got: data.len() });
            }
            let others = given.iter().skip(index).map(|(block, ..)| *block);
            let named: Vec<EfuseBlock> = parts.iter().map(|part| part.block).chain(others).collect();
            let next = self.next_free(*block, &named);
            let next = next.ok_or_else(|| SessionError::NoSecondBlock { purpose: purpose.to_string() })?;
            let (low, high) = data.split_at(32);
            for (block, value, half) in [(*block, first, low), (next, second, high)] {
                let listed = self.image.map().purpose(value).copied();
                let purpose = listed.ok_or_else(|| SessionError::UnknownPurpose { purpose: purpose.to_string() })?;
                parts.push(Part { block, data: Zeroizing::new(half.to_vec()), purpose });
            }
        }
        Ok(parts)
    }

    /// The next key block that nothing is burned in, from this one on and around.
    fn next_free(&self, from: EfuseBlock, named: &[EfuseBlock]) -> Option<EfuseBlock> {
        let (before, after): (Vec<_>, Vec<_>) = self.image.map().key_blocks().partition(|block| *block < from);
        let mut candidates = after.into_iter().chain(before);
        candidates.find(|block| {
            let (Some((purpose, _)), Some(data)) =
                (self.image.map().key_purpose_fields(*block), self.image.block(*block))
            else {
                return false;
            };
            // Off-spec: espefuse does not look at what other commands of the same session have given a key.
            !named.contains(block)
                && !self.keyed.contains(block)
                && self.image.is_block_readable(*block)
                && self.image.is_block_writable(*block)
                && self.image.key_purpose(*block) == Some(KeyPurpose::USER)
                && self.image.is_writable(purpose)
                && data.iter().all(|byte| *byte == 0)
        })
    }

    fn burn_part(&mut self, part: &Part, options: KeyOptions) -> Result<(), SessionError> {
        let map = *self.image.map();
        let Part { block, purpose, .. } = *part;
        let name = map.block(block).map_or("", |layout| layout.name);
        let (field, (purpose_field, _)) =
            (self.field(name)?, map.key_purpose_fields(block).ok_or_else(|| self.no_key_block(name))?);
        let mut data = part.data.clone();
        if purpose.is_reversed {
            data.reverse();
        }
        if data.len() != 32 {
            return Err(SessionError::Length { what: purpose.to_string(), expected: 32, got: data.len() });
        }
        self.take(block)?;
        self.save(field, &data)?;
        let PurposeValue::Burned(value) = purpose.value else {
            return Err(SessionError::UnknownPurpose { purpose: purpose.to_string() });
        };
        let is_writable = self.image.is_writable(purpose_field);
        if self.image.key_purpose(block) != Some(value) {
            if !is_writable {
                return Err(SessionError::PurposeFrozen { field: purpose_field.name, purpose: purpose.to_string() });
            }
            self.save_purpose(purpose_field, u32::from(value.0))?;
        }
        // The nonces of ECDSA must not come from software, on the revisions of the ESP32-H2 that leave the choice.
        if purpose.name == "ECDSA_KEY" && map.field("ECDSA_FORCE_USE_HARDWARE_K").is_some() {
            self.save_named("ECDSA_FORCE_USE_HARDWARE_K", 1)?;
        }
        if is_writable {
            self.disable_write(purpose_field)?;
        }
        if purpose.is_hidden && !options.keep_readable {
            self.disable_read(field)?;
        }
        if options.keep_writable { Ok(()) } else { self.disable_write(field) }
    }

    /// Prepares `KEY_PURPOSE_n`, over both of its fields where the fifth bit is apart.
    pub(super) fn save_purpose(&mut self, field: &'static Field, value: u32) -> Result<(), SessionError> {
        let map = *self.image.map();
        let index = map.key_purposes.iter().position(|purpose| purpose.name == field.name).unwrap_or(0);
        let narrow = u8::try_from(value).ok().map(KeyPurpose);
        let listed = narrow.and_then(|value| map.purpose(value));
        let name = listed.map_or_else(|| format!("CUSTOM_{value}"), ToString::to_string);
        if value == 0 || (listed.is_none() && !(map.has_custom_purposes() && value < 32)) {
            return Err(SessionError::UnknownPurpose { purpose: if value == 0 { "USER".to_owned() } else { name } });
        }
        if map.has_key5_quirk() && index == 5 && name.starts_with("XTS_AES") {
            return Err(SessionError::QuirkOfKey5 { field: field.name, purpose: name });
        }
        if let Some(high) = map.key_purposes_high.get(index) {
            if value & 0xf != 0 {
                self.save(field, &(value & 0xf).to_le_bytes())?;
            }
            return if value >> 4 == 0 { Ok(()) } else { self.save(high, &(value >> 4).to_le_bytes()) };
        }
        if value >> field.len != 0 {
            return Err(SessionError::DoesNotFit { field: field.name.to_owned(), value, bits: field.len });
        }
        self.save(field, &value.to_le_bytes())
    }

    fn named(&self, purpose: Option<&str>) -> Result<Purpose, SessionError> {
        let purpose = purpose.unwrap_or_default();
        let listed = self.image.map().purpose_named(purpose);
        listed.ok_or_else(|| SessionError::UnknownPurpose { purpose: purpose.to_owned() })
    }

    // Off-spec: two commands of one session may name the same block, and espefuse burns both keys.
    fn take(&mut self, block: EfuseBlock) -> Result<(), SessionError> {
        if self.keyed.contains(&block) {
            return Err(SessionError::KeyTwice { block });
        }
        self.keyed.push(block);
        Ok(())
    }

    fn no_key_block(&self, name: &str) -> SessionError {
        SessionError::NoSuchBlock { name: name.to_owned(), chip: self.image.map().chip }
    }
}

/// An ECDSA key as long as its blocks, with zeros before the number.
fn padded(key: &KeyToBurn) -> Zeroizing<Vec<u8>> {
    let is_ecdsa = key.purpose.as_deref().is_some_and(|purpose| {
        purpose.starts_with("ECDSA_KEY") && !matches!(purpose, "ECDSA_KEY_P384_L" | "ECDSA_KEY_P384_H")
    });
    let zeros = match key.data.len() {
        24 if is_ecdsa => 8,
        48 if is_ecdsa => 16,
        _ => 0,
    };
    let mut data = Zeroizing::new(vec![0; zeros]);
    data.extend_from_slice(&key.data);
    data
}
