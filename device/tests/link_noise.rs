//! Over a bad wire, what an end of a link delivers is what was sent, and in the end it delivers all of it.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics where it fails")]

#[path = "noisy_wire/mod.rs"]
mod noisy_wire;

use cotter_formats::secret::Secret;
use cotter_wire::link::noise::{NoiseKeys, StaticKeys, public_key};
use cotter_wire::link::session::Side;
use cotter_wire::link::suite::Suite;
use noisy_wire::{Noise, Outcome, psk, run, run_with};
use std::hash::{BuildHasher, Hasher, RandomState};

fn seed() -> u64 {
    let seed = std::env::var("COTTER_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    println!("COTTER_SEED={seed}");
    seed
}

fn checked(noise: Noise, suite: Suite, baud: u32, frames: u64) -> Outcome {
    let outcome = run(noise, suite, baud, frames, seed());
    println!("{noise:?} {}: {outcome:?}", suite.as_str());
    assert_eq!(outcome.wrong, 0);
    assert!(outcome.delivered > 0 && outcome.millis > 0);
    assert!(outcome.recovered_in < 60_000);
    outcome
}

#[test]
fn a_quiet_wire_loses_no_time() {
    for suite in Suite::ALL {
        let outcome = checked(Noise::default(), suite, 115_200, 3000);
        assert_eq!((outcome.sent_again, outcome.refused, outcome.sessions), (0, 0, 1));
    }
}

#[test]
fn damaged_bytes_are_never_delivered() {
    for bytes in [5000, 500, 50] {
        let outcome = checked(Noise { bytes, ..Noise::default() }, Suite::ChaCha20Poly1305, 115_200, 20_000);
        assert!(outcome.refused > 0 && outcome.sent_again > 0);
    }
}

#[test]
fn swapped_and_doubled_frames_change_nothing() {
    let outcome = checked(Noise { frames: 5, ..Noise::default() }, Suite::Aes128Gcm, 921_600, 20_000);
    assert!(outcome.refused > 0);
}

#[test]
fn survives_cuts_without_losing_a_byte() {
    let outcome = checked(Noise { cuts: 5000, ..Noise::default() }, Suite::Aes128Ccm8, 115_200, 20_000);
    assert!(outcome.cuts > 5);
}

#[test]
fn after_a_reset_of_either_end_the_streams_begin_anew() {
    let outcome = checked(Noise { resets: 2000, ..Noise::default() }, Suite::AsconAead128, 115_200, 20_000);
    assert!(outcome.resets > 5 && outcome.sessions > 5);
}

#[test]
fn all_at_once() {
    for suite in Suite::ALL {
        let noise = Noise { bytes: 50, frames: 20, cuts: 20_000, resets: 20_000 };
        checked(noise, suite, 115_200, 20_000);
    }
}

fn nn(side: Side) -> NoiseKeys {
    NoiseKeys::nn(psk(side))
}

fn kk(side: Side) -> NoiseKeys {
    let [host, module] = [7, 8].map(|byte| Secret::filled_by(|key: &mut [u8; 32]| key.fill(byte)));
    let (own, peer) = if side == Side::Host { (host, module) } else { (module, host) };
    NoiseKeys::kk(psk(side), StaticKeys::new(&own, public_key(&peer)).unwrap())
}

#[test]
fn all_at_once_with_noise_handshakes() {
    for keys in [nn, kk] {
        let noise = Noise { bytes: 50, frames: 20, cuts: 20_000, resets: 1000 };
        let outcome = run_with(keys, noise, Suite::ChaCha20Poly1305, 115_200, 20_000, seed());
        println!("{noise:?}: {outcome:?}");
        assert_eq!(outcome.wrong, 0);
        assert!(outcome.delivered > 0 && outcome.sessions > 5 && outcome.recovered_in < 60_000);
    }
}
