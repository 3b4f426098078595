//! `cotter rehearse`: a device's whole birth on a virtual chip, and everything that must not work afterwards.

mod page;

use crate::file::File;
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_factory::output::Visibility;
use cotter_factory::plan::{Item, Plan, Step};
use cotter_factory::policy::{Birth, ProductError, ProductPolicy};
use cotter_factory::rehearse::{Aftermath, Depth, Fate, FirstBoot, RehearsalError, Verdict, rehearse_with};
use cotter_formats::efuse::lint::{Expectation, Severity, findings};
use cotter_formats::efuse::{EfuseBlock, EfuseImage, Field};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// Rehearse a product's burns and boots on a fresh virtual chip, before any real one is burned.
///
/// The policy names the chip, the images, the partition table, the keys and what is wanted of the eFuses. The same code
/// that burns silicon burns the virtual chip; then it boots, and copies of it are attacked: unsigned, wrongly signed,
/// modified, older and plaintext images, flash and key readout, a second burn, JTAG, the serial loader. Then the steps are taken
/// in every order that is wrong by one, and the power is cut during every burn and every write.
///
/// Exit status 1 if anything ends otherwise than it must. A wrong order that bricks the chip is a warning: it says what
/// not to do.
///
/// Example policy, in TOML:
///
///   chip = "esp32s3"
///   workflow = "production"                # or "development"
///   boot-image = "bootloader-signed.bin"
///   partition-table = "partitions.csv"
///   older-image = "app-older.bin"          # optional: is going back to it refused?
///   [[image]]
///   partition = "ota_0"
///   file = "app-signed.bin"
///   [keys]
///   digest0 = "secure-boot.pub.pem"        # secret keys that are not named are made for the rehearsal
///   [efuse]
///   nvs = "hmac"                           # as in `cotter efuse plan --policy`
///
/// With [first-boot] instead of [keys] and [efuse], the line burns nothing: the table says what the second stage was
/// compiled with, as `cotter chip boot --second-stage` reads it, the device switches it on at its first boot, and the
/// power is cut at every operation of that boot too.
///
/// Example: cotter rehearse product.toml --html rehearsal.html
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Write the verdict as one HTML page with the timeline and the final eFuse map.
    #[arg(long, value_name = "FILE")]
    html: Option<File>,
    /// The attacks only: no wrong orders, no power cuts.
    #[arg(long)]
    quick: bool,
    /// The product's policy, TOML; paths in it count from its folder.
    policy: PathBuf,
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let text = String::from_utf8(File::Path(args.policy.clone()).read()?).context("the policy is no text")?;
    let folder = args.policy.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let birth = ProductPolicy::from_toml(&text)
        .and_then(|policy| policy.birth(folder))
        .map_err(explained)
        .with_context(|| args.policy.display().to_string())?;
    let mut story = Story::of(&birth);
    let is_by_itself = birth.by_itself.is_some();
    let depth = if args.quick { Depth::Quick } else { Depth::Full };
    let mut progress = |what: &str| output::progress(format_args!("rehearsing: {what}"), format);
    let (passed, verdict) = match rehearse_with(birth, depth, &mut progress) {
        Ok(rehearsed) => (true, rehearsed.verdict().clone()),
        Err(RehearsalError::Failed(verdict)) => (false, *verdict),
        Err(error) => return Err(error.into()),
    };
    if is_by_itself {
        story.goes_on_with(&verdict.efuses);
    }
    let report = Report { passed, story, verdict };
    if let Some(file) = &args.html {
        file.write(page::html(&report).as_bytes(), Visibility::Public)?;
    }
    if args.html != Some(File::Standard) {
        output::value(&report, format)?;
    }
    Ok(passed)
}

fn explained(error: ProductError) -> anyhow::Error {
    let help = match &error {
        ProductError::KeyMissing(_) => Some("for a digest name the public key: digest0 = \"secure-boot.pub.pem\""),
        ProductError::BootImage(_) => {
            Some("name the signed image of the second stage; for V1 the file with its digest")
        }
        ProductError::NoImage(_) => Some("add [[image]] with the label of that partition and the signed application"),
        _ => None,
    };
    match help {
        Some(help) => anyhow::Error::new(error).context(Help(help)),
        None => error.into(),
    }
}

/// What was rehearsed, before it is consumed.
#[derive(Serialize)]
struct Story {
    chip: &'static str,
    version: String,
    /// Keys that exist for this rehearsal only.
    made: Vec<String>,
    steps: Vec<Told>,
    /// What stays open afterwards, and who can use it.
    open: Vec<String>,
}

/// One step.
#[derive(Serialize)]
struct Told {
    title: String,
    irreversible: bool,
    /// eFuse, value, meaning.
    burns: Vec<[String; 3]>,
    /// Of a write.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
}

