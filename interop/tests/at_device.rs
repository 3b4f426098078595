//! The virtual ESP-AT module with hosts that are not ours: the script of ESP-AT's example, and one of pyserial, with real
//! Python servers and mosquitto behind the module.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics where it fails, and prints what it saw")]

use cotter_interop::{temp_dir, tools};
use cotter_twin::at::device::{Device, DeviceEvent, Lines};
use cotter_twin::at::flash::Flash;
use cotter_twin::at::line::Plain;
use cotter_twin::at::line::compat::{CompatKeys, CompatModule};
use cotter_twin::at::module::Surroundings;
use cotter_twin::at::{Network, Reach, TIME_PORT};
use cotter_twin::serial_port::SerialPort;
use cotter_wire::link::compat::{Cipher, CompatKey, ExampleKeys};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A module on two pseudo-terminals, for as long as it is not dropped.
struct Bench {
    command: PathBuf,
    log: PathBuf,
    quit: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<DeviceEvent>>>,
}

impl Bench {
    fn new(folder: &Path, lines: Lines, flash: Flash, time_port: u16) -> Self {
        let terminal = |name: &str| SerialPort::terminal(&folder.join(name)).unwrap();
        let (command, log) = (terminal("cmd.tty"), terminal("log.tty"));
        let device = |port: &SerialPort| port.device().unwrap().to_owned();
        let (command_device, log_device) = (device(&command), device(&log));
        let hosts = vec![("other.example".to_owned(), Ipv4Addr::LOCALHOST.into())];
        let network = Network { reach: Reach::Loopback, hosts, time_port };
        let surroundings = Surroundings { network, access_points: Vec::new(), mac: [2, 0xC0, 0x77, 0xE2, 0, 1] };
        let mut module = Device::new(command, Some(log), lines, surroundings, flash);
        let quit = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&quit);
        let thread = std::thread::spawn(move || {
            let mut events = Vec::new();
            while !asked.load(Ordering::Relaxed) {
                events.extend(module.step(Duration::from_millis(2)).unwrap());
            }
            events
        });
        Self { command: command_device, log: log_device, quit, thread: Some(thread) }
    }

    fn stop(mut self) -> Vec<DeviceEvent> {
        self.quit.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Relaxed);
    }
}

fn plain() -> Lines {
    Box::new(|| Box::new(Plain))
}

/// As the example's firmware has it: one key and one IV for both directions.
fn example() -> Lines {
    let key = || CompatKey::new(Cipher::Aes128Ctr, &[b'A'; 16], &[b'T'; 16], ExampleKeys::Allow).unwrap();
    let keys = CompatKeys { to_module: key(), to_host: key() };
    Box::new(move || Box::new(CompatModule::new(&keys)))
}

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/at").join(name)
}

/// The example's host script as Espressif publishes it, if `cargo xtask tools` could fetch it; else what it does, in ours.
fn example_script() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/esp-at/at_intf_security_host.py");
    let Ok(text) = std::fs::read(&script) else {
        println!("ESP-AT's own host script is not there: a script of ours does what it does");
        return here("example_host.py");
    };
    let digest: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, "dd0259a5b4d91e77fe036c5be414adb980a30a14c94173a4335aa13905929aac", "{}", script.display());
    println!("ESP-AT's own host script, unmodified: SHA-256 {digest}");
    script
}

