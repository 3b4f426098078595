//! What happens if an invariant does not hold: `cotter_link_panicked`, which a program may define, else a trap.
//!
//! No input leads here, whatever the other end or the caller does; if it happens, the library has an error or the memory
//! of the machine was changed. A host MCU then wants its own fault handler or a reset, and so the message, which nobody
//! would read, is not linked.

#![allow(unsafe_code)]

unsafe extern "C" {
    // Weak below: the program's own takes its place.
    safe fn cotter_link_panicked();
}

// Safety (global_asm): one instruction that traps, on each architecture; it touches no memory and never goes on.
#[cfg(any(target_arch = "riscv32", target_arch = "riscv64"))]
core::arch::global_asm!(
    ".section .text.cotter_link_panicked, \"ax\"",
    ".weak cotter_link_panicked",
    ".type cotter_link_panicked, @function",
    "cotter_link_panicked: unimp",
    ".text",
);
// Safety (global_asm): as above.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".section .text.cotter_link_panicked, \"ax\"",
    ".weak cotter_link_panicked",
    ".type cotter_link_panicked, @function",
    "cotter_link_panicked: ud2",
    ".text",
);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        cotter_link_panicked();
    }
}
