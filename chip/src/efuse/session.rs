//! A session of espefuse on a virtual chip: commands are checked as they come, then burned together.
//!
//! What espefuse refuses is refused, by name; what it should refuse and does not is marked `Off-spec`. Nothing is burned
//! before [`Session::burn`]. Source: esptool 5.6.0 `espefuse/efuse/base_fields.py`, `base_operations.py`.

mod key;

use super::Efuses;
use super::burn::BurnSet;
use super::controller::{self, BLOCK_MAX};
use crate::fault::PowerLost;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::coding::{Coding, mac_crc, three_quarters};
use cotter_formats::efuse::{EfuseBlock, EfuseImage, Family, Field, PurposeValue};
use zeroize::Zeroizing;

pub use key::{KeyOptions, KeyToBurn};

/// Commands on the eFuses of one chip, not burned yet.
pub struct Session {
    image: EfuseImage,
    /// What is to be burned, by block.
    prepared: Vec<Zeroizing<[u8; BLOCK_MAX]>>,
    /// Key blocks that have been given a key.
    keyed: Vec<EfuseBlock>,
    /// What was done beside what was asked for.
    notes: Vec<String>,
}

/// The internal regulator of the flash supply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashVoltage {
    /// No internal regulator.
    Off,
    /// 1.8 V
    V1_8,
    /// 3.3 V
    V3_3,
}

impl Session {
    /// On the registers as they are, what earlier burns left beside the blocks included.
    #[must_use]
    pub fn new(image: EfuseImage) -> Self {
        let prepared = image.map().blocks.iter().map(|_| Zeroizing::new([0; BLOCK_MAX])).collect();
        Self { image, prepared, keyed: Vec::new(), notes: Vec::new() }
    }

