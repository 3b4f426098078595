//! eFuses: where every field sits, how blocks are coded, and the register image that espefuse keeps in a file.
//!
//! | file | noun |
//! |---|---|
//! | `field` | blocks, fields, and the map of a chip |
//! | `esp32c3` | the map of the ESP32-C3 |
//! | `key_purpose` | what a key block is for, and the byte order that this asks for |
//! | `coding` | RS(44, 32), the coding of every block but 0 |
//! | `unary` | counters that count burned bits |
//! | `image` | the readable registers, and espefuse's virtual file |

pub mod coding;
pub mod esp32c3;
pub mod field;
pub mod image;
pub mod key_purpose;
pub mod unary;

pub use field::{BlockLayout, EfuseBlock, EfuseMap, Field};
pub use image::{EfuseImage, EfuseImageError};
pub use key_purpose::KeyPurpose;
