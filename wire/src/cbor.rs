//! Canonical CBOR (RFC 8949, section 4.2.1): items with exactly one spelling, read one after the other.
//!
//! A [`Reader`] does not walk through CBOR: it expects the items of one message in one order. minicbor reads them, and
//! what it is lenient about is refused here: heads longer than they need to be, indefinite lengths, bytes after the end.
//! A [`Writer`] produces that one spelling.

use crate::canonical::OutputFull;
use minicbor::data::{Tag, Type};
use minicbor::decode::{self, Decoder};
use minicbor::encode::Encoder;
use minicbor::encode::write::Cursor;

/// Reads the items of one message.
#[derive(Debug)]
pub struct Reader<'a> {
    decoder: Decoder<'a>,
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { decoder: Decoder::new(bytes) }
    }

    /// Where the next item begins.
    #[must_use]
    pub fn at(&self) -> usize {
        self.decoder.position()
    }

    /// The number of a tag.
    ///
    /// # Errors
    /// [`CborError`].
    pub fn tag(&mut self) -> Result<u64, CborError> {
        let at = self.at();
        let tag = self.read("a tag", Decoder::tag)?.as_u64();
        self.shortest(at, self.at(), tag)?;
        Ok(tag)
    }

    /// The number of items of an array.
    ///
    /// # Errors
    /// [`CborError`].
    pub fn array(&mut self) -> Result<u64, CborError> {
        self.container("an array", Decoder::array)
    }

    /// The number of pairs of a map.
    ///
    /// # Errors
    /// [`CborError`].
    pub fn map(&mut self) -> Result<u64, CborError> {
        self.container("a map", Decoder::map)
    }

    /// An integer from 0 on that a `T` can hold.
    ///
    /// # Errors
    /// [`CborError`].
    pub fn unsigned<T: TryFrom<u64>>(&mut self) -> Result<T, CborError> {
        let at = self.at();
        let number = self.read("an unsigned integer", Decoder::u64)?;
        self.shortest(at, self.at(), number)?;
        T::try_from(number).map_err(|_| CborError::Range { at })
    }

    /// An integer.
    ///
    /// # Errors
    /// [`CborError`].
    pub fn integer(&mut self) -> Result<i64, CborError> {
        let at = self.at();
        let number = self.read("an integer", Decoder::i64)?;
        // The head of a negative number n holds -1 - n, which is !n.
        self.shortest(at, self.at(), if number < 0 { !number } else { number }.unsigned_abs())?;
        Ok(number)
    }

    /// A byte string.
    ///
    /// # Errors
    /// [`CborError`].
    pub fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let at = self.at();
        let bytes = self.read("a byte string", Decoder::bytes)?;
        self.shortest(at, self.at() - bytes.len(), bytes.len() as u64)?;
        Ok(bytes)
    }

    /// Nothing follows.
    ///
    /// # Errors
    /// [`CborError::Trailing`].
    pub fn end(&self) -> Result<(), CborError> {
        let at = self.at();
        if at == self.decoder.input().len() { Ok(()) } else { Err(CborError::Trailing { at }) }
    }

    fn container(
        &mut self,
        expected: &'static str,
        read: impl FnOnce(&mut Decoder<'a>) -> Result<Option<u64>, decode::Error>,
    ) -> Result<u64, CborError> {
        let at = self.at();
        let len = self.read(expected, read)?.ok_or(CborError::Indefinite { at })?;
        self.shortest(at, self.at(), len)?;
        Ok(len)
    }

    fn read<T>(
        &mut self,
        expected: &'static str,
        read: impl FnOnce(&mut Decoder<'a>) -> Result<T, decode::Error>,
    ) -> Result<T, CborError> {
        let at = self.at();
        let indefinite = [Type::BytesIndef, Type::StringIndef, Type::ArrayIndef, Type::MapIndef];
        if self.decoder.datatype().is_ok_and(|kind| indefinite.contains(&kind)) {
            return Err(CborError::Indefinite { at });
        }
        read(&mut self.decoder).map_err(|error| {
            if error.is_end_of_input() { CborError::Truncated { at } } else { CborError::Expected { at, expected } }
        })
    }

    /// Whether the head from `at` to `end` is the shortest that can hold this argument.
    fn shortest(&self, at: usize, end: usize, argument: u64) -> Result<(), CborError> {
        let needed = match argument {
            0..=23 => 1,
            24..=0xff => 2,
            0x100..=0xffff => 3,
            0x1_0000..=0xffff_ffff => 5,
            0x1_0000_0000.. => 9,
        };
        if end - at == needed { Ok(()) } else { Err(CborError::NotShortest { at }) }
    }
}

/// Appends items to a caller's buffer. An item that does not fit is noticed once, by [`Self::finish`].
#[derive(Debug)]
pub struct Writer<'o> {
    encoder: Encoder<Cursor<&'o mut [u8]>>,
    full: bool,
}

