//! What the partition verbs print.

use super::Read;
use cotter_formats::addr::{FlashAddr, FlashLen, SECTOR};
use cotter_formats::partition::csv::{CsvError, FlagNames, HumanSize};
use cotter_formats::partition::finding::Finding;
use cotter_formats::partition::rows::RowProblem;
use cotter_formats::partition::{Partition, PartitionFlags, is_flash_encrypted};
use serde::Serialize;
use std::fmt::{self, Display};

/// `partition build`.
#[derive(Serialize)]
pub(super) struct Built {
    pub(super) output: String,
    pub(super) partitions: usize,
    pub(super) offset: u32,
    pub(super) warnings: Vec<Note>,
}

impl Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(f, "{warning}")?;
        }
        write!(f, "{}: {} partitions, to be written at {:#x}", self.output, self.partitions, self.offset)
    }
}

/// `partition check`.
#[derive(Serialize)]
pub(super) struct Checked {
    pub(super) table: String,
    pub(super) partitions: usize,
    /// False if lines could not be read, so that the rules between partitions are not yet checked.
    pub(super) complete: bool,
    pub(super) findings: Vec<Note>,
}

impl Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        match self.findings.len() {
            0 => write!(f, "{}: {} partitions, nothing found", self.table, self.partitions),
            count if self.complete => write!(f, "{}: {} partitions, {count} found", self.table, self.partitions),
            count => write!(f, "{}: {count} found; the layout is checked once every line can be read", self.table),
        }
    }
}

/// One finding.
#[derive(Serialize)]
pub(super) struct Note {
    severity: &'static str,
    code: &'static str,
    message: String,
}

impl Note {
    pub(super) fn of(finding: &Finding) -> Self {
        let severity = if finding.forbids() { "error" } else { "warning" };
        Self { severity, code: finding.code(), message: finding.to_string() }
    }

    pub(super) fn of_csv(error: &CsvError) -> Self {
        Self { severity: "error", code: "csv", message: error.to_string() }
    }

    pub(super) fn of_row(problem: &RowProblem) -> Self {
        Self { severity: "error", code: problem.code(), message: problem.to_string() }
    }

    pub(super) fn no_checksum() -> Self {
        let message = "there is no MD5 row: corruption goes unnoticed; build the table again, or say --no-md5 if the \
                       bootloader is older than ESP-IDF 3.1"
            .into();
        Self { severity: "warning", code: "no-md5", message }
    }
}

impl Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.message)
    }
}

/// `partition show`.
#[derive(Serialize)]
pub(super) struct Layout {
    offset: u32,
    /// Null for a CSV, which has none.
    md5: Option<bool>,
    partitions: Vec<Entry>,
    map: Vec<Stretch>,
    problems: Vec<Note>,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    r#type: String,
    type_value: u8,
    subtype: String,
    subtype_value: u8,
    offset: u32,
    size: u32,
    end: u64,
    flags: u32,
    encrypted: bool,
    readonly: bool,
    /// True if flash encryption covers it, by its type or by its flag.
    flash_encrypted: bool,
    #[serde(skip)]
    flag_names: String,
}

/// A part of the flash: a partition, or what lies between.
#[derive(Serialize)]
struct Stretch {
    offset: u64,
    size: u64,
    /// Null for a gap.
    name: Option<String>,
    /// True if the stretch begins before the one above ends.
    overlaps: bool,
}

impl Layout {
    pub(super) fn new(read: &Read, table: FlashAddr, flash: Option<FlashLen>) -> Self {
        Self {
            offset: table.0,
            md5: read.binary.then_some(read.checksummed),
            partitions: read.partitions.iter().map(Entry::new).collect(),
            map: map(&read.partitions, table, flash),
            problems: read.notes(),
        }
    }
}

