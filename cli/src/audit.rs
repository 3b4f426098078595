//! `cotter audit`: the server's tamper-evident log, looked at from outside.

use crate::file::File;
use crate::output::{self, Format, Help};
use anyhow::{Context, ensure};
use cotter_factory::output::Visibility;
use cotter_server::audit::line::Line;
use cotter_server::audit::note::{NoteKey, NoteSigner};
use cotter_server::audit::proof;
use cotter_server::audit::review::{Review, next_line, review};
use cotter_server::config::Config;
use cotter_server::key_file;
use cotter_server::store::sqlite::export_audit_log;
use serde::Serialize;
use std::fmt::{self, Display};
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Export, verify and prove the server's audit log.
///
/// Each entry is a leaf of a Merkle tree (RFC 9162) whose root the server signs with every change (C2SP tlog-checkpoint).
/// Keep a checkpoint and the log's key away from the server: whoever edits, removes, moves or replaces entries later,
/// even with every key of the server, contradicts it.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Check(Check),
    Export(Export),
    Key(Key),
    Prove(Prove),
    Verify(Verify),
}

/// Copy the log and its checkpoint out of the database, also while the server runs.
///
/// Example: cotter audit export --config cotter.toml --log audit.jsonl --checkpoint audit.checkpoint
#[derive(clap::Args)]
struct Export {
    /// The server's configuration file.
    #[arg(long, default_value = "cotter.toml")]
    config: PathBuf,
    /// The log to write, one line of JSON an entry.
    #[arg(long, value_name = "FILE")]
    log: File,
    /// The signed checkpoint to write.
    #[arg(long, value_name = "FILE")]
    checkpoint: File,
}

/// Print the key that verifies the log. Run it on the server once, and keep the key elsewhere.
///
/// Example: cotter audit key --config cotter.toml
#[derive(clap::Args)]
struct Key {
    /// The server's configuration file.
    #[arg(long, default_value = "cotter.toml")]
    config: PathBuf,
}

/// Verify a whole log: every entry, its place, the signature, and that it continues earlier checkpoints.
///
/// Exit status 1 and the exact finding (truncated, reordered, changed, forked, rolled back) if it is not what was signed.
///
/// Example: cotter audit verify --log audit.jsonl --checkpoint audit.checkpoint --key audit.vkey --earlier march.checkpoint
#[derive(clap::Args)]
struct Verify {
    #[command(flatten)]
    log: Log,
    /// A checkpoint that was kept from earlier; repeat for more.
    #[arg(long, value_name = "FILE")]
    earlier: Vec<File>,
}

/// Prove to somebody that one entry is in the log, without showing the others.
///
/// Example: cotter audit prove 41 --log audit.jsonl --checkpoint audit.checkpoint --key audit.vkey -o release.tlog-proof
#[derive(clap::Args)]
struct Prove {
    /// The entry's place, counted from 0.
    entry: u64,
    #[command(flatten)]
    log: Log,
    /// The proof to write (C2SP tlog-proof), `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: File,
}

/// Check such a proof and show the entry that it proves.
///
/// Example: cotter audit check release.tlog-proof --key audit.vkey
#[derive(clap::Args)]
struct Check {
    /// The proof, `-` for stdin.
    proof: File,
    /// The log's key, as `cotter audit key` prints it, or a file that holds it.
    #[arg(long, value_name = "KEY|FILE")]
    key: String,
}

#[derive(clap::Args)]
struct Log {
    /// The log, as `cotter audit export` writes it, `-` for stdin.
    #[arg(long, value_name = "FILE")]
    log: File,
    /// Its checkpoint.
    #[arg(long, value_name = "FILE")]
    checkpoint: File,
    /// The log's key, as `cotter audit key` prints it, or a file that holds it.
    #[arg(long, value_name = "KEY|FILE")]
    key: String,
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    match &args.verb {
        Verb::Check(args) => check(args, format),
        Verb::Export(args) => export(args, format),
        Verb::Key(args) => key(args, format),
        Verb::Prove(args) => prove(args, format),
        Verb::Verify(args) => verify(args, format),
    }
}

