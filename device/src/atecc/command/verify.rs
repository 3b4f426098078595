//! `Verify` (9.20).

use super::MessageBuffer;
use super::key::PublicKey;
use super::nonce::{Buffer, Load};
use super::sign::Signature;
use crate::atecc::hash;
use crate::atecc::packet::Packet;
use crate::atecc::procedure::{Procedure, Repeat, Request, Step, expect, send, succeeded};
use crate::atecc::refusal::Error;
use cotter_formats::atecc::{KeyType, Opcode, Slot};
use cotter_formats::secret::Secret;
use subtle::ConstantTimeEq;

/// Whether a signature over what is in a buffer holds: it does, or [`Error::Miscompare`].
///
/// The answer is one byte that anybody on the bus can make up; [`ProtectedVerify`] is for those who care.
#[derive(Clone, Copy, Debug)]
pub struct Verify<'a> {
    /// The key that should have signed.
    pub key: VerifyingKey<'a>,
    /// The signature.
    pub signature: &'a Signature,
    /// Where the digest is.
    pub message: MessageBuffer,
}

/// Whose signature it should be.
#[derive(Clone, Copy, Debug)]
pub enum VerifyingKey<'a> {
    /// The host says it.
    External(&'a PublicKey),
    /// It is in a slot, which a signature that holds authorises.
    Stored(Slot),
}

impl Verify<'_> {
    const fn mode(&self) -> u8 {
        let key = match self.key {
            VerifyingKey::External(_) => EXTERNAL,
            VerifyingKey::Stored(_) => STORED,
        };
        let message = match self.message {
            MessageBuffer::TempKey => 0,
            MessageBuffer::Digest => DIGEST_BUFFER,
        };
        key | message
    }

    fn param2(&self) -> u16 {
        u16::from(match self.key {
            VerifyingKey::External(_) => KeyType::P256.0,
            VerifyingKey::Stored(slot) => slot.number(),
        })
    }

    fn fill_with(&self, mode: u8, packet: &mut Packet) -> Result<(), Error> {
        let key: &[u8] = match self.key {
            VerifyingKey::External(key) => &key.0,
            VerifyingKey::Stored(_) => &[],
        };
        packet.fill(Opcode::VERIFY, mode, self.param2(), &[&self.signature.0, key])
    }
}

impl Request for Verify<'_> {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        self.fill_with(self.mode(), packet)
    }

    /// Not with `TempKey`, which the first time used up.
    fn repeat(&self) -> Repeat {
        match self.message {
            MessageBuffer::TempKey => Repeat::Never,
            MessageBuffer::Digest => Repeat::Safe,
        }
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}

/// The same for a digest of the host's, with a MAC in the answer that only the part can make. For the ATECC608 with an
/// I/O protection key.
#[derive(Debug)]
pub struct ProtectedVerify<'a> {
    verify: Verify<'a>,
    digest: &'a [u8; 32],
    nonce: &'a [u8; 32],
    io_key: &'a Secret<32>,
    is_loaded: bool,
}

impl<'a> ProtectedVerify<'a> {
    /// `nonce`: fresh from the host's CSPRNG, so that the answer is no old one.
    #[must_use]
    pub const fn new(
        key: VerifyingKey<'a>,
        signature: &'a Signature,
        digest: &'a [u8; 32],
        nonce: &'a [u8; 32],
        io_key: &'a Secret<32>,
    ) -> Self {
        let verify = Verify { key, signature, message: MessageBuffer::Digest };
        Self { verify, digest, nonce, io_key, is_loaded: false }
    }
}

impl Procedure for ProtectedVerify<'_> {
    type Output = ();

    fn step(&mut self, answer: Option<&[u8]>, packet: &mut Packet) -> Result<Step<()>, Error> {
        let mode = self.verify.mode() | MAC;
        let Some(answer) = answer else {
            let mut both = [0; 64];
            both[..32].copy_from_slice(self.digest);
            both[32..].copy_from_slice(self.nonce);
            self.is_loaded = false;
            return send(&Load { into: Buffer::Digest, bytes: &both }, packet);
        };
        if !self.is_loaded {
            succeeded(answer)?;
            self.is_loaded = true;
            self.verify.fill_with(mode, packet)?;
            return Ok(Step::Send(Repeat::Safe));
        }
        let found = expect::<32>(answer)?;
        let [low, high] = self.verify.param2().to_le_bytes();
        let header = [Opcode::VERIFY.0, mode, low, high];
        let pieces: [&[u8]; 5] = [self.io_key.expose(), self.digest, self.nonce, &self.verify.signature.0, &header];
        let expected = hash::digest(&pieces);
        if expected.ct_eq(found).into() { Ok(Step::Done(())) } else { Err(Error::AnswerMac) }
    }
}

/// A stored public key becomes usable, or unusable, by a signature of its parent over its digest in `TempKey`
/// ([`super::key::DigestStoredKey`], then [`super::sign::SignInternal`] on the part that signs).
#[derive(Clone, Copy, Debug)]
pub struct Validate<'a> {
    /// Of the public key.
    pub slot: Slot,
    /// By the key in the slot that its `ReadKey` names.
    pub signature: &'a Signature,
    /// What the signing part hashed besides; [`crate::atecc::hash::InternalMessage::other_data`].
    pub other: &'a [u8; 19],
    /// To what.
    pub into: Validity,
}

/// Whether a public key may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It may.
    Valid,
    /// It may not.
    Invalid,
}

impl Request for Validate<'_> {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        let mode = match self.into {
            Validity::Valid => VALIDATE,
            Validity::Invalid => INVALIDATE,
        };
        packet.fill(Opcode::VERIFY, mode, u16::from(self.slot.number()), &[&self.signature.0, self.other])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Never
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}

/// The same by a certificate, which the SHA engine hashed with the key in it ([`super::sha::HashPublicKey`]).
#[derive(Clone, Copy, Debug)]
pub struct ValidateByCertificate<'a> {
    /// Of the public key.
    pub slot: Slot,
    /// That of the certificate.
    pub signature: &'a Signature,
}

impl Request for ValidateByCertificate<'_> {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::VERIFY, VALIDATE_EXTERNAL, u16::from(self.slot.number()), &[&self.signature.0])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Never
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}

const STORED: u8 = 0x00;
const VALIDATE_EXTERNAL: u8 = 0x01;
const EXTERNAL: u8 = 0x02;
const VALIDATE: u8 = 0x03;
const INVALIDATE: u8 = 0x07;
const DIGEST_BUFFER: u8 = 0x20;
const MAC: u8 = 0x80;
