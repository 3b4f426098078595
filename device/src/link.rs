//! One end of the serial line between an ESP-AT module and its host MCU. Either end can run this: it does not know AT.
//!
//! | file | noun |
//! |---|---|
//! | `compat` | an end that speaks as Espressif's example does |
//!
//! What goes over the wire is in the wire crate's `link`.

pub mod compat;
