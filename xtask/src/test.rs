//! The whole run, with a summary: what `.ci/run` calls.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::firmware::{self, Checked};
use crate::workspace::{cargo, run as run_command};
use crate::{check, link_c, tools, transcript};

/// How a step ended.
enum Outcome {
    Passed(String),
    Failed(String),
    /// It needs something this machine lacks. Allowed on a desk, a failure in CI.
    NotRun(String),
}

impl From<Checked> for Outcome {
    fn from(checked: Checked) -> Self {
        match checked {
            Checked::Holds(words) => Self::Passed(words),
            Checked::NotRun(words) => Self::NotRun(words),
        }
    }
}

/// Runs every step, also after one has failed; the summary comes last.
pub(crate) fn run() -> Result<()> {
    let start = Instant::now();
    let mut rows = Vec::new();
    step(&mut rows, "check", || {
        check::run().map(|()| Outcome::Passed("formatting, lints, floors, packages, files".into()))
    });
    step(&mut rows, "tools", || tools::install().map(Outcome::Passed));
    step(&mut rows, "tests", || {
        run_command(cargo().args([
            "test",
            "--workspace",
            "--features",
            "cotter/link-tls",
            "--locked",
            "--no-fail-fast",
        ]))?;
        Ok(Outcome::Passed("unit, property, corpus, power-cut, interop and end-to-end tests".into()))
    });

    step(&mut rows, "transcript", || transcript::check().map(Outcome::Passed));
    step(&mut rows, "no_std", || firmware::no_alloc_check().map(Outcome::from));
    step(&mut rows, "firmware", || firmware::check().map(Outcome::from));
    step(&mut rows, "firmware run", || firmware::execute().map(Outcome::from));
    step(&mut rows, "link in C", || link_c::check().map(Outcome::from));

    heading("summary");
    for row in &rows {
        let (verdict, words) = match &row.outcome {
            Outcome::Passed(words) => ("passed", words),
            Outcome::Failed(words) => ("FAILED", words),
            Outcome::NotRun(words) => ("NOT RUN", words),
        };
        println!(
            "  {verdict:<8} {:<12} {:>7.1} s  {}",
            row.name,
            row.took.as_secs_f32(),
            words.lines().next().unwrap_or("")
        );
    }
    println!("  {:<21} {:>7.1} s", "total", start.elapsed().as_secs_f32());
    let failed = rows.iter().filter(|row| matches!(row.outcome, Outcome::Failed(_))).count();
    let not_run = rows.iter().filter(|row| matches!(row.outcome, Outcome::NotRun(_))).count();
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    if failed > 0 {
        bail!("{failed} of {} steps failed", rows.len());
    }
    if not_run > 0 && in_ci {
        bail!("{not_run} of {} steps could not run, and CI=true", rows.len());
    }
    Ok(())
}

struct Row {
    name: &'static str,
    took: Duration,
    outcome: Outcome,
}

fn step(rows: &mut Vec<Row>, name: &'static str, work: impl FnOnce() -> Result<Outcome>) {
    heading(name);
    let start = Instant::now();
    let outcome = work().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
    match &outcome {
        Outcome::Passed(_) => {}
        Outcome::Failed(words) => println!("FAILED: {words}"),
        Outcome::NotRun(words) => println!("NOT RUN: {words}"),
    }
    rows.push(Row { name, took: start.elapsed(), outcome });
}

fn heading(name: &str) {
    println!("\n== {name} {}", "=".repeat(76 - name.len()));
}
