//! `cotter efuse` as a person types it, against the files that espefuse 5.6.0 leaves.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn vectors() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/efuse")).canonicalize().unwrap()
}

fn vector(name: &str) -> Vec<u8> {
    std::fs::read(vectors().join(name)).unwrap()
}

/// Runs in the folder of the vectors, where the keys are.
fn cotter(words: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cotter"));
    command.current_dir(vectors()).arg("efuse").args(words).assert()
}

fn output(words: &[&str]) -> String {
    String::from_utf8(cotter(words).success().get_output().stdout.clone()).unwrap()
}

fn error(words: &[&str]) -> String {
    String::from_utf8(cotter(words).code(1).get_output().stderr.clone()).unwrap()
}

fn json(words: &[&str]) -> Value {
    serde_json::from_str(&output(&[&["--json"], words].concat())).unwrap()
}

/// Golden files and the commands that made them.
const GOLDEN: &[(&str, &[&str])] = &[
    ("esp32-abs", &["burn-efuse ABS_DONE_0 1"]),
    ("esp32-c34", &["burn-efuse CODING_SCHEME 1", "burn-key --no-protect-key flash_encryption fe_key_192.bin"]),
    ("esp32-custommac", &["burn-custom-mac aa:cd:ef:01:02:03"]),
    (
        "esp32-fe-full",
        &["burn-key flash_encryption fe_key_256.bin burn-efuse FLASH_CRYPT_CONFIG 0xf FLASH_CRYPT_CNT 127 \
           DISABLE_DL_ENCRYPT 1 DISABLE_DL_DECRYPT 1 DISABLE_DL_CACHE 1 JTAG_DISABLE 1 UART_DOWNLOAD_DIS 1"],
    ),
    ("esp32-fe-legacy", &["burn-key flash_encryption fe_key_256.bin"]),
    ("esp32-sbv1", &["burn-key secure_boot_v1 sbv1_key_256.bin"]),
    ("esp32-sbv1-noprotect", &["burn-key --no-protect-key secure_boot_v1 sbv1_key_256.bin"]),
    (
        "esp32c2-derived",
        &["burn-key BLOCK_KEY0 fe_key_128.bin XTS_AES_128_KEY_DERIVED_FROM_128_EFUSE_BITS burn-key-digest \
           ../keys/ecdsa_p256.pem"],
    ),
    (
        "esp32c2-fe_key_128-readable",
        &["burn-key --no-read-protect BLOCK_KEY0 fe_key_128.bin XTS_AES_128_KEY_DERIVED_FROM_128_EFUSE_BITS"],
    ),
    ("esp32c2-xts128", &["burn-key BLOCK_KEY0 fe_key_256.bin XTS_AES_128_KEY"]),
    ("esp32c3-bit", &["burn-bit BLOCK3 0 7 31 255"]),
    ("esp32c3-ds", &["burn-key BLOCK_KEY1 hmac_key.bin HMAC_DOWN_DIGITAL_SIGNATURE"]),
    (
        "esp32c3-prod",
        &["burn-key-digest BLOCK_KEY0 ../keys/rsa3072_a.pem SECURE_BOOT_DIGEST0 burn-key BLOCK_KEY1 fe_key_256.bin \
           XTS_AES_128_KEY BLOCK_KEY2 hmac_key.bin HMAC_UP burn-efuse SECURE_BOOT_EN 1 DIS_DOWNLOAD_MANUAL_ENCRYPT 1 \
           DIS_DOWNLOAD_ICACHE 1 DIS_PAD_JTAG 1 DIS_USB_JTAG 1 DIS_DIRECT_BOOT 1 SECURE_BOOT_KEY_REVOKE1 1 \
           SECURE_BOOT_KEY_REVOKE2 1 ENABLE_SECURITY_DOWNLOAD 1 SPI_BOOT_CRYPT_CNT 7 SOFT_DIS_JTAG 7 SECURE_VERSION 3"],
    ),
    (
        "esp32c3-sbv2",
        &["burn-key-digest BLOCK_KEY0 ../keys/rsa3072_a.pem SECURE_BOOT_DIGEST0 BLOCK_KEY1 ../keys/rsa3072_b.pem \
           SECURE_BOOT_DIGEST1"],
    ),
    ("esp32c3-wp", &["write-protect-efuse DIS_ICACHE"]),
    ("esp32c3-xts-readable", &["burn-key --no-read-protect BLOCK_KEY0 fe_key_256.bin XTS_AES_128_KEY"]),
    ("esp32c5-ecdsa-p384", &["burn-key BLOCK_KEY0 ../keys/ecdsa_p384.pem ECDSA_KEY_P384"]),
    ("esp32c5-ecdsa_p192-readable", &["burn-key --no-read-protect BLOCK_KEY0 ../keys/ecdsa_p192.pem ECDSA_KEY_P192"]),
    ("esp32c5-ecdsa_p384-readable", &["burn-key --no-read-protect BLOCK_KEY0 ../keys/ecdsa_p384.pem ECDSA_KEY_P384"]),
    ("esp32c5-sb-p384", &["burn-key-digest BLOCK_KEY0 ../keys/ecdsa_p384.pem SECURE_BOOT_DIGEST0"]),
    ("esp32c6-usr", &["burn-block-data BLOCK_USR_DATA hmac_key.bin"]),
    ("esp32h2-ecdsa", &["burn-key BLOCK_KEY0 ../keys/ecdsa_p256.pem ECDSA_KEY"]),
    ("esp32h2-ecdsa_p192-readable", &["burn-key --no-read-protect BLOCK_KEY0 ../keys/ecdsa_p192.pem ECDSA_KEY"]),
    ("esp32h2-ecdsa_p256-readable", &["burn-key --no-read-protect BLOCK_KEY0 ../keys/ecdsa_p256.pem ECDSA_KEY"]),
    ("esp32h2-v1.2", &["burn-efuse WAFER_VERSION_MAJOR 1 WAFER_VERSION_MINOR 2"]),
    (
        "esp32h2-v1.2-ecdsa",
        &[
            "burn-efuse WAFER_VERSION_MAJOR 1 WAFER_VERSION_MINOR 2",
            "burn-key BLOCK_KEY0 ../keys/ecdsa_p256.pem ECDSA_KEY",
        ],
    ),
    ("esp32p4-v3", &["burn-efuse WAFER_VERSION_MAJOR_LO 3"]),
    (
        "esp32p4-v3-ecdsa-p384",
        &["burn-efuse WAFER_VERSION_MAJOR_LO 3", "burn-key BLOCK_KEY0 ../keys/ecdsa_p384.pem ECDSA_KEY_P384"],
    ),
    ("esp32s2-xts256", &["burn-key BLOCK_KEY0 fe_key_512.bin XTS_AES_256_KEY"]),
    ("esp32s3-flashv", &["set-flash-voltage 3.3V"]),
    ("esp32s3-xts-readable", &["burn-key --no-read-protect BLOCK_KEY0 fe_key_512.bin XTS_AES_256_KEY"]),
    ("esp32s3-xts256", &["burn-key BLOCK_KEY0 fe_key_512.bin XTS_AES_256_KEY"]),
];

