use super::*;

/// `CONNECT` of the well-known demo, as it was captured, but with a short password: MQTT 3.1.1, user name and password,
/// clean session, no keep-alive.
fn connect(level: u8, keep_alive: u16) -> Vec<u8> {
    let text = |text: &[u8]| [&u16::try_from(text.len()).unwrap().to_be_bytes(), text].concat();
    let properties: &[u8] = if level == 5 { &[0] } else { &[] };
    let body = [
        text(b"MQTT"),
        vec![level, 0xc2],
        keep_alive.to_be_bytes().to_vec(),
        properties.to_vec(),
        text(b"projects/p/locations/l/registries/r/devices/d"),
        text(b"ignored"),
        text(b"token"),
    ]
    .concat();
    [vec![0x10, u8::try_from(body.len()).unwrap()], body].concat()
}

fn open(level: u8) -> Session {
    let mut session = Session::new(1000);
    assert!(matches!(session.hear(&connect(level, 0))[..], [Heard::Greeting(_)]));
    assert!(session.accept(1200).is_empty());
    drop(session.said());
    session
}

#[test]
fn a_greeting_is_heard_and_answered() {
    let mut session = Session::new(1000);
    let heard = session.hear(&connect(4, 0));
    let [Heard::Greeting(greeting)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(greeting.client_id, "projects/p/locations/l/registries/r/devices/d");
    assert_eq!(greeting.password.as_deref(), Some(&b"token"[..]));
    assert!(session.said().is_empty(), "nothing is said before it is believed");
    assert!(session.accept(1200).is_empty());
    assert_eq!(session.said(), [0x20, 2, 0, 0]);
    assert!(!session.is_over() && session.silence().is_none());
}

#[test]
fn who_is_not_let_in_gets_a_code_and_no_more() {
    for (why, v3, v5) in [
        (Unwelcome::ClientId, 2, 0x85),
        (Unwelcome::NotAuthorized, 5, 0x87),
        (Unwelcome::Unavailable, 3, 0x88),
        (Unwelcome::Will, 5, 0x83),
        (Unwelcome::Method, 5, 0x8c),
    ] {
        let refused = |level| {
            let mut session = Session::new(1000);
            drop(session.hear(&connect(level, 0)));
            session.refuse(why);
            assert!(session.is_over() && session.hear(&[0xc0, 0]).is_empty());
            session.said()
        };
        assert_eq!(refused(4), [0x20, 2, 0, v3], "{why:?}");
        assert_eq!(refused(5), [0x20, 3, 0, v5, 0], "{why:?}");
    }
}

#[test]
fn another_version_is_told_so() {
    for level in [3, 6, 0] {
        let mut session = Session::new(1000);
        assert!(matches!(
            session.hear(&connect(level, 0))[..],
            [Heard::Fault(Fault(MqttError::UnsupportedProtocolVersion))]
        ));
        assert_eq!((session.said(), session.is_over()), (vec![0x20, 2, 0, 1], true));
    }
}

#[test]
fn what_comes_behind_a_greeting_waits_for_the_answer() {
    let mut session = Session::new(1000);
    let publish = [0x32, 7, 0, 1, b't', 0, 9, b'h', b'i'];
    let heard = session.hear(&[&connect(4, 0)[..], &publish, &publish[..4]].concat());
    assert_eq!(heard.len(), 1);
    assert!(session.hear(&publish[4..]).is_empty());
    let heard = session.accept(1200);
    let [Heard::Message(first), Heard::Message(second)] = &heard[..] else { panic!("{heard:?}") };
    for message in [first, second] {
        assert_eq!((message.topic.as_str(), message.number, message.payload()), ("t", Some(9), &b"hi"[..]));
    }
    let mut session = Session::new(1000);
    drop(session.hear(&connect(4, 0)));
    let flood = session.hear(&vec![0; MOST_BEHIND + 1]);
    assert!(matches!(flood[..], [Heard::Fault(_)]) && session.is_over());
}

#[test]
fn before_it_is_believed_a_client_gets_little_memory() {
    let mut session = Session::new(1_000_000);
    // A CONNECT that says to have 4 KiB and a byte.
    let heard = session.hear(&[0x10, 0x81, 0x20]);
    assert!(matches!(heard[..], [Heard::Fault(Fault(MqttError::PacketTooLarge))]) && session.is_over());
    let mut session = open(4);
    let heard = session.hear(&[0x30, 0x81, 0x20]);
    assert!(heard.is_empty() || session.is_over());
}

#[test]
fn silence_is_what_the_client_says_and_no_more_than_the_server_bears() {
    let mut session = Session::new(1000);
    drop(session.hear(&connect(4, 60)));
    drop(session.accept(1200));
    assert_eq!(session.silence(), Some(Duration::from_secs(90)));
    let mut session = Session::new(1000);
    drop(session.hear(&connect(5, 0)));
    drop(session.accept(1200));
    assert_eq!(session.silence(), Some(Duration::from_secs(1800)), "MQTT 5 can be told");
    let connack = session.said();
    let keep_alive = [0x13, 0x04, 0xb0];
    assert!(connack.windows(3).any(|bytes| bytes == keep_alive), "{connack:02x?}");
}

#[test]
fn messages_to_the_client_are_bounded_until_it_acknowledges() {
    for level in [4, 5] {
        let mut session = open(level);
        let numbers: Vec<_> =
            (0..MOST_UNACKNOWLEDGED).map(|_| session.publish("t", b"x", true, false).unwrap().0.unwrap()).collect();
        assert!(session.is_full() && session.publish("t", b"x", true, false).is_none());
        assert_eq!(session.publish("t", b"x", false, false), Some(Said(None)), "with QoS 0");
        let ack = [0x40, 2, 0, u8::try_from(numbers[0]).unwrap()];
        assert!(matches!(session.hear(&ack)[..], [Heard::Acknowledged(number)] if number == numbers[0]));
        assert!(!session.is_full());
        assert!(matches!(session.hear(&ack)[..], [Heard::Fault(_)]), "twice");
    }
}

#[test]
fn a_ping_is_answered_and_a_goodbye_is_the_end() {
    let mut session = open(4);
    assert!(session.hear(&[0xc0, 0]).is_empty());
    assert_eq!(session.said(), [0xd0, 0]);
    assert!(matches!(session.hear(&[0xe0, 0, 0xc0, 0])[..], [Heard::Goodbye]));
    assert!(session.is_over() && session.said().is_empty());
}

#[test]
fn no_byte_and_no_cut_makes_it_panic() {
    let publish = [0x32, 7, 0, 1, b't', 0, 9, b'h', b'i'];
    let subscribe = [0x82, 6, 0, 2, 0, 1, b't', 1];
    for level in [4, 5] {
        let whole = [&connect(level, 60)[..], &publish, &subscribe, &[0xc0, 0, 0xe0, 0]].concat();
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            for cut in [1, 7, whole.len()] {
                let mut session = Session::new(1000);
                for piece in changed.chunks(cut) {
                    for heard in session.hear(piece) {
                        if matches!(heard, Heard::Greeting(_)) {
                            drop(session.accept(1200));
                        }
                    }
                }
            }
        }
    }
}
