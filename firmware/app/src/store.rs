//! Where the device's identity and its nonce are: the encrypted NVS partition.

use cotter_device::identity::IdentityError;
use cotter_device::nvs::{Nvs, NvsError};
use cotter_device::platform::{Region, RegionError};
use cotter_formats::nvs::NvsKeys;
use cotter_formats::nvs::keys::{KEYS_PARTITION_SIZE, KeysError};
use cotter_formats::partition::{DEFAULT_OFFSET, PartitionError, PartitionTable, PartitionType, Subtype, TABLE_LEN};
use embedded_storage::nor_flash::ReadNorFlash;
use zeroize::Zeroizing;

use crate::flash::{Flash, FlashError, Raw};

/// Mounts the NVS partition with the keys of the nvs_keys partition.
///
/// A partition table without nvs_keys is not a product's: an unencrypted store is refused, not tried.
pub(crate) fn mount<'f, 'd>(flash: &'f Flash<'d>, table: &PartitionTable) -> Result<Nvs<Raw<'f, 'd>>, StoreError> {
    let data = |subtype| table.find_type(PartitionType::DATA, subtype);
    let keys = data(Subtype::DATA_NVS_KEYS).ok_or(StoreError::NoPartition("nvs_keys"))?;
    let nvs = data(Subtype::DATA_NVS).ok_or(StoreError::NoPartition("nvs"))?;
    let mut raw_keys = Zeroizing::new([0; KEYS_PARTITION_SIZE]);
    flash.transparent().read(keys.offset.0, &mut *raw_keys).map_err(StoreError::Flash)?;
    let keys = NvsKeys::parse(&*raw_keys)?;
    Ok(Nvs::mount(Region::new(flash.raw(), nvs.offset, nvs.size)?, Some(keys))?)
}

/// The partition table at its usual place.
pub(crate) fn partition_table(flash: &Flash<'_>) -> Result<PartitionTable, TableError> {
    let mut raw = [0; TABLE_LEN];
    flash.transparent().read(DEFAULT_OFFSET.0, &mut raw)?;
    Ok(PartitionTable::parse(&raw)?)
}

/// Why there is no partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TableError {
    /// The flash failed.
    #[error("flash: {0}")]
    Flash(#[from] FlashError),
    /// The bytes are no table.
    #[error("{0}")]
    Partition(#[from] PartitionError),
}

/// Why there is no store, or nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoreError {
    /// Nothing readable at 0x8000.
    #[error("no partition table: {0}")]
    Table(TableError),
    /// The partition table names no such partition.
    #[error("there is no {0} partition")]
    NoPartition(&'static str),
    /// The key partition cannot be read.
    #[error("nvs_keys: flash: {0}")]
    Flash(FlashError),
    /// It holds no keys.
    #[error("{0}")]
    Keys(#[from] KeysError),
    /// The partition leaves the flash.
    #[error("nvs: {0}")]
    Region(#[from] RegionError<FlashError>),
    /// NVS.
    #[error("{0}")]
    Nvs(#[from] NvsError<FlashError>),
    /// The store belongs to no device.
    #[error("{0}")]
    Identity(#[from] IdentityError<FlashError>),
}
