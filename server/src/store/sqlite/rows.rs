//! Rows to records and back. A value that we would never write is [`StoreError::Corrupt`], not a guess.

use super::counters::{Counter, Counters};
use crate::admin_token::{TokenHash, TokenRecord};
use crate::store::rotations::PreviousKey;
use crate::store::{
    AuditEntry, DeviceRecord, Place, ReleaseRecord, StatusRecord, StoreError, StoredDevice, StoredReading,
};
use cotter_formats::chip::Chip;
use cotter_wire::ids::{DeviceId, KeyEpoch, Nonce, Protocol, ReleaseId, SecureVersion, Sequence};
use cotter_wire::status::StatusReport;
use cotter_wire::version::Version;
use rusqlite::{Connection, OptionalExtension, Row};

/// Columns: name, chip, mac, epoch, `sealed_root_key`, `nonce_floor`, `secure_boot_digest`, `enrolled_at`, `folded_nonce`,
/// `last_digest`, `minimum_protocol`; epoch, `sealed_key`, `until` of the key before;
/// `rotated_at`, row, `last_reading`.
pub(super) fn device(row: &Row<'_>, counters: &Counters) -> Result<StoredDevice, StoreError> {
    let name: String = row.get(0)?;
    let counter = counters.committed(Counter {
        device: row.get(15)?,
        epoch: KeyEpoch(row.get(3)?),
        last_nonce: sequence(row, 8)?,
        last_digest: row.get(9)?,
        last_reading: row.get(16)?,
        minimum_protocol: protocol(row, 10)?,
    });
    Ok(StoredDevice {
        record: DeviceRecord {
            id: name.parse().map_err(|_| corrupt("device.name"))?,
            chip: chip(row, 1)?,
            mac: row.get(2)?,
            epoch: counter.epoch,
            sealed_root_key: row.get(4)?,
            nonce_floor: Nonce(row.get(5)?),
            secure_boot_digest: row.get(6)?,
            enrolled_at: unsigned(row, 7)?,
        },
        place: Place(counter.device),
        last_nonce: counter.last_nonce,
        last_digest: counter.last_digest,
        minimum_protocol: counter.minimum_protocol,
        previous: previous(row)?,
        rotated_at: row.get::<_, Option<i64>>(14)?.map(u64::try_from).transpose().map_err(|_| corrupt("rotated_at"))?,
    })
}

fn previous(row: &Row<'_>) -> Result<Option<PreviousKey>, StoreError> {
    let Some(epoch) = row.get::<_, Option<u32>>(11)? else { return Ok(None) };
    Ok(Some(PreviousKey { epoch: KeyEpoch(epoch), sealed_root_key: row.get(12)?, until: unsigned(row, 13)? }))
}

/// The counter of a device, as it is in the table.
pub(super) fn counter_of(connection: &Connection, device: DeviceId) -> Result<Option<Counter>, StoreError> {
    let mut find = connection.prepare_cached(
        "SELECT device, epoch, folded_nonce, last_digest, last_reading, minimum_protocol FROM counter \
         WHERE device = (SELECT row FROM device WHERE name = ?1)",
    )?;
    find.query_row([device.as_str()], |row| Ok(counter(row))).optional()?.transpose()
}

/// The same, of which it is known where it stands.
pub(super) fn counter_at(connection: &Connection, Place(row): Place) -> Result<Option<Counter>, StoreError> {
    let mut find = connection.prepare_cached(
        "SELECT device, epoch, folded_nonce, last_digest, last_reading, minimum_protocol FROM counter WHERE device = ?1",
    )?;
    find.query_row([row], |row| Ok(counter(row))).optional()?.transpose()
}

/// Columns: device, epoch, `folded_nonce`, `last_digest`, `last_reading`, `minimum_protocol`.
fn counter(row: &Row<'_>) -> Result<Counter, StoreError> {
    Ok(Counter {
        device: row.get(0)?,
        epoch: KeyEpoch(row.get(1)?),
        last_nonce: sequence(row, 2)?,
        last_digest: row.get(3)?,
        last_reading: row.get(4)?,
        minimum_protocol: protocol(row, 5)?,
    })
}

/// Columns: epoch, nonce, `received_at`, content, previous.
pub(super) fn reading(row: &Row<'_>) -> Result<(StoredReading, Option<i64>), StoreError> {
    let reading = StoredReading {
        epoch: KeyEpoch(row.get(0)?),
        nonce: sequence(row, 1)?,
        received_at: unsigned(row, 2)?,
        reading: row.get(3)?,
    };
    Ok((reading, row.get(4)?))
}

