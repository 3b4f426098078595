//! Secret files: created 0600 and never overwritten, refused when others may read them.

use cotter_formats::secret::Secret;
use cotter_wire::hex;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

/// Makes a new random key and writes it to `path` as 64 hexadecimal digits.
///
/// # Errors
/// [`KeyFileError::Io`], also if the file exists: a key is never overwritten.
pub fn create(path: &Path) -> Result<Secret<32>, KeyFileError> {
    let key = random_key()?;
    write_new(path, &spelled(&key)[..])?;
    Ok(key)
}

/// A key as it stands in its file: 64 hexadecimal digits and the end of the line.
#[must_use]
pub fn spelled(key: &Secret<32>) -> Zeroizing<[u8; 65]> {
    let mut text = Zeroizing::new([0; 65]);
    let (digits, newline) = text.split_at_mut(64);
    let written = hex::encode(key.expose(), digits).is_some();
    newline[0] = b'\n';
    debug_assert!(written, "64 digits hold 32 bytes");
    text
}

/// Reads a key that [`create`] wrote (or a person, in the same form).
///
/// # Errors
/// [`KeyFileError`]: unreadable, readable by others, or not 64 lower-case hexadecimal digits.
pub fn read(path: &Path) -> Result<Secret<32>, KeyFileError> {
    let mut file = open_private(path)?;
    let mut text = Zeroizing::new([0_u8; 67]);
    let mut length = 0;
    while length < text.len() {
        match file.read(&mut text[length..]).map_err(|source| io(path, source))? {
            0 => break,
            more => length += more,
        }
    }
    let malformed = || KeyFileError::Malformed { path: path.into() };
    let digits = text[..length].trim_ascii_end();
    Secret::try_filled_by(|key| if hex::decode_into(digits, key) { Ok(()) } else { Err(malformed()) })
}

/// Reads a short file that only its owner may read: at most 4 KB of it.
///
/// # Errors
/// [`KeyFileError::Io`], [`KeyFileError::Exposed`].
pub fn read_private(path: &Path) -> Result<Vec<u8>, KeyFileError> {
    let mut content = Vec::with_capacity(LONGEST_PRIVATE);
    let file = open_private(path)?;
    file.take(LONGEST_PRIVATE as u64).read_to_end(&mut content).map_err(|source| io(path, source))?;
    Ok(content)
}

/// Writes a file that only its owner may read, and that must not exist yet; whole and durable when this returns, and not
/// there if it was interrupted.
///
/// # Errors
/// [`KeyFileError::Io`].
pub fn write_new(path: &Path, content: &[u8]) -> Result<(), KeyFileError> {
    let named = |source| io(path, source);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Made with mode 600.
    let mut file = NamedTempFile::new_in(directory).map_err(named)?;
    file.write_all(content).and_then(|()| file.as_file().sync_all()).map_err(named)?;
    file.persist_noclobber(path).map_err(|refused| named(refused.error))?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(named)
}

fn open_private(path: &Path) -> Result<File, KeyFileError> {
    let file = File::open(path).map_err(|source| io(path, source))?;
    let mode = file.metadata().map_err(|source| io(path, source))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.into(), mode: mode & 0o777 });
    }
    Ok(file)
}

const LONGEST_PRIVATE: usize = 4096;

/// 32 bytes from the operating system's generator.
///
/// # Errors
/// [`KeyFileError::NoRandomness`].
pub fn random_key() -> Result<Secret<32>, KeyFileError> {
    Secret::try_filled_by(|key| aws_lc_rs::rand::fill(key).map_err(|_| KeyFileError::NoRandomness))
}

fn io(path: &Path, source: std::io::Error) -> KeyFileError {
    KeyFileError::Io { path: path.into(), source }
}

/// Why a secret file could not be used. Never holds content.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file system refused.
    #[error("key file {path}: {source}", path = path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("key file {path}: mode is {mode:03o}, expected 600: others may have read it", path = path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Not the expected digits.
    #[error("key file {path}: expected 64 lower-case hexadecimal digits", path = path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system")]
    NoRandomness,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_private_and_reads_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.key");
        let key = create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(read(&path).unwrap().ct_eq(&key));
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.key");
        let key = create(&path).unwrap();
        assert!(matches!(create(&path), Err(KeyFileError::Io { .. })));
        assert!(read(&path).unwrap().ct_eq(&key));
    }

    #[test]
    fn refuses_a_key_that_others_may_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.key");
        create(&path).unwrap();
        for mode in [0o640, 0o604, 0o666] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read(&path), Err(KeyFileError::Exposed { mode: found, .. }) if found == mode));
        }
    }

    #[test]
    fn refuses_anything_but_sixty_four_digits() {
        let directory = tempfile::tempdir().unwrap();
        for (index, text) in ["", "00", &"A".repeat(64), &"0".repeat(63), &"0".repeat(66)].into_iter().enumerate() {
            let path = directory.path().join(index.to_string());
            write_new(&path, text.as_bytes()).unwrap();
            assert!(matches!(read(&path), Err(KeyFileError::Malformed { .. })), "{text}");
        }
    }
}
