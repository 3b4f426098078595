//! Base64url without padding (RFC 4648 section 5, RFC 7515 appendix C), in its one spelling.

use base64ct::{Base64UrlUnpadded, Encoding};

/// Decodes into the beginning of `out`.
///
/// # Errors
/// [`Base64UrlError`]; `TooLong` if `out` is too small.
pub(super) fn decode<'o>(text: &[u8], out: &'o mut [u8]) -> Result<&'o [u8], Base64UrlError> {
    let mut last = 0;
    for (at, digit) in text.iter().enumerate() {
        last = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            b'+' | b'/' => return Err(Base64UrlError::OtherAlphabet { at }),
            b'=' => return Err(Base64UrlError::Padding { at }),
            b' ' | b'\t' | b'\r' | b'\n' => return Err(Base64UrlError::Whitespace { at }),
            _ => return Err(Base64UrlError::Character { at }),
        };
    }
    let cut_off = match text.len() % 4 {
        0 => 0,
        2 => 0b1111,
        3 => 0b11,
        _ => return Err(Base64UrlError::Length(text.len())),
    };
    if last & cut_off != 0 {
        return Err(Base64UrlError::TrailingBits);
    }
    let max = out.len();
    let out = out.get_mut(..text.len() * 3 / 4).ok_or(Base64UrlError::TooLong { max })?;
    Base64UrlUnpadded::decode(text, out).map_err(|_| Base64UrlError::Length(text.len()))
}

/// Why a part is not base64url. Offsets count from the start of the part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Base64UrlError {
    /// Padding, which tokens do without.
    #[error("padding at offset {at}")]
    Padding {
        /// Where.
        at: usize,
    },
    /// `+` or `/`, of the standard alphabet.
    #[error("a character of the standard alphabet at offset {at}")]
    OtherAlphabet {
        /// Where.
        at: usize,
    },
    /// White space.
    #[error("white space at offset {at}")]
    Whitespace {
        /// Where.
        at: usize,
    },
    /// A character of no base64 alphabet.
    #[error("not base64url at offset {at}")]
    Character {
        /// Where.
        at: usize,
    },
    /// A length that no bytes have.
    #[error("{0} characters encode no whole number of bytes")]
    Length(usize),
    /// The last character says more than the bytes do: a second spelling of the same bytes.
    #[error("non-zero trailing bits")]
    TrailingBits,
    /// More bytes than this part may have.
    #[error("more than {max} bytes")]
    TooLong {
        /// The bound.
        max: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn has_one_spelling() {
        let cases: [(&str, Base64UrlError); 13] = [
            ("Zg==", Base64UrlError::Padding { at: 2 }),
            ("Zg=", Base64UrlError::Padding { at: 2 }),
            ("=", Base64UrlError::Padding { at: 0 }),
            ("+_8", Base64UrlError::OtherAlphabet { at: 0 }),
            ("-/8", Base64UrlError::OtherAlphabet { at: 1 }),
            ("Zm9v ", Base64UrlError::Whitespace { at: 4 }),
            ("Zm9v\n", Base64UrlError::Whitespace { at: 4 }),
            ("Zm\u{e9}v", Base64UrlError::Character { at: 2 }),
            ("Zm9\0", Base64UrlError::Character { at: 3 }),
            ("Z", Base64UrlError::Length(1)),
            ("Zm9vZ", Base64UrlError::Length(5)),
            ("Zh", Base64UrlError::TrailingBits),
            ("Zm9", Base64UrlError::TrailingBits),
        ];
        for (text, refusal) in cases {
            assert_eq!(decode(text.as_bytes(), &mut [0; 8]), Err(refusal), "{text}");
        }
        assert_eq!(decode(b"Zm9vZm9v", &mut [0; 5]), Err(Base64UrlError::TooLong { max: 5 }));
    }

    #[test]
    fn reads_the_vectors_of_rfc_4648() {
        for (text, bytes) in [
            ("", ""),
            ("Zg", "f"),
            ("Zm8", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg", "foob"),
            ("Zm9vYmE", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(decode(text.as_bytes(), &mut [0; 8]), Ok(bytes.as_bytes()));
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_encodes_to_itself(text in "[A-Za-z0-9_-]{0,40}") {
            let (mut out, mut again) = ([0; 30], [0; 40]);
            if let Ok(bytes) = decode(text.as_bytes(), &mut out) {
                prop_assert_eq!(Base64UrlUnpadded::encode(bytes, &mut again).expect("fits"), text);
            }
        }
    }
}
