extern crate std;
use super::*;
use crate::link::session::FrameError;
use crate::link::session::tests::{acknowledgement, opens};
use proptest::prelude::*;

fn psk(byte: u8) -> LinkPsk {
    LinkPsk::new(Secret::filled_by(|key| key[31] = byte)).unwrap()
}

fn ours(nonce: u8) -> Offer {
    Offer { longest_frame: 280, lineage: [3; 8], nonce: [nonce; 16] }
}

type Check<'a> = &'a dyn Fn(&[u8]) -> Result<(), HandshakeError>;

struct Handshake {
    greeting: Greeting,
    reply: [u8; HELLO],
    host: Established,
    module: Established,
}

fn handshake(suites: SuiteSet, host_nonce: u8, module_nonce: u8) -> Handshake {
    let greeting = Greeting::new(&psk(1), suites, &ours(host_nonce));
    let hello = Hello::parse(&psk(1), greeting.message()).unwrap();
    assert_eq!((*hello.offer(), hello.suites()), (ours(host_nonce), suites));
    let (reply, module) = hello.reply(&psk(1), SuiteSet::ALL, &ours(module_nonce)).unwrap();
    let host = greeting.answered(&psk(1), &reply).unwrap();
    Handshake { greeting, reply, host, module }
}

#[test]
fn both_ends_have_one_session_with_each_suite() {
    for suite in Suite::ALL {
        let Handshake { mut host, mut module, .. } = handshake(SuiteSet::only(suite), 1, 2);
        assert_eq!((host.session.suite(), module.session.suite()), (suite, suite));
        assert_eq!(host.session.id(), module.session.id());
        assert_eq!(module.check_finish(host.finish()), Ok(()));
        assert_eq!((host.peer, module.peer), (ours(2), ours(1)));
        let frame = acknowledgement(&mut host.session);
        assert_eq!(opens(&mut module.session, &frame), Ok(()));
        let frame = acknowledgement(&mut module.session);
        assert_eq!(opens(&mut host.session, &frame), Ok(()));
    }
}

#[test]
fn another_nonce_of_either_end_makes_another_session() {
    let one = handshake(SuiteSet::ALL, 1, 2);
    for mut other in [handshake(SuiteSet::ALL, 1, 3), handshake(SuiteSet::ALL, 3, 2)] {
        let mut host = handshake(SuiteSet::ALL, 1, 2).host;
        assert_ne!(one.host.session.id(), other.host.session.id());
        let frame = acknowledgement(&mut host.session);
        assert_eq!(opens(&mut other.module.session, &frame), Err(FrameError::NotAuthentic));
        assert_eq!(other.module.check_finish(one.host.finish()), Err(HandshakeError::NotAuthentic));
    }
}

#[test]
fn a_replayed_hello_yields_a_session_that_its_replayer_cannot_finish() {
    let recorded = handshake(SuiteSet::ALL, 1, 2);
    let hello = Hello::parse(&psk(1), recorded.greeting.message()).unwrap();
    let (reply, fresh) = hello.reply(&psk(1), SuiteSet::ALL, &ours(9)).unwrap();
    assert_ne!(reply, recorded.reply);
    assert_eq!(fresh.check_finish(recorded.host.finish()), Err(HandshakeError::NotAuthentic));
}

#[test]
fn a_replayed_reply_answers_no_other_hello() {
    let recorded = handshake(SuiteSet::ALL, 1, 2);
    let greeting = Greeting::new(&psk(1), SuiteSet::ALL, &ours(4));
    assert_eq!(greeting.answered(&psk(1), &recorded.reply).err(), Some(HandshakeError::NotAuthentic));
}

/// Whoever strikes suites from the hello breaks its MAC; a module that has another key could not make a reply.
#[test]
fn a_downgrade_of_the_suite_is_refused() {
    let Handshake { greeting, reply, .. } = handshake(SuiteSet::ALL, 1, 2);
    let mut weaker = *greeting.message();
    weaker[2] = SuiteSet::only(Suite::Aes128Ccm8).0;
    assert_eq!(Hello::parse(&psk(1), &weaker).err(), Some(HandshakeError::NotAuthentic));
    let mut weaker = reply;
    weaker[2] = Suite::Aes128Ccm8 as u8;
    assert_eq!(greeting.answered(&psk(1), &weaker).err(), Some(HandshakeError::NotAuthentic));
    // A module that chose what was not offered.
    let strict = Greeting::new(&psk(1), SuiteSet::only(Suite::Aes128Gcm), &ours(1));
    let mut reply = write(REPLY_HEAD, Suite::Aes128Ccm8 as u8, &ours(2));
    let mac = Schedule::new(&psk(1), strict.message(), &reply).confirm_module();
    reply[UNMACED..].copy_from_slice(&mac);
    assert_eq!(strict.answered(&psk(1), &reply).err(), Some(HandshakeError::Suite(5)));
}

