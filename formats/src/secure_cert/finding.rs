//! A whole partition read past its faults, and everything that is wrong with it.

use super::entry::{Entries, Entry, Flags, Protection, TlvError, TlvType};
use super::signature::{SignatureData, SignatureDataError};
use super::{MAX_SUBTYPE, SALT_LEN, TAG_LEN, security_config_key};
use crate::chip::Chip;
use crate::ds::{DsContext, DsData, DsRecordError, Width};
use alloc::vec::Vec;
use core::fmt;
use sha2::{Digest, Sha256};

/// The entries of a partition, damaged ones too, and what was found about them.
#[derive(Debug)]
pub struct Inspection<'a> {
    /// In order.
    pub entries: Vec<Entry<'a>>,
    /// Where the entries end.
    pub end: usize,
    /// In the order of the entries, then what concerns the whole.
    pub findings: Vec<Finding>,
}

impl<'a> Inspection<'a> {
    /// The entry that the firmware finds: the first of this type and subtype.
    #[must_use]
    pub fn entry(&self, kind: TlvType, subtype: u8) -> Option<&Entry<'a>> {
        self.entries.iter().find(|entry| (entry.kind, entry.subtype) == (kind, subtype))
    }

    /// Bytes that the signatures cover: what is before the signature with subtype 0.
    #[must_use]
    pub fn signed_len(&self) -> Option<usize> {
        self.entry(TlvType::SIGNATURE, 0).map(|entry| entry.offset)
    }

    /// True if nothing is worse than a note.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.kind.weight() == Weight::Note)
    }
}

/// Something worth knowing, and about which entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Offset of the entry; `None` if it is about the whole partition.
    pub at: Option<usize>,
    /// What.
    pub kind: FindingKind,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Good to know.
    Note,
    /// It works, but a secret lies open or something is not protected that looks as if it were.
    Exposed,
    /// The firmware refuses it, or reads something else than is meant.
    Broken,
}

/// What can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FindingKind {
    /// Nothing here begins like an entry.
    NoEntries,
    Tlv(TlvError),
    /// Behind the last entry there is something that is neither erased nor the tool's end mark.
    Tail,
    Reserved,
    Padding,
    /// A type that means "end", "highest" or "none".
    Type(TlvType),
    Subtype(u8),
    Flags(Flags),
    /// The firmware only ever reads the first.
    Duplicate {
        first: usize,
    },
    Integrity,
    NoIntegrity,
    /// A signature is the first entry, so it covers nothing.
    SignatureFirst,
    /// There is no signature with subtype 0, where the firmware looks first.
    NoFirstSignature,
    Signature(SignatureDataError),
    /// The length written down is not what is signed.
    SignatureLength {
        stored: u32,
        signed: usize,
    },
    /// Behind the signature and not part of it.
    Unsigned(TlvType),
    PlainKey,
    /// The key of the ECDSA peripheral is in flash although it is in the eFuses.
    PeripheralKeyInFlash,
    EmptyKey,
    DerivedKeyNotEmpty,
    NoSalt,
    SaltLength(usize),
    NoSecurityConfig,
    SecurityConfig,
    /// A second entry under the same AES-GCM key and nonce.
    SecondEncrypted,
    EncryptedTooShort,
    Ds(DsRecordError),
    NoDsContext,
    NoDsData,
    DsLengths {
        data: u32,
        context: u16,
    },
    /// The chip's peripheral reads another length.
    DsWidth {
        chip: Chip,
        expected: usize,
        got: usize,
    },
    /// The chip has no such peripheral.
    NoDsPeripheral(Chip),
}

