//! A backup: everything that a server is, in one encrypted file, whose key is in the hands of custodians.
//!
//! Inside are the configuration, the master key (wherever it comes from), every secret file that the configuration names,
//! the database as it was at one moment, and the encrypted artifacts. Making one does not stop the server. Restoring one puts a whole directory in place, or nothing;
//! what it has put there it has checked: the database's structure, its audit log against the signed checkpoint, and
//! that the master key opens every sealed key.
//!
//! What no backup brings back: readings accepted after it. Devices go on from their own nonces, which are higher. The
//! audit log goes on from the backup, so that whoever kept a later checkpoint sees the gap, as it should be.

mod archive;
pub mod container;
pub mod custodian;

use crate::at_rest::MasterKey;
use crate::audit::checkpoint::Checkpoint;
use crate::audit::note::NoteSigner;
use crate::config::{Config, ConfigError};
use crate::host::{self, HostError};
use crate::key_file::{self, KeyFileError};
use crate::master::{self, MasterError};
use crate::occupied::{Occupied, OccupiedError};
use crate::store::StoreError;
use crate::store::sqlite::snapshot;
use archive::Part;
use container::{HEADER, Header, Opener, Sealer};
use cotter_wire::ids::ReleaseId;
use custodian::{BackupId, Custodians, Share};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempDir};

/// A backup that was written.
pub struct Made {
    /// Which one.
    pub id: BackupId,
    /// Length of the file.
    pub bytes: u64,
    /// One for each custodian: without enough of them the file is worth nothing.
    pub shares: Vec<Share>,
}

/// A backup that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Which one.
    pub id: BackupId,
    /// Sealed keys in it, all of which the master key opens.
    pub sealed_keys: u64,
    /// Entries of the audit log.
    pub audit_entries: u64,
    /// Encrypted artifacts.
    pub artifacts: u64,
}

/// Writes a backup of the server with the configuration file `config` to `to`, which must not exist. `keep` puts the
/// shares where they are safe; if it fails, no backup is there either.
///
/// # Errors
/// [`BackupError`].
pub fn make(
    config: &Path,
    to: &Path,
    custodians: Custodians,
    keep: impl FnOnce(&[Share]) -> Result<(), KeyFileError>,
) -> Result<Made, BackupError> {
    let text = std::fs::read(config).map_err(BackupError::Read)?;
    let mut configuration = Config::read(config)?;
    let _occupied = Occupied::among_others(&configuration.data)?;
    let store = host::open(&configuration)?;
    let master = key_file::spelled(&master::in_use(&configuration.keys, &store)?);
    let work = private_place(&configuration.data)?;
    let moment = work.path().join(DATABASE);
    snapshot::copy(&configuration.data.join(DATABASE), &moment)?;
    // Artifacts are listed after the database was copied: each release that it knows has one.
    let artifacts = artifacts(&configuration.data.join(ARTIFACTS))?;

    let secret = key_file::random_key()?;
    let header = Header { id: BackupId(random_id()?), custodians };
    let shares = custodian::split(&secret, header.id, custodians)?;
    let mut file = NamedTempFile::new_in(parent(to)).map_err(BackupError::Write)?;
    let mut sealer = Sealer::new(BufWriter::new(file.as_file_mut()), &header, &secret)?;
    archive::write(&mut sealer, &Part::Configuration, text.len() as u64, &mut &text[..])?;
    // Wherever it comes from, so that custodians are enough: no token, and no environment that was lost with the host.
    archive::write(&mut sealer, &Part::File(MASTER_KEY.to_owned()), master.len() as u64, &mut &master[..])?;
    for (key, path) in configuration.files() {
        write_file(&mut sealer, Part::File(key), path)?;
    }
    write_file(&mut sealer, Part::Database, &moment)?;
    for (release, path) in artifacts {
        write_file(&mut sealer, Part::Artifact(release), &path)?;
    }
    archive::finish(sealer)?.flush().map_err(BackupError::Write)?;
    file.as_file().sync_all().map_err(BackupError::Write)?;
    let bytes = file.as_file().metadata().map_err(BackupError::Read)?.len();
    keep(&shares)?;
    file.persist_noclobber(to).map_err(|refused| BackupError::Write(refused.error))?;
    sync(parent(to))?;
    let detail = format!("any {} of {} custodians restore it", custodians.threshold(), custodians.count());
    host::append_audit(&store, "backup-made", header.id.to_string(), detail)?;
    Ok(Made { id: header.id, bytes, shares })
}

