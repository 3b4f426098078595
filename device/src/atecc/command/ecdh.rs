//! `ECDH` (9.5); `TempKey`, targets and encrypted output are the ATECC608's.

use super::TEMP_KEY;
use super::key::{KeyPlace, PublicKey};
use crate::atecc::hash;
use crate::atecc::packet::Packet;
use crate::atecc::procedure::{Repeat, Request, expect, succeeded};
use crate::atecc::refusal::Error;
use cotter_formats::atecc::{Opcode, Slot};
use cotter_formats::secret::Secret;

/// The shared secret stays in the part.
#[derive(Clone, Copy, Debug)]
pub struct Agree<'a> {
    /// The part's private key and where the secret goes.
    pub path: Path,
    /// The other side's public key.
    pub public: &'a PublicKey,
}

/// From where to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// From a slot into `TempKey`.
    SlotToTempKey(Slot),
    /// From an even slot into the next one.
    SlotToNext(Slot),
    /// From `TempKey` into a slot.
    TempKeyToSlot(Slot),
    /// From `TempKey` into `TempKey`.
    TempKeyToTempKey,
    /// From a slot whose configuration says that it goes into the next one, as on the ATECC508A.
    Configured(Slot),
}

impl Request for Agree<'_> {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        let (mode, param2) = match self.path {
            Path::SlotToTempKey(slot) => (INTO_TEMP_KEY, u16::from(slot.number())),
            Path::SlotToNext(slot) => (INTO_SLOT, u16::from(slot.number())),
            Path::TempKeyToSlot(slot) => (INTO_SLOT | FROM_TEMP_KEY, u16::from(slot.number())),
            Path::TempKeyToTempKey => (INTO_TEMP_KEY | FROM_TEMP_KEY, TEMP_KEY),
            Path::Configured(slot) => (CONFIGURED, u16::from(slot.number())),
        };
        packet.fill(Opcode::ECDH, mode, param2, &[&self.public.0])
    }

    /// A key in `TempKey` is for once.
    fn repeat(&self) -> Repeat {
        match self.path {
            Path::SlotToTempKey(_) | Path::SlotToNext(_) | Path::Configured(_) => Repeat::Safe,
            Path::TempKeyToSlot(_) | Path::TempKeyToTempKey => Repeat::Never,
        }
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}

/// The shared secret comes out.
#[derive(Debug)]
pub struct AgreeOut<'a> {
    /// The part's private key.
    pub key: KeyPlace,
    /// The other side's public key.
    pub public: &'a PublicKey,
    /// How.
    pub output: Output<'a>,
}

/// How a secret goes over the bus.
#[derive(Debug)]
pub enum Output<'a> {
    /// For all to hear.
    Clear,
    /// As the ATECC508A does: in the clear, if the slot's configuration allows it.
    Configured,
    /// Under the I/O protection key, of which this is a copy. A part whose `ChipOptions` demand it encrypts in any
    /// case.
    Encrypted(&'a Secret<32>),
}

impl Request for AgreeOut<'_> {
    type Output = Secret<32>;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        let output = match self.output {
            Output::Clear => OUT,
            Output::Configured => CONFIGURED,
            Output::Encrypted(_) => OUT | ENCRYPTED,
        };
        let (source, param2) = match (self.key, &self.output) {
            (KeyPlace::Slot(slot), _) => (0, u16::from(slot.number())),
            (KeyPlace::TempKey, Output::Configured) => {
                return Err(Error::Parameter("the configuration of a slot says nothing about TempKey"));
            }
            (KeyPlace::TempKey, _) => (FROM_TEMP_KEY, TEMP_KEY),
        };
        packet.fill(Opcode::ECDH, output | source, param2, &[&self.public.0])
    }

    fn repeat(&self) -> Repeat {
        match self.key {
            KeyPlace::Slot(_) => Repeat::Safe,
            KeyPlace::TempKey => Repeat::Never,
        }
    }

    fn decode(&self, payload: &[u8]) -> Result<Secret<32>, Error> {
        match self.output {
            Output::Clear | Output::Configured => expect(payload).map(|secret| Secret::filled_by(|out| *out = *secret)),
            Output::Encrypted(key) => {
                let answer = expect::<64>(payload)?;
                Ok(Secret::filled_by(|out| hash::unprotect(key, answer, out)))
            }
        }
    }
}

const CONFIGURED: u8 = 0x00;
const FROM_TEMP_KEY: u8 = 0x01;
const ENCRYPTED: u8 = 0x02;
const INTO_SLOT: u8 = 0x04;
const INTO_TEMP_KEY: u8 = 0x08;
const OUT: u8 = 0x0c;
