//! `cotter release trust`: who signs firmware from now on, written, signed and checked offline.

use crate::file::File;
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_factory::output::Visibility;
use cotter_factory::public_key::PublicKey;
use cotter_factory::signing::ManifestKey;
use cotter_factory::trust;
use cotter_wire::firmware_key::FirmwareKey;
use cotter_wire::hex;
use cotter_wire::manifest::{Project, VerifyPolicy};
use cotter_wire::trust::{MAX_DIGESTS, SignedStatement, Statement, TrustNumber, signed_digest};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Change the keys that sign firmware: write the statement about it, sign it with old and new keys, check it.
///
/// All of it is offline. `cotter fleet trust` brings the statement to the server, which gives it to devices. Keep every
/// statement: a device that was off for years needs all of them, one after the other.
#[derive(clap::Subcommand)]
pub(super) enum Verb {
    New(New),
    Sign(Sign),
    Show(Show),
    Verify(Verify),
}

/// Write a statement that nobody has signed yet.
///
/// It names all keys that count from now on, also those that stay. What devices were made with is number 0.
///
/// Example: cotter release trust new --project cotter-app --number 1 --required 2 --key new-a.pem --key new-b.pem -o 1.trust
#[derive(clap::Args)]
pub(super) struct New {
    /// For the devices of which project.
    #[arg(long)]
    project: String,
    /// Its place in the chain: one more than the number that devices are at.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    number: u32,
    /// How many of the keys must sign a release.
    #[arg(long, value_name = "K", default_value = "1")]
    required: usize,
    /// A public key (PEM) that signs releases from now on; repeat for more, at most 4.
    #[arg(long = "key", value_name = "PEM", required = true)]
    keys: Vec<File>,
    /// Digest of a Secure Boot key that signs images from now on (`cotter key digest`); repeat for more. As before without.
    #[arg(long, value_name = "HEX", value_parser = digest)]
    secure_boot: Vec<[u8; 32]>,
    /// The statement to write, `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// Replace a file that exists.
    #[arg(long)]
    force: bool,
}

/// Add signatures to a statement.
///
/// As many of the old keys must sign as releases needed until now, and as many of the new ones as they need from now on.
/// A key that is on both sides counts on both.
///
/// Example: cotter release trust sign 1.trust --key old.key.pem --key new-a.key.pem
#[derive(clap::Args)]
pub(super) struct Sign {
    /// The statement, which is replaced unless -o says otherwise.
    statement: File,
    /// A private key (PEM: RSA-2048 or P-256); repeat for more.
    #[arg(long = "key", value_name = "PEM", required = true)]
    keys: Vec<PathBuf>,
    /// Where to write it, `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: Option<File>,
}

/// Show what a statement says and who signed it, by its own word.
///
/// Example: cotter release trust show 1.trust
#[derive(clap::Args)]
pub(super) struct Show {
    /// The statement.
    statement: File,
}

/// Check a statement as a device does that is one number before it. Exit status 1 and the reason if it would refuse it.
///
/// Example: cotter release trust verify 1.trust --key old.pem --required 1
/// Example: cotter release trust verify 2.trust --after 1.trust
#[derive(clap::Args)]
pub(super) struct Verify {
    /// The statement.
    statement: File,
    /// The statement before it, which devices have followed. It is believed.
    #[arg(long, value_name = "FILE", required_unless_present = "keys", conflicts_with_all = ["keys", "required"])]
    after: Option<File>,
    /// A public key (PEM) that devices were made with; repeat for more. For number 1.
    #[arg(long = "key", value_name = "PEM")]
    keys: Vec<File>,
    /// How many of these must sign.
    #[arg(long, value_name = "K", default_value = "1")]
    required: usize,
}

pub(super) fn run(verb: &Verb, format: Format) -> anyhow::Result<bool> {
    match verb {
        Verb::New(args) => new(args, format),
        Verb::Sign(args) => sign(args, format),
        Verb::Show(args) => show(args, format),
        Verb::Verify(args) => verify(args, format),
    }
}

fn new(args: &New, format: Format) -> anyhow::Result<bool> {
    args.output.refuse_existing(args.force)?;
    let project = Project::new(&args.project).context("--project: 1 to 31 printable characters")?;
    let number = TrustNumber(args.number);
    let policy = policy(&args.keys, args.required)?;
    let mut statement = Statement { project, number, policy, secure_boot: Default::default() };
    for digest in &args.secure_boot {
        statement.secure_boot.push(*digest).map_err(|_| anyhow::anyhow!("--secure-boot: at most {MAX_DIGESTS}"))?;
    }
    let draft = trust::draft(&statement)?;
    // Read back: what is refused is refused here and not on a device.
    let written = SignedStatement::parse(&draft)?;
    Statement::parse(written.body())?;
    args.output.write_new(&draft, Visibility::Public, args.force)?;
    say(&args.output, &draft, format)
}

