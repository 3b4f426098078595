extern crate std;
use super::*;
use crate::link::session::tests::{acknowledgement, opens};
use crate::link::session::{FrameError, Kind};
use proptest::prelude::*;
use std::vec::Vec;

fn psk(byte: u8) -> LinkPsk {
    LinkPsk::new(Secret::filled_by(|key| key[31] = byte)).unwrap()
}

fn private(byte: u8) -> Secret<32> {
    Secret::filled_by(|key| key.fill(byte))
}

fn statics(own: u8, peer: u8) -> StaticKeys {
    StaticKeys::new(&private(own), public_key(&private(peer))).unwrap()
}

fn nn() -> NoiseKeys {
    NoiseKeys::nn(psk(1))
}

/// Host and module.
fn pairs() -> [(NoiseKeys, NoiseKeys); 2] {
    [(nn(), nn()), (NoiseKeys::kk(psk(1), statics(7, 8)), NoiseKeys::kk(psk(1), statics(8, 7)))]
}

fn about() -> About {
    About { longest_frame: 280, lineage: [3; 8] }
}

type Check<'a> = &'a dyn Fn(&[u8]) -> Result<(), HandshakeError>;

/// Of one message taken as a knock, a hello and a reply.
type Refusals<'a> = &'a dyn Fn(&[u8]) -> [Option<HandshakeError>; 3];

struct Handshake {
    greeting: NoiseGreeting,
    reply: [u8; NOISE_HELLO],
    host: Established,
    module: Established,
}

fn handshake(host: &NoiseKeys, module: &NoiseKeys, host_fresh: u8, module_fresh: u8) -> Handshake {
    let greeting = host.greet(SuiteSet::ALL, about(), |out| out.fill(host_fresh));
    let hello = module.greeted(&greeting.message).unwrap();
    let (reply, module) = module.reply(&hello, SuiteSet::ALL, about(), |out| out.fill(module_fresh)).unwrap();
    let host = host.answered(&greeting, &reply).unwrap();
    Handshake { greeting, reply, host, module }
}

#[test]
fn both_ends_have_one_session_with_each_pattern() {
    for (host, module) in pairs() {
        let Handshake { greeting, reply, mut host, mut module } = handshake(&host, &module, 1, 2);
        assert_eq!(host.session.id(), module.session.id());
        assert_eq!(module.check_finish(host.finish()), Ok(()));
        let said = |message: &[u8; NOISE_HELLO]| Offer {
            longest_frame: 280,
            lineage: [3; 8],
            nonce: core::array::from_fn(|at| message[2 + at]),
        };
        assert_eq!((host.peer, module.peer), (said(&reply), said(&greeting.message)));
        let frame = acknowledgement(&mut host.session);
        assert_eq!(opens(&mut module.session, &frame), Ok(()));
        let frame = acknowledgement(&mut module.session);
        assert_eq!(opens(&mut host.session, &frame), Ok(()));
    }
}

#[test]
fn another_ephemeral_key_of_either_end_makes_another_session() {
    for (host, module) in pairs() {
        let one = handshake(&host, &module, 1, 2);
        for mut other in [handshake(&host, &module, 1, 3), handshake(&host, &module, 3, 2)] {
            assert_ne!(one.host.session.id(), other.host.session.id());
            assert_eq!(other.module.check_finish(one.host.finish()), Err(HandshakeError::NotAuthentic));
            let frame = acknowledgement(&mut handshake(&host, &module, 1, 2).host.session);
            assert_eq!(opens(&mut other.module.session, &frame), Err(FrameError::NotAuthentic));
        }
    }
}

#[test]
fn the_finish_seals_no_frame() {
    // The finish is sealed with the split key, and frames with another one: a frame with the same counter shares nothing.
    for (host, module) in pairs() {
        let Handshake { mut host, .. } = handshake(&host, &module, 1, 2);
        let mut frame = [0; 40];
        host.session.seal(Kind::Acknowledgement, &mut frame, 2).unwrap();
        assert_ne!(frame[5..21], host.finish()[1..]);
    }
}

#[test]
fn another_shared_key_is_refused_at_the_first_message() {
    let others = [NoiseKeys::nn(psk(2)), NoiseKeys::kk(psk(2), statics(8, 7))];
    for ((host, module), other) in pairs().into_iter().zip(others) {
        let Handshake { greeting, .. } = handshake(&host, &module, 1, 2);
        assert_eq!(other.greeted(&greeting.message).err(), Some(HandshakeError::NotAuthentic));
        assert_eq!(other.check_knock(&module.knock()), Err(HandshakeError::NotAuthentic));
        assert_eq!(host.check_knock(&module.knock()), Ok(()));
    }
}

