//! Secrets that go over the bus encrypted, under a key that host and part both have.
//!
//! Each of these is three commands: a nonce with a random number of the part in it, `GenDig` over the key, and the one
//! that reads or writes, for which `TempKey` is the pad. The part writes only what comes with the right MAC. What it
//! reads out has none: on a bus with somebody else on it, authenticate what is read.

use super::command::gen_dig::GenDig;
use super::command::nonce::{RandomNonce, Seed};
use super::command::zone::Zone;
use super::hash::{self, TempKey};
use super::identify::SerialNumber;
use super::packet::Packet;
use super::procedure::{Procedure, Repeat, Request, Step, expect, send, succeeded};
use super::refusal::Error;
use cotter_formats::atecc::{Opcode, Slot};
use cotter_formats::secret::Secret;
use zeroize::Zeroizing;

/// What both sides know.
#[derive(Clone, Copy, Debug)]
pub struct Session<'a> {
    /// Where the part has the key: `ReadKey` or `WriteKey` of what is read or written.
    pub slot: Slot,
    /// The host's copy.
    pub key: &'a Secret<32>,
    /// From the host's CSPRNG, new for each session.
    pub input: &'a [u8; 20],
    /// The part's.
    pub serial: SerialNumber,
}

/// A session on its way.
#[derive(Debug)]
struct Opening<'a> {
    session: Session<'a>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Nonce,
    Digest(TempKey),
    Open,
}

/// What the answer to the last command led to.
enum Opened<'p> {
    /// The next command is in the packet.
    Sent(Repeat),
    /// This is the pad for the last command.
    Now(TempKey),
    /// The answer to that.
    Answer(&'p [u8]),
}

impl<'a> Opening<'a> {
    const fn new(session: Session<'a>) -> Self {
        Self { session, phase: Phase::Nonce }
    }

    fn step<'p>(&mut self, answer: Option<&'p [u8]>, packet: &mut Packet) -> Result<Opened<'p>, Error> {
        let nonce = RandomNonce { input: self.session.input, seed: Seed::Update };
        let gen_dig = GenDig::Key { slot: self.session.slot, header: None };
        let Some(answer) = answer else {
            self.phase = Phase::Nonce;
            nonce.fill(packet)?;
            return Ok(Opened::Sent(nonce.repeat()));
        };
        match core::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Nonce => {
                let temp_key = nonce.decode(answer)?;
                self.phase = Phase::Digest(temp_key.after_gen_dig(&gen_dig, self.session.key, self.session.serial));
                gen_dig.fill(packet)?;
                Ok(Opened::Sent(gen_dig.repeat()))
            }
            Phase::Digest(temp_key) => {
                gen_dig.decode(answer)?;
                Ok(Opened::Now(temp_key))
            }
            Phase::Open => Ok(Opened::Answer(answer)),
        }
    }
}

/// 32 bytes of a slot whose reads are encrypted.
#[derive(Debug)]
pub struct EncryptedRead<'a> {
    opening: Opening<'a>,
    slot: Slot,
    block: u8,
    pad: Option<TempKey>,
}

impl<'a> EncryptedRead<'a> {
    /// The block at 32 times `block`.
    #[must_use]
    pub const fn new(session: Session<'a>, slot: Slot, block: u8) -> Self {
        Self { opening: Opening::new(session), slot, block, pad: None }
    }
}

impl Procedure for EncryptedRead<'_> {
    type Output = Secret<32>;

    fn step(&mut self, answer: Option<&[u8]>, packet: &mut Packet) -> Result<Step<Secret<32>>, Error> {
        match self.opening.step(answer, packet)? {
            Opened::Sent(repeat) => Ok(Step::Send(repeat)),
            Opened::Now(temp_key) => {
                let zone = Zone::Data(self.slot);
                packet.fill(Opcode::READ, BLOCK | zone.mode(), zone.address(self.block, 0), &[])?;
                self.pad = Some(temp_key);
                // The pad is for once.
                Ok(Step::Send(Repeat::Never))
            }
            Opened::Answer(answer) => {
                let cipher = expect::<32>(answer)?;
                let pad = self.pad.take().ok_or(Error::Parameter("a session is for once"))?;
                Ok(Step::Done(Secret::filled_by(|out| xor(cipher, pad.expose(), out))))
            }
        }
    }
}

/// 32 bytes into a slot that takes them encrypted only, or, before the data zone is locked, into any for secrets.
#[derive(Debug)]
pub struct EncryptedWrite<'a> {
    opening: Opening<'a>,
    slot: Slot,
    block: u8,
    value: &'a Secret<32>,
    state: DataZone,
}

/// Whether the policies of the data zone are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataZone {
    /// They are: the slot's configuration says that writes are encrypted.
    Locked,
    /// Not yet: the command says it.
    Open,
}

impl<'a> EncryptedWrite<'a> {
    /// The block at 32 times `block`.
    #[must_use]
    pub const fn new(session: Session<'a>, slot: Slot, block: u8, value: &'a Secret<32>, state: DataZone) -> Self {
        Self { opening: Opening::new(session), slot, block, value, state }
    }
}

