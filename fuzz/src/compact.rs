//! Compact telemetry packets: parsed, opened; and the CBOR of a reading in them.

use cotter_formats::secret::Secret;
use cotter_wire::compact::{Channel, CompactPacket, MAX_COMPACT, MAX_PLAIN};
use cotter_wire::ids::{KeyEpoch, Sequence};
use cotter_wire::keys::{Direction, RootKey};
use cotter_wire::reading::Reading;

/// A packet and a reading have one spelling; what opens is what its device seals; what is sealed opens.
pub fn compact(data: &[u8]) {
    let root = RootKey::new(Secret::filled_by(|key| key.fill(0x42)));
    let channel = Channel::derive(&root, &"device-1".parse().expect("a legal id"), KeyEpoch(1), Direction::Up);
    let (mut plain, mut out) = ([0; MAX_PLAIN], [0; MAX_COMPACT]);
    if let Ok(packet) = CompactPacket::parse(data) {
        let sequence = packet.sequence();
        assert!(
            data.ends_with(&spelled_end(sequence, data)) && data.starts_with(HEAD),
            "a second spelling was accepted"
        );
        if let Ok(opened) = packet.open(&channel, &mut plain) {
            assert_eq!(channel.seal(sequence, opened.content(), &mut out), Ok(data), "not what its device seals");
        }
    }
    if let Ok(reading) = Reading::decode_compact(data) {
        let mut again = [0; Reading::MAX_COMPACT];
        assert_eq!(reading.encode_compact(&mut again), Ok(data), "a second spelling was accepted");
    }
    if data.len() <= MAX_PLAIN {
        let sequence = Sequence::new(data.iter().fold(7, |sum, byte| (sum << 3 ^ u64::from(*byte)) & 0xff_ffff_ffff));
        let sequence = sequence.expect("40 bits");
        let sealed = channel.seal(sequence, data, &mut out).expect("it fits");
        let opened = CompactPacket::parse(sealed).expect("our own packet").open(&channel, &mut plain);
        let opened = opened.expect("its device sealed it");
        assert_eq!((opened.sequence(), opened.content()), (sequence, data), "the content changed in a round trip");
    }
}

/// Everything after the fixed head, as RFC 8949 spells it, by other code than ours; the ciphertext is taken from `data`.
fn spelled_end(sequence: Sequence, data: &[u8]) -> Vec<u8> {
    let mut number = sequence.get().to_be_bytes().to_vec();
    while number.len() > 1 && number[0] == 0 {
        number.remove(0);
    }
    let mut end = vec![0x40 + u8::try_from(number.len()).expect("at most five")];
    end.extend(&number);
    let rest = &data[HEAD.len() + end.len()..];
    // At most 122 bytes, so that the length is in the first byte or in the second.
    let head = if rest[0] == 0x58 { 2 } else { 1 };
    let sealed = &rest[head..];
    let len = u8::try_from(sealed.len()).expect("short");
    end.extend(if len < 24 { vec![0x40 + len] } else { vec![0x58, len] });
    end.extend(sealed);
    end
}

const HEAD: &[u8] = &[0xd0, 0x83, 0x43, 0xa1, 1, 1, 0xa1, 6];
