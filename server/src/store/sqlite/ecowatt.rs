//! EcoWatt devices in SQLite.

use super::{SqliteStore, audit_log, rows};
use crate::ecowatt::EcowattName;
use crate::store::ecowatt::{
    EcowattAcceptance, EcowattAdded, EcowattArray, EcowattDevice, EcowattDevices, EcowattRecord, EcowattState,
    EcowattVerdict, KEPT_TEXTS,
};
use crate::store::{AuditEntry, Pending, StoreError};
use cotter_wire::ecowatt::History;
use cotter_wire::ids::Nonce;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

impl EcowattDevices for SqliteStore {
    fn add_ecowatt(&self, device: EcowattRecord, note: AuditEntry) -> Pending<'_, EcowattAdded> {
        self.write(move |connection| add(connection, &device, note))
    }

    fn remove_ecowatt(&self, name: EcowattName, note: AuditEntry) -> Pending<'_, bool> {
        self.write(move |connection| {
            let off = "UPDATE ecowatt_device SET sealed_key = NULL WHERE name = ?1 AND sealed_key IS NOT NULL";
            let removed = connection.execute(off, [name.as_str()])? == 1;
            if removed {
                audit_log::append(connection, note)?;
            }
            Ok(removed)
        })
    }

    fn ecowatt_device(&self, name: EcowattName) -> Pending<'_, Option<EcowattDevice>> {
        self.read(move |connection| {
            connection
                .prepare_cached(&format!("{SELECT} AND name = ?1"))?
                .query_row([name.as_str()], |row| Ok(device(row)))
                .optional()?
                .transpose()
        })
    }

    fn ecowatt_devices(&self, limit: usize) -> Pending<'_, Vec<EcowattDevice>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY name LIMIT ?1"))?;
            let found = statement.query_map([rows::limit(limit)], |row| Ok(device(row)))?;
            found.map(|row| row?).collect()
        })
    }

    fn accept_ecowatt(&self, acceptance: EcowattAcceptance) -> Pending<'_, EcowattVerdict> {
        self.write(move |connection| accept(connection, &acceptance))
    }

    fn ecowatt_arrays(&self, name: EcowattName, limit: usize) -> Pending<'_, Vec<EcowattArray>> {
        self.read(move |connection| arrays(connection, &name, limit))
    }

    fn ecowatt_texts(&self, name: EcowattName) -> Pending<'_, Vec<(Nonce, Vec<u8>)>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT nonce, inner FROM ecowatt_text \
                 WHERE device = (SELECT row FROM ecowatt_device WHERE name = ?1) ORDER BY row DESC LIMIT ?2",
            )?;
            let found = statement
                .query_map((name.as_str(), rows::limit(KEPT_TEXTS)), |row| Ok((Nonce(row.get(0)?), row.get(1)?)))?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }
}

fn add(connection: &Connection, new: &EcowattRecord, note: AuditEntry) -> Result<EcowattAdded, StoreError> {
    let exists = |query: &str, value: &dyn rusqlite::ToSql| -> Result<bool, StoreError> {
        Ok(connection.query_row(&format!("SELECT EXISTS ({query})"), [value], |row| row.get(0))?)
    };
    let name = new.name.as_str();
    if exists("SELECT 1 FROM device WHERE name = ?1", &name)? {
        return Ok(EcowattAdded::Enrolled);
    }
    if exists("SELECT 1 FROM ecowatt_device WHERE name = ?1 AND sealed_key IS NOT NULL", &name)? {
        return Ok(EcowattAdded::AlreadyOn);
    }
    if exists("SELECT 1 FROM ecowatt_key WHERE fingerprint = ?1", &new.fingerprint)? {
        return Ok(EcowattAdded::KeyUsed);
    }
    connection.execute("INSERT INTO ecowatt_key (fingerprint) VALUES (?1)", [new.fingerprint])?;
    connection.execute(
        "INSERT INTO ecowatt_device (name, sealed_key, fingerprint, added_at, last_nonce, history, last_at, recent) \
         VALUES (:name, :sealed_key, :fingerprint, :added_at, :last_nonce, :history, 0, x'') \
         ON CONFLICT (name) DO UPDATE SET sealed_key = :sealed_key, fingerprint = :fingerprint, \
         added_at = :added_at, last_nonce = :last_nonce, history = :history, last_at = 0, recent = x''",
        named_params! {
            ":name": name,
            ":sealed_key": new.sealed_key,
            ":fingerprint": new.fingerprint,
            ":added_at": rows::time(new.added_at)?,
            ":last_nonce": new.nonce_floor.0,
            ":history": History::new().to_bytes(),
        },
    )?;
    audit_log::append(connection, note)?;
    Ok(EcowattAdded::Added)
}

