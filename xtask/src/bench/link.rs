//! `cargo xtask bench link`: frames per second here beside the bare cipher, instructions on riscv32imc, and what is left of a
//! serial line.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::link_cost::{Costs, LENGTHS};
use crate::workspace::{cargo, output, root, run as run_command};

/// Measures and prints.
///
/// # Errors
/// A build fails, something is missing for riscv32imc, or a program failed.
pub(super) fn run(json: bool) -> Result<()> {
    let build = ["build", "--release", "--locked", "--package", "cotter-device", "--example", "link_frames"];
    run_command(cargo().args(build))?;
    let costs = Costs::measure()?;
    let here = Here::measure()?;
    let lines = lines(&costs);
    if json {
        println!("{}", serde_json::to_string_pretty(&Report { here, lines, riscv32imc: costs })?);
        return Ok(());
    }
    println!("This machine, both ends in one thread; frames are sealed, opened and acknowledged:\n");
    println!("| mode | suite | 16 bytes: frames/s | of bare | 64 | of bare | 1024 | of bare |");
    println!("|---|---|--:|--:|--:|--:|--:|--:|");
    print_rows(&here, |row| (&row.mode, &row.suite), |row| format!("{:.0} | {:.2}", row.frames_per_second, row.ratio));
    println!("\nriscv32imc ({}, {}, {}):\n", costs.rustc, costs.gcc, costs.qemu);
    costs.print_frames();
    println!("\nA serial line, one command after the other, each acknowledged:\n");
    println!(
        "| mode | suite | 16 bytes: efficiency | commands/s at 115200 | at 921600 | 64 | at 115200 | at 921600 | 1024 | at 115200 | at 921600 |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    print_rows(
        &lines,
        |row| (row.mode, row.suite),
        |row| {
            let [slow, fast] = row.commands_per_second;
            format!("{:.1} % | {slow:.1} | {fast:.1}", row.efficiency * 100.0)
        },
    );
    Ok(())
}

/// A line for each mode and suite, whose lengths follow each other.
fn print_rows<'a, T>(rows: &'a [T], name: impl Fn(&'a T) -> (&'a str, &'a str), cells: impl Fn(&T) -> String) {
    for rows in rows.chunks(LENGTHS.len()) {
        let Some((mode, suite)) = rows.first().map(&name) else { continue };
        println!("| {mode} | {suite} | {} |", rows.iter().map(&cells).collect::<Vec<_>>().join(" | "));
    }
}

#[derive(Serialize)]
struct Report {
    here: Vec<Here>,
    riscv32imc: Costs,
    lines: Vec<Line>,
}

/// One row of `device/examples/link_frames.rs`.
#[derive(Serialize)]
struct Here {
    mode: String,
    suite: String,
    bytes: u32,
    frames_per_second: f64,
    bare_per_second: f64,
    /// Of the bare cipher's rate.
    ratio: f64,
}

impl Here {
    fn measure() -> Result<Vec<Self>> {
        let printed = output(&mut Command::new(root().join("target/release/examples/link_frames")))?;
        let mut rows = Vec::new();
        for line in printed.lines() {
            let [mode, suite, bytes, frames, bare] = line.split(' ').collect::<Vec<_>>()[..] else {
                bail!("link_frames printed {line:?}");
            };
            let (frames_per_second, bare_per_second): (f64, f64) = (frames.parse()?, bare.parse()?);
            rows.push(Self {
                mode: mode.to_owned(),
                suite: suite.to_owned(),
                bytes: bytes.parse().with_context(|| format!("{line:?}"))?,
                frames_per_second,
                bare_per_second,
                ratio: frames_per_second / bare_per_second,
            });
        }
        Ok(rows)
    }
}

/// What a serial line carries, ten bits for each byte; the time that the two ends take is not in it.
#[derive(Serialize)]
struct Line {
    mode: &'static str,
    suite: &'static str,
    bytes: u32,
    /// Bytes of the command, of all bytes in both directions.
    efficiency: f64,
    /// At 115200 and at 921600 baud, each command after the acknowledgement of the one before.
    commands_per_second: [f64; 2],
}

fn lines(costs: &Costs) -> Vec<Line> {
    let mut lines = Vec::new();
    for row in &costs.rows {
        for command in &row.commands {
            let wire = f64::from(command.wire_bytes + command.acknowledgement_wire_bytes);
            lines.push(Line {
                mode: row.mode,
                suite: row.suite,
                bytes: command.bytes,
                efficiency: f64::from(command.bytes) / wire,
                commands_per_second: [115_200.0, 921_600.0].map(|baud| baud / 10.0 / wire),
            });
        }
    }
    lines
}
