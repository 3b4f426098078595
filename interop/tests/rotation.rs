//! Rotation of root keys against Python's `cryptography`, from random input: it opens and checks what we make, and we open
//! what it makes.
#![allow(clippy::unwrap_used, reason = "a test's own inputs")]

use cotter_formats::secret::Secret;
use cotter_interop::{Generator, ToolRun, hex, tools};
use cotter_wire::ids::{DeviceId, KeyEpoch};
use cotter_wire::keys::{ConfirmationKey, OfferKey, RootKey};
use cotter_wire::rotation::{Asked, Asking, ConfirmMessage, Confirmation, MAX_MESSAGE, Offered, Ticket};
use serde_json::{Value, json};

const SCRIPT: &str = include_str!("../../vectors/wire/rotation.py");
const CASES: usize = 300;

fn root(bytes: &[u8; 32]) -> RootKey {
    RootKey::new(Secret::filled_by(|key| *key = *bytes))
}

/// One rotation with random everything.
struct Case {
    device: DeviceId,
    present: (KeyEpoch, [u8; 32]),
    new: (KeyEpoch, [u8; 32]),
    device_nonce: [u8; 16],
    ticket: Ticket,
    nonce: [u8; 12],
}

impl Case {
    fn random(random: &mut Generator) -> Self {
        let len = random.between(1, 32);
        let device: String = (0..len).map(|_| char::from(*random.pick(b"abcxyz0189-"))).collect();
        let present = random.next_u32() >> 1;
        let new = KeyEpoch(present + 1 + random.next_u32() % 1000);
        Self {
            device: device.parse().unwrap(),
            present: (KeyEpoch(present), random.array()),
            new: (new, random.array()),
            device_nonce: random.array(),
            ticket: Ticket(random.array()),
            nonce: random.array(),
        }
    }

    fn offer(&self) -> Vec<u8> {
        let asked = Asked { device: &self.device, epoch: self.present.0, device_nonce: &self.device_nonce };
        let offered = Offered { epoch: self.new.0, root: root(&self.new.1), ticket: self.ticket };
        let key = OfferKey::derive(&root(&self.present.1), &self.device);
        asked.offer(&key, &offered, self.nonce, &mut [0; MAX_MESSAGE]).unwrap().to_vec()
    }

    fn confirmation(&self) -> Confirmation {
        let Self { device, device_nonce, ticket, .. } = *self;
        Confirmation { device, epoch: self.new.0, device_nonce, ticket }
    }

    fn key(&self) -> ConfirmationKey {
        ConfirmationKey::derive(&root(&self.new.1), &self.device)
    }

    fn input(&self) -> Value {
        json!({
            "device": self.device.as_str(), "present_epoch": self.present.0.0, "present_root": hex(&self.present.1),
            "epoch": self.new.0.0, "root": hex(&self.new.1), "device_nonce": hex(&self.device_nonce),
            "ticket": hex(&self.ticket.0), "nonce": hex(&self.nonce),
        })
    }

    fn with_messages(&self) -> Value {
        let confirm = self.confirmation().write(&self.key(), &mut [0; MAX_MESSAGE]).unwrap().to_vec();
        let message = ConfirmMessage::parse(&confirm).unwrap();
        let ack =
            message.verify(&self.key()).unwrap().acknowledge(&self.key(), &mut [0; MAX_MESSAGE]).unwrap().to_vec();
        let mut document = self.input();
        for (name, message) in [("offer", self.offer()), ("confirm", confirm), ("ack", ack)] {
            document[name] = String::from_utf8(message).unwrap().into();
        }
        document
    }
}

fn python(verb: &str, cases: &[Value]) -> ToolRun {
    tools().python_on(SCRIPT, &[verb], &serde_json::to_vec(cases).unwrap())
}

#[test]
fn python_opens_and_checks_what_we_make() {
    let mut random = Generator::seeded();
    let cases: Vec<Value> = (0..CASES).map(|_| Case::random(&mut random).with_messages()).collect();
    assert_eq!(python("open", &cases).accepted().trim(), CASES.to_string());
}

#[test]
fn we_open_what_python_makes() {
    let mut random = Generator::seeded();
    let cases: Vec<Case> = (0..CASES).map(|_| Case::random(&mut random)).collect();
    let inputs: Vec<Value> = cases.iter().map(Case::input).collect();
    let made: Vec<Value> = serde_json::from_str(python("make", &inputs).accepted().trim()).unwrap();
    assert_eq!(made.len(), CASES);
    for (case, made) in cases.iter().zip(made) {
        let text = |name: &str| made[name].as_str().unwrap().as_bytes().to_vec();
        let asking = Asking::new(case.device, case.present.0, case.device_nonce);
        let key = OfferKey::derive(&root(&case.present.1), &case.device);
        let offered = asking.offered(&key, &text("offer")).unwrap();
        assert_eq!((offered.epoch, offered.root.expose(), offered.ticket), (case.new.0, &case.new.1, case.ticket));
        ConfirmMessage::parse(&text("confirm")).unwrap().verify(&case.key()).unwrap();
        case.confirmation().acknowledged(&case.key(), &text("ack")).unwrap();
    }
}

#[test]
fn python_refuses_what_was_changed() {
    let mut random = Generator::seeded();
    for field in ["device", "present_epoch", "epoch", "present_root", "root", "device_nonce", "ticket", "offer", "ack"]
    {
        let mut changed = Case::random(&mut random).with_messages();
        changed[field] = match &changed[field] {
            Value::Number(value) => json!(value.as_u64().unwrap() ^ 1),
            Value::String(text) => {
                let at = text.len() - if text.ends_with('}') { 3 } else { 1 };
                let other = if text[at..].starts_with('0') { "1" } else { "0" };
                json!(format!("{}{other}{}", &text[..at], &text[at + 1..]))
            }
            other => unreachable!("{other}"),
        };
        let output = python("open", &[changed]).refused();
        assert!(output.contains("InvalidTag") || output.contains("AssertionError"), "{field}: {output}");
    }
}
