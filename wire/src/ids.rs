//! The names that go over the wire: device ids, key epochs, nonces and sequence numbers, release and key ids.

use crate::hex;
use core::fmt;
use core::str::FromStr;

/// A device's name: 1 to 32 of `[a-z0-9-]`. It is part of every MAC and of every key derivation, and safe in a path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId {
    // Bytes beyond `len` are zero, so that the derived comparisons hold.
    bytes: [u8; Self::MAX_LEN],
    len: u8,
}

impl DeviceId {
    /// Longest id, in bytes.
    pub const MAX_LEN: usize = 32;

    /// Checks length and alphabet.
    ///
    /// # Errors
    /// [`DeviceIdError::Length`] or [`DeviceIdError::Alphabet`].
    pub const fn from_bytes(bytes: &[u8]) -> Result<Self, DeviceIdError> {
        if bytes.is_empty() || bytes.len() > Self::MAX_LEN {
            return Err(DeviceIdError::Length(bytes.len()));
        }
        let mut id = Self { bytes: [0; Self::MAX_LEN], len: 0 };
        let mut at = 0;
        while at < bytes.len() {
            if !Self::allows(bytes[at]) {
                return Err(DeviceIdError::Alphabet { at });
            }
            id.bytes[at] = bytes[at];
            id.len += 1;
            at += 1;
        }
        Ok(id)
    }

    /// Whether `byte` may be in an id.
    #[must_use]
    pub const fn allows(byte: u8) -> bool {
        matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The id as ASCII bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Length in bytes, as MACs and derivations prefix it.
    #[must_use]
    pub(crate) const fn len_byte(&self) -> u8 {
        self.len
    }
}

impl FromStr for DeviceId {
    type Err = DeviceIdError;

    fn from_str(text: &str) -> Result<Self, DeviceIdError> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({})", self.as_str())
    }
}

/// Why bytes are no [`DeviceId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceIdError {
    /// Empty, or too long.
    #[error("a device id has 1 to 32 characters, got {0}")]
    Length(usize),
    /// A byte outside `[a-z0-9-]`.
    #[error("device id: the character at {at} is not one of a-z, 0-9, -")]
    Alphabet {
        /// Offset of the byte.
        at: usize,
    },
}

/// Which generation of a device's keys: part of the derivation, so that a rotation changes all of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyEpoch(pub u32);

/// A telemetry packet's number: strictly increasing per device and never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub u32);

/// A telemetry packet's place in the order of its device: the nonce of version 1, or the 40-bit sequence number of
/// version 2. Both count on one line per device and key epoch, so that a device that changes to version 2 goes on where it
/// was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(u64);

impl Sequence {
    /// The last one.
    pub const MAX: Self = Self((1 << 40) - 1);

    /// The number, unless it has more than 40 bits.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number <= Self::MAX.0 { Some(Self(number)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl From<Nonce> for Sequence {
    fn from(nonce: Nonce) -> Self {
        Self(nonce.0.into())
    }
}

/// Version of the telemetry protocol: 1 is [`packet`](crate::packet), 2 is [`compact`](crate::compact).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(u8);

impl Protocol {
    /// JSON, AES-128-CBC and HMAC.
    pub const V1: Self = Self(1);
    /// `COSE_Encrypt0`.
    pub const V2: Self = Self(2);

    /// One that we speak.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if matches!(number, 1 | 2) { Some(Self(number)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// The anti-rollback counter of an image, as the chip's eFuses count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecureVersion(pub u32);

/// Seconds since 1970-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub u64);

/// Which release: SHA-256 of the manifest body, so that one id can never mean two things.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseId(pub [u8; 32]);

/// Which signing key: the first 8 bytes of SHA-256 over its SubjectPublicKeyInfo (DER).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

macro_rules! plain_number {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
plain_number!(KeyEpoch Nonce Sequence Protocol SecureVersion UnixTime);

macro_rules! hex_text {
    ($($name:ident $len:literal)*) => {$(
        impl FromStr for $name {
            type Err = HexIdError;

            fn from_str(text: &str) -> Result<Self, HexIdError> {
                hex::decode::<$len>(text.as_bytes()).map(Self).ok_or(HexIdError { digits: 2 * $len })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut digits = [0; 2 * $len];
                f.write_str(hex::encode(&self.0, &mut digits).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    )*};
}
hex_text!(ReleaseId 32 KeyId 8);

/// Text that is not the one hexadecimal spelling of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected exactly {digits} lower-case hexadecimal digits")]
pub struct HexIdError {
    /// How many it must be.
    pub digits: usize,
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn accepts_one_to_thirty_two_of_the_alphabet() {
        for text in ["a", "esp32-001", "0123456789abcdef0123456789abcdef", "-"] {
            assert_eq!(text.parse::<DeviceId>().expect("legal").to_string(), text);
        }
    }

    #[test]
    fn refuses_what_could_be_another_path_or_another_spelling() {
        assert_eq!("".parse::<DeviceId>(), Err(DeviceIdError::Length(0)));
        assert_eq!("a".repeat(33).parse::<DeviceId>(), Err(DeviceIdError::Length(33)));
        for (text, at) in [("ESP32", 0), ("a/b", 1), ("a_b", 1), ("ab.", 2), ("a b", 1), ("a\0", 1), ("ä", 0)] {
            assert_eq!(text.parse::<DeviceId>(), Err(DeviceIdError::Alphabet { at }), "{text}");
        }
    }

    #[test]
    fn ids_with_a_common_prefix_differ() {
        let (short, long): (DeviceId, DeviceId) = ("a".parse().unwrap(), "aa".parse().unwrap());
        assert_ne!(short, long);
        assert!(short < long);
    }

    #[test]
    fn hexadecimal_ids_have_one_spelling() {
        let id = KeyId([0, 1, 2, 3, 0xfc, 0xfd, 0xfe, 0xff]);
        assert_eq!(id.to_string(), "00010203fcfdfeff");
        assert_eq!("00010203fcfdfeff".parse(), Ok(id));
        for text in ["00010203FCFDFEFF", "00010203fcfdfef", "00010203fcfdfeff00", ""] {
            assert_eq!(text.parse::<KeyId>(), Err(HexIdError { digits: 16 }), "{text}");
        }
        let release = ReleaseId([7; 32]);
        assert_eq!(release.to_string().parse(), Ok(release));
    }
}
