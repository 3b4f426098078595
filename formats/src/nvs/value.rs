//! A value of an NVS partition, with its type.

use super::entry::ItemType;
use alloc::borrow::Cow;
use core::fmt;

/// What a key stands for.
#[derive(Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// Unsigned, 1 byte.
    U8(u8),
    /// Signed, 1 byte.
    I8(i8),
    /// Unsigned, 2 bytes.
    U16(u16),
    /// Signed, 2 bytes.
    I16(i16),
    /// Unsigned, 4 bytes.
    U32(u32),
    /// Signed, 4 bytes.
    I32(i32),
    /// Unsigned, 8 bytes.
    U64(u64),
    /// Signed, 8 bytes.
    I64(i64),
    /// Text, without its final NUL.
    String(Cow<'a, str>),
    /// Bytes.
    Blob(Cow<'a, [u8]>),
    /// A one-entry type that this crate does not interpret (float, double, later ones).
    Other {
        /// Type as stored.
        kind: ItemType,
        /// The eight value bytes as stored.
        raw: [u8; 8],
    },
}

impl<'a> Value<'a> {
    /// Text.
    pub fn string(text: impl Into<Cow<'a, str>>) -> Self {
        Self::String(text.into())
    }

    /// Bytes.
    pub fn blob(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self::Blob(bytes.into())
    }

    /// Type and value bytes, for a value that fits one entry.
    pub(super) fn number(&self) -> Option<(ItemType, [u8; 8])> {
        Some(match *self {
            Self::U8(value) => (ItemType::U8, padded(value.to_le_bytes())),
            Self::I8(value) => (ItemType::I8, padded(value.to_le_bytes())),
            Self::U16(value) => (ItemType::U16, padded(value.to_le_bytes())),
            Self::I16(value) => (ItemType::I16, padded(value.to_le_bytes())),
            Self::U32(value) => (ItemType::U32, padded(value.to_le_bytes())),
            Self::I32(value) => (ItemType::I32, padded(value.to_le_bytes())),
            Self::U64(value) => (ItemType::U64, value.to_le_bytes()),
            Self::I64(value) => (ItemType::I64, value.to_le_bytes()),
            Self::Other { kind, raw } => (kind, raw),
            Self::String(_) | Self::Blob(_) => return None,
        })
    }

    /// The value of an entry without data.
    pub(super) fn from_number(kind: ItemType, raw: [u8; 8]) -> Self {
        let [a, b, c, d, ..] = raw;
        match kind {
            ItemType::U8 => Self::U8(a),
            ItemType::I8 => Self::I8(i8::from_le_bytes([a])),
            ItemType::U16 => Self::U16(u16::from_le_bytes([a, b])),
            ItemType::I16 => Self::I16(i16::from_le_bytes([a, b])),
            ItemType::U32 => Self::U32(u32::from_le_bytes([a, b, c, d])),
            ItemType::I32 => Self::I32(i32::from_le_bytes([a, b, c, d])),
            ItemType::U64 => Self::U64(u64::from_le_bytes(raw)),
            ItemType::I64 => Self::I64(i64::from_le_bytes(raw)),
            kind => Self::Other { kind, raw },
        }
    }
}

/// Numbers in full, text and blobs by their length only: they may be keys.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U8(value) => write!(f, "U8({value})"),
            Self::I8(value) => write!(f, "I8({value})"),
            Self::U16(value) => write!(f, "U16({value})"),
            Self::I16(value) => write!(f, "I16({value})"),
            Self::U32(value) => write!(f, "U32({value})"),
            Self::I32(value) => write!(f, "I32({value})"),
            Self::U64(value) => write!(f, "U64({value})"),
            Self::I64(value) => write!(f, "I64({value})"),
            Self::String(text) => write!(f, "String({} bytes)", text.len()),
            Self::Blob(bytes) => write!(f, "Blob({} bytes)", bytes.len()),
            Self::Other { kind, .. } => write!(f, "Other(type {:#04x})", kind.0),
        }
    }
}

fn padded<const N: usize>(bytes: [u8; N]) -> [u8; 8] {
    let mut value = [0xFF; 8];
    value[..N].copy_from_slice(&bytes);
    value
}