/// Puts a backup into the directory `into`, which must not exist: a server can be started from it.
///
/// # Errors
/// [`BackupError`]; then nothing is there.
pub fn restore(file: &Path, shares: &[Share], into: &Path) -> Result<Restored, BackupError> {
    if into.exists() {
        return Err(BackupError::Write(io::ErrorKind::AlreadyExists.into()));
    }
    let work = private_place(parent(into))?;
    let restored = open(file, shares, work.path())?;
    let store = host::open(&Config::read(&work.path().join(CONFIGURATION))?)?;
    host::append_audit(&store, "backup-restored", restored.id.to_string(), String::new())?;
    drop(store);
    std::fs::rename(work.path(), into).map_err(BackupError::Write)?;
    // It is not there any more under this name.
    let _ = work.keep();
    sync(parent(into))?;
    Ok(restored)
}

/// Does all that [`restore`] does, beside `file`, and leaves nothing behind: a drill.
///
/// # Errors
/// [`BackupError`].
pub fn check(file: &Path, shares: &[Share]) -> Result<Restored, BackupError> {
    let work = private_place(parent(file))?;
    open(file, shares, work.path())
}

/// Unpacks a backup into an empty directory and checks what came out.
fn open(file: &Path, shares: &[Share], into: &Path) -> Result<Restored, BackupError> {
    let mut file = BufReader::new(File::open(file).map_err(BackupError::Read)?);
    let mut header = Vec::with_capacity(HEADER);
    file.by_ref().take(HEADER as u64).read_to_end(&mut header).map_err(BackupError::Read)?;
    let header = Header::parse(&header)?;
    let secret = custodian::combine(shares, header.id, header.custodians)?;
    let mut opener = Opener::new(file, &header, &secret)?;

    let mut text = Vec::new();
    match archive::next(&mut opener)? {
        Some((Part::Configuration, length)) if length <= LONGEST_CONFIGURATION => {
            archive::copy(&mut opener, length, &mut text)?;
        }
        _ => return Err(BackupError::Damaged),
    }
    let text = String::from_utf8(text).map_err(|_| BackupError::Damaged)?;
    let mut table: toml::Table = toml::from_str(&text).map_err(|_| BackupError::Damaged)?;
    table.insert("data".into(), ".".into());
    if let Some(keys) = table.get_mut("keys").and_then(toml::Value::as_table_mut) {
        keys.remove("next_master");
    }

    make_directory(&into.join(ARTIFACTS))?;
    let mut artifacts = 0;
    while let Some((part, length)) = archive::next(&mut opener)? {
        let name = match part {
            Part::Configuration => return Err(BackupError::Damaged),
            Part::Database => PathBuf::from(DATABASE),
            Part::Artifact(release) => {
                artifacts += 1;
                Path::new(ARTIFACTS).join(format!("{release}.bin"))
            }
            Part::File(key) => {
                let name = key.replace('.', "-");
                set(&mut table, &key, &name).ok_or(BackupError::Damaged)?;
                PathBuf::from(name)
            }
        };
        // A part that comes twice is refused here.
        let mut to = create_new(&into.join(name))?;
        archive::copy(&mut opener, length, &mut to)?;
        to.sync_all().map_err(BackupError::Write)?;
    }
    let config = into.join(CONFIGURATION);
    let mut to = create_new(&config)?;
    to.write_all(table.to_string().as_bytes()).and_then(|()| to.sync_all()).map_err(BackupError::Write)?;

    // Nothing of it is believed to be a server before this.
    let configuration = Config::read(&config)?;
    let master = MasterKey::new(&configuration.keys.master.load()?);
    let audit = NoteSigner::new(&key_file::read(&configuration.keys.audit)?).map_err(HostError::AuditKey)?;
    let mut sealed_keys = 0;
    let (checkpoint, log) = snapshot::check(&into.join(DATABASE), |usage, subject, sealed| {
        sealed_keys += 1;
        master.open(usage, subject, sealed).is_ok()
    })?;
    let signed = Checkpoint::open(&checkpoint, audit.key()).map_err(|_| BackupError::AuditLog)?;
    if (signed.size, signed.root) != (log.size(), log.root()) {
        return Err(BackupError::AuditLog);
    }
    // What the restored server continues.
    let mut kept = create_new(&into.join(CHECKPOINT))?;
    kept.write_all(checkpoint.as_bytes()).and_then(|()| kept.sync_all()).map_err(BackupError::Write)?;
    sync(&into.join(ARTIFACTS))?;
    sync(into)?;
    Ok(Restored { id: header.id, sealed_keys, audit_entries: signed.size, artifacts })
}

