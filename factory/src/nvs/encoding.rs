//! The text of a CSV row, or the content of the file it names, as a typed NVS value.
//!
//! As `esp_idf_nvs_partition_gen` 0.3.0 reads it, except that what it guesses at is refused: base64 must be canonical
//! (theirs skips foreign characters), `blob_fill(...)` may have nothing after it, `binary` text must be ASCII.

use crate::hex::unhex;
use base64ct::{Base64, Encoding as _};
use cotter_formats::nvs::Value;
use cotter_formats::nvs::image::MAX_BLOB;
use std::str::FromStr;

/// The third column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `u8`
    U8,
    /// `i8`
    I8,
    /// `u16`
    U16,
    /// `i16`
    I16,
    /// `u32`
    U32,
    /// `i32`
    I32,
    /// `u64`
    U64,
    /// `i64`
    I64,
    /// `string`
    String,
    /// `hex2bin`: hexadecimal digits.
    Hex,
    /// `base64`
    Base64,
    /// `binary`: the bytes themselves.
    Binary,
    /// `blob_fill(LENGTH;0xPP)`: the text, filled up with PP.
    Fill {
        /// Bytes in all.
        len: usize,
        /// What fills the rest.
        padding: u8,
    },
    /// `blob_sz_fill(LENGTH;0xPP)`: the text's length as a little-endian u32 before it. What Wi-Fi keeps its SSID in.
    SizedFill {
        /// Bytes in all, without the length.
        len: usize,
        /// What fills the rest.
        padding: u8,
    },
}

impl FromStr for Encoding {
    type Err = UnknownEncoding;

    fn from_str(text: &str) -> Result<Self, UnknownEncoding> {
        // The generator takes the names of numbers in either case.
        Ok(match text {
            "string" => Self::String,
            "hex2bin" => Self::Hex,
            "base64" => Self::Base64,
            "binary" => Self::Binary,
            _ if text.eq_ignore_ascii_case("u8") => Self::U8,
            _ if text.eq_ignore_ascii_case("i8") => Self::I8,
            _ if text.eq_ignore_ascii_case("u16") => Self::U16,
            _ if text.eq_ignore_ascii_case("i16") => Self::I16,
            _ if text.eq_ignore_ascii_case("u32") => Self::U32,
            _ if text.eq_ignore_ascii_case("i32") => Self::I32,
            _ if text.eq_ignore_ascii_case("u64") => Self::U64,
            _ if text.eq_ignore_ascii_case("i64") => Self::I64,
            _ => return fill(text).ok_or(UnknownEncoding),
        })
    }
}

fn fill(text: &str) -> Option<Encoding> {
    let (name, arguments) = text.strip_suffix(')')?.split_once('(')?;
    let (len, padding) = arguments.split_once(";0x")?;
    if len.is_empty() || !len.bytes().all(|byte| byte.is_ascii_digit()) || padding.len() != 2 {
        return None;
    }
    let [padding] = *unhex(padding)? else { return None };
    // A length beyond all bounds is left to `value` to refuse.
    let len = len.parse().unwrap_or(usize::MAX);
    match name {
        "blob_fill" => Some(Encoding::Fill { len, padding }),
        "blob_sz_fill" => Some(Encoding::SizedFill { len, padding }),
        _ => None,
    }
}

/// Not an encoding that the generator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown encoding")]
pub struct UnknownEncoding;

impl Encoding {
    /// The value of a `data` row.
    ///
    /// # Errors
    /// [`ValueError`]. The text is never repeated in it: it may be a secret.
    pub fn value(self, text: &str) -> Result<Value<'_>, ValueError> {
        Ok(match self {
            Self::U8 => Value::U8(number(text)?),
            Self::I8 => Value::I8(number(text)?),
            Self::U16 => Value::U16(number(text)?),
            Self::I16 => Value::I16(number(text)?),
            Self::U32 => Value::U32(number(text)?),
            Self::I32 => Value::I32(number(text)?),
            Self::U64 => Value::U64(number(text)?),
            Self::I64 => Value::I64(number(text)?),
            Self::String => Value::string(text),
            Self::Hex => Value::blob(unhex(text.trim()).ok_or(ValueError::Hex)?),
            Self::Base64 => Value::blob(Base64::decode_vec(text.trim()).map_err(|_| ValueError::Base64)?),
            Self::Binary if text.is_ascii() => Value::blob(text.as_bytes()),
            Self::Binary => return Err(ValueError::BinaryText),
            Self::Fill { len, padding } => Value::blob(filled(Vec::new(), text, len, padding)?),
            Self::SizedFill { len, padding } => {
                let size = u32::try_from(text.len()).map_err(|_| ValueError::FillLength)?;
                Value::blob(filled(size.to_le_bytes().to_vec(), text, len, padding)?)
            }
        })
    }

    /// The value of a `file` row.
    ///
    /// # Errors
    /// [`ValueError`].
    pub fn file_value(self, content: &[u8]) -> Result<Value<'_>, ValueError> {
        match self {
            Self::Binary => Ok(Value::blob(content)),
            Self::Fill { .. } | Self::SizedFill { .. } => Err(ValueError::FillFile),
            _ => self.value(std::str::from_utf8(content).map_err(|_| ValueError::NotText)?),
        }
    }
}

