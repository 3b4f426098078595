//! `cotter serve`: the server, in this process.

use crate::output;
use anyhow::Context;
use cotter_server::config::Config;
use cotter_server::server;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// Run the server that devices report to and update from.
///
/// Prints {"listening":"ADDRESS"}, with "mqtt" if it speaks MQTT, on stdout when it is ready, and logs JSON lines on stderr. SIGTERM or ctrl-c end it
/// in order. `cotter-server init` makes the configuration and its key files.
///
/// Example: cotter serve --config /etc/cotter/cotter.toml
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration file.
    #[arg(long, default_value = "cotter.toml")]
    config: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    tracing_subscriber::fmt()
        .json()
        .with_writer(std::io::stderr)
        // A log that cannot be written must not stop the server.
        .log_internal_errors(false)
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")))
        .init();
    let config =
        Config::read(&args.config).context(output::Help("`cotter-server init` makes a configuration to begin with"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // If nobody reads stdout, the server serves all the same.
    runtime.block_on(server::run(&config, |ready| drop(output::line(&ready.to_string()))))?;
    Ok(true)
}
