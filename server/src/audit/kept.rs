//! The checkpoint beside the database. Who puts an older database in its place, or another one, is found out when the
//! server starts: a log never signs two histories.

use super::checkpoint::{Checkpoint, CheckpointError};
use super::line::Line;
use super::note::NoteKey;
use super::tree::Frontier;
use crate::store::{Store, StoreError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The file.
#[derive(Debug, Clone)]
pub struct KeptCheckpoint {
    path: PathBuf,
}

impl KeptCheckpoint {
    /// In the server's data directory.
    #[must_use]
    pub fn beside(data: &Path) -> Self {
        Self { path: data.join("audit.checkpoint") }
    }

    /// Proves that the store's log continues what the file says, then renews the file.
    ///
    /// # Errors
    /// [`KeptError`]: the server must not go on with this log.
    pub async fn resume(&self, store: &dyn Store, key: &NoteKey) -> Result<(), KeptError> {
        match self.read()? {
            // Seen by the store when it was written: its log has only grown since.
            Some(note) if note == store.kept_checkpoint().await? => {}
            Some(note) => continues(store, &Checkpoint::open(&note, key)?).await?,
            None if store.kept_checkpoint().await?.is_empty() => {}
            None => tracing::error!(path = %self.path.display(), "the audit log's checkpoint was removed"),
        }
        self.renew(store).await
    }

    /// Writes the present checkpoint.
    ///
    /// # Errors
    /// [`KeptError::Io`], [`KeptError::Store`].
    pub async fn renew(&self, store: &dyn Store) -> Result<(), KeptError> {
        let note = store.audit_checkpoint().await?;
        if note == store.kept_checkpoint().await? && self.path.exists() {
            return Ok(());
        }
        self.write(&note).map_err(|source| self.io(source))?;
        // For whoever collects the logs: a copy that this host cannot take back.
        tracing::info!(checkpoint = note, "audit log");
        Ok(store.keep_checkpoint(note).await?)
    }

    fn read(&self) -> Result<Option<String>, KeptError> {
        let file = match std::fs::File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|source| self.io(source))?,
        };
        let mut note = String::new();
        file.take(LONGEST).read_to_string(&mut note).map_err(|source| self.io(source))?;
        Ok(Some(note))
    }

    fn write(&self, note: &str) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(note.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        std::fs::File::open(directory)?.sync_all()
    }

    fn io(&self, source: io::Error) -> KeptError {
        KeptError::Io { path: self.path.clone(), source }
    }
}

/// Reads as much of the log as the checkpoint covers.
async fn continues(store: &dyn Store, kept: &Checkpoint) -> Result<(), KeptError> {
    let mut log = Frontier::default();
    while log.size() < kept.size {
        let missing = usize::try_from(kept.size - log.size()).unwrap_or(usize::MAX).min(PAGE);
        let lines = store.audit_lines(log.size(), missing).await?;
        if lines.is_empty() {
            return Err(KeptError::RolledBack { now: log.size(), before: kept.size });
        }
        lines.iter().for_each(|line| log.push(Line::leaf_of(line)));
    }
    if log.root() == kept.root { Ok(()) } else { Err(KeptError::Forked { size: kept.size }) }
}

/// Lines in memory at once.
const PAGE: usize = 4096;
/// More than a checkpoint needs.
const LONGEST: u64 = 1 << 17;

/// Why the server does not go on with a log.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The database is older than the file.
    #[error(
        "audit log: the database has {now} entries, but {before} were signed: it was replaced by an older one. \
         Bring back the newer one, or remove audit.checkpoint: who kept a later checkpoint will see the gap"
    )]
    RolledBack {
        /// That are there.
        now: u64,
        /// That were signed.
        before: u64,
    },
    /// The database holds another history.
    #[error(
        "audit log: the first {size} entries in the database are not those that were signed. `cotter audit export` and \
         `cotter audit verify` say where; remove audit.checkpoint to go on all the same: who kept a checkpoint will see it"
    )]
    Forked {
        /// That were signed.
        size: u64,
    },
    /// The file is no checkpoint of this log.
    #[error("audit log: audit.checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The file.
    #[error("audit log: {path}: {source}", path = path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests {
    use super::super::note::NoteSigner;
    use super::*;
    use crate::store::AuditEntry;
    use crate::store::sqlite::SqliteStore;
    use cotter_formats::secret::Secret;

    fn signer() -> NoteSigner {
        NoteSigner::new(&Secret::filled_by(|seed| *seed = [5; 32])).unwrap()
    }

    async fn append(store: &SqliteStore, detail: &str) {
        let entry =
            AuditEntry { at: 1, by: String::new(), subject: String::new(), event: "e".into(), detail: detail.into() };
        store.append_audit(entry).await.unwrap();
    }

    #[tokio::test]
    async fn an_older_or_another_database_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, key) = (directory.path().join("a.db"), signer().key().clone());
        let kept = KeptCheckpoint::beside(directory.path());
        let open = || SqliteStore::open(&path, signer()).unwrap();

        let store = open();
        kept.resume(&store, &key).await.unwrap();
        append(&store, "first").await;
        kept.renew(&store).await.unwrap();
        drop(store);
        std::fs::copy(&path, directory.path().join("old.db")).unwrap();

        let store = open();
        kept.resume(&store, &key).await.unwrap();
        append(&store, "second").await;
        kept.renew(&store).await.unwrap();
        // The power goes between the file and the database: the log is read instead.
        store.keep_checkpoint(String::new()).await.unwrap();
        kept.resume(&store, &key).await.unwrap();
        drop(store);

        std::fs::copy(directory.path().join("old.db"), &path).unwrap();
        let store = open();
        let error = kept.resume(&store, &key).await.unwrap_err();
        assert!(matches!(error, KeptError::RolledBack { now: 1, before: 2 }), "{error}");
        append(&store, "another second").await;
        let error = kept.resume(&store, &key).await.unwrap_err();
        assert!(matches!(error, KeptError::Forked { size: 2 }), "{error}");
    }
}
