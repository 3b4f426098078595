//! Many devices at once: for each a key, a certificate, an `esp_secure_cert` partition, an encrypted NVS partition and the
//! keys to burn, in a folder of its own.
//!
//! | file | noun |
//! |---|---|
//! | `list` | the ids of the devices, one at a time |
//! | `device` | everything that one device gets |
//! | `folder` | the folder that all of them lie in: one batch at a time, each device whole or not there |
//!
//! A batch that was stopped goes on where it was: devices that are there are kept. Nothing grows with their number.

pub mod device;
pub mod folder;
pub mod list;

pub use device::{Mode, NvsScheme, Recipe};
pub use folder::{Batch, BatchError, Summary};
pub use list::{Device, DeviceList, ListError};
