//! Commands from the server: opened, checked, executed at most once, and their results kept until they are told.
//!
//! The caller fetches a command, hands it to [`Commands::receive`], does what the [`Begun`] says, and hands it back to
//! [`Commands::finish`]; whatever comes out is posted to the server. The command's counter is on flash *before* the
//! command is handed out. So after a power cut it is never executed again: if it was begun and no result is kept, the
//! server is told that it was interrupted.

use crate::identity::{self, Identity};
use crate::nvs::{Nvs, NvsError};
use crate::session::AuthenticatedTime;
use cotter_formats::nvs::entry::Key;
use cotter_wire::command::{
    Address, Command, CommandCounter, CommandError, CommandResult, MAX_RESULT, Outcome, SealedCommand,
};
use cotter_wire::keys::DeviceKeys;
use embedded_storage::nor_flash::NorFlash;

/// Takes commands. One per boot.
#[derive(Debug)]
pub struct Commands<'a> {
    identity: &'a Identity,
    keys: DeviceKeys,
    // The command that was handed out and not handed back.
    running: Option<CommandCounter>,
}

/// What a sealed command comes to.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is no heap to put the command on")]
pub enum Received {
    /// To be done now, for the first and only time.
    Execute(Begun),
    /// Not to be done (again): the server is to be told this.
    Report(CommandResult),
}

/// A command that may be executed, once. Only [`Commands::receive`] makes one, when it is on flash that it was begun.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "execute it, and hand it to Commands::finish"]
pub struct Begun {
    counter: CommandCounter,
    command: Command,
}

impl Begun {
    /// What to do.
    #[must_use]
    pub const fn command(&self) -> &Command {
        &self.command
    }
}

impl<'a> Commands<'a> {
    /// Nothing was handed out in this boot.
    #[must_use]
    pub fn new(identity: &'a Identity) -> Self {
        Self { identity, keys: identity.keys(), running: None }
    }

    /// Takes the body of the server's answer. `now` comes from the session that fetched it.
    ///
    /// # Errors
    /// [`ReceiveError`]: it is not this device's, or executed before; nothing changed then.
    pub fn receive<F: NorFlash>(
        &mut self,
        body: &[u8],
        now: AuthenticatedTime,
        store: &mut Nvs<F>,
    ) -> Result<Received, ReceiveError<F::Error>> {
        if let Some(counter) = self.running {
            return Err(ReceiveError::Busy { counter });
        }
        // 1. The one spelling, this device's keys, the seal.
        let sealed = SealedCommand::parse(body)?;
        let (own, got) = (self.identity.epoch, sealed.epoch());
        if got != own {
            return Err(CommandError::OtherEpoch { own, got }.into());
        }
        let opened = sealed.open(&self.keys.command, &self.identity.device)?;
        let counter = opened.counter;
        // 2. Is it new? The latest one is told about again, as the answer may have been lost.
        if let Some(latest) = load(store)? {
            if counter < latest.counter {
                return Err(ReceiveError::Replayed { counter, latest: latest.counter });
            }
            if counter == latest.counter {
                return self.settle(latest, store).map(Received::Report);
            }
        }
        // 3. In time, by a clock that the server vouches for? An expired one counts as begun: it never runs later.
        if now.unix() >= opened.expires {
            let result = CommandResult::new(counter, Outcome::Expired, "");
            keep(store, &Record { counter, result: Some(result.clone()) })?;
            return Ok(Received::Report(result));
        }
        // 4. It counts as executed from here on, whatever happens to the power.
        keep(store, &Record { counter, result: None })?;
        self.running = Some(counter);
        Ok(Received::Execute(Begun { counter, command: opened.command }))
    }

    /// Keeps what came of a command, and returns what to tell the server.
    ///
    /// # Errors
    /// The store's. Call it again then; after a reset the command counts as interrupted.
    pub fn finish<F: NorFlash>(
        &mut self,
        begun: &Begun,
        outcome: Outcome,
        detail: &str,
        store: &mut Nvs<F>,
    ) -> Result<CommandResult, NvsError<F::Error>> {
        let result = CommandResult::new(begun.counter, outcome, detail);
        keep(store, &Record { counter: begun.counter, result: Some(result.clone()) })?;
        self.running = None;
        Ok(result)
    }

