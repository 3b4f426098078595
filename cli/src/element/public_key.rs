//! `cotter element public-key`: the public half of a private key in a slot.

use super::bus::{Driver, OnBus};
use crate::file::File;
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_device::atecc::Error;
use cotter_device::atecc::command::key::{GetPublicKey, KeyPlace};
use cotter_factory::output::Visibility;
use cotter_factory::public_key::PublicKey;
use cotter_formats::atecc::Slot;
use cotter_formats::secure_boot::v2::{Curve, EcdsaPublicKey};
use serde::Serialize;
use std::fmt;

/// Write the public key of a private key in a slot as PEM.
///
/// It is computed by the part from the private key, which it never tells. Anybody on the bus could have answered: take it
/// where you trust the wires.
///
/// Example: cotter element public-key --bus 127.0.0.1:6080 --slot 0 -o device.pub.pem
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    bus: OnBus,
    /// 0 to 15.
    #[arg(long, value_parser = slot)]
    slot: Slot,
    /// Where to write it, `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// Replace a file that exists.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    args.output.refuse_existing(args.force)?;
    let (mut element, _) = args.bus.open()?;
    let number = args.slot.number();
    let key = public_key(&mut element, args.slot)?;
    args.output.write_new(key.to_pem()?.as_bytes(), Visibility::Public, args.force)?;
    if args.output != File::Standard {
        output::value(&Written { slot: number, file: args.output.to_string() }, format)?;
    }
    Ok(true)
}

/// Of the private key in a slot.
pub(super) fn public_key(element: &mut Driver, slot: Slot) -> anyhow::Result<PublicKey> {
    let number = slot.number();
    let key = element.run(GetPublicKey(KeyPlace::Slot(slot))).map_err(|error| {
        let refused = matches!(error, Error::Execution);
        let error = anyhow::Error::new(error).context(format!("slot {number}"));
        let help = Help("there is no private key in it, or it may not tell its public key: `cotter element show`");
        if refused { error.context(help) } else { error }
    })?;
    let key = EcdsaPublicKey::from_sec1(Curve::P256, &key.to_sec1());
    Ok(PublicKey::Ecdsa(key.with_context(|| format!("slot {number}: the answer is no point of P-256"))?))
}

#[derive(Serialize)]
struct Written {
    slot: u8,
    file: String,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the public key of slot {}", self.file, self.slot)
    }
}

pub(super) fn slot(text: &str) -> Result<Slot, String> {
    text.parse().ok().and_then(Slot::new).ok_or_else(|| "expected 0 to 15".to_owned())
}
