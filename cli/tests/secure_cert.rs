//! `cotter cert pack` and `cotter cert show` as a person types them.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Runs in the folder of golden vectors; returns exit code, stdout and stderr.
fn cotter(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("cotter").unwrap();
    let output = command
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors"))
        .arg("cert")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors").join(name)).unwrap()
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Packs with the golden certificates; the partition is `out.bin`.
    fn pack(&self, chip: &str, device_cert: &str, extra: &[&str]) -> (i32, String, String) {
        let (out, certificate) = (self.at("out.bin"), format!("keys/{device_cert}"));
        let mut arguments = vec!["pack", "--chip", chip, "--ca-cert", "keys/ca_cert.pem", "-o", &out];
        if !device_cert.is_empty() {
            arguments.extend(["--device-cert", &certificate]);
        }
        arguments.extend(extra);
        cotter(&arguments)
    }

    fn out(&self) -> Vec<u8> {
        std::fs::read(self.at("out.bin")).unwrap()
    }

    fn burned(&self, name: &str) -> PathBuf {
        self.folder.path().join("burn").join(name)
    }
}

#[test]
fn deterministic_modes_give_the_golden_files() {
    let bench = Bench::new();
    let (code, text, error) = bench.pack("esp32c3", "dev_cert_p256.pem", &["--key", "keys/ecdsa_p256_dev.pem"]);
    assert!(code == 0 && text.contains("4 entries, 0x580 of 0x2000 bytes, integrity"), "{text}{error}");
    assert!(bench.out() == golden("securecert/plain-p256.bin"));
    let hmac = ["--hmac-key", "keys/hmac_key.bin", "--key-block", "0"];
    let encrypted = [&["--mode", "hmac-encrypted", "--key", "keys/ecdsa_p256_dev.pem"][..], &hmac].concat();
    let (code, text, error) = bench.pack("esp32c3", "dev_cert_p256.pem", &encrypted);
    let burn = "espefuse --chip esp32c3 burn-key BLOCK_KEY0 keys/hmac_key.bin HMAC_UP";
    assert!(code == 0 && text.contains(burn), "{text}{error}");
    assert!(bench.out() == golden("securecert/derived-hmac-encrypted.bin"));
    let theirs = golden("securecert/derived-hmac-ecdsa.bin");
    std::fs::write(bench.at("salt"), &theirs[0x260 + 12..][..32]).unwrap();
    let (salt, public) = (bench.at("salt"), bench.at("public.pem"));
    let derived = [&["--mode", "hmac-derived", "--salt", &salt, "--public-key", &public][..], &hmac].concat();
    let (code, _, error) = bench.pack("esp32s3", "", &derived);
    assert_eq!(code, 0, "{error}");
    assert!(bench.out() == theirs);
    assert!(std::fs::read_to_string(public).unwrap().starts_with("-----BEGIN PUBLIC KEY-----"));
}

#[test]
fn a_protected_key_is_nowhere_but_in_the_file_to_burn() {
    let bench = Bench::new();
    let burn = bench.at("burn");
    let peripheral = ["--mode", "ecdsa-peripheral", "--key", "keys/ecdsa_p256_dev.pem", "--burn-keys", &burn];
    let (code, text, error) = bench.pack("esp32h2", "dev_cert_p256.pem", &peripheral);
    assert!(code == 0 && text.contains("burn-key BLOCK_KEY1 ") && text.contains(" ECDSA_KEY"), "{text}{error}");
    assert!(!bench.out().windows(11).any(|window| window == b"PRIVATE KEY"));
    let key = bench.burned("block_key1_ecdsa_key.pem");
    assert_eq!(std::fs::read(&key).unwrap(), golden("keys/ecdsa_p256_dev.pem"));
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);

    let ds = ["--mode", "ds", "--key", "keys/rsa2048_dev.pem", "--burn-keys", &burn, "--key-block", "2", "--fill"];
    let (code, _, error) = bench.pack("esp32c3", "dev_cert_rsa2048.pem", &ds);
    assert_eq!(code, 0, "{error}");
    assert_eq!(bench.out().len(), 0x2000);
    let key = bench.burned("block_key2_hmac_down_digital_signature.bin");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let (code, text, error) =
        cotter(&["show", "--chip", "esp32c3", "--hmac-key", key.to_str().unwrap(), &bench.at("out.bin")]);
    let says = "private key 0  digital signature peripheral, opened with the HMAC key, matches the certificate";
    assert!(code == 0 && text.contains(says) && text.contains("HMAC key in BLOCK_KEY2"), "{text}{error}");
    let (code, _, error) = bench.pack("esp32c3", "dev_cert_rsa2048.pem", &ds);
    assert!(code == 1 && error.contains("exists") && error.contains("--force"), "{error}");
    let (code, _, error) = bench.pack("esp32c3", "dev_cert_rsa2048.pem", &ds[..4]);
    assert!(code == 1 && error.contains("the key for BLOCK_KEY1 has nowhere to go") && error.contains("--burn-keys"));
}

