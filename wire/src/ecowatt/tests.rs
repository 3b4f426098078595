//! Vectors of the device's own arithmetic, every damage to them, and round trips of random arrays.

extern crate std;
use super::*;
use hex_literal::hex;
use proptest::prelude::*;

fn layout(registers: &[u8], samples: usize) -> Layout {
    Layout::new(registers, samples).expect("a legal layout")
}

fn exact(values: &[u16]) -> Values {
    values.iter().map(|raw| Value { raw: *raw, quality: Quality::Exact }).collect()
}

/// After eight arrays of these values.
fn after(layout: &Layout, values: &[u16]) -> History {
    let mut history = History::new();
    (0..8).for_each(|_| history.record_exact(layout, values));
    history
}

struct Vector {
    method: Method,
    blob: &'static [u8],
    layout: Layout,
    history: History,
    values: Values,
}

/// What the project's own device arithmetic makes of these arrays (RPX2001/EcoWatt_TeamPowerPort at 00afa9c).
fn vectors() -> [Vector; 5] {
    let three = layout(&[0, 1, 9], 1);
    let sample = [2300, 170, 4000];
    let whole = |raw| Value { raw, quality: Quality::Exact };
    let joined = |raw, tolerance| Value { raw, quality: Quality::Within(tolerance) };
    let low = |tolerance| Value { raw: 170, quality: Quality::LowByte(tolerance) };
    [
        Vector {
            method: Method::BitPacked,
            blob: &hex!("010c038fc0aafa00"),
            layout: three.clone(),
            history: History::new(),
            values: exact(&sample),
        },
        Vector {
            method: Method::Dictionary,
            blob: &hex!("d0150300006643000088410000c843244992244902"),
            layout: layout(&[0, 1, 9], 7),
            history: History::new(),
            values: exact(&[230, 17, 400].repeat(7)),
        },
        Vector {
            method: Method::Temporal,
            blob: &hex!("7003000109fc08aa00a00f"),
            layout: three.clone(),
            history: History::new(),
            values: exact(&sample),
        },
        Vector {
            method: Method::Temporal,
            blob: &hex!("71038100ba0118fc"),
            layout: three.clone(),
            history: after(&three, &sample),
            values: exact(&[2301, 100, 3000]),
        },
        Vector {
            method: Method::Semantic,
            blob: &hex!("50060301020003fc080202020104aa0207020205a00f02"),
            layout: layout(&[0, 1, 9], 2),
            history: History::new(),
            values: [whole(2300), low(0), whole(4000), joined(2300, 10), low(5), joined(4000, 50)]
                .into_iter()
                .collect(),
        },
    ]
}

#[test]
fn reads_and_writes_what_the_device_writes() {
    for Vector { method, blob, layout, mut history, values } in vectors() {
        let raw: std::vec::Vec<u16> = values.iter().map(|value| value.raw).collect();
        assert_eq!(encode(method, &raw, &layout, &history, &mut [0; MAX_BLOB]), Ok(blob));
        assert_eq!(decode(blob, &layout, &mut history), Ok(values));
    }
}

#[test]
fn refuses_every_truncation_and_whatever_follows() {
    for Vector { blob, layout, history, .. } in vectors() {
        for len in 0..blob.len() {
            let refusal = decode(&blob[..len], &layout, &mut history.clone()).expect_err("cut");
            assert!(matches!(refusal, BlobError::Read(ReadError::Truncated { .. })), "{len}: {refusal}");
        }
        let longer = [blob, &[0]].concat();
        let refusal = decode(&longer, &layout, &mut history.clone());
        assert_eq!(refusal, Err(BlobError::Read(ReadError::Trailing { at: blob.len(), extra: 1 })));
    }
}

