//! A telemetry packet, version 2: a reading in a `COSE_Encrypt0` (RFC 9052), a quarter of what version 1 takes.
//!
//! ```text
//! 16([ h'A10101',                    protected {1: 1}: A128GCM, no other
//!      {6: h'..'},                   Partial IV: the sequence number, big-endian, without leading zeros, 1 to 5 bytes
//!      h'..' ])                      AES-128-GCM(key, nonce, aad, reading), the tag of 16 bytes at its end
//!
//! key, common IV   HKDF, see `keys`: of this device, epoch and direction
//! nonce            common IV XOR the sequence number in 12 bytes, big-endian (as OSCORE does, RFC 8613)
//! aad              ["Encrypt0", h'A10101', external aad]
//! external aad     ["cotter/telemetry/v2", device id, direction 0 up 1 down, epoch, "reading"]
//! ```
//!
//! The CBOR is canonical, so a packet has one spelling. What is not in it, the device's name and the key epoch, comes from
//! the path and the receiver's records, and the tag holds only if they are the sender's. There is no key id and no choice
//! of algorithm: a device's keys are for A128GCM.
//!
//! The receiver goes through three types: [`CompactPacket::parse`] believes nothing, [`CompactPacket::open`] yields an
//! [`Opened`], and only that has a content.

use crate::canonical::OutputFull;
use crate::cbor::{CborError, Reader, Writer};
use crate::ids::{DeviceId, KeyEpoch, Sequence};
use crate::keys::{self, CommonIv, CompactKey, Direction, RootKey};
use crate::reading::Reading;
use aes_gcm::{AeadInOut, Aes128Gcm, KeyInit};
use sha2::{Digest, Sha256};

/// Longest packet, in bytes; a body beyond it is refused unread.
pub const MAX_COMPACT: usize = 16 + MAX_PLAIN + TAG;
/// Longest content, in bytes.
pub const MAX_PLAIN: usize = Reading::MAX_COMPACT;
/// What the body of a request is.
pub const CONTENT_TYPE: &str = "application/cose";

/// The keys of one direction of one device in one epoch, and their context: what both ends agree on unsaid.
#[derive(Debug)]
pub struct Channel {
    key: CompactKey,
    iv: CommonIv,
    device: DeviceId,
    epoch: KeyEpoch,
    direction: Direction,
}

impl Channel {
    /// Derives it; both ends do.
    #[must_use]
    pub fn derive(root: &RootKey, device: &DeviceId, epoch: KeyEpoch, direction: Direction) -> Self {
        let (key, iv) = keys::compact(root, device, epoch, direction);
        Self { key, iv, device: *device, epoch, direction }
    }

    /// Of which generation of keys.
    #[must_use]
    pub const fn epoch(&self) -> KeyEpoch {
        self.epoch
    }

    /// Makes a packet in the beginning of `out`; [`MAX_COMPACT`] bytes are always enough.
    ///
    /// `sequence` must never have been used before in this channel: GCM under one nonce twice gives its key away.
    /// Reserve first, then seal. `plain` is at most [`MAX_PLAIN`] bytes.
    ///
    /// # Errors
    /// [`CompactError::PlainLength`] if `plain` is too long, [`CompactError::OutputFull`] if `out` is too small.
    pub fn seal<'o>(&self, sequence: Sequence, plain: &[u8], out: &'o mut [u8]) -> Result<&'o [u8], CompactError> {
        let mut buffer = [0; MAX_PLAIN + TAG];
        let (text, rest) = buffer.split_at_mut_checked(plain.len()).ok_or(CompactError::PlainLength(plain.len()))?;
        let tag_place = rest.get_mut(..TAG).ok_or(CompactError::PlainLength(plain.len()))?;
        // 1. Encrypt and authenticate, with the context.
        text.copy_from_slice(plain);
        let tag = Aes128Gcm::new(self.key.expose().into())
            .encrypt_inout_detached(&self.nonce(sequence).into(), self.aad(&mut [0; MAX_AAD]), text.into())
            .map_err(|_| CompactError::PlainLength(plain.len()))?;
        tag_place.copy_from_slice(&tag);
        // 2. Put it into its envelope.
        let number = sequence.get().to_be_bytes();
        let mut writer = Writer::new(out);
        writer.tag(ENCRYPT0).array(3).bytes(PROTECTED);
        writer.map(1).unsigned(PARTIAL_IV).bytes(&number[leading_zeros(&number)..]);
        writer.bytes(&buffer[..plain.len() + TAG]);
        Ok(writer.finish()?)
    }

    fn nonce(&self, sequence: Sequence) -> [u8; 12] {
        let mut nonce = *self.iv.expose();
        nonce[4..].iter_mut().zip(sequence.get().to_be_bytes()).for_each(|(byte, number)| *byte ^= number);
        nonce
    }

    /// The `Enc_structure` of RFC 9052, section 5.3.
    fn aad<'o>(&self, out: &'o mut [u8; MAX_AAD]) -> &'o [u8] {
        let mut external = [0; MAX_EXTERNAL];
        let mut writer = Writer::new(&mut external);
        writer.array(5).text(PROTOCOL).text(self.device.as_str()).unsigned(self.direction as u8);
        writer.unsigned(self.epoch.0).text(CONTENT);
        let external = writer.finish().expect("the longest is 1 + 20 + 34 + 1 + 5 + 8 bytes");
        let mut writer = Writer::new(out);
        writer.array(3).text("Encrypt0").bytes(PROTECTED).bytes(external);
        writer.finish().expect("the longest is 1 + 9 + 4 + 2 bytes and the external part")
    }
}

