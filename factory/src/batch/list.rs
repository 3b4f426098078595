//! The ids of the devices: counted, or from a CSV file that is read line by line.

use crate::nvs::batch::is_file_id;
use cotter_formats::nvs::csv::{CsvError, Records};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

/// One device of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its id: common name of its certificate, name of its folder.
    pub id: String,
    /// Column and value, for the NVS template.
    pub values: Vec<(String, String)>,
}

/// Where the devices come from. It can be gone through any number of times.
#[derive(Clone, Debug)]
pub enum DeviceList {
    /// `prefix` and a number from 1, padded with zeros to the width of the last.
    Counted {
        /// What the ids begin with.
        prefix: String,
        /// How many.
        count: usize,
    },
    /// A CSV file with a header; no field of it spans lines.
    Csv {
        /// The file.
        path: PathBuf,
        /// The column with the ids.
        id_column: String,
    },
}

impl DeviceList {
    /// The devices in order.
    ///
    /// # Errors
    /// [`ListError`] if the file cannot be opened or has no such column.
    pub fn devices(&self) -> Result<Devices, ListError> {
        match self {
            Self::Counted { prefix, count } => {
                let width = count.to_string().len();
                if !is_file_id(&format!("{prefix}{:0width$}", 1)) {
                    return Err(ListError::Id { line: 1, id: prefix.as_str().into() });
                }
                Ok(Devices::Counted { prefix: prefix.clone(), width, next: 1, count: *count })
            }
            Self::Csv { path, id_column } => Devices::open(path, id_column),
        }
    }
}

/// Goes through the list.
pub enum Devices {
    /// Counts.
    #[allow(missing_docs)]
    Counted { prefix: String, width: usize, next: usize, count: usize },
    /// Reads.
    #[allow(missing_docs)]
    Csv { lines: io::Lines<BufReader<File>>, columns: Vec<String>, id: usize, line: usize },
}

impl Devices {
    fn open(path: &Path, id_column: &str) -> Result<Self, ListError> {
        let file = File::open(path).map_err(|error| ListError::File { path: path.into(), error })?;
        let mut lines = BufReader::new(file).lines();
        let mut line = 0;
        let header = fields(path, &mut lines, &mut line)?.ok_or(ListError::Empty)?;
        let id = header.iter().position(|name| name == id_column);
        let id = id.ok_or_else(|| ListError::Column { name: id_column.into() })?;
        Ok(Self::Csv { lines, columns: header, id, line })
    }
}

impl Iterator for Devices {
    type Item = Result<Device, ListError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Counted { prefix, width, next, count } => {
                if *next > *count {
                    return None;
                }
                let id = format!("{prefix}{next:0width$}", width = *width);
                *next += 1;
                Some(Ok(Device { id, values: Vec::new() }))
            }
            Self::Csv { lines, columns, id, line } => {
                let found = match fields(Path::new(""), lines, line) {
                    Ok(found) => found?,
                    Err(refused) => return Some(Err(refused)),
                };
                if found.len() != columns.len() {
                    return Some(Err(ListError::Columns { line: *line, got: found.len(), expected: columns.len() }));
                }
                let name = found[*id].clone();
                if !is_file_id(&name) {
                    return Some(Err(ListError::Id { line: *line, id: name.into() }));
                }
                Some(Ok(Device { id: name, values: columns.iter().cloned().zip(found).collect() }))
            }
        }
    }
}

/// The fields of the next line that has any.
fn fields(
    path: &Path,
    lines: &mut io::Lines<BufReader<File>>,
    line: &mut usize,
) -> Result<Option<Vec<String>>, ListError> {
    for text in lines.by_ref() {
        *line += 1;
        let text = text.map_err(|error| ListError::File { path: path.into(), error })?;
        let csv = |why| ListError::Csv { line: *line, why };
        if let Some(record) = Records::new(text.as_bytes()).map_err(csv)?.next() {
            let record = record.map_err(csv)?;
            return Ok(Some(record.fields.into_iter().map(std::borrow::Cow::into_owned).collect()));
        }
    }
    Ok(None)
}

/// Why a list was refused.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ListError {
    #[error("device list: cannot read {}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("device list: no header")]
    Empty,
    #[error("device list: no column {name:?}")]
    Column { name: Box<str> },
    #[error("device list: line {line}: {why}")]
    Csv { line: usize, why: CsvError },
    #[error("device list: line {line}: {got} fields, expected {expected}")]
    Columns { line: usize, got: usize, expected: usize },
    #[error("device list: line {line}: {id:?} cannot name a folder: letters, digits, '-', '_', '.' only, at most 100")]
    Id { line: usize, id: Box<str> },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_with_leading_zeros_and_reads_line_by_line() {
        let ids =
            |list: &DeviceList| -> Vec<String> { list.devices().unwrap().map(|device| device.unwrap().id).collect() };
        let counted = ids(&DeviceList::Counted { prefix: "meter-".into(), count: 10 });
        assert_eq!((counted[0].as_str(), counted[9].as_str()), ("meter-01", "meter-10"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("devices.csv");
        std::fs::write(&path, "serial,site\n# none\n\nA-1,\"north, west\"\nA-2,south\n").unwrap();
        let list = DeviceList::Csv { path, id_column: "serial".into() };
        assert_eq!(ids(&list), ["A-1", "A-2"]);
        let first = list.devices().unwrap().next().unwrap().unwrap();
        assert_eq!(first.values[1], ("site".into(), "north, west".into()));
    }

    #[test]
    fn refuses_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("devices.csv");
        for (text, says) in [
            ("", "device list: no header"),
            ("x\n", "device list: no column \"id\""),
            ("id,b\na\n", "device list: line 2: 1 fields, expected 2"),
            (
                "id\n../x\n",
                "device list: line 2: \"../x\" cannot name a folder: letters, digits, '-', '_', '.' only, at most 100",
            ),
        ] {
            std::fs::write(&path, text).unwrap();
            let list = DeviceList::Csv { path: path.clone(), id_column: "id".into() };
            let refused = list.devices().and_then(|mut devices| devices.next().transpose());
            assert_eq!(refused.unwrap_err().to_string(), says);
        }
    }
}
