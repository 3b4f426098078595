//! The `esp_secure_cert` partition: certificates, and a private key or what stands for it, ready for a device's TLS.
//!
//! Today's format is a list of entries (type, subtype, data, CRC); two older ones are only read.
//! Source: esp_secure_cert_mgr 2.9.3 `private_include/esp_secure_cert_tlv_private.h`, `include/esp_secure_cert_tlv_config.h`,
//! `srcs/esp_secure_cert_tlv_read.c`, `srcs/esp_secure_cert_signature_verify.c`; checked against esp_secure_cert_tool 2.6.1.

#[cfg(feature = "alloc")]
mod builder;
mod cust_flash;
mod entry;
#[cfg(feature = "alloc")]
mod finding;
mod signature;

#[cfg(feature = "alloc")]
pub use builder::{BuildError, Builder};
pub use cust_flash::{CustFlash, CustFlashError, CustFlashKey};
pub use entry::{Entries, Entry, Flags, Protection, TlvError, TlvType};
#[cfg(feature = "alloc")]
pub use finding::{Finding, FindingKind, Inspection, Weight, inspect};
#[cfg(feature = "alloc")]
pub use signature::signature_data;
pub use signature::{SignatureData, SignatureDataError};

use crate::ds::EfuseKeyId;

/// The customary size of the partition, and the most that Espressif's tool fills.
pub const PARTITION_SIZE: usize = 0x2000;
/// The firmware counts offsets in 16 bits.
pub const MAX_PARTITION_SIZE: usize = 0x1_0000;
/// The highest index of an entry among those of its type.
#[doc(alias = "ESP_SECURE_CERT_SUBTYPE_16")]
pub const MAX_SUBTYPE: u8 = 16;
/// Bytes of salt for a derived ECDSA key.
pub const SALT_LEN: usize = 32;
/// Bytes that AES-GCM adds to an encrypted entry.
pub const TAG_LEN: usize = 16;
/// Bytes of [`security_config`].
pub const SECURITY_CONFIG_LEN: usize = 40;

/// What an entry of type [`TlvType::SECURITY_CONFIG`] holds: the eFuse block with the key of the ECDSA peripheral.
#[doc(alias = "esp_secure_cert_tlv_sec_cfg_t")]
#[must_use]
pub const fn security_config(key: EfuseKeyId) -> [u8; SECURITY_CONFIG_LEN] {
    let mut out = [0; SECURITY_CONFIG_LEN];
    out[0] = key.block();
    out
}

/// The key block that a security configuration names; `None` for another length or a block that holds no keys.
#[must_use]
pub fn security_config_key(data: &[u8]) -> Option<EfuseKeyId> {
    let block = data.first().filter(|_| data.len() == SECURITY_CONFIG_LEN)?;
    block.checked_sub(4).and_then(EfuseKeyId::new)
}
