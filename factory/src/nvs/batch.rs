//! Many devices from one template: `key,type,encoding[,REPEAT]` rows without a header, as `mfg_gen` of ESP-IDF has them,
//! and a CSV file of values with a column for each key and a row for each device.
//!
//! Off-spec: a `REPEAT` column holds its first row's value in every row or nothing (mfg_gen silently replaces what
//! differs); a column that belongs to no key and is not the file id is refused (mfg_gen drops it).

use super::table::{Habits, Row, Table, TableError};
use cotter_formats::addr::FlashLen;
use cotter_formats::nvs::csv::{CsvError, Record, Records, write_record};
use cotter_formats::nvs::image::BuildError;
use cotter_formats::nvs::page::Version;
use std::collections::HashSet;
use std::path::Path;
use zeroize::Zeroizing;

/// A template with its devices.
pub struct Batch<'a> {
    rows: Vec<TemplateRow<'a>>,
    devices: Vec<Device<'a>>,
}

struct TemplateRow<'a> {
    record: Record<'a>,
    /// Its place in a device's record; `None` for a namespace.
    column: Option<usize>,
    repeat: bool,
}

/// One device.
pub struct Device<'a> {
    /// What its files are named after: letters, digits, `-`, `_` and `.`, the first of them no dot.
    pub id: String,
    record: Record<'a>,
}

/// Longest file id.
const MAX_ID: usize = 100;

impl<'a> Batch<'a> {
    /// Reads both files. `file_id` names the column that gives the files their names; without it they are numbered from 1.
    ///
    /// # Errors
    /// [`BatchError`].
    pub fn parse(template: &'a [u8], values: &'a [u8], file_id: Option<&str>) -> Result<Self, BatchError> {
        let mut rows = template_rows(template)?;
        let mut records = Records::new(values).map_err(BatchError::Values)?;
        let header = records.next().ok_or(BatchError::NoDevices)?.map_err(BatchError::Values)?;
        let id_column = assign_columns(&mut rows, &header, file_id)?;
        let mut ids = HashSet::new();
        let mut devices: Vec<Device<'a>> = Vec::new();
        for record in records {
            let mut record = record.map_err(BatchError::Values)?;
            let (line, got) = (record.line, record.fields.len());
            if got != header.fields.len() {
                return Err(BatchError::Columns { line, got, expected: header.fields.len() });
            }
            for row in &rows {
                let Some(column) = row.column else { continue };
                let first = devices.first().map(|device: &Device<'a>| device.record.fields[column].clone());
                match first.filter(|_| row.repeat) {
                    Some(first) if record.fields[column].is_empty() => record.fields[column] = first,
                    Some(first) if record.fields[column] != first => {
                        return Err(BatchError::RepeatDiffers { line, key: row.key().into() });
                    }
                    _ if row.repeat && record.fields[column].is_empty() => {
                        return Err(BatchError::NothingToRepeat { line, key: row.key().into() });
                    }
                    _ => {}
                }
            }
            let id = match id_column {
                Some(column) => record.fields[column].clone().into_owned(),
                None => (devices.len() + 1).to_string(),
            };
            if !is_file_id(&id) {
                return Err(BatchError::Id { line, id: id.into() });
            }
            if !ids.insert(id.clone()) {
                return Err(BatchError::DuplicateId { line, id: id.into() });
            }
            devices.push(Device { id, record });
        }
        if devices.is_empty() {
            return Err(BatchError::NoDevices);
        }
        Ok(Self { rows, devices })
    }

    /// The devices, in the order of the values file.
    #[must_use]
    pub fn devices(&self) -> &[Device<'a>] {
        &self.devices
    }

    /// The filled table of one device. `folder` is where the paths of `file` rows start. Lines in errors are those of the
    /// values file.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn table(
        &self,
        device: &Device<'_>,
        shape: (FlashLen, Version, Habits),
        folder: &Path,
    ) -> Result<Table, DeviceError> {
        let (size, version, habits) = shape;
        let mut table = Table::new(size, version, habits)?;
        for row in &self.rows {
            table.row(row.filled(device), folder)?;
        }
        Ok(table)
    }