#[test]
fn without_a_common_suite_there_is_no_session() {
    let greeting = Greeting::new(&psk(1), SuiteSet::only(Suite::Aes128Gcm), &ours(1));
    let hello = Hello::parse(&psk(1), greeting.message()).unwrap();
    let refused = hello.reply(&psk(1), SuiteSet::only(Suite::Aes128Ccm), &ours(2)).err();
    assert_eq!(refused, Some(HandshakeError::NoCommonSuite { theirs: 2, ours: 8 }));
}

#[test]
fn another_version_is_refused() {
    let Handshake { greeting, reply, .. } = handshake(SuiteSet::ALL, 1, 2);
    let with = |message: &[u8]| {
        let mut message = message.to_vec();
        message[1] = 2;
        message
    };
    assert_eq!(Hello::parse(&psk(1), &with(greeting.message())).err(), Some(HandshakeError::Version(2)));
    assert_eq!(greeting.answered(&psk(1), &with(&reply)).err(), Some(HandshakeError::Version(2)));
    assert_eq!(psk(1).check_knock(&with(&psk(1).knock())), Err(HandshakeError::Version(2)));
}

#[test]
fn another_key_is_refused_at_the_first_message() {
    let Handshake { greeting, reply, module, .. } = handshake(SuiteSet::ALL, 1, 2);
    assert_eq!(Hello::parse(&psk(2), greeting.message()).err(), Some(HandshakeError::NotAuthentic));
    assert_eq!(greeting.answered(&psk(2), &reply).err(), Some(HandshakeError::NotAuthentic));
    assert_eq!(psk(2).check_knock(&psk(1).knock()), Err(HandshakeError::NotAuthentic));
    assert_eq!(psk(1).check_knock(&psk(1).knock()), Ok(()));
    assert_eq!(module.check_finish(&[FINISH_HEAD; FINISH]), Err(HandshakeError::NotAuthentic));
}

#[test]
fn every_cut_and_every_flipped_bit_of_every_message_is_refused() {
    let Handshake { greeting, reply, host, module } = handshake(SuiteSet::ALL, 1, 2);
    let messages: [(&[u8], Check<'_>); 4] = [
        (&psk(1).knock(), &|message| psk(1).check_knock(message)),
        (greeting.message(), &|message| Hello::parse(&psk(1), message).map(|_| ())),
        (&reply, &|message| greeting.answered(&psk(1), message).map(|_| ())),
        (host.finish(), &|message| module.check_finish(message)),
    ];
    for (message, check) in messages {
        assert_eq!(check(message), Ok(()));
        for len in 0..message.len() {
            let refused = check(&message[..len]);
            assert_eq!(refused, Err(HandshakeError::Length { len, expected: message.len() }));
        }
        for bit in 0..message.len() * 8 {
            let mut flipped = message.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let expected = match (bit / 8, message.len()) {
                (1, KNOCK | HELLO) => match Mode::ALL.into_iter().find(|mode| *mode as u8 == flipped[1]) {
                    Some(theirs) => HandshakeError::OtherMode { theirs, ours: Mode::Psk },
                    None => HandshakeError::Version(flipped[1]),
                },
                (2, HELLO) if message[0] == REPLY_HEAD && Suite::from_number(flipped[2]).is_none() => {
                    HandshakeError::Suite(flipped[2])
                }
                _ => HandshakeError::NotAuthentic,
            };
            assert_eq!(check(&flipped), Err(expected), "{:#04x} bit {bit}", message[0]);
        }
    }
}

#[test]
fn refuses_an_end_that_takes_no_frame() {
    let small = Offer { longest_frame: LEAST_FRAME - 1, ..ours(1) };
    let greeting = Greeting::new(&psk(1), SuiteSet::ALL, &small);
    assert_eq!(Hello::parse(&psk(1), greeting.message()).err(), Some(HandshakeError::LongestFrame(63)));
}

#[test]
fn refuses_the_examples_keys() {
    for byte in [b'A', b'T', 0, 0xff] {
        let key = || Secret::filled_by(|key| key.fill(byte));
        assert_eq!(LinkPsk::new(key()).err(), Some(HandshakeError::ExampleKey));
        let _ = LinkPsk::allowing_example_keys(key());
    }
}

#[test]
fn prints_no_key() {
    let text = std::format!("{:?} {:?}", psk(1), handshake(SuiteSet::ALL, 1, 2).host);
    assert!(
        text.contains("Secret<32>(..)") && text.contains("Secret<16>(..)") && !text.contains("0, 0, 0, 1]"),
        "{text}"
    );
}

proptest! {
    #[test]
    fn believes_nothing_that_was_made_up(message in proptest::collection::vec(any::<u8>(), 0..60)) {
        let Handshake { greeting, module, .. } = handshake(SuiteSet::ALL, 1, 2);
        prop_assert!(Hello::parse(&psk(1), &message).is_err());
        prop_assert!(greeting.answered(&psk(1), &message).is_err());
        prop_assert!(module.check_finish(&message).is_err());
        prop_assert!(psk(1).check_knock(&message).is_err());
    }
}
