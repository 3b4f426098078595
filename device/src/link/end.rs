//! An end with a handshake: what it delivers is whole, in order, and from the other end, or it delivers nothing.
//!
//! Which handshake is in its [`Credentials`]; frames and counters are those of the wire crate's `link::session`. On top of
//! them, each direction is a stream: each byte has a position, what is lost is sent again, and what came already is not delivered again.
//!
//! ```text
//! loop {
//!     wait for bytes from the wire, something to send, or wake_at()
//!     receive(bytes) until it has used them all and has no event    // plain bytes, opened, escape, refusals
//!     send(plain), escape()
//!     transmit() until it has nothing, onto the wire
//! }
//! ```
//!
//! The host greets, the module knocks when it wants to be greeted: after a reset, for new keys, and when nothing is
//! acknowledged any more. A handshake that goes on beside a live session leaves it alone until the other end has proven
//! itself. If both ends still hold the streams, these go on in the new session, without a byte lost or doubled; after a
//! reset of either end they start anew, and [`Event::Opened`] says so. There is no way back to plain text.

mod event;
#[cfg(test)]
pub(super) mod pair;
mod refusal;

pub use event::{Counts, Event, Received};
pub use refusal::{NoRoom, NotOpen, Refusal};

use super::stream::{Arrival, Incoming, MAX_WINDOW, Outgoing, Piece};
use super::time::{Millis, Timing, Waiting};
use crate::platform::Random;
use core::ops::Range;
use cotter_wire::link::credentials::{About, Credentials};
use cotter_wire::link::delimiter::{self, Undelimiter};
use cotter_wire::link::handshake::{Established, FINISH, FINISH_HEAD, HELLO_HEAD, KNOCK_HEAD, LEAST_FRAME, REPLY_HEAD};
use cotter_wire::link::session::{Frame, FrameError, HEAD, Kind, Session, Side};
use cotter_wire::link::suite::{Suite, SuiteSet};

/// What an end is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which ciphers may be used; the first of [`Suite::ALL`] that both ends have is taken.
    pub suites: SuiteSet,
    /// How long to wait.
    pub timing: Timing,
    /// New keys after so many frames of one direction. After twice as many, nothing is sent until there are new ones.
    pub rekey_frames: u64,
    /// New keys after so many milliseconds, and the same after twice as many.
    pub rekey_millis: u64,
}

impl Default for Settings {
    /// Any suite, 115200 baud, new keys each hour or after 2^20 frames.
    fn default() -> Self {
        Self { suites: SuiteSet::ALL, timing: Timing::default(), rekey_frames: 1 << 20, rekey_millis: 3_600_000 }
    }
}

/// One end. `FRAME`: the longest frame that it takes, 64 to 4096 bytes; `WINDOW`: how much it holds until it is
/// acknowledged, 1 to 32767 bytes. With 280 and 1024 it needs about 2 KiB.
#[derive(Debug)]
pub struct End<C: Credentials, const FRAME: usize, const WINDOW: usize> {
    side: Side,
    credentials: C,
    settings: Settings,
    undelimiter: Undelimiter<FRAME>,
    /// The session that is spoken in, if any.
    session: Option<Session>,
    /// Whether the other end has shown that it has this session too.
    proven: bool,
    began: Millis,
    peer_frame: usize,
    /// Which streams these are; zero for none.
    lineage: [u8; 8],
    /// Whether [`Event::Opened`] was told for these streams.
    opened: bool,
    outgoing: Outgoing<WINDOW>,
    incoming: Incoming,
    answer: Answer,
    acknowledging: Waiting,
    handshake: Handshake<C>,
    shaking: Waiting,
    module: ModuleState<C>,
    /// What is to be told after [`Event::Opened`].
    held: Option<Outcome>,
    /// Whether a delimiter goes ahead of the next frame.
    lead: bool,
    last_sent: Millis,
    counts: Counts,
}