impl FindingKind {
    /// How bad it is.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        match self {
            Self::NoIntegrity | Self::SignatureLength { .. } | Self::Reserved | Self::Padding => Weight::Note,
            Self::PlainKey | Self::PeripheralKeyInFlash | Self::SecondEncrypted | Self::Unsigned(_) => Weight::Exposed,
            _ => Weight::Broken,
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEntries => f.write_str("no entry at offset 0"),
            Self::Tlv(error) => error.fmt(f),
            Self::Tail => f.write_str("behind the last entry the partition is not erased; the firmware stops here"),
            Self::Reserved => f.write_str("reserved bytes are not zero"),
            Self::Padding => f.write_str("padding is not zero"),
            Self::Type(kind) => write!(f, "type {} means something else to the firmware", kind.0),
            Self::Subtype(subtype) => write!(f, "subtype {subtype} is above 16"),
            Self::Flags(flags) => write!(f, "flags {:#04x} are unknown or contradict each other here", flags.0),
            Self::Duplicate { first } => write!(f, "same type and subtype as at {first:#x}, and so never read"),
            Self::Integrity => f.write_str("the SHA-256 of what is before does not match"),
            Self::NoIntegrity => f.write_str("no integrity entry: a missing entry at the end would not be noticed"),
            Self::SignatureFirst => f.write_str(
                "the signature comes first and so covers nothing; esp_secure_cert_tool up to 2.6.1 flashes this file \
                 instead of the one ending in _signed.bin",
            ),
            Self::NoFirstSignature => f.write_str("no signature with subtype 0, where the firmware begins"),
            Self::Signature(error) => error.fmt(f),
            Self::SignatureLength { stored, signed } => {
                write!(f, "the signature says that it covers {stored} bytes; the firmware takes {signed}")
            }
            Self::Unsigned(kind) => write!(f, "the {kind} is behind the signature, which does not cover it"),
            Self::PlainKey => f.write_str("the private key lies in flash in plain; only flash encryption protects it"),
            Self::PeripheralKeyInFlash => f.write_str(
                "the private key lies in flash in plain although the ECDSA peripheral takes it from the eFuses; \
                 esp_secure_cert_tool 2.6.1 leaves it there",
            ),
            Self::EmptyKey => f.write_str("the private key is empty"),
            Self::DerivedKeyNotEmpty => f.write_str("a derived key has no data of its own"),
            Self::NoSalt => f.write_str("a derived key without its salt"),
            Self::SaltLength(len) => write!(f, "a salt of {len} bytes, expected 32"),
            Self::NoSecurityConfig => f.write_str("a key of the ECDSA peripheral without its security config"),
            Self::SecurityConfig => f.write_str("security config names no key block"),
            Self::SecondEncrypted => f.write_str(
                "a second entry encrypted under the same AES-GCM key and nonce: together they give away both",
            ),
            Self::EncryptedTooShort => f.write_str("too short to be encrypted"),
            Self::Ds(error) => error.fmt(f),
            Self::NoDsContext => f.write_str("DS data without its context"),
            Self::NoDsData => f.write_str("DS context without its data"),
            Self::DsLengths { data, context } => {
                write!(f, "DS data for RSA-{data}, but the context says RSA-{context}")
            }
            Self::DsWidth { chip, expected, got } => {
                write!(f, "{got} bytes of DS ciphertext, but the {chip} reads {expected}")
            }
            Self::NoDsPeripheral(chip) => write!(f, "the {chip} has no digital signature peripheral"),
        }
    }
}

/// Reads a whole partition, or a file with its entries alone. With `chip`, DS data are held against its peripheral too.
#[must_use]
pub fn inspect(partition: &[u8], chip: Option<Chip>) -> Inspection<'_> {
    let mut walk = Entries::new(partition);
    let mut inspection = Inspection { entries: Vec::new(), end: 0, findings: Vec::new() };
    for entry in walk.by_ref() {
        match entry {
            Ok(entry) => {
                inspection.end = entry.end();
                inspection.entries.push(entry);
            }
            Err(error) => {
                inspection.findings.push(Finding { at: Some(inspection.end), kind: FindingKind::Tlv(error) });
            }
        }
    }
    let entries = core::mem::take(&mut inspection.entries);
    let mut search = Search { partition, chip, entries: &entries, findings: Vec::new() };
    for (index, entry) in entries.iter().enumerate() {
        search.entry(index, entry);
    }
    search.whole(inspection.end, !inspection.findings.is_empty());
    inspection.findings.splice(0..0, search.findings);
    inspection.entries = entries;
    inspection
}