/// A well-formed packet of which nothing is believed yet.
#[derive(Clone, Debug)]
#[doc(alias = "COSE_Encrypt0")]
pub struct CompactPacket<'a> {
    raw: &'a [u8],
    sequence: Sequence,
    text: &'a [u8],
    tag: &'a [u8; TAG],
}

impl<'a> CompactPacket<'a> {
    /// Reads the one spelling of a packet. Does no cryptography.
    ///
    /// # Errors
    /// [`CompactError`], but for [`CompactError::NotAuthentic`].
    pub fn parse(raw: &'a [u8]) -> Result<Self, CompactError> {
        if raw.len() > MAX_COMPACT {
            return Err(CompactError::TooLong(raw.len()));
        }
        // 1. COSE_Encrypt0, tagged: an array of three.
        let mut reader = Reader::new(raw);
        let tag = reader.tag()?;
        if tag != ENCRYPT0 {
            return Err(CompactError::NotEncrypt0 { tag });
        }
        let items = reader.array()?;
        if items != 3 {
            return Err(CompactError::Items(items));
        }
        // 2. The protected header is a map in a byte string: the algorithm, which is not the sender's to choose.
        let mut protected = Reader::new(reader.bytes()?);
        let algorithm = header(&mut protected, Header::Protected, ALGORITHM, Reader::integer)?;
        protected.end().map_err(CompactError::Protected)?;
        if algorithm != A128GCM {
            return Err(CompactError::Algorithm(algorithm));
        }
        // 3. The unprotected header: the sequence number.
        let number = header(&mut reader, Header::Unprotected, PARTIAL_IV, Reader::bytes)?;
        let sequence = sequence(number)?;
        // 4. The ciphertext, and nothing after it.
        let sealed = reader.bytes()?;
        reader.end()?;
        let (text, tag) = sealed.split_last_chunk().ok_or(CompactError::SealedLength(sealed.len()))?;
        if text.len() > MAX_PLAIN {
            return Err(CompactError::SealedLength(sealed.len()));
        }
        Ok(Self { raw, sequence, text, tag })
    }

    /// The number that it claims.
    #[must_use]
    pub const fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Checks the tag, in constant time, and decrypts into the beginning of `out`. `channel` is that of the device that
    /// the path names.
    ///
    /// # Errors
    /// [`CompactError::NotAuthentic`]; count it, but let the sender learn no more than "refused".
    /// [`CompactError::OutputFull`] if `out` is too small; [`MAX_PLAIN`] bytes are always enough.
    pub fn open<'o>(self, channel: &Channel, out: &'o mut [u8]) -> Result<Opened<'a, 'o>, CompactError> {
        let plain = out.get_mut(..self.text.len()).ok_or(CompactError::OutputFull)?;
        plain.copy_from_slice(self.text);
        Aes128Gcm::new(channel.key.expose().into())
            .decrypt_inout_detached(
                &channel.nonce(self.sequence).into(),
                channel.aad(&mut [0; MAX_AAD]),
                (&mut *plain).into(),
                self.tag.into(),
            )
            .map_err(|_| CompactError::NotAuthentic)?;
        Ok(Opened { raw: self.raw, sequence: self.sequence, plain })
    }
}

/// What its device has sealed, exactly so. Whether it is a replay is for the receiver's store to say.
#[derive(Clone, Copy, Debug)]
pub struct Opened<'a, 'o> {
    raw: &'a [u8],
    sequence: Sequence,
    plain: &'o [u8],
}

impl<'o> Opened<'_, 'o> {
    /// Its number.
    #[must_use]
    pub const fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// SHA-256 of the whole packet. As a packet has one spelling, equal digests mean the same packet.
    #[must_use]
    pub fn packet_digest(&self) -> [u8; 32] {
        Sha256::digest(self.raw).into()
    }

    /// What was sealed.
    #[must_use]
    pub const fn content(&self) -> &'o [u8] {
        self.plain
    }
}

