//! `SHA` (9.17): digests and HMAC in the part; contexts, the choice of the target and updates of any length are the
//! ATECC608's.
//!
//! The part takes 64 bytes at a time. [`Stream`] cuts messages of any length into whole blocks and a rest below 64,
//! which is what all three parts take.

use super::TEMP_KEY;
use crate::atecc::packet::Packet;
use crate::atecc::procedure::{Procedure, Repeat, Request, Step, expect, send, succeeded};
use crate::atecc::refusal::Error;
use cotter_formats::atecc::packet::PAYLOAD_MAX;
use cotter_formats::atecc::{Opcode, Slot};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of a block.
pub const BLOCK_LEN: usize = 64;

/// A digest or an HMAC begins.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    /// SHA-256.
    Digest,
    /// HMAC with SHA-256 under the key in a slot.
    Hmac(Slot),
    /// The same under `TempKey`.
    HmacTempKey,
}

impl Request for Start {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        let (mode, key) = match self {
            Self::Digest => (START, 0),
            Self::Hmac(slot) => (HMAC_START, u16::from(slot.number())),
            Self::HmacTempKey => (HMAC_START, TEMP_KEY),
        };
        packet.fill(Opcode::SHA, mode, key, &[])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}

/// It goes on: 64 bytes, or fewer on the ATECC608.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a>(pub &'a [u8]);

impl Request for Update<'_> {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::SHA, UPDATE, length(self.0)?, &[self.0])
    }

    /// Twice is another message.
    fn repeat(&self) -> Repeat {
        Repeat::Never
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}

/// The public key in a slot is the next 64 bytes of the message.
#[derive(Clone, Copy, Debug)]
pub struct HashPublicKey(pub Slot);

impl Request for HashPublicKey {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::SHA, PUBLIC_KEY, u16::from(self.0.number()), &[])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Never
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}

/// The rest, and the result. The ATECC508A takes up to 63 bytes, and [`Target::TempKey`] only.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// The last bytes of the message.
    pub rest: &'a [u8],
    /// Where the result goes besides out.
    pub target: Target,
    /// What ends.
    pub kind: EndKind,
}

/// Where a digest is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `TempKey`.
    TempKey,
    /// The message digest buffer.
    #[doc(alias = "MsgDigBuf")]
    Digest,
    /// Nowhere.
    Output,
}

/// Digests and HMACs end alike on the ATECC608, but not on the ATECC508A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndKind {
    /// A digest; on the ATECC608 an HMAC too.
    Common,
    /// An HMAC of the ATECC508A.
    #[doc(alias = "SHA_MODE_HMAC_END")]
    Hmac508A,
}

impl Request for End<'_> {
    type Output = [u8; 32];

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        let end = match self.kind {
            EndKind::Common => END,
            EndKind::Hmac508A => HMAC_END,
        };
        let target = match self.target {
            Target::TempKey => 0x00,
            Target::Digest => 0x40,
            Target::Output => 0xc0,
        };
        packet.fill(Opcode::SHA, end | target, length(self.rest)?, &[self.rest])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Never
    }

    fn decode(&self, payload: &[u8]) -> Result<[u8; 32], Error> {
        expect(payload).copied()
    }
}

/// The context of a digest, so that another can come between. HMACs have none.
#[derive(Clone, Copy, Debug)]
pub struct ReadContext;

/// Count of the message's bytes, state, and the bytes that are no whole block yet.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Context {
    bytes: [u8; PAYLOAD_MAX],
    len: usize,
}

impl Context {
    /// As the part gave it out.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl core::fmt::Debug for Context {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Context({} bytes)", self.len)
    }
}

impl Request for ReadContext {
    type Output = Context;

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        packet.fill(Opcode::SHA, READ_CONTEXT, 0, &[])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    fn decode(&self, payload: &[u8]) -> Result<Context, Error> {
        let mut context = Context { bytes: [0; PAYLOAD_MAX], len: payload.len() };
        match context.bytes.get_mut(..payload.len()) {
            Some(bytes) if payload.len() >= CONTEXT_MIN => bytes.copy_from_slice(payload),
            _ => return Err(expect::<CONTEXT_MIN>(payload).err().unwrap_or(Error::TooLong)),
        }
        Ok(context)
    }
}

/// The digest goes on where it was read.
#[derive(Clone, Copy, Debug)]
pub struct WriteContext<'a>(pub &'a Context);

