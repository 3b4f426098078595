//! `cotter element token`: a device token, signed by the part.

use super::bus::OnBus;
use super::public_key::slot;
use crate::file::File;
use crate::moment::Moment;
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_device::atecc::SlotSigner;
use cotter_device::signer::token::token;
use cotter_factory::output::Visibility;
use cotter_formats::atecc::Slot;
use cotter_wire::ids::UnixTime;
use cotter_wire::token::{Claims, MAX_TOKEN};
use serde::Serialize;
use std::fmt;

/// Make a device token (JWT, ES256) with a private key in a slot: the password for the MQTT bridge.
///
/// It is made as a device makes it, from this machine's clock, and opens connections until it expires: whoever has it is the
/// device until then. The server must know the key: `cotter element public-key`, `cotter fleet device-key add`.
///
/// Examples:
///
///   cotter element token --bus /dev/i2c-1 --slot 0 --audience my-project -o device.token
///
///   mosquitto_pub -P "$(cotter element token --bus 127.0.0.1:6080 --slot 0 --audience my-project)" ...
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    bus: OnBus,
    /// Of the private key, 0 to 15.
    #[arg(long, value_parser = slot)]
    slot: Slot,
    /// Whom it is for: the project of the server's section [mqtt].
    #[arg(long, value_name = "PROJECT", value_parser = audience)]
    audience: String,
    /// For how long, up to a day.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Where to write it, `-` for stdout.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: File,
    /// Replace a file that exists.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    args.output.refuse_existing(args.force)?;
    let (mut element, part) = args.bus.open()?;
    let issued_at = Moment::now();
    let expires_at = Moment(issued_at.0.saturating_add(args.minutes * 60));
    let claims =
        Claims { audience: &args.audience, issued_at: UnixTime(issued_at.0), expires_at: UnixTime(expires_at.0) };
    let mut out = [0; MAX_TOKEN];
    let number = args.slot.number();
    let token = token(&mut SlotSigner::new(&mut element, &part, args.slot), &claims, &mut out)
        .with_context(|| format!("slot {number}"))
        .context(Help("its SlotConfig must let it sign what comes from outside, and the configuration be locked"))?;
    args.output.write_new(format!("{token}\n").as_bytes(), Visibility::Secret, args.force)?;
    if args.output != File::Standard {
        let audience = args.audience.clone();
        output::value(&Made { file: args.output.to_string(), slot: number, audience, expires_at }, format)?;
    }
    Ok(true)
}

fn audience(text: &str) -> Result<String, String> {
    if Claims::is_audience(text) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 128 printable ASCII characters without \" and \\".to_owned())
    }
}

#[derive(Serialize)]
struct Made {
    file: String,
    slot: u8,
    audience: String,
    expires_at: Moment,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, slot, audience, expires_at } = self;
        write!(f, "{file}: token for {audience} by slot {slot}, until {expires_at}")
    }
}
