//! `--transport-key`: the secret that part and host share, in a file for its owner only.

use crate::file::File;
use crate::output::Help;
use anyhow::Context;
use cotter_device::platform::Random;
use cotter_factory::element::ElementPlan;
use cotter_factory::output::{Visibility, write_whole};
use cotter_formats::secret::Secret;
use cotter_twin::random::HostRandom;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// What happens if the file is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IfMissing {
    /// A key is drawn, and in the file before anything is done with it.
    Draw,
    /// The file is missing.
    Refuse,
}

/// The key that a plan needs, if it needs one.
pub(super) fn read(
    file: Option<&PathBuf>,
    plan: &ElementPlan,
    missing: IfMissing,
) -> anyhow::Result<Option<Secret<32>>> {
    if !plan.needs_transport_key() {
        return Ok(None);
    }
    let path = file
        .context("the plan writes a transport key")
        .context(Help("name its file with --transport-key; if it is not there yet, a key is drawn"))?;
    if !path.exists() && missing == IfMissing::Draw {
        let key = Secret::<32>::filled_by(|bytes| HostRandom::default().fill(bytes));
        write_whole(path, key.expose(), Visibility::Secret)
            .with_context(|| format!("cannot write {}", path.display()))?;
        return Ok(Some(key));
    }
    let bytes = Zeroizing::new(File::Path(path.clone()).read()?);
    let mode = std::fs::metadata(path).with_context(|| path.display().to_string())?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(anyhow::anyhow!("{} is not for its owner only (mode {:03o})", path.display(), mode & 0o777))
            .context(Help("chmod 600 it, and think about who may have read it"));
    }
    let key = Secret::from_slice(&bytes);
    let key = key.with_context(|| format!("{} has {} bytes, a transport key has 32", path.display(), bytes.len()))?;
    Ok(Some(key))
}
