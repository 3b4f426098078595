//! Application images for the tests: a linked file with the wanted description, through our image builder.

extern crate std;
use cotter_formats::chip::Chip;
use cotter_formats::image::{AppDescriptor, BuildOptions, build_app};
use cotter_wire::registers::{ECOWATT, Register, RegisterMap};
use std::vec::Vec;

/// What the image says about itself.
#[derive(Clone)]
pub(crate) struct TestImage {
    pub(crate) project: &'static str,
    pub(crate) version: &'static str,
    pub(crate) secure_version: u32,
    pub(crate) registers: Vec<Register>,
    pub(crate) chip: Chip,
    /// Bytes of a small application; `None` for esptool's golden one of 69 KB.
    pub(crate) len: Option<usize>,
}

impl TestImage {
    pub(crate) fn of(version: &'static str, secure_version: u32) -> Self {
        Self {
            project: "cotter-app",
            version,
            secure_version,
            registers: ECOWATT.to_vec(),
            chip: Chip::Esp32C3,
            len: None,
        }
    }

    /// A small application instead of the golden one.
    pub(crate) fn of_len(mut self, len: usize) -> Self {
        self.len = Some(len);
        self
    }

    /// With register 3 scaled by nothing.
    pub(crate) fn with_zero_gain(mut self) -> Self {
        self.registers[3].gain = 0;
        self
    }

    /// The image, without signature.
    pub(crate) fn build(&self) -> Vec<u8> {
        let golden = || include_bytes!("../../vectors/image/esp32c3.elf").to_vec();
        let mut elf = self.len.map_or_else(golden, small_elf);
        let magic = AppDescriptor::MAGIC.to_le_bytes();
        let at = elf.windows(4).position(|window| window == magic).unwrap();
        elf[at + 4..at + 8].copy_from_slice(&self.secure_version.to_le_bytes());
        for (field, text) in [(16, self.version), (48, self.project)] {
            elf[at + field..at + field + 32].fill(0);
            elf[at + field..at + field + text.len()].copy_from_slice(text.as_bytes());
        }
        let map = RegisterMap::new(&self.registers).unwrap().encode();
        elf[at + AppDescriptor::LEN..][..map.len()].copy_from_slice(&map);
        build_app(&elf, &BuildOptions::new(self.chip)).unwrap()
    }
}

/// A linked application of one section of `len` bytes, which begins with its description.
fn small_elf(len: usize) -> Vec<u8> {
    const HEADER: usize = 52;
    const NAMES: &[u8] = b"\0.flash.appdesc\0.shstrtab\0";
    let section = |name: u32, kind: u32, address: u32, offset: usize, size: usize| {
        let (offset, size) = (u32::try_from(offset).unwrap(), u32::try_from(size).unwrap());
        [name, kind, 0, address, offset, size, 0, 0, 4, 0].map(u32::to_le_bytes).concat()
    };
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xf3\0\x01\0\0\0".to_vec();
    for word in [0x3c00_0020, 0, u32::try_from(HEADER + len + NAMES.len()).unwrap(), 0] {
        elf.extend(u32::to_le_bytes(word));
    }
    for half in [52_u16, 0, 0, 40, 3, 2] {
        elf.extend(half.to_le_bytes());
    }
    // Bytes that no two places share by chance, so that a chunk in the wrong place is noticed.
    let mut state = 1_u32;
    elf.extend(AppDescriptor::MAGIC.to_le_bytes());
    elf.extend((4..len).map(|at| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if at < AppDescriptor::LEN { 0 } else { state.to_le_bytes()[3] }
    }));
    elf.extend(NAMES);
    elf.extend(section(0, 0, 0, 0, 0));
    elf.extend(section(1, 1, 0x3c00_0020, HEADER, len));
    elf.extend(section(16, 3, 0, HEADER + len, NAMES.len()));
    elf
}
