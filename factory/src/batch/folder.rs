//! The folder of a batch: locked while one is at work, each device renamed into it whole, an index at the end.

use super::device::{DeviceError, Made, Mode, Recipe};
use super::list::{Device, DeviceList, ListError};
use crate::hex::hex;
use crate::output::{Visibility, write_whole_with};
use crate::signing::{SigningError, random};
use cotter_formats::nvs::csv::write_record;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A batch at work on its folder. Dropping it lets the next one in.
pub struct Batch<'a> {
    recipe: &'a Recipe,
    folder: PathBuf,
    /// Tells this run's devices from those that were there.
    run: String,
    ca: String,
    _lock: File,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Devices made now.
    pub made: usize,
    /// Devices that were there.
    pub kept: usize,
}

/// What `device.json` says, and a row of the index.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    id: String,
    chip: String,
    mode: String,
    key: String,
    certificate_sha256: String,
    ca_sha256: String,
    burn: Vec<BurnRecord>,
    files: Vec<String>,
    run: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct BurnRecord {
    block: String,
    purpose: String,
    file: String,
}

const RECORD: &str = "device.json";
const LOCK: &str = ".cotter-batch.lock";
const UNFINISHED: &str = ".cotter-device-";

impl<'a> Batch<'a> {
    /// Takes the folder, making it if it is missing, and removes what a run that was killed left unfinished.
    ///
    /// # Errors
    /// [`BatchError::Busy`] while another batch works there, I/O.
    pub fn open(folder: &Path, recipe: &'a Recipe) -> Result<Self, BatchError> {
        fs::create_dir_all(folder)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(folder.join(LOCK))?;
        if lock.try_lock().is_err() {
            return Err(BatchError::Busy { folder: folder.into() });
        }
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let mut run = [0; 16];
        random(&mut run)?;
        let ca = hex(&Sha256::digest(recipe.ca.certificate_der()));
        Ok(Self { recipe, folder: folder.into(), run: hex(&run), ca, _lock: lock })
    }