    /// The CSV file that says the same as [`Self::table`]; the paths in it are made absolute by `folder`.
    #[must_use]
    pub fn csv(&self, device: &Device<'_>, folder: &Path) -> Zeroizing<String> {
        let mut csv = Zeroizing::new(String::new());
        write_record(&mut csv, ["key", "type", "encoding", "value"]);
        for row in &self.rows {
            let Row { key, kind, encoding, value, .. } = row.filled(device);
            let path = (kind == "file").then(|| folder.join(value.unwrap_or_default()));
            let path = path.as_ref().map(|path| path.to_string_lossy());
            write_record(&mut csv, [key, kind, encoding, path.as_deref().or(value).unwrap_or_default()]);
        }
        csv
    }
}

impl TemplateRow<'_> {
    fn field(&self, column: usize) -> &str {
        self.record.fields.get(column).map_or("", |field| field)
    }

    fn key(&self) -> &str {
        self.field(0)
    }

    fn filled<'r>(&'r self, device: &'r Device<'_>) -> Row<'r> {
        let value = self.column.and_then(|column| device.record.fields.get(column));
        Row {
            line: device.record.line,
            key: self.key(),
            kind: self.field(1),
            encoding: self.field(2),
            value: value.map(|value| &**value),
        }
    }
}

fn template_rows(template: &[u8]) -> Result<Vec<TemplateRow<'_>>, BatchError> {
    let mut rows = Vec::new();
    for record in Records::new(template).map_err(BatchError::Template)? {
        let record = record.map_err(BatchError::Template)?;
        let line = record.line;
        let repeat = match record.fields.get(3).map(|field| &**field) {
            None | Some("") => false,
            Some("REPEAT") => true,
            Some(_) => return Err(BatchError::TemplateRow { line }),
        };
        let namespace = record.fields.get(1).is_some_and(|kind| kind == "namespace");
        if record.fields.len() > 4 || record.fields.len() < 2 || (namespace && repeat) {
            return Err(BatchError::TemplateRow { line });
        }
        rows.push(TemplateRow { column: (!namespace).then_some(0), record, repeat });
    }
    Ok(rows)
}

