//! What runs on the product: device-side security logic, `no_std`, no allocator, sans-IO.
//!
//! | file | noun |
//! |---|---|
//! | `nonces` | the packet nonce, persisted before it is used |
//! | `sequences` | the numbers of compact packets, reserved before they are used |
//! | `recovery` | a new key epoch when a counter was lost |
//! | `rotation` | a new root key, never without one that counts |
//! | `nvs` | the live key-value store |
//! | `platform` | randomness, flash, and the window onto one partition |
//! | `slots` | the app slots and otadata |
//! | `label` | what an application image says about itself |
//! | `self_test` | whether the image on trial is good |
//! | `identity` | who this device is |
//! | `session` | signed requests and a time to believe |
//! | `ota` | firmware over the air |
//! | `trust` | whose firmware it takes, after the factory |
//! | `command` | commands from the server, executed at most once |
//! | `link` | an end of the serial line between an ESP-AT module and its host |
//! | `telemetry` | a reading on its way to the server |
//! | `signer` | a key that signs for this device, wherever it is |
//! | `atecc` | the driver of a secure element on I2C |

#![no_std]

pub mod atecc;
pub mod command;
pub mod identity;
pub mod label;
pub mod link;
pub mod nonces;
pub mod nvs;
pub mod ota;
pub mod platform;
pub mod recovery;
pub mod rotation;
pub mod self_test;
pub mod sequences;
pub mod session;
pub mod signer;
pub mod slots;
pub mod telemetry;
#[cfg(test)]
mod test_image;
#[cfg(test)]
mod test_store;
pub mod trust;
