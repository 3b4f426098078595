//! How the chip keeps flash unreadable to those who take it off the board.
//!
//! | file | noun |
//! |---|---|
//! | `esp32` | AES-256 with a tweaked key, the ESP32 only |
//! | `xts` | XTS-AES, all chips after the ESP32 |
//! | `key` | a key file and the scheme that it means on a chip |
//! | `extent` | what is encrypted in a whole flash image |

pub mod esp32;
#[cfg(feature = "alloc")]
pub mod extent;
pub mod key;
pub mod xts;
