//! What a boot did: its steps, the lines that were printed, and how it ended.

use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::otadata::OtaState;
use serde::{Serialize, Serializer};
use std::fmt;

/// One boot, from reset to the jump into the application or to the refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BootReport {
    /// What was checked, in order.
    pub steps: Vec<Step>,
    /// What came out of the UART. The ROM's lines are the real ones; those of the second stage lack time stamps.
    pub lines: Vec<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// If nothing runs because a first boot was interrupted: what is in the way, and what would help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stranded: Option<Stranded>,
}

impl BootReport {
    /// What runs now, if anything does.
    #[must_use]
    pub const fn booted(&self) -> Option<&Booted> {
        match &self.outcome {
            Outcome::Booted(booted) => Some(booted),
            Outcome::Refused(_) => None,
        }
    }

    /// Why nothing runs.
    #[must_use]
    pub const fn refusal(&self) -> Option<RefusalCode> {
        match &self.outcome {
            Outcome::Booted(_) => None,
            Outcome::Refused(code) => Some(*code),
        }
    }

    /// Why a slot was passed over, whether or not another one booted.
    #[must_use]
    pub fn slot_refusal(&self, slot: AppSlot) -> Option<RefusalCode> {
        self.steps.iter().filter(|step| step.slot == Some(slot)).find_map(|step| step.refusal)
    }
}

/// A chip whose first boot was interrupted where ESP-IDF does not find its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stranded {
    /// Where it stands.
    pub at: StrandedAt,
    /// What a person could still do.
    pub remedy: Remedy,
}

impl fmt::Display for Stranded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.at, self.remedy)
    }
}

/// Where a first boot was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StrandedAt {
    /// The flash was being encrypted in place, and the count that switches decryption on is not burned.
    HalfEncryptedFlash,
    /// The flash key is burned in part, or without its protections.
    HalfBurnedFlashKey,
    /// Secure Boot is burned in part.
    HalfBurnedSecureBoot,
    /// The eFuse key of NVS encryption is burned in part.
    HalfBurnedHmacKey,
    /// ESP32-C2: Secure Boot is on, flash encryption is not, and ESP-IDF switches on both or none.
    OnlyOneOfTwo,
}

impl fmt::Display for StrandedAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HalfEncryptedFlash => {
                "interrupted while the flash was encrypted in place: the second stage is ciphertext that nobody decrypts"
            }
            Self::HalfBurnedFlashKey => "interrupted while the flash key was burned: key or protections are incomplete",
            Self::HalfBurnedSecureBoot => "interrupted while Secure Boot was burned: its eFuses are incomplete",
            Self::HalfBurnedHmacKey => "interrupted while the key of NVS encryption was burned: its block is taken",
            Self::OnlyOneOfTwo => "interrupted between Secure Boot and flash encryption, which this chip gets together",
        })
    }
}

/// What brings a stranded chip back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// Plaintext is flashed once more, and the first boot starts again.
    Reflash,
    /// Somebody burns the bits that are missing with espefuse, and then flashes plaintext.
    FinishEfuses,
    /// An application is built that takes another key block.
    OtherKeyBlock,
    /// Nothing, as long as it is this second stage.
    None,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reflash => "flash the plaintext images again",
            Self::FinishEfuses => "burn the missing eFuse bits by hand, then flash the plaintext images again",
            Self::OtherKeyBlock => "build the application for another key block",
            Self::None => "nothing helps as long as it is this second stage",
        })
    }
}

/// How a boot ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The application runs.
    Booted(Booted),
    /// Nothing runs.
    Refused(RefusalCode),
}

/// One check or act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Who did it.
    pub stage: Stage,
    /// What it was about.
    pub what: &'static str,
    /// The application slot it was about, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<AppSlot>,
    /// What was found.
    pub found: String,
    /// Why it went no further here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<RefusalCode>,
}

/// Who checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The mask ROM.
    Rom,
    /// The bootloader in flash.
    SecondStage,
    /// What ESP-IDF runs in the application before `app_main`.
    Application,
}

/// A place for an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AppSlot {
    /// `factory`.
    Factory,
    /// `ota_N`.
    Ota(u8),
    /// `test`.
    Test,
}

impl fmt::Display for AppSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Factory => f.write_str("factory"),
            Self::Ota(index) => write!(f, "ota_{index}"),
            Self::Test => f.write_str("test"),
        }
    }
}

impl Serialize for AppSlot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The application that was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Booted {
    /// Where it was found.
    pub slot: AppSlot,
    /// Where its image begins.
    #[serde(serialize_with = "as_number")]
    pub offset: FlashAddr,
    /// How long its image is, checksum and digest included, signature not.
    #[serde(serialize_with = "len_as_number")]
    pub len: FlashLen,
    /// `version` of its descriptor.
    pub version: String,
    /// `project_name` of its descriptor.
    pub project_name: String,
    /// `secure_version` of its descriptor.
    pub secure_version: u32,
    /// True if its signature was checked.
    pub is_verified: bool,
    /// State of its otadata entry while it runs, if one selected it.
    #[serde(serialize_with = "state_name")]
    pub state: Option<OtaState>,
}

