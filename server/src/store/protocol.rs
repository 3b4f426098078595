//! The oldest telemetry protocol that a device may speak.

use super::{AuditEntry, Pending};
use cotter_wire::ids::{DeviceId, Protocol};

/// Use cases of the minimum protocol. Besides [`raise_minimum_protocol`](Self::raise_minimum_protocol), each accepted packet
/// raises it to its own.
pub trait Protocols {
    /// Raises what a device has to speak at least. It is never lowered: whoever could do that could replay a device back
    /// to a weaker protocol.
    fn raise_minimum_protocol(
        &self,
        device: DeviceId,
        minimum: Protocol,
        note: AuditEntry,
    ) -> Pending<'_, MinimumRaised>;
}

/// What became of [`Protocols::raise_minimum_protocol`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinimumRaised {
    /// It counts from the next packet on.
    Raised,
    /// It was so before; nothing changed.
    AlreadyThere,
    /// Refused: it is higher already.
    Lower {
        /// What it is.
        current: Protocol,
    },
    /// No such device.
    UnknownDevice,
}
