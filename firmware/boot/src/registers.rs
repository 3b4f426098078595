//! The ESP32-C3 registers of a boot image: RTC, timer-group and super watchdog, UART0.
//!
//! Source: ESP-IDF `components/soc/esp32c3/include/soc/{rtc_cntl,timer_group,uart}_reg.h`, generated from the same
//! descriptions as the Technical Reference Manual; offsets compared with the register crate `esp32c3` 0.33.0.

#![allow(unsafe_code)]

use core::ptr::{read_volatile, write_volatile};

/// A 32-bit peripheral register at a fixed address. Private to this file: no other address can be made.
#[derive(Clone, Copy)]
struct Register(usize);

impl Register {
    fn read(self) -> u32 {
        // Safety: the constants below are the only values of this type; each is a readable, 4-byte aligned peripheral
        // register of the ESP32-C3 that no Rust object overlaps, and reading it has no side effect.
        unsafe { read_volatile(self.0 as *const u32) }
    }

    fn write(self, value: u32) {
        // Safety: as for `read`; all are writable, one hart runs, no interrupt is enabled, and none of them starts DMA
        // or changes memory.
        unsafe { write_volatile(self.0 as *mut u32, value) }
    }
}

/// Stops the RTC watchdog, which the ROM arms for a boot from flash.
pub(crate) fn disable_rtc_watchdog() {
    RTC_WDT_WPROTECT.write(WATCHDOG_KEY);
    RTC_WDT_FEED.write(FEED_RTC);
    RTC_WDT_CONFIG0.write(0);
    RTC_WDT_WPROTECT.write(0);
}

/// Stops the main watchdog of timer group 0, armed by the ROM in the same way.
pub(crate) fn disable_timer_watchdog() {
    TIMG0_WDT_WPROTECT.write(WATCHDOG_KEY);
    TIMG0_WDT_FEED.write(1);
    TIMG0_WDT_CONFIG0.write(0);
    TIMG0_WDT_WPROTECT.write(0);
}

/// Lets the super watchdog feed itself: it cannot be stopped for good.
pub(crate) fn auto_feed_super_watchdog() {
    SUPER_WDT_WPROTECT.write(SUPER_WATCHDOG_KEY);
    SUPER_WDT_CONFIG.write(SUPER_WDT_CONFIG.read() | SUPER_WDT_AUTO_FEED);
    SUPER_WDT_WPROTECT.write(0);
}

/// Queues one byte for UART0, after waiting until its FIFO has room.
pub(crate) fn write_uart0(byte: u8) {
    while (UART0_STATUS.read() >> 16) & 0x3ff >= UART_FIFO_FULL {}
    UART0_FIFO.write(u32::from(byte));
}

/// `UART_TXFIFO_CNT` of a FIFO without room: 128 bytes, less two for a write still on its way over the bus.
const UART_FIFO_FULL: u32 = 126;
const UART0_FIFO: Register = Register(0x6000_0000);
const UART0_STATUS: Register = Register(0x6000_001c);

/// `RTC_CNTL_WDT_WKEY_VALUE`, `TIMG_WDT_WKEY_VALUE`: opens the watchdog registers for writing.
const WATCHDOG_KEY: u32 = 0x50d8_3aa1;
/// `RTC_CNTL_WDT_FEED`, bit 31.
const FEED_RTC: u32 = 1 << 31;
const RTC_WDT_CONFIG0: Register = Register(0x6000_8090);
const RTC_WDT_FEED: Register = Register(0x6000_80a4);
const RTC_WDT_WPROTECT: Register = Register(0x6000_80a8);

/// `RTC_CNTL_SWD_WKEY_VALUE`: opens the super watchdog's register for writing.
const SUPER_WATCHDOG_KEY: u32 = 0x8f1d_312a;
/// `RTC_CNTL_SWD_AUTO_FEED_EN`, bit 31.
const SUPER_WDT_AUTO_FEED: u32 = 1 << 31;
const SUPER_WDT_CONFIG: Register = Register(0x6000_80ac);
const SUPER_WDT_WPROTECT: Register = Register(0x6000_80b0);

const TIMG0_WDT_CONFIG0: Register = Register(0x6001_f048);
const TIMG0_WDT_FEED: Register = Register(0x6001_f060);
const TIMG0_WDT_WPROTECT: Register = Register(0x6001_f064);