#[test]
fn a_flipped_bit_is_refused_or_is_the_blob_of_other_values() {
    let (mut refused, mut other) = (0, 0);
    for Vector { method, blob, layout, history, values } in vectors() {
        for bit in 0..8 * blob.len() {
            let mut flipped = blob.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match decode(&flipped, &layout, &mut history.clone()) {
                Err(_) => refused += 1,
                Ok(read) => {
                    other += 1;
                    assert_ne!(read, values, "bit {bit} of {blob:02x?} means nothing");
                    let raw: std::vec::Vec<u16> = read.iter().map(|value| value.raw).collect();
                    let again = encode(method, &raw, &layout, &history, &mut [0; MAX_BLOB]).map(<[u8]>::to_vec);
                    assert_eq!(again, Ok(flipped), "a second spelling");
                }
            }
        }
    }
    std::println!("{refused} flips refused, {other} are other values: only the MAC around them can tell");
}

#[test]
fn a_count_without_values_is_refused() {
    let all = layout(&[0, 1, 2, 3, 4], 51);
    let decode = |blob: &[u8]| decode(blob, &all, &mut History::new());
    assert_eq!(decode(&hex!("01ffff")), Err(BlobError::Width { expected: 8, got: 255 }));
    let truncated = |at, needed| BlobError::Read(ReadError::Truncated { at, needed, remaining: 0 });
    assert_eq!(decode(&hex!("0110ff")), Err(truncated(3, 510)));
    assert_eq!(decode(&hex!("d0ff0100000000")), Err(truncated(7, 32)));
    assert_eq!(decode(&hex!("d0ffff")), Err(BlobError::NotShortest { at: 2 }));
    assert_eq!(decode(&hex!("01080200")), Err(BlobError::Count { expected: 255, got: 2 }));
    assert_eq!(decode(&hex!("00")), Err(BlobError::Marker(0)));
    assert_eq!(decode(&hex!("aa")), Err(BlobError::Marker(0xaa)));
    assert_eq!(decode(&[]), Err(truncated(0, 1)));
}

#[test]
fn refuses_what_the_device_would_not_write() {
    let (one, two) = (layout(&[0], 1), layout(&[0, 1], 1));
    let known = || after(&one, &[1000]);
    let cases: [(&[u8], &Layout, BlobError); 16] = [
        (&hex!("010901 0080"), &one, BlobError::Width { expected: 8, got: 9 }),
        (&hex!("010c01 fff1"), &one, BlobError::Padding),
        (&hex!("d00101 0000803f 00"), &one, BlobError::NotShortest { at: 2 }),
        (&hex!("7002 0001 0000 0000"), &one, BlobError::Count { expected: 1, got: 2 }),
        (&hex!("7001 01 0000"), &one, BlobError::OtherRegister { at: 0, expected: 0, got: 1 }),
        (&hex!("7101 c0"), &one, BlobError::NotShortest { at: 2 }),
        (&hex!("7101 00 3f"), &one, BlobError::NotShortest { at: 2 }),
        (&hex!("7101 00 80"), &one, BlobError::NotShortest { at: 2 }),
        (&hex!("7101 01 7f00"), &one, BlobError::NotShortest { at: 2 }),
        (&hex!("7101 02"), &one, BlobError::NotShortest { at: 2 }),
        (&hex!("5001 02"), &one, BlobError::Group { at: 2 }),
        (&hex!("5001 01 02"), &one, BlobError::Group { at: 3 }),
        (&hex!("5001 01 01 01 01"), &one, BlobError::Group { at: 5 }),
        (&hex!("5001 01 01 01 00 0000 00"), &one, BlobError::Run { at: 6, got: 0, left: 1 }),
        (&hex!("5001 01 01 01 00 0000 02"), &one, BlobError::Run { at: 6, got: 2, left: 1 }),
        (&hex!("5002 01"), &two, BlobError::Group { at: 2 }),
    ];
    for (blob, layout, refusal) in cases {
        assert_eq!(decode(blob, layout, &mut known()), Err(refusal), "{blob:02x?}");
    }
    let pair = layout(&[0], 2);
    let apart = hex!("5002 01 01 02 00 01 6400 01 6e00 01");
    assert_eq!(decode(&apart, &pair, &mut known()), Err(BlobError::NotShortest { at: 10 }), "within tolerance");
}

