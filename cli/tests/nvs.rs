//! `cotter nvs` as a person types it.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn cotter(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("cotter").unwrap();
    command.arg("nvs").args(arguments);
    command
}

fn vector(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "vectors", name].iter().collect();
    path.to_str().unwrap().to_owned()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn stdout(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

fn stderr_of_refusal(command: &mut Command) -> String {
    String::from_utf8(command.assert().code(1).get_output().stderr.clone()).unwrap()
}

#[test]
fn build_encrypt_and_decrypt_give_the_generators_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (keys, hmac) = (vector("nvs/nvs_keys_fixed.bin"), vector("nvs/hmac_key.bin"));
    let (csv, out) = (vector("nvs/basic.csv"), at("out.bin"));
    for (extra, expected) in [
        (&["--version", "1"][..], "nvs/basic-v1.bin"),
        (&["--keys", &keys], "nvs/basic-v2-enc.bin"),
        (&["--hmac-key", &hmac], "nvs/basic-v2-hmacenc.bin"),
    ] {
        let arguments = ["build", "--size", "0x4000", "--generator-quirks", "-o", &out, &csv];
        cotter(&arguments).args(extra).assert().success();
        assert!(fs::read(&out).unwrap() == fs::read(vector(expected)).unwrap(), "{expected}");
        assert_eq!(mode(Path::new(&out)), 0o600);
    }
    let plain = at("plain.bin");
    cotter(&["decrypt", "--hmac-key", &hmac, "-o", &plain, &out]).assert().success();
    assert!(fs::read(&plain).unwrap() == fs::read(vector("nvs/basic-v2.bin")).unwrap());
    let encrypted = cotter(&["encrypt", "--keys", &keys, "-o", "-", &plain]).assert().success().get_output().clone();
    assert!(encrypted.stdout == fs::read(vector("nvs/basic-v2-enc.bin")).unwrap());
}

#[test]
fn wrong_keys_and_double_encryption_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.bin").to_str().unwrap().to_owned();
    let (encrypted, hmac) = (vector("nvs/basic-v2-enc.bin"), vector("nvs/hmac_key.bin"));
    for (verb, help) in [("decrypt", "help: are these its keys?"), ("encrypt", "help: is it encrypted already?")] {
        let refusal = stderr_of_refusal(&mut cotter(&[verb, "--hmac-key", &hmac, "-o", &out, &encrypted]));
        assert!(refusal.contains(help) && refusal.contains("page 0, entry 0 (0x40)"), "{refusal}");
        assert!(!Path::new(&out).exists());
    }
    cotter(&["decrypt", "-o", &out, &encrypted]).assert().code(2);
}

#[test]
fn a_csv_error_names_file_and_line_and_not_the_secret() {
    let csv = "key,type,encoding,value\nn,namespace,,\npin,data,u8,hunter2\n";
    let mut command = cotter(&["build", "--size", "0x3000", "-o", "-", "-"]);
    let refusal = stderr_of_refusal(command.write_stdin(csv));
    assert_eq!(refusal, "error: -: line 3, key \"pin\": the value is not a decimal number\n");
}

#[test]
fn keys_are_private_fresh_and_never_replaced_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.bin");
    let file = path.to_str().unwrap();
    stdout(&mut cotter(&["keys", "generate", "-o", file]));
    let first = fs::read(&path).unwrap();
    assert_eq!((mode(&path), first.len()), (0o600, 4096));
    let refusal = stderr_of_refusal(&mut cotter(&["keys", "generate", "-o", file]));
    assert!(refusal.contains("exists") && refusal.contains("--force"), "{refusal}");
    assert!(fs::read(&path).unwrap() == first);
    stdout(&mut cotter(&["keys", "generate", "--force", "-o", file]));
    assert!(fs::read(&path).unwrap() != first);
    let derived = folder.path().join("derived.bin");
    let hmac = vector("nvs/hmac_key.bin");
    cotter(&["keys", "from-hmac", "--hmac-key", &hmac, "-o"]).arg(&derived).assert().success();
    assert!(fs::read(&derived).unwrap() == fs::read(vector("nvs/nvs_keys_from_hmac.bin")).unwrap());
    let secret: String = first[..32].iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(&path, &first).unwrap();
    assert!(!stdout(&mut cotter(&["keys", "show", file])).contains(&secret));
    assert!(stdout(&mut cotter(&["keys", "show", "--reveal", file])).contains(&secret));
}