    /// What was done beside what was asked for, and what a person should think about.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// `burn-efuse NAME VALUE`. `value` as espefuse takes it: a number, a purpose by its name, bytes (`0x` and the
    /// highest first, or digits and the lowest first), a MAC; `None` for a flag, or to burn the next bit of a counter.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn burn_efuse(&mut self, name: &str, value: Option<&str>) -> Result<(), SessionError> {
        let field = self.field(name)?;
        let owned = || name.to_owned();
        if name == "CUSTOM_MAC" || field.name == "CUSTOM_MAC" {
            return self.burn_custom_mac(value.ok_or(SessionError::ValueMissing { field: owned() })?);
        }
        if matches!(field.name, "MAC" | "MAC_EXT" | "ADC_VREF") || (field.name == "MAC_CRC") {
            return Err(SessionError::Factory { field: owned() });
        }
        if field.name.starts_with("KEY_PURPOSE") && !field.name.ends_with("_H") {
            let value = value.ok_or(SessionError::ValueMissing { field: owned() })?;
            let number = value.parse().ok();
            let named = self.image.map().purpose_named(value).and_then(|purpose| match purpose.value {
                PurposeValue::Burned(value) => Some(u32::from(value.0)),
                _ => None,
            });
            let number = named.or(number).ok_or(SessionError::UnknownPurpose { purpose: value.to_owned() })?;
            return self.save_purpose(field, number);
        }
        if field.is_bytes() {
            let value = value.ok_or(SessionError::ValueMissing { field: owned() })?;
            let bytes = bytes(value).ok_or(SessionError::NotAValue { field: owned() })?;
            let expected = self.image.bytes(field).len();
            if bytes.len() != expected {
                return Err(SessionError::Length { what: owned(), expected, got: bytes.len() });
            }
            return self.save(field, &bytes);
        }
        let number = self.number(field, value)?;
        if field.len < 32 && number >> field.len != 0 {
            return Err(SessionError::DoesNotFit { field: owned(), value: number, bits: field.len });
        }
        if field.is_counter() && field.len > 1 && number.count_ones() != 32 - number.leading_zeros() {
            let count = number.count_ones();
            self.notes.push(format!("{name} counts its set bits: {number:#x} makes {count}, not {number}"));
        }
        self.save(field, &number.to_le_bytes())
    }

    /// The number that a value of `burn-efuse` stands for.
    fn number(&self, field: &Field, value: Option<&str>) -> Result<u32, SessionError> {
        let owned = || field.name.to_owned();
        let Some(value) = value else {
            return match () {
                () if field.len == 1 => Ok(1),
                () if field.is_counter() => {
                    let current = self.image.value(field);
                    Ok(current | 1_u32.checked_shl(current.trailing_ones()).unwrap_or(0))
                }
                () => Err(SessionError::ValueMissing { field: owned() }),
            };
        };
        let number = number(value).ok_or(SessionError::NotAValue { field: owned() })?;
        if field.len == 1 && number != 1 || number == 0 && !field.is_counter() {
            return Err(SessionError::OnlyOnes { field: owned() });
        }
        if self.image.map().family == Family::Esp32 && field.name.starts_with("SPI_PAD_CONFIG") {
            return match number {
                30 | 31 | 34.. => Err(SessionError::NoFlashPin { pin: number }),
                32 | 33 => Ok(number - 2),
                pin => Ok(pin),
            };
        }
        Ok(number)
    }

    /// `burn-bit BLOCK BIT...`
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn burn_bits(&mut self, block: &str, bits: &[u16]) -> Result<(), SessionError> {
        let block = self.block(block)?;
        let len = self.image.data_len(block).unwrap_or(0);
        let mut data = vec![0; len];
        for &bit in bits {
            let byte =
                data.get_mut(usize::from(bit / 8)).ok_or(SessionError::NoSuchBit { block, bit, bits: 8 * len })?;
            *byte |= 1 << (bit % 8);
        }
        self.prepare(block, 0, &data);
        Ok(())
    }

    /// `burn-block-data BLOCK FILE`: bytes as they are, from `offset` on.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn burn_block_data(&mut self, block: &str, data: &[u8], offset: usize) -> Result<(), SessionError> {
        let (name, block) = (block, self.block(block)?);
        let len = self.image.data_len(block).unwrap_or(0);
        let fits = if offset == 0 { data.len() == len } else { offset < len && data.len() <= len - offset };
        if !fits {
            return Err(SessionError::Length {
                what: name.to_owned(),
                expected: len.saturating_sub(offset),
                got: data.len(),
            });
        }
        self.prepare(block, offset, data);
        Ok(())
    }

    /// `burn-custom-mac`: `AA:BB:..`, unicast. The ESP32 gets version and CRC with it, the ESP32-C2 a flag.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn burn_custom_mac(&mut self, mac: &str) -> Result<(), SessionError> {
        let parts: Vec<&str> = mac.split(':').collect();
        let octet =
            |part: &&str| Some(*part).filter(|part| part.len() == 2).and_then(|part| u8::from_str_radix(part, 16).ok());
        let octets: Option<Vec<u8>> = parts.iter().map(octet).collect();
        let mac: [u8; 6] = octets.and_then(|octets| octets.try_into().ok()).ok_or(SessionError::NotAMac)?;
        if mac[0] & 1 == 1 {
            return Err(SessionError::Multicast);
        }
        match self.image.map().family {
            Family::Esp32 => {
                match self.image.value_named("MAC_VERSION") {
                    Some(0) => self.save_named("MAC_VERSION", 1)?,
                    Some(1) => {}
                    version => return Err(SessionError::MacVersion { version: version.unwrap_or(0) }),
                }
                self.save(self.field("CUSTOM_MAC")?, &mac)?;
                self.save(self.field("CUSTOM_MAC_CRC")?, &[mac_crc(&mac)])
            }
            Family::Esp32C2 => {
                self.save(self.field("CUSTOM_MAC")?, &mac)?;
                self.save_named("CUSTOM_MAC_USED", 1)
            }
            Family::Many => self.save(self.field("CUSTOM_MAC")?, &mac),
        }
    }

    /// `set-flash-voltage`, of the ESP32, ESP32-S2 and ESP32-S3.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn set_flash_voltage(&mut self, voltage: FlashVoltage) -> Result<(), SessionError> {
        let chip = self.image.map().chip;
        let [force, on, high] = match chip {
            Chip::Esp32 => ["XPD_SDIO_FORCE", "XPD_SDIO_REG", "XPD_SDIO_TIEH"],
            Chip::Esp32S2 | Chip::Esp32S3 => ["VDD_SPI_FORCE", "VDD_SPI_XPD", "VDD_SPI_TIEH"],
            _ => return Err(SessionError::NoFlashVoltage { chip }),
        };
        let is_set = |name| self.image.value_named(name).is_some_and(|value| value != 0);
        let taken = match voltage {
            FlashVoltage::Off => Some(on).filter(|on| is_set(on)),
            FlashVoltage::V1_8 => Some(high).filter(|high| is_set(high)),
            FlashVoltage::V3_3 => None,
        };
        if let Some(field) = taken {
            return Err(SessionError::VoltageTaken { field });
        }
        self.save_named(force, 1)?;
        if voltage != FlashVoltage::Off {
            self.save_named(on, 1)?;
        }
        if voltage == FlashVoltage::V3_3 { self.save_named(high, 1) } else { Ok(()) }
    }

    /// `write-protect-efuse NAME`. Every field that shares the bit is frozen with it, and noted.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn write_protect(&mut self, name: &str) -> Result<(), SessionError> {
        let field = self.field(name)?;
        if self.image.is_writable(field) {
            self.disable_write(field)?;
            let shared = self.image.map().fields.iter().filter(|other| {
                !other.reserved && other.name != field.name && other.write_protect_bit == field.write_protect_bit
            });
            let shared: Vec<&str> = shared.map(|other| other.name).collect();
            if !shared.is_empty() {
                self.notes.push(format!("freezing {name} also freezes {}", shared.join(", ")));
            }
        }
        Ok(())
    }

    /// `read-protect-efuse NAME`.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn read_protect(&mut self, name: &str) -> Result<(), SessionError> {
        let field = self.field(name)?;
        if !self.image.is_readable(field) {
            return Ok(());
        }
        let map = *self.image.map();
        let is_on = |name| self.image.value_named(name).is_some_and(|value| value != 0);
        // Off-spec: espefuse looks at the name that it is given, and lets other names of the block through.
        let must_stay = match map.family {
            Family::Esp32 => {
                field.block.0 == 2 && !is_on("ABS_DONE_0") && self.image.revision().0 >= 300 && is_on("ABS_DONE_1")
            }
            Family::Esp32C2 => {
                field.name == "BLOCK_KEY0" && !is_on("XTS_KEY_LENGTH_256")
                    || is_on("SECURE_BOOT_EN") && matches!(field.name, "BLOCK_KEY0" | "BLOCK_KEY0_HI_128")
            }
            Family::Many => self
                .image
                .key_purpose(field.block)
                .is_some_and(|purpose| !map.purpose(purpose).is_some_and(|purpose| purpose.is_hidden)),
        };
        if must_stay {
            return Err(SessionError::MustStayReadable { field: name.to_owned() });
        }
        self.disable_read(field)
    }

    /// What the chip would refuse to live with: settings of which espefuse asks for `--force`.
    ///
    /// # Errors
    /// [`SessionError::Incompatible`].
    pub fn check_compatible(&self) -> Result<(), SessionError> {
        let now = |name: &str| self.image.value_named(name).is_some_and(|value| value != 0);
        let then =
            |name: &str| self.field(name).is_ok_and(|field| self.prepared_value(field).iter().any(|byte| *byte != 0));
        let incompatible = |reason| Err(SessionError::Incompatible { reason });
        match (self.image.map().chip, self.image.revision().0) {
            (Chip::Esp32S3, _) => {
                let [usb, serial] = ["DIS_USB_JTAG", "DIS_USB_SERIAL_JTAG"];
                if now(usb) && then(serial) || then(usb) && (now(serial) || then(serial)) {
                    return incompatible("DIS_USB_JTAG with DIS_USB_SERIAL_JTAG trips over a bug of the ROM");
                }
                Ok(())
            }
            (Chip::Esp32P4, revision @ 301..) => {
                let powered = revision >= 302 && (now("DOWNLOAD_MODE_XPD_ON") || then("DOWNLOAD_MODE_XPD_ON"));
                if then("ENABLE_SECURITY_DOWNLOAD") && !then("DIS_DOWNLOAD_MODE") && !powered {
                    return incompatible("with ENABLE_SECURITY_DOWNLOAD the flash has no power in download mode");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Checks every block as espefuse does before it burns, and burns from the highest block down to block 0.
    ///
    /// # Errors
    /// [`SessionError`]; then nothing is burned.
    pub fn burn(mut self) -> Result<EfuseImage, SessionError> {
        for block in self.image.map().block_numbers() {
            self.check_block(block)?;
        }
        let mut image = self.image;
        for block in image.map().block_numbers().rev() {
            let data = &self.prepared[usize::from(block.0)];
            if data.iter().any(|byte| *byte != 0) {
                controller::program(&mut image, block, &data[..]);
            }
        }
        Ok(image.with_map_of_its_revision())
    }

    /// As [`Self::burn`], on the cells of a virtual chip: what becomes hidden stays burned. The session must have begun
    /// with what [`Efuses::image`] of this chip says now.
    ///
    /// # Errors
    /// [`SessionError`]; nothing is burned unless it is `PowerLost`.
    pub fn burn_on(mut self, efuses: &Efuses) -> Result<(), SessionError> {
        for block in self.image.map().block_numbers() {
            self.check_block(block)?;
        }
        for block in self.image.map().block_numbers().rev() {
            let data = &self.prepared[usize::from(block.0)];
            if data.iter().any(|byte| *byte != 0) {
                efuses.program(block, &data[..])?;
            }
        }
        Ok(())
    }

    /// What the commands so far want burned, for the careful burn that [`BurnSet`] is.
    #[must_use]
    pub fn into_set(self) -> BurnSet {
        BurnSet::of_blocks(*self.image.map(), self.prepared)
    }

    fn check_block(&mut self, block: EfuseBlock) -> Result<(), SessionError> {
        let burned = self.image.block(block).unwrap_or_default();
        let wanted = &mut self.prepared[usize::from(block.0)];
        if wanted.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        if !self.image.is_block_readable(block) {
            return Err(SessionError::Hidden { what: block.to_string() });
        }
        if !self.image.is_block_writable(block) {
            return Err(SessionError::Frozen { what: block.to_string() });
        }
        // Off-spec: of block 0, espefuse leaves frozen bits as they are and says that all went well.
        let frozen = controller::frozen(&self.image, block);
        let lost = burned.iter().zip(wanted.iter()).zip(frozen).any(|((old, new), frozen)| new & !old & frozen != 0);
        if lost {
            return Err(SessionError::Frozen { what: format!("part of {block}") });
        }
        if burned.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        if burned.iter().zip(wanted.iter()).all(|(old, new)| new & !old == 0) {
            wanted.fill(0);
            return Ok(());
        }
        match self.image.coding(block) {
            Coding::None => Ok(()),
            Coding::Repeat => Err(SessionError::RepeatCoding),
            Coding::ReedSolomon => Err(SessionError::BurnedOnce { what: block.to_string() }),
            Coding::ThreeQuarters => {
                let chunks = burned.chunks(three_quarters::CHUNK).zip(wanted.chunks(three_quarters::CHUNK));
                let is_any = |chunk: &[u8]| chunk.iter().any(|byte| *byte != 0);
                match (0..).zip(chunks).find(|(_, (old, new))| is_any(old) && is_any(new) && old != new) {
                    Some((index, _)) => {
                        Err(SessionError::BurnedOnce { what: format!("{block}, bytes {}..", 6 * index) })
                    }
                    None => Ok(()),
                }
            }
        }
    }

    fn field(&self, name: &str) -> Result<&'static Field, SessionError> {
        let chip = self.image.map().chip;
        let field = self.image.map().field(name).filter(|field| !field.reserved);
        field.ok_or_else(|| SessionError::NoSuchField { name: name.to_owned(), chip })
    }

    fn block(&self, name: &str) -> Result<EfuseBlock, SessionError> {
        let chip = self.image.map().chip;
        self.image.map().block_named(name).ok_or_else(|| SessionError::NoSuchBlock { name: name.to_owned(), chip })
    }

    fn save_named(&mut self, name: &str, value: u32) -> Result<(), SessionError> {
        self.save(self.field(name)?, &value.to_le_bytes())
    }

    /// Adds a value to what is to be burned, after the checks that espefuse makes for every field.
    fn save(&mut self, field: &'static Field, value: &[u8]) -> Result<(), SessionError> {
        if field.block != EfuseBlock::SETTINGS && self.image.coding(field.block) == Coding::Repeat {
            return Err(SessionError::RepeatCoding);
        }
        let burned = self.image.bytes(field);
        let prepared = self.prepared_value(field);
        let at = |bytes: &[u8], index: usize| bytes.get(index).copied().unwrap_or(0);
        let all = |test: &dyn Fn(u8, u8, u8) -> bool| {
            (0..burned.len().max(value.len())).all(|i| test(at(value, i), at(&burned, i), at(&prepared[..], i)))
        };
        let is_there = all(&|new, burned, _| new & !burned == 0);
        if is_there
            || all(&|new, _, prepared| new == prepared)
            || all(&|new, burned, prepared| new == burned | prepared)
        {
            return Ok(());
        }
        let collects = matches!(field.name, "WR_DIS" | "RD_DIS");
        if !collects && !all(&|new, burned, prepared| (burned | prepared) & !new == 0) {
            return Err(SessionError::CannotClear { field: field.name });
        }
        if !self.image.is_readable(field) {
            return Err(SessionError::Hidden { what: field.name.to_owned() });
        }
        if !self.image.is_writable(field) {
            return Err(SessionError::Frozen { what: field.name.to_owned() });
        }
        let mut block = [0; BLOCK_MAX];
        field.merge_bytes(value, &mut block).ok_or_else(|| SessionError::Length {
            what: field.name.to_owned(),
            expected: burned.len(),
            got: value.len(),
        })?;
        self.prepare(field.block, 0, &block);
        Ok(())
    }

    fn prepare(&mut self, block: EfuseBlock, offset: usize, data: &[u8]) {
        if let Some(prepared) = self.prepared.get_mut(usize::from(block.0)) {
            prepared.iter_mut().skip(offset).zip(data).for_each(|(to, from)| *to |= from);
        }
    }

    fn prepared_value(&self, field: &Field) -> Zeroizing<[u8; 32]> {
        let block = self.prepared.get(usize::from(field.block.0));
        Zeroizing::new(block.and_then(|block| field.read_bytes(&block[..])).unwrap_or([0; 32]))
    }

    fn disable_write(&mut self, field: &'static Field) -> Result<(), SessionError> {
        let bit = field.write_protect_bit.ok_or(SessionError::HasNoProtection { field: field.name })?;
        self.save(self.image.map().wr_dis(), &(1_u32 << bit).to_le_bytes())
    }

    fn disable_read(&mut self, field: &'static Field) -> Result<(), SessionError> {
        if field.read_protect_mask == 0 {
            return Err(SessionError::HasNoProtection { field: field.name });
        }
        let rd_dis = self.image.map().rd_dis();
        if !self.image.is_writable(rd_dis) {
            return Err(SessionError::ReadProtectionFrozen { field: field.name });
        }
        self.save(rd_dis, &[field.read_protect_mask])
    }
}

/// A number as espefuse takes it: decimal, `0x`, `0b`, `0o`.
fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.get(..2) {
        Some("0x" | "0X") => (&text[2..], 16),
        Some("0b" | "0B") => (&text[2..], 2),
        Some("0o" | "0O") => (&text[2..], 8),
        _ => (text, 10),
    };
    u32::from_str_radix(digits, radix).ok()
}

fn bytes(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let is_hex = digits.len().is_multiple_of(2) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let pairs = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok());
    let mut bytes: Zeroizing<Vec<u8>> = Zeroizing::new(pairs.collect::<Option<Vec<u8>>>().filter(|_| is_hex)?);
    if text.starts_with("0x") {
        bytes.reverse();
    }
    Some(bytes)
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum SessionError {
    #[error("an {chip} has no eFuse {name}")]
    NoSuchField { name: String, chip: Chip },
    #[error("an {chip} has no eFuse block {name}, or it holds no key")]
    NoSuchBlock { name: String, chip: Chip },
    #[error("{block} has {bits} bits, and no bit {bit}")]
    NoSuchBit { block: EfuseBlock, bit: u16, bits: usize },
    #[error("eFuse {field} needs a value")]
    ValueMissing { field: String },
    #[error("eFuse {field}: no number, or no bytes in hexadecimal")]
    NotAValue { field: String },
    #[error("eFuse {field} burns from 0 to 1 only: 0 cannot be burned, and a flag takes 1 only")]
    OnlyOnes { field: String },
    #[error("eFuse {field} has {bits} bits: {value} does not fit")]
    DoesNotFit { field: String, value: u32, bits: u16 },
    #[error("eFuse {what} takes {expected} bytes, not {got}")]
    Length { what: String, expected: usize, got: usize },
    #[error("eFuse {field} is burned in Espressif's factory only")]
    Factory { field: String },
    #[error("pin {pin} cannot be a flash pin: 0 to 29, 32 and 33 can")]
    NoFlashPin { pin: u32 },
    #[error("a MAC is six bytes in hexadecimal with colons between them")]
    NotAMac,
    #[error("a custom MAC must be a unicast address: its first byte must be even")]
    Multicast,
    #[error("MAC_VERSION is {version}, and should be 0 or 1")]
    MacVersion { version: u32 },
    #[error("the flash voltage of an {chip} is not an eFuse that can be set")]
    NoFlashVoltage { chip: Chip },
    #[error("the flash voltage cannot be set so: {field} is burned already")]
    VoltageTaken { field: &'static str },
    #[error("eFuse {field} has bits burned or prepared that the new value lacks, and bits cannot be cleared")]
    CannotClear { field: &'static str },
    #[error("eFuse {what} is write-protected")]
    Frozen { what: String },
    #[error("eFuse {what} is read-protected: what is burned in it cannot be checked, and may be damaged")]
    Hidden { what: String },
    #[error("eFuse {field} cannot be read-protected any more: RD_DIS is write-protected")]
    ReadProtectionFrozen { field: &'static str },
    #[error("eFuse {field} has no such protection")]
    HasNoProtection { field: &'static str },
    #[error("eFuse {field} must stay readable for the hardware that uses it")]
    MustStayReadable { field: String },
    #[error("{what} is burned already with something else, and its coding allows one burn")]
    BurnedOnce { what: String },
    #[error("the repeat coding of this ESP32 is not supported")]
    RepeatCoding,
    #[error("incompatible settings: {reason}")]
    Incompatible { reason: &'static str },
    #[error("no key purpose {purpose} that can be burned")]
    UnknownPurpose { purpose: String },
    #[error("{field} cannot be {purpose} (hardware defect)")]
    QuirkOfKey5 { field: &'static str, purpose: String },
    #[error("{field} is write-protected and cannot become {purpose}")]
    PurposeFrozen { field: &'static str, purpose: String },
    #[error("{block} is given a key twice: espefuse would burn both on top of each other")]
    KeyTwice { block: EfuseBlock },
    #[error("{purpose} needs two free key blocks")]
    NoSecondBlock { purpose: String },
    #[error("the purposes {0} and {1} do not go together in one key block")]
    PurposesClash(String, String),
    #[error("a key digest can be burned without 3/4 coding only")]
    DigestCoded,
    #[error("Secure Boot V2 needs an ESP32 from v3.0 on; this one is {0}")]
    TooOld(cotter_formats::efuse::ChipRevision),
    #[error("eFuse burn: power lost")]
    PowerLost,
}

impl From<PowerLost> for SessionError {
    fn from(PowerLost: PowerLost) -> Self {
        Self::PowerLost
    }
}
