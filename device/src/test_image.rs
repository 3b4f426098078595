//! Application images for the tests: esptool's golden ELF file with another description, through our image builder.

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
}

impl TestImage {
    pub(crate) fn of(version: &'static str, secure_version: u32) -> Self {
        Self { project: "cotter-app", version, secure_version, registers: ECOWATT.to_vec() }
    }

    /// With register 3 scaled by nothing.
    pub(crate) fn with_zero_gain(mut self) -> Self {
        self.registers[3].gain = 0;
        self
    }

    /// The image, without signature.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut elf = include_bytes!("../../vectors/image/esp32c3.elf").to_vec();
        let magic = AppDescriptor::MAGIC.to_le_bytes();
        let at = elf.windows(4).position(|window| window == magic).unwrap();
        elf[at + 4..at + 8].copy_from_slice(&self.secure_version.to_le_bytes());
        for (field, text) in [(16, self.version), (48, self.project)] {
            elf[at + field..at + field + 32].fill(0);
            elf[at + field..at + field + text.len()].copy_from_slice(text.as_bytes());
        }
        let map = RegisterMap::new(&self.registers).unwrap().encode();
        elf[at + AppDescriptor::LEN..][..map.len()].copy_from_slice(&map);
        build_app(&elf, &BuildOptions::new(Chip::Esp32C3)).unwrap()
    }
}
