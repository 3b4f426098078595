//! Packets as they go over the bus, and their CRC.
//!
//! A command is count, opcode, param1, param2 (little-endian), data, CRC; an answer is count, payload, CRC. The count
//! covers itself and the CRC. Source: DS20005927A sections 9.1 and 9.1.1.

/// A command whose count and CRC hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// What to do.
    pub opcode: Opcode,
    /// Mode or zone.
    pub param1: u8,
    /// Slot, address or length.
    pub param2: u16,
    /// What follows, at most 148 bytes.
    pub data: &'a [u8],
}

/// The shortest command: count, opcode, two parameters, CRC.
pub const COMMAND_MIN: usize = 7;

/// The longest one.
pub const COMMAND_MAX: usize = 155;

/// The longest payload of an answer: an SHA-256 context.
pub const PAYLOAD_MAX: usize = 99;

/// Count and CRC.
pub const OVERHEAD: usize = 3;

impl<'a> Command<'a> {
    /// Reads a command; `bytes` are count to CRC, nothing more.
    ///
    /// # Errors
    /// [`PacketError`]; a part answers [`Status::COMMUNICATION`] to each of them.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let (count, len) = (bytes.first().copied().unwrap_or(0), bytes.len());
        if usize::from(count) != len {
            return Err(PacketError::Count { count, len });
        }
        if !(COMMAND_MIN..=COMMAND_MAX).contains(&len) {
            return Err(PacketError::Length { len });
        }
        let (content, found) = bytes.split_at(len - 2);
        let expected = crc(content);
        if found != expected {
            return Err(PacketError::Crc { expected, found: [found[0], found[1]] });
        }
        let &[_, opcode, param1, low, high, ref data @ ..] = content else {
            return Err(PacketError::Length { len });
        };
        Ok(Self { opcode: Opcode(opcode), param1, param2: u16::from_le_bytes([low, high]), data })
    }

    /// Writes the command to the start of `out` and returns its length; `None` if it does not fit there or into a count.
    #[must_use]
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let len = COMMAND_MIN + self.data.len();
        if len > COMMAND_MAX {
            return None;
        }
        let packet = out.get_mut(..len)?;
        let [low, high] = self.param2.to_le_bytes();
        packet[..5].copy_from_slice(&[u8::try_from(len).ok()?, self.opcode.0, self.param1, low, high]);
        packet[5..len - 2].copy_from_slice(self.data);
        let crc = crc(&packet[..len - 2]);
        packet[len - 2..].copy_from_slice(&crc);
        Some(len)
    }
}

/// Writes an answer with `payload` to the start of `out` and returns its length; `None` if it does not fit.
#[must_use]
pub fn write_answer(payload: &[u8], out: &mut [u8]) -> Option<usize> {
    let len = payload.len() + OVERHEAD;
    let packet = out.get_mut(..len)?;
    packet[0] = u8::try_from(len).ok()?;
    packet[1..len - 2].copy_from_slice(payload);
    let crc = crc(&packet[..len - 2]);
    packet[len - 2..].copy_from_slice(&crc);
    Some(len)
}

/// The payload of an answer, count to CRC.
///
/// # Errors
/// [`PacketError`].
pub fn parse_answer(bytes: &[u8]) -> Result<&[u8], PacketError> {
    let (count, len) = (bytes.first().copied().unwrap_or(0), bytes.len());
    if usize::from(count) != len {
        return Err(PacketError::Count { count, len });
    }
    if len <= OVERHEAD {
        return Err(PacketError::Length { len });
    }
    let (content, found) = bytes.split_at(len - 2);
    let expected = crc(content);
    if found != expected {
        return Err(PacketError::Crc { expected, found: [found[0], found[1]] });
    }
    Ok(&content[1..])
}

/// CRC-16 of the packets and of the zones: polynomial 0x8005 from 0, the bits of each byte last one first, low byte
/// first.
#[must_use]
pub fn crc(bytes: &[u8]) -> [u8; 2] {
    let mut crc = Crc::default();
    crc.update(bytes);
    crc.value().to_le_bytes()
}

/// The same, piece by piece.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crc(u16);

impl Crc {
    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        for bit in bytes.iter().flat_map(|byte| (0..8).map(move |index| (byte >> index) & 1)) {
            let carry = self.0 >> 15 != u16::from(bit);
            self.0 = (self.0 << 1) ^ if carry { POLYNOMIAL } else { 0 };
        }
    }

    /// What they come to.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }
}

const POLYNOMIAL: u16 = 0x8005;

