//! What came of a command, as only its device can say it.

use super::{Address, CommandCounter, CommandError};
use crate::canonical::{Scanner, Writer};
use crate::ids::KeyEpoch;
use crate::keys::{self, CommandResultKey};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Longest result, in bytes.
pub const MAX_RESULT: usize = 256;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Tried, and it did not work.
    Failed,
    /// The device does not know this command, or cannot take these values: not tried.
    Rejected,
    /// It came too late: not tried.
    Expired,
    /// It was begun, and the power went: whether it took effect is not known. It is not tried again.
    Interrupted,
}

impl Outcome {
    /// All of them, by their number on the wire.
    pub const ALL: [Self; 5] = [Self::Done, Self::Failed, Self::Rejected, Self::Expired, Self::Interrupted];

    /// Its number in the MAC and in stores.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What came of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandResult {
    /// Of which.
    pub counter: CommandCounter,
    /// How it ended.
    pub outcome: Outcome,
    detail: heapless::String<{ Self::MAX_DETAIL }>,
}

impl CommandResult {
    /// Longest detail, in characters.
    pub const MAX_DETAIL: usize = 64;

    /// A result. What `detail` has beyond 64 characters is cut off, and what JSON would have to escape becomes `?`:
    /// a diagnosis must not fail for its wording.
    #[must_use]
    pub fn new(counter: CommandCounter, outcome: Outcome, detail: &str) -> Self {
        let mut text = heapless::String::new();
        for character in detail.chars().take(Self::MAX_DETAIL) {
            let printable = u8::try_from(character).is_ok_and(is_plain);
            text.push(if printable { character } else { '?' }).expect("64 ASCII characters fit");
        }
        Self { counter, outcome, detail: text }
    }

    /// For a person; possibly empty.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Writes it, signed by the device that `from` names, into the beginning of `out`; [`MAX_RESULT`] bytes are always
    /// enough.
    ///
    /// # Errors
    /// [`CommandError::OutputFull`].
    pub fn write<'o>(
        &self,
        key: &CommandResultKey,
        from: &Address<'_>,
        out: &'o mut [u8],
    ) -> Result<&'o [u8], CommandError> {
        let mac = authenticate(key, from, self).finalize().into_bytes();
        let mut writer = Writer::new(out);
        writer.literal("{\"version\":1,\"epoch\":").number(from.epoch.0);
        writer.literal(",\"counter\":").number(self.counter.0);
        writer.literal(",\"outcome\":\"").literal(self.outcome.as_str()).literal("\",\"detail\":\"");
        writer.literal(&self.detail).literal("\",\"mac\":\"").hex(&mac).literal("\"}");
        Ok(writer.finish()?)
    }
}

/// A well-formed result of which nothing is believed yet.
#[derive(Clone, Debug)]
pub struct UnverifiedResult {
    epoch: KeyEpoch,
    result: CommandResult,
    mac: [u8; 32],
}

impl UnverifiedResult {
    /// Reads the one spelling. Does no cryptography.
    ///
    /// # Errors
    /// [`CommandError::Canonical`].
    pub fn parse(raw: &[u8]) -> Result<Self, CommandError> {
        let mut scanner = Scanner::new(raw, MAX_RESULT)?;
        scanner.literal("{\"version\":1,\"epoch\":")?;
        let epoch = KeyEpoch(scanner.u32()?);
        scanner.literal(",\"counter\":")?;
        let counter = CommandCounter(scanner.u32()?);
        scanner.literal(",\"outcome\":\"")?;
        let outcome = Outcome::ALL.into_iter().find(|outcome| scanner.accepts(outcome.as_str()));
        let Some(outcome) = outcome else {
            return Err(scanner.literal("done").err().map_or(CommandError::Mac, Into::into));
        };
        scanner.literal("\",\"detail\":\"")?;
        let detail = scanner.text_or_empty(CommandResult::MAX_DETAIL, is_plain)?;
        let result = CommandResult::new(counter, outcome, core::str::from_utf8(detail).unwrap_or_default());
        scanner.literal("\",\"mac\":\"")?;
        let mac = scanner.hex()?;
        scanner.literal("\"}")?;
        scanner.end()?;
        Ok(Self { epoch, result, mac })
    }

    /// The result, if the device of `from` said it in its epoch. Constant time. The counter of `from` is not looked at.
    ///
    /// # Errors
    /// [`CommandError::OtherEpoch`], [`CommandError::Mac`].
    pub fn verify(self, key: &CommandResultKey, from: &Address<'_>) -> Result<CommandResult, CommandError> {
        if self.epoch != from.epoch {
            return Err(CommandError::OtherEpoch { own: from.epoch, got: self.epoch });
        }
        authenticate(key, from, &self.result).verify_slice(&self.mac).map_err(|_| CommandError::Mac)?;
        Ok(self.result)
    }
}

fn authenticate(key: &CommandResultKey, from: &Address<'_>, result: &CommandResult) -> Hmac<Sha256> {
    let mut mac = keys::hmac(key.expose());
    mac.update(b"cotter/command-result/v1\0");
    mac.update(&[from.device.len_byte()]);
    mac.update(from.device.as_bytes());
    mac.update(&from.epoch.0.to_be_bytes());
    mac.update(&result.counter.0.to_be_bytes());
    mac.update(&[result.outcome.number(), result.detail.len().to_le_bytes()[0]]);
    mac.update(result.detail.as_bytes());
    mac
}

/// Printable ASCII that JSON does not escape.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}
