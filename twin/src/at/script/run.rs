//! A script at work: each step in order until one fails, and a verdict on each.

use super::{Action, Pattern, Quoted, STEPS_MAX, Script, Step, TIMEOUT, Time};
use crate::at::host::{Host, HostError};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What became of a script.
#[derive(Debug)]
pub struct Verdict {
    /// One for each step.
    pub reports: Vec<Report>,
}

/// What became of a step.
#[derive(Debug)]
pub struct Report {
    /// Its line in the text, from 1.
    pub line: usize,
    /// As a script says it.
    pub step: String,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a step ended.
#[derive(Debug)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// Not so; the steps after it are skipped.
    Failed(Failure),
    /// A step before it failed.
    Skipped,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was expected did not come.
    #[error("{pattern} did not come within {}; heard: {}", Time(*within), Quoted(heard))]
    Missing {
        /// What was expected.
        pattern: Pattern,
        /// So long.
        within: Duration,
        /// The end of what came instead.
        heard: Vec<u8>,
    },
    /// What was refused came first.
    #[error("{pattern} came; heard: {}", Quoted(heard))]
    Refused {
        /// What was refused.
        pattern: Pattern,
        /// The end of what came.
        heard: Vec<u8>,
    },
    /// The module did not start, or its line did not come up.
    #[error("the module's \"ready\" did not come within {}{}", Time(*within), line.why())]
    NotReady {
        /// So long.
        within: Duration,
        /// What became of the line.
        line: LineState,
    },
    /// The module started again in the middle.
    #[error("the module has restarted")]
    Restarted,
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file that no module takes.
    #[error("{} is longer than {FILE_MAX} bytes", path.display())]
    Long {
        /// The file.
        path: PathBuf,
    },
    /// A port, or what lies between.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// How far the line is that a module's text comes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineState {
    /// The two ends have agreed.
    Up,
    /// They have not; why the newest of what came was not believed, in the words of the line, or nothing came.
    Down(Option<String>),
}

impl LineState {
    fn why(&self) -> String {
        match self {
            Self::Up => String::new(),
            Self::Down(None) => "; the line did not come up".to_owned(),
            Self::Down(Some(refusal)) => format!("; the line did not come up: {refusal}"),
        }
    }
}

impl Verdict {
    /// Every step ended as it should.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.reports.iter().all(|report| matches!(report.outcome, Outcome::Passed))
    }
}

/// Runs a script. Files are looked for in `folder`, before the first step. `told` hears of each step as it ends.
pub fn run(script: &Script, folder: &Path, host: &mut Host, mut told: impl FnMut(&Report, &Action)) -> Verdict {
    let mut runner =
        Runner { host, timeout: TIMEOUT, refused: vec![Pattern::refused_by_default()], files: BTreeMap::new() };
    let mut reports = Vec::with_capacity(script.steps.len().min(STEPS_MAX));
    let mut failed = false;
    let mut unreadable = runner.read_files(script, folder).err();
    for (index, step) in script.steps.iter().enumerate() {
        let start = Instant::now();
        let outcome = match unreadable.take_if(|(at, _)| *at == index) {
            Some((_, failure)) => Outcome::Failed(failure),
            None if failed || unreadable.is_some() => Outcome::Skipped,
            None => runner.step(step).map_or_else(Outcome::Failed, |()| Outcome::Passed),
        };
        failed |= matches!(outcome, Outcome::Failed(_));
        let report = Report { line: step.line, step: step.action.to_string(), took: start.elapsed(), outcome };
        told(&report, &step.action);
        reports.push(report);
    }
    Verdict { reports }
}

