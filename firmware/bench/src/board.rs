//! QEMU's riscv32 `virt` board.
//!
//! Source: QEMU 7.2 `docs/system/riscv/virt.rst` and `hw/riscv/virt.c` (addresses of UART0 and of the test device).

#![allow(unsafe_code)]

use core::fmt::{self, Write};
use core::hint::black_box;
use core::ptr::{addr_of, read_volatile, write_volatile};

unsafe extern "C" {
    // Addresses from bench.x; nothing is ever read through these names.
    static flash_bytes: u8;
    static stack_bottom: u8;
    // The one function of the program that is linked with us.
    safe fn bench() -> !;
}

// Safety (global_asm): runs once, before any Rust code: a stack, a cleared .bss, then `bench`, which never returns.
core::arch::global_asm!(
    ".section .init, \"ax\"",
    ".global start",
    "start:",
    "    la   sp, stack_top",
    "    la   t0, bss_start",
    "    la   t1, bss_end",
    "1:  bgeu t0, t1, 2f",
    "    sw   zero, 0(t0)",
    "    addi t0, t0, 4",
    "    j    1b",
    "2:  tail {enter}",
    enter = sym enter,
);

extern "C" fn enter() -> ! {
    bench()
}

/// Runs `work` once to warm nothing up but the reader, then once more counted. Both must do the same.
///
/// Prints `instructions`, `stack` and `flash`, a line each.
pub fn measure(mut work: impl FnMut()) {
    let mut work: &mut dyn FnMut() = &mut work;
    let depth = stack_used_by(&mut work);
    let before = instructions();
    black_box(&mut work)();
    let spent = instructions().wrapping_sub(before);
    // What reading the counter and the call themselves cost.
    let mut nothing: &mut dyn FnMut() = &mut || {};
    let before = instructions();
    black_box(&mut nothing)();
    let overhead = instructions().wrapping_sub(before);
    report("instructions", spent.saturating_sub(overhead));
    report("stack", depth);
    report("flash", u32::try_from(addr_of!(flash_bytes).addr()).unwrap_or(u32::MAX));
}

/// Prints one result.
pub fn report(name: &str, value: u32) {
    let _ = writeln!(Serial, "{name}={value}");
}

/// The number that the runner placed for us, before we started; see `PARAMETERS` in bench.x.
#[must_use]
pub fn parameter(index: usize) -> usize {
    assert!(index < 16, "there are 16 parameters");
    // Safety: 64 bytes at PARAMETERS are RAM outside of what the linker script gives out, aligned, only read here.
    let value = unsafe { read_volatile((PARAMETERS as *const u32).add(index)) };
    usize::try_from(value).expect("32-bit machine")
}

/// Turns the machine off; 0 is success.
pub fn exit(code: u16) -> ! {
    let word = if code == 0 { 0x5555 } else { u32::from(code) << 16 | 0x3333 };
    loop {
        // Safety: the test device's only register; a write to it ends the machine and touches no memory.
        unsafe { write_volatile(TEST_DEVICE as *mut u32, word) };
    }
}

struct Serial;

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // Safety: the transmit register of QEMU's 16550, which is always ready; it touches no memory.
            unsafe { write_volatile(UART0 as *mut u8, byte) };
        }
        Ok(())
    }
}

/// The low half of the retired-instruction counter: enough for 4 G instructions.
fn instructions() -> u32 {
    let count: u32;
    // Safety: reads a counter that machine mode may read.
    unsafe { core::arch::asm!("csrr {}, minstret", out(reg) count) };
    count
}

/// How many bytes of stack `work` reaches below its caller.
#[inline(never)]
fn stack_used_by(work: &mut dyn FnMut()) -> u32 {
    let here: usize;
    // Safety: copies the stack pointer.
    unsafe { core::arch::asm!("mv {}, sp", out(reg) here) };
    let bottom = addr_of!(stack_bottom).addr();
    // The frame of the painting itself may lie just below `here`.
    let painted = (bottom..here - MARGIN).step_by(4);
    for address in painted.clone() {
        // Safety: unused stack below every live frame (MARGIN leaves room for leaf calls), inside RAM, aligned.
        unsafe { write_volatile(address as *mut u32, PAINT) };
    }
    work();
    // Safety: as above, read only.
    let touched = painted.clone().find(|&address| unsafe { read_volatile(address as *const u32) } != PAINT);
    let deepest = touched.unwrap_or(here);
    assert!(deepest != bottom, "the stack is used up");
    u32::try_from(here - deepest).unwrap_or(u32::MAX)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Serial, "{info}");
    exit(1)
}

const UART0: usize = 0x1000_0000;
const TEST_DEVICE: usize = 0x10_0000;
const PARAMETERS: usize = 0x80ff_0000;
const PAINT: u32 = 0xc077_e125;
const MARGIN: usize = 128;
