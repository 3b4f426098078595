//! The store: what must survive, as use cases that each happen in one transaction or not at all.
//!
//! Nothing above this trait knows SQL. Every back-end passes the tests of `store/contract.rs`, which are written
//! against the trait.

pub mod bridge;
pub mod commands;
pub mod device_keys;
pub mod ecowatt;
pub mod epoch;
pub mod inventory;
pub mod keys;
pub mod protocol;
pub mod rollouts;
pub mod rotations;
pub mod sqlite;
pub mod trust;

#[cfg(test)]
mod contract;
mod group_commit;

use crate::admin_token::{TokenHash, TokenRecord};
use crate::administrator::AdminName;
use bridge::BridgeTable;
use commands::CommandQueue;
use cotter_formats::chip::Chip;
use cotter_wire::ids::{DeviceId, KeyEpoch, Nonce, Protocol, ReleaseId, SecureVersion, Sequence};
use cotter_wire::status::StatusReport;
use cotter_wire::trust::TrustNumber;
use cotter_wire::version::Version;
use device_keys::DeviceKeyTable;
use ecowatt::EcowattDevices;
use epoch::Epochs;
use inventory::Inventory;
use keys::KeysInUse;
use protocol::Protocols;
use rollouts::{Reported, Rollouts};
use rotations::{KeyRotations, PreviousKey};
use std::future::Future;
use std::pin::Pin;
use trust::{Signers, Trusts};

/// What a store method returns: a future that resolves only after the transaction is durable.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Durable state of the server. Implementations are shared between threads and answer after commit, never before.
///
/// Where an administrator changes something, `note` is appended to the audit log in the same transaction; not if nothing
/// changed.
///
/// A writing method queues its work when it is called: dropping the future does not take it back, so a client that
/// hangs up leaves the work done or not begun, never half done.
pub trait Store:
    BridgeTable
    + CommandQueue
    + DeviceKeyTable
    + Epochs
    + EcowattDevices
    + Inventory
    + KeyRotations
    + KeysInUse
    + Protocols
    + Rollouts
    + Trusts
    + Send
    + Sync
    + 'static
{
    /// Advances the nonce of a device and stores its reading, both or neither.
    /// Called after the packet's MAC has been verified: the store decides about order, not about authenticity.
    fn accept_once(&self, acceptance: Acceptance) -> Pending<'_, Verdict>;

    /// Adds a device, or raises the key epoch of a known one. The nonce floor holds from the next packet on.
    fn enrol(&self, device: DeviceRecord, note: AuditEntry) -> Pending<'_, Enrolled>;

    /// The record of one device, with its latest counter.
    fn device(&self, id: DeviceId) -> Pending<'_, Option<StoredDevice>>;

    /// The latest readings of a device, newest first, at most `limit`.
    fn readings(&self, id: DeviceId, limit: usize) -> Pending<'_, Vec<StoredReading>>;

    /// Adds a release that has passed every check. It is not offered before it is published.
    fn add_release(&self, release: ReleaseRecord, signers: Signers, note: AuditEntry) -> Pending<'_, ReleaseAdded>;

    /// Makes a release the newest one of its project and chip, and rolls it out to everybody at once; refuses one that is
    /// not newer than what is published.
    fn publish_release(&self, id: ReleaseId, at: u64, note: AuditEntry) -> Pending<'_, Published>;

    /// One release, published or not.
    fn release(&self, id: ReleaseId) -> Pending<'_, Option<ReleaseRecord>>;

    /// The newest published release for this project and chip.
    fn newest_release(&self, project: String, chip: Chip) -> Pending<'_, Option<ReleaseRecord>>;

    /// Appends what a device said about an update, and does what follows from it for the rollout that it is about. Of each
    /// device, the last 256 reports are kept.
    fn record_status(&self, status: StatusRecord) -> Pending<'_, Reported>;

    /// What a device has said about updates, newest first, at most `limit`.
    fn status_history(&self, id: DeviceId, limit: usize) -> Pending<'_, Vec<StatusRecord>>;

    /// Adds a token, unless its name is taken.
    fn add_token(&self, token: TokenRecord, note: AuditEntry) -> Pending<'_, TokenAdded>;

    /// Removes a token, unless it is the last one that may make others and does not expire.
    fn revoke_token(&self, name: AdminName, note: AuditEntry) -> Pending<'_, TokenRevoked>;

    /// The token with this hash.
    fn token(&self, hash: TokenHash) -> Pending<'_, Option<TokenRecord>>;

    /// Every token, by name.
    fn tokens(&self) -> Pending<'_, Vec<TokenRecord>>;

    /// Appends one security event or admin act to the log, under a new signed checkpoint; its place, from 0.
    fn append_audit(&self, entry: AuditEntry) -> Pending<'_, u64>;

    /// The lines of the log (`audit::line`) from a place on, oldest first, at most `limit`.
    fn audit_lines(&self, from: u64, limit: usize) -> Pending<'_, Vec<String>>;

    /// The signed checkpoint (`audit::checkpoint`) of the whole log.
    fn audit_checkpoint(&self) -> Pending<'_, String>;

    /// The checkpoint that was last handed to [`Store::keep_checkpoint`]; empty if none was.
    fn kept_checkpoint(&self) -> Pending<'_, String>;

    /// Remembers a checkpoint that was written outside of the store.
    fn keep_checkpoint(&self, note: String) -> Pending<'_, ()>;

    /// Proves that the store can still commit.
    fn check(&self) -> Pending<'_, ()>;
}

