//! AT+SYSFLASH and AT+SYSMFG: user partitions as bytes, and the manufacturing partition as values.

use super::super::arguments::Arguments;
use super::super::flash::SECTOR;
use super::super::refusal::Refusal;
use super::entry::Entry;
use super::{Module, Outcome, Prompt, Purpose, Reply, quoted};
use cotter_formats::nvs::Value;
use std::time::Instant;

pub(super) const COMMANDS: &[Entry] = &[
    Entry::new("+SYSFLASH").query(query_flash).set(set_flash),
    Entry::new("+SYSMFG").query(namespaces).set(set_manufacturing),
];

/// The largest piece that one command takes or gives; the original is limited by its memory.
const PIECE: i64 = 16 * 1024;

fn query_flash(module: &mut Module, _: Instant) -> Outcome {
    let lines: Vec<String> = module
        .flash
        .partitions()
        .iter()
        .map(|partition| {
            let (kind, subtype, size) = (partition.kind, partition.subtype, partition.bytes.len());
            format!("+SYSFLASH:\"{}\",{kind},{subtype},{:#x},{size:#x}", partition.name, partition.address)
        })
        .collect();
    for line in lines {
        module.say(line);
    }
    Ok(Reply::Done)
}

fn set_flash(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let arguments = arguments.count(2..=4)?;
    let operation: u8 = arguments.required(0, 0..=2)?;
    let name = arguments.required_text(1, 16)?;
    let partition = module.flash.partition_mut(name).ok_or(Refusal::Invalid(1))?;
    let size = partition.bytes.len();
    let whole = i64::try_from(size).unwrap_or(i64::MAX);
    if operation == 0 && arguments.len() == 2 {
        partition.bytes.fill(0xFF);
        return Ok(Reply::Done);
    }
    let offset: usize = arguments.required(2, 0..=whole)?;
    let length: usize = arguments.required(3, 1..=whole)?;
    let piece = partition.piece(offset, length).ok_or(Refusal::Invalid(3))?;
    match operation {
        0 if !offset.is_multiple_of(SECTOR) => Err(Refusal::Invalid(2)),
        0 if !length.is_multiple_of(SECTOR) => Err(Refusal::Invalid(3)),
        0 => {
            piece.fill(0xFF);
            Ok(Reply::Done)
        }
        1 => {
            let purpose = Purpose::Flash { partition: name.to_owned(), offset };
            Ok(Reply::Prompt(Prompt { wanted: length, got: Vec::new(), purpose }))
        }
        _ => {
            let _limit: usize = arguments.required(3, 1..=PIECE)?;
            let data = piece.to_vec();
            module.out.extend(format!("+SYSFLASH:{length},").as_bytes());
            module.out.extend(data);
            module.out.extend(b"\r\n");
            Ok(Reply::Done)
        }
    }
}

fn namespaces(module: &mut Module, _: Instant) -> Outcome {
    let mut names: Vec<String> = Vec::new();
    for item in module.flash.values() {
        let name = item.namespace.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        module.say(format_args!("+SYSMFG:\"{name}\""));
    }
    Ok(Reply::Done)
}

fn set_manufacturing(module: &mut Module, arguments: Arguments<'_>, now: Instant) -> Outcome {
    let operation: u8 = arguments.count(1..=5)?.required(0, 0..=2)?;
    match operation {
        0 => {
            let namespace = arguments.count(2..=3)?.required_text(1, 15)?;
            let key = arguments.text(2, 15)?;
            let erased = module.flash.erase_values(namespace, key).map_err(|_| Refusal::Failed)?;
            if erased { Ok(Reply::Done) } else { Err(Refusal::Failed) }
        }
        1 if arguments.len() == 1 => namespaces(module, now),
        1 => read_manufacturing(module, arguments),
        _ => write_manufacturing(module, arguments),
    }
}

