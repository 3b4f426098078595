//! Fuzz bodies: one function per parser of untrusted bytes. A body panics when the parser breaks a promise: it must not
//! panic itself, and what it accepts must encode to the bytes that were parsed.
//!
//! | body | parser |
//! |---|---|
//! | `answer` | wire `answer` and `status` |
//! | `at_command` | twin `at::grammar`, and the module that hears it |
//! | `at_script` | twin `at::script` |
//! | `atecc_commands` | formats `atecc::packet`, chip `atecc`: every command, in every lock state |
//! | `rollout` | server `rollout`: plans, tags, numbers |
//! | `audit_log` | server `audit`: keys, checkpoints, proofs, lines, a whole log |
//! | `backup` | server `backup`: headers and custodians' shares |
//! | `certificate` | factory `pki`: certificates, requests, names, chains |
//! | `compact` | wire `compact` and `cbor`, opened with the right keys; the compact form of `reading` |
//! | `command` | wire `command`, opened with the right keys |
//! | `crt_bundle` | formats `crt_bundle` |
//! | `debug_certificate` | formats `secure_debug` |
//! | `device_key` | factory `device_key` |
//! | `device_token` | wire `token`; server `device_key` |
//! | `ds_data` | formats `ds` |
//! | `ecowatt_blob` | wire `ecowatt`: blobs of one device in a row, and its history |
//! | `ecowatt_upload` | wire `ecowatt::upload`, server `ecowatt::{inner, values}` |
//! | `efuse_dump` | formats `efuse::{token, dump}` |
//! | `efuse_plan` | factory `efuse::plan`, judged and printed as commands |
//! | `efuse_virtual_file` | formats `efuse::EfuseImage`, and `efuse::{lint, reach}` behind it |
//! | `element_bus` | chip `atecc::bus` and the part's file |
//! | `element_certificate` | formats `atecc::certificate` |
//! | `element_driver` | device `atecc`: what a secure element, or somebody in its place, answers |
//! | `element_kit` | chip `atecc::kit` |
//! | `element_plan` | factory `element::{template, plan}` |
//! | `elf` | formats `image::elf`, and the builder of images behind it |
//! | `encrypted_image` | formats and factory `encrypted_image`, opened with the right key |
//! | `enrolment` | wire `enrolment` |
//! | `flash_key` | formats `flash_encryption::key` |
//! | `flash_layout` | formats `flash_encryption::{places, extents}`, `partition::rows` |
//! | `image` | formats `image`: header, segments, descriptors |
//! | `image_label` | device `label` |
//! | `key_file` | factory `private_key` and `public_key` |
//! | `link_frame` | wire `link`: `delimiter`, `session`; device `link::end` with a live session |
//! | `link_handshake` | wire `link::handshake`, both ends |
//! | `link_noise` | wire `link::noise`, both ends of both patterns |
//! | `manifest` | wire `manifest`, `firmware_key`, chunk arithmetic of `content`; server `firmware::upload` |
//! | `mqtt_session` | server `mqtt`: session, client id, topics |
//! | `names` | wire `ids`, `version` and `cloud`, NVS keys, factory `pki::{name, alternative}`, server `administrator` as text |
//! | `nvs_csv` | formats `nvs::csv`, factory `nvs::{table, batch}` |
//! | `nvs_page` | formats `nvs::{page, entry, partition, keys}` |
//! | `nvs_store` | device `nvs`: mount, repair, set |
//! | `otadata` | formats `otadata` |
//! | `packet` | wire `packet`, opened with the right keys |
//! | `partition_csv` | formats `partition::csv`, and `partition::finding` behind it |
//! | `partition_table` | formats `partition` |
//! | `pkcs11_uri` | factory `token::uri` |
//! | `reading` | wire `reading` and `codec` |
//! | `recovery` | wire `recovery`, both ends |
//! | `rotation` | wire `rotation`, both ends; server `rotation` as text |
//! | `product_policy` | factory `policy`, as far as a folder without files goes |
//! | `register_map` | wire `registers`, the custom descriptor of an application image |
//! | `secure_boot_v1` | formats `secure_boot::v1` |
//! | `secure_cert` | formats and factory `secure_cert`, the legacy format too |
//! | `secure_cert_csv` | factory `secure_cert::table` |
//! | `serial_loader` | chip `loader` and `uart`: frames, commands, registers, streams |
//! | `session` | wire `session`, both ends |
//! | `trust` | wire `trust`: statements, their bodies, their keys |
//! | `signature_block` | formats `secure_boot::v2` |
//!
//! `tests/parsers.rs` finds every public parser in the sources and holds it against these.
//!
//! Checksums keep blind mutations out of a parser, so most bodies try the input twice: as it is, and with the checksum
//! mended. The seeds in `corpus/` run in `cargo test`, cut at every length and with every bit flipped; libFuzzer runs the
//! same bodies with `cargo xtask fuzz TARGET`.

