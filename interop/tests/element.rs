//! Microchip's cryptoauthlib 20260505 on the simulated ATECC608, over the bus of `docs/element-bus.md`; keys, signatures
//! and digests are held against OpenSSL by way of Python's cryptography.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test panics where it fails")]

#[path = "element/driven.rs"]
mod driven;

use cotter_chip::atecc::{Entropy, Model, SecureElement};
use cotter_device::atecc::command::zone::{ReadSlot, WriteSlot};
use cotter_factory::pki::compressed::{LeafTemplate, dates_from};
use cotter_factory::pki::{Name, ProductCa, Shape, now};
use cotter_factory::private_key::PrivateKey;
use cotter_factory::public_key::{KeyKind, PublicKey};
use cotter_formats::atecc::Slot;
use cotter_formats::atecc::certificate::{COMPRESSED_LEN, CompressedCertificate};
use cotter_formats::secure_boot::v2::{Curve, EcdsaPublicKey};
use cotter_interop::{Generator, hex, temp_dir, tools};
use cotter_twin::element_bus::Place;
use cotter_twin::element_port::{Clock, ElementPort, Language};
use cotter_twin::serial_port::SerialPort;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/element");

/// A part that is served while `work` runs, with its bus's address.
fn serving<T>(state: &Path, part: SecureElement, work: impl FnOnce(&str) -> T) -> T {
    serving_as(Language::Bus, state, part, work)
}

fn serving_as<T>(language: Language, state: &Path, part: SecureElement, work: impl FnOnce(&str) -> T) -> T {
    let port = SerialPort::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = port.address().unwrap().to_string();
    let mut port = ElementPort::speaking(language, port, part, state.to_owned(), Clock::Real).unwrap();
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

/// A part that a plan personalised, whose certificate Cotter compressed: Microchip's atcacert makes the same of it, and what
/// atcacert compresses is made whole again by Cotter.
#[test]
fn atcacert_and_cotter_make_the_same_certificate_of_72_bytes() {
    let directory = temp_dir();
    let unique = [0x10, 0xba, 0x68, 0xe8, 0x2c, 0x53];
    for years in [0, 9, 28, 40] {
        let state = directory.path().join(format!("element-{years}.bin"));
        let part = SecureElement::fresh(Model::Atecc608A, unique, Entropy::system());
        let before = part.config().clone();
        let subject: Name = format!("CN={}", hex(&before.serial_number())).parse().unwrap();
        let ca = ProductCa::generate("Product CA").unwrap();
        serving(&state, part, |address| {
            let mut element = address.parse::<Place>().unwrap().open(0x60).unwrap();
            let made = driven::personalise(&mut element, &before, directory.path());
            let sec1 = [&[4][..], &made.keys[&0]].concat();
            let key = PublicKey::Ecdsa(EcdsaPublicKey::from_sec1(Curve::P256, &sec1).unwrap());
            let dates = dates_from(now().unwrap(), years).unwrap();
            let whole = ca.issue_compressible(&key, &subject, LeafTemplate::Device, dates).unwrap();
            let shape = Shape { issuer: ca.certificate(), subject: &subject };
            let compressed = shape.compress(&whole).unwrap();
            element.run(WriteSlot::new(slot(10), &compressed.to_bytes())).unwrap();
            drop(element);

            let other = PrivateKey::generate(KeyKind::Ecdsa(Curve::P256)).unwrap();
            let nobody: Name = "CN=000000000000000000".parse().unwrap();
            let template = ca.issue_compressible(other.public(), &nobody, LeafTemplate::Device, dates).unwrap();
            let PublicKey::Ecdsa(ca_key) = ca.certificate().public_key().unwrap() else { unreachable!() };
            let files =
                [("whole.der", whole.as_der()), ("template.der", template.as_der()), ("ca.point", ca_key.point())];
            for (name, content) in files {
                std::fs::write(directory.path().join(name), content).unwrap();
            }
            let folder = directory.path().to_str().unwrap();
            let run = tools().python([&format!("{FOLDER}/certificate.py"), address, folder]);
            println!("{years} years: {}", run.accepted().trim());

            let written = std::fs::read(directory.path().join("written.bin")).unwrap();
            let mut element = address.parse::<Place>().unwrap().open(0x60).unwrap();
            let mut stored = [0; COMPRESSED_LEN];
            element.run(ReadSlot::new(slot(12), &mut stored)).unwrap();
            assert_eq!(stored.as_slice(), written);
            let theirs = CompressedCertificate::parse(&stored).unwrap();
            assert_eq!(theirs.signer_id, [0; 2], "no id in the issuer's name");
            assert_eq!(CompressedCertificate { signer_id: compressed.signer_id, ..theirs }, compressed);
            assert_eq!(shape.expand(&theirs, &key).unwrap().as_der(), whole.as_der());
        });
    }
}

/// A part behind a board: personalised by Cotter over the kit protocol, and then used by cryptoauthlib over the same.
#[test]
fn cryptoauthlib_and_cotter_speak_the_kit_protocol() {
    let directory = temp_dir();
    let state = directory.path().join("element.bin");
    let part = SecureElement::fresh(Model::Atecc608B, [0x10, 0xba, 0x68, 0xe8, 0x2c, 0x53], Entropy::system());
    let before = part.config().clone();
    serving_as(Language::Kit, &state, part, |address| {
        let mut element = format!("kit:{address}").parse::<Place>().unwrap().open(0x60).unwrap();
        let made = driven::personalise(&mut element, &before, directory.path());
        drop(element);
        let (key, serial) = (hex(&made.keys[&0]), hex(&before.serial_number()));
        let run = tools().python([&format!("{FOLDER}/kit.py"), address, &key[..], &serial[..]]);
        println!("{}", run.accepted().trim());
    });
    let stored = SecureElement::load(&state, Entropy::system()).unwrap();
    assert!(stored.config().is_config_locked() && stored.config().is_data_locked());
}

fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}
