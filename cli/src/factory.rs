//! `cotter factory`: many devices at once.

use crate::ds::{chip, key_block};
use crate::file::File;
use crate::key::{Password, read_private_key};
use crate::nvs::folder;
use crate::output::{self, Format, Help};
use anyhow::Context;
use clap::ValueEnum;
use cotter_factory::batch::{Batch, DeviceList, Mode, NvsScheme, Recipe};
use cotter_factory::pki::{self, ProductCa, Validity};
use cotter_formats::addr::FlashLen;
use cotter_formats::chip::Chip;
use cotter_formats::ds::EfuseKeyId;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Make what many devices carry.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Batch(BatchArgs),
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    match &args.verb {
        Verb::Batch(args) => batch(args, format),
    }
}

/// Make a key, a certificate, an esp_secure_cert partition and an encrypted NVS partition for each of many devices.
///
/// Each device gets a folder of its own with device.pem, esp_secure_cert.bin, nvs.bin, the keys to burn as `espefuse
/// burn-key` takes them, and device.json, which says what is to be burned where; index.csv lists them all. A batch that was
/// stopped goes on where it was: devices whose folder is there are kept, and a folder is there whole or not at all.
/// Private keys are random and exist nowhere else, so burn first and ask later.
///
/// Example: cotter factory batch --chip esp32c3 --ca ca.pem --ca-key ca.key.pem --count 1000 --prefix meter- -o batch
#[derive(clap::Args)]
struct BatchArgs {
    /// The chip.
    #[arg(long, value_parser = chip)]
    chip: Chip,
    /// How the devices keep their private keys.
    #[arg(long, default_value = "ds")]
    mode: KeyMode,
    /// Length of RSA keys for the digital signature peripheral.
    #[arg(long, value_name = "BITS", default_value = "2048", value_parser = ["2048", "3072", "4096"])]
    rsa_bits: String,
    /// The CA's certificate, which the devices carry too.
    #[arg(long, value_name = "PEM")]
    ca: File,
    /// The CA's private key.
    #[arg(long, value_name = "PEM")]
    ca_key: File,
    #[command(flatten)]
    password: Password,
    /// Days for which the certificates are valid.
    #[arg(long, default_value = "3650")]
    days: u32,
    /// So many devices.
    #[arg(long, conflicts_with = "devices", required_unless_present = "devices")]
    count: Option<usize>,
    /// What the ids of counted devices begin with.
    #[arg(long, default_value = "device-")]
    prefix: String,
    /// The devices: a CSV file with a header.
    #[arg(long, value_name = "CSV")]
    devices: Option<PathBuf>,
    /// The column with the ids.
    #[arg(long, value_name = "COLUMN", default_value = "id")]
    id_column: String,
    /// The key block for the private key.
    #[arg(long, value_name = "0..5", value_parser = key_block, default_value = "1")]
    key_block: EfuseKeyId,
    /// What goes into NVS: a CSV file for `cotter nvs build`, with {id} and {COLUMN} for what the list of devices says.
    #[arg(long, value_name = "CSV")]
    nvs: Option<File>,
    /// Size of the NVS partition.
    #[arg(long, value_name = "BYTES", value_parser = size, default_value = "0x4000")]
    nvs_size: FlashLen,
    /// How the devices keep the keys of their NVS.
    #[arg(long, default_value = "flash-encryption")]
    nvs_scheme: Scheme,
    /// The key block for the HMAC key of NVS.
    #[arg(long, value_name = "0..5", value_parser = key_block, default_value = "2")]
    nvs_key_block: EfuseKeyId,
    /// The folder that gets a folder per device, and index.csv.
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum KeyMode {
    /// RSA, for the digital signature peripheral.
    Ds,
    /// P-256, in a key block for the ECDSA peripheral.
    EcdsaPeripheral,
    /// P-256, derived by the chip from its HMAC key and a salt.
    HmacDerived,
    /// P-256, encrypted under a key that the chip derives from its HMAC key.
    HmacEncrypted,
}

#[derive(Clone, Copy, ValueEnum)]
enum Scheme {
    /// In an nvs_keys partition, which flash encryption protects.
    FlashEncryption,
    /// Derived from an HMAC key in a key block.
    Hmac,
}

fn size(text: &str) -> anyhow::Result<FlashLen> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    Ok(FlashLen(number.context("expected a number of bytes such as 0x4000")?))
}

