//! Firmware versions: three numbers, compared as numbers (so 99.0.0 is newer than 9.9.9).

use core::fmt;
use core::str::FromStr;

/// `major.minor.patch`, each without leading zeros; one spelling per version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// First number.
    pub major: u16,
    /// Second number.
    pub minor: u16,
    /// Third number.
    pub patch: u16,
}

impl Version {
    /// Longest text: `65535.65535.65535`.
    pub const MAX_LEN: usize = 17;

    /// The version of these three numbers.
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// Reads the one spelling of a version.
    ///
    /// # Errors
    /// [`VersionError`] for anything else.
    pub fn from_bytes(text: &[u8]) -> Result<Self, VersionError> {
        let mut parts = text.split(|byte| *byte == b'.').map(number);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None) => Ok(Self { major, minor, patch }),
            _ => Err(VersionError),
        }
    }

    /// Writes the text without `core::fmt`.
    #[must_use]
    pub fn text(self) -> heapless::String<{ Self::MAX_LEN }> {
        let mut text = heapless::String::new();
        for (index, part) in [self.major, self.minor, self.patch].into_iter().enumerate() {
            if index > 0 {
                text.push('.').expect("17 characters hold three u16 and two dots");
            }
            push_decimal(&mut text, u32::from(part)).expect("17 characters hold three u16 and two dots");
        }
        text
    }
}

/// One part: decimal, no leading zero, at most 65535.
fn number(digits: &[u8]) -> Option<u16> {
    let canonical = matches!(digits, [b'0'] | [b'1'..=b'9', ..]) && digits.iter().all(u8::is_ascii_digit);
    if !canonical {
        return None;
    }
    core::str::from_utf8(digits).ok()?.parse().ok()
}

/// Appends `value` in decimal.
///
/// # Errors
/// [`heapless::CapacityError`] if it does not fit; part of it may have been written.
pub(crate) fn push_decimal<const N: usize>(
    text: &mut heapless::String<N>,
    value: u32,
) -> Result<(), heapless::CapacityError> {
    let mut divisor = 1;
    while value / divisor >= 10 {
        divisor *= 10;
    }
    while divisor > 0 {
        text.push(char::from(b"0123456789"[(value / divisor % 10) as usize]))?;
        divisor /= 10;
    }
    Ok(())
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// Text that is no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version is three numbers up to 65535, without leading zeros: 1.2.3")]
pub struct VersionError;

#[cfg(test)]
mod tests {
    extern crate alloc;
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn compares_numbers_not_text() {
        let parse = |text: &str| text.parse::<Version>().expect("legal");
        assert!(parse("99.0.0") > parse("9.9.9"));
        assert!(parse("1.10.0") > parse("1.9.0"));
        assert!(parse("1.0.10") > parse("1.0.9"));
        assert_eq!(parse("1.0.0"), Version::new(1, 0, 0));
    }

    #[test]
    fn has_one_spelling() {
        for text in ["0.0.0", "1.2.3", "10.20.30", "65535.65535.65535"] {
            assert_eq!(text.parse::<Version>().expect("legal").to_string(), text);
        }
        for text in
            ["", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.3-rc1", "1..3", "+1.2.3", "65536.0.0", "1.2.3 ", "v1.2.3"]
        {
            assert_eq!(text.parse::<Version>(), Err(VersionError), "{text}");
        }
    }

    #[test]
    fn decimals_have_no_leading_zeros() {
        for value in [0, 1, 9, 10, 99, 100, 1_000_000_000, u32::MAX] {
            let mut text = heapless::String::<10>::new();
            push_decimal(&mut text, value).expect("ten digits hold a u32");
            assert_eq!(text.as_str(), value.to_string());
        }
        assert!(push_decimal(&mut heapless::String::<2>::new(), 100).is_err());
    }
}
