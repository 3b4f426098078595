//! `cotter partition`: partition tables, CSV and binary both ways.

mod report;

use crate::file::File;
use crate::output::{self, Format};
use anyhow::{Context, bail};
use cotter_factory::output::Visibility;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::chip::Chip;
use cotter_formats::partition::csv::{self, CsvError, CsvOptions};
use cotter_formats::partition::finding::{Rules, SecureBoot, findings};
use cotter_formats::partition::rows::{Rows, is_binary};
use cotter_formats::partition::{Partition, TABLE_LEN};
use report::{Built, Checked, Layout, Note};

/// Build, show and check partition tables, CSV and binary.
///
/// Every verb reads either form and tells them apart by the first bytes.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Build(Build),
    Check(Check),
    Show(Show),
}

/// Build the binary table from a CSV, byte for byte as gen_esp32part.py does.
///
/// A table that would not work is refused with everything that is wrong with it. Names longer than 16 bytes, columns
/// and flags that gen_esp32part.py would drop silently are refused too.
///
/// Example: cotter partition build partitions.csv --flash-size 4M -o partition-table.bin
#[derive(clap::Args)]
struct Build {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    limits: Limits,
    /// The binary table to write (0xC00 bytes), `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: File,
}

/// Show a table: partitions, a map of the flash with its gaps, or the CSV.
///
/// The input may be a CSV, a binary table, a whole sector with a signature, or a whole flash image, in which the table
/// is looked for at --offset. A broken table is shown as far as it can be read.
///
/// Example: cotter partition show partition-table.bin --csv
#[derive(clap::Args)]
struct Show {
    #[command(flatten)]
    input: Input,
    /// The size of the flash, such as 4M: shows what is left at its end.
    #[arg(long, value_name = "SIZE", value_parser = flash_size)]
    flash_size: Option<FlashLen>,
    /// Print the CSV, as gen_esp32part.py writes it.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// Check a table and list everything that is wrong with it. Exit status 1 if anything is.
///
/// Overlaps, alignment, sizes, names, slots, otadata, read-only flags, the MD5, and what does not fit the flash; and
/// unusual things that gen_esp32part.py lets pass, marked `warning`.
///
/// Example: cotter partition check partitions.csv --flash-size 4M --secure v2
#[derive(clap::Args)]
struct Check {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    limits: Limits,
}

#[derive(clap::Args)]
struct Input {
    /// CSV or binary table, `-` for stdin.
    table: File,
    /// Where the table sits in flash.
    #[arg(long, value_name = "ADDRESS", default_value = "0x8000", value_parser = address)]
    offset: FlashAddr,
    /// The chip, for the offset of a bootloader partition in the CSV.
    #[arg(long, value_parser = chip, conflicts_with = "bootloader_offset")]
    chip: Option<Chip>,
    /// Where the first bootloader sits, for a bootloader partition in the CSV.
    #[arg(long, alias = "primary-bootloader-offset", value_name = "ADDRESS", value_parser = address)]
    bootloader_offset: Option<FlashAddr>,
    /// Where the recovery bootloader sits, for a partition of that kind in the CSV.
    #[arg(long, alias = "recovery-bootloader-offset", value_name = "ADDRESS", value_parser = address)]
    recovery_offset: Option<FlashAddr>,
    /// Put environment variables in for $NAME and ${NAME} in the CSV.
    ///
    /// Without this they are refused: an environment variable that differs on another machine would silently change
    /// where keys, firmware and otadata lie, and thereby what is encrypted and what boots.
    #[arg(long)]
    expand_env: bool,
}

#[derive(clap::Args)]
struct Limits {
    /// The size of the flash, such as 4M: every partition must fit.
    #[arg(long, value_name = "SIZE", value_parser = flash_size)]
    flash_size: Option<FlashLen>,
    /// The version of Secure Boot: with v1 the size of an app must be a multiple of 64K.
    #[arg(long, value_enum)]
    secure: Option<Secure>,
    /// No MD5 row: only for bootloaders older than ESP-IDF 3.1.
    #[arg(long, alias = "disable-md5sum")]
    no_md5: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Secure {
    V1,
    V2,
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    match &args.verb {
        Verb::Build(args) => build(args, format),
        Verb::Check(args) => check(args, format),
        Verb::Show(args) => show(args, format),
    }
}

fn build(args: &Build, format: Format) -> anyhow::Result<bool> {
    let read = args.input.read()?;
    read.refuse_problems()?;
    let found = findings(&read.partitions, &args.limits.rules(&args.input));
    if found.iter().any(cotter_formats::partition::finding::Finding::forbids) {
        let texts: Vec<String> =
            found.iter().filter(|finding| finding.forbids()).map(|finding| format!("\n  {finding}")).collect();
        return Err(anyhow::anyhow!("{}: the table would not work:{}", args.input.table, texts.concat()))
            .context(output::Help("`cotter partition show` prints the layout with its gaps"));
    }
    let bytes = Rows::write(&read.partitions, !args.limits.no_md5)?;
    args.output.write(&bytes, Visibility::Public)?;
    if args.output != File::Standard {
        let warnings = found.iter().map(Note::of).collect();
        let built = Built {
            output: args.output.to_string(),
            partitions: read.partitions.len(),
            offset: args.input.offset.0,
            warnings,
        };
        output::value(&built, format)?;
    }
    Ok(true)
}

fn check(args: &Check, format: Format) -> anyhow::Result<bool> {
    let read = args.input.read()?;
    let mut notes = read.notes();
    // A CSV with lines that cannot be read has no layout yet that rules could be held against.
    let complete = read.csv_errors.is_empty();
    if complete {
        if read.binary && !read.checksummed && !args.limits.no_md5 {
            notes.push(Note::no_checksum());
        }
        notes.extend(findings(&read.partitions, &args.limits.rules(&args.input)).iter().map(Note::of));
    }
    let checked =
        Checked { table: args.input.table.to_string(), partitions: read.partitions.len(), complete, findings: notes };
    output::value(&checked, format)?;
    Ok(checked.findings.is_empty())
}

fn show(args: &Show, format: Format) -> anyhow::Result<bool> {
    let read = args.input.read()?;
    read.refuse_csv_errors()?;
    if args.csv {
        read.refuse_problems()?;
        let csv = csv::write(&read.partitions)?;
        File::Standard.write(csv.as_bytes(), Visibility::Public)?;
        return Ok(true);
    }
    let layout = Layout::new(&read, args.input.offset, args.flash_size);
    output::value(&layout, format)?;
    Ok(true)
}

/// A table as far as it could be read.
struct Read {
    name: String,
    partitions: Vec<Partition>,
    binary: bool,
    checksummed: bool,
    csv_errors: Vec<CsvError>,
    problems: Vec<cotter_formats::partition::rows::RowProblem>,
}

impl Read {
    fn notes(&self) -> Vec<Note> {
        self.csv_errors.iter().map(Note::of_csv).chain(self.problems.iter().map(Note::of_row)).collect()
    }