fn filled(mut bytes: Vec<u8>, text: &str, len: usize, padding: u8) -> Result<Vec<u8>, ValueError> {
    if len > MAX_BLOB {
        return Err(ValueError::FillLength);
    }
    let rest = len.checked_sub(text.len()).ok_or(ValueError::FillOverflow { len: text.len(), limit: len })?;
    bytes.extend_from_slice(text.as_bytes());
    bytes.resize(bytes.len() + rest, padding);
    Ok(bytes)
}

/// What Python's `int()` takes, without its other scripts' digits: spaces around, a sign, underscores between digits.
fn number<T: FromStr>(text: &str) -> Result<T, ValueError> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let plain = digits.split('_').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    if !plain {
        return Err(ValueError::Number);
    }
    // "-0" is no number to Rust's unsigned types.
    let sign = if text.starts_with('-') && digits.bytes().any(|byte| matches!(byte, b'1'..=b'9')) { "-" } else { "" };
    format!("{sign}{}", digits.replace('_', "")).parse().map_err(|_| ValueError::Range)
}

/// Why a text is not a value of its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a decimal number.
    #[error("the value is not a decimal number")]
    Number,
    /// A number, but not of this type.
    #[error("the value is out of the type's range")]
    Range,
    /// Not an even count of hexadecimal digits.
    #[error("the value is not hexadecimal in whole bytes")]
    Hex,
    /// Not canonical base64.
    #[error("the value is not base64 with its padding")]
    Base64,
    /// `binary` with other than ASCII text in a `data` row.
    #[error("binary text is not ASCII; put it into a file, or write hex2bin")]
    BinaryText,
    /// A file that should be text.
    #[error("the file is not UTF-8")]
    NotText,
    /// A fill of a file, which the generator cannot do either.
    #[error("blob_fill and blob_sz_fill take data rows only")]
    FillFile,
    /// More than any blob holds.
    #[error("the length of the fill is more than the {MAX_BLOB} bytes of a blob")]
    FillLength,
    /// The text is longer than the blob.
    #[error("the value is {len} bytes, the fill takes {limit}")]
    FillOverflow {
        /// Length of the text.
        len: usize,
        /// Length stated.
        limit: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(encoding: &str, text: &'a str) -> Result<Value<'a>, ValueError> {
        encoding.parse::<Encoding>().unwrap().value(text)
    }

    #[test]
    fn numbers_are_what_python_takes() {
        for (encoding, text, expected) in [
            ("u8", " 007 ", Value::U8(7)),
            ("U8", "+255", Value::U8(255)),
            ("u8", "-0", Value::U8(0)),
            ("i8", "-128", Value::I8(-128)),
            ("u32", "4_294_967_295", Value::U32(u32::MAX)),
            ("i64", "-9223372036854775808", Value::I64(i64::MIN)),
            ("u64", "18446744073709551615", Value::U64(u64::MAX)),
        ] {
            assert_eq!(value(encoding, text), Ok(expected), "{encoding} {text}");
        }
        for text in ["", "-", "0x10", "1__0", "_1", "1_", "1.0", "٣", "--1"] {
            assert_eq!(value("u32", text), Err(ValueError::Number), "{text}");
        }
        for (encoding, text) in [("u8", "256"), ("u8", "-1"), ("i8", "128"), ("u64", "18446744073709551616")] {
            assert_eq!(value(encoding, text), Err(ValueError::Range), "{encoding} {text}");
        }
    }

    #[test]
    fn blobs_in_every_spelling() {
        assert_eq!(value("hex2bin", " 00fF "), Ok(Value::blob(vec![0, 0xFF])));
        assert_eq!(value("base64", "SGVsbG8="), Ok(Value::blob(&b"Hello"[..])));
        assert_eq!(value("binary", "hi"), Ok(Value::blob(&b"hi"[..])));
        assert_eq!(value("blob_fill(4;0xAa)", "hi"), Ok(Value::blob(&b"hi\xAA\xAA"[..])));
        assert_eq!(value("blob_sz_fill(3;0x00)", "hi"), Ok(Value::blob(&b"\x02\0\0\0hi\0"[..])));
        assert_eq!(value("hex2bin", "abc"), Err(ValueError::Hex));
        assert_eq!(value("hex2bin", "+1"), Err(ValueError::Hex));
        assert_eq!(value("base64", "SGVsbG8"), Err(ValueError::Base64));
        assert_eq!(value("binary", "ä"), Err(ValueError::BinaryText));
        assert_eq!(value("blob_fill(1;0xAA)", "hi"), Err(ValueError::FillOverflow { len: 2, limit: 1 }));
        assert_eq!(value("blob_fill(99999999999999999999999;0xAA)", ""), Err(ValueError::FillLength));
        assert_eq!(Encoding::Fill { len: 1, padding: 0 }.file_value(b""), Err(ValueError::FillFile));
        assert_eq!(Encoding::String.file_value(b"\xFF"), Err(ValueError::NotText));
    }

    #[test]
    fn unknown_encodings_are_refused() {
        for text in
            ["", "STRING", "u128", "blob_fill(4;0xA)", "blob_fill(4;0xAA) ", "blob_fill(;0xAA)", "blob_fill(+4;0xAA)"]
        {
            assert_eq!(text.parse::<Encoding>(), Err(UnknownEncoding), "{text}");
        }
    }
}
