//! Pre-encrypted OTA images against an independent implementation in Python: each opens what the other makes.
//!
//! Espressif's own script is in no package index; `vectors/encimg` has its files, and it was run by hand both ways.
#![allow(clippy::unwrap_used, reason = "a test's own inputs")]

use cotter_factory::encrypted_image::{decrypt, device_key, encrypt};
use cotter_factory::private_key::PrivateKey;
use cotter_factory::public_key::KeyKind;
use cotter_formats::secret::Secret;
use cotter_formats::secure_boot::v2::Curve;
use cotter_interop::{Generator, hex, temp_dir, tools, unhex};
use serde_json::{Value, json};

const PEER: &str = include_str!("../../vectors/encimg/peer.py");
/// Of each kind of key.
const CASES: usize = 40;

/// A key, and how Python comes by it.
fn key(index: usize, rsa: &PrivateKey, random: &mut Generator) -> (PrivateKey, Value) {
    let (key, shown) = match index % 3 {
        0 => (PrivateKey::from_pem(rsa.to_pem().unwrap().as_bytes(), None).unwrap(), None),
        1 => (PrivateKey::generate(KeyKind::Ecdsa(Curve::P256)).unwrap(), None),
        _ => {
            let efuse: [u8; 32] = random.array();
            (device_key(&Secret::from_slice(&efuse).unwrap()).unwrap(), Some(hex(&efuse)))
        }
    };
    let case = match shown {
        Some(efuse) => json!({ "hmac_key": efuse }),
        None => json!({ "key": *key.to_pem().unwrap() }),
    };
    (key, case)
}

#[test]
fn each_opens_what_the_other_makes() {
    let (dir, mut random) = (temp_dir(), Generator::seeded());
    let rsa = PrivateKey::generate(KeyKind::Rsa(3072)).unwrap();
    let (mut keys, mut images, mut cases) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..3 * CASES {
        let (key, mut case) = key(index, &rsa, &mut random);
        let length = if index < 18 { [0, 1, 15, 16, 17, 4096][index / 3] } else { random.below(20_000) };
        let image = random.bytes(length);
        case["image"] = hex(&image).into();
        case["file"] = hex(&encrypt(&image, key.public()).unwrap()).into();
        case["public"] = key.public().to_pem().unwrap().into();
        keys.push(key);
        images.push(image);
        cases.push(case);
    }
    let [cases_file, answers_file] = ["cases.json", "answers.json"].map(|name| dir.path().join(name));
    std::fs::write(&cases_file, serde_json::to_vec(&cases).unwrap()).unwrap();
    let script = ["-c".as_ref(), PEER.as_ref(), cases_file.as_os_str(), answers_file.as_os_str()];
    let output = tools().python(script).accepted();
    assert!(output.contains(&format!("opened and made {} files", 3 * CASES)), "{output}");

    let answers: Vec<Value> = serde_json::from_slice(&std::fs::read(answers_file).unwrap()).unwrap();
    for ((answer, key), image) in answers.iter().zip(keys).zip(images) {
        let file = unhex(answer["file"].as_str().unwrap());
        assert_eq!(*decrypt(&file, &key).unwrap(), image);
        let locked = answer["locked"].as_str().unwrap().as_bytes();
        let unlocked = PrivateKey::from_pem(locked, Some(b"a password")).unwrap();
        assert_eq!(*decrypt(&file, &unlocked).unwrap(), image, "with the encrypted PKCS#8 key");
    }
}
