//! Debug certificates of the ESP32-S31 against espsecure: we verify what it makes, and it would make what we do.
#![allow(clippy::unwrap_used, reason = "a test's own inputs")]

use cotter_factory::debug_certificate::{digest, sign};
use cotter_factory::private_key::PrivateKey;
use cotter_factory::public_key::KeyKind;
use cotter_formats::secure_boot::v2::Curve;
use cotter_formats::secure_debug::{CertificateRefusal, ChipInfo, DebugCertificate, Feature, SessionCounter, Unlock};
use cotter_interop::{Generator, hex, temp_dir, tools};
use serde_json::json;

const CHECK: &str = include_str!("../../vectors/sdc/check.py");

fn unlock(wanted: [bool; 3]) -> Unlock {
    let chosen = Feature::ALL.into_iter().zip(wanted).filter(|&(_, wanted)| wanted);
    chosen.fold(Unlock::NOTHING, |unlock, (feature, _)| unlock.with(feature))
}

fn wanted(random: &mut Generator) -> [bool; 3] {
    [(); 3].map(|()| random.below(2) == 1)
}

#[test]
fn verifies_what_espsecure_signs() {
    let (dir, mut random) = (temp_dir(), Generator::seeded());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let [pem, out, usc, info, digest_file] = ["key.pem", "out.bin", "usc.json", "info.bin", "digest.bin"].map(path);
    for round in 0..9 {
        let key = PrivateKey::generate(KeyKind::Ecdsa(Curve::P256)).unwrap();
        std::fs::write(&pem, key.to_pem().unwrap().as_bytes()).unwrap();
        let (mac, counter): ([u8; 6], _) = (random.array(), *random.pick(&SessionCounter::ALL));
        let (chosen, nonce) = (wanted(&mut random), random.array());
        let mut arguments = vec!["generate-sdc-certificate", "-k", &pem, "-o", &out];
        let (mac_text, counter_text) = (hex(&mac), counter.bits().to_string());
        if round % 3 == 0 {
            std::fs::write(&info, ChipInfo::of(mac, counter, nonce).encode()).unwrap();
            arguments.extend(["--chip-info", &info]);
        } else {
            arguments.extend(["--mac", &mac_text, "--sdc-session-counter", &counter_text]);
        }
        let entries: Vec<_> = Feature::ALL
            .into_iter()
            .zip(chosen)
            .map(|(feature, value)| json!({ "key": feature.name(), "value": value }))
            .collect();
        if round % 2 == 0 {
            let groups = json!({ "version": 1, "groups": [{ "group": "config_flags", "entries": entries }] });
            std::fs::write(&usc, groups.to_string()).unwrap();
            arguments.extend(["--usc", &usc]);
        } else {
            let flags = ["--enable-jtag", "--enable-download-reuse", "--enable-force-spi-boot"];
            arguments.extend(flags.into_iter().zip(chosen).filter(|&(_, wanted)| wanted).map(|(flag, _)| flag));
        }
        tools().espsecure(arguments).accepted();

        let bytes = std::fs::read(&out).unwrap();
        let certificate = DebugCertificate::parse(&bytes).unwrap();
        assert_eq!(certificate.encode()[..], bytes);
        assert_eq!(certificate.unlock, unlock(chosen));
        for other in SessionCounter::ALL {
            let verdict = certificate.verify(&ChipInfo::of(mac, other, certificate.nonce));
            let expected = if other == counter { Ok(()) } else { Err(CertificateRefusal::Signature) };
            assert_eq!(verdict, expected, "signed for {counter:?}, verified for {other:?}");
        }
        if round % 3 == 0 {
            assert_eq!(certificate.nonce, nonce);
        }
        tools().espsecure(["digest-sdc-public-key", "-k", &pem, "-o", &digest_file]).accepted();
        assert_eq!(std::fs::read(&digest_file).unwrap(), digest(key.public()).unwrap());
        assert_eq!(certificate.key_digest(), digest(key.public()).unwrap());
    }
}

#[test]
fn espsecure_makes_the_same_bytes_around_our_signature_and_it_verifies() {
    let mut random = Generator::seeded();
    let cases: Vec<_> = (0..200)
        .map(|_| {
            let key = PrivateKey::generate(KeyKind::Ecdsa(Curve::P256)).unwrap();
            let (mac, counter): ([u8; 6], _) = (random.array(), *random.pick(&SessionCounter::ALL));
            let (chosen, chip) = (wanted(&mut random), ChipInfo::of(mac, counter, random.array()));
            let certificate = sign(&key, unlock(chosen), &chip).unwrap();
            json!({
                "certificate": hex(&certificate.encode()), "unlock": chosen, "mac": hex(&mac),
                "counter": counter.bits(), "chip_info": hex(&chip.digest),
            })
        })
        .collect();
    let output = tools().python_on(CHECK, &[], &serde_json::to_vec(&cases).unwrap()).accepted();
    assert!(output.contains("checked 200 certificates"), "{output}");
}

#[test]
fn both_refuse_a_counter_that_burning_cannot_reach() {
    let (dir, key) = (temp_dir(), PrivateKey::generate(KeyKind::Ecdsa(Curve::P256)).unwrap());
    let [pem, out] = ["key.pem", "out.bin"].map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    std::fs::write(&pem, key.to_pem().unwrap().as_bytes()).unwrap();
    let mac = ["--mac", "30eda0ed789c", "--sdc-session-counter", "2"];
    let arguments = ["generate-sdc-certificate", "-k", &pem, "-o", &out].into_iter().chain(mac);
    assert!(tools().espsecure(arguments).refused().contains("counter"));
    assert!(SessionCounter::new(2).is_none());
}
