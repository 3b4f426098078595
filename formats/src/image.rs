//! Application and boot images: what the ROM and the second stage load, and what `elf2image` makes.
//!
//! | file | noun |
//! |---|---|
//! | `header` | the 24-byte header, flash modes, sizes and frequencies |
//! | `parse` | an image: segments, checksum, appended digest |
//! | `descriptor` | what an image says about itself |
//! | `elf` | the sections of an ELF file |
//! | `build` | ELF file in, image out (`alloc`) |

#[cfg(feature = "alloc")]
mod build;
mod descriptor;
pub mod elf;
mod header;
mod parse;

#[cfg(feature = "alloc")]
pub use build::{BuildError, BuildOptions, SecurePad, build_app};
pub use descriptor::{AppDescriptor, BootDescriptor};
pub use header::{FlashFrequency, FlashMode, FlashSize, HEADER_LEN, ImageHeader, MAX_SEGMENTS};
pub use parse::{Checksum, Digest, Image, ImageError, Segment};
