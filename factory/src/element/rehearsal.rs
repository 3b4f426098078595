//! The plan on a simulated part that begins with the same configuration zone, by the very code that the real part gets;
//! then what a product needs of the part, and what nobody may do with it; then power cuts, each resumed.
//!
//! The simulated part is an ATECC608, whichever the plan is for.

use super::apply::{Personalised, Progress, run, verifies};
use super::plan::{ElementPlan, ElementStep, stray_byte};
use super::template::{Generation, Purpose};
use super::workpiece::{BlockOf, CommandError, Commands, DigestBuffer, ElementWorkpiece, Repeat};
use super::{Reads, SlotRules, Writes};
use crate::hex::unhex;
use crate::journal::Entry;
use crate::signing::random;
use cotter_chip::atecc::{ElementFileError, Entropy, SecureElement, Written};
use cotter_formats::atecc::packet::{COMMAND_MAX, parse_answer};
use cotter_formats::atecc::{Command, Opcode, Slot, Status};
use cotter_formats::secret::Secret;
use serde::Serialize;
use std::time::Duration;
use zeroize::Zeroizing;

/// A plan that came through its rehearsal. Nothing else can be applied.
#[derive(Debug)]
pub struct Rehearsed {
    plan: ElementPlan,
    verdict: Verdict,
}

impl Rehearsed {
    /// The plan.
    #[must_use]
    pub const fn plan(&self) -> &ElementPlan {
        &self.plan
    }

    /// What was seen.
    #[must_use]
    pub const fn verdict(&self) -> &Verdict {
        &self.verdict
    }
}

/// What a rehearsal saw, all of it with the expected end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Commands that a part gets.
    pub commands: usize,
    /// Power cuts, before and after each of them, all of which were resumed and came to the same.
    pub cuts: usize,
    /// What was tried on the finished part.
    pub trials: Vec<ElementTrial>,
}

/// Something that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ElementTrial {
    /// What.
    pub what: String,
    /// What the part did.
    pub outcome: TrialOutcome,
}

/// What the part did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialOutcome {
    /// As it was asked.
    Done,
    /// Refused with that status.
    Refused(u8),
    /// Answered with something that is wrong.
    Wrong,
}

/// Why a plan is not to be applied.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// The plan cannot even be applied.
    #[error("rehearsal: {0}")]
    Failed(String),
    /// The finished part does what it must not, or does not do what it must.
    #[error("rehearsal: {what}: expected {expected}, got {got:?}")]
    Trial {
        /// What was tried.
        what: String,
        /// What should have come of it.
        expected: &'static str,
        /// What came.
        got: TrialOutcome,
    },
    /// A run that was cut short cannot be finished.
    #[error("rehearsal: the power cut {when} command {command}, and then: {reason}")]
    Cut {
        /// Which command, counted from 0.
        command: usize,
        /// Before or after.
        when: &'static str,
        /// What went wrong then.
        reason: String,
    },
    /// No transport key, no randomness.
    #[error("rehearsal: {0}")]
    Key(String),
    /// The simulated part.
    #[error(transparent)]
    Simulation(#[from] ElementFileError),
}

/// Rehearses a plan.
///
/// # Errors
/// [`RehearsalError`], and the plan is gone.
pub fn rehearse(plan: ElementPlan) -> Result<Rehearsed, RehearsalError> {
    let mut key = Secret::<32>::filled_by(|_| {});
    if plan.needs_transport_key() {
        key = Secret::try_filled_by(|bytes| random(bytes)).map_err(|error| RehearsalError::Key(error.to_string()))?;
    }
    let stage = Stage { plan: &plan, key: plan.needs_transport_key().then_some(&key) };
    let mut part = stage.fresh();
    let mut progress = Progress::default();
    let personalised = stage.run(&mut part, &mut progress).map_err(RehearsalError::Failed)?;
    let commands = part.executed;
    let trials = stage.trials(&mut part, &personalised)?;
    let mut cuts = 0;
    for command in 0..commands {
        for when in [Cut::Before(command), Cut::After(command)] {
            stage.cut(command, when)?;
            cuts += 1;
        }
    }
    let verdict = Verdict { commands, cuts, trials };
    Ok(Rehearsed { plan, verdict })
}

