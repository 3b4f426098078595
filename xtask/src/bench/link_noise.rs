//! `cargo xtask bench link noise`: the AT link with a shared key over a wire that gets worse and worse, in virtual time.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::workspace::{cargo, output, root, run as run_command};

/// What `cargo xtask bench link noise` can be told.
#[derive(clap::Args)]
pub(super) struct NoiseArguments {
    /// Frames per row
    #[arg(long, default_value_t = 1_000_000)]
    frames: u64,
    /// Of the wire
    #[arg(long, default_value_t = 115_200)]
    baud: u32,
    /// To repeat a run [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// For machines
    #[arg(long)]
    json: bool,
}

/// Builds, measures, prints.
///
/// # Errors
/// A build fails, a byte was delivered wrong, or an end did not recover.
pub(super) fn run(arguments: &NoiseArguments) -> Result<()> {
    run_command(cargo().args([
        "build",
        "--release",
        "--locked",
        "--package",
        "cotter-device",
        "--example",
        "link_noise",
    ]))?;
    let program = root().join("target/release/examples/link_noise");
    let seed = arguments.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    let mut rows = Vec::new();
    for wire in WIRES {
        rows.push(measured(&program, wire, arguments, seed)?);
    }
    let report = Report { seed, baud: arguments.baud, rows };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.print();
    }
    if report.rows.iter().any(|row| row.wrong > 0) {
        bail!("something wrong was delivered; seed {seed}");
    }
    Ok(())
}

/// One kind of wire.
struct Wire {
    name: &'static str,
    /// One in so many of: bytes, frames, milliseconds (cuts), milliseconds (resets).
    noise: [u32; 4],
    suite: &'static str,
}

const WIRES: [Wire; 12] = [
    Wire { name: "quiet", noise: [0; 4], suite: "chacha20-poly1305" },
    Wire { name: "1 byte in 5000", noise: [5000, 0, 0, 0], suite: "chacha20-poly1305" },
    Wire { name: "1 byte in 1000", noise: [1000, 0, 0, 0], suite: "chacha20-poly1305" },
    Wire { name: "1 byte in 500", noise: [500, 0, 0, 0], suite: "chacha20-poly1305" },
    Wire { name: "1 byte in 200", noise: [200, 0, 0, 0], suite: "chacha20-poly1305" },
    Wire { name: "1 byte in 100", noise: [100, 0, 0, 0], suite: "chacha20-poly1305" },
    Wire { name: "1 byte in 50", noise: [50, 0, 0, 0], suite: "chacha20-poly1305" },
    Wire { name: "1 byte in 50", noise: [50, 0, 0, 0], suite: "aes-128-ccm-8" },
    Wire { name: "1 frame in 10 doubled or overtaken", noise: [0, 10, 0, 0], suite: "aes-128-gcm" },
    Wire { name: "cut each 20 s", noise: [0, 0, 20_000, 0], suite: "aes-128-ccm" },
    Wire { name: "an end reset each 20 s", noise: [0, 0, 0, 20_000], suite: "ascon-aead128" },
    Wire { name: "1 byte in 50, and all of these", noise: [50, 10, 20_000, 20_000], suite: "chacha20-poly1305" },
];

#[derive(Serialize)]
struct Report {
    seed: u64,
    baud: u32,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    wire: &'static str,
    suite: &'static str,
    frames: u64,
    delivered: u64,
    wrong: u64,
    sent_again: u64,
    refused: u64,
    sessions: u64,
    cuts: u64,
    resets: u64,
    /// Of what the wire could carry in both directions.
    efficiency: f64,
    /// In virtual time.
    bytes_per_second: f64,
    /// In real time on this machine, both ends and the wire.
    frames_per_second: f64,
    longest_silence_ms: u64,
    recovered_in_ms: u64,
}

fn measured(program: &Path, wire: Wire, arguments: &NoiseArguments, seed: u64) -> Result<Row> {
    let mut command = Command::new(program);
    command.args(wire.noise.map(|number| number.to_string())).arg(wire.suite);
    command.args([arguments.baud.to_string(), arguments.frames.to_string(), seed.to_string()]);
    let printed = output(&mut command).with_context(|| format!("{}, seed {seed}", wire.name))?;
    let words: Vec<&str> = printed.split_whitespace().collect();
    let numbers: BTreeMap<&str, &str> = words.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let text = |name: &str| numbers.get(name).copied().with_context(|| format!("no {name} in {printed:?}"));
    let number = |name: &str| -> Result<u64> { Ok(text(name)?.parse()?) };
    let real = |name: &str| -> Result<f64> { Ok(text(name)?.parse()?) };
    let bytes_per_second = real("delivered")? * 1000.0 / real("millis")?;
    Ok(Row {
        wire: wire.name,
        suite: wire.suite,
        frames: number("frames")?,
        delivered: number("delivered")?,
        wrong: number("wrong")?,
        sent_again: number("sent_again")?,
        refused: number("refused")?,
        sessions: number("sessions")?,
        cuts: number("cuts")?,
        resets: number("resets")?,
        efficiency: bytes_per_second / (2.0 * f64::from(arguments.baud) / 10.0),
        bytes_per_second,
        frames_per_second: real("frames")? / real("seconds")?,
        longest_silence_ms: number("longest_silence")?,
        recovered_in_ms: number("recovered_in")?,
    })
}

impl Report {
    fn print(&self) {
        println!("two ends over a wire of {} baud in both directions, seed {}", self.baud, self.seed);
        println!();
        println!(
            "| wire | suite | frames | bytes delivered | wrong | sent again | refused | sessions | cuts | resets | B/s | of the wire | longest silence | recovered in | frames/s here |"
        );
        println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
        for row in &self.rows {
            println!(
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.0} | {:.0} % | {} ms | {} ms | {:.0} |",
                row.wire,
                row.suite,
                row.frames,
                row.delivered,
                row.wrong,
                row.sent_again,
                row.refused,
                row.sessions,
                row.cuts,
                row.resets,
                row.bytes_per_second,
                row.efficiency * 100.0,
                row.longest_silence_ms,
                row.recovered_in_ms,
                row.frames_per_second
            );
        }
    }
}