fn accept(connection: &Connection, new: &EcowattAcceptance) -> Result<EcowattVerdict, StoreError> {
    let found: Option<(i64, Option<i64>)> = connection
        .prepare_cached(
            "SELECT row, last_array FROM ecowatt_device \
             WHERE name = ?1 AND sealed_key IS NOT NULL AND fingerprint = ?2 AND last_nonce = ?3",
        )?
        .query_row((new.name.as_str(), new.fingerprint, new.after.0), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((device, mut previous)) = found.filter(|_| new.nonce > new.after) else {
        return Ok(EcowattVerdict::Changed);
    };
    for array in &new.arrays {
        connection
            .prepare_cached(
                "INSERT INTO ecowatt_array \
                 (nonce, received_at, at, interval, registers, blob, content, refusal, previous) VALUES \
                 (:nonce, :received_at, :at, :interval, :registers, :blob, :content, :refusal, :previous)",
            )?
            .execute(named_params! {
                ":nonce": array.nonce.0,
                ":received_at": rows::time(array.received_at)?,
                ":at": rows::time(array.at)?,
                ":interval": array.interval,
                ":registers": array.registers,
                ":blob": array.blob,
                ":content": array.values.as_ref().ok(),
                ":refusal": array.values.as_ref().err().map_or("", String::as_str),
                ":previous": previous,
            })?;
        previous = Some(connection.last_insert_rowid());
    }
    connection.prepare_cached("INSERT INTO ecowatt_text (device, nonce, inner) VALUES (?1, ?2, ?3)")?.execute((
        device,
        new.nonce.0,
        &new.inner,
    ))?;
    connection
        .prepare_cached(
            "DELETE FROM ecowatt_text WHERE device = ?1 AND row NOT IN \
             (SELECT row FROM ecowatt_text WHERE device = ?1 ORDER BY row DESC LIMIT ?2)",
        )?
        .execute((device, rows::limit(KEPT_TEXTS)))?;
    connection
        .prepare_cached(
            "UPDATE ecowatt_device SET last_nonce = :last_nonce, history = :history, last_at = :last_at, \
             recent = :recent, last_array = :last_array WHERE row = :row",
        )?
        .execute(named_params! {
            ":last_nonce": new.nonce.0,
            ":history": new.state.history.to_bytes(),
            ":last_at": rows::time(new.state.last_at)?,
            ":recent": new.state.recent.concat(),
            ":last_array": previous,
            ":row": device,
        })?;
    Ok(EcowattVerdict::Accepted)
}

fn arrays(connection: &Connection, name: &EcowattName, limit: usize) -> Result<Vec<EcowattArray>, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    let mut next: Option<i64> = transaction
        .prepare_cached("SELECT last_array FROM ecowatt_device WHERE name = ?1")?
        .query_row([name.as_str()], |row| row.get(0))
        .optional()?
        .flatten();
    let mut find = transaction.prepare_cached(
        "SELECT nonce, received_at, at, interval, registers, blob, content, refusal, previous \
         FROM ecowatt_array WHERE row = ?1",
    )?;
    let mut found = Vec::new();
    while let (Some(row), true) = (next, found.len() < limit) {
        let Some(link) = find.query_row([row], |row| Ok(array(row))).optional()? else { break };
        let (array, previous) = link?;
        found.push(array);
        next = previous;
    }
    Ok(found)
}

fn array(row: &Row<'_>) -> Result<(EcowattArray, Option<i64>), StoreError> {
    let content: Option<Vec<u8>> = row.get(6)?;
    let refusal: String = row.get(7)?;
    let array = EcowattArray {
        nonce: Nonce(row.get(0)?),
        received_at: rows::unsigned(row, 1)?,
        at: rows::unsigned(row, 2)?,
        interval: row.get(3)?,
        registers: row.get(4)?,
        blob: row.get(5)?,
        values: content.ok_or(refusal),
    };
    Ok((array, row.get(8)?))
}

/// Columns as in [`SELECT`].
fn device(row: &Row<'_>) -> Result<EcowattDevice, StoreError> {
    let (name, history, recent): (String, Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(5)?, row.get(7)?);
    let (recent, rest) = recent.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(rows::corrupt("ecowatt_device.recent"));
    }
    let last_nonce = Nonce(row.get(4)?);
    Ok(EcowattDevice {
        record: EcowattRecord {
            name: name.parse().map_err(|_| rows::corrupt("ecowatt_device.name"))?,
            sealed_key: row.get(1)?,
            fingerprint: row.get(2)?,
            nonce_floor: last_nonce,
            added_at: rows::unsigned(row, 3)?,
        },
        last_nonce,
        state: EcowattState {
            history: History::from_bytes(&history).ok_or(rows::corrupt("ecowatt_device.history"))?,
            last_at: rows::unsigned(row, 6)?,
            recent: recent.to_vec(),
        },
    })
}

const SELECT: &str = "SELECT name, sealed_key, fingerprint, added_at, last_nonce, history, last_at, recent \
                      FROM ecowatt_device WHERE sealed_key IS NOT NULL";