/// Columns as in `SELECT_RELEASE`.
pub(super) fn release(row: &Row<'_>) -> Result<ReleaseRecord, StoreError> {
    let published_at: Option<i64> = row.get(9)?;
    Ok(ReleaseRecord {
        id: ReleaseId(row.get(0)?),
        project: row.get(1)?,
        chip: chip(row, 2)?,
        version: version(row.get(3)?)?,
        secure_version: SecureVersion(row.get(4)?),
        expires: unsigned(row, 5)?,
        encrypted_size: row.get(6)?,
        envelope: row.get(7)?,
        sealed_content_key: row.get(8)?,
        published_at: published_at.map(u64::try_from).transpose().map_err(|_| corrupt("published_at"))?,
    })
}

/// Columns: report, `received_at`.
pub(super) fn status(row: &Row<'_>, device: DeviceId) -> Result<StatusRecord, StoreError> {
    let report: String = row.get(0)?;
    let report = StatusReport::parse(report.as_bytes()).map_err(|_| corrupt("report"))?;
    Ok(StatusRecord { device, report, received_at: unsigned(row, 1)? })
}

/// A report in the one spelling of the wire.
pub(super) fn report_text(report: &StatusReport) -> Result<String, StoreError> {
    let mut out = [0; StatusReport::MAX_LEN];
    let text = report.write(&mut out).map_err(|_| corrupt("report"))?;
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Columns: at, subject, event, detail. Version 1 of the tables did not say by whom.
pub(super) fn audit(row: &Row<'_>) -> Result<AuditEntry, StoreError> {
    let (at, by) = (unsigned(row, 0)?, String::new());
    Ok(AuditEntry { at, by, subject: row.get(1)?, event: row.get(2)?, detail: row.get(3)? })
}

/// Columns: name, role, hash, `added_at`, `expires_at`.
pub(super) fn token(row: &Row<'_>) -> Result<TokenRecord, StoreError> {
    let (name, role): (String, String) = (row.get(0)?, row.get(1)?);
    let expires_at: Option<i64> = row.get(4)?;
    Ok(TokenRecord {
        name: name.parse().map_err(|_| corrupt("admin_token.name"))?,
        role: role.parse().map_err(|_| corrupt("admin_token.role"))?,
        hash: TokenHash(row.get(2)?),
        added_at: unsigned(row, 3)?,
        expires_at: expires_at.map(u64::try_from).transpose().map_err(|_| corrupt("admin_token.expires_at"))?,
    })
}

/// A time as SQLite can hold it.
pub(super) fn time(unix: u64) -> Result<i64, StoreError> {
    i64::try_from(unix).map_err(|_| corrupt("time"))
}

/// A place or a count as SQLite can hold it.
pub(super) fn number(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| corrupt("entry"))
}

/// A row limit as SQLite can hold it.
pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Version as one number that the database can order.
pub(super) fn version_number(version: Version) -> i64 {
    i64::from(version.major) << 32 | i64::from(version.minor) << 16 | i64::from(version.patch)
}

/// The version that [`version_number`] made this number of.
pub(super) fn version(number: i64) -> Result<Version, StoreError> {
    let part = |shift: u32, column| u16::try_from(number >> shift & 0xffff).map_err(|_| corrupt(column));
    if number >> 48 != 0 {
        return Err(corrupt("version"));
    }
    Ok(Version::new(part(32, "version")?, part(16, "version")?, part(0, "version")?))
}

pub(super) fn chip(row: &Row<'_>, column: usize) -> Result<Chip, StoreError> {
    let name: String = row.get(column)?;
    Chip::from_name(&name).ok_or(corrupt("chip"))
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> Result<u64, StoreError> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| corrupt("time"))
}

fn sequence(row: &Row<'_>, column: usize) -> Result<Sequence, StoreError> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).ok().and_then(Sequence::new).ok_or(corrupt("nonce"))
}

/// A protocol that we speak.
pub(super) fn protocol(row: &Row<'_>, column: usize) -> Result<Protocol, StoreError> {
    Protocol::new(row.get(column)?).ok_or(corrupt("minimum_protocol"))
}

pub(super) const fn corrupt(column: &'static str) -> StoreError {
    StoreError::Corrupt { column }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_keep_their_order_as_numbers() {
        let ordered = [(0, 0, 1), (0, 1, 0), (1, 0, 9), (1, 0, 10), (1, 9, 0), (1, 10, 0), (9, 9, 9), (99, 0, 0)];
        let numbers: Vec<i64> = ordered.iter().map(|(a, b, c)| version_number(Version::new(*a, *b, *c))).collect();
        assert!(numbers.is_sorted());
        for (number, (major, minor, patch)) in numbers.iter().zip(ordered) {
            assert_eq!(version(*number).unwrap(), Version::new(major, minor, patch));
        }
    }

    #[test]
    fn refuses_a_version_that_no_version_makes() {
        for number in [-1, 1 << 48] {
            assert!(matches!(version(number), Err(StoreError::Corrupt { column: "version" })));
        }
    }
}
