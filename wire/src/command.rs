//! A command to one device, and what came of it.
//!
//! ```text
//! command  {"version":1,"epoch":1,"counter":7,"nonce":"<24 hex>","sealed":"<base64>"}
//!          sealed = AES-256-GCM(command key, nonce, expires u64 BE | content, aad), the tag at the end
//!          aad = "cotter/command/v1\0" | length of the id u8 | id | epoch u32 BE | counter u32 BE
//! content  name | count u8 | count x { name, kind u8, value }
//!          name = length u8 | a-z 0-9 -; kind 0: boolean u8, 1: integer i64 BE, 2: text, length u8 | printable ASCII
//! result   {"version":1,"epoch":1,"counter":7,"outcome":"done","detail":"..","mac":"<64 hex>"}
//!          mac = HMAC-SHA256(command result key, "cotter/command-result/v1\0" | length of the id | id | epoch | counter
//!                | outcome u8 | length of the detail u8 | detail)
//! ```
//!
//! The counter is the command's name: per device, rising over all epochs, never used twice. It is delivered at least
//! once, each time under a fresh random nonce, and executed at most once: the device keeps the highest counter that it
//! has begun. Commands have keys of their own, so nothing else that the server says can be taken for one.

mod content;
mod result;

pub use content::{Command, CommandName, ContentError, MAX_CONTENT, MAX_PARAMETERS, MAX_TEXT, Parameter, Value};
pub use result::{CommandResult, MAX_RESULT, Outcome, UnverifiedResult};

use crate::canonical::{Base64Text, CanonicalError, OutputFull, Scanner, Writer};
use crate::ids::{DeviceId, KeyEpoch, UnixTime};
use crate::keys::CommandKey;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use core::fmt;

/// Which command, of one device: its name and its place in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandCounter(pub u32);

impl fmt::Display for CommandCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Longest sealed command, in bytes.
pub const MAX_COMMAND: usize = 1280;

/// Seals a command for one device into the beginning of `out`; [`MAX_COMMAND`] bytes are always enough.
/// `nonce`: 12 fresh random bytes.
///
/// # Errors
/// [`CommandError::OutputFull`].
pub fn seal<'o>(
    key: &CommandKey,
    to: &Address<'_>,
    nonce: [u8; 12],
    expires: UnixTime,
    command: &Command,
    out: &'o mut [u8],
) -> Result<&'o [u8], CommandError> {
    let mut plain = [0; MAX_SEALED];
    plain[..EXPIRES].copy_from_slice(&expires.0.to_be_bytes());
    let len = EXPIRES + command.encode(&mut plain[EXPIRES..EXPIRES + MAX_CONTENT])?.len();
    let tag = Aes256Gcm::new(key.expose().into())
        .encrypt_inout_detached((&nonce).into(), context(to).as_bytes(), (&mut plain[..len]).into())
        .map_err(|_| CommandError::OutputFull)?;
    plain[len..len + TAG].copy_from_slice(&tag);
    let mut writer = Writer::new(out);
    writer.literal("{\"version\":1,\"epoch\":").number(to.epoch.0).literal(",\"counter\":").number(to.counter.0);
    writer.literal(",\"nonce\":\"").hex(&nonce).literal("\",\"sealed\":\"").base64(&plain[..len + TAG]).literal("\"}");
    Ok(writer.finish()?)
}

/// Whom a command is for, and which one it is: what its seal is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// The device.
    pub device: &'a DeviceId,
    /// The generation of its keys.
    pub epoch: KeyEpoch,
    /// The command.
    pub counter: CommandCounter,
}

/// A well-formed command of which nothing is believed yet.
#[derive(Clone, Debug)]
pub struct SealedCommand<'a> {
    epoch: KeyEpoch,
    counter: CommandCounter,
    nonce: [u8; 12],
    sealed: Base64Text<'a>,
}

