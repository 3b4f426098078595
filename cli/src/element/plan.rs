//! `cotter element plan`: what becomes of one part, reviewed before anything is written.

use super::bus::OnBus;
use crate::file::File;
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_device::atecc::command::zone::ReadConfig;
use cotter_factory::element::{Change, ElementPlan, IDENTITY, PlanError, Rehearsed, Template, TemplateError, rehearse};
use cotter_factory::output::Visibility;
use serde::Serialize;
use std::fmt;

/// Plan the personalisation of a secure element: what changes, in which steps, and what stays for ever.
///
/// Nothing is written to the part. The plan is for this part alone, as it is now. It is rehearsed on a simulated part that
/// begins with the same configuration: then what the product needs is tried (the key signs, certificates are stored), and
/// what nobody may do (new keys, reads, writes), and the power is cut before and after each command, and the work resumed.
/// A plan that does not come through is not written.
///
/// Without a template it is the built-in profile `identity`: slot 0 a key that signs and that nobody reads or replaces,
/// slot 6 the transport key, slots 8, 9, 10, 12 for certificates, slot 11 for the signer's public key, all others closed.
/// `cotter element template` prints it, to begin another one with.
///
/// Examples:
///
///   cotter element plan --bus /dev/i2c-1 -o part.plan.json
///
///   cotter element plan --bus 127.0.0.1:6080 --template product.toml -o part.plan.json
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    bus: OnBus,
    /// What the part is to be, in TOML [default: the profile identity].
    #[arg(long, value_name = "FILE")]
    template: Option<File>,
    /// Where to write the plan, `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: Option<File>,
    /// Replace a file that exists.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    if let Some(output) = &args.output {
        output.refuse_existing(args.force)?;
    }
    let template = match &args.template {
        Some(file) => {
            let text = String::from_utf8(file.read()?).with_context(|| format!("{file} is no text"))?;
            Template::from_toml(&text).with_context(|| file.to_string())
        }
        None => Template::from_toml(IDENTITY).context("the built-in template"),
    }
    .context(Help("`cotter element template` prints one to begin with"))?;
    let (mut element, _) = args.bus.open()?;
    let config = element.run(ReadConfig::default()).context("configuration zone")?;
    let plan = ElementPlan::new(template, config).map_err(explained)?;
    let rehearsed = rehearse(plan)?;
    let text = rehearsed.plan().to_json();
    if let Some(output) = &args.output {
        output.write_new(text.as_bytes(), Visibility::Public, args.force)?;
    }
    if args.output != Some(File::Standard) {
        output::value(&Shown::of(&rehearsed), format)?;
    }
    Ok(true)
}

fn explained(error: PlanError) -> anyhow::Error {
    let help = match &error {
        PlanError::Locked(_) | PlanError::SlotLocked(_) => {
            "a run that was cut short is finished by `cotter element apply` with its plan and its journal"
        }
        PlanError::Template(TemplateError::Findings(_)) => {
            "change the template, or name the finding in `accept = [...]` if it is meant"
        }
        _ => return error.into(),
    };
    anyhow::Error::new(error).context(Help(help))
}

/// A plan for whoever reviews it.
#[derive(Serialize)]
pub(super) struct Shown {
    template: String,
    model: &'static str,
    serial_number: String,
    digest: String,
    changes: Vec<Change>,
    steps: Vec<Step>,
    for_ever: Vec<String>,
    open: Vec<String>,
    rehearsal: Rehearsal,
}

#[derive(Serialize)]
struct Step {
    title: String,
    irreversible: bool,
}

#[derive(Serialize)]
struct Rehearsal {
    commands: usize,
    cuts: usize,
    trials: usize,
}

impl Shown {
    pub(super) fn of(rehearsed: &Rehearsed) -> Self {
        let (plan, verdict) = (rehearsed.plan(), rehearsed.verdict());
        let step = |step: &cotter_factory::element::ElementStep| Step {
            title: step.to_string(),
            irreversible: step.is_irreversible(),
        };
        Self {
            template: plan.template().name.clone(),
            model: plan.model(),
            serial_number: crate::image::hex(&plan.before().serial_number()),
            digest: plan.digest(),
            changes: plan.changes(),
            steps: plan.steps().iter().map(step).collect(),
            for_ever: plan.for_ever(),
            open: plan.open(),
            rehearsal: Rehearsal { commands: verdict.commands, cuts: verdict.cuts, trials: verdict.trials.len() },
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, serial number {}, as {}", self.model, self.serial_number, self.template)?;
        writeln!(f, "plan {}", self.digest)?;
        writeln!(f, "\nwhat changes")?;
        for Change { what, before, after } in &self.changes {
            writeln!(f, "  {what}\n    - {before}\n    + {after}")?;
        }
        writeln!(f, "\nsteps")?;
        for (index, step) in self.steps.iter().enumerate() {
            let mark = if step.irreversible { " (for ever)" } else { "" };
            writeln!(f, "  {:>2} {}{mark}", index + 1, step.title)?;
        }
        for (title, lines) in [("for ever", &self.for_ever), ("stays open", &self.open)] {
            writeln!(f, "\n{title}")?;
            lines.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        let Rehearsal { commands, cuts, trials } = self.rehearsal;
        write!(f, "\nrehearsed: {commands} commands, {cuts} power cuts that were resumed, {trials} trials")
    }
}
