//! Devices of the compatibility profile: their keys, their nonces, and what they measured.

use super::{AuditEntry, Pending};
use crate::ecowatt::EcowattName;
use cotter_wire::ecowatt::History;
use cotter_wire::ids::Nonce;

/// What is kept of EcoWatt devices.
pub trait EcowattDevices {
    /// Switches the profile on for one device, with a key that no device ever had.
    fn add_ecowatt(&self, device: EcowattRecord, note: AuditEntry) -> Pending<'_, EcowattAdded>;

    /// Switches it off and drops the key; what was stored stays. False if it was not on.
    fn remove_ecowatt(&self, name: EcowattName, note: AuditEntry) -> Pending<'_, bool>;

    /// A device that is switched on.
    fn ecowatt_device(&self, name: EcowattName) -> Pending<'_, Option<EcowattDevice>>;

    /// Devices that are switched on, by name, at most `limit`.
    fn ecowatt_devices(&self, limit: usize) -> Pending<'_, Vec<EcowattDevice>>;

    /// Advances the nonce and stores what came with it, all or nothing. Called after the MAC has been verified.
    fn accept_ecowatt(&self, acceptance: EcowattAcceptance) -> Pending<'_, EcowattVerdict>;

    /// The latest arrays of a device, newest first, at most `limit`; also after it was switched off.
    fn ecowatt_arrays(&self, name: EcowattName, limit: usize) -> Pending<'_, Vec<EcowattArray>>;

    /// The latest accepted texts, newest first: at most [`KEPT_TEXTS`].
    fn ecowatt_texts(&self, name: EcowattName) -> Pending<'_, Vec<(Nonce, Vec<u8>)>>;
}

/// How many accepted texts are kept of each device.
pub const KEPT_TEXTS: usize = 8;

/// A device that is to be switched on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcowattRecord {
    /// Its name in the path.
    pub name: EcowattName,
    /// Its key, sealed under the server's master key.
    pub sealed_key: Vec<u8>,
    /// SHA-256 of its key.
    pub fingerprint: [u8; 32],
    /// The first nonce must be above this.
    pub nonce_floor: Nonce,
    /// Unix seconds.
    pub added_at: u64,
}

/// What became of [`EcowattDevices::add_ecowatt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EcowattAdded {
    /// It may talk now.
    Added,
    /// It is switched on already; nothing changed.
    AlreadyOn,
    /// A device of this name speaks the real protocol: it is not downgraded.
    Enrolled,
    /// A device has or had this key.
    KeyUsed,
}

/// A device as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcowattDevice {
    /// What was switched on; its nonce floor has become `last_nonce`.
    pub record: EcowattRecord,
    /// Highest nonce consumed.
    pub last_nonce: Nonce,
    /// What its next blobs are read with.
    pub state: EcowattState,
}

/// What the next blobs of a device are read with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcowattState {
    /// The values that differences are from.
    pub history: History,
    /// Time of the array that came last.
    pub last_at: u64,
    /// Of the latest arrays, oldest first: the device sends them again if an answer is lost.
    pub recent: Vec<[u8; 16]>,
}

/// A verified upload asking to be stored.
#[derive(Debug, Clone)]
pub struct EcowattAcceptance {
    /// Sender, as its key has shown.
    pub name: EcowattName,
    /// The key that has shown it.
    pub fingerprint: [u8; 32],
    /// The nonce that `state` was computed after.
    pub after: Nonce,
    /// Nonce of the upload, above `after`.
    pub nonce: Nonce,
    /// Unix seconds by the server's clock.
    pub received_at: u64,
    /// What the blobs after these are read with.
    pub state: EcowattState,
    /// What it measured, oldest first.
    pub arrays: Vec<EcowattArray>,
    /// The text that was signed.
    pub inner: Vec<u8>,
}

/// What became of an [`EcowattAcceptance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EcowattVerdict {
    /// All of it is stored, durably.
    Accepted,
    /// Another upload came first, or the device was switched off or has another key: look again. Nothing changed.
    Changed,
}

/// Samples that came in one blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcowattArray {
    /// Nonce of the upload.
    pub nonce: Nonce,
    /// Unix seconds by the server's clock.
    pub received_at: u64,
    /// When the device says that it was.
    pub at: u64,
    /// Seconds between samples, as the device says.
    pub interval: u32,
    /// Registers of one sample.
    pub registers: Vec<u8>,
    /// As it came.
    pub blob: Vec<u8>,
    /// The values, sample by sample (`ecowatt::values`); or why the blob was refused.
    pub values: Result<Vec<u8>, String>,
}
