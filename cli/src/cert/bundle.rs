//! `cotter cert bundle`: ESP-IDF's x509 certificate bundle, built, shown and checked.

mod filter;

use super::show::key;
use crate::file::File;
use crate::image::hex;
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_factory::output::Visibility;
use cotter_factory::pki::{Certificate, Name, certificate::CertificateError};
use cotter_factory::public_key::PublicKey;
use cotter_formats::crt_bundle::{CrtBundle, DEFAULT_MOST, Root, build};
use filter::Filter;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Build, show and check x509 certificate bundles: the trusted roots in a device's firmware.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Build(BuildArgs),
    Check(ShowArgs),
    Show(ShowArgs),
}

/// Build a bundle from certificates: the bytes of gen_crt_bundle.py, without duplicates.
///
/// Of a folder, every *.pem and *.der is taken. An expired root is put in with a warning, because the device cannot know:
/// a bundle holds no dates.
///
/// Example: cotter cert bundle build -o x509_crt_bundle roots/ ca.pem
#[derive(clap::Args)]
struct BuildArgs {
    /// Certificates, PEM or DER, and folders of them.
    #[arg(required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// Of the input cacrt_all.pem take only what the second column of this CSV file names (cmn_crt_authorities.csv).
    #[arg(long, value_name = "CSV")]
    filter: Option<File>,
    /// The most certificates that the firmware accepts (CONFIG_MBEDTLS_CERTIFICATE_BUNDLE_MAX_CERTS).
    #[arg(long, value_name = "COUNT", default_value_t = DEFAULT_MOST)]
    max_certs: usize,
    /// Keep a certificate that is there twice, as gen_crt_bundle.py does.
    #[arg(long)]
    keep_duplicates: bool,
    /// Leave out what has expired.
    #[arg(long)]
    skip_expired: bool,
    /// Where to write the bundle, `-` for stdout.
    #[arg(short, long, value_name = "FILE", default_value = "x509_crt_bundle")]
    output: File,
}

/// Show a bundle, or check it: exit code 1 if it is out of order, holds a subject twice, or a key that is too weak.
///
/// Example: cotter cert bundle check build/x509_crt_bundle
#[derive(clap::Args)]
struct ShowArgs {
    /// The bundle, `-` for stdin.
    bundle: File,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    match &args.verb {
        Verb::Build(args) => args.run(format),
        Verb::Check(args) => args.run(format, true),
        Verb::Show(args) => args.run(format, false),
    }
}

impl BuildArgs {
    fn run(&self, format: Format) -> anyhow::Result<bool> {
        let filter = self.filter.as_ref().map(Filter::read).transpose()?;
        let mut notes = Vec::new();
        let mut found = Vec::new();
        for input in &self.inputs {
            for path in files(input, &mut notes)? {
                let certificates = read(&path, filter.as_ref(), &mut notes);
                found.extend(certificates.with_context(|| path.display().to_string())?);
            }
        }
        let now = cotter_factory::pki::now()?;
        found.retain(|certificate| {
            let expired = certificate.not_after() < now;
            if expired {
                let what = if self.skip_expired { "left out" } else { "put in" };
                let day = super::day(certificate.not_after());
                notes.push(format!("expired on {day}, {what}: {}", certificate.subject()));
            }
            !(expired && self.skip_expired)
        });
        let entries = self.entries(&found, &mut notes);
        if entries.len() > self.max_certs {
            let (count, most) = (entries.len(), self.max_certs);
            return Err(anyhow::anyhow!("{count} certificates, but the firmware accepts {most}")).context(Help(
                "raise CONFIG_MBEDTLS_CERTIFICATE_BUNDLE_MAX_CERTS and say so with --max-certs, or filter",
            ));
        }
        let roots: Vec<Root<'_>> = entries.iter().map(|(subject, key)| Root { subject, key }).collect();
        let bytes = build(&roots)?;
        self.output.write(&bytes, Visibility::Public)?;
        let built = Built {
            file: self.output.to_string(),
            certificates: roots.len(),
            bytes: bytes.len(),
            sha256: hex(&Sha256::digest(&bytes)),
            notes,
        };
        match self.output {
            File::Standard => built.notes.iter().for_each(output::warning),
            File::Path(_) => output::value(&built, format)?,
        }
        Ok(true)
    }

    /// Subject and key of each certificate, once.
    fn entries(&self, found: &[Certificate], notes: &mut Vec<String>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut keys_of: BTreeMap<&[u8], Vec<u8>> = BTreeMap::new();
        for certificate in found {
            // As the generator writes it: read and encoded again, where the kind of key is known.
            let spki = certificate.public_key().and_then(|key| key.to_spki());
            let spki = spki.unwrap_or_else(|_| certificate.spki().to_vec());
            match keys_of.get(certificate.subject().as_der()) {
                Some(known) if *known == spki => {
                    let what = if self.keep_duplicates { "kept" } else { "left out" };
                    notes.push(format!("there twice, {what}: {}", certificate.subject()));
                    if !self.keep_duplicates {
                        continue;
                    }
                }
                Some(_) => notes
                    .push(format!("two different keys, of which a device finds only one: {}", certificate.subject())),
                None => {
                    keys_of.insert(certificate.subject().as_der(), spki.clone());
                }
            }
            entries.push((certificate.subject().as_der().to_vec(), spki));
        }
        entries
    }
}

