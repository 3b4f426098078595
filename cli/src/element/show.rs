//! `cotter element show`: what a part is, what its slots allow, and what a product should not ship with.

use super::bus::OnBus;
use crate::image::hex;
use crate::output::{self, Format};
use anyhow::Context;
use cotter_device::atecc::Model;
use cotter_device::atecc::command::zone::ReadConfig;
use cotter_factory::element::{Finding, SlotRules, lint};
use cotter_formats::atecc::counter::Count;
use cotter_formats::atecc::{ConfigZone, Slot};
use serde::Serialize;
use std::fmt;

/// Show what a secure element is, what each of its slots allows, and what a product should not ship with.
///
/// Only the configuration zone is read, which everybody on the bus may. The policies of the slots are in force once the data
/// zone is locked. Exit status 1 with --strict if there is anything that a product should not ship with.
///
/// Example: cotter element show --bus /dev/i2c-1
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    bus: OnBus,
    /// Fail if there is anything that a product should not ship with.
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let (mut element, part) = args.bus.open()?;
    let config = element.run(ReadConfig::default()).context("configuration zone")?;
    let shown = Shown::of(part.model, &config);
    let is_sound = shown.findings.is_empty();
    output::value(&shown, format)?;
    Ok(is_sound || !args.strict)
}

#[derive(Serialize)]
struct Shown {
    model: &'static str,
    serial_number: String,
    revision: String,
    /// Seven bits, in hexadecimal.
    address: String,
    config_locked: bool,
    data_locked: bool,
    counters: [u32; 2],
    slots: Vec<ShownSlot>,
    findings: Vec<ShownFinding>,
    /// The zone.
    configuration: String,
}

#[derive(Serialize)]
struct ShownSlot {
    slot: u8,
    holds: String,
    read_by: String,
    written_by: String,
    new_key_by_anybody: bool,
    state: &'static str,
}

#[derive(Serialize)]
struct ShownFinding {
    code: &'static str,
    slot: Option<u8>,
    what: String,
}

impl Shown {
    fn of(model: Model, config: &ConfigZone) -> Self {
        let counter = |at: usize| config.0.get(at..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or_default();
        Self {
            model: match model {
                Model::Atecc508A => "ATECC508A",
                Model::Atecc608A => "ATECC608A",
                Model::Atecc608B => "ATECC608B",
            },
            serial_number: hex(&config.serial_number()),
            revision: hex(&config.revision()),
            address: format!("{:02x}", config.address()),
            config_locked: config.is_config_locked(),
            data_locked: config.is_data_locked(),
            counters: [52, 60].map(|at| Count::decode(counter(at)).value()),
            slots: Slot::all().map(|slot| ShownSlot::of(&SlotRules::of(config, slot))).collect(),
            findings: lint(config).iter().map(ShownFinding::of).collect(),
            configuration: hex(&config.0),
        }
    }
}

impl ShownSlot {
    fn of(rules: &SlotRules) -> Self {
        Self {
            slot: rules.slot.number(),
            holds: rules.content.to_string(),
            read_by: rules.reads.to_string(),
            written_by: rules.writes.to_string(),
            new_key_by_anybody: rules.is_regenerable,
            state: match (rules.is_locked, rules.is_lockable) {
                (true, _) => "locked",
                (false, true) => "lockable",
                (false, false) => "open",
            },
        }
    }
}

impl ShownFinding {
    fn of(finding: &Finding) -> Self {
        Self { code: finding.code(), slot: finding.slot().map(Slot::number), what: finding.to_string() }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lock = |is_locked| if is_locked { "locked" } else { "not locked" };
        writeln!(f, "{}, revision {}, serial number {}", self.model, self.revision, self.serial_number)?;
        writeln!(
            f,
            "address {}, configuration {}, data {}, counters {} and {}",
            self.address,
            lock(self.config_locked),
            lock(self.data_locked),
            self.counters[0],
            self.counters[1]
        )?;
        let mut table = output::table(["slot", "holds", "is read by", "is written by", "new key by", "state"]);
        for slot in &self.slots {
            let anybody = if slot.new_key_by_anybody { "everybody" } else { "nobody" };
            let number = slot.slot.to_string();
            table.add_row([number.as_str(), &slot.holds, &slot.read_by, &slot.written_by, anybody, slot.state]);
        }
        write!(f, "{}", table.trim_fmt())?;
        for finding in &self.findings {
            write!(f, "\n{}: {}", finding.code, finding.what)?;
        }
        if self.findings.is_empty() {
            write!(f, "\nnothing that a product should not ship with")?;
        }
        Ok(())
    }
}
