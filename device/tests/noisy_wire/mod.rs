//! Two ends and a wire between them that loses, inserts, doubles and flips bytes, swaps and doubles frames, is cut and
//! plugged in again; and ends that are reset. In virtual time, from a seed.

use std::collections::VecDeque;
use std::fmt::Debug;

use cotter_device::link::end::{self, Counts, Event, Settings};
use cotter_device::link::{Millis, Timing};
use cotter_device::platform::Random;
use cotter_formats::secret::Secret;
use cotter_wire::link::credentials::Credentials;
use cotter_wire::link::delimiter::wire_len;
use cotter_wire::link::handshake::LinkPsk;
use cotter_wire::link::session::Side;
use cotter_wire::link::suite::{Suite, SuiteSet};

/// The longest frame of both ends.
pub(crate) const FRAME: usize = 280;
/// What both ends hold until it is acknowledged.
pub(crate) const WINDOW: usize = 1024;
pub(crate) type End<C> = end::End<C, FRAME, WINDOW>;

/// How bad the wire is. Each number is one in so many; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Noise {
    /// Bytes that are lost, inserted, doubled, or have a bit flipped.
    pub(crate) bytes: usize,
    /// Frames that are doubled, or overtaken by the next.
    pub(crate) frames: usize,
    /// Milliseconds in which the wire is cut, for up to three seconds.
    pub(crate) cuts: usize,
    /// Milliseconds in which an end is reset.
    pub(crate) resets: usize,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// Frames of sessions that both ends sent.
    pub(crate) frames: u64,
    /// Those whose data was sent before.
    pub(crate) sent_again: u64,
    /// Frames and messages that were refused.
    pub(crate) refused: u64,
    /// Bytes that went onto the wire.
    pub(crate) wire_bytes: u64,
    /// Bytes of the streams that were delivered.
    pub(crate) delivered: u64,
    /// Escapes that were delivered.
    pub(crate) escapes: u64,
    /// Bytes or escapes that were delivered and not sent, or in another place.
    pub(crate) wrong: u64,
    /// Handshakes that were finished, at the host.
    pub(crate) sessions: u64,
    /// Cuts of the wire.
    pub(crate) cuts: u64,
    /// Resets of ends.
    pub(crate) resets: u64,
    /// Virtual time until the noise ended.
    pub(crate) millis: u64,
    /// The longest time in which nothing was delivered, cuts included.
    pub(crate) longest_silence: u64,
    /// Virtual time that it took to deliver the rest over a quiet wire.
    pub(crate) recovered_in: u64,
}

/// Until so many frames were sent, then over a quiet wire until all has arrived. Panics if that does not happen in a minute
/// of virtual time.
pub(crate) fn run(noise: Noise, suite: Suite, baud: u32, frames: u64, seed: u64) -> Outcome {
    run_with(psk, noise, suite, baud, frames, seed)
}

/// The same for ends with any credentials.
pub(crate) fn run_with<C: Credentials + Debug>(
    keys: fn(Side) -> C,
    noise: Noise,
    suite: Suite,
    baud: u32,
    frames: u64,
    seed: u64,
) -> Outcome {
    let mut wire = Wire::new(keys, noise, suite, baud, seed);
    while wire.outcome().frames < frames {
        wire.step();
    }
    wire.quiet();
    let noisy_until = wire.now;
    while !wire.is_all_delivered() {
        wire.step();
        assert!(wire.now < noisy_until + 60_000, "not recovered in a minute, seed {seed}: {wire:?}");
    }
    Outcome { millis: noisy_until, recovered_in: wire.now - noisy_until, ..wire.outcome() }
}

/// What goes where.
#[derive(Debug)]
pub(crate) struct Wire<C: Credentials> {
    noise: Noise,
    settings: Settings,
    random: Seeded,
    /// Bytes per millisecond, in thousandths.
    speed: u64,
    now: u64,
    host: Party<C>,
    module: Party<C>,
    cut_until: u64,
    quiet: bool,
    last_delivery: u64,
    outcome: Outcome,
}

