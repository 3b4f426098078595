//! An EcoWatt device in Python: it writes the blobs that we write, we read what it sends, and it reads what we write.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_interop::{Generator, hex, tools, unhex};
use cotter_wire::ecowatt::{
    BlobError, History, Layout, MAX_BLOB, MAX_REGISTERS, Method, Quality, decode, encode, encode_smallest,
};
use serde_json::{Value, json};

const BLOBS: &str = include_str!("ecowatt/blobs.py");

/// Under which name Python has it.
const METHODS: [(&str, Method); 4] = [
    ("dictionary", Method::Dictionary),
    ("temporal", Method::Temporal),
    ("semantic", Method::Semantic),
    ("bitpack", Method::BitPacked),
];

/// What one device measures: a layout and arrays in a row, steady, drifting, jumping or wild.
struct Case {
    layout: Layout,
    arrays: Vec<Vec<u16>>,
}

impl Case {
    fn random(random: &mut Generator) -> Self {
        let mut registers: Vec<u8> = (0..10).collect();
        (1..10).rev().for_each(|at| registers.swap(at, random.below(at + 1)));
        registers.truncate(random.between(1, 10));
        // Mostly arrays that a device can send differences of, and some of up to 255 values.
        let most = if random.below(3) > 0 { MAX_REGISTERS } else { 255 } / registers.len();
        let layout = Layout::new(&registers, random.between(1, most)).unwrap();
        let mut level: Vec<u16> =
            registers.iter().map(|_| *random.pick(&[0, 44, 170, 2300, 4000, 5000, 65_500])).collect();
        let style = random.below(4);
        let arrays = (0..random.between(1, 16)).map(|_| {
            let sample = |at| {
                let value: &mut u16 = &mut level[at % registers.len()];
                let [low, high, ..] = random.next_u32().to_le_bytes();
                *value = match style {
                    0 => *value,
                    1 => value.wrapping_add(u16::from(low % 5)).wrapping_sub(2),
                    2 if low < 30 => value.wrapping_add(u16::from(high)),
                    2 => *value,
                    _ => u16::from_le_bytes([low, high]),
                };
                *value
            };
            (0..layout.len()).map(sample).collect()
        });
        let arrays = arrays.collect();
        Self { layout, arrays }
    }

    /// Every array by every method, as we write it.
    fn ours(&self) -> Vec<Value> {
        let mut history = History::new();
        let blobs = |array: &Vec<u16>| {
            let by = |(name, method): (&str, Method)| {
                let mut out = [0; MAX_BLOB];
                (name.to_owned(), json!(hex(encode(method, array, &self.layout, &history, &mut out).unwrap())))
            };
            let blobs = METHODS.into_iter().map(by).collect();
            encode_smallest(array, &self.layout, &mut history, &mut [0; MAX_BLOB]).unwrap();
            Value::Object(blobs)
        };
        self.arrays.iter().map(blobs).collect()
    }
}

/// What Python makes of these devices, once it has read what we made.
fn python(cases: &[Case]) -> Vec<Vec<Value>> {
    let cases: Vec<Value> = cases
        .iter()
        .map(|case| json!({ "registers": case.layout.registers(), "arrays": case.arrays, "theirs": case.ours() }))
        .collect();
    let output = tools().python_on(BLOBS, &[], &serde_json::to_vec(&cases).unwrap()).accepted();
    serde_json::from_str(&output).unwrap()
}

#[test]
fn python_reads_our_blobs_and_writes_the_same() {
    let mut random = Generator::seeded();
    let cases: Vec<Case> = (0..300).map(|_| Case::random(&mut random)).collect();
    let mut compared = 0;
    for (case, theirs) in cases.iter().zip(python(&cases)) {
        for (ours, theirs) in case.ours().iter().zip(&theirs) {
            for (name, _) in METHODS {
                assert_eq!(ours[name], theirs[name], "{name} of {:?}", case.layout);
                compared += 1;
            }
        }
    }
    println!("{compared} blobs are the same bytes");
    assert!(compared > 2000);
}

#[test]
fn what_a_device_sends_is_what_it_measured_or_is_marked_or_refused() {
    let mut random = Generator::seeded();
    let cases: Vec<Case> = (0..300).map(|_| Case::random(&mut random)).collect();
    let (mut sent, mut exact, mut lossy, mut unknown) = ([0; 5], 0, 0, 0);
    for (case, blobs) in cases.iter().zip(python(&cases)) {
        let mut history = History::new();
        for (array, blob) in case.arrays.iter().zip(blobs) {
            let method = blob["sent"].as_str().unwrap();
            let blob = unhex(blob[method].as_str().unwrap());
            sent[[0x01, 0xd0, 0x70, 0x71, 0x50].iter().position(|marker| *marker == blob[0]).unwrap()] += 1;
            match decode(&blob, &case.layout, &mut history) {
                Ok(values) => {
                    for (value, measured) in values.iter().zip(array) {
                        match value.quality {
                            Quality::Exact => {
                                exact += 1;
                                assert_eq!(value.raw, *measured);
                            }
                            Quality::Within(far) => {
                                lossy += 1;
                                assert!(value.raw.abs_diff(*measured) <= far);
                            }
                            Quality::LowByte(_) => lossy += 1,
                        }
                    }
                }
                // After a lossy array nobody but the device knows what its differences are from.
                Err(BlobError::BaseUnknown { .. }) => {
                    assert_eq!(method, "temporal");
                    unknown += 1;
                }
                Err(other) => unreachable!("{method} {}: {other}", hex(&blob)),
            }
        }
    }
    println!(
        "sent of 01, d0, 70, 71, 50: {sent:?}; {exact} values exact, {lossy} marked, {unknown} arrays without a base"
    );
    // A base is never the smallest.
    assert!([0, 1, 3, 4].iter().all(|at| sent[*at] > 0) && exact > 2000);
}