impl Procedure for EncryptedWrite<'_> {
    type Output = ();

    fn step(&mut self, answer: Option<&[u8]>, packet: &mut Packet) -> Result<Step<()>, Error> {
        match self.opening.step(answer, packet)? {
            Opened::Sent(repeat) => Ok(Step::Send(repeat)),
            Opened::Now(temp_key) => {
                let zone = Zone::Data(self.slot);
                let encrypted = match self.state {
                    DataZone::Locked => 0,
                    DataZone::Open => ENCRYPTED,
                };
                let (mode, address) = (BLOCK | encrypted | zone.mode(), zone.address(self.block, 0));
                let [low, high] = address.to_le_bytes();
                let header = [Opcode::WRITE.0, mode, low, high];
                let common = self.opening.session.serial.common();
                let mac = hash::digest(&[temp_key.expose(), &header, &common, &[0; 25], self.value.expose()]);
                let mut cipher = [0; 32];
                xor(self.value.expose(), temp_key.expose(), &mut cipher);
                packet.fill(Opcode::WRITE, mode, address, &[&cipher, &mac])?;
                Ok(Step::Send(Repeat::Never))
            }
            Opened::Answer(answer) => succeeded(answer).map(Step::Done),
        }
    }
}

/// A private key of the host's into a slot that takes them.
#[derive(Debug)]
pub struct EncryptedPrivateKey<'a> {
    opening: Opening<'a>,
    slot: Slot,
    key: &'a Secret<32>,
}

impl<'a> EncryptedPrivateKey<'a> {
    /// `key`: big-endian, from 1 to the order of P-256.
    #[must_use]
    pub const fn new(session: Session<'a>, slot: Slot, key: &'a Secret<32>) -> Self {
        Self { opening: Opening::new(session), slot, key }
    }
}

impl Procedure for EncryptedPrivateKey<'_> {
    type Output = ();

    fn step(&mut self, answer: Option<&[u8]>, packet: &mut Packet) -> Result<Step<()>, Error> {
        match self.opening.step(answer, packet)? {
            Opened::Sent(repeat) => Ok(Step::Send(repeat)),
            Opened::Now(temp_key) => {
                let mut plain = Zeroizing::new([0; 36]);
                plain[4..].copy_from_slice(self.key.expose());
                let header = [Opcode::PRIV_WRITE.0, ENCRYPTED, self.slot.number(), 0];
                let common = self.opening.session.serial.common();
                let mac = hash::digest(&[temp_key.expose(), &header, &common, &[0; 21], &*plain]);
                let mut second = Zeroizing::new([0; 32]);
                hash::digest_into(&[temp_key.expose()], &mut second);
                let pad = temp_key.expose().iter().chain(second.iter());
                let mut cipher = [0; 36];
                for ((cipher, plain), pad) in cipher.iter_mut().zip(plain.iter()).zip(pad) {
                    *cipher = plain ^ pad;
                }
                packet.fill(Opcode::PRIV_WRITE, ENCRYPTED, u16::from(self.slot.number()), &[&cipher, &mac])?;
                Ok(Step::Send(Repeat::Never))
            }
            Opened::Answer(answer) => succeeded(answer).map(Step::Done),
        }
    }
}

/// A key that is shown to the part, so that it may be used for what needs an authorisation: `CheckMac` over a random
/// nonce.
#[derive(Debug)]
pub struct Authorize<'a> {
    session: Session<'a>,
    has_nonce: bool,
}

impl<'a> Authorize<'a> {
    /// The key of `session` is the one that is authorised.
    #[must_use]
    pub const fn new(session: Session<'a>) -> Self {
        Self { session, has_nonce: false }
    }
}

impl Procedure for Authorize<'_> {
    type Output = ();

    fn step(&mut self, answer: Option<&[u8]>, packet: &mut Packet) -> Result<Step<()>, Error> {
        use super::command::TempKeySource;
        use super::command::mac::{CheckMac, First, OtpPart, Second};
        let nonce = RandomNonce { input: self.session.input, seed: Seed::Update };
        let Some(answer) = answer else {
            self.has_nonce = false;
            return send(&nonce, packet);
        };
        if self.has_nonce {
            return succeeded(answer).map(Step::Done);
        }
        let temp_key = nonce.decode(answer)?;
        let other = [0; 13];
        let response = hash::check_mac(self.session.key, temp_key.expose(), &other, &[0; 8], self.session.serial);
        self.has_nonce = true;
        let check = CheckMac {
            slot: self.session.slot,
            first: First::Key,
            second: Second::TempKey,
            source: TempKeySource::Random,
            otp: OtpPart::None,
            response: &response,
            other: &other,
        };
        send(&check, packet)
    }
}

fn xor(first: &[u8; 32], second: &[u8; 32], out: &mut [u8; 32]) {
    for ((out, first), second) in out.iter_mut().zip(first).zip(second) {
        *out = first ^ second;
    }
}

const BLOCK: u8 = 0x80;
const ENCRYPTED: u8 = 0x40;
