//! The CSV files of Espressif's tool: one entry per row.
//!
//! Columns, by the names in the first row: tlv_type, tlv_subtype, data_value, data_type (file, string, hex, base64); for
//! private keys also priv_key_type, algorithm, key_size, efuse_id, efuse_key. Source: esp_secure_cert_tool 2.6.1
//! `tlv_format_construct.py`, esp_secure_cert_mgr `docs/esp_secure_cert_tools/configure_esp_secure_cert_csv.md`.
//!
//! Beyond it: priv_key_type may be `hmac_derived` or `hmac_encrypted`; certificates may come as string, hex or base64 too.

use super::pack::{Content, Protected, Wanted};
use crate::certificate::{CertificateError, Certificates};
use crate::device_key::DeviceKey;
use crate::ds::fresh_hmac_key;
use crate::hex::unhex;
use crate::private_key::PrivateKeyError;
use crate::public_key::KeyKind;
use crate::signing::{SigningError, random};
use base64ct::{Base64, Encoding};
use cotter_formats::ds::EfuseKeyId;
use cotter_formats::hmac_key::HmacKey;
use cotter_formats::nvs::csv::{CsvError, Record, Records};
use cotter_formats::secure_cert::{MAX_PARTITION_SIZE, SALT_LEN, TlvType};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Reads a CSV file. Paths in it start at `folder`. A key block without a file for its key gets a fresh one, the same for
/// every row that names the block.
///
/// # Errors
/// [`TableError`], with the line.
pub fn read(csv: &[u8], folder: &Path) -> Result<Vec<Wanted>, TableError> {
    let mut records = Records::new(csv)?;
    let header = records.next().ok_or(TableError::Column { name: COLUMNS[0] })??;
    let column = |name: &str| header.fields.iter().position(|field| field.trim() == name);
    for name in &COLUMNS[..4] {
        column(name).ok_or(TableError::Column { name })?;
    }
    let mut table = Table { columns: COLUMNS.map(column), folder, fresh: BTreeMap::new() };
    let mut wanted = Vec::new();
    for record in records {
        let record = record?;
        let line = record.line;
        wanted.push(table.row(&record).map_err(|why| TableError::Row { line, why: Box::new(why) })?);
    }
    Ok(wanted)
}

const COLUMNS: [&str; 9] = [
    "tlv_type",
    "tlv_subtype",
    "data_value",
    "data_type",
    "priv_key_type",
    "algorithm",
    "key_size",
    "efuse_id",
    "efuse_key",
];

struct Table<'a> {
    columns: [Option<usize>; 9],
    folder: &'a Path,
    /// Keys that were drawn, by block.
    fresh: BTreeMap<EfuseKeyId, Zeroizing<[u8; 32]>>,
}

impl Table<'_> {
    fn row(&mut self, record: &Record<'_>) -> Result<Wanted, RowError> {
        let [kind, subtype, value, form, protection, algorithm, size, block, key_file] = self
            .columns
            .map(|column| column.and_then(|column| record.fields.get(column)).map_or("", |text| text.trim()));
        let kind = TlvType::from_name(kind).ok_or_else(|| RowError::Type(kind.into()))?;
        let subtype = subtype.parse().map_err(|_| RowError::Subtype(subtype.into()))?;
        if kind == TlvType::PRIVATE_KEY && protection == "hmac_derived" {
            let hmac_key = self.hmac_key(block, key_file)?;
            let mut salt = [0; SALT_LEN];
            if value.is_empty() {
                random(&mut salt)?;
            } else {
                let data = self.data(value, form)?;
                salt = data.as_slice().try_into().map_err(|_| RowError::Salt(data.len()))?;
            }
            let (hmac_key, block) = hmac_key;
            return Ok(Wanted {
                kind,
                subtype,
                content: Content::Key(Protected::HmacDerived { block, hmac_key, salt }),
            });
        }
        let data = self.data(value, form)?;
        let content = match kind {
            TlvType::CA_CERT | TlvType::DEVICE_CERT => Content::Certificates(Certificates::read(&data)?),
            TlvType::PRIVATE_KEY => {
                let key = DeviceKey::read(&data, None)?;
                described(key.public().kind(), algorithm, size)?;
                Content::Key(match protection {
                    "plaintext" => Protected::Plain(key),
                    "rsa_ds" => {
                        let (hmac_key, block) = self.hmac_key(block, key_file)?;
                        Protected::RsaDs { key, block, hmac_key }
                    }
                    "ecdsa_peripheral" => Protected::EcdsaPeripheral { key, block: block_id(block)? },
                    "hmac_encrypted" => {
                        let (hmac_key, block) = self.hmac_key(block, key_file)?;
                        Protected::HmacEncrypted { key, block, hmac_key }
                    }
                    other => return Err(RowError::Protection(other.into())),
                })
            }
            _ => Content::Data(data),
        };
        Ok(Wanted { kind, subtype, content })
    }

    fn data(&self, value: &str, form: &str) -> Result<Zeroizing<Vec<u8>>, RowError> {
        Ok(Zeroizing::new(match form {
            "file" => return read_file(&self.folder.join(value)),
            "string" => value.as_bytes().to_vec(),
            "hex" => unhex(&value.replace(' ', "")).ok_or(RowError::Hex)?,
            "base64" => Base64::decode_vec(value).map_err(|_| RowError::Base64)?,
            other => return Err(RowError::Form(other.into())),
        }))
    }

    fn hmac_key(&mut self, block: &str, file: &str) -> Result<(HmacKey, EfuseKeyId), RowError> {
        let block = block_id(block)?;
        if !file.is_empty() {
            let bytes = read_file(&self.folder.join(file))?;
            return Ok((HmacKey::from_slice(&bytes).ok_or(RowError::HmacKey(bytes.len()))?, block));
        }
        let key = match self.fresh.entry(block) {
            Entry::Occupied(drawn) => drawn.into_mut(),
            Entry::Vacant(free) => free.insert(Zeroizing::new(*fresh_hmac_key()?.expose())),
        };
        let key = HmacKey::from_slice(&key[..]);
        Ok((key.ok_or(RowError::HmacKey(0))?, block))
    }
}

