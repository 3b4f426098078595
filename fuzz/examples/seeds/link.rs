//! Seeds of the AT link.

use super::{Outcome, seed, vector};
use cotter_device::link::Millis;
use cotter_device::link::psk::{PskEnd, Settings};
use cotter_device::platform::Random;
use cotter_formats::secret::Secret;
use cotter_wire::link::delimiter::wire_len;
use cotter_wire::link::handshake::{Greeting, Hello, LinkPsk, Offer};
use cotter_wire::link::session::Side;
use cotter_wire::link::suite::SuiteSet;

/// Python's frames, plain text, and the one frame that is authentic in the body's session.
pub(crate) fn frames() -> Outcome {
    let vectors = String::from_utf8(vector("link/psk.txt")?)?;
    let frames = vectors.lines().filter_map(|line| line.strip_prefix("frame "));
    for (name, line) in ["data", "acknowledgement", "long", "gap", "escape"].into_iter().zip(frames) {
        seed("link_frame", name, &unhex(line.rsplit(' ').next().unwrap_or_default())?)?;
    }
    seed("link_frame", "ready", b"\r\nready\r\n")?;
    seed("link_frame", "passthrough", b"\0\0+++\0\xff\xfe+++\0")?;
    let (mut host, mut module) = (end(Side::Host)?, end(Side::Module)?);
    for _ in 0..3 {
        carry(&mut host, &mut module)?;
        carry(&mut module, &mut host)?;
    }
    host.send(b"AT\r\n")?;
    let mut out = [0; wire_len(128)];
    let frame = host.transmit(Millis(10), &mut Fixed, &mut out)?.ok_or("the host has nothing to say")?;
    seed("link_frame", "authentic", frame)
}

/// The authentic messages of the body's handshake.
pub(crate) fn handshake() -> Outcome {
    let psk = LinkPsk::new(Secret::filled_by(|key| (0..).zip(key).for_each(|(value, byte)| *byte = value)))?;
    let offer = |longest_frame, first: u8| {
        let mut nonce = [0; 16];
        nonce.iter_mut().zip(first..).for_each(|(byte, value)| *byte = value);
        Offer { longest_frame, lineage: [0; 8], nonce }
    };
    let greeting = Greeting::new(&psk, SuiteSet::ALL, &offer(280, 16));
    let hello = Hello::parse(&psk, greeting.message())?;
    let (reply, module) = hello.reply(&psk, SuiteSet::ALL, &offer(128, 32))?;
    seed("link_handshake", "knock", &psk.knock())?;
    seed("link_handshake", "hello", greeting.message())?;
    seed("link_handshake", "reply", &reply)?;
    seed("link_handshake", "finish", module.finish())
}

/// The messages of both patterns that `noiseprotocol` made, and a public key of low order.
pub(crate) fn noise() -> Outcome {
    let vectors = String::from_utf8(vector("link/noise.txt")?)?;
    for line in vectors.lines().filter_map(|line| line.strip_prefix("handshake ")) {
        let mut words = line.split(' ');
        let mode = words.next().unwrap_or_default();
        for (name, word) in ["knock", "hello", "reply", "finish"].into_iter().zip(words) {
            seed("link_noise", &format!("{mode}-{name}"), &unhex(word)?)?;
        }
    }
    seed("link_noise", "low-order", &[0; 32])
}

fn end(side: Side) -> Result<PskEnd<128, 256>, Box<dyn std::error::Error>> {
    Ok(PskEnd::new(side, LinkPsk::new(Secret::filled_by(|key| key[0] = 1))?, Settings::default()))
}

fn carry(from: &mut PskEnd<128, 256>, to: &mut PskEnd<128, 256>) -> Outcome {
    let mut out = [0; wire_len(128)];
    while let Some(mut wire) = from.transmit(Millis(0), &mut Fixed, &mut out)? {
        loop {
            let received = to.receive(wire, Millis(0), &mut Fixed);
            wire = &wire[received.used..];
            if received.event.is_none() && wire.is_empty() {
                break;
            }
        }
    }
    Ok(())
}

struct Fixed;

impl Random for Fixed {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(7);
    }
}

fn unhex(text: &str) -> Result<Vec<u8>, std::num::ParseIntError> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16)).collect()
}