/// Sets a key such as `keys.master` or `firmware.manifest_keys.0`, which must be there.
fn set(table: &mut toml::Table, key: &str, to: &str) -> Option<()> {
    let mut words = key.split('.');
    let mut value = table.get_mut(words.next()?)?;
    for word in words {
        value = match value {
            toml::Value::Table(table) => table.get_mut(word)?,
            toml::Value::Array(list) => list.get_mut(word.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    *value = to.into();
    Some(())
}

fn write_file<W: Write>(sealer: &mut Sealer<W>, part: Part, path: &Path) -> Result<(), BackupError> {
    let named = |source| BackupError::File { path: path.into(), source };
    let mut file = File::open(path).map_err(named)?;
    let length = file.metadata().map_err(named)?.len();
    archive::write(sealer, &part, length, &mut file)
}

/// Every artifact in the directory; it may not be there yet.
fn artifacts(directory: &Path) -> Result<Vec<(ReleaseId, PathBuf)>, BackupError> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(BackupError::Read)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(BackupError::Read)?.path();
        // What else is there is being written.
        let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".bin"));
        if let Some(release) = name.and_then(|name| name.parse().ok()) {
            found.push((release, path));
        }
    }
    Ok(found)
}

fn random_id() -> Result<[u8; 16], BackupError> {
    let mut id = [0; 16];
    aws_lc_rs::rand::fill(&mut id).map_err(|_| KeyFileError::NoRandomness)?;
    Ok(id)
}

fn create_new(path: &Path) -> Result<File, BackupError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(BackupError::Write)
}

/// A directory for ourselves alone, which goes away with the value.
fn private_place(within: &Path) -> Result<TempDir, BackupError> {
    let mode = std::fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().permissions(mode).tempdir_in(within).map_err(BackupError::Write)
}

fn make_directory(path: &Path) -> Result<(), BackupError> {
    std::fs::DirBuilder::new().mode(0o700).create(path).map_err(BackupError::Write)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync(directory: &Path) -> Result<(), BackupError> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(BackupError::Write)
}

const CONFIGURATION: &str = "cotter.toml";
const MASTER_KEY: &str = "keys.master";
const DATABASE: &str = "cotter.db";
const ARTIFACTS: &str = "artifacts";
const CHECKPOINT: &str = "audit.checkpoint";
const LONGEST_CONFIGURATION: u64 = 1 << 20;

/// Why there is no backup, or why one does not open.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The configuration of the server, or the restored one.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A secret file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The master key.
    #[error(transparent)]
    Master(#[from] MasterError),
    /// The data directory is in other hands.
    #[error(transparent)]
    Occupied(#[from] OccupiedError),
    /// The audit log of the server.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file that the configuration names.
    #[error("backup: {path}: {source}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Reading failed.
    #[error("backup: reading: {0}")]
    Read(#[source] io::Error),
    /// Writing failed, or something is there already.
    #[error("backup: writing: {0}")]
    Write(#[source] io::Error),
    /// More than one key may encrypt.
    #[error("backup: too large")]
    TooLarge,
    /// The key could not be split.
    #[error("backup: the key cannot be split among {} custodians", custodians.count())]
    Split {
        /// As asked for.
        custodians: Custodians,
    },
    /// More are needed than there are.
    #[error("backup: {threshold} of {custodians} custodians: there are not so many")]
    Threshold {
        /// That would restore.
        threshold: u8,
        /// That there are.
        custodians: u8,
    },
    /// Not a custodian's line.
    #[error("share: {why}")]
    Share {
        /// What is wrong with it.
        why: &'static str,
    },
    /// A custodian brought the share of another backup.
    #[error("share {number} belongs to the backup {backup}, not to this one")]
    OtherBackup {
        /// Which custodian's.
        number: u8,
        /// Where it belongs.
        backup: BackupId,
    },
    /// One share was given twice.
    #[error("share {number} was given twice")]
    ShareTwice {
        /// Which custodian's.
        number: u8,
    },
    /// More custodians are needed.
    #[error("{needed} custodians are needed, {given} gave their share")]
    TooFewShares {
        /// To restore.
        needed: u8,
        /// That are there.
        given: usize,
    },
    /// Some other file.
    #[error("not a backup of a server")]
    NotABackup,
    /// The first chunk does not open.
    #[error("backup: it does not open: a share is wrong, or its beginning was changed")]
    WrongKey,
    /// A later chunk does not open, or what is in it is not a backup.
    #[error("backup: damaged: it was changed or cut off")]
    Damaged,
    /// What is in the database is not what was signed.
    #[error("backup: its audit log is not the one that its checkpoint covers")]
    AuditLog,
}

#[cfg(test)]
mod tests;
