//! `cotter efuse diff`: bit by bit, what differs between two states, and whether burning leads from one to the other.

use super::source::Options;
use crate::file::File;
use crate::image::hex;
use crate::output::{self, Format};
use anyhow::ensure;
use cotter_formats::efuse::reach::obstacles;
use cotter_formats::efuse::{EfuseImage, Field, Group};
use serde::Serialize;
use std::fmt;

/// Compare two states bit by bit, and tell whether B can be reached from A by burning.
///
/// Exit code 1 if it cannot. Contents of key blocks are not printed, only how many bits change.
///
/// Example: cotter efuse diff --chip esp32c3 before.bin after.bin
#[derive(clap::Args)]
pub(crate) struct Args {
    /// State A: a file, `-` for stdin, or a token.
    a: File,
    /// State B.
    b: File,
    #[command(flatten)]
    options: Options,
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    ensure!(args.a != File::Standard || args.b != File::Standard, "only one of the two can come from stdin");
    let [a, b] = [&args.a, &args.b].map(|file| args.options.read(file).map(|source| source.image));
    let (a, b) = (a?, b?);
    let chips = [&a, &b].map(|image| image.map().chip);
    ensure!(chips[0] == chips[1], "A is of an {}, B of an {}", chips[0], chips[1]);
    let report = Report::of(&a, &b);
    let reachable = report.reachable;
    output::value(&report, format)?;
    Ok(reachable)
}

/// What differs.
#[derive(Serialize)]
pub(crate) struct Report {
    chip: &'static str,
    pub(crate) changes: Vec<Change>,
    reachable: bool,
    obstacles: Vec<String>,
}

/// A field that differs.
#[derive(Serialize)]
pub(crate) struct Change {
    field: &'static str,
    block: u8,
    /// Bits of the block that are set in B and not in A.
    set: Vec<u16>,
    /// The other way round.
    cleared: Vec<u16>,
    /// Numbers, or hexadecimal with the lowest byte first; absent for key blocks.
    before: Option<String>,
    after: Option<String>,
    /// It cannot be read in B, so what it holds is not known.
    hidden: bool,
    description: &'static str,
}

impl Report {
    pub(crate) fn of(a: &EfuseImage, b: &EfuseImage) -> Self {
        let fields = b.map().fields.iter();
        let changes: Vec<Change> = fields.filter_map(|field| Change::of(a, b, field)).collect();
        let obstacles: Vec<String> = obstacles(a, b).iter().map(ToString::to_string).collect();
        Self { chip: b.map().chip.name(), changes, reachable: obstacles.is_empty(), obstacles }
    }
}

impl Change {
    fn of(a: &EfuseImage, b: &EfuseImage, field: &'static Field) -> Option<Self> {
        let (before, after) = (a.bytes(field), b.bytes(field));
        if before[..] == after[..] {
            return None;
        }
        let bit = |bytes: &[u8], index: u16| {
            bytes.get(usize::from(index / 8)).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
        };
        let bits = |from: &[u8], to: &[u8]| -> Vec<u16> {
            (0..field.len).filter(|&index| !bit(from, index) && bit(to, index)).map(|index| field.bit + index).collect()
        };
        let text = |bytes: &[u8]| match field.group() {
            Group::Keys if field.len > 32 => None,
            _ if field.len > 32 => Some(hex(bytes)),
            _ => Some(format!("{:#x}", number(bytes))),
        };
        Some(Self {
            field: field.name,
            block: field.block.0,
            set: bits(&before, &after),
            cleared: bits(&after, &before),
            before: text(&before),
            after: text(&after),
            hidden: a.is_readable(field) && !b.is_readable(field),
            description: field.description(),
        })
    }
}

/// The number that the bytes of a value spell.
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

impl Report {
    /// A line for each field that differs.
    pub(crate) fn write_changes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            write!(f, "  {:<34}", format!("BLOCK{} {}", change.block, change.field))?;
            if let (Some(before), Some(after)) = (&change.before, &change.after) {
                write!(f, " {before} -> {after}")?;
            }
            if change.hidden {
                write!(f, " hidden now, reads as zero")?;
            } else {
                bits(f, '+', &change.set)?;
                bits(f, '-', &change.cleared)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            return write!(f, "no difference");
        }
        self.write_changes(f)?;
        if self.reachable {
            write!(f, "reachable: burning leads from A to B")
        } else {
            write!(f, "not reachable: burning does not lead from A to B")?;
            self.obstacles.iter().try_for_each(|obstacle| write!(f, "\n  {obstacle}"))
        }
    }
}

fn bits(f: &mut fmt::Formatter<'_>, sign: char, bits: &[u16]) -> fmt::Result {
    match bits {
        [] => Ok(()),
        few if few.len() <= 8 => {
            let few: Vec<String> = few.iter().map(ToString::to_string).collect();
            write!(f, "  {sign}bit {}", few.join(" "))
        }
        many => write!(f, "  {sign}{} bits", many.len()),
    }
}
