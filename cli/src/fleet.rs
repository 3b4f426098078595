//! `cotter fleet`: the devices that a server knows, and who may operate it.

mod bridge;
mod command;
mod device;
mod device_key;
mod ecowatt;
mod rotate;
mod simulate;
mod tag;
mod token;
mod trust;
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
    #[command(subcommand)]
    Bridge(bridge::Verb),
    #[command(subcommand)]
    Command(command::Verb),
    /// Show what the server is alarmed about: replays, forgeries, jumps of nonces, rollbacks, old keys
    ///
    /// Exit status 1 if there is anything.
    Alerts,
    Device(device::One),
    #[command(subcommand)]
    DeviceKey(device_key::Verb),
    Devices(device::Many),
    #[command(subcommand)]
    Ecowatt(ecowatt::Verb),
    Enrol(device::Enrol),
    History(device::History),
    /// Show since when the server's keys are in use, and how many devices have old ones
    ///
    /// Exit status 1 if any is due for rotation.
    Keys,
    MinimumProtocol(device::MinimumProtocol),
    Readings(device::Readings),
    #[command(subcommand)]
    Rotate(rotate::Verb),
    Simulate(simulate::Args),
    #[command(subcommand)]
    Tag(tag::Verb),
    #[command(subcommand)]
    Token(token::Verb),
    #[command(subcommand)]
    Trust(trust::Verb),
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let server = &args.server;
    match &args.verb {
        Verb::Bridge(verb) => bridge::run(verb, &mut server.open()?, format),
        Verb::Command(verb) => command::run(verb, &mut server.open()?, format),
        Verb::MinimumProtocol(args) => device::minimum_protocol(args, &mut server.open()?, format),
        Verb::Alerts => watch::alerts(&mut server.open()?, format),
        Verb::Keys => watch::keys(&mut server.open()?, format),
        Verb::Device(args) => device::one(args, &mut server.open()?, format),
        Verb::DeviceKey(verb) => device_key::run(verb, &mut server.open()?, format),
        Verb::Devices(args) => device::many(args, &mut server.open()?, format),
        Verb::Ecowatt(verb) => ecowatt::run(verb, &mut server.open()?, format),
        Verb::Enrol(args) => device::enrol(args, &mut server.open()?, format),
        Verb::History(args) => device::history(args, &mut server.open()?, format),
        Verb::Readings(args) => device::readings(args, &mut server.open()?, format),
        Verb::Rotate(verb) => rotate::run(verb, &mut server.open()?, format),
        Verb::Simulate(args) => simulate::run(args, server, format),
        Verb::Tag(verb) => tag::run(verb, &mut server.open()?, format),
        Verb::Token(verb) => token::run(verb, &mut server.open()?, format),
        Verb::Trust(verb) => trust::run(verb, &mut server.open()?, format),
    }
}
