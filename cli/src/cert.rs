//! `cotter cert`: the product's PKI, the chains that servers show, and the trust anchors that devices carry.

mod authority;
mod bundle;
mod chain;
mod contents;
mod csr;
mod fetch;
mod issue;
mod pack;
mod show;

use crate::file::File;
use crate::output::{Format, Help};
use anyhow::Context;
use cotter_factory::pki::name::NameError;
use cotter_factory::pki::{Certificate, DateTime, PkiError, Purpose, Validity};
use cotter_factory::private_key::{PrivateKey, PrivateKeyError};
use cotter_factory::public_key::KeyKind;
use cotter_formats::secure_boot::v2::Curve;

/// Make certificate authorities, issue certificates, verify chains, fetch trust anchors, build bundles, pack partitions.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Bundle(bundle::Args),
    Ca(authority::Args),
    Chain(chain::Args),
    Csr(csr::Args),
    Fetch(fetch::Args),
    Issue(issue::Args),
    Pack(Box<pack::Args>),
    Show(contents::Args),
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    match &args.verb {
        Verb::Bundle(args) => bundle::run(args, format),
        Verb::Ca(args) => authority::run(args, format),
        Verb::Chain(args) => chain::run(args, format),
        Verb::Csr(args) => csr::run(args, format),
        Verb::Fetch(args) => fetch::run(args, format),
        Verb::Issue(args) => issue::run(args, format),
        Verb::Pack(args) => pack::run(args, format),
        Verb::Show(args) => contents::run(args, format),
    }
}

/// Keys that certificates are made for.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// ECDSA P-256
    P256,
    /// ECDSA P-384
    P384,
    /// ECDSA P-192, to refuse it with the reason
    #[value(hide = true)]
    P192,
    /// RSA-2048
    Rsa2048,
    /// RSA-3072
    Rsa3072,
    /// RSA-4096
    Rsa4096,
}

impl Kind {
    fn generate(self) -> Result<PrivateKey, PrivateKeyError> {
        PrivateKey::generate(match self {
            Self::P256 => KeyKind::Ecdsa(Curve::P256),
            Self::P384 => KeyKind::Ecdsa(Curve::P384),
            Self::P192 => KeyKind::Ecdsa(Curve::P192),
            Self::Rsa2048 => KeyKind::Rsa(2048),
            Self::Rsa3072 => KeyKind::Rsa(3072),
            Self::Rsa4096 => KeyKind::Rsa(4096),
        })
    }
}

/// What a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum For {
    /// A device: TLS client
    Device,
    /// A server: TLS server
    Server,
    /// Anything: no extended key usage
    Any,
}

impl For {
    const fn purpose(self) -> Option<Purpose> {
        match self {
            Self::Device => Some(Purpose::Client),
            Self::Server => Some(Purpose::Server),
            Self::Any => None,
        }
    }
}

/// How long something is valid.
#[derive(clap::Args)]
struct Life {
    /// Valid for so many days from now; the beginning is an hour ago, for clocks that are a little behind.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "no_expiry")]
    days: Option<u32>,
    /// No well-defined expiry, 99991231235959Z: for identities that devices are born with (IEEE 802.1AR).
    #[arg(long)]
    no_expiry: bool,
}

impl Life {
    /// What was asked for; else so many days, or as long as whoever signs it lives if that is less.
    fn validity(&self, default_days: u32, signer: Option<&Certificate>) -> anyhow::Result<Validity> {
        let now = cotter_factory::pki::now()?;
        if self.no_expiry {
            return Ok(Validity::forever(now)?);
        }
        if let Some(days) = self.days {
            return Ok(Validity::days(now, days)?);
        }
        let validity = Validity::days(now, default_days)?;
        let end = signer.map_or(DateTime::INFINITY, Certificate::not_after);
        Ok(Validity { not_after: validity.not_after.min(end), ..validity })
    }
}

/// The name beside `file` for what belongs to it: `ca.pem` gives `ca.key.pem` for `key`.
fn beside(file: &File, what: &str) -> anyhow::Result<File> {
    let File::Path(path) = file else {
        return Err(anyhow::anyhow!("the {what} needs a file of its own"))
            .context(Help("name it with an option, or write the certificate to a file"));
    };
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("certificate");
    Ok(File::Path(path.with_file_name(format!("{stem}.{what}.pem"))))
}

/// A refusal with the next step.
fn explained(refused: PkiError) -> anyhow::Error {
    let help = match &refused {
        PkiError::Expired(_) => "make a new CA: `cotter cert ca --key` keeps the key",
        PkiError::NotYet(_) => "compare this machine's clock with the CA's dates: `cotter cert chain CA`",
        PkiError::PathLength(_) => "make the parent with a larger --path-length, or this CA with a smaller one",
        PkiError::OtherKey => {
            "name the two files that belong together, as `cotter cert ca` wrote them: ca.pem, ca.key.pem"
        }
        PkiError::NotAuthority(_) => "name the certificate of the CA itself; `cotter cert ca` makes one",
        PkiError::Weak(..) => "take p256, p384, or RSA from 2048 bits on",
        PkiError::Possession(_) => "have it made again, by whoever holds the key: `cotter cert csr --key KEY`",
        PkiError::WantsAuthority(_) => "a CA below this one is made with `cotter cert ca --parent`",
        PkiError::RequestedName(_) => "say with --san which names the certificate is to have",
        PkiError::Compression(_) => "take a P-256 key and a P-256 CA, and another number of years",
        PkiError::Name(NameError::Order(_)) => "make the CA anew: devices could not find it by that name",
        _ => return refused.into(),
    };
    anyhow::Error::new(refused).context(Help(help))
}

/// Reads every certificate of a file.
pub(crate) fn read_certificates(file: &File) -> anyhow::Result<Vec<Certificate>> {
    Certificate::read_all(&file.read()?)
        .with_context(|| file.to_string())
        .context(Help("a certificate is a block BEGIN CERTIFICATE in PEM, or DER"))
}

/// Encodes a certificate or request: DER if the file's name says so, else PEM.
pub(crate) fn encoding<'a>(file: &File, pem: &'a str, der: &'a [u8]) -> &'a [u8] {
    let is_der = matches!(file, File::Path(path) if path.extension().is_some_and(|end| end == "der" || end == "cer"));
    if is_der { der } else { pem.as_bytes() }
}

/// `2026-11-21`, or that there is no end.
fn day(time: DateTime) -> String {
    if time == DateTime::INFINITY {
        return "never".to_owned();
    }
    format!("{:04}-{:02}-{:02}", time.year(), time.month(), time.day())
}
