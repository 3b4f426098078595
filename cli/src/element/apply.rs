//! `cotter element apply`: a reviewed plan on its part.

use super::bus::OnBus;
use super::plan::Shown;
use super::transport_key::{self, IfMissing};
use super::workpiece::Driven;
use crate::file::File;
use crate::image::hex;
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_device::atecc::Error;
use cotter_device::atecc::command::zone::ReadConfig;
use cotter_factory::element::{ApplyError, ElementPlan, Progress, Rehearsed, StepError, apply, rehearse};
use cotter_factory::journal::Journal;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// Apply a plan of `cotter element plan` to its part: write, make the keys, lock. Nothing undoes it.
///
/// Without --yes nothing is written; what would be done is shown. The plan is rehearsed again, and is refused if the part
/// is not the one that it was made for, in the state that it was in. If the work is cut short, the same command goes on
/// where it was, wherever that is: keep plan, journal and transport key until it is done.
///
/// The transport key crosses the bus in the clear, because the part has no key yet to encrypt it with: do this where you
/// trust the wires.
///
/// Example: cotter element apply --bus /dev/i2c-1 --plan part.plan.json --transport-key part.transport.key --yes
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    bus: OnBus,
    /// The plan.
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// The secret that part and host are to share, 32 bytes, mode 0600; drawn if the file is not there.
    #[arg(long, value_name = "FILE")]
    transport_key: Option<PathBuf>,
    /// What was done, a line before and after each step [default: the plan's name with .journal behind it].
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Do it: without this, nothing is written.
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let rehearsed = load(&args.plan)?;
    if !args.yes {
        output::value(&Preview { done: false, plan: Shown::of(&rehearsed) }, format)?;
        return Ok(true);
    }
    let path = args.journal.clone().unwrap_or_else(|| {
        let mut name = args.plan.clone().into_os_string();
        name.push(".journal");
        name.into()
    });
    let (mut element, _) = args.bus.open()?;
    let plan = rehearsed.plan();
    // What is drawn after the lock is not what is in the part.
    let config = element.run(ReadConfig::default()).context("configuration zone")?;
    let missing = if config.is_data_locked() { IfMissing::Refuse } else { IfMissing::Draw };
    let key = transport_key::read(args.transport_key.as_ref(), plan, missing)?;
    let journal = |what: &str| format!("{what} {}", path.display());
    let progress = Progress::read(&path, plan).with_context(|| journal("cannot read the journal"))?;
    let mut log = Journal::open(&path).with_context(|| journal("cannot open the journal"))?;
    let made = apply(&rehearsed, key.as_ref(), &mut Driven(&mut element), &progress, &mut log).map_err(explained)?;
    // It learns its address when it wakes up from sleep.
    element.sleep().context("the part is done, but does not go to sleep")?;
    let keys = made.keys.iter().map(|(slot, key)| Key { slot: *slot, public_key: hex(key) }).collect();
    let done = Applied {
        done: true,
        model: plan.model(),
        serial_number: hex(&plan.before().serial_number()),
        digest: plan.digest(),
        address: format!("{:02x}", plan.compiled().config.address()),
        resumed: progress.is_begun,
        keys,
        journal: path.display().to_string(),
    };
    output::value(&done, format)?;
    Ok(true)
}

/// Reads a plan and rehearses it.
pub(super) fn load(path: &Path) -> anyhow::Result<Rehearsed> {
    let text = File::Path(path.to_path_buf()).read()?;
    let plan = ElementPlan::from_json(&text)
        .with_context(|| path.display().to_string())
        .context(Help("take a plan as `cotter element plan` wrote it; to change it, change the template"))?;
    Ok(rehearse(plan)?)
}

fn explained(error: ApplyError<Error>) -> anyhow::Error {
    let help = match &error {
        ApplyError::OtherPart { .. } => "each part has a plan of its own: `cotter element plan`",
        ApplyError::NotAsPlanned => {
            "name the --journal of the run that was cut short; if there was none, plan again: `cotter element plan`"
        }
        ApplyError::Stray { .. } => "somebody else wrote to the part: look at it with `cotter element show`",
        ApplyError::Step { source: StepError::UnknownKey { .. }, .. } => {
            "name the --journal of the run that was cut short; without it, throw the part away"
        }
        ApplyError::Step { source: StepError::OtherTransportKey { .. }, .. } => {
            "find the file that was there when the part was written; nobody reads the key out of the part"
        }
        ApplyError::Step { source: StepError::LockRefused { .. }, .. } => {
            "was it the same --transport-key each time? Was the OTP zone of the part written before?"
        }
        ApplyError::Step { source: StepError::Command(_), .. } | ApplyError::Command(_) => {
            "run the same command again: it goes on where it was"
        }
        _ => return error.into(),
    };
    anyhow::Error::new(error).context(Help(help))
}

#[derive(Serialize)]
struct Preview {
    done: bool,
    #[serde(flatten)]
    plan: Shown,
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nnothing is done yet: say --yes to write to the part", self.plan)
    }
}

#[derive(Serialize)]
struct Applied {
    done: bool,
    model: &'static str,
    serial_number: String,
    digest: String,
    /// Seven bits, in hexadecimal.
    address: String,
    resumed: bool,
    keys: Vec<Key>,
    journal: String,
}

#[derive(Serialize)]
struct Key {
    slot: u8,
    /// X and Y.
    public_key: String,
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resumed = if self.resumed { " (resumed)" } else { "" };
        writeln!(
            f,
            "{} {}, at address {}: personalised and locked{resumed}",
            self.model, self.serial_number, self.address
        )?;
        for key in &self.keys {
            writeln!(f, "slot {}: public key {}", key.slot, key.public_key)?;
        }
        write!(f, "{}: what was done", self.journal)
    }
}
