//! `Sign` (9.18).

use super::MessageBuffer;
use super::nonce::{Buffer, Load, Random, Seed};
use crate::atecc::packet::Packet;
use crate::atecc::procedure::{Procedure, Repeat, Request, Step, expect, send};
use crate::atecc::refusal::Error;
use cotter_formats::atecc::{Opcode, Slot};

/// A signature of ECDSA over P-256: R, then S, both big-endian. JWT's ES256 has it like that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

/// A signature over what is in a buffer: a digest that the host loaded, or one of the part's SHA engine.
#[derive(Clone, Copy, Debug)]
pub struct Sign {
    /// Of the private key, whose `ReadKey` must allow external signatures.
    pub slot: Slot,
    /// Where the digest is.
    pub from: MessageBuffer,
}

impl Request for Sign {
    type Output = Signature;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        let buffer = match self.from {
            MessageBuffer::TempKey => 0,
            MessageBuffer::Digest => DIGEST_BUFFER,
        };
        packet.fill(Opcode::SIGN, EXTERNAL | buffer, u16::from(self.slot.number()), &[])
    }

    /// Not with `TempKey`, which the first time used up.
    fn repeat(&self) -> Repeat {
        match self.from {
            MessageBuffer::TempKey => Repeat::Never,
            MessageBuffer::Digest => Repeat::Safe,
        }
    }

    fn decode(&self, payload: &[u8]) -> Result<Signature, Error> {
        expect(payload).map(|signature| Signature(*signature))
    }
}

/// A signature over `TempKey` as `GenDig` or `GenKey` left it, and over what the part says about it.
/// [`crate::atecc::hash::InternalMessage`] is what was signed.
#[derive(Clone, Copy, Debug)]
pub struct SignInternal {
    /// Of the private key, whose `ReadKey` must allow internal signatures.
    pub slot: Slot,
    /// Whether all of the serial number is in the message.
    pub serial: SerialPart,
    /// What the signature is for.
    pub purpose: Purpose,
}

/// How much of the serial number is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SerialPart {
    /// The three bytes that all parts have in common.
    Common,
    /// All nine.
    Whole,
}

/// What an internal signature may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To validate a public key, or to attest.
    Validation,
    /// To invalidate one.
    Invalidation,
}

impl SignInternal {
    pub(in crate::atecc) const fn mode(&self) -> u8 {
        let serial = match self.serial {
            SerialPart::Common => 0,
            SerialPart::Whole => WHOLE_SERIAL,
        };
        let purpose = match self.purpose {
            Purpose::Validation => 0,
            Purpose::Invalidation => INVALIDATION,
        };
        serial | purpose
    }
}

impl Request for SignInternal {
    type Output = Signature;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::SIGN, self.mode(), u16::from(self.slot.number()), &[])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Never
    }

    fn decode(&self, payload: &[u8]) -> Result<Signature, Error> {
        expect(payload).map(|signature| Signature(*signature))
    }
}

/// All that it takes to sign a digest: the seed of the random number generator is renewed, the digest loaded and
/// signed. Source of the order: cryptoauthlib 20260505 `calib_sign`.
#[derive(Debug)]
pub struct SignDigest<'a> {
    sign: Sign,
    digest: &'a [u8; 32],
    step: u8,
}

impl<'a> SignDigest<'a> {
    /// `through` is [`MessageBuffer::TempKey`] for an ATECC508A, else better the other one.
    #[must_use]
    pub const fn new(slot: Slot, digest: &'a [u8; 32], through: MessageBuffer) -> Self {
        Self { sign: Sign { slot, from: through }, digest, step: 0 }
    }
}

impl Procedure for SignDigest<'_> {
    type Output = Signature;

    fn step(&mut self, answer: Option<&[u8]>, packet: &mut Packet) -> Result<Step<Signature>, Error> {
        let random = Random { seed: Seed::Update };
        let into = match self.sign.from {
            MessageBuffer::TempKey => Buffer::TempKey,
            MessageBuffer::Digest => Buffer::Digest,
        };
        let load = Load { into, bytes: self.digest };
        self.step = self.step.saturating_add(1);
        match (answer, self.step) {
            (None, _) => {
                self.step = 0;
                send(&random, packet)
            }
            (Some(answer), 1) => {
                random.decode(answer)?;
                send(&load, packet)
            }
            (Some(answer), 2) => {
                load.decode(answer)?;
                send(&self.sign, packet)
            }
            (Some(answer), _) => self.sign.decode(answer).map(Step::Done),
        }
    }
}

const EXTERNAL: u8 = 0x80;
const WHOLE_SERIAL: u8 = 0x40;
const DIGEST_BUFFER: u8 = 0x20;
const INVALIDATION: u8 = 0x01;
