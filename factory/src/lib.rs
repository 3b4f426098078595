//! The factory: makes keys and certificates, plans a birth, rehearses it, burns it.
//!
//! | file | noun |
//! |---|---|
//! | `batch` | many devices at once: keys, certificates, partitions |
//! | `certificate` | certificates as a device carries them |
//! | `cloud` | credentials for AWS IoT and Azure IoT |
//! | `device_key` | a device's private key with its numbers laid open |
//! | `ds` | parameters of the digital signature peripheral, made and tried |
//! | `secure_cert` | `esp_secure_cert` partitions: packed, and their secrets opened |
//! | `nvs` | NVS partitions from CSV files, one or many |
//! | `output` | files written whole, secrets at 0600 |
//! | `public_key` | public keys in PEM and DER, and their Secure Boot digests |
//! | `private_key` | private keys in PEM, and the blocks that they sign |
//! | `encrypted_image` | images that a device decrypts while it downloads them |
//! | `debug_certificate` | certificates that let one device be debugged once |
//! | `trust` | statements about who signs firmware from now on |
//! | `token` | private keys on a PKCS#11 token |
//! | `signing` | private keys that sign images and manifests |
//! | `pki` | certificate authorities, certificates, requests, chains |
//! | `identity` | what one device gets that no other has |
//! | `release` | a signed image, its manifest, its content key |
//! | `efuse` | which eFuses a product burns, on any chip |
//! | `element` | what a secure element's configuration makes of its slots, and what in it is wrong for a product |
//! | `policy` | a product's policy file, and the birth that follows from it |
//! | `layout` | what lies where in flash, encrypted for its place |
//! | `plan` | a birth as steps, each with its meaning |
//! | `second_stage` | what a product's second stage was compiled with: a file, or `sdkconfig` |
//! | `rehearse` | the plan on a fresh virtual chip, which is then attacked |
//! | `burn` | the plan on a real workpiece |
//! | `workpiece` | what a plan is applied to |
//! | `journal` | what was done, on disk before and after |
//! | `hex` | hexadecimal digits in files |

pub mod batch;
pub mod burn;
pub mod certificate;
pub mod cloud;
pub mod debug_certificate;
pub mod device_key;
pub mod ds;
pub mod efuse;
pub mod element;
pub mod encrypted_image;
mod hex;
pub mod identity;
pub mod journal;
pub mod layout;
pub mod nvs;
pub mod output;
pub mod pki;
pub mod plan;
pub mod policy;
pub mod private_key;
pub mod public_key;
pub mod rehearse;
pub mod release;
pub mod second_stage;
pub mod secure_cert;
pub mod signing;
pub mod token;
pub mod trust;
pub mod workpiece;
