//! Non-volatile storage (NVS): the key-value format of ESP-IDF's `nvs_flash`.
//!
//! | file | noun |
//! |---|---|
//! | `page` | the 4096-byte page: header, page state, map of entry states |
//! | `entry` | the 32-byte entry, its key and its type |
//! | `crypt` | XTS-AES-256 over one entry |
//! | `whole` | encrypts or decrypts a whole partition |
//! | `keys` | the key pair of an encrypted partition, and the partition that carries it |
//! | `image` | builds a whole partition, byte for byte as Espressif's generator does (`alloc`) |
//! | `csv` | the CSV files that describe a partition (`alloc`) |
//! | `partition` | reads a whole partition and reports every fault in it (`alloc`) |
//! | `value` | a typed value (`alloc`) |
//!
//! Sources: esp-idf v5.5 `components/nvs_flash/src/nvs_page.*`, `nvs_types.*`; `esp_idf_nvs_partition_gen` 0.3.0.

pub mod crypt;
#[cfg(feature = "alloc")]
pub mod csv;
pub mod entry;
#[cfg(feature = "alloc")]
pub mod image;
pub mod keys;
pub mod page;
#[cfg(feature = "alloc")]
pub mod partition;
#[cfg(feature = "alloc")]
pub mod value;
pub mod whole;

#[cfg(feature = "alloc")]
pub use image::NvsImage;
pub use keys::NvsKeys;
#[cfg(feature = "alloc")]
pub use partition::read_partition;
#[cfg(feature = "alloc")]
pub use value::Value;
