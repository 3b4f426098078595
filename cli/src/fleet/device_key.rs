//! `cotter fleet device-key`: whose tokens the MQTT bridge believes.

use crate::file::File;
use crate::moment::Moment;
use crate::output::{self, Format, Help};
use crate::remote::{Body, Remote, or_help, plain};
use anyhow::Context;
use cotter_server::device_key::{DeviceKey, DeviceKeyError, KeyFormat};
use cotter_wire::ids::{DeviceId, KeyId};
use hyper::Method;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Register, list and remove the public keys that a device signs its tokens with.
///
/// A device may have three that have not expired, so that a new one counts before the old one is taken away. A key is of one
/// device only: a token names none.
#[derive(clap::Subcommand)]
pub(super) enum Verb {
    Add(Add),
    List(List),
    Remove(Remove),
}

/// Register a public key of a device: P-256 (ES256), or RSA of 2048 to 4096 bits (RS256).
///
/// Of a certificate only the key counts, not what it says about names and times. A private key is refused here, before it
/// leaves this machine.
///
/// Example: cotter fleet device-key add solar-0001 solar-0001.pub.pem --days 400
#[derive(clap::Args)]
pub(super) struct Add {
    /// Whose.
    device: DeviceId,
    /// One PEM block, PUBLIC KEY or CERTIFICATE.
    key: File,
    /// For how long it counts; without it, until it is removed.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    days: Option<u32>,
}

/// List the public keys of a device, oldest first, expired ones included.
///
/// Example: cotter fleet device-key list solar-0001
#[derive(clap::Args)]
pub(super) struct List {
    /// Whose.
    device: DeviceId,
}

/// Take a public key away from a device: it opens no connection any more.
///
/// Example: cotter fleet device-key remove solar-0001 0123456789abcdef
#[derive(clap::Args)]
pub(super) struct Remove {
    /// Whose.
    device: DeviceId,
    /// Which, as `list` shows it.
    key: KeyId,
}

pub(super) fn run(verb: &Verb, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    match verb {
        Verb::Add(args) => add(args, server, format)?,
        Verb::List(List { device }) => output::value(&server.get::<Keys>(&path(device)).map_err(unknown)?, format)?,
        Verb::Remove(Remove { device, key }) => {
            server.ask(Method::DELETE, &format!("{}/{key}", path(device)), Body::None).map_err(unknown)?;
            output::value(&Removed { device: device.to_string(), removed: key.to_string() }, format)?;
        }
    }
    Ok(true)
}

fn add(args: &Add, server: &mut Remote, format: Format) -> anyhow::Result<()> {
    let pem = args.key.read()?;
    let kind = kind(&pem).with_context(|| args.key.to_string());
    let kind = kind.context(Help("name the public half: `openssl pkey -in KEY -pubout` prints it"))?;
    let expires_at = args.days.map(|days| Moment(Moment::now().0.saturating_add(u64::from(days) * 86_400)));
    let pem = std::str::from_utf8(&pem)?;
    let wish = serde_json::json!({ "format": kind.as_str(), "pem": pem, "expires_at": expires_at });
    let key = server.post::<Key>(&path(&args.device), Body::json(&wish)?).map_err(unknown)?;
    output::value(&Added { device: args.device.to_string(), key }, format)
}

/// Which of the four it is.
fn kind(pem: &[u8]) -> Result<KeyFormat, DeviceKeyError> {
    let mut why = DeviceKeyError::Pem;
    for format in KeyFormat::ALL {
        match DeviceKey::from_pem(format, pem) {
            Ok(_) => return Ok(format),
            // Says that it is another one.
            Err(DeviceKeyError::Label { .. } | DeviceKeyError::OtherAlgorithm { .. }) => {}
            Err(other) => why = other,
        }
    }
    Err(why)
}

fn path(device: &DeviceId) -> String {
    format!("/admin/v1/devices/{device}/keys")
}

fn unknown(error: anyhow::Error) -> anyhow::Error {
    or_help(error, "`cotter fleet devices` lists the devices, `cotter fleet device-key list` their keys")
}

#[derive(Serialize, Deserialize)]
struct Keys {
    device: String,
    keys: Vec<Key>,
}

#[derive(Serialize, Deserialize)]
struct Key {
    key: String,
    algorithm: String,
    expires_at: Option<Moment>,
}

#[derive(Serialize)]
struct Added {
    device: String,
    #[serde(flatten)]
    key: Key,
}

#[derive(Serialize)]
struct Removed {
    device: String,
    removed: String,
}

impl Key {
    fn end(&self) -> String {
        match self.expires_at {
            None => "until it is removed".to_owned(),
            Some(at) if at <= Moment::now() => format!("expired {at}"),
            Some(at) => format!("until {at}"),
        }
    }
}

impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, key } = self;
        write!(f, "{device} signs with {}, {}, {}", plain(&key.key), plain(&key.algorithm), key.end())
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.keys.is_empty() {
            return write!(f, "{} has no keys", plain(&self.device));
        }
        let mut table = output::table(["key", "algorithm", "valid"]);
        for key in &self.keys {
            table.add_row([plain(&key.key), plain(&key.algorithm), key.end()]);
        }
        write!(f, "{}", table.trim_fmt())
    }
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} signs no more with {}", self.device, self.removed)
    }
}
