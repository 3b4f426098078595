//! `SecureBoot` of the ATECC608: whether the host's firmware is the one that was signed.

use super::nonce::{RandomNonce, Seed};
use super::sign::Signature;
use crate::atecc::hash;
use crate::atecc::packet::Packet;
use crate::atecc::procedure::{Procedure, Repeat, Request, Step, expect, send, succeeded};
use crate::atecc::refusal::Error;
use cotter_formats::atecc::Opcode;
use cotter_formats::secret::Secret;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Whether it is: it is, or [`Error::Miscompare`]. In the clear, so only for a bus that nobody else can write to.
#[derive(Clone, Copy, Debug)]
pub struct SecureBoot<'a> {
    /// SHA-256 of the firmware.
    pub digest: &'a [u8; 32],
    /// What it is compared with.
    pub check: Check<'a>,
    /// What may come afterwards.
    pub then: Then,
}

/// What a digest is compared with.
#[derive(Clone, Copy, Debug)]
pub enum Check<'a> {
    /// A signature by the key in the part.
    #[doc(alias = "SECUREBOOT_MODE_FULL")]
    Signature(&'a Signature),
    /// The same, and the part keeps digest or signature.
    #[doc(alias = "SECUREBOOT_MODE_FULL_COPY")]
    Keep(&'a Signature),
    /// What it kept.
    #[doc(alias = "SECUREBOOT_MODE_FULL_STORE")]
    Kept {
        /// The signature that it kept, if it keeps signatures: the MAC of the answer has it in it.
        signature: Option<&'a Signature>,
    },
}

/// What may come afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// More of these commands.
    Allow,
    /// None until the power was off.
    Prohibit,
}

impl SecureBoot<'_> {
    const fn mode(&self) -> u8 {
        let check = match self.check {
            Check::Signature(_) => 5,
            Check::Kept { .. } => 6,
            Check::Keep(_) => 7,
        };
        match self.then {
            Then::Allow => check,
            Then::Prohibit => check | 0x40,
        }
    }

    /// What goes over the bus.
    const fn sent(&self) -> &[u8] {
        match &self.check {
            Check::Signature(signature) | Check::Keep(signature) => &signature.0,
            Check::Kept { .. } => &[],
        }
    }
}

impl Request for SecureBoot<'_> {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::SECURE_BOOT, self.mode(), 0, &[self.digest, self.sent()])
    }

    /// What prohibits the next one prohibits its own repetition.
    fn repeat(&self) -> Repeat {
        match self.then {
            Then::Allow => Repeat::Safe,
            Then::Prohibit => Repeat::Never,
        }
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}

/// The same with the digest encrypted and a MAC in the answer, under the I/O protection key.
#[derive(Debug)]
pub struct ProtectedSecureBoot<'a> {
    boot: SecureBoot<'a>,
    nonce: RandomNonce<'a>,
    io_key: &'a Secret<32>,
    /// Once the nonce is there.
    pad: Option<Zeroizing<[u8; 32]>>,
}

impl<'a> ProtectedSecureBoot<'a> {
    /// `input`: from the host's CSPRNG.
    #[must_use]
    pub const fn new(boot: SecureBoot<'a>, input: &'a [u8; 20], io_key: &'a Secret<32>) -> Self {
        Self { boot, nonce: RandomNonce { input, seed: Seed::Update }, io_key, pad: None }
    }
}

impl Procedure for ProtectedSecureBoot<'_> {
    type Output = ();

    fn step(&mut self, answer: Option<&[u8]>, packet: &mut Packet) -> Result<Step<()>, Error> {
        let Some(answer) = answer else {
            self.pad = None;
            return send(&self.nonce, packet);
        };
        let mode = self.boot.mode() | PROTECTED;
        let Some(pad) = &self.pad else {
            let temp_key = self.nonce.decode(answer)?;
            let mut pad = Zeroizing::new([0; 32]);
            hash::digest_into(&[self.io_key.expose(), temp_key.expose()], &mut pad);
            let mut digest = *self.boot.digest;
            digest.iter_mut().zip(*pad).for_each(|(byte, pad)| *byte ^= pad);
            packet.fill(Opcode::SECURE_BOOT, mode, 0, &[&digest, self.boot.sent()])?;
            self.pad = Some(pad);
            return Ok(Step::Send(Repeat::Never));
        };
        let found = expect::<32>(answer)?;
        let signature: &[u8] = match self.boot.check {
            Check::Kept { signature: Some(signature) } => &signature.0,
            _ => self.boot.sent(),
        };
        let header = [Opcode::SECURE_BOOT.0, mode, 0, 0];
        let expected = hash::digest(&[&**pad, self.boot.digest, signature, &header]);
        if expected.ct_eq(found).into() { Ok(Step::Done(())) } else { Err(Error::AnswerMac) }
    }
}

const PROTECTED: u8 = 0x80;