/// The certificate files that an input stands for.
fn files(input: &Path, notes: &mut Vec<String>) -> anyhow::Result<Vec<PathBuf>> {
    let shown = || input.display().to_string();
    if !std::fs::metadata(input).with_context(shown)?.is_dir() {
        return Ok(vec![input.to_owned()]);
    }
    let mut paths = std::fs::read_dir(input)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>())
        .with_context(shown)?;
    paths.sort();
    paths.retain(|path| {
        let taken = path.extension().is_some_and(|end| end == "pem" || end == "der");
        if !taken && path.extension().is_some_and(|end| end == "crt" || end == "cer" || end == "cert") {
            notes.push(format!("neither *.pem nor *.der, left out: {}", path.display()));
        }
        taken
    });
    anyhow::ensure!(!paths.is_empty(), "{}: no *.pem and no *.der in this folder", input.display());
    Ok(paths)
}

fn read(path: &Path, filter: Option<&Filter>, notes: &mut Vec<String>) -> anyhow::Result<Vec<Certificate>> {
    let bytes = File::Path(path.to_owned()).read()?;
    let filtered = filter.filter(|_| path.file_name().is_some_and(|name| name == "cacrt_all.pem"));
    if let Some(filter) = filtered {
        return Ok(Certificate::read_all(&filter.apply(&bytes, notes))?);
    }
    match Certificate::read_all(&bytes) {
        // ESP-IDF's own cacrt_local.pem is empty but for comments.
        Err(CertificateError::None) => {
            notes.push(format!("no certificate in {}", path.display()));
            Ok(Vec::new())
        }
        other => Ok(other?),
    }
}

impl ShowArgs {
    fn run(&self, format: Format, check: bool) -> anyhow::Result<bool> {
        let bytes = self.bundle.read()?;
        let bundle = CrtBundle::parse(&bytes).with_context(|| self.bundle.to_string())?;
        let report = Report::of(&bundle, bytes.len());
        output::value(&report, format)?;
        Ok(!check || report.problems.is_empty())
    }
}

#[derive(Serialize)]
struct Built {
    file: String,
    certificates: usize,
    bytes: usize,
    sha256: String,
    notes: Vec<String>,
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        write!(f, "{}: {} certificates, {} bytes", self.file, self.certificates, self.bytes)
    }
}

#[derive(Serialize)]
struct Report {
    bytes: usize,
    certificates: Vec<Row>,
    problems: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    subject: String,
    key: String,
    key_sha256: String,
}

impl Report {
    fn of(bundle: &CrtBundle<'_>, bytes: usize) -> Self {
        let mut problems = Vec::new();
        let mut before: Option<Root<'_>> = None;
        let mut certificates = Vec::new();
        for (index, root) in bundle.roots().enumerate() {
            let number = index + 1;
            let subject = Name::from_der(root.subject);
            let shown = subject.as_ref().map_or_else(|_| "(not a name)".to_owned(), ToString::to_string);
            match before.map(|before| before.subject.cmp(root.subject)) {
                Some(std::cmp::Ordering::Equal) => problems.push(format!("certificate {number}: a second {shown}")),
                Some(std::cmp::Ordering::Greater) => {
                    problems.push(format!("certificate {number}: {shown} is out of order, the search may not find it"))
                }
                _ => {}
            }
            if subject.is_err() {
                problems.push(format!("certificate {number}: its subject is no name"));
            }
            let read = PublicKey::from_spki(root.key);
            if let Ok(key) = &read
                && let Err(weak) = cotter_factory::pki::leaf::judge_key(key)
            {
                problems.push(format!("certificate {number}: {weak}: {shown}"));
            }
            certificates.push(Row { subject: shown, key: key(root.key), key_sha256: hex(&Sha256::digest(root.key)) });
            before = Some(root);
        }
        if certificates.len() > DEFAULT_MOST {
            problems
                .push(format!("{} certificates, but firmware accepts {DEFAULT_MOST} by default", certificates.len()));
        }
        Self { bytes, certificates, problems }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.certificates {
            writeln!(f, "{:<12} {}", row.key, row.subject)?;
        }
        for problem in &self.problems {
            writeln!(f, "problem: {problem}")?;
        }
        write!(f, "{} certificates, {} bytes, {} problems", self.certificates.len(), self.bytes, self.problems.len())
    }
}
