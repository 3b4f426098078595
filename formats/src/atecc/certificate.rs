//! Certificates compressed to the 72 bytes of a slot: the signature, and of all else what differs from part to part.
//!
//! | bytes | what |
//! |---|---|
//! | 0 to 63 | signature: R, S, both big-endian |
//! | 64 to 66 | 5 bits year after 2000, 4 month, 5 day, 5 hour of issue, 5 how many years it is valid (0: without end) |
//! | 67, 68 | signer id |
//! | 69 | template id, chain id: a nibble each, the template first |
//! | 70 | where the serial number comes from, format version: a nibble each |
//! | 71 | version 1: 2 more bits above the year, 2 above the years; reserved bits are zero |
//!
//! Source: cryptoauthlib 20260505 `atcacert_date_enc_compcert_ext`, `atcacert_get_comp_cert_ext`, `atcacert_generate_sn`.

use sha2::{Digest, Sha256};

/// Bytes of one.
pub const COMPRESSED_LEN: usize = 72;

/// A compressed certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "atcacert comp_cert")]
pub struct CompressedCertificate {
    /// R, then S.
    pub signature: [u8; 64],
    /// Issued when, for how long.
    pub dates: CompressedDates,
    /// Which signer.
    pub signer_id: [u8; 2],
    /// Which template all the rest is in; its low four bits count.
    pub template_id: u8,
    /// Which chain; its low four bits count.
    pub chain_id: u8,
    /// Where the serial number comes from.
    pub serial_source: SerialSource,
}

impl CompressedCertificate {
    /// Reads one.
    ///
    /// # Errors
    /// [`CompressedError`].
    pub fn parse(bytes: &[u8; COMPRESSED_LEN]) -> Result<Self, CompressedError> {
        let [signature @ .., d0, d1, d2, s0, s1, ids, source, extra] = bytes;
        let dates = CompressedDates::parse([*d0, *d1, *d2], source & 0xf, *extra)?;
        Ok(Self {
            signature: *signature,
            dates,
            signer_id: [*s0, *s1],
            template_id: ids >> 4,
            chain_id: ids & 0xf,
            serial_source: SerialSource(source >> 4),
        })
    }

    /// The bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; COMPRESSED_LEN] {
        let (dates, extra) = self.dates.to_bytes();
        let ids = self.template_id << 4 | self.chain_id & 0xf;
        let source = self.serial_source.0 << 4 | self.dates.version;
        let mut bytes = [0; COMPRESSED_LEN];
        let (signature, rest) = bytes.split_at_mut(64);
        signature.copy_from_slice(&self.signature);
        let tail = [dates[0], dates[1], dates[2], self.signer_id[0], self.signer_id[1], ids, source, extra];
        rest.copy_from_slice(&tail);
        bytes
    }
}

/// Where the serial number of a certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "atcacert_cert_sn_src_t")]
pub struct SerialSource(pub u8);

impl SerialSource {
    /// It is stored in the part.
    pub const STORED: Self = Self(0x0);
    /// 0x40 and the part's serial number.
    pub const PART: Self = Self(0x8);
    /// [`CompressedDates::hashed_serial`] of the public key.
    #[doc(alias = "SNSRC_PUB_KEY_HASH")]
    pub const KEY_HASH: Self = Self(0xa);
    /// [`CompressedDates::hashed_serial`] of the part's serial number.
    #[doc(alias = "SNSRC_DEVICE_SN_HASH")]
    pub const PART_HASH: Self = Self(0xb);
}

/// A full hour, and how many years from then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressedDates {
    issued: Hour,
    years: u8,
    version: u8,
}

/// An hour of the calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hour {
    /// 2000 and after.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
}

impl Hour {
    const fn exists(self) -> bool {
        let is_leap = self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        let days = match self.month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if is_leap => 29,
            2 => 28,
            _ => 0,
        };
        self.day >= 1 && self.day <= days && self.hour < 24
    }
}

impl CompressedDates {
    /// Issued at that hour, for so many years; 0 is without end. The format version is the lowest that has room.
    ///
    /// # Errors
    /// [`CompressedError::Date`] for an hour that does not exist, here or so many years on; before 2000 and after 2127;
    /// for more than 127 years.
    pub fn new(issued: Hour, years: u8) -> Result<Self, CompressedError> {
        let version = u8::from(issued.year > 2031 || years > 31);
        let dates = Self { issued, years, version };
        let is_in_range = (2000..=2127).contains(&issued.year) && years <= 127;
        if is_in_range && issued.exists() && dates.end().is_none_or(Hour::exists) {
            Ok(dates)
        } else {
            Err(CompressedError::Date)
        }
    }

    fn parse(bytes: [u8; 3], version: u8, extra: u8) -> Result<Self, CompressedError> {
        let used = match version {
            0 => 0x00,
            1 => 0xf0,
            _ => return Err(CompressedError::Version(version)),
        };
        if extra & !used != 0 {
            return Err(CompressedError::Reserved(extra));
        }
        let [b0, b1, b2] = bytes;
        let issued = Hour {
            year: 2000 + u16::from(b0 >> 3 | (extra & 0xc0) >> 1),
            month: (b0 & 7) << 1 | b1 >> 7,
            day: b1 >> 2 & 0x1f,
            hour: (b1 & 3) << 3 | b2 >> 5,
        };
        let years = b2 & 0x1f | (extra & 0x30) << 1;
        Ok(Self { version, ..Self::new(issued, years)? })
    }

    /// Bytes 64 to 66, and byte 71.
    fn to_bytes(self) -> ([u8; 3], u8) {
        let Hour { year, month, day, hour } = self.issued;
        let [_, year] = (year - 2000).to_be_bytes();
        let bytes = [year << 3 | month >> 1, month << 7 | day << 2 | hour >> 3, hour << 5 | self.years & 0x1f];
        let extra = if self.version == 0 { 0 } else { (year & 0x60) << 1 | (self.years & 0x60) >> 1 };
        (bytes, extra)
    }