struct Stage<'a> {
    plan: &'a ElementPlan,
    key: Option<&'a Secret<32>>,
}

impl Stage<'_> {
    fn fresh(&self) -> SimulatedPart {
        SimulatedPart::new(SecureElement::with_config(self.plan.before().clone(), Entropy::system()))
    }

    /// As [`super::apply`] does it; the journal is `progress`.
    fn run(&self, part: &mut SimulatedPart, progress: &mut Progress) -> Result<Personalised, String> {
        let known = progress.clone();
        let record = |entry: &Entry<'_>| {
            match entry {
                Entry::Personalising { .. } => progress.is_begun = true,
                Entry::KeyCreated { slot, public_key } => {
                    let key = unhex(public_key).and_then(|key| key.try_into().ok());
                    progress.keys.extend(key.map(|key| (*slot, key)));
                }
                _ => {}
            }
            Ok(())
        };
        run(self.plan, self.key, part, &known, record).map_err(|error| error.to_string())
    }

    /// Cuts the power at one command and resumes.
    fn cut(&self, command: usize, cut: Cut) -> Result<(), RehearsalError> {
        let when = match cut {
            Cut::Before(_) => "before",
            Cut::After(_) => "after",
        };
        let failed = |reason: String| RehearsalError::Cut { command, when, reason };
        let mut part = self.fresh();
        part.cut = Some(cut);
        let mut progress = Progress::default();
        if self.run(&mut part, &mut progress).is_ok() {
            return Err(failed("there was no such command".to_owned()));
        }
        part.restart();
        let resumed = self.run(&mut part, &mut progress).map_err(failed)?;
        let (now, finished) = (part.element.config(), self.plan.compiled().finished());
        let is_locked = now.is_config_locked() && now.is_data_locked();
        let has_slots = Slot::all().all(|slot| now.is_slot_locked(slot) == finished.is_slot_locked(slot));
        if !is_locked || !has_slots || stray_byte(self.plan, now).is_some() {
            return Err(failed("the configuration zone is not what it was to be".to_owned()));
        }
        let made = self.plan.steps().iter().filter(|step| matches!(step, ElementStep::CreateKey(_))).count();
        if resumed.keys.len() != made {
            return Err(failed("a key is not known".to_owned()));
        }
        Ok(())
    }

    /// The part is a copy for each trial that changes it.
    fn trials(&self, part: &mut SimulatedPart, made: &Personalised) -> Result<Vec<ElementTrial>, RehearsalError> {
        let config = self.plan.compiled().finished();
        let mut trials = Trials { part, seen: Vec::new() };
        trials.refused("write the configuration zone", |part| part.write_config_word(4, [0; 4]))?;
        trials.refused("lock the configuration zone again", |part| part.lock_config(0))?;
        trials.refused("lock the data zone again", |part| part.lock_data(0))?;
        trials.refused("write the OTP zone", |part| part.write_block(BlockOf::Otp, 0, &[0; 32]))?;
        for slot in self.plan.slots_for(Purpose::Identity) {
            self.identity(&mut trials, slot, made)?;
        }
        for slot in Slot::all() {
            let (rules, number) = (SlotRules::of(&config, slot), slot.number());
            let policy = config.slot_config(slot);
            if rules.reads != Reads::Clear {
                trials.refused(&format!("read slot {number}"), |part| part.read_block(BlockOf::Slot(slot), 0))?;
                trials.refused(&format!("read a word of slot {number}"), |part| {
                    let address = u16::from(number) << 3;
                    part.expect::<4>("Read", (Opcode::READ, 2, address, &[]), Repeat::Safe)
                })?;
            }
            if rules.writes != Writes::Clear {
                let write = |part: &mut Part<'_>| part.write_block(BlockOf::Slot(slot), 0, &[0x5a; 32]);
                trials.refused(&format!("write slot {number} in the clear"), write)?;
            }
            if !rules.is_regenerable {
                trials.refused(&format!("make a new private key in slot {number}"), |part| part.create_key(slot))?;
                trials.refused(&format!("put a private key into slot {number}"), |part| {
                    let parts = (Opcode::PRIV_WRITE, 0, number.into(), &[1; 36][..]);
                    part.succeed("PrivWrite", parts, Repeat::Never)
                })?;
                trials.refused(&format!("derive a key in slot {number}"), |part| {
                    part.succeed("Nonce", (Opcode::NONCE, 0x03, 0, &[7; 32]), Repeat::Safe)?;
                    part.succeed("DeriveKey", (Opcode::DERIVE_KEY, 4, number.into(), &[]), Repeat::Never)
                })?;
            }
            if policy.is_no_mac() {
                trials.refused(&format!("compute a MAC with slot {number}"), |part| {
                    part.expect::<32>("MAC", (Opcode::MAC, 0, number.into(), &[3; 32]), Repeat::Never)
                })?;
            }
        }
        for slot in self.plan.slots_for(Purpose::Certificate) {
            Self::certificate(&mut trials, slot, &config)?;
        }
        self.counters(&mut trials)?;
        Ok(trials.seen)
    }

    fn identity(&self, trials: &mut Trials<'_>, slot: Slot, made: &Personalised) -> Result<(), RehearsalError> {
        let (number, key) = (slot.number(), made.keys.get(&slot.number()).copied());
        let buffer = match self.plan.generation() {
            Generation::Atecc508 => DigestBuffer::TempKey,
            Generation::Atecc608 => DigestBuffer::Message,
        };
        trials.holds(&format!("slot {number} signs, and its public key verifies it"), |part| {
            let digest = [0x42; 32];
            let signature = part.sign(slot, &digest, buffer)?;
            Ok(key.is_some_and(|key| verifies(&key, &digest, &signature)))
        })?;
        trials.holds(&format!("slot {number} tells its public key"), |part| Ok(Some(part.public_key(slot)?) == key))?;
        trials.refused(&format!("agree on a secret with slot {number}"), |part| {
            let point = key.unwrap_or([0; 64]);
            part.expect::<32>("ECDH", (Opcode::ECDH, 0, number.into(), &point), Repeat::Never)
        })
    }

    fn certificate(
        trials: &mut Trials<'_>,
        slot: Slot,
        config: &cotter_formats::atecc::ConfigZone,
    ) -> Result<(), RehearsalError> {
        let number = slot.number();
        if config.is_slot_locked(slot) {
            return Ok(());
        }
        trials.holds(&format!("slot {number} takes a certificate, and gives it back"), |part| {
            part.write_block(BlockOf::Slot(slot), 1, &[0xc5; 32])?;
            Ok(part.read_block(BlockOf::Slot(slot), 1)? == [0xc5; 32])
        })?;
        // On a copy: the part itself is for the next trials.
        let copy = trials.part.copy()?;
        let mut copied = Trials { part: &mut { copy }, seen: Vec::new() };
        copied.holds(&format!("slot {number} is locked"), |part| part.lock_slot(slot).map(|()| true))?;
        let write = |part: &mut Part<'_>| part.write_block(BlockOf::Slot(slot), 1, &[0; 32]);
        copied.refused(&format!("write slot {number} after that"), write)?;
        trials.seen.append(&mut copied.seen);
        Ok(())
    }

    fn counters(&self, trials: &mut Trials<'_>) -> Result<(), RehearsalError> {
        for index in 0..2_u16 {
            trials.holds(&format!("counter {index} counts up"), |part| {
                let count = |answer: [u8; 4]| u32::from_le_bytes(answer);
                let before = part.expect("Counter", (Opcode::COUNTER, 0, index, &[]), Repeat::Safe).map(count)?;
                let after = part.expect("Counter", (Opcode::COUNTER, 1, index, &[]), Repeat::Never).map(count)?;
                Ok(after == before + 1)
            })?;
        }
        Ok(())
    }
}