mod answer;
mod at_command;
mod at_script;
mod atecc_commands;
mod audit_log;
mod backup;
mod certificate;
mod command;
mod compact;
mod crt_bundle;
mod debug_certificate;
mod device_key;
mod device_token;
mod ds_data;
mod ecowatt_blob;
mod ecowatt_upload;
mod efuse_dump;
mod efuse_plan;
mod efuse_virtual_file;
mod element_bus;
mod element_certificate;
mod element_driver;
mod element_kit;
mod element_plan;
mod elf;
mod encrypted_image;
mod enrolment;
mod flash_key;
mod flash_layout;
mod image;
mod image_label;
mod key_file;
mod link_frame;
mod link_handshake;
mod link_noise;
mod manifest;
mod mqtt_session;
mod names;
mod nvs_csv;
mod nvs_page;
mod nvs_store;
mod otadata;
mod packet;
mod partition_csv;
mod partition_table;
mod pkcs11_uri;
mod product_policy;
mod reading;
mod recovery;
mod register_map;
mod rollout;
mod rotation;
mod secure_boot_v1;
mod secure_cert;
mod secure_cert_csv;
mod serial_loader;
mod session;
mod signature_block;
mod trust;

pub use answer::answer;
pub use at_command::at_command;
pub use at_script::at_script;
pub use atecc_commands::atecc_commands;
pub use audit_log::audit_log;
pub use backup::backup;
pub use certificate::certificate;
pub use command::command;
pub use compact::compact;
pub use crt_bundle::crt_bundle;
pub use debug_certificate::debug_certificate;
pub use device_key::device_key;
pub use device_token::device_token;
pub use ds_data::ds_data;
pub use ecowatt_blob::ecowatt_blob;
pub use ecowatt_upload::ecowatt_upload;
pub use efuse_dump::efuse_dump;
pub use efuse_plan::efuse_plan;
pub use efuse_virtual_file::efuse_virtual_file;
pub use element_bus::element_bus;
pub use element_certificate::element_certificate;
pub use element_driver::element_driver;
pub use element_kit::element_kit;
pub use element_plan::element_plan;
pub use elf::elf;
pub use encrypted_image::encrypted_image;
pub use enrolment::enrolment;
pub use flash_key::flash_key;
pub use flash_layout::flash_layout;
pub use image::image;
pub use image_label::image_label;
pub use key_file::key_file;
pub use link_frame::link_frame;
pub use link_handshake::link_handshake;
pub use link_noise::link_noise;
pub use manifest::manifest;
pub use mqtt_session::mqtt_session;
pub use names::names;
pub use nvs_csv::nvs_csv;
pub use nvs_page::nvs_page;
pub use nvs_store::nvs_store;
pub use otadata::otadata;
pub use packet::packet;
pub use partition_csv::partition_csv;
pub use partition_table::partition_table;
pub use pkcs11_uri::pkcs11_uri;
pub use product_policy::product_policy;
pub use reading::reading;
pub use recovery::recovery;
pub use register_map::register_map;
pub use rollout::rollout;
pub use rotation::rotation;
pub use secure_boot_v1::secure_boot_v1;
pub use secure_cert::secure_cert;
pub use secure_cert_csv::secure_cert_csv;
pub use serial_loader::serial_loader;
pub use session::session;
pub use signature_block::signature_block;
pub use trust::trust;

/// A fuzz body.
pub type Body = fn(&[u8]);

/// Every body under the name of its corpus folder and of its libFuzzer target.
pub const BODIES: &[(&str, Body)] = &[
    ("answer", answer),
    ("at_command", at_command),
    ("at_script", at_script),
    ("atecc_commands", atecc_commands),
    ("audit_log", audit_log),
    ("backup", backup),
    ("certificate", certificate),
    ("compact", compact),
    ("command", command),
    ("crt_bundle", crt_bundle),
    ("debug_certificate", debug_certificate),
    ("device_key", device_key),
    ("device_token", device_token),
    ("ds_data", ds_data),
    ("ecowatt_blob", ecowatt_blob),
    ("ecowatt_upload", ecowatt_upload),
    ("efuse_dump", efuse_dump),
    ("efuse_plan", efuse_plan),
    ("efuse_virtual_file", efuse_virtual_file),
    ("element_bus", element_bus),
    ("element_certificate", element_certificate),
    ("element_driver", element_driver),
    ("element_kit", element_kit),
    ("element_plan", element_plan),
    ("elf", elf),
    ("encrypted_image", encrypted_image),
    ("enrolment", enrolment),
    ("flash_key", flash_key),
    ("flash_layout", flash_layout),
    ("image", image),
    ("image_label", image_label),
    ("key_file", key_file),
    ("link_frame", link_frame),
    ("link_handshake", link_handshake),
    ("link_noise", link_noise),
    ("manifest", manifest),
    ("mqtt_session", mqtt_session),
    ("names", names),
    ("nvs_csv", nvs_csv),
    ("nvs_page", nvs_page),
    ("nvs_store", nvs_store),
    ("otadata", otadata),
    ("packet", packet),
    ("partition_csv", partition_csv),
    ("partition_table", partition_table),
    ("pkcs11_uri", pkcs11_uri),
    ("reading", reading),
    ("product_policy", product_policy),
    ("rollout", rollout),
    ("recovery", recovery),
    ("rotation", rotation),
    ("register_map", register_map),
    ("secure_boot_v1", secure_boot_v1),
    ("secure_cert", secure_cert),
    ("secure_cert_csv", secure_cert_csv),
    ("serial_loader", serial_loader),
    ("session", session),
    ("trust", trust),
    ("signature_block", signature_block),
];
