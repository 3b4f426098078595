//! Encrypted artifacts as files: written once, durably, and read in chunks.

use crate::lru::Lru;
use cotter_wire::ids::ReleaseId;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A directory with one file per release.
pub struct Artifacts {
    directory: PathBuf,
    open: Mutex<Lru<ReleaseId, Arc<File>>>,
    digests: Mutex<Lru<ReleaseId, [u8; 32]>>,
}

impl Artifacts {
    /// Uses `directory`, which is made if it is not there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let (open, digests) = (Mutex::new(Lru::new(MOST_OPEN)), Mutex::new(Lru::new(MOST_DIGESTS)));
        Ok(Self { directory: directory.into(), open, digests })
    }

    /// Writes the artifact of a release. After an interruption it is there whole or not at all; the same release
    /// again replaces it with the same bytes.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, release: ReleaseId, content: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(self.path(release)).map_err(|refused| refused.error)?;
        File::open(&self.directory)?.sync_all()?;
        self.cache().remove(&release);
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).remove(&release);
        Ok(())
    }

    /// Removes the artifact of a release that was refused after all.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove(&self, release: ReleaseId) -> io::Result<()> {
        self.cache().remove(&release);
        std::fs::remove_file(self.path(release))
    }

    /// Chunk number `index` of an artifact of `total` bytes; the last one may be shorter. `None` beyond the end.
    ///
    /// # Errors
    /// What the file system says; `UnexpectedEof` if the file is shorter than `total`.
    pub fn chunk(&self, release: ReleaseId, index: u32, chunk_size: usize, total: u32) -> io::Result<Option<Vec<u8>>> {
        let start = u64::from(index) * chunk_size as u64;
        let Some(rest) = u64::from(total).checked_sub(start).filter(|rest| *rest > 0) else { return Ok(None) };
        let mut chunk = vec![0; usize::try_from(rest).map_or(chunk_size, |rest| rest.min(chunk_size))];
        self.file(release)?.read_exact_at(&mut chunk, start)?;
        Ok(Some(chunk))
    }

    /// `length` bytes of an artifact from `start` on, which are there.
    ///
    /// # Errors
    /// What the file system says; `UnexpectedEof` if the file is shorter.
    pub fn piece(&self, release: ReleaseId, start: u64, length: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut piece = vec![0; length];
        self.file(release)?.read_exact_at(&mut piece, start)?;
        Ok(piece)
    }

    /// SHA-256 of an artifact, read piece by piece; remembered.
    ///
    /// # Errors
    /// What the file system says.
    pub fn digest(&self, release: ReleaseId) -> io::Result<[u8; 32]> {
        if let Some(digest) = self.digests.lock().unwrap_or_else(PoisonError::into_inner).touch(&release) {
            return Ok(*digest);
        }
        let (file, mut hash, mut at) = (self.file(release)?, Sha256::new(), 0);
        let mut piece = vec![0; 1 << 16];
        loop {
            let length = file.read_at(&mut piece, at)?;
            if length == 0 {
                break;
            }
            hash.update(&piece[..length]);
            at += length as u64;
        }
        let digest = hash.finalize().into();
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).insert(release, digest);
        Ok(digest)
    }

    fn file(&self, release: ReleaseId) -> io::Result<Arc<File>> {
        if let Some(file) = self.cache().touch(&release) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(File::open(self.path(release))?);
        self.cache().insert(release, Arc::clone(&file));
        Ok(file)
    }

    fn path(&self, release: ReleaseId) -> PathBuf {
        self.directory.join(format!("{release}.bin"))
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Lru<ReleaseId, Arc<File>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const MOST_OPEN: usize = 16;
const MOST_DIGESTS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_make_up_the_artifact_and_end_where_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(&directory.path().join("artifacts")).unwrap();
        let release = ReleaseId([1; 32]);
        let content: Vec<u8> = (0..5_000_u32).flat_map(u32::to_le_bytes).take(5_008).collect();
        artifacts.write(release, &content).unwrap();
        let chunk = |index| artifacts.chunk(release, index, 2_048, 5_008).unwrap();
        assert_eq!([chunk(0), chunk(1), chunk(2)].map(Option::unwrap).concat(), content);
        assert_eq!(chunk(2).unwrap().len(), 912);
        assert_eq!((chunk(3), chunk(u32::MAX)), (None, None));
    }

    #[test]
    fn a_whole_number_of_chunks_has_no_empty_one_behind() {
        let directory = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(directory.path()).unwrap();
        artifacts.write(ReleaseId([1; 32]), &[7; 4_096]).unwrap();
        assert_eq!(artifacts.chunk(ReleaseId([1; 32]), 1, 2_048, 4_096).unwrap().unwrap().len(), 2_048);
        assert_eq!(artifacts.chunk(ReleaseId([1; 32]), 2, 2_048, 4_096).unwrap(), None);
    }

    #[test]
    fn a_missing_or_short_file_is_an_error_not_an_empty_answer() {
        let directory = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(directory.path()).unwrap();
        let missing = artifacts.chunk(ReleaseId([2; 32]), 0, 2_048, 4_096).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        artifacts.write(ReleaseId([2; 32]), &[7; 100]).unwrap();
        let short = artifacts.chunk(ReleaseId([2; 32]), 0, 2_048, 4_096).unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
    }
}
