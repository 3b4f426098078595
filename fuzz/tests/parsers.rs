//! Every public parser of formats, wire, device, factory and server has a fuzz body, or a reason to have none.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test panics where it fails")]

use cotter_fuzz::BODIES;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Who reads outside bytes, and the bodies that feed them.
const PARSERS: &[(&str, Fed)] = &[
    ("device/src/atecc/command/key.rs", Body("element_driver")),
    ("device/src/atecc/identify.rs", Body("element_driver")),
    ("device/src/label.rs", Body("image_label")),
    ("device/src/slots.rs", Not("it reads a slot and looks at nothing")),
    ("factory/src/certificate.rs", Body("certificate")),
    ("factory/src/device_key.rs", Body("device_key")),
    ("factory/src/efuse/plan.rs", Body("efuse_plan")),
    ("factory/src/element/plan.rs", Body("element_plan")),
    ("factory/src/element/template.rs", Body("element_plan")),
    ("factory/src/encrypted_image.rs", Body("encrypted_image")),
    ("factory/src/nvs/batch.rs", Body("nvs_csv")),
    ("factory/src/nvs/encoding.rs", Body("nvs_csv")),
    ("factory/src/nvs/keys.rs", Not("a length is all that is asked")),
    ("factory/src/pki/alternative.rs", Body("names")),
    ("factory/src/pki/certificate.rs", Body("certificate")),
    ("factory/src/pki/name.rs", Body("names")),
    ("factory/src/pki/request.rs", Body("certificate")),
    ("factory/src/policy.rs", Body("product_policy")),
    ("factory/src/private_key.rs", Body("key_file")),
    ("factory/src/public_key.rs", Body("key_file")),
    ("factory/src/secure_cert/open.rs", Body("secure_cert")),
    ("factory/src/secure_cert/table.rs", Body("secure_cert_csv")),
    ("factory/src/token/uri.rs", Body("pkcs11_uri")),
    ("formats/src/atecc/certificate.rs", Body("element_certificate")),
    ("formats/src/atecc/counter.rs", Body("atecc_commands")),
    ("formats/src/atecc/packet.rs", Body("atecc_commands")),
    ("formats/src/chip.rs", Body("names")),
    ("formats/src/crt_bundle.rs", Body("crt_bundle")),
    ("formats/src/ds.rs", Body("ds_data")),
    ("formats/src/ds/record.rs", Body("ds_data")),
    ("formats/src/efuse/dump.rs", Body("efuse_dump")),
    ("formats/src/efuse/field.rs", Body("efuse_virtual_file")),
    ("formats/src/efuse/image.rs", Body("efuse_virtual_file")),
    ("formats/src/efuse/lint/rule.rs", Body("names")),
    ("formats/src/efuse/token.rs", Body("efuse_dump")),
    ("formats/src/encrypted_image.rs", Body("encrypted_image")),
    ("formats/src/encrypted_image/content.rs", Body("encrypted_image")),
    ("formats/src/flash_encryption/esp32.rs", Body("flash_key")),
    ("formats/src/flash_encryption/key.rs", Body("flash_key")),
    ("formats/src/flash_encryption/xts.rs", Body("flash_key")),
    ("formats/src/hmac_key.rs", Not("a length is all that is asked")),
    ("formats/src/image/elf.rs", Body("elf")),
    ("formats/src/image/parse.rs", Body("image")),
    ("formats/src/nvs/crypt.rs", Body("nvs_page")),
    ("formats/src/nvs/entry.rs", Body("nvs_page")),
    ("formats/src/nvs/keys.rs", Body("nvs_page")),
    ("formats/src/nvs/page.rs", Body("nvs_page")),
    ("formats/src/nvs/partition.rs", Body("nvs_page")),
    ("formats/src/nvs/whole.rs", Body("nvs_page")),
    ("formats/src/otadata.rs", Body("otadata")),
    ("formats/src/partition.rs", Body("partition_table")),
    ("formats/src/partition/csv.rs", Body("partition_csv")),
    ("formats/src/partition/names.rs", Body("partition_csv")),
    ("formats/src/partition/rows.rs", Body("flash_layout")),
    ("formats/src/secret.rs", Not("a length is all that is asked")),
    ("formats/src/secure_boot/v1/bootloader.rs", Body("secure_boot_v1")),
    ("formats/src/secure_boot/v1/signature.rs", Body("secure_boot_v1")),
    ("formats/src/secure_boot/v2.rs", Body("signature_block")),
    ("formats/src/secure_boot/v2/ecdsa.rs", Body("signature_block")),
    ("formats/src/secure_boot/v2/public_key.rs", Body("signature_block")),
    ("formats/src/secure_cert/cust_flash.rs", Body("secure_cert")),
    ("formats/src/secure_cert/entry.rs", Body("secure_cert_csv")),
    ("formats/src/secure_cert/finding.rs", Body("secure_cert")),
    ("formats/src/secure_cert/signature.rs", Body("secure_cert")),
    ("formats/src/secure_debug.rs", Body("debug_certificate")),
    ("server/src/administrator.rs", Body("names")),
    ("server/src/at_rest.rs", Not("what it opens it has sealed: nothing is read before the tag holds")),
    ("server/src/audit/checkpoint.rs", Body("audit_log")),
    ("server/src/audit/line.rs", Body("audit_log")),
    ("server/src/audit/note.rs", Body("audit_log")),
    ("server/src/audit/tree.rs", Not("a number of hashes is all that is asked")),
    ("server/src/backup/container.rs", Body("backup")),
    ("server/src/backup/custodian.rs", Body("backup")),
    ("server/src/config.rs", Not("the operator's own file, read by a library")),
    ("server/src/device_key.rs", Body("device_token")),
    ("server/src/ecowatt/inner.rs", Body("ecowatt_upload")),
    ("server/src/ecowatt/name.rs", Body("names")),
    ("server/src/ecowatt/values.rs", Body("ecowatt_upload")),
    ("server/src/firmware/upload.rs", Body("manifest")),
    ("server/src/keyring.rs", Not("what it opens it has sealed: nothing is read before the tag holds")),
    ("server/src/mqtt/client_id.rs", Body("mqtt_session")),
    ("server/src/mqtt/topic.rs", Body("mqtt_session")),
    ("server/src/rollout.rs", Body("rollout")),
    ("server/src/rollout/decision.rs", Not("one of a few words, or none")),
    ("server/src/rollout/plan.rs", Body("rollout")),
    ("server/src/rollout/tag.rs", Body("rollout")),
    ("server/src/rotation.rs", Body("rotation")),
    ("server/src/store/rollouts.rs", Not("one of a few words, or none")),
    ("server/src/trust/operation.rs", Not("one of a few words, or none")),
    ("wire/src/answer.rs", Body("answer")),
    ("wire/src/canonical/scanner.rs", Body("answer")),
    ("wire/src/cloud/azure.rs", Body("names")),
    ("wire/src/codec.rs", Body("reading")),
    ("wire/src/command.rs", Body("command")),
    ("wire/src/command/content.rs", Body("command")),
    ("wire/src/command/result.rs", Body("command")),
    ("wire/src/compact.rs", Body("compact")),
    ("wire/src/content.rs", Body("manifest")),
    ("wire/src/ecowatt.rs", Body("ecowatt_blob")),
    ("wire/src/ecowatt/temporal.rs", Body("ecowatt_blob")),
    ("wire/src/ecowatt/upload.rs", Body("ecowatt_upload")),
    ("wire/src/enrolment.rs", Body("enrolment")),
    ("wire/src/firmware_key.rs", Body("manifest")),
    ("wire/src/hex.rs", Body("names")),
    ("wire/src/ids.rs", Body("names")),
    ("wire/src/link/compat.rs", Not("one of a few words, or none")),
    ("wire/src/link/handshake.rs", Body("link_handshake")),
    ("wire/src/link/session.rs", Body("link_frame")),
    ("wire/src/link/suite.rs", Body("link_frame")),
    ("wire/src/manifest.rs", Body("manifest")),
    ("wire/src/manifest/envelope.rs", Body("manifest")),
    ("wire/src/packet.rs", Body("packet")),
    ("wire/src/reading.rs", Body("reading")),
    ("wire/src/recovery.rs", Body("recovery")),
    ("wire/src/registers.rs", Body("register_map")),
    ("wire/src/rotation.rs", Body("rotation")),
    ("wire/src/session/server.rs", Body("session")),
    ("wire/src/status.rs", Body("answer")),
    ("wire/src/token/unverified.rs", Body("device_token")),
    ("wire/src/trust.rs", Body("trust")),
    ("wire/src/version.rs", Body("names")),
];