impl<C: Credentials> Wire<C> {
    fn new(keys: fn(Side) -> C, noise: Noise, suite: Suite, baud: u32, seed: u64) -> Self {
        let timing = Timing::of_baud(baud, u32::try_from(FRAME).unwrap());
        let settings = Settings { suites: SuiteSet::only(suite), timing, ..Settings::default() };
        Self {
            noise,
            settings,
            random: Seeded(seed),
            speed: u64::from(baud) / 10,
            now: 0,
            host: Party::new(Side::Host, keys, settings),
            module: Party::new(Side::Module, keys, settings),
            cut_until: 0,
            quiet: false,
            last_delivery: 0,
            outcome: Outcome::default(),
        }
    }

    /// No noise, no cuts, no resets, and nothing more to send.
    fn quiet(&mut self) {
        self.noise = Noise::default();
        self.quiet = true;
    }

    fn is_all_delivered(&self) -> bool {
        let all = |from: &Party<C>, to: &Party<C>| from.end.is_all_acknowledged() && to.has_read(from.written);
        all(&self.host, &self.module) && all(&self.module, &self.host)
    }

    fn outcome(&self) -> Outcome {
        let mut outcome = self.outcome;
        for party in [&self.host, &self.module] {
            for counts in [party.before, party.end.counts()] {
                outcome.frames += counts.sent;
                outcome.sent_again += counts.sent_again;
                outcome.refused += counts.refused;
            }
            outcome.wrong += party.wrong;
            outcome.delivered += party.delivered;
            outcome.escapes += party.escapes;
        }
        outcome.sessions = self.host.before.sessions + self.host.end.counts().sessions;
        outcome
    }

    /// One millisecond.
    fn step(&mut self) {
        self.now += 1;
        if self.random.one_in(self.noise.cuts) {
            self.cut_until = self.now + self.random.below(3000);
            self.outcome.cuts += 1;
        }
        if self.random.one_in(self.noise.resets) {
            let which = if self.random.one_in(2) { &mut self.host } else { &mut self.module };
            which.reset(self.settings);
            self.outcome.resets += 1;
        }
        let budget = usize::try_from(self.now * self.speed / 1000 - (self.now - 1) * self.speed / 1000).unwrap();
        let cut = self.now < self.cut_until;
        let mut before = self.host.delivered + self.module.delivered;
        for host_sends in [true, false] {
            let (from, to) = match host_sends {
                true => (&mut self.host, &mut self.module),
                false => (&mut self.module, &mut self.host),
            };
            if !self.quiet {
                from.write(&mut self.random);
            }
            self.outcome.wire_bytes += from.fill(self.now, budget, self.noise, &mut self.random);
            let mut carried = Vec::new();
            for byte in from.queue.drain(..budget.min(from.queue.len())) {
                match (self.random.one_in(self.noise.bytes), self.random.below(4)) {
                    _ if cut => {}
                    (false, _) => carried.push(byte),
                    (true, 0) => {}
                    (true, 1) => carried.extend([self.random.byte(), byte]),
                    (true, 2) => carried.extend([byte, byte]),
                    (true, _) => carried.push(byte ^ 1 << self.random.below(8)),
                }
            }
            to.read(&carried, self.now, &mut self.random);
        }
        before = self.host.delivered + self.module.delivered - before;
        if before > 0 {
            self.outcome.longest_silence = self.outcome.longest_silence.max(self.now - self.last_delivery);
            self.last_delivery = self.now;
        }
    }
}

/// An end, what it says, and what it was told.
#[derive(Debug)]
struct Party<C: Credentials> {
    side: Side,
    keys: fn(Side) -> C,
    end: End<C>,
    /// Counts of the ends before its resets.
    before: Counts,
    queue: VecDeque<u8>,
    overtaken: Option<Vec<u8>>,
    /// Which stream this is that it writes, and how much of it: of the last stream that began.
    written: (u32, u64),
    /// The same of what it reads; 0 before the first.
    read: (u32, u64),
    number: Vec<u8>,
    wrong: u64,
    delivered: u64,
    escapes: u64,
}

impl<C: Credentials> Party<C> {
    fn new(side: Side, keys: fn(Side) -> C, settings: Settings) -> Self {
        Self {
            side,
            keys,
            end: End::new(side, keys(side), settings),
            before: Counts::default(),
            queue: VecDeque::new(),
            overtaken: None,
            written: (0, 0),
            read: (0, 0),
            number: Vec::new(),
            wrong: 0,
            delivered: 0,
            escapes: 0,
        }
    }

