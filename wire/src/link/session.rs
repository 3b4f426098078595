//! Frames of one session: sealed with counters that are not all sent, and accepted once, in order.
//!
//! ```text
//! frame     head u8 | counter, its low 16 bits, big-endian | sealed payload | tag
//! head      bit 7: 1 from the module, 0 from the host; bits 6..0: kind
//! nonce     IV of the direction XOR the whole counter, big-endian in the last 8 bytes; counters start at 0
//! aad       session id, 8 bytes | head                 so: session, direction and kind
//! ```
//!
//! A receiver takes the counter to be the next one with these low bits, at most 32767 further on than it expects; what lies
//! as far behind is a replay. So lost frames show as a gap, and a repeated or overtaken frame is refused before it is
//! decrypted.
//!
//! | kind | name | payload |
//! |---|---|---|
//! | 0x10 | data | offset u16, acknowledged u16, 1 byte or more of the stream |
//! | 0x11 | acknowledgement | acknowledged u16 |
//! | 0x12 | gap | acknowledged u16, low 16 bits of the counter of the frame that showed the gap |
//! | 0x13 | escape | offset u16, acknowledged u16 |
//!
//! Numbers are big-endian. Offsets are the low 16 bits of positions in the stream of one direction; an escape takes one
//! position.

use super::suite::{FrameKey, Suite};

/// Bytes before the payload.
pub const HEAD: usize = 3;
/// Longest tag.
pub const MAX_TAG: usize = 16;
/// Frames that one direction of a session has at most. Both ends agree on new keys long before.
pub const MAX_FRAMES: u64 = 1 << 32;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The MCU that gives the commands.
    Host,
    /// The ESP-AT module.
    Module,
}

impl Side {
    /// The one at the other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Host => Self::Module,
            Self::Module => Self::Host,
        }
    }

    /// Its bit in the first byte of all that it sends.
    #[must_use]
    pub const fn bit(self) -> u8 {
        match self {
            Self::Host => 0,
            Self::Module => 0x80,
        }
    }

    /// Who sent what begins with `head`.
    #[must_use]
    pub const fn of(head: u8) -> Self {
        if head & 0x80 == 0 { Self::Host } else { Self::Module }
    }
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A piece of the stream.
    Data = 0x10,
    /// How far the stream has arrived.
    Acknowledgement = 0x11,
    /// The same, and that something after it is missing.
    Gap = 0x12,
    /// The end of passthrough.
    Escape = 0x13,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Data, Self::Acknowledgement, Self::Gap, Self::Escape];

    fn of(head: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == head & 0x7f)
    }
}

/// Which session; both ends derive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; 8]);

/// The keys and counters of one end of a session. The keys are wiped when it is dropped.
#[derive(Debug)]
pub struct Session {
    side: Side,
    id: SessionId,
    sending: FrameKey,
    receiving: FrameKey,
    sent: u64,
    received: u64,
    forged: u64,
}

impl Session {
    /// At its beginning. `sending` and `receiving` are of one suite, and no other session has had them.
    #[must_use]
    pub const fn new(side: Side, id: SessionId, sending: FrameKey, receiving: FrameKey) -> Self {
        Self { side, id, sending, receiving, sent: 0, received: 0, forged: 0 }
    }