struct Runner<'a> {
    host: &'a mut Host,
    timeout: Duration,
    refused: Vec<Pattern>,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Runner<'_> {
    fn read_files(&mut self, script: &Script, folder: &Path) -> Result<(), (usize, Failure)> {
        for (index, step) in script.steps.iter().enumerate() {
            let Action::File(path) = &step.action else { continue };
            let mut bytes = Vec::new();
            let read = std::fs::File::open(folder.join(path))
                .and_then(|file| file.take(FILE_MAX as u64 + 1).read_to_end(&mut bytes));
            read.map_err(|source| (index, Failure::File { path: path.clone(), source }))?;
            if bytes.len() > FILE_MAX {
                return Err((index, Failure::Long { path: path.clone() }));
            }
            self.files.insert(path.clone(), bytes);
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), Failure> {
        match &step.action {
            Action::Timeout(time) => self.timeout = *time,
            Action::Ready { within } => self.ready(within.unwrap_or(self.timeout))?,
            Action::Send(text) => self.send(text)?,
            Action::Raw(bytes) => self.host.say(bytes)?,
            Action::File(path) => {
                let bytes = self.files.get(path).map(Vec::as_slice).unwrap_or_default();
                self.host.say(bytes)?;
            }
            Action::Expect { pattern, within } => self.expect(pattern, within.unwrap_or(self.timeout))?,
            Action::Refuse(None) => self.refused.clear(),
            Action::Refuse(Some(pattern)) => self.refused.push(pattern.clone()),
            Action::Log(_) => {}
            Action::Sleep(time) => self.host.pump_for(*time)?,
            Action::Passthrough { within } => {
                self.send(b"AT+CIPSEND")?;
                self.expect(&Pattern::Text(b">".to_vec()), within.unwrap_or(self.timeout))?;
            }
            Action::Escape => self.host.escape()?,
        }
        Ok(())
    }

    /// What was heard before a command is no answer to it.
    fn send(&mut self, text: &[u8]) -> Result<(), Failure> {
        self.host.pump(Duration::ZERO)?;
        if Pattern::Text(RESTART.to_vec()).find(self.host.heard()).is_some() {
            return Err(Failure::Restarted);
        }
        self.host.take(usize::MAX);
        Ok(self.host.say(&[text, b"\r\n"].concat())?)
    }

    fn ready(&mut self, within: Duration) -> Result<(), Failure> {
        let (start, ready) = (Instant::now(), Pattern::Text(READY.to_vec()));
        loop {
            if self.host.is_ready()
                && let Some(found) = ready.find(self.host.heard())
            {
                self.host.take(found.end);
                return Ok(());
            }
            let left = within.saturating_sub(start.elapsed());
            if left.is_zero() {
                let line = if self.host.is_ready() { LineState::Up } else { LineState::Down(self.host.refusal()) };
                return Err(Failure::NotReady { within, line });
            }
            self.host.pump(left)?;
        }
    }

    /// What is refused counts where it ends before what is expected does.
    fn expect(&mut self, pattern: &Pattern, within: Duration) -> Result<(), Failure> {
        let (start, restart) = (Instant::now(), Pattern::Text(RESTART.to_vec()));
        loop {
            let heard = self.host.heard();
            let found = pattern.find(heard).map(|found| found.end);
            let is_before = |other: usize| found.is_none_or(|found| other < found);
            let refused = |pattern: &&Pattern| pattern.find(heard).is_some_and(|it| is_before(it.end));
            if let Some(pattern) = self.refused.iter().find(refused) {
                return Err(Failure::Refused { pattern: pattern.clone(), heard: end_of(heard) });
            }
            if restart.find(heard).is_some_and(|it| is_before(it.end)) {
                return Err(Failure::Restarted);
            }
            if let Some(found) = found {
                self.host.take(found);
                return Ok(());
            }
            let left = within.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(Failure::Missing { pattern: pattern.clone(), within, heard: end_of(heard) });
            }
            self.host.pump(left)?;
        }
    }
}

/// As much of the end as a person wants to read.
fn end_of(heard: &[u8]) -> Vec<u8> {
    heard.get(heard.len().saturating_sub(HEARD_SHOWN)..).unwrap_or_default().to_vec()
}

const HEARD_SHOWN: usize = 200;

/// Of a file that is said.
const FILE_MAX: usize = 16 << 20;

/// What a module says when it has started.
const READY: &[u8] = b"ready\r\n";

/// As it begins a line of its own.
const RESTART: &[u8] = b"\r\nready\r\n";
