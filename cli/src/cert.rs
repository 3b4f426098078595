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
use cotter_factory::pki::{Certificate, DateTime, Validity};
use cotter_factory::private_key::PrivateKey;
use cotter_factory::public_key::KeyKind;
use cotter_formats::secure_boot::v2::Curve;
use zeroize::Zeroizing;

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
    /// ECDSA P-192: refused
    P192,
    /// RSA-2048
    Rsa2048,
    /// RSA-3072
    Rsa3072,
    /// RSA-4096
    Rsa4096,
}

impl Kind {
    fn generate(self) -> anyhow::Result<PrivateKey> {
        Ok(PrivateKey::generate(match self {
            Self::P256 => KeyKind::Ecdsa(Curve::P256),
            Self::P384 => KeyKind::Ecdsa(Curve::P384),
            Self::P192 => KeyKind::Ecdsa(Curve::P192),
            Self::Rsa2048 => KeyKind::Rsa(2048),
            Self::Rsa3072 => KeyKind::Rsa(3072),
            Self::Rsa4096 => KeyKind::Rsa(4096),
        })?)
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

/// Where the password of a private key comes from: never from the command line, which other users can read.
#[derive(clap::Args)]
struct Password {
    /// Password of the private key: the first line of this file.
    #[arg(long, value_name = "FILE")]
    password_file: Option<File>,
    /// Password of the private key: the value of this environment variable.
    #[arg(long, value_name = "VARIABLE", conflicts_with = "password_file")]
    password_env: Option<String>,
}

impl Password {
    /// The password, if one is named.
    fn named(&self) -> anyhow::Result<Option<Zeroizing<Vec<u8>>>> {
        if let Some(variable) = &self.password_env {
            let value = std::env::var(variable).with_context(|| format!("environment variable {variable}"))?;
            return Ok(Some(Zeroizing::new(value.into_bytes())));
        }
        let Some(file) = &self.password_file else { return Ok(None) };
        let text = Zeroizing::new(file.read()?);
        Ok(Some(Zeroizing::new(first_line(&text).to_vec())))
    }

    /// Reads a private key; asks for its password on a terminal if it needs one that nobody named.
    fn read_key(&self, file: &File) -> anyhow::Result<PrivateKey> {
        use cotter_factory::private_key::PrivateKeyError;
        let pem = Zeroizing::new(file.read()?);
        let named = self.named()?;
        match PrivateKey::from_pem(&pem, named.as_ref().map(|password| password.as_slice())) {
            Err(PrivateKeyError::PasswordNeeded) => {
                let password = ask(&format!("Password of {file}: "))?;
                Ok(PrivateKey::from_pem(&pem, Some(&password)).with_context(|| file.to_string())?)
            }
            other => other.with_context(|| file.to_string()),
        }
    }
}

/// The password of a key that is about to be written.
fn new_password(named: &Password) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let password = match named.named()? {
        Some(password) => password,
        None => {
            let first = ask("New password: ")?;
            anyhow::ensure!(first == ask("The same again: ")?, "the two passwords differ");
            first
        }
    };
    anyhow::ensure!(!password.is_empty(), "the password is empty");
    Ok(password)
}

fn ask(question: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    crate::output::secret(question)
        .context("no terminal to ask for the password on")
        .context(Help("name where it is with --password-file or --password-env"))
}

fn first_line(text: &[u8]) -> &[u8] {
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
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

/// Reads every certificate of a file.
fn read_certificates(file: &File) -> anyhow::Result<Vec<Certificate>> {
    Certificate::read_all(&file.read()?).with_context(|| file.to_string())
}

/// Encodes a certificate or request: DER if the file's name says so, else PEM.
fn encoding<'a>(file: &File, pem: &'a str, der: &'a [u8]) -> &'a [u8] {
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
