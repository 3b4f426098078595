//! The conversation with a module, line by line: into a file, and onto the screen.

use crate::moment::Moment;
use anyhow::Context;
use cotter_twin::at::host::Event;
use cotter_twin::at::script::Quoted;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Everything that is said, heard and decided. What a line of the wire or of the text is, a line here is.
pub(super) struct Transcript {
    file: File,
    path: PathBuf,
    screen: Screen,
    heard: Vec<u8>,
    logged: Vec<u8>,
    /// When something came.
    changed: Instant,
    /// The file could not be written; the screen is still told.
    broken: bool,
}

/// Where lines are shown as they come.
pub(super) struct Screen {
    /// With what is on the wire.
    pub(super) trace: bool,
    /// With the time of each line.
    pub(super) time: bool,
    /// With what this host says: a terminal shows it already.
    pub(super) said: bool,
    /// Takes one line.
    pub(super) show: Box<dyn FnMut(&str) + Send>,
}

impl Transcript {
    /// A new file, which only its owner reads: commands hold passwords.
    pub(super) fn create(path: Option<&Path>, screen: Screen) -> anyhow::Result<Self> {
        let create = |path: &Path| OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let (file, path) = match path {
            Some(path) => (create(path).with_context(|| format!("cannot write {}", path.display()))?, path.to_owned()),
            None => {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(FOLDER)
                    .context("cannot make the folder at_log")?;
                let now = Moment::now().to_string().replace(['-', ':'], "").replace(' ', "_");
                let mut names = std::iter::once(format!("{FOLDER}/{now}.log"))
                    .chain((2..=MOST_AT_ONCE).map(|number| format!("{FOLDER}/{now}_{number}.log")))
                    .map(PathBuf::from);
                let free = names.find(|name| !name.exists()).context("too many files in the folder at_log")?;
                (create(&free).with_context(|| format!("cannot write {}", free.display()))?, free)
            }
        };
        Ok(Self { file, path, screen, heard: Vec::new(), logged: Vec::new(), changed: Instant::now(), broken: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Shows lines in another way from here on.
    pub(super) fn show_with(&mut self, show: Box<dyn FnMut(&str) + Send>, said: bool) {
        (self.screen.show, self.screen.said) = (show, said);
    }

    /// Shows the wire, or no more.
    pub(super) fn trace(&mut self, on: bool) {
        self.screen.trace = on;
    }

    /// Shows the time of each line, or no more.
    pub(super) fn time(&mut self, on: bool) {
        self.screen.time = on;
    }

    pub(super) fn event(&mut self, event: Event<'_>) {
        match event {
            Event::WireSent(wire) => self.wire("intf-sec-tx", wire),
            Event::WireReceived(wire) => self.wire("intf-sec-rx", wire),
            Event::Said(text) => {
                self.idle();
                self.text(">", text, self.screen.said);
            }
            Event::Heard(text) => {
                self.changed = Instant::now();
                self.heard.extend(text);
                let mut rest = std::mem::take(&mut self.heard);
                self.lines("<", &mut rest);
                self.heard = rest;
            }
            Event::Logged(text) => {
                self.changed = Instant::now();
                self.logged.extend(text);
                let mut rest = std::mem::take(&mut self.logged);
                self.lines("log", &mut rest);
                self.logged = rest;
            }
        }
    }

    /// What this program has to say.
    pub(super) fn note(&mut self, text: &str) {
        self.idle();
        self.line(&format!("-- {}", text.replace(|letter: char| letter.is_control(), "?")), true);
    }

    /// As [`Self::idle`], once nothing has come for so long.
    pub(super) fn idle_after(&mut self, silence: Duration) {
        if self.changed.elapsed() >= silence {
            self.idle();
        }
    }

    /// Shows lines that have not come to their end.
    pub(super) fn idle(&mut self) {
        for (mark, rest) in [("<", std::mem::take(&mut self.heard)), ("log", std::mem::take(&mut self.logged))] {
            self.text(mark, &rest, true);
        }
    }

    /// The last line, for the file alone.
    pub(super) fn finish(&mut self, text: &str) {
        self.idle();
        self.line(&format!("-- {text}"), false);
    }

    fn wire(&mut self, mark: &str, wire: &[u8]) {
        for piece in wire.chunks(WIRE_A_LINE) {
            let bytes: Vec<String> = piece.iter().map(|byte| format!("{byte:02x}")).collect();
            self.line(&format!("{mark}: {}", bytes.join(" ")), self.screen.trace);
        }
    }

    /// All whole lines of `rest`, which keeps what follows them.
    fn lines(&mut self, mark: &str, rest: &mut Vec<u8>) {
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            self.text(mark, &line, true);
        }
        // The prompt for data has no end; what is no text may have none either.
        if rest.trim_ascii() == b">" || rest.len() > TEXT_A_LINE {
            let line = std::mem::take(rest);
            self.text(mark, &line, true);
        }
    }

    fn text(&mut self, mark: &str, text: &[u8], show: bool) {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if !text.is_empty() {
            let quoted = Quoted(text).to_string();
            let inner = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(&quoted);
            self.line(&format!("{mark} {}", inner.replace("\\\"", "\"").replace("\\\\", "\\")), show);
        }
    }

    fn line(&mut self, line: &str, show: bool) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, milliseconds) = (now.as_secs() % 86_400, now.subsec_millis());
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        let timed = format!("{hours:02}:{minutes:02}:{:02}.{milliseconds:03} {line}", seconds % 60);
        if show {
            (self.screen.show)(if self.screen.time { &timed } else { line });
        }
        if !self.broken && writeln!(self.file, "{timed}").is_err() {
            self.broken = true;
            (self.screen.show)(&format!("{} cannot be written any more", self.path.display()));
        }
    }
}

/// Where files are kept without a name of their own, as the example's host script does it.
const FOLDER: &str = "at_log";

/// So many hosts may start in one second.
const MOST_AT_ONCE: u32 = 1000;

const WIRE_A_LINE: usize = 256;

const TEXT_A_LINE: usize = 4096;
