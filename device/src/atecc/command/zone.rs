//! `Read` (9.16) and `Write` (9.21), in the clear. [`crate::atecc::session`] has both encrypted.

use crate::atecc::packet::Packet;
use crate::atecc::procedure::{Procedure, Repeat, Request, Step, expect, send, succeeded};
use crate::atecc::refusal::Error;
use cotter_formats::atecc::{BLOCK_LEN, CONFIG_LEN, ConfigZone, Opcode, Slot};
use zeroize::Zeroizing;

/// What is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// The configuration zone: four blocks.
    Config,
    /// The OTP zone: two blocks.
    Otp,
    /// A slot.
    Data(Slot),
}

impl Zone {
    pub(in crate::atecc) const fn mode(self) -> u8 {
        match self {
            Self::Config => 0,
            Self::Otp => 1,
            Self::Data(_) => 2,
        }
    }

    pub(in crate::atecc) fn address(self, block: u8, word: u8) -> u16 {
        let (block, word) = (u16::from(block), u16::from(word & 7));
        match self {
            Self::Config | Self::Otp => block << 3 | word,
            Self::Data(slot) => block << 8 | u16::from(slot.number()) << 3 | word,
        }
    }
}

/// 32 bytes; past the end of a slot, zeros.
#[derive(Clone, Copy, Debug)]
pub struct ReadBlock {
    /// Of this zone.
    pub zone: Zone,
    /// From 32 times this.
    pub block: u8,
}

impl Request for ReadBlock {
    type Output = [u8; 32];

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::READ, BLOCK | self.zone.mode(), self.zone.address(self.block, 0), &[])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    fn decode(&self, payload: &[u8]) -> Result<[u8; 32], Error> {
        expect(payload).copied()
    }
}

/// 4 bytes.
#[derive(Clone, Copy, Debug)]
pub struct ReadWord {
    /// Of this zone.
    pub zone: Zone,
    /// From 32 times this
    pub block: u8,
    /// and 4 times this, 0 to 7.
    pub word: u8,
}

impl Request for ReadWord {
    type Output = [u8; 4];

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::READ, self.zone.mode(), self.zone.address(self.block, self.word), &[])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    fn decode(&self, payload: &[u8]) -> Result<[u8; 4], Error> {
        expect(payload).copied()
    }
}

/// 32 bytes; what is past the end of a slot is ignored.
#[derive(Clone, Copy, Debug)]
pub struct WriteBlock<'a> {
    /// Of this zone.
    pub zone: Zone,
    /// From 32 times this.
    pub block: u8,
    /// What is to be there.
    pub value: &'a [u8; 32],
}

impl Request for WriteBlock<'_> {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::WRITE, BLOCK | self.zone.mode(), self.zone.address(self.block, 0), &[self.value])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}

/// 4 bytes.
#[derive(Clone, Copy, Debug)]
pub struct WriteWord<'a> {
    /// Of this zone.
    pub zone: Zone,
    /// From 32 times this
    pub block: u8,
    /// and 4 times this, 0 to 7.
    pub word: u8,
    /// What is to be there.
    pub value: &'a [u8; 4],
}

impl Request for WriteWord<'_> {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::WRITE, self.zone.mode(), self.zone.address(self.block, self.word), &[self.value])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}

/// The whole configuration zone, which everybody may read.
#[derive(Debug)]
pub struct ReadConfig {
    zone: ConfigZone,
    block: u8,
}

impl Default for ReadConfig {
    fn default() -> Self {
        Self { zone: ConfigZone([0; CONFIG_LEN]), block: 0 }
    }
}

impl Procedure for ReadConfig {
    type Output = ConfigZone;

    fn step(&mut self, answer: Option<&[u8]>, packet: &mut Packet) -> Result<Step<ConfigZone>, Error> {
        match answer {
            None => self.block = 0,
            Some(answer) => {
                let content = expect::<BLOCK_LEN>(answer)?;
                if let Some(to) = self.zone.0.chunks_exact_mut(BLOCK_LEN).nth(usize::from(self.block)) {
                    to.copy_from_slice(content);
                }
                self.block += 1;
            }
        }
        if usize::from(self.block) * BLOCK_LEN == CONFIG_LEN {
            return Ok(Step::Done(self.zone.clone()));
        }
        send(&ReadBlock { zone: Zone::Config, block: self.block }, packet)
    }
}

