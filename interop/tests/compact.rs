//! Compact packets against pycose and cbor2, from random input: they open what we seal, and we open what they seal, which
//! is the same bytes.
#![allow(clippy::unwrap_used, reason = "a test's own inputs")]

use cotter_formats::secret::Secret;
use cotter_interop::{Generator, ToolRun, hex, tools, unhex};
use cotter_wire::compact::{Channel, CompactPacket, MAX_COMPACT, MAX_PLAIN};
use cotter_wire::ids::{DeviceId, KeyEpoch, SecureVersion, Sequence};
use cotter_wire::keys::{Direction, RootKey};
use cotter_wire::reading::Reading;
use cotter_wire::version::Version;
use serde_json::{Value, json};

const SCRIPT: &str = include_str!("../../vectors/wire/compact.py");

/// Numbers of every length.
fn number(random: &mut Generator, bits: u32) -> u64 {
    let all = u64::from(random.next_u32()) << 32 | u64::from(random.next_u32());
    let kept = u32::try_from(random.between(0, bits as usize)).unwrap();
    all.checked_shr(64 - kept).unwrap_or(0)
}

fn narrow<T: TryFrom<u64>>(number: u64) -> T {
    T::try_from(number).ok().unwrap()
}

struct Case {
    channel: Channel,
    sequence: Sequence,
    plain: Vec<u8>,
    document: Value,
}

fn case(random: &mut Generator) -> Case {
    let len = random.between(1, 32);
    let id: String = (0..len).map(|_| char::from(*random.pick(b"abcxyz0189-"))).collect();
    let device: DeviceId = id.parse().unwrap();
    let epoch = KeyEpoch(narrow(number(random, 32)));
    let up = random.below(2) == 0;
    let direction = if up { Direction::Up } else { Direction::Down };
    let root: [u8; 32] = random.array();
    let channel = Channel::derive(&RootKey::new(Secret::from_slice(&root).unwrap()), &device, epoch, direction);
    let sequence = Sequence::new(number(random, 40)).unwrap();

    let mut part = || narrow::<u16>(number(random, 16));
    let version = Version::new(part(), part(), part());
    let secure_version = SecureVersion(narrow(number(random, 32)));
    let mut reading = Reading::new(narrow(number(random, 32)), narrow(number(random, 32)), version, secure_version);
    for _ in 0..random.below(17) {
        // A register that is there already is left out.
        let _ = reading.push(narrow(number(random, 8)), narrow(number(random, 16)));
    }
    let mut items = vec![reading.uptime_s, reading.boot_count];
    items.extend([version.major, version.minor, version.patch].map(u32::from));
    items.push(secure_version.0);
    items.extend(reading.measurements().iter().flat_map(|value| [u32::from(value.register), u32::from(value.raw)]));
    let plain = reading.encode_compact(&mut [0; MAX_PLAIN]).unwrap().to_vec();
    let document = json!({
        "root": hex(&root), "device": id, "epoch": epoch.0, "direction": u8::from(!up), "sequence": sequence.get(),
        "plain": hex(&plain), "reading": items,
        "packet": hex(channel.seal(sequence, &plain, &mut [0; MAX_COMPACT]).unwrap()),
    });
    Case { channel, sequence, plain, document }
}

fn python(verb: &str, cases: &[Value]) -> ToolRun {
    tools().python_on(SCRIPT, &[verb], &serde_json::to_vec(cases).unwrap())
}

#[test]
fn pycose_opens_what_we_seal_and_reads_the_reading() {
    let mut random = Generator::seeded();
    let cases: Vec<Value> = (0..1000).map(|_| case(&mut random).document).collect();
    let output = python("open", &cases).accepted();
    assert!(output.contains("opened 1000 compact packets"), "{output}");
}

#[test]
fn we_open_what_pycose_seals() {
    let mut random = Generator::seeded();
    let cases: Vec<Case> = (0..1000).map(|_| case(&mut random)).collect();
    let documents: Vec<Value> = cases.iter().map(|case| case.document.clone()).collect();
    let output = python("seal", &documents).accepted();
    let sealed: Vec<String> = serde_json::from_str(output.trim()).unwrap();
    assert_eq!(sealed.len(), cases.len());
    for (case, sealed) in cases.iter().zip(sealed) {
        assert_eq!(case.document["packet"], sealed, "{}", case.document);
        let (packet, mut plain) = (unhex(&sealed), [0; MAX_PLAIN]);
        let opened = CompactPacket::parse(&packet).unwrap().open(&case.channel, &mut plain).unwrap();
        assert_eq!((opened.sequence(), opened.content()), (case.sequence, &case.plain[..]));
    }
}

#[test]
fn pycose_refuses_what_was_changed() {
    let mut random = Generator::seeded();
    for field in ["direction", "epoch", "device", "sequence", "packet"] {
        let mut changed = case(&mut random).document;
        changed[field] = match &changed[field] {
            Value::Number(value) => json!(value.as_u64().unwrap() ^ 1),
            // The last character: a name's, or the last digit of the tag.
            Value::String(text) => {
                let (rest, last) = text.split_at(text.len() - 1);
                json!(format!("{rest}{}", if last == "0" { "1" } else { "0" }))
            }
            other => unreachable!("{other}"),
        };
        let output = python("open", &[changed]).refused();
        let expected = if field == "sequence" { "AssertionError" } else { "InvalidTag" };
        assert!(output.contains(expected), "{field}: {output}");
    }
}
