//! `cotter cert issue`: a certificate for a device or a server.

use super::authority::load;
use super::show::Shown;
use super::{For, Kind, Life, explained};
use crate::file::File;
use crate::key::{Password, read_private_key};
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_factory::output::Visibility;
use cotter_factory::pki::compressed::{LeafTemplate, dates_from};
use cotter_factory::pki::{AlternativeName, Certificate, Leaf, Name, Request};
use cotter_factory::private_key::PrivateKey;
use cotter_factory::public_key::PublicKey;
use serde::Serialize;
use std::fmt;
use zeroize::Zeroizing;

/// Issue a certificate for a device or a server.
///
/// The key is fresh (and goes beside the certificate: device.pem, device.key.pem), or is that of a request (--csr), of a
/// private key (--key) or of a public one (--public-key). The CA decides what the certificate is for: of a request, the
/// subject and the alternative names are taken, unless options say otherwise, and nothing else. A request with a weak
/// key, with a wrong signature, or for a CA is refused.
///
/// Example: cotter cert issue --ca ca.pem --ca-key ca.key.pem --subject CN=device-0001 -o device.pem
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The CA's certificate.
    #[arg(long, value_name = "FILE")]
    ca: File,
    /// The CA's private key.
    #[arg(long, value_name = "PEM")]
    ca_key: File,
    #[command(flatten)]
    password: Password,
    /// The request to grant.
    #[arg(long, value_name = "FILE", group = "source")]
    csr: Option<File>,
    /// The private key to certify; an encrypted one has the CA's password.
    #[arg(long, value_name = "PEM", group = "source")]
    key: Option<File>,
    /// The public key to certify: whoever has it proves nothing, so be sure where it comes from.
    #[arg(long, value_name = "PEM", group = "source")]
    public_key: Option<File>,
    /// The kind of fresh key.
    #[arg(long, value_name = "KIND", default_value = "p256", conflicts_with = "source")]
    kind: Kind,
    /// Whom it names: CN=device-0001 or /CN=device-0001/O=Acme.
    #[arg(long, value_name = "NAME", required_unless_present = "csr")]
    subject: Option<Name>,
    /// An alternative name, again and again: a host, an address, URI:..., email:...
    #[arg(long, value_name = "NAME")]
    san: Vec<AlternativeName>,
    /// What it is for; a server needs a host or an address.
    #[arg(long, value_name = "PURPOSE", value_delimiter = ',', default_value = "device")]
    purpose: Vec<For>,
    #[command(flatten)]
    life: Life,
    /// Make it fit into 72 bytes of a secure element (`cotter element certificate store --compressed`): from the last full
    /// hour for so many years, 0 for without end; P-256, and no alternative names.
    #[arg(long, value_name = "YEARS", value_parser = clap::value_parser!(u8).range(..128),
        conflicts_with_all = ["days", "no_expiry", "san"])]
    for_element: Option<u8>,
    /// Where to write the certificate; its name ends in .der for DER.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// Where to write the fresh key instead of beside the certificate.
    #[arg(long, value_name = "FILE", conflicts_with = "source")]
    key_out: Option<File>,
    /// Also write the chain in PEM: this certificate, then the CA's file, without a self-signed root.
    #[arg(long, value_name = "FILE")]
    chain: Option<File>,
    /// Replace files that exist.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let key_file = match (args.is_fresh(), &args.key_out) {
        (false, _) => None,
        (true, Some(file)) => Some(file.clone()),
        (true, None) => Some(super::beside(&args.output, "key")?),
    };
    for file in [Some(&args.output), key_file.as_ref(), args.chain.as_ref()].into_iter().flatten() {
        file.refuse_existing(args.force)?;
    }
    let ca = load(&args.ca, &args.ca_key, &args.password)?;
    let source = args.source()?;
    let leaf = args.leaf(&source, ca.certificate())?;
    let certificate = match args.for_element {
        Some(years) => {
            let template = args.template(&leaf)?;
            let dates = dates_from(cotter_factory::pki::now()?, years).map_err(|error| explained(error.into()))?;
            ca.issue_compressible(&source.public, &leaf.subject, template, dates)
        }
        None => ca.issue(&source.public, &leaf),
    }
    .map_err(explained)?;
    if let (Some(file), Some(key)) = (&key_file, &source.fresh) {
        file.write_new(key.to_pem()?.as_bytes(), Visibility::Secret, args.force)?;
    }
    let pem = certificate.to_pem();
    let bytes = super::encoding(&args.output, &pem, certificate.as_der());
    args.output.write_new(bytes, Visibility::Public, args.force)?;
    if let Some(file) = &args.chain {
        let mut chain = pem.clone();
        for above in super::read_certificates(&args.ca)?.iter().filter(|above| !above.is_self_issued()) {
            chain.push_str(&above.to_pem());
        }
        file.write_new(chain.as_bytes(), Visibility::Public, args.force)?;
    }
    if certificate.not_after() > ca.certificate().not_after() && !args.life.no_expiry {
        let end = super::day(ca.certificate().not_after());
        output::warning(format!("the certificate outlives its CA: no chain verifies after {end}"));
    }
    if matches!(args.output, File::Path(_)) {
        let made = Made {
            file: args.output.to_string(),
            key_file: key_file.map(|file| file.to_string()),
            chain_file: args.chain.as_ref().map(ToString::to_string),
            certificate: Shown::of(&certificate),
        };
        output::value(&made, format)?;
    }
    Ok(true)
}

