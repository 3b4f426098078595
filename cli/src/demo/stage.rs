//! A stage while it runs: prints each check as soon as it is known.

use super::report::{BOLD, Check, Stage};
use crate::output::{self, Format};
use std::fmt::Display;
use std::time::Instant;

/// Collects the checks of one stage.
pub(crate) struct Running {
    title: &'static str,
    checks: Vec<Check>,
    started: Instant,
    format: Format,
}

impl Running {
    /// Prints the title.
    pub(crate) fn start(title: &'static str, format: Format) -> Self {
        output::progress(format!("\n{BOLD}{title}{BOLD:#}"), format);
        Self { title, checks: Vec::new(), started: Instant::now(), format }
    }

    /// Something was done, and this is what came of it.
    pub(crate) fn done(&mut self, what: impl Into<String>, seen: impl Display) {
        self.check(what, seen, true);
    }

    /// Something was done; `ok` says whether it ended as expected.
    pub(crate) fn check(&mut self, what: impl Into<String>, seen: impl Display, ok: bool) {
        let check = Check { what: what.into(), seen: seen.to_string(), ok };
        output::progress(&check, self.format);
        self.checks.push(check);
    }

    /// Ends the stage.
    pub(crate) fn end(self) -> Stage {
        Stage { title: self.title, checks: self.checks, seconds: self.started.elapsed().as_secs_f64() }
    }
}
