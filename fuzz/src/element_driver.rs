//! What a secure element, or somebody in its place, answers to the device's driver.

use cotter_device::atecc::command::MessageBuffer;
use cotter_device::atecc::command::counter::{CounterId, Increment};
use cotter_device::atecc::command::info::{SelfTest, State, Tests};
use cotter_device::atecc::command::kdf::{Algorithm, Derivation, KdfOut, PrfLen, Source};
use cotter_device::atecc::command::key::{GetPublicKey, KeyPlace, PublicKey};
use cotter_device::atecc::command::nonce::{Random, Seed};
use cotter_device::atecc::command::sha::{EndKind, Hash, ReadContext, Start, Target};
use cotter_device::atecc::command::sign::{SignDigest, Signature};
use cotter_device::atecc::command::verify::{ProtectedVerify, VerifyingKey};
use cotter_device::atecc::command::zone::{ReadConfig, ReadSlot};
use cotter_device::atecc::exchange::{Action, Exchange, Outcome};
use cotter_device::atecc::identify::{Model, SerialNumber};
use cotter_device::atecc::session::{EncryptedRead, Session};
use cotter_device::atecc::{Error, Identify, Procedure, Settings};
use cotter_formats::atecc::Slot;
use cotter_formats::atecc::packet::write_answer;
use cotter_formats::secret::Secret;

/// The first byte says what is run, the others what the bus does. Each procedure ends, after bounded work; nothing that
/// has a MAC is believed; what is too short or too long is no answer.
pub fn element_driver(data: &[u8]) {
    let Some((which, script)) = data.split_first() else { return };
    let slot = Slot::from_low_bits(u16::from(which >> 4));
    let key = Secret::filled_by(|key: &mut [u8; 32]| key.fill(4));
    match which & 0xf {
        0 => check(run(script, Identify::default()), |part| {
            assert_eq!(Model::from_revision(part.revision), Ok(part.model));
        }),
        1 => check(run(script, Random { seed: Seed::Update }), |random| {
            assert_ne!(random.expose()[..], [0xff, 0xff, 0, 0].repeat(8));
        }),
        2 => check(run(script, ReadContext), |context| assert!((36..=99).contains(&context.bytes().len()))),
        3 => check(run(script, Increment(CounterId::One)), |count| assert!(count.value() <= 2_097_151)),
        4 => check(run(script, SelfTest(Tests::ALL)), |failed| assert_eq!(failed.0 & !Tests::ALL.0, 0)),
        5 => check(run(script, GetPublicKey(KeyPlace::Slot(slot))), |key: PublicKey| {
            let stored = key.to_slot();
            assert_eq!((PublicKey::from_slot(&stored), stored[..4].to_vec()), (key, vec![0; 4]));
        }),
        6 => check(run(script, ReadConfig::default()), |zone| assert_eq!(zone.serial_number().len(), 9)),
        7 => {
            let hash = Hash::new(Start::Hmac(slot), &[1; 150], Target::Output, EndKind::Common);
            check(run(script, hash), |_| {});
        }
        8 => check(run(script, SignDigest::new(slot, &[1; 32], MessageBuffer::Digest)), |_| {}),
        9 => {
            let session = Session { slot, key: &key, input: &[1; 20], serial: SerialNumber([1; 9]) };
            check(run(script, EncryptedRead::new(session, slot, 0)), |_| {});
        }
        10 => {
            let (public, signature) = (PublicKey([1; 64]), Signature([2; 64]));
            let public = VerifyingKey::External(&public);
            let verify = ProtectedVerify::new(public, &signature, &[1; 32], &[2; 32], &key);
            assert!(run(script, verify).is_err(), "a MAC was guessed");
        }
        11 => {
            let algorithm = Algorithm::Prf { message: &[1; 20], key_len: 32, len: PrfLen::Bytes64 };
            let derivation = Derivation { source: Source::Slot(slot), algorithm };
            let out: Result<Secret<64>, _> = run(script, KdfOut { derivation, io_key: Some(&key) });
            check(out, |_| {});
        }
        12 => {
            let mut content = [0; 72];
            check(run(script, ReadSlot::new(slot, &mut content)), |()| assert!(slot.len() >= 72));
        }
        _ => check(run(script, State), |state| assert_eq!(state.temp_key_slot().number() & 0xf0, 0)),
    }
}

fn check<T>(result: Result<T, Error>, judge: impl FnOnce(T)) {
    match result {
        Ok(output) => judge(output),
        Err(error) => assert!(error.to_string().starts_with("secure element: ")),
    }
}

/// Before each transaction one byte says how it goes, and before each answer one how long it is; what the script does
/// not say goes well.
fn run<P: Procedure>(mut script: &[u8], mut procedure: P) -> Result<P::Output, Error> {
    let mut take = |most: usize| {
        let (taken, rest) = script.split_at(script.len().min(most));
        script = rest;
        taken
    };
    let mut exchange = Exchange::new(Settings::default());
    let (mut answer, mut at, mut work) = (Vec::new(), 0, 0);
    loop {
        if let Some(output) = exchange.advance(&mut procedure)? {
            return Ok(output);
        }
        loop {
            work += 1;
            assert!(work < 5_000, "it does not end");
            let action = exchange.next_action();
            if matches!(action, Action::Write { .. } | Action::Read { .. }) {
                let outcome = match take(1).first() {
                    Some(0xfd) => Some(Outcome::AddressNack),
                    Some(0xfe) => Some(Outcome::Nack),
                    Some(0xff) => Some(Outcome::Fault),
                    _ => None,
                };
                if let Some(outcome) = outcome {
                    exchange.report(outcome);
                    continue;
                }
            }
            match action {
                Action::Write { address: 0, .. } => (answer, at) = (vec![4, 0x11, 0x33, 0x43], 0),
                Action::Write { bytes: [3, ..], .. } => {
                    let len = take(1).first().copied().unwrap_or(0);
                    let payload = take(usize::from(len & 0x7f)).to_vec();
                    let mut packet = [0; 256];
                    let is_mended = len & 0x80 == 0 && !payload.is_empty();
                    let written = is_mended.then(|| write_answer(&payload, &mut packet)).flatten();
                    (answer, at) = (written.map_or(payload, |len| packet[..len].to_vec()), 0);
                }
                Action::Write { .. } => at = 0,
                Action::Read { into, .. } => {
                    into.fill(0xff);
                    let rest = answer.get(at..).unwrap_or_default();
                    into.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                    at += into.len();
                }
                Action::Wait(_) => {}
                Action::Done(result) => break result?,
            }
            exchange.report(Outcome::Done);
        }
    }
}
