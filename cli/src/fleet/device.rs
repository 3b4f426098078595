//! `cotter fleet devices, device, readings, history, enrol, minimum-protocol`.

use crate::file::File;
use crate::moment::Moment;
use crate::output::{self, Format};
use crate::remote::{Body, Remote, RemoteError, or_help, plain};
use crate::rollout::shown::Offer;
use cotter_wire::api;
use cotter_wire::ids::DeviceId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// List the devices, by name.
///
/// Example: cotter fleet devices --limit 100
#[derive(clap::Args)]
pub(super) struct Many {
    /// Those after this one.
    #[arg(long, value_name = "DEVICE")]
    after: Option<DeviceId>,
    /// So many at most; without it, all of them.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

/// Show one device.
///
/// Example: cotter fleet device solar-0001
#[derive(clap::Args)]
pub(super) struct One {
    /// Which.
    device: DeviceId,
}

/// Show the latest readings of a device, newest first.
///
/// Example: cotter fleet readings solar-0001 --json
#[derive(clap::Args)]
pub(super) struct Readings {
    /// Whose.
    device: DeviceId,
}

/// Show what a device was offered, how far it came, and what it has said about updates; newest first.
///
/// Example: cotter fleet history solar-0001
#[derive(clap::Args)]
pub(super) struct History {
    /// Whose.
    device: DeviceId,
}

/// Take no packet of an older telemetry protocol from a device any more.
///
/// The first packet of a newer protocol does that by itself. It cannot be taken back.
///
/// Example: cotter fleet minimum-protocol solar-0001 2
#[derive(clap::Args)]
pub(super) struct MinimumProtocol {
    /// Which.
    device: DeviceId,
    /// The oldest that is taken: 1 is JSON, 2 is COSE.
    #[arg(value_parser = clap::value_parser!(u8).range(1..=2))]
    protocol: u8,
}

/// Take devices in, by the records that the factory sealed for this server.
///
/// A record that was taken in before is refused, and so is one with older keys. The others are taken in all the same;
/// the exit status is then 1.
///
/// Example: cotter fleet enrol batch/*/enrolment.json
#[derive(clap::Args)]
pub(super) struct Enrol {
    /// Sealed records, one device each; `-` for stdin.
    #[arg(required = true, value_name = "FILE")]
    records: Vec<File>,
}

pub(super) fn many(args: &Many, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let mut devices = Vec::new();
    let (mut after, mut left) = (args.after.map(|device| device.to_string()), args.limit.unwrap_or(u64::MAX));
    loop {
        let from = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let page: Page = server.get(&format!("{}?limit={}{from}", api::ADMIN_DEVICES, left.min(PAGE)))?;
        left = left.saturating_sub(page.devices.len() as u64);
        devices.extend(page.devices);
        after = page.next;
        if after.is_none() || left == 0 {
            break;
        }
    }
    output::value(&Devices { devices, next: after }, format)?;
    Ok(true)
}

pub(super) fn one(args: &One, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let device = server.get::<OneDevice>(&format!("{}/{}", api::ADMIN_DEVICES, args.device));
    let device = device.map_err(|error| or_help(error, NO_DEVICE))?;
    output::value(&device, format)?;
    Ok(true)
}

pub(super) fn readings(args: &Readings, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let readings: DeviceReadings = server.get(&api::ADMIN_READINGS.replace("{id}", args.device.as_str()))?;
    output::value(&readings, format)?;
    Ok(true)
}

pub(super) fn history(args: &History, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let history: DeviceHistory = server.get(&format!("{}/{}/history", api::ADMIN_DEVICES, args.device))?;
    output::value(&history, format)?;
    Ok(true)
}

pub(super) fn minimum_protocol(args: &MinimumProtocol, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let path = api::ADMIN_MINIMUM_PROTOCOL.replace("{id}", args.device.as_str());
    let wish = Body::json(&serde_json::json!({ "protocol": args.protocol }))?;
    let minimum = server.post::<Minimum>(&path, wish).map_err(|error| or_help(error, NO_DEVICE))?;
    output::value(&minimum, format)?;
    Ok(true)
}

pub(super) fn enrol(args: &Enrol, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let mut outcome = Enrolment { enrolled: Vec::new(), refused: Vec::new() };
    for file in &args.records {
        match server.post::<Enrolled>(api::ADMIN_DEVICES, Body::Json(file.read()?)) {
            Ok(device) => outcome.enrolled.push(device),
            // Only what is wrong with this record: whatever else is wrong, is wrong with all of them.
            Err(error) if RemoteError::reason(&error).is_some_and(|reason| !reason.is_empty()) => {
                outcome.refused.push(Refused { file: file.to_string(), why: error.root_cause().to_string() });
            }
            Err(error) => return Err(error.context(format!("{file}, after {} devices", outcome.enrolled.len()))),
        }
    }
    output::value(&outcome, format)?;
    Ok(outcome.refused.is_empty())
}

const NO_DEVICE: &str = "`cotter fleet devices` lists those that there are";
const PAGE: u64 = 1000;

#[derive(Deserialize)]
struct Page {
    devices: Vec<Device>,
    next: Option<String>,
}

#[derive(Serialize)]
struct Devices {
    devices: Vec<Device>,
    next: Option<String>,
}

/// What the server knows of a device.
#[derive(Serialize, Deserialize)]
struct Device {
    device: String,
    chip: String,
    mac: String,
    epoch: u32,
    last_nonce: u64,
    minimum_protocol: u8,
    enrolled_at: Moment,
}

/// With what only one device is asked for.
#[derive(Serialize, Deserialize)]
struct OneDevice {
    #[serde(flatten)]
    device: Device,
    tags: Vec<String>,
    running: Option<Running>,
    secure_version_steps: u32,
    secure_version_left: u32,
}

/// By the device's own word.
#[derive(Serialize, Deserialize)]
struct Running {
    version: String,
    secure_version: u32,
    since: Moment,
}

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.devices.is_empty() {
            return f.write_str("no devices");
        }
        let mut table = output::table(["device", "chip", "key epoch", "last nonce", "enrolled"]);
        for device in &self.devices {
            let Device { device, chip, epoch, last_nonce, enrolled_at, .. } = device;
            table.add_row([
                plain(device),
                plain(chip),
                epoch.to_string(),
                last_nonce.to_string(),
                enrolled_at.to_string(),
            ]);
        }
        write!(f, "{}", table.trim_fmt())?;
        match &self.next {
            Some(next) => write!(f, "\nmore with --after {}", plain(next)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for OneDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device: of, tags, running, secure_version_steps: steps, secure_version_left: left } = self;
        let Device { device, chip, mac, epoch, last_nonce, minimum_protocol, enrolled_at } = of;
        write!(
            f,
            "{}: {}, MAC {}, key epoch {epoch}, last nonce {last_nonce}",
            plain(device),
            plain(chip),
            plain(mac)
        )?;
        write!(f, "\nenrolled {enrolled_at}, speaks protocol {minimum_protocol} or newer")?;
        match running {
            Some(Running { version, secure_version, since }) => {
                write!(f, "\nruns {} since {since}, secure_version {secure_version}", plain(version))?;
                write!(f, " ({left} of {steps} eFuse steps left)")?;
            }
            None => f.write_str("\nnever asked for updates")?,
        }
        if !tags.is_empty() {
            write!(f, "\ntags: {}", plain(&tags.join(" ")))?;
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct DeviceReadings {
    device: String,
    readings: Vec<Reading>,
}

#[derive(Serialize, Deserialize)]
struct Reading {
    received_at: Moment,
    epoch: u32,
    nonce: u64,
    uptime_s: u32,
    boot_count: u32,
    firmware: String,
    secure_version: u32,
    values: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
struct Value {
    register: u8,
    raw: u16,
}

impl fmt::Display for DeviceReadings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.readings.is_empty() {
            return write!(f, "no readings of {}", plain(&self.device));
        }
        let mut table = output::table(["received", "nonce", "firmware", "uptime", "registers"]);
        for reading in &self.readings {
            let values: Vec<String> =
                reading.values.iter().map(|value| format!("{}={}", value.register, value.raw)).collect();
            table.add_row([
                reading.received_at.to_string(),
                reading.nonce.to_string(),
                plain(&reading.firmware),
                format!("{} s", reading.uptime_s),
                values.join(" "),
            ]);
        }
        write!(f, "{}", table.trim_fmt())
    }
}

#[derive(Serialize, Deserialize)]
struct DeviceHistory {
    device: String,
    history: Vec<Report>,
    #[serde(default)]
    offers: Vec<Offer>,
}

#[derive(Serialize, Deserialize)]
struct Report {
    received_at: Moment,
    version: String,
    result: String,
    reason: String,
}

impl fmt::Display for DeviceHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.offers.is_empty() {
            let mut table = output::table(["rollout", "version", "changed", "how far"]);
            for offer in &self.offers {
                table.add_row(offer.row());
            }
            writeln!(f, "{}\n", table.trim_fmt())?;
        }
        if self.history.is_empty() {
            return write!(f, "{} has said nothing about updates", plain(&self.device));
        }
        let mut table = output::table(["received", "version", "result", "reason"]);
        for report in &self.history {
            let Report { received_at, version, result, reason } = report;
            table.add_row([received_at.to_string(), plain(version), plain(result), plain(reason)]);
        }
        write!(f, "{}", table.trim_fmt())
    }
}

#[derive(Serialize, Deserialize)]
struct Enrolled {
    device: String,
    epoch: u32,
    renewed: bool,
}

#[derive(Serialize)]
struct Refused {
    file: String,
    why: String,
}

#[derive(Serialize)]
struct Enrolment {
    enrolled: Vec<Enrolled>,
    refused: Vec<Refused>,
}

impl fmt::Display for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Enrolled { device, epoch, renewed } in &self.enrolled {
            let what = if *renewed { "has new keys" } else { "enrolled" };
            writeln!(f, "{} {what}, key epoch {epoch}", plain(device))?;
        }
        for Refused { file, why } in &self.refused {
            writeln!(f, "{file}: {why}")?;
        }
        write!(f, "{} taken in, {} refused", self.enrolled.len(), self.refused.len())
    }
}

#[derive(Serialize, Deserialize)]
struct Minimum {
    device: String,
    minimum_protocol: u8,
}

impl fmt::Display for Minimum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} speaks protocol {} or newer", plain(&self.device), self.minimum_protocol)
    }
}
