//! `cotter element` and a simulated board over a serial line, in Microchip's kit protocol.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

mod running;

use assert_cmd::Command;
use running::Running;
use serde_json::Value;
use std::path::Path;

fn cotter(directory: &Path, bus: &str, arguments: &str) -> assert_cmd::assert::Assert {
    let mut command = Command::cargo_bin("cotter").unwrap();
    command.current_dir(directory).args(arguments.replace("BUS", &format!("--bus {bus}")).split(' '));
    command.assert()
}

#[test]
fn a_part_behind_a_serial_board_is_personalised_and_signs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let arguments = "element simulate --kit --state part.bin --pty board.tty --serial 0a0b0c0d0e0f";
    let mut board = Running::start(path, arguments.split(' '));
    board.line_with("secure element on ");
    let bus = format!("kit:{}", path.join("board.tty").display());
    let shown = cotter(path, &bus, "--json element show BUS").success();
    let shown: Value = serde_json::from_slice(&shown.get_output().stdout).unwrap();
    assert_eq!(shown["serial_number"], "01230a0b0c0d0e0fee");
    cotter(path, &bus, "element plan BUS -o part.plan.json").success();
    let apply = "--json element apply BUS --plan part.plan.json --transport-key transport.key --yes";
    let done = cotter(path, &bus, apply).success();
    let done: Value = serde_json::from_slice(&done.get_output().stdout).unwrap();
    assert_eq!(done["done"], true);
    cotter(path, &bus, "element show BUS --strict").success();
    cotter(path, &bus, "element csr BUS --slot 0 -o device.csr").success();
    let verified = std::process::Command::new("openssl")
        .current_dir(path)
        .args(["req", "-in", "device.csr", "-verify", "-noout"])
        .output()
        .unwrap();
    assert!(verified.status.success(), "{verified:?}");
    let nobody = cotter(path, &bus, "element show BUS --address 35").code(1);
    let said = String::from_utf8_lossy(&nobody.get_output().stderr).into_owned();
    assert!(said.contains("the board has no part at address 35, but ECC608 TWI 00(C0)"), "{said}");
    board.quit();
    // A line that is none, and one on which nobody speaks the protocol.
    let refused = cotter(path, "kit:/dev/null", "element show BUS").code(1);
    assert!(String::from_utf8_lossy(&refused.get_output().stderr).contains("it is no serial line"));
    let arguments = "element simulate --state part.bin --pty other.tty";
    let mut other = Running::start(path, arguments.split(' '));
    other.line_with("secure element on ");
    let bus = format!("kit:{}", path.join("other.tty").display());
    let refused = cotter(path, &bus, "element show BUS").code(1);
    assert!(String::from_utf8_lossy(&refused.get_output().stderr).contains("no part at address 60, but nothing"));
    other.quit();
}
