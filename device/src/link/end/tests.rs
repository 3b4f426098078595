extern crate std;
use super::pair::{Counting, Pair, Peer, Told, delimited, psk, refused, told, undelimited};
use super::*;
use crate::link::psk::PskEnd;
use cotter_wire::link::delimiter::wire_len;
use cotter_wire::link::handshake::{HELLO, HandshakeError, KNOCK, LinkPsk};
use std::vec;
use std::vec::Vec;

fn end(side: Side) -> Peer<LinkPsk> {
    End::new(side, psk(1), Settings::default())
}

fn new() -> Pair<LinkPsk, LinkPsk> {
    Pair::new(psk(1), psk(1))
}

fn open() -> Pair<LinkPsk, LinkPsk> {
    Pair::open(psk(1), psk(1))
}

#[test]
fn a_handshake_takes_116_bytes_and_an_acknowledgement() {
    let mut line = new();
    line.module.handshake = Handshake::Idle;
    line.exchange();
    let lengths = |frames: &[Vec<u8>]| frames.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(lengths(&line.to_module), [HELLO + 3, FINISH + 3]);
    assert_eq!(lengths(&line.to_host), [HELLO + 3, HEAD + 2 + 16 + 3]);
    let mut line = new();
    assert_eq!(line.take(Side::Module)[0].len(), KNOCK + 3);
}

#[test]
fn a_frame_takes_25_bytes_more_than_its_text_and_17_with_the_short_tag() {
    for (suite, more) in [(Suite::ChaCha20Poly1305, 25), (Suite::AsconAead128, 25), (Suite::Aes128Ccm8, 17)] {
        let settings = Settings { suites: SuiteSet::only(suite), ..Settings::default() };
        let mut line = Pair::of(End::new(Side::Host, psk(1), settings), end(Side::Module));
        line.exchange();
        line.host.send(b"AT\r\n").unwrap();
        line.now += 1;
        assert_eq!(line.take(Side::Host)[0].len(), 4 + more);
    }
}

#[test]
fn an_end_of_280_and_1024_bytes_takes_less_than_2_5_kib() {
    let size = size_of::<PskEnd<280, 1024>>();
    assert!(size <= 2560, "{size}");
    std::println!("{size}");
}

#[test]
fn what_is_sent_arrives_both_ways() {
    let mut line = open();
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
    assert_eq!(line.module.counts().sent_again, 0);
}

#[test]
fn nothing_is_sent_before_the_other_end_has_proven_itself() {
    let mut line = new();
    assert_eq!((line.host.send(b"AT\r\n"), line.host.escape()), (Err(NotOpen), Err(NotOpen)));
    let hello = line.take(Side::Host);
    line.give(Side::Module, &hello[0]);
    let reply = line.take(Side::Module).into_iter().find(|frame| frame.len() == HELLO + 3).unwrap();
    assert_eq!(line.module.send(b"\r\nready\r\n"), Err(NotOpen), "the host has not finished");
    assert_eq!(line.give(Side::Host, &reply), []);
    assert_eq!(line.host.send(b"AT\r\n"), Err(NotOpen), "the module has not acknowledged");
    assert_eq!((line.host.room(), line.module.room()), (0, 0));
}

#[test]
fn a_downgrade_to_plain_text_or_to_a_bare_keystream_is_refused() {
    let mut line = open();
    for text in [&b"\r\nready\r\n"[..], b"AT\r\n", b"\xed\x3f\x78\xd0", b"+++", b"AT+CWJAP=\"x\",\"y\"\r\n"] {
        for side in [Side::Host, Side::Module] {
            let told = line.give(side, &[&[0], text, &[0]].concat());
            assert!(matches!(told[..], [Told::Refused(_)]), "{told:?}");
        }
    }
    line.works();
    // And before any handshake.
    let mut line = new();
    assert!(matches!(line.give(Side::Host, b"\0\r\nready\r\n\0")[..], [Told::Refused(_)]));
    assert_eq!(line.host.send(b"AT\r\n"), Err(NotOpen));
}

