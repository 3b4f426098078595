//! `cotter at host`, as a person types it, against a small module on pseudo-terminals.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

use assert_cmd::Command;
use cotter_twin::serial_port::{LineEvent, SerialPort};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A module that says "ready" when its port is opened and answers each command by `answer`.
struct Module {
    directory: tempfile::TempDir,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

type Answer = fn(&str) -> Vec<u8>;

impl Module {
    fn start(answer: Answer) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = SerialPort::terminal(&directory.path().join("cmd")).unwrap();
        let mut log = SerialPort::terminal(&directory.path().join("log")).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            let mut heard = Vec::new();
            while !told.load(Ordering::Relaxed) {
                let _log = log.wait(&mut buffer, Duration::from_millis(1)).unwrap();
                match command.wait(&mut buffer, Duration::from_millis(5)).unwrap() {
                    LineEvent::Opened => {
                        std::thread::sleep(Duration::from_millis(100));
                        let _log = log.wait(&mut buffer, Duration::from_millis(1)).unwrap();
                        log.write(b"ESP-ROM:esp32c3\r\n").unwrap();
                        command.write(b"\r\nready\r\n").unwrap();
                    }
                    LineEvent::Bytes(count) => heard.extend(&buffer[..count]),
                    LineEvent::Closed => heard.clear(),
                    _ => {}
                }
                while let Some(end) = heard.windows(2).position(|pair| pair == b"\r\n") {
                    let line: Vec<u8> = heard.drain(..end + 2).collect();
                    command.write(&answer(str::from_utf8(&line[..end]).unwrap())).unwrap();
                }
            }
        });
        Self { directory, stop, thread: Some(thread) }
    }

    fn folder(&self) -> &Path {
        self.directory.path()
    }

    fn host(&self, arguments: &str) -> Command {
        let mut command = Command::cargo_bin("cotter").unwrap();
        command.current_dir(self.folder()).args(["at", "host", "--mode", "plain", "--cmd", "cmd", "--log", "log"]);
        command.args(arguments.split_whitespace()).timeout(Duration::from_secs(60));
        command
    }

    fn script(&self, text: &str) -> PathBuf {
        let path = self.folder().join("test.at");
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn obliging(command: &str) -> Vec<u8> {
    let reply = match command {
        "AT+GMR" => "AT version:4.2.0.0\r\n",
        command if command.starts_with("AT+CWJAP=") => "WIFI CONNECTED\r\nWIFI GOT IP\r\n",
        "AT+CIPSEND" => return b"AT+CIPSEND\r\n\r\nOK\r\n\r\n>".to_vec(),
        "AT+RST" => return b"AT+RST\r\n\r\nOK\r\n\r\nready\r\n".to_vec(),
        _ => "",
    };
    format!("{command}\r\n{reply}\r\nOK\r\n").into_bytes()
}

fn deaf(command: &str) -> Vec<u8> {
    if command == "AT" { obliging(command) } else { Vec::new() }
}

fn unwilling(command: &str) -> Vec<u8> {
    if command == "AT+GMR" { format!("{command}\r\n\r\nERROR\r\n").into_bytes() } else { obliging(command) }
}

fn json(output: &[u8]) -> Value {
    serde_json::from_slice(output).unwrap()
}

#[test]
fn the_examples_sequence_passes_and_is_written_down() {
    let module = Module::start(obliging);
    let output = module.host("--script --json --log-file talk.log").assert().success().get_output().clone();
    let verdict = json(&output.stdout);
    assert_eq!((&verdict["passed"], &verdict["mode"]), (&Value::Bool(true), &Value::from("plain")));
    assert_eq!(verdict["steps"].as_array().unwrap().len(), 11);
    let log = module.folder().join("talk.log");
    assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    let log = std::fs::read_to_string(log).unwrap();
    for line in [
        " log ESP-ROM:esp32c3\n",
        " intf-sec-rx: 0d 0a 72 65 61 64 79 0d 0a\n",
        " > AT\n",
        " intf-sec-tx: 41 54 0d 0a\n",
        " > AT+CWJAP=\"688018\",\"\"\n",
        " < WIFI GOT IP\n",
        " -- passed: 11 of 11 steps\n",
    ] {
        assert!(log.contains(line), "{line:?} in {log}");
    }
}

#[test]
fn a_log_file_gets_a_name_and_never_replaces_one() {
    let module = Module::start(obliging);
    module.host("--script").assert().success();
    let folder = std::fs::read_dir(module.folder().join("at_log")).unwrap();
    let names: Vec<String> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(matches!(&names[..], [name] if name.len() == "20260102_030405.log".len()), "{names:?}");
    std::fs::write(module.folder().join("kept.log"), "kept").unwrap();
    let refused = module.host("--script --log-file kept.log").assert().code(1).get_output().clone();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot write kept.log: File exists"));
    assert_eq!(std::fs::read_to_string(module.folder().join("kept.log")).unwrap(), "kept");
}

#[test]
fn a_reply_that_does_not_come_fails_its_step_and_skips_the_rest() {
    let module = Module::start(deaf);
    let script = "timeout 300ms\nready within 5s\nsend \"AT\"\nexpect \"OK\\r\\n\"\nsend \"AT+GMR\"\nexpect \"OK\\r\\n\"\nescape\n";
    module.script(script);
    let output = module.host("--script test.at --json").assert().code(1).get_output().clone();
    let verdict = json(&output.stdout);
    let outcomes: Vec<&str> =
        verdict["steps"].as_array().unwrap().iter().map(|step| step["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["passed", "passed", "passed", "passed", "passed", "failed", "skipped"]);
    assert_eq!(verdict["steps"][5]["line"], 6);
    assert_eq!(verdict["steps"][5]["failure"], "\"OK\\r\\n\" did not come within 300ms; heard: \"\"");
    assert_eq!(verdict["passed"], false);
}

#[test]
fn an_error_is_refused_at_once() {
    let module = Module::start(unwilling);
    let output = module.host("--script --json").assert().code(1).get_output().clone();
    let step = &json(&output.stdout)["steps"][5];
    assert_eq!(
        step["failure"],
        "/^(ERROR|FAIL|SEND FAIL|busy p\\.\\.\\.)\\r\\n/ came; heard: \"AT+GMR\\r\\n\\r\\nERROR\\r\\n\""
    );
    assert!(step["seconds"].as_f64().unwrap() < 5.0, "long before its 16 s");
}

#[test]
fn an_error_can_be_what_is_expected() {
    let module = Module::start(unwilling);
    module.script("ready\nsend \"AT+GMR\"\nexpect \"ERROR\"\nrefuse nothing\nsend \"AT+GMR\"\nexpect /^ERR.R\\r$/\n");
    module.host("--script test.at").assert().success();
}

#[test]
fn what_was_heard_before_a_command_does_not_answer_it() {
    let module = Module::start(deaf);
    module.script("ready\nsend \"AT\"\nsleep 200ms\nsend \"AT+GMR\"\nexpect \"OK\" within 300ms\n");
    module.host("--script test.at").assert().code(1);
}

#[test]
fn a_restart_fails_what_does_not_wait_for_it() {
    let module = Module::start(obliging);
    module.script("ready\nsend \"AT+RST\"\nready\nsend \"AT\"\nexpect \"OK\"\n");
    module.host("--script test.at").assert().success();
    module.script("ready\nsend \"AT+RST\"\nexpect \"nothing of the kind\"\n");
    let output = module.host("--script test.at --json").assert().code(1).get_output().clone();
    assert_eq!(json(&output.stdout)["steps"][2]["failure"], "the module has restarted");
}

#[test]
fn a_script_comes_from_standard_input_too() {
    let module = Module::start(obliging);
    module.host("--script -").write_stdin("ready\nsend \"AT\"\nexpect /^OK\\r$/\n").assert().success();
}

#[test]
fn mistakes_in_a_script_are_told_before_the_port_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("bad.at"), "ready\nsned \"AT\"\nexpect /(/\n").unwrap();
    let mut command = Command::cargo_bin("cotter").unwrap();
    command.current_dir(directory.path()).args(["at", "host", "--cmd", "nowhere", "--script", "bad.at"]);
    let output = command.assert().code(1).get_output().clone();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("script: line 2, column 1: no such step"), "{text}");
    assert!(text.contains("script: line 3, column 8: the expression cannot be read: unclosed group"), "{text}");
}

#[test]
fn a_file_that_is_not_there_fails_before_anything_is_sent() {
    let module = Module::start(obliging);
    module.script("ready\nsend \"AT\"\nfile \"missing.bin\"\n");
    let output = module.host("--script test.at --json").assert().code(1).get_output().clone();
    let verdict = json(&output.stdout);
    assert_eq!(verdict["steps"][0]["outcome"], "skipped");
    assert_eq!(verdict["steps"][2]["failure"], "missing.bin cannot be read: No such file or directory (os error 2)");
}

#[test]
fn a_port_that_is_none_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "").unwrap();
    let refusals = [
        ("missing", "serial port missing: cannot be opened: No such file or directory"),
        ("file", "serial port file: it is no serial line"),
    ];
    for (port, why) in refusals {
        let mut command = Command::cargo_bin("cotter").unwrap();
        command.current_dir(directory.path()).args(["at", "host", "--mode", "plain", "--cmd", port, "--script"]);
        let output = command.assert().code(1).get_output().clone();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(why) && text.contains("help: name a serial port"), "{text}");
    }
}
