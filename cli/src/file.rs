//! Files on the command line: a path, or `-` for stdin and stdout. Output is written whole or not at all.

use crate::output;
use anyhow::Context;
use cotter_factory::output::{Visibility, write_whole, write_whole_with};
use std::convert::Infallible;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::str::FromStr;

/// The largest input that any verb reads; no flash part is larger.
const MAX_INPUT: u64 = 256 << 20;

/// A file to read or write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum File {
    /// `-`.
    Standard,
    /// Anything else.
    Path(PathBuf),
}

impl FromStr for File {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "-" { Self::Standard } else { Self::Path(text.into()) })
    }
}

impl std::fmt::Display for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Standard => f.write_str("-"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

impl File {
    /// Reads all of it, at most 256 MiB.
    pub(crate) fn read(&self) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self {
            Self::Standard => std::io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut bytes),
            Self::Path(path) => {
                std::fs::File::open(path).and_then(|file| file.take(MAX_INPUT + 1).read_to_end(&mut bytes))
            }
        }
        .with_context(|| format!("cannot read {self}"))?;
        anyhow::ensure!(bytes.len() as u64 <= MAX_INPUT, "{self} is larger than 256 MiB");
        Ok(bytes)
    }

    /// Opens it to be read piece by piece, with its length where that is known.
    pub(crate) fn open(&self) -> anyhow::Result<(Box<dyn Read>, Option<u64>)> {
        let Self::Path(path) = self else { return Ok((Box::new(std::io::stdin().lock()), None)) };
        let open = || {
            let file = std::fs::File::open(path)?;
            let metadata = file.metadata()?;
            let length = metadata.is_file().then_some(metadata.len());
            std::io::Result::Ok((Box::new(file) as Box<dyn Read>, length))
        };
        open().with_context(|| format!("cannot read {self}"))
    }

    /// Writes what `produce` writes, piece by piece. A file is replaced when all of it is there and synced, and keeps
    /// what it held if `produce` fails; stdout has then got a part.
    pub(crate) fn write_with<T>(
        &self,
        visibility: Visibility,
        produce: impl FnOnce(&mut dyn Write) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        match self {
            Self::Standard => output::piecewise(produce),
            Self::Path(path) => write_whole_with(path, visibility, |file| produce(file)),
        }
    }

    /// Writes all of it, or leaves what was there. Secrets get mode 0600.
    pub(crate) fn write(&self, bytes: &[u8], visibility: Visibility) -> anyhow::Result<()> {
        match self {
            Self::Standard => output::bytes(bytes),
            Self::Path(path) => write_whole(path, bytes, visibility),
        }
        .with_context(|| format!("cannot write {self}"))
    }

    /// As [`Self::write`], but refuses to replace a file unless `replace` says so. For keys.
    pub(crate) fn write_new(&self, bytes: &[u8], visibility: Visibility, replace: bool) -> anyhow::Result<()> {
        self.refuse_existing(replace)?;
        self.write(bytes, visibility)
    }

    /// The refusal of [`Self::write_new`], before the work whose result would have nowhere to go.
    pub(crate) fn refuse_existing(&self, replace: bool) -> anyhow::Result<()> {
        match self {
            Self::Path(path) if !replace && path.exists() => Err(anyhow::anyhow!("{self} exists"))
                .context(output::Help("name another file, or say --force to replace it")),
            _ => Ok(()),
        }
    }
}
