//! `cotter otadata`: which slot boots, and how far it is trusted.

use crate::file::File;
use crate::output::{self, Format};
use anyhow::{Context, bail, ensure};
use cotter_factory::output::Visibility;
use cotter_formats::crc::crc_a;
use cotter_formats::otadata::{
    OtaEntry, OtaState, PARTITION_LEN, build_partition, next_seq, parse_partition, select, slot_of,
};
use cotter_formats::partition::{PartitionTable, PartitionType, Subtype, TABLE_LEN};
use serde::Serialize;
use std::fmt::{self, Display};

/// Show and build otadata, the two entries that say which slot boots.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Build(Build),
    Show(Show),
}

/// Show both entries of an otadata partition and which slot the bootloader would boot.
///
/// The partition must be decrypted. How many slots there are decides what a sequence number stands for: say it with
/// --slots, or name the table.
///
/// Example: cotter otadata show otadata.bin --table partition-table.bin
#[derive(clap::Args)]
struct Show {
    /// The partition (0x2000 bytes), `-` for stdin.
    partition: File,
    #[command(flatten)]
    slots: Slots,
}

/// Build an otadata partition that makes a slot boot.
///
/// With --from, the entry that boots now is kept and the other one is written with the next sequence number, as an
/// update does. Without it, the first entry is written and the second left erased, as otatool.py does.
///
/// Example: cotter otadata build --slot 1 --slots 2 --state new -o otadata.bin
#[derive(clap::Args)]
struct Build {
    /// The slot that shall boot, counted from 0.
    #[arg(long)]
    slot: u32,
    #[command(flatten)]
    slots: Slots,
    /// How far the image in it is trusted. `new` and `pending-verify` matter only to a bootloader with rollback.
    #[arg(long, value_enum, default_value = "undefined")]
    state: State,
    /// The sequence number; must stand for the slot. Default: the next one that does.
    #[arg(long)]
    sequence: Option<u32>,
    /// The partition as it is now (0x2000 bytes, decrypted), `-` for stdin.
    #[arg(long, value_name = "FILE")]
    from: Option<File>,
    /// The partition to write (0x2000 bytes), `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: File,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Slots {
    /// How many OTA slots the device has.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=16))]
    slots: Option<u32>,
    /// The binary partition table that says so.
    #[arg(long, value_name = "FILE")]
    table: Option<File>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum State {
    New,
    PendingVerify,
    Valid,
    Invalid,
    Aborted,
    Undefined,
}

impl State {
    const fn value(self) -> OtaState {
        match self {
            Self::New => OtaState::NEW,
            Self::PendingVerify => OtaState::PENDING_VERIFY,
            Self::Valid => OtaState::VALID,
            Self::Invalid => OtaState::INVALID,
            Self::Aborted => OtaState::ABORTED,
            Self::Undefined => OtaState::UNDEFINED,
        }
    }
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    match &args.verb {
        Verb::Build(args) => build(args, format),
        Verb::Show(args) => show(args, format),
    }
}

fn show(args: &Show, format: Format) -> anyhow::Result<bool> {
    let entries = read(&args.partition)?;
    let known = args.slots.read()?;
    output::value(&Report::new(&entries, &known), format)?;
    Ok(true)
}

fn build(args: &Build, format: Format) -> anyhow::Result<bool> {
    let known = args.slots.read()?;
    let (slot, count) = (args.slot, known.count);
    ensure!(slot < count, "there is no slot {slot}: the device has {count}, counted from 0");
    let mut entries = args.from.as_ref().map_or(Ok([OtaEntry::ERASED; 2]), read)?;
    let active = select(&entries);
    let current = active.map_or(0, |index| entries[index].seq);
    let seq = match args.sequence {
        Some(seq) => seq,
        None => next_seq(current, slot, count).context("the sequence numbers are used up")?,
    };
    ensure!(seq != 0 && seq != u32::MAX, "sequence number {seq} stands for an erased entry");
    if slot_of(seq, count) != Some(slot) {
        let expected = next_seq(seq, slot, count).map_or_else(|| "a lower one".into(), |next| next.to_string());
        bail!("sequence number {seq} does not stand for slot {slot} of {count}; {expected} would");
    }
    let given_up = matches!(args.state, State::Invalid | State::Aborted);
    if !given_up && seq <= current {
        bail!("sequence number {seq} is not above {current}, which boots now and would still boot");
    }
    entries[active.map_or(0, |index| 1 - index)] = OtaEntry::new(seq, args.state.value());
    args.output.write(&build_partition(&entries), Visibility::Public)?;
    if args.output != File::Standard {
        output::value(&Report::new(&entries, &known), format)?;
    }
    Ok(true)
}

fn read(file: &File) -> anyhow::Result<[OtaEntry; 2]> {
    let bytes = file.read()?;
    if bytes.len() != PARTITION_LEN {
        return Err(anyhow::anyhow!("{file}: {:#x} bytes, expected {PARTITION_LEN:#x} (two sectors)", bytes.len()))
            .context(output::Help("read the whole otadata partition; `cotter partition show` says where it is"));
    }
    parse_partition(&bytes).with_context(|| file.to_string())
}

/// What there is to boot.
struct Known {
    count: u32,
    /// `None` if no table was named.
    factory: Option<bool>,
}

impl Slots {
    fn read(&self) -> anyhow::Result<Known> {
        let file = match (&self.table, self.slots) {
            (Some(file), _) => file,
            (None, Some(count)) => return Ok(Known { count, factory: None }),
            (None, None) => bail!("say how many slots there are, with --slots or --table"),
        };
        let bytes = file.read()?;
        // Behind the table its sector may hold a signature.
        let body = bytes.get(..TABLE_LEN).filter(|_| bytes.len() <= 0x1000).unwrap_or(&bytes);
        let table = PartitionTable::parse(body)
            .with_context(|| file.to_string())
            .context(output::Help("--table takes a binary table: `cotter partition build` makes one from a CSV"))?;
        let factory = table.find_type(PartitionType::APP, Subtype::APP_FACTORY).is_some();
        let count = table.ota_slot_count();
        ensure!(count > 0, "{file}: the table has no OTA slot");
        Ok(Known { count, factory: Some(factory) })
    }
}

/// Both entries and what they mean.
#[derive(Serialize)]
struct Report {
    entries: [Entry; 2],
    slots: u32,
    /// The entry that the bootloader honours.
    active: Option<usize>,
    /// Null if no entry is honoured and no table was named.
    boots: Option<String>,
    #[serde(skip)]
    encrypted: bool,
}

#[derive(Serialize)]
struct Entry {
    sequence: u32,
    slot: Option<u32>,
    state: &'static str,
    state_value: u32,
    crc: u32,
    crc_expected: u32,
    /// `valid`, `erased`, `bad-crc` or `given-up`.
    verdict: &'static str,
}

impl Entry {
    fn new(entry: &OtaEntry, slots: u32) -> Self {
        let crc_expected = crc_a(&entry.seq.to_le_bytes());
        let verdict = match entry {
            _ if *entry == OtaEntry::ERASED => "erased",
            entry if entry.is_valid() => "valid",
            entry if entry.crc != crc_expected => "bad-crc",
            entry if entry.seq == u32::MAX => "erased",
            _ => "given-up",
        };
        let slot = if verdict == "erased" { None } else { slot_of(entry.seq, slots) };
        let state = match entry.state {
            OtaState::NEW => "new",
            OtaState::PENDING_VERIFY => "pending-verify",
            OtaState::VALID => "valid",
            OtaState::INVALID => "invalid",
            OtaState::ABORTED => "aborted",
            OtaState::UNDEFINED => "undefined",
            _ => "unknown",
        };
        Self { sequence: entry.seq, slot, state, state_value: entry.state.0, crc: entry.crc, crc_expected, verdict }
    }
}

impl Report {
    fn new(entries: &[OtaEntry; 2], known: &Known) -> Self {
        let active = select(entries);
        let boots = match (active.and_then(|index| slot_of(entries[index].seq, known.count)), known.factory) {
            (Some(slot), _) => Some(format!("ota_{slot}")),
            (None, Some(true)) => Some("factory".into()),
            (None, Some(false)) => Some("ota_0".into()),
            (None, None) => None,
        };
        let entries = [Entry::new(&entries[0], known.count), Entry::new(&entries[1], known.count)];
        let encrypted = entries.iter().all(|entry| entry.verdict == "bad-crc");
        Self { entries, slots: known.count, active, boots, encrypted }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.entries.iter().enumerate() {
            if entry.verdict == "erased" {
                writeln!(f, "entry {index}: erased")?;
                continue;
            }
            let Entry { sequence, state, state_value, crc, crc_expected, .. } = entry;
            write!(f, "entry {index}: sequence {sequence}")?;
            if let Some(slot) = entry.slot {
                write!(f, " = ota_{slot} of {}", self.slots)?;
            }
            write!(f, ", state {state} ({state_value:#x}: {}), CRC {crc:#010x} ", meaning(state))?;
            match entry.verdict {
                "bad-crc" => writeln!(f, "wrong, expected {crc_expected:#010x}")?,
                _ => writeln!(f, "right")?,
            }
        }
        match (&self.boots, self.active) {
            (Some(boots), Some(index)) => write!(f, "boots {boots} (entry {index})"),
            (Some(boots), None) => write!(f, "boots {boots} (no entry counts)"),
            (None, _) => write!(f, "boots factory if there is one, else ota_0 (no entry counts)"),
        }?;
        if self.encrypted {
            write!(f, "\nNeither CRC is right: is the partition still encrypted?")?;
        }
        Ok(())
    }
}

fn meaning(state: &str) -> &'static str {
    match state {
        "new" => "never booted",
        "pending-verify" => "booted once; the next reset gives it up unless it confirms itself",
        "valid" => "confirmed",
        "invalid" => "refused by the application",
        "aborted" => "never confirmed",
        "undefined" => "boots unconditionally",
        _ => "the bootloader treats it like undefined",
    }
}