    fn reset(&mut self, settings: Settings) {
        let counts = self.end.counts();
        self.before.sent += counts.sent;
        self.before.sent_again += counts.sent_again;
        self.before.refused += counts.refused;
        self.before.sessions += counts.sessions;
        self.end = End::new(self.side, (self.keys)(self.side), settings);
        self.queue.clear();
        self.overtaken = None;
    }

    /// Sends some of its stream, sometimes.
    fn write(&mut self, random: &mut Seeded) {
        if !self.end.is_open() || !random.one_in(8) {
            return;
        }
        let (stream, mut at) = self.written;
        for _ in 0..=random.below(if self.side == Side::Host { 40 } else { 300 }) {
            let taken = match item(self.side, stream, at) {
                Item::Byte(byte) => self.end.send(&[byte]).unwrap() == 1,
                Item::Escape => self.end.escape().unwrap(),
            };
            if !taken {
                break;
            }
            at += 1;
        }
        self.written = (stream, at);
    }

    /// Keeps its UART busy; returns how many bytes it handed over.
    fn fill(&mut self, now: u64, budget: usize, noise: Noise, random: &mut Seeded) -> u64 {
        let mut handed = 0;
        let mut out = [0; wire_len(FRAME)];
        while self.queue.len() < budget {
            let Some(frame) = self.end.transmit(Millis(now), random, &mut out).unwrap() else { break };
            handed += frame.len() as u64;
            let frame = frame.to_vec();
            if random.one_in(noise.frames) && self.overtaken.is_none() {
                if random.one_in(2) {
                    self.overtaken = Some(frame);
                    continue;
                }
                self.queue.extend(&frame);
            }
            self.queue.extend(frame);
            self.queue.extend(self.overtaken.take().into_iter().flatten());
        }
        handed
    }

    fn read(&mut self, mut wire: &[u8], now: u64, random: &mut Seeded) {
        loop {
            let received = self.end.receive(wire, Millis(now), random);
            wire = &wire[received.used..];
            match received.event {
                None if wire.is_empty() => return,
                None | Some(Event::Refused(_)) => {}
                Some(Event::Opened { continued: true, .. }) => {}
                Some(Event::Opened { continued: false, .. }) => {
                    self.written = (self.written.0 + 1, 0);
                    self.number.clear();
                    self.read.1 = 0;
                }
                Some(Event::Data(data)) => {
                    let data = data.to_vec();
                    data.into_iter().for_each(|byte| self.arrived(Item::Byte(byte)));
                }
                Some(Event::Escape) => self.arrived(Item::Escape),
            }
        }
    }

    /// Whether all that was written has arrived. A reader knows which stream it is once it has the number.
    fn has_read(&self, (stream, len): (u32, u64)) -> bool {
        self.read.1 == len && (self.read.0 == stream || len < 4)
    }

    /// A stream begins with its number, which grows; all else follows from that.
    fn arrived(&mut self, arrived: Item) {
        let at = self.read.1;
        self.read.1 += 1;
        match arrived {
            Item::Byte(byte) if at < 4 => {
                self.number.push(byte);
                self.delivered += 1;
                if let Ok(number) = <[u8; 4]>::try_from(&*self.number) {
                    let number = u32::from_le_bytes(number);
                    self.wrong += u64::from(number <= self.read.0);
                    self.read.0 = number;
                }
                return;
            }
            Item::Byte(_) => self.delivered += 1,
            Item::Escape => self.escapes += 1,
        }
        self.wrong += u64::from(arrived != item(self.side.other(), self.read.0, at));
    }
}

/// A shared key alone.
pub(crate) fn psk(_: Side) -> LinkPsk {
    LinkPsk::new(Secret::filled_by(|key| key[0] = 1)).unwrap()
}

/// What a stream consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Byte(u8),
    Escape,
}

fn item(side: Side, stream: u32, at: u64) -> Item {
    if let Some(byte) = usize::try_from(at).ok().and_then(|at| stream.to_le_bytes().get(at).copied()) {
        return Item::Byte(byte);
    }
    let mut random = Seeded(u64::from(side.bit()) << 48 ^ u64::from(stream) << 24 ^ at);
    if random.one_in(500) { Item::Escape } else { Item::Byte(random.byte()) }
}

/// SplitMix64. Not for keys that matter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, count: usize) -> bool {
        count > 0 && self.below(count as u64) == 0
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

impl Random for Seeded {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill_with(|| self.byte());
    }
}