macro_rules! refusal_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a boot, or one slot, was refused. The strings are stable: tests and fleets compare them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum RefusalCode {
            $($(#[$doc])* $name,)*
        }

        impl RefusalCode {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

refusal_codes! {
    /// The supply was cut during the boot.
    PowerLost = "power-lost",
    /// No image begins there; under flash encryption: not encrypted for this chip and address.
    InvalidHeader = "invalid-header",
    /// More segments than 16.
    TooManySegments = "too-many-segments",
    /// Built for another chip.
    WrongChip = "wrong-chip",
    /// Built for newer or older revisions of the chip; the ROM does not look.
    WrongRevision = "wrong-revision",
    /// A segment does not fit, or there is no room for what follows it.
    MalformedImage = "malformed-image",
    /// The checksum byte is wrong.
    ChecksumMismatch = "checksum-mismatch",
    /// The appended SHA-256 is wrong.
    HashMismatch = "hash-mismatch",
    /// Secure Boot is on and the image has no appended SHA-256.
    HashMissing = "hash-missing",
    /// Secure Boot is on and there is no usable key digest.
    NoTrustedKey = "no-trusted-key",
    /// There is no signature block.
    Unsigned = "unsigned",
    /// The signature block is damaged, or of a kind that this chip does not know.
    SignatureBlockInvalid = "signature-block-invalid",
    /// The signature block is for other content.
    SignedDigestMismatch = "signed-digest-mismatch",
    /// The key of the signature is not in the eFuses, or revoked.
    UntrustedKey = "untrusted-key",
    /// The signature itself is wrong.
    BadSignature = "bad-signature",
    /// The second stage is larger than the ESP32's ROM can verify.
    BootloaderTooLarge = "bootloader-too-large",
    /// Download mode was asked for, and the eFuses have switched it off.
    DownloadModeDisabled = "download-mode-disabled",
    /// There is no partition table, or a damaged one.
    PartitionTableInvalid = "partition-table-invalid",
    /// There is no application descriptor.
    DescriptorMissing = "descriptor-missing",
    /// `secure_version` is below what the eFuses demand.
    SecureVersionTooLow = "secure-version-too-low",
    /// No slot holds anything that may run.
    NoBootableApp = "no-bootable-app",
    /// The second stage burned eFuses, and they do not read back.
    EfuseBurnFailed = "efuse-burn-failed",
    /// The second stage needs a key block, and none is free.
    NoFreeKeyBlock = "no-free-key-block",
    /// A flash key is there, but not protected against reading and writing.
    FlashKeyNotProtected = "flash-key-not-protected",
    /// The count of flash encryption is write-protected while it is even.
    CryptCountFrozen = "crypt-count-frozen",
    /// Compiled to refuse a chip on which this is not on already.
    NotEnabledBefore = "not-enabled-before",
    /// ESP32-C2: Secure Boot and flash encryption can only be switched on together, and one of them is on.
    OnlyOneOfTwo = "only-one-of-two",
    /// The application is signed with other keys than the second stage.
    KeysDiffer = "keys-differ",
    /// The second stage is too long for the place before the partition table.
    NoRoomForSignature = "no-room-for-signature",
    /// ESP32: the key of Secure Boot V1 is hidden or frozen, but not both.
    BootKeyHalfProtected = "boot-key-half-protected",
    /// The application wants an HMAC key in a block that holds something else.
    HmacBlockTaken = "hmac-block-taken",
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for RefusalCode {}

impl Serialize for RefusalCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A report that is being written.
#[derive(Debug, Default)]
pub(crate) struct Record {
    steps: Vec<Step>,
    lines: Vec<String>,
    is_silent: bool,
    /// What is being changed now.
    doing: Option<String>,
}

impl Record {
    /// Prints a line, unless printing is off.
    pub(crate) fn line(&mut self, line: impl Into<String>) {
        if !self.is_silent {
            self.lines.push(line.into());
        }
    }

    /// Switches printing off or on.
    pub(crate) const fn silence(&mut self, is_silent: bool) {
        self.is_silent = is_silent;
    }

    /// Notes a check that passed, or an act.
    pub(crate) fn step(&mut self, stage: Stage, what: &'static str, found: impl Into<String>) {
        self.steps.push(Step { stage, what, slot: None, found: found.into(), refusal: None });
    }

    /// Says what is being changed from now on; if power goes, the report names it.
    pub(crate) fn doing(&mut self, what: String) {
        self.doing = Some(what);
    }

    /// Notes any step.
    pub(crate) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Closes the report.
    pub(crate) fn close(mut self, outcome: Outcome) -> BootReport {
        if outcome == Outcome::Refused(RefusalCode::PowerLost)
            && let Some(found) = self.doing.take()
        {
            let (stage, refusal) = (Stage::SecondStage, Some(RefusalCode::PowerLost));
            self.steps.push(Step { stage, what: "power lost", slot: None, found, refusal });
        }
        BootReport { steps: self.steps, lines: self.lines, outcome, stranded: None }
    }
}

fn as_number<S: Serializer>(addr: &FlashAddr, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u32(addr.0)
}

fn len_as_number<S: Serializer>(len: &FlashLen, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u32(len.0)
}

#[allow(clippy::ref_option, reason = "serde's signature")]
fn state_name<S: Serializer>(state: &Option<OtaState>, serializer: S) -> Result<S::Ok, S::Error> {
    let name = match *state {
        None => return serializer.serialize_none(),
        Some(OtaState::NEW) => "new",
        Some(OtaState::PENDING_VERIFY) => "pending-verify",
        Some(OtaState::VALID) => "valid",
        Some(OtaState::INVALID) => "invalid",
        Some(OtaState::ABORTED) => "aborted",
        Some(_) => "undefined",
    };
    serializer.serialize_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_distinct_kebab_case() {
        let names: HashSet<_> = RefusalCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), RefusalCode::ALL.len());
        assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')));
    }

    #[test]
    fn silence_keeps_lines_out_of_the_report() {
        let mut record = Record::default();
        record.line("heard");
        record.silence(true);
        record.line("unheard");
        record.silence(false);
        assert_eq!(record.close(Outcome::Refused(RefusalCode::PowerLost)).lines, ["heard"]);
    }
}
