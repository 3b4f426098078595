//! `cotter efuse show`: every field and key block, what it means and who may still change it.

use super::source::{Form, Options};
use crate::file::File;
use crate::image::hex;
use crate::output::{self, Format};
use cotter_formats::efuse::{Coding, EfuseBlock, EfuseImage, Family, Field, Group, KeyPurpose, PurposeValue};
use serde::Serialize;
use std::fmt;

/// Show every field and key block: value, meaning, protection.
///
/// The columns are the name, r or - (software can read it), w or - (more bits can be burned), the value with its
/// meaning, where it is (block.bit+length), the WR_DIS bit that freezes it, and what it is for. Keys that can still be
/// read are not printed unless --reveal says so.
///
/// Example: cotter efuse show --chip esp32c3 efuse.bin
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The eFuses: a file, `-` for stdin, or a token itself.
    file: File,
    #[command(flatten)]
    options: Options,
    /// Only fields and blocks that are burned or protected.
    #[arg(long)]
    burned: bool,
    /// Also the fields that Espressif keeps to itself.
    #[arg(long)]
    reserved: bool,
    /// Print keys that can still be read.
    #[arg(long)]
    reveal: bool,
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let source = args.options.read(&args.file)?;
    let report = Report::of(&source.image, source.form, args);
    output::value(&report, format)?;
    Ok(true)
}

#[derive(Serialize)]
struct Report {
    chip: &'static str,
    revision: String,
    mac: String,
    form: Form,
    coding: &'static str,
    keys: Vec<Key>,
    fields: Vec<Row>,
}

/// A key block.
#[derive(Serialize)]
struct Key {
    block: String,
    name: &'static str,
    purpose: Option<String>,
    readable: bool,
    writable: bool,
    purpose_writable: Option<bool>,
    empty: bool,
    /// Hexadecimal, lowest byte first; absent if hidden, empty or a secret that was not asked for.
    content: Option<String>,
    secret: bool,
}

/// A field.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    group: &'static str,
    block: u8,
    bit: u16,
    length: u16,
    /// A number up to 32 bits.
    number: Option<u32>,
    /// Longer fields: hexadecimal, lowest byte first; MAC addresses as they are written.
    content: Option<String>,
    meaning: Option<String>,
    readable: bool,
    writable: bool,
    write_protect_bit: Option<u8>,
    description: &'static str,
}

impl Report {
    fn of(image: &EfuseImage, form: Form, args: &Args) -> Self {
        let map = image.map();
        let coding = match (map.family, image.coding(EfuseBlock(1))) {
            (Family::Esp32, Coding::None) => "none: blocks 1 to 3 have 256 bits",
            (_, Coding::ThreeQuarters) => "3/4: blocks 1 to 3 have 192 bits, each 48 of them can be burned once",
            (_, Coding::Repeat) => "repeat: not supported, blocks 1 to 3 are shown as they read",
            _ => "RS(44, 32): each block but 0 can be burned once",
        };
        let keys = map.key_blocks().map(|block| Key::of(image, block, args.reveal));
        let keys = keys.filter(|key| !args.burned || !key.empty || !key.readable || !key.writable || key.is_assigned());
        let whole = |field: &Field| field.len == 256 && map.key_index(field.block).is_some();
        let fields = map.fields.iter().chain(map.views.iter().filter(|view| view.len <= 32));
        let fields = fields.filter(|field| !whole(field) && (args.reserved || field.group() != Group::Reserved));
        let is_burned = |field: &Field| image.is_set(field) || !image.is_readable(field) || !image.is_writable(field);
        let fields = fields.filter(|field| !args.burned || is_burned(field));
        let mut fields: Vec<(Group, Row)> = fields.map(|field| (field.group(), Row::of(image, field))).collect();
        fields.sort_by_key(|(group, _)| *group);
        Self {
            chip: map.chip.name(),
            revision: image.revision().to_string(),
            mac: mac(&image.mac()),
            form,
            coding,
            keys: keys.collect(),
            fields: fields.into_iter().map(|(_, row)| row).collect(),
        }
    }
}

impl Key {
    fn of(image: &EfuseImage, block: EfuseBlock, reveal: bool) -> Self {
        let map = image.map();
        let name = map.block(block).map_or("", |layout| layout.name);
        let content = image.block(block).unwrap_or_default();
        let (readable, empty) = (image.is_block_readable(block), content.iter().all(|byte| *byte == 0));
        let purpose = image.key_purpose(block);
        let secret = !empty && is_secret(image, block, purpose);
        let purpose_field = map.key_purpose_fields(block).map(|(field, _)| field);
        Self {
            block: block.to_string(),
            name,
            purpose: purpose.map(|purpose| purpose_name(image, purpose)),
            readable,
            writable: image.is_block_writable(block),
            purpose_writable: purpose_field.map(|field| image.is_writable(field)),
            empty,
            content: (!empty && (reveal || !secret)).then(|| hex(content)),
            secret,
        }
    }