#[test]
fn a_dictionary_has_one_spelling() {
    let many = layout(&[0], 20);
    let decode = |blob: &[u8]| decode(blob, &many, &mut History::new());
    // Patterns 1 and 2; indices of two bits, the second value is the second pattern.
    let honest = hex!("d014 02 0000803f 00000040 04 00 00 00 00");
    assert!(decode(&honest).is_ok());
    let changed = |at: usize, byte: u8| {
        let mut blob = honest;
        blob[at] = byte;
        decode(&blob)
    };
    assert_eq!(changed(6, 0x3e), Err(BlobError::Pattern(0)), "0.25");
    assert_eq!(changed(6, 0xbf), Err(BlobError::Pattern(0)), "-1");
    assert_eq!(changed(10, 0x7f), Err(BlobError::Pattern(1)), "beyond u16");
    assert_eq!(changed(11, 0x00), Err(BlobError::Pattern(1)), "never used");
    assert_eq!(changed(11, 0x01), Err(BlobError::Pattern(0)), "used out of order");
    assert_eq!(changed(11, 0x0c), Err(BlobError::Index { at: 1, index: 3, patterns: 2 }));
    let twice = hex!("d014 02 0000803f 0000803f 04 00 00 00 00");
    assert_eq!(decode(&twice), Err(BlobError::Pattern(1)));
    let negative_zero = hex!("d014 01 00000080 00 00 00");
    assert_eq!(decode(&negative_zero), Err(BlobError::Pattern(0)));
}

#[test]
fn a_difference_needs_the_values_that_it_is_from() {
    let (one, other, wide) = (layout(&[0], 1), layout(&[1], 1), layout(&[0], 11));
    let delta = hex!("7101 81");
    let unknown = Err(BlobError::BaseUnknown { register: 0 });
    assert_eq!(decode(&delta, &one, &mut History::new()), unknown, "nothing was ever seen");

    let mut history = after(&one, &[1000]);
    assert_eq!(decode(&delta, &one, &mut history), Ok(exact(&[1001])));
    assert_eq!(decode(&delta, &one, &mut history), Ok(exact(&[1003])), "the trend goes on");

    let mut missing = history.clone();
    missing.forget();
    assert_eq!(decode(&delta, &one, &mut missing), unknown, "an array is missing");

    let mut refused = history.clone();
    assert_eq!(decode(&hex!("00"), &one, &mut refused), Err(BlobError::Marker(0)));
    assert_eq!(decode(&delta, &one, &mut refused), unknown, "an array was not understood");

    let mut changed = history.clone();
    changed.record_exact(&other, &[5]);
    assert_eq!(decode(&delta, &one, &mut changed), unknown, "another layout came between");

    let mut overrun = history.clone();
    overrun.record_exact(&wide, &[5; 11]);
    assert_eq!(decode(&delta, &one, &mut overrun), unknown, "the device has lost count itself");

    // A current of which only the low byte came.
    let mut lossy = after(&other, &[300]);
    let semantic = hex!("5001 01 02 01 00 2c 01");
    let read = decode(&semantic, &other, &mut lossy).expect("well-formed");
    assert_eq!(read.as_slice(), [Value { raw: 0x2c, quality: Quality::LowByte(0) }]);
    assert_eq!(decode(&delta, &other, &mut lossy), Err(BlobError::BaseUnknown { register: 1 }));
}

#[test]
fn a_prediction_beyond_u16_is_the_last_value() {
    let one = layout(&[0], 1);
    for (before, last, expected) in [(100, 40, 40), (60_000, 65_000, 65_000), (40, 100, 160), (0, 0, 0)] {
        let mut history = after(&one, &[before]);
        history.record_exact(&one, &[last]);
        assert_eq!(decode(&hex!("7101 80"), &one, &mut history), Ok(exact(&[expected])), "{before} {last}");
    }
}

#[test]
fn a_layout_is_an_array_of_known_registers() {
    let shape = |registers, samples| Err(BlobError::Shape { registers, samples });
    assert_eq!(Layout::new(&[], 1), shape(0, 1));
    assert_eq!(Layout::new(&[0], 0), shape(1, 0));
    assert_eq!(Layout::new(&[0, 1], 128), shape(2, 128));
    assert_eq!(Layout::new(&[0], usize::MAX), shape(1, usize::MAX));
    assert_eq!(Layout::new(&[10], 1), Err(BlobError::Register(10)));
    assert_eq!(Layout::new(&[3, 3], 1), Err(BlobError::DuplicateRegister(3)));
    assert_eq!(Layout::new(&[0], 255).expect("the most").len(), 255);
}

