extern crate std;
use super::*;
use crate::link::Timing;
use crate::link::end::pair::{Counting, Pair, Told, delimited, psk, refused, undelimited};
use cotter_formats::secret::Secret;
use cotter_wire::link::credentials::Credentials;
use cotter_wire::link::handshake::{FINISH, HandshakeError};
use cotter_wire::link::mode::Mode;
use cotter_wire::link::noise::{NOISE_HELLO, StaticKeys, public_key};
use cotter_wire::link::session::{FrameError, HEAD, Side};
use cotter_wire::link::suite::Suite;
use std::vec;
use std::vec::Vec;

fn kk(own: u8, peer: u8) -> NoiseKeys {
    let [own, peer] = [own, peer].map(|byte| Secret::filled_by(|key: &mut [u8; 32]| key.fill(byte)));
    NoiseKeys::kk(psk(1), StaticKeys::new(&own, public_key(&peer)).unwrap())
}

const MODES: [Mode; 2] = [Mode::NoiseNn, Mode::NoiseKk];

/// What one of two ends has that belong together.
fn keys(mode: Mode, side: Side) -> NoiseKeys {
    match (mode, side) {
        (Mode::NoiseKk, Side::Host) => kk(7, 8),
        (Mode::NoiseKk, Side::Module) => kk(8, 7),
        _ => NoiseKeys::nn(psk(1)),
    }
}

fn new(mode: Mode) -> Pair<NoiseKeys, NoiseKeys> {
    let mut pair = Pair::new(keys(mode, Side::Host), keys(mode, Side::Module));
    pair.only = Some(Suite::ChaCha20Poly1305);
    pair
}

fn open(mode: Mode) -> Pair<NoiseKeys, NoiseKeys> {
    let mut pair = new(mode);
    let opened = || vec![Told::Opened { continued: false }];
    assert_eq!(pair.exchange(), (opened(), opened()));
    pair
}

fn of_length(frames: &[Vec<u8>], len: usize) -> Vec<u8> {
    frames.iter().map(|frame| undelimited(frame)).find(|frame| frame.len() == len).unwrap()
}

#[test]
fn a_handshake_takes_146_bytes_and_an_acknowledgement() {
    for mode in MODES {
        let line = open(mode);
        let lengths = |frames: &[Vec<u8>]| frames.iter().map(|frame| undelimited(frame).len()).collect::<Vec<_>>();
        assert_eq!(lengths(&line.to_module)[..2], [NOISE_HELLO, FINISH]);
        assert_eq!(lengths(&line.to_host)[1..], [NOISE_HELLO, HEAD + 2 + 16]);
        let handshake = [&line.to_module[0], &line.to_module[1], &line.to_host[1]];
        assert_eq!(handshake.iter().map(|frame| frame.len()).sum::<usize>(), 146);
    }
}

#[test]
fn what_is_sent_arrives_both_ways_and_so_does_the_escape() {
    for mode in MODES {
        let mut line = open(mode);
        line.works();
        let text: Vec<u8> = (0..=255).cycle().take(5000).collect();
        let (mut sent, mut arrived) = (0, Vec::new());
        while sent < text.len() {
            sent += line.module.send(&text[sent..]).unwrap();
            for told in line.exchange().0 {
                let Told::Data(data) = told else { panic!("{told:?}") };
                arrived.extend(data);
            }
        }
        assert_eq!(arrived, text);
        line.host.send(b"payload+++").unwrap();
        assert_eq!(line.host.escape(), Ok(true));
        let (_, module) = line.exchange();
        assert_eq!(module, [Told::Data(b"payload+++".to_vec()), Told::Escape]);
    }
}

#[test]
fn lost_messages_of_a_handshake_are_sent_again() {
    for lost in 0..6 {
        for mode in MODES {
            let mut line = new(mode);
            let mut count = 0;
            for _ in 0..200 {
                for frame in line.take(Side::Host) {
                    count += 1;
                    if count != lost + 1 {
                        line.give(Side::Module, &frame);
                    }
                }
                for frame in line.take(Side::Module) {
                    count += 1;
                    if count != lost + 1 {
                        line.give(Side::Host, &frame);
                    }
                }
                line.later(10);
            }
            assert!(line.host.is_open() && line.module.is_open(), "message {lost} was lost");
            line.works();
        }
    }
}

