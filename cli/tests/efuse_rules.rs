//! `cotter efuse plan` and `lint` as a person types them.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use cotter_factory::efuse::{EfusePlan, outcome};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::EfuseImage;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn cotter(arguments: &[&str]) -> assert_cmd::assert::Assert {
    Command::cargo_bin("cotter").unwrap().args(arguments).assert()
}

fn vector(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "vectors", "efuse", name].iter().collect();
    path.to_str().unwrap().to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn json(arguments: &[&str], code: i32) -> Value {
    let assert = cotter(&[arguments, &["--json"]].concat()).code(code);
    serde_json::from_slice(&assert.get_output().stdout).unwrap()
}

fn codes(report: &Value) -> BTreeSet<String> {
    report["findings"].as_array().unwrap().iter().map(|note| note["code"].as_str().unwrap().to_owned()).collect()
}

fn stderr(arguments: &[&str]) -> String {
    String::from_utf8(cotter(arguments).code(1).get_output().stderr.clone()).unwrap()
}

#[test]
fn a_production_burn_lacks_what_the_release_lists_want() {
    // Burned by espefuse as vectors/efuse/README.md says: everything but the locks.
    let prod = vector("esp32c3-prod.bin");
    let report = json(&["efuse", "lint", "--chip", "esp32c3", &prod], 1);
    assert_eq!(report["brick"], 0);
    let expected = PROD.iter().map(|code| (*code).to_owned()).collect();
    assert_eq!(codes(&report), expected);
    // What is accepted is named, and no longer counts.
    let mut arguments = vec!["efuse", "lint", "--chip", "esp32c3", &prod];
    for code in PROD {
        arguments.extend(["--allow", code]);
    }
    let report = json(&arguments, 0);
    assert_eq!(report["allowed"].as_array().unwrap().len(), PROD.len());
}

/// What the production vector lacks.
const PROD: [&str; 2] = ["cache-bit-open", "rd-dis-open"];

#[test]
fn other_burns_of_espefuse_are_found_out() {
    let cases = [
        ("esp32c3-xts-readable.bin", "key-readable"),
        ("esp32c3-sbv2.bin", "secure-boot-off"),
        ("esp32c3-wp.bin", "jtag-open"),
        ("blank-esp32c3.bin", "flash-encryption-off"),
    ];
    for (file, code) in cases {
        let report = json(&["efuse", "lint", "--chip", "esp32c3", &vector(file)], 1);
        assert!(codes(&report).contains(code), "{file}: {:?}", codes(&report));
    }
    // The locked DIS_ICACHE shares its bit with the JTAG fields: nothing can close JTAG any more.
    let report = json(&["efuse", "lint", "--chip", "esp32c3", &vector("esp32c3-wp.bin")], 1);
    let jtag = report["findings"].as_array().unwrap().iter().find(|note| note["code"] == "jtag-open").unwrap();
    assert_eq!(jtag["mendable"], false);
    assert!(jtag["fix"].as_str().unwrap().contains("WR_DIS bit 2"), "{jtag}");
}

#[test]
fn a_plan_is_written_linted_and_caught_in_the_wrong_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    cotter(&["efuse", "plan", "--chip", "esp32c3", "--profile", "release", "-o", text(&file)]).success();
    let report = json(&["efuse", "lint", "--plan", text(&file)], 0);
    assert_eq!(codes(&report), BTreeSet::new());
    let mut plan: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    plan["stages"].as_array_mut().unwrap().reverse();
    std::fs::write(&file, plan.to_string()).unwrap();
    let report = json(&["efuse", "lint", "--plan", text(&file)], 1);
    assert!(codes(&report).contains("plan-impossible"), "{:?}", codes(&report));
    assert!(codes(&report).contains("plan-after-loader"), "{:?}", codes(&report));
    std::fs::write(&file, "{}").unwrap();
    assert!(stderr(&["efuse", "lint", "--plan", text(&file)]).contains("help: make one with cotter efuse plan"));
}

#[test]
fn a_policy_file_says_what_options_say_and_options_win() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("product.toml");
    let content = "chip = \"esp32s3\"\nprofile = \"release\"\ndigests = 2\nkey-size = 256\nnvs = \"hmac\"\n";
    std::fs::write(&policy, content).unwrap();
    let options = ["efuse", "plan", "--chip", "esp32s3", "--digests", "2", "--key-size", "256", "--nvs", "hmac"];
    assert_eq!(json(&["efuse", "plan", "--policy", text(&policy)], 0), json(&options, 0));
    let fewer = json(&["efuse", "plan", "--policy", text(&policy), "--digests", "1"], 0);
    assert_eq!(fewer["policy"]["digests"], 1);
    std::fs::write(&policy, "chip = \"esp32s3\"\nsecureboot = \"v2\"\n").unwrap();
    assert!(stderr(&["efuse", "plan", "--policy", text(&policy)]).contains("unknown field `secureboot`"));
}