fn read_manufacturing(module: &mut Module, arguments: Arguments<'_>) -> Outcome {
    let namespace = arguments.required_text(1, 15)?;
    let Some(key) = arguments.text(2, 15)? else {
        let items = module.flash.values();
        let mut items = items.iter().filter(|item| item.namespace.as_bytes() == namespace.as_bytes()).peekable();
        if items.peek().is_none() {
            return Err(Refusal::Failed);
        }
        for item in items {
            if let Some((kind, _)) = shown(&item.value) {
                module.say(format_args!("+SYSMFG:\"{}\",\"{}\",{kind}", item.namespace, item.key));
            }
        }
        return Ok(Reply::Done);
    };
    let value = module.flash.value(namespace, key).ok_or(Refusal::Failed)?;
    let (kind, bytes) = shown(&value).ok_or(Refusal::Failed)?;
    let all = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let offset: usize = arguments.or(3, 0..=all, 0)?;
    let length: usize = arguments.or(4, 0..=i64::from(u32::MAX), bytes.len())?;
    let piece: Vec<u8> = bytes.iter().skip(offset).take(length).copied().collect();
    let name = format!("+SYSMFG:{},{},{kind},{},", quoted(namespace), quoted(key), piece.len());
    module.out.extend(name.as_bytes());
    module.out.extend(piece);
    module.out.extend(b"\r\n");
    Ok(Reply::Done)
}

fn write_manufacturing(module: &mut Module, arguments: Arguments<'_>) -> Outcome {
    let arguments = arguments.count(5..=5)?;
    let (namespace, key) = (arguments.required_text(1, 15)?, arguments.required_text(2, 15)?);
    let kind: u8 = arguments.required(3, 1..=8)?;
    let value = match kind {
        1 => Value::U8(arguments.required(4, 0..=255)?),
        2 => Value::I8(arguments.required(4, -128..=127)?),
        3 => Value::U16(arguments.required(4, 0..=65_535)?),
        4 => Value::I16(arguments.required(4, -32_768..=32_767)?),
        5 => Value::U32(arguments.required(4, 0..=i64::from(u32::MAX))?),
        6 => Value::I32(arguments.required(4, i64::from(i32::MIN)..=i64::from(i32::MAX))?),
        _ => {
            let wanted: usize = arguments.required(4, 1..=PIECE)?;
            let is_text = kind == 7;
            let purpose = Purpose::Manufacturing { namespace: namespace.to_owned(), key: key.to_owned(), is_text };
            return Ok(Reply::Prompt(Prompt { wanted, got: Vec::new(), purpose }));
        }
    };
    module.flash.write_value(namespace, key, value).map_err(|_| Refusal::Failed)?;
    Ok(Reply::Done)
}

/// Type and bytes as `AT+SYSMFG` tells them: numbers as decimal digits.
fn shown(value: &Value<'_>) -> Option<(u8, Vec<u8>)> {
    Some(match value {
        Value::U8(number) => (1, number.to_string().into_bytes()),
        Value::I8(number) => (2, number.to_string().into_bytes()),
        Value::U16(number) => (3, number.to_string().into_bytes()),
        Value::I16(number) => (4, number.to_string().into_bytes()),
        Value::U32(number) => (5, number.to_string().into_bytes()),
        Value::I32(number) => (6, number.to_string().into_bytes()),
        Value::String(text) => (7, text.as_bytes().to_vec()),
        Value::Blob(bytes) => (8, bytes.to_vec()),
        Value::U64(_) | Value::I64(_) | Value::Other { .. } => return None,
    })
}

impl Module {
    /// Writes to a partition as flash does: bits go from 1 to 0 only.
    pub(super) fn program(&mut self, name: &str, offset: usize, data: &[u8]) -> Outcome {
        let partition = self.flash.partition_mut(name).ok_or(Refusal::Failed)?;
        let piece = partition.piece(offset, data.len()).ok_or(Refusal::Failed)?;
        piece.iter_mut().zip(data).for_each(|(stored, new)| *stored &= new);
        Ok(Reply::Done)
    }

    pub(super) fn store_manufacturing(&mut self, namespace: &str, key: &str, data: Vec<u8>, is_text: bool) -> Outcome {
        let value = if is_text {
            Value::string(String::from_utf8(data).map_err(|_| Refusal::Failed)?)
        } else {
            Value::blob(data)
        };
        self.flash.write_value(namespace, key, value).map_err(|_| Refusal::Failed)?;
        Ok(Reply::Done)
    }
}
