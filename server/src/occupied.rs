//! Who works in the data directory: servers and backups side by side, or one who changes everything, alone.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A place in the data directory, until it is dropped or the process ends, however it ends.
pub(crate) struct Occupied {
    locked: File,
}

impl Occupied {
    /// Beside others of this kind.
    pub(crate) fn among_others(data: &Path) -> Result<Self, OccupiedError> {
        Self::take(data, File::try_lock_shared)
    }

    /// With nobody else there.
    pub(crate) fn alone(data: &Path) -> Result<Self, OccupiedError> {
        Self::take(data, File::try_lock)
    }

    fn take(data: &Path, lock: impl FnOnce(&File) -> Result<(), TryLockError>) -> Result<Self, OccupiedError> {
        let path = data.join("cotter.lock");
        let unusable = |source| OccupiedError::File { path: path.clone(), source };
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(unusable)?;
        match lock(&file) {
            Ok(()) => Ok(Self { locked: file }),
            Err(TryLockError::WouldBlock) => Err(OccupiedError::Taken { data: data.into() }),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        // Closing is not enough: a process that is just being started still has a copy of the file until it has become
        // another program, and the lock lasts as long as any copy. If this fails, closing has to do.
        let _ = self.locked.unlock();
    }
}

/// Why there is no place.
#[derive(Debug, thiserror::Error)]
pub enum OccupiedError {
    /// Somebody works there who does not go along with this.
    #[error("data directory {data} is in use: a server or a backup runs, or secrets are sealed anew", data = data.display())]
    Taken {
        /// Which directory.
        data: PathBuf,
    },
    /// The lock file cannot be used.
    #[error("lock file {path}: {source}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_or_one() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        let (one, two) = (Occupied::among_others(data).unwrap(), Occupied::among_others(data).unwrap());
        assert!(matches!(Occupied::alone(data), Err(OccupiedError::Taken { .. })));
        drop((one, two));
        let alone = Occupied::alone(data).unwrap();
        assert!(matches!(Occupied::among_others(data), Err(OccupiedError::Taken { .. })));
        // As a child has it between fork and exec.
        let copy = alone.locked.try_clone().unwrap();
        drop(alone);
        Occupied::among_others(data).unwrap();
        drop(copy);
    }
}