type Part<'a> = Commands<'a, SimulatedPart>;
type TrialResult<T> = Result<T, CommandError<PowerCut>>;

struct Trials<'a> {
    part: &'a mut SimulatedPart,
    seen: Vec<ElementTrial>,
}

impl Trials<'_> {
    /// Something that the part must refuse: in its present state, or as something that makes no sense there.
    fn refused<T>(
        &mut self,
        what: &str,
        attempt: impl FnOnce(&mut Part<'_>) -> TrialResult<T>,
    ) -> Result<(), RehearsalError> {
        let outcome = match attempt(&mut Commands(self.part)) {
            Ok(_) => TrialOutcome::Done,
            Err(CommandError::Refused { status, .. }) => TrialOutcome::Refused(status.0),
            Err(CommandError::Part(_) | CommandError::Length { .. }) => TrialOutcome::Wrong,
        };
        let is_refused = [Status::EXECUTION, Status::PARSE].iter().any(|it| outcome == TrialOutcome::Refused(it.0));
        self.seen(what, outcome, is_refused, "a refusal")
    }

    /// Something that the part must do, and rightly.
    fn holds(
        &mut self,
        what: &str,
        attempt: impl FnOnce(&mut Part<'_>) -> TrialResult<bool>,
    ) -> Result<(), RehearsalError> {
        let outcome = match attempt(&mut Commands(self.part)) {
            Ok(true) => TrialOutcome::Done,
            Err(CommandError::Refused { status, .. }) => TrialOutcome::Refused(status.0),
            Ok(false) | Err(CommandError::Part(_) | CommandError::Length { .. }) => TrialOutcome::Wrong,
        };
        self.seen(what, outcome, outcome == TrialOutcome::Done, "that")
    }

    fn seen(
        &mut self,
        what: &str,
        got: TrialOutcome,
        is_expected: bool,
        expected: &'static str,
    ) -> Result<(), RehearsalError> {
        if !is_expected {
            return Err(RehearsalError::Trial { what: what.to_owned(), expected, got });
        }
        self.seen.push(ElementTrial { what: what.to_owned(), outcome: got });
        Ok(())
    }
}

/// When the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Before that command.
    Before(usize),
    /// When it was executed, and its answer was not read.
    After(usize),
}

