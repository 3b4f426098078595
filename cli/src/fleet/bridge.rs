//! `cotter fleet bridge`: what devices say and are told over MQTT.

use crate::file::File;
use crate::moment::Moment;
use crate::output::{self, Format};
use crate::remote::{Body, Remote, or_help, plain};
use base64ct::{Base64, Encoding};
use cotter_wire::ids::DeviceId;
use hyper::Method;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Configure devices over MQTT, send them commands, and read what they have said.
///
/// The server must have `[mqtt]` in its configuration; docs/mqtt.md is the guide.
#[derive(clap::Subcommand)]
pub(super) enum Verb {
    Show(Show),
    Events(Events),
    Config(Config),
    Command(Command),
    Gateway(Gateway),
    Bind(Bind),
    Unbind(Bind),
}

/// Show whether a device is connected, and its last configurations and states, newest first.
///
/// Example: cotter fleet bridge show solar-0001
#[derive(clap::Args)]
pub(super) struct Show {
    /// Whose.
    device: DeviceId,
}

/// Print the messages of a device that are no sealed packets, oldest first, at most 100.
///
/// Sealed packets are readings: `cotter fleet readings`.
///
/// Example: cotter fleet bridge events solar-0001 --after 200
#[derive(clap::Args)]
pub(super) struct Events {
    /// Whose.
    device: DeviceId,
    /// Only those after this number.
    #[arg(long, default_value_t = 0)]
    after: u64,
}

/// Give a device its next configuration: at once if it is connected, else when it comes.
///
/// Example: cotter fleet bridge config solar-0001 every-4-seconds.json
#[derive(clap::Args)]
pub(super) struct Config {
    /// Whose.
    device: DeviceId,
    /// What it is, at most 64 KiB of anything.
    payload: File,
}

/// Send a command to a device that is connected. It is not kept: exit status 1 if the device is not there.
///
/// Commands that wait for a device, and whose results it signs, are `cotter fleet command`.
///
/// Example: echo -n blink | cotter fleet bridge command solar-0001 - --folder led
#[derive(clap::Args)]
pub(super) struct Command {
    /// To whom.
    device: DeviceId,
    /// What it is, at most 64 KiB of anything.
    payload: File,
    /// What follows `commands/` in its topic.
    #[arg(long)]
    folder: Option<String>,
}

/// Let a device bring other devices over its own connection.
///
/// Example: cotter fleet bridge gateway hall-1
#[derive(clap::Args)]
pub(super) struct Gateway {
    /// Which.
    device: DeviceId,
    /// It brings nobody any more, and what was bound to it is not; its connection ends.
    #[arg(long)]
    not: bool,
}

/// Say which devices a gateway may bring that show no token of their own.
///
/// Example: cotter fleet bridge bind hall-1 sensor-7
#[derive(clap::Args)]
pub(super) struct Bind {
    /// The one that brings.
    gateway: DeviceId,
    /// The one that is brought.
    device: DeviceId,
}

pub(super) fn run(verb: &Verb, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    match verb {
        Verb::Show(Show { device }) => {
            output::value(&server.get::<Shown>(&path(device, "")).map_err(unknown)?, format)?
        }
        Verb::Events(Events { device, after }) => {
            let found = server.get::<Said>(&path(device, &format!("/events?after={after}"))).map_err(unknown)?;
            output::value(&found, format)?;
        }
        Verb::Config(Config { device, payload }) => {
            let wish = serde_json::json!({ "payload": Base64::encode_string(&payload.read()?) });
            let set: Version = server.post(&path(device, "/config"), Body::json(&wish)?).map_err(unknown)?;
            output::value(&Configured { device: device.to_string(), version: set.version }, format)?;
        }
        Verb::Command(Command { device, payload, folder }) => {
            let mut wish = serde_json::json!({ "payload": Base64::encode_string(&payload.read()?) });
            if let (Some(folder), Some(wish)) = (folder, wish.as_object_mut()) {
                wish.insert("folder".to_owned(), folder.as_str().into());
            }
            server.ask(Method::POST, &path(device, "/commands"), Body::json(&wish)?).map_err(not_there)?;
            output::value(&Done { done: format!("{device} has it") }, format)?;
        }
        Verb::Gateway(Gateway { device, not }) => {
            let method = if *not { Method::DELETE } else { Method::PUT };
            server.ask(method, &path(device, "/gateway"), Body::None).map_err(unknown)?;
            let words = if *not { "is no gateway" } else { "is a gateway" };
            output::value(&Done { done: format!("{device} {words}") }, format)?;
        }
        Verb::Bind(bind) => bound(bind, Method::PUT, "is bound to", server, format)?,
        Verb::Unbind(bind) => bound(bind, Method::DELETE, "is not bound to", server, format)?,
    }
    Ok(true)
}