/// Gives each row its column: the next of its name that is not taken, since two namespaces may hold the same key.
/// Returns the column of the file id.
fn assign_columns(
    rows: &mut [TemplateRow<'_>],
    header: &Record<'_>,
    file_id: Option<&str>,
) -> Result<Option<usize>, BatchError> {
    let mut taken = vec![false; header.fields.len()];
    for row in rows.iter_mut().filter(|row| row.column.is_some()) {
        let column = header.fields.iter().zip(&taken).position(|(name, taken)| name == row.key() && !taken);
        let column = column.ok_or_else(|| BatchError::NoColumn { line: row.record.line, key: row.key().into() })?;
        taken[column] = true;
        row.column = Some(column);
    }
    let id_column = file_id.map(|id| {
        header.fields.iter().position(|name| name == id).ok_or_else(|| BatchError::NoIdColumn { id: id.into() })
    });
    let id_column = id_column.transpose()?;
    let unused = (0..taken.len()).find(|&column| !taken[column] && Some(column) != id_column);
    match unused {
        Some(column) => Err(BatchError::UnknownColumn { name: header.fields[column].clone().into() }),
        None => Ok(id_column),
    }
}

/// True for what may name a file or a folder.
pub(crate) fn is_file_id(id: &str) -> bool {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !id.is_empty() && id.len() <= MAX_ID && !id.starts_with('.') && id.bytes().all(safe)
}

/// Why one device's table cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Its rows.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The partition.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Why template and values make no batch.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The template is no CSV file.
    #[error("template: {0}")]
    Template(CsvError),
    /// The values are no CSV file.
    #[error("values: {0}")]
    Values(CsvError),
    /// A row of another shape.
    #[error("template: line {line}: expected key,type,encoding or key,type,encoding,REPEAT")]
    TemplateRow {
        /// Line.
        line: usize,
    },
    /// A key without a column of values.
    #[error("template: line {line}: the values have no column {key:?}")]
    NoColumn {
        /// Line.
        line: usize,
        /// Key.
        key: Box<str>,
    },
    /// A column that nothing wants.
    #[error("values: column {name:?} is neither a key of the template nor the file id")]
    UnknownColumn {
        /// Its header.
        name: Box<str>,
    },
    /// No column has the name given for the file id.
    #[error("values: no column {id:?} to name the files after")]
    NoIdColumn {
        /// Name given.
        id: Box<str>,
    },
    /// A row that is shorter or longer than the header.
    #[error("values: line {line}: {got} fields, expected {expected}")]
    Columns {
        /// Line.
        line: usize,
        /// Fields in the row.
        got: usize,
        /// Fields in the header.
        expected: usize,
    },
    /// Another value in a column that repeats its first.
    #[error("values: line {line}: {key:?} repeats its first value, but another stands here")]
    RepeatDiffers {
        /// Line.
        line: usize,
        /// Key.
        key: Box<str>,
    },
    /// The first row has no value to repeat.
    #[error("values: line {line}: {key:?} has no value to repeat")]
    NothingToRepeat {
        /// Line.
        line: usize,
        /// Key.
        key: Box<str>,
    },
    /// It would not make a file name.
    #[error("values: line {line}: {id:?} cannot name a file: letters, digits, '-', '_', '.' only, at most {MAX_ID}")]
    Id {
        /// Line.
        line: usize,
        /// As written.
        id: Box<str>,
    },
    /// The files of one device would replace those of another.
    #[error("values: line {line}: {id:?} is given twice")]
    DuplicateId {
        /// Line.
        line: usize,
        /// As written.
        id: Box<str>,
    },
    /// No rows.
    #[error("values: no device")]
    NoDevices,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    const TEMPLATE: &[u8] = b"a,namespace,\nk,data,u8\nb,namespace\nk,data,u8,REPEAT\n";

    fn refusal(values: &str, id: Option<&str>) -> String {
        Batch::parse(TEMPLATE, values.as_bytes(), id).err().map(|error| error.to_string()).unwrap()
    }

    #[test]
    fn equals_mfg_gen() {
        let at = |name: &str| {
            let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "vectors", "mfg", name].iter().collect();
            fs::read(path).unwrap()
        };
        let (template, values) = (at("config.csv"), at("values.csv"));
        let batch = Batch::parse(&template, &values, Some("id")).unwrap();
        assert_eq!(batch.devices().len(), 2);
        for device in batch.devices() {
            let csv = batch.csv(device, Path::new(""));
            assert_eq!(csv.as_bytes(), at(&format!("out/csv/dev-{}.csv", device.id)));
            let keys = at(&format!("out/keys/keys-dev-{}.bin", device.id));
            let keys = cotter_formats::nvs::NvsKeys::parse(&keys).unwrap();
            let table = batch.table(device, (FlashLen(0x4000), Version::V2, Habits::default()), Path::new("")).unwrap();
            let image = table.into_image().finish_encrypted(&keys);
            assert!(image == at(&format!("out/bin/dev-{}.bin", device.id)), "{}", device.id);
        }
    }

    #[test]
    fn the_same_key_in_two_namespaces_takes_two_columns() {
        let batch = Batch::parse(TEMPLATE, b"k,k\n1,2\n3,\n", None).unwrap();
        let csv = batch.csv(&batch.devices()[1], Path::new(""));
        assert_eq!(csv.lines().collect::<Vec<_>>()[2..], ["k,data,u8,3", "b,namespace,,", "k,data,u8,2"]);
        assert_eq!(batch.devices()[1].id, "2");
    }

    #[test]
    fn refuses_what_mfg_gen_would_silently_change() {
        for (values, id, expected) in [
            ("k,k\n1,2\n3,4\n", None, "values: line 3: \"k\" repeats its first value, but another stands here"),
            ("k,k\n1,\n", None, "values: line 2: \"k\" has no value to repeat"),
            ("k\n1\n", None, "template: line 4: the values have no column \"k\""),
            ("k,k,z\n1,2,3\n", None, "values: column \"z\" is neither a key of the template nor the file id"),
            ("k,k\n1,2\n", Some("id"), "values: no column \"id\" to name the files after"),
            ("k,k\n1\n", None, "values: line 2: 1 fields, expected 2"),
            ("k,k\n", None, "values: no device"),
            ("k,k,id\n1,2,x\n1,2,x\n", Some("id"), "values: line 3: \"x\" is given twice"),
        ] {
            assert_eq!(refusal(values, id), expected);
        }
        for id in ["../x", "/x", ".x", "", "a b", "ä"] {
            assert!(refusal(&format!("k,k,id\n1,2,{id}\n"), Some("id")).contains("cannot name a file"), "{id}");
        }
    }
}
