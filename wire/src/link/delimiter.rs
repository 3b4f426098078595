//! Where frames begin and end on a wire that loses, inserts and changes bytes: COBS, with zero between frames.
//!
//! Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999) writes a frame without any zero byte: code bytes say how
//! far the next one is, one byte more for each 254 begun. So whatever came before, the byte after a zero begins a frame.
//! What was damaged is handed over damaged, and its tag refuses it.

use zeroize::Zeroize;

/// What stands between two frames.
pub const DELIMITER: u8 = 0;

/// Most bytes that a frame of `len` bytes takes on the wire, delimiters on both sides included.
#[must_use]
pub const fn wire_len(len: usize) -> usize {
    len + stuffing(len) + 2
}

/// Where in a buffer a frame of at most `len` bytes is to be written for [`delimit`].
#[must_use]
pub const fn room(len: usize) -> usize {
    stuffing(len) + 1
}

const fn stuffing(len: usize) -> usize {
    1 + len / LONGEST_RUN
}

/// Turns the frame at `buffer[start..start + len]` into what goes over the wire, in place: with a delimiter behind it, and
/// one before it if `lead`. `start` is at least [`room`] of `len`, and one byte must follow the frame. Returns the beginning
/// of `buffer`; `None` if there is not enough room.
#[must_use]
pub fn delimit(buffer: &mut [u8], start: usize, len: usize, lead: bool) -> Option<&[u8]> {
    let end = start.checked_add(len)?;
    if start < room(len) || end >= buffer.len() {
        return None;
    }
    let mut at = 0;
    if lead {
        buffer[at] = DELIMITER;
        at += 1;
    }
    // 1. Each code byte is written when its run ends; writing never overtakes reading.
    let mut code_at = at;
    at += 1;
    let mut run = 0;
    for from in start..end {
        let byte = buffer[from];
        if byte != DELIMITER {
            buffer[at] = byte;
            at += 1;
            run += 1;
        }
        // 2. A run ends at a zero, which the code stands for, or at its full length, with nothing left out.
        if byte == DELIMITER || (run == LONGEST_RUN && from + 1 < end) {
            buffer[code_at] = code(run);
            code_at = at;
            at += 1;
            run = 0;
        }
    }
    buffer[code_at] = code(run);
    buffer[at] = DELIMITER;
    buffer.get(..=at)
}

fn code(run: usize) -> u8 {
    u8::try_from(run + 1).expect("a run has at most 254 bytes")
}

/// Finds the frames in what comes from the wire. `N` is the longest frame that it takes.
pub struct Undelimiter<const N: usize> {
    frame: [u8; N],
    len: usize,
    /// Bytes until the next code byte; none at the start of a frame.
    run: Option<u8>,
    /// Whether a zero belongs before the next run.
    zero: bool,
    broken: Option<DelimiterError>,
}

impl<const N: usize> Undelimiter<N> {
    /// At the start of a frame.
    #[must_use]
    pub const fn new() -> Self {
        Self { frame: [0; N], len: 0, run: None, zero: false, broken: None }
    }

    /// Takes one byte; at the end of a frame, says how long it is. [`Self::frame`] has it until the next byte comes.
    /// Nothing between two delimiters is no frame.
    ///
    /// # Errors
    /// [`DelimiterError`] at the end of what cannot be a frame. The next one is not touched by that.
    pub fn push(&mut self, byte: u8) -> Result<Option<usize>, DelimiterError> {
        if byte == DELIMITER {
            return self.end();
        }
        match self.run {
            Some(left) if left > 0 => {
                self.append(byte);
                self.run = Some(left - 1);
            }
            _ => {
                if self.run.is_none() {
                    self.len = 0;
                }
                if self.zero {
                    self.append(DELIMITER);
                }
                self.run = Some(byte - 1);
                self.zero = usize::from(byte) <= LONGEST_RUN;
            }
        }
        Ok(None)
    }

    /// The frame that has just ended, in place.
    #[must_use]
    pub fn frame(&mut self) -> &mut [u8] {
        &mut self.frame[..self.len]
    }

    fn end(&mut self) -> Result<Option<usize>, DelimiterError> {
        let (run, broken) = (self.run.take(), self.broken.take());
        self.zero = false;
        match (run, broken) {
            (None, _) => Ok(None),
            (_, Some(error)) => Err(error),
            (Some(0), None) => Ok(Some(self.len)),
            (Some(missing), None) => Err(DelimiterError::CutShort { missing }),
        }
    }

    fn append(&mut self, byte: u8) {
        match self.frame.get_mut(self.len) {
            Some(place) => {
                *place = byte;
                self.len += 1;
            }
            None => self.broken = Some(DelimiterError::TooLong { most: N }),
        }
    }
}

impl<const N: usize> core::fmt::Debug for Undelimiter<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Undelimiter({} bytes)", self.len)
    }
}

/// What was in a frame may have been a password.
impl<const N: usize> Drop for Undelimiter<N> {
    fn drop(&mut self) {
        self.frame.zeroize();
    }
}

impl<const N: usize> Default for Undelimiter<N> {
    fn default() -> Self {
        Self::new()
    }
}

const LONGEST_RUN: usize = 254;

/// Why what came between two delimiters is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DelimiterError {
    /// More bytes than any frame has.
    #[error("link: more than {most} bytes without an end of frame")]
    TooLong {
        /// How many there may be.
        most: usize,
    },
    /// A zero where a frame's byte belongs: one of them was lost or changed.
    #[error("link: a frame ends {missing} bytes early")]
    CutShort {
        /// How many its last code byte promised beyond.
        missing: u8,
    },
}

#[cfg(test)]
mod tests;
