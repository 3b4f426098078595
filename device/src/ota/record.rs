//! What the updater remembers across resets: one blob in NVS, replaced as a whole.
//!
//! It holds no secret and no authority. The manifest is fetched and verified again after every reset, and the record
//! only counts if it names the same release; the worst that a wrong record can do is a download from the start.
//!
//! ```text
//!  0 format u8 = 1 | phase u8 | attempts u8 | slot u8
//!  4 release id, 32 bytes
//! 36 next chunk u32 LE | last ciphertext block, 16 bytes
//! 56 otadata sequence u32 LE | major, minor, patch u16 LE | secure version u32 LE
//! 70 reason: length u8, 32 bytes of text, unused ones zero
//! 103
//! ```

use crate::slots::SlotIndex;
use cotter_formats::read::{ReadError, Reader};
use cotter_wire::ids::{ReleaseId, SecureVersion};
use cotter_wire::manifest::VerifiedManifest;
use cotter_wire::version::Version;

/// The progress of one release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) phase: Phase,
    /// How often this release was downloaded in full and then failed without a verdict of its own.
    pub(crate) attempts: u8,
    pub(crate) slot: SlotIndex,
    pub(crate) release: ReleaseId,
    /// The first chunk that is not in flash; at a sector boundary, or after the last one.
    pub(crate) next_chunk: u32,
    /// The ciphertext block before `next_chunk`; the IV of the image at the start.
    pub(crate) last_block: [u8; 16],
    /// The otadata sequence number of the trial.
    pub(crate) sequence: u32,
    pub(crate) version: Version,
    pub(crate) secure_version: SecureVersion,
    pub(crate) reason: Reason,
}

/// How far the release got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Chunks are missing, or the verification.
    Downloading = 1,
    /// The slot is verified, and marked or about to be.
    Trying = 2,
    /// Confirmed, and the server does not know yet.
    Installed = 3,
    /// Tried and given up, and the server does not know yet.
    RolledBack = 4,
    /// Given up for good: the same release is not tried again.
    Rejected = 5,
}

/// A refusal's stable name, as kept over a reset: kebab-case, at most 32 characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    text: [u8; Self::MAX_LEN],
    len: u8,
}

impl Reason {
    /// Longest text.
    pub const MAX_LEN: usize = 32;

    /// Takes a stable name; `None` if it is too long or not kebab-case.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let mut text = [0; Self::MAX_LEN];
        text.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        let kebab = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        kebab.then_some(Self { text, len: u8::try_from(name.len()).ok()? })
    }

    /// The text; empty if there was no reason.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl Phase {
    /// True if the server is still to be told.
    pub(crate) const fn is_unreported(self) -> bool {
        matches!(self, Self::Installed | Self::RolledBack)
    }
}

impl Record {
    /// Nothing downloaded yet.
    pub(crate) fn start(verified: &VerifiedManifest, slot: SlotIndex) -> Self {
        let manifest = verified.manifest();
        Self {
            phase: Phase::Downloading,
            attempts: 0,
            slot,
            release: verified.release(),
            next_chunk: 0,
            last_block: manifest.iv,
            sequence: 0,
            version: manifest.version,
            secure_version: manifest.secure_version,
            reason: Reason::default(),
        }
    }