    /// Which session.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// With which cipher.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.sending.suite()
    }

    /// How many bytes a frame has beyond its payload, before it is delimited.
    #[must_use]
    pub const fn overhead(&self) -> usize {
        HEAD + self.suite().tag_len()
    }

    /// The counter of the next frame that it seals.
    #[must_use]
    pub const fn next_counter(&self) -> u64 {
        self.sent
    }

    /// How much the keys have been used: frames of the busier direction, and tags that did not hold.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.sent.max(self.received).saturating_add(self.forged)
    }

    /// Makes a frame of the payload at `frame[HEAD..HEAD + payload]`, in place, and returns its length.
    ///
    /// # Errors
    /// [`FrameError::Exhausted`] after [`MAX_FRAMES`]; [`FrameError::NoRoom`] if the tag does not fit behind the payload.
    pub fn seal(&mut self, kind: Kind, frame: &mut [u8], payload: usize) -> Result<usize, FrameError> {
        if self.sent >= MAX_FRAMES {
            return Err(FrameError::Exhausted);
        }
        let len = payload.checked_add(self.overhead()).ok_or(FrameError::NoRoom)?;
        let (head, rest) =
            frame.get_mut(..len).and_then(|frame| frame.split_first_chunk_mut()).ok_or(FrameError::NoRoom)?;
        let (data, tag) = rest.split_at_mut(payload);
        let [_, .., high, low] = self.sent.to_be_bytes();
        *head = [kind as u8 | self.side.bit(), high, low];
        self.sending.seal(self.sent, &self.associated(head[0]), data, tag);
        self.sent += 1;
        Ok(len)
    }

    /// Opens a frame in place. Nothing of it counts unless all of it holds.
    ///
    /// # Errors
    /// [`FrameError`], but for [`FrameError::NoRoom`]; then the content of `frame` is to be thrown away.
    pub fn open<'f>(&mut self, frame: &'f mut [u8]) -> Result<Frame<'f>, FrameError> {
        // 1. Shape: head, counter, tag, and what lies between them.
        let len = frame.len();
        let short = FrameError::TooShort { len, least: self.overhead() };
        let (head, rest) = frame.split_first_chunk_mut::<HEAD>().ok_or(short)?;
        let payload = rest.len().checked_sub(self.suite().tag_len()).ok_or(short)?;
        let (data, tag) = rest.split_at_mut(payload);
        let [head, high, low] = *head;
        // 2. From the other side, and of a kind that there is.
        if Side::of(head) == self.side {
            return Err(FrameError::Reflected);
        }
        let kind = Kind::of(head).ok_or(FrameError::UnknownKind(head & 0x7f))?;
        // 3. Newer than all before.
        let [.., expected_high, expected_low] = self.received.to_be_bytes();
        let ahead = u16::from_be_bytes([high, low]).wrapping_sub(u16::from_be_bytes([expected_high, expected_low]));
        if ahead > MOST_LOST {
            return Err(FrameError::Replayed { behind: ahead.wrapping_neg() });
        }
        let counter = self.received.saturating_add(u64::from(ahead));
        if counter >= MAX_FRAMES {
            return Err(FrameError::Exhausted);
        }
        // 4. By who knows the key, for this session, direction and kind, under exactly this counter.
        if !self.receiving.open(counter, &self.associated(head), data, tag) {
            self.forged = self.forged.saturating_add(1);
            return Err(FrameError::NotAuthentic);
        }
        self.received = counter + 1;
        // 5. Its maker keeps to the table above, and so it is only checked now.
        let (fields, rest) = match kind {
            Kind::Data => (2, data.len() > 4),
            Kind::Acknowledgement => (1, data.len() == 2),
            Kind::Gap | Kind::Escape => (2, data.len() == 4),
        };
        if !rest {
            return Err(FrameError::Payload { kind, len: data.len() });
        }
        let number = |at: usize| u16::from_be_bytes([data[2 * at], data[2 * at + 1]]);
        let (first, second) = (number(0), if fields == 2 { number(1) } else { 0 });
        Ok(match kind {
            Kind::Data => Frame::Data { offset: first, acknowledged: second, counter, data: &data[4..] },
            Kind::Acknowledgement => Frame::Acknowledgement { acknowledged: first },
            Kind::Gap => Frame::Gap { acknowledged: first, shown_by: second },
            Kind::Escape => Frame::Escape { offset: first, acknowledged: second, counter },
        })
    }

    fn associated(&self, head: u8) -> [u8; 9] {
        let mut associated = [head; 9];
        associated[..8].copy_from_slice(&self.id.0);
        associated
    }
}

/// An authentic frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A piece of the stream.
    Data {
        /// Where in the stream of its direction, the low 16 bits.
        offset: u16,
        /// How far the other direction's stream has arrived, the low 16 bits.
        acknowledged: u16,
        /// Of the frame.
        counter: u64,
        /// The piece, not empty.
        data: &'a [u8],
    },
    /// How far the stream has arrived.
    Acknowledgement {
        /// The low 16 bits of the position.
        acknowledged: u16,
    },
    /// That something is missing from here on.
    Gap {
        /// The low 16 bits of the position.
        acknowledged: u16,
        /// The low 16 bits of the counter of the frame that came instead.
        shown_by: u16,
    },
    /// The end of passthrough.
    Escape {
        /// Where in the stream of its direction, the low 16 bits.
        offset: u16,
        /// How far the other direction's stream has arrived, the low 16 bits.
        acknowledged: u16,
        /// Of the frame.
        counter: u64,
    },
}

/// Frames that may be lost in a row.
const MOST_LOST: u16 = 32767;

/// Why a frame is not sealed, or is refused. The sender learns nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Too few bytes for a head and a tag.
    #[error("link: a frame of {len} bytes, at least {least}")]
    TooShort {
        /// Its length.
        len: usize,
        /// What the shortest has.
        least: usize,
    },
    /// It came back to its sender.
    #[error("link: a frame of this end, sent back to it")]
    Reflected,
    /// No kind of frame.
    #[error("link: frame of kind {0:#04x}")]
    UnknownKind(u8),
    /// This frame was accepted already, or a later one was.
    #[error("link: a replay, {behind} frames behind")]
    Replayed {
        /// How many.
        behind: u16,
    },
    /// Nobody who knows the key made this for this session, direction, kind and place in the order.
    #[error("link: the tag of a frame does not hold")]
    NotAuthentic,
    /// Authentic, but not as this version has it.
    #[error("link: {kind:?} frame with {len} bytes")]
    Payload {
        /// Of which kind.
        kind: Kind,
        /// Length of its payload.
        len: usize,
    },
    /// The session's counters are used up.
    #[error("link: the session has used up its {MAX_FRAMES} frames")]
    Exhausted,
    /// The buffer ends too early.
    #[error("link: no room for a frame")]
    NoRoom,
}

#[cfg(test)]
pub(super) mod tests;
