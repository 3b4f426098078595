//! `cotter at device` as a person types it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

mod running;

use assert_cmd::Command;
use running::Running;
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

fn start(directory: &Path, arguments: &[&str]) -> Running {
    let always = ["--json", "at", "device", "--mode", "plain", "--cmd", "at.tty", "--log", "log.tty"];
    Running::start(directory, always.iter().chain(arguments))
}

fn next(module: &mut Running) -> Value {
    serde_json::from_str(&module.line()).unwrap()
}

fn until(module: &mut Running, wanted: &str) -> Value {
    loop {
        let event = next(module);
        if event["event"] == wanted {
            return event;
        }
    }
}

fn open(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

fn hear(port: &mut File, end: &str) -> String {
    let mut heard = Vec::new();
    let mut byte = [0];
    while !heard.ends_with(end.as_bytes()) {
        port.read_exact(&mut byte).unwrap();
        heard.push(byte[0]);
    }
    String::from_utf8(heard).unwrap()
}

#[test]
fn a_module_gets_power_when_its_port_is_opened_and_tells_what_it_does() {
    let directory = tempfile::tempdir().unwrap();
    let mut module = start(directory.path(), &["--ap", "home:secret words"]);
    let waiting = next(&mut module);
    assert_eq!((&waiting["event"], &waiting["mode"]), (&Value::from("waiting"), &Value::from("plain")));
    assert!(waiting["cmd_device"].as_str().unwrap().starts_with("/dev/pts/"), "{waiting}");
    for life in 0..2 {
        let mut log = open(&directory.path().join("log.tty"));
        let mut port = open(&directory.path().join("at.tty"));
        assert_eq!(next(&mut module)["event"], "opened");
        assert_eq!(hear(&mut port, "ready\r\n"), "\r\nready\r\n", "life {life}");
        assert_eq!(next(&mut module)["event"], "ready");
        // What nobody read in the life before is still there.
        while !hear(&mut log, "\r\n").starts_with("ESP-ROM:") {}
        port.write_all(b"AT\r\n").unwrap();
        assert_eq!(hear(&mut port, "OK\r\n"), "AT\r\n\r\nOK\r\n");
        assert_eq!(next(&mut module)["text"], "AT");
        port.write_all(b"AT+SYSSTORE=0\r\nAT+CWMODE=1\r\nAT+CWJAP=\"home\",\"wrong words\"\r\n").unwrap();
        assert!(hear(&mut port, "ERROR\r\n").ends_with("+CWJAP:2\r\n\r\nERROR\r\n"));
        let mut seen = String::new();
        loop {
            let event = next(&mut module);
            seen += &event.to_string();
            if event["event"] == "refused" {
                break;
            }
        }
        assert!(seen.contains("AT+CWJAP=[2 parameters]") && !seen.contains("wrong"), "{seen}");
        drop(port);
        until(&mut module, "closed");
    }
    module.quit();
    // The links are gone with it.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn what_is_no_link_and_what_is_no_partition_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let device = |arguments: &[&str]| {
        let mut command = Command::cargo_bin("cotter").unwrap();
        command.current_dir(directory.path()).args(["at", "device", "--mode", "plain"]).args(arguments);
        let run = command.output().unwrap();
        (run.status.code(), String::from_utf8_lossy(&run.stderr).into_owned())
    };
    std::fs::write(directory.path().join("file"), "not a link").unwrap();
    let (code, text) = device(&["--cmd", "file"]);
    assert!(code == Some(1) && text.contains("cannot make file a pseudo-terminal"), "{text}");
    assert_eq!(std::fs::read(directory.path().join("file")).unwrap(), b"not a link");
    let (code, text) = device(&["--cmd", "at.tty", "--mfg-nvs", "file"]);
    assert!(code == Some(1) && text.contains("help: name an NVS partition in the clear"), "{text}");
    std::fs::write(directory.path().join("large"), vec![0xFF; 200 * 1024]).unwrap();
    let (code, text) = device(&["--cmd", "at.tty", "--mfg-nvs", "large"]);
    assert!(code == Some(1) && text.contains("but the module's partition mfg_nvs has 126976"), "{text}");
    for wrong in [["--host", "name"], ["--host", "name=there"], ["--ap", ":password"], ["--reach", "moon"]] {
        assert_eq!(device(&["--cmd", "at.tty", wrong[0], wrong[1]]).0, Some(2), "{wrong:?}");
    }
    assert!(!directory.path().join("at.tty").exists());
}

#[test]
fn help_shows_an_example() {
    let help = Command::cargo_bin("cotter").unwrap().args(["at", "device", "--help"]).assert().success();
    let help = String::from_utf8_lossy(&help.get_output().stdout).into_owned();
    assert!(help.contains("cotter at device --mode plain --cmd at.tty --log at-log.tty"), "{help}");
}
