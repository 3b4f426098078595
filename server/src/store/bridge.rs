//! What devices say and are told over MQTT, and which of them bring others.

use super::{AuditEntry, Pending};
use cotter_wire::ids::DeviceId;

/// Messages, states and configurations by device; gateways.
pub trait BridgeTable {
    /// Stores a message under the device's next number; of its messages, the last `kept` stay. `None` if there is no such
    /// device.
    fn add_message(&self, message: NewMessage, kept: u64) -> Pending<'_, Option<u64>>;

    /// The messages of a device after a number, oldest first, at most `limit`. `None` if there is no such device.
    fn messages(&self, device: DeviceId, after: u64, limit: usize) -> Pending<'_, Option<Vec<StoredMessage>>>;

    /// Stores what a device says its state is; the last [`KEPT_STATES`] stay. False if there is no such device.
    fn add_state(&self, device: DeviceId, state: Vec<u8>, at: u64) -> Pending<'_, bool>;

    /// The last states of a device, newest first. `None` if there is no such device.
    fn states(&self, device: DeviceId) -> Pending<'_, Option<Vec<StoredState>>>;

    /// Gives a device its next configuration; the last [`KEPT_CONFIGS`] stay. Its version, from 1; `None` if there is no
    /// such device.
    fn set_config(&self, config: NewConfig, note: AuditEntry) -> Pending<'_, Option<u64>>;

    /// The last configurations of a device, newest first, at most `limit`. `None` if there is no such device.
    fn configs(&self, device: DeviceId, limit: usize) -> Pending<'_, Option<Vec<StoredConfig>>>;

    /// The device has this configuration. The first time counts.
    fn acknowledge_config(&self, device: DeviceId, version: u64, at: u64) -> Pending<'_, ()>;

    /// Makes a device a gateway, or takes that from it, its bindings included. False if nothing changed; `None` if there is
    /// no such device.
    fn set_gateway(&self, device: DeviceId, is_gateway: bool, note: AuditEntry) -> Pending<'_, Option<bool>>;

    /// Lets a gateway bring a device that shows no token, or no longer.
    fn bind(&self, gateway: DeviceId, device: DeviceId, is_bound: bool, note: AuditEntry) -> Pending<'_, Bound>;

    /// Whether a gateway may bring a device. `None` if it is no gateway.
    fn binding(&self, gateway: DeviceId, device: DeviceId) -> Pending<'_, Option<bool>>;

    /// The devices that are bound to a gateway, by name. `None` if it is no gateway.
    fn bindings(&self, gateway: DeviceId) -> Pending<'_, Option<Vec<DeviceId>>>;
}

/// Of each device.
pub const KEPT_STATES: u64 = 10;
/// Of each device.
pub const KEPT_CONFIGS: u64 = 10;
/// Of each gateway: as many as in Cloud IoT Core.
pub const MOST_BOUND: usize = 10_000;

/// A message that is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Whose.
    pub device: DeviceId,
    /// What follows `events/` in its topic; empty if nothing does.
    pub folder: String,
    /// As it came.
    pub payload: Vec<u8>,
    /// Unix seconds.
    pub received_at: u64,
}

/// A message as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Of its device, from 1.
    pub number: u64,
    /// What it is.
    pub message: NewMessage,
}

/// A state as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredState {
    /// As it came.
    pub payload: Vec<u8>,
    /// Unix seconds.
    pub received_at: u64,
}

/// A configuration that is to be given to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConfig {
    /// Whose.
    pub device: DeviceId,
    /// As it goes.
    pub payload: Vec<u8>,
    /// Unix seconds.
    pub set_at: u64,
    /// Administrator.
    pub set_by: String,
}

/// A configuration as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredConfig {
    /// Of its device, from 1.
    pub version: u64,
    /// What it is.
    pub config: NewConfig,
    /// When the device first said that it has it, Unix seconds.
    pub acknowledged_at: Option<u64>,
}

/// What became of [`BridgeTable::bind`]. Everything but `Changed` changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// As it was wanted.
    Changed,
    /// It was so already.
    AlreadySo,
    /// [`MOST_BOUND`] are bound to it.
    Full,
    /// The one is no gateway.
    NoGateway,
    /// The other is a gateway itself.
    IsGateway,
    /// There is no such device.
    UnknownDevice,
}
