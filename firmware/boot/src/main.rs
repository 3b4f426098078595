//! A boot image for the ESP32-C3 that lives in RAM only: the ROM loads it from flash offset 0, checks its checksum,
//! digest and (with Secure Boot) its signature, and jumps to `start`. It prints one banner and stops there.
//!
//! It stands where ESP-IDF's second stage stands in a product, so that signing, encryption and the ROM's verdicts can
//! be shown on an image of our own. It does not load an application.
//!
//! | file | noun |
//! |---|---|
//! | `start` | the first instructions: a stack, then `boot` |
//! | `registers` | the peripherals it touches: three watchdogs and UART0 |

#![no_std]
#![no_main]

mod registers;
mod start;

use core::panic::PanicInfo;

/// What a boot that reached us prints, and what the tests look for.
const BANNER: &str = "Cotter boot image 1 (esp32c3)\r\n";

/// Called by `start`, on our stack; never returns, because there is nothing to return to.
extern "C" fn boot() -> ! {
    // 1. The ROM armed the watchdogs for its own work; left alone they would reset us.
    registers::disable_rtc_watchdog();
    registers::disable_timer_watchdog();
    registers::auto_feed_super_watchdog();

    // 2. UART0 is as the ROM left it: 115200 8N1.
    for byte in BANNER.bytes() {
        registers::write_uart0(byte);
    }

    // 3. Nothing more to do, ever.
    loop {
        core::hint::spin_loop();
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