/// A verified packet asking to be stored.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// Sender, as authenticated by the MAC.
    pub device: DeviceId,
    /// Where its record is, if that is known.
    pub place: Option<Place>,
    /// Key epoch that the MAC was checked under.
    pub epoch: KeyEpoch,
    /// Which protocol the packet speaks; the device speaks no older one from then on.
    pub protocol: Protocol,
    /// Number of the packet: the nonce of version 1, the sequence number of version 2.
    pub nonce: Sequence,
    /// SHA-256 of the packet as received; equal digests mean the same packet sent again.
    pub packet_digest: [u8; 32],
    /// Canonical bytes of the reading (`wire::reading`).
    pub reading: Vec<u8>,
    /// Unix seconds by the server's clock.
    pub received_at: u64,
    /// How far beyond the last nonce a packet may jump.
    pub nonce_window: u32,
}

/// What became of an [`Acceptance`]. Everything but `Accepted` changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nonce advanced and reading stored, durably.
    Accepted,
    /// Exactly the last accepted packet again: it is already stored.
    Duplicate,
    /// The nonce is not above the last accepted one (or the enrolled floor).
    Replay {
        /// Highest nonce consumed so far.
        last: Sequence,
    },
    /// The nonce is too far ahead to be believed.
    Jump {
        /// Highest nonce consumed so far.
        last: Sequence,
    },
    /// The device has other keys now, and those of the packet do not count any more.
    WrongEpoch {
        /// The epoch that counts now.
        current: KeyEpoch,
    },
    /// The device speaks a newer protocol, or has to.
    Downgrade {
        /// The oldest that counts.
        minimum: Protocol,
    },
    /// No such device.
    UnknownDevice,
}

/// What the factory says about a device. The root key is already sealed for rest (`keyring`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Its name.
    pub id: DeviceId,
    /// Its chip.
    pub chip: Chip,
    /// Factory MAC address of the chip.
    pub mac: [u8; 6],
    /// Generation of its keys.
    pub epoch: KeyEpoch,
    /// Root key, sealed under the server's master key.
    pub sealed_root_key: Vec<u8>,
    /// The first packet's nonce must be above this.
    pub nonce_floor: Nonce,
    /// Digest of the Secure Boot key burnt into it.
    pub secure_boot_digest: [u8; 32],
    /// Unix seconds.
    pub enrolled_at: u64,
}

/// Where a store keeps a device, in its own terms: it finds it there sooner than by its name. Holds in the store that gave
/// it, as long as that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(i64);

impl Place {
    /// Where no store keeps anything.
    #[cfg(test)]
    pub(crate) const fn nowhere() -> Self {
        Self(-1)
    }
}

/// A device as stored, with where its counter stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDevice {
    /// What was enrolled last.
    pub record: DeviceRecord,
    /// Where it is.
    pub place: Place,
    /// Highest nonce consumed (the floor before the first packet).
    pub last_nonce: Sequence,
    /// Digest of the packet that consumed it; `None` before the first packet.
    pub last_digest: Option<[u8; 32]>,
    /// The oldest protocol that its packets may speak. It only rises.
    pub minimum_protocol: Protocol,
    /// When its root key was rotated last, Unix seconds; `None` since it was enrolled.
    pub rotated_at: Option<u64>,
    /// The root key before the present one, as long as packets under it may count.
    pub previous: Option<PreviousKey>,
}

