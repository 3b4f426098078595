//! `cotter cert csr`: a request for a certificate, made for a key.

use super::{Kind, explained};
use crate::file::File;
use crate::key::Protection;
use crate::output::{self, Format};
use cotter_factory::output::Visibility;
use cotter_factory::pki::{AlternativeName, Name, Request};
use serde::Serialize;
use std::fmt;

/// Make a request for a certificate (PKCS#10), signed by the key that it is for.
///
/// Without --key a fresh key is made and goes beside the request (device.csr, device.key.pem).
///
/// Example: cotter cert csr --key device.key.pem --subject CN=device-0001 -o device.csr
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The private key; a fresh one without this.
    #[arg(long, value_name = "PEM", conflicts_with = "encrypt")]
    key: Option<File>,
    #[command(flatten)]
    protection: Protection,
    /// The kind of fresh key.
    #[arg(long, value_name = "KIND", default_value = "p256", conflicts_with = "key")]
    kind: Kind,
    /// Who it is to be: CN=device-0001 or /CN=device-0001/O=Acme.
    #[arg(long, value_name = "NAME")]
    subject: Name,
    /// An alternative name to ask for, again and again: a host, an address, URI:..., email:...
    #[arg(long, value_name = "NAME")]
    san: Vec<AlternativeName>,
    /// Where to write the request, `-` for stdout; its name ends in .der for DER.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// Replace files that exist.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let key_file = if args.key.is_none() { Some(super::beside(&args.output, "key")?) } else { None };
    for file in [Some(&args.output), key_file.as_ref()].into_iter().flatten() {
        file.refuse_existing(args.force)?;
    }
    let (key, pem) = args.protection.existing_or(args.key.as_ref(), || args.kind.generate())?;
    let request = Request::create(&key, &args.subject, &args.san).map_err(explained)?;
    if let (Some(file), Some(pem)) = (&key_file, &pem) {
        file.write_new(pem.as_bytes(), Visibility::Secret, args.force)?;
    }
    let pem = request.to_pem();
    args.output.write_new(super::encoding(&args.output, &pem, request.as_der()), Visibility::Public, args.force)?;
    if matches!(args.output, File::Path(_)) {
        let made = Made {
            file: args.output.to_string(),
            key_file: key_file.map(|file| file.to_string()),
            subject: args.subject.to_string(),
            key: key.public().kind().to_string(),
        };
        output::value(&made, format)?;
    }
    Ok(true)
}

#[derive(Serialize)]
struct Made {
    file: String,
    key_file: Option<String>,
    subject: String,
    key: String,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: request for {}, {}", self.file, self.subject, self.key)?;
        match &self.key_file {
            Some(file) => write!(f, "\n{file}: its private key"),
            None => Ok(()),
        }
    }
}
