//! Applies a plan to a part. The only way in takes a [`Rehearsed`] plan: an unrehearsed one does not compile.
//!
//! ```compile_fail
//! use cotter_factory::element::{ElementPlan, ElementWorkpiece, Progress, apply};
//! use cotter_factory::journal::Journal;
//! fn skip_the_rehearsal<W: ElementWorkpiece>(plan: &ElementPlan, part: &mut W, journal: &mut Journal) {
//!     let _ = apply(plan, None, part, &Progress::default(), journal);
//! }
//! ```
//!
//! Each step looks first whether it is done. So a run that was cut short is finished by the next one, wherever the cut was:
//! what the part says decides, and for private keys, which it does not date, the journal.

use super::plan::{ElementPlan, ElementStep, MissingKey, blocks, differing_words, stray_byte};
use super::rehearsal::Rehearsed;
use super::template::{Generation, Purpose};
use super::workpiece::{BlockOf, CommandError, Commands, DigestBuffer, ElementWorkpiece, mac};
use super::{Reads, SlotRules};
use crate::hex::{hex, unhex};
use crate::journal::{Entry, Journal};
use crate::signing::{SigningError, random};
use cotter_formats::atecc::{Slot, Status};
use cotter_formats::secret::Secret;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// What the journal knows of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The plan was begun with.
    pub is_begun: bool,
    /// Public keys, X and Y, of the private keys that the part made under this plan, by slot.
    pub keys: BTreeMap<u8, [u8; 64]>,
}

impl Progress {
    /// Reads a journal; a file that is not there knows nothing. Half a line at its end was never acknowledged.
    ///
    /// # Errors
    /// I/O; [`io::ErrorKind::InvalidData`] for a line that is no entry.
    pub fn read(path: &Path, plan: &ElementPlan) -> io::Result<Self> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let (digest, mut progress, mut is_ours) = (plan.digest(), Self::default(), false);
        for line in text.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n")) {
            let line: serde_json::Value = match serde_json::from_slice(line) {
                Ok(line) => line,
                // A torn line, and what a later run wrote behind it.
                Err(error) if error.is_eof() || error.is_syntax() => continue,
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            };
            match line["event"].as_str() {
                Some("personalising") => {
                    is_ours = line["plan"] == digest.as_str();
                    progress.is_begun |= is_ours;
                }
                Some("begun") => is_ours = false,
                Some("key-created") if is_ours => {
                    let key = line["public_key"].as_str().and_then(unhex);
                    let key = key.and_then(|key| <[u8; 64]>::try_from(key).ok());
                    let slot = line["slot"].as_u64().and_then(|slot| u8::try_from(slot).ok());
                    progress.keys.extend(slot.zip(key));
                }
                _ => {}
            }
        }
        Ok(progress)
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Personalised {
    /// Public keys, X and Y, by slot.
    pub keys: BTreeMap<u8, [u8; 64]>,
}

/// Does all steps, with a journal line before and after each. `progress` is what the journal knew before.
///
/// # Errors
/// [`ApplyError`]; the journal says which step was the last.
pub fn apply<W: ElementWorkpiece>(
    plan: &Rehearsed,
    transport: Option<&Secret<32>>,
    part: &mut W,
    progress: &Progress,
    journal: &mut Journal,
) -> Result<Personalised, ApplyError<W::Error>> {
    run(plan.plan(), transport, part, progress, |entry| journal.record(entry))
}

