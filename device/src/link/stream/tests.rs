extern crate std;
use super::*;
use proptest::prelude::*;
use std::vec::Vec;

fn take(outgoing: &mut Outgoing<64>, most: usize) -> Option<(Piece, Vec<u8>)> {
    let mut out = std::vec![0; most];
    let (piece, _) = outgoing.take(&mut out)?;
    if let Piece::Data { len, .. } = piece {
        out.truncate(len);
    }
    Some((piece, out))
}

#[test]
fn takes_no_more_than_its_window() {
    let mut outgoing = Outgoing::<64>::new();
    assert_eq!((outgoing.push(&[1; 60]), outgoing.push(&[2; 60]), outgoing.push(&[3; 60])), (60, 4, 0));
    assert!(!outgoing.push_escape());
    let (piece, bytes) = take(&mut outgoing, 50).unwrap();
    assert_eq!((piece, &bytes[..]), (Piece::Data { offset: 0, len: 50 }, &[1; 50][..]));
    assert!(outgoing.acknowledge(10, 64));
    assert_eq!(outgoing.room(), 10);
    assert!(outgoing.push_escape());
    assert!(!outgoing.push_escape(), "one at a time");
}

#[test]
fn believes_no_acknowledgement_of_what_was_never_sent() {
    let mut outgoing = Outgoing::<64>::new();
    outgoing.push(&[1; 60]);
    take(&mut outgoing, 20).unwrap();
    for position in [21, 60, 0, 0xffff, 0x8000] {
        assert!(!outgoing.acknowledge(position, 64));
    }
    assert!(outgoing.acknowledge(20, 64));
    assert!(!outgoing.acknowledge(19, 64));
}

/// What has arrived is nobody's business any more.
#[test]
fn forgets_what_was_acknowledged() {
    let mut outgoing = Outgoing::<64>::new();
    outgoing.push(&[1; 60]);
    take(&mut outgoing, 60).unwrap();
    outgoing.acknowledge(60, 64);
    assert!(outgoing.is_empty() && outgoing.ring.iter().all(|byte| *byte == 0));
}

#[test]
fn only_a_gap_in_what_was_sent_again_is_news() {
    let mut outgoing = Outgoing::<64>::new();
    outgoing.push(&[1; 60]);
    take(&mut outgoing, 10).unwrap();
    assert!(outgoing.is_news(0, 1));
    outgoing.go_back(70_000, 64);
    assert!(!outgoing.is_news(low16(69_999), 70_000), "nothing is under way");
    take(&mut outgoing, 10).unwrap();
    assert!(!outgoing.is_news(low16(69_999), 70_001));
    assert!(outgoing.is_news(low16(70_000), 70_001));
}

proptest! {
    /// A receiver beside it that loses what the test says, and a model: the bytes in a row.
    #[test]
    fn all_arrives_once_and_in_order(steps in proptest::collection::vec((0..6_u8, 0..80_usize, any::<bool>()), 0..400)) {
        let (mut outgoing, mut incoming) = (Outgoing::<64>::new(), Incoming::default());
        let (mut sent, mut arrived, mut counter) = (Vec::new(), Vec::new(), 0_u8);
        let mut carry = |outgoing: &mut Outgoing<64>, most: usize, lost: bool| {
            let Some((piece, bytes)) = take(outgoing, most) else { return };
            if lost {
                return;
            }
            let (offset, items): (u16, Vec<Option<u8>>) = match piece {
                Piece::Data { offset, .. } => (offset, bytes.into_iter().map(Some).collect()),
                Piece::Escape { offset } => (offset, std::vec![None]),
            };
            if let Arrival::New { skip } = incoming.arrive(offset, items.len()) {
                arrived.extend_from_slice(&items[skip..]);
            }
            outgoing.acknowledge(incoming.acknowledged(), 64);
        };
        for (what, size, lost) in steps {
            match what {
                0 | 1 => {
                    let bytes: Vec<u8> = (0..size).map(|_| { counter = counter.wrapping_add(1); counter }).collect();
                    let taken = outgoing.push(&bytes);
                    sent.extend(bytes[..taken].iter().copied().map(Some));
                }
                2 if outgoing.push_escape() => sent.push(None),
                3 => outgoing.go_back(0, 64),
                _ => carry(&mut outgoing, size.max(1), lost),
            }
        }
        for _ in 0..200 {
            outgoing.go_back(0, 64);
            carry(&mut outgoing, 64, false);
        }
        prop_assert!(outgoing.is_empty());
        prop_assert_eq!(arrived, sent);
    }
}
