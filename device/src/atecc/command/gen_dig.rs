//! `GenDig` (9.6): something of the part's goes into `TempKey`. [`crate::atecc::hash::TempKey::after_gen_dig`] is what
//! it comes to.

use super::counter::CounterId;
use crate::atecc::packet::Packet;
use crate::atecc::procedure::{Repeat, Request, succeeded};
use crate::atecc::refusal::Error;
use cotter_formats::atecc::{Opcode, Slot};

/// What goes in.
#[derive(Clone, Copy, Debug)]
pub enum GenDig<'a> {
    /// 32 bytes of the configuration zone, 0 to 3.
    Config(u8),
    /// 32 bytes of the OTP zone, 0 or 1.
    Otp(u8),
    /// The key in a slot.
    Key {
        /// Which.
        slot: Slot,
        /// For a slot with `NoMac`: what the digest has instead of opcode, mode and slot.
        header: Option<[u8; 4]>,
    },
    /// 32 bytes of the host's: a shared nonce.
    Shared {
        /// They.
        nonce: &'a [u8; 32],
        /// Whether they stand before `TempKey` or behind.
        order: Order,
    },
    /// A counter of the ATECC608.
    Counter(CounterId),
    /// `SlotConfig`, `KeyConfig` and lock of a slot of the ATECC608.
    KeyConfig(Slot),
}

/// What a shared nonce is hashed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nonce, then `TempKey`.
    NonceFirst,
    /// `TempKey`, then nonce.
    TempKeyFirst,
}

impl GenDig<'_> {
    /// Zone and param2.
    pub(in crate::atecc) fn parameters(&self) -> (u8, u16) {
        match *self {
            Self::Config(block) => (0, u16::from(block)),
            Self::Otp(block) => (1, u16::from(block)),
            Self::Key { slot, .. } => (2, u16::from(slot.number())),
            Self::Shared { order: Order::NonceFirst, .. } => (3, 0),
            Self::Shared { order: Order::TempKeyFirst, .. } => (3, 0x8000),
            Self::Counter(counter) => (4, u16::from(counter.number())),
            Self::KeyConfig(slot) => (5, u16::from(slot.number())),
        }
    }
}

impl Request for GenDig<'_> {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        let (zone, param2) = self.parameters();
        let data: &[u8] = match self {
            Self::Key { header: Some(header), .. } => header,
            Self::Shared { nonce, .. } => *nonce,
            _ => &[],
        };
        packet.fill(Opcode::GEN_DIG, zone, param2, &[data])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Never
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}
