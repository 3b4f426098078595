//! What an ESP-AT module and its host MCU say to each other over a serial line, below the AT text.
//!
//! | file | noun |
//! |---|---|
//! | `compat` | the keystreams of Espressif's example: no integrity, no fresh keys |
//! | `derivation` | keys and IVs from what a chip and its host know, the example's `F(x, y, z)` |
//! | `delimiter` | where frames begin and end on a wire that loses and changes bytes |
//! | `suite` | the ciphers that seal frames |
//! | `session` | sealed frames, accepted once and in order |
//! | `handshake` | two ends that share a key agree on a session |
//! | `mode` | which handshake, told apart on the wire |
//! | `noise` | the same with forward secrecy |
//! | `credentials` | what any handshake looks like to an end |
//!
//! The two ends, which hold the state, are in the device crate's `link`.

pub mod compat;
pub mod credentials;
pub mod delimiter;
pub mod derivation;
pub mod handshake;
pub mod mode;
pub mod noise;
pub mod session;
pub mod suite;