#[test]
fn another_shared_or_static_key_never_opens_and_is_refused_by_name() {
    let strangers = [
        [NoiseKeys::nn(psk(2)), NoiseKeys::nn(psk(1))],
        [kk(9, 8), kk(8, 7)],
        [kk(7, 9), kk(8, 7)],
        [kk(7, 8), kk(8, 9)],
        [kk(7, 8), kk(9, 7)],
    ];
    for [host, module] in strangers {
        let mut line = Pair::new(host, module);
        for _ in 0..20 {
            let (host, module) = line.later(1000).exchange();
            let not_authentic = Told::Refused(Refusal::Handshake(HandshakeError::NotAuthentic));
            // A knock shows the shared key alone, which the ends with other static keys have.
            assert!(host.iter().chain(&module).all(|told| *told == not_authentic), "{host:?} {module:?}");
            assert!(!module.is_empty());
        }
        assert!(!line.host.is_open() && !line.module.is_open());
        assert_eq!(line.host.send(b"AT\r\n"), Err(NotOpen));
    }
}

#[test]
fn ends_of_different_modes_never_open_and_say_so() {
    fn never_opens<H: Credentials, M: Credentials>(host: H, module: M) {
        let (hosts, modules) = (host.mode(), module.mode());
        let mut line = Pair::new(host, module);
        for _ in 0..10 {
            let (host, module) = line.later(1000).exchange();
            let other = |theirs, ours| Told::Refused(Refusal::Handshake(HandshakeError::OtherMode { theirs, ours }));
            assert!(!host.is_empty() && host.iter().all(|told| *told == other(modules, hosts)), "{host:?}");
            assert!(!module.is_empty() && module.iter().all(|told| *told == other(hosts, modules)), "{module:?}");
        }
        assert!(!line.host.is_open() && !line.module.is_open());
    }
    let nn = || NoiseKeys::nn(psk(1));
    never_opens(nn(), kk(8, 7));
    never_opens(kk(7, 8), nn());
    never_opens(psk(1), nn());
    never_opens(nn(), psk(1));
    never_opens(psk(1), kk(8, 7));
    never_opens(kk(7, 8), psk(1));
}

#[test]
fn a_downgrade_to_a_shared_key_alone_to_plain_text_or_to_a_bare_keystream_is_refused() {
    // Somebody who has the shared key offers a session without forward secrecy.
    let mut weak = Pair::open(psk(1), psk(1));
    weak.works();
    let recorded = (weak.to_module, weak.to_host);
    for mode in MODES {
        let mut line = open(mode);
        let other = || refused(HandshakeError::OtherMode { theirs: Mode::Psk, ours: mode });
        for frame in &recorded.0 {
            let expected = match undelimited(frame)[0] {
                0x02 => other(),
                0x04 => refused(Refusal::UnexpectedFinish),
                _ => vec![],
            };
            let told = line.give(Side::Module, frame);
            assert!(told == expected || matches!(told[..], [Told::Refused(Refusal::Frame(_))]), "{told:?}");
        }
        for frame in &recorded.1 {
            let told = line.give(Side::Host, frame);
            let expected = match undelimited(frame)[0] {
                0x81 => other(),
                0x83 => refused(Refusal::UnexpectedReply),
                _ => vec![],
            };
            assert!(told == expected || matches!(told[..], [Told::Refused(Refusal::Frame(_))]), "{told:?}");
        }
        for text in [&b"\r\nready\r\n"[..], b"AT\r\n", b"\xed\x3f\x78\xd0", b"+++", b"AT+CWJAP=\"x\",\"y\"\r\n"] {
            let wire = [&[0], text, &[0]].concat();
            assert!(matches!(line.give(Side::Host, &wire)[..], [Told::Refused(_)]));
            assert!(matches!(line.give(Side::Module, &wire)[..], [Told::Refused(_)]));
        }
        line.works();
    }
}

#[test]
fn a_replayed_reflected_or_spliced_frame_is_refused() {
    for mode in MODES {
        let mut line = open(mode);
        line.works();
        let recorded = line.to_module.last().unwrap().clone();
        assert_eq!(line.give(Side::Module, &recorded), refused(FrameError::Replayed { behind: 1 }));
        for frame in line.to_module.clone() {
            assert_eq!(line.give(Side::Host, &frame), refused(FrameError::Reflected));
        }
        for frame in line.to_host.clone() {
            assert_eq!(line.give(Side::Module, &frame), refused(FrameError::Reflected));
        }
        let mut other = new(mode);
        other.random = Counting(1000);
        other.exchange();
        other.works();
        other.works();
        let spliced = other.to_module.last().unwrap().clone();
        assert_eq!(line.give(Side::Module, &spliced), refused(FrameError::NotAuthentic));
        line.works();
    }
}

