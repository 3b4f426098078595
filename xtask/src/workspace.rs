//! The repository: its root, its locked packages, commands run in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the repository")
}

/// The cargo that runs us, else the one on PATH.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs with the terminal's own output; fails if the command does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{} ended with {status}", spelled(command));
    }
    Ok(())
}

/// Runs and returns standard output; on failure the error carries what the command said.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!(
            "{} ended with {}:\n{text}{}",
            spelled(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(text)
}

/// The files of the repository, tracked or about to be, relative to the root.
pub(crate) fn files() -> Result<Vec<PathBuf>> {
    let list = output(
        Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"])
            .current_dir(root()),
    )?;
    Ok(list.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect())
}

/// The workspaces of the repository: every committed lock file's manifest.
pub(crate) fn manifests() -> Result<Vec<PathBuf>> {
    let locks = files()?.into_iter().filter(|file| file.ends_with("Cargo.lock"));
    Ok(locks.map(|lock| root().join(lock).with_file_name("Cargo.toml")).collect())
}

/// `cargo metadata` of one workspace, exactly as locked.
pub(crate) fn metadata(manifest: &Path) -> Result<Metadata> {
    let listed = output(
        cargo().args(["metadata", "--format-version=1", "--locked", "--quiet", "--manifest-path"]).arg(manifest),
    );
    let json = listed.with_context(|| {
        let shown = manifest.strip_prefix(root()).unwrap_or(manifest).display();
        format!("if its Cargo.lock is behind: cargo update --workspace --manifest-path {shown}, and commit it")
    })?;
    serde_json::from_str(&json).with_context(|| format!("cargo metadata of {}", manifest.display()))
}

/// The part of `cargo metadata` that we read.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub packages: Vec<Package>,
    pub workspace_members: Vec<String>,
}

impl Metadata {
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }
}

/// One locked package.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub id: String,
    pub name: String,
    pub version: semver::Version,
    pub license: Option<String>,
    /// `None`: a path dependency.
    pub source: Option<String>,
    pub manifest_path: PathBuf,
    pub dependencies: Vec<Dependency>,
}

/// One dependency as a manifest declares it.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub name: String,
    /// `None`: normal; else `dev` or `build`.
    pub kind: Option<String>,
}

fn spelled(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    command.get_args().take(4).fold(program, |line, argument| line + " " + &argument.to_string_lossy())
}
