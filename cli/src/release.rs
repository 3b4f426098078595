//! `cotter release`: signed offline, then brought to the server.

mod offer;
mod sign;
mod trust;

pub(crate) use offer::find;

use crate::output::Format;
use crate::remote::Server;

/// Sign releases offline, bring them to a server, and offer them.
///
/// `sign` and `trust` need no server; the others need a server, the CA that vouches for it, and a token: as
/// options, or as COTTER_SERVER, COTTER_CA and COTTER_TOKEN_FILE. The server checks every signature again and holds no
/// key that could make one.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    List,
    Publish(offer::Publish),
    Show(offer::Show),
    Sign(sign::Args),
    #[command(subcommand)]
    Trust(trust::Verb),
    Upload(offer::Upload),
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    match &args.verb {
        Verb::List => offer::list(&mut args.server.open()?, format),
        Verb::Publish(publish) => offer::publish(publish, &mut args.server.open()?, format),
        Verb::Show(show) => offer::show(show, &mut args.server.open()?, format),
        Verb::Sign(args) => sign::run(args, format),
        Verb::Trust(verb) => trust::run(verb, format),
        Verb::Upload(upload) => offer::upload(upload, &mut args.server.open()?, format),
    }
}
