//! Commands of this program as a person would type them, in one folder.

use anyhow::{Context, bail};
use serde_json::Value;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Somebody who types.
pub(super) struct Hands {
    folder: PathBuf,
    program: PathBuf,
    server: String,
}

/// A command that runs until it is dropped.
pub(super) struct Companion(Child);

impl Drop for Companion {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Hands {
    /// The operator of the server on this port, whose CA and token are in the folder.
    pub(super) fn new(folder: &Path, port: u16) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        Ok(Self { folder: folder.to_owned(), program, server: format!("https://localhost:{port}") })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs a command, which has to succeed; what it says with `--json`.
    pub(super) fn cotter(&self, words: &[&str]) -> anyhow::Result<Value> {
        let output = self.command(words).output().context("this program does not start again")?;
        if !output.status.success() {
            bail!("cotter {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim_end());
        }
        serde_json::from_slice(&output.stdout).with_context(|| format!("cotter {}: no JSON", words.join(" ")))
    }

    /// The same for a command that may say no.
    pub(super) fn cotter_or_not(&self, words: &[&str]) -> anyhow::Result<Value> {
        let output = self.command(words).output().context("this program does not start again")?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!("cotter {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim_end())
        })
    }

    /// Starts a command that goes on, and reads the line that says that it is ready.
    pub(super) fn companion(&self, words: &[&str]) -> anyhow::Result<(Companion, Value)> {
        let mut command = self.command(words);
        // Its standard input stays open: at its end it would go.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = Companion(command.spawn().context("this program does not start again")?);
        let stdout = child.0.stdout.take().context("no standard output")?;
        let ready = serde_json::Deserializer::from_reader(BufReader::new(stdout)).into_iter::<Value>().next();
        let ready = ready.with_context(|| format!("cotter {}: it is not ready", words.join(" ")))??;
        Ok((child, ready))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).arg("--json").current_dir(&self.folder).env_remove("RUST_LOG");
        command.env("COTTER_SERVER", &self.server).env("COTTER_CA", "ca.pem").env("COTTER_TOKEN_FILE", "admin.token");
        command
    }
}
