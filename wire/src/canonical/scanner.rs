//! Reads the one spelling of a message.

use super::{CanonicalError, OutputFull};
use crate::hex;
use crate::ids::DeviceId;
use crate::version::Version;
use base64ct::{Base64, Encoding};

/// A cursor over the text of a message.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Starts at the first byte of a message of at most `max` bytes.
    ///
    /// # Errors
    /// [`CanonicalError::TooLong`], before anything is read.
    pub const fn new(bytes: &'a [u8], max: usize) -> Result<Self, CanonicalError> {
        if bytes.len() > max {
            return Err(CanonicalError::TooLong { at: 0, max });
        }
        Ok(Self { bytes, at: 0 })
    }

    /// Offset of the next unread byte.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// Expects exactly `literal`.
    ///
    /// # Errors
    /// `Truncated`, `Whitespace`, `ByteOrderMark`, or `Expected` with the offset where the literal should start.
    pub fn literal(&mut self, literal: &'static str) -> Result<(), CanonicalError> {
        for (index, expected) in literal.bytes().enumerate() {
            let at = self.at + index;
            match self.bytes.get(at) {
                Some(byte) if *byte == expected => {}
                Some(b' ' | b'\t' | b'\r' | b'\n') => return Err(CanonicalError::Whitespace { at }),
                Some(0xef) if self.bytes[at..].starts_with(b"\xef\xbb\xbf") => {
                    return Err(CanonicalError::ByteOrderMark { at });
                }
                Some(_) => return Err(CanonicalError::Expected { at: self.at, literal }),
                None => return Err(CanonicalError::Truncated { at: self.bytes.len() }),
            }
        }
        self.at += literal.len();
        Ok(())
    }

    /// Whether `literal` is next; if so, it is consumed.
    pub fn accepts(&mut self, literal: &'static str) -> bool {
        let next = self.bytes[self.at..].starts_with(literal.as_bytes());
        if next {
            self.at += literal.len();
        }
        next
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// As [`Self::literal`].
    pub fn boolean(&mut self) -> Result<bool, CanonicalError> {
        if self.bytes.get(self.at) == Some(&b't') {
            return self.literal("true").map(|()| true);
        }
        self.literal("false").map(|()| false)
    }

    /// An unsigned number without sign, leading zeros, fraction or exponent.
    ///
    /// # Errors
    /// `Number`, `LeadingZero`, `Fraction`, `Overflow`, `Whitespace` or `Truncated`.
    pub fn u64(&mut self) -> Result<u64, CanonicalError> {
        let start = self.at;
        let mut value: u64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.at) {
            if self.at > start && value == 0 {
                return Err(CanonicalError::LeadingZero { at: start });
            }
            value = value
                .checked_mul(10)
                .and_then(|value| value.checked_add(u64::from(digit - b'0')))
                .ok_or(CanonicalError::Overflow { at: start })?;
            self.at += 1;
        }
        match self.bytes.get(self.at) {
            None => Err(CanonicalError::Truncated { at: self.bytes.len() }),
            Some(b'.' | b'e' | b'E') if self.at > start => Err(CanonicalError::Fraction { at: self.at }),
            Some(b' ' | b'\t' | b'\r' | b'\n') if self.at == start => Err(CanonicalError::Whitespace { at: start }),
            Some(_) if self.at == start => Err(CanonicalError::Number { at: start }),
            Some(_) => Ok(value),
        }
    }

    /// As [`Self::u64`], up to 4294967295.
    ///
    /// # Errors
    /// As [`Self::u64`].
    pub fn u32(&mut self) -> Result<u32, CanonicalError> {
        let at = self.at;
        u32::try_from(self.u64()?).map_err(|_| CanonicalError::Overflow { at })
    }

    /// Exactly `2 * N` lower-case hexadecimal digits.
    ///
    /// # Errors
    /// `UpperCaseHex`, `HexDigit` or `Truncated`, at the first wrong digit.
    pub fn hex<const N: usize>(&mut self) -> Result<[u8; N], CanonicalError> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.nibble()? << 4 | self.nibble()?;
        }
        Ok(bytes)
    }

    fn nibble(&mut self) -> Result<u8, CanonicalError> {
        let at = self.at;
        let digit = *self.bytes.get(at).ok_or(CanonicalError::Truncated { at })?;
        self.at += 1;
        hex::nibble(digit).ok_or(match digit {
            b'A'..=b'F' => CanonicalError::UpperCaseHex { at },
            _ => CanonicalError::HexDigit { at },
        })
    }

    /// 1 to `max` characters for which `allows` holds, up to (not including) the closing quote.
    ///
    /// # Errors
    /// `Empty`, `TooLong`, `Character` or `Truncated`.
    pub fn text(&mut self, max: usize, allows: fn(u8) -> bool) -> Result<&'a [u8], CanonicalError> {
        let text = self.text_or_empty(max, allows)?;
        if text.is_empty() {
            return Err(CanonicalError::Empty { at: self.at });
        }
        Ok(text)
    }

    /// As [`Self::text`], possibly empty.
    ///
    /// # Errors
    /// `TooLong`, `Character` or `Truncated`.
    pub fn text_or_empty(&mut self, max: usize, allows: fn(u8) -> bool) -> Result<&'a [u8], CanonicalError> {
        let text = self.until_quote(max)?;
        if let Some(index) = text.iter().position(|byte| !allows(*byte)) {
            return Err(CanonicalError::Character { at: self.at + index });
        }
        self.at += text.len();
        Ok(text)
    }

    /// A firmware version, up to (not including) the closing quote.
    ///
    /// # Errors
    /// As [`Self::text`], and `Version`.
    pub fn version(&mut self) -> Result<Version, CanonicalError> {
        let at = self.at;
        let text = self.text(Version::MAX_LEN, |byte| matches!(byte, b'0'..=b'9' | b'.'))?;
        Version::from_bytes(text).map_err(|_| CanonicalError::Version { at })
    }

    /// A device id, up to (not including) the closing quote.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub fn device_id(&mut self) -> Result<DeviceId, CanonicalError> {
        let at = self.at;
        let text = self.text(DeviceId::MAX_LEN, DeviceId::allows)?;
        DeviceId::from_bytes(text).map_err(|_| CanonicalError::Character { at })
    }

    /// Standard base64 with padding, not empty, of at most `max` characters, up to (not including) the closing quote.
    ///
    /// # Errors
    /// `Empty`, `TooLong`, `Truncated`, or a `Base64*` variant.
    pub fn base64(&mut self, max: usize) -> Result<Base64Text<'a>, CanonicalError> {
        let text = self.until_quote(max)?;
        let start = self.at;
        if text.is_empty() {
            return Err(CanonicalError::Empty { at: start });
        }
        let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
        let digits = &text[..text.len() - padding];
        let mut last = 0;
        for (index, digit) in digits.iter().enumerate() {
            last = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'-' | b'_' => return Err(CanonicalError::Base64Url { at: start + index }),
                b'=' => return Err(CanonicalError::Base64Padding { at: start + index }),
                _ => return Err(CanonicalError::Base64Alphabet { at: start + index }),
            };
        }
        let cut_off = match (digits.len() % 4, padding) {
            (0, 0) => 0,
            (3, 1) => 0b11,
            (2, 2) => 0b1111,
            _ => return Err(CanonicalError::Base64Padding { at: start + digits.len() / 4 * 4 }),
        };
        if last & cut_off != 0 {
            return Err(CanonicalError::Base64TrailingBits { at: start + digits.len() - 1 });
        }
        self.at += text.len();
        Ok(Base64Text { text, padding })
    }

    /// What is left of the current string. Does not move.
    fn until_quote(&self, max: usize) -> Result<&'a [u8], CanonicalError> {
        let rest = &self.bytes[self.at..];
        match rest.iter().take(max.saturating_add(1)).position(|byte| *byte == b'"') {
            Some(len) => Ok(&rest[..len]),
            None if rest.len() > max => Err(CanonicalError::TooLong { at: self.at, max }),
            None => Err(CanonicalError::Truncated { at: self.bytes.len() }),
        }
    }

    /// Ends the message.
    ///
    /// # Errors
    /// [`CanonicalError::Trailing`] if anything follows, a newline included.
    pub const fn end(self) -> Result<(), CanonicalError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(CanonicalError::Trailing { at: self.at }) }
    }
}

