//! Commands of the serial loader: what a request frame says, and how it is answered.
//!
//! Source: esptool 5.6.0 `esptool/loader.py`, `docs/en/advanced-topics/serial-protocol.rst`.

use super::slip;
use crate::flash::FlashError;

/// The operation that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op(pub u8);

#[allow(missing_docs, reason = "the protocol's own names")]
impl Op {
    pub const FLASH_BEGIN: Self = Self(0x02);
    pub const FLASH_DATA: Self = Self(0x03);
    pub const FLASH_END: Self = Self(0x04);
    pub const MEM_BEGIN: Self = Self(0x05);
    pub const MEM_END: Self = Self(0x06);
    pub const MEM_DATA: Self = Self(0x07);
    pub const SYNC: Self = Self(0x08);
    pub const WRITE_REG: Self = Self(0x09);
    pub const READ_REG: Self = Self(0x0a);
    pub const SPI_SET_PARAMS: Self = Self(0x0b);
    pub const SPI_ATTACH: Self = Self(0x0d);
    pub const READ_FLASH_SLOW: Self = Self(0x0e);
    pub const CHANGE_BAUDRATE: Self = Self(0x0f);
    pub const FLASH_DEFL_BEGIN: Self = Self(0x10);
    pub const FLASH_DEFL_DATA: Self = Self(0x11);
    pub const FLASH_DEFL_END: Self = Self(0x12);
    pub const SPI_FLASH_MD5: Self = Self(0x13);
    pub const GET_SECURITY_INFO: Self = Self(0x14);
    pub const ERASE_FLASH: Self = Self(0xd0);
    pub const ERASE_REGION: Self = Self(0xd1);
    pub const READ_FLASH: Self = Self(0xd2);
    pub const RUN_USER_CODE: Self = Self(0xd3);
    pub const FLASH_ENCRYPT_DATA: Self = Self(0xd4);

    /// True if secure download mode knows it: flash can be written and that is all.
    /// Source: ESP-IDF 6.2-dev `docs/en/security/security-features-enablement-workflows.rst` and esptool 5.6.0, which
    /// in this mode sends nothing else. Erasing goes through `FLASH_BEGIN`.
    #[must_use]
    pub const fn is_known_to_secure_mode(self) -> bool {
        matches!(
            self,
            Self::SYNC
                | Self::GET_SECURITY_INFO
                | Self::FLASH_BEGIN
                | Self::FLASH_DATA
                | Self::FLASH_END
                | Self::FLASH_DEFL_BEGIN
                | Self::FLASH_DEFL_DATA
                | Self::FLASH_DEFL_END
                | Self::SPI_SET_PARAMS
                | Self::SPI_ATTACH
                | Self::CHANGE_BAUDRATE
        )
    }
}

/// A request frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub(super) op: Op,
    pub(super) checksum: u32,
    pub(super) data: &'a [u8],
}

impl<'a> Request<'a> {
    /// `None` if this is no request, or one that lies about its length: the loader waits for a better one.
    pub(super) fn parse(frame: &'a [u8]) -> Option<Self> {
        let (header, data) = frame.split_first_chunk::<8>()?;
        let [0, op, len_low, len_high, checksum @ ..] = *header else { return None };
        let request = Self { op: Op(op), checksum: u32::from_le_bytes(checksum), data };
        (usize::from(u16::from_le_bytes([len_low, len_high])) == data.len()).then_some(request)
    }

    /// The data as exactly `N` words.
    pub(super) fn words<const N: usize>(&self) -> Result<[u32; N], Failure> {
        let (words, rest) = words::<N>(self.data).ok_or(Failure::BadLength)?;
        if rest.is_empty() { Ok(words) } else { Err(Failure::BadLength) }
    }

    /// The data as `N` words, and one more which older chips do not know.
    pub(super) fn words_and_flag<const N: usize>(&self) -> Result<([u32; N], u32), Failure> {
        match words::<N>(self.data).ok_or(Failure::BadLength)? {
            (words, []) => Ok((words, 0)),
            (words, [a, b, c, d]) => Ok((words, u32::from_le_bytes([*a, *b, *c, *d]))),
            _ => Err(Failure::BadLength),
        }
    }

    /// The block of a `*_DATA` command: its sequence number and content, checked.
    pub(super) fn block(&self) -> Result<(u32, &'a [u8]), Failure> {
        let ([len, sequence, ..], content) = words::<4>(self.data).ok_or(Failure::BadLength)?;
        if len as usize != content.len() {
            return Err(Failure::BadLength);
        }
        if u32::from(content.iter().fold(CHECKSUM_SEED, |sum, byte| sum ^ byte)) != self.checksum {
            return Err(Failure::BadChecksum);
        }
        Ok((sequence, content))
    }
}

