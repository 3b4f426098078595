//! The AT link: what comes from the wire, at an end with a live session, and the frames in it.

use cotter_device::link::Millis;
use cotter_device::link::psk::{Event, PskEnd, Settings};
use cotter_device::platform::Random;
use cotter_formats::secret::Secret;
use cotter_wire::link::delimiter::{Undelimiter, delimit, room, wire_len};
use cotter_wire::link::handshake::LinkPsk;
use cotter_wire::link::session::{Frame, FrameError, HEAD, Kind, MAX_TAG, Session, SessionId, Side};
use cotter_wire::link::suite::{FrameKey, Suite};

/// Whatever the wire brings, an end delivers what the other has sent, once, and goes on; frames are read as they were
/// sealed.
pub fn link_frame(data: &[u8]) {
    live(data);
    delimited(data);
    Suite::ALL.into_iter().for_each(|suite| sealed(suite, data));
    if let Ok(text) = str::from_utf8(data) {
        assert!(Suite::from_name(text).is_none_or(|suite| suite.as_str() == text));
    }
    assert!(data.first().is_none_or(|number| Suite::from_number(*number).is_none_or(|suite| suite as u8 == *number)));
}

type End = PskEnd<128, 256>;

fn live(data: &[u8]) {
    let (mut host, mut module) = (end(Side::Host), end(Side::Module));
    for _ in 0..3 {
        carry(&mut host, &mut module, 0);
        carry(&mut module, &mut host, 0);
    }
    assert_eq!(host.send(SAID), Ok(SAID.len()), "the handshake is over");
    let mut delivered = receive(&mut module, data, 10);
    for now in [10, 1000, 3000, 9000, 20_000] {
        delivered.extend(carry(&mut host, &mut module, now));
        assert!(carry(&mut module, &mut host, now).is_empty(), "the module has said nothing");
    }
    assert_eq!(delivered, SAID, "something else was delivered");
}

/// What the first frame of the session in `live` says; it is a seed too.
const SAID: &[u8] = b"AT\r\n";

fn end(side: Side) -> End {
    let psk = LinkPsk::new(Secret::filled_by(|key| key[0] = 1)).expect("not the same byte 32 times");
    PskEnd::new(side, psk, Settings::default())
}

fn carry(from: &mut End, to: &mut End, now: u64) -> Vec<u8> {
    let (mut out, mut delivered) = ([0; wire_len(128)], Vec::new());
    while let Some(frame) = from.transmit(Millis(now), &mut Fixed, &mut out).expect("there is room") {
        delivered.extend(receive(to, frame, now));
    }
    delivered
}

fn receive(end: &mut End, mut wire: &[u8], now: u64) -> Vec<u8> {
    let mut delivered = Vec::new();
    loop {
        let received = end.receive(wire, Millis(now), &mut Fixed);
        wire = &wire[received.used..];
        match received.event {
            None if wire.is_empty() => return delivered,
            None | Some(Event::Refused(_) | Event::Opened { .. }) => {}
            Some(Event::Data(data)) => delivered.extend_from_slice(data),
            Some(Event::Escape) => unreachable!("nobody has escaped"),
        }
    }
}

/// The same nonces each time, so that a seed belongs to the session.
struct Fixed;

impl Random for Fixed {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(7);
    }
}

/// Frames survive being delimited again.
fn delimited(data: &[u8]) {
    let mut undelimiter = Undelimiter::<1000>::new();
    for byte in data {
        let Ok(Some(len)) = undelimiter.push(*byte) else { continue };
        let frame = undelimiter.frame().to_vec();
        let start = room(len);
        let mut buffer = [&vec![0; start][..], &frame, &[0]].concat();
        let wire = delimit(&mut buffer, start, len, true).expect("there is room").to_vec();
        assert!(wire.len() <= wire_len(len));
        let mut again = Undelimiter::<1000>::new();
        let ended: Vec<_> = wire.iter().filter_map(|byte| again.push(*byte).expect("it is whole")).collect();
        assert_eq!((ended, &*again.frame()), (vec![len], &frame[..]), "a frame changed in a round trip");
    }
}

/// The input as a payload, sealed by who knows the key; and as a frame, by nobody.
fn sealed(suite: Suite, data: &[u8]) {
    let key = |byte: u8| FrameKey::filled_by(suite, |key, iv| [key, iv].into_iter().for_each(|bytes| bytes.fill(byte)));
    let mut host = Session::new(Side::Host, SessionId([3; 8]), key(1), key(2));
    let mut module = Session::new(Side::Module, SessionId([3; 8]), key(2), key(1));
    assert!(module.open(&mut data.to_vec()).is_err(), "a forged frame was opened");
    for kind in Kind::ALL {
        let mut frame = [&[0; HEAD], data, &[0; MAX_TAG]].concat();
        let len = host.seal(kind, &mut frame, data.len()).expect("there is room");
        let number = |at: usize| u16::from_be_bytes([data[at], data[at + 1]]);
        match (kind, module.open(&mut frame[..len])) {
            (Kind::Data, Ok(Frame::Data { offset, acknowledged, data: plain, .. })) => {
                assert_eq!((offset, acknowledged, plain), (number(0), number(2), &data[4..]));
            }
            (Kind::Acknowledgement, Ok(Frame::Acknowledgement { acknowledged })) => assert_eq!(acknowledged, number(0)),
            (Kind::Gap, Ok(Frame::Gap { acknowledged, shown_by })) => {
                assert_eq!((acknowledged, shown_by), (number(0), number(2)));
            }
            (Kind::Escape, Ok(Frame::Escape { offset, acknowledged, .. })) => {
                assert_eq!((offset, acknowledged), (number(0), number(2)));
            }
            (_, Err(error)) => assert_eq!(error, FrameError::Payload { kind, len: data.len() }),
            (_, Ok(_)) => unreachable!("a {kind:?} frame was read as another"),
        }
    }
}
