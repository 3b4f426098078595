//! An end in Rust, and what goes over a wire between it and one in C.

use cotter_device::link::Millis;
use cotter_device::link::end::{End, Event, Refusal};
use cotter_device::platform::Random;
use cotter_formats::secret::Secret;
use cotter_interop::Generator;
use cotter_wire::link::credentials::Credentials;
use cotter_wire::link::delimiter::wire_len;
use cotter_wire::link::handshake::{HandshakeError, LinkPsk};
use cotter_wire::link::noise::{NoiseKeys, StaticKeys, public_key};

use crate::puppet::{Puppet, Status, Told};

struct FromSeed<'a>(&'a mut Generator);

impl Random for FromSeed<'_> {
    fn fill(&mut self, out: &mut [u8]) {
        self.0.fill(out);
    }
}

/// What the keys of a link are made from.
pub struct Keys {
    pub psk: [u8; 32],
    pub c_own: [u8; 32],
    pub rust_own: [u8; 32],
}

impl Keys {
    pub fn new(random: &mut Generator) -> Self {
        Self { psk: random.array(), c_own: random.array(), rust_own: random.array() }
    }

    pub fn of_c(&self) -> [[u8; 32]; 3] {
        [self.psk, self.c_own, public_key(&secret(&self.rust_own))]
    }

    pub fn psk(&self) -> LinkPsk {
        LinkPsk::new(secret(&self.psk)).unwrap()
    }

    pub fn nn(&self) -> NoiseKeys {
        NoiseKeys::nn(self.psk())
    }

    pub fn kk(&self) -> NoiseKeys {
        let peer = public_key(&secret(&self.c_own));
        NoiseKeys::kk(self.psk(), StaticKeys::new(&secret(&self.rust_own), peer).unwrap())
    }
}

pub fn secret(bytes: &[u8; 32]) -> Secret<32> {
    Secret::from_slice(bytes).unwrap()
}

pub type Ours<C> = End<C, 280, 1024>;

pub fn told<C: Credentials>(end: &mut Ours<C>, mut wire: &[u8], now: u64, random: &mut Generator) -> Vec<Told> {
    let mut all = Vec::new();
    loop {
        let received = end.receive(wire, Millis(now), &mut FromSeed(random));
        wire = &wire[received.used..];
        all.push(match received.event {
            None if wire.is_empty() => return all,
            None => continue,
            Some(Event::Opened { suite, continued }) => Told::Opened { suite: suite as u8, continued },
            Some(Event::Data(data)) => Told::Data(data.to_vec()),
            Some(Event::Escape) => Told::Escape,
            Some(Event::Refused(refusal)) => Told::Refused(reason(refusal)),
        });
    }
}

/// The numbers in the header for what these tests bring about.
fn reason(refusal: Refusal) -> i32 {
    match refusal {
        Refusal::Handshake(HandshakeError::OtherMode { .. }) => OTHER_MODE,
        Refusal::Handshake(HandshakeError::NoCommonSuite { .. }) => NO_COMMON_SUITE,
        Refusal::Handshake(HandshakeError::NotAuthentic) => NOT_AUTHENTIC,
        _ => 1000,
    }
}

pub const OTHER_MODE: i32 = 13;
pub const NO_COMMON_SUITE: i32 = 15;
pub const NOT_AUTHENTIC: i32 = 18;

pub fn said<C: Credentials>(end: &mut Ours<C>, now: u64, random: &mut Generator) -> Vec<Vec<u8>> {
    let (mut all, mut out) = (Vec::new(), [0; wire_len(280)]);
    while let Some(frame) = end.transmit(Millis(now), &mut FromSeed(random), &mut out).unwrap() {
        all.push(frame.to_vec());
    }
    all
}

/// How often the wire does something to a byte: once in so many, 0 for never.
#[derive(Clone, Copy)]
pub struct Noise(pub usize);

impl Noise {
    fn on(self, wire: &[u8], random: &mut Generator) -> Vec<u8> {
        let mut out = Vec::new();
        for &byte in wire {
            if self.0 == 0 || random.below(self.0) > 0 {
                out.push(byte);
                continue;
            }
            match random.below(4) {
                0 => {}
                1 => out.extend([byte, random.array::<1>()[0]]),
                2 => out.extend([byte, byte]),
                _ => out.push(byte ^ 1 << random.below(8)),
            }
        }
        out
    }
}

/// One direction: what was sent, and what of it arrived.
#[derive(Default)]
struct Stream {
    sent: Vec<Option<u8>>,
    arrived: Vec<Option<u8>>,
}

impl Stream {
    /// Bytes and escapes, in order; never one that was not sent there.
    fn take(&mut self, told: &[Told]) {
        for told in told {
            match told {
                Told::Data(data) => self.arrived.extend(data.iter().copied().map(Some)),
                Told::Escape => self.arrived.push(None),
                Told::Opened { .. } | Told::Refused(_) => continue,
            }
            assert!(self.sent.starts_with(&self.arrived), "something arrived that was not sent");
        }
    }
}

/// What an exchange came to.
pub struct Exchange {
    pub opened: Vec<Told>,
    pub frames: u64,
    pub status: Status,
}

/// Both ends send `bytes` each and some escapes, until all has arrived.
pub fn exchange<C: Credentials>(
    c: &mut Puppet,
    end: &mut Ours<C>,
    noise: Noise,
    bytes: usize,
    random: &mut Generator,
) -> Exchange {
    let (mut to_c, mut to_rust) = (Stream::default(), Stream::default());
    let (mut opened, mut now) = (Vec::new(), 1000_u64);
    let piece = |random: &mut Generator| {
        let len = random.between(1, 120);
        random.bytes(len)
    };
    loop {
        now += 5;
        assert!(now < 10_000_000, "it does not end");
        // 1. What there is to send.
        let is_open = c.status().is_open;
        if is_open && to_rust.sent.len() < bytes && random.below(3) == 0 {
            let plain = piece(random);
            let (code, taken) = c.send(&plain);
            assert_eq!(code, 0);
            to_rust.sent.extend(plain[..taken].iter().copied().map(Some));
            if random.below(4) == 0 && c.escape() == 0 {
                to_rust.sent.push(None);
            }
        }
        if end.is_open() && to_c.sent.len() < bytes && random.below(3) == 0 {
            let plain = piece(random);
            let taken = end.send(&plain).unwrap();
            to_c.sent.extend(plain[..taken].iter().copied().map(Some));
            if random.below(4) == 0 && end.escape() == Ok(true) {
                to_c.sent.push(None);
            }
        }
        // 2. The wire. A small buffer now and then: frames are shorter then.
        let room = *random.pick(&[67, 70, 128, 284, 284, 284, 600]);
        let (down, code) = c.transmit(now, room);
        assert_eq!(code, 0);
        for frame in down {
            let events = told(end, &noise.on(&frame, random), now, random);
            to_rust.take(&events);
        }
        for frame in said(end, now, random) {
            let wire = noise.on(&frame, random);
            // In pieces, as a UART gives it.
            for chunk in wire.chunks(random.between(1, 300)) {
                let events = c.receive(chunk, now);
                to_c.take(&events);
                opened.extend(events.into_iter().filter(|told| matches!(told, Told::Opened { .. })));
            }
        }
        let is_done = |stream: &Stream| stream.sent.len() >= bytes && stream.sent.len() == stream.arrived.len();
        if is_done(&to_c) && is_done(&to_rust) && end.is_all_acknowledged() && c.status().is_all_acknowledged {
            let status = c.status();
            return Exchange { opened, frames: status.sent + status.received, status };
        }
    }
}
