//! How the chip keeps flash unreadable to those who take it off the board.
//!
//! | file | noun |
//! |---|---|
//! | `xts` | XTS-AES, all chips after the ESP32 |

pub mod xts;
