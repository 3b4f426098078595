//! Noise handshakes and frames that PyPI's `noiseprotocol` made, see /vectors/link/README.md: we make the same, and open
//! them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

use cotter_formats::secret::Secret;
use cotter_wire::link::credentials::{About, Credentials};
use cotter_wire::link::handshake::{Established, LinkPsk};
use cotter_wire::link::noise::{NoiseKeys, StaticKeys, public_key};
use cotter_wire::link::session::{HEAD, Kind, MAX_TAG, Side};
use cotter_wire::link::suite::SuiteSet;

const VECTORS: &str = include_str!("../../vectors/link/noise.txt");

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// 32 bytes that count up.
fn counting(first: u8) -> Secret<32> {
    Secret::filled_by(|key| (first..).zip(key).for_each(|(value, byte)| *byte = value))
}

/// Those of `fixed()` in `noise_psk0.py`.
fn keys(mode: &str, own: u8, peer: u8) -> NoiseKeys {
    let psk = LinkPsk::new(counting(0)).unwrap();
    match mode {
        "nn" => NoiseKeys::nn(psk),
        _ => NoiseKeys::kk(psk, StaticKeys::new(&counting(own), public_key(&counting(peer))).unwrap()),
    }
}

fn about(longest_frame: u16) -> About {
    About { longest_frame, lineage: [0; 8] }
}

fn handshake(words: &[&str]) -> (Established, Established) {
    let [mode, knock, hello, reply, finish, hash] = words[..] else { panic!("{words:?}") };
    let (host, module) = (keys(mode, 0x40, 0x80), keys(mode, 0x80, 0x40));
    assert_eq!(module.knock()[..], unhex(knock));
    assert_eq!(host.check_knock(&unhex(knock)), Ok(()));
    let greeting = host.greet(SuiteSet::ALL, about(280), |key| key.copy_from_slice(counting(0x60).expose()));
    assert_eq!(NoiseKeys::hello(&greeting)[..], unhex(hello));
    let heard = module.greeted(&unhex(hello)).unwrap();
    let fresh = |key: &mut [u8]| key.copy_from_slice(counting(0xa0).expose());
    let (made, at_module) = module.reply(&heard, SuiteSet::ALL, about(128), fresh).unwrap();
    assert_eq!(made[..], unhex(reply));
    let at_host = host.answered(&greeting, &unhex(reply)).unwrap();
    assert_eq!(at_module.check_finish(&unhex(finish)), Ok(()));
    assert_eq!(at_host.finish()[..], unhex(finish));
    for end in [&at_host, &at_module] {
        assert_eq!(end.session.id().0[..], unhex(hash)[..8]);
    }
    assert_eq!((at_host.peer.longest_frame, at_module.peer.longest_frame), (128, 280));
    (at_host, at_module)
}

#[test]
fn makes_what_noiseprotocol_makes_and_opens_it() {
    let (mut ends, mut handshakes, mut frames) = (None, 0, 0);
    for line in VECTORS.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] == "handshake" {
            ends = Some(handshake(&words[1..]));
            handshakes += 1;
            continue;
        }
        let [_, head, lost, payload, sealed] = words[..] else { panic!("{line}") };
        let (head, payload, mut sealed) = (unhex(head)[0], unhex(payload), unhex(sealed));
        let (host, module) = ends.as_mut().unwrap();
        let (from, to) = if Side::of(head) == Side::Host { (host, module) } else { (module, host) };
        let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == head & 0x7f).unwrap();
        let mut buffer = vec![0; payload.len() + HEAD + MAX_TAG];
        for _ in 0..lost.parse::<u32>().unwrap() {
            from.session.seal(Kind::Acknowledgement, &mut buffer, 2).unwrap();
        }
        buffer[HEAD..][..payload.len()].copy_from_slice(&payload);
        let len = from.session.seal(kind, &mut buffer, payload.len()).unwrap();
        assert_eq!(buffer[..len], sealed, "{line}");
        assert!(to.session.open(&mut sealed).is_ok(), "{line}");
        frames += 1;
    }
    assert_eq!((handshakes, frames), (2, 10));
}
