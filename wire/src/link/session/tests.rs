extern crate std;
use super::*;
use proptest::prelude::*;
use std::vec::Vec;

fn key(suite: Suite, byte: u8) -> FrameKey {
    FrameKey::filled_by(suite, |key, iv| {
        key.fill(byte);
        iv.fill(byte ^ 0xff);
    })
}

fn pair(suite: Suite, id: u8) -> (Session, Session) {
    let host = Session::new(Side::Host, SessionId([id; 8]), key(suite, 1), key(suite, 2));
    let module = Session::new(Side::Module, SessionId([id; 8]), key(suite, 2), key(suite, 1));
    (host, module)
}

fn seal(session: &mut Session, kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&[0; HEAD], payload, &[0; MAX_TAG]].concat();
    let len = session.seal(kind, &mut frame, payload.len()).unwrap();
    assert_eq!(len, payload.len() + session.overhead());
    frame.truncate(len);
    frame
}

pub(in crate::link) fn acknowledgement(session: &mut Session) -> Vec<u8> {
    let frame = seal(session, Kind::Acknowledgement, &[0; 2]);
    assert_eq!(frame.len(), HEAD + 2 + session.suite().tag_len());
    frame
}

pub(in crate::link) fn opens(session: &mut Session, frame: &[u8]) -> Result<(), FrameError> {
    session.open(&mut frame.to_vec()).map(|frame| assert!(frame == Frame::Acknowledgement { acknowledged: 0 }))
}

fn refusal(session: &mut Session, frame: &[u8]) -> Option<FrameError> {
    session.open(&mut frame.to_vec()).err()
}

impl core::fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Frame")
    }
}

#[test]
fn all_kinds_arrive_with_all_suites() {
    for suite in Suite::ALL {
        let (mut host, mut module) = pair(suite, 7);
        let mut frame = seal(&mut host, Kind::Data, &[1, 2, 3, 4, b'A', b'T']);
        let data = Frame::Data { offset: 0x102, acknowledged: 0x304, counter: 0, data: b"AT" };
        assert_eq!(module.open(&mut frame), Ok(data));
        let mut frame = seal(&mut host, Kind::Acknowledgement, &[5, 6]);
        assert_eq!(module.open(&mut frame), Ok(Frame::Acknowledgement { acknowledged: 0x506 }));
        let mut frame = seal(&mut host, Kind::Gap, &[5, 6, 7, 8]);
        assert_eq!(module.open(&mut frame), Ok(Frame::Gap { acknowledged: 0x506, shown_by: 0x708 }));
        let mut frame = seal(&mut host, Kind::Escape, &[5, 6, 7, 8]);
        assert_eq!(module.open(&mut frame), Ok(Frame::Escape { offset: 0x506, acknowledged: 0x708, counter: 3 }));
    }
}

#[test]
fn a_replayed_frame_is_refused() {
    let (mut host, mut module) = pair(Suite::ChaCha20Poly1305, 7);
    let frames: Vec<_> = (0..5).map(|_| seal(&mut host, Kind::Acknowledgement, &[0, 0])).collect();
    assert_eq!(refusal(&mut module, &frames[0]), None);
    assert_eq!(refusal(&mut module, &frames[0]), Some(FrameError::Replayed { behind: 1 }));
    assert_eq!(refusal(&mut module, &frames[4]), None, "three frames were lost");
    for (frame, behind) in frames.iter().zip([5, 4, 3, 2, 1]) {
        assert_eq!(refusal(&mut module, frame), Some(FrameError::Replayed { behind }));
    }
}

/// The low bits come round after 65536 frames, and then the tag says what the bits do not.
#[test]
fn a_replay_from_long_ago_is_not_authentic() {
    let (mut host, mut module) = pair(Suite::ChaCha20Poly1305, 7);
    let old = seal(&mut host, Kind::Acknowledgement, &[0, 0]);
    for _ in 0..65_535 {
        let frame = seal(&mut host, Kind::Acknowledgement, &[0, 0]);
        assert_eq!(refusal(&mut module, &frame), None);
    }
    assert_eq!(refusal(&mut module, &old), Some(FrameError::NotAuthentic));
    let next = seal(&mut host, Kind::Acknowledgement, &[0, 0]);
    assert_eq!(refusal(&mut module, &next), None);
}

#[test]
fn finds_the_counter_over_32767_lost_frames_and_no_more() {
    for (lost, expected) in [(32_767, None), (32_768, Some(FrameError::Replayed { behind: 32_768 }))] {
        let (mut host, mut module) = pair(Suite::Aes128Gcm, 7);
        (0..lost).for_each(|_| drop(seal(&mut host, Kind::Acknowledgement, &[0, 0])));
        let frame = seal(&mut host, Kind::Acknowledgement, &[0, 0]);
        assert_eq!(refusal(&mut module, &frame), expected);
    }
}

