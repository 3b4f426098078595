//! `cotter efuse lint`: every known way to brick a chip or leave it open, found in its eFuses or in a plan.

use super::source::Options;
use crate::file::File;
use crate::output::{self, Format, Help};
use anyhow::{Context, bail};
use cotter_factory::efuse::{
    EfusePlan, FlashEncryptionMode, ORDER_RULES, OrderFinding, SecureBootMode, order_findings, outcome,
};
use cotter_formats::efuse::EfuseImage;
use cotter_formats::efuse::lint::{Expectation, Finding, Fix, Profile, Rule, Severity, findings};
use serde::Serialize;
use std::fmt;

/// Hold eFuses against ESP-IDF's release-mode lists and every known way to brick a chip or leave it open.
///
/// Each finding says what, where, why it matters and what can still be done. `brick`: the chip does not boot, or a key
/// cannot do its work. `open`: somebody gets in. `advice`: worth knowing. Exit status 1 if anything is brick or open.
///
/// Examples:
///
///   cotter efuse lint --chip esp32c3 efuse.bin
///
///   cotter efuse lint --chip esp32 --without secure-boot --allow console-open efuse.bin
///
///   cotter efuse lint --plan plan.json
///
///   cotter efuse lint --rules
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The eFuses: a file, `-` for stdin, or a token itself. With --plan: the chip to start from [default: blank].
    #[arg(required_unless_present_any = ["plan", "rules"])]
    file: Option<File>,
    #[command(flatten)]
    options: Options,
    /// What the chip is meant for.
    #[arg(long, value_enum, default_value = "release")]
    expect: Expect,
    /// A feature that the product does not use; can be given twice.
    #[arg(long, value_enum, value_name = "FEATURE")]
    without: Vec<Feature>,
    /// A rule that may be broken, by its code; can be given more than once.
    #[arg(long, value_name = "CODE", value_parser = code)]
    allow: Vec<&'static str>,
    /// Lint a plan before it is burned: its order, and the chip that comes of it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["expect", "without"])]
    plan: Option<File>,
    /// List every rule with its severity, reason and source.
    #[arg(long, conflicts_with_all = ["file", "plan"])]
    rules: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Expect {
    /// On a desk: nothing may be broken.
    Development,
    /// In the field: nothing may be open either.
    Release,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Feature {
    SecureBoot,
    FlashEncryption,
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    if args.rules {
        output::value(&Rules(rules()), format)?;
        return Ok(true);
    }
    let report = match &args.plan {
        Some(plan) => of_plan(args, plan)?,
        None => of_chip(args)?,
    };
    output::value(&report, format)?;
    Ok(report.is_clean())
}

fn of_chip(args: &Args) -> anyhow::Result<Report> {
    let Some(file) = &args.file else { bail!("no eFuses are given") };
    let image = args.options.read(file)?.image;
    let expectation = Expectation {
        profile: match args.expect {
            Expect::Development => Profile::Development,
            Expect::Release => Profile::Release,
        },
        secure_boot: !args.without.contains(&Feature::SecureBoot),
        flash_encryption: !args.without.contains(&Feature::FlashEncryption),
    };
    let notes = findings(&image, &expectation).iter().map(Note::of).collect();
    Ok(Report::new(&image, &expectation, notes, &args.allow))
}

fn of_plan(args: &Args, file: &File) -> anyhow::Result<Report> {
    let plan = EfusePlan::from_json(&file.read()?)
        .with_context(|| file.to_string())
        .context(Help("make one with cotter efuse plan -o plan.json"))?;
    if let Some(chip) = args.options.chip.filter(|chip| *chip != plan.chip) {
        bail!("the plan is for an {}, not for an {chip}", plan.chip);
    }
    let image = match &args.file {
        Some(file) => Options { chip: Some(plan.chip), form: args.options.form }.read(file)?.image,
        None => EfuseImage::blank(plan.chip),
    };
    let expectation = Expectation {
        profile: match plan.policy.profile {
            cotter_factory::efuse::ProductProfile::Development => Profile::Development,
            cotter_factory::efuse::ProductProfile::Release => Profile::Release,
        },
        secure_boot: plan.policy.secure_boot != SecureBootMode::Off,
        flash_encryption: plan.policy.flash_encryption != FlashEncryptionMode::Off,
    };
    let mut notes: Vec<Note> = order_findings(&plan, &image).iter().map(Note::of_order).collect();
    // A plan that cannot be burned to its end has no outcome to judge.
    if let Ok(after) = outcome(&plan, &image) {
        notes.extend(findings(&after, &expectation).iter().map(Note::of));
    }
    Ok(Report::new(&image, &expectation, notes, &args.allow))
}

fn code(text: &str) -> Result<&'static str, String> {
    let order = ORDER_RULES.iter().map(|rule| rule.code()).find(|code| *code == text);
    Rule::from_code(text)
        .map(Rule::code)
        .or(order)
        .ok_or_else(|| "no such rule; see cotter efuse lint --rules".to_owned())
}

