//! The AT link's Noise handshakes, both ends of both patterns.

use cotter_formats::secret::Secret;
use cotter_wire::link::credentials::{About, Credentials};
use cotter_wire::link::handshake::{HandshakeError, LEAST_FRAME, LinkPsk};
use cotter_wire::link::noise::{NoiseKeys, StaticKeys, public_key};
use cotter_wire::link::suite::SuiteSet;

/// A message that nobody with the keys made is refused, whatever its mode; a handshake whose ends say what the input says
/// comes to its end.
pub fn link_noise(data: &[u8]) {
    for [host, module] in [[nn(), nn()], [kk(0x40, 0x80), kk(0x80, 0x40)]] {
        // 1. The input as each message: only the seeds' own are authentic.
        assert_eq!(host.check_knock(data).is_ok(), data == module.knock(), "a forged knock");
        let greeting = host.greet(SuiteSet::ALL, about(280), |key| fill(key, 0x60));
        let hello = NoiseKeys::hello(&greeting);
        // The head is what messages are sorted by, before they come here.
        let is_hello = data.get(1..) == hello.get(1..);
        assert_eq!(module.greeted(data).is_ok(), is_hello, "a forged hello");
        let heard = module.greeted(hello).expect("we made it");
        let reply = module.reply(&heard, SuiteSet::ALL, about(128), |key| fill(key, 0xa0));
        let (reply, at_module) = reply.expect("its key is not of low order");
        assert_eq!(host.answered(&greeting, data).is_ok(), data.get(1..) == reply.get(1..), "a forged reply");
        let at_host = host.answered(&greeting, &reply).expect("a refused reply spoils no greeting");
        assert_eq!(at_module.check_finish(data).is_ok(), data == at_host.finish(), "a forged finish");
        assert_eq!(at_host.session.id(), at_module.session.id());
        // 2. The input as what both ends say, and as their fresh keys.
        let Some((said, rest)) = data.split_first_chunk::<10>() else { continue };
        let [high, low, lineage @ ..] = *said;
        let about = About { longest_frame: u16::from_be_bytes([high, low]), lineage };
        let fresh = |key: &mut [u8]| key.iter_mut().zip(rest).for_each(|(byte, value)| *byte = *value);
        let greeting = host.greet(SuiteSet::ALL, about, fresh);
        let heard = match module.greeted(NoiseKeys::hello(&greeting)) {
            Ok(heard) => heard,
            Err(error) => {
                assert_eq!(error, HandshakeError::LongestFrame(about.longest_frame));
                assert!(about.longest_frame < LEAST_FRAME);
                continue;
            }
        };
        let (reply, at_module) = module.reply(&heard, SuiteSet::ALL, about, fresh).expect("no key is of low order");
        let at_host = host.answered(&greeting, &reply).expect("it answers");
        assert_eq!(at_module.check_finish(at_host.finish()), Ok(()));
        assert_eq!((at_host.peer.lineage, at_module.peer.longest_frame), (lineage, about.longest_frame));
    }
    // 3. As a public key: of low order, or of use.
    if let Some((peer, _)) = data.split_first_chunk::<32>() {
        let refusal = StaticKeys::new(&counting(0x40), *peer).err();
        assert!(matches!(refusal, None | Some(HandshakeError::LowOrder | HandshakeError::OwnKey)));
    }
}

/// Those of `vectors/link/noise_psk0.py`, whose messages are seeds.
fn nn() -> NoiseKeys {
    NoiseKeys::nn(LinkPsk::new(counting(0)).expect("not the same byte 32 times"))
}

fn kk(own: u8, peer: u8) -> NoiseKeys {
    let statics = StaticKeys::new(&counting(own), public_key(&counting(peer))).expect("not of low order");
    NoiseKeys::kk(LinkPsk::new(counting(0)).expect("not the same byte 32 times"), statics)
}

fn counting(first: u8) -> Secret<32> {
    Secret::filled_by(|key| fill(key, first))
}

fn fill(key: &mut [u8], first: u8) {
    (first..).zip(key).for_each(|(value, byte)| *byte = value);
}

fn about(longest_frame: u16) -> About {
    About { longest_frame, lineage: [0; 8] }
}
