//! The eFuses: cells that can only go from 0 to 1, behind a controller that honours `WR_DIS` and `RD_DIS`.
//!
//! | file | noun |
//! |---|---|
//! | here | the handle that the rest of the board has |
//! | `silicon` | the cells of every block and what the hardware does to them, silently |
//! | `setting` | what the silicon looks at, by its meaning |
//! | `burn` | a set of burns as a careful tool does it: checked, ordered, verified |
//! | `controller` | what a program command does to the register file, as espefuse's virtual chip has it |
//! | `session` | espefuse's commands on a register file: its checks, its order, its refusals, for every chip |
//! | `file` | the silicon in two files, one of which espefuse reads |
//!
//! A counted operation (see [`crate::fault`]) is one program command for one block. Torn, it leaves any subset of the
//! bits that it should have set. Most blocks are RS-coded: 32 data bytes and 12 check bytes are burned in one go, so a
//! second value on top of the first leaves neither, and the same value again mends a torn burn. Block 0 has no code, the
//! other blocks of an ESP32 have what `CODING_SCHEME` says.

pub mod burn;
pub mod controller;
mod file;
pub mod session;
mod setting;
mod silicon;

use crate::fault::{Fault, PowerLost};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::coding::mac_crc;
use cotter_formats::efuse::{ChipRevision, EfuseBlock, EfuseImage, EfuseMap, Field, KeyPurpose};
use cotter_formats::secret::Secret;
use silicon::{CELLS, Silicon};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

pub use burn::{BurnError, BurnSet, KeyProtection, Pass};
pub use file::{CELLS_FILE, EfuseFileError, REGISTERS_FILE, cells_file};
pub(crate) use setting::Setting;

/// A shared handle on the eFuses of one chip.
#[derive(Clone)]
pub struct Efuses {
    silicon: Arc<Mutex<Silicon>>,
    fault: Fault,
}

impl Efuses {
    /// The eFuses of a chip fresh from Espressif, of a revision that is sold today: see [`Self::fresh_of`].
    #[must_use]
    pub fn fresh(chip: Chip, mac: [u8; 6], fault: Fault) -> Self {
        Self::fresh_of(chip, usual_revision(chip), mac, fault)
    }

    /// The eFuses of a chip fresh from Espressif: a MAC (on the ESP32 with its CRC) and a revision, nothing else.
    /// A revision that the fields cannot tell is told as far as they can.
    #[must_use]
    pub fn fresh_of(chip: Chip, revision: ChipRevision, mac: [u8; 6], fault: Fault) -> Self {
        let mut image = EfuseImage::blank(chip);
        let map = EfuseMap::of_revision(chip, revision);
        let mut set = |name: &str, value: u16| {
            let Some(field) = map.field(name) else { return };
            let fitting = u32::from(value) & field.all_ones();
            let block = image.block_mut(field.block).expect("a block of this map");
            field.merge(fitting, block).expect("it fits into the field");
        };
        let (major, minor) = (revision.0 / 100, revision.0 % 100);
        set("CHIP_VER_REV1", u16::from(major >= 1));
        set("CHIP_VER_REV2", u16::from(major >= 3));
        for name in ["WAFER_VERSION_MAJOR", "WAFER_VERSION_MAJOR_LO"] {
            set(name, major);
        }
        set("WAFER_VERSION_MAJOR_HI", major >> 2);
        for name in ["WAFER_VERSION_MINOR", "WAFER_VERSION_MINOR_LO"] {
            set(name, minor);
        }
        set("WAFER_VERSION_MINOR_HI", minor >> 3);
        set("MAC_CRC", u16::from(mac_crc(&mac)));
        let mut stored = mac;
        stored.reverse();
        if let Some(field) = map.field("MAC") {
            let block = image.block_mut(field.block).expect("a block of this map");
            field.merge_bytes(&stored, block).expect("a MAC has 48 bits");
        }
        Self::from_image(&image, fault)
    }

    /// The eFuses of a chip whose registers read like this; a hidden key reads as zero, and so it is lost.
    #[must_use]
    pub fn from_image(image: &EfuseImage, fault: Fault) -> Self {
        Self { silicon: Arc::new(Mutex::new(Silicon::of(image))), fault }
    }

    /// Another chip with the same cells, on another supply.
    pub(crate) fn duplicate(&self, fault: Fault) -> Self {
        let copy = self.silicon().duplicate();
        Self { silicon: Arc::new(Mutex::new(copy)), fault }
    }

    /// True if both chips have the same cells.
    pub(crate) fn holds(&self, other: &Self) -> bool {
        let cells = other.silicon().cells();
        self.silicon().cells() == cells
    }

    /// The registers as software reads them: blocks hidden by `RD_DIS` are zero.
    ///
    /// # Errors
    /// [`PowerLost`].
    pub fn image(&self) -> Result<EfuseImage, PowerLost> {
        self.fault.check()?;
        Ok(self.silicon().image())
    }

    /// Burns the data of a block as the controller does, coded as the block is: frozen bits are left alone without a
    /// word, and nothing is checked. Prefer [`Self::burn`].
    ///
    /// # Errors
    /// [`PowerLost`].
    pub fn program(&self, block: EfuseBlock, data: &[u8]) -> Result<(), PowerLost> {
        self.fault.operation(|extent| self.silicon().program(block, data, extent))
    }

