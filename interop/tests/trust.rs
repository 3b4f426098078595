//! Trust statements against Python's `cryptography`: we follow what it signed, and it believes what we signed.
#![allow(clippy::unwrap_used, reason = "a test's own inputs")]

use cotter_factory::signing::ManifestKey;
use cotter_factory::trust;
use cotter_interop::{Generator, hex, tools, unhex};
use cotter_wire::firmware_key::FirmwareKey;
use cotter_wire::manifest::{Project, VerifyPolicy};
use cotter_wire::trust::{SignedStatement, Statement, TrustError, TrustNumber};
use serde_json::{Value, json};

const SCRIPT: &str = include_str!("../../vectors/wire/trust.py");
const CASES: usize = 12;

fn project() -> Project {
    Project::new("cotter-app").unwrap()
}

#[test]
fn follows_the_chains_that_python_signed_and_no_half_signed_statement() {
    for _ in 0..CASES {
        let made: Value = serde_json::from_str(&tools().python(["-c", SCRIPT, "sign"]).accepted()).unwrap();
        let keys = made["keys"].as_array().unwrap().iter();
        let keys = keys.map(|key| FirmwareKey::from_spki(&unhex(key.as_str().unwrap())).unwrap());
        let beginning = VerifyPolicy::new(keys, 2).unwrap();
        let verify = |name: &Value, number, policy: &VerifyPolicy| {
            let statement = SignedStatement::parse(name.as_str().unwrap().as_bytes()).unwrap();
            statement.verify(&project(), TrustNumber(number), policy)
        };
        let first = verify(&made["chain"][0], 0, &beginning).unwrap();
        let second = verify(&made["chain"][1], 1, &first.policy).unwrap();
        assert_eq!((second.number, second.policy.required()), (TrustNumber(2), 1));
        let refused = |name: &str| verify(&made[name], 0, &beginning).unwrap_err();
        assert_eq!(refused("unsigned_by_old"), TrustError::NotEnoughOld { valid: 0, required: 2 });
        assert_eq!(refused("unsigned_by_new"), TrustError::NotEnoughNew { valid: 1, required: 2 });
    }
}

#[test]
fn python_believes_what_we_signed() {
    let mut random = Generator::seeded();
    let public = |key: &ManifestKey| FirmwareKey::from_spki(&key.public_spki().unwrap()).unwrap();
    let mut cases = Vec::new();
    for _ in 0..CASES {
        let mut keys = Vec::new();
        for _ in 0..4 {
            let rsa = random.below(3) == 0;
            keys.push(if rsa { ManifestKey::generate_rsa() } else { ManifestKey::generate_p256() }.unwrap());
        }
        // Some keys stay, some go.
        let (old, new) = (&keys[..random.between(1, 3)], &keys[random.between(0, 3)..]);
        let (required, old_required) = (random.between(1, new.len()), random.between(1, old.len()));
        let number = random.next_u32().max(1);
        let statement = Statement {
            project: project(),
            number: TrustNumber(number),
            policy: VerifyPolicy::new(new.iter().map(public), required).unwrap(),
            secure_boot: (0..random.below(4)).map(|_| random.array()).collect(),
        };
        let signers: Vec<_> = keys.iter().collect();
        let signed = trust::sign(&trust::draft(&statement).unwrap(), &signers).unwrap();
        let policy = VerifyPolicy::new(old.iter().map(public), old_required).unwrap();
        SignedStatement::parse(&signed).unwrap().verify(&project(), TrustNumber(number - 1), &policy).unwrap();
        let old_keys: Vec<_> = old.iter().map(|key| hex(&key.public_spki().unwrap())).collect();
        cases.push(json!({
            "statement": String::from_utf8(signed).unwrap(),
            "number": number,
            "required": required,
            "old_keys": old_keys,
            "old_required": old_required,
        }));
    }
    let check = |cases: &[Value]| tools().python_on(SCRIPT, &["verify"], &serde_json::to_vec(cases).unwrap());
    assert_eq!(check(&cases).accepted().trim(), "ok");
    // It would notice: the first character of a signature, another one.
    let mut forged = cases[0].clone();
    let text = forged["statement"].as_str().unwrap().to_owned();
    let at = text.rfind("\"signature\":\"").unwrap() + 13;
    let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
    forged["statement"] = format!("{}{other}{}", &text[..at], &text[at + 1..]).into();
    assert!(check(&[forged]).refused().contains("a signature does not match"));
}
