//! The one reader for untrusted bytes: refuses truncation and trailing bytes, and knows its offset.

/// A cursor over bytes that nobody has checked yet.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at offset 0 of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Offset of the next unread byte, from the start of the input.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// Bytes not yet read.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `len` bytes, without copying.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] if fewer remain; the cursor does not move.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], ReadError> {
        let truncated = ReadError::Truncated { at: self.at, needed: len, remaining: self.remaining() };
        let end = self.at.checked_add(len).ok_or(truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(truncated)?;
        self.at = end;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] if fewer remain.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] at the end of the input.
    pub fn u8(&mut self) -> Result<u8, ReadError> {
        self.array().map(|[byte]| byte)
    }

    /// A little-endian `u16`.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] if fewer than two bytes remain.
    pub fn u16_le(&mut self) -> Result<u16, ReadError> {
        self.array().map(u16::from_le_bytes)
    }

    /// A little-endian `u32`.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] if fewer than four bytes remain.
    pub fn u32_le(&mut self) -> Result<u32, ReadError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Ends the read.
    ///
    /// # Errors
    /// [`ReadError::Trailing`] if bytes are left over.
    pub const fn finish(self) -> Result<(), ReadError> {
        match self.remaining() {
            0 => Ok(()),
            extra => Err(ReadError::Trailing { at: self.at, extra }),
        }
    }
}

/// Why a [`Reader`] stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The input ended inside a field.
    #[error("truncated at offset {at:#x}: {needed} bytes needed, {remaining} remain")]
    Truncated {
        /// Offset of the field.
        at: usize,
        /// Its length.
        needed: usize,
        /// What was left.
        remaining: usize,
    },
    /// The input goes on after its last field.
    #[error("{extra} bytes left over at offset {at:#x}")]
    Trailing {
        /// Offset of the first byte too many.
        at: usize,
        /// How many.
        extra: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_truncation_without_moving() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u16_le(), Ok(0x0201));
        assert_eq!(reader.u32_le(), Err(ReadError::Truncated { at: 2, needed: 4, remaining: 1 }));
        assert_eq!(reader.u8(), Ok(3));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn refuses_trailing_bytes() {
        assert_eq!(Reader::new(&[1]).finish(), Err(ReadError::Trailing { at: 0, extra: 1 }));
    }

    #[test]
    fn refuses_a_length_that_overflows() {
        let mut reader = Reader::new(&[0; 4]);
        reader.take(1).expect("one byte is there");
        assert!(reader.take(usize::MAX).is_err());
    }
}