#[test]
fn another_static_key_of_either_end_is_refused_at_the_first_message() {
    let module = NoiseKeys::kk(psk(1), statics(8, 7));
    // The host has another pair, or expects another module.
    for keys in [statics(9, 8), statics(7, 9)] {
        let host = NoiseKeys::kk(psk(1), keys);
        let greeting = host.greet(SuiteSet::ALL, about(), |out| out.fill(1));
        assert_eq!(module.greeted(&greeting.message).err(), Some(HandshakeError::NotAuthentic));
    }
    // The module has another pair, or expects another host.
    let greeting = NoiseKeys::kk(psk(1), statics(7, 8)).greet(SuiteSet::ALL, about(), |out| out.fill(1));
    for keys in [statics(9, 7), statics(8, 9)] {
        let module = NoiseKeys::kk(psk(1), keys);
        assert_eq!(module.greeted(&greeting.message).err(), Some(HandshakeError::NotAuthentic));
    }
}

/// Who knows the shared key and the host's static key, and not the module's private one, is no module.
#[test]
fn the_shared_key_alone_answers_for_no_static_key() {
    let host = NoiseKeys::kk(psk(1), statics(7, 8));
    let greeting = host.greet(SuiteSet::ALL, about(), |out| out.fill(1));
    for impostor in [NoiseKeys::kk(psk(1), statics(9, 7)), nn()] {
        let message = impostor.greet(SuiteSet::ALL, about(), |out| out.fill(2)).message;
        let mut reply = framed(REPLY_HEAD, Mode::NoiseKk, message.last_chunk().unwrap());
        assert_eq!(host.answered(&greeting, &reply).err(), Some(HandshakeError::NotAuthentic));
        reply[1] = Mode::NoiseNn as u8;
        let refused = HandshakeError::OtherMode { theirs: Mode::NoiseNn, ours: Mode::NoiseKk };
        assert_eq!(host.answered(&greeting, &reply).err(), Some(refused));
    }
}

#[test]
fn a_replayed_hello_yields_a_session_that_its_replayer_cannot_finish() {
    for (host, module) in pairs() {
        let recorded = handshake(&host, &module, 1, 2);
        let hello = module.greeted(&recorded.greeting.message).unwrap();
        let (reply, fresh) = module.reply(&hello, SuiteSet::ALL, about(), |out| out.fill(9)).unwrap();
        assert_ne!(reply, recorded.reply);
        assert_eq!(fresh.check_finish(recorded.host.finish()), Err(HandshakeError::NotAuthentic));
    }
}

#[test]
fn a_replayed_or_reflected_message_answers_no_hello() {
    for (host, module) in pairs() {
        let recorded = handshake(&host, &module, 1, 2);
        let greeting = host.greet(SuiteSet::ALL, about(), |out| out.fill(4));
        assert_eq!(host.answered(&greeting, &recorded.reply).err(), Some(HandshakeError::NotAuthentic));
        let mut reflected = greeting.message;
        reflected[0] = REPLY_HEAD;
        assert_eq!(host.answered(&greeting, &reflected).err(), Some(HandshakeError::NotAuthentic));
        assert!(host.answered(&recorded.greeting, &recorded.reply).is_ok(), "a refused reply spoils no greeting");
    }
}