impl<'o> Writer<'o> {
    /// Starts at the beginning of `out`.
    pub fn new(out: &'o mut [u8]) -> Self {
        Self { encoder: Encoder::new(Cursor::new(out)), full: false }
    }

    /// The head of a tagged item.
    pub fn tag(&mut self, tag: u64) -> &mut Self {
        self.append(|encoder| encoder.tag(Tag::new(tag)).is_ok())
    }

    /// The head of an array of `len` items.
    pub fn array(&mut self, len: u64) -> &mut Self {
        self.append(|encoder| encoder.array(len).is_ok())
    }

    /// The head of a map of `len` pairs.
    pub fn map(&mut self, len: u64) -> &mut Self {
        self.append(|encoder| encoder.map(len).is_ok())
    }

    /// An integer from 0 on.
    pub fn unsigned(&mut self, number: impl Into<u64>) -> &mut Self {
        let number = number.into();
        self.append(|encoder| encoder.u64(number).is_ok())
    }

    /// A text string.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.append(|encoder| encoder.str(text).is_ok())
    }

    /// A byte string.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.append(|encoder| encoder.bytes(bytes).is_ok())
    }

    /// The message.
    ///
    /// # Errors
    /// [`OutputFull`] if any item did not fit.
    pub fn finish(self) -> Result<&'o [u8], OutputFull> {
        let cursor = self.encoder.into_writer();
        let len = cursor.position();
        if self.full { Err(OutputFull) } else { cursor.into_inner().get(..len).ok_or(OutputFull) }
    }

    fn append(&mut self, item: impl FnOnce(&mut Encoder<Cursor<&'o mut [u8]>>) -> bool) -> &mut Self {
        self.full = self.full || !item(&mut self.encoder);
        self
    }
}