#[derive(Serialize)]
struct Report {
    chip: &'static str,
    expect: Expect,
    brick: usize,
    open: usize,
    advice: usize,
    findings: Vec<Note>,
    /// Broken, but allowed on the command line.
    allowed: Vec<Note>,
}

/// One finding.
#[derive(Serialize)]
struct Note {
    severity: &'static str,
    code: &'static str,
    at: String,
    what: String,
    why: &'static str,
    /// False if nothing can mend it; null if nothing has to.
    mendable: Option<bool>,
    fix: String,
}

impl Note {
    fn of(finding: &Finding) -> Self {
        Self {
            severity: finding.severity.name(),
            code: finding.rule.code(),
            at: finding.at.clone(),
            what: finding.what.clone(),
            why: finding.rule.why(),
            mendable: match finding.fix {
                Fix::Burn(_) => Some(true),
                Fix::Impossible(_) => Some(false),
                Fix::Unneeded => None,
            },
            fix: finding.fix.text().to_owned(),
        }
    }

    fn of_order(finding: &OrderFinding) -> Self {
        Self {
            severity: finding.rule.severity().name(),
            code: finding.rule.code(),
            at: finding.at.clone(),
            what: format!("in batch {}: {}", finding.batch, finding.what),
            why: finding.rule.why(),
            mendable: Some(true),
            fix: "make the plan again with cotter efuse plan; do not burn this one".to_owned(),
        }
    }
}

impl Report {
    fn new(image: &EfuseImage, expectation: &Expectation, notes: Vec<Note>, allow: &[&'static str]) -> Self {
        let (allowed, findings): (Vec<_>, Vec<_>) = notes.into_iter().partition(|note| allow.contains(&note.code));
        let count = |severity: Severity| findings.iter().filter(|note| note.severity == severity.name()).count();
        Self {
            chip: image.map().chip.name(),
            expect: match expectation.profile {
                Profile::Development => Expect::Development,
                Profile::Release => Expect::Release,
            },
            brick: count(Severity::Brick),
            open: count(Severity::Open),
            advice: count(Severity::Advice),
            findings,
            allowed,
        }
    }

    const fn is_clean(&self) -> bool {
        self.brick == 0 && self.open == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.findings {
            writeln!(f, "{:<6} {} {}  [{}]", note.severity, note.at, note.what, note.code)?;
            writeln!(f, "       {}", note.why)?;
            match note.mendable {
                Some(true) => writeln!(f, "       to do: {}", note.fix)?,
                Some(false) => writeln!(f, "       cannot be mended: {}", note.fix)?,
                None => {}
            }
        }
        for note in &self.allowed {
            writeln!(f, "allowed {} {}  [{}]", note.at, note.what, note.code)?;
        }
        let expect = match self.expect {
            Expect::Development => "development",
            Expect::Release => "release",
        };
        write!(f, "{}, {expect}: {} brick, {} open, {} advice", self.chip, self.brick, self.open, self.advice)
    }
}

#[derive(Serialize)]
struct Rules(Vec<RuleRow>);

#[derive(Serialize)]
struct RuleRow {
    code: &'static str,
    severity: &'static str,
    why: &'static str,
    source: &'static str,
}

fn rules() -> Vec<RuleRow> {
    let chip = Rule::ALL.iter().map(|rule| RuleRow {
        code: rule.code(),
        severity: rule.severity().name(),
        why: rule.why(),
        source: rule.source(),
    });
    let order = ORDER_RULES.iter().map(|rule| RuleRow {
        code: rule.code(),
        severity: rule.severity().name(),
        why: rule.why(),
        source: "order of a plan",
    });
    chip.chain(order).collect()
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self
            .0
            .iter()
            .map(|row| format!("{:<6} {:<29} {} ({})", row.severity, row.code, row.why, row.source))
            .collect();
        f.write_str(&lines.join("\n"))
    }
}
