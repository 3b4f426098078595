//! `cotter element template`: the built-in template, to begin another one with.

use crate::output::{self, Format};
use cotter_factory::element::{IDENTITY, Template};
use serde::Serialize;
use std::fmt;

/// Print the built-in template, which says what each slot of a secure element is for.
///
/// A slot is one of: identity (a private key that signs), agreement (a private key for ECDH), transport-key, certificate,
/// public-key (content: X and Y), count-limit (limit: how often keys with `limited = true` may be used), data (content,
/// read and write: everybody, encrypted or nobody; `lock = true`), closed. Also: address, watchdog (short, long), clock
/// (m0, m1, m2), counters, otp, accept (findings that are meant).
///
/// Example: cotter element template > product.toml
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(super) fn run(_args: &Args, format: Format) -> anyhow::Result<bool> {
    output::value(&Shown { template: Template::from_toml(IDENTITY)? }, format)?;
    Ok(true)
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shown {
    template: Template,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(IDENTITY.trim_end())
    }
}