struct Search<'s, 'a> {
    partition: &'a [u8],
    chip: Option<Chip>,
    entries: &'s [Entry<'a>],
    findings: Vec<Finding>,
}

impl Search<'_, '_> {
    fn find(&mut self, at: usize, kind: FindingKind) {
        self.findings.push(Finding { at: Some(at), kind });
    }

    fn has(&self, kind: TlvType, subtype: u8) -> bool {
        self.entries.iter().any(|entry| (entry.kind, entry.subtype) == (kind, subtype))
    }

    fn entry(&mut self, index: usize, entry: &Entry<'_>) {
        let at = entry.offset;
        if let Err(error) = entry.check() {
            self.find(at, FindingKind::Tlv(error));
        }
        if entry.reserved != [0; 3] {
            self.find(at, FindingKind::Reserved);
        }
        if entry.padding().iter().any(|&byte| byte != 0) {
            self.find(at, FindingKind::Padding);
        }
        if !entry.kind.is_storable() {
            self.find(at, FindingKind::Type(entry.kind));
        }
        if entry.subtype > MAX_SUBTYPE {
            self.find(at, FindingKind::Subtype(entry.subtype));
        }
        let same = |other: &&Entry<'_>| (other.kind, other.subtype) == (entry.kind, entry.subtype);
        if let Some(first) = self.entries[..index].iter().find(same) {
            self.find(at, FindingKind::Duplicate { first: first.offset });
        }
        match entry.flags.protection() {
            Some(Protection::None) => {}
            // What protects the others stands in plain.
            Some(_) if matches!(entry.kind, TlvType::SIGNATURE | TlvType::INTEGRITY) => {
                self.find(at, FindingKind::Flags(entry.flags));
            }
            Some(Protection::HmacEncrypted) => self.encrypted(index, entry),
            Some(_) if entry.kind == TlvType::PRIVATE_KEY => {}
            _ => self.find(at, FindingKind::Flags(entry.flags)),
        }
        match entry.kind {
            TlvType::PRIVATE_KEY => self.private_key(entry),
            TlvType::DS_DATA => self.ds_data(entry),
            TlvType::DS_CONTEXT => {
                if let Err(error) = DsContext::parse(entry.data) {
                    self.find(at, FindingKind::Ds(error));
                }
                if !self.has(TlvType::DS_DATA, entry.subtype) {
                    self.find(at, FindingKind::NoDsData);
                }
            }
            TlvType::ECDSA_SALT if entry.data.len() != SALT_LEN => {
                self.find(at, FindingKind::SaltLength(entry.data.len()));
            }
            TlvType::SECURITY_CONFIG if security_config_key(entry.data).is_none() => {
                self.find(at, FindingKind::SecurityConfig);
            }
            TlvType::INTEGRITY => {
                let digest: [u8; 32] = Sha256::digest(&self.partition[..at]).into();
                if entry.data != digest {
                    self.find(at, FindingKind::Integrity);
                }
            }
            TlvType::SIGNATURE => self.signature(entry),
            _ => {}
        }
    }

    fn encrypted(&mut self, index: usize, entry: &Entry<'_>) {
        if entry.data.len() <= TAG_LEN {
            self.find(entry.offset, FindingKind::EncryptedTooShort);
        }
        if self.entries[..index].iter().any(|other| other.flags == Flags::HMAC_ENCRYPTED) {
            self.find(entry.offset, FindingKind::SecondEncrypted);
        }
    }

