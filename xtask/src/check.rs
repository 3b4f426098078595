//! What needs no test run: formatting, lints, floors, licences, sources, advisories, file rules.
//!
//! Licences, sources and advisories are what cargo-deny checks, done from `cargo metadata` so that a bare Rust toolchain
//! is enough. The advisories are a committed snapshot (`cargo xtask advisories` renews it).

mod claims;
mod files;
mod floors;
mod header;
mod licence;
mod packages;

use std::time::Instant;

use anyhow::{Result, bail};

use crate::advisories::Snapshot;
use crate::workspace::{cargo, files as repository_files, output, root, run as run_command};

/// Runs every rule, also after one has failed.
pub(crate) fn run() -> Result<()> {
    crate::tools::libraries()?;
    let mut failed = Vec::new();
    let mut rule = |name: &'static str, rule: &mut dyn FnMut() -> Result<Report>| {
        let start = Instant::now();
        let outcome = rule();
        let seconds = start.elapsed().as_secs_f32();
        match outcome {
            Ok(report) if report.problems.is_empty() => {
                println!("  ok      {name:<11} {:<52} {seconds:5.1} s", report.claim)
            }
            Ok(report) => {
                println!("  FAILED  {name:<11} {:<52} {seconds:5.1} s", report.claim);
                report.problems.iter().for_each(|problem| println!("          - {problem}"));
                failed.push(name);
            }
            Err(error) => {
                println!("  FAILED  {name:<11} {:<52} {seconds:5.1} s", "");
                format!("{error:#}").lines().for_each(|line| println!("          {line}"));
                failed.push(name);
            }
        }
    };
    rule("formatting", &mut formatting);
    rule("floors", &mut || Ok(Report::new("imports go down; formats, wire, device are no_std", floors::problems()?)));
    match packages::Packages::read() {
        Ok(packages) => {
            rule("licences", &mut || {
                Ok(Report::new(format!("{} locked packages", packages.count()), packages.licence_problems()))
            });
            rule("sources", &mut || Ok(Report::new("crates.io or this repository", packages.source_problems())));
            rule("advisories", &mut || {
                let snapshot = Snapshot::read()?;
                let claim = format!("{} known on {}", snapshot.advisories.len(), snapshot.date);
                Ok(Report::new(claim, packages.advisory_problems(&snapshot)))
            });
        }
        Err(error) => rule("packages", &mut || bail!("{error:#}")),
    }
    rule("claims", &mut || {
        let (count, problems) = claims::problems()?;
        Ok(Report::new(format!("{count} tests that documents name are there"), problems))
    });
    rule("header", &mut || {
        let (count, problems) = header::problems()?;
        Ok(Report::new(format!("{count} declarations of the C header and the library agree"), problems))
    });
    let mut warnings = Vec::new();
    rule("files", &mut || {
        let findings = files::findings()?;
        warnings = findings.warnings;
        Ok(Report::new("nothing unfinished, no machine's paths", findings.problems))
    });
    rule("clippy", &mut clippy);
    warnings.iter().for_each(|warning| println!("  warning {warning}"));
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// What a rule claims, and what stands against it.
struct Report {
    claim: String,
    problems: Vec<String>,
}

impl Report {
    fn new(claim: impl Into<String>, problems: Vec<String>) -> Self {
        Self { claim: claim.into(), problems }
    }
}

/// Every workspace of the repository, including those without a lock file of their own yet.
fn formatting() -> Result<Report> {
    let mut problems = Vec::new();
    let mut count = 0;
    for manifest in repository_files()?.iter().filter(|file| file.ends_with("Cargo.toml")) {
        let text = std::fs::read_to_string(root().join(manifest)).unwrap_or_default();
        if !text.lines().any(|line| line.trim() == "[workspace]") {
            continue;
        }
        count += 1;
        let listed = output(
            cargo().args(["fmt", "--all", "--manifest-path"]).arg(root().join(manifest)).args(["--", "--check", "-l"]),
        );
        if let Err(error) = listed {
            let text = format!("{error:#}");
            let files = text.lines().filter(|line| line.ends_with(".rs")).map(|file| {
                let file = file.trim();
                file.strip_prefix(&format!("{}/", root().display())).unwrap_or(file).to_owned()
            });
            let before = problems.len();
            problems.extend(files);
            if problems.len() == before {
                problems.push(text);
            }
        }
    }
    problems.sort();
    problems.dedup();
    Ok(Report::new(format!("rustfmt of {count} workspaces"), problems))
}

/// The output is clippy's own, as it comes.
fn clippy() -> Result<Report> {
    run_command(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--features",
        "cotter/link-tls",
        "--locked",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))?;
    Ok(Report::new("all targets, no warnings", Vec::new()))
}
