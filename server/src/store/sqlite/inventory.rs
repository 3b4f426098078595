//! Lists of devices and releases from SQLite.

use super::{SELECT_DEVICE, SELECT_RELEASE, SqliteStore, rows};
use crate::store::inventory::Inventory;
use crate::store::{Pending, ReleaseRecord, StoredDevice};
use cotter_wire::ids::DeviceId;
use std::sync::Arc;

impl Inventory for SqliteStore {
    fn devices(&self, after: Option<DeviceId>, limit: usize) -> Pending<'_, Vec<StoredDevice>> {
        let counters = Arc::clone(&self.counters);
        self.read(move |connection| {
            counters.catch_up(connection)?;
            let mut statement =
                connection.prepare_cached(&format!("{SELECT_DEVICE} WHERE name > ?1 ORDER BY name LIMIT ?2"))?;
            // No name is empty.
            let after = after.as_ref().map_or("", DeviceId::as_str);
            let found = statement.query_map((after, rows::limit(limit)), |row| Ok(rows::device(row, &counters)))?;
            found.map(|row| row?).collect()
        })
    }

    fn releases(&self, limit: usize) -> Pending<'_, Vec<ReleaseRecord>> {
        self.read(move |connection| {
            let order = "ORDER BY project, chip, version DESC LIMIT ?1";
            let mut statement = connection.prepare_cached(&format!("{SELECT_RELEASE} {order}"))?;
            let found = statement.query_map([rows::limit(limit)], |row| Ok(rows::release(row)))?;
            found.map(|row| row?).collect()
        })
    }
}
