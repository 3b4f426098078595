//! What an end tells its user.

use super::Refusal;
use cotter_wire::link::suite::Suite;

/// What [`End::receive`](super::End::receive) says.
#[derive(Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// How many of the bytes it has used; the rest is to be given again.
    pub used: usize,
    /// What came of them.
    pub event: Option<Event<'a>>,
}

/// Something that the user of an end should know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The other end has proven itself. Unless `continued`, the streams begin anew: the other end was reset, and what was
    /// not acknowledged before is gone.
    Opened {
        /// With which cipher.
        suite: Suite,
        /// Whether the streams go on where they were.
        continued: bool,
    },
    /// The next bytes of the stream.
    Data(&'a [u8]),
    /// The other end leaves passthrough, after all the bytes before.
    Escape,
    /// Something on the wire was not believed. It has changed nothing, and if it was a damaged frame it comes again.
    Refused(Refusal),
}

impl core::fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Opened { suite, continued } => write!(f, "Opened({}, continued: {continued})", suite.as_str()),
            Self::Data(data) => write!(f, "Data({} bytes)", data.len()),
            Self::Escape => f.write_str("Escape"),
            Self::Refused(refusal) => write!(f, "Refused({refusal:?})"),
        }
    }
}

/// What happened so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Frames of sessions that were sent.
    pub sent: u64,
    /// Those of them whose data was sent before.
    pub sent_again: u64,
    /// Authentic frames that came.
    pub received: u64,
    /// What was refused.
    pub refused: u64,
    /// Sessions that were opened.
    pub sessions: u64,
}
