//! `Counter` (9.3) and `UpdateExtra` (9.19): what only goes one way.

use crate::atecc::packet::Packet;
use crate::atecc::procedure::{Repeat, Request, expect, succeeded};
use crate::atecc::refusal::Error;
use cotter_formats::atecc::counter::Count;
use cotter_formats::atecc::{Opcode, Slot};

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterId {
    /// The one that limits the use of keys.
    Zero,
    /// The other one.
    One,
}

impl CounterId {
    /// 0 or 1.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Zero => 0,
            Self::One => 1,
        }
    }
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct ReadCounter(pub CounterId);

impl Request for ReadCounter {
    type Output = Count;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::COUNTER, 0, u16::from(self.0.number()), &[])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    fn decode(&self, payload: &[u8]) -> Result<Count, Error> {
        decode(payload)
    }
}

/// One more. At [`Count::MAX`] the part refuses.
///
/// After [`Error::AnswerLost`] it has counted or it has not; [`ReadCounter`] tells.
#[derive(Clone, Copy, Debug)]
pub struct Increment(pub CounterId);

impl Request for Increment {
    type Output = Count;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::COUNTER, 1, u16::from(self.0.number()), &[])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Never
    }

    fn decode(&self, payload: &[u8]) -> Result<Count, Error> {
        decode(payload)
    }
}

fn decode(payload: &[u8]) -> Result<Count, Error> {
    let value = u32::from_le_bytes(*expect(payload)?);
    Count::new(value).ok_or(Error::Parameter("no counter counts that far"))
}

/// Bytes 84 and 85 of the configuration zone, which are written once even when it is locked.
#[derive(Clone, Copy, Debug)]
pub enum UpdateExtra {
    /// `UserExtra`.
    UserExtra(u8),
    /// `UserExtraAdd`, which may be the I2C address: the next wake from sleep makes it so.
    #[doc(alias = "Selector")]
    UserExtraAdd(u8),
    /// One use less of a key with limited use.
    UseKey(Slot),
}

impl Request for UpdateExtra {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        let (mode, value) = match *self {
            Self::UserExtra(value) => (0, value),
            Self::UserExtraAdd(value) => (1, value),
            Self::UseKey(slot) => (2, slot.number()),
        };
        packet.fill(Opcode::UPDATE_EXTRA, mode, u16::from(value), &[])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Never
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}
