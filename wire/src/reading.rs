//! A reading: what a device measured, and which firmware measured it.
//!
//! ```text
//!  0  format u8 = 1                          little-endian
//!  1  uptime u32 (s) | boot count u32
//!  9  firmware version 3 x u16 | secure version u32
//! 19  count u8 | count x { register u8, raw value u16 }
//! ```
//!
//! In a [`compact`](crate::compact) packet it is one array of canonical CBOR, without a format: the packet's version says
//! it. `[uptime, boot count, major, minor, patch, secure version, register, raw value, register, raw value, ..]`

use crate::canonical::OutputFull;
use crate::cbor::{self, CborError};
use crate::ids::SecureVersion;
use crate::version::Version;
use cotter_formats::read::{ReadError, Reader};

/// One raw value; the physical one is raw / gain of the register map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// Which register.
    pub register: u8,
    /// As read from it.
    pub raw: u16,
}

/// What goes into a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Seconds since the device started.
    pub uptime_s: u32,
    /// How often it has started.
    pub boot_count: u32,
    /// The firmware that is running.
    pub firmware: Version,
    /// Its anti-rollback counter.
    pub secure_version: SecureVersion,
    // At most one per register.
    measurements: heapless::Vec<Measurement, { Self::MAX_MEASUREMENTS }>,
}

impl Reading {
    /// Most values in a reading.
    pub const MAX_MEASUREMENTS: usize = 16;
    /// Longest encoding, in bytes.
    pub const MAX_LEN: usize = 20 + 3 * Self::MAX_MEASUREMENTS;
    /// Longest compact encoding, in bytes: a head of 2, three numbers of 5, three of 3, and 2 and 3 per value.
    pub const MAX_COMPACT: usize = 2 + 3 * 5 + 3 * 3 + 5 * Self::MAX_MEASUREMENTS;
    /// The one layout so far.
    pub const FORMAT: u8 = 1;

    /// A reading without values.
    #[must_use]
    pub const fn new(uptime_s: u32, boot_count: u32, firmware: Version, secure_version: SecureVersion) -> Self {
        Self { uptime_s, boot_count, firmware, secure_version, measurements: heapless::Vec::new() }
    }

    /// Adds a value.
    ///
    /// # Errors
    /// [`ReadingError::Duplicate`] or [`ReadingError::Count`]; the reading stays as it was.
    pub fn push(&mut self, register: u8, raw: u16) -> Result<(), ReadingError> {
        if self.value(register).is_some() {
            return Err(ReadingError::Duplicate { register });
        }
        self.measurements
            .push(Measurement { register, raw })
            .map_err(|_| ReadingError::Count(Self::MAX_MEASUREMENTS + 1))
    }

    /// The values, in the order in which they were pushed.
    #[must_use]
    pub fn measurements(&self) -> &[Measurement] {
        &self.measurements
    }

    /// The raw value of a register.
    #[must_use]
    pub fn value(&self, register: u8) -> Option<u16> {
        self.measurements.iter().find(|measurement| measurement.register == register).map(|found| found.raw)
    }