/// How far this end's handshake is.
#[derive(Debug)]
enum Handshake<C: Credentials> {
    /// None goes on.
    Idle,
    /// The host is to greet, the module to knock.
    Wanted,
    /// The host has greeted.
    Greeting(C::Greeting),
    /// The host has its session and finishes until the module shows that it has it too.
    Finishing([u8; FINISH]),
}

/// What only a module needs to remember of handshakes.
#[derive(Debug)]
struct ModuleState<C: Credentials> {
    /// A reply that waits for its finish.
    pending: Option<Pending<C>>,
    /// The finish of the present session, which is said again if its acknowledgement is lost.
    finish: Option<[u8; FINISH]>,
    /// The host's nonce of the present session.
    host_nonce: Option<[u8; 16]>,
    replied: Option<Millis>,
    reply_due: bool,
}

#[derive(Debug)]
struct Pending<C: Credentials> {
    /// Of the hello.
    nonce: [u8; 16],
    reply: C::Message,
    established: Established,
}

/// What the other end is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Nothing,
    Acknowledgement,
    Gap { shown_by: u16 },
}

impl<C: Credentials, const FRAME: usize, const WINDOW: usize> End<C, FRAME, WINDOW> {
    /// An end after its reset.
    #[must_use]
    pub fn new(side: Side, credentials: C, settings: Settings) -> Self {
        const { assert!(FRAME >= LEAST_FRAME as usize && FRAME <= 4096, "a frame has 64 to 4096 bytes") };
        Self {
            side,
            credentials,
            settings,
            undelimiter: Undelimiter::new(),
            session: None,
            proven: false,
            began: Millis(0),
            peer_frame: usize::from(LEAST_FRAME),
            lineage: [0; 8],
            opened: false,
            outgoing: Outgoing::new(),
            incoming: Incoming::default(),
            answer: Answer::Nothing,
            acknowledging: Waiting::default(),
            handshake: Handshake::Wanted,
            shaking: Waiting::default(),
            module: ModuleState { pending: None, finish: None, host_nonce: None, replied: None, reply_due: false },
            held: None,
            lead: true,
            last_sent: Millis(0),
            counts: Counts::default(),
        }
    }

