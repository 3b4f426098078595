//! `cotter key digest`, `digest-private` and `public`: what devices and other tools are told about a key.

use super::KeySource;
use crate::file::File;
use crate::image::{chip, hex};
use crate::output::{self, Format};
use anyhow::Context;
use clap::ValueEnum;
use cotter_factory::output::Visibility;
use cotter_factory::public_key::PublicKey;
use cotter_formats::chip::Chip;
use cotter_formats::secure_boot::v2::{Curve, Support, support};
use serde::Serialize;
use std::fmt;

/// The Secure Boot V2 digest of a key, as eFuses hold it.
///
/// Printed as hex; with --output, 32 bytes for `espefuse burn-key`. With --chip, a scheme that the chip does not verify
/// is refused, and for the ESP32-C2 the 16 bytes that its one key block has room for are told too.
///
/// Example: cotter key digest secure-boot.pem -o digest.bin
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    key: KeySource,
    /// The chip that is to trust the key.
    #[arg(long, value_parser = chip)]
    chip: Option<Chip>,
    /// Write the 32 bytes here, `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: Option<File>,
}

/// The symmetric key of Secure Boot V1 that follows from a private key: SHA-256 of the scalar (ESP32, reflashable).
///
/// As `espsecure digest-private-key`. It is as secret as the private key.
///
/// Example: cotter key digest-private secure-boot-v1.pem -o secure-boot-v1.bin
#[derive(clap::Args)]
pub(crate) struct PrivateArgs {
    #[command(flatten)]
    key: KeySource,
    /// How long: 192 for an ESP32 with 3/4 coding.
    #[arg(long, value_name = "BITS", default_value = "256")]
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
    All,
    #[value(name = "192")]
    Coded,
}

/// Take the public key out of a private one, as PEM.
///
/// Example: cotter key public secure-boot.pem -o secure-boot.pub.pem
#[derive(clap::Args)]
pub(crate) struct PublicArgs {
    #[command(flatten)]
    key: KeySource,
    /// As 64 bytes, x and y: what a bootloader with Secure Boot V1 is built with (P-256 only).
    #[arg(long)]
    raw: bool,
    /// Where to write it, `-` for stdout.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: File,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let (key, _) = args.key.public(&args.key.read()?)?;
    let digest = key.secure_boot_digest()?;
    if let Some(chip) = args.chip {
        let scheme = key.secure_boot()?.scheme();
        match support(chip, scheme) {
            Support::Yes | Support::Legacy => {}
            Support::Insecure => output::warning(format!(
                "ESP-IDF calls {scheme} on the {chip} insecure: it is \"not functional for certain input vectors\""
            )),
            Support::No => return Err(super::unverified(chip, scheme)),
        }
    }
    match &args.output {
        Some(file) => file.write(&digest, Visibility::Public)?,
        None => {
            let efuse_digest = (args.chip == Some(Chip::Esp32C2)).then(|| hex(&digest[..16]));
            output::value(&Digest { secure_boot_digest: hex(&digest), efuse_digest }, format)?;
        }
    }
    Ok(true)
}

pub(super) fn private(args: &PrivateArgs) -> anyhow::Result<bool> {
    let held = args.key.read()?;
    let (super::Held::Pem(pem) | super::Held::Raw(pem)) = &held else {
        anyhow::bail!("a key on a token does not leave it, and this digest is made of the private key itself");
    };
    let key = args.key.private(pem)?;
    let digest = key.secure_boot_v1_key().with_context(|| args.key.file().to_string())?;
    let len = match args.bits {
        Bits::All => 32,
        Bits::Coded => 24,
    };
    args.output.write_new(&digest[..len], Visibility::Secret, args.force)?;
    Ok(true)
}

pub(super) fn public(args: &PublicArgs) -> anyhow::Result<bool> {
    let (key, _) = args.key.public(&args.key.read()?)?;
    let bytes = match (&key, args.raw) {
        (PublicKey::Ecdsa(key), true) if key.curve() == Curve::P256 => key.point().to_vec(),
        (key, true) => anyhow::bail!("Secure Boot V1 knows ECDSA P-256 only, this is {}", key.kind()),
        (key, false) => key.to_pem()?.into_bytes(),
    };
    args.output.write(&bytes, Visibility::Public)?;
    Ok(true)
}

#[derive(Serialize)]
struct Digest {
    secure_boot_digest: String,
    /// What the eFuses of the ESP32-C2 have room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    efuse_digest: Option<String>,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.secure_boot_digest)?;
        match &self.efuse_digest {
            Some(short) => write!(f, "\nin the eFuses of the esp32c2, the first 16 bytes: {short}"),
            None => Ok(()),
        }
    }
}