/// What became of an enrolment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enrolled {
    /// A device we did not know.
    New,
    /// A known device with a higher key epoch: its nonces start anew at the floor.
    NewEpoch,
    /// Refused: the epoch is not above the one already enrolled. Nonces are never lowered within an epoch.
    Stale {
        /// The epoch already enrolled.
        current: KeyEpoch,
    },
}

/// One stored reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReading {
    /// Key epoch it arrived under.
    pub epoch: KeyEpoch,
    /// Nonce of its packet.
    pub nonce: Sequence,
    /// Unix seconds.
    pub received_at: u64,
    /// Canonical bytes (`wire::reading`).
    pub reading: Vec<u8>,
}

/// A checked release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRecord {
    /// SHA-256 of the signed manifest body.
    pub id: ReleaseId,
    /// Project it belongs to.
    pub project: String,
    /// Chip it runs on.
    pub chip: Chip,
    /// Version of the application.
    pub version: Version,
    /// Anti-rollback counter of the application.
    pub secure_version: SecureVersion,
    /// When the manifest ceases to be valid, Unix seconds.
    pub expires: u64,
    /// Length of the encrypted artifact.
    pub encrypted_size: u32,
    /// The signed manifest in its envelope, without a content key, byte for byte.
    pub envelope: Vec<u8>,
    /// Content key, sealed under the server's master key.
    pub sealed_content_key: Vec<u8>,
    /// Unix seconds; `None` until published.
    pub published_at: Option<u64>,
}

/// What became of [`Store::add_release`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseAdded {
    /// Stored, unpublished.
    Added,
    /// The same manifest is already there; nothing changed.
    AlreadyThere,
    /// Same project, chip and version, other content.
    VersionTaken,
    /// The keys have changed since its signatures were checked.
    TrustChanged,
    /// A published release is at least as new.
    NotNewer {
        /// Version of the newest published release.
        newest: Version,
        /// Its anti-rollback counter.
        secure_version: SecureVersion,
    },
}

/// What became of [`Store::publish_release`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It is the newest now.
    Published,
    /// It was published before; nothing changed.
    AlreadyPublished,
    /// Devices at this number would refuse it.
    RefusedAt(TrustNumber),
    /// A published release is at least as new.
    NotNewer {
        /// Version of the newest published release.
        newest: Version,
        /// Its anti-rollback counter.
        secure_version: SecureVersion,
    },
    /// No such release.
    UnknownRelease,
}

/// What became of [`Store::add_token`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenAdded {
    /// It is valid now.
    Added,
    /// Somebody has that name; nothing changed.
    NameTaken,
}

/// What became of [`Store::revoke_token`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRevoked {
    /// It is void now.
    Revoked,
    /// No such token.
    Unknown,
    /// Nobody could make tokens any more; nothing changed.
    LastAdmin,
}

/// What a device said about an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRecord {
    /// The device, as authenticated by its session.
    pub device: DeviceId,
    /// The report, as it was sent.
    pub report: StatusReport,
    /// Unix seconds.
    pub received_at: u64,
}

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Unix seconds.
    pub at: u64,
    /// Administrator or device that did it; empty if the server itself.
    pub by: String,
    /// Device, release or token that it is about; empty if none.
    pub subject: String,
    /// Stable kebab-case name of the event.
    pub event: String,
    /// What a person needs to know, without secrets.
    pub detail: String,
}

/// Why the store could not answer. Nothing was changed unless said otherwise.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused: disk full, read-only, corrupt, or busy.
    #[error("store: database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The database file cannot be made.
    #[error("store: {0}")]
    File(#[source] std::io::Error),
    /// Migrations could not be applied.
    #[error("store: migration: {0}")]
    Migration(#[from] Box<refinery::Error>),
    /// The transaction that this job was part of did not commit.
    #[error("store: transaction was not committed")]
    NotCommitted,
    /// The writer has stopped, or its queue is full: try again later.
    #[error("store: writer is not taking work")]
    Unavailable,
    /// A status for a device that was never enrolled.
    #[error("store: unknown device")]
    UnknownDevice,
    /// A stored value is outside its type: somebody else wrote to the database.
    #[error("store: column {column} holds a value that we never write")]
    Corrupt {
        /// Where.
        column: &'static str,
    },
}
