//! One run of two ends over a noisy wire, for `cargo xtask bench link noise`:
//! `link_noise BYTES FRAMES CUTS RESETS SUITE BAUD COUNT SEED`, noise as one in so many (0: never), until COUNT frames were
//! sent. Prints names and numbers in turn.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "it measures, and has nobody to tell but its caller"
)]

#[path = "../tests/noisy_wire/mod.rs"]
mod noisy_wire;

use cotter_wire::link::suite::Suite;
use noisy_wire::{Noise, run};
use std::time::Instant;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bytes, frames, cuts, resets, suite, baud, count, seed] = &arguments[..] else { panic!("{arguments:?}") };
    let [bytes, frames, cuts, resets] = [bytes, frames, cuts, resets].map(|number| number.parse().unwrap());
    let noise = Noise { bytes, frames, cuts, resets };
    let suite = Suite::from_name(suite).unwrap();
    let begun = Instant::now();
    let outcome = run(noise, suite, baud.parse().unwrap(), count.parse().unwrap(), seed.parse().unwrap());
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "frames {} sent_again {} refused {} wire_bytes {} delivered {} escapes {} wrong {} sessions {} cuts {} resets {} \
         millis {} longest_silence {} recovered_in {} seconds {seconds:.3}",
        outcome.frames,
        outcome.sent_again,
        outcome.refused,
        outcome.wire_bytes,
        outcome.delivered,
        outcome.escapes,
        outcome.wrong,
        outcome.sessions,
        outcome.cuts,
        outcome.resets,
        outcome.millis,
        outcome.longest_silence,
        outcome.recovered_in,
    );
}
