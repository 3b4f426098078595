//! Two ends and a wire that somebody can listen to and change: for tests.

extern crate std;

use super::{End, Event, Received, Refusal, Settings};
use crate::link::Millis;
use crate::platform::Random;
use cotter_formats::secret::Secret;
use cotter_wire::link::credentials::Credentials;
use cotter_wire::link::delimiter::{self, Undelimiter, wire_len};
use cotter_wire::link::handshake::LinkPsk;
use cotter_wire::link::session::Side;
use cotter_wire::link::suite::Suite;
use std::vec;
use std::vec::Vec;

/// The longest frame of both ends.
pub(crate) const FRAME: usize = 128;

pub(crate) type Peer<C> = End<C, FRAME, 512>;

/// Counts up; never the same twice.
pub(crate) struct Counting(pub(crate) u64);

impl Random for Counting {
    fn fill(&mut self, out: &mut [u8]) {
        self.0 += 1;
        out.fill(0);
        // X25519 ignores the lowest bits of the first byte.
        out[1..9].copy_from_slice(&self.0.to_le_bytes());
    }
}

pub(crate) fn psk(byte: u8) -> LinkPsk {
    LinkPsk::new(Secret::filled_by(|key| key[0] = byte)).unwrap()
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Opened { continued: bool },
    Data(Vec<u8>),
    Escape,
    Refused(Refusal),
}

/// A host, a module, and the wire.
pub(crate) struct Pair<H: Credentials, M: Credentials> {
    pub(crate) host: Peer<H>,
    pub(crate) module: Peer<M>,
    pub(crate) random: Counting,
    pub(crate) now: u64,
    /// What went from the host to the module, frame by frame.
    pub(crate) to_module: Vec<Vec<u8>>,
    pub(crate) to_host: Vec<Vec<u8>>,
    /// The only suite that a session may have.
    pub(crate) only: Option<Suite>,
}

impl<H: Credentials, M: Credentials> Pair<H, M> {
    pub(crate) fn new(host: H, module: M) -> Self {
        let host = End::new(Side::Host, host, Settings::default());
        Self::of(host, End::new(Side::Module, module, Settings::default()))
    }

    pub(crate) fn of(host: Peer<H>, module: Peer<M>) -> Self {
        Self { host, module, random: Counting(0), now: 1000, to_module: Vec::new(), to_host: Vec::new(), only: None }
    }

    /// With a session.
    pub(crate) fn open(host: H, module: M) -> Self {
        let mut pair = Self::new(host, module);
        let opened = || vec![Told::Opened { continued: false }];
        assert_eq!(pair.exchange(), (opened(), opened()));
        pair
    }

    pub(crate) fn give(&mut self, side: Side, wire: &[u8]) -> Vec<Told> {
        let now = Millis(self.now);
        let (told, suite) = match side {
            Side::Host => (told(&mut self.host, wire, now, &mut self.random), self.host.suite()),
            Side::Module => (told(&mut self.module, wire, now, &mut self.random), self.module.suite()),
        };
        if self.only.is_some() && told.iter().any(|told| matches!(told, Told::Opened { .. })) {
            assert_eq!(suite, self.only);
        }
        told
    }

    pub(crate) fn take(&mut self, side: Side) -> Vec<Vec<u8>> {
        let now = Millis(self.now);
        match side {
            Side::Host => said(&mut self.host, now, &mut self.random),
            Side::Module => said(&mut self.module, now, &mut self.random),
        }
    }

    /// Carries all that either end says, until both are silent. What the host was told, and the module.
    pub(crate) fn exchange(&mut self) -> (Vec<Told>, Vec<Told>) {
        let (mut host, mut module) = (Vec::new(), Vec::new());
        loop {
            let (down, up) = (self.take(Side::Host), self.take(Side::Module));
            if down.is_empty() && up.is_empty() {
                return (host, module);
            }
            down.iter().for_each(|frame| module.extend(self.give(Side::Module, frame)));
            up.iter().for_each(|frame| host.extend(self.give(Side::Host, frame)));
            self.to_module.extend(down);
            self.to_host.extend(up);
        }
    }

    pub(crate) fn later(&mut self, millis: u64) -> &mut Self {
        self.now += millis;
        self
    }

    /// Both ends still understand each other.
    pub(crate) fn works(&mut self) {
        assert_eq!(self.host.send(b"AT\r\n"), Ok(4));
        assert_eq!(self.module.send(b"OK\r\n"), Ok(4));
        let (host, module) = self.exchange();
        assert!(host.contains(&Told::Data(b"OK\r\n".to_vec())), "{host:?}");
        assert!(module.contains(&Told::Data(b"AT\r\n".to_vec())), "{module:?}");
        assert!(self.host.is_all_acknowledged() && self.module.is_all_acknowledged());
    }
}

/// All that an end says about these bytes.
pub(crate) fn told<C: Credentials, const F: usize, const W: usize>(
    end: &mut End<C, F, W>,
    mut wire: &[u8],
    now: Millis,
    random: &mut Counting,
) -> Vec<Told> {
    let mut all = Vec::new();
    loop {
        let Received { used, event } = end.receive(wire, now, random);
        wire = &wire[used..];
        all.push(match event {
            None if wire.is_empty() => return all,
            None => continue,
            Some(Event::Opened { continued, .. }) => Told::Opened { continued },
            Some(Event::Data(data)) => Told::Data(data.to_vec()),
            Some(Event::Escape) => Told::Escape,
            Some(Event::Refused(refusal)) => Told::Refused(refusal),
        });
    }
}

fn said<C: Credentials>(end: &mut Peer<C>, now: Millis, random: &mut Counting) -> Vec<Vec<u8>> {
    let (mut frames, mut out) = (Vec::new(), [0; wire_len(FRAME)]);
    while let Some(frame) = end.transmit(now, random, &mut out).unwrap() {
        frames.push(frame.to_vec());
    }
    frames
}

pub(crate) fn refused(refusal: impl Into<Refusal>) -> Vec<Told> {
    vec![Told::Refused(refusal.into())]
}

pub(crate) fn undelimited(wire: &[u8]) -> Vec<u8> {
    let mut undelimiter = Undelimiter::<300>::new();
    for byte in wire {
        let _ = undelimiter.push(*byte);
    }
    undelimiter.frame().to_vec()
}

pub(crate) fn delimited(frame: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 300];
    buffer[10..10 + frame.len()].copy_from_slice(frame);
    delimiter::delimit(&mut buffer, 10, frame.len(), true).unwrap().to_vec()
}
