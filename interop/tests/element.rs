//! Microchip's cryptoauthlib 20260505 on the simulated ATECC608, over the bus of `docs/element-bus.md`; keys, signatures
//! and digests are held against OpenSSL by way of Python's cryptography.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_chip::atecc::{Entropy, Model, SecureElement};
use cotter_interop::{Generator, temp_dir, tools};
use cotter_twin::element_port::{Clock, ElementPort};
use cotter_twin::serial_port::SerialPort;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/element");

/// A part that is served while `work` runs, with its bus's address.
fn serving<T>(state: &Path, part: SecureElement, work: impl FnOnce(&str) -> T) -> T {
    let port = SerialPort::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = port.address().unwrap().to_string();
    let mut port = ElementPort::new(port, part, state.to_owned(), Clock::Real).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let server = std::thread::spawn(move || port.serve(&told).unwrap());
    let result = work(&address);
    stop.store(true, Ordering::Relaxed);
    server.join().unwrap();
    result
}

#[test]
fn cryptoauthlib_personalises_and_uses_both_parts() {
    let mut seeds = Generator::seeded();
    for model in [Model::Atecc608A, Model::Atecc608B] {
        let directory = temp_dir();
        let state = directory.path().join("element.bin");
        let part = SecureElement::fresh(model, [0x10, 0xba, 0x68, 0xe8, 0x2c, 0x53], Entropy::system());
        let seed = seeds.next_u32();
        let run = serving(&state, part, |address| {
            tools().python([&format!("{FOLDER}/session.py"), address, &seed.to_string()[..]])
        });
        println!("{model:?}, seed {seed}: {}", run.accepted().trim());
        let stored = SecureElement::load(&state, Entropy::system()).unwrap();
        let config = stored.config();
        assert!(config.is_config_locked() && config.is_data_locked(), "all that is in the file, too");
    }
}
