//! What the demo saw: stages with their checks, the table of attacks, one verdict.

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use std::fmt;

/// The whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The stages of the line, in order.
    pub(crate) stages: Vec<Stage>,
    /// The attacks, in the order tried.
    pub(crate) attacks: Vec<Attack>,
    /// Where keys, images, database and logs were kept.
    pub(crate) kept: Option<std::path::PathBuf>,
    /// Wall time in seconds.
    pub(crate) seconds: f64,
    /// True if every check and every attack ended as expected.
    pub(crate) passed: bool,
}

/// One stage of the line.
#[derive(Debug, Serialize)]
pub(crate) struct Stage {
    /// `Keys`, `Images`, ...
    pub(crate) title: &'static str,
    /// What was done and seen.
    pub(crate) checks: Vec<Check>,
    /// Wall time in seconds.
    pub(crate) seconds: f64,
}

/// One thing that was done, and whether it ended as expected.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    /// What was done.
    pub(crate) what: String,
    /// What was seen.
    pub(crate) seen: String,
    /// Whether that was expected.
    pub(crate) ok: bool,
}

/// One attack.
#[derive(Debug, Serialize)]
pub(crate) struct Attack {
    /// Its name.
    pub(crate) name: &'static str,
    /// What was tried.
    pub(crate) tried: String,
    /// The layer that is meant to stop it.
    pub(crate) layer: &'static str,
    /// The exact refusal that is expected.
    pub(crate) expected: &'static str,
    /// The exact refusal that was seen.
    pub(crate) refusal: String,
    /// What the layer said, in words.
    pub(crate) detail: String,
    /// True if the refusal was the expected one and nothing else gave way.
    pub(crate) stopped: bool,
}

impl Stage {
    pub(crate) fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }
}

pub(crate) const GREEN: anstyle::Style = anstyle::AnsiColor::Green.on_default();
pub(crate) const RED: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();
pub(crate) const BOLD: anstyle::Style = anstyle::Style::new().bold();
pub(crate) const DIM: anstyle::Style = anstyle::Style::new().dimmed();

/// `ok` in green or `FAILED` in red.
fn mark(ok: bool) -> String {
    if ok { format!("{GREEN}ok{GREEN:#}    ") } else { format!("{RED}FAILED{RED:#}") }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {} {:<44} {DIM}{}{DIM:#}", mark(self.ok), self.what, self.seen)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(["", "attack", "what was tried", "stopped by", "refusal"]);
        if table.width().is_none() {
            table.set_width(150);
        }
        for attack in &self.attacks {
            let refusal = if attack.detail.is_empty() {
                attack.refusal.clone()
            } else {
                format!("{}: {}", attack.refusal, attack.detail)
            };
            let mark = if attack.stopped { "stopped" } else { "FAILED" };
            table.add_row([mark, attack.name, &attack.tried, attack.layer, &refusal]);
        }
        writeln!(f, "\n{table}\n")?;
        for stage in &self.stages {
            let good = stage.checks.iter().filter(|check| check.ok).count();
            writeln!(
                f,
                "  {} {:<10} {good} of {} as expected, {:.1} s",
                mark(stage.passed()),
                stage.title,
                stage.checks.len(),
                stage.seconds
            )?;
        }
        let stopped = self.attacks.iter().filter(|attack| attack.stopped).count();
        let all = stopped == self.attacks.len();
        writeln!(
            f,
            "  {} {:<10} {stopped} of {} stopped by the layer named",
            mark(all),
            "Attacks",
            self.attacks.len()
        )?;
        if let Some(kept) = &self.kept {
            writeln!(f, "\nKeys, images, database and logs: {}", kept.display())?;
        }
        match self.passed {
            true => write!(f, "\n{GREEN}{BOLD}Every layer did its job{BOLD:#}{GREEN:#} in {:.1} s.", self.seconds),
            false => {
                write!(f, "\n{RED}Something did not end as expected{RED:#} ({:.1} s); see FAILED above.", self.seconds)
            }
        }
    }
}
