//! eFuses: where every field sits, how blocks are coded, and the register image that espefuse keeps in a file.
//!
//! | file | noun |
//! |---|---|
//! | `field` | blocks and fields |
//! | `map` | the map of a chip: its blocks, fields, protections, key blocks |
//! | `esp32`, `esp32c3`, ... | the fields of each chip, and its blocks where they are its own |
//! | `meaning` | what a field is for, and what its values are called |
//! | `key_purpose` | what a key block is for, and the byte order that this asks for |
//! | `coding` | RS(44, 32), 3/4, CRC-8 of a MAC |
//! | `unary` | counters that count burned bits |
//! | `image` | the readable registers, and espefuse's virtual file |
//! | `release` | what ESP-IDF wants of a chip in release mode |
//! | `lint` | what is wrong with the eFuses of a chip |
//! | `reach` | what stands between one image and another, if bits only burn |
//! | `dump`, `token` | the other forms in which espefuse writes them |

pub mod coding;
#[cfg(feature = "alloc")]
pub mod dump;
pub mod esp32;
pub mod esp32c2;
pub mod esp32c3;
pub mod esp32c5;
pub mod esp32c6;
pub mod esp32c61;
pub mod esp32h2;
pub mod esp32h21;
pub mod esp32h4;
pub mod esp32p4;
pub mod esp32p4_v3;
pub mod esp32s2;
pub mod esp32s3;
pub mod esp32s31;
pub mod field;
pub mod image;
pub mod key_purpose;
#[cfg(feature = "alloc")]
pub mod lint;
pub mod map;
pub mod meaning;
#[cfg(feature = "alloc")]
pub mod reach;
#[cfg(feature = "alloc")]
pub mod release;
#[cfg(feature = "alloc")]
pub mod token;
pub mod unary;

pub use coding::Coding;
pub use field::{BlockLayout, EfuseBlock, Field};
pub use image::{EfuseImage, EfuseImageError, FieldBytes, VirtualFile};
pub use key_purpose::{KeyPurpose, Purpose, PurposeValue};
pub use map::{ChipRevision, EfuseMap, Family};
pub use meaning::Group;
