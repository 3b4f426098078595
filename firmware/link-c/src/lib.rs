//! The AT link for C: what `include/cotter_link.h` declares, which is the documentation of all that is exported here.
//!
//! | file | noun |
//! |---|---|
//! | `code` | what a call returns, why something was refused, and all other numbers |
//! | `text` | the first two in words |
//! | `pointer` | what C gives us, checked before it is believed |
//! | `link` | an end with a handshake, in storage of the caller's |
//! | `settings` | what such an end is told once |
//! | `compat` | an end that speaks as Espressif's example does |
//! | `derivation` | keys from what a chip and its host know |
//! | `fault` | what happens if an invariant does not hold |
//!
//! Nothing here decides anything about the link itself: that is the device crate's `link`. `cargo xtask check` holds the
//! header against these files, `cargo xtask link-c` builds the library.

#![no_std]
#![allow(unreachable_pub, reason = "C reaches what is exported")]

mod code;
mod compat;
mod derivation;
mod fault;
mod link;
mod pointer;
mod settings;
mod text;
