//! `cotter at host` against `cotter at device` in each mode, and at a terminal.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

mod running;

use assert_cmd::Command;
use running::Running;
use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

/// The virtual module of `cotter at device`, as a process of its own.
struct Device {
    directory: tempfile::TempDir,
    process: Option<Running>,
}

impl Device {
    fn start(mode: &str) -> Self {
        Self::start_with(mode, |_| {})
    }

    /// With the files that `prepare` writes.
    fn start_with(mode: &str, prepare: impl FnOnce(&std::path::Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        std::fs::write(directory.path().join("link.key"), "00112233445566778899aabbccddeeff".repeat(2)).unwrap();
        std::fs::write(directory.path().join("other.key"), [7; 31].iter().chain(&[8]).copied().collect::<Vec<u8>>())
            .unwrap();
        for key in ["host.key", "module.key", "stranger.key"] {
            let mut command = Command::cargo_bin("cotter").unwrap();
            command.current_dir(directory.path()).args(["at", "key", "x25519", "-o", key]).assert().success();
        }
        let options = mode.replace("OWN", "module").replace("PEER", "host");
        let arguments = ["at", "device", "--cmd", "cmd", "--log", "log"];
        let mut process = Running::start(directory.path(), arguments.into_iter().chain(options.split_whitespace()));
        process.line();
        process.is_not_heard();
        Self { directory, process: Some(process) }
    }

    fn host(&self, arguments: &str) -> Command {
        let mut command = Command::cargo_bin("cotter").unwrap();
        command.current_dir(self.directory.path()).args(["at", "host", "--cmd", "cmd", "--log", "log"]);
        let arguments = arguments.replace("OWN", "host").replace("PEER", "module");
        command.args(arguments.split_whitespace()).timeout(Duration::from_secs(60));
        command
    }

    fn script(&self, text: &str) {
        std::fs::write(self.directory.path().join("test.at"), text).unwrap();
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.process.take().unwrap().quit();
    }
}

const MODES: &[&str] = &[
    "--mode plain",
    "--mode compat --key 00112233445566778899aabbccddeeff --iv 0102030405060708090a0b0c0d0e0f10",
    "--mode compat --cipher chacha20 --key 00112233445566778899aabbccddeeff00112233445566778899aabbccddee00 --iv 0102030405060708090a0b0c",
    "--psk-file link.key",
    "--mode noise-nn --psk-file link.key",
    NOISE_KK,
    #[cfg(feature = "link-tls")]
    "--mode tls --tls-version 1.2 --psk-file link.key",
    #[cfg(feature = "link-tls")]
    "--mode tls --tls-version 1.3 --psk-file link.key",
];

const NOISE_KK: &str = "--mode noise-kk --psk-file link.key --static-key-file OWN.key --peer-key-file PEER.key.pub";

#[test]
fn the_examples_sequence_passes_against_the_virtual_module_in_each_mode_and_again() {
    for mode in MODES {
        let device = Device::start(mode);
        for _ in 0..2 {
            device.host(&format!("{mode} --script")).assert().success();
        }
    }
}

#[test]
fn passthrough_carries_data_both_ways_and_ends_with_the_escape_in_each_mode() {
    let echo = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = echo.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in echo.incoming() {
            let mut stream = stream.unwrap();
            let mut back = stream.try_clone().unwrap();
            std::thread::spawn(move || std::io::copy(&mut stream, &mut back));
        }
    });
    for mode in MODES {
        let device = Device::start(mode);
        let data: Vec<u8> = (0..20_000_u32).map(|number| u8::try_from(number * 7 % 251).unwrap()).collect();
        std::fs::write(device.directory.path().join("data.bin"), data).unwrap();
        device.script(&format!(
            "ready\nsend \"AT+CWMODE=1\"\nexpect \"OK\\r\\n\"\nsend \"AT+CWJAP=\\\"ap\\\",\\\"12345678\\\"\"\nexpect \"OK\\r\\n\"\n\
             send \"AT+CIPSTART=\\\"TCP\\\",\\\"127.0.0.1\\\",{port}\"\nexpect \"OK\\r\\n\"\n\
             send \"AT+CIPMODE=1\"\nexpect \"OK\\r\\n\"\npassthrough\n\
             raw \"hello\\x00\\xff+++still here\"\nexpect \"hello\\x00\\xff+++still here\"\n\
             file \"data.bin\"\nraw \"the end\"\nexpect \"the end\"\n\
             escape\nsend \"AT\"\nexpect \"OK\\r\\n\"\n"
        ));
        let output = device.host(&format!("{mode} --script test.at --json")).unwrap();
        assert_eq!(json(&output.stdout)["passed"], true);
    }
}

