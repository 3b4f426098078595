//! The partition table as CSV: `name, type, subtype, offset, size, flags`, one partition a line.
//!
//! Source: ESP-IDF 6.2-dev (1021229) `gen_esp32part.py` (v1.5). Stricter where the generator is silent: it cuts a long
//! name, accepts an empty one, drops a seventh column and a flag bit without a name, and replaces offset and size of a
//! bootloader or partition table; all of these are refused here. Accepted although the generator refuses it: lines that
//! are not in the order of their offsets, so that every legal binary table has a CSV, and a bootloader that is neither the
//! primary nor the recovery one, with offset and size, where nobody says where the primary one is.

use super::{Label, Partition, PartitionFlags, PartitionType, Subtype};
use crate::addr::{FlashAddr, FlashLen, SECTOR};
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

/// What the text does not say.
#[derive(Clone, Copy)]
pub struct CsvOptions<'a> {
    /// Where the table sits; a first blank offset is the sector after it.
    pub table: FlashAddr,
    /// Where the first bootloader sits, for a bootloader whose offset or size is blank.
    pub bootloader: Option<FlashAddr>,
    /// Where the recovery bootloader sits, if the text has one without an offset.
    pub recovery: Option<FlashAddr>,
    /// Values of `$NAME` and `${NAME}`. `None`: a variable is refused.
    pub variables: Option<&'a Lookup<'a>>,
}

