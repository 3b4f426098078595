//! What a plan is applied to: a part that executes commands, on a bus or simulated.

use cotter_formats::atecc::{BLOCK_LEN, CONFIG_LEN, Command, ConfigZone, Opcode, Slot, Status};
use cotter_formats::secret::Secret;
use sha2::{Digest, Sha256};

/// A part.
pub trait ElementWorkpiece {
    /// What goes wrong on the way to it.
    type Error: std::error::Error + 'static;

    /// Executes one command and returns the payload of its answer, which may be a status.
    ///
    /// # Errors
    /// When no answer arrived; the command was then executed or it was not.
    fn execute(&mut self, command: &Command<'_>, repeat: Repeat) -> Result<Vec<u8>, Self::Error>;
}

/// Whether a command may be sent again when its answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Twice is as good as once.
    Safe,
    /// Twice is not.
    Never,
}

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CommandError<E: std::error::Error + 'static> {
    /// No answer.
    #[error(transparent)]
    Part(E),
    /// The part says no.
    #[error("the part refuses {command}: status {:02x}", .status.0)]
    Refused {
        /// Which command.
        command: &'static str,
        /// What it says.
        status: Status,
    },
    /// Not as long as answers to it are.
    #[error("the answer to {command} has {got} bytes")]
    Length {
        /// Which command.
        command: &'static str,
        /// Of the payload.
        got: usize,
    },
}

impl<E: std::error::Error + 'static> CommandError<E> {
    /// The status, if the part said no.
    #[must_use]
    pub const fn status(&self) -> Option<Status> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Part(_) | Self::Length { .. } => None,
        }
    }
}

/// Commands as a personalisation needs them.
pub(super) struct Commands<'w, W>(pub(super) &'w mut W);

type Answer<T, W> = Result<T, CommandError<<W as ElementWorkpiece>::Error>>;

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockOf {
    Otp,
    Slot(Slot),
}

impl BlockOf {
    const fn mode(self) -> u8 {
        match self {
            Self::Otp => 1,
            Self::Slot(_) => 2,
        }
    }

    fn address(self, block: u8) -> u16 {
        match self {
            Self::Otp => u16::from(block) << 3,
            Self::Slot(slot) => u16::from(block) << 8 | u16::from(slot.number()) << 3,
        }
    }
}

