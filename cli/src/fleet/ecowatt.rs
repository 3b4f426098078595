//! `cotter fleet ecowatt`: devices of the insecure compatibility profile.

use crate::file::File;
use crate::moment::Moment;
use crate::output::{self, Format};
use crate::remote::{Body, Remote, escaped, plain};
use anyhow::Context;
use cotter_factory::output::Visibility;
use cotter_server::ecowatt::EcowattName;
use cotter_server::key_file;
use hyper::Method;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Switch on, list and switch off devices that speak EcoWatt's packet. Insecure: see docs/ecowatt.md.
#[derive(clap::Subcommand)]
pub(super) enum Verb {
    Add(Add),
    /// List the devices that are switched on, with the last nonce of each.
    List,
    Remove(Remove),
}

/// Switch one device on. Its readings are not encrypted end to end, and names and answers are not signed.
///
/// The server makes a key for it, which is in the file that is written here and nowhere else; or bring one that the device
/// already has. The server must have the profile in its configuration (`[ecowatt]`).
///
/// Example: cotter fleet ecowatt add ESP32_001 -o ESP32_001.key
#[derive(clap::Args)]
pub(super) struct Add {
    /// Its name, as in the path of its uploads.
    name: EcowattName,
    /// Where to write the key, `-` for stdout.
    #[arg(short, long, value_name = "FILE", required_unless_present = "key_file", conflicts_with = "key_file")]
    output: Option<File>,
    /// The device's key: 64 hexadecimal digits in a file of mode 600.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The nonce that its first upload must be above; default: what the firmware begins with.
    #[arg(long, value_name = "NONCE")]
    nonce_floor: Option<u32>,
    /// Replace a file that exists.
    #[arg(long)]
    force: bool,
}

/// Switch one device off at once. Its key is deleted, and no device gets it again.
///
/// Example: cotter fleet ecowatt remove ESP32_001
#[derive(clap::Args)]
pub(super) struct Remove {
    /// Its name.
    name: EcowattName,
}

pub(super) fn run(verb: &Verb, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    match verb {
        Verb::Add(args) => add(args, server, format)?,
        Verb::List => output::value(&server.get::<Devices>(ECOWATT)?, format)?,
        Verb::Remove(Remove { name }) => {
            server.ask(Method::DELETE, &format!("{ECOWATT}/{}", escaped(name.as_str())), Body::None)?;
            output::value(&Removed { removed: name.to_string() }, format)?;
        }
    }
    Ok(true)
}

fn add(args: &Add, server: &mut Remote, format: Format) -> anyhow::Result<()> {
    if let Some(output) = &args.output {
        output.refuse_existing(args.force)?;
    }
    let mut wish = serde_json::Map::from_iter([("name".to_owned(), args.name.as_str().into())]);
    wish.extend(args.nonce_floor.map(|floor| ("nonce_floor".to_owned(), floor.into())));
    if let Some(path) = &args.key_file {
        let key = key_file::spelled(&key_file::read(path)?);
        wish.insert("key".to_owned(), std::str::from_utf8(&key[..64])?.into());
    }
    let Made { name, key } = server.post(ECOWATT, Body::json(&wish)?)?;
    let file = match &args.output {
        Some(output) => {
            let key = Zeroizing::new(key.context("the server has sent no key")?);
            output.write_new(Zeroizing::new(format!("{}\n", *key)).as_bytes(), Visibility::Secret, args.force)?;
            if *output == File::Standard {
                return Ok(());
            }
            Some(output.to_string())
        }
        None => None,
    };
    output::value(&Added { name, file }, format)
}

/// Where these devices are.
const ECOWATT: &str = "/admin/v1/ecowatt";

#[derive(Deserialize)]
struct Made {
    name: String,
    key: Option<String>,
}

#[derive(Serialize)]
struct Added {
    name: String,
    file: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Devices {
    ecowatt: Vec<Device>,
}

#[derive(Serialize, Deserialize)]
struct Device {
    name: String,
    added_at: Moment,
    last_nonce: u32,
}

#[derive(Serialize)]
struct Removed {
    removed: String,
}

impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            writeln!(f, "{file}: the key of {}", plain(&self.name))?;
        }
        write!(f, "the insecure EcoWatt profile is on for {}", plain(&self.name))
    }
}

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ecowatt.is_empty() {
            return write!(f, "the EcoWatt profile is on for no device");
        }
        let mut table = output::table(["name", "on since", "last nonce"]);
        for Device { name, added_at, last_nonce } in &self.ecowatt {
            table.add_row([plain(name), added_at.to_string(), last_nonce.to_string()]);
        }
        write!(f, "{}", table.trim_fmt())
    }
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the EcoWatt profile is off for {}", plain(&self.removed))
    }
}