#[test]
fn a_person_completes_recalls_and_traces_commands_at_a_terminal() {
    let device = Device::start("--psk-file link.key");
    let host = format!("{} at host --cmd cmd --log log --psk-file link.key", env!("CARGO_BIN_EXE_cotter"));
    let mut terminal = std::process::Command::new("timeout")
        .args(["60", "script", "--quiet", "--flush", "--return", "--command", &host, "/dev/null"])
        .current_dir(device.directory.path())
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut screen = terminal.stdout.take().unwrap();
    let mut seen = String::new();
    // The end of the first text that is there behind what was seen before.
    let mut until = |text: &str| loop {
        if let Some(at) = seen.find(text) {
            seen.drain(..at + text.len());
            return;
        }
        let mut some = [0; 1024];
        let count = screen.read(&mut some).unwrap();
        assert!(count > 0, "it has ended without {text:?}: {seen}");
        seen += &String::from_utf8_lossy(&some[..count]);
    };
    let mut typed = terminal.stdin.take().unwrap();
    until(LISTENS);
    until("< ready");
    // Completed by Tab.
    typed.write_all(b"at+gm\t\r").unwrap();
    until(LISTENS);
    until("< AT version:");
    until("< OK");
    typed.write_all(b":trace on\r").unwrap();
    until(LISTENS);
    // Two lines up is the command of before.
    typed.write_all(b"\x1b[A\x1b[A\r").unwrap();
    until("intf-sec-tx: ");
    until("< AT version:");
    until("< OK");
    typed.write_all(b":help\r").unwrap();
    until("ends passthrough");
    until(":quit");
    // Ctrl-D
    typed.write_all(b"\x04").unwrap();
    assert!(terminal.wait().unwrap().success());
    // What a person says is kept.
    let mut logs = std::fs::read_dir(device.directory.path().join("at_log")).unwrap();
    let log = std::fs::read_to_string(logs.next().unwrap().unwrap().path()).unwrap();
    assert_eq!(log.matches(" > AT+GMR\n").count(), 2, "{log}");
}

/// What a terminal is told when a line is about to be read: it is not, before that.
const LISTENS: &str = "\u{1b}[?2004h";

#[cfg(feature = "link-tls")]
#[test]
fn certificates_of_both_ends_serve_and_those_of_strangers_do_not() {
    let device =
        Device::start_with("--mode tls --tls-ca ca.pem --tls-cert module.pem --tls-key module.tls", certificates);
    let host = |name: &str, peer: &str, within: &str| {
        device.script(&format!("ready within {within}\nsend \"AT\"\nexpect \"OK\\r\\n\"\n"));
        let keys = format!("--tls-ca ca.pem --tls-cert {name}.pem --tls-key {name}.tls --tls-peer {peer}");
        device.host(&format!("--mode tls {keys} --script test.at --json"))
    };
    host("host", "module", "10s").assert().success();
    for (name, peer, why) in [("host", "another", "certificate verify failed"), ("stranger", "module", "alert")] {
        let output = host(name, peer, "3s").assert().code(1).get_output().clone();
        let failure = json(&output.stdout)["steps"][0]["failure"].as_str().unwrap().to_owned();
        assert!(failure.contains("the line did not come up: TLS: ") && failure.contains(why), "{name}: {failure}");
    }
}

/// An authority `ca`, certificates of it for `module` and `host`, and one of another authority for `stranger`.
#[cfg(feature = "link-tls")]
fn certificates(folder: &std::path::Path) {
    let openssl = |arguments: &str| {
        let output = std::process::Command::new("openssl").current_dir(folder).args(arguments.split(' ')).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for authority in ["ca", "other-ca"] {
        openssl(&format!(
            "req -x509 {key} -days 30 -subj /CN={authority} -keyout {authority}.key -out {authority}.pem"
        ));
    }
    for (name, authority) in [("module", "ca"), ("host", "ca"), ("stranger", "other-ca")] {
        let issuer = format!("-CA {authority}.pem -CAkey {authority}.key");
        let subject = format!("-subj /CN={name} -addext subjectAltName=DNS:{name}");
        openssl(&format!("req -x509 {key} -days 30 {subject} {issuer} -keyout {name}.tls -out {name}.pem"));
    }
}

#[cfg(not(feature = "link-tls"))]
#[test]
fn a_cotter_without_tls_says_how_to_get_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::cargo_bin("cotter").unwrap();
    command.current_dir(directory.path()).args(["at", "host", "--mode", "tls", "--cmd", "nowhere", "--script"]);
    let text = String::from_utf8(command.assert().code(1).get_output().stderr.clone()).unwrap();
    assert!(text.contains("help: build it with `cargo build -p cotter --features link-tls`"), "{text}");
}

#[test]
fn another_key_never_comes_up_and_nothing_is_said() {
    let device = Device::start("--psk-file link.key");
    device.script("ready within 2s\nsend \"AT\"\n");
    let mut host = device.host("--psk-file other.key --script test.at --json --log-file talk.log");
    let output = host.assert().code(1).get_output().clone();
    let verdict = json(&output.stdout);
    let failure = verdict["steps"][0]["failure"].as_str().unwrap();
    assert!(
        failure.starts_with("the module's \"ready\" did not come within 2s; the line did not come up: link: "),
        "{failure}"
    );
    assert_eq!(verdict["steps"][1]["outcome"], "skipped");
    let log = std::fs::read_to_string(device.directory.path().join("talk.log")).unwrap();
    assert!(!log.contains(" > AT"), "{log}");
}

