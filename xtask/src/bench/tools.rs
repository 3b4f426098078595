//! `cargo xtask bench tools`: whole processes of ours beside the tools that they replace, and our AES-XTS beside
//! OpenSSL's, in one run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use serde::Serialize;

use super::cases::{Case, Desk};
use super::kernel::Kernel;
use super::measure::{Cost, Task};
use crate::workspace::{cargo, output, root, run as run_command};

/// What `cargo xtask bench tools` can be told.
#[derive(clap::Args)]
pub(super) struct ToolsArguments {
    /// How often each command runs; the medians are compared
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Devices in the factory batch
    #[arg(long, default_value_t = 1000)]
    devices: usize,
    /// Only lines whose name contains this
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,
    /// For machines
    #[arg(long)]
    json: bool,
}

/// Builds, measures, prints.
///
/// # Errors
/// A build or a tool fails, or both sides do not give the same bytes. A target that is not reached is no error.
pub(super) fn run(arguments: &ToolsArguments) -> Result<()> {
    let (machine, tools) = (Machine::now(), crate::tools::install()?);
    run_command(cargo().args(["build", "--release", "--locked", "--package", "cotter", "--package", "xtask"]))?;
    let programs = root().join("target/release");
    let bench = Bench {
        desk: Desk::prepare(programs.join("cotter"))?,
        xtask: programs.join("xtask"),
        runs: arguments.runs.max(1),
        quiet: arguments.json,
    };
    let chosen = |name: &str| arguments.only.as_deref().is_none_or(|only| name.contains(only));
    let mut report = Report { machine, tools, lines: Vec::new(), batch: None, memory: Vec::new(), kernel: None };
    for case in bench.desk.cases() {
        if chosen(&case.name) {
            report.lines.push(bench.compare(&case)?);
        }
    }
    if chosen("factory batch") {
        report.batch = Some(bench.batch(arguments.devices));
    }
    for (name, small, large) in bench.desk.memory() {
        if chosen(name) {
            report.memory.push(bench.memory(name, &small, &large)?);
        }
    }
    if chosen("kernel") {
        report.kernel = Some(Kernel::measure(&bench.xtask, bench.runs)?);
    }
    std::fs::remove_dir_all(&bench.desk.folder)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.print();
    }
    Ok(())
}

struct Bench {
    desk: Desk,
    xtask: PathBuf,
    runs: usize,
    quiet: bool,
}

impl Bench {
    /// Both sides in turns, so that a busy moment of the machine meets both.
    fn compare(&self, case: &Case) -> Result<Line> {
        let line = |outcome| Line { name: case.name.clone(), target: case.target, outcome };
        if let Some(missing) = self.missing_verb(case.verb).or_else(|| missing_tool(&case.peer)) {
            return Ok(line(Outcome::NotMeasured { missing }));
        }
        if !self.quiet {
            eprintln!("{}", case.name);
        }
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..self.runs {
            ours.push(case.ours.measure(&self.xtask, &self.desk.folder)?);
            theirs.push(case.peer.measure(&self.xtask, &self.desk.folder)?);
        }
        if let Some(names) = case.same {
            let [ours, theirs] = <[&str; 2]>::from(names).map(|name| std::fs::read(self.desk.folder.join(name)));
            ensure!(ours? == theirs?, "{}: both sides do not give the same bytes", case.name);
        }
        let (ours, theirs) = (Cost::median(&ours), Cost::median(&theirs));
        let ratio = theirs.wall_ms / ours.wall_ms;
        Ok(line(Outcome::Measured { ours, theirs, ratio, reached: ratio >= case.target }))
    }

    fn missing_verb(&self, verb: &str) -> Option<String> {
        let mut help = Command::new(&self.desk.cotter);
        help.args(verb.split(' ')).arg("--help").stdout(Stdio::null()).stderr(Stdio::null());
        (!help.status().is_ok_and(|status| status.success())).then(|| format!("cotter {verb} does not exist"))
    }

    /// Once: a thousand keys are average enough.
    fn batch(&self, devices: usize) -> Batch {
        if let Some(missing) = self.missing_verb("factory batch") {
            return Batch::NotMeasured { missing };
        }
        if !self.quiet {
            eprintln!("factory batch, {devices} devices");
        }
        match self.desk.batch(devices).measure(&self.xtask, &self.desk.folder) {
            Ok(cost) => {
                let count = u32::try_from(devices).unwrap_or(u32::MAX);
                Batch::Measured { devices, cost, per_second: f64::from(count) / cost.wall_ms * 1e3 }
            }
            Err(error) => Batch::NotMeasured { missing: format!("{error:#}") },
        }
    }

    fn memory(&self, name: &'static str, small: &Task, large: &Task) -> Result<Memory> {
        if !self.quiet {
            eprintln!("memory: {name}");
        }
        let peak = |task: &Task| -> Result<u64> {
            let costs: Result<Vec<_>> = (0..3).map(|_| task.measure(&self.xtask, &self.desk.folder)).collect();
            Ok(Cost::median(&costs?).peak_kib)
        };
        let (at_4_mb_kib, at_64_mb_kib) = (peak(small)?, peak(large)?);
        let constant = at_64_mb_kib.abs_diff(at_4_mb_kib) <= SAME_KIB;
        Ok(Memory { name, at_4_mb_kib, at_64_mb_kib, constant })
    }
}

