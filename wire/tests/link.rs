//! Handshakes and frames of a link that Python made, see /vectors/link/README.md: we make the same, and open them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

use cotter_formats::secret::Secret;
use cotter_wire::link::delimiter::{Undelimiter, delimit, room};
use cotter_wire::link::handshake::{Established, Greeting, Hello, LinkPsk, Offer};
use cotter_wire::link::session::{Frame, HEAD, Kind, MAX_TAG, Side};
use cotter_wire::link::suite::SuiteSet;

const VECTORS: &str = include_str!("../../vectors/link/psk.txt");

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

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
    let (mut ends, mut handshakes, mut frames) = (None, 0, 0);
    for line in VECTORS.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] == "handshake" {
            ends = Some(handshake(&words[1..]));
            handshakes += 1;
            continue;
        }
        let [_, head, lost, payload, wire] = words[..] else { panic!("{line}") };
        let (head, payload, wire) = (unhex(head)[0], unhex(payload), unhex(wire));
        let (host, module) = ends.as_mut().unwrap();
        let (from, to) = if Side::of(head) == Side::Host { (host, module) } else { (module, host) };
        let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == head & 0x7f).unwrap();
        // 1. What we seal is what Python sealed, after as many frames as it lost.
        let start = room(payload.len() + HEAD + MAX_TAG);
        let mut buffer = vec![0; start + payload.len() + HEAD + MAX_TAG + 1];
        for _ in 0..lost.parse::<u32>().unwrap() {
            from.session.seal(Kind::Acknowledgement, &mut buffer, 2).unwrap();
        }
        buffer[start + HEAD..][..payload.len()].copy_from_slice(&payload);
        let len = from.session.seal(kind, &mut buffer[start..], payload.len()).unwrap();
        assert_eq!(delimit(&mut buffer, start, len, false).unwrap(), wire, "{line}");
        // 2. And the other end opens it.
        let mut undelimiter = Undelimiter::<300>::new();
        let ended = wire.iter().filter(|byte| undelimiter.push(**byte).unwrap().is_some()).count();
        assert_eq!(ended, 1);
        let number = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
        match to.session.open(undelimiter.frame()).unwrap() {
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
        frames += 1;
    }
    assert_eq!((handshakes, frames), (5, 25));
}
