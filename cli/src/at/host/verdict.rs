//! What became of a script, for people and for machines.

use crate::at::mode::Mode;
use cotter_twin::at::script::{self, Outcome, Report};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

#[derive(Serialize)]
pub(super) struct Verdict {
    pub(super) passed: bool,
    mode: Mode,
    log: PathBuf,
    steps: Vec<Step>,
}

#[derive(Serialize)]
pub(super) struct Step {
    line: usize,
    step: String,
    outcome: &'static str,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

impl Verdict {
    pub(super) fn new(verdict: &script::Verdict, mode: Mode, log: PathBuf) -> Self {
        Self { passed: verdict.passed(), mode, log, steps: verdict.reports.iter().map(Step::new).collect() }
    }

    /// In one line.
    pub(super) fn summary(&self) -> String {
        let passed = self.steps.iter().filter(|step| step.outcome == "passed").count();
        let result = if self.passed { "passed" } else { "FAILED" };
        format!("{result}: {passed} of {} steps", self.steps.len())
    }
}

impl Step {
    pub(super) fn new(report: &Report) -> Self {
        let (outcome, failure) = match &report.outcome {
            Outcome::Passed => ("passed", None),
            Outcome::Failed(failure) => {
                let source = std::error::Error::source(failure).map(|source| format!(": {source}"));
                ("failed", Some(format!("{failure}{}", source.unwrap_or_default())))
            }
            Outcome::Skipped => ("skipped", None),
        };
        Self { line: report.line, step: report.step.clone(), outcome, seconds: report.took.as_secs_f64(), failure }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))?;
        writeln!(f, "{}", self.summary())?;
        write!(f, "the conversation is in {}", self.log.display())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = if self.outcome == "failed" { "FAILED" } else { self.outcome };
        write!(f, "{:>4}  {result:<7} {:>8.3} s  {}", self.line, self.seconds, self.step)?;
        self.failure.as_ref().map_or(Ok(()), |failure| write!(f, ": {failure}"))
    }
}