    /// Writes the layout above into the beginning of `out`; [`Self::MAX_LEN`] bytes are always enough.
    ///
    /// # Errors
    /// [`OutputFull`].
    pub fn encode<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], OutputFull> {
        let len = 20 + 3 * self.measurements.len();
        let out = out.get_mut(..len).ok_or(OutputFull)?;
        out[0] = Self::FORMAT;
        out[1..5].copy_from_slice(&self.uptime_s.to_le_bytes());
        out[5..9].copy_from_slice(&self.boot_count.to_le_bytes());
        out[9..11].copy_from_slice(&self.firmware.major.to_le_bytes());
        out[11..13].copy_from_slice(&self.firmware.minor.to_le_bytes());
        out[13..15].copy_from_slice(&self.firmware.patch.to_le_bytes());
        out[15..19].copy_from_slice(&self.secure_version.0.to_le_bytes());
        // At most 16, so one byte says it all.
        out[19] = self.measurements.len().to_le_bytes()[0];
        for (entry, measurement) in out[20..].chunks_exact_mut(3).zip(&self.measurements) {
            entry[0] = measurement.register;
            entry[1..].copy_from_slice(&measurement.raw.to_le_bytes());
        }
        Ok(out)
    }

    /// Reads what [`Self::encode`] wrote, and nothing else.
    ///
    /// # Errors
    /// [`ReadingError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ReadingError> {
        let mut reader = Reader::new(bytes);
        let format = reader.u8()?;
        if format != Self::FORMAT {
            return Err(ReadingError::Format(format));
        }
        let (uptime_s, boot_count) = (reader.u32_le()?, reader.u32_le()?);
        let firmware = Version::new(reader.u16_le()?, reader.u16_le()?, reader.u16_le()?);
        let mut reading = Self::new(uptime_s, boot_count, firmware, SecureVersion(reader.u32_le()?));
        let count = usize::from(reader.u8()?);
        if count > Self::MAX_MEASUREMENTS {
            return Err(ReadingError::Count(count));
        }
        for _ in 0..count {
            reading.push(reader.u8()?, reader.u16_le()?)?;
        }
        reader.finish()?;
        Ok(reading)
    }

    /// Writes the CBOR above into the beginning of `out`; [`Self::MAX_COMPACT`] bytes are always enough.
    ///
    /// # Errors
    /// [`OutputFull`].
    pub fn encode_compact<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], OutputFull> {
        let mut writer = cbor::Writer::new(out);
        writer.array(COMPACT_HEAD + 2 * self.measurements.len() as u64);
        writer.unsigned(self.uptime_s).unsigned(self.boot_count);
        writer.unsigned(self.firmware.major).unsigned(self.firmware.minor).unsigned(self.firmware.patch);
        writer.unsigned(self.secure_version.0);
        for measurement in &self.measurements {
            writer.unsigned(measurement.register).unsigned(measurement.raw);
        }
        writer.finish()
    }

    /// Reads what [`Self::encode_compact`] wrote, and nothing else.
    ///
    /// # Errors
    /// [`ReadingError`].
    pub fn decode_compact(bytes: &[u8]) -> Result<Self, ReadingError> {
        let mut reader = cbor::Reader::new(bytes);
        let items = reader.array()?;
        let values = items.checked_sub(COMPACT_HEAD).filter(|values| values.is_multiple_of(2));
        let count = values.ok_or(ReadingError::Items(items))? / 2;
        if count > Self::MAX_MEASUREMENTS as u64 {
            return Err(ReadingError::Items(items));
        }
        let (uptime_s, boot_count) = (reader.unsigned()?, reader.unsigned()?);
        let firmware = Version::new(reader.unsigned()?, reader.unsigned()?, reader.unsigned()?);
        let mut reading = Self::new(uptime_s, boot_count, firmware, SecureVersion(reader.unsigned()?));
        for _ in 0..count {
            reading.push(reader.unsigned()?, reader.unsigned()?)?;
        }
        reader.end()?;
        Ok(reading)
    }
}

/// Items before the values.
const COMPACT_HEAD: u64 = 6;

