//! `cotter fleet rotate`: new root keys for devices.

use crate::moment::Moment;
use crate::output::{self, Format, Help};
use crate::remote::{Body, Remote, RemoteError, or_help, plain};
use cotter_server::rollout::tag::Tag;
use cotter_wire::ids::DeviceId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Give devices new root keys, from which all their other keys follow.
///
/// A device fetches its new key when it asks next, sealed under its present one, and confirms that it has stored it; then
/// the server switches. Packets that were sealed before count for the overlap. No device is without a key that counts, at
/// no moment. Only an admin may order it.
#[derive(clap::Subcommand)]
pub(super) enum Verb {
    /// Offer no device a key of this order any more. Who has been offered one may still take it.
    ///
    /// Example: cotter fleet rotate cancel 3
    Cancel(One),
    /// List orders, newest first.
    List,
    /// Offer no keys for a while.
    ///
    /// Example: cotter fleet rotate pause 3
    Pause(One),
    /// Go on offering keys.
    ///
    /// Example: cotter fleet rotate resume 3
    Resume(One),
    /// Show how many devices wait, have a key, have switched, and are done.
    ///
    /// Example: cotter fleet rotate show 3
    Show(One),
    Start(Start),
}

/// An order.
#[derive(clap::Args)]
pub(super) struct One {
    /// Its number.
    rotation: u32,
}

/// Order new root keys for all devices whose keys are older than the order.
///
/// Example: cotter fleet rotate start --tag field-north --overlap 7d
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub(super) struct Start {
    /// For every device.
    #[arg(long, group = "which")]
    all: bool,
    /// For the devices with this tag when they ask.
    #[arg(long, group = "which")]
    tag: Option<Tag>,
    /// For one device.
    #[arg(long, group = "which")]
    device: Option<DeviceId>,
    /// For how long packets count that were sealed before the switch: 30s, 10m, 12h or 7d; at most 90d.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = seconds)]
    overlap: u32,
}

/// Reads `7d`, `12h`, `10m` or `30s`.
fn seconds(text: &str) -> Result<u32, String> {
    let expected = || "expected a number and s, m, h or d, as in 7d".to_owned();
    let unit = text.chars().last().ok_or_else(expected)?;
    let (number, _) = text.split_at(text.len() - unit.len_utf8());
    let each = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(expected()),
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(expected());
    }
    let number: u32 = number.parse().map_err(|_| expected())?;
    number.checked_mul(each).ok_or_else(|| "that is too long".to_owned())
}

pub(super) fn run(verb: &Verb, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    match verb {
        Verb::Cancel(one) => act(one, "cancel", server, format),
        Verb::List => list(server, format),
        Verb::Pause(one) => act(one, "pause", server, format),
        Verb::Resume(one) => act(one, "resume", server, format),
        Verb::Show(one) => show(one.rotation, server, format),
        Verb::Start(args) => start(args, server, format),
    }
}

fn start(args: &Start, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let (scope, target) = match (&args.tag, &args.device) {
        (Some(tag), _) => ("tag", tag.to_string()),
        (None, Some(device)) => ("device", device.to_string()),
        (None, None) => ("all", String::new()),
    };
    let wish = serde_json::json!({ "scope": scope, "target": target, "overlap_seconds": args.overlap });
    let answer = server.post::<Made>(ROTATIONS, Body::json(&wish)?);
    let made = answer.map_err(|error| match RemoteError::reason(&error) {
        Some("rotation-unknown-device") => error.context(Help("`cotter fleet devices` lists them")),
        Some("rotation-too-many") => error.context(Help("`cotter fleet rotate list`, then cancel what is not needed")),
        _ => error,
    })?;
    show(made.rotation, server, format)
}