fn chip(name: &str) -> &str {
    name.split('-').next().unwrap()
}

#[test]
fn apply_leaves_the_file_that_espefuse_leaves() {
    let desk = tempfile::tempdir().unwrap();
    for (name, runs) in GOLDEN {
        let file = desk.path().join(name);
        let path = file.to_str().unwrap();
        for run in *runs {
            let words: Vec<&str> = run.split_whitespace().collect();
            output(&[&["apply", "--yes", "--chip", chip(name), path], &words[..]].concat());
        }
        let (ours, theirs) = (std::fs::read(&file).unwrap(), vector(&format!("{name}.bin")));
        let differs: Vec<usize> = (0..theirs.len()).filter(|&at| ours.get(at) != Some(&theirs[at])).collect();
        assert!(ours == theirs, "{name}: {} bytes, differs at {differs:?}", ours.len());
    }
}

#[test]
fn every_golden_file_is_a_test() {
    let mut files: Vec<String> =
        std::fs::read_dir(vectors()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.retain(|file| file.starts_with("esp32") && file.ends_with(".bin"));
    let refused = ["esp32c3-xts-key5.bin", "esp32p4-ecdsa-p384.bin"];
    files.retain(|file| {
        !refused.contains(&file.as_str()) && !GOLDEN.iter().any(|(name, _)| format!("{name}.bin") == *file)
    });
    assert_eq!(files, Vec::<String>::new());
}

#[test]
fn apply_refuses_what_espefuse_refuses() {
    let blank = |chip: &str, words: &[&str]| error(&[&["apply", "--chip", chip, "not-there.bin"], words].concat());
    let key5 = blank("esp32c3", &["burn-key", "BLOCK_KEY5", "fe_key_256.bin", "XTS_AES_128_KEY"]);
    assert!(key5.contains("KEY_PURPOSE_5 cannot be XTS_AES_128_KEY"), "{key5}");
    let old = blank("esp32p4", &["burn-key", "BLOCK_KEY0", "../keys/ecdsa_p384.pem", "ECDSA_KEY_P384"]);
    assert!(old.contains("KEY_PURPOSE_0 has 4 bits: 18 does not fit"), "{old}");
    let digest = blank("esp32", &["burn-key-digest", "../keys/rsa3072_a.pem"]);
    assert!(digest.contains("from v3.0 on; this one is v0.0"), "{digest}");
    let both = blank("esp32s3", &["burn-efuse", "DIS_USB_JTAG", "1", "DIS_USB_SERIAL_JTAG", "1"]);
    assert!(both.contains("bug of the ROM"), "{both}");
    let user = blank("esp32c3", &["burn-efuse", "SECURE_VERSION", "65536"]);
    assert!(user.contains("has 16 bits"), "{user}");
    let short = blank("esp32c3", &["burn-key", "BLOCK_KEY0", "fe_key_128.bin", "USER"]);
    assert!(short.contains("takes 32 bytes, not 16"), "{short}");
    let voltage = blank("esp32c3", &["set-flash-voltage", "1.8V"]);
    assert!(voltage.contains("flash voltage of an esp32c3"), "{voltage}");
    let mac = blank("esp32c3", &["burn-custom-mac", "01:00:00:00:00:00"]);
    assert!(mac.contains("unicast"), "{mac}");
    let field = blank("esp32c3", &["burn-efuse", "ABS_DONE_0", "1"]);
    assert!(field.contains("an esp32c3 has no eFuse ABS_DONE_0"), "{field}");
    let again = error(&["apply", "--chip", "esp32c3", "esp32c3-bit.bin", "burn-bit", "BLOCK3", "1"]);
    assert!(again.contains("BLOCK3 is burned already with something else"), "{again}");
    let frozen = error(&["apply", "--chip", "esp32c3", "esp32c3-wp.bin", "burn-efuse", "DIS_USB_JTAG", "1"]);
    assert!(frozen.contains("eFuse DIS_USB_JTAG is write-protected"), "{frozen}");
    let digest = error(&["apply", "--chip", "esp32c3", "esp32c3-sbv2.bin", "read-protect-efuse", "BLOCK_KEY0"]);
    assert!(digest.contains("must stay readable"), "{digest}");
    let chunk = error(&[
        "apply",
        "--chip",
        "esp32",
        "esp32-c34.bin",
        "burn-bit",
        "BLOCK1",
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
    ]);
    assert!(chunk.contains("BLOCK1, bytes 0.. is burned already"), "{chunk}");
}

#[test]
fn apply_refuses_what_espefuse_lets_through() {
    let twice = [
        "burn-key",
        "BLOCK_KEY0",
        "fe_key_256.bin",
        "XTS_AES_128_KEY",
        "burn-key",
        "BLOCK_KEY0",
        "hmac_key.bin",
        "HMAC_UP",
    ];
    let refused = error(&[&["apply", "--chip", "esp32c3", "not-there.bin"], &twice[..]].concat());
    assert!(refused.contains("BLOCK4 is given a key twice"), "{refused}");
    let curve = ["burn-key", "BLOCK_KEY0", "../keys/ecdsa_p192.pem", "ECDSA_KEY_P256"];
    let refused = error(&[&["apply", "--chip", "esp32c5", "not-there.bin"], &curve[..]].concat());
    assert!(refused.contains("ECDSA_KEY_P256 needs another curve"), "{refused}");
    let alias = error(&["apply", "--chip", "esp32c3", "esp32c3-sbv2.bin", "read-protect-efuse", "KEY0"]);
    assert!(alias.contains("must stay readable"), "{alias}");
    let frozen = error(&["apply", "--chip", "esp32c3", "esp32c3-wp.bin", "burn-bit", "BLOCK0", "41"]);
    assert!(frozen.contains("part of BLOCK0 is write-protected"), "{frozen}");
}

#[test]
fn nothing_is_written_without_yes() {
    let desk = tempfile::tempdir().unwrap();
    let file = desk.path().join("efuse.bin");
    let path = file.to_str().unwrap();
    let words = [
        "apply",
        "--chip",
        "esp32c3",
        path,
        "burn-efuse",
        "SECURE_VERSION",
        "3",
        "write-protect-efuse",
        "DIS_PAD_JTAG",
    ];
    let shown = output(&words);
    assert!(shown.contains("SECURE_VERSION") && shown.contains("+bit 142 143"), "{shown}");
    assert!(
        shown.contains("note: SECURE_VERSION counts its set bits: 0x3 makes 2, not 3")
            || shown.contains("note: freezing"),
        "{shown}"
    );
    assert!(shown.contains("freezing DIS_PAD_JTAG also freezes DIS_ICACHE"), "{shown}");
    assert!(shown.ends_with(&format!("nothing is burned yet: say --yes to write {path}\n")), "{shown}");
    assert!(!file.exists());
    output(&[&words[..], &["--yes"]].concat());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(output(&words).contains("nothing to burn"));
}

#[test]
fn a_plan_file_burns_as_the_command_line_does() {
    let desk = tempfile::tempdir().unwrap();
    let plan = desk.path().join("plan.txt");
    std::fs::copy(vectors().join("fe_key_256.bin"), desk.path().join("flash key.bin")).unwrap();
    std::fs::write(
        &plan,
        "# the key\nburn-key --no-read-protect BLOCK_KEY0\n  \"flash key.bin\" XTS_AES_128_KEY # here\n",
    )
    .unwrap();
    let file = desk.path().join("efuse.bin");
    output(&["apply", "--yes", "--chip", "esp32c3", "--plan", plan.to_str().unwrap(), file.to_str().unwrap()]);
    assert_eq!(std::fs::read(&file).unwrap(), vector("esp32c3-xts-readable.bin"));
}

#[test]
fn show_says_what_is_burned_and_hides_readable_keys() {
    let shown = output(&["show", "--chip", "esp32c3", "esp32c3-prod.bin"]);
    assert!(shown.contains("BLOCK_KEY0  r- SECURE_BOOT_DIGEST0          frozen 7bd22dd7"), "{shown}");
    assert!(shown.contains("BLOCK_KEY1  -- XTS_AES_128_KEY              frozen hidden"), "{shown}");
    let readable = output(&["show", "--chip", "esp32c3", "esp32c3-xts-readable.bin"]);
    let key: String = vector("fe_key_256.bin").iter().rev().map(|byte| format!("{byte:02x}")).collect();
    assert!(readable.contains("can be read, not printed") && !readable.contains(&key), "{readable}");
    let machine = json(&["show", "--chip", "esp32c3", "esp32c3-xts-readable.bin"]);
    assert_eq!((&machine["keys"][0]["secret"], &machine["keys"][0]["content"]), (&Value::Bool(true), &Value::Null));
    assert!(output(&["show", "--reveal", "--chip", "esp32c3", "esp32c3-xts-readable.bin"]).contains(&key));
    let few = output(&["show", "--burned", "--chip", "esp32s3", "esp32s3-flashv.bin"]);
    assert!(few.contains("VDD_SPI_TIEH") && !few.contains("SECURE_BOOT_EN"), "{few}");
}

#[test]
fn show_reads_every_form() {
    let desk = tempfile::tempdir().unwrap();
    let shown = |words: &[&str]| {
        let mut shown = json(&[&["show"], words].concat());
        shown["form"] = Value::Null;
        shown
    };
    let expected = shown(&["--chip", "esp32c3", "esp32c3-prod.bin"]);
    assert_eq!(shown(&["esp32c3-prod.token.txt"]), expected);
    assert_eq!(shown(&["--chip", "esp32c3", "esp32c3-prod.dump.txt"]), expected);
    for form in ["virt", "registers", "text", "joint", "split", "token"] {
        let file = desk.path().join(format!("{form}.bin"));
        let path = file.to_str().unwrap();
        output(&["dump", "--chip", "esp32c3", "esp32c3-prod.bin", "--to", form, "--output", path]);
        assert_eq!(shown(&["--chip", "esp32c3", "--form", form, path]), expected, "{form}");
    }
    assert_eq!(std::fs::read(desk.path().join("virt.bin")).unwrap(), vector("esp32c3-prod.bin"));
    let token = output(&["dump", "--chip", "esp32c3", "esp32c3-prod.bin", "--to", "token"]);
    assert!(
        String::from_utf8(vector("esp32c3-prod.token.txt")).unwrap().trim_end().ends_with(token.trim_end()),
        "{token}"
    );
    assert_eq!(shown(&[token.trim_end()]), expected);
}

#[test]
fn a_file_that_is_none_is_refused() {
    let wrong = error(&["show", "--chip", "esp32", "esp32c3-prod.bin"]);
    assert!(wrong.contains("512 bytes, but the register file has 288"), "{wrong}");
    assert!(error(&["show", "esp32c3-prod.bin"]).contains("help: --chip"));
    let other = error(&["show", "--chip", "esp32s3", "esp32c3-prod.token.txt"]);
    assert!(other.contains("the token is of an esp32c3, not of an esp32s3"), "{other}");
}

#[test]
fn diff_names_the_bits_and_tells_whether_burning_leads_there() {
    let there = output(&["diff", "--chip", "esp32c3", "blank-esp32c3.bin", "esp32c3-prod.bin"]);
    assert!(
        there.contains("BLOCK0 SECURE_VERSION") && there.contains("reachable: burning leads from A to B"),
        "{there}"
    );
    let key: String =
        vector("esp32c3-sbv2.bin").iter().rev().skip(0x9c).take(8).map(|byte| format!("{byte:02x}")).collect();
    assert!(!there.contains(&key));
    let back = cotter(&["diff", "--chip", "esp32c3", "esp32c3-prod.bin", "blank-esp32c3.bin"]).code(1);
    let back = String::from_utf8(back.get_output().stdout.clone()).unwrap();
    assert!(
        back.contains("not reachable") && back.contains("SECURE_BOOT_EN: a burned bit cannot be cleared"),
        "{back}"
    );
    assert_eq!(output(&["diff", "--chip", "esp32c3", "esp32c3-wp.bin", "esp32c3-wp.bin"]), "no difference\n");
}
