//! The AT link's handshake, both ends.

use cotter_formats::secret::Secret;
use cotter_wire::link::handshake::{Greeting, HELLO, HandshakeError, Hello, LEAST_FRAME, LinkPsk, Offer};
use cotter_wire::link::suite::SuiteSet;

/// A message that nobody with the key made is refused; a hello is read as it was made, and its handshake comes to its end.
pub fn link_handshake(data: &[u8]) {
    let psk = psk();
    // 1. Of messages that were never made, only the seeds' own are authentic.
    if let Ok(hello) = Hello::parse(&psk, data) {
        let made = Greeting::new(&psk, hello.suites(), hello.offer());
        assert_eq!(made.message(), data, "a second spelling of a hello");
    }
    assert_eq!(psk.check_knock(data).is_ok(), data == psk.knock(), "a forged knock");
    let (ours, theirs) = (offer(280, 16), offer(128, 32));
    let greeting = Greeting::new(&psk, SuiteSet::ALL, &ours);
    let hello = Hello::parse(&psk, greeting.message()).expect("we made it");
    let (reply, module) = hello.reply(&psk, SuiteSet::ALL, &theirs).expect("all suites are common");
    match greeting.answered(&psk, data) {
        Ok(_) => assert_eq!(data, reply, "a forged reply"),
        Err(_) => assert_ne!(data, reply),
    }
    let host = greeting.answered(&psk, &reply).expect("it answers");
    assert_eq!(module.check_finish(data).is_ok(), data == host.finish(), "a forged finish");
    // 2. The input as what an honest host says about itself.
    let Some(([suites, high, low, rest @ ..], _)) = data.split_first_chunk::<HELLO>() else { return };
    let offer = Offer {
        longest_frame: u16::from_be_bytes([*high, *low]),
        lineage: std::array::from_fn(|at| rest[at]),
        nonce: std::array::from_fn(|at| rest[at + 8]),
    };
    let greeting = Greeting::new(&psk, SuiteSet(*suites), &offer);
    let hello = match Hello::parse(&psk, greeting.message()) {
        Ok(hello) => hello,
        Err(error) => {
            assert_eq!(error, HandshakeError::LongestFrame(offer.longest_frame));
            assert!(offer.longest_frame < LEAST_FRAME);
            return;
        }
    };
    assert_eq!((hello.offer(), hello.suites()), (&offer, SuiteSet(*suites)), "a hello changed in a round trip");
    match hello.reply(&psk, SuiteSet::ALL, &theirs) {
        Ok((reply, module)) => {
            let host = greeting.answered(&psk, &reply).expect("it answers");
            assert_eq!(module.check_finish(host.finish()), Ok(()));
            assert_eq!(host.session.id(), module.session.id());
        }
        Err(error) => assert_eq!(error, HandshakeError::NoCommonSuite { theirs: *suites, ours: SuiteSet::ALL.0 }),
    }
}

/// Those of `vectors/link/psk.py`, whose messages are seeds.
fn psk() -> LinkPsk {
    LinkPsk::new(Secret::filled_by(|key| (0..).zip(key).for_each(|(value, byte)| *byte = value)))
        .expect("not the same byte 32 times")
}

fn offer(longest_frame: u16, first: u8) -> Offer {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(first..).for_each(|(byte, value)| *byte = value);
    Offer { longest_frame, lineage: [0; 8], nonce: bytes }
}
