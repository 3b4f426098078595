//! The first instructions of the boot image.

// Safety (global_asm): `start` runs once, before any Rust code, sets the one thing Rust needs (a stack in memory that
// nothing else uses: boot.x) and never returns to the ROM.
#![allow(unsafe_code)]

use crate::boot;

core::arch::global_asm!(
    // The ROM jumps here with its own stack; ours is at the end of DATA (boot.x).
    ".section .init, \"ax\"",
    ".global start",
    "start:",
    "    la   sp, stack_top",
    "    tail {boot}",
    boot = sym boot,
);
