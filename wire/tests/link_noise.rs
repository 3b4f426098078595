//! Noise handshakes and frames that PyPI's `noiseprotocol` made, see /vectors/link/README.md: we make the same, and open
//! them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

mod link_vectors;

use cotter_formats::secret::Secret;
use cotter_wire::link::credentials::{About, Credentials};
use cotter_wire::link::handshake::{Established, LinkPsk};
use cotter_wire::link::noise::{NoiseKeys, StaticKeys, public_key};
use cotter_wire::link::suite::SuiteSet;
use link_vectors::{Line, each, unhex};

const VECTORS: &str = include_str!("../../vectors/link/noise.txt");

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
    let counted = each(VECTORS, handshake, |Line { ours, mut theirs, to, .. }| {
        assert_eq!(ours, theirs);
        assert!(to.open(&mut theirs).is_ok());
    });
    assert_eq!(counted, (2, 10));
}
