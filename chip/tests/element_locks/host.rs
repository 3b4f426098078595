//! A host on the bus of a part, and a part in each lock state.

use cotter_chip::atecc::{Entropy, Model, SecureElement, Written, timing};
use cotter_formats::atecc::packet::parse_answer;
use cotter_formats::atecc::{Command, ConfigZone, Opcode};
use p256::ecdsa::SigningKey;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::time::Duration;

/// What a part without random numbers says instead.
pub(crate) const PATTERN: [u8; 4] = [0xff, 0xff, 0, 0];

/// SN<8>, SN<0:1>.
pub(crate) const SERIAL: [u8; 3] = [0xee, 0x01, 0x23];

/// Seeds of the private keys: of slot 11, and of slots 9 and 14.
pub(crate) const PARENT: u8 = 3;
pub(crate) const CHILD: u8 = 4;

/// `SlotConfig` and `KeyConfig` of each slot; what each is for is on the page.
const SLOTS: [(u16, u16); 16] = [
    (0x2087, 0x0033),
    (0x4487, 0x0033),
    (0x208c, 0x0033),
    (0x44c4, 0x007c),
    (0x8f8f, 0x003c),
    (0x2f8f, 0x003c),
    (0x348f, 0x003c),
    (0xb48f, 0x003c),
    (0x0000, 0x003c),
    (0x1f0b, 0x0032),
    (0x8f8f, 0x0038),
    (0x0f0f, 0x0030),
    (0x0f1f, 0x003c),
    (0x8f8f, 0x003e),
    (0x1f0b, 0x4012),
    (0x0080, 0x0031),
];

/// The part, the time, and what the host knows of `TempKey`.
pub(crate) struct Host {
    part: SecureElement,
    now: Duration,
    pub(crate) temp_key: [u8; 32],
}

impl Host {
    /// State 0 is as sold but for the configuration; 1 and 2 have that locked, 3 and 4 data and OTP too; in 2 and 4
    /// every slot is locked that can be.
    pub(crate) fn in_state(model: Model, state: usize) -> Self {
        let part = SecureElement::fresh(model, [1, 2, 3, 4, 5, 6], Entropy::known(1));
        let mut host = Self { part, now: Duration::ZERO, temp_key: [0; 32] };
        host.configure();
        if state > 0 {
            host.ok(Opcode::LOCK, 0x80, 0, &[]);
            host.personalise();
        }
        if state > 2 {
            host.ok(Opcode::LOCK, 0x81, 0, &[]);
        }
        if matches!(state, 2 | 4) {
            for slot in (0..16_u8).filter(|slot| SLOTS[usize::from(*slot)].1 & 1 << 5 != 0) {
                host.ok(Opcode::LOCK, slot << 2 | 2, 0, &[]);
            }
        }
        host
    }

    pub(crate) fn load(path: &Path) -> Self {
        let part = SecureElement::load(path, Entropy::known(2)).unwrap();
        Self { part, now: Duration::ZERO, temp_key: [0; 32] }
    }

    pub(crate) fn save(&self, path: &Path) {
        self.part.save(path).unwrap();
    }

    pub(crate) const fn config(&self) -> &ConfigZone {
        self.part.config()
    }

    fn configure(&mut self) {
        let mut zone = self.config().0;
        for (slot, (rules, key)) in SLOTS.into_iter().enumerate() {
            zone[20 + 2 * slot..][..2].copy_from_slice(&rules.to_le_bytes());
            zone[96 + 2 * slot..][..2].copy_from_slice(&key.to_le_bytes());
        }
        // Slot 4 sets the persistent latch; firmware's digest in slot 12, its key in 11; where HKDF's "iv" must be.
        zone[69..75].copy_from_slice(&[0x84, 0x03, 0xbc, 0x09, 0x69, 0x76]);
        // KDF may use AES, and slot 4 protects what goes over the bus.
        zone[90..92].copy_from_slice(&[0x06, 0x40]);
        // The public key is the second block of two.
        zone[93] = 0x21;
        for word in (4..32).filter(|word| *word != 21) {
            self.ok(Opcode::WRITE, 0, word, &zone[4 * usize::from(word)..][..4]);
        }
    }

    fn personalise(&mut self) {
        for slot in [0, 2, 15] {
            self.ok(Opcode::GEN_KEY, 4, slot, &[]);
        }
        self.ok(Opcode::PRIV_WRITE, 0, 1, &[[0; 4].as_slice(), &[9; 32]].concat());
        for slot in [3_u8, 4, 5, 6, 7, 8, 10, 12, 13] {
            self.ok(Opcode::WRITE, 0x82, u16::from(slot) << 3, &[slot; 32]);
        }
        for (slot, seed) in [(9_u16, CHILD), (11, PARENT), (14, CHILD)] {
            let key = public_key(seed);
            let mut content = [[0; 4].as_slice(), &key[..32], &[0; 4], &key[32..]].concat();
            content.resize(96, 0);
            for (block, bytes) in (0_u16..).zip(content.chunks(32)) {
                self.ok(Opcode::WRITE, 0x82, block << 8 | slot << 3, bytes);
            }
        }
    }

    /// Wakes the part, waits for the answer, and lets it idle.
    pub(crate) fn run(&mut self, opcode: Opcode, param1: u8, param2: u16, data: &[u8]) -> Vec<u8> {
        self.part.wake(self.now);
        self.now += timing::WAKE;
        let mut packet = [0; 160];
        let len = Command { opcode, param1, param2, data }.write(&mut packet).unwrap();
        let sent = self.part.write(self.now, ADDRESS, &[&[3], &packet[..len]].concat());
        assert_eq!(sent, Written::Acknowledged(len + 1), "{opcode:?}");
        while self.part.is_busy(self.now) {
            self.now += Duration::from_millis(1);
        }
        let answer = self.part.read(self.now, ADDRESS, 160).unwrap();
        let payload = parse_answer(&answer[..usize::from(answer[0])]).unwrap().to_vec();
        assert_eq!(self.part.write(self.now, ADDRESS, &[2]), Written::Acknowledged(1));
        payload
    }

    fn ok(&mut self, opcode: Opcode, param1: u8, param2: u16, data: &[u8]) {
        let answer = self.run(opcode, param1, param2, data);
        assert!(answer.len() > 1 || answer == [0], "{opcode:?} {param1:#x} {param2:#x}: {answer:02x?}");
    }
}

pub(crate) fn sha(pieces: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    pieces.iter().for_each(|piece| hash.update(piece));
    hash.finalize().into()
}

/// X and Y.
pub(crate) fn public_key(seed: u8) -> Vec<u8> {
    let key = SigningKey::from_slice(&[seed; 32]).unwrap();
    key.verifying_key().to_sec1_point(false).as_bytes()[1..].to_vec()
}

const ADDRESS: u8 = 0x60;