    /// What the server may not know yet: the result of the latest command, if there was one. To be told after a boot.
    ///
    /// # Errors
    /// The store's.
    pub fn latest<F: NorFlash>(&mut self, store: &mut Nvs<F>) -> Result<Option<CommandResult>, ReceiveError<F::Error>> {
        match load(store)? {
            Some(latest) if self.running.is_none() => self.settle(latest, store).map(Some),
            _ => Ok(None),
        }
    }

    /// Writes the body of the result request.
    #[must_use]
    pub fn report<'o>(&self, result: &CommandResult, out: &'o mut [u8; MAX_RESULT]) -> &'o [u8] {
        let Identity { device, epoch, .. } = self.identity;
        let from = Address { device, epoch: *epoch, counter: result.counter };
        result.write(&self.keys.command_result, &from, out).expect("MAX_RESULT bytes are always enough")
    }

    /// The result of the latest command; one that never came to its end was interrupted.
    fn settle<F: NorFlash>(&self, latest: Record, store: &mut Nvs<F>) -> Result<CommandResult, ReceiveError<F::Error>> {
        if let Some(result) = latest.result {
            return Ok(result);
        }
        let result = CommandResult::new(latest.counter, Outcome::Interrupted, "");
        keep(store, &Record { counter: latest.counter, result: Some(result.clone()) })?;
        Ok(result)
    }
}

/// The latest command: counter u32 big-endian, then outcome u8 and detail if it has ended.
struct Record {
    counter: CommandCounter,
    result: Option<CommandResult>,
}

impl Record {
    const MAX_LEN: usize = 5 + CommandResult::MAX_DETAIL;

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (counter, rest) = bytes.split_first_chunk::<4>()?;
        let counter = CommandCounter(u32::from_be_bytes(*counter));
        let Some((outcome, detail)) = rest.split_first() else { return Some(Self { counter, result: None }) };
        let outcome = Outcome::ALL.into_iter().find(|known| known.number() == *outcome)?;
        let detail = core::str::from_utf8(detail).ok()?;
        Some(Self { counter, result: Some(CommandResult::new(counter, outcome, detail)) })
    }

    fn write<'o>(&self, out: &'o mut [u8; Self::MAX_LEN]) -> &'o [u8] {
        out[..4].copy_from_slice(&self.counter.0.to_be_bytes());
        let Some(result) = &self.result else { return &out[..4] };
        let detail = result.detail().as_bytes();
        out[4] = result.outcome.number();
        out[5..5 + detail.len()].copy_from_slice(detail);
        &out[..5 + detail.len()]
    }
}

fn load<F: NorFlash>(store: &mut Nvs<F>) -> Result<Option<Record>, ReceiveError<F::Error>> {
    let mut bytes = [0; Record::MAX_LEN];
    let Some(len) = store.blob(&identity::NAMESPACE, &RECORD, &mut bytes)? else { return Ok(None) };
    // Without it nobody knows what was executed: better no command than one twice.
    let record = bytes.get(..len).and_then(Record::parse).ok_or(ReceiveError::Record)?;
    Ok(Some(record))
}

fn keep<F: NorFlash>(store: &mut Nvs<F>, record: &Record) -> Result<(), NvsError<F::Error>> {
    store.set_blob(&identity::NAMESPACE, &RECORD, record.write(&mut [0; Record::MAX_LEN]))
}

const RECORD: Key = Key::literal("command");

/// Why a command is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError<E> {
    /// Not the server's, or not for this device and its keys.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A later one was begun already: replayed, or reordered on the way.
    #[error("command {counter} after command {latest}")]
    Replayed {
        /// Of this command.
        counter: CommandCounter,
        /// The latest that was begun.
        latest: CommandCounter,
    },
    /// The one before has not been handed back.
    #[error("command {counter} is still being executed")]
    Busy {
        /// Which.
        counter: CommandCounter,
    },
    /// What is kept about the latest command does not read.
    #[error("what is stored about the latest command does not read")]
    Record,
    /// The store.
    #[error("command: {0}")]
    Store(#[from] NvsError<E>),
}

#[cfg(test)]
mod tests;