#[test]
fn the_script_of_the_example_succeeds_with_its_own_bytes_on_the_wire() {
    let folder = temp_dir();
    let bench = Bench::new(folder.path(), example(), Flash::default(), TIME_PORT);
    let python = tools().python(["-c", "import sys; print(sys.executable)"]).accepted();
    let script = example_script();
    let arguments: Vec<OsString> = [
        here("in_dev.sh").into(),
        bench.log.clone().into(),
        bench.command.clone().into(),
        "timeout".into(),
        "120".into(),
        python.trim().into(),
        "-u".into(),
        script.into(),
    ]
    .to_vec();
    let run = tools().shell(folder.path(), arguments).accepted();
    let events = bench.stop();
    // The script says so whatever happened, so that is not enough.
    assert!(run.contains("AT interface security test success!"), "{run}");
    for failure in ["cmd timeout", "returns ERROR", "Please make sure", "set up failed"] {
        assert!(!run.contains(failure), "{failure}: {run}");
    }
    for vector in [
        "intf-sec-rx: a1 61 07 bf 80 39 c9 54 13\n",
        "intf-sec-tx: ed 3f 78 d0\n",
        "intf-sec-rx: 74 bd 1b 0f c9 76 69 38 eb af\n",
        "intf-sec-tx: a0 09 9b 1e 54 67 e4 1c\n",
        "intf-sec-tx: 44 90 57 65 24 ab ea 96 30 9e 60 2e d0\n",
        "intf-sec-tx: 09 b6 76 45 37 8d 4e 73 23 57 ed 93 b8 34 5c a8 7a 25 a9 9b 7a ed\n",
    ] {
        assert!(run.replace("\u{1b}[0m", "").contains(vector), "{vector} is missing: {run}");
    }
    // The log port was read beside it, and what was wanted came in the clear.
    for text in ["at-init:", "AT version:", "WIFI GOT IP"] {
        assert!(run.contains(text), "{text}: {run}");
    }
    let commands = events.iter().filter(|event| format!("{event:?}").contains("Command(\"AT")).count();
    assert_eq!((commands, events.first()), (4, Some(&DeviceEvent::Opened)), "{events:?}");
    assert!(!events.iter().any(|event| format!("{event:?}").contains("Refused")), "{events:?}");
    println!("{run}");
}

fn peer(what: &str) {
    let folder = temp_dir();
    let path = folder.path().to_str().unwrap();
    tools().python([here("pki.py").as_os_str(), folder.path().as_os_str()]).accepted();
    let (csv, image) = (format!("{path}/mfg_nvs.csv"), format!("{path}/mfg_nvs.bin"));
    tools().nvs_partition_gen(["generate", &csv, &image, "0x1f000"]).accepted();
    let mut flash = Flash::default();
    if what == "mqtt" {
        flash = Flash::new(std::fs::read(image).unwrap());
    }
    // Free, and soon the peer's.
    let time_port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let bench = Bench::new(folder.path(), plain(), flash, time_port);
    let (script, time_port) = (here("peer.py"), time_port.to_string());
    let argument = if what == "commands" { &time_port } else { path };
    let arguments = [script.as_os_str(), bench.command.as_os_str(), what.as_ref(), argument.as_ref()];
    let run = tools().python(arguments).accepted();
    assert!(run.contains(&format!("{what} passed")), "{run}");
    let notes: Vec<String> = bench.stop().iter().map(|event| format!("{event:?}")).collect();
    let has = |text: &str| notes.iter().any(|note| note.contains(text));
    // Each refusal has the reason that the test was after.
    let reasons: &[&str] = match what {
        "sockets" => &["is not on this machine", "certificate not valid yet", "UnknownIssuer"],
        "mqtt" => &["certificate not valid for name", "UnknownIssuer", "broker refused the login"],
        _ => &["127.0.0.1 told the time", "localhost told the time", "the server knows no time"],
    };
    assert!(reasons.iter().all(|reason| has(reason)), "{reasons:?}: {notes:?}");
    println!("{run}");
}

#[test]
fn a_host_of_pyserial_gets_every_family_of_commands_answered() {
    peer("commands");
}

#[test]
fn sockets_of_the_module_reach_python_servers() {
    peer("sockets");
}

/// Certificates in a partition of Espressif's generator; a password of 214 characters.
#[test]
fn mqtt_of_the_module_reaches_mosquitto_with_and_without_tls() {
    peer("mqtt");
}
