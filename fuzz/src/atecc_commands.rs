//! Packets of secure elements, and the commands of a simulated one.

use cotter_chip::atecc::{Entropy, Model, SecureElement, Written, timing};
use cotter_formats::atecc::counter::Count;
use cotter_formats::atecc::packet::{Crc, PAYLOAD_MAX, crc, parse_answer, write_answer};
use cotter_formats::atecc::{Command, Opcode, Slot, Status};
use std::time::Duration;

/// Read as a packet; then as a lock state and commands one after the other: opcode, two parameters, length, data. No lock
/// opens again, no counter goes back, no locked slot changes, and no secret gets out.
pub fn atecc_commands(data: &[u8]) {
    packets(data);
    let Some((locks, mut rest)) = data.split_first() else { return };
    let mut host = Host::new(locks % 3);
    while let [opcode, param1, low, high, len, after @ ..] = rest {
        let (payload, next) = after.split_at(after.len().min(usize::from(*len).min(148)));
        rest = next;
        let (param2, before) = (u16::from_le_bytes([*low, *high]), host.part.config().clone());
        let answer = host.run(Command { opcode: Opcode(*opcode), param1: *param1, param2, data: payload });
        assert!(!answer.is_empty() && answer.len() <= PAYLOAD_MAX, "{answer:02x?}");
        for secret in [&PRIVATE, &SECRET] {
            assert!(!answer.windows(32).any(|window| window == secret), "{opcode:#x} gives a secret away");
        }
        let after = host.part.config();
        assert_eq!(before.0[..16], after.0[..16], "{opcode:#x} changes what never changes");
        assert!(!before.is_config_locked() || after.is_config_locked());
        assert!(!before.is_data_locked() || after.is_data_locked());
        if before.is_config_locked() {
            assert!(!Slot::all().any(|slot| before.is_slot_locked(slot) && !after.is_slot_locked(slot)));
            assert!(count(&before.0) <= count(&after.0), "{opcode:#x} counts down");
            assert_eq!(before.0[96..], after.0[96..], "{opcode:#x} changes what a slot allows");
        }
    }
}

fn count(config: &[u8; 128]) -> u32 {
    let half = |at: usize| u32::from(u16::from_be_bytes([config[at], config[at + 1]]));
    16 * (half(56) + half(58)) + (32 - half(52).count_ones() - half(54).count_ones())
}

fn packets(data: &[u8]) {
    let mut out = [0; 256];
    let mended = data.split_last_chunk::<2>().map(|(content, _)| {
        let mut whole = content.to_vec();
        if let Some(first) = whole.first_mut() {
            *first = u8::try_from(data.len()).unwrap_or(0);
        }
        let crc = crc(&whole);
        whole.extend(crc);
        whole
    });
    for packet in [Some(data), mended.as_deref()].into_iter().flatten() {
        if let Ok(command) = Command::parse(packet) {
            let len = command.write(&mut out).expect("it was one");
            assert_eq!(&out[..len], packet);
        }
        if let Ok(payload) = parse_answer(packet) {
            let len = write_answer(payload, &mut out).expect("it was one");
            assert_eq!(&out[..len], packet);
        }
    }
    if let Some(bytes) = data.first_chunk() {
        let count = Count::decode(*bytes);
        assert_eq!(Count::decode(count.encode()), count);
    }
    let mut pieces = Crc::default();
    data.chunks(7).for_each(|piece| pieces.update(piece));
    assert_eq!(pieces.value().to_le_bytes(), crc(data));
}

/// Bytes that no input comes to by chance.
const PRIVATE: [u8; 32] = *b"the private key that stays here.";
const SECRET: [u8; 32] = *b"the secret that a session hides.";

struct Host {
    part: SecureElement,
    now: Duration,
}

impl Host {
    /// A private key in slot 0 and a secret in slot 4, neither of which a blank part's policies let out.
    fn new(locks: u8) -> Self {
        let part = SecureElement::fresh(Model::Atecc608B, [1; 6], Entropy::known(1));
        let mut host = Self { part, now: Duration::ZERO };
        let mut do_it = |opcode, param1, param2, data: &[u8]| {
            let answer = host.run(Command { opcode, param1, param2, data });
            assert_eq!(answer, [Status::SUCCESS.0], "{opcode:?}");
        };
        if locks > 0 {
            do_it(Opcode::LOCK, 0x80, 0, &[]);
            do_it(Opcode::PRIV_WRITE, 0, 0, &[&[0; 4][..], &PRIVATE].concat());
            do_it(Opcode::WRITE, 0x82, 4 << 3, &SECRET);
        }
        if locks > 1 {
            do_it(Opcode::LOCK, 0x81, 0, &[]);
        }
        host
    }

    fn run(&mut self, command: Command<'_>) -> Vec<u8> {
        let mut packet = [3; 160];
        let len = command.write(&mut packet[1..]).expect("at most 148 bytes of data");
        self.part.wake(self.now);
        self.now += timing::WAKE;
        let written = self.part.write(self.now, ADDRESS, &packet[..=len]);
        assert_eq!(written, Written::Acknowledged(len + 1));
        self.now += Duration::from_secs(1);
        let answer = self.part.read(self.now, ADDRESS, 128).expect("nothing takes a second");
        self.part.write(self.now, ADDRESS, &[2]);
        parse_answer(&answer[..usize::from(answer[0])]).expect("its own CRC").to_vec()
    }
}

const ADDRESS: u8 = 0x60;
