//! What runs on the product: device-side security logic, `no_std`, no allocator, sans-IO.
//!
//! | file | noun |
//! |---|---|
//! | `platform` | randomness, flash, and the window onto one partition |
//! | `slots` | the app slots and otadata |

#![no_std]

pub mod platform;
pub mod slots;