#[derive(Serialize)]
struct Report {
    output: String,
    devices: usize,
    made: usize,
    kept: usize,
    seconds: f64,
    devices_per_second: f64,
    index: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { output, made, kept, seconds, devices_per_second, index, .. } = self;
        write!(f, "{output}: {made} devices made in {seconds:.2} s ({devices_per_second:.1} per second)")?;
        if *kept > 0 {
            write!(f, ", {kept} were there")?;
        }
        write!(f, "\n{index}")
    }
}

fn batch(args: &BatchArgs, format: Format) -> anyhow::Result<bool> {
    let key = read_private_key(&args.ca_key, &args.password)?;
    let ca = ProductCa::load(&args.ca.read()?, key).with_context(|| args.ca.to_string())?;
    let template = args.nvs.as_ref().map(File::read).transpose()?;
    let template = template.map(String::from_utf8).transpose().context("the NVS template is not UTF-8")?;
    let recipe = Recipe {
        chip: args.chip,
        ca,
        validity: Validity::days(pki::now()?, args.days)?,
        mode: match args.mode {
            KeyMode::Ds => Mode::Ds(args.rsa_bits.parse()?),
            KeyMode::EcdsaPeripheral => Mode::EcdsaPeripheral,
            KeyMode::HmacDerived => Mode::HmacDerived,
            KeyMode::HmacEncrypted => Mode::HmacEncrypted,
        },
        block: args.key_block,
        nvs_scheme: match args.nvs_scheme {
            Scheme::FlashEncryption => NvsScheme::FlashEncryption,
            Scheme::Hmac => NvsScheme::Hmac(args.nvs_key_block),
        },
        nvs_size: args.nvs_size,
        nvs_template: template,
        nvs_folder: args.nvs.as_ref().map_or_else(|| Path::new("").into(), folder),
    };
    let list = match (&args.devices, args.count) {
        (Some(path), _) => DeviceList::Csv { path: path.clone(), id_column: args.id_column.clone() },
        (None, count) => DeviceList::Counted { prefix: args.prefix.clone(), count: count.unwrap_or_default() },
    };
    // One device first, in memory: what is wrong with all of them is told before anything is written.
    if let Some(device) = list.devices()?.next() {
        recipe.make(&device?)?;
    }
    let batch = Batch::open(&args.output, &recipe)?;
    let start = Instant::now();
    let told = AtomicUsize::new(0);
    let summary = batch.run(&list, |done| {
        // A line every ten seconds or so, whatever the rate.
        let seconds = start.elapsed().as_secs();
        let line = usize::try_from(seconds / 10).unwrap_or(usize::MAX);
        if told.fetch_max(line, Ordering::Relaxed) < line {
            #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
            let rate = done as f64 / start.elapsed().as_secs_f64();
            output::progress(format_args!("{done} devices, {rate:.1} per second"), format);
        }
    });
    let summary = summary.context(Help("devices that are finished stay; the same command goes on with the rest"))?;
    let seconds = start.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let devices_per_second = summary.made as f64 / seconds.max(1e-9);
    let report = Report {
        output: args.output.display().to_string(),
        devices: summary.made + summary.kept,
        made: summary.made,
        kept: summary.kept,
        seconds,
        devices_per_second,
        index: args.output.join("index.csv").display().to_string(),
    };
    output::value(&report, format)?;
    Ok(true)
}
