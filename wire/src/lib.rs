//! What a Cotter device and its server say to each other: `no_std`, no allocator, one spelling per message.
//!
//! | file | noun |
//! |---|---|
//! | `ids` | device ids, epochs, nonces, release and key ids |
//! | `version` | firmware versions, compared as numbers |
//! | `hex` | lower-case hexadecimal |
//! | `keys` | keys typed by use, derived from one root key per device |
//! | `canonical` | JSON with exactly one spelling |
//! | `link` | the serial line between an ESP-AT module and its host |
//! | `codec` | bounded compression |
//! | `reading` | what a device measured |
//! | `packet` | a reading on its way (v1): encrypted, then authenticated |
//! | `compact` | a reading on its way (v2): `COSE_Encrypt0` |
//! | `cbor` | CBOR with exactly one spelling |
//! | `answer` | what the server says to a packet |
//! | `status` | how an update ended |
//! | `command` | what one device shall do, and what came of it |
//! | `session` | what proves a request, and the time |
//! | `recovery` | a new key epoch for a device that lost its nonce counter |
//! | `rotation` | a new root key for a device |
//! | `manifest` | what a release is, signed |
//! | `token` | what a device shows to the MQTT bridge: JSON Web Tokens |
//! | `cloud` | what it shows to AWS IoT and Azure IoT |
//! | `trust` | whose manifests count, changed by those whose manifests count |
//! | `firmware_key` | public keys that manifests are verified with |
//! | `content` | the encrypted image, its chunks, its wrapped key |
//! | `enrolment` | what the factory tells the server, once |
//! | `ecowatt` | what EcoWatt devices send: uploads, and the four compressed blobs in them |
//! | `registers` | the register map that every application image carries |
//! | `api` | the HTTP paths |

#![no_std]
#[cfg(feature = "alloc")]
extern crate alloc;

pub mod answer;
pub mod api;
pub mod canonical;
pub mod cbor;
pub mod cloud;
pub mod codec;
pub mod command;
pub mod compact;
pub mod content;
pub mod ecowatt;
pub mod enrolment;
pub mod firmware_key;
pub mod hex;
pub mod ids;
pub mod keys;
pub mod link;
pub mod manifest;
pub mod packet;
pub mod reading;
pub mod recovery;
pub mod registers;
pub mod rotation;
pub mod session;
pub mod status;
pub mod token;
pub mod trust;
pub mod version;
