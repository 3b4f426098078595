//! `Random` (9.15) and `Nonce` (9.12).

use crate::atecc::hash::TempKey;
use crate::atecc::packet::Packet;
use crate::atecc::procedure::{Repeat, Request, expect, succeeded};
use crate::atecc::refusal::Error;
use cotter_formats::atecc::Opcode;
use cotter_formats::secret::Secret;

/// 32 random bytes.
#[derive(Clone, Copy, Debug)]
pub struct Random {
    /// Whether the seed in EEPROM may be renewed, which the data sheet recommends.
    pub seed: Seed,
}

/// The seed of the random number generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// Renewed first, if that was not done since power came.
    Update,
    /// As it is.
    Keep,
}

impl Seed {
    const fn mode(self) -> u8 {
        match self {
            Self::Update => 0,
            Self::Keep => 1,
        }
    }
}

impl Request for Random {
    type Output = Secret<32>;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::RANDOM, self.seed.mode(), 0, &[])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    fn decode(&self, payload: &[u8]) -> Result<Secret<32>, Error> {
        let bytes = expect(payload)?;
        if *bytes == FIXED {
            return Err(Error::NotRandom);
        }
        Ok(Secret::filled_by(|secret| *secret = *bytes))
    }
}

/// A nonce in `TempKey` that neither side chose alone: the part's random number, hashed with the host's.
#[derive(Clone, Copy, Debug)]
pub struct RandomNonce<'a> {
    /// From a CSPRNG of the host.
    pub input: &'a [u8; 20],
    /// Of the part's random number generator.
    pub seed: Seed,
}

impl Request for RandomNonce<'_> {
    /// `TempKey`, as the host computes it.
    type Output = TempKey;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::NONCE, self.seed.mode(), 0, &[self.input])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    fn decode(&self, payload: &[u8]) -> Result<TempKey, Error> {
        let random = expect(payload)?;
        if *random == FIXED {
            return Err(Error::NotRandom);
        }
        Ok(TempKey::of_nonce(random, self.input, self.seed.mode(), 0))
    }
}

/// The same with what is in `TempKey` instead of a random number.
#[derive(Clone, Copy, Debug)]
pub struct MixedNonce<'a> {
    /// The host's number.
    pub input: &'a [u8; 20],
}

impl Request for MixedNonce<'_> {
    /// `TempKey`, as the part computed it.
    type Output = TempKey;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::NONCE, 0, 0x8000, &[self.input])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Never
    }

    fn decode(&self, payload: &[u8]) -> Result<TempKey, Error> {
        expect(payload).map(TempKey::loaded)
    }
}

/// Bytes of the host go into a buffer as they are.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// Where to.
    pub into: Buffer,
    /// 32 or 64; the alternate key buffer and the ATECC508A take 32.
    pub bytes: &'a [u8],
}

/// What the host can fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffer {
    /// `TempKey`.
    TempKey,
    /// The message digest buffer of the ATECC608.
    #[doc(alias = "MsgDigBuf")]
    Digest,
    /// The alternate key buffer of the ATECC608.
    #[doc(alias = "AltKeyBuf")]
    AlternateKey,
}

impl Request for Load<'_> {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        let size = match (self.bytes.len(), self.into) {
            (32, _) => 0,
            (64, Buffer::TempKey | Buffer::Digest) => 0x20,
            _ => return Err(Error::Parameter("buffers take 32 or 64 bytes, that of the alternate key 32")),
        };
        let target = match self.into {
            Buffer::TempKey => 0x00,
            Buffer::Digest => 0x40,
            Buffer::AlternateKey => 0x80,
        };
        packet.fill(Opcode::NONCE, 3 | size | target, 0, &[self.bytes])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}

/// What stands for random numbers until the configuration zone is locked.
const FIXED: [u8; 32] = {
    let mut pattern = [0; 32];
    let mut at = 0;
    while at < 32 {
        pattern[at] = 0xff;
        pattern[at + 1] = 0xff;
        at += 4;
    }
    pattern
};
