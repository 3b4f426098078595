//! A file of /vectors/link: handshakes, each followed by frames of its session.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses another part")]

use cotter_wire::link::handshake::Established;
use cotter_wire::link::session::{HEAD, Kind, MAX_TAG, Session, Side};

pub fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// A frame of the file.
pub struct Line<'a> {
    pub kind: Kind,
    pub payload: Vec<u8>,
    /// What we sealed, not delimited, after as many frames as the file's maker lost.
    pub ours: Vec<u8>,
    /// What the file has.
    pub theirs: Vec<u8>,
    /// Of the end that it is for.
    pub to: &'a mut Session,
}

/// `handshake` makes host and module of the words of a line, `check` looks at a frame. How many there were of each.
pub fn each(
    file: &str,
    handshake: impl Fn(&[&str]) -> (Established, Established),
    check: impl Fn(Line<'_>),
) -> (usize, usize) {
    let (mut ends, mut handshakes, mut frames) = (None, 0, 0);
    for line in file.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] == "handshake" {
            ends = Some(handshake(&words[1..]));
            handshakes += 1;
            continue;
        }
        let [_, head, lost, payload, theirs] = words[..] else { panic!("{line}") };
        let (head, payload, theirs) = (unhex(head)[0], unhex(payload), unhex(theirs));
        let (host, module) = ends.as_mut().unwrap();
        let (from, to) = if Side::of(head) == Side::Host { (host, module) } else { (module, host) };
        let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == head & 0x7f).unwrap();
        let mut ours = vec![0; payload.len() + HEAD + MAX_TAG];
        for _ in 0..lost.parse::<u32>().unwrap() {
            from.session.seal(Kind::Acknowledgement, &mut ours, 2).unwrap();
        }
        ours[HEAD..][..payload.len()].copy_from_slice(&payload);
        let len = from.session.seal(kind, &mut ours, payload.len()).unwrap();
        ours.truncate(len);
        check(Line { kind, payload, ours, theirs, to: &mut to.session });
        frames += 1;
    }
    (handshakes, frames)
}