fn sign(args: &Sign, format: Format) -> anyhow::Result<bool> {
    let keys = args.keys.iter().map(|path| {
        let help = || Help("`cotter key generate firmware-p256` makes one");
        ManifestKey::load(path).with_context(|| path.display().to_string()).with_context(help)
    });
    let keys = keys.collect::<anyhow::Result<Vec<_>>>()?;
    let keys: Vec<&ManifestKey> = keys.iter().collect();
    let signed = trust::sign(&args.statement.read()?, &keys).with_context(|| args.statement.to_string())?;
    let output = args.output.as_ref().unwrap_or(&args.statement);
    output.write(&signed, Visibility::Public)?;
    say(output, &signed, format)
}

/// Shows it, unless it went to stdout itself.
fn say(output: &File, statement: &[u8], format: Format) -> anyhow::Result<bool> {
    if *output != File::Standard {
        output::value(&Shown::of(statement)?, format)?;
    }
    Ok(true)
}

fn show(args: &Show, format: Format) -> anyhow::Result<bool> {
    let shown = Shown::of(&args.statement.read()?).with_context(|| args.statement.to_string())?;
    output::value(&shown, format)?;
    Ok(true)
}

fn verify(args: &Verify, format: Format) -> anyhow::Result<bool> {
    let bytes = args.statement.read()?;
    let signed = SignedStatement::parse(&bytes).with_context(|| args.statement.to_string())?;
    let before = match &args.after {
        Some(file) => {
            let before = SignedStatement::parse(&file.read()?).with_context(|| file.to_string())?;
            Statement::parse(before.body()).with_context(|| file.to_string())?
        }
        None => {
            let claimed = Statement::parse(signed.body()).with_context(|| args.statement.to_string())?;
            let policy = policy(&args.keys, args.required)?;
            Statement { policy, number: TrustNumber::BEGINNING, ..claimed }
        }
    };
    let help = || Help("`cotter release trust show` tells who signed; `sign` adds signatures of old and new keys");
    let verified = signed.verify(&before.project, before.number, &before.policy).with_context(help)?;
    let Statement { number, .. } = verified;
    output::value(&Verified { number: number.0, after: before.number.0 }, format)?;
    Ok(true)
}

fn policy(files: &[File], required: usize) -> anyhow::Result<VerifyPolicy> {
    let keys = files.iter().map(|file| {
        let key = PublicKey::from_pem(&file.read()?).with_context(|| file.to_string())?;
        FirmwareKey::from_spki(&key.to_spki()?).with_context(|| file.to_string())
    });
    Ok(VerifyPolicy::new(keys.collect::<anyhow::Result<Vec<_>>>()?, required)?)
}

fn digest(text: &str) -> Result<[u8; 32], &'static str> {
    hex::decode(text.as_bytes()).ok_or("expected 64 lower-case hexadecimal digits")
}

#[derive(Serialize)]
struct Shown {
    project: String,
    number: u32,
    required: usize,
    keys: Vec<Key>,
    secure_boot: Vec<String>,
    /// Keys that signed it and are none of its own; whether they may is for those who know the number before.
    other_signatures: Vec<String>,
}

#[derive(Serialize)]
struct Key {
    id: String,
    algorithm: &'static str,
    signed: bool,
}

impl Shown {
    fn of(bytes: &[u8]) -> anyhow::Result<Self> {
        let signed = SignedStatement::parse(bytes)?;
        let statement = Statement::parse(signed.body())?;
        let digest = signed_digest(signed.body());
        let own = statement.policy.keys();
        let signature = |key: &FirmwareKey| signed.signatures().iter().find(|signature| signature.key == key.id());
        let keys = own.iter().map(|key| Key {
            id: key.id().to_string(),
            algorithm: key.algorithm().as_str(),
            signed: signature(key).is_some_and(|signature| key.verifies(&digest, &signature.bytes)),
        });
        let others = signed.signatures().iter().filter(|signature| own.iter().all(|key| key.id() != signature.key));
        Ok(Self {
            project: statement.project.as_str().to_owned(),
            number: statement.number.0,
            required: statement.policy.required(),
            keys: keys.collect(),
            secure_boot: statement.secure_boot.iter().map(text).collect(),
            other_signatures: others.map(|signature| signature.key.to_string()).collect(),
        })
    }
}

fn text(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Serialize)]
struct Verified {
    number: u32,
    after: u32,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { project, number, required, keys, secure_boot, other_signatures } = self;
        write!(f, "number {number} of {project}: releases need {required} of {} keys", keys.len())?;
        for Key { id, algorithm, signed } in keys {
            write!(f, "\n  {id} {algorithm}, {}", if *signed { "has signed this" } else { "has not signed this" })?;
        }
        for digest in secure_boot {
            write!(f, "\n  images: Secure Boot key {digest}")?;
        }
        for id in other_signatures {
            write!(f, "\n  signed by {id}, which is none of its own keys")?;
        }
        Ok(())
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a device at number {} follows this statement to number {}", self.after, self.number)
    }
}
