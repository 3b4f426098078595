//! `cotter partition` and `cotter otadata` as a person types them, against gen_esp32part.py's and otatool.py's files.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use serde_json::Value;
use std::path::PathBuf;

fn cotter(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("cotter").unwrap();
    command.args(arguments);
    command
}

fn vector(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "vectors", name].iter().collect();
    path.to_str().unwrap().to_owned()
}

fn stdout(arguments: &[&str]) -> Vec<u8> {
    cotter(arguments).assert().success().get_output().stdout.clone()
}

fn refusal(arguments: &[&str], input: &str) -> String {
    let assert = cotter(arguments).write_stdin(input).assert().code(1);
    assert_eq!(assert.get_output().stdout, b"", "a refused run prints no result");
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

#[test]
fn builds_every_golden_table() {
    let csv = vector("partition/two_ota_sec.csv");
    for (options, golden) in [
        (&[][..], "two_ota_sec"),
        (&["--no-md5"], "two_ota_sec-nomd5"),
        (&["--offset", "0xC000"], "two_ota_sec-off0xC000"),
        (&["--secure", "v1"], "two_ota_sec-secv1"),
        (&["--secure", "v2", "--flash-size", "4MB"], "two_ota_sec-secv2"),
    ] {
        let arguments = [&["partition", "build", &csv, "-o", "-"], options].concat();
        assert_eq!(stdout(&arguments), std::fs::read(vector(&format!("partition/{golden}.bin"))).unwrap(), "{golden}");
    }
}

#[test]
fn shows_the_csv_that_the_generator_writes_and_finds_a_table_in_a_flash_image() {
    let golden = std::fs::read(vector("partition/two_ota_sec.roundtrip.csv")).unwrap();
    let binary = vector("partition/two_ota_sec.bin");
    assert_eq!(stdout(&["partition", "show", &binary, "--csv"]), golden);
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("flash.bin");
    let flash = [vec![0xe9; 0x8000], std::fs::read(&binary).unwrap(), vec![0xff; 0x400]].concat();
    std::fs::write(&image, flash).unwrap();
    let image = image.to_str().unwrap();
    assert_eq!(stdout(&["partition", "show", image, "--csv"]), golden);
    assert!(refusal(&["partition", "show", image, "--offset", "0x1000"], "").contains("no partition table at 0x1000"));
}

#[test]
fn the_map_has_no_holes() {
    let csv = vector("partition/singleapp.csv");
    let shown: Value =
        serde_json::from_slice(&stdout(&["--json", "partition", "show", &csv, "--flash-size", "2M"])).unwrap();
    let mut end = 0;
    for stretch in shown["map"].as_array().unwrap() {
        assert_eq!(stretch["offset"].as_u64().unwrap(), end);
        end += stretch["size"].as_u64().unwrap();
    }
    assert_eq!(end, 2 << 20);
    let text = String::from_utf8(stdout(&["partition", "show", &csv, "--flash-size", "2M"])).unwrap();
    assert!(text.contains("(free)") && text.contains("(bootloader)") && text.contains("factory"), "{text}");
}

#[test]
fn check_lists_every_finding() {
    let csv = "nvs,data,nvs,0x9000,0x2000\nf,app,factory,0x18000,1M\nf,data,fat,0x20000,4K\n";
    let assert = cotter(&["--json", "partition", "check", "-", "--flash-size", "1M"]).write_stdin(csv).assert().code(1);
    let checked: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    let codes: Vec<&str> =
        checked["findings"].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["small-nvs", "alignment", "outside-flash", "duplicate-name", "overlap"]);
    let golden = vector("partition/two_ota_sec.bin");
    assert!(String::from_utf8(stdout(&["partition", "check", &golden])).unwrap().contains("nothing found"));
    let bare = vector("partition/two_ota_sec-nomd5.bin");
    cotter(&["partition", "check", &bare]).assert().code(1);
    cotter(&["partition", "check", &bare, "--no-md5"]).assert().success();
    let assert = cotter(&["partition", "check", "-"]).write_stdin("a,b\nc,data,fat\nd,app,,,\n").assert().code(1);
    let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    assert!(text.contains("line 1, column 3") && text.contains("line 3, column 7"), "{text}");
}

