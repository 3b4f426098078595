//! Writes the one spelling of a message.

use crate::hex;
use base64ct::{Base64, Encoding};

/// Appends tokens to a caller's buffer. A token that does not fit is noticed once, by [`Self::finish`].
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut [u8],
    at: usize,
    full: bool,
}

impl<'o> Writer<'o> {
    /// Starts at the beginning of `out`.
    pub const fn new(out: &'o mut [u8]) -> Self {
        Self { out, at: 0, full: false }
    }

    /// A literal token, or text whose type guarantees that nothing in it needs an escape.
    pub fn literal(&mut self, text: &str) -> &mut Self {
        self.append(text.len(), |out| {
            out.copy_from_slice(text.as_bytes());
            true
        })
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.literal(if value { "true" } else { "false" })
    }

    /// A number.
    pub fn number(&mut self, value: impl Into<u64>) -> &mut Self {
        self.decimal(value.into())
    }

    fn decimal(&mut self, value: u64) -> &mut Self {
        let (mut rest, mut len) = (value, 1);
        while rest >= 10 {
            rest /= 10;
            len += 1;
        }
        self.append(len, |out| {
            let mut rest = value;
            for digit in out.iter_mut().rev() {
                *digit = b"0123456789"[(rest % 10) as usize];
                rest /= 10;
            }
            true
        })
    }

    /// Lower-case hexadecimal.
    pub fn hex(&mut self, bytes: &[u8]) -> &mut Self {
        self.append(bytes.len().saturating_mul(2), |out| hex::encode(bytes, out).is_some())
    }

    /// Standard base64 with padding.
    pub fn base64(&mut self, bytes: &[u8]) -> &mut Self {
        self.append(bytes.len().div_ceil(3).saturating_mul(4), |out| Base64::encode(bytes, out).is_ok())
    }

    /// What has been written so far; empty after an overflow.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        if self.full { &[] } else { &self.out[..self.at] }
    }

    /// The message.
    ///
    /// # Errors
    /// [`OutputFull`] if any token did not fit.
    pub fn finish(self) -> Result<&'o [u8], OutputFull> {
        if self.full { Err(OutputFull) } else { Ok(&self.out[..self.at]) }
    }

    fn append(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> bool) -> &mut Self {
        let end = self.at.saturating_add(len);
        let filled = !self.full && self.out.get_mut(self.at..end).is_some_and(fill);
        if filled {
            self.at = end;
        } else {
            self.full = true;
        }
        self
    }
}

/// The caller's buffer is too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the output buffer is too small")]
pub struct OutputFull;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::Scanner;
    use proptest::prelude::*;

    fn write(out: &mut [u8]) -> Result<&[u8], OutputFull> {
        let mut writer = Writer::new(out);
        writer.literal("{\"a\":").number(10u32).literal(",\"b\":").boolean(true).literal(",\"c\":\"").hex(&[0xab]);
        writer.literal("\",\"d\":\"").base64(b"fo").literal("\"}");
        writer.finish()
    }

    #[test]
    fn writes_without_spaces() {
        assert_eq!(write(&mut [0; 64]), Ok(&b"{\"a\":10,\"b\":true,\"c\":\"ab\",\"d\":\"Zm8=\"}"[..]));
    }

    #[test]
    fn a_buffer_one_byte_short_is_noticed_wherever_it_ends() {
        for len in 0..37 {
            assert_eq!(write(&mut [0; 64][..len]), Err(OutputFull), "{len}");
        }
        assert!(write(&mut [0; 37]).is_ok());
    }

    #[test]
    fn nothing_is_written_after_an_overflow() {
        let mut out = [0; 3];
        let mut writer = Writer::new(&mut out);
        writer.literal("abcd").literal("a");
        assert_eq!(writer.written(), b"");
        assert_eq!(writer.finish(), Err(OutputFull));
    }

    proptest! {
        #[test]
        fn the_scanner_reads_what_the_writer_wrote(
            number: u64,
            bytes in proptest::collection::vec(any::<u8>(), 1..100),
            fixed: [u8; 7],
        ) {
            let mut out = [0; 400];
            let mut writer = Writer::new(&mut out);
            writer.number(number).literal(",\"").base64(&bytes).literal("\",\"").hex(&fixed).literal("\"");
            let mut scanner = Scanner::new(writer.finish().expect("fits"), 400).expect("short");
            prop_assert_eq!(scanner.u64(), Ok(number));
            scanner.literal(",\"").expect("is there");
            let mut decoded = [0; 100];
            prop_assert_eq!(&*scanner.base64(200).expect("canonical").decode(&mut decoded).expect("fits"), &bytes[..]);
            scanner.literal("\",\"").expect("is there");
            prop_assert_eq!(scanner.hex(), Ok(fixed));
        }
    }
}
