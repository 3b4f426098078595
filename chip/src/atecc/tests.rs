//! The part from outside: what a host sees on the bus. Messages are hashed here once more, with sha2, from the data sheet.

mod lifetimes;
mod locks;
mod policies;
mod vectors;

use super::timing;
use super::{Entropy, Model, SecureElement, Written};
use cotter_formats::atecc::packet::{crc, parse_answer};
use cotter_formats::atecc::{Command, Opcode, Status};
use hex_literal::hex;
use p256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// The configuration of the board in the demo, an ATECC608A that Microchip's own tests had configured.
pub(super) const DEMO: [u8; 128] = hex!(
    "012310ba0000600268e82c53ee013500c000a100af2fc4448720c4f48f0f0f0f9f8f8364c444c4640f0f0f0f0f0f0f0f"
    "0f0f0f0fffffffff00000000ffffffff00000000ff8403bc09697600000000000000000000000000ffff0e4000000000"
    "33001c0013001c003c003e001c0033003c003c003c003c003c003c003c001c00"
);

/// A host that polls until it gets an answer, and idles between commands if it is told to.
pub(super) struct Host {
    pub(super) part: SecureElement,
    pub(super) now: Duration,
    pub(super) idles: bool,
}

pub(super) const ADDRESS: u8 = 0x60;

impl Host {
    pub(super) fn new() -> Self {
        let part = SecureElement::fresh(Model::Atecc608A, [0x10, 0xba, 0x68, 0xe8, 0x2c, 0x53], Entropy::known(1));
        Self { part, now: Duration::ZERO, idles: true }
    }

    /// A part with that configuration; `locks` is 0 to 2.
    pub(super) fn configured(config: &[u8; 128], locks: u8) -> Self {
        let mut host = Self::new();
        host.configure(config);
        if locks > 0 {
            host.ok(Opcode::LOCK, 0x80, 0, &[]);
        }
        if locks > 1 {
            host.ok(Opcode::LOCK, 0x81, 0, &[]);
        }
        host
    }

    pub(super) fn configure(&mut self, config: &[u8; 128]) {
        for word in (4..32).filter(|word| *word != 21) {
            self.ok(Opcode::WRITE, 0, word, &config[4 * usize::from(word)..][..4]);
        }
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    pub(super) fn wake(&mut self) {
        self.part.wake(self.now);
        self.wait(timing::WAKE);
    }

    pub(super) fn send(&mut self, packet: &[u8]) -> Written {
        self.part.write(self.now, ADDRESS, &[&[3], packet].concat())
    }

    /// Waits for an answer and takes its payload out.
    pub(super) fn answer(&mut self) -> Vec<u8> {
        while self.part.is_busy(self.now) {
            self.wait(Duration::from_millis(1));
        }
        let length = self.part.read(self.now, ADDRESS, 1).unwrap();
        let rest = self.part.read(self.now, ADDRESS, usize::from(length[0]) - 1).unwrap();
        parse_answer(&[length, rest].concat()).unwrap().to_vec()
    }

    pub(super) fn run(&mut self, opcode: Opcode, param1: u8, param2: u16, data: &[u8]) -> Vec<u8> {
        if self.idles {
            self.wake();
        }
        let mut packet = [0; 160];
        let len = Command { opcode, param1, param2, data }.write(&mut packet).unwrap();
        assert_eq!(self.send(&packet[..len]), Written::Acknowledged(len + 1), "{opcode:?}");
        let answer = self.answer();
        if self.idles {
            assert_eq!(self.part.write(self.now, ADDRESS, &[2]), Written::Acknowledged(1));
        }
        answer
    }

    /// A command that must succeed.
    pub(super) fn ok(&mut self, opcode: Opcode, param1: u8, param2: u16, data: &[u8]) -> Vec<u8> {
        let answer = self.run(opcode, param1, param2, data);
        assert!(answer.len() > 1 || answer == [0], "{opcode:?} {param1:#x} {param2:#x}: {answer:02x?}");
        answer
    }

    /// The status of one that must not.
    pub(super) fn refused(&mut self, opcode: Opcode, param1: u8, param2: u16, data: &[u8]) -> Status {
        let answer = self.run(opcode, param1, param2, data);
        assert!(answer.len() == 1 && answer != [0], "{opcode:?} {param1:#x} {param2:#x}: {answer:02x?}");
        Status(answer[0])
    }

    /// A random nonce, and the `TempKey` that it makes.
    pub(super) fn random_nonce(&mut self) -> [u8; 32] {
        let random = self.ok(Opcode::NONCE, 0, 0, &[9; 20]);
        sha(&[&random, &[9; 20], &[0x16, 0, 0]])
    }

    /// A random nonce and `GenDig` over a slot whose key the host knows.
    pub(super) fn session(&mut self, slot: u16, key: &[u8; 32]) -> [u8; 32] {
        let nonce = self.random_nonce();
        self.ok(Opcode::GEN_DIG, 2, slot, &[]);
        sha(&[key, &[0x15, 2, slot.to_le_bytes()[0], 0], &SERIAL, &[0; 25], &nonce])
    }

    pub(super) fn write_slot(&mut self, slot: u16, content: &[u8]) {
        for (block, bytes) in (0_u16..).zip(content.chunks(32)) {
            let mut whole = bytes.to_vec();
            whole.resize(32, 0);
            self.ok(Opcode::WRITE, 0x82, block << 8 | slot << 3, &whole);
        }
    }

    pub(super) fn write_public_key(&mut self, slot: u16, key: &[u8]) {
        self.write_slot(slot, &[&[0; 4], &key[..32], &[0; 4], &key[32..]].concat());
    }
}

/// SN<8>, SN<0:1>.
pub(super) const SERIAL: [u8; 3] = [0xee, 0x01, 0x23];

pub(super) fn sha(pieces: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    pieces.iter().for_each(|piece| hash.update(piece));
    hash.finalize().into()
}

pub(super) fn xor(first: &[u8], second: &[u8]) -> Vec<u8> {
    first.iter().zip(second).map(|(first, second)| first ^ second).collect()
}

/// Whether a signature of 64 bytes holds, after p256.
pub(super) fn holds(key: &[u8], digest: &[u8; 32], signature: &[u8]) -> bool {
    let key = VerifyingKey::from_sec1_bytes(&[&[4], key].concat()).unwrap();
    key.verify_prehash(digest, &Signature::from_slice(signature).unwrap()).is_ok()
}

/// A key pair of the host.
pub(super) fn pair(seed: u8) -> (SigningKey, [u8; 64]) {
    let key = SigningKey::from_slice(&[seed; 32]).unwrap();
    let public = key.verifying_key().to_sec1_point(false);
    let mut out = [0; 64];
    out.copy_from_slice(&public.as_bytes()[1..]);
    (key, out)
}

pub(super) fn sign(key: &SigningKey, digest: &[u8; 32]) -> Vec<u8> {
    let signature: Signature = key.sign_prehash(digest).unwrap();
    signature.to_bytes().to_vec()
}
