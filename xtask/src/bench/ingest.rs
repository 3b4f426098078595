//! `cargo xtask bench ingest`: accepted uploads per second, latency, processor time and memory of the server, beside
//! nginx answering the same requests with a fixed 200 and beside the reference's one transaction for each upload.

use anyhow::Result;
use serde::Serialize;

use super::contest::{Course, Load, Measured};
use super::tools::Machine;

/// What `cargo xtask bench ingest` can be told.
#[derive(clap::Args)]
pub(super) struct IngestArguments {
    /// How often each line is measured; the one with the median rate is shown
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Only 1,000 devices and 512 connections
    #[arg(long)]
    quick: bool,
    /// Only accepted uploads over 512 connections, with 1,000 and 1,000,000 devices in turns
    #[arg(long, conflicts_with = "quick")]
    many: bool,
    /// For machines
    #[arg(long)]
    json: bool,
}

/// Builds, measures, prints.
///
/// # Errors
/// A build, a server or the load generator fails. A target that is not reached is no error.
pub(super) fn run(arguments: &IngestArguments) -> Result<()> {
    let machine = Machine::now();
    let course = Course::build(arguments.json)?;
    let runs = arguments.runs.max(1);
    let mut report = Report { machine, missing: None, lines: Vec::new(), targets: Vec::new(), compared: Vec::new() };
    if arguments.many {
        few_and_many(&course, runs, &mut report)?;
    } else {
        all(arguments, &course, runs, &mut report)?;
    }
    report.judge();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.print();
    }
    Ok(())
}

/// In turns, so that a busy moment of the machine meets both.
fn few_and_many(course: &Course, runs: usize, report: &mut Report) -> Result<()> {
    let crowds = [(FEW, course.crowd(FEW, None)?), (MANY, course.crowd(MANY, None)?)];
    let served = crowds.iter().map(|(devices, crowd)| Ok((*devices, crowd, course.serve(crowd)?, Vec::new())));
    let mut served = served.collect::<Result<Vec<_>>>()?;
    for _ in 0..runs {
        for (devices, crowd, server, measured) in &mut served {
            measured.push(course.drive(server, crowd, accepted(*devices))?);
        }
    }
    for (devices, .., measured) in served {
        report.add("cotter, accepted", devices, 512, measured);
    }
    Ok(())
}

fn all(arguments: &IngestArguments, course: &Course, runs: usize, report: &mut Report) -> Result<()> {
    let few = course.crowd(FEW, None)?;
    let ours = course.serve(&few)?;
    let nginx = course.nginx(&few, r#"return 200 '{"result":"accepted","nonce":10001}';"#);
    if let Err(missing) = &nginx {
        report.missing = Some(format!("{missing:#}"));
    }
    let reference = course.reference(&few)?;
    let floor = course.fixed(&few)?;
    for (connections, uploads, slow) in [(1, 3_000, 200), (64, 60_000, 1_000), (512, 80_000, 1_500)] {
        if arguments.quick && connections < 512 {
            continue;
        }
        let mut load = Load { devices: FEW, connections, uploads, forged: false };
        // In turns, so that a busy moment of the machine meets all of them.
        let (mut accepted, mut fixed, mut plain) = (Vec::new(), Vec::new(), Vec::new());
        let (mut refused, mut least) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            accepted.push(course.drive(&ours, &few, load)?);
            if let Ok(nginx) = &nginx {
                fixed.push(course.drive(nginx, &few, load)?);
            }
            plain.push(course.drive(&reference, &few, Load { uploads: slow, ..load })?);
            load.forged = true;
            refused.push(course.drive(&ours, &few, load)?);
            least.push(course.drive(&floor, &few, load)?);
            load.forged = false;
        }
        report.add("cotter, accepted", FEW, connections, accepted);
        report.add("cotter, bad MAC refused", FEW, connections, refused);
        report.add("floor: our TLS, fixed 401", FEW, connections, least);
        report.add("nginx, fixed 200", FEW, connections, fixed);
        report.add("reference, one transaction each", FEW, connections, plain);
    }
    drop((ours, nginx, reference, floor));

    if !arguments.quick {
        for devices in [SOME, MANY] {
            let crowd = course.crowd(devices, None)?;
            let server = course.serve(&crowd)?;
            let measured: Result<Vec<_>> =
                (0..runs).map(|_| course.drive(&server, &crowd, accepted(devices))).collect();
            report.add("cotter, accepted", devices, 512, measured?);
        }
    }
    Ok(())
}

const fn accepted(devices: u32) -> Load {
    Load { devices, connections: 512, uploads: 80_000, forged: false }
}

