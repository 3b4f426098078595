//! Backups from the command line, for both binaries that a host may have.

use crate::backup::custodian::{Custodians, Share};
use crate::backup::{self, BackupError, Restored};
use crate::key_file;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What can be done with backups.
#[derive(Subcommand)]
pub enum BackupCommand {
    /// Write everything that the server is (configuration, keys, database, artifacts) to one encrypted file
    ///
    /// Its key goes to the custodians, a file for each. The server may be running.
    #[command(after_help = "Example, any three of five custodians restore:\n  \
        cotter-server backup make --config cotter.toml --custodians 5 --threshold 3 --shares shares/ monday.backup")]
    Make(MakeArgs),
    /// Restore a backup in a place that is thrown away afterwards, and say what was in it: a drill
    #[command(
        after_help = "Example:\n  cotter-server backup check --share ana/share-1.txt --share bo/share-4.txt monday.backup"
    )]
    Check {
        /// Which one.
        #[command(flatten)]
        opened: OpenArgs,
    },
    /// Restore a backup into a new directory, from which a server can be started
    #[command(after_help = "Example:\n  cotter-server backup restore --share ana/share-1.txt --share bo/share-4.txt \
        --into /etc/cotter monday.backup\n  cotter-server serve --config /etc/cotter/cotter.toml")]
    Restore {
        /// Which one.
        #[command(flatten)]
        opened: OpenArgs,
        /// The directory; it must not exist.
        #[arg(long)]
        into: PathBuf,
    },
}

/// Of [`BackupCommand::Make`].
#[derive(Args)]
pub struct MakeArgs {
    /// The configuration file of the server.
    #[arg(long, default_value = "cotter.toml")]
    config: PathBuf,
    /// Among how many custodians the key is split.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    custodians: u8,
    /// How many of them are needed to restore; default: all.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..))]
    threshold: Option<u8>,
    /// Directory for the custodians' files, share-1.txt and so on; made if it is not there. Hand them out, and keep
    /// none beside the backup.
    #[arg(long)]
    shares: PathBuf,
    /// The backup; it must not exist.
    file: PathBuf,
}

/// A backup and who opens it.
#[derive(Args)]
pub struct OpenArgs {
    /// A custodian's file; repeat for more.
    #[arg(long = "share", required = true)]
    shares: Vec<PathBuf>,
    /// The backup.
    file: PathBuf,
}

impl BackupCommand {
    /// Does it.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn run(self) -> Result<BackupAnswer, BackupError> {
        match self {
            Self::Make(args) => args.make(),
            Self::Check { opened } => {
                Ok(BackupAnswer::opened("checked", backup::check(&opened.file, &opened.read()?)?))
            }
            Self::Restore { opened, into } => {
                Ok(BackupAnswer::opened("restored", backup::restore(&opened.file, &opened.read()?, &into)?))
            }
        }
    }
}

impl MakeArgs {
    fn make(self) -> Result<BackupAnswer, BackupError> {
        let threshold = self.threshold.unwrap_or(self.custodians);
        let custodians = Custodians::new(threshold, self.custodians)
            .ok_or(BackupError::Threshold { threshold, custodians: self.custodians })?;
        let mut files = Vec::new();
        let made = backup::make(&self.config, &self.file, custodians, |shares| {
            std::fs::create_dir_all(&self.shares)
                .map_err(|source| key_file::KeyFileError::Io { path: self.shares.clone(), source })?;
            let written = shares.iter().try_for_each(|share| {
                let path = self.shares.join(format!("share-{}.txt", share.number()));
                key_file::write_new(&path, Zeroizing::new(format!("{}\n", *share.reveal())).as_bytes())?;
                files.push(path);
                Ok(())
            });
            if written.is_err() {
                // Shares of a backup that will not be there.
                files.iter().for_each(|path| drop(std::fs::remove_file(path)));
            }
            written
        })?;
        Ok(BackupAnswer::Made { backup: made.id.to_string(), bytes: made.bytes, threshold, shares: files })
    }
}

impl OpenArgs {
    fn read(&self) -> Result<Vec<Share>, BackupError> {
        self.shares.iter().map(|path| read_share(path)).collect()
    }
}

fn read_share(path: &Path) -> Result<Share, BackupError> {
    let named = |source| BackupError::File { path: path.into(), source };
    let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(named)?;
    Share::parse(&text).map_err(|error| match error {
        BackupError::Share { why } => named(std::io::Error::other(why)),
        other => other,
    })
}

/// What to say about it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case", tag = "result")]
pub enum BackupAnswer {
    /// A backup was written.
    Made {
        /// Its id.
        backup: String,
        /// Length of the file.
        bytes: u64,
        /// How many custodians restore.
        threshold: u8,
        /// A file for each custodian.
        shares: Vec<PathBuf>,
    },
    /// One was opened and found whole.
    #[serde(rename = "whole")]
    Opened {
        /// What was done with it.
        done: &'static str,
        /// Its id.
        backup: String,
        /// Keys of devices and releases that the master key opens.
        sealed_keys: u64,
        /// Entries of the audit log, as signed.
        audit_entries: u64,
        /// Artifacts.
        artifacts: u64,
    },
}

impl BackupAnswer {
    fn opened(done: &'static str, Restored { id, sealed_keys, audit_entries, artifacts }: Restored) -> Self {
        Self::Opened { done, backup: id.to_string(), sealed_keys, audit_entries, artifacts }
    }
}

impl fmt::Display for BackupAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Made { backup, bytes, threshold, shares } => {
                writeln!(f, "backup {backup}: {bytes} bytes, restored by any {threshold} of {}", shares.len())?;
                shares.iter().try_for_each(|path| writeln!(f, "  {}", path.display()))?;
                write!(f, "hand each of these files to one custodian, and keep none beside the backup")
            }
            Self::Opened { done, backup, sealed_keys, audit_entries, artifacts } => write!(
                f,
                "backup {backup} {done}: whole; the master key opens all {sealed_keys} sealed keys, {audit_entries} \
                 audit entries as signed, {artifacts} artifacts"
            ),
        }
    }
}