/// All of the configuration zone that `Write` may write: bytes 16 to 83 and 88 to 127. What it says of the others is
/// ignored.
#[derive(Debug)]
pub struct WriteConfig<'a> {
    zone: &'a ConfigZone,
    word: usize,
}

impl<'a> WriteConfig<'a> {
    /// That zone.
    #[must_use]
    pub const fn new(zone: &'a ConfigZone) -> Self {
        Self { zone, word: 0 }
    }
}

impl Procedure for WriteConfig<'_> {
    type Output = ();

    fn step(&mut self, answer: Option<&[u8]>, packet: &mut Packet) -> Result<Step<()>, Error> {
        self.word = match answer {
            None => FIRST_WORD,
            Some(answer) => {
                succeeded(answer)?;
                self.word + if self.word + 1 == LOCKS_WORD { 2 } else { 1 }
            }
        };
        let Some(value) = self.zone.0.as_chunks::<4>().0.get(self.word) else { return Ok(Step::Done(())) };
        let at = u8::try_from(self.word).unwrap_or(u8::MAX);
        send(&WriteWord { zone: Zone::Config, block: at / 8, word: at % 8, value }, packet)
    }
}

/// The beginning of a slot, or all of it.
#[derive(Debug)]
pub struct ReadSlot<'a> {
    slot: Slot,
    into: &'a mut [u8],
    block: usize,
}

impl<'a> ReadSlot<'a> {
    /// As much as there is room for.
    #[must_use]
    pub const fn new(slot: Slot, into: &'a mut [u8]) -> Self {
        Self { slot, into, block: 0 }
    }
}

impl Procedure for ReadSlot<'_> {
    type Output = ();

    fn step(&mut self, answer: Option<&[u8]>, packet: &mut Packet) -> Result<Step<()>, Error> {
        match answer {
            None => self.block = 0,
            Some(answer) => {
                let content = expect::<BLOCK_LEN>(answer)?;
                if let Some(to) = self.into.chunks_mut(BLOCK_LEN).nth(self.block) {
                    to.iter_mut().zip(content).for_each(|(to, from)| *to = *from);
                }
                self.block += 1;
            }
        }
        if self.block * BLOCK_LEN >= self.into.len() {
            return Ok(Step::Done(()));
        }
        let block = block_of(self.slot, self.block)?;
        send(&ReadBlock { zone: Zone::Data(self.slot), block }, packet)
    }
}

/// The beginning of a slot in the clear, in blocks of 32 bytes of which the last is filled up with zeros.
///
/// A power cut may leave it written up to any block.
#[derive(Debug)]
pub struct WriteSlot<'a> {
    slot: Slot,
    content: &'a [u8],
    block: usize,
}

impl<'a> WriteSlot<'a> {
    /// That much of it.
    #[must_use]
    pub const fn new(slot: Slot, content: &'a [u8]) -> Self {
        Self { slot, content, block: 0 }
    }
}

impl Procedure for WriteSlot<'_> {
    type Output = ();

    fn step(&mut self, answer: Option<&[u8]>, packet: &mut Packet) -> Result<Step<()>, Error> {
        match answer {
            None if self.content.len() > self.slot.len() => {
                return Err(Error::Parameter("that is more than the slot holds"));
            }
            None => self.block = 0,
            Some(answer) => {
                succeeded(answer)?;
                self.block += 1;
            }
        }
        let Some(content) = self.content.chunks(BLOCK_LEN).nth(self.block) else { return Ok(Step::Done(())) };
        // Before the lock keys are written like this too.
        let mut value = Zeroizing::new([0; BLOCK_LEN]);
        value.iter_mut().zip(content).for_each(|(to, from)| *to = *from);
        let block = block_of(self.slot, self.block)?;
        send(&WriteBlock { zone: Zone::Data(self.slot), block, value: &value }, packet)
    }
}

fn block_of(slot: Slot, block: usize) -> Result<u8, Error> {
    let is_inside = block * BLOCK_LEN < slot.len();
    u8::try_from(block).ok().filter(|_| is_inside).ok_or(Error::Parameter("that is more than the slot holds"))
}

const BLOCK: u8 = 0x80;

/// Words of the configuration zone: the first that may be written, and the one with the locks.
const FIRST_WORD: usize = 4;
const LOCKS_WORD: usize = 21;