#[derive(Serialize)]
struct Report {
    machine: Machine,
    /// Why there is no nginx.
    missing: Option<String>,
    lines: Vec<Line>,
    targets: Vec<Target>,
    /// What has no target.
    compared: Vec<Compared>,
}

#[derive(Serialize)]
struct Line {
    name: &'static str,
    devices: u32,
    connections: u32,
    #[serde(flatten)]
    measured: Measured,
}

#[derive(Serialize)]
struct Target {
    name: &'static str,
    wanted: String,
    got: f64,
    reached: bool,
}

#[derive(Serialize)]
struct Compared {
    name: &'static str,
    ratio: f64,
}

impl Report {
    /// Of several runs the one with the median rate.
    fn add(&mut self, name: &'static str, devices: u32, connections: u32, mut runs: Vec<Measured>) {
        runs.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        if let Some(measured) = runs.get(runs.len() / 2).copied() {
            self.lines.push(Line { name, devices, connections, measured });
        }
    }

    fn line(&self, name: &str, devices: u32) -> Option<Measured> {
        let found = |line: &&Line| line.name.starts_with(name) && line.devices == devices && line.connections == 512;
        self.lines.iter().find(found).map(|line| line.measured)
    }

    fn judge(&mut self) {
        let Some(ours) = self.line("cotter, accepted", FEW) else { return };
        let (few, some, many) = (FEW, SOME, MANY);
        let (mut targets, mut compared) = (Vec::new(), Vec::new());
        let mut least = |name, got: f64, least: f64| {
            targets.push(Target { name, wanted: format!("at least {least}"), got, reached: got >= least });
        };
        if let Some(nginx) = self.line("nginx", few) {
            least("rate, of nginx's", ours.per_second / nginx.per_second, 0.35);
        }
        if let Some(many) = self.line("cotter, accepted", many) {
            least("rate with 1,000,000 devices, of that with 1,000", many.per_second / ours.per_second, 0.7);
        }
        let mut most = |name, got: f64, most: f64| {
            targets.push(Target { name, wanted: format!("at most {most}"), got, reached: got <= most });
        };
        most("p99 of an accepted upload, ms", ours.p99_ms, 100.0);
        most("CPU of an accepted upload, µs", ours.server_cpu_us, 60.0);
        if let Some(refused) = self.line("cotter, bad MAC", few) {
            most("CPU of a refused upload, µs", refused.server_cpu_us, 25.0);
            if let Some(nginx) = self.line("nginx", few) {
                compared.push((
                    "CPU of a refused upload, of nginx's for a fixed 200",
                    refused.server_cpu_us / nginx.server_cpu_us,
                ));
            }
            if let Some(floor) = self.line("floor", few) {
                compared.push(("CPU of a refused upload, of the floor's", refused.server_cpu_us / floor.server_cpu_us));
            }
        }
        if let Some(some) = self.line("cotter, accepted", some) {
            most("peak memory with 100,000 devices, MiB", mib(some.peak_kib), 256.0);
        }
        self.targets = targets;
        self.compared = compared.into_iter().map(|(name, ratio)| Compared { name, ratio }).collect();
    }

    fn print(&self) {
        println!(
            "{}\n\nTLS keep-alive, each connection waits for its answer. CPU is that of the server's processes, per upload.\n",
            self.machine
        );
        println!(
            "| | devices | connections | uploads/s | p50 | p99 | CPU each | load generator's | peak | as expected |"
        );
        println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
        for Line { name, devices, connections, measured: m } in &self.lines {
            println!(
                "| {name} | {devices} | {connections} | {:.0} | {:.2} ms | {:.2} ms | {:.1} µs | {:.1} µs | {:.1} MiB | {} of {} |",
                m.per_second,
                m.p50_ms,
                m.p99_ms,
                m.server_cpu_us,
                m.client_cpu_us,
                mib(m.peak_kib),
                m.as_expected,
                m.uploads
            );
        }
        if let Some(missing) = &self.missing {
            println!("\nNot measured, nginx: {missing}");
        }
        println!("\n| at 512 connections | | target | reached |\n|---|---:|---:|---|");
        for Target { name, wanted, got, reached } in &self.targets {
            println!("| {name} | {got:.2} | {wanted} | {} |", if *reached { "yes" } else { "NO" });
        }
        for Compared { name, ratio } in &self.compared {
            println!("| {name} | {ratio:.2} | | |");
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

const FEW: u32 = 1_000;
const SOME: u32 = 100_000;
const MANY: u32 = 1_000_000;
