//! `cotter cert show`: what an esp_secure_cert partition holds, and what is wrong with it.

mod describe;
mod legacy;

use crate::ds::{chip, read_hmac_key};
use crate::file::File;
use crate::image::hex;
use crate::key::{Password, public_key};
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_factory::certificate::Certificates;
use cotter_factory::output::Visibility;
use cotter_factory::secure_cert::open;
use cotter_formats::chip::Chip;
use cotter_formats::hmac_key::HmacKey;
use cotter_formats::secure_cert::{CustFlash, Inspection, TlvType, Weight, inspect};
use describe::KeyState;
use serde::Serialize;
use std::fmt;

/// Show an esp_secure_cert partition, of today's format or of the legacy formats cust_flash and nvs.
///
/// Checks every CRC, the integrity entry, the signatures, that what belongs together is there, and that the certificate is
/// for the key. With --hmac-key the protected keys are opened and tried too; nothing secret is printed. The exit code is 1
/// if the firmware would refuse something, a secret lies open that should not, or a signature does not hold.
///
/// Example: cotter cert show --chip esp32c3 --trust secure-boot.pub.pem esp_secure_cert.bin
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The chip; DS data must be for its peripheral.
    #[arg(long, value_parser = chip)]
    chip: Option<Chip>,
    /// The chip's HMAC key, 32 raw bytes: opens DS data, derived and encrypted keys.
    #[arg(long, value_name = "FILE")]
    hmac_key: Option<File>,
    /// A signature must be by this key: PEM, public or private. May be given several times.
    #[arg(long, value_name = "PEM")]
    trust: Vec<File>,
    #[command(flatten)]
    password: Password,
    /// A signature must be by a key with this eFuse digest: 64 hex digits. May be given several times.
    #[arg(long, value_name = "HEX", value_parser = digest)]
    trust_digest: Vec<[u8; 32]>,
    /// Write the certificates and public data as files into this folder; private keys never.
    #[arg(long, value_name = "FOLDER")]
    extract: Option<std::path::PathBuf>,
    /// The partition, decrypted, `-` for stdin.
    file: File,
}

fn digest(text: &str) -> anyhow::Result<[u8; 32]> {
    let wrong = "expected 64 hex digits";
    anyhow::ensure!(text.len() == 64 && text.is_ascii(), wrong);
    let mut digest = [0; 32];
    for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).context(wrong)?;
    }
    Ok(digest)
}

#[derive(Serialize)]
struct Report {
    file: String,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<usize>,
    entries: Vec<Row>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signatures: Vec<SignatureRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<KeyState>,
    findings: Vec<Found>,
    sound: bool,
}

#[derive(Serialize)]
struct Row {
    offset: usize,
    #[serde(rename = "type")]
    kind: u8,
    name: String,
    subtype: u8,
    flags: u8,
    length: usize,
    content: String,
}

#[derive(Serialize)]
struct SignatureRow {
    subtype: u8,
    scheme: String,
    key_digest: String,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
}

#[derive(Serialize)]
struct Found {
    weight: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<usize>,
    finding: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: esp_secure_cert, {}", self.file, self.format)?;
        if let Some(used) = self.used {
            write!(f, ", {used:#x} bytes used")?;
        }
        if !self.entries.is_empty() {
            let mut table = comfy_table::Table::new();
            table.load_style(comfy_table::presets::NOTHING);
            table.set_content_arrangement(comfy_table::ContentArrangement::Disabled);
            table.set_header(["offset", "entry", "subtype", "flags", "bytes", "content"]);
            for row in &self.entries {
                table.add_row([
                    format!("{:#06x}", row.offset),
                    row.name.clone(),
                    row.subtype.to_string(),
                    format!("{:#04x}", row.flags),
                    row.length.to_string(),
                    row.content.clone(),
                ]);
            }
            write!(f, "\n{}", table.trim_fmt())?;
        }
        for signature in &self.signatures {
            let SignatureRow { subtype, scheme, key_digest, .. } = signature;
            write!(f, "\nsignature {subtype}  {scheme}  key digest {key_digest}  ")?;
            match (&signature.refusal, signature.trusted) {
                (Some(refusal), _) => write!(f, "BAD: {refusal}")?,
                (None, Some(true)) => f.write_str("valid, trusted")?,
                (None, Some(false)) => f.write_str("valid, but by no trusted key")?,
                (None, None) => f.write_str("valid")?,
            }
        }
        for key in &self.keys {
            write!(f, "\n{key}")?;
        }
        for Found { weight, offset, finding } in &self.findings {
            match offset {
                Some(offset) => write!(f, "\n{weight}: at {offset:#x}: {finding}")?,
                None => write!(f, "\n{weight}: {finding}")?,
            }
        }
        Ok(())
    }
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let bytes = zeroize::Zeroizing::new(args.file.read()?);
    let hmac_key = args.hmac_key.as_ref().map(read_hmac_key).transpose()?;
    let read = inspect(&bytes, args.chip);
    let report = if !read.entries.is_empty() {
        entries(args, &bytes, &read, hmac_key.as_ref())?
    } else if CustFlash::recognise(&bytes) {
        legacy::cust_flash(&args.file, &bytes, hmac_key.as_ref(), args.chip)?
    } else if let Some(report) = legacy::nvs(&args.file, &bytes, hmac_key.as_ref(), args.chip) {
        report
    } else {
        return Err(anyhow::anyhow!("{} is no esp_secure_cert partition of any known format", args.file))
            .context(Help("if it was read from a chip with flash encryption, first `cotter flash decrypt` it"));
    };
    output::value(&report, format)?;
    Ok(report.sound)
}

