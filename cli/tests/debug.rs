//! `cotter debug` as a person types it.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Runs in the folder of golden vectors; returns exit code, stdout and stderr. `OUT/` stands for the folder.
fn cotter(folder: &Path, arguments: &str) -> (i32, String, String) {
    let arguments = arguments.replace("OUT", folder.to_str().unwrap());
    let mut command = Command::cargo_bin("cotter").unwrap();
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors"));
    let output = command.args(arguments.split_whitespace()).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

const CHIP: &str = "--mac 30:ed:a0:ed:78:9c --session-counter 1";

#[test]
fn espressifs_certificate_is_shown_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let show = format!("--json debug show {CHIP} --digest sdc/digest.bin sdc/sdc_cert.bin");
    let (code, text, error) = cotter(folder.path(), &show);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &report["signature_valid"], &report["key_trusted"]), (0, &true.into(), &true.into()), "{error}");
    assert_eq!(report["unlocks"], serde_json::json!(["enable_jtag"]));
    for (options, refusal) in [
        ("--mac 30:ed:a0:ed:78:9c", "not signed for this chip and session"),
        ("--mac 30:ed:a0:ed:78:9d --session-counter 1", "not signed for this chip and session"),
        ("--key keys/ecdsa_p256_other.pem", "cannot read"),
    ] {
        let (code, text, error) = cotter(folder.path(), &format!("debug show {options} sdc/sdc_cert.bin"));
        assert!(code == 1 && (text + &error).contains(refusal), "{options}");
    }
}

#[test]
fn a_certificate_is_made_for_its_owner_only_and_holds() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let usc = r#"{"version":1,"groups":[{"group":"config_flags","entries":[{"key":"enable_jtag","value":false},
        {"key":"enable_download_reuse","value":true}]},{"group":"pma_config"}]}"#;
    std::fs::write(at.join("usc.json"), usc).unwrap();
    let make = format!("debug certificate --key keys/ecdsa_p256.pem {CHIP} --enable-jtag --enable-force-spi-boot");
    let (code, text, error) = cotter(at, &format!("{make} --usc OUT/usc.json -o OUT/cert"));
    assert!(code == 0 && text.contains("unlocks enable_download_reuse, enable_force_spi_boot"), "{text}{error}");
    assert!(error.contains("group \"pma_config\" is not known and ignored"), "{error}");
    assert_eq!(std::fs::metadata(at.join("cert")).unwrap().permissions().mode() & 0o777, 0o600);
    let (code, text, error) = cotter(at, &format!("debug show {CHIP} --key sbv2/pub-ecdsa_p256.pem OUT/cert"));
    assert!(code == 0 && text.contains("the signature holds for this chip and session"), "{text}{error}");
    let (code, text, _) = cotter(at, "debug digest keys/ecdsa_p256.pem");
    let digest = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/sdc/digest.bin")).unwrap();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((code, text.trim()), (0, hex.as_str()));
}

#[test]
fn what_the_rom_answered_names_the_chip_too() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("info"), [0x5A; 64]).unwrap();
    let make = "debug certificate --key keys/ecdsa_p256.pem --chip-info OUT/info --enable-jtag -o OUT/cert";
    assert_eq!(cotter(folder.path(), make).0, 0);
    let (code, text, _) = cotter(folder.path(), "debug show --chip-info OUT/info OUT/cert");
    assert!(code == 0 && text.contains("the signature holds"), "{text}");
    let (code, text, _) = cotter(folder.path(), "debug show --chip-info OUT/info sdc/sdc_cert.bin");
    assert!(code == 1 && text.contains("its nonce is not that of the chip information"), "{text}");
}

#[test]
fn refuses_by_name_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("info"), [0x5A; 63]).unwrap();
    for (arguments, code, refusal) in [
        ("--key keys/ecdsa_p384.pem --mac 30eda0ed789c", 1, "ECDSA P-256, not with ECDSA P-384"),
        ("--key keys/rsa3072_a.pem --mac 30eda0ed789c", 1, "not with RSA-3072"),
        ("--key keys/ecdsa_p256.pem --chip-info OUT/info", 1, "truncated at offset 0x20"),
        ("--key keys/ecdsa_p256.pem --mac 30eda0ed789c --usc nvs/basic.csv", 1, "not JSON"),
        ("--key keys/ecdsa_p256.pem", 2, "--mac"),
        ("--key keys/ecdsa_p256.pem --mac 30eda0ed789c --session-counter 2", 2, "expected 0, 1, 3 or 7"),
        ("--key keys/ecdsa_p256.pem --mac 30eda0ed78", 2, "expected six bytes"),
    ] {
        let (got, _, error) = cotter(folder.path(), &format!("debug certificate {arguments} -o OUT/cert"));
        assert!(got == code && error.contains(refusal), "{arguments}: {error}");
        assert!(!folder.path().join("cert").exists());
    }
}
