//! `cotter debug show`: what a certificate unlocks, and whether a chip would believe it.

use super::{Session, key_digest};
use crate::file::File;
use crate::image::hex;
use crate::key::Password;
use crate::output::{self, Format};
use anyhow::Context;
use cotter_formats::secure_debug::{DebugCertificate, Feature};
use serde::Serialize;
use std::fmt;

/// Show a debug certificate; verify it if the chip or the key is named.
///
/// The exit code is 1, with the reason, if it does not hold for them.
///
/// Example: cotter debug show --mac 30:ed:a0:ed:78:9c --digest sdc_digest.bin sdc_cert.bin
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    session: Session,
    /// The chip trusts this key: PEM, public or private.
    #[arg(long, value_name = "PEM", conflicts_with = "digest")]
    key: Option<File>,
    #[command(flatten)]
    password: Password,
    /// The chip trusts the key with this digest, 32 bytes as they are burned.
    #[arg(long, value_name = "FILE")]
    digest: Option<File>,
    /// The certificate, `-` for stdin.
    certificate: File,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let bytes = args.certificate.read()?;
    let certificate = DebugCertificate::parse(&bytes).with_context(|| args.certificate.to_string())?;
    let chip = args.session.chip_info(|| Ok(certificate.nonce))?;
    let trusted = match (&args.key, &args.digest) {
        (Some(file), _) => Some(key_digest(file, &args.password)?),
        (None, Some(file)) => {
            let bytes = file.read()?;
            let digest: Result<[u8; 32], _> = bytes.as_slice().try_into();
            Some(digest.ok().with_context(|| format!("{file}: a digest is 32 bytes, this file has {}", bytes.len()))?)
        }
        (None, None) => None,
    };
    let signature = chip.map(|chip| certificate.verify(&chip).err().map(|refusal| refusal.to_string()));
    let report = Report {
        file: args.certificate.to_string(),
        unlocks: Feature::ALL.into_iter().filter(|&f| certificate.unlock.has(f)).map(Feature::name).collect(),
        unknown_bits: certificate.unlock.has_unknown(),
        key_digest: hex(&certificate.key_digest()),
        nonce: hex(&certificate.nonce),
        key_trusted: trusted.map(|trusted| trusted == certificate.key_digest()),
        signature_valid: signature.as_ref().map(Option::is_none),
        refusal: signature.flatten(),
    };
    output::value(&report, format)?;
    Ok(report.key_trusted != Some(false) && report.signature_valid != Some(false))
}

#[derive(Serialize)]
struct Report {
    file: String,
    unlocks: Vec<&'static str>,
    unknown_bits: bool,
    key_digest: String,
    nonce: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_trusted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature_valid: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unlocks = if self.unlocks.is_empty() { "nothing".to_owned() } else { self.unlocks.join(", ") };
        let unknown = if self.unknown_bits { ", and bits that are not known" } else { "" };
        writeln!(f, "{}: unlocks {unlocks}{unknown}", self.file)?;
        writeln!(f, "key digest  {}", self.key_digest)?;
        write!(f, "nonce       {}", self.nonce)?;
        match self.key_trusted {
            Some(true) => write!(f, "\nthe chip trusts this key")?,
            Some(false) => write!(f, "\nBAD: the chip does not trust this key")?,
            None => {}
        }
        match (&self.refusal, self.signature_valid) {
            (Some(refusal), _) => write!(f, "\nBAD: {refusal}"),
            (None, Some(_)) => write!(f, "\nthe signature holds for this chip and session"),
            (None, None) => write!(f, "\nthe signature covers the chip: name it with --mac or --chip-info to verify"),
        }
    }
}