/// The steps themselves: the very code that the rehearsal runs, too.
pub(super) fn run<W: ElementWorkpiece>(
    plan: &ElementPlan,
    transport: Option<&Secret<32>>,
    part: &mut W,
    progress: &Progress,
    record: impl FnMut(&Entry<'_>) -> io::Result<()>,
) -> Result<Personalised, ApplyError<W::Error>> {
    if plan.needs_transport_key() && transport.is_none() {
        return Err(MissingKey.into());
    }
    let mut commands = Commands(part);
    let now = commands.config()?;
    let (expected, found) = (plan.before().serial_number(), now.serial_number());
    if expected != found || plan.before().revision() != now.revision() {
        return Err(ApplyError::OtherPart { expected: hex(&expected), found: hex(&found) });
    }
    if now != *plan.before() && !progress.is_begun {
        return Err(ApplyError::NotAsPlanned);
    }
    if let Some(at) = stray_byte(plan, &now) {
        return Err(ApplyError::Stray { at });
    }
    let record = RefCell::new(record);
    let mut run = Run { plan, transport, commands, keys: progress.keys.clone(), record: &record };
    let (part, digest) = (hex(&expected), plan.digest());
    run.note(&Entry::Personalising { part: &part, plan: &digest, steps: plan.steps().len() })?;
    for (index, step) in plan.steps().iter().enumerate() {
        let (number, title) = (index + 1, step.to_string());
        run.note(&Entry::Started { step: number, title: &title, irreversible: step.is_irreversible() })?;
        let outcome = run.perform(*step);
        match &outcome {
            Ok(()) => run.note(&Entry::Done { step: number })?,
            Err(failure) => run.note(&Entry::Failed { step: number, reason: &failure.to_string() })?,
        }
        outcome.map_err(|source| ApplyError::Step { step: title, source })?;
    }
    run.note(&Entry::Finished { device: &part })?;
    Ok(Personalised { keys: run.keys })
}

struct Run<'a, 'w, W, R> {
    plan: &'a ElementPlan,
    transport: Option<&'a Secret<32>>,
    commands: Commands<'w, W>,
    keys: BTreeMap<u8, [u8; 64]>,
    record: &'a RefCell<R>,
}

impl<W: ElementWorkpiece, R: FnMut(&Entry<'_>) -> io::Result<()>> Run<'_, '_, W, R> {
    fn note(&self, entry: &Entry<'_>) -> io::Result<()> {
        (self.record.borrow_mut())(entry)
    }

    fn perform(&mut self, step: ElementStep) -> Result<(), StepError<W::Error>> {
        match step {
            ElementStep::WriteConfig => self.write_config(),
            ElementStep::LockConfig => {
                if self.commands.config()?.is_config_locked() {
                    return Ok(());
                }
                let locked = self.commands.lock_config(self.plan.config_crc());
                // Whether the answer arrived or not: the part knows.
                if self.commands.config()?.is_config_locked() { Ok(()) } else { Err(not_locked(locked)) }
            }
            ElementStep::CreateKey(slot) => self.create_key(slot),
            ElementStep::LockSlot(slot) => self.lock_slot(slot),
            ElementStep::WriteSlot(slot) => {
                if self.commands.config()?.is_data_locked() {
                    return Ok(());
                }
                let content = self.plan.content(slot, self.transport)?.unwrap_or_default();
                for (number, block) in (0..).zip(blocks(&content)) {
                    self.commands.write_block(BlockOf::Slot(slot), number, &block)?;
                }
                Ok(())
            }
            ElementStep::WriteOtp => {
                if self.commands.config()?.is_data_locked() {
                    return Ok(());
                }
                let content = self.plan.compiled().otp.unwrap_or([0xff; 64]);
                for (number, block) in (0..).zip(blocks(&content)) {
                    self.commands.write_block(BlockOf::Otp, number, &block)?;
                }
                Ok(())
            }
            ElementStep::LockData => {
                if self.commands.config()?.is_data_locked() {
                    return Ok(());
                }
                let locked = self.commands.lock_data(self.plan.data_sum(self.transport)?.value());
                if self.commands.config()?.is_data_locked() { Ok(()) } else { Err(not_locked(locked)) }
            }
            ElementStep::Check => self.check(),
        }
    }

    fn write_config(&mut self) -> Result<(), StepError<W::Error>> {
        let now = self.commands.config()?;
        if now.is_config_locked() {
            return Ok(());
        }
        let then = &self.plan.compiled().config;
        for word in differing_words(&now, then) {
            let value = then.0.as_chunks::<4>().0.get(usize::from(word)).copied().unwrap_or_default();
            self.commands.write_config_word(word, value)?;
        }
        let read = self.commands.config()?;
        match (0..).zip(read.0.iter().zip(&then.0)).find(|(_, (read, then))| read != then) {
            Some((at, _)) => Err(StepError::NotReadBack { what: "the configuration zone".to_owned(), at }),
            None => Ok(()),
        }
    }

    /// A key that the journal does not know was lost with the answer, or is somebody else's: the part makes another one.
    fn create_key(&mut self, slot: Slot) -> Result<(), StepError<W::Error>> {
        let now = self.commands.config()?;
        let known = self.keys.get(&slot.number()).copied();
        if known.is_some() || now.is_slot_locked(slot) || now.is_data_locked() {
            let found = match self.commands.public_key(slot) {
                Err(CommandError::Refused { .. }) => None,
                found => Some(found?),
            };
            if found.is_some() && found == known {
                return Ok(());
            }
            if now.is_slot_locked(slot) || now.is_data_locked() {
                return Err(StepError::UnknownKey { slot: slot.number() });
            }
        }
        let mut made = self.commands.create_key(slot);
        for _ in 1..ATTEMPTS {
            if made.as_ref().err().and_then(CommandError::status) != Some(Status::ECC_FAULT) {
                break;
            }
            made = self.commands.create_key(slot);
        }
        let key = made?;
        self.note(&Entry::KeyCreated { slot: slot.number(), public_key: &hex(&key) })?;
        self.keys.insert(slot.number(), key);
        Ok(())
    }

    fn lock_slot(&mut self, slot: Slot) -> Result<(), StepError<W::Error>> {
        let now = self.commands.config()?;
        if now.is_slot_locked(slot) {
            return Ok(());
        }
        if now.is_data_locked() {
            self.compare(slot)?;
        }
        let locked = self.commands.lock_slot(slot);
        let is_locked = self.commands.config()?.is_slot_locked(slot);
        if is_locked { Ok(()) } else { Err(not_locked(locked)) }
    }

    /// What everybody reads is what the plan wrote.
    fn compare(&mut self, slot: Slot) -> Result<(), StepError<W::Error>> {
        let is_readable = SlotRules::of(&self.plan.compiled().config, slot).reads == Reads::Clear;
        let Some(expected) = self.plan.content(slot, self.transport)?.filter(|_| is_readable) else { return Ok(()) };
        let found = self.commands.read_slot(slot)?;
        match (0..).zip(found.iter().zip(expected.iter())).find(|(_, (found, expected))| found != expected) {
            Some((at, _)) => Err(StepError::NotReadBack { what: format!("slot {}", slot.number()), at }),
            None => Ok(()),
        }
    }

    fn check(&mut self) -> Result<(), StepError<W::Error>> {
        let now = self.commands.config()?;
        if let Some(at) = stray_byte(self.plan, &now) {
            return Err(StepError::Stray { at });
        }
        // What can be written after the lock may have been; what is locked has not.
        for slot in self.plan.compiled().locked.clone() {
            self.compare(slot)?;
        }
        for (slot, key) in self.keys.clone() {
            let Some(slot) = Slot::new(slot.into()) else { continue };
            if self.commands.public_key(slot)? != key {
                return Err(StepError::UnknownKey { slot: slot.number() });
            }
        }
        if let Some((slot, key)) = self.plan.transport_slot().zip(self.transport) {
            let mut input = [0; 20];
            random(&mut input)?;
            let (nonce, answer) = self.commands.mac(slot, &input)?;
            let expected = mac(key, &nonce, slot, &self.plan.before().serial_number());
            if !expected.ct_eq(&Secret::filled_by(|bytes| *bytes = answer)) {
                return Err(StepError::OtherTransportKey { slot: slot.number() });
            }
        }
        let buffer = match self.plan.generation() {
            Generation::Atecc508 => DigestBuffer::TempKey,
            Generation::Atecc608 => DigestBuffer::Message,
        };
        for slot in self.plan.slots_for(Purpose::Identity) {
            let mut digest = [0; 32];
            random(&mut digest)?;
            let signature = self.commands.sign(slot, &digest, buffer)?;
            let key = self.keys.get(&slot.number()).copied().unwrap_or([0; 64]);
            if !verifies(&key, &digest, &signature) {
                return Err(StepError::Signature { slot: slot.number() });
            }
        }
        Ok(())
    }
}

/// Why a lock is not there, if not for an answer that was lost.
fn not_locked<E: std::error::Error + 'static>(answer: Result<(), CommandError<E>>) -> StepError<E> {
    match answer {
        Err(CommandError::Refused { status, .. }) => StepError::LockRefused { status: status.0 },
        Err(error) => error.into(),
        Ok(()) => StepError::NotLocked,
    }
}