    pub(crate) const LEN: usize = 103;

    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..4].copy_from_slice(&[FORMAT, self.phase as u8, self.attempts, self.slot.0]);
        out[4..36].copy_from_slice(&self.release.0);
        out[36..40].copy_from_slice(&self.next_chunk.to_le_bytes());
        out[40..56].copy_from_slice(&self.last_block);
        out[56..60].copy_from_slice(&self.sequence.to_le_bytes());
        out[60..62].copy_from_slice(&self.version.major.to_le_bytes());
        out[62..64].copy_from_slice(&self.version.minor.to_le_bytes());
        out[64..66].copy_from_slice(&self.version.patch.to_le_bytes());
        out[66..70].copy_from_slice(&self.secure_version.0.to_le_bytes());
        out[70] = self.reason.len;
        out[71..].copy_from_slice(&self.reason.text);
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(bytes);
        match reader.u8()? {
            FORMAT => {}
            found => return Err(RecordError::Format { found }),
        }
        let phase = match reader.u8()? {
            1 => Phase::Downloading,
            2 => Phase::Trying,
            3 => Phase::Installed,
            4 => Phase::RolledBack,
            5 => Phase::Rejected,
            found => return Err(RecordError::Phase { found }),
        };
        let (attempts, slot) = (reader.u8()?, SlotIndex(reader.u8()?));
        let release = ReleaseId(reader.array()?);
        let (next_chunk, last_block) = (reader.u32_le()?, reader.array()?);
        let sequence = reader.u32_le()?;
        let version = Version::new(reader.u16_le()?, reader.u16_le()?, reader.u16_le()?);
        let secure_version = SecureVersion(reader.u32_le()?);
        let len = usize::from(reader.u8()?);
        let text: [u8; Reason::MAX_LEN] = reader.array()?;
        reader.finish()?;
        let name = text.get(..len).and_then(|name| core::str::from_utf8(name).ok());
        let reason = name.and_then(Reason::new).filter(|reason| reason.text == text).ok_or(RecordError::Reason)?;
        Ok(Self { phase, attempts, slot, release, next_chunk, last_block, sequence, version, secure_version, reason })
    }
}

/// Why a stored record is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("update record: {0}")]
    Read(#[from] ReadError),
    #[error("update record: format {found}, expected 1")]
    Format { found: u8 },
    #[error("update record: phase {found} is unknown")]
    Phase { found: u8 },
    #[error("update record: the reason is not a stable name")]
    Reason,
}

const FORMAT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECORD: Record = Record {
        phase: Phase::Trying,
        attempts: 2,
        slot: SlotIndex(1),
        release: ReleaseId([7; 32]),
        next_chunk: 130,
        last_block: [9; 16],
        sequence: 4,
        version: Version::new(1, 2, 65535),
        secure_version: SecureVersion(3),
        reason: Reason { text: [0; 32], len: 0 },
    };

    #[test]
    fn round_trips_every_phase() {
        let phases = [Phase::Downloading, Phase::Trying, Phase::Installed, Phase::RolledBack, Phase::Rejected];
        for phase in phases {
            for reason in ["", "self-test-zero-gain", "0123456789-0123456789-0123456789"] {
                let record = Record { phase, reason: Reason::new(reason).unwrap(), ..RECORD };
                assert_eq!(Record::parse(&record.encode()), Ok(record));
                assert_eq!(record.reason.as_str(), reason);
            }
        }
    }

    #[test]
    fn refuses_what_it_did_not_write() {
        let changed = |at: usize, value: u8| {
            let mut bytes = RECORD.encode();
            bytes[at] = value;
            Record::parse(&bytes)
        };
        assert_eq!(changed(0, 2), Err(RecordError::Format { found: 2 }));
        assert_eq!(changed(1, 0), Err(RecordError::Phase { found: 0 }));
        assert_eq!(changed(1, 6), Err(RecordError::Phase { found: 6 }));
        assert_eq!(changed(70, 33), Err(RecordError::Reason));
        assert_eq!(changed(71, b'a'), Err(RecordError::Reason));
        assert_eq!(
            Record::parse(&RECORD.encode()[..102]),
            Err(RecordError::Read(ReadError::Truncated { at: 71, needed: 32, remaining: 31 }))
        );
        assert_eq!(Reason::new("Not Kebab"), None);
        assert_eq!(Reason::new(&"a".repeat(33)), None);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_to_what_encodes_to_them_or_not_at_all(bytes: [u8; 32], tail: [u8; 32]) {
            let mut raw = RECORD.encode();
            raw[2..34].copy_from_slice(&bytes);
            raw[38..70].copy_from_slice(&tail);
            prop_assert_eq!(Record::parse(&raw).unwrap().encode(), raw);
        }
    }
}
