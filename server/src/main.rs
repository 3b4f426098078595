//! The slim server binary: it links no signing code.

use clap::{Args, Parser, Subcommand};
use cotter_server::admin_token::TokenRecord;
use cotter_server::administrator::{AdminName, Role};
use cotter_server::backup_command::BackupCommand;
use cotter_server::config::Config;
use cotter_server::host;
use cotter_server::init::{InitOptions, init_with};
use cotter_server::master::{Pkcs11, Source};
use cotter_server::reseal::{Resealed, reseal};
use cotter_server::server::run;
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
        /// Name of the first administrator, whose token is printed.
        #[arg(long, default_value = "admin")]
        admin: AdminName,
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
        #[command(flatten)]
        master: Box<MasterArgs>,
    },
    /// Seal every secret in the database anew under [keys] next_master; the server must not be running.
    ///
    /// The key is made if it is not there. If this is interrupted, give the command again; the server starts all the
    /// same. Afterwards, let master name the new key and take next_master out of the configuration.
    #[command(after_help = "Example:\n  echo 'next_master = \"master-2.key\"' goes below [keys] in cotter.toml\n  \
        cotter-server reseal --config cotter.toml")]
    Reseal {
        /// The configuration file.
        #[arg(long, default_value = "cotter.toml")]
        config: PathBuf,
    },
    /// Make, list and revoke administrators' tokens, on the host itself; also while the server runs.
    Token {
        /// The configuration file.
        #[arg(long, default_value = "cotter.toml")]
        config: PathBuf,
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Make, check and restore backups of the whole server, on the host itself; also while the server runs.
    Backup {
        #[command(subcommand)]
        command: BackupCommand,
    },
}

/// Where the master key is; without any of these in the file master.key.
#[derive(Args)]
struct MasterArgs {
    /// A variable of the environment holds the master key (64 hexadecimal digits), here and wherever the server runs.
    #[arg(long, value_name = "NAME", conflicts_with = "module")]
    master_env: Option<String>,
    /// A PKCS#11 token wraps the master key: the library that speaks to the token.
    #[arg(long = "master-pkcs11", value_name = "LIBRARY")]
    module: Option<PathBuf>,
    /// Label of the token.
    #[arg(long = "master-token", value_name = "LABEL", requires = "module")]
    token: Option<String>,
    /// Serial number of the token.
    #[arg(long = "master-serial", value_name = "SERIAL", requires = "module")]
    serial: Option<String>,
    /// Label of the AES-256 key on the token; made if it is not there.
    #[arg(long = "master-key-label", value_name = "LABEL", requires = "module", default_value = "cotter-master")]
    key: String,
    /// File of mode 600 with the token's PIN.
    #[arg(long = "master-pin-file", value_name = "FILE", requires = "module", conflicts_with = "pin_env")]
    pin_file: Option<PathBuf>,
    /// Variable of the environment with the token's PIN.
    #[arg(long = "master-pin-env", value_name = "NAME", requires = "module")]
    pin_env: Option<String>,
}

impl MasterArgs {
    fn source(self) -> std::io::Result<Source> {
        let Self { master_env, module, token, serial, key, pin_file, pin_env } = self;
        Ok(match (master_env, module) {
            (Some(name), _) => Source::Env(name),
            (None, Some(module)) => {
                // As the person means it: from here, not from the directory that is made.
                let (module, pin_file) = (std::path::absolute(module)?, pin_file.map(std::path::absolute).transpose()?);
                let wrapped = "master.wrapped".into();
                Source::Pkcs11(Box::new(Pkcs11 { module, token, serial, key, pin_file, pin_env, wrapped }))
            }
            (None, None) => Source::File("master.key".into()),
        })
    }
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a token and print it, once.
    Add {
        /// Whose it is.
        name: AdminName,
        /// viewer, operator, release-manager or admin.
        #[arg(long)]
        role: Role,
        /// How long it is valid; default: until it is revoked.
        #[arg(long)]
        days: Option<u32>,
    },
    /// List the tokens, without their secrets.
    List,
    /// Make a token void at once.
    Revoke {
        /// Whose.
        name: AdminName,
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
        // A log that cannot be written must not stop the server.
        .log_internal_errors(false)
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")))
        .init();
    match Arguments::parse().command {
        Command::Serve { config } => {
            let config = Config::read(&config)?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            // If nobody reads stdout, the server serves all the same.
            let ran = runtime.block_on(run(&config, |ready| drop(say(&ready.to_string()))));
            ran.map_err(|error| helped(error.next_step(), error))
        }
        Command::Init {
            directory,
            listen,
            admin,
            project,
            manifest_keys,
            manifest_required,
            secure_boot_digests,
            master,
        } => {
            let secure_boot_digests = secure_boot_digests.into_iter().map(|digest| digest.0).collect();
            let options = InitOptions { listen, admin, project, manifest_keys, manifest_required, secure_boot_digests };
            let made =
                init_with(&directory, &options, &master.source()?).map_err(|error| helped(error.next_step(), error))?;
            let line = serde_json::json!({
                "config": made.config,
                "enrolment_key": made.enrolment_key,
                "admin_token": *made.admin_token.reveal(),
                "audit_key": made.audit_key.to_string(),
            });
            Ok(say(&line.to_string())?)
        }
        Command::Reseal { config } => {
            let line = match reseal(&Config::read(&config)?).map_err(|error| helped(error.next_step(), error))? {
                Resealed::Now(secrets) => serde_json::json!({ "result": "resealed", "secrets": secrets }),
                Resealed::Before => serde_json::json!({ "result": "resealed-before" }),
            };
            Ok(say(&line.to_string())?)
        }
        Command::Token { config, command } => token(&Config::read(&config)?, command),
        Command::Backup { command } => Ok(say(&serde_json::to_string(&command.run()?)?)?),
    }
}

/// With the next step, where there is one.
fn helped(next: Option<&'static str>, error: impl std::error::Error + Send + Sync + 'static) -> anyhow::Error {
    match next {
        Some(next) => anyhow::anyhow!("{error}\nhelp: {next}"),
        None => error.into(),
    }
}

fn token(config: &Config, command: TokenCommand) -> anyhow::Result<()> {
    let store = host::open(config)?;
    let line = match command {
        TokenCommand::Add { name, role, days } => {
            let token = host::add_token(&store, name.clone(), role, days)?;
            serde_json::json!({ "name": name.as_str(), "role": role.as_str(), "token": *token.reveal() })
        }
        TokenCommand::List => {
            let document = |token: &TokenRecord| {
                serde_json::json!({ "name": token.name.as_str(), "role": token.role.as_str(),
                                    "added_at": token.added_at, "expires_at": token.expires_at })
            };
            host::tokens(&store)?.iter().map(document).collect()
        }
        TokenCommand::Revoke { name } => {
            host::revoke_token(&store, name.clone())?;
            serde_json::json!({ "revoked": name.as_str() })
        }
    };
    Ok(say(&line.to_string())?)
}

fn say(line: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}