impl Entry {
    fn new(partition: &Partition) -> Self {
        let &Partition { label, kind, subtype, offset, size, flags } = partition;
        Self {
            name: label.to_string(),
            r#type: kind.name().map_or_else(|| format!("{:#04x}", kind.0), Into::into),
            type_value: kind.0,
            subtype: subtype.name(kind).map_or_else(|| format!("{:#04x}", subtype.0), Into::into),
            subtype_value: subtype.0,
            offset: offset.0,
            size: size.0,
            end: partition.end(),
            flags: flags.0,
            encrypted: flags.contains(PartitionFlags::ENCRYPTED),
            readonly: flags.contains(PartitionFlags::READONLY),
            flash_encrypted: is_flash_encrypted(partition),
            flag_names: FlagNames(flags).to_string(),
        }
    }
}

/// From the beginning of the flash to its end (or that of the last partition), without a hole.
fn map(partitions: &[Partition], table: FlashAddr, flash: Option<FlashLen>) -> Vec<Stretch> {
    let mut parts: Vec<(u64, u64, String)> =
        partitions.iter().map(|p| (p.offset.0.into(), p.size.0.into(), p.label.to_string())).collect();
    if !partitions.iter().any(|partition| partition.is_primary() && partition.offset == table) {
        parts.push((table.0.into(), SECTOR.into(), "(partition table)".into()));
    }
    parts.sort();
    let (mut stretches, mut end) = (Vec::new(), 0);
    for (offset, size, name) in parts {
        if offset > end {
            stretches.push(Stretch { offset: end, size: offset - end, name: None, overlaps: false });
        }
        stretches.push(Stretch { offset, size, name: Some(name), overlaps: offset < end });
        end = end.max(offset + size);
    }
    if let Some(rest) = flash.and_then(|flash| u64::from(flash.0).checked_sub(end)).filter(|&rest| rest > 0) {
        stretches.push(Stretch { offset: end, size: rest, name: None, overlaps: false });
    }
    stretches
}

impl Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_content_arrangement(comfy_table::ContentArrangement::Disabled);
        table.set_header(["name", "type", "subtype", "offset", "size", "flags", "flash encryption"]);
        for entry in &self.partitions {
            let (size, covered) = (human(entry.size.into()), if entry.flash_encrypted { "yes" } else { "no" });
            let offset = format!("{:#x}", entry.offset);
            let name = entry.name.escape_debug().to_string();
            table.add_row([&name, &entry.r#type, &entry.subtype, &offset, &size, &entry.flag_names, covered]);
        }
        writeln!(f, "{}\n", table.trim_fmt())?;
        let largest = self.map.iter().map(|stretch| stretch.size).max().unwrap_or(1).max(1);
        for stretch in &self.map {
            let bar = usize::try_from((stretch.size * BAR).div_ceil(largest)).unwrap_or_default();
            let (mark, name) = match &stretch.name {
                Some(name) => ("#", name.escape_debug().to_string()),
                None => (".", if stretch.offset == 0 { "(bootloader)".into() } else { "(free)".to_owned() }),
            };
            let overlap = if stretch.overlaps { "  OVERLAPS" } else { "" };
            let size = human(stretch.size);
            writeln!(f, "{:#010x}  {size:>8}  {:<28} {name}{overlap}", stretch.offset, mark.repeat(bar))?;
        }
        let end = self.map.iter().map(|stretch| stretch.offset + stretch.size).max().unwrap_or_default();
        write!(f, "{end:#010x}  end")?;
        match self.md5 {
            Some(true) => write!(f, "; table at {:#x}, MD5 holds", self.offset),
            Some(false) => write!(f, "; table at {:#x}, no MD5 that holds", self.offset),
            None => write!(f, "; table at {:#x}", self.offset),
        }
    }
}

fn human(size: u64) -> String {
    u32::try_from(size).map_or_else(|_| format!("{size:#x}"), |size| HumanSize(FlashLen(size)).to_string())
}

/// Characters of the longest bar.
const BAR: u64 = 28;
