//! The rows of CSV files (`key,type,encoding,value`), put into an NVS image one after the other.
//!
//! Off-spec: a repeated `namespace` row goes back to that namespace. `esp_idf_nvs_partition_gen` 0.3.0 ignores it, and what
//! follows lands in the namespace created last; [`Habits::generator_quirks`] does the same, byte for byte.

use super::encoding::Encoding;
use super::wifi::{self, Wifi};
use cotter_formats::addr::FlashLen;
use cotter_formats::nvs::csv::{CsvError, Record, Records};
use cotter_formats::nvs::entry::{Key, KeyError};
use cotter_formats::nvs::image::{BuildError, MAX_BLOB};
use cotter_formats::nvs::page::Version;
use cotter_formats::nvs::{NvsImage, Value};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What to do where the generator does more, or other, than the rows say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habits {
    /// Be the generator, byte for byte, mistakes included; implies `wifi_extras`.
    pub generator_quirks: bool,
    /// Add what the Wi-Fi driver would compute from the credentials.
    pub wifi_extras: bool,
}

/// An image being filled from rows.
pub struct Table {
    image: NvsImage,
    habits: Habits,
    namespace: Option<Key>,
    created: Vec<Key>,
    wifi: Wifi,
    values: usize,
    bare_wifi_keys: bool,
    repeated_namespace: bool,
}

/// One row as it stands in a file; `value` may be a secret.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// Line in the file it comes from.
    pub line: usize,
    /// First column.
    pub key: &'a str,
    /// Second column: `namespace`, `data` or `file`.
    pub kind: &'a str,
    /// Third column.
    pub encoding: &'a str,
    /// Fourth column.
    pub value: Option<&'a str>,
}

const COLUMNS: [&str; 4] = ["key", "type", "encoding", "value"];

impl Table {
    /// No rows yet, for a partition of `size` bytes.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn new(size: FlashLen, version: Version, habits: Habits) -> Result<Self, BuildError> {
        Ok(Self {
            image: NvsImage::new(size, version)?,
            habits,
            namespace: None,
            created: Vec::new(),
            wifi: Wifi::default(),
            values: 0,
            bare_wifi_keys: false,
            repeated_namespace: false,
        })
    }

    /// Adds the rows of one file. `folder` is where the paths of its `file` rows start.
    ///
    /// # Errors
    /// [`TableError`]; the table is then no longer of use.
    pub fn add_csv(&mut self, csv: &[u8], folder: &Path) -> Result<(), TableError> {
        let mut records = Records::new(csv)?;
        let header = records.next().ok_or(TableError::NoHeader { line: 1 })??;
        let columns = columns(&header).ok_or(TableError::NoHeader { line: header.line })?;
        for record in records {
            let Record { line, fields } = record?;
            if fields.len() > COLUMNS.len() {
                let kind = RowError::Columns { got: fields.len() };
                return Err(TableError::Row { line, key: fields[0].clone().into(), kind });
            }
            let field = |column: usize| fields.get(columns[column]).map(|field| &**field);
            let row = Row {
                line,
                key: field(0).unwrap_or_default(),
                kind: field(1).unwrap_or_default(),
                encoding: field(2).unwrap_or_default(),
                value: field(3),
            };
            self.row(row, folder)?;
        }
        Ok(())
    }

    /// Adds one row.
    ///
    /// # Errors
    /// [`TableError::Row`]; the table is then no longer of use.
    pub fn row(&mut self, row: Row<'_>, folder: &Path) -> Result<(), TableError> {
        self.put(row, folder).map_err(|kind| TableError::Row { line: row.line, key: row.key.into(), kind })
    }

    /// Values so far, those that were added to Wi-Fi credentials among them.
    #[must_use]
    pub fn values(&self) -> usize {
        self.values
    }

    /// Namespaces so far.
    #[must_use]
    pub fn namespaces(&self) -> usize {
        self.created.len()
    }

    /// Was there a Wi-Fi key to which the generator would have added something?
    #[must_use]
    pub fn has_bare_wifi_keys(&self) -> bool {
        self.bare_wifi_keys
    }

    /// Was a namespace taken up again? The generator would have put what follows elsewhere.
    #[must_use]
    pub fn has_repeated_namespace(&self) -> bool {
        self.repeated_namespace
    }

    /// The image of all rows.
    #[must_use]
    pub fn into_image(self) -> NvsImage {
        self.image
    }

    fn put(&mut self, row: Row<'_>, folder: &Path) -> Result<(), RowError> {
        let key: Key = row.key.parse()?;
        match row.kind {
            "namespace" => return self.enter(key, row),
            "data" | "file" => {}
            other => return Err(RowError::Type { got: other.into() }),
        }
        let encoding: Encoding = row.encoding.parse().map_err(|_| RowError::Encoding { got: row.encoding.into() })?;
        let text = row.value.ok_or(RowError::NoValue)?;
        let namespace = self.namespace.ok_or(RowError::NoNamespace)?;
        let extras = wifi::has_extras(row.key) && (self.habits.wifi_extras || self.habits.generator_quirks);
        self.bare_wifi_keys |= wifi::has_extras(row.key) && !extras;
        if extras {
            // From a file the generator takes the path for the credential; of hex it takes the digits.
            if row.kind == "file" || matches!(encoding, Encoding::Hex | Encoding::Base64) {
                return Err(RowError::WifiNotText);
            }
            if let Some(info) = self.wifi.before(row.key, text) {
                self.value(&namespace, &Key::literal(wifi::ACCESS_POINT_EXTRA), &Value::blob(&info[..]))?;
            }
        }
        if row.kind == "file" {
            let content = content(&folder.join(text))?;
            self.value(&namespace, &key, &encoding.file_value(&content)?)?;
        } else {
            self.value(&namespace, &key, &encoding.value(text)?)?;
        }
        if extras && self.wifi.station(row.key) {
            for (name, bytes) in wifi::STATION_EXTRAS {
                self.value(&namespace, &name.parse()?, &Value::blob(bytes))?;
            }
        }
        Ok(())
    }

    fn enter(&mut self, name: Key, row: Row<'_>) -> Result<(), RowError> {
        if !row.encoding.is_empty() || row.value.is_some_and(|value| !value.is_empty()) {
            return Err(RowError::NamespaceValue);
        }
        if self.created.contains(&name) {
            self.repeated_namespace |= self.namespace != Some(name);
            if self.habits.generator_quirks {
                return Ok(());
            }
        } else {
            self.image.declare(&name)?;
            self.created.push(name);
        }
        self.namespace = Some(name);
        Ok(())
    }

    fn value(&mut self, namespace: &Key, key: &Key, value: &Value<'_>) -> Result<(), RowError> {
        self.image.put(namespace, key, value)?;
        self.values += 1;
        Ok(())
    }
}