/// ECDSA over P-256.
pub(super) fn verifies(public_key: &[u8; 64], digest: &[u8; 32], signature: &[u8; 64]) -> bool {
    let mut point = [4; 65];
    point.iter_mut().skip(1).zip(public_key).for_each(|(to, from)| *to = *from);
    let key = VerifyingKey::from_sec1_bytes(&point);
    let signature = Signature::from_slice(signature);
    key.ok().zip(signature.ok()).is_some_and(|(key, signature)| key.verify_prehash(digest, &signature).is_ok())
}

/// How often a key is made, should the computation on the curve fail: DS20005927A section 9.7.
const ATTEMPTS: usize = 3;

/// Why a personalisation stopped.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError<E: std::error::Error + 'static> {
    /// The plan is for another part; nothing was done.
    #[error("the plan is for the part with the serial number {expected}, this is {found}")]
    OtherPart {
        /// The plan's.
        expected: String,
        /// The part's.
        found: String,
    },
    /// Somebody changed the part after it was planned for; nothing was done.
    #[error("the part's configuration is not that of the plan, and the journal does not know that the plan was begun")]
    NotAsPlanned,
    /// Neither as it was nor as it is to be; nothing was done.
    #[error("byte {at} of the part's configuration zone is neither as the plan found it nor as it is to be")]
    Stray {
        /// Which byte.
        at: usize,
    },
    /// No transport key; nothing was done.
    #[error(transparent)]
    MissingKey(#[from] MissingKey),
    /// The journal could not be written; nothing further was done.
    #[error("journal: {0}")]
    Journal(#[from] io::Error),
    /// The part does not say what it is; nothing was done.
    #[error(transparent)]
    Command(#[from] CommandError<E>),
    /// A step failed.
    #[error("{step}: {source}")]
    Step {
        /// Which.
        step: String,
        /// Why.
        source: StepError<E>,
    },
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError<E: std::error::Error + 'static> {
    /// A command.
    #[error(transparent)]
    Command(#[from] CommandError<E>),
    /// The journal could not be written.
    #[error("journal: {0}")]
    Journal(#[from] io::Error),
    /// No transport key.
    #[error(transparent)]
    MissingKey(#[from] MissingKey),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] SigningError),
    /// Neither as it was nor as it is to be.
    #[error("byte {at} of the part's configuration zone is not as it is to be")]
    Stray {
        /// Which byte.
        at: usize,
    },
    /// The part does not hold what was written.
    #[error("{what} does not read back as written, from byte {at} on")]
    NotReadBack {
        /// What.
        what: String,
        /// Where.
        at: usize,
    },
    /// The part computes another sum, or cannot lock that.
    #[error("the part refuses: status {status:02x}. It holds something else than the plan, or cannot lock that")]
    LockRefused {
        /// What the part says.
        status: u8,
    },
    /// It said yes, and did not.
    #[error("the part says that it locked, and did not")]
    NotLocked,
    /// A slot is locked, with a key that was not made under this plan, as far as the journal knows.
    #[error("slot {slot} holds a private key that the journal does not know: whoever made it, it was not this plan")]
    UnknownKey {
        /// Of the key.
        slot: u8,
    },
    /// It is not the one that was given.
    #[error("slot {slot} holds another transport key than the one that was given")]
    OtherTransportKey {
        /// Of the key.
        slot: u8,
    },
    /// The key does not sign.
    #[error("slot {slot}: a signature does not verify with the public key that the part told")]
    Signature {
        /// Of the key.
        slot: u8,
    },
}
