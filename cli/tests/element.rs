//! `cotter element`, and the secure element of `cotter chip run`, as a person types it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

mod running;

use assert_cmd::Command;
use running::Running;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

/// A line to a bus.
struct Bus(BufReader<TcpStream>);

impl Bus {
    fn open(address: &str) -> Self {
        Self(BufReader::new(TcpStream::connect(address).unwrap()))
    }

    fn ask(&mut self, request: &str) -> String {
        self.0.get_mut().write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        self.0.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }

    /// Wakes the part up and lets it execute a packet for as long as it likes.
    fn execute(&mut self, packet: &str) -> String {
        assert_eq!(self.ask("wake"), "ok");
        assert_eq!(self.ask("wait 1500"), "ok");
        assert_eq!(self.ask(&format!("w 60 03{packet}")), format!("ack {}", 1 + packet.len() / 2));
        assert_eq!(self.ask("wait 500000"), "ok");
        let answer = self.ask("r 60 128");
        self.ask("w 60 02");
        answer
    }
}

fn address(line: &str) -> String {
    let (_, rest) = line.split_once("socket://").unwrap();
    rest.split([':', ' ']).take(2).collect::<Vec<_>>().join(":")
}

#[test]
fn help_shows_an_example_that_works() {
    let help = Command::cargo_bin("cotter").unwrap().args(["element", "simulate", "--help"]).assert().success();
    let help = String::from_utf8_lossy(&help.get_output().stdout).into_owned();
    assert!(help.contains("cotter element simulate --state element.bin --listen 127.0.0.1:6080 --clock bus"), "{help}");
    let directory = tempfile::tempdir().unwrap();
    let arguments = "element simulate --state element.bin --listen 127.0.0.1:0 --clock bus";
    let mut element = Running::start(directory.path(), arguments.split(' '));
    let mut bus = Bus::open(&address(&element.line_with("socket://")));
    assert_eq!([bus.ask("wake"), bus.ask("wait 1500"), bus.ask("r 60 4")], ["ok", "ok", "data 04113343"]);
    element.quit();
}

#[test]
fn what_a_part_was_told_is_in_its_file_before_it_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = "--json element simulate --state element.bin --listen 127.0.0.1:0 --clock bus --serial 0a0b0c0d0e0f --model atecc608b";
    let mut element = Running::start(directory.path(), arguments.split(' '));
    let port = address(&element.line_with("socket://").replace('"', " "));
    let mut bus = Bus::open(&port);
    // Info, and Lock of the configuration zone without a summary.
    assert!(bus.execute("0730000000035d").starts_with("data 0700006003"));
    assert!(bus.execute(&packet(&[0x17, 0x80, 0, 0])).starts_with("data 0400"));
    element.kill();
    let file = directory.path().join("element.bin");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // The configuration zone begins behind the 24 bytes that say what the file is.
    assert_eq!(std::fs::read(&file).unwrap()[24 + 87], 0);

    let arguments = "--json element simulate --state element.bin --pty element.tty";
    let mut element = Running::start(directory.path(), arguments.split(' '));
    let mut text = String::new();
    while !text.ends_with("}\n") {
        text += &element.line_with("");
        text.push('\n');
    }
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["serial_number"], "01230a0b0c0d0e0fee");
    assert_eq!((&value["config_locked"], &value["data_locked"]), (&Value::Bool(true), &Value::Bool(false)));
    let mut line = std::fs::File::options().read(true).write(true).open(directory.path().join("element.tty")).unwrap();
    writeln!(line, "power off\ntime").unwrap();
    let mut answers = BufReader::new(line).lines();
    assert_eq!(answers.next().unwrap().unwrap(), "ok");
    assert!(answers.next().unwrap().unwrap().starts_with("time "));
    element.quit();
}

/// A packet with its CRC.
fn packet(content: &[u8]) -> String {
    let mut whole = vec![u8::try_from(content.len() + 3).unwrap()];
    whole.extend(content);
    let crc = cotter_formats::atecc::packet::crc(&whole);
    whole.extend(crc);
    whole.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn count_in(answer: &str) -> u32 {
    let digits = answer.strip_prefix("data 07").unwrap_or_else(|| panic!("{answer}"));
    let bytes: Vec<u8> = (0..4).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect();
    u32::from_le_bytes(bytes.try_into().unwrap())
}

#[test]
fn counters_never_go_back_however_often_the_process_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = "element simulate --state element.bin --listen 127.0.0.1:0 --clock bus";
    let (read, increment) = (packet(&[0x24, 0, 1, 0]), packet(&[0x24, 1, 1, 0]));
    let (mut acknowledged, mut sent) = (0, 0);
    for round in 0_u32..6 {
        let mut element = Running::start(directory.path(), arguments.split(' '));
        let mut bus = Bus::open(&address(&element.line_with("socket://")));
        let found = count_in(&bus.execute(&read));
        assert!((acknowledged..=sent).contains(&found), "{found}, of which {acknowledged} were acknowledged");
        acknowledged = found;
        sent = found;
        for _ in 0..=round {
            acknowledged = count_in(&bus.execute(&increment));
            sent = acknowledged;
        }
        // These are on their way when it dies.
        for _ in 0..20 {
            let lines = format!("wake\nwait 1500\nw 60 03{increment}\nwait 25000\nw 60 02\n");
            bus.0.get_mut().write_all(lines.as_bytes()).unwrap();
            sent += 1;
        }
        std::thread::sleep(std::time::Duration::from_micros(u64::from(round) * 300));
        element.kill();
    }
}

