//! `Info` (9.9) and `SelfTest`.

use crate::atecc::packet::Packet;
use crate::atecc::procedure::{Repeat, Request, expect};
use crate::atecc::refusal::Error;
use cotter_formats::atecc::{Opcode, Slot, Status};

/// `RevNum`: which part it is. [`crate::atecc::Identify`] knows what it means.
#[derive(Clone, Copy, Debug)]
pub struct Revision;

impl Request for Revision {
    type Output = [u8; 4];

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::INFO, 0, 0, &[])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    fn decode(&self, payload: &[u8]) -> Result<[u8; 4], Error> {
        expect(payload).copied()
    }
}

/// Whether a slot holds a private key that was made or written whole, or a public key that may be used.
#[derive(Clone, Copy, Debug)]
pub struct KeyValid(pub Slot);

impl Request for KeyValid {
    type Output = bool;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::INFO, 1, u16::from(self.0.number()), &[])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    fn decode(&self, payload: &[u8]) -> Result<bool, Error> {
        expect::<4>(payload).map(|answer| answer[0] != 0)
    }
}

/// What the part remembers for now.
#[derive(Clone, Copy, Debug)]
pub struct State;

/// The volatile state: two bytes of flags. Source: DS20005927A section 9.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolatileState([u8; 2]);

impl VolatileState {
    /// `TempKey` holds something.
    #[must_use]
    pub const fn is_temp_key_valid(self) -> bool {
        self.0[1] & 0x80 != 0
    }

    /// It came from the host alone.
    #[must_use]
    pub const fn is_temp_key_input(self) -> bool {
        self.0[0] & 0x10 != 0
    }

    /// `GenDig` made it, with the key in [`Self::temp_key_slot`].
    #[must_use]
    pub const fn is_temp_key_from_gen_dig(self) -> bool {
        self.0[0] & 0x20 != 0
    }

    /// `GenKey` did.
    #[must_use]
    pub const fn is_temp_key_from_gen_key(self) -> bool {
        self.0[0] & 0x40 != 0
    }

    /// The slot that went into it.
    #[must_use]
    pub const fn temp_key_slot(self) -> Slot {
        Slot::from_low_bits(self.0[0] as u16)
    }

    /// The key that was shown to be known, if one was.
    #[must_use]
    pub const fn authorized(self) -> Option<Slot> {
        if self.0[1] & 0x04 != 0 { Some(Slot::from_low_bits((self.0[1] >> 3) as u16)) } else { None }
    }
}

impl Request for State {
    type Output = VolatileState;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::INFO, 2, 0, &[])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    fn decode(&self, payload: &[u8]) -> Result<VolatileState, Error> {
        expect::<4>(payload).map(|&[first, second, ..]| VolatileState([first, second]))
    }
}

/// The GPIO of a part on a single wire; a part on I2C has none and refuses.
#[derive(Clone, Copy, Debug)]
pub enum Gpio {
    /// What it is.
    Read,
    /// Drives it.
    Drive {
        /// High.
        is_high: bool,
    },
}

impl Request for Gpio {
    type Output = bool;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        let param = match *self {
            Self::Read => 0,
            Self::Drive { is_high } => 2 | u16::from(is_high),
        };
        packet.fill(Opcode::INFO, 3, param, &[])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    fn decode(&self, payload: &[u8]) -> Result<bool, Error> {
        expect::<4>(payload).map(|answer| answer[0] != 0)
    }
}

/// The persistent latch of the ATECC608, without which keys with bit 12 of their `KeyConfig` are of no use. It lasts
/// until the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "INFO_MODE_VOL_KEY_PERMIT")]
pub enum Latch {
    /// Whether it is set.
    Read,
    /// Clears it.
    Clear,
    /// Sets it; the key of `VolatileKeyPermission` must be authorised, which this uses up.
    Set,
}

impl Request for Latch {
    type Output = bool;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        let param = match self {
            Self::Read => 0,
            Self::Clear => 2,
            Self::Set => 3,
        };
        packet.fill(Opcode::INFO, 4, param, &[])
    }

    fn repeat(&self) -> Repeat {
        if *self == Self::Set { Repeat::Never } else { Repeat::Safe }
    }

    fn decode(&self, payload: &[u8]) -> Result<bool, Error> {
        expect::<4>(payload).map(|answer| answer[0] != 0)
    }
}

/// Tests of the part by itself; with a slow clock they take longer than the short watchdog allows.
#[derive(Clone, Copy, Debug)]
pub struct SelfTest(pub Tests);

/// A set of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Tests(pub u8);

impl Tests {
    /// None.
    pub const NONE: Self = Self(0);
    /// The random number generator.
    pub const RANDOM: Self = Self(0x01);
    /// ECDSA, both ways.
    pub const ECDSA: Self = Self(0x04);
    /// ECDH.
    pub const ECDH: Self = Self(0x08);
    /// AES.
    pub const AES: Self = Self(0x10);
    /// SHA-256.
    pub const SHA: Self = Self(0x20);
    /// Each of them.
    pub const ALL: Self = Self(0x3d);
}

impl Request for SelfTest {
    /// Those that failed.
    type Output = Tests;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::SELF_TEST, self.0.0, 0, &[])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    /// One byte; where it could be either, failed tests and not a status.
    fn decode(&self, payload: &[u8]) -> Result<Tests, Error> {
        let &[failed] = expect::<1>(payload)?;
        match Error::from_status(Status(failed)) {
            Some(error) if failed & !self.0.0 != 0 => Err(error),
            _ => Ok(Tests(failed)),
        }
    }
}
