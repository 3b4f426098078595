//! Somebody else answers: whatever comes over the bus, the driver ends with a typed error or a value, after bounded
//! work.

use crate::bench::{Kind, WireError, restored, slot};
use crate::noise::{WORK_MAX, identity, next};
use cotter_device::atecc::command::MessageBuffer;
use cotter_device::atecc::command::counter::{CounterId, Increment};
use cotter_device::atecc::command::info::{Revision, SelfTest, Tests};
use cotter_device::atecc::command::key::{GetPublicKey, KeyPlace, PublicKey};
use cotter_device::atecc::command::nonce::{Random, Seed};
use cotter_device::atecc::command::sha::{EndKind, Hash, ReadContext, Start, Target};
use cotter_device::atecc::command::sign::{SignDigest, Signature};
use cotter_device::atecc::command::verify::{ProtectedVerify, VerifyingKey};
use cotter_device::atecc::command::zone::ReadConfig;
use cotter_device::atecc::exchange::{Action, Exchange, Outcome};
use cotter_device::atecc::identify::SerialNumber;
use cotter_device::atecc::session::{EncryptedRead, Session};
use cotter_device::atecc::{Error, Procedure, Settings, blocking};
use cotter_formats::atecc::Status;
use cotter_formats::atecc::packet::write_answer;
use cotter_formats::secret::Secret;
use embedded_hal::i2c::{ErrorType, I2c, Operation};
use proptest::prelude::*;

/// A bus with a liar on it, who knows CRCs.
struct Liar {
    state: u64,
    /// Answers that are left to read.
    pending: Vec<u8>,
    /// Of what is read, in a thousand: as a part would answer, with whatever in it.
    well_formed: usize,
    work: usize,
}

impl ErrorType for Liar {
    type Error = WireError;
}