#[test]
fn a_downgrade_of_the_suite_is_refused() {
    let mut line = new();
    let mut hello = undelimited(&line.take(Side::Host)[0]);
    hello[2] = SuiteSet::only(Suite::Aes128Ccm8).0;
    let forged = delimited(&hello);
    assert_eq!(line.give(Side::Module, &forged), refused(HandshakeError::NotAuthentic));
    line.later(1000).exchange();
    assert_eq!(line.host.suite(), Some(Suite::ChaCha20Poly1305));
}

#[test]
fn a_replayed_frame_is_refused() {
    let mut line = open();
    line.works();
    let recorded = line.to_module.last().unwrap().clone();
    assert_eq!(line.give(Side::Module, &recorded), refused(FrameError::Replayed { behind: 1 }));
    line.works();
}

#[test]
fn a_reflected_frame_is_refused() {
    let mut line = open();
    line.works();
    for frame in line.to_module.clone() {
        assert_eq!(line.give(Side::Host, &frame), refused(FrameError::Reflected));
    }
    for frame in line.to_host.clone() {
        assert_eq!(line.give(Side::Module, &frame), refused(FrameError::Reflected));
    }
    line.works();
}

#[test]
fn a_frame_spliced_in_from_another_session_is_refused() {
    let mut other = open();
    other.random = Counting(1000);
    other.later(10_000).host.reconnect();
    other.exchange();
    other.works();
    other.works();
    let recorded = other.to_module.last().unwrap().clone();
    let mut line = open();
    assert_eq!(line.give(Side::Module, &recorded), refused(FrameError::NotAuthentic));
    line.works();
}

#[test]
fn a_replayed_handshake_opens_nothing() {
    let mut line = open();
    let first: Vec<_> = line.to_module.clone();
    let [hello, finish] = [HELLO, FINISH].map(|len| first.iter().find(|frame| frame.len() == len + 3).unwrap().clone());
    let reply = line.to_host.iter().find(|frame| frame.len() == HELLO + 3).unwrap().clone();
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
    line.module = end(Side::Module);
    line.give(Side::Module, &hello);
    assert_eq!(line.give(Side::Module, &finish), refused(HandshakeError::NotAuthentic));
    assert!(!line.module.is_open());
}

#[test]
fn replayed_hellos_are_not_answered_all_at_once() {
    let mut line = new();
    let hellos: Vec<_> = (0..5)
        .map(|_| {
            line.host = end(Side::Host);
            line.take(Side::Host)[0].clone()
        })
        .collect();
    assert_eq!(line.give(Side::Module, &hellos[0]), []);
    for hello in &hellos[1..] {
        assert_eq!(line.give(Side::Module, hello), refused(Refusal::TooSoon));
    }
    assert_eq!(line.give(Side::Module, &hellos[0]), [], "the one that goes on is answered again");
    line.now += u64::from(Timing::default().between_replies);
    assert_eq!(line.give(Side::Module, &hellos[4]), []);
}

#[test]
fn a_replayed_knock_costs_a_handshake_and_no_byte() {
    let mut line = open();
    let knock = line.to_host.iter().find(|frame| frame.len() == KNOCK + 3).unwrap().clone();
    line.host.send(b"AT+").unwrap();
    line.later(10_000).give(Side::Host, &knock);
    let (host, module) = line.exchange();
    // The acknowledgement of the old session comes too late, and once more in the new one.
    let late = Told::Refused(Refusal::Frame(FrameError::NotAuthentic));
    assert_eq!(host, [late, Told::Opened { continued: true }]);
    assert_eq!(module, [Told::Data(b"AT+".to_vec()), Told::Opened { continued: true }]);
    line.works();
}

#[test]
fn another_key_never_opens_and_nothing_is_believed() {
    let mut line = Pair::of(End::new(Side::Host, psk(2), Settings::default()), end(Side::Module));
    for _ in 0..50 {
        let (host, module) = line.later(1000).exchange();
        let all_refused = |told: &[Told]| {
            told.iter().all(|told| *told == Told::Refused(Refusal::Handshake(HandshakeError::NotAuthentic)))
        };
        assert!(all_refused(&host) && all_refused(&module) && !module.is_empty());
    }
    assert!(!line.host.is_open() && !line.module.is_open());
}

