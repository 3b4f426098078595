//! `KDF` of the ATECC608: the PRF of TLS 1.2, HKDF's step, AES. Microchip publishes no description: cryptoauthlib
//! 20260505 `calib_command.h` and its tests.

use crate::atecc::hash;
use crate::atecc::packet::Packet;
use crate::atecc::procedure::{Repeat, Request, expect, succeeded};
use crate::atecc::refusal::Error;
use cotter_formats::atecc::{Opcode, Slot};
use cotter_formats::secret::Secret;

/// What is derived from what.
#[derive(Clone, Copy, Debug)]
pub struct Derivation<'a> {
    /// Where the key is.
    pub source: Source,
    /// How, and from which message.
    pub algorithm: Algorithm<'a>,
}

/// Where a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `TempKey`.
    TempKey,
    /// Its second half.
    TempKeyUpper,
    /// A slot for secrets.
    Slot(Slot),
    /// The alternate key buffer.
    AlternateKey,
}

/// How to derive.
#[derive(Clone, Copy, Debug)]
pub enum Algorithm<'a> {
    /// P_SHA256 of TLS 1.2 over label and seed.
    Prf {
        /// Up to 128 bytes.
        message: &'a [u8],
        /// Of the key: 16, 32, 48 or 64 bytes.
        key_len: usize,
        /// Of what is derived.
        len: PrfLen,
    },
    /// One block under AES-128, and 16 zeros.
    Aes {
        /// The block.
        message: &'a [u8; 16],
        /// Which 16 bytes of the source are the key, 0 to 3.
        key_index: u8,
    },
    /// HMAC with SHA-256.
    Hkdf {
        /// What goes into it.
        message: HkdfMessage<'a>,
        /// Its key.
        key: HkdfKey,
    },
}

/// How much of the PRF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrfLen {
    /// 32 bytes.
    Bytes32,
    /// 64 bytes.
    Bytes64,
}

/// The message of an HKDF step.
#[derive(Clone, Copy, Debug)]
pub enum HkdfMessage<'a> {
    /// What is in a slot. A target that is a slot must be the same one.
    Slot(Slot),
    /// `TempKey`.
    TempKey,
    /// These, up to 128 bytes.
    Input(&'a [u8]),
    /// These, which must have the initialisation string of the configuration zone in them.
    Initialization(&'a [u8]),
}

/// The key of an HKDF step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HkdfKey {
    /// The source.
    Source,
    /// 32 zeros.
    Zero,
}

/// The result stays in the part.
#[derive(Clone, Copy, Debug)]
pub struct Kdf<'a> {
    /// What is derived.
    pub derivation: Derivation<'a>,
    /// Where it goes.
    pub into: Target,
}

/// Where a derived key stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `TempKey`.
    TempKey,
    /// Its second half.
    TempKeyUpper,
    /// A slot whose `KeyConfig` allows it.
    Slot(Slot),
    /// The alternate key buffer.
    AlternateKey,
}

impl Target {
    const fn mode(self) -> u8 {
        match self {
            Self::TempKey => 0,
            Self::TempKeyUpper => 1 << 2,
            Self::Slot(_) => 2 << 2,
            Self::AlternateKey => 3 << 2,
        }
    }

    fn slot(self) -> Option<Slot> {
        match self {
            Self::Slot(slot) => Some(slot),
            _ => None,
        }
    }
}

impl Request for Kdf<'_> {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        self.derivation.fill(self.into.mode(), self.into.slot(), 0, packet)
    }

    /// Its source may be its target.
    fn repeat(&self) -> Repeat {
        Repeat::Never
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}

/// 64 bytes of the PRF, of which the first half stays in the part and the second comes out.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "KDF_DETAILS_PRF_AEAD_MODE1")]
pub struct KdfSplit<'a> {
    /// What is derived; a PRF of 64 bytes.
    pub derivation: Derivation<'a>,
    /// Where the first half goes.
    pub into: Target,
}

impl Request for KdfSplit<'_> {
    type Output = Secret<32>;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        if !matches!(self.derivation.algorithm, Algorithm::Prf { len: PrfLen::Bytes64, .. }) {
            return Err(Error::Parameter("only 64 bytes of the PRF can be split"));
        }
        self.derivation.fill(self.into.mode(), self.into.slot(), AEAD, packet)
    }

    fn repeat(&self) -> Repeat {
        Repeat::Never
    }

    fn decode(&self, payload: &[u8]) -> Result<Secret<32>, Error> {
        expect(payload).map(|secret| Secret::filled_by(|out| *out = *secret))
    }
}

