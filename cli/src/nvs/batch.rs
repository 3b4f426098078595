//! `cotter nvs batch`: a partition for each of many devices, each with fresh keys.

use super::Shape;
use super::build::{folder, warn};
use super::keys::partition;
use crate::file::File;
use crate::output::{self, Format, Help};
use anyhow::Context;
use clap::ValueEnum;
use cotter_factory::nvs::Batch;
use cotter_factory::nvs::batch::Device;
use cotter_factory::nvs::keys::{HmacUpKey, generate};
use cotter_factory::output::{Visibility, write_whole};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;
use zeroize::Zeroizing;

/// Build a partition for each device of a CSV file of values, each encrypted under fresh keys of its own.
///
/// The template has rows key,type,encoding[,REPEAT] without a header; the values have a column for each key. Written are
/// csv/PREFIX-ID.csv, bin/PREFIX-ID.bin and keys/keys-PREFIX-ID.bin, for their owner only. Nothing is written
/// unless every device can be built.
///
/// Example: cotter nvs batch --size 0x4000 --prefix dev --file-id serial -o out template.csv values.csv
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    shape: Shape,
    /// Column that gives the files their names; without it they are numbered from 1.
    #[arg(long, value_name = "COLUMN")]
    file_id: Option<String>,
    /// What the names of all files begin with.
    #[arg(long, default_value = "device", value_parser = prefix)]
    prefix: String,
    /// How the keys are protected on the device.
    #[arg(long, default_value = "flash-encryption")]
    scheme: Scheme,
    /// Replace files that exist. The keys in them are then gone.
    #[arg(long)]
    force: bool,
    /// The folder that gets the folders csv, bin and keys.
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// The template.
    template: File,
    /// The values.
    values: File,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scheme {
    /// Keys in an nvs_keys partition, which flash encryption protects.
    FlashEncryption,
    /// Keys derived from an HMAC_UP eFuse key, written as keys/hmac-keys-PREFIX-ID.bin too.
    Hmac,
    /// No encryption.
    None,
}

fn prefix(text: &str) -> anyhow::Result<String> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    anyhow::ensure!(
        !text.is_empty() && text.len() <= 100 && !text.starts_with('.') && text.bytes().all(safe),
        "expected letters, digits, '-', '_', '.'"
    );
    Ok(text.to_owned())
}

#[derive(Serialize)]
struct Report {
    output: String,
    devices: usize,
    seconds: f64,
    devices_per_second: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { output, devices, seconds, devices_per_second } = self;
        write!(f, "{output}: {devices} devices in {seconds:.2} s ({devices_per_second:.0} per second)")
    }
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let (template, values) = (Zeroizing::new(args.template.read()?), Zeroizing::new(args.values.read()?));
    let batch = Batch::parse(&template, &values, args.file_id.as_deref())?;
    let base = std::path::absolute(folder(&args.values).join("."))?;
    let devices = batch.devices();
    let factory = Factory { args, batch: &batch, base: &base };
    let table = factory.table(&devices[0])?;
    warn(&table, &args.shape);
    for device in devices.iter().filter(|_| !args.force) {
        for path in factory.paths(device) {
            if path.exists() {
                return Err(anyhow::anyhow!("{} exists", path.display()))
                    .context(Help("name another folder, or say --force to replace the files and their keys"));
            }
        }
    }
    on_all_cores(devices, |device| factory.table(device).map(drop), |_| ())?;
    let start = Instant::now();
    let step = devices.len().div_ceil(10).max(1);
    on_all_cores(
        devices,
        |device| factory.make(device),
        |done| {
            if done % step == 0 && devices.len() > 10 {
                output::progress(format_args!("{done} of {} devices", devices.len()), format);
            }
        },
    )?;
    let seconds = start.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let devices_per_second = devices.len() as f64 / seconds.max(1e-9);
    let output = args.output.display().to_string();
    output::value(&Report { output, devices: devices.len(), seconds, devices_per_second }, format)?;
    Ok(true)
}

struct Factory<'a> {
    args: &'a Args,
    batch: &'a Batch<'a>,
    base: &'a Path,
}

impl Factory<'_> {
    fn table(&self, device: &Device<'_>) -> anyhow::Result<cotter_factory::nvs::Table> {
        let shape = &self.args.shape;
        let table = self.batch.table(device, (shape.size, shape.version(), shape.habits()), self.base);
        table.with_context(|| format!("{}, device {}", self.args.values, device.id))
    }

    /// CSV, image, keys, HMAC key.
    fn paths(&self, device: &Device<'_>) -> [PathBuf; 4] {
        let name = format!("{}-{}", self.args.prefix, device.id);
        let output = &self.args.output;
        [
            output.join(format!("csv/{name}.csv")),
            output.join(format!("bin/{name}.bin")),
            output.join(format!("keys/keys-{name}.bin")),
            output.join(format!("keys/hmac-keys-{name}.bin")),
        ]
    }

    fn make(&self, device: &Device<'_>) -> anyhow::Result<()> {
        let [csv, bin, keys_path, hmac_path] = self.paths(device);
        let write = |path: &Path, bytes: &[u8]| {
            write_whole(path, bytes, Visibility::Secret).with_context(|| format!("cannot write {}", path.display()))
        };
        let image = self.table(device)?.into_image();
        let keys = match self.args.scheme {
            Scheme::FlashEncryption => Some(generate()?),
            Scheme::Hmac => {
                let key = HmacUpKey::generate()?;
                write(&hmac_path, key.expose())?;
                Some(key.nvs_keys())
            }
            Scheme::None => None,
        };
        // The keys first: a partition that nobody can read is worse than keys without one.
        if let Some(keys) = &keys {
            write(&keys_path, &partition(keys)[..])?;
        }
        let bytes = Zeroizing::new(match &keys {
            Some(keys) => image.finish_encrypted(keys),
            None => image.finish(),
        });
        write(&bin, &bytes)?;
        write(&csv, self.batch.csv(device, self.base).as_bytes())
    }
}

/// Does `work` for each device, and ends with the first error. `done` gets the count of those that are done.
fn on_all_cores(
    devices: &[Device<'_>],
    work: impl Fn(&Device<'_>) -> anyhow::Result<()> + Sync,
    done: impl Fn(usize) + Sync,
) -> anyhow::Result<()> {
    let (next, finished, failed) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    // Twice the cores: half of the time is spent waiting for the disk.
    let threads = 2 * std::thread::available_parallelism().map_or(1, usize::from);
    let worker = || {
        while !failed.load(Ordering::Relaxed) {
            let Some(device) = devices.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            work(device).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            done(finished.fetch_add(1, Ordering::Relaxed) + 1);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a worker died"))))
    })
}
