//! One process from outside: wall time, processor time, peak memory.
//!
//! The kernel keeps the peak of all children that a process has waited for, so each measured process gets a parent of
//! its own: this program once more, with the hidden chore `bench run`.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::{Deserialize, Serialize};

/// A command line, and what its standard input is.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    /// Nothing, if not given.
    pub(super) stdin: Option<PathBuf>,
}

impl Task {
    /// `words`: separated by blanks, as nobody would quote them.
    pub(super) fn new(program: &Path, words: &str) -> Self {
        Self { program: program.into(), arguments: words.split_whitespace().map(Into::into).collect(), stdin: None }
    }

    /// Runs once under a measuring parent, in `folder`.
    ///
    /// # Errors
    /// It cannot be started or does not end well; the error carries what it said.
    pub(super) fn measure(&self, parent: &Path, folder: &Path) -> Result<Cost> {
        let mut command = Command::new(parent);
        command.args(["bench", "run"]).current_dir(folder);
        // Some tools find others by their names.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = self.program.parent().map(Into::into).into_iter().chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(folders)?);
        if let Some(stdin) = &self.stdin {
            command.arg("--stdin").arg(stdin);
        }
        command.arg("--").arg(&self.program).args(&self.arguments);
        let printed = crate::workspace::output(&mut command)?;
        serde_json::from_str(&printed).with_context(|| format!("{} printed {printed:?}", parent.display()))
    }
}

/// What one run took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Cost {
    /// From before the start to after the end.
    pub(super) wall_ms: f64,
    /// In the process, by all of its threads.
    pub(super) cpu_ms: f64,
    /// Resident memory at its highest.
    pub(super) peak_kib: u64,
}

impl Cost {
    /// Of each number the median; zeros if there is none.
    pub(super) fn median(costs: &[Self]) -> Self {
        Self {
            wall_ms: median(costs.iter().map(|cost| cost.wall_ms)),
            cpu_ms: median(costs.iter().map(|cost| cost.cpu_ms)),
            peak_kib: middle(&mut costs.iter().map(|cost| cost.peak_kib).collect::<Vec<_>>(), u64::cmp),
        }
    }
}

/// The middle one, the higher of two.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    middle(&mut values.collect::<Vec<_>>(), f64::total_cmp)
}

fn middle<T: Copy + Default>(values: &mut [T], order: impl FnMut(&T, &T) -> std::cmp::Ordering) -> T {
    values.sort_by(order);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The hidden chore.
#[derive(clap::Args)]
pub(super) struct RunArguments {
    /// What the command reads; nothing if not given
    #[arg(long)]
    stdin: Option<PathBuf>,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Runs one command and prints its [`Cost`].
///
/// # Errors
/// It cannot be started or does not end well.
pub(super) fn run(arguments: &RunArguments) -> Result<()> {
    let [program, rest @ ..] = arguments.command.as_slice() else { bail!("no command") };
    let stdin = match &arguments.stdin {
        Some(path) => File::open(path).with_context(|| format!("cannot read {}", path.display()))?.into(),
        None => Stdio::null(),
    };
    let log = tempfile::tempfile()?;
    let mut command = Command::new(program);
    command.args(rest).stdin(stdin).stdout(Stdio::null()).stderr(log.try_clone()?);
    let begun = Instant::now();
    let status = command.status().with_context(|| format!("cannot start {}", program.display()))?;
    let wall = begun.elapsed();
    if !status.success() {
        let mut said = log;
        std::io::Seek::rewind(&mut said)?;
        bail!("{command:?} ended with {status}:\n{}", std::io::read_to_string(said)?);
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let cost = Cost {
        wall_ms: wall.as_secs_f64() * 1e3,
        cpu_ms: f64::from(u32::try_from(cpu)?) / 1e3,
        peak_kib: usage.max_rss().try_into()?,
    };
    println!("{}", serde_json::to_string(&cost)?);
    Ok(())
}