fn block_id(text: &str) -> Result<EfuseKeyId, RowError> {
    text.parse().ok().and_then(EfuseKeyId::new).ok_or_else(|| RowError::Block(text.into()))
}

/// Algorithm and size, where the row gives them, must be those of the key.
fn described(kind: KeyKind, algorithm: &str, size: &str) -> Result<(), RowError> {
    let (name, bits) = match kind {
        KeyKind::Rsa(bits) => ("RSA", bits),
        KeyKind::Ecdsa(curve) => ("ECDSA", 8 * curve.coordinate_len()),
    };
    let says = (algorithm.is_empty() || algorithm.eq_ignore_ascii_case(name))
        && (size.is_empty() || size == "0" || size.parse() == Ok(bits));
    if says { Ok(()) } else { Err(RowError::Described { says: format!("{algorithm} {size}").into(), kind }) }
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, RowError> {
    let limit = MAX_PARTITION_SIZE as u64;
    let mut bytes = Zeroizing::new(Vec::new());
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    read.map_err(|error| RowError::File { path: path.into(), error })?;
    if bytes.len() as u64 > limit { Err(RowError::TooLong { path: path.into() }) } else { Ok(bytes) }
}

/// Why a CSV file was refused.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Not a CSV file.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// The first row has no such column.
    #[error("no column {name}")]
    Column {
        /// Its name.
        name: &'static str,
    },
    /// A row.
    #[error("line {line}: {why}")]
    Row {
        /// Line on which it starts.
        line: usize,
        /// What is wrong with it.
        #[source]
        why: Box<RowError>,
    },
}

/// Why a row was refused.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RowError {
    #[error("tlv_type {0:?} is neither one of Espressif's names nor a number up to 255")]
    Type(Box<str>),
    #[error("tlv_subtype {0:?} is no number up to 255")]
    Subtype(Box<str>),
    #[error("data_type {0:?}, expected file, string, hex or base64")]
    Form(Box<str>),
    #[error("the value is not hexadecimal")]
    Hex,
    #[error("the value is not base64")]
    Base64,
    #[error("priv_key_type {0:?}, expected plaintext, rsa_ds, ecdsa_peripheral, hmac_derived or hmac_encrypted")]
    Protection(Box<str>),
    #[error("efuse_id {0:?}, expected 0 to 5")]
    Block(Box<str>),
    #[error("the HMAC key has {0} bytes instead of 32")]
    HmacKey(usize),
    #[error("the salt has {0} bytes instead of 32")]
    Salt(usize),
    #[error("the row says {says:?}, but the key is {kind}")]
    Described { says: Box<str>, kind: KeyKind },
    #[error("cannot read {path}: {error}", path = path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{} is longer than any partition", path.display())]
    TooLong { path: PathBuf },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Key(#[from] PrivateKeyError),
    #[error(transparent)]
    Random(#[from] SigningError),
}
