//! `cotter fleet`: the devices that a server knows, and who may operate it.

mod device;
mod token;

use crate::output::Format;
use crate::remote::Server;

/// Look at devices, take them in, and say who may operate the server.
///
/// Needs a server, the CA that vouches for it, and a token: as options, or once and for all as COTTER_SERVER, COTTER_CA
/// and COTTER_TOKEN_FILE.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Device(device::One),
    Devices(device::Many),
    Enrol(device::Enrol),
    History(device::History),
    Readings(device::Readings),
    #[command(subcommand)]
    Token(token::Verb),
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let mut server = args.server.open()?;
    match &args.verb {
        Verb::Device(args) => device::one(args, &mut server, format),
        Verb::Devices(args) => device::many(args, &mut server, format),
        Verb::Enrol(args) => device::enrol(args, &mut server, format),
        Verb::History(args) => device::history(args, &mut server, format),
        Verb::Readings(args) => device::readings(args, &mut server, format),
        Verb::Token(verb) => token::run(verb, &mut server, format),
    }
}