impl I2c for Liar {
    fn transaction(&mut self, _: u8, operations: &mut [Operation<'_>]) -> Result<(), WireError> {
        self.work += 1;
        for operation in operations {
            match operation {
                Operation::Write(bytes) => {
                    if bytes[0] == 3 {
                        self.pending = self.answer();
                    } else if bytes[0] == 0 && bytes.len() == 1 && next(&mut self.state).is_multiple_of(2) {
                        self.pending = [4, 0x11, 0x33, 0x43].into();
                    }
                    if next(&mut self.state).is_multiple_of(5) {
                        return Err(WireError::Address);
                    }
                }
                Operation::Read(into) => {
                    if next(&mut self.state).is_multiple_of(9) {
                        return Err(WireError::Data);
                    }
                    let len = into.len().min(self.pending.len());
                    into.fill(0xff);
                    into[..len].copy_from_slice(&self.pending[..len]);
                    self.pending.drain(..len);
                }
            }
        }
        Ok(())
    }
}

impl Liar {
    fn answer(&mut self) -> Vec<u8> {
        let lengths = [1, 1, 1, 4, 16, 20, 32, 32, 32, 64, 64, 80, 99];
        let len = lengths[next(&mut self.state) % lengths.len()];
        let payload: Vec<u8> = (0..len).map(|_| u8::try_from(next(&mut self.state) % 256).unwrap()).collect();
        if next(&mut self.state) % 1_000 < self.well_formed {
            let mut packet = [0; 102];
            let len = write_answer(&payload, &mut packet).unwrap();
            return packet[..len].to_vec();
        }
        payload
    }
}

struct NoDelay;

impl embedded_hal::delay::DelayNs for NoDelay {
    fn delay_ns(&mut self, _: u32) {}
}

fn survives<P: Procedure>(seed: u64, well_formed: usize, procedure: P) -> Result<P::Output, Error> {
    let liar = Liar { state: seed | 1, pending: Vec::new(), well_formed, work: 0 };
    let mut element = blocking::Element::new(liar, NoDelay);
    let result = element.run(procedure);
    let (liar, _) = element.release();
    assert!(liar.work < 8 * WORK_MAX, "{}", liar.work);
    result
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn hostile_answers_end_in_values_or_typed_errors(seed in any::<u64>(), well_formed in 0_usize..=1_000) {
        let key = Secret::filled_by(|out: &mut [u8; 32]| out.fill(4));
        let (public, signature) = (PublicKey([1; 64]), Signature([2; 64]));
        let session = Session { slot: slot(4), key: &key, input: &[1; 20], serial: SerialNumber([1; 9]) };
        let _ = survives(seed, well_formed, Revision);
        let _ = survives(seed, well_formed, Random { seed: Seed::Update });
        let _ = survives(seed, well_formed, ReadContext).map(|context| assert!(context.bytes().len() >= 36));
        let _ = survives(seed, well_formed, Increment(CounterId::Zero));
        let _ = survives(seed, well_formed, SelfTest(Tests::ALL)).map(|failed| assert_eq!(failed.0 & !0x3d, 0));
        let _ = survives(seed, well_formed, GetPublicKey(KeyPlace::TempKey));
        let _ = survives(seed, well_formed, ReadConfig::default());
        let _ = survives(seed, well_formed, Hash::new(Start::Digest, &[1; 100], Target::Output, EndKind::Common));
        let _ = survives(seed, well_formed, SignDigest::new(slot(2), &[1; 32], MessageBuffer::Digest));
        let _ = survives(seed, well_formed, EncryptedRead::new(session, slot(3), 0));
        // What has a MAC is never believed.
        let protected =
            ProtectedVerify::new(VerifyingKey::External(&public), &signature, &[1; 32], &[2; 32], &key);
        prop_assert!(survives(seed, well_formed, protected).is_err());
    }
}

#[test]
fn each_status_is_its_own_error() {
    // A part that answers everything with one status.
    let answer = |status: u8| {
        let mut exchange = Exchange::new(Settings::default());
        let mut packet = [0; 4];
        write_answer(&[status], &mut packet).unwrap();
        let mut request = Revision;
        assert!(exchange.advance(&mut request).unwrap().is_none());
        let (mut has_command, mut at) = (false, 0);
        for _ in 0..WORK_MAX {
            match exchange.next_action() {
                Action::Write { bytes, .. } => {
                    has_command = bytes[0] == 3;
                    at = 0;
                }
                Action::Read { into, .. } => {
                    let source = if has_command { packet } else { [4, 0x11, 0x33, 0x43] };
                    into.copy_from_slice(&source[at..at + into.len()]);
                    at += into.len();
                }
                Action::Wait(_) => {}
                Action::Done(result) => return result.and_then(|()| exchange.advance(&mut request)),
            }
            exchange.report(Outcome::Done);
        }
        panic!("it does not end");
    };
    for (status, error) in [
        (Status::MISCOMPARE, Error::Miscompare),
        (Status::PARSE, Error::Parse),
        (Status::ECC_FAULT, Error::EccFault),
        (Status::SELF_TEST, Error::SelfTest),
        (Status::RANDOM_HEALTH, Error::RandomHealth),
        (Status::EXECUTION, Error::Execution),
        (Status::WATCHDOG, Error::Watchdog),
        (Status::AWAKE, Error::AnswerLost),
        (Status::COMMUNICATION, Error::Communication),
        (Status(0x42), Error::Status(0x42)),
        (Status::SUCCESS, Error::Length { got: 1, expected: 4 }),
    ] {
        assert_eq!(answer(status.0), Err(error), "{status:?}");
    }
}

#[test]
fn a_failed_self_test_at_wake_is_told() {
    struct Sick;
    impl ErrorType for Sick {
        type Error = WireError;
    }
    impl I2c for Sick {
        fn transaction(&mut self, _: u8, operations: &mut [Operation<'_>]) -> Result<(), WireError> {
            for operation in operations {
                if let Operation::Read(into) = operation {
                    into.copy_from_slice(&[0x04, 0x07, 0xc4, 0x40][..into.len()]);
                }
            }
            Ok(())
        }
    }
    let mut element = blocking::Element::new(Sick, NoDelay);
    assert_eq!(element.wake(), Err(Error::SelfTest));
    assert_eq!(element.run(Revision), Err(Error::SelfTest));
}

#[test]
fn a_future_that_is_dropped_half_way_leaves_a_part_that_goes_on() {
    use cotter_device::atecc::asynchronous::Element;
    use std::future::Future;
    use std::task::{Context, Poll, Waker};
    let (state, public) = identity();
    for polls in 0..80 {
        let (desk, mut driver) = restored(Kind::Blocking, &state);
        let mut element = Element::new(desk.clone(), desk.clone());
        {
            let mut future = std::pin::pin!(element.run(Increment(CounterId::One)));
            for _ in 0..polls {
                let poll = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                if matches!(poll, Poll::Ready(_)) {
                    break;
                }
            }
        }
        assert_eq!(driver.run(GetPublicKey(KeyPlace::Slot(slot(2)))), Ok(public), "{polls}");
    }
}