impl<'a> SealedCommand<'a> {
    /// Reads the one spelling. Does no cryptography.
    ///
    /// # Errors
    /// [`CommandError::Canonical`].
    pub fn parse(raw: &'a [u8]) -> Result<Self, CommandError> {
        let mut scanner = Scanner::new(raw, MAX_COMMAND)?;
        scanner.literal("{\"version\":1,\"epoch\":")?;
        let epoch = KeyEpoch(scanner.u32()?);
        scanner.literal(",\"counter\":")?;
        let counter = CommandCounter(scanner.u32()?);
        scanner.literal(",\"nonce\":\"")?;
        let nonce = scanner.hex()?;
        scanner.literal("\",\"sealed\":\"")?;
        let sealed = scanner.base64(MAX_SEALED.div_ceil(3) * 4)?;
        scanner.literal("\"}")?;
        scanner.end()?;
        Ok(Self { epoch, counter, nonce, sealed })
    }

    /// Which generation of keys it claims to be sealed with.
    #[must_use]
    pub const fn epoch(&self) -> KeyEpoch {
        self.epoch
    }

    /// Opens it, if the server sealed it for this device.
    ///
    /// # Errors
    /// [`CommandError::NotAuthentic`]: for another device, epoch or counter, or changed on the way;
    /// [`CommandError::Content`]: the server itself sealed nonsense.
    pub fn open(&self, key: &CommandKey, device: &DeviceId) -> Result<OpenedCommand, CommandError> {
        let to = Address { device, epoch: self.epoch, counter: self.counter };
        let mut buffer = [0; MAX_SEALED + 2];
        let sealed = self.sealed.decode(&mut buffer)?;
        let (plain, tag) = sealed.split_last_chunk_mut::<TAG>().ok_or(CommandError::NotAuthentic)?;
        Aes256Gcm::new(key.expose().into())
            .decrypt_inout_detached((&self.nonce).into(), context(&to).as_bytes(), (&mut *plain).into(), (&*tag).into())
            .map_err(|_| CommandError::NotAuthentic)?;
        let (expires, content) = plain.split_first_chunk::<EXPIRES>().ok_or(CommandError::NotAuthentic)?;
        let expires = UnixTime(u64::from_be_bytes(*expires));
        Ok(OpenedCommand { counter: self.counter, expires, command: Command::decode(content)? })
    }
}

/// A command as its server means it. Whether it was executed before is for the device's store to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedCommand {
    /// Which one.
    pub counter: CommandCounter,
    /// From when on it must not be begun.
    pub expires: UnixTime,
    /// What to do.
    pub command: Command,
}

/// The associated data, in bytes.
struct Context {
    bytes: [u8; Self::MAX],
    len: usize,
}

impl Context {
    const MAX: usize = DOMAIN.len() + 1 + DeviceId::MAX_LEN + 8;

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn context(to: &Address<'_>) -> Context {
    let mut context = Context { bytes: [0; Context::MAX], len: 0 };
    let (epoch, counter) = (to.epoch.0.to_be_bytes(), to.counter.0.to_be_bytes());
    for part in [DOMAIN, &[to.device.len_byte()], to.device.as_bytes(), &epoch, &counter] {
        context.bytes[context.len..context.len + part.len()].copy_from_slice(part);
        context.len += part.len();
    }
    context
}

const DOMAIN: &[u8] = b"cotter/command/v1\0";
const EXPIRES: usize = 8;
const TAG: usize = 16;
const MAX_SEALED: usize = EXPIRES + MAX_CONTENT + TAG;

/// Why a command or a result is refused. For the log; the sender learns only "refused".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Not the one spelling of a message.
    #[error("command: {0}")]
    Canonical(#[from] CanonicalError),
    /// Sealed for another device, epoch or counter, or changed, or by somebody else.
    #[error("command: not sealed for this device, epoch and counter")]
    NotAuthentic,
    /// Of another generation of keys.
    #[error("command: of key epoch {got}, this device has {own}")]
    OtherEpoch {
        /// The device's.
        own: KeyEpoch,
        /// The message's.
        got: KeyEpoch,
    },
    /// Authentic, but no command.
    #[error("command: {0}")]
    Content(#[from] ContentError),
    /// The result is not by this device.
    #[error("command result: the MAC does not hold")]
    Mac,
    /// The caller's buffer is too small.
    #[error("command: the output buffer is too small")]
    OutputFull,
}

impl From<OutputFull> for CommandError {
    fn from(OutputFull: OutputFull) -> Self {
        Self::OutputFull
    }
}

#[cfg(test)]
mod tests;
