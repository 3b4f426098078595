//! `cotter image sign` as a person types it.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use std::path::Path;

/// Runs in the folder of golden vectors; returns exit code, stdout and stderr. `OUT/` stands for the folder.
fn cotter(folder: &Path, arguments: &str) -> (i32, Vec<u8>, String) {
    let arguments = arguments.replace("OUT", folder.to_str().unwrap());
    let mut command = Command::cargo_bin("cotter").unwrap();
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors"));
    let output = command.arg("image").args(arguments.split_whitespace()).output().unwrap();
    (output.status.code().unwrap(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

const BOOTLOADER: &str = "image/esp32c3-bootloader.bin";

#[test]
fn what_is_signed_verifies_block_by_block() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (chip, key, flag) in [
        ("esp32c3", "rsa3072_a", ""),
        ("esp32c6", "ecdsa_p256", ""),
        ("esp32c2", "ecdsa_p256", ""),
        ("esp32c2", "ecdsa_p192", ""),
        ("esp32c5", "ecdsa_p384", "--allow-insecure-ecdsa"),
    ] {
        let sign = format!("sign --chip {chip} {flag} --key keys/{key}.pem -o OUT/{chip} {BOOTLOADER}");
        assert_eq!(cotter(at, &sign).0, 0, "{sign}");
        let verify = format!("verify --chip {chip} --digest sbv2/digest-{key}.bin OUT/{chip}");
        assert_eq!(cotter(at, &verify).0, 0, "{verify}");
    }
    let add = "sign --append --key keys/rsa3072_b.pem --key keys/rsa3072_a.pem -o OUT/three OUT/esp32c3";
    assert_eq!(cotter(at, add).0, 0);
    let (code, text, _) = cotter(at, "verify --key keys/rsa3072_b.pem OUT/three");
    assert!(code == 0 && String::from_utf8(text).unwrap().contains("accepted: block 1"));
    let (code, _, error) = cotter(at, "sign --append --key keys/rsa3072_b.pem -o OUT/four OUT/three");
    assert!(code == 1 && error.contains("three are present"), "{error}");
}

#[test]
fn a_precalculated_signature_makes_the_same_bytes_as_espsecure() {
    let folder = tempfile::tempdir().unwrap();
    let sign = "sign --chip esp32c6 --signature sbv2/precalc-p256.sig --public-key sbv2/pub-ecdsa_p256.pem -o -";
    let (code, signed, error) = cotter(folder.path(), &format!("{sign} sbv2/bootloader-padded.bin"));
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/sbv2/signed-precalc-p256.bin");
    assert!(code == 0 && signed == std::fs::read(golden).unwrap(), "{error}");
    let (code, out, error) = cotter(folder.path(), &format!("{sign} image/esp32c3.bin"));
    assert!(code == 1 && out.is_empty() && error.contains("the signature does not verify"), "{error}");
}

#[test]
fn refuses_by_name_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, refusal) in [
        (format!("--key keys/ecdsa_p256.pem {BOOTLOADER}"), "the esp32c3 does not verify ECDSA P-256"),
        (format!("--chip esp32p4 --key keys/ecdsa_p256.pem {BOOTLOADER}"), "insecure"),
        (format!("--key keys/rsa2048_dev.pem {BOOTLOADER}"), "RSA-2048 is no Secure Boot V2 key"),
        (format!("--chip esp32s2 --key keys/ecdsa_p192.pem {BOOTLOADER}"), "the esp32s2 does not verify ECDSA P-192"),
        (format!("--pkcs11 pkcs11:token=a?pin-value=1 {BOOTLOADER}"), "a PIN does not belong in a URI"),
        (format!("--pkcs11 pkcs11:tokn=a {BOOTLOADER}"), "the attribute at 7 is unknown"),
        (format!("--pkcs11 pkcs11:token=a {BOOTLOADER}"), "the PKCS#11 library of the token is not named"),
        (format!("--pkcs11 pkcs11: --pkcs11-module /no/such.so {BOOTLOADER}"), "cannot load /no/such.so"),
        ("--key keys/rsa3072_a.pem sbv2/signed-rsa3072_a.bin".into(), "is signed already"),
        (format!("--append --key keys/rsa3072_a.pem {BOOTLOADER}"), "cannot add a signature"),
        ("--chip esp32c6 --append --key keys/ecdsa_p256.pem sbv2/signed-rsa3072_a.bin".into(), "mixed schemes"),
        ("--chip esp32 --append --key keys/rsa3072_b.pem sbv2/signed-rsa3072_a.bin".into(), "reads 1 signature block"),
        ("--key keys/rsa3072_b.pem vectors-do-not-have-this".into(), "cannot read"),
        ("--key keys/rsa3072_b.pem nvs/basic.csv".into(), "name the chip with --chip"),
    ] {
        let (code, _, error) = cotter(folder.path(), &format!("sign -o OUT/out {arguments}"));
        assert!(code == 1 && error.contains(refusal), "{arguments}: {error}");
        assert!(!folder.path().join("out").exists());
    }
}
