//! What devices say and are told over MQTT, and who is there: the bridge without MQTT.
//!
//! | file | noun |
//! |---|---|
//! | here | what administrators do, and what is kept |
//! | `live` | which device is on which connection, and what that connection is told |

pub(crate) mod live;

use crate::administrator::Administrator;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::store::bridge::{Bound, NewConfig};
use crate::store::{Store, StoreError};
use cotter_wire::ids::DeviceId;
use live::{Leave, Live, Order};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// Everything that is kept about devices on MQTT, and everybody who is there.
pub struct Bridge {
    /// Where it is kept.
    pub store: Arc<dyn Store>,
    /// Who notes what administrators do.
    pub audit: Arc<Audit>,
    /// When.
    pub clock: Arc<dyn Clock>,
    pub(crate) live: Live,
    /// For messages that wait for the store, of all connections: less than the store's queue holds, so that they wait here.
    pub(crate) room: Arc<Semaphore>,
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The device has it; if it subscribed with QoS 0, it was sent.
    Delivered,
    /// The device has not subscribed to commands.
    NotSubscribed,
    /// The device has not acknowledged what it was sent before, or takes no message of that size.
    Busy,
}

const MOST_WAITING: usize = 2048;

/// Longest configuration, in bytes: as in Cloud IoT Core.
pub const MOST_CONFIG: usize = 64 * 1024;
/// Longest command, in bytes.
pub const MOST_COMMAND: usize = 64 * 1024;
/// How long a device may take to acknowledge a command.
pub const COMMAND_WAIT: Duration = Duration::from_secs(10);

impl Bridge {
    /// With nobody there.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, audit: Arc<Audit>, clock: Arc<dyn Clock>) -> Self {
        Self { store, audit, clock, live: Live::default(), room: Arc::new(Semaphore::new(MOST_WAITING)) }
    }

    /// Gives a device its next configuration, at once if it is there. Its version.
    ///
    /// # Errors
    /// [`BridgeRefusal`].
    pub async fn set_config(
        &self,
        device: DeviceId,
        payload: Vec<u8>,
        by: &Administrator,
    ) -> Result<u64, BridgeRefusal> {
        if payload.len() > MOST_CONFIG {
            return Err(BridgeRefusal::TooLong { most: MOST_CONFIG });
        }
        // What it says is in the store; a log is read by more people.
        let note =
            self.audit.note(&by.name, "bridge-config-set", device.to_string(), format!("{} bytes", payload.len()));
        let config = NewConfig { device, payload, set_at: self.clock.unix(), set_by: by.name.to_string() };
        let version = self.store.set_config(config, note).await?.ok_or(BridgeRefusal::UnknownDevice { device })?;
        // Who does not take it now has it when it subscribes again.
        let _there = self.live.tell(device, Order::Config { device });
        Ok(version)
    }

    /// Sends a command to a device that is there. It is not kept.
    ///
    /// # Errors
    /// [`BridgeRefusal`].
    pub async fn command(
        &self,
        device: DeviceId,
        folder: String,
        payload: Vec<u8>,
        by: &Administrator,
    ) -> Result<(), BridgeRefusal> {
        if payload.len() > MOST_COMMAND {
            return Err(BridgeRefusal::TooLong { most: MOST_COMMAND });
        }
        if self.store.device(device).await?.is_none() {
            return Err(BridgeRefusal::UnknownDevice { device });
        }
        let detail = format!("{} bytes, folder {folder:?}", payload.len());
        let note = self.audit.note(&by.name, "bridge-command", device.to_string(), detail);
        // Before it goes: no command without its note.
        self.store.append_audit(note).await?;
        let (done, outcome) = oneshot::channel();
        if !self.live.tell(device, Order::Command { device, folder, payload, done }) {
            return Err(BridgeRefusal::NotThere { device });
        }
        match tokio::time::timeout(COMMAND_WAIT, outcome).await {
            Ok(Ok(Delivery::Delivered)) => Ok(()),
            Ok(Ok(Delivery::NotSubscribed)) => Err(BridgeRefusal::NotSubscribed { device }),
            Ok(Ok(Delivery::Busy)) => Err(BridgeRefusal::Busy { device }),
            // Its connection is gone.
            Ok(Err(_)) => Err(BridgeRefusal::NotThere { device }),
            Err(_) => Err(BridgeRefusal::NotAcknowledged { device }),
        }
    }

    /// Makes a device a gateway, or takes that from it: then its connection ends. False if nothing changed.
    ///
    /// # Errors
    /// [`BridgeRefusal`].
    pub async fn set_gateway(
        &self,
        device: DeviceId,
        is_gateway: bool,
        by: &Administrator,
    ) -> Result<bool, BridgeRefusal> {
        let event = if is_gateway { "bridge-gateway-made" } else { "bridge-gateway-unmade" };
        let note = self.audit.note(&by.name, event, device.to_string(), String::new());
        let is_changed =
            self.store.set_gateway(device, is_gateway, note).await?.ok_or(BridgeRefusal::UnknownDevice { device })?;
        if is_changed && !is_gateway {
            self.live.end(device, Leave::Administrator);
        }
        Ok(is_changed)
    }

    /// Lets a gateway bring a device that shows no token, or no longer: then its connection ends. False if nothing changed.
    ///
    /// # Errors
    /// [`BridgeRefusal`].
    pub async fn bind(
        &self,
        gateway: DeviceId,
        device: DeviceId,
        is_bound: bool,
        by: &Administrator,
    ) -> Result<bool, BridgeRefusal> {
        let event = if is_bound { "bridge-device-bound" } else { "bridge-device-unbound" };
        let note = self.audit.note(&by.name, event, gateway.to_string(), device.to_string());
        match self.store.bind(gateway, device, is_bound, note).await? {
            Bound::Changed => {
                if !is_bound {
                    self.live.end(gateway, Leave::Administrator);
                }
                Ok(true)
            }
            Bound::AlreadySo => Ok(false),
            Bound::Full => Err(BridgeRefusal::Full { gateway }),
            Bound::NoGateway => Err(BridgeRefusal::NoGateway { device: gateway }),
            Bound::IsGateway => Err(BridgeRefusal::IsGateway { device }),
            Bound::UnknownDevice => Err(BridgeRefusal::UnknownDevice { device }),
        }
    }
}

