//! Which part of the flash this code runs from, as the flash MMU maps it: the truth, where otadata is only an intention.

#![allow(unsafe_code)]

use cotter_formats::addr::FlashAddr;

/// Where the running image starts: page 0 of the data window holds its first 64 KiB.
pub(crate) fn image_start() -> FlashAddr {
    // Safety: the first entry of the ESP32-C3's MMU table, an aligned register that reading does not change.
    let entry = unsafe { core::ptr::read_volatile(MMU_TABLE as *const u32) };
    FlashAddr((entry & PAGE_NUMBER) * PAGE)
}

/// `DR_REG_MMU_TABLE`. Source: ESP-IDF `soc/esp32c3/ext_mem_defs.h` and `hal/mmu_hal.c`.
const MMU_TABLE: usize = 0x600c_5000;
const PAGE_NUMBER: u32 = 0xff;
const PAGE: u32 = 0x1_0000;