/// Reads a header map that holds one label, and its value.
fn header<'a, T>(
    reader: &mut Reader<'a>,
    header: Header,
    wanted: u8,
    value: impl Fn(&mut Reader<'a>) -> Result<T, CborError>,
) -> Result<T, CompactError> {
    let in_header = |error| match header {
        Header::Protected => CompactError::Protected(error),
        Header::Unprotected => CompactError::Cbor(error),
    };
    let wanted = i64::from(wanted);
    let mut found = None;
    for _ in 0..reader.map().map_err(in_header)? {
        let label = reader.integer().map_err(in_header)?;
        if label != wanted {
            return Err(CompactError::UnknownLabel { header, label });
        }
        if found.is_some() {
            return Err(CompactError::DuplicateLabel { header, label });
        }
        found = Some(value(reader).map_err(in_header)?);
    }
    found.ok_or(CompactError::MissingLabel { header, label: wanted })
}

/// The number in a Partial IV, which has one spelling.
fn sequence(bytes: &[u8]) -> Result<Sequence, CompactError> {
    let refused = CompactError::Sequence { len: bytes.len() };
    if bytes.is_empty() || bytes.len() > 5 || leading_zeros(bytes) > 0 {
        return Err(refused);
    }
    Sequence::new(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))).ok_or(refused)
}

/// How many bytes at the front say nothing; the last one always says something.
fn leading_zeros(number: &[u8]) -> usize {
    number.iter().take(number.len().saturating_sub(1)).take_while(|byte| **byte == 0).count()
}

const PROTOCOL: &str = "cotter/telemetry/v2";
const CONTENT: &str = "reading";
/// CBOR tag of a `COSE_Encrypt0`; header labels and the algorithm: RFC 9052, table 1 and 3.1, RFC 9053, table 5.
const ENCRYPT0: u64 = 16;
const ALGORITHM: u8 = 1;
const PARTIAL_IV: u8 = 6;
const A128GCM: i64 = 1;
const PROTECTED: &[u8] = &[0xa1, 1, 1];
const TAG: usize = 16;
const MAX_EXTERNAL: usize = 72;
const MAX_AAD: usize = 96;

/// Which of the two headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// Under the tag.
    Protected,
    /// In the clear.
    Unprotected,
}

impl core::fmt::Display for Header {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Protected => "protected",
            Self::Unprotected => "unprotected",
        })
    }
}

/// Why a packet was not sealed, or is refused. For the audit log; the sender learns only "refused".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompactError {
    /// Longer than any packet.
    #[error("packet: {0} bytes, at most {MAX_COMPACT}")]
    TooLong(usize),
    /// Not canonical CBOR, or another shape.
    #[error("packet: {0}")]
    Cbor(#[from] CborError),
    /// As before, inside the protected header; the offset counts from its start.
    #[error("packet: in the protected header: {0}")]
    Protected(#[source] CborError),
    /// Another kind of COSE message.
    #[error("packet: CBOR tag {tag}, expected 16 (COSE_Encrypt0)")]
    NotEncrypt0 {
        /// Its tag.
        tag: u64,
    },
    /// Not three parts.
    #[error("packet: {0} items, expected 3")]
    Items(u64),
    /// A header without what must be there.
    #[error("packet: the {header} header lacks label {label}")]
    MissingLabel {
        /// Which header.
        header: Header,
        /// Which label.
        label: i64,
    },
    /// A header that says something twice.
    #[error("packet: the {header} header has label {label} twice")]
    DuplicateLabel {
        /// Which header.
        header: Header,
        /// Which label.
        label: i64,
    },
    /// A header that says more than it may.
    #[error("packet: label {label} does not belong in the {header} header")]
    UnknownLabel {
        /// Which header.
        header: Header,
        /// Which label.
        label: i64,
    },
    /// The sender chose an algorithm.
    #[error("packet: algorithm {0}, expected 1 (A128GCM)")]
    Algorithm(i64),
    /// Not a number of 1 to 5 bytes without leading zeros.
    #[error("packet: the Partial IV of {len} bytes is no sequence number")]
    Sequence {
        /// Its length.
        len: usize,
    },
    /// Too short for a tag, or too long for a reading.
    #[error("packet: ciphertext of {0} bytes")]
    SealedLength(usize),
    /// Nobody who knows the key made this packet for this device, epoch and direction.
    #[error("packet: the tag does not hold")]
    NotAuthentic,
    /// Too long to be sealed.
    #[error("packet: content of {0} bytes, at most {MAX_PLAIN}")]
    PlainLength(usize),
    /// The caller's buffer is too small.
    #[error("packet: the output buffer is too small")]
    OutputFull,
}

impl From<OutputFull> for CompactError {
    fn from(OutputFull: OutputFull) -> Self {
        Self::OutputFull
    }
}

#[cfg(test)]
mod tests;