#[test]
fn a_plan_from_a_burned_chip_skips_what_is_done_and_refuses_what_is_too_late() {
    let from = |file: &str| {
        vec!["efuse".to_owned(), "plan".into(), "--chip".into(), "esp32c3".into(), "--efuse".into(), vector(file)]
    };
    let arguments = from("esp32c3-sbv2.bin");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(["--digests", "2"]).collect();
    let plan = json(&arguments, 0);
    let already = plan["already"].to_string();
    assert!(already.contains("SECURE_BOOT_DIGEST0") && already.contains("SECURE_BOOT_DIGEST1"), "{already}");
    let arguments = from("esp32c3-wp.bin");
    let refused = stderr(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(refused.contains("DIS_PAD_JTAG: it is write-protected by WR_DIS bit 2, which it shares with"), "{refused}");
}

#[test]
fn the_plan_as_commands_of_espefuse_has_one_for_each_stage() {
    let assert = cotter(&["efuse", "plan", "--chip", "esp32", "--as", "espefuse"]).success();
    let commands = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    let lines: Vec<_> = commands.lines().collect();
    assert_eq!(lines.len(), 4, "{commands}");
    assert!(lines[0].ends_with("burn-key flash_encryption flash.bin secure_boot_v2 digest0.bin"), "{commands}");
    assert!(lines[3].contains("UART_DOWNLOAD_DIS") && lines[3].contains("write-protect-efuse DIS_CACHE RD_DIS"));
}

#[test]
fn a_release_plan_applied_to_a_blank_chip_lints_clean_on_every_chip() {
    for chip in Chip::ALL {
        let folder = tempfile::tempdir().unwrap();
        let (plan_file, efuses) = (folder.path().join("plan.txt"), folder.path().join("efuse.bin"));
        let mut options = vec!["efuse", "plan", "--chip", chip.name()];
        let mut lint = vec!["efuse", "lint", "--chip", chip.name(), text(&efuses)];
        if chip == Chip::Esp32H4 {
            options.extend(["--secure-boot", "off"]);
            lint.extend(["--without", "secure-boot"]);
        }
        cotter(&[&options[..], &["--as", "apply", "-o", text(&plan_file)]].concat()).success();
        let plan = json(&options, 0);
        for (index, key) in (1u8..).zip(plan["keys"].as_array().unwrap()) {
            let len = usize::try_from(key["bytes"].as_u64().unwrap()).unwrap();
            let bytes: Vec<u8> = (0..len).map(|at| u8::try_from(at * at % 251).unwrap() ^ index).collect();
            std::fs::write(folder.path().join(format!("{}.bin", key["name"].as_str().unwrap())), bytes).unwrap();
        }
        cotter(&["efuse", "apply", "--chip", chip.name(), "--plan", text(&plan_file), "--yes", text(&efuses)])
            .success();
        cotter(&lint).success();
        // As the plan foresaw, but for the digests, of which it knows the names only.
        let burned = EfuseImage::from_virtual_file(chip, &std::fs::read(&efuses).unwrap()).unwrap();
        let plan = EfusePlan::from_json(plan.to_string().as_bytes()).unwrap();
        let foreseen = outcome(&plan, &EfuseImage::blank(chip)).unwrap();
        for block in foreseen.map().block_numbers() {
            let [ours, theirs] = [&foreseen, &burned].map(|image| image.block(block).unwrap());
            let is_digest = foreseen.map().key_index(block).is_some() && ours.iter().any(|byte| *byte != 0);
            assert!(is_digest || ours == theirs, "{chip} {block}");
        }
    }
}

#[test]
fn what_the_chip_cannot_do_is_refused_by_name() {
    let refused = stderr(&["efuse", "plan", "--chip", "esp32h4"]);
    assert!(refused.contains("the esp32h4 does not support Secure Boot V2"), "{refused}");
    assert!(refused.contains("help: "), "{refused}");
    cotter(&["efuse", "plan", "--chip", "esp32c3", "--jtag", "maybe"]).code(2);
    cotter(&["efuse", "lint", "--chip", "esp32c3", "--allow", "nonsense", "x"]).code(2);
}

#[test]
fn every_rule_is_in_the_guide() {
    let rules = json(&["efuse", "lint", "--rules"], 0);
    let guide: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "docs", "efuse-rules.md"].iter().collect();
    let guide = std::fs::read_to_string(guide).unwrap();
    for rule in rules.as_array().unwrap() {
        let row = format!("| `{}` | {} |", rule["code"].as_str().unwrap(), rule["severity"].as_str().unwrap());
        assert!(guide.contains(&row), "{row} is missing");
        assert!(guide.contains(rule["why"].as_str().unwrap()), "{row} says something else");
    }
}
