//! The slim server binary: it links no signing code.

use clap::{Parser, Subcommand};
use cotter_server::config::Config;
use cotter_server::init::{InitOptions, init};
use cotter_server::server::{ready_line, run};
use cotter_wire::hex;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// The server that devices report to and update from.
#[derive(Parser)]
#[command(name = "cotter-server", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM; prints {"listening":"ADDRESS"} when ready.
    Serve {
        /// Configuration file.
        #[arg(long, default_value = "cotter.toml")]
        config: PathBuf,
    },
    /// Make key files and a configuration in a directory; prints the administrator's token, once.
    Init {
        /// The directory.
        directory: PathBuf,
        /// Address to listen on.
        #[arg(long, default_value = "127.0.0.1:8443")]
        listen: SocketAddr,
        /// Project name of the firmware.
        #[arg(long)]
        project: String,
        /// Public key of a manifest signer (PEM), relative to the directory; repeat for more.
        #[arg(long = "manifest-key", required = true)]
        manifest_keys: Vec<String>,
        /// How many of them must sign.
        #[arg(long, default_value_t = 1)]
        manifest_required: usize,
        /// Digest of a Secure Boot key that the fleet trusts (64 hexadecimal digits); repeat for more.
        #[arg(long = "secure-boot-digest", value_parser = digest)]
        secure_boot_digests: Vec<Digest>,
    },
}

#[derive(Clone)]
struct Digest([u8; 32]);

fn digest(text: &str) -> Result<Digest, &'static str> {
    hex::decode(text.as_bytes()).map(Digest).ok_or("expected 64 lower-case hexadecimal digits")
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .json()
        .with_writer(std::io::stderr)
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")))
        .init();
    match Arguments::parse().command {
        Command::Serve { config } => {
            let config = Config::read(&config)?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            // If nobody reads stdout, the server serves all the same.
            Ok(runtime.block_on(run(&config, |address| drop(say(&ready_line(address)))))?)
        }
        Command::Init { directory, listen, project, manifest_keys, manifest_required, secure_boot_digests } => {
            let secure_boot_digests = secure_boot_digests.into_iter().map(|digest| digest.0).collect();
            let options = InitOptions { listen, project, manifest_keys, manifest_required, secure_boot_digests };
            let made = init(&directory, &options)?;
            let line = serde_json::json!({
                "config": made.config,
                "enrolment_key": made.enrolment_key,
                "admin_token": *made.admin_token.reveal(),
                "audit_key": made.audit_key.to_string(),
            });
            Ok(say(&line.to_string())?)
        }
    }
}

fn say(line: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}