impl Story {
    fn of(birth: &Birth) -> Self {
        let plan: &Plan = &birth.plan;
        let tell = |step: &Step| match step {
            Step::Burn { title, items, .. } => {
                let burns =
                    items.iter().map(|Item { name, value, meaning }| [name.clone(), value.clone(), meaning.clone()]);
                Told { title: (*title).to_owned(), irreversible: true, burns: burns.collect(), place: None }
            }
            Step::Write(piece) => {
                let kind = if piece.encrypted { "encrypted" } else { "plain" };
                let place = Some(format!("{} bytes at {}, {kind}", piece.bytes.len(), piece.at));
                Told { title: piece.what.clone(), irreversible: false, burns: Vec::new(), place }
            }
        };
        Self {
            chip: plan.chip().name(),
            version: birth.version.clone(),
            made: birth.made.clone(),
            steps: plan.steps().iter().map(tell).collect(),
            open: plan.efuses().open.clone(),
        }
    }
}

impl Story {
    /// What the device burned by itself, and what that leaves open.
    fn goes_on_with(&mut self, efuses: &EfuseImage) {
        let map = efuses.map();
        let settings = map.fields.iter().filter(|field| field.block == EfuseBlock::SETTINGS && !field.reserved);
        let burned = settings.filter(|field| field.len <= 32 && efuses.is_set(field));
        let row = |field: &Field| {
            [field.name.to_owned(), format!("{:#x}", efuses.value(field)), field.description().to_owned()]
        };
        let burns = burned.map(row).collect();
        let title = "first boot".to_owned();
        self.steps.push(Told { title, irreversible: true, burns, place: Some("by the device itself".to_owned()) });
        let found = findings(efuses, &Expectation::RELEASE);
        let open = found.iter().filter(|finding| finding.severity != Severity::Advice);
        self.open = open.map(|finding| format!("{} {}: {}", finding.at, finding.what, finding.rule.why())).collect();
    }
}

/// The verdict on one page.
#[derive(Serialize)]
struct Report {
    passed: bool,
    #[serde(flatten)]
    story: Story,
    #[serde(flatten)]
    verdict: Verdict,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, story, verdict } = self;
        writeln!(f, "\n{}, application {}", story.chip, story.version)?;
        if !story.made.is_empty() {
            writeln!(f, "made for this rehearsal only: {}", story.made.join(", "))?;
        }
        writeln!(f, "\nthe birth")?;
        for (number, step) in (1..).zip(&story.steps) {
            let kind = if step.irreversible { "burns, for ever" } else { "writes" };
            let place = step.place.as_deref().unwrap_or_default();
            writeln!(f, "  {number} {:<16} {kind} {place}", step.title)?;
            for [name, value, meaning] in &step.burns {
                writeln!(f, "      {name:<30} {value:<28} {meaning}")?;
            }
        }
        writeln!(f, "\nwhat was tried")?;
        for trial in &verdict.trials {
            let mark = if trial.passed() { "ok  " } else { "FAIL" };
            write!(f, "  {mark} {:<44} {}", trial.name, trial.seen)?;
            if !trial.passed() {
                write!(f, " (must be: {})", trial.expected)?;
            }
            writeln!(f)?;
        }
        if !verdict.orders.is_empty() {
            writeln!(f, "\nsteps in a wrong order")?;
        }
        for order in &verdict.orders {
            let mark = if order.fate == Fate::Bricked { "BRICK" } else { "     " };
            writeln!(f, "  {mark} {:<52} {}", order.steps.join(" > "), order.fate.as_str())?;
        }
        let cuts = &verdict.cuts;
        if cuts.operations == 0 {
            writeln!(f, "\nnot tried: steps in a wrong order, power cuts")?;
        } else {
            let total = cuts.burns + cuts.writes;
            let operations = cuts.operations;
            writeln!(f, "\npower cuts at each of {operations} operations, before, torn and after")?;
            writeln!(f, "  {} during burns, {} during writes", cuts.burns, cuts.writes)?;
            writeln!(f, "  {} of {total} births came right when they were repeated", cuts.finished)?;
            for (at, times) in page::counted(&cuts.unprotected) {
                writeln!(f, "  locked before the last protection was burned: {at}, {times} times")?;
            }
            for lost in &cuts.lost {
                writeln!(f, "  FAIL {lost}")?;
            }
        }
        if let Some(first) = &verdict.first_boot {
            let FirstBoot { operations, cuts, comes_back, incomplete, stays } = first;
            writeln!(f, "\nfirst boot, by the device itself: the power cut at each of {operations} operations")?;
            writeln!(f, "  {comes_back} of {cuts} times it came back by itself")?;
            for Aftermath { what, times } in incomplete {
                writeln!(f, "  {times} times it runs, but without {what}")?;
            }
            for Aftermath { what, times } in stays {
                writeln!(f, "  {times} times not: {what}")?;
            }
        }
        if !story.open.is_empty() {
            writeln!(f, "\nstays open")?;
        }
        for open in &story.open {
            writeln!(f, "  {open}")?;
        }
        let bricks = verdict.orders.iter().filter(|order| order.fate == Fate::Bricked).count();
        let said = if *passed { "REHEARSED: this plan can be burned" } else { "NOT REHEARSED: do not burn this plan" };
        write!(f, "\n{said}")?;
        let stays: usize = verdict.first_boot.iter().flat_map(|first| &first.stays).map(|stays| stays.times).sum();
        if stays > 0 {
            write!(f, "; after {stays} power cuts at its first boot a device does not come back by itself")?;
        }
        if bricks > 0 {
            write!(f, "; {bricks} wrong orders of its steps would brick the chip")?;
        }
        Ok(())
    }
}