/// Why an administrator's wish is not done.
#[derive(Debug, thiserror::Error)]
pub enum BridgeRefusal {
    /// No such device.
    #[error("bridge: there is no device {device}")]
    UnknownDevice {
        /// Its name.
        device: DeviceId,
    },
    /// More than a message may have.
    #[error("bridge: more than {most} bytes")]
    TooLong {
        /// The most.
        most: usize,
    },
    /// Not a word for a topic.
    #[error("bridge: a folder has 1 to 128 printable characters without + and #")]
    Folder,
    /// Not connected: commands are not kept.
    #[error("bridge: {device} is not connected over MQTT; a command reaches only who is there")]
    NotThere {
        /// Its name.
        device: DeviceId,
    },
    /// Connected, but not listening.
    #[error("bridge: {device} has not subscribed to its commands")]
    NotSubscribed {
        /// Its name.
        device: DeviceId,
    },
    /// Connected, but slow.
    #[error("bridge: {device} does not take more messages now, or none of that size")]
    Busy {
        /// Its name.
        device: DeviceId,
    },
    /// Sent; whether the device has it is not known.
    #[error("bridge: {device} was sent the command and has not acknowledged it")]
    NotAcknowledged {
        /// Its name.
        device: DeviceId,
    },
    /// No more than `MOST_BOUND`.
    #[error("bridge: 10000 devices are bound to {gateway} already")]
    Full {
        /// Its name.
        gateway: DeviceId,
    },
    /// Only gateways bring others.
    #[error("bridge: {device} is no gateway")]
    NoGateway {
        /// Its name.
        device: DeviceId,
    },
    /// Gateways are not brought by others.
    #[error("bridge: {device} is a gateway itself")]
    IsGateway {
        /// Its name.
        device: DeviceId,
    },
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BridgeRefusal {
    /// A stable name; `None` if the server itself is at fault.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::UnknownDevice { .. } => Some("bridge-unknown-device"),
            Self::TooLong { .. } => Some("bridge-too-long"),
            Self::Folder => Some("bridge-folder"),
            Self::NotThere { .. } => Some("bridge-not-there"),
            Self::NotSubscribed { .. } => Some("bridge-not-subscribed"),
            Self::Busy { .. } => Some("bridge-busy"),
            Self::NotAcknowledged { .. } => Some("bridge-not-acknowledged"),
            Self::Full { .. } => Some("bridge-gateway-full"),
            Self::NoGateway { .. } => Some("bridge-no-gateway"),
            Self::IsGateway { .. } => Some("bridge-is-gateway"),
            Self::Store(_) => None,
        }
    }
}
