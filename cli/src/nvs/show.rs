//! `cotter nvs show` and `check`: what is in a partition, and what is wrong with it.

use super::keys::KeyArgs;
use crate::file::File;
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_formats::nvs::Value;
use cotter_formats::nvs::page::{ENTRY_SIZE, PAGE_SIZE, entry_offset};
use cotter_formats::nvs::partition::{Contents, Fault, Item, inspect};
use serde::Serialize;
use std::fmt;
use zeroize::Zeroizing;

/// Print namespaces, keys, types and values of a partition, and its faults.
///
/// Strings and blobs are hidden, and only their length is printed, when the partition is encrypted or the key's name
/// sounds secret (key, psk, pass, pwd, pswd, pmk, secret, token, priv). --reveal prints them.
///
/// Example: cotter nvs show --keys nvs_keys.bin nvs.bin
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    keys: KeyArgs,
    /// Print hidden values too.
    #[arg(long)]
    reveal: bool,
    /// Print blobs and strings in full, not only their first 32 bytes.
    #[arg(long)]
    full: bool,
    /// The partition; `-` is stdin.
    #[arg(value_name = "IN")]
    input: File,
}

/// Check a partition entry by entry: exit code 1 if anything is wrong.
///
/// A value that a newer one replaces is a fault too: it is what a power cut leaves. A partition of 0x3000 bytes or more
/// needs an erased page, or ESP-IDF does not mount it.
///
/// Example: cotter nvs check --hmac-key hmac_key.bin nvs.bin
#[derive(clap::Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    keys: KeyArgs,
    /// The partition; `-` is stdin.
    #[arg(value_name = "IN")]
    input: File,
}

#[derive(Serialize)]
struct Shown {
    namespace: String,
    key: String,
    #[serde(rename = "type")]
    kind: String,
    /// Absent if it is hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<serde_json::Value>,
    /// Bytes, of strings without their NUL.
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<usize>,
}

#[derive(Serialize)]
struct FaultLine {
    page: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<usize>,
    offset: usize,
    problem: String,
}

#[derive(Serialize)]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<Shown>>,
    count: usize,
    faults: Vec<FaultLine>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut namespace = None;
        for shown in self.values.iter().flatten() {
            if namespace.replace(&shown.namespace) != Some(&shown.namespace) {
                writeln!(f, "{}", shown.namespace)?;
            }
            write!(f, "  {:<15}  {:<6}  ", shown.key, shown.kind)?;
            match (&shown.value, shown.length) {
                (Some(serde_json::Value::String(text)), Some(length)) if shown.kind == "string" => {
                    writeln!(f, "{text:?} ({length} bytes)")?;
                }
                (Some(serde_json::Value::String(hex)), Some(length)) => writeln!(f, "{hex} ({length} bytes)")?,
                (Some(value), _) => writeln!(f, "{value}")?,
                (None, length) => writeln!(f, "hidden, {} bytes", length.unwrap_or_default())?,
            }
        }
        for FaultLine { page, entry, offset, problem } in &self.faults {
            match entry {
                Some(entry) => writeln!(f, "fault: page {page}, entry {entry} ({offset:#x}): {problem}")?,
                None => writeln!(f, "fault: page {page} ({offset:#x}): {problem}")?,
            }
        }
        write!(f, "{} values, {} faults", self.count, self.faults.len())
    }
}

/// Where a fault is, in words.
pub(crate) fn place(fault: &Fault) -> String {
    match fault.entry {
        Some(entry) => format!("at page {}, entry {entry} ({:#x})", fault.page, offset(fault)),
        None => format!("at page {} ({:#x})", fault.page, offset(fault)),
    }
}

fn offset(fault: &Fault) -> usize {
    fault.page * PAGE_SIZE + fault.entry.map_or(0, entry_offset)
}

fn read(input: &File, keys: &KeyArgs) -> anyhow::Result<(Contents, Zeroizing<Vec<u8>>, bool)> {
    let keys = keys.read()?;
    let bytes = Zeroizing::new(input.read()?);
    let contents = inspect(&bytes, keys.as_ref()).with_context(|| input.to_string())?;
    Ok((contents, bytes, keys.is_some()))
}

