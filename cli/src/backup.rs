//! `cotter backup`: backups of a server, on its host.

use crate::output::{self, Format};
use cotter_server::backup_command::BackupCommand;

/// Back a server up, restore it, and drill the restoring
///
/// On the server's host, with its configuration; `cotter-server backup` is the same. The server may be running.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: BackupCommand,
}

pub(crate) fn run(args: Args, format: Format) -> anyhow::Result<bool> {
    output::value(&args.command.run()?, format)?;
    Ok(true)
}