/// The value of a variable, if it is set.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Reads a whole table. The result may still break the rules of [`super::finding`].
///
/// # Errors
/// Every wrong field, in the order of the lines. If all fields are right, the first line whose offset or size cannot be
/// worked out: those of the lines below depend on it.
pub fn parse(text: &str, options: &CsvOptions<'_>) -> Result<Vec<Partition>, Vec<CsvError>> {
    let (mut rows, mut errors) = (Vec::new(), Vec::new());
    for (index, line) in lines(text.strip_prefix('\u{feff}').unwrap_or(text)).enumerate() {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        match Row::parse(index + 1, line, options) {
            Ok(row) => rows.push(row),
            Err(mut wrong) => errors.append(&mut wrong),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut end = u64::from(options.table.0) + u64::from(SECTOR);
    let mut partitions = Vec::with_capacity(rows.len());
    for row in rows {
        let partition = row.place(end, options).map_err(|error| alloc::vec![error])?;
        // The first bootloader and the table itself lie before everything and move nothing.
        if !partition.is_primary() {
            end = partition.end();
        }
        partitions.push(partition);
    }
    Ok(partitions)
}

/// The CSV that [`parse`] turns into these partitions again, as the generator writes it.
///
/// # Errors
/// [`UnwritableError`] names the first partition that has no spelling.
pub fn write(partitions: &[Partition]) -> Result<String, UnwritableError> {
    let mut out = String::from("# ESP-IDF Partition Table\n# Name, Type, SubType, Offset, Size, Flags\n");
    for partition in partitions {
        let &Partition { label, kind, subtype, offset, size, flags } = partition;
        let name = label.as_str();
        if name.trim() != name || name.starts_with(['#', '\u{feff}']) || name.contains(unspeakable) {
            return Err(UnwritableError::Label { label });
        }
        let unnamed = flags.0 & !PartitionFlags::ENCRYPTED.with(PartitionFlags::READONLY).0;
        if unnamed != 0 {
            return Err(UnwritableError::Flags { label, unnamed });
        }
        let subtype = Spelled(subtype.name(kind), subtype.0);
        let kind = Spelled(kind.name(), kind.0);
        let flags = FlagNames(flags);
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name},{kind},{subtype},{offset},{},{flags}", HumanSize(size));
    }
    Ok(out)
}

/// Names of flags with colons between them, as the sixth column has them.
#[derive(Clone, Copy, Debug)]
pub struct FlagNames(pub PartitionFlags);

impl fmt::Display for FlagNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = FLAGS.iter().filter(|(_, flag)| self.0.contains(*flag));
        for (index, (name, _)) in named.enumerate() {
            write!(f, "{}{name}", if index == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

/// A size as a person writes it: whole MiB as `M`, whole KiB as `K`, else hexadecimal.
#[derive(Clone, Copy, Debug)]
pub struct HumanSize(pub FlashLen);

impl fmt::Display for HumanSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.0 {
            size if size.is_multiple_of(1 << 20) => write!(f, "{}M", size >> 20),
            size if size.is_multiple_of(1 << 10) => write!(f, "{}K", size >> 10),
            _ => write!(f, "{}", self.0),
        }
    }
}

/// A number as the generator reads it: decimal, `0x`, `0o` or `0b`, a sign, and `K` or `M` behind it.
#[must_use]
pub fn number(text: &str) -> Option<i64> {
    let text = text.trim();
    let (text, unit) = match text.as_bytes().last()? {
        b'k' | b'K' => (text[..text.len() - 1].trim_end(), 1 << 10),
        b'm' | b'M' => (text[..text.len() - 1].trim_end(), 1 << 20),
        _ => (text, 1),
    };
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = text.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        // In C this would be octal, and Python refuses it for that reason.
        Some(two) if two.starts_with('0') && lower.bytes().any(|digit| digit != b'0') => return None,
        _ => (10, &lower[..]),
    };
    if !digits.bytes().all(|digit| digit.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i64::from_str_radix(digits, radix).ok()?.checked_mul(unit)?;
    Some(if negative { -value } else { value })
}

/// A line whose offset and size are not yet worked out.
struct Row {
    line: usize,
    label: Label,
    kind: PartitionType,
    subtype: Subtype,
    offset: Option<u32>,
    /// Negative: where the partition ends.
    size: Option<i64>,
    flags: PartitionFlags,
    /// Columns of name, type, subtype, offset, size, flags.
    columns: [usize; 6],
}

impl Row {
    fn parse(line: usize, text: &str, options: &CsvOptions<'_>) -> Result<Self, Vec<CsvError>> {
        let (mut fields, mut columns) = ([const { Cow::Borrowed("") }; 6], [text.chars().count() + 1; 6]);
        let mut errors = Vec::new();
        let mut at = 1;
        for (index, field) in text.split(',').enumerate() {
            let column = at + field.chars().take_while(|character| character.is_whitespace()).count();
            let width = field.chars().count();
            let field = field.trim();
            match fields.get_mut(index) {
                Some(place) => {
                    columns[index] = column;
                    match expand(field, options) {
                        Ok(value) => *place = value,
                        Err(problem) => errors.push(CsvError { line, column, problem }),
                    }
                }
                None if field.is_empty() => {}
                None => errors.push(CsvError { line, column, problem: Problem::Surplus { found: Found::new(field) } }),
            }
            at += width + 1;
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut note = |index: usize, problem| errors.push(CsvError { line, column: columns[index], problem });
        let label = label(&fields[0]).map_err(|problem| note(0, problem)).ok();
        let kind = kind(&fields[1]).map_err(|problem| note(1, problem)).ok();
        // Which subtypes there are depends on the type.
        let subtype = kind.and_then(|kind| subtype(kind, &fields[2]).map_err(|problem| note(2, problem)).ok());
        let offset = offset(&fields[3]).map_err(|problem| note(3, problem)).ok();
        let size = size(&fields[4]).map_err(|problem| note(4, problem)).ok();
        let flags = flags(&fields[5]).map_err(|problem| note(5, problem)).ok();
        match (label, kind, subtype, offset, size, flags) {
            (Some(label), Some(kind), Some(subtype), Some(offset), Some(size), Some(flags)) => {
                Ok(Self { line, label, kind, subtype, offset, size, flags, columns })
            }
            _ => Err(errors),
        }
    }

    /// `end`: of the partition above.
    fn place(self, end: u64, options: &CsvOptions<'_>) -> Result<Partition, CsvError> {
        let error = |index: usize, problem| CsvError { line: self.line, column: self.columns[index], problem };
        let (derived_offset, derived_size) = self.derived(options).map_err(|problem| error(3, problem))?;
        let offset = match (self.offset, derived_offset) {
            (Some(found), Some(expected)) if found != expected => {
                return Err(error(3, Problem::Fixed { found: found.into(), expected }));
            }
            (Some(offset), _) | (None, Some(offset)) => offset,
            (None, None) => {
                let aligned = end.next_multiple_of(self.kind.alignment().into());
                u32::try_from(aligned).map_err(|_| error(3, Problem::Full))?
            }
        };
        let size = match (self.size, derived_size) {
            (Some(found), Some(expected)) if found != i64::from(expected) => {
                return Err(error(4, Problem::Fixed { found, expected }));
            }
            (None, None) => return Err(error(4, Problem::NoSize)),
            (None, Some(size)) => size.into(),
            (Some(size), _) if size < 0 => -size - i64::from(offset),
            (Some(size), _) => size,
        };
        let legal = u32::try_from(size).ok().filter(|&size| u64::from(offset) + u64::from(size) <= 1 << 32);
        let Some(size) = legal else { return Err(error(4, Problem::Range { offset: FlashAddr(offset), size })) };
        let Self { label, kind, subtype, flags, .. } = self;
        Ok(Partition { label, kind, subtype, offset: FlashAddr(offset), size: FlashLen(size), flags })
    }

    /// Offset and size of bootloaders and partition tables follow from where the firsts of them are.
    fn derived(&self, options: &CsvOptions<'_>) -> Result<(Option<u32>, Option<u32>), Problem> {
        match self.kind {
            PartitionType::PARTITION_TABLE => {
                Ok(((self.subtype == Subtype(0)).then_some(options.table.0), Some(SECTOR)))
            }
            PartitionType::BOOTLOADER => {
                let offset = match self.subtype {
                    Subtype(0) => options.bootloader,
                    Subtype(2) => options.recovery,
                    _ => None,
                };
                if offset.is_none() && self.offset.is_none() && matches!(self.subtype, Subtype(0 | 2)) {
                    return Err(Problem::NoBootloader { recovery: self.subtype == Subtype(2) });
                }
                let size = options.bootloader.and_then(|first| options.table.0.checked_sub(first.0));
                if size.is_none() && self.size.is_none() {
                    return Err(Problem::NoBootloader { recovery: false });
                }
                Ok((offset.map(|offset| offset.0), size))
            }
            _ => Ok((None, None)),
        }
    }
}

fn label(text: &str) -> Result<Label, Problem> {
    if text.is_empty() {
        return Err(Problem::NoName);
    }
    if text.contains(unspeakable) {
        return Err(Problem::NameCharacter { found: Found::new(text) });
    }
    Label::new(text).map_err(|_| Problem::LongName { found: Found::new(text), len: text.len() })
}

fn kind(text: &str) -> Result<PartitionType, Problem> {
    match PartitionType::from_name(text) {
        Some(kind) => Ok(kind),
        None if text.is_empty() => Err(Problem::NoType),
        None => byte(text).map(PartitionType).ok_or_else(|| Problem::Type { found: Found::new(text) }),
    }
}

fn subtype(kind: PartitionType, text: &str) -> Result<Subtype, Problem> {
    match Subtype::from_name(kind, text) {
        Some(subtype) => Ok(subtype),
        None if text.is_empty() && kind == PartitionType::APP => Err(Problem::NoAppSubtype),
        None if text.is_empty() => Ok(Subtype::UNDEFINED),
        None => byte(text).map(Subtype).ok_or_else(|| Problem::Subtype { found: Found::new(text), kind }),
    }
}

fn offset(text: &str) -> Result<Option<u32>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    match number(text).and_then(|number| u32::try_from(number).ok()) {
        Some(offset) => Ok(Some(offset)),
        None => Err(Problem::Offset { found: Found::new(text) }),
    }
}

fn size(text: &str) -> Result<Option<i64>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    match number(text).filter(|size| size.unsigned_abs() <= 1 << 32) {
        Some(size) => Ok(Some(size)),
        None => Err(Problem::Size { found: Found::new(text) }),
    }
}