#[test]
fn a_bad_table_is_not_built_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("table.bin");
    let arguments = ["partition", "build", "-", "-o", output.to_str().unwrap()];
    let error = refusal(&arguments, "f,app,factory,,1M\ng,app,factory,0x90000,1M\n");
    assert!(error.contains("f and g overlap from 0x90000") && error.contains("subtype factory"), "{error}");
    let error = refusal(&arguments, "f,app,factory,,1M,encripted\n");
    assert!(error.contains("line 1, column 19: encripted is no flag"), "{error}");
    assert!(!output.exists());
}

#[test]
fn the_environment_is_used_only_when_asked_for() {
    let csv = "f,app,factory,,$COTTER_TEST_SIZE\n";
    let error = refusal(&["partition", "build", "-", "-o", "-"], csv);
    assert!(error.contains("$COTTER_TEST_SIZE is not expanded") && error.contains("--expand-env"), "{error}");
    let mut asked = cotter(&["--json", "partition", "show", "-", "--expand-env"]);
    let assert = asked.env("COTTER_TEST_SIZE", "1M").write_stdin(csv).assert().success();
    let shown: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!(shown["partitions"][0]["size"], 1 << 20);
}

#[test]
fn otadata_is_built_as_otatool_builds_it() {
    let folder = tempfile::tempdir().unwrap();
    let now = folder.path().join("otadata.bin");
    let now = now.to_str().unwrap();
    stdout(&["otadata", "build", "--slot", "0", "--slots", "2", "-o", now]);
    for (slot, golden) in [("0", "otadata-1-slot0"), ("1", "otadata-2-slot1"), ("0", "otadata-3-slot0")] {
        if golden != "otadata-1-slot0" {
            stdout(&["otadata", "build", "--slot", slot, "--slots", "2", "--from", now, "-o", now]);
        }
        assert_eq!(std::fs::read(now).unwrap(), std::fs::read(vector(&format!("otadata/{golden}.bin"))).unwrap());
        let shown: Value =
            serde_json::from_slice(&stdout(&["--json", "otadata", "show", now, "--slots", "2"])).unwrap();
        assert_eq!(shown["boots"], format!("ota_{slot}"));
    }
}

#[test]
fn otadata_says_why_an_entry_does_not_count() {
    let table = vector("partition/two_ota_sec.bin");
    let given_up = stdout(&["otadata", "build", "--slot", "1", "--slots", "2", "--state", "aborted", "-o", "-"]);
    let mut show = cotter(&["--json", "otadata", "show", "-", "--table", &table]);
    let shown: Value =
        serde_json::from_slice(&show.write_stdin(given_up).assert().success().get_output().stdout).unwrap();
    assert_eq!(shown["entries"][0]["verdict"], "given-up");
    assert_eq!(shown["entries"][1]["verdict"], "erased");
    assert_eq!(shown["boots"], "factory");
    let mut show = cotter(&["otadata", "show", "-", "--table", &table]);
    let text = show.write_stdin(vec![0x5a; 0x2000]).assert().success().get_output().stdout.clone();
    assert!(String::from_utf8(text).unwrap().contains("still encrypted?"));
    let short = refusal(&["otadata", "show", "-", "--slots", "2"], "short");
    assert!(short.contains("expected 0x2000"), "{short}");
}

#[test]
fn otadata_refuses_what_would_not_boot_the_slot() {
    let build = |arguments: &[&str]| refusal(&[&["otadata", "build", "-o", "-"], arguments].concat(), "");
    assert!(build(&["--slot", "2", "--slots", "2"]).contains("there is no slot 2"));
    assert!(build(&["--slot", "1", "--slots", "2", "--sequence", "3"]).contains("4 would"));
    assert!(build(&["--slot", "0", "--slots", "1", "--sequence", "0"]).contains("erased entry"));
    let from = vector("otadata/otadata-3-slot0.bin");
    assert!(build(&["--slot", "0", "--slots", "2", "--sequence", "1", "--from", &from]).contains("not above 3"));
}