    fn private_key(&mut self, entry: &Entry<'_>) {
        let (at, empty) = (entry.offset, entry.data.is_empty());
        match entry.flags.protection() {
            Some(Protection::None) if empty => self.find(at, FindingKind::EmptyKey),
            Some(Protection::None) => self.find(at, FindingKind::PlainKey),
            Some(Protection::EcdsaPeripheral) => {
                if !empty {
                    self.find(at, FindingKind::PeripheralKeyInFlash);
                }
                if !self.has(TlvType::SECURITY_CONFIG, entry.subtype) {
                    self.find(at, FindingKind::NoSecurityConfig);
                }
            }
            Some(Protection::HmacDerived) => {
                if !empty {
                    self.find(at, FindingKind::DerivedKeyNotEmpty);
                }
                if !self.has(TlvType::ECDSA_SALT, entry.subtype) {
                    self.find(at, FindingKind::NoSalt);
                }
            }
            Some(Protection::HmacEncrypted) | None => {}
        }
    }

    fn ds_data(&mut self, entry: &Entry<'_>) {
        let at = entry.offset;
        let data = match DsData::parse(entry.data) {
            Ok(data) => data,
            Err(error) => return self.find(at, FindingKind::Ds(error)),
        };
        let beside = |other: &&Entry<'_>| (other.kind, other.subtype) == (TlvType::DS_CONTEXT, entry.subtype);
        match self.entries.iter().find(beside).map(|context| DsContext::parse(context.data)) {
            None => self.find(at, FindingKind::NoDsContext),
            Some(Ok(context)) if u32::from(context.rsa_bits) != data.rsa_bits => {
                self.find(at, FindingKind::DsLengths { data: data.rsa_bits, context: context.rsa_bits });
            }
            Some(_) => {}
        }
        let Some(chip) = self.chip else { return };
        match Width::of(chip) {
            None => self.find(at, FindingKind::NoDsPeripheral(chip)),
            Some(width) if width.ciphertext_len() != data.ciphertext.len() => {
                let (expected, got) = (width.ciphertext_len(), data.ciphertext.len());
                self.find(at, FindingKind::DsWidth { chip, expected, got });
            }
            Some(_) => {}
        }
    }

    fn signature(&mut self, entry: &Entry<'_>) {
        let at = entry.offset;
        if at == 0 {
            self.find(at, FindingKind::SignatureFirst);
        }
        let first = |other: &&Entry<'_>| (other.kind, other.subtype) == (TlvType::SIGNATURE, 0);
        let first = self.entries.iter().find(first).map(|first| first.offset);
        match (SignatureData::parse(entry.data), first) {
            (Err(error), _) => self.find(at, FindingKind::Signature(error)),
            (Ok(_), None) => self.find(at, FindingKind::NoFirstSignature),
            (Ok(data), Some(signed)) if data.offset != 0 || usize::try_from(data.length) != Ok(signed) => {
                self.find(at, FindingKind::SignatureLength { stored: data.length, signed });
            }
            (Ok(_), Some(_)) => {}
        }
    }

    fn whole(&mut self, end: usize, truncated: bool) {
        let first_signature = self.entries.iter().position(|entry| entry.kind == TlvType::SIGNATURE);
        let behind = first_signature.map_or(&[][..], |index| &self.entries[index..]);
        for entry in behind.iter().filter(|entry| !matches!(entry.kind, TlvType::SIGNATURE | TlvType::INTEGRITY)) {
            self.findings.push(Finding { at: Some(entry.offset), kind: FindingKind::Unsigned(entry.kind) });
        }
        let whole = |kind| Finding { at: None, kind };
        let tail = &self.partition[end..];
        let tail = tail.strip_prefix(&END_MARK).unwrap_or(tail);
        if self.entries.is_empty() {
            self.findings.push(whole(FindingKind::NoEntries));
        } else if !truncated && tail.iter().any(|&byte| byte != 0xFF) {
            self.findings.push(Finding { at: Some(end), kind: FindingKind::Tail });
        }
        if !self.entries.iter().any(|entry| entry.kind == TlvType::INTEGRITY) {
            self.findings.push(whole(FindingKind::NoIntegrity));
        }
    }
}

/// What esp_secure_cert_tool writes behind an integrity entry that it appends.
const END_MARK: [u8; 4] = 0xFFFF_u32.to_le_bytes();

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
