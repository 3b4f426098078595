//! `cotter chip` as a person types it.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod running;

use assert_cmd::Command;
use running::Running;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

fn cotter(directory: &Path, arguments: &str) -> Command {
    let mut command = Command::cargo_bin("cotter").unwrap();
    command.current_dir(directory).arg("chip").args(arguments.split_whitespace());
    command
}

fn vector(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors")).join(name)).unwrap()
}

/// A chip, and the address of its serial line.
fn run(directory: &Path, arguments: &str) -> (Running, String) {
    let mut chip = Running::start(directory, ["chip", "run"].into_iter().chain(arguments.split_whitespace()));
    let address = chip.line().rsplit("socket://").next().unwrap().to_owned();
    (chip, address)
}

/// Writes a word into block 3 by the register sequence that espefuse uses, and returns when it is acknowledged.
fn burn_word(address: &str, value: u32) {
    let mut line = TcpStream::connect(address).unwrap();
    for [register, value] in [
        [0x6000_8800, value],
        [0x6000_8820, 0],
        [0x6000_89cc, 0x5a5a],
        [0x6000_89d4, 2 | 3 << 2],
        [0x6000_89cc, 0x5aa5],
        [0x6000_89d4, 1],
    ] {
        let words = [register, value, u32::MAX, 0].into_iter().flat_map(u32::to_le_bytes);
        let request = [0, 9, 16, 0, 0, 0, 0, 0].into_iter().chain(words);
        let mut frame = vec![0xc0];
        request.for_each(|byte| match byte {
            0xc0 => frame.extend([0xdb, 0xdc]),
            0xdb => frame.extend([0xdb, 0xdd]),
            byte => frame.push(byte),
        });
        frame.push(0xc0);
        line.write_all(&frame).unwrap();
        // The banner of the ROM comes first; then each answer has two delimiters.
        let mut ends = 0;
        while ends < 2 {
            let mut byte = [0];
            line.read_exact(&mut byte).unwrap();
            ends += usize::from(byte == [0xc0]);
        }
    }
}

#[test]
fn help_names_the_tools_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let help = cotter(directory.path(), "run --help").assert().success();
    let help = String::from_utf8_lossy(&help.get_output().stdout).into_owned();
    assert!(help.contains("esptool -p socket://127.0.0.1:5333 flash-id"), "{help}");
}

#[test]
fn what_is_burned_is_in_the_file_before_it_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let (chip, address) = run(directory.path(), "--chip esp32c3 --efuse e.bin --flash f.bin --listen 127.0.0.1:0");
    burn_word(&address, 0x51);
    // espefuse's file is the register file backwards; block 3 begins at 0x7c.
    let file = std::fs::read(directory.path().join("e.bin")).unwrap();
    assert_eq!(file[512 - 1 - 0x7c], 0x51);
    assert_eq!(std::fs::metadata(directory.path().join("f.bin")).unwrap().len(), 4 << 20);
    chip.quit();
}

#[test]
fn commands_reset_and_switch_the_chip() {
    let directory = tempfile::tempdir().unwrap();
    let (mut chip, _) = run(directory.path(), "--chip esp32c3 --listen 127.0.0.1:0");
    chip.line_with("waiting for download");
    chip.say("reset run");
    chip.line_with("invalid header: 0xffffffff");
    chip.line_with("nothing runs: invalid-header");
    chip.say("power off");
    chip.say("reset download");
    chip.line_with("waiting for download");
    chip.quit();
}

#[test]
fn boot_tells_why_nothing_boots() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, content: &[u8]| std::fs::write(directory.path().join(name), content).unwrap();
    put("blank.bin", &[0xff; 0x1_0000]);
    let mut flash = vector("image/esp32c3-bootloader.bin");
    flash.resize(0x1_0000, 0xff);
    put("boot.bin", &flash);

    let refused = cotter(directory.path(), "boot --chip esp32c3 --flash blank.bin").assert().code(1);
    let text = String::from_utf8_lossy(&refused.get_output().stdout).into_owned();
    assert!(text.contains("| invalid header: 0xffffffff") && text.contains("does not boot: invalid-header"), "{text}");

    let refused = cotter(directory.path(), "boot --chip esp32c3 --flash boot.bin --json").assert().code(1);
    let value: Value = serde_json::from_slice(&refused.get_output().stdout).unwrap();
    assert_eq!(value["outcome"]["refused"], "partition-table-invalid");
    assert_eq!(value["steps"][0]["stage"], "rom");
    assert_eq!(value["saved"], false);

    cotter(directory.path(), "boot --chip esp32c3 --flash none.bin").assert().code(1);
}

/// A flashed chip: second stage, table, one application.
fn flashed(directory: &Path) {
    let mut flash = vec![0xff; 0x4_0000];
    let mut put = |at: usize, content: &[u8]| flash[at..at + content.len()].copy_from_slice(content);
    put(0, &vector("image/esp32c3-bootloader.bin"));
    put(0x1_0000, &vector("image/esp32c3.bin"));
    std::fs::write(directory.join("table.csv"), "nvs,data,nvs,0x9000,0x6000\nfactory,app,factory,0x10000,0x30000\n")
        .unwrap();
    let mut table = Command::cargo_bin("cotter").unwrap();
    table.current_dir(directory).args(["partition", "build", "table.csv", "-o", "table.bin"]).assert().success();
    put(0x8000, &std::fs::read(directory.join("table.bin")).unwrap());
    std::fs::write(directory.join("flash.bin"), flash).unwrap();
}

