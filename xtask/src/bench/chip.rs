//! `cargo xtask bench chip`: the virtual chip: a boot beside what its cryptography costs alone, unmodified esptool over a
//! pseudo-terminal, and rehearsals on all cores.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::measure::{Cost, Task};
use crate::workspace::{cargo, output, root, run as run_command};

/// What `cargo xtask bench chip` can be told.
#[derive(clap::Args)]
pub(super) struct ChipArguments {
    /// How many rehearsals
    #[arg(long, default_value_t = 1000)]
    rehearsals: usize,
    /// For machines
    #[arg(long)]
    json: bool,
}

/// Builds, measures, prints.
///
/// # Errors
/// A build, esptool or a rehearsal fails.
pub(super) fn run(arguments: &ChipArguments) -> Result<()> {
    let (load, tools) = (load(), crate::tools::install()?);
    run_command(cargo().args(["build", "--release", "--locked", "--package", "cotter", "--package", "xtask"]))?;
    let example = ["build", "--release", "--locked", "--package", "cotter-interop", "--example", "chip_bench"];
    run_command(cargo().args(example))?;
    let programs = root().join("target/release");
    let bench = Bench {
        cotter: programs.join("cotter"),
        xtask: programs.join("xtask"),
        chip: programs.join("examples/chip_bench"),
        folder: tempfile::tempdir()?,
    };
    let report = Report {
        load,
        tools,
        boot: bench.printed("boot")?,
        serial: vec![bench.serial("with stub", "")?, bench.serial("ROM loader", "--no-stub")?],
        large: bench.printed("rehearse-large")?,
        rehearsals: bench.rehearsals(arguments.rehearsals)?,
    };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.print();
    }
    Ok(())
}

struct Bench {
    cotter: PathBuf,
    xtask: PathBuf,
    chip: PathBuf,
    folder: tempfile::TempDir,
}

impl Bench {
    /// What the bench of the chip prints for these words.
    fn printed<T: for<'a> Deserialize<'a>>(&self, words: &str) -> Result<T> {
        let printed = output(Command::new(&self.chip).args(words.split(' ')))?;
        serde_json::from_str(&printed).with_context(|| format!("chip_bench {words} printed {printed:?}"))
    }

    fn rehearsals(&self, count: usize) -> Result<Rehearsals> {
        let one: Small = self.printed("rehearse 1")?;
        let cost = Task::new(&self.chip, &format!("rehearse {count}")).measure(&self.xtask, self.folder.path())?;
        let operations = one.operations;
        Ok(Rehearsals { count, operations, application: one.application, cores: one.cores, cost })
    }

    /// Unmodified esptool writes 1.5 MB that cannot be compressed, and verifies them.
    fn serial(&self, name: &'static str, option: &str) -> Result<Serial> {
        let (link, image) = (self.folder.path().join("port"), self.folder.path().join("app.bin"));
        output(Command::new(&self.chip).arg("image").arg(&image))?;
        let _chip = Alive::start(&self.cotter, &link)?;
        let esptool = root().join("target/espressif-tools/bin/esptool");
        let mut command = Command::new(esptool);
        command.args(["--chip", "esp32c3", "--before", "no-reset", "--after", "no-reset", "--baud", "921600", "-p"]);
        command.arg(&link).args(option.split_whitespace()).args(["write-flash", "0x10000"]).arg(&image);
        let begun = Instant::now();
        let said = output(&mut command)?;
        let wall = begun.elapsed().as_secs_f64();
        let line = said.lines().find(|line| line.starts_with("Wrote ")).context("esptool wrote nothing")?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |word: &str| words.iter().position(|other| *other == word).and_then(|at| words.get(at + 1));
        let bytes = words.get(1).and_then(|count| count.parse::<f64>().ok());
        let seconds = after("in").and_then(|seconds| seconds.parse::<f64>().ok());
        let (Some(bytes), Some(seconds)) = (bytes, seconds) else { bail!("esptool said {line:?}") };
        Ok(Serial { name, seconds, wall, per_second: bytes / seconds })
    }
}

/// A virtual chip on a pseudo-terminal, until it goes out of scope.
struct Alive(Child);

impl Alive {
    fn start(cotter: &Path, link: &Path) -> Result<Self> {
        let mut command = Command::new(cotter);
        command.args(["chip", "run", "--chip", "esp32c3", "--pty"]).arg(link);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let chip = Self(command.spawn().context("cotter chip run")?);
        let begun = Instant::now();
        while !link.exists() {
            if begun.elapsed() > Duration::from_secs(10) {
                bail!("cotter chip run opens no {}", link.display());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(chip)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        // Its flash is forgotten with it.
        let _gone = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// The kernel's one-minute average.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

#[derive(Debug, Serialize)]
struct Report {
    load: f64,
    tools: String,
    boot: Boot,
    serial: Vec<Serial>,
    large: Large,
    rehearsals: Rehearsals,
}

#[derive(Debug, Serialize, Deserialize)]
struct Boot {
    bytes: usize,
    boot_ms: f64,
    floor_ms: f64,
    ratio: f64,
}

#[derive(Debug, Serialize)]
struct Serial {
    name: &'static str,
    seconds: f64,
    wall: f64,
    per_second: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Large {
    seconds: f64,
    operations: usize,
    births: usize,
}

#[derive(Debug, Deserialize)]
struct Small {
    operations: usize,
    application: usize,
    cores: usize,
}

#[derive(Debug, Serialize)]
struct Rehearsals {
    count: usize,
    operations: usize,
    application: usize,
    cores: usize,
    cost: Cost,
}

impl Report {
    fn print(&self) {
        println!("{}; load {} before the first build", self.tools, self.load);
        if self.load > 0.5 {
            println!("The machine was busy: measure again when it is idle.");
        }
        let Boot { bytes, boot_ms, floor_ms, ratio } = &self.boot;
        println!("\nBoot of an application of {bytes} bytes, Secure Boot V2 and flash encryption (medians):\n");
        println!("| boot | SHA-256 and AES-XTS over it | ratio |\n|---:|---:|---:|");
        println!("| {boot_ms:.2} ms | {floor_ms:.2} ms | {ratio:.2} |");
        println!("\nUnmodified esptool, write-flash of 1.5 MB that cannot be compressed, over a pseudo-terminal:\n");
        println!("| | writing | whole process | bytes/s | 921600 baud would give |\n|---|---:|---:|---:|---:|");
        for Serial { name, seconds, wall, per_second } in &self.serial {
            println!("| {name} | {seconds:.1} s | {wall:.1} s | {per_second:.0} | {LINE} |");
        }
        let Rehearsals { count, operations, application, cores, cost } = &self.rehearsals;
        let (seconds, peak) = (cost.wall_ms / 1e3, cost.peak_kib / 1024);
        let each = cost.wall_ms / f64::from(u32::try_from(*count).unwrap_or(u32::MAX));
        println!("\nWhole rehearsals of the production policy, every operation cut, on {cores} cores:\n");
        println!(
            "| application | rehearsals | operations each | wall | each | peak |\n|---:|---:|---:|---:|---:|---:|"
        );
        println!("| {application} bytes | {count} | {operations} | {seconds:.1} s | {each:.0} ms | {peak} MiB |");
        let Large { seconds, operations, births } = &self.large;
        println!("| {bytes} bytes | 1 ({births} births) | {operations} | {seconds:.2} s | | |");
    }
}

/// Bytes per second at 921600 baud, a start and a stop bit with each.
const LINE: u32 = 92_160;
