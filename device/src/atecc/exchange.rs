//! One command and its answer as a state machine without a bus: it says what to do, and is told how that went.
//!
//! 1. Wake: a pulse, tWHI, and four bytes that say that the part is awake. If they do not, idle, wait longer, again.
//! 2. Send. If the part says that the command arrived damaged, or that too little time is left for it, it was not
//!    executed, and it is sent again whatever it is.
//! 3. Look for the answer until the longest execution time is over: first its count, then the rest.
//! 4. A damaged answer is read again after word address 00. Only if that does not help either, and the command says
//!    that it may be repeated, it is. The same goes for a part that answers as if it had just been woken: perhaps
//!    nothing arrived, and perhaps it executed the command, lost its power, and was woken by the next byte on the bus.
//! 5. Idle, which keeps the buffers and stops the watchdog. (Or sleep, which forgets them.)
//!
//! All of it is bounded: so many wakes for each time that it is sent, so many of those, so many looks and reads.

use super::packet::Packet;
use super::procedure::{Procedure, Repeat, Step};
use super::refusal::Error;
use super::timing;
use cotter_formats::atecc::config::ClockDivider;
use cotter_formats::atecc::packet::{OVERHEAD, PAYLOAD_MAX, parse_answer};
use cotter_formats::atecc::{Opcode, Status};
use zeroize::Zeroize;

/// How the part is to be talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Seven bits.
    pub address: u8,
    /// How SDA is held low.
    pub wake: WakePulse,
    /// How long commands may take; only how late a lost answer is noticed depends on it.
    pub clock: ClockDivider,
}

impl Default for Settings {
    /// The address of new parts, and the slowest clock.
    fn default() -> Self {
        Self { address: 0x60, wake: WakePulse::GeneralCall, clock: ClockDivider::M2 }
    }
}

/// What holds SDA low for the 60 us that wake the part up. At 100 kHz eight zeros do, up to about 130 kHz; a faster bus
/// has to be slowed down for it, or its pin be driven by whoever owns the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakePulse {
    /// The general call address, which nobody acknowledges.
    GeneralCall,
    /// Zeros to the part's own address, where others on the bus would listen to a general call.
    OwnAddress,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Action<'a> {
    /// One write transaction.
    Write {
        /// Seven bits.
        address: u8,
        /// Never empty.
        bytes: &'a [u8],
    },
    /// One read transaction that fills `into`.
    Read {
        /// Seven bits.
        address: u8,
        /// Never empty.
        into: &'a mut [u8],
    },
    /// Wait for at least so many microseconds.
    Wait(u32),
    /// The exchange is over.
    Done(Result<(), Error>),
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Written, read or waited.
    Done,
    /// The address was not acknowledged, so nothing arrived.
    AddressNack,
    /// Something was not acknowledged.
    Nack,
    /// The controller says otherwise.
    Fault,
}

/// The state machine, with the command and the answer.
pub struct Exchange {
    settings: Settings,
    packet: Packet,
    answer: [u8; ANSWER_MAX],
    answer_len: usize,
    state: State,
    goal: Goal,
    result: Result<(), Error>,
    /// Attempts that are left.
    sends: u8,
    reads: u8,
    leaves: u8,
    /// Attempts to wake it since the command was sent last.
    wakes: usize,
    /// Microseconds since then, and those to come.
    waited: u32,
    wait: u32,
    is_faulty: bool,
}

/// What an exchange is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// The answer to the command in the packet.
    Answer(Repeat),
    /// To see whether the part is there.
    Presence,
    /// To let it forget everything that is volatile.
    Sleep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pulse,
    Rise,
    Greeting,
    Settle,
    Backoff,
    Send,
    Execution { then_rewind: bool },
    Count,
    Remainder { len: usize },
    Rewind,
    Leave,
    Finished,
}