fn act(one: &One, act: &str, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let answer = server.post::<Changed>(&format!("{ROTATIONS}/{}/{act}", one.rotation), Body::None);
    let changed = answer.map_err(|error| match RemoteError::reason(&error) {
        Some("rotation-state") => error.context(Help("`cotter fleet rotate show` tells where it stands")),
        _ => or_help(error, LIST),
    })?;
    output::value(&changed, format)?;
    Ok(true)
}

fn show(rotation: u32, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let found = server.get::<Order>(&format!("{ROTATIONS}/{rotation}")).map_err(|error| or_help(error, LIST))?;
    output::value(&found, format)?;
    Ok(true)
}

fn list(server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let mut rotations = Vec::new();
    let mut path = ROTATIONS.to_owned();
    loop {
        let page: Page = server.get(&path)?;
        rotations.extend(page.rotations);
        let Some(next) = page.next else { break };
        path = format!("{ROTATIONS}?before={next}");
    }
    output::value(&Orders { rotations }, format)?;
    Ok(true)
}

const ROTATIONS: &str = "/admin/v1/rotations";
const LIST: &str = "`cotter fleet rotate list` lists them";

#[derive(Deserialize)]
struct Made {
    rotation: u32,
}

#[derive(Deserialize)]
struct Page {
    rotations: Vec<Order>,
    next: Option<u32>,
}

#[derive(Serialize)]
struct Orders {
    rotations: Vec<Order>,
}

#[derive(Deserialize, Serialize)]
struct Changed {
    rotation: u32,
    state: String,
}

#[derive(Deserialize, Serialize)]
struct Order {
    rotation: u32,
    scope: String,
    target: String,
    overlap_seconds: u32,
    state: String,
    created_at: Moment,
    created_by: String,
    changed_at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<u64>,
    offered: u64,
    switched: u64,
    in_overlap: u64,
    retired: u64,
}

impl Order {
    fn whom(&self) -> String {
        match self.scope.as_str() {
            "all" => "all devices".to_owned(),
            "tag" => format!("tag {}", plain(&self.target)),
            _ => plain(&self.target),
        }
    }
}

/// The largest unit that says it without a rest.
fn time(seconds: u32) -> String {
    let units = [(86_400, 'd'), (3600, 'h'), (60, 'm')];
    let unit = units.into_iter().find(|(each, _)| seconds > 0 && seconds.is_multiple_of(*each)).unwrap_or((1, 's'));
    format!("{}{}", seconds / unit.0, unit.1)
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rotation, created_at, created_by, offered, in_overlap, retired, .. } = self;
        let (state, by, overlap) = (plain(&self.state), plain(created_by), time(self.overlap_seconds));
        writeln!(f, "rotation {rotation} of {}, {state}, overlap {overlap}", self.whom())?;
        writeln!(f, "ordered by {by} {created_at}, last changed {}", self.changed_at)?;
        let waiting = self.waiting.map(|waiting| format!("{waiting} wait, ")).unwrap_or_default();
        write!(f, "devices: {waiting}{offered} offered, {in_overlap} switched and in overlap, {retired} done")
    }
}

impl fmt::Display for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rotations.is_empty() {
            return write!(f, "no rotations");
        }
        let mut table =
            output::table(["rotation", "of", "state", "overlap", "ordered", "offered", "in overlap", "done"]);
        for order in &self.rotations {
            table.add_row([
                order.rotation.to_string(),
                order.whom(),
                plain(&order.state),
                time(order.overlap_seconds),
                order.created_at.to_string(),
                order.offered.to_string(),
                order.in_overlap.to_string(),
                order.retired.to_string(),
            ]);
        }
        write!(f, "{}", table.trim_fmt())
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rotation {} is {}", self.rotation, plain(&self.state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, expected) in [("30s", 30), ("10m", 600), ("12h", 43_200), ("7d", 604_800), ("0s", 0)] {
            assert_eq!(seconds(text), Ok(expected));
            assert_eq!(time(expected), text);
        }
        for text in ["", "7", "d", "-1d", "+1d", "1w", "1.5h", "99999999d", "7 d", "7ü"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