/// The tool, or the script that Python runs.
fn missing_tool(task: &Task) -> Option<String> {
    let script = task.arguments.first().map(Path::new).filter(|word| word.is_absolute());
    let tool = script.unwrap_or(&task.program);
    (!tool.exists()).then(|| format!("{} is not installed", tool.file_name().unwrap_or_default().display()))
}

/// The machine, and whether it had other things to do.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    processor: String,
    cores: usize,
    /// The kernel's one-minute average before anything was built.
    load: f64,
    rustc: String,
    python: String,
}

impl Machine {
    pub(super) fn now() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let processors = read("/proc/cpuinfo");
        let processor = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = read("/proc/loadavg");
        let version =
            |program: &Path| output(Command::new(program).arg("--version")).unwrap_or_default().trim().to_owned();
        Self {
            processor: processor.map_or("unknown", |(_, name)| name).trim().to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default(),
            rustc: version(Path::new("rustc")),
            python: version(&root().join("target/espressif-tools/bin/python")),
        }
    }

    /// True if the numbers are worth less for it.
    fn is_busy(&self) -> bool {
        self.load > 0.5
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}, {} cores; {}", self.processor, self.cores, self.rustc)?;
        if self.is_busy() {
            write!(out, ". The machine was busy: load {} before the first build", self.load)?;
        }
        Ok(())
    }
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    tools: String,
    lines: Vec<Line>,
    batch: Option<Batch>,
    memory: Vec<Memory>,
    kernel: Option<Kernel>,
}

#[derive(Debug, Serialize)]
struct Line {
    name: String,
    target: f64,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome {
    Measured {
        ours: Cost,
        theirs: Cost,
        /// Of the wall times.
        ratio: f64,
        reached: bool,
    },
    NotMeasured {
        missing: String,
    },
}

/// Key, certificate, DS parameters, secure-cert partition and encrypted NVS for each device, in one process.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Batch {
    Measured {
        devices: usize,
        #[serde(flatten)]
        cost: Cost,
        per_second: f64,
    },
    NotMeasured {
        missing: String,
    },
}

#[derive(Debug, Serialize)]
struct Memory {
    name: &'static str,
    at_4_mb_kib: u64,
    at_64_mb_kib: u64,
    constant: bool,
}

impl Report {
    fn print(&self) {
        let Machine { processor, cores, load, rustc, python } = &self.machine;
        println!("{processor}, {cores} cores; {rustc}, {python}; {}", self.tools);
        if self.machine.is_busy() {
            println!("The machine was busy: load {load} before the first build. Measure again when it is idle.");
        }
        println!("\nWhole processes, medians. CPU is the time of all threads, peak is resident memory.\n");
        println!("| | cotter | CPU | peak | tool | CPU | peak | times faster | target | reached |");
        println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---|");
        for Line { name, target, outcome } in &self.lines {
            match outcome {
                Outcome::Measured { ours, theirs, ratio, reached } => {
                    let reached = if *reached { "yes" } else { "NO" };
                    println!(
                        "| {name} | {} | {} | {ratio:.0} | {target} | {reached} |",
                        columns(*ours),
                        columns(*theirs)
                    );
                }
                Outcome::NotMeasured { missing } => {
                    println!("| {name} | NOT MEASURED: {missing} | | | | | | | {target} | NO |")
                }
            }
        }
        match &self.batch {
            Some(Batch::Measured { devices, cost, per_second }) => {
                println!("\nFactory batch of {devices} devices in one process on {cores} cores:\n");
                println!(
                    "| devices per second | wall | CPU | peak |\n|---:|---:|---:|---:|\n| {per_second:.1} | {} |",
                    columns(*cost)
                );
            }
            Some(Batch::NotMeasured { missing }) => println!("\nFactory batch NOT MEASURED: {missing}"),
            None => {}
        }
        println!("\nPeak memory on 4 and on 64 MB:\n\n| | 4 MB | 64 MB | constant |\n|---|---:|---:|---|");
        for Memory { name, at_4_mb_kib, at_64_mb_kib, constant } in &self.memory {
            println!(
                "| {name} | {} | {} | {} |",
                mib(*at_4_mb_kib),
                mib(*at_64_mb_kib),
                if *constant { "yes" } else { "NO" }
            );
        }
        println!();
        if let Some(kernel) = &self.kernel {
            kernel.print();
        }
        let kernels = self.kernel.iter().filter(|kernel| kernel.reached()).count();
        let reached = self.lines.iter().filter(|line| matches!(line.outcome, Outcome::Measured { reached: true, .. }));
        let all = self.lines.len() + self.kernel.iter().count();
        println!("{} of {all} targets reached", reached.count() + kernels);
    }
}

fn columns(cost: Cost) -> String {
    format!("{:.1} ms | {:.1} ms | {}", cost.wall_ms, cost.cpu_ms, mib(cost.peak_kib))
}

/// KiB as MiB with a decimal, rounded.
fn mib(kib: u64) -> String {
    let tenths = (kib * 10 + 512) / 1024;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// What two peaks may differ by and be called the same: pages that the loader or the allocator touches by chance.
const SAME_KIB: u64 = 512;
