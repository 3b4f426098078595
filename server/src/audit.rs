//! What the operator learns and the network does not: every refusal with its reason.
//!
//! What an authenticated peer did goes to the store. What anybody on the network can provoke goes to the log only,
//! so that a flood of forgeries writes nothing to the database. Both are rate-limited; what was left out is counted.
//!
//! The store keeps the notes as a tamper-evident log:
//!
//! | file | noun |
//! |---|---|
//! | here | who takes the notes |
//! | `line`, `tree` | an entry in its place; the Merkle tree over all of them |
//! | `note`, `checkpoint` | signed notes; the server's word for the log as it is |
//! | `proof`, `review` | that one entry is in the log; that a whole log is what was signed |
//! | `kept` | the checkpoint beside the database, so that an older database is noticed |

pub mod checkpoint;
pub mod kept;
pub mod line;
pub mod note;
pub mod proof;
pub mod review;
pub mod tree;

use crate::administrator::Administrator;
use crate::alerts::Alerts;
use crate::clock::Clock;
use crate::limits::Budget;
use crate::store::{AuditEntry, Store, StoreError};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

/// Takes notes.
pub struct Audit {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    alerts: Arc<Alerts>,
    logged: Budget,
    stored: Budget,
    alarmed: Budget,
}

impl Audit {
    /// Writes to `store` and to the log, and tells `alerts`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, alerts: Arc<Alerts>) -> Self {
        let (logged, stored, alarmed) = (Budget::new(100, 10), Budget::new(200, 1), Budget::new(200, 1));
        Self { store, clock, alerts, logged, stored, alarmed }
    }

    /// Notes what somebody unknown tried. `event` is a stable kebab-case name.
    pub fn stranger(&self, event: &'static str, claimed: &dyn Display, why: &dyn Display) {
        self.alerts.note(event, claimed, why);
        if let Some(left_out) = self.logged.take(Instant::now()) {
            tracing::warn!(event, %claimed, %why, left_out, "refused a stranger");
        }
    }

    /// Notes what an authenticated device did wrong. Returns at once: the device does not wait for our notes.
    pub fn device(&self, event: &'static str, device: &dyn Display, why: &dyn Display) {
        self.note_device(&self.stored, event, device, why);
    }

    /// Notes what no device does by accident and no eavesdropper can make it do. As [`Self::device`], but from a budget
    /// that a flood of replays does not use up.
    pub fn alarm(&self, event: &'static str, device: &dyn Display, why: &dyn Display) {
        self.note_device(&self.alarmed, event, device, why);
    }

    fn note_device(&self, budget: &Budget, event: &'static str, device: &dyn Display, why: &dyn Display) {
        self.alerts.note(event, device, why);
        if let Some(left_out) = budget.take(Instant::now()) {
            tracing::warn!(event, %device, %why, left_out, "refused a device");
            let detail = if left_out == 0 { why.to_string() } else { format!("{why} ({left_out} left out before)") };
            // Queued by the call; see `Store` about dropping the future.
            drop(self.store.append_audit(self.note(device, event, device.to_string(), detail)));
        }
    }

    /// Notes what an administrator tried in vain, durably before it is answered.
    ///
    /// # Errors
    /// [`StoreError`]: the note is not there.
    pub async fn refused(&self, by: &Administrator, event: &'static str, why: String) -> Result<(), StoreError> {
        self.store.append_audit(self.note(&by.name, event, String::new(), why)).await.map(drop)
    }

    /// Notes that an administrator lacks the right. Returns at once, and within limits: a stolen token fills no disk.
    pub fn forbidden(&self, by: &Administrator, what: &dyn Display) {
        if let Some(left_out) = self.stored.take(Instant::now()) {
            let detail = format!("{what} is not for the role {} ({left_out} left out before)", by.role);
            drop(self.store.append_audit(self.note(&by.name, "admin-forbidden", String::new(), detail)));
        }
    }

    /// The note that a change of the store takes with it.
    pub fn note(&self, by: &dyn Display, event: &'static str, subject: String, detail: String) -> AuditEntry {
        AuditEntry { at: self.clock.unix(), by: by.to_string(), subject, event: event.into(), detail }
    }
}
