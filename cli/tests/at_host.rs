//! `cotter at host`, as a person types it, against a small module on pseudo-terminals.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

use assert_cmd::Command;
use cotter_twin::at::line::compat::{CompatKeys, CompatModule};
use cotter_twin::at::line::{Line, Plain};
use cotter_twin::serial_port::{LineEvent, SerialPort};
use cotter_wire::link::compat::{Cipher, CompatKey, ExampleKeys};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A module that says "ready" when its port is opened and answers each command by `answer`.
struct Module {
    directory: tempfile::TempDir,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

type Answer = fn(&str) -> Vec<u8>;

impl Module {
    fn start(answer: Answer) -> Self {
        Self::behind(answer, || Box::new(Plain), usize::MAX)
    }

    /// Behind a line that is made anew at each start; the byte `lost` of what it sends never arrives.
    fn behind(answer: Answer, make: impl Fn() -> Box<dyn Line> + Send + 'static, lost: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = SerialPort::terminal(&directory.path().join("cmd")).unwrap();
        let mut log = SerialPort::terminal(&directory.path().join("log")).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            let (mut heard, mut pending, mut line, mut sent) = (Vec::new(), Vec::new(), make(), 0);
            let send = |command: &mut SerialPort, sent: &mut usize, mut wire: Vec<u8>| {
                let begin = *sent;
                *sent += wire.len();
                if (begin..*sent).contains(&lost) {
                    wire.remove(lost - begin);
                }
                command.write(&wire).unwrap();
            };
            while !told.load(Ordering::Relaxed) {
                let _log = log.wait(&mut buffer, Duration::from_millis(1)).unwrap();
                match command.wait(&mut buffer, Duration::from_millis(5)).unwrap() {
                    LineEvent::Opened => {
                        std::thread::sleep(Duration::from_millis(100));
                        let _log = log.wait(&mut buffer, Duration::from_millis(1)).unwrap();
                        log.write(b"ESP-ROM:esp32c3\r\n").unwrap();
                        (line, sent) = (make(), 0);
                        let wire = line.start(Instant::now()).unwrap();
                        send(&mut command, &mut sent, wire);
                        pending.extend(b"\r\nready\r\n");
                    }
                    LineEvent::Bytes(count) => {
                        let incoming = line.incoming(&buffer[..count], Instant::now()).unwrap();
                        send(&mut command, &mut sent, incoming.wire);
                        heard.extend(incoming.plain);
                    }
                    LineEvent::Closed => heard.clear(),
                    _ => {}
                }
                while let Some(end) = heard.windows(2).position(|pair| pair == b"\r\n") {
                    let text: Vec<u8> = heard.drain(..end + 2).collect();
                    pending.extend(answer(&String::from_utf8_lossy(&text[..end])));
                }
                let wire = line.tick(Instant::now()).unwrap();
                send(&mut command, &mut sent, wire);
                if line.ready() && !pending.is_empty() {
                    let wire = line.outgoing(&std::mem::take(&mut pending), Instant::now()).unwrap();
                    send(&mut command, &mut sent, wire);
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
        command.current_dir(self.folder()).args(["at", "host", "--cmd", "cmd", "--log", "log"]);
        if !arguments.contains("--mode") {
            command.args(["--mode", "plain"]);
        }
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
    let warning = String::from_utf8_lossy(&output.stderr);
    assert!(warning.contains("mode plain protects nothing: who is at the line reads and changes all"), "{warning}");
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
    command
        .current_dir(directory.path())
        .args(["at", "host", "--mode", "plain", "--cmd", "nowhere", "--script", "bad.at"]);
    let output = command.assert().code(1).get_output().clone();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("script: line 2, column 1: no such step"), "{text}");
    assert!(text.contains("script: line 3, column 8: the expression cannot be read: unclosed group"), "{text}");
}

#[test]
fn without_a_mode_there_has_to_be_a_key() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::cargo_bin("cotter").unwrap();
    command.current_dir(directory.path()).args(["at", "host", "--cmd", "nowhere", "--script"]);
    let output = command.assert().code(2).get_output().clone();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("error: mode psk needs a key\nhelp: make a file with `cotter at key psk`"), "{text}");
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

/// The example's key and IV, in both directions.
fn example() -> Box<dyn Line> {
    let key = || CompatKey::new(Cipher::Aes128Ctr, &[b'A'; 16], &[b'T'; 16], ExampleKeys::Allow).unwrap();
    Box::new(CompatModule::new(&CompatKeys { to_module: key(), to_host: key() }))
}

const EXAMPLE: &str = "--mode compat --key 41414141414141414141414141414141 --iv 54545454545454545454545454545454";

#[test]
fn compat_says_what_it_lacks_and_shows_the_examples_bytes() {
    let module = Module::behind(obliging, example, usize::MAX);
    let mut host = module.host(&format!("{EXAMPLE} --allow-example-keys --script --log-file talk.log"));
    let output = host.unwrap();
    let warning = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(warning.starts_with("warning: mode compat: ") && warning.contains("no integrity"), "{warning}");
    let log = std::fs::read_to_string(module.folder().join("talk.log")).unwrap();
    for line in [
        " intf-sec-rx: a1 61 07 bf 80 39 c9 54 13\n",
        " intf-sec-tx: ed 3f 78 d0\n",
        " intf-sec-rx: 74 bd 1b 0f c9 76 69 38 eb af\n",
    ] {
        assert!(log.contains(line), "{line:?} in {log}");
    }
}

#[test]
fn one_lost_byte_in_compat_fails_the_step_that_it_ruins() {
    let module = Module::behind(obliging, example, 12);
    module.script("timeout 1s\nready\nsend \"AT\"\nexpect \"OK\\r\\n\"\nsend \"AT+GMR\"\nexpect \"OK\\r\\n\"\n");
    let mut host = module.host(&format!("{EXAMPLE} --allow-example-keys --script test.at --json"));
    let output = host.assert().code(1).get_output().clone();
    let verdict = json(&output.stdout);
    let outcomes: Vec<&str> =
        verdict["steps"].as_array().unwrap().iter().map(|step| step["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["passed", "passed", "passed", "failed", "skipped", "skipped"]);
    assert!(verdict["steps"][3]["failure"].as_str().unwrap().starts_with("\"OK\\r\\n\" did not come within 1s"));
}

#[test]
fn the_examples_keys_are_refused_unless_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::cargo_bin("cotter").unwrap();
    command.current_dir(directory.path()).args(["at", "host", "--cmd", "nowhere", "--script"]);
    let output = command.args(EXAMPLE.split_whitespace()).assert().code(1).get_output().clone();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("error: link: this is the example's key, which everybody knows"), "{text}");
    assert!(text.contains("help: make keys of your own"), "{text}");
}

#[test]
fn derived_keys_work_at_both_ends_and_differ_by_device_and_way() {
    let directory = tempfile::tempdir().unwrap();
    let at = |arguments: &str| {
        let mut command = Command::cargo_bin("cotter").unwrap();
        command.current_dir(directory.path()).args(arguments.split_whitespace());
        command.assert().success().get_output().clone()
    };
    std::fs::write(directory.path().join("secret"), [7; 32]).unwrap();
    at("at key compat --secret secret --mac 7c:df:a1:e0:00:42 -o one.keys");
    at("at key compat --secret secret --mac 7c:df:a1:e0:00:43 -o two.keys");
    at("at key psk --secret secret --mac 7c:df:a1:e0:00:42 --own fridge -o one.psk");
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    let mode = std::fs::metadata(directory.path().join("one.keys")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (one, two) = (read("one.keys"), read("two.keys"));
    let values = |text: &str| text.lines().skip(2).map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    let mut all: Vec<String> = values(&one);
    all.extend::<Vec<String>>(values(&two));
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!((count, all.len()), (8, 8), "no key or IV is there twice");
    assert_eq!(read("one.psk").trim().len(), 64);
    let mut again = Command::cargo_bin("cotter").unwrap();
    again.current_dir(directory.path()).args(["at", "key", "psk", "--secret", "secret", "-o", "one.psk"]);
    let refused = again.assert().code(1).get_output().clone();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("one.psk exists"));

    let unhex = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let found: Vec<Vec<u8>> = one.lines().skip(2).map(|line| unhex(line.split(' ').nth(1).unwrap())).collect();
    let module = Module::behind(
        obliging,
        move || {
            let key = |key: &[u8], iv: &[u8]| CompatKey::new(Cipher::Aes128Ctr, key, iv, ExampleKeys::Refuse).unwrap();
            let (to_module, to_host) = (key(&found[0], &found[1]), key(&found[2], &found[3]));
            Box::new(CompatModule::new(&CompatKeys { to_module, to_host }))
        },
        usize::MAX,
    );
    let keys = directory.path().join("one.keys");
    module.host(&format!("--mode compat --keys {} --script", keys.display())).assert().success();
}
