//! Frames of the AT link for a second implementation, from random input.
#![allow(unreachable_pub, reason = "a module of test binaries")]

use cotter_interop::{Generator, hex, unhex};
use cotter_wire::link::handshake::Established;
use cotter_wire::link::session::{HEAD, Kind, MAX_TAG, Side};
use serde_json::{Value, json};

/// What is sealed, by whom.
pub struct Planned {
    pub side: Side,
    pub kind: Kind,
    /// So many frames before it are lost.
    pub lost: u32,
    pub payload: Vec<u8>,
}

/// At most eleven.
pub fn planned(random: &mut Generator) -> Vec<Planned> {
    (0..random.below(12))
        .map(|_| {
            let side = *random.pick(&[Side::Host, Side::Module]);
            let kind = *random.pick(&Kind::ALL);
            let lost = u32::try_from(*random.pick(&[0, 0, 0, 1, 300])).unwrap();
            let len = match kind {
                Kind::Data => random.between(5, 700),
                Kind::Acknowledgement => 2,
                Kind::Gap | Kind::Escape => 4,
            };
            // Zeros are what the delimiting is about.
            let mut payload = random.bytes(len);
            let rarely = random.between(1, 255);
            payload.iter_mut().for_each(|byte| *byte = if usize::from(*byte) % rarely == 0 { 0 } else { *byte });
            Planned { side, kind, lost, payload }
        })
        .collect()
}

/// What the other implementation is told of them.
pub fn document(frames: &[Planned]) -> Value {
    let one = |frame: &Planned| json!({"head": frame.kind as u8 | frame.side.bit(), "lost": frame.lost, "payload": hex(&frame.payload)});
    frames.iter().map(one).collect()
}

/// Each sealed by its end, not delimited.
pub fn sealed(frames: &[Planned], host: &mut Established, module: &mut Established) -> Vec<Vec<u8>> {
    let mut seal = |frame: &Planned| {
        let from = if frame.side == Side::Host { &mut host.session } else { &mut module.session };
        let mut buffer = vec![0; frame.payload.len() + HEAD + MAX_TAG];
        for _ in 0..frame.lost {
            from.seal(Kind::Acknowledgement, &mut buffer, 2).unwrap();
        }
        buffer[HEAD..][..frame.payload.len()].copy_from_slice(&frame.payload);
        let len = from.seal(frame.kind, &mut buffer, frame.payload.len()).unwrap();
        buffer.truncate(len);
        buffer
    };
    frames.iter().map(&mut seal).collect()
}

/// The bytes of a text in an answer.
pub fn bytes(text: &Value) -> Vec<u8> {
    unhex(text.as_str().unwrap())
}
