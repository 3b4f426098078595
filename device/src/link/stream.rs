//! What was sent and not yet acknowledged: a window onto a stream of bytes that arrives whole and in order, or is sent again.
//!
//! Everything after a gap is sent again (go-back-N), so the receiver needs no memory. Pieces become shorter when they do not
//! arrive and longer when they do, as a short frame passes a noisy wire more often.

use zeroize::Zeroize;

/// Positions are sent with 16 bits, and half of them tell what is ahead from what is behind.
pub(super) const MAX_WINDOW: usize = 32_767;
/// The shortest piece that is chosen because of noise.
const LEAST_PIECE: usize = 16;
/// So many pieces in a row must arrive until a longer one is tried.
const CALM: u8 = 8;

/// The sending half of a stream. Its bytes are wiped when it is dropped.
pub(super) struct Outgoing<const WINDOW: usize> {
    /// The byte of position p is at p modulo `WINDOW`.
    ring: [u8; WINDOW],
    /// Positions up to here have arrived.
    acknowledged: u64,
    /// From here on it is sent next.
    next: u64,
    /// Up to here it was sent once at least.
    furthest: u64,
    /// The end of what there is.
    end: u64,
    /// The position of an escape, which has a byte in the ring that does not count.
    escape: Option<u64>,
    /// How long a piece is at most, because of noise.
    piece: usize,
    calm: u8,
    /// A gap shown by a frame before this one is known already.
    went_back_at: u64,
}

/// What is to be sent next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// So many bytes, copied into the caller's buffer.
    Data { offset: u16, len: usize },
    /// The escape.
    Escape { offset: u16 },
}

impl<const WINDOW: usize> Outgoing<WINDOW> {
    pub(super) const fn new() -> Self {
        const { assert!(WINDOW > 0 && WINDOW <= MAX_WINDOW, "a window has 1 to 32767 bytes") };
        Self {
            ring: [0; WINDOW],
            acknowledged: 0,
            next: 0,
            furthest: 0,
            end: 0,
            escape: None,
            piece: WINDOW,
            calm: 0,
            went_back_at: 0,
        }
    }

    /// Takes as much as there is room for, and says how much.
    pub(super) fn push(&mut self, plain: &[u8]) -> usize {
        let taken = plain.len().min(self.room());
        for byte in &plain[..taken] {
            self.ring[place::<WINDOW>(self.end)] = *byte;
            self.end += 1;
        }
        taken
    }

    /// Takes an escape; false if there is no room, or one is under way already.
    pub(super) fn push_escape(&mut self) -> bool {
        let taken = self.escape.is_none() && self.room() > 0;
        if taken {
            self.escape = Some(self.end);
            self.end += 1;
        }
        taken
    }

    /// How many bytes it takes now.
    pub(super) fn room(&self) -> usize {
        WINDOW - usize::try_from(self.end - self.acknowledged).unwrap_or(WINDOW)
    }

    /// Whether all has arrived.
    pub(super) const fn is_empty(&self) -> bool {
        self.acknowledged == self.end
    }

    /// Whether something was sent that has not arrived.
    pub(super) const fn is_under_way(&self) -> bool {
        self.acknowledged < self.next
    }

    /// The next piece, of as many bytes as fit into `out`; true if it was sent before.
    pub(super) fn take(&mut self, out: &mut [u8]) -> Option<(Piece, bool)> {
        if self.next == self.end {
            return None;
        }
        let (offset, again) = (low16(self.next), self.next < self.furthest);
        if self.escape == Some(self.next) {
            self.sent(1);
            return Some((Piece::Escape { offset }, again));
        }
        let until = self.escape.filter(|at| *at > self.next).unwrap_or(self.end);
        let there = usize::try_from(until - self.next).unwrap_or(WINDOW);
        let len = there.min(out.len()).min(self.piece);
        for (at, byte) in (self.next..).zip(&mut out[..len]) {
            *byte = self.ring[place::<WINDOW>(at)];
        }
        self.sent(len);
        (len > 0).then_some((Piece::Data { offset, len }, again))
    }

    /// Takes an acknowledgement; true if it says something new.
    pub(super) fn acknowledge(&mut self, position: u16, longest_piece: usize) -> bool {
        let ahead = u64::from(position.wrapping_sub(low16(self.acknowledged)));
        if ahead == 0 || ahead > self.furthest - self.acknowledged {
            return false;
        }
        // What has arrived is needed no longer.
        for at in self.acknowledged..self.acknowledged + ahead {
            self.ring[place::<WINDOW>(at)] = 0;
        }
        self.acknowledged += ahead;
        self.next = self.next.max(self.acknowledged);
        self.escape = self.escape.filter(|at| *at >= self.acknowledged);
        self.calm += 1;
        if self.calm >= CALM {
            self.calm = 0;
            self.piece = self.piece.saturating_mul(2).min(longest_piece);
        }
        true
    }

    /// Sends again what has not arrived, in shorter pieces.
    pub(super) fn go_back(&mut self, next_counter: u64, longest_piece: usize) {
        self.next = self.acknowledged;
        self.went_back_at = next_counter;
        self.calm = 0;
        self.piece = (self.piece.min(longest_piece) / 2).max(LEAST_PIECE);
    }

    /// Whether a gap that was shown by the frame with this counter is news: whether that frame was sent after the last
    /// time that this went back. `next_counter` is that of the next frame to be sent.
    pub(super) fn is_news(&self, shown_by: u16, next_counter: u64) -> bool {
        let ago = u64::from(low16(next_counter).wrapping_sub(shown_by));
        ago <= next_counter - self.went_back_at.min(next_counter) && self.acknowledged < self.next
    }

    /// In a new session everything is sent again that has not arrived, with counters from 0.
    pub(super) const fn carry_over(&mut self) {
        self.next = self.acknowledged;
        self.went_back_at = 0;
    }

    fn sent(&mut self, len: usize) {
        self.next += u64::try_from(len).unwrap_or_default();
        self.furthest = self.furthest.max(self.next);
    }
}

impl<const WINDOW: usize> core::fmt::Debug for Outgoing<WINDOW> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Outgoing(acknowledged {}, next {}, end {})", self.acknowledged, self.next, self.end)
    }
}

impl<const WINDOW: usize> Drop for Outgoing<WINDOW> {
    fn drop(&mut self) {
        self.ring.zeroize();
    }
}

/// The receiving half of a stream: how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Incoming {
    expected: u64,
}

/// What a piece means to the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Its bytes from here on are new, and in order.
    New { skip: usize },
    /// All of it was there already.
    Known,
    /// Something before it is missing.
    Gap,
}

impl Incoming {
    /// A piece of `len` positions at `offset`; what is new counts as arrived.
    pub(super) fn arrive(&mut self, offset: u16, len: usize) -> Arrival {
        let behind = usize::from(low16(self.expected).wrapping_sub(offset));
        if behind > MAX_WINDOW {
            return Arrival::Gap;
        }
        if behind >= len {
            return Arrival::Known;
        }
        self.expected += u64::try_from(len - behind).unwrap_or_default();
        Arrival::New { skip: behind }
    }

    /// The low 16 bits of how far it has come.
    pub(super) const fn acknowledged(self) -> u16 {
        low16(self.expected)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are what is asked for")]
const fn low16(number: u64) -> u16 {
    number as u16
}

fn place<const WINDOW: usize>(position: u64) -> usize {
    let window = u64::try_from(WINDOW).unwrap_or(u64::MAX);
    usize::try_from(position % window).unwrap_or_default()
}

#[cfg(test)]
mod tests;
