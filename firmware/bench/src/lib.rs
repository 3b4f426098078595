//! Counts what a piece of device code costs on riscv32imc: instructions, stack, flash. No operating system, no
//! allocator; QEMU's `virt` board with one instruction per clock (`-icount shift=0`) makes every count repeatable.
//!
//! | file | noun |
//! |---|---|
//! | `board` | the board: start, serial line, instruction counter, stack, parameters, power-off |
//! | `sample` | the reading that is sealed |
//! | `bin/packet` | one telemetry packet, sealed by the device crate |
//! | `bin/seal` | the packet alone, from keys and nonce that are there already |
//! | `bin/floor_hmac` | HMAC-SHA256 alone, over as many bytes |
//! | `bin/floor_aes` | AES-128-CBC alone, over as many bytes |
//!
//! Each is a program of its own: link-time optimisation looks at all that is in a program, so two measurements in one
//! program would change each other.

#![no_std]

pub mod board;
pub mod sample;
