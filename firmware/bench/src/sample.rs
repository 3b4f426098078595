//! The reading that is sealed, and what can be read off a packet.

use crate::board;
use cotter_device::platform::Random;
use cotter_wire::packet::Packet;

/// Ten registers of an inverter, as the application reads them.
pub const SAMPLE: [(u8, u16); 10] =
    [(0, 2302), (1, 61), (2, 5002), (3, 3204), (4, 3187), (5, 23), (6, 22), (7, 413), (8, 47), (9, 1404)];

/// Not random at all: every run must count the same.
pub struct Counting(pub u8);

impl Random for Counting {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            self.0 = self.0.wrapping_mul(5).wrapping_add(1);
            *byte = self.0;
        }
    }
}

/// Prints the packet's length, and how much of it was encrypted and authenticated: what the floors are measured over.
pub fn report_packet(packet: &[u8]) {
    let parsed = Packet::parse(packet).expect("we sealed it");
    let text = core::str::from_utf8(packet).expect("a packet is ASCII");
    let payload = text.split("\"payload\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("in every packet");
    let padding = payload.bytes().rev().take_while(|byte| *byte == b'=').count();
    let header = b"cotter/packet/v1\0".len() + 1 + parsed.device().as_str().len() + 4 + 4 + 1 + 16;
    report("packet", packet.len());
    report("ciphertext", payload.len() / 4 * 3 - padding);
    report("authenticated", header + payload.len());
}

fn report(name: &str, value: usize) {
    board::report(name, u32::try_from(value).expect("no packet is longer than 2048"));
}