impl<W: ElementWorkpiece> Commands<'_, W> {
    pub(super) fn config(&mut self) -> Answer<ConfigZone, W> {
        let mut zone = ConfigZone([0; CONFIG_LEN]);
        for (block, to) in (0_u16..).zip(zone.0.chunks_exact_mut(BLOCK_LEN)) {
            let content = self.expect::<BLOCK_LEN>("Read", (Opcode::READ, BLOCK, block << 3, &[]), Repeat::Safe)?;
            to.copy_from_slice(&content);
        }
        Ok(zone)
    }

    pub(super) fn write_config_word(&mut self, word: u8, value: [u8; 4]) -> Answer<(), W> {
        self.succeed("Write", (Opcode::WRITE, 0, u16::from(word), &value), Repeat::Safe)
    }

    pub(super) fn write_block(&mut self, of: BlockOf, block: u8, value: &[u8; BLOCK_LEN]) -> Answer<(), W> {
        self.succeed("Write", (Opcode::WRITE, BLOCK | of.mode(), of.address(block), value), Repeat::Safe)
    }

    pub(super) fn read_block(&mut self, of: BlockOf, block: u8) -> Answer<[u8; BLOCK_LEN], W> {
        self.expect("Read", (Opcode::READ, BLOCK | of.mode(), of.address(block), &[]), Repeat::Safe)
    }

    /// All of a slot that everybody reads.
    pub(super) fn read_slot(&mut self, slot: Slot) -> Answer<Vec<u8>, W> {
        let mut content = Vec::with_capacity(slot.len());
        for block in (0..).take(slot.len().div_ceil(BLOCK_LEN)) {
            content.extend(self.read_block(BlockOf::Slot(slot), block)?);
        }
        content.truncate(slot.len());
        Ok(content)
    }

    pub(super) fn lock_config(&mut self, sum: u16) -> Answer<(), W> {
        self.succeed("Lock", (Opcode::LOCK, 0, sum, &[]), Repeat::Never)
    }

    pub(super) fn lock_data(&mut self, sum: u16) -> Answer<(), W> {
        self.succeed("Lock", (Opcode::LOCK, 1, sum, &[]), Repeat::Never)
    }

    pub(super) fn lock_slot(&mut self, slot: Slot) -> Answer<(), W> {
        self.succeed("Lock", (Opcode::LOCK, 2 | slot.number() << 2, 0, &[]), Repeat::Never)
    }

    pub(super) fn create_key(&mut self, slot: Slot) -> Answer<[u8; 64], W> {
        self.expect("GenKey", (Opcode::GEN_KEY, 4, slot.number().into(), &[]), Repeat::Never)
    }

    pub(super) fn public_key(&mut self, slot: Slot) -> Answer<[u8; 64], W> {
        self.expect("GenKey", (Opcode::GEN_KEY, 0, slot.number().into(), &[]), Repeat::Safe)
    }

    /// R and S over a digest, by way of `TempKey` or, on the ATECC608, the digest buffer.
    pub(super) fn sign(&mut self, slot: Slot, digest: &[u8; 32], buffer: DigestBuffer) -> Answer<[u8; 64], W> {
        let (load, sign) = match buffer {
            DigestBuffer::TempKey => (0x03, 0x80),
            DigestBuffer::Message => (0x43, 0xa0),
        };
        // A seed for the random number that the signature needs.
        self.expect::<32>("Random", (Opcode::RANDOM, 0, 0, &[]), Repeat::Safe)?;
        self.succeed("Nonce", (Opcode::NONCE, load, 0, digest), Repeat::Safe)?;
        self.expect("Sign", (Opcode::SIGN, sign, slot.number().into(), &[]), Repeat::Never)
    }

    /// A MAC over a nonce that neither side chose alone, and the nonce: `TempKey` as it goes into [`mac`].
    pub(super) fn mac(&mut self, slot: Slot, input: &[u8; 20]) -> Answer<([u8; 32], [u8; 32]), W> {
        let random = self.expect::<32>("Nonce", (Opcode::NONCE, 0, 0, input), Repeat::Safe)?;
        let nonce = Sha256::new().chain_update(random).chain_update(input).chain_update([Opcode::NONCE.0, 0, 0]);
        let mac = self.expect("MAC", (Opcode::MAC, MAC_MODE, slot.number().into(), &[]), Repeat::Never)?;
        Ok((nonce.finalize().into(), mac))
    }

    pub(super) fn expect<const N: usize>(
        &mut self,
        command: &'static str,
        parts: (Opcode, u8, u16, &[u8]),
        repeat: Repeat,
    ) -> Answer<[u8; N], W> {
        let (opcode, param1, param2, data) = parts;
        let answer = self.0.execute(&Command { opcode, param1, param2, data }, repeat).map_err(CommandError::Part)?;
        match (answer.first_chunk::<N>(), answer.as_slice()) {
            (Some(payload), whole) if whole.len() == N => Ok(*payload),
            (_, &[status]) => Err(CommandError::Refused { command, status: Status(status) }),
            (_, whole) => Err(CommandError::Length { command, got: whole.len() }),
        }
    }

    pub(super) fn succeed(
        &mut self,
        command: &'static str,
        parts: (Opcode, u8, u16, &[u8]),
        repeat: Repeat,
    ) -> Answer<(), W> {
        match self.expect::<1>(command, parts, repeat)? {
            [0] => Ok(()),
            [status] => Err(CommandError::Refused { command, status: Status(status) }),
        }
    }
}

/// Where a digest goes that is to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DigestBuffer {
    /// On the ATECC508A.
    TempKey,
    /// The message digest buffer of the ATECC608.
    Message,
}

/// What `MAC` answers with that key. Source: DS20005927A section 9.11.
pub(super) fn mac(key: &Secret<32>, nonce: &[u8; 32], slot: Slot, serial: &[u8; 9]) -> Secret<32> {
    let [first, second, .., last] = serial;
    let hash = Sha256::new()
        .chain_update(key.expose())
        .chain_update(nonce)
        .chain_update([Opcode::MAC.0, MAC_MODE, slot.number(), 0])
        .chain_update([0; 11])
        .chain_update([*last, 0, 0, 0, 0, *first, *second, 0, 0]);
    Secret::filled_by(|out| out.copy_from_slice(&hash.finalize()))
}

const BLOCK: u8 = 0x80;

/// The second half of the message is `TempKey`, out of the random number generator.
const MAC_MODE: u8 = 0x01;
