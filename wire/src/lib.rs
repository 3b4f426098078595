//! What a Cotter device and its server say to each other: `no_std`, no allocator, one spelling per message.
//!
//! | file | noun |
//! |---|---|
//! | `ids` | device ids, epochs, nonces, release and key ids |
//! | `version` | firmware versions, compared as numbers |
//! | `hex` | lower-case hexadecimal |
//! | `keys` | keys typed by use, derived from one root key per device |
//! | `registers` | the register map that every application image carries |
//! | `api` | the HTTP paths |

#![no_std]
#[cfg(feature = "alloc")]
extern crate alloc;

pub mod api;
pub mod hex;
pub mod ids;
pub mod keys;
pub mod registers;
pub mod version;
