//! What is there: devices and releases, as lists. Reading only.

use super::{Pending, ReleaseRecord, StoredDevice};
use cotter_wire::ids::DeviceId;

/// Lists of what the store holds, each bounded.
pub trait Inventory {
    /// Devices by name, those after `after`, at most `limit`.
    fn devices(&self, after: Option<DeviceId>, limit: usize) -> Pending<'_, Vec<StoredDevice>>;

    /// Releases by project and chip, newest version first, at most `limit`.
    fn releases(&self, limit: usize) -> Pending<'_, Vec<ReleaseRecord>>;
}