    /// Whether [`Self::send`] takes anything: the other end has proven itself, and has not been reset since as far as is
    /// known.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.opened
    }

    /// The cipher of the present session.
    #[must_use]
    pub fn suite(&self) -> Option<Suite> {
        self.session.as_ref().map(Session::suite)
    }

    /// Whether the other end has all that was sent.
    #[must_use]
    pub const fn is_all_acknowledged(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// How much [`Self::send`] takes now.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.opened { self.outgoing.room() } else { 0 }
    }

    /// What happened so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Queues the beginning of `plain`, as much as there is room for, and says how much that was.
    ///
    /// # Errors
    /// [`NotOpen`], and then nothing is sent in any form.
    pub fn send(&mut self, plain: &[u8]) -> Result<usize, NotOpen> {
        if self.opened { Ok(self.outgoing.push(plain)) } else { Err(NotOpen) }
    }

    /// Queues the end of passthrough, after all that was sent before. False if there is no room for it now, or another one
    /// is on its way.
    ///
    /// # Errors
    /// [`NotOpen`].
    pub fn escape(&mut self) -> Result<bool, NotOpen> {
        if self.opened { Ok(self.outgoing.push_escape()) } else { Err(NotOpen) }
    }

    /// Begins a new handshake: after the wire was plugged in again, or for new keys now. The present session goes on.
    pub fn reconnect(&mut self) {
        if matches!(self.handshake, Handshake::Idle) {
            self.want_handshake();
        }
    }

    /// Takes bytes from the wire until something has come of them. To be called again with what is left, and then with
    /// nothing, until there is no event.
    pub fn receive(&mut self, wire: &[u8], now: Millis, random: &mut impl Random) -> Received<'_> {
        match self.held.take() {
            Some(Outcome::Data(place)) => {
                return Received { used: 0, event: Some(Event::Data(&self.undelimiter.frame()[place])) };
            }
            Some(Outcome::Escape) => return Received { used: 0, event: Some(Event::Escape) },
            Some(Outcome::Nothing | Outcome::Opened { .. }) | None => {}
        }
        for (at, byte) in wire.iter().enumerate() {
            let outcome = match self.undelimiter.push(*byte) {
                Ok(None) => continue,
                Ok(Some(_)) => self.message(now, random),
                Err(error) => Err(Refusal::Delimiter(error)),
            };
            let event = match outcome {
                Ok(Outcome::Nothing) => continue,
                Ok(Outcome::Opened { continued }) => match self.suite() {
                    Some(suite) => Event::Opened { suite, continued },
                    None => continue,
                },
                Ok(Outcome::Data(place)) => Event::Data(&self.undelimiter.frame()[place]),
                Ok(Outcome::Escape) => Event::Escape,
                Err(refusal) => {
                    self.counts.refused += 1;
                    Event::Refused(refusal)
                }
            };
            return Received { used: at + 1, event: Some(event) };
        }
        Received { used: wire.len(), event: None }
    }

    /// The next bytes for the wire, in the beginning of `out`; `None` if there is nothing to say before [`Self::wake_at`].
    ///
    /// `out` should have [`wire_len`](delimiter::wire_len) of the longest frame that the other end takes; with less, frames
    /// are shorter.
    ///
    /// # Errors
    /// [`NoRoom`] if not even a short frame fits: 67 bytes are enough.
    pub fn transmit<'o>(
        &mut self,
        now: Millis,
        random: &mut impl Random,
        out: &'o mut [u8],
    ) -> Result<Option<&'o [u8]>, NoRoom> {
        let longest = out.len().saturating_sub(3 + out.len() / 254);
        if longest < usize::from(LEAST_FRAME) {
            return Err(NoRoom);
        }
        self.upkeep(now);
        let longest = longest.min(self.peer_frame);
        let start = delimiter::room(longest);
        let buffer = &mut out[start..start + longest];
        let len = match self.handshake_message(now, random, buffer) {
            Some(len) => {
                self.lead = true;
                Some(len)
            }
            None => self.frame(now, buffer),
        };
        let Some(len) = len else { return Ok(None) };
        let lead = self.lead || now.since(self.last_sent) > IDLE_MILLIS;
        (self.lead, self.last_sent) = (false, now);
        delimiter::delimit(out, start, len, lead).map(Some).ok_or(NoRoom)
    }

    /// When [`Self::transmit`] has something to say although nothing came and nothing was sent.
    #[must_use]
    pub fn wake_at(&self) -> Option<Millis> {
        let rekey = self.session.as_ref().filter(|_| matches!(self.handshake, Handshake::Idle));
        let rekey = rekey.map(|_| Millis(self.began.0.saturating_add(self.settings.rekey_millis)));
        [self.shaking.due(), self.acknowledging.due(), rekey].into_iter().flatten().min()
    }

    /// What time brings about.
    fn upkeep(&mut self, now: Millis) {
        if self.acknowledging.fails(now) {
            let next = self.session.as_ref().map_or(0, Session::next_counter);
            self.outgoing.go_back(next, self.longest_piece());
            self.lead = true;
        }
        self.shaking.fails(now);
        match self.handshake {
            Handshake::Idle => {
                if self.has_old_keys(now, 1) || self.acknowledging.failed() >= self.settings.timing.patience {
                    self.want_handshake();
                }
            }
            // The module has no such reply any more.
            Handshake::Finishing(_) if self.shaking.failed() >= self.settings.timing.patience => self.want_handshake(),
            Handshake::Finishing(_) | Handshake::Greeting(_) | Handshake::Wanted => {}
        }
    }

    /// Whether the session has lived so many times as long, or sealed so many times as much, as keys should.
    fn has_old_keys(&self, now: Millis, times: u64) -> bool {
        let Settings { rekey_frames, rekey_millis, .. } = self.settings;
        self.session.as_ref().is_some_and(|session| {
            session.used() >= rekey_frames.saturating_mul(times)
                || now.since(self.began) >= rekey_millis.saturating_mul(times)
        })
    }

    fn want_handshake(&mut self) {
        self.handshake = Handshake::Wanted;
        self.shaking.succeed();
    }

    /// Writes the handshake message that is due and returns its length.
    fn handshake_message(&mut self, now: Millis, random: &mut impl Random, out: &mut [u8]) -> Option<usize> {
        if self.module.reply_due
            && let Some(pending) = &self.module.pending
        {
            self.module.reply_due = false;
            return Some(copy(pending.reply.as_ref(), out));
        }
        if self.shaking.due().is_some() || matches!(self.handshake, Handshake::Idle) {
            return None;
        }
        self.shaking.begin(now, &self.settings.timing);
        if self.side == Side::Module {
            return Some(copy(&self.credentials.knock(), out));
        }
        if matches!(self.handshake, Handshake::Wanted) {
            let greeting = self.credentials.greet(self.settings.suites, self.about(), |out| random.fill(out));
            self.handshake = Handshake::Greeting(greeting);
        }
        match &self.handshake {
            Handshake::Greeting(greeting) => Some(copy(C::hello(greeting).as_ref(), out)),
            Handshake::Finishing(finish) => Some(copy(finish, out)),
            Handshake::Idle | Handshake::Wanted => None,
        }
    }

    fn about(&self) -> About {
        About { longest_frame: u16::try_from(FRAME).unwrap_or(u16::MAX), lineage: self.lineage }
    }

    /// Seals the frame that is due in place and returns its length.
    fn frame(&mut self, now: Millis, out: &mut [u8]) -> Option<usize> {
        // Whoever keeps handshakes from an end does not keep its keys alive.
        if self.has_old_keys(now, 2) {
            return None;
        }
        let session = self.session.as_mut().filter(|_| self.proven)?;
        let most = out.len().checked_sub(session.overhead())?;
        let payload = out.get_mut(HEAD..HEAD + most)?;
        let acknowledged = self.incoming.acknowledged().to_be_bytes();
        // 1. A gap is told at once, so that nothing more is sent in vain.
        let (kind, len) = if let Answer::Gap { shown_by } = self.answer {
            payload[..2].copy_from_slice(&acknowledged);
            payload[2..4].copy_from_slice(&shown_by.to_be_bytes());
            (Kind::Gap, 4)
        // 2. What there is to send, which acknowledges too.
        } else if let Some((piece, again)) = self.outgoing.take(&mut payload[4..]) {
            self.counts.sent_again += u64::from(again);
            let (kind, offset, len) = match piece {
                Piece::Data { offset, len } => (Kind::Data, offset, len),
                Piece::Escape { offset } => (Kind::Escape, offset, 0),
            };
            payload[..2].copy_from_slice(&offset.to_be_bytes());
            payload[2..4].copy_from_slice(&acknowledged);
            self.acknowledging.begin(now, &self.settings.timing);
            (kind, 4 + len)
        } else if self.answer == Answer::Acknowledgement {
            payload[..2].copy_from_slice(&acknowledged);
            (Kind::Acknowledgement, 2)
        } else {
            return None;
        };
        self.answer = Answer::Nothing;
        // A session without counters sends nothing until there is another.
        let len = session.seal(kind, out, len).ok()?;
        self.counts.sent += 1;
        Some(len)
    }

    /// How long a piece of the stream is in the longest frame that the other end takes.
    fn longest_piece(&self) -> usize {
        let overhead = self.session.as_ref().map_or(HEAD, Session::overhead) + 4;
        self.peer_frame.saturating_sub(overhead).max(1)
    }

    /// The frame or message that has just ended.
    fn message(&mut self, now: Millis, random: &mut impl Random) -> Result<Outcome, Refusal> {
        let message = self.undelimiter.frame();
        let head = *message.first().ok_or(Refusal::Empty)?;
        if Side::of(head) == self.side {
            return Err(Refusal::Frame(FrameError::Reflected));
        }
        match head {
            KNOCK_HEAD => self.knocked(now),
            HELLO_HEAD => self.greeted(now, random),
            REPLY_HEAD => self.replied(now),
            FINISH_HEAD => self.finished(now),
            _ => self.framed(now),
        }
    }

    /// Host: the module wants to be greeted.
    fn knocked(&mut self, now: Millis) -> Result<Outcome, Refusal> {
        self.credentials.check_knock(self.undelimiter.frame())?;
        let young = self.session.is_some() && now.since(self.began) < u64::from(self.settings.timing.answer);
        if matches!(self.handshake, Handshake::Idle) && !young {
            self.want_handshake();
        }
        Ok(Outcome::Nothing)
    }

    /// Module: a host begins a handshake, or somebody replays one.
    fn greeted(&mut self, now: Millis, random: &mut impl Random) -> Result<Outcome, Refusal> {
        let hello = self.credentials.greeted(self.undelimiter.frame())?;
        let nonce = C::nonce(&hello);
        // 1. The hello of the present session has done what it could.
        if self.module.host_nonce == Some(nonce) {
            return Err(Refusal::ReplayedHello);
        }
        // 2. The same hello again: the reply was lost, and is said again.
        let known = self.module.pending.as_ref().is_some_and(|pending| pending.nonce == nonce);
        if !known {
            // 3. Another one: not too often, and a handshake that goes on has its time.
            let between = u64::from(self.settings.timing.between_replies);
            if self.module.replied.is_some_and(|replied| now.since(replied) < between) {
                return Err(Refusal::TooSoon);
            }
            let (reply, established) =
                self.credentials.reply(&hello, self.settings.suites, self.about(), |out| random.fill(out))?;
            self.module.pending = Some(Pending { nonce, reply, established });
            self.module.replied = Some(now);
        }
        self.module.reply_due = true;
        if matches!(self.handshake, Handshake::Wanted) {
            self.shaking.succeed();
            self.shaking.begin(now, &self.settings.timing);
        }
        Ok(Outcome::Nothing)
    }

    /// Host: the module answers the hello.
    fn replied(&mut self, now: Millis) -> Result<Outcome, Refusal> {
        let Handshake::Greeting(greeting) = &self.handshake else { return Err(Refusal::UnexpectedReply) };
        let established = self.credentials.answered(greeting, self.undelimiter.frame())?;
        self.handshake = Handshake::Finishing(*established.finish());
        self.shaking.succeed();
        self.adopt(established, now);
        self.proven = false;
        Ok(Outcome::Nothing)
    }

    /// Module: the host proves that it has the session.
    fn finished(&mut self, now: Millis) -> Result<Outcome, Refusal> {
        let message = self.undelimiter.frame();
        if self.module.finish.as_ref().is_some_and(|finish| *finish == *message) {
            // Again: the acknowledgement was lost.
            self.answer = Answer::Acknowledgement;
            return Ok(Outcome::Nothing);
        }
        self.module.pending.as_ref().ok_or(Refusal::UnexpectedFinish)?.established.check_finish(message)?;
        let Some(Pending { established, .. }) = self.module.pending.take() else { return Ok(Outcome::Nothing) };
        self.module.finish = Some(*established.finish());
        self.module.host_nonce = Some(established.peer.nonce);
        self.module.reply_due = false;
        self.handshake = Handshake::Idle;
        self.shaking.succeed();
        self.adopt(established, now);
        self.answer = Answer::Acknowledgement;
        Ok(self.prove())
    }

    /// Speaks in a new session from now on.
    fn adopt(&mut self, established: Established, now: Millis) {
        let Established { session, peer, .. } = established;
        if self.lineage == peer.lineage && self.lineage != [0; 8] {
            self.outgoing.carry_over();
        } else {
            self.lineage = session.id().0;
            self.opened = false;
            self.outgoing = Outgoing::new();
            self.incoming = Incoming::default();
        }
        self.acknowledging.succeed();
        self.answer = Answer::Nothing;
        self.peer_frame = usize::from(peer.longest_frame);
        self.session = Some(session);
        self.began = now;
        self.lead = true;
    }

    /// The other end has shown that it has the session too.
    fn prove(&mut self) -> Outcome {
        self.proven = true;
        self.counts.sessions += 1;
        let continued = core::mem::replace(&mut self.opened, true);
        Outcome::Opened { continued }
    }

    /// A frame of a session.
    fn framed(&mut self, now: Millis) -> Result<Outcome, Refusal> {
        let longest_piece = self.longest_piece();
        let session = self.session.as_mut().ok_or(Refusal::NoSession)?;
        let frame = session.open(self.undelimiter.frame())?;
        self.counts.received += 1;
        let next_counter = session.next_counter();
        let (acknowledged, gap, piece) = match frame {
            Frame::Data { offset, acknowledged, counter, data } => {
                (acknowledged, None, Some((offset, data.len(), Kind::Data, counter)))
            }
            Frame::Escape { offset, acknowledged, counter } => {
                (acknowledged, None, Some((offset, 1, Kind::Escape, counter)))
            }
            Frame::Acknowledgement { acknowledged } => (acknowledged, None, None),
            Frame::Gap { acknowledged, shown_by } => (acknowledged, Some(shown_by), None),
        };
        // 1. What has arrived over there is forgotten; what is missing is sent again.
        if self.outgoing.acknowledge(acknowledged, longest_piece) {
            self.acknowledging.succeed();
            if self.outgoing.is_under_way() {
                self.acknowledging.begin(now, &self.settings.timing);
            }
        }
        if gap.is_some_and(|shown_by| self.outgoing.is_news(shown_by, next_counter)) {
            self.outgoing.go_back(next_counter, longest_piece);
            self.acknowledging.pause();
            self.lead = true;
        }
        // 2. What has arrived here is told, if it is new and in order.
        let outcome = match piece {
            None => Outcome::Nothing,
            Some((offset, len, kind, counter)) => match self.incoming.arrive(offset, len) {
                Arrival::New { skip } => {
                    self.answer = Answer::Acknowledgement;
                    if kind == Kind::Data { Outcome::Data(DATA + skip..DATA + len) } else { Outcome::Escape }
                }
                Arrival::Known => {
                    self.answer = Answer::Acknowledgement;
                    Outcome::Nothing
                }
                Arrival::Gap => {
                    let [.., high, low] = counter.to_be_bytes();
                    self.answer = Answer::Gap { shown_by: u16::from_be_bytes([high, low]) };
                    Outcome::Nothing
                }
            },
        };
        // 3. The first frame of a session proves that the module has it.
        if self.proven {
            return Ok(outcome);
        }
        if matches!(self.handshake, Handshake::Finishing(_)) {
            self.handshake = Handshake::Idle;
            self.shaking.succeed();
        }
        self.held = Some(outcome);
        Ok(self.prove())
    }
}

fn copy(message: &[u8], out: &mut [u8]) -> usize {
    out[..message.len()].copy_from_slice(message);
    message.len()
}

/// What came of a frame or message.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Nothing,
    Opened { continued: bool },
    Data(Range<usize>),
    Escape,
}

/// Where data begins in an opened frame.
const DATA: usize = HEAD + 4;
/// After so long a delimiter goes ahead: what the wire made up meanwhile must not become part of a frame.
const IDLE_MILLIS: u64 = 20;
const _: () = assert!(MAX_WINDOW < 1 << 15);

#[cfg(test)]
mod tests;
