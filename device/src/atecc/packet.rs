//! A command as one write transaction: its word address, then the packet.

use super::refusal::Error;
use core::fmt;
use cotter_formats::atecc::packet::{COMMAND_MAX, COMMAND_MIN};
use cotter_formats::atecc::{Command, Opcode};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Room for the longest command. Keys may be in it, so it is wiped when it is done with.
pub struct Packet {
    bytes: [u8; 1 + COMMAND_MAX],
    len: usize,
    opcode: Opcode,
}

impl Packet {
    /// No command yet.
    pub(super) const fn new() -> Self {
        Self { bytes: [0; 1 + COMMAND_MAX], len: 0, opcode: Opcode::INFO }
    }

    /// Writes a command whose data are `pieces`, one after the other.
    ///
    /// # Errors
    /// [`Error::TooLong`].
    pub fn fill(&mut self, opcode: Opcode, param1: u8, param2: u16, pieces: &[&[u8]]) -> Result<(), Error> {
        let mut data = Zeroizing::new([0; COMMAND_MAX - COMMAND_MIN]);
        let mut len = 0;
        for piece in pieces {
            let room = data.get_mut(len..len + piece.len()).ok_or(Error::TooLong)?;
            room.copy_from_slice(piece);
            len += piece.len();
        }
        let [word_address, packet @ ..] = &mut self.bytes;
        *word_address = COMMAND;
        let data = data.get(..len).ok_or(Error::TooLong)?;
        self.len = 1 + Command { opcode, param1, param2, data }.write(packet).ok_or(Error::TooLong)?;
        self.opcode = opcode;
        Ok(())
    }

    /// What goes over the bus.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// What the command is.
    #[must_use]
    pub const fn opcode(&self) -> Opcode {
        self.opcode
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packet({:?}, {} bytes)", self.opcode, self.len)
    }
}

impl Zeroize for Packet {
    fn zeroize(&mut self) {
        self.bytes.zeroize();
        self.len = 0;
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        self.zeroize();
    }
}

impl ZeroizeOnDrop for Packet {}

/// The word address that a command follows.
const COMMAND: u8 = 3;
