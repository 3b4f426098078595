//! What a host says to a module and what it wants to hear: a small language, one step a line.
//!
//! ```text
//! # comment
//! timeout 16s                     # of every wait after this line that names none; 10s before it
//! ready within 30s                # the module has started, and the line is up
//! send "AT+GMR"                   # the text and CR LF; what was heard before is looked at no more
//! expect "OK\r\n" within 5s       # text, byte for byte
//! expect /^\+CWMODE:[0-3]\r$/     # a regular expression over bytes; ^ and $ are ends of lines
//! refuse "ALREADY CONNECTED"      # from here on, this fails an expectation that it comes before
//! refuse nothing                  # nothing does
//! raw "\x00\xff"                  # the bytes as they are
//! file "payload.bin"              # a file's bytes, from the script's folder
//! passthrough                     # AT+CIPSEND, then everything goes to the peer
//! escape                          # back to commands
//! sleep 500ms
//! log "halfway"
//! ```
//!
//! Before the first `refuse`, the module's own `ERROR`, `FAIL`, `SEND FAIL` and `busy p...` are refused. A second start of
//! the module is refused wherever the step is not `ready`.

mod parse;
mod run;

pub use parse::{Mistake, ScriptError};
pub use run::{Failure, LineState, Outcome, Report, Verdict, run};

use regex::bytes::{Regex, RegexBuilder};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Steps in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// At most [`STEPS_MAX`].
    pub steps: Vec<Step>,
}

/// One line that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its line in the text, from 1.
    pub line: usize,
    /// What is to be done.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Changes how long the steps after it wait.
    Timeout(Duration),
    /// Waits for the module's start.
    Ready {
        /// So long, or as [`Action::Timeout`] said.
        within: Option<Duration>,
    },
    /// Says a command: the bytes and CR LF.
    Send(Vec<u8>),
    /// Says bytes.
    Raw(Vec<u8>),
    /// Says a file's bytes.
    File(PathBuf),
    /// Waits for a reply.
    Expect {
        /// Which.
        pattern: Pattern,
        /// So long, or as [`Action::Timeout`] said.
        within: Option<Duration>,
    },
    /// What must not come before what is expected; `None` allows everything.
    Refuse(Option<Pattern>),
    /// Puts a line into the log.
    Log(Vec<u8>),
    /// Does nothing but listen.
    Sleep(Duration),
    /// Begins passthrough: `AT+CIPSEND`, and its `>`.
    Passthrough {
        /// So long, or as [`Action::Timeout`] said.
        within: Option<Duration>,
    },
    /// Ends passthrough.
    Escape,
}

/// What a reply is held against.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// These bytes, anywhere.
    Text(Vec<u8>),
    /// A regular expression over bytes.
    Regex(Regex),
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// Every mistake in it, at least one.
    pub fn parse(text: &str) -> Result<Self, Vec<ScriptError>> {
        parse::script(text)
    }
}

/// What the host of ESP-AT's `at_interface_security` example asks of a module, each answer claimed. Its waits are 16 s.
pub const EXAMPLE: &str = include_str!("script/example.at");

/// More steps are no script.
pub const STEPS_MAX: usize = 10_000;

/// How long a step waits before a script says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest wait.
pub const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl Pattern {
    /// What is refused before a script says otherwise.
    pub(super) fn refused_by_default() -> Self {
        Self::regex(r"^(ERROR|FAIL|SEND FAIL|busy p\.\.\.)\r\n").expect("it is an expression")
    }

    /// The final answer to a command: `OK`, a refusal, the end of a transfer, or the prompt for data.
    #[must_use]
    pub fn answer() -> Self {
        Self::regex(r"^(OK|ERROR|FAIL|SEND OK|SEND FAIL|busy p\.\.\.)\r\n|^> ?\z").expect("it is an expression")
    }

    /// `^` and `$` are ends of lines, a letter is a byte.
    pub(super) fn regex(source: &str) -> Result<Self, regex::Error> {
        let mut builder = RegexBuilder::new(source);
        builder.unicode(false).multi_line(true).size_limit(REGEX_MAX).dfa_size_limit(REGEX_MAX);
        Ok(Self::Regex(builder.build()?))
    }

    /// Where it is first in `heard`: its begin and its end.
    #[must_use]
    pub fn find(&self, heard: &[u8]) -> Option<std::ops::Range<usize>> {
        match self {
            Self::Text(text) => {
                let at = heard.windows(text.len().max(1)).position(|window| window == text)?;
                Some(at..at + text.len())
            }
            Self::Regex(regex) => regex.find(heard).map(|found| found.range()),
        }
    }
}

/// Of a compiled expression, in bytes.
const REGEX_MAX: usize = 1 << 20;

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(ours), Self::Text(theirs)) => ours == theirs,
            (Self::Regex(ours), Self::Regex(theirs)) => ours.as_str() == theirs.as_str(),
            _ => false,
        }
    }
}

impl Eq for Pattern {}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{}", step.action))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (head, within) = match self {
            Self::Timeout(time) => return write!(f, "timeout {}", Time(*time)),
            Self::Send(text) => return write!(f, "send {}", Quoted(text)),
            Self::Raw(bytes) => return write!(f, "raw {}", Quoted(bytes)),
            Self::File(path) => return write!(f, "file {}", Quoted(path.as_os_str().as_encoded_bytes())),
            Self::Refuse(Some(pattern)) => return write!(f, "refuse {pattern}"),
            Self::Refuse(None) => return f.write_str("refuse nothing"),
            Self::Log(text) => return write!(f, "log {}", Quoted(text)),
            Self::Sleep(time) => return write!(f, "sleep {}", Time(*time)),
            Self::Escape => return f.write_str("escape"),
            Self::Ready { within } => ("ready".to_owned(), within),
            Self::Expect { pattern, within } => (format!("expect {pattern}"), within),
            Self::Passthrough { within } => ("passthrough".to_owned(), within),
        };
        f.write_str(&head)?;
        within.map_or(Ok(()), |within| write!(f, " within {}", Time(within)))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => Quoted(text).fmt(f),
            Self::Regex(regex) => write!(f, "/{}/", regex.as_str()),
        }
    }
}

/// A time as a script has it.
pub(super) struct Time(pub(super) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_millis() {
            0 => write!(f, "{}s", self.0.as_secs()),
            _ => write!(f, "{}ms", self.0.as_millis()),
        }
    }
}

/// Bytes as a script has them, between quotes and without a control character.
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for byte in self.0 {
            match byte {
                b'\r' => f.write_str("\\r")?,
                b'\n' => f.write_str("\\n")?,
                b'\t' => f.write_str("\\t")?,
                b'"' | b'\\' => write!(f, "\\{}", char::from(*byte))?,
                b' '..=b'~' => write!(f, "{}", char::from(*byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        f.write_str("\"")
    }
}
