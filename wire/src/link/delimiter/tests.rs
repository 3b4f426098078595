extern crate std;
use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

fn stuff(frame: &[u8], lead: bool) -> Vec<u8> {
    let start = room(frame.len());
    let mut buffer = vec![0xee; start];
    buffer.extend_from_slice(frame);
    buffer.push(0xee);
    delimit(&mut buffer, start, frame.len(), lead).unwrap().to_vec()
}

fn frames(wire: &[u8]) -> Vec<Result<Vec<u8>, DelimiterError>> {
    let mut undelimiter = Undelimiter::<1000>::new();
    let mut found = Vec::new();
    for byte in wire {
        match undelimiter.push(*byte) {
            Ok(Some(len)) => {
                assert_eq!(undelimiter.frame().len(), len);
                found.push(Ok(undelimiter.frame().to_vec()));
            }
            Ok(None) => {}
            Err(error) => found.push(Err(error)),
        }
    }
    found
}

/// The examples of the article on COBS that everybody copies, whose runs end at 253, 254 and 255 bytes.
#[test]
fn stuffs_as_the_published_examples() {
    let count = |from: u8, to: u8| (from..=to).collect::<Vec<u8>>();
    let cases: [(Vec<u8>, Vec<u8>); 8] = [
        (vec![0], vec![1, 1, 0]),
        (vec![0, 0], vec![1, 1, 1, 0]),
        (vec![0x11, 0x22, 0, 0x33], vec![3, 0x11, 0x22, 2, 0x33, 0]),
        (vec![0x11, 0x22, 0x33, 0x44], vec![5, 0x11, 0x22, 0x33, 0x44, 0]),
        (vec![0x11, 0, 0, 0], vec![2, 0x11, 1, 1, 1, 0]),
        (count(1, 254), [vec![0xff], count(1, 254), vec![0]].concat()),
        (count(0, 254), [vec![1, 0xff], count(1, 254), vec![0]].concat()),
        (count(1, 255), [vec![0xff], count(1, 254), vec![2, 255, 0]].concat()),
    ];
    for (frame, wire) in cases {
        assert_eq!(stuff(&frame, false), wire);
        assert_eq!(frames(&wire), [Ok(frame)]);
    }
}

#[test]
fn refuses_what_is_too_long_and_finds_the_next_frame() {
    let mut small = Undelimiter::<4>::new();
    let refused: Vec<_> = stuff(&[1, 2, 3, 4, 5], false).into_iter().map(|byte| small.push(byte)).collect();
    assert_eq!(refused.last(), Some(&Err(DelimiterError::TooLong { most: 4 })));
    let last = stuff(&[1, 2, 3, 4], false).into_iter().map(|byte| small.push(byte)).last();
    assert_eq!((last, &*small.frame()), (Some(Ok(Some(4))), &[1, 2, 3, 4][..]));
}

#[test]
fn refuses_a_frame_that_ends_early() {
    assert_eq!(frames(&[5, 1, 2, 0, 2, 7, 0]), [Err(DelimiterError::CutShort { missing: 2 }), Ok(vec![7])]);
}

#[test]
fn refuses_a_buffer_without_room() {
    assert_eq!(delimit(&mut [0; 10], 1, 4, true), None);
    assert_eq!(delimit(&mut [0; 6], 2, 4, true), None);
    assert!(delimit(&mut [0; 7], 2, 4, true).is_some());
    assert_eq!(delimit(&mut [0; 7], usize::MAX, 4, true), None);
}

proptest! {
    #[test]
    fn frames_come_out_as_they_went_in(
        sent in proptest::collection::vec((proptest::collection::vec(0..3_u8, 1..700), any::<bool>()), 1..5),
    ) {
        let wire: Vec<u8> = sent.iter().flat_map(|(frame, lead)| stuff(frame, *lead)).collect();
        prop_assert!(sent.iter().all(|(frame, lead)| stuff(frame, *lead).len() <= wire_len(frame.len())));
        let expected: Vec<_> = sent.into_iter().map(|(frame, _)| Ok(frame)).collect();
        prop_assert_eq!(frames(&wire), expected);
    }

    /// A frame after rubbish is found, if a delimiter leads it.
    #[test]
    fn finds_its_feet_after_anything(rubbish in any::<Vec<u8>>(), frame in proptest::collection::vec(any::<u8>(), 1..300)) {
        let found = frames(&[rubbish, stuff(&frame, true)].concat());
        prop_assert_eq!(found.last(), Some(&Ok(frame)));
    }
}
