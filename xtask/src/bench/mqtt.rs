//! `cargo xtask bench mqtt`: messages with QoS 1 that are on the disk before they are acknowledged, beside mosquitto with
//! persistence on; connections with a token verified for each; connections that only wait.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::contest::Course;
use super::tools::Machine;

/// What `cargo xtask bench mqtt` can be told.
#[derive(clap::Args)]
pub(super) struct MqttArguments {
    /// How often each line is measured; the one with the median rate is shown
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Connections that only wait; fewer if this process may not open as many files
    #[arg(long, default_value_t = 20_000)]
    idle: u32,
    /// For machines
    #[arg(long)]
    json: bool,
}

/// What the load generator says.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Measured {
    connections: u32,
    connects_per_second: f64,
    /// Of the server, for one connection: TLS handshake and token.
    connect_cpu_us: f64,
    /// Resident memory of the server with the connections, less that without.
    idle_kib_each: f64,
    /// One P-256 verification of the library, in the same process.
    verify_us: f64,
    #[serde(flatten)]
    sent: Option<Sent>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Sent {
    messages: u32,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    server_cpu_us: f64,
    peak_kib: u64,
}

#[derive(Serialize)]
struct Report {
    machine: Machine,
    /// Why there is no mosquitto.
    missing: Option<String>,
    lines: Vec<Line>,
    idle: Measured,
}

#[derive(Serialize)]
struct Line {
    name: &'static str,
    #[serde(flatten)]
    measured: Measured,
}

/// Builds, measures, prints.
///
/// # Errors
/// A build, a server or the load generator fails.
pub(super) fn run(arguments: &MqttArguments) -> Result<()> {
    let machine = Machine::now();
    let course = Course::build(arguments.json)?;
    let runs = arguments.runs.max(1);
    // As many files as connections, and some more.
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?.0;
    let idle = arguments.idle.min(u32::try_from(limit.saturating_sub(100)).unwrap_or(u32::MAX));
    let devices = idle.max(1_000);
    let crowd = course.mqtt_crowd(devices)?;
    let ours = course.serve(&crowd)?;
    let mosquitto = course.mosquitto(&crowd);
    let mut lines = Vec::new();
    for (connections, messages, theirs) in [(1, 2_000, 20_000), (64, 60_000, 60_000), (1_000, 100_000, 100_000)] {
        let (mut own, mut other) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            own.push(course.mqtt::<Measured>(&ours, &crowd, connections, messages, true)?);
            if let Ok(mosquitto) = &mosquitto {
                other.push(course.mqtt::<Measured>(mosquitto, &crowd, connections, theirs, false)?);
            }
        }
        for (name, mut runs) in [("cotter, on the disk", own), ("mosquitto, persistence on", other)] {
            let rate = |measured: &Measured| measured.sent.map_or(0.0, |sent| sent.per_second);
            runs.sort_by(|a, b| rate(a).total_cmp(&rate(b)));
            lines.extend(runs.get(runs.len() / 2).map(|measured| Line { name, measured: *measured }));
        }
    }
    drop(ours);
    let missing = mosquitto.err().map(|why| format!("{why:#}"));
    let fresh = course.serve(&crowd)?;
    let idle = course.mqtt(&fresh, &crowd, idle, 0, true)?;
    let report = Report { machine, missing, lines, idle };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.print();
    }
    Ok(())
}

impl Report {
    fn print(&self) {
        println!(
            "{}\n\nMQTT 3.1.1 over TLS, 128 bytes, QoS 1, each connection waits for its acknowledgement.\n",
            self.machine
        );
        println!("| | connections | messages/s | p50 | p99 | CPU each | peak | of mosquitto's rate |");
        println!("|---|---:|---:|---:|---:|---:|---:|---:|");
        for Line { name, measured } in &self.lines {
            let Some(sent) = measured.sent else { continue };
            let other = |line: &&Line| line.name != *name && line.measured.connections == measured.connections;
            let ratio = self.lines.iter().find(other).filter(|_| name.starts_with("cotter"));
            let ratio = ratio.and_then(|line| line.measured.sent).map(|other| sent.per_second / other.per_second);
            println!(
                "| {name} | {} | {:.0} | {:.2} ms | {:.2} ms | {:.1} µs | {:.1} MiB | {} |",
                measured.connections,
                sent.per_second,
                sent.p50_ms,
                sent.p99_ms,
                sent.server_cpu_us,
                mib(sent.peak_kib),
                ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            );
        }
        if let Some(missing) = &self.missing {
            println!("\nNot measured, mosquitto: {missing}");
        }
        let Measured { connections, connects_per_second, connect_cpu_us, idle_kib_each, verify_us, .. } = self.idle;
        println!("\n| connections that wait | |\n|---|---:|");
        println!("| connections, all alive at the end | {connections} |");
        println!("| memory of the server for each | {idle_kib_each:.1} KiB |");
        println!("| connections/s, one after the other, from one client | {connects_per_second:.0} |");
        println!("| server's CPU for one: TLS handshake, token, answer | {connect_cpu_us:.0} µs |");
        println!("| one P-256 verification of aws-lc-rs, which is the least that a token costs | {verify_us:.0} µs |");
        println!("| the least, of what a connection costs | {:.2} |", verify_us / connect_cpu_us);
    }
}

#[allow(clippy::cast_precision_loss)]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
