//! The authenticated lines: both ends hold keys, and what one of them delivers is whole and in order.

use super::{EscapePlace, Incoming, Line, LineError};
use crate::random::HostRandom;
use cotter_device::link::Millis;
use cotter_device::link::end::{End, Event, Refusal, Settings};
use cotter_wire::link::credentials::Credentials;
use cotter_wire::link::handshake::LinkPsk;
use cotter_wire::link::noise::NoiseKeys;
use cotter_wire::link::session::Side;
use std::collections::VecDeque;
use std::time::Instant;

/// Either end, with a shared key alone.
pub type Psk = Sealed<LinkPsk>;

/// Either end, with a shared key and a Noise handshake.
pub type Noise = Sealed<NoiseKeys>;

/// Either end, with any handshake.
#[derive(Debug)]
pub struct Sealed<C: Credentials> {
    end: End<C, FRAME, WINDOW>,
    random: HostRandom,
    began: Instant,
    /// What the end had no room for.
    waiting: VecDeque<Waiting>,
    refusal: Option<Refusal>,
}

#[derive(Debug)]
enum Waiting {
    Data(Vec<u8>),
    Escape,
}

impl<C: Credentials> Sealed<C> {
    /// One end after its reset.
    #[must_use]
    pub fn new(side: Side, credentials: C, settings: Settings) -> Self {
        let (random, began) = (HostRandom::default(), Instant::now());
        Self { end: End::new(side, credentials, settings), random, began, waiting: VecDeque::new(), refusal: None }
    }

    fn at(&self, now: Instant) -> Millis {
        Millis(u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX))
    }

    /// Gives the end what it has room for, and takes what it has to say.
    fn transmit(&mut self, now: Instant) -> Vec<u8> {
        let now = self.at(now);
        let (mut wire, mut out) = (Vec::new(), [0; OUT]);
        loop {
            self.hand_over();
            // OUT is more than the least that it wants.
            match self.end.transmit(now, &mut self.random, &mut out) {
                Ok(Some(frame)) => wire.extend_from_slice(frame),
                Ok(None) | Err(_) => return wire,
            }
        }
    }

    fn hand_over(&mut self) {
        while let Some(first) = self.waiting.front_mut() {
            match first {
                Waiting::Data(data) => {
                    let taken = self.end.send(data).unwrap_or_default();
                    data.drain(..taken);
                    if !data.is_empty() {
                        return;
                    }
                }
                Waiting::Escape => {
                    if !self.end.escape().unwrap_or_default() {
                        return;
                    }
                }
            }
            self.waiting.pop_front();
        }
    }
}

impl<C: Credentials<Message: Send, Greeting: Send> + Send> Line for Sealed<C> {
    fn start(&mut self, now: Instant) -> Result<Vec<u8>, LineError> {
        Ok(self.transmit(now))
    }

    fn incoming(&mut self, wire: &[u8], now: Instant) -> Result<Incoming, LineError> {
        let (mut incoming, mut left, time) = (Incoming::default(), wire, self.at(now));
        loop {
            let received = self.end.receive(left, time, &mut self.random);
            left = left.get(received.used..).unwrap_or_default();
            match received.event {
                None if left.is_empty() => break,
                None => {}
                Some(Event::Data(data)) => incoming.plain.extend_from_slice(data),
                Some(Event::Escape) => incoming.escapes.push(incoming.plain.len()),
                Some(Event::Refused(refusal)) => self.refusal = Some(refusal),
                Some(Event::Opened { continued, .. }) => {
                    self.refusal = None;
                    if !continued {
                        // It was said to an end that is no more.
                        self.waiting.clear();
                    }
                }
            }
        }
        incoming.wire = self.transmit(now);
        Ok(incoming)
    }

    fn outgoing(&mut self, plain: &[u8], now: Instant) -> Result<Vec<u8>, LineError> {
        if !self.end.is_open() {
            return Err(LineError::NotReady { bytes: plain.len() });
        }
        self.waiting.push_back(Waiting::Data(plain.to_vec()));
        Ok(self.transmit(now))
    }

    fn escape(&mut self, now: Instant) -> Result<Vec<u8>, LineError> {
        if !self.end.is_open() {
            return Err(LineError::NotReady { bytes: 0 });
        }
        self.waiting.push_back(Waiting::Escape);
        Ok(self.transmit(now))
    }

    fn tick(&mut self, now: Instant) -> Result<Vec<u8>, LineError> {
        Ok(self.transmit(now))
    }

    fn ready(&self) -> bool {
        self.end.is_open()
    }

    fn escape_place(&self) -> EscapePlace {
        EscapePlace::Message
    }

    fn refusal(&self) -> Option<String> {
        self.refusal.map(|refusal| refusal.to_string())
    }
}

/// As an MCU might have it.
const FRAME: usize = 280;

/// What is on its way at once: at 115200 baud some 0.3 s.
const WINDOW: usize = 4096;

/// A delimited frame of the largest kind.
const OUT: usize = 4200;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test panics where it fails")]
    use super::*;
    use cotter_formats::secret::Secret;

    fn end(side: Side) -> Psk {
        let key = LinkPsk::allowing_example_keys(Secret::filled_by(|key: &mut [u8; 32]| *key = [7; 32]));
        Sealed::new(side, key, Settings::default())
    }

    #[test]
    fn an_escape_stays_where_it_was_said() {
        let (mut host, mut module) = (end(Side::Host), end(Side::Module));
        let now = Instant::now();
        let mut to_module = host.start(now).unwrap();
        let mut to_host = module.start(now).unwrap();
        while !(host.ready() && module.ready()) {
            let heard = module.incoming(&std::mem::take(&mut to_module), now).unwrap();
            to_host.extend(heard.wire);
            to_module.extend(host.incoming(&std::mem::take(&mut to_host), now).unwrap().wire);
        }
        to_module.extend(host.outgoing(b"data", now).unwrap());
        to_module.extend(host.escape(now).unwrap());
        to_module.extend(host.outgoing(b"AT\r\n", now).unwrap());
        let heard = module.incoming(&to_module, now).unwrap();
        assert_eq!((heard.plain.as_slice(), heard.escapes.as_slice()), (&b"dataAT\r\n"[..], &[4][..]));
    }
}