impl Exchange {
    /// With nothing to do.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        Self {
            settings,
            packet: Packet::new(),
            answer: [0; ANSWER_MAX],
            answer_len: 0,
            state: State::Finished,
            goal: Goal::Presence,
            result: Ok(()),
            sends: 0,
            reads: 0,
            leaves: 0,
            wakes: 0,
            waited: 0,
            wait: 0,
            is_faulty: false,
        }
    }

    /// How the part is talked to.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// To be changed between procedures.
    pub const fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Forgets the last command and its answer. To be called before a procedure and after it.
    pub fn clear(&mut self) {
        self.packet.zeroize();
        self.answer.zeroize();
        self.answer_len = 0;
        self.state = State::Finished;
        self.result = Ok(());
    }

    /// Gives the last answer to the procedure, and begins the exchange of its next command; or it is done.
    ///
    /// # Errors
    /// Whatever the procedure refuses.
    pub fn advance<P: Procedure>(&mut self, procedure: &mut P) -> Result<Option<P::Output>, Error> {
        let payload = match self.answer_len {
            0 => None,
            len => self.answer.get(1..len - 2),
        };
        match procedure.step(payload, &mut self.packet)? {
            Step::Done(output) => Ok(Some(output)),
            Step::Send(repeat) => {
                self.begin(Goal::Answer(repeat));
                Ok(None)
            }
        }
    }

    pub(super) fn begin(&mut self, goal: Goal) {
        self.goal = goal;
        self.answer_len = 0;
        self.result = Ok(());
        self.sends = SENDS - 1;
        self.leaves = LEAVES - 1;
        self.is_faulty = false;
        self.wake();
    }

    /// What to do.
    pub fn next_action(&mut self) -> Action<'_> {
        let address = self.settings.address;
        match self.state {
            State::Pulse => match self.settings.wake {
                WakePulse::GeneralCall => Action::Write { address: 0, bytes: &[0] },
                WakePulse::OwnAddress => Action::Write { address, bytes: &[0, 0] },
            },
            State::Rise => Action::Wait(timing::WAKE),
            State::Greeting => self.read(0, GREETING.len()),
            State::Settle => Action::Write { address, bytes: &[IDLE] },
            State::Backoff => Action::Wait(timing::BACKOFF.get(self.wakes).copied().unwrap_or(timing::WATCHDOG)),
            State::Send => Action::Write { address, bytes: self.packet.bytes() },
            State::Execution { .. } => Action::Wait(self.wait),
            State::Count => self.read(0, 1),
            State::Remainder { len } => self.read(1, len),
            State::Rewind => Action::Write { address, bytes: &[RESET] },
            State::Leave if self.goal == Goal::Sleep => Action::Write { address, bytes: &[SLEEP] },
            State::Leave => Action::Write { address, bytes: &[IDLE] },
            State::Finished => Action::Done(self.result),
        }
    }

    fn read(&mut self, from: usize, to: usize) -> Action<'_> {
        match self.answer.get_mut(from..to) {
            Some(into) => Action::Read { address: self.settings.address, into },
            // Not reached: lengths are checked before they get here.
            None => Action::Done(Err(Error::AnswerLost)),
        }
    }

    /// Says how the last action went.
    pub fn report(&mut self, outcome: Outcome) {
        let is_done = outcome == Outcome::Done;
        if self.state != State::Pulse {
            self.is_faulty = outcome == Outcome::Fault;
        }
        match self.state {
            // That nobody acknowledges a pulse is no error, and what a controller makes of it differs.
            State::Pulse => self.state = State::Rise,
            State::Rise => self.state = State::Greeting,
            State::Greeting if is_done => self.greeted(),
            State::Greeting => self.wake_again(),
            State::Settle => self.state = State::Backoff,
            State::Backoff => self.state = State::Pulse,
            State::Send => self.sent(outcome),
            State::Execution { then_rewind } => {
                self.waited = self.waited.saturating_add(self.wait);
                self.state = if then_rewind { State::Rewind } else { State::Count };
            }
            State::Count if is_done => match self.answer.first().copied().map_or(0, usize::from) {
                len @ ANSWER_MIN..=ANSWER_MAX => self.state = State::Remainder { len },
                _ => self.read_again(),
            },
            State::Count if self.is_overdue() => self.read_again(),
            State::Count => self.look_later(false),
            State::Remainder { len } if is_done => self.judge(len),
            State::Remainder { .. } => self.read_again(),
            State::Rewind if is_done => self.state = State::Count,
            State::Rewind if !self.is_overdue() => self.look_later(true),
            State::Rewind => match self.reads.checked_sub(1) {
                None => self.lost(),
                Some(left) => {
                    self.reads = left;
                    self.look_later(true);
                }
            },
            State::Leave => match self.leaves.checked_sub(1).filter(|_| !is_done) {
                Some(left) => self.leaves = left,
                None => self.state = State::Finished,
            },
            State::Finished => {}
        }
    }

    /// From sleep or idle.
    const fn wake(&mut self) {
        self.wakes = 0;
        self.state = State::Pulse;
    }

    fn greeted(&mut self) {
        match self.answer.first_chunk() {
            Some(&GREETING) if matches!(self.goal, Goal::Answer(_)) => self.state = State::Send,
            Some(&GREETING) => self.state = State::Leave,
            Some(&FAILED_SELF_TEST) => self.finish(Err(Error::SelfTest)),
            _ => self.wake_again(),
        }
    }

    /// It may be awake already, with another answer in its buffer: idle first.
    fn wake_again(&mut self) {
        if self.wakes + 1 < timing::BACKOFF.len() {
            self.wakes += 1;
            self.state = State::Settle;
        } else {
            self.result = Err(self.silence());
            self.state = State::Finished;
        }
    }

    fn sent(&mut self, outcome: Outcome) {
        self.waited = 0;
        self.reads = READS;
        match outcome {
            Outcome::Done => self.look_later(false),
            Outcome::AddressNack => self.send_again(Err(self.silence())),
            // Perhaps a part of it arrived, which a reset drops; perhaps all of it.
            Outcome::Nack | Outcome::Fault => self.look_later(true),
        }
    }

    fn look_later(&mut self, then_rewind: bool) {
        self.wait = timing::interval(self.waited);
        self.state = State::Execution { then_rewind };
    }

    fn is_overdue(&self) -> bool {
        self.waited >= timing::deadline(self.packet.opcode(), self.settings.clock)
    }

    fn read_again(&mut self) {
        match self.reads.checked_sub(1) {
            None => self.lost(),
            Some(left) => {
                self.reads = left;
                self.state = State::Rewind;
            }
        }
    }

    fn judge(&mut self, len: usize) {
        let payload = match self.answer.get(..len).map(parse_answer) {
            Some(Ok(payload)) => payload,
            _ => return self.read_again(),
        };
        let status = match *payload {
            [status] => Status(status),
            _ => Status::SUCCESS,
        };
        self.answer_len = len;
        match status {
            Status::COMMUNICATION | Status::WATCHDOG => self.send_again(Ok(())),
            Status::AWAKE if self.packet.opcode() != Opcode::SELF_TEST => self.lost(),
            _ => self.finish(Ok(())),
        }
    }

    /// It was not executed. When it was sent often enough, `result` it is: with `Ok` the procedure sees the status.
    fn send_again(&mut self, result: Result<(), Error>) {
        match self.sends.checked_sub(1) {
            None => self.finish(result),
            Some(left) => {
                self.sends = left;
                self.answer_len = 0;
                self.wakes = 0;
                self.state = State::Settle;
            }
        }
    }

    /// It was executed, or it was not.
    fn lost(&mut self) {
        let lost = Err(Error::AnswerLost);
        match self.goal {
            Goal::Answer(Repeat::Safe) => self.send_again(lost),
            _ => self.finish(lost),
        }
    }

    const fn finish(&mut self, result: Result<(), Error>) {
        self.result = result;
        self.state = State::Leave;
    }

    const fn silence(&self) -> Error {
        if self.is_faulty { Error::Bus } else { Error::NoAnswer }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Word addresses.
const RESET: u8 = 0;
const SLEEP: u8 = 1;
const IDLE: u8 = 2;

/// What a part answers that was just woken.
const GREETING: [u8; 4] = [0x04, Status::AWAKE.0, 0x33, 0x43];
/// The same, when its self-test failed.
const FAILED_SELF_TEST: [u8; 4] = [0x04, Status::SELF_TEST.0, 0xc4, 0x40];

const ANSWER_MIN: usize = OVERHEAD + 1;
const ANSWER_MAX: usize = OVERHEAD + PAYLOAD_MAX;

/// How often a command is sent at most, its answer read again for each of them, and idle or sleep asked for.
const SENDS: u8 = 3;
const READS: u8 = 4;
const LEAVES: u8 = 2;