#[test]
fn signed_partitions_are_trusted_by_key_or_digest_only() {
    let bench = Bench::new();
    let key = ["--key", "keys/ecdsa_p256_dev.pem"];
    let sign = ["--sign-key", "keys/rsa3072_a.pem", "--sign-key", "keys/rsa3072_b.pem"];
    let (code, text, error) = bench.pack("esp32c3", "dev_cert_p256.pem", &[&key[..], &sign].concat());
    assert!(code == 0 && text.contains("2 signatures, integrity"), "{text}{error}");
    let out = bench.at("out.bin");
    let (code, text, _) = cotter(&["show", "--trust", "keys/rsa3072_b.pem", &out]);
    assert!(code == 0 && text.contains("signature 1  RSA-3072") && text.contains("valid, trusted"), "{text}");
    let digest: String = golden("sbv2/digest-rsa3072_a.bin").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(cotter(&["show", "--trust-digest", &digest, &out]).0, 0);
    let (code, text, _) = cotter(&["show", "--trust", "keys/ecdsa_p256.pem", &out]);
    assert!(code == 1 && text.contains("BROKEN: signed by no trusted key"), "{text}");
    let (code, text, _) = cotter(&["show", "securecert/signed-rsa.bin"]);
    assert!(code == 1 && text.contains("the signature comes first and so covers nothing"), "{text}");
    assert_eq!(cotter(&["show", "--trust", "keys/rsa3072_a.pem", "securecert/signed-rsa_signed.bin"]).0, 0);
}

#[test]
fn every_format_is_shown_and_every_defect_named() {
    for (name, code, says) in [
        ("plain-p256", 0, "ECDSA P-256 in plain"),
        ("plain-p256-der", 0, "ECDSA P-256, DER"),
        ("rsads-s3", 0, "RSA-2048, 1584 bytes of ciphertext"),
        ("ecdsaperiph-h2", 1, "EXPOSED: at 0x490: the private key lies in flash in plain although"),
        ("derived-hmac-ecdsa", 0, "P-256, derived from the HMAC key and the salt"),
        ("derived-hmac-encrypted", 0, "HMAC-encrypted, opened with the HMAC key, matches the certificate"),
        ("legacy-custflash-nods", 0, "legacy cust_flash"),
        ("legacy-custflash-ds-c3", 0, "digital signature peripheral, opened with the HMAC key"),
        ("legacy-nvs-nods", 0, "legacy nvs"),
        ("legacy-nvs-ds", 0, "digital signature peripheral, opened with the HMAC key"),
    ] {
        let file = format!("securecert/{name}.bin");
        let (got, text, error) = cotter(&["show", "--hmac-key", "keys/hmac_key.bin", &file]);
        assert!(got == code && text.contains(says), "{name}: {got}\n{text}{error}");
        assert!(!text.contains("PRIVATE KEY"), "{text}");
        let (_, json, _) = cotter(&["show", &file, "--json"]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["sound"], code == 0, "{json}");
    }
    let (code, text, _) = cotter(&["show", "--hmac-key", "keys/hmac_key.bin", "securecert/rsads4096-s2.bin"]);
    assert!(code == 1 && text.contains("private key 0: the device certificate is for another key"), "{text}");
    let (code, text, _) = cotter(&["show", "--chip", "esp32c5", "securecert/rsads-c5.bin"]);
    assert!(code == 1 && text.contains("1584 bytes of DS ciphertext, but the esp32c5 reads 1200"), "{text}");
    let (code, _, error) = cotter(&["show", "keys/hmac_key.bin"]);
    assert!(code == 1 && error.contains("no esp_secure_cert partition") && error.contains("flash decrypt"), "{error}");
}

#[test]
fn public_parts_are_extracted_and_private_ones_never() {
    let bench = Bench::new();
    let folder = bench.at("parts");
    let (code, _, error) = cotter(&["show", "--extract", &folder, "securecert/plain-p256.bin"]);
    assert_eq!(code, 0, "{error}");
    let mut names: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["ca_cert_0.pem", "device_cert_0.pem", "type_9_0.bin"]);
    assert_eq!(std::fs::read(Path::new(&folder).join("ca_cert_0.pem")).unwrap(), golden("keys/ca_cert.pem"));
}

#[test]
fn refuses_by_name_and_writes_nothing() {
    let bench = Bench::new();
    let burn = bench.at("burn");
    for (chip, certificate, extra, says) in [
        ("esp32c2", "", &["--mode", "ds", "--key", "keys/rsa2048_dev.pem"][..], "the esp32c2 has no digital signature"),
        ("esp32c3", "", &["--mode", "ecdsa-peripheral", "--key", "keys/ecdsa_p256_dev.pem"], "no peripheral for ECDSA"),
        ("esp32", "", &["--mode", "hmac-derived"], "the esp32 has no HMAC peripheral"),
        (
            "esp32c3",
            "dev_cert_p256.pem",
            &["--key", "keys/rsa2048_dev.pem"],
            "certificate 0 is not for its private key",
        ),
        ("esp32c3", "", &["--mode", "ds"], "this mode needs the device's private key"),
        ("esp32c3", "", &["--data", "51.17=keys/hmac_key.bin"], "type 51 with subtype 17 cannot be stored"),
        ("esp32c3", "", &["--size", "0x100"], "takes 608 bytes, but only 256 remain"),
    ] {
        let (code, _, error) = bench.pack(chip, certificate, &[extra, &["--burn-keys", &burn]].concat());
        assert!(code == 1 && error.contains(says), "{error}");
        assert!(!Path::new(&bench.at("out.bin")).exists() && !Path::new(&burn).exists());
    }
}