/// Base64 whose one spelling was checked, not yet decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base64Text<'a> {
    text: &'a [u8],
    padding: usize,
}

impl<'a> Base64Text<'a> {
    /// The characters, as they were in the message.
    #[must_use]
    pub const fn text(&self) -> &'a [u8] {
        self.text
    }

    /// How many bytes [`Self::decode`] yields.
    #[must_use]
    pub const fn decoded_len(&self) -> usize {
        self.text.len() / 4 * 3 - self.padding
    }

    /// The bytes, in the beginning of `out`.
    ///
    /// # Errors
    /// [`OutputFull`] if `out` is too small.
    pub fn decode<'o>(&self, out: &'o mut [u8]) -> Result<&'o mut [u8], OutputFull> {
        let len = self.decoded_len();
        let out = out.get_mut(..len).ok_or(OutputFull)?;
        Base64::decode(self.text, out).map_err(|_| OutputFull)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CanonicalError as Refusal;

    fn scanner(text: &str) -> Scanner<'_> {
        Scanner::new(text.as_bytes(), 1000).expect("short")
    }

    #[test]
    fn a_message_beyond_its_bound_is_not_read() {
        assert_eq!(Scanner::new(b"{}", 1).err(), Some(Refusal::TooLong { at: 0, max: 1 }));
    }

    #[test]
    fn literals_are_exact() {
        const OPEN: &str = "{\"a\":";
        let cases = [
            ("{ \"a\":", Refusal::Whitespace { at: 1 }),
            ("\n{\"a\":", Refusal::Whitespace { at: 0 }),
            ("\u{feff}{\"a\":", Refusal::ByteOrderMark { at: 0 }),
            ("{\"A\":", Refusal::Expected { at: 0, literal: OPEN }),
            ("{\"\\u0061\":", Refusal::Expected { at: 0, literal: OPEN }),
            ("{\"a\"", Refusal::Truncated { at: 4 }),
            ("", Refusal::Truncated { at: 0 }),
        ];
        for (text, refusal) in cases {
            assert_eq!(scanner(text).literal(OPEN), Err(refusal), "{text}");
        }
        let mut whole = scanner("{\"a\":");
        assert_eq!(whole.literal(OPEN), Ok(()));
        assert_eq!(whole.end(), Ok(()));
    }

    #[test]
    fn numbers_have_one_spelling() {
        let cases = [
            ("01}", Refusal::LeadingZero { at: 0 }),
            ("00}", Refusal::LeadingZero { at: 0 }),
            ("1.0}", Refusal::Fraction { at: 1 }),
            ("1e3}", Refusal::Fraction { at: 1 }),
            ("1E3}", Refusal::Fraction { at: 1 }),
            ("-1}", Refusal::Number { at: 0 }),
            ("+1}", Refusal::Number { at: 0 }),
            ("\"1\"}", Refusal::Number { at: 0 }),
            ("true}", Refusal::Number { at: 0 }),
            (" 1}", Refusal::Whitespace { at: 0 }),
            ("4294967296}", Refusal::Overflow { at: 0 }),
            ("18446744073709551616}", Refusal::Overflow { at: 0 }),
            ("99999999999999999999999}", Refusal::Overflow { at: 0 }),
            ("12", Refusal::Truncated { at: 2 }),
        ];
        for (text, refusal) in cases {
            assert_eq!(scanner(text).u32(), Err(refusal), "{text}");
        }
        assert_eq!(scanner("0}").u32(), Ok(0));
        assert_eq!(scanner("4294967295}").u32(), Ok(u32::MAX));
        assert_eq!(scanner("18446744073709551615}").u64(), Ok(u64::MAX));
    }

    #[test]
    fn hexadecimal_is_lower_case_and_complete() {
        assert_eq!(scanner("0aff\"").hex(), Ok([0x0a, 0xff]));
        assert_eq!(scanner("0Aff\"").hex::<2>(), Err(Refusal::UpperCaseHex { at: 1 }));
        assert_eq!(scanner("0af\"").hex::<2>(), Err(Refusal::HexDigit { at: 3 }));
        assert_eq!(scanner("0ag0\"").hex::<2>(), Err(Refusal::HexDigit { at: 2 }));
        assert_eq!(scanner("0af").hex::<2>(), Err(Refusal::Truncated { at: 3 }));
    }

    #[test]
    fn base64_has_one_spelling() {
        let cases = [
            ("\"", Refusal::Empty { at: 0 }),
            ("Zg\"", Refusal::Base64Padding { at: 0 }),
            ("Zg=\"", Refusal::Base64Padding { at: 0 }),
            ("Zm9vZg\"", Refusal::Base64Padding { at: 4 }),
            ("Zm9=v===\"", Refusal::Base64Padding { at: 3 }),
            ("Zm9v====\"", Refusal::Base64Padding { at: 4 }),
            ("Z===\"", Refusal::Base64Padding { at: 0 }),
            ("====\"", Refusal::Base64Padding { at: 0 }),
            ("Zh==\"", Refusal::Base64TrailingBits { at: 1 }),
            ("Zm9vZm9=\"", Refusal::Base64TrailingBits { at: 6 }),
            ("-_8=\"", Refusal::Base64Url { at: 0 }),
            ("/_8=\"", Refusal::Base64Url { at: 1 }),
            ("Zm9v\nZm9\"", Refusal::Base64Alphabet { at: 4 }),
            ("Zm 9\"", Refusal::Base64Alphabet { at: 2 }),
            ("Zm\\/\"", Refusal::Base64Alphabet { at: 2 }),
            ("Zm9vZm9vZm9v\"", Refusal::TooLong { at: 0, max: 8 }),
            ("Zm9v", Refusal::Truncated { at: 4 }),
        ];
        for (text, refusal) in cases {
            assert_eq!(scanner(text).base64(8).err(), Some(refusal), "{text}");
        }
        for (text, bytes) in [("Zm9v\"", &b"foo"[..]), ("Zm8=\"", b"fo"), ("Zg==\"", b"f"), ("+/8=\"", b"\xfb\xff")] {
            let base64 = scanner(text).base64(8).expect("canonical");
            assert_eq!(base64.decoded_len(), bytes.len());
            assert_eq!(base64.decode(&mut [0; 3]).expect("fits"), bytes);
            assert_eq!(base64.decode(&mut [0; 3][..bytes.len() - 1]), Err(OutputFull));
        }
    }

    #[test]
    fn text_is_bounded_and_checked() {
        let digits = |byte: u8| byte.is_ascii_digit();
        assert_eq!(scanner("123\"").text(3, digits), Ok(&b"123"[..]));
        assert_eq!(scanner("1234\"").text(3, digits), Err(Refusal::TooLong { at: 0, max: 3 }));
        assert_eq!(scanner("1\\2\"").text(3, digits), Err(Refusal::Character { at: 1 }));
        assert_eq!(scanner("\"").text(3, digits), Err(Refusal::Empty { at: 0 }));
        assert_eq!(scanner("\"").text_or_empty(3, digits), Ok(&b""[..]));
        assert_eq!(scanner("12").text(3, digits), Err(Refusal::Truncated { at: 2 }));
    }

    #[test]
    fn booleans_are_not_numbers() {
        assert_eq!(scanner("true").boolean(), Ok(true));
        assert_eq!(scanner("false").boolean(), Ok(false));
        for text in ["1}    ", "True ", "null,"] {
            assert_eq!(scanner(text).boolean(), Err(Refusal::Expected { at: 0, literal: "false" }), "{text}");
        }
    }

    #[test]
    fn nothing_may_follow() {
        let mut message = scanner("{}\n");
        message.literal("{}").expect("is there");
        assert_eq!(message.end(), Err(Refusal::Trailing { at: 2 }));
    }
}