#[test]
fn a_chip_keeps_its_secure_element_alive() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = "chip run --chip esp32 --listen 127.0.0.1:0 --secure-element se.bin";
    let mut chip = Running::start(directory.path(), arguments.split(' '));
    let line = chip.line_with("secure element se.bin on socket://");
    assert!(line.ends_with("address 60, configuration unlocked, data unlocked"), "{line}");
    let mut bus = Bus::open(&address(&line));
    assert!(bus.execute("0730000000035d").starts_with("data 0700006002"));
    chip.line_with("waiting for download");
    chip.quit();
    assert!(directory.path().join("se.bin").exists());
}

#[test]
fn a_file_that_is_no_part_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("element.bin"), "hello").unwrap();
    let simulate = || {
        let mut command = Command::cargo_bin("cotter").unwrap();
        command.current_dir(directory.path()).args(["element", "simulate", "--state", "element.bin", "--listen"]);
        command.arg("127.0.0.1:0");
        command
    };
    let refused = simulate().assert().code(1);
    let text = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    assert!(
        text.contains("expected a file of 1458 bytes that begins with \"cotter secure element 1\", got 5"),
        "{text}"
    );
    simulate().args(["--serial", "0a0b"]).assert().code(2);
}

/// A new part, configured by hand; what `show` and `public-key` say of it.
#[test]
fn a_part_on_a_bus_is_shown_with_what_is_wrong_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let cotter = |arguments: &str| {
        let mut command = Command::cargo_bin("cotter").unwrap();
        command.current_dir(directory.path()).args(arguments.split(' '));
        command.assert()
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let arguments = "element simulate --state element.bin --listen 127.0.0.1:0 --clock bus --serial 0a0b0c0d0e0f";
    let mut element = Running::start(directory.path(), arguments.split(' '));
    let port = address(&element.line_with("socket://"));

    let shown = cotter(&format!("--json element show --bus {port}")).success();
    let shown: Value = serde_json::from_slice(&shown.get_output().stdout).unwrap();
    assert_eq!((&shown["model"], &shown["serial_number"]), (&"ATECC608A".into(), &"01230a0b0c0d0e0fee".into()));
    assert_eq!((&shown["config_locked"], &shown["counters"]), (&false.into(), &serde_json::json!([0, 0])));
    let codes = |shown: &Value| {
        let findings = shown["findings"].as_array().unwrap().iter();
        findings.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(codes(&shown)[..2], ["configuration-open", "data-open"]);

    // Slot 0: a key that signs, which everybody may make anew until the slot is locked.
    let mut bus = Bus::open(&port);
    for word in [[0x12, 0, 5, 0, 0x81, 0x20, 0x87, 0x20], [0x12, 0, 24, 0, 0x33, 0, 0x33, 0]] {
        assert!(bus.execute(&packet(&word)).starts_with("data 0400"), "{word:?}");
    }
    assert!(bus.execute(&packet(&[0x17, 0x80, 0, 0])).starts_with("data 0400"), "the configuration is locked");
    let made = bus.execute(&packet(&[0x40, 0x04, 0, 0]));
    assert!(bus.execute(&packet(&[0x17, 0x81, 0, 0])).starts_with("data 0400"), "the data zone is locked");
    drop(bus);

    let strict = cotter(&format!("element show --bus {port} --strict")).code(1);
    let said = text(&strict.get_output().stdout);
    assert!(said.contains("configuration locked, data locked, counters 0 and 0"), "{said}");
    assert!(said.contains("identity-regenerable: slot 0: everybody on the bus can make a new private key"), "{said}");
    let written = cotter(&format!("element public-key --bus {port} --slot 0 -o key.pem")).success();
    assert_eq!(text(&written.get_output().stdout), "key.pem: the public key of slot 0\n");
    // What GenKey answered is what OpenSSL reads in the file.
    let openssl = std::process::Command::new("openssl")
        .args(["pkey", "-pubin", "-in", "key.pem", "-outform", "DER"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let point: String = openssl.stdout.iter().rev().take(64).rev().map(|byte| format!("{byte:02x}")).collect();
    assert!(openssl.status.success() && made.contains(&point), "{made} {point}");

    let refused = cotter(&format!("element public-key --bus {port} --slot 4 -o other.pem")).failure();
    let said = text(&refused.get_output().stderr);
    assert!(said.contains("slot 4") && said.contains("help: "), "{said}");
    assert!(!directory.path().join("other.pem").exists());
    let nobody = cotter(&format!("element show --bus {port} --address 61")).failure();
    let said = text(&nobody.get_output().stderr);
    assert!(said.contains("nothing answers at its address") && said.contains("help: look at --address"), "{said}");
    element.quit();
    let gone = cotter(&format!("element show --bus {port}")).failure();
    assert!(text(&gone.get_output().stderr).contains("cannot open the bus"));
    for wrong in ["--bus nowhere", "--bus 127.0.0.1:1 --address 7f", "--bus 127.0.0.1:1 --slot 16"] {
        cotter(&format!("element public-key --slot 0 -o - {wrong}")).code(2);
    }
}
