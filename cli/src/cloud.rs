//! `cotter cloud`: ready-made client credentials for teams that stay with a cloud.

mod aws;
mod azure;

use crate::file::File;
use crate::key::{Password, read_private_key};
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_factory::cloud::{ClientCertificate, CloudError};
use cotter_factory::output::Visibility;
use cotter_factory::pki::Certificate;
use cotter_factory::public_key::KeyKind;
use cotter_wire::cloud::azure::SymmetricKey;
use cotter_wire::ids::UnixTime;
use serde::Serialize;
use std::fmt;
use zeroize::Zeroizing;

/// Credentials for AWS IoT and Azure IoT out of a device's identity.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    #[command(subcommand)]
    Aws(aws::Verb),
    #[command(subcommand)]
    Azure(azure::Verb),
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    match &args.verb {
        Verb::Aws(verb) => aws::run(verb, format),
        Verb::Azure(verb) => azure::run(verb, format),
    }
}

/// Where the credentials go.
#[derive(clap::Args)]
struct Out {
    /// Where to write it, `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// Replace a file that exists.
    #[arg(long)]
    force: bool,
}

impl Out {
    /// Before work whose result would have nowhere to go.
    fn check(&self) -> anyhow::Result<()> {
        self.output.refuse_existing(self.force)
    }

    /// Writes a document as JSON, and says what it is.
    fn write(
        &self,
        document: &impl Serialize,
        visibility: Visibility,
        what: String,
        format: Format,
    ) -> anyhow::Result<bool> {
        let mut text = Zeroizing::new(serde_json::to_string_pretty(document)?);
        text.push('\n');
        self.write_text(&text, visibility, what, format)
    }

    fn write_text(&self, text: &str, visibility: Visibility, what: String, format: Format) -> anyhow::Result<bool> {
        self.output.write_new(text.as_bytes(), visibility, self.force)?;
        if self.output != File::Standard {
            output::value(&Made { file: self.output.to_string(), what }, format)?;
        }
        Ok(true)
    }
}

#[derive(Serialize)]
struct Made {
    file: String,
    what: String,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}

/// The device's certificate and where its private key is.
#[derive(clap::Args)]
struct Identity {
    /// The device's certificate, PEM or DER; in a file with several it is the first.
    #[arg(long, value_name = "FILE")]
    certificate: File,
    /// Its private key; it is checked that the two belong together.
    #[arg(long, value_name = "PEM", conflicts_with = "key_in", required_unless_present = "key_in")]
    key: Option<File>,
    /// Where the private key is if no file has it.
    #[arg(long, value_name = "PLACE")]
    key_in: Option<Place>,
    #[command(flatten)]
    password: Password,
}

/// Where a private key is that nobody reads.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Place {
    /// Encrypted NVS
    Nvs,
    /// The Digital Signature peripheral (RSA)
    Ds,
    /// The ECDSA peripheral
    EcdsaPeripheral,
    /// A secure element
    SecureElement,
}

/// How a document names the private key: a file, or a place.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum KeyLocation {
    File(String),
    In(&'static str),
}

/// An identity that was looked at.
struct Judged {
    certificate: ClientCertificate,
    location: KeyLocation,
}

impl Identity {
    fn judge(&self) -> anyhow::Result<Judged> {
        let certificates = Certificate::read_all(&self.certificate.read()?)
            .with_context(|| self.certificate.to_string())
            .context(Help("a certificate is a block BEGIN CERTIFICATE in PEM, or DER"))?;
        let first = certificates.first().with_context(|| format!("{}: no certificate", self.certificate))?;
        let key = self.key.as_ref().map(|file| read_private_key(file, &self.password)).transpose()?;
        let certificate =
            ClientCertificate::judge(first, key.as_ref(), cotter_factory::pki::now()?).map_err(explained)?;
        let location = match (&self.key, self.key_in) {
            (Some(file), _) => KeyLocation::File(file.to_string()),
            (None, Some(Place::Nvs)) => KeyLocation::In("nvs"),
            (None, Some(Place::Ds)) => KeyLocation::In("ds"),
            (None, Some(Place::EcdsaPeripheral)) => KeyLocation::In("ecdsa-peripheral"),
            (None, Some(Place::SecureElement) | None) => KeyLocation::In("secure-element"),
        };
        let is_rsa = matches!(certificate.kind, KeyKind::Rsa(_));
        if self.key_in.is_some_and(|place| matches!(place, Place::Ds) != is_rsa) {
            let kind = certificate.kind;
            let error = anyhow::anyhow!("{}: its key is {kind}, which cannot be there", self.certificate);
            return Err(error.context(Help("RSA keys are in the DS peripheral, all others anywhere else")));
        }
        Ok(Judged { certificate, location })
    }
}

/// Reads a symmetric key in base64; a line end behind it does not matter.
fn symmetric_key(file: &File) -> anyhow::Result<SymmetricKey> {
    let bytes = Zeroizing::new(file.read()?);
    SymmetricKey::from_base64(bytes.trim_ascii_end())
        .with_context(|| file.to_string())
        .context(Help("save the key as the portal shows it, one line of base64"))
}

/// When a token ends that is made now.
#[derive(clap::Args)]
struct Lifetime {
    /// How many hours it is valid.
    #[arg(long, value_name = "HOURS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=8760),
          conflicts_with = "expires_at")]
    hours: u16,
    /// When it ends, in Unix seconds.
    #[arg(long, value_name = "SECONDS")]
    expires_at: Option<u64>,
}

impl Lifetime {
    fn end(&self) -> UnixTime {
        let now = crate::moment::Moment::now().0;
        UnixTime(self.expires_at.unwrap_or_else(|| now.saturating_add(u64::from(self.hours) * 3600)))
    }
}

/// A refusal with the next step.
fn explained(refused: CloudError) -> anyhow::Error {
    let help = match &refused {
        CloudError::OtherKey => "name the two files that belong together, as `cotter cert issue` wrote them",
        CloudError::Expired { .. } => "have a new one issued: `cotter cert issue --csr`",
        CloudError::NotYet { .. } => "compare this machine's clock with the certificate: `cotter cert chain`",
        CloudError::NoName => "issue it for a subject with CN=, the device's name",
        CloudError::AuthorizerKey { .. } => "make one: `cotter key generate rsa2048 -o authorizer.pem`",
        _ => return refused.into(),
    };
    anyhow::Error::new(refused).context(Help(help))
}
