//! The host's side of the AT link: the command port through a [`Line`], and the log port beside it.

use super::line::{Line, LineError};
use super::port::{Port, PortError, wait};
use std::time::{Duration, Instant};

/// A host that talks to a module. One thread drives it: [`Host::pump`] reads both ports side by side.
pub struct Host {
    command: Port,
    log: Option<Port>,
    line: Box<dyn Line>,
    heard: Vec<u8>,
    ticked: Instant,
    watcher: Box<dyn FnMut(Event<'_>) + Send>,
}

/// What a watcher is told, as it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// These bytes went onto the wire of the command port.
    WireSent(&'a [u8]),
    /// These came from it.
    WireReceived(&'a [u8]),
    /// What this host says, before it is sealed.
    Said(&'a [u8]),
    /// What the module says, after it was opened.
    Heard(&'a [u8]),
    /// What came from the log port.
    Logged(&'a [u8]),
}

/// Why a host cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// What lies between.
    #[error(transparent)]
    Line(#[from] LineError),
    /// Waiting for the ports.
    #[error("serial ports: cannot be waited for")]
    Wait(#[source] std::io::Error),
    /// The command port takes nothing.
    #[error("serial port {}: {left} bytes could not be sent within {} s", name.display(), PATIENCE.as_secs())]
    Stuck {
        /// The port.
        name: std::path::PathBuf,
        /// So many bytes are left.
        left: usize,
    },
}

impl Host {
    /// Takes open ports, and begins what the line begins with.
    ///
    /// # Errors
    /// [`HostError`]
    pub fn new(
        command: Port,
        log: Option<Port>,
        line: Box<dyn Line>,
        watcher: impl FnMut(Event<'_>) + Send + 'static,
    ) -> Result<Self, HostError> {
        let now = Instant::now();
        let mut host = Self { command, log, line, heard: Vec::new(), ticked: now, watcher: Box::new(watcher) };
        let first = host.line.start(now)?;
        host.send(&first)?;
        Ok(host)
    }

    /// Can something be said?
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.line.ready()
    }

    /// Why the line does not come up, as far as it knows.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.line.refusal()
    }

    /// What the module said and nobody has [taken](Self::take) yet; of more than [`HEARD_MAX`], the newest.
    #[must_use]
    pub fn heard(&self) -> &[u8] {
        &self.heard
    }

    /// Forgets the first `count` of the bytes that were [heard](Self::heard), and returns them.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        self.heard.drain(..count.min(self.heard.len())).collect()
    }

    /// Waits for bytes on either port, at most so long, and takes them in.
    ///
    /// # Errors
    /// [`HostError`]
    pub fn pump(&mut self, timeout: Duration) -> Result<(), HostError> {
        wait(std::iter::once(&self.command).chain(&self.log), false, timeout.min(TICK)).map_err(HostError::Wait)?;
        self.receive()?;
        self.tick()
    }

    /// As [`Self::pump`], for the whole of a time.
    ///
    /// # Errors
    /// [`HostError`]
    pub fn pump_for(&mut self, time: Duration) -> Result<(), HostError> {
        let start = Instant::now();
        loop {
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            self.pump(left)?;
        }
    }

    /// Says something to the module.
    ///
    /// # Errors
    /// [`HostError`]; [`LineError::NotReady`] before the line is ready.
    pub fn say(&mut self, plain: &[u8]) -> Result<(), HostError> {
        for piece in plain.chunks(PIECE) {
            let sealed = self.line.outgoing(piece, Instant::now())?;
            (self.watcher)(Event::Said(piece));
            self.send(&sealed)?;
        }
        Ok(())
    }

    /// Ends passthrough: silence, the line's escape, and the second that a module takes before it listens to commands
    /// again.
    ///
    /// # Errors
    /// [`HostError`]; [`LineError::NotReady`] before the line is ready.
    pub fn escape(&mut self) -> Result<(), HostError> {
        self.pump_for(GUARD)?;
        let sealed = self.line.escape(Instant::now())?;
        self.send(&sealed)?;
        self.pump_for(ESCAPED)
    }

    fn tick(&mut self) -> Result<(), HostError> {
        if self.ticked.elapsed() >= TICK {
            self.ticked = Instant::now();
            let due = self.line.tick(self.ticked)?;
            self.send(&due)?;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), HostError> {
        let mut buffer = [0; 4096];
        if let Some(log) = &mut self.log {
            let count = log.read(&mut buffer)?;
            if count > 0 {
                (self.watcher)(Event::Logged(buffer.get(..count).unwrap_or_default()));
            }
        }
        let answer = self.listen()?;
        self.send(&answer)
    }

    /// Puts bytes on the wire. While it is full, the module is listened to: it may be waiting for that.
    fn send(&mut self, wire: &[u8]) -> Result<(), HostError> {
        if wire.is_empty() {
            return Ok(());
        }
        (self.watcher)(Event::WireSent(wire));
        let (mut left, mut moved) = (wire, Instant::now());
        let mut answers = Vec::new();
        loop {
            let written = self.command.write(left)?;
            left = left.get(written..).unwrap_or_default();
            if left.is_empty() {
                break;
            }
            if written > 0 {
                moved = Instant::now();
            } else if moved.elapsed() > PATIENCE {
                return Err(HostError::Stuck { name: self.command.name().to_owned(), left: left.len() });
            }
            wait([&self.command], true, TICK).map_err(HostError::Wait)?;
            answers.extend(self.listen()?);
        }
        // What the line answered in the meantime follows; frames are never put into each other.
        self.send(&answers)
    }

    /// Takes in what the command port has, and returns what is to be answered.
    fn listen(&mut self) -> Result<Vec<u8>, HostError> {
        let mut buffer = [0; 4096];
        let count = self.command.read(&mut buffer)?;
        let wire = buffer.get(..count).unwrap_or_default();
        if wire.is_empty() {
            return Ok(Vec::new());
        }
        (self.watcher)(Event::WireReceived(wire));
        let incoming = self.line.incoming(wire, Instant::now())?;
        if !incoming.plain.is_empty() {
            (self.watcher)(Event::Heard(&incoming.plain));
            self.heard.extend(&incoming.plain);
            let surplus = self.heard.len().saturating_sub(HEARD_MAX);
            self.heard.drain(..surplus);
        }
        Ok(incoming.wire)
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("command", &self.command).field("log", &self.log).finish_non_exhaustive()
    }
}

/// How much of what was heard is kept.
pub const HEARD_MAX: usize = 1 << 20;

/// How long the command port may take nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of what is said at once; a module takes at most 4096 bytes.
const PIECE: usize = 1024;

/// How often the line is told the time.
const TICK: Duration = Duration::from_millis(100);

/// Silence before the escape; a module wants 20 ms.
const GUARD: Duration = Duration::from_millis(100);

/// From the escape to the next command, at least (ESP-AT's guide of AT+CIPSEND).
const ESCAPED: Duration = Duration::from_millis(1100);