#[test]
fn a_reflected_frame_is_refused_even_with_its_direction_turned() {
    for suite in Suite::ALL {
        let (mut host, _) = pair(suite, 7);
        let mut frame = seal(&mut host, Kind::Data, b"....AT");
        assert_eq!(refusal(&mut host, &frame), Some(FrameError::Reflected));
        frame[0] ^= 0x80;
        assert_eq!(refusal(&mut host, &frame), Some(FrameError::NotAuthentic));
    }
}

/// The keys alone would allow it; the session's id is authenticated too.
#[test]
fn a_frame_of_another_session_is_refused() {
    for suite in Suite::ALL {
        let ((mut host, _), (_, mut module)) = (pair(suite, 7), pair(suite, 8));
        let frame = seal(&mut host, Kind::Data, b"....AT");
        assert_eq!(refusal(&mut module, &frame), Some(FrameError::NotAuthentic));
    }
}

#[test]
fn every_cut_and_every_flipped_bit_is_refused() {
    for suite in Suite::ALL {
        let (mut host, mut module) = pair(suite, 7);
        let frame = seal(&mut host, Kind::Data, b"....AT+GMR\r\n");
        for len in 0..frame.len() {
            let expected = match len.checked_sub(module.overhead()) {
                None => FrameError::TooShort { len, least: module.overhead() },
                Some(_) => FrameError::NotAuthentic,
            };
            assert_eq!(refusal(&mut module, &frame[..len]), Some(expected), "{suite:?} {len}");
        }
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let refused = refusal(&mut module, &flipped).unwrap();
            let expected = match bit {
                7 => FrameError::Reflected,
                0..7 if Kind::of(flipped[0]).is_none() => FrameError::UnknownKind(flipped[0]),
                // The highest bit of the counter's low half: as far ahead as behind.
                15 => FrameError::Replayed { behind: 32_768 },
                _ => FrameError::NotAuthentic,
            };
            assert_eq!(refused, expected, "{suite:?} bit {bit}");
        }
        assert_eq!(refusal(&mut module, &frame), None, "and the frame itself still counts");
    }
}

#[test]
fn an_authentic_frame_that_keeps_to_no_kind_is_refused() {
    for (kind, len) in [(Kind::Data, 4), (Kind::Data, 0), (Kind::Acknowledgement, 3), (Kind::Gap, 2), (Kind::Escape, 5)]
    {
        let (mut host, mut module) = pair(Suite::Aes128Ccm, 7);
        let frame = seal(&mut host, kind, &std::vec![0; len]);
        assert_eq!(refusal(&mut module, &frame), Some(FrameError::Payload { kind, len }));
    }
}

#[test]
fn the_last_counter_is_used_and_none_after_it() {
    let (mut host, mut module) = pair(Suite::Aes128Gcm, 7);
    (host.sent, module.received) = (MAX_FRAMES - 1, MAX_FRAMES - 1);
    let frame = seal(&mut host, Kind::Acknowledgement, &[0, 0]);
    assert_eq!(refusal(&mut module, &frame), None);
    let mut buffer = [0; 40];
    assert_eq!(host.seal(Kind::Acknowledgement, &mut buffer, 2), Err(FrameError::Exhausted));
    assert_eq!(refusal(&mut module, &[0x11; 30]), Some(FrameError::Exhausted));
}

#[test]
fn a_buffer_without_room_for_the_tag_is_refused() {
    let (mut host, _) = pair(Suite::Aes128Gcm, 7);
    assert_eq!(host.seal(Kind::Data, &mut [0; 24], 6), Err(FrameError::NoRoom));
    assert_eq!(host.seal(Kind::Data, &mut [0; 24], usize::MAX), Err(FrameError::NoRoom));
    assert_eq!(host.next_counter(), 0, "and no counter is spent");
}

proptest! {
    #[test]
    fn opens_nothing_that_was_not_sealed(which in 0..5_usize, frame in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (mut host, mut module) = pair(Suite::ALL[which], 7);
        prop_assert!(host.open(&mut frame.clone()).is_err());
        prop_assert!(module.open(&mut frame.clone()).is_err());
    }

    #[test]
    fn whatever_is_lost_the_rest_arrives(
        which in 0..5_usize,
        sent in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 1..200), any::<bool>()), 0..50),
    ) {
        let (mut host, mut module) = pair(Suite::ALL[which], 7);
        for (counter, (data, lost)) in (0..).zip(sent) {
            let mut frame = seal(&mut host, Kind::Data, &[&[0; 4], &data[..]].concat());
            if !lost {
                let expected = Frame::Data { offset: 0, acknowledged: 0, counter, data: &data };
                prop_assert_eq!(module.open(&mut frame), Ok(expected));
            }
        }
    }
}