fn bound(bind: &Bind, method: Method, words: &str, server: &mut Remote, format: Format) -> anyhow::Result<()> {
    let Bind { gateway, device } = bind;
    server.ask(method, &path(gateway, &format!("/bound/{device}")), Body::None).map_err(unknown)?;
    output::value(&Done { done: format!("{device} {words} {gateway}") }, format)
}

fn path(device: &DeviceId, rest: &str) -> String {
    format!("/admin/v1/devices/{device}/bridge{rest}")
}

fn unknown(error: anyhow::Error) -> anyhow::Error {
    or_help(error, "`cotter fleet devices` lists the devices")
}

fn not_there(error: anyhow::Error) -> anyhow::Error {
    or_help(
        error,
        "`cotter fleet bridge show` says whether it is connected; `cotter fleet command` sends what may wait",
    )
}

#[derive(Serialize, Deserialize)]
struct Shown {
    device: String,
    connected: bool,
    bound: Option<Vec<String>>,
    configs: Vec<ShownConfig>,
    states: Vec<ShownState>,
}

#[derive(Serialize, Deserialize)]
struct ShownConfig {
    version: u64,
    payload: String,
    set_at: Moment,
    set_by: String,
    acknowledged_at: Option<Moment>,
}

#[derive(Serialize, Deserialize)]
struct ShownState {
    payload: String,
    received_at: Moment,
}

#[derive(Serialize, Deserialize)]
struct Said {
    device: String,
    events: Vec<Event>,
}

#[derive(Serialize, Deserialize)]
struct Event {
    number: u64,
    folder: String,
    payload: String,
    received_at: Moment,
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

#[derive(Serialize)]
struct Configured {
    device: String,
    version: u64,
}

#[derive(Serialize)]
struct Done {
    done: String,
}

/// A payload for a person: as text if it is some, else its size.
fn words(payload: &str) -> String {
    let bytes = Base64::decode_vec(payload).unwrap_or_default();
    match String::from_utf8(bytes) {
        Ok(text) if text.chars().count() <= MOST_WORDS => plain(&text),
        Ok(text) => format!("{}...", plain(&text.chars().take(MOST_WORDS).collect::<String>())),
        Err(other) => format!("{} bytes", other.as_bytes().len()),
    }
}

const MOST_WORDS: usize = 60;

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = if self.connected { "connected" } else { "not connected" };
        write!(f, "{} is {there}", plain(&self.device))?;
        if let Some(bound) = &self.bound {
            let bound: Vec<_> = bound.iter().map(|device| plain(device)).collect();
            let bound = if bound.is_empty() { "nobody".to_owned() } else { bound.join(", ") };
            write!(f, "; a gateway, bound to it: {bound}")?;
        }
        let mut table = output::table(["what", "when", "says"]);
        for config in &self.configs {
            let has_it = match config.acknowledged_at {
                Some(at) => format!(", has it since {at}"),
                None => String::new(),
            };
            let when = format!("{} by {}{has_it}", config.set_at, plain(&config.set_by));
            table.add_row([format!("config {}", config.version), when, words(&config.payload)]);
        }
        for state in &self.states {
            table.add_row(["state".to_owned(), state.received_at.to_string(), words(&state.payload)]);
        }
        if self.configs.is_empty() && self.states.is_empty() {
            return Ok(());
        }
        write!(f, "\n{}", table.trim_fmt())
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.events.is_empty() {
            return write!(f, "{} has said nothing more", plain(&self.device));
        }
        let mut table = output::table(["number", "when", "folder", "says"]);
        for event in &self.events {
            let folder = plain(&event.folder);
            table.add_row([event.number.to_string(), event.received_at.to_string(), folder, words(&event.payload)]);
        }
        write!(f, "{}", table.trim_fmt())
    }
}

impl fmt::Display for Configured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has configuration {} now", self.device, self.version)
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.done)
    }
}
