//! `cotter key bootloader-key`: the Secure Boot V1 key of a reflashable bootloader, from the key that signs applications.

use super::KeyFile;
use crate::file::File;
use crate::output::{self, Format};
use clap::ValueEnum;
use cotter_factory::output::Visibility;
use serde::Serialize;
use std::fmt;

/// Derive the Secure Boot V1 bootloader key of an ESP32 from the private signing key (espsecure digest-private-key).
///
/// Whoever has it can make bootloaders that the chip boots, so it is as secret as the signing key. Devices that share a
/// signing key share this one too: give each device its own with `cotter key generate bootloader-digest256` instead.
///
/// Example: cotter key bootloader-key signing.pem -o bootloader.key
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    key: KeyFile,
    /// Bits of the key: 192 for a chip with 3/4 coding. (espsecure: --keylen)
    #[arg(long, visible_alias = "keylen", value_enum, default_value = "256")]
    bits: Bits,
    /// Where to write it, `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// Replace a file that exists.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Bits {
    #[value(name = "256")]
    Bits256,
    #[value(name = "192")]
    Bits192,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let private = super::private_key(&args.key.read()?, &args.key.password, &args.key.key)?;
    let key = private.bootloader_key()?;
    let bytes = match args.bits {
        Bits::Bits256 => &key.expose()[..],
        Bits::Bits192 => &key.expose()[..24],
    };
    args.output.write_new(bytes, Visibility::Secret, args.force)?;
    if args.output != File::Standard {
        output::value(&Derived { file: args.output.to_string(), bits: 8 * bytes.len() }, format)?;
    }
    Ok(true)
}

#[derive(Serialize)]
struct Derived {
    file: String,
    bits: usize,
}

impl fmt::Display for Derived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: Secure Boot V1 bootloader key, {} bits", self.file, self.bits)
    }
}