fn faults(contents: &Contents) -> Vec<FaultLine> {
    let line = |fault: &Fault| FaultLine {
        page: fault.page,
        entry: fault.entry,
        offset: offset(fault),
        problem: fault.kind.to_string(),
    };
    contents.faults.iter().map(line).collect()
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let (mut contents, _bytes, encrypted) = read(&args.input, &args.keys)?;
    if contents.items.is_empty() && !contents.faults.is_empty() {
        let problem = anyhow::anyhow!("{}: nothing is readable, {} faults", args.input, contents.faults.len());
        return Err(problem).context(Help("if it is encrypted, give its keys with --keys or --hmac-key"));
    }
    contents.items.sort_by_key(|item| item.namespace);
    let values: Vec<Shown> = contents
        .items
        .iter()
        .map(|item| shown(item, args.full, args.reveal || !(encrypted || sounds_secret(&item.key.to_string()))))
        .collect();
    let report = Report { count: values.len(), values: Some(values), faults: faults(&contents) };
    output::value(&report, format)?;
    Ok(true)
}

pub(crate) fn check(args: &CheckArgs, format: Format) -> anyhow::Result<bool> {
    let (contents, bytes, _) = read(&args.input, &args.keys)?;
    let mut faults = faults(&contents);
    let erased = |page: &[u8]| page.iter().all(|&byte| byte == 0xFF);
    if bytes.len() >= 3 * PAGE_SIZE && !bytes.chunks_exact(PAGE_SIZE).any(erased) {
        let problem = "no page is erased: ESP-IDF refuses to mount it (ESP_ERR_NVS_NO_FREE_PAGES)".to_owned();
        let page = bytes.len() / PAGE_SIZE - 1;
        faults.push(FaultLine { page, entry: None, offset: page * PAGE_SIZE, problem });
    }
    let sound = faults.is_empty();
    output::value(&Report { values: None, count: contents.items.len(), faults }, format)?;
    Ok(sound)
}

fn sounds_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["key", "psk", "pass", "pwd", "pswd", "pmk", "apsw", "secret", "token", "priv"]
        .iter()
        .any(|word| key.contains(word))
}

fn shown(item: &Item, full: bool, visible: bool) -> Shown {
    let limit = if full { usize::MAX } else { ENTRY_SIZE };
    let (kind, value, length) = match &item.value {
        Value::U8(number) => ("u8", Some((*number).into()), None),
        Value::I8(number) => ("i8", Some((*number).into()), None),
        Value::U16(number) => ("u16", Some((*number).into()), None),
        Value::I16(number) => ("i16", Some((*number).into()), None),
        Value::U32(number) => ("u32", Some((*number).into()), None),
        Value::I32(number) => ("i32", Some((*number).into()), None),
        Value::U64(number) => ("u64", Some((*number).into()), None),
        Value::I64(number) => ("i64", Some((*number).into()), None),
        Value::String(text) => {
            let end = (0..=text.len().min(limit)).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
            ("string", visible.then(|| cut(text[..end].to_owned(), end < text.len())), Some(text.len()))
        }
        Value::Blob(bytes) => {
            let hex = bytes.iter().take(limit).map(|byte| format!("{byte:02x}")).collect();
            ("blob", visible.then(|| cut(hex, limit < bytes.len())), Some(bytes.len()))
        }
        Value::Other { kind, raw } => {
            let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
            return Shown {
                namespace: item.namespace.to_string(),
                key: item.key.to_string(),
                kind: format!("{:#04x}", kind.0),
                value: Some(hex.into()),
                length: Some(raw.len()),
            };
        }
    };
    Shown { namespace: item.namespace.to_string(), key: item.key.to_string(), kind: kind.to_owned(), value, length }
}

fn cut(mut text: String, shortened: bool) -> serde_json::Value {
    if shortened {
        text.push_str("...");
    }
    text.into()
}
