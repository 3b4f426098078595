//! Python opens what we seal: packets, sessions, enrolment records, wrapped content keys and content, from random input.
//! The other direction is in `wire`'s own tests, with vectors that Python made.
#![allow(clippy::unwrap_used, reason = "a test's own inputs")]

use cotter_formats::chip::Chip;
use cotter_formats::secret::Secret;
use cotter_interop::{Generator, ToolRun, hex, tools};
use cotter_wire::content::{self, ContentKey, WrappedKey};
use cotter_wire::enrolment::{Enrolment, MAX_ENROLMENT};
use cotter_wire::ids::{DeviceId, KeyEpoch, Nonce, ReleaseId, UnixTime};
use cotter_wire::keys::{DeviceKeys, EnrolmentKey, RecoveryKey, RootKey};
use cotter_wire::packet::{MAX_PACKET, seal};
use cotter_wire::recovery::{Ask, ClaimMessage, Recovery};
use cotter_wire::session::{Greeting, Hello, MAX_HEADER, MAX_MESSAGE, Request, SessionId};
use serde_json::json;

const OPEN: &str = include_str!("../../vectors/wire/open.py");

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("messages are ASCII")
}

/// One device with everything that it or its server or its factory ever says, and what Python must find in it.
fn case(random: &mut Generator) -> serde_json::Value {
    let id_len = random.between(1, 32);
    let id: String = (0..id_len).map(|_| char::from(*random.pick(b"abcxyz0189-"))).collect();
    let device: DeviceId = id.parse().unwrap();
    let epoch = KeyEpoch(random.next_u32());
    let root_bytes: [u8; 32] = random.array();
    let root = || RootKey::new(Secret::from_slice(&root_bytes).unwrap());
    let keys = DeviceKeys::derive(&root(), &device, epoch);

    let nonce = random.next_u32();
    let plain_len = random.below(513);
    let plain = if nonce.is_multiple_of(2) { random.bytes(plain_len) } else { vec![7; plain_len] };
    let mut out = [0; MAX_PACKET];
    let packet = text(seal(&keys, &device, epoch, Nonce(nonce), &random.array(), &plain, &mut out).unwrap());

    let (mut hello, mut welcome, mut header) = ([0; MAX_MESSAGE], [0; MAX_MESSAGE], [0; MAX_HEADER]);
    let greeting = Greeting::new(device, epoch, random.array());
    let hello = greeting.write(&keys, &mut hello).unwrap();
    let time = UnixTime(u64::from(random.next_u32()));
    let verified = Hello::parse(hello).unwrap().verify(&keys.request).unwrap();
    let (welcome, _) = verified.welcome(&keys, SessionId(random.array()), &random.array(), time, &mut welcome).unwrap();
    let (hello, welcome) = (text(hello), text(welcome));
    let mut session = greeting.accept(&keys, welcome.as_bytes()).unwrap();
    let body_len = random.below(300);
    let body = random.bytes(body_len);
    let path = format!("/v1/devices/{id}/status");
    let header = session.sign(&Request { method: "POST", path: &path, body: &body }, &mut header).unwrap().to_owned();

    let recovery_key = RecoveryKey::derive(&root(), &device);
    let own = random.array();
    let begin = || Recovery::new(device, epoch, own);
    let mut out = [0; cotter_wire::recovery::MAX_MESSAGE];
    let ask = text(begin().ask(&recovery_key, &mut out).unwrap());
    let verified = Ask::parse(ask.as_bytes()).unwrap().verify(&recovery_key).unwrap();
    let challenge = text(verified.challenge(&recovery_key, &random.array(), &mut out).unwrap());
    let claim = begin().challenged(&recovery_key, challenge.as_bytes()).unwrap();
    let claim = text(claim.write(&recovery_key, &mut out).unwrap());
    let verified = ClaimMessage::parse(claim.as_bytes()).unwrap().verify(&recovery_key).unwrap();
    let grant = text(verified.grant(&recovery_key, KeyEpoch(epoch.0 ^ 1), Nonce(nonce), &mut out).unwrap());

    let enrolment_key: [u8; 32] = random.array();
    let certificate_len = random.between(1, 2048);
    let certificate = random.bytes(certificate_len);
    let enrolment = Enrolment {
        device,
        epoch,
        chip: *random.pick(&Chip::ALL),
        mac: random.array(),
        secure_boot: random.array(),
        certificate: (!nonce.is_multiple_of(3)).then_some(&certificate),
    };
    let mut out = [0; MAX_ENROLMENT];
    let sealing_key = EnrolmentKey::new(Secret::from_slice(&enrolment_key).unwrap());
    let record = text(enrolment.seal(&sealing_key, &random.array(), &root(), &mut out).unwrap());

    let content_bytes: [u8; 32] = random.array();
    let content_key = ContentKey::new(Secret::from_slice(&content_bytes).unwrap());
    let release = ReleaseId(random.array());
    let wrapped = WrappedKey::wrap(&keys.firmware_unwrap, &device, epoch, &release, random.array(), &content_key);
    let iv: [u8; 16] = random.array();
    let image_len = random.below(9000);
    let image = random.bytes(image_len);

    json!({
        "device": id, "epoch": epoch.0, "root": hex(&root_bytes),
        "packet": packet, "nonce": nonce, "plain": hex(&plain),
        "hello": hello, "welcome": welcome, "time": time.0,
        "recovery": [ask, challenge, claim, grant],
        "header": header, "path": path, "body": hex(&body),
        "enrolment_key": hex(&enrolment_key), "record": record, "mac": hex(&enrolment.mac),
        "release": hex(&release.0), "wrap_nonce": hex(&wrapped.nonce), "wrapped": hex(&wrapped.wrapped),
        "content_key": hex(&content_bytes), "iv": hex(&iv), "image": hex(&image),
        "content": hex(&content::encrypt(&content_key, &iv, &image)),
    })
}

fn open(cases: &[serde_json::Value]) -> ToolRun {
    tools().python_on(OPEN, &[], &serde_json::to_vec(cases).unwrap())
}

#[test]
fn python_opens_what_we_seal() {
    let mut random = Generator::seeded();
    let cases: Vec<_> = (0..200).map(|_| case(&mut random)).collect();
    let output = open(&cases).accepted();
    assert!(output.contains("opened 200 cases"), "{output}");
}

#[test]
fn python_notices_what_was_changed() {
    let mut random = Generator::seeded();
    for field in ["nonce", "time", "epoch"] {
        let mut changed = case(&mut random);
        let value = changed[field].as_u64().unwrap();
        changed[field] = json!(value ^ 1);
        let output = open(&[changed]).refused();
        assert!(output.contains("AssertionError"), "{field}: {output}");
    }
}
