//! A real server in a process of its own, and what it writes into its log.

use anyhow::{Context, bail};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `cotter serve` on loopback. Dropping it ends it.
pub(crate) struct ServerProcess {
    child: Child,
    address: SocketAddr,
    mqtt: Option<SocketAddr>,
    log: PathBuf,
}

/// How far the log has been read.
#[derive(Clone, Copy)]
pub(crate) struct LogMark(usize);

impl ServerProcess {
    /// Starts it and waits for the line that says that it listens.
    pub(crate) fn start(config: &Path, log: PathBuf) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg("--config")
            .arg(config)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .context("cannot start the server process")?;
        let stdout = child.stdout.take().context("the server has no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ready = serde_json::from_str::<Value>(&line).unwrap_or_default();
        let address = |name: &str| ready[name].as_str().and_then(|address| address.parse().ok());
        match address("listening") {
            Some(listening) => Ok(Self { child, address: listening, mqtt: address("mqtt"), log }),
            None => {
                let _ = child.kill();
                bail!("the server did not start; its log is {}", log.display())
            }
        }
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for MQTT, if it does.
    pub(crate) const fn mqtt(&self) -> Option<SocketAddr> {
        self.mqtt
    }

    /// The end of the log, as of now.
    pub(crate) fn mark(&self) -> anyhow::Result<LogMark> {
        Ok(LogMark(std::fs::read_to_string(&self.log)?.lines().count()))
    }

    /// The first refusal that was logged after `mark`: its stable name and its reason. The log is written by another
    /// process, so it may lag behind the answer a little.
    pub(crate) fn refusal_since(&self, mark: LogMark) -> anyhow::Result<Option<(String, String)>> {
        let patience = Instant::now() + Duration::from_secs(2);
        loop {
            let text = std::fs::read_to_string(&self.log)?;
            let found = text.lines().skip(mark.0).find_map(|line| {
                let entry: Value = serde_json::from_str(line).ok()?;
                let fields = &entry["fields"];
                let event = fields["event"].as_str().or_else(|| fields["subject"].as_str())?;
                let why = fields["why"].as_str().or_else(|| fields["detail"].as_str()).unwrap_or_default();
                Some((event.to_owned(), why.to_owned()))
            });
            if found.is_some() || Instant::now() > patience {
                return Ok(found);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // In order if it can be asked (the database is then closed and whole in one file), else at once: what it
        // acknowledged is on disk either way.
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let asked = pid.is_some_and(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM).is_ok());
        let patience = Instant::now() + Duration::from_secs(5);
        while asked && Instant::now() < patience {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
