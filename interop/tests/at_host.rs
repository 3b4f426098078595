//! `cotter at host`'s engine in mode compat against a Python module that behaves as the firmware of ESP-AT's example
//! at_interface_security (PyCryptodome 4.4.0): the example's sequence, byte for byte, and what that example cannot say.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

use cotter_interop::{Generator, tools};
use cotter_twin::at::host::{Event, Host};
use cotter_twin::at::line::compat::{CompatHost, CompatKeys};
use cotter_twin::at::port::{FlowControl, Port, Speed};
use cotter_twin::at::script::{EXAMPLE, Outcome, Script, Verdict, run};
use cotter_wire::link::compat::{Cipher, CompatKey, ExampleKeys};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Arc, Mutex};

const DEVICE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/at_host/device.py");
const SPEED: Speed = Speed { baud: 115_200, flow: FlowControl::None };

/// The Python module while it lives.
struct Module {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    ports: serde_json::Value,
}

impl Module {
    fn start(key: &[u8], iv: &[u8], fault: &str) -> Self {
        let mut command = tools().python_command();
        command.args([DEVICE, &hex(key), &hex(iv), fault]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let ports = serde_json::from_str(&line).unwrap();
        Self { input: process.stdin.take(), process, output, ports }
    }

    fn port(&self, name: &str) -> Port {
        Port::open(Path::new(self.ports[name].as_str().unwrap()), SPEED).unwrap()
    }

    /// Ends it, with what it says to have sent and to have received.
    fn end(mut self) -> (Vec<String>, Vec<String>) {
        drop(self.input.take());
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        for line in self.output.by_ref().lines() {
            let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            sent.extend(line["tx"].as_str().map(str::to_owned));
            received.extend(line["rx"].as_str().map(str::to_owned));
        }
        assert!(self.process.wait().unwrap().success());
        (sent, received)
    }
}

/// What a host told while it ran a script.
struct Told {
    verdict: Verdict,
    sent: Vec<String>,
    log: Vec<u8>,
}

fn told(module: &Module, key: &[u8], iv: &[u8], script: &str) -> Told {
    let cipher = Cipher::aes_ctr(key.len()).unwrap();
    let made = || CompatKey::new(cipher, key, iv, ExampleKeys::Allow).unwrap();
    let line = CompatHost::new(Arc::new(CompatKeys { to_module: made(), to_host: made() }));
    let wire = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let watched = Arc::clone(&wire);
    let watcher = move |event: Event<'_>| match event {
        Event::WireSent(bytes) => watched.lock().unwrap().0.push(hex(bytes)),
        Event::Logged(bytes) => watched.lock().unwrap().1.extend_from_slice(bytes),
        _ => {}
    };
    let mut host = Host::new(module.port("cmd"), Some(module.port("log")), Box::new(line), watcher).unwrap();
    let verdict = run(&Script::parse(script).unwrap(), Path::new(""), &mut host, |_, _| {});
    let (sent, log) = std::mem::take(&mut *wire.lock().unwrap());
    Told { verdict, sent, log }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the first step failed, by its line.
fn failed_at(verdict: &Verdict) -> Option<usize> {
    verdict.reports.iter().find(|report| matches!(report.outcome, Outcome::Failed(_))).map(|report| report.line)
}

#[test]
fn the_examples_sequence_succeeds_byte_for_byte() {
    let (key, iv) = ([b'A'; 16], [b'T'; 16]);
    let module = Module::start(&key, &iv, "");
    let host = told(&module, &key, &iv, EXAMPLE);
    assert!(host.verdict.passed(), "{:?}", host.verdict);
    assert_eq!(host.log, b"ESP-ROM:esp32c3-api1-20210207\r\n");
    let (sent, received) = module.end();
    // The seed's three transcripts and the rest of the sequence, as the unmodified host script sends it.
    assert_eq!(sent[..2], ["a16107bf8039c95413", "74bd1b0fc9766938ebaf"]);
    let commands = [
        "ed3f78d0",
        "a0099b1e5467e41c",
        "44905765 24abea96 309e602e d0",
        "09b676453 78d4e732357ed93b8345ca87a25a99b7aed",
    ];
    assert_eq!(host.sent, commands.map(|command| command.replace(' ', "")));
    assert_eq!(received.concat(), host.sent.concat());
}

#[test]
fn any_key_and_iv_of_each_length_succeeds() {
    let mut generator = Generator::seeded();
    for length in [16, 24, 32, 16] {
        let (key, iv) = (generator.bytes(length), generator.bytes(16));
        let module = Module::start(&key, &iv, "");
        let host = told(&module, &key, &iv, EXAMPLE);
        assert!(host.verdict.passed(), "{:?}", host.verdict);
        module.end();
    }
}

/// The example's host script waits forever in these cases.
#[test]
fn the_start_is_found_behind_noise_and_in_pieces() {
    let (key, iv) = (*b"0123456789abcdef", *b"fedcba9876543210");
    for fault in ["noise=1", "noise=300", "halves"] {
        let module = Module::start(&key, &iv, fault);
        let host = told(&module, &key, &iv, EXAMPLE);
        assert!(host.verdict.passed(), "{fault}: {:?}", host.verdict);
        module.end();
    }
}

/// The example's host script prints its success line and exits with 0 here, after four timeouts.
#[test]
fn one_lost_byte_fails_the_step_that_it_ruins() {
    let (key, iv) = (*b"0123456789abcdef", *b"fedcba9876543210");
    let quick = EXAMPLE.replace("timeout 16s", "timeout 1s");
    // In "ready", in the first reply, in the second.
    for (lost, line) in [(3, 3), (12, 5), (40, 7)] {
        let module = Module::start(&key, &iv, &format!("lose={lost}"));
        let host = told(&module, &key, &iv, &quick.replace("within 60s", "within 2s"));
        assert_eq!(failed_at(&host.verdict), Some(line), "byte {lost}: {:?}", host.verdict);
        module.end();
    }
}

#[test]
fn another_key_is_never_ready() {
    let module = Module::start(&[1; 16], &[2; 16], "");
    let host = told(&module, &[1; 16], &[3; 16], "ready within 2s\nsend \"AT\"\n");
    assert_eq!(failed_at(&host.verdict), Some(1));
    assert!(host.sent.is_empty(), "nothing is said to a module that is not understood");
    module.end();
}
