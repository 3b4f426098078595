//! `Lock` (9.10): nothing ever unlocks.

use crate::atecc::packet::Packet;
use crate::atecc::procedure::{Repeat, Request, succeeded};
use crate::atecc::refusal::Error;
use cotter_formats::atecc::packet::{Crc, crc};
use cotter_formats::atecc::{ConfigZone, Opcode, Slot};

/// What to lock for good, and what the part must hold for that.
///
/// After [`Error::AnswerLost`], `LockConfig`, `LockValue` or `SlotLocked` in the configuration zone say whether it is
/// locked.
#[derive(Clone, Copy, Debug)]
pub struct Lock {
    mode: u8,
    crc: u16,
}

impl Lock {
    /// The configuration zone, if the part holds exactly this one; its own serial number and revision are in it, so it
    /// is what was read back and looked at.
    #[must_use]
    pub fn config(expected: &ConfigZone) -> Self {
        Self { mode: CONFIG, crc: u16::from_le_bytes(crc(&expected.0)) }
    }

    /// Data and OTP zone, if all slots but those for private keys, in their order, and then the OTP zone have this CRC.
    #[must_use]
    pub const fn data(expected: Crc) -> Self {
        Self { mode: DATA, crc: expected.value() }
    }

    /// One slot, which its `KeyConfig` must allow. The part checks no content.
    #[must_use]
    pub const fn slot(slot: Slot) -> Self {
        Self { mode: SLOT | slot.number() << 2, crc: 0 }
    }

    /// The configuration zone whatever is in it. A write that went wrong unnoticed is then there for good.
    #[must_use]
    pub const fn config_unchecked() -> Self {
        Self { mode: UNCHECKED | CONFIG, crc: 0 }
    }

    /// Data and OTP zone whatever is in them: for slots whose content the host does not know.
    #[must_use]
    pub const fn data_unchecked() -> Self {
        Self { mode: UNCHECKED | DATA, crc: 0 }
    }
}

impl Request for Lock {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::LOCK, self.mode, self.crc, &[])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Never
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}

const CONFIG: u8 = 0;
const DATA: u8 = 1;
const SLOT: u8 = 2;
const UNCHECKED: u8 = 0x80;
