//! Which part it is.

use super::command::MessageBuffer;
use super::command::info::Revision;
use super::command::zone::{ReadBlock, Zone};
use super::packet::Packet;
use super::procedure::{Procedure, Request, Step, send};
use super::refusal::Error;
use cotter_formats::atecc::config::ClockDivider;

/// The parts that this driver knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// `RevNum` 00 00 50 xx.
    Atecc508A,
    /// `RevNum` 00 00 60 02 and below.
    Atecc608A,
    /// `RevNum` 00 00 60 03 and above.
    Atecc608B,
}

impl Model {
    /// From a revision.
    ///
    /// # Errors
    /// [`Error::Revision`].
    pub const fn from_revision(revision: [u8; 4]) -> Result<Self, Error> {
        match revision {
            [0, 0, 0x50, _] => Ok(Self::Atecc508A),
            [0, 0, 0x60, 0..=2] => Ok(Self::Atecc608A),
            [0, 0, 0x60, _] => Ok(Self::Atecc608B),
            _ => Err(Error::Revision(revision)),
        }
    }

    /// Where a digest goes that is to be signed or verified.
    #[must_use]
    pub const fn message_buffer(self) -> MessageBuffer {
        match self {
            Self::Atecc508A => MessageBuffer::TempKey,
            Self::Atecc608A | Self::Atecc608B => MessageBuffer::Digest,
        }
    }
}

/// SN<0:8>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SerialNumber(pub [u8; 9]);

impl SerialNumber {
    /// SN<8>, SN<0:1>: those that all parts of a customer have in common, as every hash has them.
    #[must_use]
    pub const fn common(self) -> [u8; 3] {
        [self.0[8], self.0[0], self.0[1]]
    }
}

/// A part as it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which one.
    pub model: Model,
    /// `RevNum`.
    pub revision: [u8; 4],
    /// Unique.
    pub serial: SerialNumber,
    /// How slow it computes.
    pub clock: ClockDivider,
    /// Whether the AES command is there.
    pub has_aes: bool,
}

/// Asks the part what it is. Everybody may, and everybody on the bus can answer: it proves nothing.
#[derive(Debug, Default)]
pub struct Identify(Option<[u8; 4]>);

impl Procedure for Identify {
    type Output = Part;

    fn step(&mut self, answer: Option<&[u8]>, packet: &mut Packet) -> Result<Step<Part>, Error> {
        let block = ReadBlock { zone: Zone::Config, block: 0 };
        match (answer, self.0) {
            (None, _) => {
                self.0 = None;
                send(&Revision, packet)
            }
            (Some(answer), None) => {
                let revision = Revision.decode(answer)?;
                Model::from_revision(revision)?;
                self.0 = Some(revision);
                send(&block, packet)
            }
            (Some(answer), Some(revision)) => {
                let zone = block.decode(answer)?;
                let model = Model::from_revision(revision)?;
                let [a, b, c, d, _, _, _, _, e, f, g, h, i, aes, ..] = zone;
                let serial = SerialNumber([a, b, c, d, e, f, g, h, i]);
                let has_aes = model != Model::Atecc508A && aes & 1 != 0;
                Ok(Step::Done(Part { model, revision, serial, clock: ClockDivider(zone[19] >> 3), has_aes }))
            }
        }
    }
}