    fn is_assigned(&self) -> bool {
        self.purpose.as_deref().is_some_and(|purpose| purpose != "USER")
    }
}

/// False only for what is known to be public: digests, and block 3 of the ESP32.
fn is_secret(image: &EfuseImage, block: EfuseBlock, purpose: Option<KeyPurpose>) -> bool {
    let is_on = |name| image.value_named(name).is_some_and(|value| value != 0);
    match image.map().family {
        Family::Esp32 => !(block.0 == 3 || (block.0 == 2 && is_on("ABS_DONE_1"))),
        Family::Esp32C2 => true,
        Family::Many => {
            let listed = image.map().purposes.iter();
            let mut digests = listed.filter(|purpose| purpose.is_digest);
            !digests.any(|digest| Some(digest.value) == purpose.map(PurposeValue::Burned))
        }
    }
}

pub(crate) fn purpose_name(image: &EfuseImage, purpose: KeyPurpose) -> String {
    match image.map().purpose(purpose) {
        Some(listed) => listed.name.to_owned(),
        None => format!("unknown purpose {}", purpose.0),
    }
}

impl Row {
    fn of(image: &EfuseImage, field: &Field) -> Self {
        let map = image.map();
        let number = (field.len <= 32).then(|| image.value(field));
        let bytes = image.bytes(field);
        let content = (field.len > 32).then(|| match (field.name, <[u8; 6]>::try_from(&bytes[..])) {
            ("MAC", Ok(mut bytes)) => {
                bytes.reverse();
                mac(&bytes)
            }
            ("CUSTOM_MAC", Ok(bytes)) => mac(&bytes),
            _ => hex(&bytes),
        });
        let meaning = number.and_then(|number| {
            let key = map.key_purposes.iter().position(|purpose| purpose.name == field.name);
            let block = key.and_then(|index| map.key_block(u8::try_from(index).ok()?));
            if let Some(purpose) = block.and_then(|block| image.key_purpose(block)) {
                return Some(purpose_name(image, purpose));
            }
            let named = field.value_name(map.chip, number).map(str::to_owned);
            named.or_else(|| (field.is_counter() && field.len > 1).then(|| format!("count {}", number.count_ones())))
        });
        Self {
            name: field.name,
            group: field.group().name(),
            block: field.block.0,
            bit: field.bit,
            length: field.len,
            number,
            content,
            meaning,
            readable: image.is_readable(field),
            writable: image.is_writable(field),
            write_protect_bit: field.write_protect_bit,
            description: field.description(),
        }
    }

    fn value(&self) -> String {
        if !self.readable {
            return "hidden".to_owned();
        }
        let value = match (self.number, &self.content) {
            (Some(number), _) if number < 10 => number.to_string(),
            (Some(number), _) => format!("{number:#x}"),
            (_, content) => content.clone().unwrap_or_default(),
        };
        match &self.meaning {
            Some(meaning) => format!("{value} {meaning}"),
            None => value,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}, MAC {}", self.chip, self.revision, self.mac)?;
        writeln!(f, "coding {}", self.coding)?;
        writeln!(f, "\nKEY BLOCKS")?;
        for key in &self.keys {
            let content = match &key.content {
                Some(content) => content.as_str(),
                None if !key.readable => "hidden",
                None if key.empty => "empty",
                None => "can be read, not printed (--reveal)",
            };
            let purpose = key.purpose.as_deref().unwrap_or("");
            let frozen = if key.purpose_writable == Some(false) { "frozen" } else { "" };
            let access = access(key.readable, key.writable);
            writeln!(f, "  {:<11} {access} {purpose:<28} {frozen:<6} {content}", key.name)?;
        }
        let width = self.fields.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let mut group = "";
        for row in &self.fields {
            if row.group != group {
                group = row.group;
                writeln!(f, "\n{}", group.to_uppercase())?;
            }
            let place = format!("{}.{}+{}", row.block, row.bit, row.length);
            let protect = row.write_protect_bit.map(|bit| format!("W{bit}")).unwrap_or_default();
            let (access, value) = (access(row.readable, row.writable), row.value());
            let line =
                format!("  {:<width$} {access} {value:<22} {place:<9} {protect:<3} {}", row.name, row.description);
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn access(readable: bool, writable: bool) -> &'static str {
    match (readable, writable) {
        (true, true) => "rw",
        (true, false) => "r-",
        (false, true) => "-w",
        (false, false) => "--",
    }
}

fn mac(mac: &[u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
