//! `esp_secure_cert` partitions: packed from keys and certificates, and their secrets opened again.
//!
//! | file | noun |
//! |---|---|
//! | `pack` | a partition from what a device is to carry, and the keys to burn |
//! | `table` | the CSV files of Espressif's tool |
//! | `open` | signatures verified; entries decrypted or derived with the HMAC key |

pub mod open;
pub mod pack;
pub mod table;

pub use pack::{Burn, BurnKey, Content, Packed, Protected, Wanted, pack};
