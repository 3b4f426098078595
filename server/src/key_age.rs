//! How long each key has been in use. The server knows keys again by a fingerprint that it keeps in its database.
//!
//! A key is due for rotation after `keys.warn_days` (90): then it is an alert, and in the log once a day.

use crate::alerts::Alerts;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::store::keys::KeySeen;
use crate::store::{Store, StoreError};
use cotter_formats::secret::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Looks after the ages of keys.
pub struct KeyAges {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    audit: Arc<Audit>,
    alerts: Arc<Alerts>,
    warn_days: u32,
}

/// How old keys are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ages {
    /// The server's own.
    pub keys: Vec<KeyAge>,
    /// Days after which a key is due.
    pub due_after_days: u32,
    /// Devices whose keys are due.
    pub devices_due: u64,
}

/// How old one key of the server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAge {
    /// `master`, `enrolment` or `audit`.
    pub key: String,
    /// Unix seconds of the first start with it.
    pub since: u64,
    /// Whole days since then.
    pub days: u64,
    /// Whether it is due for rotation.
    pub due: bool,
}

/// A key of the server as it is known again: by a hash of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyInUse {
    /// `master`, `enrolment` or `audit`.
    pub name: &'static str,
    /// Tells keys apart and nothing else.
    pub fingerprint: [u8; 16],
}

impl KeyInUse {
    /// Of this key.
    #[must_use]
    pub fn of(name: &'static str, key: &Secret<32>) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"cotter/key-in-use/v1\0");
        hash.update(name);
        hash.update(b"\0");
        hash.update(key.expose());
        let mut fingerprint = [0; 16];
        fingerprint.copy_from_slice(&hash.finalize()[..16]);
        Self { name, fingerprint }
    }
}

impl KeyAges {
    /// Ages in `store`, by `clock`.
    #[must_use]
    pub const fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        audit: Arc<Audit>,
        alerts: Arc<Alerts>,
        warn_days: u32,
    ) -> Self {
        Self { store, clock, audit, alerts, warn_days }
    }

    /// Notes which keys the server uses from now on; a key that replaces another one is in the audit log.
    ///
    /// # Errors
    /// The store's.
    pub async fn note(&self, keys: &[KeyInUse]) -> Result<(), StoreError> {
        for &KeyInUse { name, fingerprint } in keys {
            let seen = KeySeen { name: name.to_owned(), fingerprint, since: self.clock.unix() };
            let replaced = self.audit.note(&"server", "key-replaced", name.to_owned(), String::new());
            self.store.use_key(seen, replaced).await?;
        }
        Ok(())
    }

    /// How old they are.
    ///
    /// # Errors
    /// The store's.
    pub async fn ages(&self) -> Result<Ages, StoreError> {
        let now = self.clock.unix();
        let due_before = now.saturating_sub(u64::from(self.warn_days) * DAY);
        let age = |seen: KeySeen| KeyAge {
            key: seen.name,
            since: seen.since,
            days: now.saturating_sub(seen.since) / DAY,
            due: seen.since < due_before,
        };
        let keys = self.store.keys_in_use().await?.into_iter().map(age).collect();
        let devices_due = self.store.devices_with_keys_before(due_before).await?;
        Ok(Ages { keys, due_after_days: self.warn_days, devices_due })
    }

    /// Raises alerts for what is due.
    ///
    /// # Errors
    /// The store's.
    pub async fn warn(&self) -> Result<(), StoreError> {
        let ages = self.ages().await?;
        for KeyAge { key, days, .. } in ages.keys.iter().filter(|age| age.due) {
            tracing::warn!(key, days, "a key is due for rotation");
            self.alerts.note("key-due", key, &format!("in use for {days} days"));
        }
        if ages.devices_due > 0 {
            tracing::warn!(devices = ages.devices_due, "keys of devices are due for rotation");
            let detail = format!("{} devices have had their keys for {} days", ages.devices_due, self.warn_days);
            self.alerts.note("key-due", &"devices", &detail);
        }
        Ok(())
    }
}

const DAY: u64 = 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::note::NoteSigner;
    use crate::clock::tests::Hands;
    use crate::store::sqlite::SqliteStore;
    use std::path::Path;
    use std::sync::atomic::Ordering;

    /// Master, enrolment and audit key.
    fn keys(bytes: [u8; 3]) -> [KeyInUse; 3] {
        let key = |name, byte| KeyInUse::of(name, &Secret::filled_by(|key| key.fill(byte)));
        [key("master", bytes[0]), key("enrolment", bytes[1]), key("audit", bytes[2])]
    }

    fn ages(directory: &Path) -> (Arc<Hands>, Arc<Alerts>, Arc<dyn Store>, KeyAges) {
        let signer = NoteSigner::new(&Secret::filled_by(|seed| seed.fill(2))).unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&directory.join("a.db"), signer).unwrap());
        let clock = Arc::new(Hands::default());
        let dynamic: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let alerts = Arc::new(Alerts::new(Arc::clone(&dynamic)));
        let audit = Arc::new(Audit::new(Arc::clone(&store), Arc::clone(&dynamic), Arc::clone(&alerts)));
        let ages = KeyAges::new(Arc::clone(&store), dynamic, audit, Arc::clone(&alerts), 90);
        (clock, alerts, store, ages)
    }

    #[tokio::test]
    async fn a_key_ages_until_another_takes_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let (clock, alerts, store, ages) = ages(directory.path());
        ages.note(&keys([1, 2, 3])).await.unwrap();
        clock.0.store(90 * DAY, Ordering::Relaxed);
        ages.note(&keys([1, 2, 3])).await.unwrap();
        ages.warn().await.unwrap();
        assert_eq!(alerts.current(), [], "90 days are not over 90 days");

        clock.0.store(90 * DAY + 1, Ordering::Relaxed);
        ages.note(&keys([1, 7, 3])).await.unwrap();
        ages.warn().await.unwrap();
        let due: Vec<_> = alerts.current().into_iter().map(|alert| (alert.alert, alert.subject)).collect();
        assert_eq!(due, [("key-age".to_owned(), "audit".to_owned()), ("key-age".to_owned(), "master".to_owned())]);
        let found = ages.ages().await.unwrap();
        let found: Vec<_> = found.keys.iter().map(|age| (age.key.as_str(), age.days, age.due)).collect();
        assert_eq!(found, [("audit", 90, true), ("enrolment", 0, false), ("master", 90, true)]);
        let log = store.audit_lines(0, 10).await.unwrap();
        assert_eq!(log.len(), 1, "{log:?}");
        assert!(log[0].contains("key-replaced") && log[0].contains("enrolment"), "{log:?}");
    }

    #[tokio::test]
    async fn a_key_that_comes_back_is_as_old_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let (clock, _, _, ages) = ages(directory.path());
        for (day, audit) in [(0, 3), (50, 8), (100, 3)] {
            clock.0.store(day * DAY, Ordering::Relaxed);
            ages.note(&keys([1, 2, audit])).await.unwrap();
        }
        assert_eq!(ages.ages().await.unwrap().keys[0], KeyAge { key: "audit".into(), since: 0, days: 100, due: true });
    }
}