/// What feeds a parser.
enum Fed {
    Body(&'static str),
    /// Nothing does, because.
    Not(&'static str),
}
use Fed::{Body, Not};

/// How parsers are named here.
const NAMES: [&str; 13] = [
    "parse",
    "from_",
    "read",
    "open",
    "decode",
    "decompress",
    "decrypt",
    "inspect",
    "recognise",
    "scan",
    "locate",
    "numbers",
    "without_padding",
];

#[test]
fn every_public_parser_has_a_body() {
    let table: BTreeMap<&str, &Fed> = PARSERS.iter().map(|(file, fed)| (*file, fed)).collect();
    assert!(PARSERS.is_sorted_by_key(|(file, _)| *file) && table.len() == PARSERS.len());
    let (mut found, mut functions, mut missing) = (Vec::new(), 0, Vec::new());
    for krate in ["device", "factory", "formats", "server", "wire"] {
        for file in sources(&root().join(krate).join("src")) {
            let parsers = parsers(&std::fs::read_to_string(&file).unwrap());
            let name = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            functions += parsers.len();
            if !parsers.is_empty() && !table.contains_key(&*name) {
                missing.push(format!("{name}: {}", parsers.join(", ")));
            }
            if !parsers.is_empty() {
                found.push(name);
            }
        }
    }
    assert!(missing.is_empty(), "no fuzz body for\n{}", missing.join("\n"));
    let stale: Vec<&&str> = table.keys().filter(|file| !found.iter().any(|found| found == *file)).collect();
    assert!(stale.is_empty(), "no parser there any more: {stale:?}");
    for (file, fed) in PARSERS {
        match fed {
            Body(name) => assert!(BODIES.iter().any(|(body, _)| body == name), "{file}: no body {name}"),
            Not(reason) => println!("{file}: not fuzzed, {reason}"),
        }
    }
    println!("{functions} parsers in {} files", found.len());
}

/// Public functions that take bytes or text from outside, and the types that are read from text.
fn parsers(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap();
    let from_text = source.match_indices("impl FromStr for ").map(|(at, head)| word(&source[at + head.len()..]));
    let functions = source.match_indices("fn ").filter_map(|(at, _)| {
        let before = source[..at].rsplit('\n').next().unwrap().trim();
        let (name, rest) = (word(&source[at + 3..]), &source[at + 3..]);
        let arguments = rest.split(['{', ';']).next().unwrap().split("->").next().unwrap();
        let outside = ["[u8", "str,", "str)", "VirtualFile"].iter().any(|kind| arguments.contains(kind));
        let named = NAMES.iter().any(|prefix| name.starts_with(prefix));
        (matches!(before, "pub" | "pub const") && outside && named).then_some(name)
    });
    from_text.chain(functions).collect()
}

fn word(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// The Rust files of a folder but tests, in order.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && !name.starts_with("test_") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}