/// Why bytes are no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The first byte is not the length.
    #[error("packet of a secure element: the count says {count} bytes, but there are {len}")]
    Count {
        /// What the count says.
        count: u8,
        /// What is there.
        len: usize,
    },
    /// No packet is that long or short.
    #[error("packet of a secure element: {len} bytes; commands have 7 to 155, answers at least 4")]
    Length {
        /// What is there.
        len: usize,
    },
    /// The CRC does not hold.
    #[error("packet of a secure element: its CRC should be {expected:02x?}, but is {found:02x?}")]
    Crc {
        /// Of the content.
        expected: [u8; 2],
        /// What is there.
        found: [u8; 2],
    },
}

/// What a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Opcode(pub u8);

/// Names after DS20005927A table 9-4; those of the 608 after cryptoauthlib 20260505 `calib_command.h`.
#[allow(missing_docs, reason = "the data sheet's names")]
impl Opcode {
    pub const READ: Self = Self(0x02);
    pub const MAC: Self = Self(0x08);
    pub const WRITE: Self = Self(0x12);
    pub const GEN_DIG: Self = Self(0x15);
    pub const NONCE: Self = Self(0x16);
    pub const LOCK: Self = Self(0x17);
    pub const RANDOM: Self = Self(0x1b);
    pub const DERIVE_KEY: Self = Self(0x1c);
    pub const UPDATE_EXTRA: Self = Self(0x20);
    pub const COUNTER: Self = Self(0x24);
    pub const CHECK_MAC: Self = Self(0x28);
    pub const INFO: Self = Self(0x30);
    pub const GEN_KEY: Self = Self(0x40);
    pub const SIGN: Self = Self(0x41);
    pub const ECDH: Self = Self(0x43);
    pub const VERIFY: Self = Self(0x45);
    pub const PRIV_WRITE: Self = Self(0x46);
    pub const SHA: Self = Self(0x47);
    pub const AES: Self = Self(0x51);
    pub const KDF: Self = Self(0x56);
    pub const SELF_TEST: Self = Self(0x77);
    pub const SECURE_BOOT: Self = Self(0x80);
}

/// The one byte of a four-byte answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(pub u8);

/// DS20005927A table 9-3.
impl Status {
    /// Done.
    pub const SUCCESS: Self = Self(0x00);
    /// A MAC, a digest or a signature is not the right one.
    pub const MISCOMPARE: Self = Self(0x01);
    /// Length, opcode or parameters are wrong in any state.
    pub const PARSE: Self = Self(0x03);
    /// An ECC computation failed; again may do.
    pub const ECC_FAULT: Self = Self(0x05);
    /// The self-test after wake failed.
    pub const SELF_TEST: Self = Self(0x07);
    /// The random number generator is ill.
    pub const RANDOM_HEALTH: Self = Self(0x08);
    /// Not in this state.
    pub const EXECUTION: Self = Self(0x0f);
    /// Awake, and no command came yet.
    pub const AWAKE: Self = Self(0x11);
    /// Too little is left until the watchdog barks.
    pub const WATCHDOG: Self = Self(0xee);
    /// The packet did not arrive whole.
    pub const COMMUNICATION: Self = Self(0xff);
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    /// Recorded from an ATECC608A on a development board: commands of its initial demo and its first answer.
    #[test]
    fn recorded_packets_hold() {
        assert_eq!(parse_answer(&hex!("04113343")), Ok(&[0x11][..]));
        for (packet, opcode, param1, param2) in [
            (&hex!("0730000000035d"), Opcode::INFO, 0, 0),
            (&hex!("07470000002e85"), Opcode::SHA, 0, 0),
            (&hex!("0741a002007d05"), Opcode::SIGN, 0xa0, 2),
            (&hex!("07400002000685"), Opcode::GEN_KEY, 0, 2),
        ] {
            let command = Command { opcode, param1, param2, data: &[] };
            assert_eq!(Command::parse(packet), Ok(command));
            let mut out = [0; 8];
            assert_eq!(command.write(&mut out), Some(7));
            assert_eq!(&out[..7], packet);
        }
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_refused() {
        let data = [0x5a; 20];
        let mut packet = [0; 27];
        assert_eq!(Command { opcode: Opcode::NONCE, param1: 0, param2: 0, data: &data }.write(&mut packet), Some(27));
        for cut in 0..packet.len() {
            assert!(Command::parse(&packet[..cut]).is_err(), "{cut}");
        }
        for bit in 0..packet.len() * 8 {
            let mut flipped = packet;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Command::parse(&flipped).is_err(), "{bit}");
        }
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let command = Command { opcode: Opcode::SHA, param1: 1, param2: 0, data: &[0; 149] };
        assert_eq!(command.write(&mut [0; 200]), None);
        assert_eq!(Command { data: &[0; 148], ..command }.write(&mut [0; 154]), None);
        assert_eq!(Command { data: &[0; 148], ..command }.write(&mut [0; 155]), Some(155));
        assert_eq!(write_answer(&[0], &mut [0; 3]), None);
        assert_eq!(parse_answer(&[3, 0, 0]), Err(PacketError::Length { len: 3 }));
    }
}
