//! What is inside a backup, in this order: the configuration, the files that it names, the database, the artifacts.
//!
//! ```text
//! part   kind u8 (1 configuration, 2 file, 3 database, 4 artifact) | length of the name u8 | name
//!        | length u64 BE | content
//! end    kind 0, and nothing behind it
//! ```
//!
//! The name of a file is its key in the configuration (`keys.master`), that of an artifact its release. No name is ever
//! a path: where a part goes is decided by who restores it.

use super::BackupError;
use super::container::{Opener, Sealer};
use cotter_wire::ids::ReleaseId;
use std::io::{BufRead, Read, Write};
use zeroize::Zeroizing;

/// A part's meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Configuration,
    /// By its key in the configuration.
    File(String),
    Database,
    Artifact(ReleaseId),
}

impl Part {
    fn spelling(&self) -> (u8, String) {
        match self {
            Self::Configuration => (1, String::new()),
            Self::File(key) => (2, key.clone()),
            Self::Database => (3, String::new()),
            Self::Artifact(release) => (4, release.to_string()),
        }
    }

    fn of(kind: u8, name: &str) -> Option<Self> {
        match (kind, name) {
            (1, "") => Some(Self::Configuration),
            (2, key) if is_key(key) => Some(Self::File(key.to_owned())),
            (3, "") => Some(Self::Database),
            (4, release) => release.parse().ok().map(Self::Artifact),
            _ => None,
        }
    }
}

/// `section.key` or `section.key.index`.
fn is_key(text: &str) -> bool {
    text.split('.').count() > 1
        && text.split('.').all(|word| {
            !word.is_empty() && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
        })
}

/// Writes one part; `content` must have `length` bytes.
pub(super) fn write<W: Write>(
    sealer: &mut Sealer<W>,
    part: &Part,
    length: u64,
    content: &mut dyn Read,
) -> Result<(), BackupError> {
    let (kind, name) = part.spelling();
    let name_len = u8::try_from(name.len()).map_err(|_| BackupError::TooLarge)?;
    sealer.write(&[kind, name_len])?;
    sealer.write(name.as_bytes())?;
    sealer.write(&length.to_be_bytes())?;
    let mut buffer = Zeroizing::new([0; 8192]);
    let mut content = content.take(length);
    let mut written = 0;
    loop {
        match content.read(&mut buffer[..]).map_err(BackupError::Read)? {
            0 if written == length => return Ok(()),
            0 => return Err(BackupError::Read(std::io::ErrorKind::UnexpectedEof.into())),
            more => {
                sealer.write(&buffer[..more])?;
                written += more as u64;
            }
        }
    }
}

/// Writes the end.
pub(super) fn finish<W: Write>(mut sealer: Sealer<W>) -> Result<W, BackupError> {
    sealer.write(&[0])?;
    sealer.finish()
}

/// The next part and the length of its content, which must be read before the next one; `None` at the end.
pub(super) fn next<R: BufRead>(opener: &mut Opener<R>) -> Result<Option<(Part, u64)>, BackupError> {
    let mut kind = [0];
    opener.fill(&mut kind)?;
    if kind == [0] {
        return if opener.some(1)?.is_empty() { Ok(None) } else { Err(BackupError::Damaged) };
    }
    let mut length = [0];
    opener.fill(&mut length)?;
    let mut name = [0; 255];
    let name = &mut name[..length[0].into()];
    opener.fill(name)?;
    let part = std::str::from_utf8(name).ok().and_then(|name| Part::of(kind[0], name)).ok_or(BackupError::Damaged)?;
    let mut length = [0; 8];
    opener.fill(&mut length)?;
    Ok(Some((part, u64::from_be_bytes(length))))
}

/// Copies the content of a part.
pub(super) fn copy<R: BufRead>(opener: &mut Opener<R>, mut length: u64, to: &mut dyn Write) -> Result<(), BackupError> {
    while length > 0 {
        let some = opener.some(usize::try_from(length).unwrap_or(usize::MAX))?;
        if some.is_empty() {
            return Err(BackupError::Damaged);
        }
        to.write_all(some).map_err(BackupError::Write)?;
        length -= some.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_is_named_by_a_path() {
        for key in ["keys.master", "firmware.manifest_keys.0", "tls.certificate"] {
            assert_eq!(Part::of(2, key), Some(Part::File(key.to_owned())));
        }
        for key in ["", "master", "../../etc/passwd", "keys./etc", "keys..", ".key", "keys.a/b", "keys.A", "keys.a\0"] {
            assert_eq!(Part::of(2, key), None, "{key}");
        }
        assert_eq!(Part::of(4, "../artifact"), None);
        assert_eq!((Part::of(1, "x"), Part::of(3, "x"), Part::of(5, ""), Part::of(0, "")), (None, None, None, None));
    }
}
