//! `cotter element lock`: one thing, by hand.

use super::apply::load;
use super::bus::OnBus;
use super::public_key::slot;
use super::transport_key::{self, IfMissing};
use crate::image::hex;
use crate::output::{self, Format, Help};
use anyhow::{Context, ensure};
use cotter_device::atecc::command::lock::Lock;
use cotter_device::atecc::command::zone::{ReadConfig, ReadSlot};
use cotter_factory::element::{Reads, SlotRules};
use cotter_formats::atecc::{ConfigZone, Slot};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Lock one thing of a secure element for ever: the configuration zone, data and OTP zone, or a slot.
///
/// Without --yes nothing is locked; what would be is shown. The configuration zone is locked only if it holds what was just
/// read; data and OTP zone only if they hold what the plan says, because nobody can read them before. `cotter element
/// apply` locks all of these itself: this is for slots that get their content later, such as certificates.
///
/// Example: cotter element lock --bus /dev/i2c-1 slot 8 --yes
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    bus: OnBus,
    /// Do it: without this, nothing is locked.
    #[arg(long, global = true)]
    yes: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// The configuration zone, as it is read now.
    Config,
    /// Data and OTP zone, if they hold what a plan says.
    Data {
        /// The plan that they were written by.
        #[arg(long, value_name = "FILE", required_unless_present = "unchecked")]
        plan: Option<PathBuf>,
        /// The transport key that was written.
        #[arg(long, value_name = "FILE")]
        transport_key: Option<PathBuf>,
        /// Whatever is in them: what went wrong unnoticed stays wrong for ever.
        #[arg(long, conflicts_with = "plan")]
        unchecked: bool,
    },
    /// A slot with what is in it.
    Slot {
        /// 0 to 15.
        #[arg(value_parser = slot)]
        slot: Slot,
    },
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let (mut element, part) = args.bus.open()?;
    let config = element.run(ReadConfig::default()).context("configuration zone")?;
    let (name, lock, content) = match &args.what {
        What::Config => {
            ensure!(!config.is_config_locked(), "the configuration zone is locked already");
            ("the configuration zone".to_owned(), Lock::config(&config), Some(hex(&config.0)))
        }
        What::Data { plan, transport_key, .. } => {
            ensure!(config.is_config_locked(), "the configuration zone is not locked yet, and comes first");
            ensure!(!config.is_data_locked(), "data and OTP zone are locked already");
            let lock = match plan {
                Some(path) => {
                    let rehearsed = load(path)?;
                    let plan = rehearsed.plan();
                    ensure!(plan.before().serial_number() == part.serial.0, "the plan is for another part");
                    let key = transport_key::read(transport_key.as_ref(), plan, IfMissing::Refuse)?;
                    Lock::data(plan.data_sum(key.as_ref())?)
                }
                None => Lock::data_unchecked(),
            };
            ("data and OTP zone".to_owned(), lock, None)
        }
        What::Slot { slot } => {
            ensure!(config.is_config_locked(), "the configuration zone is not locked yet, and comes first");
            let (rules, number) = (SlotRules::of(&config, *slot), slot.number());
            ensure!(!rules.is_locked, "slot {number} is locked already");
            ensure!(rules.is_lockable, "slot {number} cannot be locked: its KeyConfig does not allow it");
            let mut content = vec![0; slot.len()];
            let is_readable = config.is_data_locked() && rules.reads == Reads::Clear;
            if is_readable {
                element.run(ReadSlot::new(*slot, &mut content)).with_context(|| format!("slot {number}"))?;
            }
            (format!("slot {number}"), Lock::slot(*slot), is_readable.then(|| hex(&content)))
        }
    };
    if args.yes {
        let answer = element.run(lock);
        // Whether the answer arrived or not: the part knows.
        let now = element.run(ReadConfig::default()).context("configuration zone")?;
        if !args.what.is_locked(&now) {
            answer.with_context(|| name.clone()).context(Help("it holds something else, or cannot be locked"))?;
            anyhow::bail!("{name}: the part says that it locked, and did not");
        }
    }
    let serial_number = hex(&part.serial.0);
    output::value(&Shown { serial_number, what: name, locked: args.yes, content }, format)?;
    Ok(true)
}

impl What {
    fn is_locked(&self, config: &ConfigZone) -> bool {
        match self {
            Self::Config => config.is_config_locked(),
            Self::Data { .. } => config.is_data_locked(),
            Self::Slot { slot } => config.is_slot_locked(*slot),
        }
    }
}

#[derive(Serialize)]
struct Shown {
    serial_number: String,
    what: String,
    locked: bool,
    /// What it holds, where everybody reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(content) = &self.content {
            writeln!(f, "{}: {content}", self.what)?;
        }
        if self.locked {
            write!(f, "{}: {} is locked, for ever", self.serial_number, self.what)
        } else {
            write!(f, "{}: nothing is locked yet: say --yes to lock {} for ever", self.serial_number, self.what)
        }
    }
}
