//! `AES` of the ATECC608: one block under AES-128, or one multiplication in the field of GCM.

use super::TEMP_KEY;
use crate::atecc::packet::Packet;
use crate::atecc::procedure::{Repeat, Request, expect};
use crate::atecc::refusal::Error;
use cotter_formats::atecc::{Opcode, Slot};
use cotter_formats::secret::Secret;

/// One block.
#[derive(Clone, Copy, Debug)]
pub struct Aes<'a> {
    /// What to do.
    pub direction: Direction,
    /// Under which key.
    pub key: AesKey,
    /// The block.
    pub block: &'a [u8; 16],
}

/// Encrypt or decrypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Plain text in, cipher text out.
    Encrypt,
    /// The other way.
    Decrypt,
}

/// 16 bytes of a slot for AES keys, or of `TempKey`.
#[derive(Clone, Copy, Debug)]
pub struct AesKey {
    /// `None` is `TempKey`.
    pub slot: Option<Slot>,
    /// Which 16 bytes of it, 0 to 3.
    pub index: u8,
}

impl Request for Aes<'_> {
    /// Plain text is a secret; for the other direction, `into_public`.
    type Output = Secret<16>;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        let direction = match self.direction {
            Direction::Encrypt => 0,
            Direction::Decrypt => 1,
        };
        if self.key.index > 3 {
            return Err(Error::Parameter("a slot has four AES keys at most"));
        }
        let slot = self.key.slot.map_or(TEMP_KEY, |slot| u16::from(slot.number()));
        packet.fill(Opcode::AES, direction | self.key.index << 6, slot, &[self.block])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    fn decode(&self, payload: &[u8]) -> Result<Secret<16>, Error> {
        expect(payload).map(|block| Secret::filled_by(|secret| *secret = *block))
    }
}

/// `H * X` in the field of GCM.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "GFM")]
pub struct Multiply<'a> {
    /// The hash key.
    pub h: &'a [u8; 16],
    /// What it is multiplied with.
    pub x: &'a [u8; 16],
}

impl Request for Multiply<'_> {
    type Output = [u8; 16];

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::AES, 3, 0, &[self.h, self.x])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    fn decode(&self, payload: &[u8]) -> Result<[u8; 16], Error> {
        expect(payload).copied()
    }
}