#[test]
fn show_hides_secrets_until_asked() {
    let wifi = vector("nvs/wifi_keys-v2.bin");
    let hidden = stdout(&mut cotter(&["show", &wifi]));
    assert!(hidden.contains("\"MyNet\"") && !hidden.contains("secretpw"), "{hidden}");
    assert!(stdout(&mut cotter(&["show", "--reveal", &wifi])).contains("\"secretpw\""));
    let (keys, encrypted) = (vector("nvs/nvs_keys_fixed.bin"), vector("nvs/basic-v2-enc.bin"));
    let report = stdout(&mut cotter(&["--json", "show", "--keys", &keys, &encrypted]));
    let report: Value = serde_json::from_str(&report).unwrap();
    let value = |key: &str| report["values"].as_array().unwrap().iter().find(|value| value["key"] == key).unwrap();
    assert_eq!(value("u64")["value"], u64::MAX);
    assert_eq!((&value("str31")["value"], &value("str31")["length"]), (&Value::Null, &Value::from(31)));
    let refusal = stderr_of_refusal(&mut cotter(&["show", &encrypted]));
    assert!(refusal.contains("help: if it is encrypted, give its keys"), "{refusal}");
}

#[test]
fn check_names_the_damaged_entry_and_ends_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nvs.bin");
    let mut bytes = fs::read(vector("nvs/basic-v2.bin")).unwrap();
    fs::write(&path, &bytes).unwrap();
    cotter(&["check"]).arg(&path).assert().success();
    bytes[64 + 2 * 32 + 24] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let output = cotter(&["--json", "check"]).arg(&path).assert().code(1).get_output().clone();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["faults"][0]["page"], &report["faults"][0]["entry"]), (&Value::from(0), &Value::from(2)));
    assert_eq!(report["faults"].as_array().unwrap().len(), 1);
}

#[test]
fn check_misses_no_page_that_esp_idf_needs_erased() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nvs.bin");
    let page = &fs::read(vector("nvs/basic-v2.bin")).unwrap()[..4096];
    // Three times the same page: none of them erased.
    fs::write(&path, page.repeat(3)).unwrap();
    let output = cotter(&["check"]).arg(&path).assert().code(1).get_output().clone();
    assert!(String::from_utf8(output.stdout).unwrap().contains("ESP_ERR_NVS_NO_FREE_PAGES"));
}

#[test]
fn a_batch_gives_every_device_its_own_keys_or_nothing_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let out = at("out").to_str().unwrap().to_owned();
    let (template, values) = (vector("mfg/config.csv"), vector("mfg/values.csv"));
    let arguments = ["batch", "--size", "0x4000", "--prefix", "dev", "--file-id", "id", "-o", &out, &template, &values];
    stdout(&mut cotter(&arguments));
    let read = |name: &str| fs::read(at("out").join(name)).unwrap();
    assert!(read("csv/dev-1.csv") == fs::read(vector("mfg/out/csv/dev-1.csv")).unwrap());
    assert!(read("keys/keys-dev-1.bin") != read("keys/keys-dev-2.bin"));
    for name in ["csv/dev-1.csv", "bin/dev-1.bin", "keys/keys-dev-1.bin"] {
        assert_eq!(mode(&at("out").join(name)), 0o600, "{name}");
    }
    let refusal = stderr_of_refusal(&mut cotter(&arguments));
    assert!(refusal.contains("dev-1.csv exists"), "{refusal}");
    let bad = at("bad.csv");
    fs::write(&bad, format!("id,serial_no,hw_rev\n1,a,3\n2,b,3\n3,{},3\n", "c".repeat(4000))).unwrap();
    let nowhere = at("nowhere");
    let refusal = stderr_of_refusal(
        cotter(&["batch", "--size", "0x4000", "--file-id", "id", "-o"]).arg(&nowhere).arg(&template).arg(&bad),
    );
    assert!(refusal.contains("device 3: line 4, key \"serial_no\": NVS value serial_no is 4001 bytes"), "{refusal}");
    assert!(!nowhere.exists());
}
