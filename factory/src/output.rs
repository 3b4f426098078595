//! Files written whole or not at all; secrets readable by their owner only.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Who may read what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Mode 0644.
    Public,
    /// Mode 0600, from the first byte on: the temporary file already has it.
    Secret,
}

/// Writes `bytes` to `path` through a temporary file in the same folder, synced and then renamed over it.
///
/// # Errors
/// Any I/O error; `path` then still holds what it held before.
pub fn write_whole(path: &Path, bytes: &[u8], visibility: Visibility) -> io::Result<()> {
    write_whole_with(path, visibility, |file| file.write_all(bytes))
}

/// As [`write_whole`], with the bytes that `produce` writes, piece by piece.
///
/// # Errors
/// Any I/O error and whatever `produce` returns; `path` then still holds what it held before.
pub fn write_whole_with<T, E: From<io::Error>>(
    path: &Path,
    visibility: Visibility,
    produce: impl FnOnce(&mut File) -> Result<T, E>,
) -> Result<T, E> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut temporary = tempfile::Builder::new().prefix(".cotter-").tempfile_in(folder)?;
    if visibility == Visibility::Public {
        temporary.as_file().set_permissions(Permissions::from_mode(0o644))?;
    }
    let produced = produce(temporary.as_file_mut())?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|refused| refused.error)?;
    File::open(folder)?.sync_all()?;
    Ok(produced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_for_their_owner_only_and_replace_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/key.bin");
        write_whole(&path, b"first", Visibility::Public).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        write_whole(&path, b"second", Visibility::Secret).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let halfway = write_whole_with(&path, Visibility::Public, |file| {
            file.write_all(b"third")?;
            Err::<(), _>(io::Error::other("no more"))
        });
        assert_eq!(halfway.unwrap_err().to_string(), "no more");
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");
    }
}
