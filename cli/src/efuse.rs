//! `cotter efuse`: what the eFuses of a chip say, what is wrong with them, what to burn, and burning it in a file.

mod apply;
mod command;
mod diff;
mod dump;
mod lint;
mod plan;
mod show;
mod source;

use crate::output::Format;
use anyhow::anyhow;
use cotter_formats::chip::Chip;

/// Show, convert, compare and burn eFuses in files: espefuse's virtual chip, dumps, tokens.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Apply(apply::Args),
    Diff(diff::Args),
    Dump(dump::Args),
    Lint(lint::Args),
    Plan(Box<plan::Args>),
    Show(show::Args),
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    match &args.verb {
        Verb::Apply(args) => apply::run(args, format),
        Verb::Diff(args) => diff::run(args, format),
        Verb::Dump(args) => dump::run(args, format),
        Verb::Lint(args) => lint::run(args, format),
        Verb::Plan(args) => plan::run(args, format),
        Verb::Show(args) => show::run(args, format),
    }
}

fn chip(name: &str) -> anyhow::Result<Chip> {
    let known = || Chip::ALL.map(Chip::name).join(", ");
    Chip::from_name(name).ok_or_else(|| anyhow!("{name} is none of {}", known()))
}
