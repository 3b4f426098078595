//! `cotter efuse apply`: espefuse's commands on a file, shown first and burned when asked.

use super::command::{Command, commands, plan};
use super::diff::Report as Diff;
use super::source::{Form, Options, Source};
use crate::file::File;
use crate::output::{self, Format, Help};
use anyhow::{Context, ensure};
use cotter_chip::efuse::session::Session;
use cotter_factory::output::Visibility;
use cotter_formats::efuse::EfuseImage;
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// Burn eFuses in a file as espefuse would: shows what would change, and writes with --yes.
///
/// Commands are espefuse's: burn-key, burn-key-digest, burn-efuse, burn-bit, burn-block-data, read-protect-efuse,
/// write-protect-efuse, set-flash-voltage, burn-custom-mac, with their options. Several are checked one after the
/// other and burned together, or not at all. A plan file holds the same words in lines; # begins a comment. The result
/// is the file that espefuse leaves, byte for byte; a file that is not there yet is a blank chip.
///
/// Example: cotter efuse apply --chip esp32c3 efuse.bin burn-key BLOCK_KEY0 flash.key XTS_AES_128_KEY burn-efuse SPI_BOOT_CRYPT_CNT 7
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The eFuses: a virtual file or a register image, `-` for stdin.
    file: File,
    #[command(flatten)]
    options: Options,
    /// Burn: without it, nothing is written.
    #[arg(long)]
    yes: bool,
    /// A file with commands, before those of the command line. Its file names are relative to it.
    #[arg(long, value_name = "FILE")]
    plan: Option<File>,
    /// Where the result goes instead of the file itself; `-` is stdout.
    #[arg(short, long, value_name = "FILE")]
    output: Option<File>,
    /// Commands with their words.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    commands: Vec<String>,
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let (yes, words) = flags(args);
    let Source { image: before, form } = read(args)?;
    let mut session = Session::new(before.clone());
    let map = *before.map();
    let mut all: Vec<(Command, &Path)> = Vec::new();
    if let Some(file) = &args.plan {
        let text = String::from_utf8(file.read()?).context("the plan is no text")?;
        let base = match file {
            File::Path(path) => path.parent().unwrap_or(Path::new("")),
            File::Standard => Path::new(""),
        };
        all.extend(plan(&text)?.into_iter().map(|command| (command, base)));
    }
    all.extend(commands(words)?.into_iter().map(|command| (command, Path::new(""))));
    ensure!(!all.is_empty(), "no command to apply");
    for (command, base) in &all {
        command.prepare(&mut session, &map, base)?;
    }
    let notes = session.notes().to_vec();
    let after = session.burn()?;
    let target = args.output.as_ref().unwrap_or(&args.file);
    if yes {
        let is_needed = after != before || args.output.is_some() || is_missing(target);
        if is_needed {
            let bytes = match form {
                Form::Registers => after.registers().to_vec(),
                _ => after.to_virtual_file().to_vec(),
            };
            target.write(&zeroize::Zeroizing::new(bytes), Visibility::Secret)?;
        }
    }
    if !(yes && *target == File::Standard) {
        let diff = Diff::of(&before, &after);
        output::value(&Report { file: target.to_string(), written: yes, diff, notes }, format)?;
    }
    Ok(true)
}

/// `--yes` may also come last, where the commands have swallowed it.
fn flags(args: &Args) -> (bool, Vec<String>) {
    let mut words = args.commands.clone();
    let before = words.len();
    words.retain(|word| word != "--yes");
    (args.yes || words.len() < before, words)
}

fn read(args: &Args) -> anyhow::Result<Source> {
    if is_missing(&args.file) {
        let chip = args.options.chip.context("which chip this is to be is not said").context(Help("--chip"))?;
        return Ok(Source { image: EfuseImage::blank(chip), form: args.options.form.unwrap_or(Form::Virt) });
    }
    let source = args.options.read(&args.file)?;
    ensure!(
        matches!(source.form, Form::Virt | Form::Registers) || args.output.is_some(),
        "a dump has no room for all registers: name a virtual file with --output"
    );
    Ok(source)
}

fn is_missing(file: &File) -> bool {
    matches!(file, File::Path(path) if !path.exists() && !path.to_string_lossy().starts_with("EFS"))
}

#[derive(Serialize)]
struct Report {
    file: String,
    written: bool,
    #[serde(flatten)]
    diff: Diff,
    notes: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.diff.write_changes(f)?;
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        match (self.diff.changes.is_empty(), self.written) {
            (true, _) => write!(f, "nothing to burn"),
            (false, true) => write!(f, "burned into {}", self.file),
            (false, false) => write!(f, "nothing is burned yet: say --yes to write {}", self.file),
        }
    }
}
