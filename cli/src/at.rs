//! `cotter at`: the AT link between an ESP-AT module and its host.

mod device;
mod host;
mod key;
mod mode;

use crate::output::Format;

/// An ESP-AT module and its host, at both ends of a serial line.
#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    Device(device::Args),
    Host(host::Args),
    Key(key::Args),
}

pub(crate) fn run(verb: &Verb, format: Format) -> anyhow::Result<bool> {
    match verb {
        Verb::Device(args) => device::run(args, format),
        Verb::Host(args) => host::run(args, format),
        Verb::Key(args) => key::run(args, format),
    }
}
