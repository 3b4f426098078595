//! What makes keys: `GenKey` (9.7), `PrivWrite` (9.14), `DeriveKey` (9.4).

use super::{TEMP_KEY, TempKeySource};
use crate::atecc::packet::Packet;
use crate::atecc::procedure::{Repeat, Request, expect, succeeded};
use crate::atecc::refusal::Error;
use cotter_formats::atecc::{Opcode, Slot};
use cotter_formats::secret::Secret;

/// A point of P-256 without a prefix: X, then Y, both big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 64]);

impl PublicKey {
    /// As SEC 1 writes it, uncompressed.
    #[must_use]
    pub fn to_sec1(&self) -> [u8; 65] {
        let mut out = [4; 65];
        out[1..].copy_from_slice(&self.0);
        out
    }

    /// As it lies in a slot: 4 bytes of padding, X, 4 bytes of padding, Y.
    #[must_use]
    pub fn to_slot(&self) -> [u8; 72] {
        let mut out = [0; 72];
        out[4..36].copy_from_slice(&self.0[..32]);
        out[40..].copy_from_slice(&self.0[32..]);
        out
    }

    /// From there.
    #[must_use]
    pub fn from_slot(content: &[u8; 72]) -> Self {
        let mut key = [0; 64];
        key[..32].copy_from_slice(&content[4..36]);
        key[32..].copy_from_slice(&content[40..]);
        Self(key)
    }
}

/// Where a private key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// In a slot, for good.
    Slot(Slot),
    /// In `TempKey` of the ATECC608, for one ECDH.
    TempKey,
}

impl KeyPlace {
    fn param2(self) -> u16 {
        match self {
            Self::Slot(slot) => u16::from(slot.number()),
            Self::TempKey => TEMP_KEY,
        }
    }
}

/// A new private key. What was in the slot is gone.
///
/// After [`Error::AnswerLost`] the slot holds the old key or a new one; [`GetPublicKey`] tells its public key.
#[derive(Clone, Copy, Debug)]
pub struct CreateKey(pub KeyPlace);

impl Request for CreateKey {
    type Output = PublicKey;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::GEN_KEY, CREATE, self.0.param2(), &[])
    }

    fn repeat(&self) -> Repeat {
        match self.0 {
            KeyPlace::Slot(_) => Repeat::Never,
            KeyPlace::TempKey => Repeat::Safe,
        }
    }

    fn decode(&self, payload: &[u8]) -> Result<PublicKey, Error> {
        expect(payload).map(|key| PublicKey(*key))
    }
}

/// The public key to a private one.
#[derive(Clone, Copy, Debug)]
pub struct GetPublicKey(pub KeyPlace);

impl Request for GetPublicKey {
    type Output = PublicKey;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::GEN_KEY, PUBLIC, self.0.param2(), &[])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    fn decode(&self, payload: &[u8]) -> Result<PublicKey, Error> {
        expect(payload).map(|key| PublicKey(*key))
    }
}

/// The public key to the private one in a slot, and its digest into `TempKey`.
/// [`crate::atecc::hash::TempKey::after_gen_key`] is what it comes to.
#[derive(Clone, Copy, Debug)]
pub struct DigestKey {
    /// Of the private key.
    pub slot: Slot,
    /// What to do first.
    pub action: Action,
}

/// What `GenKey` does with a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It makes a new one.
    Create,
    /// It uses the one that is there.
    Use,
}

impl DigestKey {
    /// Mode and slot as the digest has them.
    #[must_use]
    pub const fn header(&self) -> [u8; 3] {
        [self.mode(), self.slot.number(), 0]
    }

    const fn mode(&self) -> u8 {
        match self.action {
            Action::Create => CREATE | DIGEST,
            Action::Use => PUBLIC | DIGEST,
        }
    }
}

impl Request for DigestKey {
    type Output = PublicKey;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::GEN_KEY, self.mode(), u16::from(self.slot.number()), &[])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Never
    }

    fn decode(&self, payload: &[u8]) -> Result<PublicKey, Error> {
        expect(payload).map(|key| PublicKey(*key))
    }
}

/// The digest of a public key in a slot, into `TempKey`.
#[derive(Clone, Copy, Debug)]
pub struct DigestStoredKey {
    /// 8 to 15.
    pub slot: Slot,
    /// What the digest has instead of mode and slot.
    pub header: [u8; 3],
}

impl Request for DigestStoredKey {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::GEN_KEY, STORED, u16::from(self.slot.number()), &[&self.header])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Never
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}

/// A private key of the host's, in the clear: only before the data zone is locked, and only on a bus that nobody else
/// hears. [`crate::atecc::session::EncryptedPrivateKey`] is for all others.
#[derive(Debug)]
pub struct WritePrivateKey<'a> {
    /// For a private key.
    pub slot: Slot,
    /// Big-endian, from 1 to the order of P-256.
    pub key: &'a Secret<32>,
}

impl Request for WritePrivateKey<'_> {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::PRIV_WRITE, 0, u16::from(self.slot.number()), &[&[0; 4], self.key.expose()])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}

/// A secret key becomes another, made of it or of its parent and `TempKey`.
///
/// After [`Error::AnswerLost`] the slot holds the old key or the new one: a MAC with it tells which.
#[derive(Clone, Copy, Debug)]
pub struct DeriveKey<'a> {
    /// Whose key is to be replaced.
    pub slot: Slot,
    /// Of `TempKey`.
    pub source: TempKeySource,
    /// [`crate::atecc::hash::derive_key_mac`], where the slot's configuration wants one.
    pub mac: Option<&'a [u8; 32]>,
}

impl DeriveKey<'_> {
    /// Opcode, mode and slot as the hashes have them.
    #[must_use]
    pub const fn header(&self) -> [u8; 4] {
        [Opcode::DERIVE_KEY.0, self.mode(), self.slot.number(), 0]
    }

    const fn mode(&self) -> u8 {
        match self.source {
            TempKeySource::Random => 0,
            TempKeySource::Input => 4,
        }
    }
}

impl Request for DeriveKey<'_> {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        let mac: &[u8] = self.mac.map_or(&[], |mac| mac);
        packet.fill(Opcode::DERIVE_KEY, self.mode(), u16::from(self.slot.number()), &[mac])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Never
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}

const PUBLIC: u8 = 0x00;
const CREATE: u8 = 0x04;
const DIGEST: u8 = 0x08;
const STORED: u8 = 0x10;