#[test]
fn a_downgrade_of_the_mode_is_refused_by_name() {
    let shared = psk(1);
    let ends: [(Mode, Refusals<'_>, [Vec<u8>; 3]); 3] = [
        (Mode::Psk, &|message| all_refusals(&shared, message), messages(&psk(1), &psk(1))),
        (Mode::NoiseNn, &|message| all_refusals(&nn(), message), messages(&pairs()[0].0, &pairs()[0].1)),
        (
            Mode::NoiseKk,
            &|message| all_refusals(&NoiseKeys::kk(psk(1), statics(7, 8)), message),
            messages(&pairs()[1].0, &pairs()[1].1),
        ),
    ];
    for (ours, refusals, _) in &ends {
        for (theirs, _, messages) in ends.iter().filter(|(theirs, ..)| theirs != ours) {
            for message in messages {
                let refused = Some(HandshakeError::OtherMode { theirs: *theirs, ours: *ours });
                assert_eq!(refusals(message), [refused; 3]);
            }
        }
        for message in [&b"\r\nready\r\n"[..], b"AT+GMR\r\n", b"\xa1\x61\x07\xbf\x80\x39\xc9\x54\x13"] {
            assert_eq!(refusals(message), [Some(HandshakeError::Version(message[1])); 3], "a keystream or plain text");
        }
    }
}

/// A knock, a hello and a reply.
fn messages<C: Credentials>(host: &C, module: &C) -> [Vec<u8>; 3] {
    let greeting = host.greet(SuiteSet::ALL, about(), |out| out.fill(1));
    let hello = module.greeted(C::hello(&greeting).as_ref()).unwrap();
    let (reply, _) = module.reply(&hello, SuiteSet::ALL, about(), |out| out.fill(2)).unwrap();
    [module.knock().to_vec(), C::hello(&greeting).as_ref().to_vec(), reply.as_ref().to_vec()]
}

/// Of one message taken as a knock, a hello and a reply.
fn all_refusals<C: Credentials>(end: &C, message: &[u8]) -> [Option<HandshakeError>; 3] {
    let greeting = end.greet(SuiteSet::ALL, about(), |out| out.fill(1));
    [end.check_knock(message).err(), end.greeted(message).err(), end.answered(&greeting, message).err()]
}

/// Whoever changes the mode in the message itself is refused by what the ends have hashed.
#[test]
fn a_message_of_one_pattern_relabelled_as_the_other_is_refused() {
    let [(nn_host, nn_module), (kk_host, kk_module)] = pairs();
    for (from, to, mode) in [(&nn_host, &kk_module, Mode::NoiseKk), (&kk_host, &nn_module, Mode::NoiseNn)] {
        let mut message = from.greet(SuiteSet::ALL, about(), |out| out.fill(1)).message;
        message[1] = mode as u8;
        assert_eq!(to.greeted(&message).err(), Some(HandshakeError::NotAuthentic));
        let mut knock = from.knock();
        knock[1] = mode as u8;
        assert_eq!(to.check_knock(&knock), Err(HandshakeError::NotAuthentic));
    }
}

#[test]
fn every_cut_and_every_flipped_bit_of_every_message_is_refused() {
    for (host_keys, module_keys) in pairs() {
        let Handshake { greeting, reply, host, module } = handshake(&host_keys, &module_keys, 1, 2);
        let messages: [(&[u8], Check<'_>); 4] = [
            (&module_keys.knock(), &|message| host_keys.check_knock(message)),
            (&greeting.message, &|message| module_keys.greeted(message).map(|_| ())),
            (&reply, &|message| host_keys.answered(&greeting, message).map(|_| ())),
            (host.finish(), &|message| module.check_finish(message)),
        ];
        for (message, check) in messages {
            assert_eq!(check(message), Ok(()));
            for len in 0..message.len() {
                let refused = check(&message[..len]);
                assert_eq!(refused, Err(HandshakeError::Length { len, expected: message.len() }));
            }
            // The head is looked at by whoever sorts messages; for a hello and a reply it is not looked at again.
            let first = if message.len() == NOISE_HELLO { 8 } else { 0 };
            for bit in first..message.len() * 8 {
                let mut flipped = message.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let expected = match (bit / 8, message.len()) {
                    (1, KNOCK | NOISE_HELLO) => match Mode::ALL.into_iter().find(|mode| *mode as u8 == flipped[1]) {
                        Some(theirs) => HandshakeError::OtherMode { theirs, ours: host_keys.mode() },
                        None => HandshakeError::Version(flipped[1]),
                    },
                    _ => HandshakeError::NotAuthentic,
                };
                assert_eq!(check(&flipped), Err(expected), "{:#04x} bit {bit}", message[0]);
            }
        }
    }
}

/// All points of small order, and their other spellings: 0, 1, two of order 8, p - 1, p, p + 1.
/// Source: <https://cr.yp.to/ecdh.html>, "How do I validate Curve25519 public keys?"
const LOW_ORDER: [[u8; 32]; 7] = {
    let mut p = [0xff; 32];
    (p[0], p[31]) = (0xed, 0x7f);
    let (mut one, mut before, mut after) = ([0; 32], p, p);
    (one[0], before[0], after[0]) = (1, 0xec, 0xee);
    [
        [0; 32],
        one,
        hex_literal::hex!("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        hex_literal::hex!("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
        before,
        p,
        after,
    ]
};

#[test]
fn keys_of_low_order_are_refused() {
    for point in LOW_ORDER {
        for high in [0, 0x80] {
            let mut point = point;
            point[31] |= high;
            // 1. As a static key, when it is given.
            assert_eq!(StaticKeys::new(&private(7), point).err(), Some(HandshakeError::LowOrder));
            // 2. As the host's ephemeral key: by an authentic hello, whose maker knows the shared key.
            let module = nn();
            let mut message = [0; MESSAGE];
            message[..32].copy_from_slice(&point);
            message[32..34].copy_from_slice(&280_u16.to_be_bytes());
            let (protocol, prologue) = module.before();
            let mut symmetric = symmetric::Symmetric::new(protocol, &prologue, [], module.psk.psk());
            symmetric.mix_ephemeral(&point);
            let mut tag = [0; 16];
            symmetric.seal(&mut message[32..42], &mut tag);
            message[42..].copy_from_slice(&tag);
            let hello = module.greeted(&framed(HELLO_HEAD, Mode::NoiseNn, &message)).unwrap();
            let reply = module.reply(&hello, SuiteSet::ALL, about(), |out| out.fill(2));
            assert_eq!(reply.err(), Some(HandshakeError::LowOrder));
            // 3. As either ephemeral key, where it is mixed before the tag is checked.
            let kk = NoiseKeys::kk(psk(1), statics(8, 7));
            let refused = kk.greeted(&framed(HELLO_HEAD, Mode::NoiseKk, &message)).err();
            assert_eq!(refused, Some(HandshakeError::LowOrder));
            for (host, _) in pairs() {
                let greeting = host.greet(SuiteSet::ALL, about(), |out| out.fill(1));
                let refused = host.answered(&greeting, &framed(REPLY_HEAD, host.mode(), &message)).err();
                assert_eq!(refused, Some(HandshakeError::LowOrder));
            }
        }
    }
}

#[test]
fn the_own_key_as_the_other_ends_is_refused() {
    let own = StaticKeys::new(&private(7), public_key(&private(7)));
    assert_eq!(own.err(), Some(HandshakeError::OwnKey));
}

/// The client's key of "The Illustrated TLS 1.3 Connection"; `cryptography` 50.0.2 makes the same of it.
#[test]
fn a_public_key_is_the_one_that_others_make() {
    let private = Secret::filled_by(|key| (0x20..).zip(key).for_each(|(value, byte)| *byte = value));
    let expected = hex_literal::hex!("358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254");
    assert_eq!(public_key(&private), expected);
}

#[test]
fn refuses_an_end_that_takes_no_frame() {
    for (host, module) in pairs() {
        let small = About { longest_frame: LEAST_FRAME - 1, ..about() };
        let greeting = host.greet(SuiteSet::ALL, small, |out| out.fill(1));
        assert_eq!(module.greeted(&greeting.message).err(), Some(HandshakeError::LongestFrame(63)));
        let greeting = host.greet(SuiteSet::ALL, about(), |out| out.fill(1));
        let hello = module.greeted(&greeting.message).unwrap();
        let (reply, _) = module.reply(&hello, SuiteSet::ALL, small, |out| out.fill(2)).unwrap();
        assert_eq!(host.answered(&greeting, &reply).err(), Some(HandshakeError::LongestFrame(63)));
    }
}

#[test]
fn prints_no_key() {
    for (host, module) in pairs() {
        let Handshake { greeting, host, .. } = handshake(&host, &module, 0x5a, 0xa5);
        let text = std::format!("{module:?} {greeting:?} {host:?}");
        assert!(text.contains("Initiator(..)") && !text.contains("90, 90") && !text.contains("7, 7, 7"), "{text}");
    }
}

proptest! {
    #[test]
    fn believes_nothing_that_was_made_up(mut message in proptest::collection::vec(any::<u8>(), 0..64)) {
        for (host, module) in pairs() {
            if let Some(mode) = message.get_mut(1) {
                *mode = host.mode() as u8;
            }
            let greeting = host.greet(SuiteSet::ALL, about(), |out| out.fill(1));
            prop_assert!(module.greeted(&message).is_err());
            prop_assert!(host.answered(&greeting, &message).is_err());
            prop_assert!(host.check_knock(&message).is_err());
        }
    }
}