#[test]
fn a_kept_history_is_the_same_history() {
    let (one, some) = (layout(&[0], 1), layout(&[9, 2, 5], 2));
    let mut lossy = after(&some, &[1, 2, 3, 4, 5, 6]);
    lossy.record(&some, &[Value { raw: 1, quality: Quality::LowByte(0) }; 6]);
    for history in [History::new(), after(&one, &[7]), after(&some, &[1, 2, 3, 4, 5, 6]), lossy] {
        assert_eq!(History::from_bytes(&history.to_bytes()), Some(history.clone()));
        for len in 0..History::LEN {
            assert_eq!(History::from_bytes(&history.to_bytes()[..len]), None);
        }
    }
    assert_eq!(History::from_bytes(&[0xff; History::LEN]), None);
}

#[test]
fn the_device_takes_the_smallest() {
    let (steady, mut history) = (layout(&[0, 1, 9], 1), History::new());
    let mut out = [0; MAX_BLOB];
    let mut methods = std::vec::Vec::new();
    for step in 0..10 {
        let values = [2300 + step, 170, 4000];
        methods.push(encode_smallest(&values, &steady, &mut history, &mut out).expect("it fits").0);
    }
    assert_eq!(methods[..8], [Method::Dictionary; 8], "which falls back to bits");
    assert_eq!(methods[8..], [Method::Temporal; 2]);
    assert_eq!(encode(Method::BitPacked, &[1; 3], &steady, &history, &mut out[..5]), Err(BlobError::OutputFull));
    let count = BlobError::Count { expected: 3, got: 2 };
    assert_eq!(encode(Method::BitPacked, &[1; 2], &steady, &history, &mut out), Err(count));
}

/// A layout, and arrays of it as a meter would give them: now steady, now wild.
fn arrays() -> impl Strategy<Value = (Layout, std::vec::Vec<std::vec::Vec<u16>>)> {
    let registers = proptest::sample::subsequence((0..10u8).collect::<std::vec::Vec<_>>(), 1..=10).prop_shuffle();
    let shape =
        registers.prop_flat_map(|registers| (1..=255 / registers.len()).prop_map(move |n| (registers.clone(), n)));
    shape.prop_flat_map(|(registers, samples)| {
        let layout = layout(&registers, samples);
        let value = prop_oneof![0..4u16, 2290..2310u16, 0..300u16, any::<u16>()];
        let array = proptest::collection::vec(value, layout.len());
        (Just(layout), proptest::collection::vec(array, 1..12))
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read((layout, arrays) in arrays()) {
        let mut history = History::new();
        for values in arrays {
            for method in Method::ALL {
                let mut out = [0; MAX_BLOB];
                let blob = encode(method, &values, &layout, &history, &mut out).expect("it fits");
                let read = decode(blob, &layout, &mut history.clone()).expect("our own");
                for (value, raw) in read.iter().zip(&values) {
                    match value.quality {
                        Quality::Exact => prop_assert_eq!(value.raw, *raw),
                        Quality::Within(far) => prop_assert!(value.raw.abs_diff(*raw) <= far),
                        Quality::LowByte(far) => {
                            let near = raw.saturating_sub(far)..=raw.saturating_add(far);
                            prop_assert!(near.into_iter().any(|near| near & 0xff == value.raw));
                        }
                    }
                }
            }
            history.record_exact(&layout, &values);
        }
    }

    #[test]
    fn survives_anything(
        marker in prop_oneof![Just(0x01), Just(0xd0), Just(0x70), Just(0x71), Just(0x50), any::<u8>()],
        rest in proptest::collection::vec(any::<u8>(), 0..64),
        samples in 1..4usize,
    ) {
        let layout = layout(&[0, 1, 9], samples);
        let mut history = after(&layout, &[1000; 9][..layout.len()]);
        let _ = decode(&[&[marker], &rest[..]].concat(), &layout, &mut history);
    }
}