/// The key that gets the certificate, and who asked for it.
struct Source {
    public: PublicKey,
    fresh: Option<PrivateKey>,
    request: Option<Request>,
}

impl Args {
    const fn is_fresh(&self) -> bool {
        self.csr.is_none() && self.key.is_none() && self.public_key.is_none()
    }

    fn source(&self) -> anyhow::Result<Source> {
        if let Some(file) = &self.csr {
            let request = Request::read(&file.read()?)
                .with_context(|| file.to_string())
                .context(Help("`cotter cert csr` and `openssl req -new` make requests"))?;
            let public = request.judge().map_err(explained).with_context(|| file.to_string())?;
            return Ok(Source { public, fresh: None, request: Some(request) });
        }
        if let Some(file) = &self.key {
            let public = read_private_key(file, &self.password)?.public().clone();
            return Ok(Source { public, fresh: None, request: None });
        }
        if let Some(file) = &self.public_key {
            let pem = Zeroizing::new(file.read()?);
            let public = PublicKey::from_pem(&pem).with_context(|| file.to_string())?;
            return Ok(Source { public, fresh: None, request: None });
        }
        let key = self.kind.generate()?;
        Ok(Source { public: key.public().clone(), fresh: Some(key), request: None })
    }

    /// What a compressed certificate can be for.
    fn template(&self, leaf: &Leaf) -> anyhow::Result<LeafTemplate> {
        let template = match self.purpose[..] {
            [For::Device] => Some(LeafTemplate::Device),
            [For::Any] => Some(LeafTemplate::Any),
            _ => None,
        };
        template
            .filter(|_| leaf.alternative_names.is_empty())
            .context("72 bytes are for a device or for anything, without alternative names")
            .context(Help("leave --purpose server away; have the request made without --san"))
    }

    fn leaf(&self, source: &Source, ca: &Certificate) -> anyhow::Result<Leaf> {
        let request = source.request.as_ref();
        let subject = match (&self.subject, request) {
            (Some(subject), _) => subject.clone(),
            (None, Some(request)) => request.subject().clone(),
            (None, None) => anyhow::bail!("the certificate needs a --subject"),
        };
        let alternative_names = match request {
            Some(request) if self.san.is_empty() => request.alternative_names().map_err(explained)?,
            _ => self.san.clone(),
        };
        if subject.is_empty() && alternative_names.is_empty() {
            return Err(anyhow::anyhow!("the request names nobody")).context(Help("say whom with --subject or --san"));
        }
        let server = self.purpose.contains(&For::Server);
        if server
            && !alternative_names.iter().any(|name| matches!(name, AlternativeName::Dns(_) | AlternativeName::Ip(_)))
        {
            return Err(anyhow::anyhow!(
                "a server's certificate without a host or an address is accepted by no client"
            ))
            .context(Help("say which with --san example.com"));
        }
        Ok(Leaf {
            subject,
            alternative_names,
            purposes: self.purpose.iter().filter_map(|purpose| purpose.purpose()).collect(),
            validity: self.life.validity(DAYS, Some(ca))?,
        })
    }
}

/// A year, as the getting-started guide's `-days 365`.
const DAYS: u32 = 365;

#[derive(Serialize)]
struct Made {
    file: String,
    key_file: Option<String>,
    chain_file: Option<String>,
    certificate: Shown,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.certificate)?;
        if let Some(file) = &self.key_file {
            write!(f, "\n{file}: its private key")?;
        }
        if let Some(file) = &self.chain_file {
            write!(f, "\n{file}: the chain")?;
        }
        Ok(())
    }
}