/// Why bytes are no [`Reading`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadingError {
    /// Too short or too long.
    #[error("reading: {0}")]
    Read(#[from] ReadError),
    /// Not canonical CBOR, or another shape.
    #[error("reading: {0}")]
    Cbor(#[from] CborError),
    /// Not six items and two per value, or more than 16 values.
    #[error("reading: an array of {0} items")]
    Items(u64),
    /// A layout of the future.
    #[error("reading: format {0}, expected 1")]
    Format(u8),
    /// More than 16 values.
    #[error("reading: {0} values, at most 16")]
    Count(usize),
    /// Two values for one register.
    #[error("reading: register {register} is there twice")]
    Duplicate {
        /// Which.
        register: u8,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;
    use proptest::prelude::*;

    /// `struct.pack("<BIIHHHIB", 1, 86400, 7, 1, 0, 0, 0, 10)` and ten times `"<BH"`, by Python.
    const GOLDEN: &[u8] = include_bytes!("../../vectors/wire/heatshrink/reading.bin");

    fn golden() -> Reading {
        let mut reading = Reading::new(86400, 7, Version::new(1, 0, 0), SecureVersion(0));
        for (register, raw) in (0..).zip([2300, 170, 4000, 3512, 3498, 45, 44, 321, 80, 4000]) {
            reading.push(register, raw).expect("ten fit");
        }
        reading
    }

    #[test]
    fn encodes_what_python_packs() {
        assert_eq!(golden().encode(&mut [0; Reading::MAX_LEN]), Ok(GOLDEN));
        assert_eq!(Reading::decode(GOLDEN), Ok(golden()));
        assert_eq!(golden().value(7), Some(321));
        assert_eq!(golden().value(10), None);
    }

    #[test]
    fn refuses_truncation_at_every_length() {
        for len in 0..GOLDEN.len() {
            let refusal = Reading::decode(&GOLDEN[..len]).expect_err("too short");
            assert!(matches!(refusal, ReadingError::Read(ReadError::Truncated { .. })), "{len}: {refusal}");
            assert_eq!(golden().encode(&mut [0; 50][..len]), Err(OutputFull));
        }
    }

    #[test]
    fn refuses_what_it_would_not_write() {
        let mut bytes = GOLDEN.to_vec();
        bytes.push(0);
        assert_eq!(Reading::decode(&bytes), Err(ReadingError::Read(ReadError::Trailing { at: 50, extra: 1 })));
        let mut bytes = GOLDEN.to_vec();
        bytes[0] = 2;
        assert_eq!(Reading::decode(&bytes), Err(ReadingError::Format(2)));
        bytes[0] = 1;
        bytes[19] = 17;
        assert_eq!(Reading::decode(&bytes), Err(ReadingError::Count(17)));
        bytes[19] = 10;
        bytes[23] = 0;
        assert_eq!(Reading::decode(&bytes), Err(ReadingError::Duplicate { register: 0 }));
    }

    #[test]
    fn holds_sixteen_values() {
        let mut reading = Reading::new(0, 0, Version::new(0, 0, 0), SecureVersion(0));
        for register in 0..16 {
            reading.push(register, 0).expect("sixteen fit");
        }
        assert_eq!(reading.push(16, 0), Err(ReadingError::Count(17)));
        assert_eq!(reading.push(3, 0), Err(ReadingError::Duplicate { register: 3 }));
        assert_eq!(reading.encode(&mut [0; Reading::MAX_LEN]).map(<[u8]>::len), Ok(Reading::MAX_LEN));
    }

    /// By hand, from RFC 8949.
    const COMPACT: &[u8] = &hex!(
        "981a 1a00015180 07 01 00 00 00 00 1908fc 01 18aa 02 190fa0 03 190db8 04 190daa 05 182d
        06 182c 07 190141 08 1850 09 190fa0"
    );

    #[test]
    fn the_compact_form_is_canonical_cbor() {
        assert_eq!(golden().encode_compact(&mut [0; Reading::MAX_COMPACT]), Ok(COMPACT));
        assert_eq!(Reading::decode_compact(COMPACT), Ok(golden()));
        for len in 0..COMPACT.len() {
            let refusal = Reading::decode_compact(&COMPACT[..len]).expect_err("too short");
            assert!(matches!(refusal, ReadingError::Cbor(CborError::Truncated { .. })), "{len}: {refusal}");
            assert_eq!(golden().encode_compact(&mut [0; 60][..len]), Err(OutputFull));
        }
        let widest = |register: u8| (register + 240, u16::MAX);
        let version = Version::new(u16::MAX, u16::MAX, u16::MAX);
        let mut reading = Reading::new(u32::MAX, u32::MAX, version, SecureVersion(u32::MAX));
        (0..16).map(widest).for_each(|(register, raw)| reading.push(register, raw).expect("sixteen fit"));
        let longest = reading.encode_compact(&mut [0; Reading::MAX_COMPACT]).map(<[u8]>::len);
        assert_eq!(longest, Ok(Reading::MAX_COMPACT));
    }

    #[test]
    fn the_compact_form_has_one_spelling() {
        let refused = |bytes: &[u8]| Reading::decode_compact(bytes).expect_err("another spelling");
        let cbor = ReadingError::Cbor;
        assert_eq!(refused(&hex!("86 00 00 01 00 00 1800")), cbor(CborError::NotShortest { at: 6 }));
        assert_eq!(refused(&hex!("9f 00 00 01 00 00 00 ff")), cbor(CborError::Indefinite { at: 0 }));
        assert_eq!(refused(&hex!("86 00 00 01 00 00 00 00")), cbor(CborError::Trailing { at: 7 }));
        assert_eq!(refused(&hex!("86 00 00 1a00010000 00 00 00")), cbor(CborError::Range { at: 3 }));
        assert_eq!(refused(&hex!("88 00 00 01 00 00 00 190100 00")), cbor(CborError::Range { at: 7 }));
        let expected = CborError::Expected { at: 1, expected: "an unsigned integer" };
        assert_eq!(refused(&hex!("86 20 00 01 00 00 00")), cbor(expected));
        assert_eq!(refused(&hex!("85 00 00 01 00 00")), ReadingError::Items(5));
        assert_eq!(refused(&hex!("87 00 00 01 00 00 00 00")), ReadingError::Items(7));
        assert_eq!(refused(&hex!("9828")), ReadingError::Items(40));
        assert_eq!(refused(&hex!("9bffffffffffffffff")), ReadingError::Items(u64::MAX));
        assert_eq!(refused(&hex!("8a 00 00 01 00 00 00 03 01 03 01")), ReadingError::Duplicate { register: 3 });
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(
            head: [u8; 19],
            values in proptest::collection::btree_map(any::<u8>(), any::<u16>(), 0..=16),
        ) {
            let mut bytes = head.to_vec();
            bytes[0] = 1;
            bytes.push(u8::try_from(values.len()).expect("at most 16"));
            for (register, raw) in &values {
                bytes.push(*register);
                bytes.extend_from_slice(&raw.to_le_bytes());
            }
            let reading = Reading::decode(&bytes).expect("well-formed");
            let mut out = [0; Reading::MAX_LEN];
            prop_assert_eq!(reading.encode(&mut out), Ok(&bytes[..]));
            let mut compact = [0; Reading::MAX_COMPACT];
            let compact = reading.encode_compact(&mut compact).expect("fits");
            prop_assert_eq!(Reading::decode_compact(compact), Ok(reading));
        }

        #[test]
        fn survives_anything(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(reading) = Reading::decode(&bytes) {
                let mut out = [0; Reading::MAX_LEN];
                prop_assert_eq!(reading.encode(&mut out), Ok(&bytes[..]));
            }
            if let Ok(reading) = Reading::decode_compact(&bytes) {
                let mut out = [0; Reading::MAX_COMPACT];
                prop_assert_eq!(reading.encode_compact(&mut out), Ok(&bytes[..]));
            }
        }
    }
}
