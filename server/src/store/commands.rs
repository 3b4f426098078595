//! Commands to devices: queued, delivered until a result comes, and what came of them.

use super::{AuditEntry, Pending};
use cotter_wire::command::{Command, CommandCounter, CommandResult, Outcome};
use cotter_wire::ids::{DeviceId, KeyEpoch};

/// Commands, per device and in the order of their counters.
pub trait CommandQueue {
    /// Gives a command its counter and queues it. The note's detail is preceded by the counter.
    fn queue_command(&self, command: NewCommand, note: AuditEntry) -> Pending<'_, Queued>;

    /// The oldest command that this device is to be given now: neither ended nor expired, and of its present keys.
    fn open_command(&self, device: DeviceId, epoch: KeyEpoch, now: u64) -> Pending<'_, Option<StoredCommand>>;

    /// Notes the first delivery. False if it was cancelled in between: then it must not be delivered.
    fn deliver_command(&self, device: DeviceId, counter: CommandCounter, at: u64) -> Pending<'_, bool>;

    /// Ends a command by what its device said, as its MAC has shown. Also one that has expired here since.
    fn finish_command(
        &self,
        device: DeviceId,
        epoch: KeyEpoch,
        result: CommandResult,
        at: u64,
    ) -> Pending<'_, Finished>;

    /// Cancels a command that was never delivered.
    fn cancel_command(
        &self,
        device: DeviceId,
        counter: CommandCounter,
        at: u64,
        note: AuditEntry,
    ) -> Pending<'_, Cancelled>;

    /// The latest commands to a device, newest first, at most `limit`.
    fn commands(&self, device: DeviceId, limit: usize) -> Pending<'_, Vec<StoredCommand>>;
}

/// So many commands may wait for one device.
pub const MOST_OPEN: usize = 16;
/// So many are kept of one device, the latest.
pub const KEPT_COMMANDS: usize = 100;

/// A command that is to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCommand {
    /// For whom.
    pub device: DeviceId,
    /// What, checked against the schema.
    pub command: Command,
    /// Unix seconds.
    pub queued_at: u64,
    /// Administrator.
    pub queued_by: String,
    /// From when on it must not be begun, Unix seconds.
    pub expires: u64,
}

/// What became of [`CommandQueue::queue_command`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    /// It waits under this number.
    Queued(CommandCounter),
    /// [`MOST_OPEN`] wait already; nothing changed.
    Full,
    /// No such device.
    UnknownDevice,
}

/// What became of [`CommandQueue::finish_command`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// Stored.
    Finished,
    /// The same result is stored already: the answer was lost.
    Same,
    /// Another result is stored already; nothing changed.
    Different,
    /// No such command was ever delivered to this device with these keys.
    Unknown,
}

/// What became of [`CommandQueue::cancel_command`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The device never sees it.
    Cancelled,
    /// The device has it, or may have it: it may be executed until it expires.
    Delivered,
    /// It has ended, or expired.
    Over,
    /// No such command.
    Unknown,
}

/// Where a command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandState {
    /// No result yet.
    Open,
    /// Taken back before it was delivered.
    Cancelled,
    /// As the device said.
    Ended(Outcome),
}

/// A command as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCommand {
    /// Its number.
    pub counter: CommandCounter,
    /// The keys that the device had when it was queued; with others it is void.
    pub epoch: KeyEpoch,
    /// What it was.
    pub new: NewCommand,
    /// First delivery, Unix seconds.
    pub delivered_at: Option<u64>,
    /// Where it stands.
    pub state: CommandState,
    /// When it ended, Unix seconds.
    pub finished_at: Option<u64>,
    /// What the device added.
    pub detail: String,
}
