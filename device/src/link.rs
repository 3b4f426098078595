//! One end of the serial line between an ESP-AT module and its host MCU. Either end can run this: it does not know AT.
//!
//! | file | noun |
//! |---|---|
//! | `compat` | an end that speaks as Espressif's example does |
//! | `psk` | an end that shares a key with the other: authenticated, whole and in order, or not at all |
//! | `stream` | what was sent and not yet acknowledged |
//! | `time` | milliseconds, and how long to wait for what |
//!
//! What goes over the wire is in the wire crate's `link`.

pub mod compat;
pub mod psk;
mod stream;
mod time;

pub use time::{Millis, Timing};
