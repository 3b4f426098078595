//! `cotter fleet`: the devices that a server knows, and who may operate it.

mod device;
mod token;
mod watch;

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
    /// Show what the server is alarmed about: replays, forgeries, jumps of nonces, rollbacks, old keys
    ///
    /// Exit status 1 if there is anything.
    Alerts,
    Device(device::One),
    Devices(device::Many),
    Enrol(device::Enrol),
    History(device::History),
    /// Show since when the server's keys are in use, and how many devices have old ones
    ///
    /// Exit status 1 if any is due for rotation.
    Keys,
    MinimumProtocol(device::MinimumProtocol),
    Readings(device::Readings),
    #[command(subcommand)]
    Token(token::Verb),
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let mut server = args.server.open()?;
    match &args.verb {
        Verb::Alerts => watch::alerts(&mut server, format),
        Verb::Device(args) => device::one(args, &mut server, format),
        Verb::Devices(args) => device::many(args, &mut server, format),
        Verb::Enrol(args) => device::enrol(args, &mut server, format),
        Verb::History(args) => device::history(args, &mut server, format),
        Verb::Keys => watch::keys(&mut server, format),
        Verb::MinimumProtocol(args) => device::minimum_protocol(args, &mut server, format),
        Verb::Readings(args) => device::readings(args, &mut server, format),
        Verb::Token(verb) => token::run(verb, &mut server, format),
    }
}