#[test]
fn a_replayed_handshake_opens_nothing() {
    for mode in MODES {
        let mut line = open(mode);
        let [hello, finish] = [NOISE_HELLO, FINISH].map(|len| delimited(&of_length(&line.to_module, len)));
        let reply = delimited(&of_length(&line.to_host, NOISE_HELLO));
        // 1. Of the session that is.
        assert_eq!(line.give(Side::Module, &hello), refused(Refusal::ReplayedHello));
        assert_eq!(line.give(Side::Host, &reply), refused(Refusal::UnexpectedReply));
        assert_eq!(line.give(Side::Module, &finish), [], "it is only acknowledged again");
        line.works();
        // 2. Of a session before.
        line.later(10_000).host.reconnect();
        line.exchange();
        let sessions = (line.host.counts().sessions, line.module.counts().sessions);
        line.later(10_000);
        assert_eq!(line.give(Side::Module, &hello), [], "it is answered");
        let answer = line.take(Side::Module);
        assert_eq!(answer.len(), 1);
        assert_eq!(line.give(Side::Host, &answer[0]), refused(Refusal::UnexpectedReply));
        assert_eq!(line.give(Side::Module, &finish), refused(HandshakeError::NotAuthentic));
        assert_eq!((line.host.counts().sessions, line.module.counts().sessions), sessions);
        line.works();
        // 3. To a module that was reset.
        line.module = End::new(Side::Module, keys(mode, Side::Module), Settings::default());
        assert_eq!(line.give(Side::Module, &hello), []);
        assert_eq!(line.give(Side::Module, &finish), refused(HandshakeError::NotAuthentic));
        assert!(!line.module.is_open());
    }
}

#[test]
fn a_reply_of_another_handshake_is_refused_and_the_right_one_is_still_taken() {
    for mode in MODES {
        let mut line = new(mode);
        let hello = line.take(Side::Host).remove(0);
        assert_eq!(line.give(Side::Module, &hello), []);
        let reply = line.take(Side::Module).remove(0);
        // Somebody else's handshake with a module that has the same keys.
        let mut other = new(mode);
        other.random = Counting(500);
        other.exchange();
        let foreign = delimited(&of_length(&other.to_host, NOISE_HELLO));
        assert_eq!(line.give(Side::Host, &foreign), refused(HandshakeError::NotAuthentic));
        assert_eq!(line.give(Side::Host, &reply), []);
        line.exchange();
        line.works();
    }
}

#[test]
fn replayed_hellos_are_not_answered_all_at_once() {
    for mode in MODES {
        let mut line = new(mode);
        let hellos = [(); 2].map(|()| {
            line.host = End::new(Side::Host, keys(mode, Side::Host), Settings::default());
            line.take(Side::Host).remove(0)
        });
        assert_eq!(line.give(Side::Module, &hellos[0]), []);
        assert_eq!(line.give(Side::Module, &hellos[1]), refused(Refusal::TooSoon));
        assert_eq!(line.give(Side::Module, &hellos[0]), [], "the one that goes on is answered again");
        line.now += u64::from(Timing::default().between_replies);
        assert_eq!(line.give(Side::Module, &hellos[1]), []);
    }
}

#[test]
fn keys_are_renewed_and_the_streams_go_on() {
    let settings = Settings { rekey_frames: 20, ..Settings::default() };
    for mode in MODES {
        let mut line = new(mode);
        line.host = End::new(Side::Host, keys(mode, Side::Host), settings);
        line.exchange();
        for _ in 0..200 {
            line.works();
            line.later(1000);
        }
        assert!(line.host.counts().sessions >= 10, "{:?}", line.host.counts());
    }
}

#[test]
fn prints_neither_keys_nor_what_was_said() {
    for mode in MODES {
        let mut line = open(mode);
        line.host.send(b"PASSWORD").unwrap();
        let text = std::format!("{:?} {:?}", line.host, line.module);
        assert!(!text.contains("80, 65, 83, 83") && !text.contains("7, 7, 7, 7") && text.contains("End"), "{text}");
    }
}
