//! `cotter element`: a secure element, ATECC508A, ATECC608A or ATECC608B, simulated or on a bus.

mod apply;
mod attached;
mod bus;
mod certificate;
mod csr;
mod lock;
mod plan;
mod public_key;
mod show;
mod simulate;
mod template;
mod token;
mod transport_key;
mod workpiece;

pub(crate) use attached::{Attached, Attachment};

use crate::image::hex;
use crate::output::{Format, Help};
use anyhow::Context;
use cotter_chip::atecc::{Entropy, Model, SecureElement};
use cotter_device::platform::Random;
use cotter_twin::random::HostRandom;
use std::path::Path;

/// Personalise a secure element (ATECC508A, ATECC608A, ATECC608B), look at it, or simulate one.
#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    Apply(apply::Args),
    Certificate(certificate::Args),
    Csr(csr::Args),
    Lock(lock::Args),
    Plan(plan::Args),
    PublicKey(public_key::Args),
    Show(show::Args),
    Simulate(simulate::Args),
    Template(template::Args),
    Token(token::Args),
}

pub(crate) fn run(verb: &Verb, format: Format) -> anyhow::Result<bool> {
    match verb {
        Verb::Apply(args) => apply::run(args, format),
        Verb::Certificate(args) => certificate::run(args, format),
        Verb::Csr(args) => csr::run(args, format),
        Verb::Lock(args) => lock::run(args, format),
        Verb::Plan(args) => plan::run(args, format),
        Verb::PublicKey(args) => public_key::run(args, format),
        Verb::Show(args) => show::run(args, format),
        Verb::Simulate(args) => simulate::run(args, format),
        Verb::Template(args) => template::run(args, format),
        Verb::Token(args) => token::run(args, format),
    }
}

/// The part in a file, or a new one if the file is not there yet.
fn load_or_make(path: &Path, model: Model, serial: Option<[u8; 6]>) -> anyhow::Result<SecureElement> {
    if path.exists() {
        anyhow::ensure!(serial.is_none(), "{} exists, and the part in it has its serial number", path.display());
        return SecureElement::load(path, Entropy::system())
            .with_context(|| path.display().to_string())
            .context(Help("name a file that cotter element simulate made, or one that does not exist yet"));
    }
    let mut unique = serial.unwrap_or_default();
    if serial.is_none() {
        HostRandom::default().fill(&mut unique);
    }
    Ok(SecureElement::fresh(model, unique, Entropy::system()))
}

/// What its serial number and its locks say.
fn describe(part: &SecureElement) -> Described {
    let config = part.config();
    Described {
        serial_number: hex(&config.serial_number()),
        revision: hex(&config.revision()),
        address: format!("{:02x}", config.address()),
        config_locked: config.is_config_locked(),
        data_locked: config.is_data_locked(),
    }
}

#[derive(serde::Serialize)]
struct Described {
    serial_number: String,
    revision: String,
    /// Seven bits, in hexadecimal.
    address: String,
    config_locked: bool,
    data_locked: bool,
}

impl std::fmt::Display for Described {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lock = |is_locked| if is_locked { "locked" } else { "unlocked" };
        write!(
            f,
            "serial number {}, address {}, configuration {}, data {}",
            self.serial_number,
            self.address,
            lock(self.config_locked),
            lock(self.data_locked)
        )
    }
}
