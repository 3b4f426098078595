//! `cotter image`: what the ROM and the second stage load, and the signatures that they check.

mod bootloader_digest;
mod build;
mod efuses;
mod encrypted;
mod info;
mod sign;
mod signatures;
mod v1;
mod verify;

use crate::output::{self, Format};
use anyhow::Context;
use clap::Subcommand;
use cotter_formats::chip::Chip;
pub(crate) use signatures::hex;

/// Build application and bootloader images, look into them, sign and verify them.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Decrypt(encrypted::DecryptArgs),
    Encrypt(encrypted::EncryptArgs),
    EncryptionKey(encrypted::EncryptionKeyArgs),
    BootloaderDigest(bootloader_digest::Args),
    Build(build::Args),
    Info(info::Args),
    Sign(sign::Args),
    Verify(verify::Args),
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    match &args.verb {
        Verb::Decrypt(args) => encrypted::run_decrypt(args, format),
        Verb::Encrypt(args) => encrypted::run_encrypt(args, format),
        Verb::EncryptionKey(args) => encrypted::run_encryption_key(args),
        Verb::BootloaderDigest(args) => bootloader_digest::run(args, format),
        Verb::Build(args) => build::run(args, format),
        Verb::Info(args) => info::run(args, format),
        Verb::Sign(args) => sign::run(args, format),
        Verb::Verify(args) => verify::run(args, format),
    }
}

/// Which Secure Boot.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Scheme {
    /// ESP32 only: one ECDSA P-256 signature of 68 bytes
    V1,
    /// Signature blocks in a sector of their own
    V2,
}

/// `--chip` as esptool spells it.
pub(crate) fn chip(name: &str) -> Result<Chip, String> {
    let names: Vec<&str> = Chip::ALL.iter().map(|chip| chip.name()).collect();
    Chip::from_name(name).ok_or_else(|| format!("not one of {}", names.join(", ")))
}

/// The chip that the image's header names.
fn chip_of(image: &[u8]) -> Option<Chip> {
    let id = image.get(12..14).filter(|_| image.first() == Some(&0xe9))?;
    Chip::from_image_chip_id(u16::from_le_bytes([id[0], id[1]]))
}

/// The chip named by `--chip`, else by the header.
pub(crate) fn chip_or_of(chip: Option<Chip>, image: &[u8]) -> anyhow::Result<Chip> {
    let found = chip.or_else(|| chip_of(image)).context("the file does not begin with an image header of a known chip");
    found.context(output::Help("name the chip with --chip if the file is no image"))
}