    /// Makes every device of the list that is not there yet, on all cores, and then writes `index.csv`. `done` is told how
    /// many are finished. The first error ends it; what is finished stays.
    ///
    /// # Errors
    /// [`BatchError`].
    pub fn run(&self, list: &DeviceList, done: impl Fn(usize) + Sync) -> Result<Summary, BatchError> {
        let devices = Mutex::new(list.devices()?);
        let (made, kept, failed) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let worker = || -> Result<(), BatchError> {
            loop {
                let next = devices.lock().map_err(|_| BatchError::Worker)?.next();
                let Some(device) = next.filter(|_| !failed.load(Ordering::Relaxed)) else { return Ok(()) };
                let outcome = device.map_err(BatchError::from).and_then(|device| self.device(&device));
                let counter = match outcome {
                    Ok(true) => &made,
                    Ok(false) => &kept,
                    Err(refused) => {
                        failed.store(true, Ordering::Relaxed);
                        return Err(refused);
                    }
                };
                counter.fetch_add(1, Ordering::Relaxed);
                done(made.load(Ordering::Relaxed) + kept.load(Ordering::Relaxed));
            }
        };
        // Some of the time is spent waiting for the disk.
        let threads = 1 + std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().unwrap_or(Err(BatchError::Worker)))
        })?;
        self.index(list)?;
        Ok(Summary { made: made.into_inner(), kept: kept.into_inner() })
    }

    /// True if the device was made, false if it was there.
    fn device(&self, device: &Device) -> Result<bool, BatchError> {
        let path = self.folder.join(&device.id);
        if path.exists() {
            let record = self.record(&device.id)?;
            let same = record.chip == self.recipe.chip.name()
                && record.mode == mode(self.recipe.mode)
                && record.ca_sha256 == self.ca;
            return match (same, record.run == self.run) {
                (_, true) => Err(BatchError::Twice { id: device.id.as_str().into() }),
                (false, _) => Err(BatchError::Otherwise { id: device.id.as_str().into() }),
                (true, false) => Ok(false),
            };
        }
        let failed = |why| BatchError::Device { id: device.id.as_str().into(), why: Box::new(why) };
        let made = self.recipe.make(device).map_err(failed)?;
        self.write(&device.id, &made, &path)?;
        Ok(true)
    }

    fn write(&self, id: &str, made: &Made, path: &Path) -> Result<(), BatchError> {
        let record = Record {
            id: id.to_owned(),
            chip: self.recipe.chip.name().to_owned(),
            mode: mode(self.recipe.mode),
            key: made.key.to_string(),
            certificate_sha256: hex(&Sha256::digest(&made.certificate)),
            ca_sha256: self.ca.clone(),
            burn: made
                .burns
                .iter()
                .map(|burn| BurnRecord {
                    block: burn.block.to_string(),
                    purpose: burn.purpose.to_owned(),
                    file: burn.file_name(),
                })
                .collect(),
            files: made.files.iter().map(|file| file.name.clone()).collect(),
            run: self.run.clone(),
        };
        let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&self.folder)?;
        fs::set_permissions(unfinished.path(), Permissions::from_mode(0o700))?;
        let write = |name: &str, secret: bool, bytes: &[u8]| -> io::Result<()> {
            let mode = if secret { 0o600 } else { 0o644 };
            let mut file =
                OpenOptions::new().create_new(true).write(true).mode(mode).open(unfinished.path().join(name))?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        for file in &made.files {
            write(&file.name, file.secret, &file.bytes)?;
        }
        write(RECORD, false, &serde_json::to_vec_pretty(&record).map_err(io::Error::from)?)?;
        File::open(unfinished.path())?.sync_all()?;
        // Another thread may have made a device of this id meanwhile: a folder with files is never replaced.
        fs::rename(unfinished.path(), path).map_err(|error| match error.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => BatchError::Twice { id: id.into() },
            _ => error.into(),
        })?;
        let _ = unfinished.keep();
        File::open(&self.folder)?.sync_all()?;
        Ok(())
    }

    fn record(&self, id: &str) -> Result<Record, BatchError> {
        let path = self.folder.join(id).join(RECORD);
        let read = fs::read(&path).and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::from));
        read.map_err(|error| BatchError::Record { path, error })
    }

    /// One row per device, in the order of the list.
    fn index(&self, list: &DeviceList) -> Result<(), BatchError> {
        write_whole_with(&self.folder.join("index.csv"), Visibility::Public, |file| {
            let mut out = io::BufWriter::new(file);
            let mut row = String::new();
            write_record(&mut row, ["id", "chip", "mode", "key", "certificate_sha256", "burn"]);
            for device in list.devices()? {
                let record = self.record(&device?.id)?;
                let burn: Vec<_> =
                    record.burn.iter().map(|burn| format!("{} {} {}", burn.block, burn.file, burn.purpose)).collect();
                let burn = burn.join("; ");
                let Record { id, chip, mode, key, certificate_sha256, .. } = &record;
                write_record(&mut row, [id, chip, mode, key, certificate_sha256, &burn].map(String::as_str));
                out.write_all(row.as_bytes())?;
                row.clear();
            }
            Ok(out.flush()?)
        })
    }
}

fn mode(mode: Mode) -> String {
    match mode {
        Mode::Ds(bits) => format!("ds-rsa{bits}"),
        Mode::EcdsaPeripheral => "ecdsa-peripheral".to_owned(),
        Mode::HmacDerived => "hmac-derived".to_owned(),
        Mode::HmacEncrypted => "hmac-encrypted".to_owned(),
    }
}

/// Why a batch ended early.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum BatchError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    List(#[from] ListError),
    #[error(transparent)]
    Random(#[from] SigningError),
    #[error("another batch is at work in {}", folder.display())]
    Busy { folder: PathBuf },
    #[error("device {id:?}: {why}")]
    Device {
        id: Box<str>,
        #[source]
        why: Box<DeviceError>,
    },
    #[error("device {id:?} is in the list twice")]
    Twice { id: Box<str> },
    #[error("device {id:?} is there already, but of another chip, mode or CA")]
    Otherwise { id: Box<str> },
    #[error("{}: {error}", path.display())]
    Record { path: PathBuf, error: io::Error },
    #[error("a worker died")]
    Worker,
}
