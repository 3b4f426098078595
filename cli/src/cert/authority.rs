//! `cotter cert ca`: a root CA, or an intermediate below one.

use super::show::Shown;
use super::{Kind, Life, explained};
use crate::file::File;
use crate::key::{Password, Protection, read_private_key};
use crate::output::{self, Format};
use anyhow::Context;
use cotter_factory::output::Visibility;
use cotter_factory::pki::{AuthorityPlan, Name, ProductCa};
use cotter_factory::private_key::PrivateKey;
use serde::Serialize;
use std::fmt;
use zeroize::Zeroizing;

/// Make a certificate authority: a self-signed root, or with --parent an intermediate that another CA signs.
///
/// The key goes beside the certificate (ca.pem, ca.key.pem), PKCS#8, readable by its owner only. Neither file is replaced
/// unless --force says so. A CA that issues leaves directly has path length 0, which is the default.
///
/// Example: cotter cert ca --subject "CN=Acme Root,O=Acme" --days 3650 -o ca.pem
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The CA's name: CN=Test CA,O=Acme or /CN=Test CA/O=Acme.
    #[arg(long, value_name = "NAME")]
    subject: Name,
    /// The kind of key to make.
    #[arg(long, value_name = "KIND", default_value = "p256")]
    kind: Kind,
    /// Use this private key instead of a fresh one.
    #[arg(long, value_name = "PEM", conflicts_with_all = ["kind", "encrypt", "key_out"])]
    key: Option<File>,
    /// The CA that signs this one; without it the CA is a root.
    #[arg(long, value_name = "CERTIFICATE", requires = "parent_key")]
    parent: Option<File>,
    /// The private key of --parent.
    #[arg(long, value_name = "PEM", requires = "parent")]
    parent_key: Option<File>,
    /// Password of --parent-key: the first line of this file. Else COTTER_KEY_PASSWORD, or it is asked for.
    #[arg(long, value_name = "FILE", requires = "parent")]
    parent_password_file: Option<File>,
    /// How many CAs may stand between this one and a device's certificate; `any` for no limit.
    #[arg(long, value_name = "COUNT", default_value = "0", value_parser = path_length)]
    path_length: PathLength,
    #[command(flatten)]
    life: Life,
    #[command(flatten)]
    protection: Protection,
    /// Where to write the certificate; its name ends in .der for DER.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// Where to write the key instead of beside the certificate.
    #[arg(long, value_name = "FILE")]
    key_out: Option<File>,
    /// Replace files that exist. The old key is lost.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy)]
struct PathLength(Option<u8>);

fn path_length(text: &str) -> Result<PathLength, String> {
    match text {
        "any" => Ok(PathLength(None)),
        number => number.parse().map(|length| PathLength(Some(length))).map_err(|_| "0 to 255, or any".to_owned()),
    }
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let key_file = match (&args.key, &args.key_out) {
        (Some(_), _) => None,
        (None, Some(file)) => Some(file.clone()),
        (None, None) => Some(super::beside(&args.output, "key")?),
    };
    // Refuse before a key is made, and before a password is asked for.
    for file in [Some(&args.output), key_file.as_ref()].into_iter().flatten() {
        file.refuse_existing(args.force)?;
    }
    let parent = args.parent.as_ref().zip(args.parent_key.as_ref());
    let parent_password = Password::in_file(args.parent_password_file.clone());
    let parent = parent.map(|(certificate, key)| load(certificate, key, &parent_password)).transpose()?;
    let (key, pem) = args.protection.existing_or(args.key.as_ref(), || args.kind.generate())?;
    let plan = AuthorityPlan {
        subject: args.subject.clone(),
        path_length: args.path_length.0,
        validity: args.life.validity(DAYS, parent.as_ref().map(ProductCa::certificate))?,
    };
    let ca = make(key, &plan, parent.as_ref())?;
    // The key first: a certificate whose key is lost is worse than a key without one.
    if let (Some(file), Some(pem)) = (&key_file, &pem) {
        file.write_new(pem.as_bytes(), Visibility::Secret, args.force)?;
    }
    let bytes = super::encoding(&args.output, ca.certificate_pem(), ca.certificate_der());
    args.output.write_new(bytes, Visibility::Public, args.force)?;
    if let Some(parent) = &parent
        && ca.certificate().not_after() > parent.certificate().not_after()
    {
        let end = super::day(parent.certificate().not_after());
        output::warning(format!("the CA outlives its parent: no chain verifies after {end}"));
    }
    if matches!(args.output, File::Path(_)) {
        let made = Made {
            file: args.output.to_string(),
            key_file: key_file.map(|file| file.to_string()),
            encrypted: args.protection.is_wanted(),
            certificate: Shown::of(ca.certificate()),
        };
        output::value(&made, format)?;
    }
    Ok(true)
}

fn make(key: PrivateKey, plan: &AuthorityPlan, parent: Option<&ProductCa>) -> anyhow::Result<ProductCa> {
    let made = match parent {
        Some(parent) => parent.intermediate(key, plan),
        None => ProductCa::root(key, plan),
    };
    made.map_err(explained)
}

/// A CA from its two files.
pub(super) fn load(certificate: &File, key: &File, password: &Password) -> anyhow::Result<ProductCa> {
    let pem = Zeroizing::new(certificate.read()?);
    let key = read_private_key(key, password)?;
    ProductCa::load(&pem, key).map_err(explained).with_context(|| certificate.to_string())
}

/// Ten years, as the getting-started guide's `-days 3650`.
const DAYS: u32 = 3650;

#[derive(Serialize)]
struct Made {
    file: String,
    key_file: Option<String>,
    encrypted: bool,
    certificate: Shown,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.file, self.certificate)?;
        match &self.key_file {
            Some(file) if self.encrypted => write!(f, "{file}: its private key, encrypted"),
            Some(file) => write!(f, "{file}: its private key"),
            None => f.write_str("its private key stays where it is"),
        }
    }
}
