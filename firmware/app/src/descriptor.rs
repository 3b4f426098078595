//! What the image says about itself: the application descriptor (file offset 0x20) and, directly after it, the register
//! map (0x120).
//!
//! esp-hal's linker script puts `.flash.appdesc` first in the image and `.flash.appdesc.*` right behind it
//! (`ld/sections/rodata.x` of esp-hal 1.2.2); the descriptor is 256 bytes long.

// Safety (link_section): both statics are plain bytes without pointers, in a section that esp-hal's linker script maps
// read-only as part of .rodata.
#![allow(unsafe_code)]

use crate::release::{PROJECT, REGISTERS, SECURE_VERSION, VERSION};
use cotter_wire::registers::RegisterMap;

esp_bootloader_esp_idf::esp_app_desc!(
    VERSION,
    PROJECT,
    esp_bootloader_esp_idf::BUILD_TIME,
    esp_bootloader_esp_idf::BUILD_DATE,
    "none (esp-hal 1.2)",
    esp_bootloader_esp_idf::MMU_PAGE_SIZE,
    0,
    u16::MAX,
    SECURE_VERSION
);

#[used]
#[unsafe(link_section = ".flash.appdesc.registers")]
static REGISTER_MAP: [u8; RegisterMap::LEN] = REGISTERS.encode();

/// The register map as it stands in flash. The compiler must not replace the bytes by what it knows they were: the
/// self-test is about what was written to this chip.
pub(crate) fn register_map() -> [u8; RegisterMap::LEN] {
    *core::hint::black_box(&REGISTER_MAP)
}