/// Why bytes are not the one spelling of a message. Offsets count from the start of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// The message ends inside this item, or before it.
    #[error("CBOR ends inside the item at offset {at}")]
    Truncated {
        /// Where the item begins.
        at: usize,
    },
    /// The message goes on after its last item.
    #[error("bytes after the end of the CBOR, at offset {at}")]
    Trailing {
        /// Offset of the first of them.
        at: usize,
    },
    /// An item of a length that its head does not say.
    #[error("CBOR item of indefinite length at offset {at}")]
    Indefinite {
        /// Where it begins.
        at: usize,
    },
    /// A number, or a length, in more bytes than it needs.
    #[error("CBOR head longer than it needs to be at offset {at}")]
    NotShortest {
        /// Where it begins.
        at: usize,
    },
    /// An item of another kind.
    #[error("expected {expected} at offset {at}")]
    Expected {
        /// Where it begins.
        at: usize,
        /// What belongs there.
        expected: &'static str,
    },
    /// A number beyond its type.
    #[error("number out of range at offset {at}")]
    Range {
        /// Where it begins.
        at: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;
    use proptest::prelude::*;

    #[test]
    fn reads_the_shortest_spelling_and_refuses_every_longer_one() {
        let spellings: [(u64, &[&[u8]]); 4] = [
            (23, &[&hex!("17"), &hex!("1817"), &hex!("190017"), &hex!("1a00000017"), &hex!("1b0000000000000017")]),
            (255, &[&hex!("18ff"), &hex!("1900ff"), &hex!("1a000000ff"), &hex!("1b00000000000000ff")]),
            (65535, &[&hex!("19ffff"), &hex!("1a0000ffff"), &hex!("1b000000000000ffff")]),
            (u32::MAX.into(), &[&hex!("1affffffff"), &hex!("1b00000000ffffffff")]),
        ];
        for (number, spellings) in spellings {
            let (shortest, longer) = spellings.split_first().expect("not empty");
            assert_eq!(Reader::new(shortest).unsigned(), Ok(number));
            for spelling in longer {
                assert_eq!(Reader::new(spelling).unsigned::<u64>(), Err(CborError::NotShortest { at: 0 }), "{number}");
            }
        }
        assert_eq!(Reader::new(&hex!("3818")).integer(), Ok(-25));
        assert_eq!(Reader::new(&hex!("3817")).integer(), Err(CborError::NotShortest { at: 0 }));
        assert_eq!(Reader::new(&hex!("580100")).bytes(), Err(CborError::NotShortest { at: 0 }));
        assert_eq!(Reader::new(&hex!("9801")).array(), Err(CborError::NotShortest { at: 0 }));
        assert_eq!(Reader::new(&hex!("b801")).map(), Err(CborError::NotShortest { at: 0 }));
        assert_eq!(Reader::new(&hex!("d810")).tag(), Err(CborError::NotShortest { at: 0 }));
    }

    #[test]
    fn refuses_by_name_what_is_not_there() {
        let indefinite = Err(CborError::Indefinite { at: 0 });
        assert_eq!(Reader::new(&hex!("9f00ff")).array(), indefinite);
        assert_eq!(Reader::new(&hex!("bfff")).map(), indefinite);
        assert_eq!(Reader::new(&hex!("5f4100ff")).bytes().map(<[u8]>::len), Err(CborError::Indefinite { at: 0 }));
        assert_eq!(Reader::new(&hex!("19ff")).unsigned::<u64>(), Err(CborError::Truncated { at: 0 }));
        assert_eq!(Reader::new(&hex!("")).tag(), Err(CborError::Truncated { at: 0 }));
        assert_eq!(Reader::new(&hex!("4200")).bytes(), Err(CborError::Truncated { at: 0 }));
        assert_eq!(Reader::new(&hex!("1c")).tag(), Err(CborError::Expected { at: 0, expected: "a tag" }));
        assert_eq!(Reader::new(&hex!("60")).bytes(), Err(CborError::Expected { at: 0, expected: "a byte string" }));
        assert_eq!(
            Reader::new(&hex!("20")).unsigned::<u8>(),
            Err(CborError::Expected { at: 0, expected: "an unsigned integer" })
        );
        assert_eq!(Reader::new(&hex!("190100")).unsigned::<u8>(), Err(CborError::Range { at: 0 }));
        let mut reader = Reader::new(&hex!("0000"));
        assert_eq!((reader.unsigned::<u8>(), reader.end()), (Ok(0), Err(CborError::Trailing { at: 1 })));
    }

    #[test]
    fn a_buffer_one_byte_short_is_noticed_wherever_it_ends() {
        let write = |out: &mut [u8]| {
            let mut writer = Writer::new(out);
            writer.tag(16).array(2).map(1).unsigned(300u16).text("ab").bytes(&[7; 24]);
            writer.finish().map(<[u8]>::len)
        };
        for len in 0..35 {
            assert_eq!(write(&mut [0; 35][..len]), Err(OutputFull), "{len}");
        }
        assert_eq!(write(&mut [0; 35]), Ok(35));
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(tag: u64, number: u64, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut out = [0; 400];
            let mut writer = Writer::new(&mut out);
            writer.tag(tag).array(number).map(number).unsigned(number).bytes(&bytes);
            let mut reader = Reader::new(writer.finish().expect("fits"));
            prop_assert_eq!(reader.tag(), Ok(tag));
            prop_assert_eq!((reader.array(), reader.map()), (Ok(number), Ok(number)));
            prop_assert_eq!(reader.unsigned(), Ok(number));
            prop_assert_eq!(reader.bytes(), Ok(&bytes[..]));
            prop_assert_eq!(reader.end(), Ok(()));
        }
    }
}
