//! `cotter nvs encrypt` and `decrypt`: whole partitions.

use super::keys::KeyArgs;
use crate::file::File;
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_factory::output::Visibility;
use cotter_formats::nvs::partition::inspect;
use cotter_formats::nvs::whole::{decrypt_partition, encrypt_partition};
use serde::Serialize;
use std::fmt;
use zeroize::Zeroizing;

/// Encrypt a plain partition, or decrypt an encrypted one, entry by entry.
///
/// What was deleted but not yet overwritten is converted with the rest. A partition whose plain side has a fault is refused:
/// the keys are wrong, or it is encrypted already, or damaged (`cotter nvs check` says where).
///
/// Example: cotter nvs decrypt --keys nvs_keys.bin -o plain.bin nvs.bin
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["keys", "hmac_key"]))]
pub(crate) struct Args {
    #[command(flatten)]
    keys: KeyArgs,
    /// Go on although the plain side has faults.
    #[arg(long)]
    force: bool,
    /// Where the result goes, mode 0600; `-` is stdout, and then no report is printed.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// The partition; `-` is stdin.
    #[arg(value_name = "IN")]
    input: File,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Encrypt,
    Decrypt,
}

#[derive(Serialize)]
struct Report {
    output: String,
    entries: usize,
    faults: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} entries converted, {} faults", self.output, self.entries, self.faults)
    }
}

pub(crate) fn run(args: &Args, direction: Direction, format: Format) -> anyhow::Result<bool> {
    let keys = args.keys.read()?.context("no keys")?;
    let mut bytes = Zeroizing::new(args.input.read()?);
    let before = || format!("{}", args.input);
    let (entries, contents) = match direction {
        Direction::Encrypt => {
            let contents = inspect(&bytes, None).with_context(before)?;
            (encrypt_partition(&keys, &mut bytes)?, contents)
        }
        Direction::Decrypt => {
            let entries = decrypt_partition(&keys, &mut bytes).with_context(before)?;
            (entries, inspect(&bytes, None)?)
        }
    };
    if let Some(fault) = contents.faults.first().filter(|_| !args.force) {
        let help = match direction {
            Direction::Encrypt => "is it encrypted already? --force encrypts it all the same",
            Direction::Decrypt => "are these its keys? --force writes what they give",
        };
        let place = super::show::place(fault);
        return Err(anyhow::anyhow!("{}: {} faults, first {place}: {}", args.input, contents.faults.len(), fault.kind))
            .context(Help(help));
    }
    args.output.write(&bytes, Visibility::Secret)?;
    if args.output != File::Standard {
        output::value(&Report { output: args.output.to_string(), entries, faults: contents.faults.len() }, format)?;
    }
    Ok(true)
}