#[test]
fn keys_are_renewed_by_count_and_the_streams_go_on() {
    let settings = Settings { rekey_frames: 20, ..Settings::default() };
    let mut line = Pair::of(End::new(Side::Host, psk(1), settings), end(Side::Module));
    line.exchange();
    for _ in 0..200 {
        line.works();
        line.later(1000);
    }
    assert!(line.host.counts().sessions >= 10, "{:?}", line.host.counts());
    assert!(line.host.session.as_ref().unwrap().next_counter() < 25);
}

#[test]
fn an_end_whose_handshakes_are_kept_from_it_falls_silent_and_loses_nothing() {
    let settings = Settings { rekey_frames: 20, ..Settings::default() };
    let mut line = Pair::of(End::new(Side::Host, psk(1), settings), end(Side::Module));
    line.exchange();
    let (mut said, mut heard) = (Vec::new(), Vec::new());
    let mut hear = |told: Vec<Told>| {
        told.into_iter().for_each(|told| {
            if let Told::Data(data) = told {
                heard.extend(data)
            }
        });
    };
    for number in 0..100_u8 {
        said.extend([number; 4]);
        assert_eq!(line.host.send(&[number; 4]), Ok(4));
        for frame in line.later(50).take(Side::Host) {
            if undelimited(&frame).first() != Some(&HELLO_HEAD) {
                hear(line.give(Side::Module, &frame));
            }
        }
        for frame in line.take(Side::Module) {
            line.give(Side::Host, &frame);
        }
    }
    assert_eq!((line.host.counts().sessions, line.host.session.as_ref().unwrap().used()), (1, 40));
    // With new keys, all goes on where it was.
    let (_, module) = line.later(1000).exchange();
    hear(module);
    assert_eq!(line.host.counts().sessions, 2);
    assert_eq!(heard, said);
}

#[test]
fn keys_are_renewed_by_time_at_the_word_of_either_end() {
    let settings = Settings { rekey_millis: 5000, ..Settings::default() };
    let impatient = |side| End::new(side, psk(1), settings);
    for (host, module) in [(impatient(Side::Host), end(Side::Module)), (end(Side::Host), impatient(Side::Module))] {
        let mut line = Pair::of(host, module);
        line.exchange();
        line.later(4000).exchange();
        assert_eq!(line.host.counts().sessions, 1);
        let wake = [line.host.wake_at(), line.module.wake_at()].into_iter().flatten().min().unwrap();
        assert_eq!(wake, Millis(6000));
        line.now = wake.0;
        let (host, module) = line.exchange();
        assert_eq!((host, module), (vec![Told::Opened { continued: true }], vec![Told::Opened { continued: true }]));
        line.works();
    }
}

#[test]
fn a_reset_module_is_a_new_one_and_the_host_is_told() {
    let mut line = open();
    line.works();
    let before = line.host.session.as_ref().unwrap().id();
    line.later(10_000).module = end(Side::Module);
    line.host.send(b"lost").unwrap();
    let (host, module) = line.exchange();
    assert_eq!(host, [Told::Opened { continued: false }]);
    assert_eq!(module, [Told::Refused(Refusal::NoSession), Told::Opened { continued: false }]);
    assert_ne!(line.host.session.as_ref().unwrap().id(), before);
    line.works();
}

#[test]
fn a_reset_host_is_a_new_one_and_the_module_is_told() {
    let mut line = open();
    line.works();
    line.later(10_000).host = end(Side::Host);
    let (host, module) = line.exchange();
    assert_eq!((host, module), (vec![Told::Opened { continued: false }], vec![Told::Opened { continued: false }]));
    line.works();
}

