//! `cotter ds`: parameters for the digital signature peripheral, made and tried.

mod check;
mod encrypt;

use crate::file::File;
use crate::output::{Format, Help};
use anyhow::Context;
use cotter_formats::chip::Chip;
use cotter_formats::ds::EfuseKeyId;
use cotter_formats::hmac_key::HmacKey;
use zeroize::Zeroizing;

/// Encrypt RSA keys for the digital signature peripheral, and check that it would sign.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Encrypt(encrypt::Args),
    Check(check::Args),
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    match &args.verb {
        Verb::Encrypt(args) => encrypt::run(args, format),
        Verb::Check(args) => check::run(args, format),
    }
}

/// A chip by its name.
pub(crate) fn chip(name: &str) -> anyhow::Result<Chip> {
    Chip::from_name(name).with_context(|| {
        let names: Vec<_> = Chip::ALL.iter().map(|chip| chip.name()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

/// A key block by its number.
pub(crate) fn key_block(text: &str) -> anyhow::Result<EfuseKeyId> {
    text.parse().ok().and_then(EfuseKeyId::new).context("expected 0 to 5, for BLOCK_KEY0 to BLOCK_KEY5")
}

/// Reads the 32 bytes of an HMAC key.
pub(crate) fn read_hmac_key(file: &File) -> anyhow::Result<HmacKey> {
    let bytes = Zeroizing::new(file.read()?);
    HmacKey::from_slice(&bytes)
        .with_context(|| format!("{file} is {} bytes, an HMAC key has 32", bytes.len()))
        .context(Help("it is raw bytes, as `cotter key generate hmac` and `cotter ds encrypt --hmac-key-out` write it"))
}
