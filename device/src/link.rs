//! One end of the serial line between an ESP-AT module and its host MCU. Either end can run this: it does not know AT.
//!
//! | file | noun |
//! |---|---|
//! | `compat` | an end that speaks as Espressif's example does |
//! | `end` | an end with a handshake: authenticated, whole and in order, or not at all |
//! | `psk` | that end with a shared key |
//! | `noise` | that end with a shared key and fresh ones for each session |
//! | `stream` | what was sent and not yet acknowledged |
//! | `time` | milliseconds, and how long to wait for what |
//!
//! What goes over the wire is in the wire crate's `link`.

pub mod compat;
pub mod end;
pub mod noise;
pub mod psk;
mod stream;
mod time;

pub use time::{Millis, Timing};