/// What is answered to a request, the operation aside.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) value: u32,
    pub(super) payload: Vec<u8>,
}

impl Answer {
    pub(super) const DONE: Self = Self::of_value(0);

    pub(super) const fn of_value(value: u32) -> Self {
        Self { value, payload: Vec::new() }
    }

    pub(super) const fn of_payload(payload: Vec<u8>) -> Self {
        Self { value: 0, payload }
    }
}

/// Why a command was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No such command, or not in this mode.
    UnknownCommand,
    /// The request is too long or too short.
    BadLength,
    /// The block differs from its checksum.
    BadChecksum,
    /// Block of another size than announced, or out of sequence.
    BadBlock,
    /// A block without a beginning.
    NotWriting,
    /// The flash refused, or lies elsewhere.
    FlashWrite,
    /// As above, reading.
    FlashRead,
    /// More than 64 bytes at once.
    ReadLength,
    /// The stream is no zlib stream.
    Inflate,
    /// The stream ended before all was written.
    NotEnough,
    /// The stream is longer than announced.
    TooMuch,
    /// The chip does not do this.
    Forbidden,
    /// No power any more: there is no answer at all.
    PowerLost,
}

impl Failure {
    /// The second status byte. ROM: serial-protocol.rst, "Status"; stub: esptool 5.6.0 `esptool/util.py`, which shows
    /// its code as the first byte of two.
    const fn status(self, speaker: Speaker) -> [u8; 2] {
        match speaker {
            Speaker::Rom => {
                let code = match self {
                    Self::UnknownCommand | Self::BadLength => 0x05,
                    Self::BadBlock | Self::NotWriting | Self::Forbidden | Self::PowerLost => 0x06,
                    Self::BadChecksum => 0x07,
                    Self::FlashWrite => 0x08,
                    Self::FlashRead => 0x09,
                    Self::ReadLength => 0x0a,
                    Self::Inflate | Self::NotEnough | Self::TooMuch => 0x0b,
                };
                [1, code]
            }
            Speaker::Stub => {
                let code = match self {
                    Self::BadLength | Self::ReadLength => 0xc0,
                    Self::BadChecksum => 0xc1,
                    Self::BadBlock => 0xc2,
                    Self::UnknownCommand => 0xc3,
                    Self::FlashWrite | Self::FlashRead | Self::Forbidden | Self::PowerLost => 0xc4,
                    Self::NotWriting => 0xc6,
                    Self::Inflate => 0xc7,
                    Self::NotEnough => 0xc8,
                    Self::TooMuch => 0xc9,
                };
                [code, 0]
            }
        }
    }

    pub(super) fn of_write(error: FlashError) -> Self {
        if error == FlashError::PowerLost { Self::PowerLost } else { Self::FlashWrite }
    }

    pub(super) fn of_read(error: FlashError) -> Self {
        if error == FlashError::PowerLost { Self::PowerLost } else { Self::FlashRead }
    }
}

impl From<crate::fault::PowerLost> for Failure {
    fn from(crate::fault::PowerLost: crate::fault::PowerLost) -> Self {
        Self::PowerLost
    }
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    /// The mask ROM: four status bytes.
    Rom,
    /// The flasher stub in RAM: two.
    Stub,
}

/// Appends the frame of an answer.
///
/// Not observed: which operation the ROM names in its answer to a command that it does not know. esptool 5.6.0 takes
/// the command for unknown only if it is another than it asked for, so it is 0 here.
pub(super) fn answer(op: Op, answer: Result<&Answer, Failure>, speaker: Speaker, out: &mut Vec<u8>) {
    let (value, payload, status) = match answer {
        Ok(answer) => (answer.value, answer.payload.as_slice(), [0; 2]),
        Err(failure) => (0, &[] as &[u8], failure.status(speaker)),
    };
    let is_unknown = answer == Err(Failure::UnknownCommand) && speaker == Speaker::Rom;
    let op = if is_unknown { Op(0) } else { op };
    let status: &[u8] = match speaker {
        Speaker::Rom => &[status[0], status[1], 0, 0],
        Speaker::Stub => &status,
    };
    let len = u16::try_from(payload.len() + status.len()).expect("answers are short").to_le_bytes();
    let header = [1, op.0, len[0], len[1]].into_iter().chain(value.to_le_bytes());
    slip::encode(header.chain(payload.iter().chain(status).copied()), out);
}

/// What the XOR over a block begins with.
const CHECKSUM_SEED: u8 = 0xef;

/// The first `N` little-endian words, and the rest.
pub(super) fn words<const N: usize>(bytes: &[u8]) -> Option<([u32; N], &[u8])> {
    let (head, rest) = bytes.split_at_checked(4 * N)?;
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(head.chunks_exact(4)) {
        *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    Some((words, rest))
}