fn flags(text: &str) -> Result<PartitionFlags, Problem> {
    text.split(':').filter(|name| !name.is_empty()).try_fold(PartitionFlags::NONE, |flags, name| {
        match FLAGS.iter().find(|(known, _)| *known == name.trim()) {
            Some(&(_, flag)) => Ok(flags.with(flag)),
            None => Err(Problem::Flag { found: Found::new(name) }),
        }
    })
}

fn byte(text: &str) -> Option<u8> {
    number(text).and_then(|number| u8::try_from(number).ok())
}

/// Puts in the values of `$NAME` and `${NAME}`.
fn expand<'t>(field: &'t str, options: &CsvOptions<'_>) -> Result<Cow<'t, str>, Problem> {
    let Some((before, mut rest)) = field.split_once('$') else { return Ok(Cow::Borrowed(field)) };
    let mut out = String::from(before);
    loop {
        let (name, behind) = match rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some(braced) => braced,
            None => {
                let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
                rest.split_at(rest.find(|character| !word(character)).unwrap_or(rest.len()))
            }
        };
        let found = Found::new(name);
        let Some(variables) = options.variables else { return Err(Problem::Variable { found }) };
        match variables(name) {
            Some(value) if value.contains([',', '$']) || value.contains(unspeakable) => {
                return Err(Problem::VariableValue { found });
            }
            Some(value) => out.push_str(&value),
            None => return Err(Problem::UnknownVariable { found }),
        }
        match behind.split_once('$') {
            Some((plain, next)) => {
                out.push_str(plain);
                rest = next;
            }
            None => {
                out.push_str(behind);
                return Ok(Cow::Owned(String::from(out.trim())));
            }
        }
    }
}

