//! cargo-fuzz on the bodies of `fuzz/`: a deeper search than the corpus that runs in every test.

use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::workspace::{cargo, root, run as run_command};

/// `cargo xtask fuzz TARGET`
#[derive(Args)]
pub(crate) struct FuzzArguments {
    /// The target; without it the targets are listed
    target: Option<String>,
    /// For how long
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

pub(crate) fn run(arguments: &FuzzArguments) -> Result<()> {
    let targets = targets()?;
    let Some(target) = &arguments.target else {
        targets.iter().for_each(|target| println!("{target}"));
        return Ok(());
    };
    if !targets.contains(target) {
        bail!("no fuzz target {target}; there are: {}", targets.join(", "));
    }
    let installed = Command::new("cargo-fuzz").arg("--version").output().is_ok_and(|output| output.status.success());
    if !installed {
        bail!("cargo-fuzz is not installed\nhelp: cargo install --locked cargo-fuzz");
    }
    // New inputs go to target/; worthwhile ones are copied to fuzz/corpus by hand, where every test run replays them.
    let found = root().join("fuzz/targets/target/corpus").join(target);
    std::fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    let mut command = cargo();
    // Sanitizer flags are unstable; this lets the stable compiler take them.
    command.env("RUSTC_BOOTSTRAP", "1").args(["fuzz", "run", "--fuzz-dir", "fuzz/targets", target]);
    command.arg(&found).arg(root().join("fuzz/corpus").join(target));
    command.arg("--").arg(format!("-max_total_time={}", arguments.seconds));
    run_command(&mut command)
}

/// The table of `fuzz/tests/flips`, which is held by the test that prints it.
pub(crate) fn flips() -> Result<()> {
    run_command(cargo().args(["test", "--locked", "-p", "cotter-fuzz", "--test", "flips", "--", "--nocapture"]))
}

/// The names of `fuzz/targets/src/*.rs`.
fn targets() -> Result<Vec<String>> {
    let folder = root().join("fuzz/targets/src");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        names.extend(entry?.path().file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}