#[test]
fn a_host_in_the_clear_and_a_sealed_module_do_not_fall_back_to_each_other() {
    let device = Device::start("--psk-file link.key");
    device.script("ready within 2s\n");
    device.host("--mode plain --script test.at").assert().code(1);
    let device = Device::start("--mode plain");
    device.script("ready within 2s\n");
    device.host("--psk-file link.key --script test.at").assert().code(1);
}

#[test]
fn psk_wants_a_key_of_its_length_and_not_the_examples() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("short.key"), [1; 16]).unwrap();
    std::fs::write(directory.path().join("example.key"), [b'A'; 32]).unwrap();
    for (arguments, why) in [
        ("--psk-file short.key", "short.key holds 16 bytes\nhelp: a key has 32 bytes"),
        ("--psk-file example.key", "\nhelp: make keys of your own with `cotter at key`"),
    ] {
        let mut command = Command::cargo_bin("cotter").unwrap();
        command.current_dir(directory.path()).args(["at", "host", "--cmd", "nowhere", "--script"]);
        let output = command.args(arguments.split_whitespace()).assert().code(1).get_output().clone();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn lines_of_standard_input_are_said_one_after_the_other() {
    let device = Device::start("--psk-file link.key");
    let mut host = device.host("--psk-file link.key");
    let output = host.write_stdin("AT\nAT+GMR\n:trace on\nAT+CWMODE?\n:nonsense\n").unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let place = |line: &str| text.find(line).unwrap_or_else(|| panic!("{line:?} in {text}"));
    assert!(place(" > AT\n") < place(" < OK\n"));
    assert!(place(" < OK\n") < place(" > AT+GMR\n") && place(" > AT+GMR\n") < place(" < AT version:"));
    assert!(place(" < AT version:") < place("intf-sec-tx: "));
    assert!(place(" < +CWMODE:") < place("no such step"));
}

#[test]
fn another_static_key_or_another_mode_never_comes_up_and_says_why() {
    let device = Device::start(NOISE_KK);
    device.script("ready within 2s\n");
    for (mode, why) in [
        ("--mode noise-kk --static-key-file stranger.key --peer-key-file module.key.pub", SILENCE),
        ("--mode noise-kk --static-key-file host.key --peer-key-file stranger.key.pub", SILENCE),
        ("--mode noise-nn", "the other end speaks noise-kk, and this one noise-nn"),
        ("--mode psk", "the other end speaks noise-kk, and this one psk"),
    ] {
        let mut host = device.host(&format!("{mode} --psk-file link.key --script test.at --json"));
        let verdict = json(&host.assert().code(1).get_output().stdout);
        let failure = verdict["steps"][0]["failure"].as_str().unwrap();
        assert!(failure.ends_with(why), "{mode}: {failure}");
    }
}

/// With another static key the module refuses, and the host hears nothing that it could refuse.
const SILENCE: &str = "the module's \"ready\" did not come within 2s; the line did not come up";

#[test]
fn noise_kk_wants_both_keys_and_refuses_useless_ones() {
    let directory = tempfile::tempdir().unwrap();
    let cotter = |arguments: &str| {
        let mut command = Command::cargo_bin("cotter").unwrap();
        command.current_dir(directory.path()).args(arguments.split_whitespace());
        command
    };
    cotter("at key x25519 -o own.key").assert().success();
    let mode = std::fs::metadata(directory.path().join("own.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = cotter("at key x25519 -o own.key").assert().code(1).get_output().stderr.clone();
    assert!(String::from_utf8_lossy(&again).contains("own.key exists"));
    std::fs::write(directory.path().join("link.key"), "00112233445566778899aabbccddeeff".repeat(2)).unwrap();
    std::fs::write(directory.path().join("low.pub"), "00".repeat(32)).unwrap();
    for (arguments, says) in [
        ("", "mode noise-kk needs this end's private key and the other's public key\nhelp: make a pair per end"),
        ("--static-key-file own.key --peer-key-file low.pub", "low order"),
        ("--static-key-file own.key --peer-key-file own.key.pub", "is this end's own"),
    ] {
        let mut host = cotter(&format!("at host --cmd none --mode noise-kk --psk-file link.key {arguments} --script"));
        let code = if arguments.is_empty() { 2 } else { 1 };
        let said = host.assert().code(code).get_output().stderr.clone();
        assert!(String::from_utf8_lossy(&said).contains(says), "{}", String::from_utf8_lossy(&said));
    }
}

fn json(output: &[u8]) -> Value {
    serde_json::from_slice(output).unwrap()
}
