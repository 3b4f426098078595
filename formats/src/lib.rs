//! The bytes that ESP32-class silicon reads, and nothing else: `no_std`, pure, somebody else's specification.
//!
//! | file | noun |
//! |---|---|
//! | `read` | the reader for untrusted bytes |
//! | `secret` | bytes that must not leak |
//! | `addr` | flash addresses and lengths |
//! | `atecc` | secure elements beside the chip: packets and memory layout |
//! | `crc` | CRC-A and CRC-B |
//! | `chip` | chip constants |
//! | `crt_bundle` | trusted roots for TLS, sorted for a search in flash |
//! | `flash_encryption` | ciphertext that the silicon reads |
//! | `image` | application and boot images |
//! | `partition` | the partition table |
//! | `otadata` | which slot boots |
//! | `ds` | parameters of the digital signature peripheral |
//! | `efuse` | fields, blocks, coding and register image of eFuses |
//! | `encrypted_image` | images that a device decrypts while it downloads them |
//! | `hmac_key` | the key of the HMAC peripheral and what follows from it |
//! | `nvs` | non-volatile storage: pages, entries, encryption, whole partitions |
//! | `rsa_pss` | RSASSA-PSS verification without an allocator |
//! | `secure_cert` | the `esp_secure_cert` partition |
//! | `secure_boot` | signatures that the silicon checks |
//! | `secure_debug` | certificates that let one chip be debugged |

#![no_std]
#[cfg(feature = "alloc")]
extern crate alloc;

pub mod addr;
pub mod atecc;
pub mod chip;
pub mod crc;
pub mod crt_bundle;
pub mod ds;
pub mod efuse;
pub mod encrypted_image;
pub mod flash_encryption;
pub mod hmac_key;
pub mod image;
pub mod nvs;
pub mod otadata;
pub mod partition;
pub mod read;
pub mod rsa_pss;
pub mod secret;
pub mod secure_boot;
pub mod secure_cert;
pub mod secure_debug;