impl Request for WriteContext<'_> {
    type Output = ();

    fn fill(&self, packet: &mut Packet) -> Result<(), Error> {
        let bytes = self.0.bytes();
        let len = u16::try_from(bytes.len()).map_err(|_| Error::TooLong)?;
        packet.fill(Opcode::SHA, WRITE_CONTEXT, len, &[bytes])
    }

    fn repeat(&self) -> Repeat {
        Repeat::Safe
    }

    fn decode(&self, payload: &[u8]) -> Result<(), Error> {
        succeeded(payload)
    }
}

/// The host's end of a message that comes in pieces. After any error it is over: begin again.
///
/// Run a [`Start`], then [`Self::push`] for each piece, then [`Self::end`].
#[derive(Debug, Zeroize, ZeroizeOnDrop)]
pub struct Stream {
    /// Less than a block, but for when one is being sent.
    pending: [u8; BLOCK_LEN],
    len: usize,
}

impl Default for Stream {
    fn default() -> Self {
        Self { pending: [0; BLOCK_LEN], len: 0 }
    }
}

impl Stream {
    /// The procedure that takes a piece of any length in.
    #[must_use]
    pub const fn push<'a>(&'a mut self, piece: &'a [u8]) -> Push<'a> {
        Push { stream: self, piece }
    }

    /// The request that ends the message.
    #[must_use]
    pub fn end(&self, target: Target, kind: EndKind) -> End<'_> {
        End { rest: self.pending.get(..self.len).unwrap_or_default(), target, kind }
    }
}

/// One piece on its way.
#[derive(Debug)]
pub struct Push<'a> {
    stream: &'a mut Stream,
    piece: &'a [u8],
}

impl Procedure for Push<'_> {
    type Output = ();

    fn step(&mut self, answer: Option<&[u8]>, packet: &mut Packet) -> Result<Step<()>, Error> {
        if let Some(answer) = answer {
            succeeded(answer)?;
            self.stream.len = 0;
        }
        let Stream { pending, len } = &mut *self.stream;
        let room = pending.get_mut(*len..).unwrap_or_default();
        let (now, later) = self.piece.split_at(self.piece.len().min(room.len()));
        room.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
        *len += now.len();
        self.piece = later;
        if *len < BLOCK_LEN { Ok(Step::Done(())) } else { send(&Update(&*pending), packet) }
    }
}

/// A whole message that the host has at hand.
#[derive(Debug)]
pub struct Hash<'a> {
    start: Start,
    message: &'a [u8],
    target: Target,
    kind: EndKind,
    /// Blocks that were sent; `None` before the start was.
    at: Option<usize>,
    is_ending: bool,
}

impl<'a> Hash<'a> {
    /// `target` and `kind` as in [`End`].
    #[must_use]
    pub const fn new(start: Start, message: &'a [u8], target: Target, kind: EndKind) -> Self {
        Self { start, message, target, kind, at: None, is_ending: false }
    }
}

impl Procedure for Hash<'_> {
    type Output = [u8; 32];

    fn step(&mut self, answer: Option<&[u8]>, packet: &mut Packet) -> Result<Step<[u8; 32]>, Error> {
        let Some(answer) = answer else {
            self.at = None;
            self.is_ending = false;
            return send(&self.start, packet);
        };
        if self.is_ending {
            return expect(answer).copied().map(Step::Done);
        }
        succeeded(answer)?;
        let block = self.at.map_or(0, |at| at + 1);
        self.at = Some(block);
        let rest = self.message.get(block * BLOCK_LEN..).unwrap_or_default();
        match rest.get(..BLOCK_LEN) {
            Some(whole) => send(&Update(whole), packet),
            None => {
                self.is_ending = true;
                send(&End { rest, target: self.target, kind: self.kind }, packet)
            }
        }
    }
}

fn length(piece: &[u8]) -> Result<u16, Error> {
    let len = u16::try_from(piece.len()).map_err(|_| Error::TooLong)?;
    if piece.len() <= BLOCK_LEN { Ok(len) } else { Err(Error::Parameter("the part takes 64 bytes at a time")) }
}

const START: u8 = 0;
const UPDATE: u8 = 1;
const END: u8 = 2;
const PUBLIC_KEY: u8 = 3;
const HMAC_START: u8 = 4;
const HMAC_END: u8 = 5;
const READ_CONTEXT: u8 = 6;
const WRITE_CONTEXT: u8 = 7;

/// Count and state.
const CONTEXT_MIN: usize = 36;
