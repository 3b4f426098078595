//! `cotter at`: the AT link between an ESP-AT module and its host.

mod host;
mod mode;

use crate::output::Format;

/// Talk to an ESP-AT module over an encrypted serial line.
#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    Host(host::Args),
}

pub(crate) fn run(verb: &Verb, format: Format) -> anyhow::Result<bool> {
    match verb {
        Verb::Host(args) => host::run(args, format),
    }
}
