//! `cotter fleet trust`: the keys that sign firmware change, and no device is left behind unless somebody says so.

use crate::file::File;
use crate::moment::Moment;
use crate::output::{self, Format, Help};
use crate::remote::{Body, Remote, RemoteError, or_help, plain};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Change the keys that sign firmware on every device: plan, start, watch, retire.
///
/// `cotter release trust` makes the statement that devices follow. The server holds no key that could.
#[derive(clap::Subcommand)]
pub(super) enum Verb {
    Plan(Plan),
    /// Give the planned statement to every device that asks.
    ///
    /// From now on until the end only releases go out that old and new keys signed (bridges).
    ///
    /// Example: cotter fleet trust start
    Start,
    /// Show the keys that count, where the change stands, and which devices have not followed.
    ///
    /// Example: cotter fleet trust show --json
    Show,
    Retire(Retire),
    /// Take the latest statement back. Only as long as no device was given it.
    ///
    /// Example: cotter fleet trust cancel
    Cancel,
}

/// Bring the next statement to the server, which checks it and gives it to nobody yet.
///
/// Example: cotter fleet trust plan 1.trust --share 100 --days 30
#[derive(clap::Args)]
pub(super) struct Plan {
    /// What `cotter release trust sign` wrote.
    statement: File,
    /// How many of 100 devices must have followed it before the old keys are retired.
    #[arg(long, value_name = "PERCENT", default_value = "100", value_parser = clap::value_parser!(u8).range(1..=100))]
    share: u8,
    /// A device that was not seen for so many days may be left behind.
    #[arg(long, value_name = "DAYS", default_value = "30")]
    days: u16,
}

/// End the old keys: releases need the new ones only. Exit status 1 as long as too few devices have followed.
///
/// A device that is left behind is not lost: when it comes back, it follows the statements, or is offered the bridge.
///
/// Example: cotter fleet trust retire
#[derive(clap::Args)]
pub(super) struct Retire {
    /// Do not wait for devices that were not seen for long. Their names go into the audit log.
    #[arg(long)]
    leave_behind: bool,
}

pub(super) fn run(verb: &Verb, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    match verb {
        Verb::Plan(Plan { statement, share, days }) => {
            let path = format!("{TRUST}?share={share}&days={days}");
            let planned: Changed = server.post(&path, Body::Json(statement.read()?)).map_err(with_help)?;
            output::value(&planned, format)?;
        }
        Verb::Start => act(server, "start", format)?,
        Verb::Retire(Retire { leave_behind: false }) => act(server, "retire", format)?,
        Verb::Retire(Retire { leave_behind: true }) => act(server, "retire?leave_behind=true", format)?,
        Verb::Cancel => act(server, "cancel", format)?,
        Verb::Show => {
            let standing: Standing = server.get(TRUST)?;
            output::value(&standing, format)?;
        }
    }
    Ok(true)
}

fn act(server: &mut Remote, act: &str, format: Format) -> anyhow::Result<()> {
    let changed: Changed = server.post(&format!("{TRUST}/{act}"), Body::None).map_err(with_help)?;
    output::value(&changed, format)
}

fn with_help(error: anyhow::Error) -> anyhow::Error {
    match RemoteError::reason(&error) {
        Some("trust-too-few-old-keys" | "trust-too-few-new-keys" | "trust-unsigned") => {
            or_help(error, "`cotter release trust sign` adds signatures; old and new keys must sign")
        }
        Some("trust-not-adopted") => error.context(Help(
            "`cotter fleet trust show` names them; --leave-behind goes on without those not seen for long",
        )),
        Some(reason) if reason.starts_with("trust-") => {
            or_help(error, "`cotter fleet trust show` tells where the change of keys stands")
        }
        _ => error,
    }
}

const TRUST: &str = "/admin/v1/trust";

#[derive(Serialize, Deserialize)]
struct Changed {
    number: u32,
    state: String,
}

#[derive(Serialize, Deserialize)]
struct Standing {
    number: u32,
    required: usize,
    keys: Vec<String>,
    secure_boot: Vec<String>,
    statements: Vec<Statement>,
    numbers: Vec<Number>,
    devices: u64,
    adopted: u64,
    unseen: u64,
    missing: Vec<Missing>,
}

#[derive(Serialize, Deserialize)]
struct Statement {
    number: u32,
    state: String,
    share: u8,
    days: u16,
    handed: bool,
    created_at: Moment,
    changed_at: Moment,
}

#[derive(Serialize, Deserialize)]
struct Number {
    number: u32,
    devices: u64,
}

#[derive(Serialize, Deserialize)]
struct Missing {
    device: String,
    number: u32,
    seen_at: Moment,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trust number {} is {}", self.number, plain(&self.state))
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, required, keys, statements, numbers, devices, adopted, unseen, missing, secure_boot } = self;
        write!(f, "trust number {number}: {required} of {} keys", keys.len())?;
        for key in keys {
            write!(f, " {}", plain(key))?;
        }
        for digest in secure_boot {
            write!(f, "\nimages by Secure Boot key {}", plain(digest))?;
        }
        if let Some(Statement { state, share, days, changed_at, .. }) = statements.last() {
            write!(f, "\n{} since {changed_at}; retired once {share} % have followed", plain(state))?;
            write!(f, ", but for devices not seen for {days} days with --leave-behind")?;
            write!(f, "\n{adopted} of {devices} devices have followed, {unseen} of the others were not seen for long")?;
        }
        let mut table = output::table(["number", "devices", "state"]);
        for Number { number, devices } in numbers {
            let state = statements.iter().find(|statement| statement.number == *number);
            let state = state.map_or(if *number == 0 { "as made" } else { "unknown" }, |statement| &statement.state);
            table.add_row([number.to_string(), devices.to_string(), plain(state)]);
        }
        if !numbers.is_empty() {
            write!(f, "\n\n{}", table.trim_fmt())?;
        }
        if !statements.is_empty() && !missing.is_empty() {
            let mut table = output::table(["not followed", "at number", "last seen"]);
            for Missing { device, number, seen_at } in missing {
                table.add_row([plain(device), number.to_string(), seen_at.to_string()]);
            }
            write!(f, "\n\n{}", table.trim_fmt())?;
        }
        Ok(())
    }
}
