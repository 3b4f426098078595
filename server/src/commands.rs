//! Commands to devices: checked against the operator's schema, sealed for one device, delivered until it answers.
//!
//! A command that was executed is executed once: that is the device's promise (`cotter_device::command`). This side
//! promises the rest: nothing is queued that the schema does not know, nothing is delivered after its time or with
//! other keys than it was queued for, and a result counts only if that device has signed it.

mod schema;

pub use schema::{Schema, SchemaError, ValueRefusal};

use crate::administrator::Administrator;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::keyring::KnownDevice;
use crate::store::commands::{Cancelled, Finished, NewCommand, Queued, StoredCommand};
use crate::store::{Store, StoreError};
use cotter_wire::command::{self, Address, CommandCounter, CommandError, MAX_COMMAND, UnverifiedResult};
use cotter_wire::ids::{DeviceId, UnixTime};
use std::sync::Arc;

/// Who may be told to do what.
pub struct Commands {
    /// What devices can do.
    pub schema: Schema,
    /// Where commands wait.
    pub store: Arc<dyn Store>,
    /// Who notes it.
    pub audit: Arc<Audit>,
    /// When they expire.
    pub clock: Arc<dyn Clock>,
}

/// What became of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// Stored, now or before.
    Stored,
    /// Not a result.
    Malformed,
    /// Not signed by this device.
    Forged,
    /// It contradicts the result that is stored.
    Contradiction,
    /// No such command was delivered to this device.
    Unknown,
}

impl Commands {
    /// Checks a command and queues it for `seconds`.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn queue(
        &self,
        device: DeviceId,
        by: &Administrator,
        name: &str,
        values: &serde_json::Map<String, serde_json::Value>,
        seconds: u64,
    ) -> Result<CommandCounter, QueueError> {
        if !(1..=LONGEST_LIFE_S).contains(&seconds) {
            return Err(QueueError::Life);
        }
        let command = self.schema.check(name, values)?;
        let queued_at = self.clock.unix();
        // What the values are is in the queue; a log is read by more people.
        let note = self.audit.note(&by.name, "command-queued", device.to_string(), name.to_owned());
        let expires = queued_at.saturating_add(seconds);
        let new = NewCommand { device, command, queued_at, queued_by: by.name.to_string(), expires };
        match self.store.queue_command(new, note).await? {
            Queued::Queued(counter) => Ok(counter),
            Queued::Full => Err(QueueError::Full),
            Queued::UnknownDevice => Err(QueueError::UnknownDevice),
        }
    }

    /// The sealed command that a device is to be given now.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn next(&self, device: &KnownDevice) -> Result<Option<Vec<u8>>, FetchError> {
        let now = self.clock.unix();
        // Two times: the first one may be cancelled just now.
        for _ in 0..2 {
            let Some(stored) = self.store.open_command(device.id, device.epoch, now).await? else { return Ok(None) };
            let counter = stored.counter;
            if stored.delivered_at.is_none() && !self.store.deliver_command(device.id, counter, now).await? {
                continue;
            }
            let mut nonce = [0; 12];
            aws_lc_rs::rand::fill(&mut nonce).map_err(|_| FetchError::NoRandomness)?;
            let to = Address { device: &device.id, epoch: device.epoch, counter };
            let expires = UnixTime(stored.new.expires);
            let mut out = [0; MAX_COMMAND];
            let sealed = command::seal(&device.keys.command, &to, nonce, expires, &stored.new.command, &mut out)?;
            return Ok(Some(sealed.to_vec()));
        }
        Ok(None)
    }

    /// Takes what a device says about a command, in its own session.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn finish(&self, device: &KnownDevice, body: &[u8]) -> Result<Receipt, StoreError> {
        let result = match UnverifiedResult::parse(body) {
            Ok(result) => result,
            Err(why) => {
                self.audit.device("command-result-malformed", &device.id, &why);
                return Ok(Receipt::Malformed);
            }
        };
        let from = Address { device: &device.id, epoch: device.epoch, counter: CommandCounter(0) };
        let result = match result.verify(&device.keys.command_result, &from) {
            Ok(result) => result,
            Err(why) => {
                self.audit.device("command-result-forged", &device.id, &why);
                return Ok(Receipt::Forged);
            }
        };
        let (counter, outcome) = (result.counter, result.outcome);
        match self.store.finish_command(device.id, device.epoch, result, self.clock.unix()).await? {
            Finished::Finished => {
                tracing::info!(device = %device.id, %counter, outcome = outcome.as_str(), "command ended");
                Ok(Receipt::Stored)
            }
            Finished::Same => Ok(Receipt::Stored),
            Finished::Different => {
                let why = format!("command {counter} has another result already");
                self.audit.device("command-result-contradicts", &device.id, &why);
                Ok(Receipt::Contradiction)
            }
            Finished::Unknown => {
                let why = format!("command {counter} was never delivered to it");
                self.audit.device("command-result-unknown", &device.id, &why);
                Ok(Receipt::Unknown)
            }
        }
    }

    /// Takes a command back, if the device has not been given it.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn cancel(
        &self,
        device: DeviceId,
        counter: CommandCounter,
        by: &Administrator,
    ) -> Result<Cancelled, StoreError> {
        let note = self.audit.note(&by.name, "command-cancelled", device.to_string(), counter.to_string());
        self.store.cancel_command(device, counter, self.clock.unix(), note).await
    }

    /// The latest commands to a device, newest first.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn list(&self, device: DeviceId) -> Result<Vec<StoredCommand>, StoreError> {
        self.store.commands(device, crate::store::commands::KEPT_COMMANDS).await
    }
}

/// A week: for longer nobody remembers what was meant.
pub const LONGEST_LIFE_S: u64 = 7 * 24 * 3600;

/// Why a command is not queued.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Not what the schema says.
    #[error(transparent)]
    Value(#[from] ValueRefusal),
    /// Too short or too long a life.
    #[error("a command expires after 1 to 604800 seconds")]
    Life,
    /// Too many wait.
    #[error("16 commands wait for this device already")]
    Full,
    /// No such device.
    #[error("no such device is enrolled")]
    UnknownDevice,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl QueueError {
    /// A stable name; `None` if the server itself is at fault.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::Value(refusal) => Some(refusal.code()),
            Self::Life => Some("command-life"),
            Self::Full => Some("command-queue-full"),
            Self::UnknownDevice => Some("command-unknown-device"),
            Self::Store(_) => None,
        }
    }
}

/// Why no command can be given out.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system")]
    NoRandomness,
    /// What is stored does not fit a message.
    #[error(transparent)]
    Command(#[from] CommandError),
}
