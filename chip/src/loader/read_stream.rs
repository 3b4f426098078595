//! The stub's fast read: frames of flash content, each after the one before it was acknowledged, and a digest at the end.
//!
//! Each acknowledgement is a frame with the number of bytes received so far. The host says how many frames may be under
//! way, and the stub takes that for one, whatever it is: the first one did by a mistake, the present one on purpose,
//! because hosts throw away what comes while they acknowledge. Source: esptool 5.6.0 `loader.py`, `read_flash`;
//! esp-flasher-stub 1.1.0 `command_handler.c`.

use super::command::Failure;
use super::slip;
use crate::board::VirtualChip;
use cotter_formats::addr::FlashAddr;
use md5::{Digest, Md5};

pub(super) struct ReadStream {
    next: u32,
    len: u32,
    packet: u32,
    sent: u32,
    acknowledged: u32,
    digest: Md5,
}

/// What is left to do after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The host must acknowledge something first.
    Waiting,
    /// The digest was sent.
    Finished,
}

impl ReadStream {
    pub(super) fn begin(board: &VirtualChip, [offset, len, packet, _in_flight]: [u32; 4]) -> Result<Self, Failure> {
        let inside = offset.checked_add(len).is_some_and(|end| end <= board.raw_flash().size().0);
        if !inside || packet == 0 || packet > PACKET_MAX {
            return Err(Failure::BadLength);
        }
        Ok(Self { next: offset, len, packet, sent: 0, acknowledged: 0, digest: Md5::new() })
    }

    /// Takes an acknowledgement. Anything else ends the stream, as it does the stub's.
    pub(super) fn acknowledge(&mut self, frame: &[u8]) -> Result<(), Failure> {
        let count = frame.first_chunk().map(|count| u32::from_le_bytes(*count)).filter(|_| frame.len() == 4);
        let count = count.filter(|count| (self.acknowledged..=self.sent).contains(count));
        self.acknowledged = count.ok_or(Failure::BadLength)?;
        Ok(())
    }

    /// Appends the next frame if it is its turn, and `out` is shorter than `limit`.
    pub(super) fn fill(&mut self, board: &VirtualChip, limit: usize, out: &mut Vec<u8>) -> Result<Progress, Failure> {
        if self.sent < self.len && self.acknowledged == self.sent && out.len() < limit {
            let len = self.packet.min(self.len - self.sent);
            let mut content = vec![0; len as usize];
            board.raw_flash().read_at(FlashAddr(self.next), &mut content).map_err(Failure::of_read)?;
            self.digest.update(&content);
            slip::encode(content, out);
            self.next += len;
            self.sent += len;
        }
        if self.acknowledged < self.len {
            return Ok(Progress::Waiting);
        }
        slip::encode(self.digest.clone().finalize(), out);
        Ok(Progress::Finished)
    }
}

/// The most that goes into one frame.
const PACKET_MAX: u32 = 0x1000;
