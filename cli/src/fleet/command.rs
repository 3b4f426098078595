//! `cotter fleet command`: tell a device to do something, once.

use crate::moment::Moment;
use crate::output::{self, Format};
use crate::remote::{Body, Remote, RemoteError, or_help, plain};
use anyhow::Context;
use cotter_wire::ids::DeviceId;
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// Send commands to devices, see what came of them, take them back.
#[derive(clap::Subcommand)]
pub(super) enum Verb {
    Send(Send),
    List(List),
    Cancel(Cancel),
}

/// Queue a command for one device.
///
/// It has to be in the server's configuration (`[[commands]]`), with values that fit. The device executes it at most once,
/// and not after its time; `cotter fleet command list` shows what it says about it.
///
/// Example: cotter fleet command send solar-0001 open-valve percent=40 slowly=true --seconds 600
#[derive(clap::Args)]
pub(super) struct Send {
    /// Which device.
    device: DeviceId,
    /// What to do.
    command: String,
    /// A value: true, false and whole numbers as such, anything else as a text.
    #[arg(value_name = "NAME=VALUE", value_parser = value)]
    values: Vec<(String, Value)>,
    /// Values that are texts, whatever they look like.
    #[arg(long, value_name = "NAME=TEXT", value_parser = text)]
    text: Vec<(String, Value)>,
    /// From when on it must not be begun any more.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
}

/// Show the latest commands to a device, newest first.
///
/// Example: cotter fleet command list solar-0001
#[derive(clap::Args)]
pub(super) struct List {
    /// Which device.
    device: DeviceId,
}

/// Take a command back, if the device has not been given it.
///
/// Example: cotter fleet command cancel solar-0001 7
#[derive(clap::Args)]
pub(super) struct Cancel {
    /// Which device.
    device: DeviceId,
    /// The number that `send` printed.
    command: u32,
}

fn parts(text: &str) -> Result<(String, &str), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value))
}

fn text(argument: &str) -> Result<(String, Value), String> {
    parts(argument).map(|(name, value)| (name, value.into()))
}

fn value(argument: &str) -> Result<(String, Value), String> {
    let (name, value) = parts(argument)?;
    let number = value.parse::<i64>().ok().filter(|number| number.to_string() == value);
    let value = match (value, number) {
        ("true", _) => true.into(),
        ("false", _) => false.into(),
        (_, Some(number)) => number.into(),
        (text, None) => text.into(),
    };
    Ok((name, value))
}

pub(super) fn run(verb: &Verb, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    match verb {
        Verb::Send(args) => {
            let mut values = Map::new();
            for (name, value) in args.values.iter().chain(&args.text) {
                let before = values.insert(name.clone(), value.clone());
                before.is_none().then_some(()).with_context(|| format!("{name} is given twice"))?;
            }
            let wish = serde_json::json!({ "name": args.command, "values": values, "seconds": args.seconds });
            let sent = server.post::<Sent>(&path(&args.device), Body::json(&wish)?).map_err(with_help)?;
            output::value(&sent, format)?;
        }
        Verb::List(args) => output::value(&server.get::<Listed>(&path(&args.device))?, format)?,
        Verb::Cancel(Cancel { device, command }) => {
            server.ask(Method::DELETE, &format!("{}/{command}", path(device)), Body::None)?;
            output::value(&Gone { device: device.to_string(), cancelled: *command }, format)?;
        }
    }
    Ok(true)
}

fn with_help(error: anyhow::Error) -> anyhow::Error {
    let help = match RemoteError::reason(&error) {
        Some(reason) if reason.contains("command-unknown-device") => "`cotter fleet devices` lists who is enrolled",
        Some(reason) if reason.contains("command-") => {
            "[[commands]] in the server's configuration says what can be sent"
        }
        _ => return error,
    };
    or_help(error, help)
}

fn path(device: &DeviceId) -> String {
    format!("/admin/v1/devices/{device}/commands")
}

#[derive(Serialize, Deserialize)]
struct Sent {
    device: String,
    command: u32,
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Listed {
    device: String,
    commands: Vec<Command>,
}

#[derive(Serialize, Deserialize)]
struct Command {
    command: u32,
    name: String,
    values: Map<String, Value>,
    state: String,
    detail: String,
    queued_by: String,
    queued_at: Moment,
    expires: Moment,
    delivered_at: Option<Moment>,
    finished_at: Option<Moment>,
}

#[derive(Serialize)]
struct Gone {
    device: String,
    cancelled: u32,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command {} for {}: {}", self.command, plain(&self.device), plain(&self.name))
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.commands.is_empty() {
            return write!(f, "no commands to {}", plain(&self.device));
        }
        let mut table = output::table(["command", "", "queued", "by", "until", "state", ""]);
        for command in &self.commands {
            let value = |(name, value): (&String, &Value)| format!("{name}={value}");
            let values: Vec<String> = command.values.iter().map(value).collect();
            table.add_row([
                command.command.to_string(),
                plain(&format!("{} {}", command.name, values.join(" "))),
                command.queued_at.to_string(),
                plain(&command.queued_by),
                command.expires.to_string(),
                plain(&command.state),
                plain(&command.detail),
            ]);
        }
        write!(f, "{}", table.trim_fmt())
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command {} is taken back; {} never sees it", self.cancelled, plain(&self.device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_what_they_look_like_unless_they_are_called_texts() {
        let read = |text: &str| value(text).unwrap().1;
        assert_eq!(read("a=40"), json!(40));
        assert_eq!(read("a=-1"), json!(-1));
        assert_eq!((read("a=true"), read("a=false")), (json!(true), json!(false)));
        assert_eq!((read("a=007"), read("a="), read("a=1.5")), (json!("007"), json!(""), json!("1.5")));
        assert_eq!(text("a=40").unwrap(), ("a".to_owned(), json!("40")));
        assert_eq!(text("a=b=c").unwrap().1, json!("b=c"));
        assert!(value("40").is_err());
    }
}