fn entries(args: &Args, bytes: &[u8], read: &Inspection<'_>, hmac_key: Option<&HmacKey>) -> anyhow::Result<Report> {
    let mut trusted = args.trust_digest.clone();
    for file in &args.trust {
        let key = public_key(file, &args.password)?;
        trusted.push(key.secure_boot_digest().with_context(|| file.to_string())?);
    }
    let signatures: Vec<_> = open::signatures(bytes, read)
        .into_iter()
        .map(|signature| SignatureRow {
            subtype: signature.subtype,
            scheme: signature.scheme.to_string(),
            key_digest: hex(&signature.key_digest),
            valid: signature.verdict.is_ok(),
            trusted: (!trusted.is_empty()).then(|| trusted.contains(&signature.key_digest)),
            refusal: signature.verdict.err().map(|refused| refused.to_string()),
        })
        .collect();
    let mut findings: Vec<_> = read
        .findings
        .iter()
        .map(|finding| Found {
            weight: weight(finding.kind.weight()),
            offset: finding.at,
            finding: finding.kind.to_string(),
        })
        .collect();
    let broken = |text: &str| Found { weight: weight(Weight::Broken), offset: None, finding: text.to_owned() };
    if signatures.iter().any(|signature| !signature.valid) {
        findings.push(broken("a signature does not hold"));
    }
    if !trusted.is_empty() && !signatures.iter().any(|signature| signature.valid && signature.trusted == Some(true)) {
        findings.push(broken("signed by no trusted key"));
    }
    let keys = describe::keys(read, hmac_key);
    findings.extend(keys.iter().filter_map(KeyState::trouble).map(|text| broken(&text)));
    let rows = read.entries.iter().map(|entry| Row {
        offset: entry.offset,
        kind: entry.kind.0,
        name: entry.kind.to_string(),
        subtype: entry.subtype,
        flags: entry.flags.0,
        length: entry.data.len(),
        content: describe::content(entry),
    });
    if let Some(folder) = &args.extract {
        extract(read, folder)?;
    }
    // A plain key is how it was asked for; everything else that lies open is not.
    let tolerated = |finding: &Found| {
        finding.weight == weight(Weight::Note)
            || finding.finding == cotter_formats::secure_cert::FindingKind::PlainKey.to_string()
    };
    let sound = findings.iter().all(tolerated);
    Ok(Report {
        file: args.file.to_string(),
        format: "TLV",
        used: Some(read.end),
        entries: rows.collect(),
        signatures,
        keys,
        findings,
        sound,
    })
}

fn weight(weight: Weight) -> &'static str {
    match weight {
        Weight::Note => "note",
        Weight::Exposed => "EXPOSED",
        Weight::Broken => "BROKEN",
    }
}

/// Everything public, named by type and subtype.
fn extract(read: &Inspection<'_>, folder: &std::path::Path) -> anyhow::Result<()> {
    for entry in read.entries.iter().filter(|entry| entry.check().is_ok() && entry.flags.0 == 0) {
        let stem = match entry.kind {
            TlvType::CA_CERT => "ca_cert".to_owned(),
            TlvType::DEVICE_CERT => "device_cert".to_owned(),
            TlvType::PRIVATE_KEY | TlvType::TEE_STORAGE_KEY => continue,
            kind => format!("type_{}", kind.0),
        };
        let certificate = matches!(entry.kind, TlvType::CA_CERT | TlvType::DEVICE_CERT);
        let pem = certificate && entry.data.starts_with(b"-----");
        let (data, ending) = match entry.data {
            [text @ .., 0] if pem => (text, "pem"),
            data if certificate && Certificates::read(data).is_ok() => (data, if pem { "pem" } else { "der" }),
            data => (data, "bin"),
        };
        let file = File::Path(folder.join(format!("{stem}_{}.{ending}", entry.subtype)));
        file.write_new(data, Visibility::Public, false)?;
    }
    Ok(())
}