/// A simulated part as a workpiece; its time is its own.
pub(super) struct SimulatedPart {
    element: SecureElement,
    now: Duration,
    executed: usize,
    cut: Option<Cut>,
    is_dead: bool,
    /// What it is called until it sleeps.
    address: u8,
}

/// The power is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the power is gone")]
pub(super) struct PowerCut;

impl SimulatedPart {
    pub(super) const fn new(element: SecureElement) -> Self {
        let address = element.config().address();
        Self { element, now: Duration::ZERO, executed: 0, cut: None, is_dead: false, address }
    }

    #[cfg(test)]
    pub(super) const fn element(&self) -> &SecureElement {
        &self.element
    }

    fn copy(&self) -> Result<Self, RehearsalError> {
        Ok(Self::new(SecureElement::from_bytes(&self.element.to_bytes(), Entropy::system())?))
    }

    fn restart(&mut self) {
        self.element.set_power(false);
        self.element.set_power(true);
        self.is_dead = false;
        self.cut = None;
        self.address = self.element.config().address();
    }

    fn transact(&mut self, command: &Command<'_>) -> Option<Vec<u8>> {
        self.element.wake(self.now);
        self.now += WAKE;
        let mut packet = Zeroizing::new([0; COMMAND_MAX + 1]);
        let (word_address, rest) = packet.split_first_mut()?;
        *word_address = COMMAND;
        let len = command.write(rest)?;
        if self.element.write(self.now, self.address, packet.get(..=len)?) == Written::Nack {
            return None;
        }
        self.now += EXECUTION;
        let answer = self.element.read(self.now, self.address, ANSWER_MAX)?;
        let count = usize::from(*answer.first()?);
        let payload = parse_answer(answer.get(..count)?).ok()?.to_vec();
        self.element.write(self.now, self.address, &[IDLE]);
        Some(payload)
    }
}

impl ElementWorkpiece for SimulatedPart {
    type Error = PowerCut;

    fn execute(&mut self, command: &Command<'_>, _repeat: Repeat) -> Result<Vec<u8>, PowerCut> {
        let number = self.executed;
        if self.is_dead || self.cut == Some(Cut::Before(number)) {
            self.is_dead = true;
            return Err(PowerCut);
        }
        self.executed += 1;
        let answer = self.transact(command);
        if self.cut == Some(Cut::After(number)) {
            self.is_dead = true;
            return Err(PowerCut);
        }
        answer.ok_or(PowerCut)
    }
}

const WAKE: Duration = Duration::from_millis(2);
/// Longer than any of these commands takes, with the slowest clock.
const EXECUTION: Duration = Duration::from_millis(1_200);
const ANSWER_MAX: usize = 128;
/// Word addresses.
const COMMAND: u8 = 3;
const IDLE: u8 = 2;