    fn refuse_csv_errors(&self) -> anyhow::Result<()> {
        if self.csv_errors.is_empty() {
            return Ok(());
        }
        let texts: Vec<String> = self.csv_errors.iter().map(|error| format!("\n  {error}")).collect();
        let error = Err(anyhow::anyhow!("{}: not a partition table:{}", self.name, texts.concat()));
        let has = |wanted: fn(&csv::Problem) -> bool| self.csv_errors.iter().any(|error| wanted(&error.problem));
        if has(|problem| matches!(problem, csv::Problem::Variable { .. })) {
            return error.context(output::Help("say --expand-env to put environment variables in"));
        }
        if has(|problem| matches!(problem, csv::Problem::NoBootloader { .. })) {
            return error
                .context(output::Help("name the chip with --chip, or say --bootloader-offset, --recovery-offset"));
        }
        error
    }

    fn refuse_problems(&self) -> anyhow::Result<()> {
        self.refuse_csv_errors()?;
        if self.problems.is_empty() {
            return Ok(());
        }
        let texts: Vec<String> = self.problems.iter().map(|problem| format!("\n  {problem}")).collect();
        bail!("{}: the table is damaged:{}", self.name, texts.concat())
    }
}

impl Input {
    fn read(&self) -> anyhow::Result<Read> {
        let bytes = self.table.read()?;
        let name = self.table.to_string();
        // A flash image is longer than the sector of a table, and a CSV is text.
        let at = usize::try_from(self.offset.0)?;
        let inside = (bytes.len() > SECTOR_LEN).then(|| bytes.get(at..)).flatten().filter(|_| !is_text(&bytes));
        let table = inside.unwrap_or(&bytes);
        if inside.is_some() || is_binary(table) {
            let Some(body) = table.first_chunk::<TABLE_LEN>() else {
                return Err(anyhow::anyhow!("{name}: {} bytes, expected {TABLE_LEN:#x} of a table", table.len()))
                    .context(output::Help("of a flash image, name the place of the table with --offset"));
            };
            if inside.is_some() && !is_binary(body) {
                return Err(anyhow::anyhow!("{name}: no partition table at {}", self.offset))
                    .context(output::Help("name its place with --offset; an encrypted one must be decrypted first"));
            }
            let Rows { partitions, checksummed, problems } = Rows::read(body);
            return Ok(Read { name, partitions, binary: true, checksummed, csv_errors: Vec::new(), problems });
        }
        let text = str::from_utf8(&bytes)
            .with_context(|| format!("{name}: neither a binary table (aa 50 ..) nor text in UTF-8"))?;
        let environment = |name: &str| if name.is_empty() { None } else { std::env::var(name).ok() };
        let options = CsvOptions {
            table: self.offset,
            bootloader: self.bootloader_offset.or(self.chip.map(Chip::bootloader_offset)),
            recovery: self.recovery_offset,
            variables: if self.expand_env { Some(&environment) } else { None },
        };
        let (partitions, csv_errors) = match csv::parse(text, &options) {
            Ok(partitions) => (partitions, Vec::new()),
            Err(errors) => (Vec::new(), errors),
        };
        Ok(Read { name, partitions, binary: false, checksummed: false, csv_errors, problems: Vec::new() })
    }
}

impl Limits {
    fn rules(&self, input: &Input) -> Rules {
        let secure_boot = match self.secure {
            None => SecureBoot::None,
            Some(Secure::V1) => SecureBoot::V1,
            Some(Secure::V2) => SecureBoot::V2,
        };
        Rules { table: input.offset, flash_size: self.flash_size, secure_boot, checksum: !self.no_md5 }
    }
}

fn is_text(bytes: &[u8]) -> bool {
    !is_binary(bytes) && str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0'))
}

fn address(text: &str) -> Result<FlashAddr, &'static str> {
    csv::number(text)
        .and_then(|number| u32::try_from(number).ok())
        .map(FlashAddr)
        .filter(|address| address.is_aligned(cotter_formats::addr::SECTOR))
        .ok_or("expected a multiple of 0x1000 such as 0x8000 or 32K")
}

fn flash_size(text: &str) -> Result<FlashLen, &'static str> {
    csv::number(text.strip_suffix(['B', 'b']).filter(|rest| rest.ends_with(['M', 'K', 'm', 'k'])).unwrap_or(text))
        .and_then(|number| u32::try_from(number).ok())
        .filter(|&size| size > 0)
        .map(FlashLen)
        .ok_or("expected a size such as 4M, 4MB or 0x400000")
}

fn chip(text: &str) -> Result<Chip, String> {
    let known = || Chip::ALL.map(Chip::name).join(", ");
    Chip::from_name(text).ok_or_else(|| format!("unknown chip, expected one of {}", known()))
}

const SECTOR_LEN: usize = 0x1000;