/// Lines end with `\n`, `\r\n` or `\r`.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// What would end a field or a line, here or in Python, begin a variable, or not show on a screen.
fn unspeakable(character: char) -> bool {
    character.is_control() || matches!(character, ',' | '$' | '\u{2028}' | '\u{2029}')
}

/// A name, or a number where there is none.
struct Spelled(Option<&'static str>, u8);

impl fmt::Display for Spelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.1),
        }
    }
}

const FLAGS: [(&str, PartitionFlags); 2] =
    [("encrypted", PartitionFlags::ENCRYPTED), ("readonly", PartitionFlags::READONLY)];

/// A field that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct CsvError {
    /// Counted from 1.
    pub line: usize,
    /// Of the field's first character, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Problem {
    #[error("the name is missing")]
    NoName,
    #[error("the name {found} is {len} bytes long, 16 are the most (gen_esp32part.py would cut it silently)")]
    LongName { found: Found, len: usize },
    #[error("the name {found} holds a character that cannot be part of one")]
    NameCharacter { found: Found },
    #[error("the type is missing, expected app, data, bootloader, partition_table or a number")]
    NoType,
    #[error("{found} is no type, expected app, data, bootloader, partition_table or a number up to 0xff")]
    Type { found: Found },
    #[error("an app needs a subtype: factory, ota_0 to ota_15, test, tee_0 or tee_1")]
    NoAppSubtype,
    #[error("{found} is no subtype of {}, expected {}", Kind(*kind), Choices(*kind))]
    Subtype { found: Found, kind: PartitionType },
    #[error("{found} is no offset, expected a number such as 0x10000 or 64K, or nothing")]
    Offset { found: Found },
    #[error("{found} is no size, expected a number such as 0x6000, 24K or 1M")]
    Size { found: Found },
    #[error("the size is missing")]
    NoSize,
    #[error("{found} is no flag, expected encrypted, readonly or encrypted:readonly")]
    Flag { found: Found },
    #[error("{found} is a seventh column; flags are separated by colons, and a comment needs a line of its own")]
    Surplus { found: Found },
    /// See [`CsvOptions::variables`].
    #[error("the variable ${found} is not expanded: the environment would silently change the layout")]
    Variable { found: Found },
    #[error("the variable ${found} is not set")]
    UnknownVariable { found: Found },
    #[error("the value of ${found} holds a comma, a $ or a control character")]
    VariableValue { found: Found },
    /// The generator replaces such a value silently.
    #[error("{found:#x} contradicts where bootloader and table are: leave it blank, or write {expected:#x}")]
    Fixed { found: i64, expected: u32 },
    #[error("where the {}bootloader is must be given", if *.recovery { "recovery " } else { "" })]
    NoBootloader { recovery: bool },
    #[error("no room: the partition above ends at 4 GiB")]
    Full,
    #[error("a size of {size} bytes at {offset} is negative or ends past 4 GiB")]
    Range { offset: FlashAddr, size: i64 },
}

/// The text of a field, cut to its first characters and escaped when shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Found(String);

impl Found {
    fn new(text: &str) -> Self {
        Self(text.chars().take(40).collect())
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_debug())
    }
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

struct Kind(PartitionType);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.name() {
            Some(name) => write!(f, "type {name}"),
            None => write!(f, "type {:#04x}", self.0.0),
        }
    }
}

struct Choices(PartitionType);

impl fmt::Display for Choices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, _) in self.0.subtypes() {
            write!(f, "{name}, ")?;
        }
        f.write_str("a number up to 0xff")
    }
}

/// A partition that the CSV has no spelling for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum UnwritableError {
    #[error("partition {label:?}: the name cannot be written in CSV")]
    Label { label: Label },
    #[error("partition {label}: flag bits {unnamed:#x} have no name in CSV")]
    Flags { label: Label, unnamed: u32 },
}

#[cfg(test)]
mod tests;