    /// As [`Self::program`], with the code word that software has written into the registers of the controller: 32 data
    /// and 12 check bytes, or as many bytes as a block of the ESP32 has. What is missing is zero. A word that is none
    /// leaves a damaged block.
    ///
    /// # Errors
    /// [`PowerLost`].
    pub fn program_word(&self, block: EfuseBlock, word: &[u8]) -> Result<(), PowerLost> {
        let mut cells = Zeroizing::new([0; CELLS]);
        cells.iter_mut().zip(word).for_each(|(to, from)| *to = *from);
        self.fault.operation(|extent| self.silicon().program_word(block, cells, extent))
    }

    /// True if the cells of a coded block are no code word: a burn was torn, or two were laid on top of each other.
    ///
    /// Off-spec: the hardware corrects up to 6 damaged bytes; here a damaged block reads as its data cells are.
    ///
    /// # Errors
    /// [`PowerLost`].
    pub fn is_damaged(&self, block: EfuseBlock) -> Result<bool, PowerLost> {
        self.fault.check()?;
        Ok(self.silicon().is_damaged(block))
    }

    /// Which chip this is.
    #[must_use]
    pub fn chip(&self) -> Chip {
        self.silicon().chip()
    }

    /// The supply that the controller hangs on.
    #[must_use]
    pub const fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The key that the hardware uses for a purpose, in the order in which it was burned, hidden or not: the first
    /// block that has the purpose.
    pub(crate) fn hardware_key(&self, purpose: KeyPurpose) -> Option<Secret<32>> {
        let silicon = self.silicon();
        let block = silicon.map().key_blocks().find(|block| silicon.key_purpose(*block) == Some(purpose))?;
        Secret::from_slice(silicon.data(block).first_chunk::<32>()?)
    }

    /// The data of a block as the hardware sees it, in the order in which it was burned, hidden or not.
    pub(crate) fn hardware_block(&self, block: EfuseBlock) -> Secret<32> {
        let data = self.silicon().data(block);
        Secret::from_slice(&data[..32]).expect("32 bytes")
    }

    /// The purpose of a key block; `None` if it is no key block, or a chip whose key blocks have none.
    pub(crate) fn purpose_of(&self, block: EfuseBlock) -> Option<KeyPurpose> {
        self.silicon().key_purpose(block)
    }

    /// The purposes of the key blocks; the user's for those that the chip does not have.
    pub(crate) fn key_purposes(&self) -> [KeyPurpose; 6] {
        let silicon = self.silicon();
        let purpose = |index| silicon.map().key_block(index).and_then(|block| silicon.key_purpose(block));
        [0, 1, 2, 3, 4, 5].map(|index| purpose(index).unwrap_or(KeyPurpose::USER))
    }

    /// Bytes of data in a block, as its coding leaves them.
    pub(crate) fn data_len(&self, block: EfuseBlock) -> usize {
        self.silicon().open_image().data_len(block).unwrap_or(0)
    }

    /// The value of a setting as the hardware sees it, whether software may read it or not; works without power.
    pub(crate) fn sensed(&self, setting: Setting) -> u32 {
        self.silicon().setting(setting)
    }

    /// The value of a setting as software reads it.
    pub(crate) fn read_setting(&self, setting: Setting) -> Result<u32, PowerLost> {
        let image = self.image()?;
        Ok(self.setting_field(setting).map_or(0, |field| image.value(field)))
    }

    /// The field of a setting; `None` if the chip has none.
    pub(crate) fn setting_field(&self, setting: Setting) -> Option<&'static Field> {
        self.silicon().settings().field(setting)
    }

    /// Burns bits of a setting as the ROM or the second stage does; nothing if the chip has no such setting.
    pub(crate) fn set(&self, setting: Setting, value: u32) -> Result<(), PowerLost> {
        let Some(field) = self.setting_field(setting) else { return Ok(()) };
        let mut data = [0; controller::BLOCK_MAX];
        field.merge(value, &mut data).expect("the value fits into the setting");
        self.program(field.block, &data)
    }

    /// A reset: the controller forgets what the last program command left in its registers.
    pub fn reset(&self) {
        self.silicon().reset_controller();
    }

    fn silicon(&self) -> MutexGuard<'_, Silicon> {
        self.silicon.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Efuses {
    /// No content: cells hold keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Efuses").finish_non_exhaustive()
    }
}

/// A revision that is sold today, from ESP-IDF 6.2-dev's list of revisions.
const fn usual_revision(chip: Chip) -> ChipRevision {
    ChipRevision(match chip {
        Chip::Esp32 => 300,
        Chip::Esp32S2 | Chip::Esp32C5 | Chip::Esp32C61 => 100,
        Chip::Esp32S3 | Chip::Esp32C6 => 2,
        Chip::Esp32C3 => 4,
        Chip::Esp32C2 => 200,
        Chip::Esp32H2 => 102,
        Chip::Esp32P4 => 103,
        Chip::Esp32H21 | Chip::Esp32H4 | Chip::Esp32S31 => 0,
    })
}

#[cfg(test)]
mod tests;