/// The result comes out: 32 bytes, or 64 of the PRF.
#[derive(Debug)]
pub struct KdfOut<'a, const N: usize> {
    /// What is derived.
    pub derivation: Derivation<'a>,
    /// The copy of the I/O protection key that it is encrypted under; `None` is in the clear.
    pub io_key: Option<&'a Secret<32>>,
}

impl<const N: usize> Request for KdfOut<'_, N> {
    type Output = Secret<N>;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        let len = match self.derivation.algorithm {
            Algorithm::Prf { len: PrfLen::Bytes64, .. } => 64,
            _ => 32,
        };
        if N != len {
            return Err(Error::Parameter("another length is derived than is asked for"));
        }
        let mode = if self.io_key.is_some() { ENCRYPTED } else { OUT };
        self.derivation.fill(mode, None, 0, packet)
    }

    fn repeat(&self) -> Repeat {
        match self.derivation.source {
            Source::Slot(_) => Repeat::Safe,
            _ => Repeat::Never,
        }
    }

    fn decode(&self, payload: &[u8]) -> Result<Secret<N>, Error> {
        let Some(key) = self.io_key else {
            return expect(payload).map(|secret| Secret::filled_by(|out| *out = *secret));
        };
        if payload.len() != N + 32 {
            expect::<N>(payload)?;
            return Err(Error::Length { got: payload.len(), expected: N + 32 });
        }
        Ok(Secret::filled_by(|out| hash::unprotect(key, payload, out)))
    }
}

impl Derivation<'_> {
    fn fill(&self, target: u8, target_slot: Option<Slot>, flags: u32, packet: &mut Packet) -> Result<(), Error> {
        let (source, source_slot) = match self.source {
            Source::TempKey => (0, 0),
            Source::TempKeyUpper => (1, 0),
            Source::Slot(slot) => (2, slot.number()),
            Source::AlternateKey => (3, 0),
        };
        let mut second_slot = target_slot.map_or(0, Slot::number);
        let (algorithm, details, message): (u8, u32, &[u8]) = match self.algorithm {
            Algorithm::Prf { message, key_len, len } => {
                let blocks = match key_len {
                    16 => 0,
                    32 => 1,
                    48 => 2,
                    64 => 3,
                    _ => return Err(Error::Parameter("keys of the PRF have 16, 32, 48 or 64 bytes")),
                };
                let long = if len == PrfLen::Bytes64 { LONG } else { 0 };
                (0x00, blocks | long, message)
            }
            Algorithm::Aes { message, key_index } if key_index <= 3 => (0x20, u32::from(key_index), message),
            Algorithm::Aes { .. } => return Err(Error::Parameter("a source has four AES keys at most")),
            Algorithm::Hkdf { message, key } => {
                let zero = if key == HkdfKey::Zero { ZERO_KEY } else { 0 };
                let (location, message): (u32, &[u8]) = match message {
                    HkdfMessage::Slot(slot) if target_slot.is_none_or(|target| target == slot) => {
                        second_slot = slot.number();
                        (0, &[])
                    }
                    HkdfMessage::Slot(_) => {
                        return Err(Error::Parameter("message and target cannot be two different slots"));
                    }
                    HkdfMessage::TempKey => (1, &[]),
                    HkdfMessage::Input(message) => (2, message),
                    HkdfMessage::Initialization(message) => (3, message),
                };
                (0x40, location | zero, message)
            }
        };
        let len = u32::try_from(message.len()).ok().filter(|len| *len <= 128);
        let len = len.ok_or(Error::Parameter("messages have up to 128 bytes"))?;
        let details = (details | flags | len << 24).to_le_bytes();
        let slots = u16::from_le_bytes([source_slot, second_slot]);
        packet.fill(Opcode::KDF, source | target | algorithm, slots, &[&details, message])
    }
}

const OUT: u8 = 4 << 2;
const ENCRYPTED: u8 = 5 << 2;
const LONG: u32 = 0x100;
const AEAD: u32 = 0x200;
const ZERO_KEY: u32 = 4;
