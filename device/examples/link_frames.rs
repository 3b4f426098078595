//! Two ends of the AT link without a wire between them, as fast as they go, and beside them the bare cipher: what
//! `cargo xtask bench link` runs.
//!
//! Prints a line for each mode, suite and length of a command: `mode suite length frames/s bare-frames/s`. A frame of a
//! link is sealed, opened and acknowledged; a bare one has as many bytes sealed and opened, and so has its acknowledgement.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that must not go wrong")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use cotter_device::link::Millis;
use cotter_device::link::compat::CompatEnd;
use cotter_device::link::end::{End, Event, Settings};
use cotter_device::platform::Random;
use cotter_formats::secret::Secret;
use cotter_wire::link::compat::{Cipher, CompatKey, ExampleKeys};
use cotter_wire::link::credentials::Credentials;
use cotter_wire::link::delimiter::wire_len;
use cotter_wire::link::handshake::LinkPsk;
use cotter_wire::link::noise::{NoiseKeys, StaticKeys, public_key};
use cotter_wire::link::session::Side;
use cotter_wire::link::suite::{FrameKey, Suite, SuiteSet};

const FRAME: usize = 280;
/// Text in the longest frame: without head, offset, acknowledgement and a tag of 16 bytes.
const PIECE: usize = FRAME - 3 - 4 - 16;
const LENGTHS: [usize; 3] = [16, 64, 1024];
const ROUND: Duration = Duration::from_millis(100);

type Ours<C> = End<C, FRAME, 1024>;

fn main() {
    for suite in Suite::ALL {
        rows("psk", suite, psk, psk);
    }
    rows("noise-nn", Suite::ChaCha20Poly1305, || NoiseKeys::nn(psk()), || NoiseKeys::nn(psk()));
    rows("noise-kk", Suite::ChaCha20Poly1305, || kk(1, 2), || kk(2, 1));
    for cipher in Cipher::ALL {
        for len in LENGTHS {
            let key = || CompatKey::new(cipher, &KEY[..cipher.key_len()], &KEY[..cipher.iv_len()], ExampleKeys::Refuse);
            let (host, module) = (key().unwrap(), key().unwrap());
            let (mut host_end, mut module_end) = (CompatEnd::new(&host, &module), CompatEnd::new(&module, &host));
            let (mut sealing, mut opening) = (host.keystream(), host.keystream());
            let (mut data, mut bare) = (vec![7; len], vec![7; len]);
            let (frames, bare_frames) = rates(
                || {
                    host_end.send(black_box(&mut data)).unwrap();
                    module_end.receive(black_box(&mut data)).unwrap();
                    1
                },
                || {
                    sealing.apply(black_box(&mut bare)).unwrap();
                    opening.apply(black_box(&mut bare)).unwrap();
                    1
                },
            );
            println!("compat {} {len} {frames:.0} {bare_frames:.0}", cipher.as_str());
        }
    }
}

fn rows<C: Credentials>(mode: &str, suite: Suite, host: impl Fn() -> C, module: impl Fn() -> C) {
    for len in LENGTHS {
        let mut pair = Pair::open(suite, host(), module());
        let plain = vec![7; len];
        let key = || FrameKey::filled_by(suite, |key, iv| (key.fill(1), iv.fill(2)).0);
        let (sealing, opening) = (key(), key());
        let (mut counter, mut data, mut tag) = (0, vec![7; PIECE + 4], [0; 16]);
        let tag = &mut tag[..suite.tag_len()];
        let mut bare = |len: usize| {
            counter += 1;
            sealing.seal(counter, &[9; 9], black_box(&mut data[..len]), tag);
            assert!(opening.open(counter, &[9; 9], black_box(&mut data[..len]), tag));
        };
        let (frames, bare_frames) = rates(
            || pair.command(&plain),
            || {
                let mut frames = 0;
                for piece in plain.chunks(PIECE) {
                    bare(piece.len() + 4);
                    bare(2);
                    frames += 1;
                }
                frames
            },
        );
        println!("{mode} {} {len} {frames:.0} {bare_frames:.0}", suite.as_str());
    }
}

/// Frames per second of both, in turns: the median of five rounds.
fn rates(mut one: impl FnMut() -> u32, mut other: impl FnMut() -> u32) -> (f64, f64) {
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        ones.push(rate(&mut one));
        others.push(rate(&mut other));
    }
    ones.sort_by(f64::total_cmp);
    others.sort_by(f64::total_cmp);
    (ones[2], others[2])
}

fn rate(work: &mut impl FnMut() -> u32) -> f64 {
    let (begun, mut frames) = (Instant::now(), 0);
    while begun.elapsed() < ROUND {
        for _ in 0..16 {
            frames += work();
        }
    }
    f64::from(frames) / begun.elapsed().as_secs_f64()
}

struct Pair<C: Credentials> {
    host: Ours<C>,
    module: Ours<C>,
    random: Counting,
    now: u64,
    delivered: usize,
}

impl<C: Credentials> Pair<C> {
    fn open(suite: Suite, host: C, module: C) -> Self {
        let settings = Settings { suites: SuiteSet::only(suite), rekey_frames: u64::MAX, ..Settings::default() };
        let (host, module) = (End::new(Side::Host, host, settings), End::new(Side::Module, module, settings));
        let mut pair = Self { host, module, random: Counting(0), now: 0, delivered: 0 };
        while pair.carry(Side::Host) + pair.carry(Side::Module) > 0 {}
        assert!(pair.host.is_open() && pair.module.is_open());
        pair
    }

    /// From the host to the module, each frame acknowledged; how many frames.
    fn command(&mut self, plain: &[u8]) -> u32 {
        // New keys are not what this is about.
        self.delivered = 0;
        assert_eq!(self.host.send(plain), Ok(plain.len()));
        let mut frames = 0;
        while self.delivered < plain.len() {
            frames += self.carry(Side::Host);
            assert_eq!(self.carry(Side::Module), 1);
        }
        frames
    }

    /// One frame or message.
    fn carry(&mut self, from: Side) -> u32 {
        let mut out = [0; wire_len(FRAME)];
        let (from, to) = match from {
            Side::Host => (&mut self.host, &mut self.module),
            Side::Module => (&mut self.module, &mut self.host),
        };
        let Some(mut wire) = from.transmit(Millis(self.now), &mut self.random, &mut out).unwrap() else { return 0 };
        loop {
            let received = to.receive(wire, Millis(self.now), &mut self.random);
            wire = &wire[received.used..];
            match received.event {
                None if wire.is_empty() => return 1,
                None | Some(Event::Opened { .. }) => {}
                Some(Event::Data(data)) => self.delivered += data.len(),
                Some(other) => unreachable!("{other:?}"),
            }
        }
    }
}

/// Counts up; never the same twice.
struct Counting(u64);

impl Random for Counting {
    fn fill(&mut self, out: &mut [u8]) {
        self.0 += 1;
        out.fill(0);
        // X25519 ignores the lowest bits of the first byte.
        out[1..9].copy_from_slice(&self.0.to_le_bytes());
    }
}

fn psk() -> LinkPsk {
    LinkPsk::new(Secret::from_slice(&KEY).unwrap()).unwrap()
}

fn kk(own: u8, peer: u8) -> NoiseKeys {
    let private = |byte| Secret::filled_by(|key: &mut [u8; 32]| key.fill(byte));
    NoiseKeys::kk(psk(), StaticKeys::new(&private(own), public_key(&private(peer))).unwrap())
}

const KEY: [u8; 32] = *b"cotter's key of its bench, no se";
