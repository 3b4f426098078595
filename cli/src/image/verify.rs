//! `cotter image verify`: would a device that trusts these keys accept this file?

use super::efuses::Efuses;
use super::signatures::{Block, Looked, hex};
use crate::file::File;
use crate::key::{Password, public_key};
use crate::output::{self, Format};
use anyhow::Context;
use cotter_formats::chip::Chip;
use cotter_formats::secure_boot::v2::{Support, blocks_of, support};
use serde::Serialize;
use std::fmt;

/// Verify a Secure Boot signature: V2 against keys, key digests, or the eFuses of a chip; V1 against public keys.
///
/// Says which block holds and by which of the trusted digests. The exit code is 1, with the reason, if none does.
///
/// Example: cotter image verify --key secure-boot.pub.pem build/app-signed.bin
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("trust").required(true).multiple(true)))]
pub(crate) struct Args {
    /// The version of Secure Boot.
    #[arg(long, value_enum, default_value = "v2")]
    scheme: super::Scheme,
    /// Trust this key: PEM, public or private; with V1 also 64 raw bytes.
    #[arg(long, value_name = "PEM", group = "trust")]
    pub(super) key: Vec<File>,
    #[command(flatten)]
    pub(super) password: Password,
    /// Trust this key digest: 64 hex digits, or a file of 32 bytes.
    #[arg(long, value_name = "DIGEST", group = "trust")]
    pub(super) digest: Vec<String>,
    /// Trust what the eFuses in this file (espefuse --virt) trust, of any chip; revoked digests are not trusted.
    #[arg(long, value_name = "FILE", group = "trust")]
    pub(super) efuse: Option<File>,
    /// The chip; else the image's header says which.
    #[arg(long, value_parser = super::chip)]
    pub(super) chip: Option<Chip>,
    /// The signed file, `-` for stdin.
    pub(super) file: File,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    if args.scheme == super::Scheme::V1 {
        return super::v1::verify(args, format);
    }
    let looked = Looked::at(&args.file, args.chip)?;
    let chip = args.chip.or_else(|| super::chip_of(&looked.bytes));
    let mut trusted = Vec::new();
    for file in &args.key {
        trusted.push(Trust { source: file.to_string(), digest: key_digest(file, &args.password)? });
    }
    for digest in &args.digest {
        trusted.push(Trust { source: digest.clone(), digest: digest_argument(digest)? });
    }
    let mut notes = Vec::new();
    let mut efuses = None;
    if let Some(file) = &args.efuse {
        let chip = super::chip_or_of(chip, &looked.bytes)?;
        let read = Efuses::read(file, chip)?;
        read.trust(looked.signed.as_ref().ok(), &mut trusted, &mut notes);
        efuses = Some(read);
    }
    let report = Report::of(&looked, chip, &trusted, efuses.as_ref(), notes);
    output::value(&report, format)?;
    Ok(report.accepted)
}

/// A digest that is trusted, and who says so.
pub(super) struct Trust {
    pub(super) source: String,
    pub(super) digest: [u8; 32],
}

fn key_digest(file: &File, password: &Password) -> anyhow::Result<[u8; 32]> {
    public_key(file, password)?.secure_boot_digest().with_context(|| file.to_string())
}

fn digest_argument(text: &str) -> anyhow::Result<[u8; 32]> {
    if let Some(digest) = from_hex(text) {
        return Ok(digest);
    }
    let bytes = File::Path(text.into()).read().context("a key digest is 64 hex digits or a file")?;
    let found = bytes.len();
    bytes.try_into().map_err(|_| anyhow::anyhow!("{text}: a key digest is 32 bytes, this file has {found}"))
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(digest)
}

#[derive(Serialize)]
struct Report {
    accepted: bool,
    /// Which block holds.
    block: Option<usize>,
    /// By which digest, and where that came from.
    digest: Option<String>,
    trusted_by: Option<String>,
    refusal: Option<String>,
    notes: Vec<String>,
    blocks: Vec<Block>,
}

impl Report {
    fn of(
        looked: &Looked,
        chip: Option<Chip>,
        trusted: &[Trust],
        efuses: Option<&Efuses>,
        mut notes: Vec<String>,
    ) -> Self {
        let refused = |refusal: String, notes, blocks| Self {
            accepted: false,
            block: None,
            digest: None,
            trusted_by: None,
            refusal: Some(refusal),
            notes,
            blocks,
        };
        let signed = match &looked.signed {
            Ok(signed) => signed,
            Err(refusal) => {
                if let Some(found) = super::v1::Found::of(&looked.bytes) {
                    notes.push(found.to_string());
                }
                return refused(format!("not signed: {refusal}"), notes, Vec::new());
            }
        };
        let signatures = signed.signatures();
        let blocks = Block::all(&signatures, &signed.digests);
        let digests: Vec<[u8; 32]> = trusted.iter().map(|trust| trust.digest).collect();
        let verdict = match signatures.verify_any(&signed.digests, &digests) {
            Ok(verdict) => verdict,
            Err(refusal) => {
                let (present, count) = (digests.len(), blocks.len());
                let revoked = efuses.and_then(|efuses| efuses.revoked(signed));
                let revoked = revoked.map_or(String::new(), |revoked| format!("; {revoked}"));
                return refused(
                    format!("{refusal} ({count} blocks, {present} trusted digests){revoked}"),
                    notes,
                    blocks,
                );
            }
        };
        if let (Some(chip), Some(first)) = (chip, signatures.blocks().next()) {
            match support(chip, first.scheme()) {
                Support::Yes => {}
                Support::Insecure => {
                    notes.push(format!("ESP-IDF calls {} on the {chip} insecure", first.scheme()));
                }
                Support::Legacy => {
                    notes.push(format!("ESP-IDF offers {} no more since 6.0", first.scheme()));
                }
                Support::No => return refused(format!("the {chip} does not verify {}", first.scheme()), notes, blocks),
            }
            if let Some(refusal) = efuses.and_then(|efuses| efuses.refuses(first.scheme())) {
                return refused(refusal, notes, blocks);
            }
            if verdict.block >= blocks_of(chip) {
                let reads = blocks_of(chip);
                return refused(format!("block {} holds, but the {chip} reads {reads}", verdict.block), notes, blocks);
            }
        }
        let trust = &trusted[verdict.digest];
        Self {
            accepted: true,
            block: Some(verdict.block),
            digest: Some(hex(&trust.digest)),
            trusted_by: Some(trust.source.clone()),
            refusal: None,
            notes,
            blocks,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for block in &self.blocks {
            writeln!(f, "{block}")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        match (&self.refusal, self.block, &self.digest, &self.trusted_by) {
            (Some(refusal), ..) => write!(f, "refused: {refusal}"),
            (None, Some(block), Some(digest), Some(source)) => {
                write!(f, "accepted: block {block} is signed by {digest}, trusted by {source}")
            }
            _ => f.write_str("refused"),
        }
    }
}
