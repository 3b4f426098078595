//! `cargo xtask bench fota`: a thousand devices that download a release at once, chunk by chunk in their sessions, beside
//! nginx serving the same bytes as ranges of a file.

use anyhow::{Context, Result};
use serde::Serialize;

use super::contest::{Course, Download, Fetched};
use super::tools::Machine;

/// What `cargo xtask bench fota` can be told.
#[derive(clap::Args)]
pub(super) struct FotaArguments {
    /// How often each server is measured; the run with the median rate is shown
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// How much of a release each device fetches, in bytes; the release is four times as long
    #[arg(long, default_value_t = 256 * 1024)]
    size: u32,
    /// For machines
    #[arg(long)]
    json: bool,
}

/// Builds, measures, prints.
///
/// # Errors
/// A build, a server or the load generator fails.
pub(super) fn run(arguments: &FotaArguments) -> Result<()> {
    let machine = Machine::now();
    let course = Course::build(arguments.json)?;
    let size = arguments.size;
    let whole = size.checked_mul(4).context("--size is too large")?;
    let crowd = course.crowd(MANY, Some(whole))?;
    let location = format!("alias {}/artifacts/; default_type application/octet-stream;", crowd.display());
    let nginx = course.nginx(&crowd, &location);
    let mut report = Report { machine, size, missing: None, lines: Vec::new(), growth: 0.0 };
    if let Err(missing) = &nginx {
        report.missing = Some(format!("{missing:#}"));
    }
    for devices in [FEW, MANY] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..arguments.runs.max(1) {
            // A server that has served nobody, so that its memory is that of these devices.
            ours.push(course.fetch(&course.serve(&crowd)?, &crowd, Download { devices, size, file: None })?);
            if let Ok(nginx) = &nginx {
                let file = Some(format!("/{}.bin", "c0".repeat(32)));
                theirs.push(course.fetch(nginx, &crowd, Download { devices, size, file })?);
            }
        }
        report.add(CHUNKS, ours);
        report.add("nginx, ranges of a file", theirs);
    }
    let fetched = course.fetch(&course.serve(&crowd)?, &crowd, Download { devices: MANY, size: whole, file: None })?;
    report.add(WHOLE, vec![fetched]);
    report.judge();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.print();
    }
    Ok(())
}

#[derive(Serialize)]
struct Report {
    machine: Machine,
    size: u32,
    /// Why there is no nginx.
    missing: Option<String>,
    lines: Vec<Line>,
    /// Peak memory of the server when each device fetches four times as much, of that before.
    growth: f64,
}

#[derive(Serialize)]
struct Line {
    name: &'static str,
    #[serde(flatten)]
    fetched: Fetched,
}

impl Report {
    fn add(&mut self, name: &'static str, mut runs: Vec<Fetched>) {
        runs.sort_by(|a, b| a.bytes_per_second.total_cmp(&b.bytes_per_second));
        if let Some(fetched) = runs.get(runs.len() / 2).copied() {
            self.lines.push(Line { name, fetched });
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn judge(&mut self) {
        let peak = |name| {
            let found = self.lines.iter().find(|line| line.name == name && line.fetched.devices == MANY);
            found.map_or(f64::NAN, |line| line.fetched.peak_kib as f64)
        };
        self.growth = peak(WHOLE) / peak(CHUNKS);
    }

    fn print(&self) {
        println!(
            "{}\n\n{} bytes for each device in chunks of 2,048, each with a connection of its own.\n",
            self.machine, self.size
        );
        println!("| | devices at once | bytes/s | CPU of a chunk | memory before | peak |");
        println!("|---|---:|---:|---:|---:|---:|");
        for Line { name, fetched } in &self.lines {
            let Fetched { devices, bytes_per_second, server_cpu_us, before_kib, peak_kib } = fetched;
            println!(
                "| {name} | {devices} | {bytes_per_second:.0} | {server_cpu_us:.1} µs | {} MiB | {} MiB |",
                before_kib / 1024,
                peak_kib / 1024
            );
        }
        let flat = if self.growth <= FLAT { "yes" } else { "NO" };
        println!("\n| | | target | reached |\n|---|---:|---:|---|");
        println!(
            "| peak memory, of that for a quarter of the download | {:.2} | at most {FLAT} | {flat} |",
            self.growth
        );
        if let Some(missing) = &self.missing {
            println!("\nNot measured, nginx: {missing}");
        }
    }
}

const CHUNKS: &str = "cotter, chunks in sessions";
const WHOLE: &str = "cotter, four times as many";
/// What counts as flat: the noise of the allocator.
const FLAT: f64 = 1.1;
const FEW: u32 = 100;
const MANY: u32 = 1_000;