#[test]
fn an_escape_arrives_after_the_bytes_before_it_and_only_as_a_frame() {
    let mut line = open();
    line.host.send(b"payload+++").unwrap();
    assert_eq!(line.host.escape(), Ok(true));
    assert_eq!(line.host.escape(), Ok(false), "one at a time");
    line.host.send(b"AT\r\n").unwrap();
    let (_, module) = line.exchange();
    let expected = [Told::Data(b"payload+++".to_vec()), Told::Escape, Told::Data(b"AT\r\n".to_vec())];
    assert_eq!(module, expected);
    assert_eq!(line.host.escape(), Ok(true));
    assert_eq!(line.exchange().1, [Told::Escape]);
    line.works();
}

/// Whichever single frame is lost, doubled, or changed in a bit, a handshake and an exchange come to their end.
#[test]
fn any_frame_may_be_lost_doubled_or_damaged() {
    for harm in 0..3 {
        let mut unharmed = 0;
        for number in 0.. {
            let (mut line, mut count) = (new(), 0);
            let (mut at_host, mut at_module) = (Vec::new(), Vec::new());
            let mut written = false;
            for _ in 0..400 {
                for side in [Side::Host, Side::Module] {
                    for frame in line.take(side) {
                        let carried = match (count == number, harm) {
                            (false, _) => frame,
                            (true, 0) => Vec::new(),
                            (true, 1) => [&frame[..], &frame].concat(),
                            (true, _) => frame.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == 5)).collect(),
                        };
                        count += 1;
                        let told = line.give(side.other(), &carried);
                        let place = if side == Side::Host { &mut at_module } else { &mut at_host };
                        for told in told {
                            if let Told::Data(data) = told {
                                place.extend(data);
                            }
                        }
                    }
                }
                if !written && line.host.is_open() && line.module.is_open() {
                    line.host.send(&[7; 300]).unwrap();
                    line.module.send(&[8; 300]).unwrap();
                    written = true;
                }
                line.later(10);
            }
            assert_eq!((at_host, at_module), (vec![8; 300], vec![7; 300]), "harm {harm} to frame {number}");
            unharmed += usize::from(count <= number);
            if unharmed > 0 {
                assert!(number > 8, "{number}");
                break;
            }
        }
    }
}

#[test]
fn an_end_sends_no_longer_frames_than_the_other_takes() {
    let mut host = PskEnd::<1000, 2000>::new(Side::Host, psk(1), Settings::default());
    let mut module = PskEnd::<64, 100>::new(Side::Module, psk(1), Settings::default());
    let (mut random, mut out, mut arrived) = (Counting(0), [0; wire_len(1000)], Vec::new());
    for round in 0..200 {
        let now = Millis(round * 10);
        while let Some(frame) = host.transmit(now, &mut random, &mut out).unwrap() {
            assert!(frame.len() <= wire_len(if round == 0 { HELLO } else { 64 }));
            for told in told(&mut module, frame, now, &mut random) {
                if let Told::Data(data) = told {
                    arrived.extend(data);
                }
            }
        }
        while let Some(frame) = module.transmit(now, &mut random, &mut out).unwrap() {
            told(&mut host, frame, now, &mut random);
        }
        if round == 10 {
            assert_eq!(host.send(&[9; 1500]), Ok(1500));
        }
    }
    assert_eq!(arrived, [9; 1500]);
}

#[test]
fn a_buffer_too_small_for_any_frame_is_refused() {
    let mut host = end(Side::Host);
    assert_eq!(host.transmit(Millis(0), &mut Counting(0), &mut [0; 66]), Err(NoRoom));
    assert!(host.transmit(Millis(0), &mut Counting(0), &mut [0; 67]).unwrap().is_some());
}

#[test]
fn prints_neither_keys_nor_what_was_said() {
    let mut line = open();
    line.host.send(b"PASSWORD").unwrap();
    let frames = line.take(Side::Host);
    let told = line.module.receive(&frames[0], Millis(5), &mut line.random);
    let text = std::format!("{told:?}");
    let text = std::format!("{text} {:?} {:?}", line.host, line.module);
    assert!(!text.contains("PASSWORD") && !text.contains("80, 65, 83, 83") && text.contains("Data(8 bytes)"), "{text}");
}
