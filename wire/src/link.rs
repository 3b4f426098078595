//! What an ESP-AT module and its host MCU say to each other over a serial line, below the AT text.
//!
//! | file | noun |
//! |---|---|
//! | `compat` | the keystreams of Espressif's example: no integrity, no fresh keys |
//! | `derivation` | keys and IVs from what a chip and its host know, the example's `F(x, y, z)` |
//!
//! The two ends, which hold the state, are in the device crate's `link`.

pub mod compat;
pub mod derivation;
