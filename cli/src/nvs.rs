//! `cotter nvs`: NVS partitions from CSV files, read, checked, encrypted and decrypted.

mod batch;
mod build;
mod crypt;
mod keys;
mod show;

pub(crate) use build::folder;

use crate::output::Format;
use anyhow::Context;
use clap::ValueEnum;
use cotter_factory::nvs::table::Habits;
use cotter_formats::addr::FlashLen;
use cotter_formats::nvs::page;

/// Build, read, check, encrypt and decrypt NVS partitions.
#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    Build(build::Args),
    Batch(batch::Args),
    Show(show::Args),
    Check(show::CheckArgs),
    Encrypt(crypt::Args),
    Decrypt(crypt::Args),
    #[command(subcommand)]
    Keys(keys::Verb),
}

pub(crate) fn run(verb: &Verb, format: Format) -> anyhow::Result<bool> {
    match verb {
        Verb::Build(args) => build::run(args, format),
        Verb::Batch(args) => batch::run(args, format),
        Verb::Show(args) => show::run(args, format),
        Verb::Check(args) => show::check(args, format),
        Verb::Encrypt(args) => crypt::run(args, crypt::Direction::Encrypt, format),
        Verb::Decrypt(args) => crypt::run(args, crypt::Direction::Decrypt, format),
        Verb::Keys(verb) => keys::run(verb, format),
    }
}

/// What a partition is to be, however many are made.
#[derive(clap::Args)]
struct Shape {
    /// Size of the partition, a multiple of 4096. Below 0x3000 it can only be mounted read-only.
    #[arg(long, value_name = "BYTES", value_parser = size)]
    size: FlashLen,
    /// Format: 2 has blobs that span pages, 1 has not.
    #[arg(long, default_value = "2")]
    version: Version,
    /// Add what the Wi-Fi driver derives from sta.* and ap.* keys, as Espressif's generator always does.
    #[arg(long)]
    wifi_extras: bool,
    /// Give the bytes of esp_idf_nvs_partition_gen 0.3.0 even where it errs: after a repeated namespace row, values go to
    /// the namespace created last. Implies --wifi-extras.
    #[arg(long)]
    generator_quirks: bool,
}

impl Shape {
    fn version(&self) -> page::Version {
        match self.version {
            Version::V1 => page::Version::V1,
            Version::V2 => page::Version::V2,
        }
    }

    fn habits(&self) -> Habits {
        Habits { generator_quirks: self.generator_quirks, wifi_extras: self.wifi_extras }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Version {
    #[value(name = "1")]
    V1,
    #[value(name = "2")]
    V2,
}

fn size(text: &str) -> anyhow::Result<FlashLen> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    Ok(FlashLen(number.context("expected a number of bytes such as 0x6000")?))
}