#[test]
fn a_first_boot_encrypts_the_files() {
    let directory = tempfile::tempdir().unwrap();
    flashed(directory.path());
    std::fs::write(directory.path().join("stage.toml"), "[flash-encryption]\nmode = \"release\"\n").unwrap();
    let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
    let plain = read("flash.bin");
    let forgetful = "boot --chip esp32c3 --flash flash.bin --second-stage stage.toml";
    let refused = cotter(directory.path(), forgetful).assert().code(1);
    assert!(String::from_utf8_lossy(&refused.get_output().stderr).contains("there is no file for the eFuses"));

    let boot = "boot --chip esp32c3 --flash flash.bin --efuse efuse.bin --second-stage stage.toml";
    let run = cotter(directory.path(), &format!("{boot} --dry-run")).assert().success();
    assert!(String::from_utf8_lossy(&run.get_output().stdout).contains("flash_encrypt: Flash encryption completed"));
    assert!(read("flash.bin") == plain, "a dry run leaves the files");

    let run = cotter(directory.path(), &format!("{boot} --json")).assert().success();
    let value: Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
    assert_eq!(value["saved"], true);
    let steps = value["steps"].as_array().unwrap();
    assert!(
        steps.iter().any(|step| step["what"] == "flash encryption"
            && step["found"] == "in place: bootloader, partition table, factory"),
        "{steps:#?}"
    );
    assert!(read("flash.bin")[..0x1000] != plain[..0x1000]);

    // Without knowing what was compiled in, the encrypted chip boots as well: its eFuses say enough.
    let run = cotter(directory.path(), "boot --chip esp32c3 --flash flash.bin --efuse efuse.bin").assert().success();
    assert!(String::from_utf8_lossy(&run.get_output().stdout).contains("boots golden_esp32c3"));
}

#[test]
fn an_interrupted_first_boot_says_what_helps() {
    let directory = tempfile::tempdir().unwrap();
    flashed(directory.path());
    // A flash key is burned, the second stage is ciphertext, the count is 0.
    let mut flash = std::fs::read(directory.path().join("flash.bin")).unwrap();
    flash[..0x1000].iter_mut().for_each(|byte| *byte ^= 0x5a);
    std::fs::write(directory.path().join("flash.bin"), flash).unwrap();
    std::fs::write(directory.path().join("flash.key"), [7; 32]).unwrap();
    std::fs::write(directory.path().join("efuse.bin"), vector("efuse/blank-esp32c3.bin")).unwrap();
    let mut burn = Command::cargo_bin("cotter").unwrap();
    let arguments = "efuse apply --chip esp32c3 --yes efuse.bin burn-key BLOCK_KEY0 flash.key XTS_AES_128_KEY";
    burn.current_dir(directory.path()).args(arguments.split(' ')).assert().success();

    let sdkconfig = "CONFIG_IDF_TARGET=\"esp32c3\"\nCONFIG_SECURE_FLASH_ENC_ENABLED=y\nCONFIG_SECURE_FLASH_ENCRYPTION_MODE_RELEASE=y\n";
    std::fs::write(directory.path().join("sdkconfig"), sdkconfig).unwrap();
    let boot = "boot --chip esp32c3 --flash flash.bin --efuse efuse.bin --second-stage sdkconfig";
    let refused = cotter(directory.path(), boot).assert().code(1);
    let text = String::from_utf8_lossy(&refused.get_output().stdout).into_owned();
    assert!(text.contains("does not boot: invalid-header"), "{text}");
    assert!(text.ends_with("flash the plaintext images again\n"), "{text}");
}

#[test]
fn a_second_stage_that_cannot_be_built_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    flashed(directory.path());
    std::fs::write(directory.path().join("v1.toml"), "[secure-boot]\nscheme = \"v1\"\n").unwrap();
    let text = "[flash-encryption]\nmode = \"release\"\nkey = \"aes-256\"\n";
    std::fs::write(directory.path().join("wide.toml"), text).unwrap();
    for (file, reason) in [
        ("v1.toml", "Secure Boot V1 needs a verification key"),
        ("wide.toml", "esp32c3 has no flash key of that kind in its eFuses"),
        ("none.toml", "none.toml"),
    ] {
        let arguments = format!("boot --chip esp32c3 --flash flash.bin --dry-run --second-stage {file}");
        let refused = cotter(directory.path(), &arguments).assert().code(1);
        let text = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
        assert!(text.contains(reason) && text.contains("help:"), "{file}: {text}");
    }
}

#[test]
fn a_cells_file_without_its_efuse_file_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("e-cells.bin"), [1; 484]).unwrap();
    let refused = cotter(directory.path(), "run --chip esp32c3 --efuse e.bin --listen 127.0.0.1:0").assert().code(1);
    let text = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    assert!(text.contains("e-cells.bin exists, but not the eFuse file"), "{text}");
    assert_eq!(std::fs::read(directory.path().join("e-cells.bin")).unwrap(), [1; 484]);
}
