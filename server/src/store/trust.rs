//! Trust statements: where the change of the firmware keys stands, and what each device trusts.

use super::{AuditEntry, Pending};
use crate::trust::operation::{Act, Gate, State};
use cotter_wire::ids::{DeviceId, ReleaseId};
use cotter_wire::trust::TrustNumber;

/// The durable state of the change of keys. Each step and its line in the audit log are one transaction, also the step that
/// follows from what a device says.
pub trait Trusts {
    /// Adds the statement that follows the latest one. It is given to nobody yet.
    fn plan_statement(&self, new: NewStatement, note: AuditEntry) -> Pending<'_, Planned>;

    /// Does something with the latest statement. Its number becomes the subject of `note`.
    fn act_on_statement(&self, act: Act, note: AuditEntry) -> Pending<'_, Acted>;

    /// All statements that were not cancelled, by number.
    fn statements(&self) -> Pending<'_, Vec<StatementRecord>>;

    /// A device says that it is at `number`: notes that, and answers with the statement that follows, if that is given out.
    /// That it was given out is durable before this resolves. A device that asks again writes nothing.
    fn statement_after(&self, device: DeviceId, number: TrustNumber, at: u64) -> Pending<'_, Option<Vec<u8>>>;

    /// How many devices are at which number, by number.
    fn trust_tallies(&self) -> Pending<'_, Vec<(TrustNumber, u64)>>;

    /// Where a device is, by its own word; `None` if there is no such device.
    fn device_trust(&self, device: DeviceId) -> Pending<'_, Option<TrustNumber>>;

    /// How many devices are below a number, and how many of these were not seen since `unseen_since`.
    fn gate(&self, number: TrustNumber, unseen_since: u64) -> Pending<'_, Gate>;

    /// Devices below a number, by name, those after `after`, at most `limit`.
    fn missing(&self, number: TrustNumber, after: Option<DeviceId>, limit: usize) -> Pending<'_, Vec<Missing>>;

    /// Secure Boot keys that signed the image of a release; empty if that is not known.
    fn image_signers(&self, release: ReleaseId) -> Pending<'_, Vec<[u8; 32]>>;
}

/// A verified statement.
#[derive(Debug, Clone)]
pub struct NewStatement {
    /// Its number.
    pub number: TrustNumber,
    /// Digest of the policy of number 0.
    pub beginning: [u8; 32],
    /// With its signatures, byte for byte.
    pub statement: Vec<u8>,
    /// How many of 100 devices must have followed it before the old keys go.
    pub share: u8,
    /// A device that was not seen for so many days may be left behind.
    pub days: u16,
    /// Releases that devices will believe which have followed it.
    pub accepts: Vec<ReleaseId>,
    /// See [`Signers::basis`].
    pub basis: u32,
    /// Unix seconds.
    pub at: u64,
}

/// Who signed a release, as far as devices care.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signers {
    /// Devices at these numbers believe it.
    pub numbers: Vec<TrustNumber>,
    /// Row of the latest statement when that was found out, 0 if there was none. It is worth nothing after another one.
    pub basis: u32,
    /// Digests of the Secure Boot keys that signed its image; any device takes it if there are none.
    pub secure_boot: Vec<[u8; 32]>,
}

/// A statement as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementRecord {
    /// Its row.
    pub row: u32,
    /// Its number.
    pub number: TrustNumber,
    /// Digest of the policy of number 0 when it was planned.
    pub beginning: [u8; 32],
    /// With its signatures, byte for byte.
    pub statement: Vec<u8>,
    /// Where it stands.
    pub state: State,
    /// See [`NewStatement::share`].
    pub share: u8,
    /// See [`NewStatement::days`].
    pub days: u16,
    /// Whether a device was given it.
    pub handed: bool,
    /// Unix seconds.
    pub created_at: u64,
    /// When its state changed last.
    pub changed_at: u64,
}

/// What became of [`Trusts::plan_statement`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planned {
    /// It is there.
    Planned,
    /// Another one has come meanwhile, or the latest one is not finished.
    Changed,
}

/// What became of [`Trusts::act_on_statement`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acted {
    /// It is in this state now.
    To(TrustNumber, State),
    /// Not from this state.
    Forbidden(State),
    /// Too few devices have followed it.
    NotAdopted(Gate),
    /// A device was given it, and may have followed it.
    Handed,
    /// There is no statement that is not finished.
    Nothing,
}

/// A device that has not followed a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Which one.
    pub device: DeviceId,
    /// Where it is.
    pub number: TrustNumber,
    /// When it was enrolled, asked for an update, or sent a packet last.
    pub seen_at: u64,
}
