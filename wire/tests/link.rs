//! Handshakes and frames of a link that Python made, see /vectors/link/README.md: we make the same, and open them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

mod link_vectors;

use cotter_formats::secret::Secret;
use cotter_wire::link::delimiter::{Undelimiter, delimit, room};
use cotter_wire::link::handshake::{Established, Greeting, Hello, LinkPsk, Offer};
use cotter_wire::link::session::{Frame, Kind};
use cotter_wire::link::suite::SuiteSet;
use link_vectors::{Line, each, unhex};

const VECTORS: &str = include_str!("../../vectors/link/psk.txt");

fn psk() -> LinkPsk {
    LinkPsk::new(Secret::filled_by(|key| (0..).zip(key).for_each(|(value, byte)| *byte = value))).unwrap()
}

fn offer(longest_frame: u16, first: u8) -> Offer {
    Offer { longest_frame, lineage: [0; 8], nonce: std::array::from_fn(|at| first + u8::try_from(at).unwrap()) }
}

fn handshake(words: &[&str]) -> (Established, Established) {
    let [suites, knock, hello, reply, finish, session] = words[..] else { panic!("{words:?}") };
    let suites = SuiteSet(suites.parse().unwrap());
    assert_eq!(psk().knock()[..], unhex(knock));
    let greeting = Greeting::new(&psk(), suites, &offer(280, 16));
    assert_eq!(greeting.message()[..], unhex(hello));
    let (made, module) =
        Hello::parse(&psk(), &unhex(hello)).unwrap().reply(&psk(), SuiteSet::ALL, &offer(128, 32)).unwrap();
    assert_eq!(made[..], unhex(reply));
    let host = greeting.answered(&psk(), &unhex(reply)).unwrap();
    assert_eq!(module.check_finish(&unhex(finish)), Ok(()));
    assert_eq!(host.finish()[..], unhex(finish));
    assert_eq!(host.session.id().0[..], unhex(session));
    (host, module)
}

#[test]
fn makes_what_python_makes_and_opens_it() {
    let counted = each(VECTORS, handshake, |Line { kind, payload, ours, theirs, to }| {
        // 1. What we seal is what Python sealed.
        let start = room(ours.len());
        let mut buffer = [&vec![0; start], &ours[..], &[0]].concat();
        assert_eq!(delimit(&mut buffer, start, ours.len(), false).unwrap(), theirs);
        // 2. And the other end opens it.
        let mut undelimiter = Undelimiter::<300>::new();
        let ended = theirs.iter().filter(|byte| undelimiter.push(**byte).unwrap().is_some()).count();
        assert_eq!(ended, 1);
        let number = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
        match to.open(undelimiter.frame()).unwrap() {
            Frame::Data { offset, acknowledged, data, .. } => {
                assert_eq!((kind, offset, acknowledged, data), (Kind::Data, number(0), number(2), &payload[4..]));
            }
            Frame::Acknowledgement { acknowledged } => {
                assert_eq!((kind, acknowledged), (Kind::Acknowledgement, number(0)));
            }
            Frame::Gap { acknowledged, shown_by } => {
                assert_eq!((kind, acknowledged, shown_by), (Kind::Gap, number(0), number(2)));
            }
            Frame::Escape { offset, acknowledged, .. } => {
                assert_eq!((kind, offset, acknowledged), (Kind::Escape, number(0), number(2)));
            }
        }
    });
    assert_eq!(counted, (5, 25));
}