fn export(args: &Export, format: Format) -> anyhow::Result<bool> {
    ensure!(args.log != args.checkpoint, "log and checkpoint cannot be one file");
    let database = config(&args.config)?.data.join("cotter.db");
    let mut entries = 0_u64;
    let note = args.log.write_with(Visibility::Secret, |file| {
        let note = export_audit_log(&database, |line| {
            entries += 1;
            writeln!(file, "{line}")
        });
        note.with_context(|| database.display().to_string())
            .context(Help("the server makes the database when it is started for the first time"))
    })?;
    args.checkpoint.write(note.as_bytes(), Visibility::Public)?;
    if args.log != File::Standard && args.checkpoint != File::Standard {
        output::value(&Exported { entries }, format)?;
    }
    Ok(true)
}

fn key(args: &Key, format: Format) -> anyhow::Result<bool> {
    let seed = key_file::read(&config(&args.config)?.keys.audit)?;
    let key = NoteSigner::new(&seed)?.key().to_string();
    output::value(&KeyText { key }, format)?;
    Ok(true)
}

fn verify(args: &Verify, format: Format) -> anyhow::Result<bool> {
    let (key, checkpoint) = args.log.signed()?;
    let earlier = args.earlier.iter().map(text).collect::<anyhow::Result<Vec<_>>>()?;
    let (file, _) = args.log.log.open()?;
    let found = review(BufReader::new(file), &checkpoint, &earlier, &key).with_context(|| args.log.log.to_string())?;
    output::value(&Verified(found), format)?;
    Ok(true)
}

fn prove(args: &Prove, format: Format) -> anyhow::Result<bool> {
    let (key, checkpoint) = args.log.signed()?;
    let mut file = BufReader::new(args.log.log.open()?.0);
    let (mut leaves, mut entry) = (Vec::new(), None);
    while let Some(line) = next_line(&mut file, leaves.len() as u64)? {
        if leaves.len() as u64 == args.entry {
            entry = Some((leaves.len(), line.clone()));
        }
        leaves.push(Line::leaf_of(&line));
    }
    let proof = entry.and_then(|(index, entry)| proof::prove(&leaves, &entry, index, &checkpoint));
    let proof = proof.with_context(|| format!("the log has {} entries, counted from 0", leaves.len()))?;
    // What is handed out holds.
    proof::check(&proof, &key).context(Help("`cotter audit verify` says what is wrong with the log"))?;
    args.output.write(proof.as_bytes(), Visibility::Public)?;
    if args.output != File::Standard {
        output::value(&Proven { entry: args.entry, entries: leaves.len() }, format)?;
    }
    Ok(true)
}

fn check(args: &Check, format: Format) -> anyhow::Result<bool> {
    let (line, checkpoint) = proof::check(&text(&args.proof)?, &parse_key(&args.key)?)?;
    output::value(&Checked { line, entries: checkpoint.size }, format)?;
    Ok(true)
}

impl Log {
    /// Key and checkpoint.
    fn signed(&self) -> anyhow::Result<(NoteKey, String)> {
        Ok((parse_key(&self.key)?, text(&self.checkpoint)?))
    }
}

fn config(path: &Path) -> anyhow::Result<Config> {
    Config::read(path).context(Help("name the server's configuration with --config"))
}

fn parse_key(key: &str) -> anyhow::Result<NoteKey> {
    let help = || Help("`cotter audit key`, on the server, prints the key");
    if key.contains('+') {
        return key.parse::<NoteKey>().with_context(help);
    }
    let text = text(&File::Path(key.into())).with_context(help)?;
    text.parse::<NoteKey>().with_context(|| key.to_owned()).with_context(help)
}

fn text(file: &File) -> anyhow::Result<String> {
    String::from_utf8(file.read()?).with_context(|| format!("{file} is no text"))
}

#[derive(Serialize)]
struct Exported {
    entries: u64,
}

impl Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entries and their checkpoint", self.entries)
    }
}

#[derive(Serialize)]
struct KeyText {
    key: String,
}

impl Display for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)
    }
}

#[derive(Serialize)]
struct Verified(Review);

impl Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Review { entries, span, earlier } = self.0;
        write!(f, "{entries} entries are what was signed")?;
        if let Some((first, last)) = span {
            write!(f, ", from {first} to {last} (Unix seconds)")?;
        }
        if earlier > 0 {
            write!(f, "; they continue {earlier} earlier checkpoint{}", if earlier == 1 { "" } else { "s" })?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Proven {
    entry: u64,
    entries: usize,
}

impl Display for Proven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} is in the log of {} entries", self.entry, self.entries)
    }
}

#[derive(Serialize)]
struct Checked {
    #[serde(flatten)]
    line: Line,
    entries: u64,
}

impl Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} of the signed {}: {}", self.line.index, self.entries, self.line.text())
    }
}