    /// When it was issued.
    #[must_use]
    pub const fn issued(self) -> Hour {
        self.issued
    }

    /// For how many years; 0 is without end.
    #[must_use]
    pub const fn years(self) -> u8 {
        self.years
    }

    /// The last moment of its life; `None` if there is no end.
    #[must_use]
    pub fn end(self) -> Option<Hour> {
        let year = self.issued.year + u16::from(self.years);
        (self.years != 0).then_some(Hour { year, ..self.issued })
    }

    /// A serial number out of the dates and something that is unique, a public key (X, Y) or the part's serial number: its
    /// first bytes, as many as the template has. It begins with the bits 01.
    #[must_use]
    pub fn hashed_serial(self, unique: &[u8]) -> [u8; 32] {
        let (dates, extra) = self.to_bytes();
        let hash = Sha256::new().chain_update(unique).chain_update(dates);
        let hash = if self.version == 0 { hash } else { hash.chain_update([extra]) };
        let mut serial: [u8; 32] = hash.finalize().into();
        serial[0] = serial[0] & 0x3f | 0x40;
        serial
    }
}

/// Why 72 bytes are no compressed certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompressedError {
    /// Version 2 is for other curves and longer.
    #[error("compressed certificate: format version {0}, expected 0 or 1")]
    Version(u8),
    /// A bit that means nothing.
    #[error("compressed certificate: byte 71 is {0:#04x}, with reserved bits set")]
    Reserved(u8),
    /// No such hour.
    #[error("compressed certificate: no such hour between 2000 and 2127, or it does not exist so many years on")]
    Date,
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    fn hour(year: u16, month: u8, day: u8, hour: u8) -> Hour {
        Hour { year, month, day, hour }
    }

    /// From `test_atcacert_date.c` of cryptoauthlib 20260505, group `atcacert_date_enc_compcert`: `good`, `min`, `max`,
    /// `min_ext_issue_year`, `max_ext_issue_year`, `min_ext_expire_years`, `max_ext_expire_years`.
    #[test]
    fn dates_are_those_of_cryptoauthlib() {
        for (issued, years, encoded, version, extra) in [
            (hour(2021, 3, 7, 10), 28, hex!("a99d5c"), 0, 0x00),
            (hour(2000, 1, 1, 0), 0, hex!("008400"), 0, 0x00),
            (hour(2031, 12, 31, 23), 31, hex!("fe7eff"), 0, 0x00),
            (hour(2032, 1, 1, 0), 1, hex!("008401"), 1, 0x40),
            (hour(2127, 1, 1, 0), 1, hex!("f88401"), 1, 0xc0),
            (hour(2000, 1, 1, 0), 32, hex!("008400"), 1, 0x10),
            (hour(2000, 1, 1, 0), 127, hex!("00841f"), 1, 0x30),
        ] {
            let dates = CompressedDates::new(issued, years).unwrap();
            assert_eq!((dates.to_bytes(), dates.version), ((encoded, extra), version));
            assert_eq!(CompressedDates::parse(encoded, version, extra), Ok(dates));
        }
    }

    #[test]
    fn every_hour_that_exists_survives_and_no_other_is_made() {
        for year in [2000, 2024, 2026, 2031, 2032, 2100, 2127] {
            for (month, day) in (0..=15).flat_map(|month| (0..=31).map(move |day| (month, day))) {
                for years in [0, 1, 4, 31, 32, 127] {
                    let Ok(dates) = CompressedDates::new(hour(year, month, day, 23), years) else { continue };
                    let (bytes, extra) = dates.to_bytes();
                    assert_eq!(CompressedDates::parse(bytes, dates.version, extra), Ok(dates));
                }
            }
        }
        let refused = Err(CompressedError::Date);
        for (wrong, years) in [
            (hour(1999, 12, 31, 0), 1),
            (hour(2128, 1, 1, 0), 1),
            (hour(2026, 2, 29, 0), 1),
            (hour(2024, 2, 29, 0), 1),
            (hour(2026, 4, 31, 0), 1),
            (hour(2026, 0, 1, 0), 1),
            (hour(2026, 1, 1, 24), 1),
            (hour(2026, 1, 1, 0), 128),
        ] {
            assert_eq!(CompressedDates::new(wrong, years), refused, "{wrong:?} {years}");
        }
        assert!(CompressedDates::new(hour(2024, 2, 29, 0), 4).is_ok());
    }

    #[test]
    fn what_is_read_is_written_again_bit_by_bit() {
        let mut bytes = [0x5a; COMPRESSED_LEN];
        bytes[64..].copy_from_slice(&hex!("a99d5c1234a1a000"));
        let read = CompressedCertificate::parse(&bytes).unwrap();
        assert_eq!((read.template_id, read.chain_id, read.serial_source), (0xa, 1, SerialSource::KEY_HASH));
        assert_eq!(read.dates.end(), Some(hour(2049, 3, 7, 10)));
        assert_eq!(read.to_bytes(), bytes);
        for bit in 0..COMPRESSED_LEN * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            match CompressedCertificate::parse(&flipped) {
                Ok(read) => assert_eq!(read.to_bytes(), flipped, "{bit}"),
                Err(error) => assert!(bit / 8 >= 64, "{bit}: {error}"),
            }
        }
        bytes[71] = 1;
        assert_eq!(CompressedCertificate::parse(&bytes), Err(CompressedError::Reserved(1)));
        bytes[70] = 0xa2;
        assert_eq!(CompressedCertificate::parse(&bytes), Err(CompressedError::Version(2)));
    }
}
