//! `MAC` (9.11) and `CheckMac` (9.2). What is hashed is in [`crate::atecc::hash`].

use super::TempKeySource;
use super::sign::SerialPart;
use crate::atecc::packet::Packet;
use crate::atecc::procedure::{Repeat, Request, expect, succeeded};
use crate::atecc::refusal::Error;
use cotter_formats::atecc::{Opcode, Slot};

/// SHA-256 over a key, a challenge, and what the part says about itself.
#[derive(Clone, Copy, Debug)]
pub struct Mac<'a> {
    /// Whose number is hashed, and whose key, unless `TempKey` stands in for it.
    pub slot: Slot,
    /// The first 32 bytes.
    pub first: First,
    /// The second 32 bytes.
    pub second: Second<'a>,
    /// Of `TempKey`, if it is used.
    pub source: TempKeySource,
    /// How much of the OTP zone is hashed.
    pub otp: OtpPart,
    /// How much of the serial number.
    pub serial: SerialPart,
}

/// What stands first in a MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// The slot's key.
    Key,
    /// `TempKey`.
    TempKey,
}

/// What stands second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Second<'a> {
    /// The other side's bytes.
    Challenge(&'a [u8; 32]),
    /// `TempKey`.
    TempKey,
}

/// How much of the OTP zone a MAC has in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtpPart {
    /// Nothing.
    None,
    /// 8 bytes.
    Eight,
    /// 11 bytes.
    Eleven,
}

impl Mac<'_> {
    pub(in crate::atecc) const fn mode(&self) -> u8 {
        let otp = match self.otp {
            OtpPart::None => 0,
            OtpPart::Eight => 0x20,
            OtpPart::Eleven => 0x10,
        };
        let serial = match self.serial {
            SerialPart::Common => 0,
            SerialPart::Whole => 0x40,
        };
        halves(self.first, &self.second, self.source) | otp | serial
    }
}

impl Request for Mac<'_> {
    type Output = [u8; 32];

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        let challenge: &[u8] = match self.second {
            Second::Challenge(challenge) => challenge,
            Second::TempKey => &[],
        };
        packet.fill(Opcode::MAC, self.mode(), u16::from(self.slot.number()), &[challenge])
    }

    /// `TempKey` is used up.
    fn repeat(&self) -> Repeat {
        repeat(self.first, &self.second)
    }

    fn decode(&self, payload: &[u8]) -> Result<[u8; 32], Error> {
        expect(payload).copied()
    }
}

/// Whether another part's MAC is the right one: it is, or [`Error::Miscompare`].
///
/// With the slot's key first and `TempKey` second, success authorises that key for what needs it.
#[derive(Clone, Copy, Debug)]
pub struct CheckMac<'a> {
    /// Whose key.
    pub slot: Slot,
    /// The first 32 bytes.
    pub first: First,
    /// The second 32 bytes.
    pub second: Second<'a>,
    /// Of `TempKey`, if it is used.
    pub source: TempKeySource,
    /// Whether 8 bytes of the OTP zone are hashed. Eleven cannot be.
    pub otp: OtpPart,
    /// The MAC.
    pub response: &'a [u8; 32],
    /// What the other part hashed besides: opcode, mode and slot, 3 bytes of OTP, 4 and 2 of the serial number.
    pub other: &'a [u8; 13],
}

impl Request for CheckMac<'_> {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        let otp = match self.otp {
            OtpPart::None => 0,
            OtpPart::Eight => 0x20,
            OtpPart::Eleven => return Err(Error::Parameter("CheckMac hashes 8 bytes of OTP, or none")),
        };
        let challenge = match self.second {
            Second::Challenge(challenge) => challenge,
            Second::TempKey => &[0; 32],
        };
        let mode = halves(self.first, &self.second, self.source) | otp;
        let pieces: [&[u8]; 3] = [challenge, self.response, self.other];
        packet.fill(Opcode::CHECK_MAC, mode, u16::from(self.slot.number()), &pieces)
    }

    fn repeat(&self) -> Repeat {
        repeat(self.first, &self.second)
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}

const fn halves(first: First, second: &Second<'_>, source: TempKeySource) -> u8 {
    let second = match second {
        Second::Challenge(_) => 0,
        Second::TempKey => 1,
    };
    let first = match first {
        First::Key => 0,
        First::TempKey => 2,
    };
    match (first | second, source) {
        (0, _) => 0,
        (halves, TempKeySource::Random) => halves,
        (halves, TempKeySource::Input) => halves | 4,
    }
}

fn repeat(first: First, second: &Second<'_>) -> Repeat {
    match (first, second) {
        (First::Key, Second::Challenge(_)) => Repeat::Safe,
        _ => Repeat::Never,
    }
}