/// Where each of [`COLUMNS`] is; they may come in any order.
fn columns(header: &Record<'_>) -> Option<[usize; 4]> {
    if header.fields.len() != COLUMNS.len() {
        return None;
    }
    let mut places = [0; 4];
    for (place, name) in places.iter_mut().zip(COLUMNS) {
        *place = header.fields.iter().position(|field| field == name)?;
    }
    Some(places)
}

/// A whole file, no longer than twice the digits of the longest blob.
fn content(path: &Path) -> Result<Zeroizing<Vec<u8>>, RowError> {
    const LIMIT: usize = 4 * MAX_BLOB;
    let mut content = Zeroizing::new(Vec::new());
    let file = File::open(path).and_then(|file| file.take(LIMIT as u64 + 1).read_to_end(&mut content));
    match file {
        Ok(len) if len <= LIMIT => Ok(content),
        Ok(_) => Err(RowError::FileTooLong { path: path.into() }),
        Err(source) => Err(RowError::File { path: path.into(), source }),
    }
}

/// Why a CSV file makes no partition.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Not a CSV file.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// The first record is not the header.
    #[error("line {line}: the header must name the columns key,type,encoding,value")]
    NoHeader {
        /// Line.
        line: usize,
    },
    /// One row.
    #[error("line {line}, key {key:?}: {kind}")]
    Row {
        /// Line.
        line: usize,
        /// First column.
        key: Box<str>,
        /// What is wrong with it.
        kind: RowError,
    },
}

/// What is wrong with a row.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// More fields than columns, most likely a comma in a value without quotes; the generator drops what is behind it.
    #[error("{got} fields, expected 4; a value with a comma wants double quotes around it")]
    Columns {
        /// Fields found.
        got: usize,
    },
    /// First column.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Second column.
    #[error("type {got:?} is none of namespace, data, file")]
    Type {
        /// As written.
        got: Box<str>,
    },
    /// Third column.
    #[error(
        "encoding {got:?} is none of u8, i8, u16, i16, u32, i32, u64, i64, string, hex2bin, base64, binary, \
         blob_fill(LENGTH;0xPP), blob_sz_fill(LENGTH;0xPP)"
    )]
    Encoding {
        /// As written.
        got: Box<str>,
    },
    /// No fourth column.
    #[error("no value")]
    NoValue,
    /// A namespace has neither encoding nor value.
    #[error("a namespace row has only a key")]
    NamespaceValue,
    /// A value before the first namespace.
    #[error("no namespace row comes before this value")]
    NoNamespace,
    /// The extras are computed from text only.
    #[error("Wi-Fi side entries can only be computed from a data row with text")]
    WifiNotText,
    /// Fourth column, or the file it names.
    #[error(transparent)]
    Value(#[from] super::encoding::ValueError),
    /// The file that a row names.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No blob is as long.
    #[error("{} is longer than any value", path.display())]
    FileTooLong {
        /// Path.
        path: PathBuf,
    },
    /// The partition takes no such value.
    #[error(transparent)]
    Build(#[from] BuildError),
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
