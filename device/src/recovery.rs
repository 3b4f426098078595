//! Recovery of a lost nonce counter: the device proves its root key to the server and gets a new key epoch.
//!
//! For a device whose counter is gone ([`NonceError::Missing`](crate::nonces::NonceError::Missing),
//! [`SequenceError::Missing`](crate::sequences::SequenceError::Missing)), or whose store was restored from a backup, so
//! that its packets are refused as replays. Sans-IO: [`Recovery::ask`] and [`Claiming::claim`] are bodies of requests, and
//! what is answered to them is handed back. If an answer is lost, it begins again.
//!
//! It takes the [`Identity`] and whatever borrows it: while epochs change, nothing is sealed.

use crate::identity::{self, Identity, IdentityError};
use crate::nonces;
use crate::nvs::{Nvs, NvsError};
use crate::platform::Random;
use crate::sequences;
use cotter_wire::keys::RecoveryKey;
use cotter_wire::recovery::{self, Claim, Grant, MAX_MESSAGE, RecoveryError};
use embedded_storage::nor_flash::NorFlash;

/// An ask that waits for its challenge.
#[derive(Debug)]
pub struct Recovery {
    key: RecoveryKey,
    recovery: recovery::Recovery,
}

impl Recovery {
    /// Draws the nonce of a new ask.
    pub fn begin(identity: Identity, random: &mut impl Random) -> Self {
        let mut nonce = [0; 16];
        random.fill(&mut nonce);
        let recovery = recovery::Recovery::new(identity.device, identity.epoch, nonce);
        Self { key: identity.recovery_key(), recovery }
    }

    /// The body of the first request.
    #[must_use]
    pub fn ask<'o>(&self, out: &'o mut [u8; MAX_MESSAGE]) -> &'o [u8] {
        self.recovery.ask(&self.key, out).expect(FITS)
    }

    /// Takes the answer to it.
    ///
    /// # Errors
    /// [`RecoveryError`]: it is not the server's answer to this ask.
    pub fn challenged(self, challenge: &[u8]) -> Result<Claiming, RecoveryError> {
        let claim = self.recovery.challenged(&self.key, challenge)?;
        Ok(Claiming { key: self.key, claim })
    }
}

/// A claim that waits for its grant.
#[derive(Debug)]
pub struct Claiming {
    key: RecoveryKey,
    claim: Claim,
}

impl Claiming {
    /// The body of the second request.
    #[must_use]
    pub fn claim<'o>(&self, out: &'o mut [u8; MAX_MESSAGE]) -> &'o [u8] {
        self.claim.write(&self.key, out).expect(FITS)
    }

    /// Takes the answer to it and stores the new epoch, then its counter; returns the identity in the new epoch.
    ///
    /// # Errors
    /// [`RenewalError`]. After a failure of the store the device starts anew: in the old epoch, or in the new one with or
    /// without its counter. Whichever it is, no number is used twice in an epoch.
    pub fn granted<F: NorFlash>(self, grant: &[u8], store: &mut Nvs<F>) -> Result<Identity, RenewalError<F::Error>> {
        let grant = self.claim.granted(&self.key, grant)?;
        keep(&grant, store)?;
        Ok(Identity::load(store)?)
    }
}

/// The epoch first. Once it is on flash, every number of the old epoch is history, and any counter will do; the other way
/// round, a cut would leave a lowered counter in the old epoch.
fn keep<F: NorFlash>(grant: &Grant, store: &mut Nvs<F>) -> Result<(), NvsError<F::Error>> {
    identity::raise_epoch(store, grant.epoch())?;
    // A mark tells that this device speaks version 2; without one, that goes on from the nonce.
    if store.u64(&sequences::NAMESPACE, &sequences::KEY)?.is_some() {
        return store.set_u64(&sequences::NAMESPACE, &sequences::KEY, grant.nonce().0.into());
    }
    store.set_u32(&nonces::NAMESPACE, &nonces::KEY, grant.nonce().0)
}

const FITS: &str = "MAX_MESSAGE bytes are always enough";

/// Why there is no new epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenewalError<E> {
    /// The answer is not the server's.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The epoch or the counter could not be stored.
    #[error("recovery: {0}")]
    Store(#[from] NvsError<E>),
    /// The identity does not load any more.
    #[error(transparent)]
    Identity(#[from] IdentityError<E>),
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::nonces::{NonceCounter, NonceError};
    use crate::sequences::{AHEAD, SequenceCounter, SequenceError};
    use crate::test_store::{Counting, FIRST_NONCE, TestStore, mount, root_key};
    use cotter_chip::fault::{CutPoint, Fault, Phase};
    use cotter_chip::flash::Flash;
    use cotter_formats::addr::FlashAddr;
    use cotter_wire::ids::{KeyEpoch, Nonce};
    use cotter_wire::recovery::{Ask, ClaimMessage};
    use std::collections::BTreeSet;
    use std::println;
    use std::vec::Vec;

    const V1: NonceCounter = NonceCounter::new(Nonce(0));
    const FLOOR: Nonce = Nonce(FIRST_NONCE);

    fn server_key(identity: &Identity) -> RecoveryKey {
        RecoveryKey::derive(&root_key(), &identity.device)
    }

    fn challenge(ask: &[u8], key: &RecoveryKey) -> Vec<u8> {
        let ask = Ask::parse(ask).unwrap().verify(key).unwrap();
        ask.challenge(key, &[7; 16], &mut [0; MAX_MESSAGE]).unwrap().to_vec()
    }

    /// A recovery as far as its claim, and a server's grant for it.
    fn claimed(identity: Identity, epoch: KeyEpoch) -> (Claiming, Vec<u8>) {
        let key = server_key(&identity);
        let recovery = Recovery::begin(identity, &mut Counting::default());
        let challenge = challenge(recovery.ask(&mut [0; MAX_MESSAGE]), &key);
        let claiming = recovery.challenged(&challenge).unwrap();
        let claim = ClaimMessage::parse(claiming.claim(&mut [0; MAX_MESSAGE])).unwrap().verify(&key).unwrap();
        let grant = claim.grant(&key, epoch, FLOOR, &mut [0; MAX_MESSAGE]).unwrap().to_vec();
        (claiming, grant)
    }

    #[test]
    fn a_lost_counter_comes_back_in_a_new_epoch() {
        let mut store = TestStore::factory().without(nonces::KEY).mount();
        let identity = Identity::load(&mut store).unwrap();
        assert_eq!(identity.epoch, KeyEpoch(3));
        assert_eq!(V1.next(&mut store), Err(NonceError::Missing));
        assert_eq!(SequenceCounter::start(&mut store).err(), Some(SequenceError::Missing));
        let (claiming, grant) = claimed(identity, KeyEpoch(4));
        let identity = claiming.granted(&grant, &mut store).unwrap();
        assert_eq!((identity.epoch, V1.next(&mut store)), (KeyEpoch(4), Ok(Nonce(FLOOR.0 + 1))));
        let mut counter = SequenceCounter::start(&mut store).unwrap();
        assert_eq!(counter.next(&mut store).unwrap().get(), u64::from(FLOOR.0) + 2);
        // Now it has a mark; one that is lost, or only told to be, comes back too.
        for (epoch, lost) in [(5, false), (6, true)] {
            if lost {
                store.erase_key(&sequences::NAMESPACE, &sequences::KEY).unwrap();
                assert_eq!(SequenceCounter::start(&mut store).err(), Some(SequenceError::Missing));
            }
            let (claiming, grant) = claimed(Identity::load(&mut store).unwrap(), KeyEpoch(epoch));
            assert_eq!(claiming.granted(&grant, &mut store).unwrap().epoch, KeyEpoch(epoch));
            let mut counter = SequenceCounter::start(&mut store).unwrap();
            assert_eq!(counter.next(&mut store).unwrap().get(), u64::from(FLOOR.0) + 1);
        }
    }

    #[test]
    fn only_the_answer_to_this_very_claim_changes_anything() {
        let mut store = TestStore::factory().mount();
        let load = |store: &mut Nvs<Flash>| Identity::load(store).unwrap();
        let refused = |outcome: Result<Identity, RenewalError<_>>| match outcome {
            Err(RenewalError::Recovery(refusal)) => refusal,
            other => panic!("{other:?}"),
        };
        // An epoch that is not new, although the server says so.
        for epoch in [0, 2, 3] {
            let (claiming, grant) = claimed(load(&mut store), KeyEpoch(epoch));
            let expected = RecoveryError::Epoch { granted: KeyEpoch(epoch), own: KeyEpoch(3) };
            assert_eq!(refused(claiming.granted(&grant, &mut store)), expected);
        }
        // The grant of an earlier recovery; the answers of somebody without the key.
        let (_, earlier) = claimed(load(&mut store), KeyEpoch(4));
        let key = server_key(&load(&mut store));
        let recovery = Recovery::begin(load(&mut store), &mut Counting(100));
        let challenge = challenge(recovery.ask(&mut [0; MAX_MESSAGE]), &key);
        let claiming = recovery.challenged(&challenge).unwrap();
        assert_eq!(refused(claiming.granted(&earlier, &mut store)), RecoveryError::Mac);
        let replayed = Recovery::begin(load(&mut store), &mut Counting(200)).challenged(&challenge);
        assert_eq!(replayed.err(), Some(RecoveryError::Mac));
        assert_eq!(load(&mut store).epoch, KeyEpoch(3), "nothing has changed");
        assert_eq!(V1.next(&mut store), Ok(Nonce(FIRST_NONCE + 1)));
    }

    /// Cut at every operation of a recovery, whatever was lost before: no number serves twice in an epoch, and asking again
    /// always helps.
    #[test]
    fn no_number_serves_twice_in_an_epoch_wherever_the_power_is_cut() {
        // What has been used in epoch 3, per device: version 1 and version 2, and what is then left of its counters.
        type Loss = fn(&mut Nvs<Flash>);
        let losses: [(bool, Loss); 6] = [
            (false, |_| ()),
            (false, |store| assert_eq!(store.erase_key(&nonces::NAMESPACE, &nonces::KEY), Ok(true))),
            (false, |store| store.set_u32(&nonces::NAMESPACE, &nonces::KEY, 2_000_000).unwrap()),
            (true, |_| ()),
            (true, |store| assert_eq!(store.erase_key(&sequences::NAMESPACE, &sequences::KEY), Ok(true))),
            (true, |store| {
                store.erase_key(&sequences::NAMESPACE, &sequences::KEY).unwrap();
                store.erase_key(&nonces::NAMESPACE, &nonces::KEY).unwrap();
            }),
        ];
        let mut cuts = 0;
        for (case, (compact, lose)) in losses.into_iter().enumerate() {
            let flash = Flash::with_content(TestStore::factory().build(), Fault::default()).unwrap();
            let mut store = mount(flash.clone(), FlashAddr(0));
            let mut used = BTreeSet::new();
            give(&mut store, compact, &mut used, 3).unwrap();
            lose(&mut store);
            drop(store);
            let content = flash.content().to_vec();
            let operations = {
                let flash = Flash::with_content(content.clone(), Fault::default()).unwrap();
                recovered(&flash, KeyEpoch(4)).unwrap();
                flash.fault().operations()
            };
            assert!(operations > 0);
            for op in 0..operations {
                for phase in Phase::ALL {
                    let what = std::format!("case {case}, op {op} {phase:?}");
                    let flash = Flash::with_content(content.clone(), Fault::new(op)).unwrap();
                    flash.fault().cut_at(CutPoint { op, phase });
                    recovered(&flash, KeyEpoch(4)).expect_err("the power was cut");
                    flash.fault().restore_power();
                    let mut used = used.clone();
                    // Whatever the device can still do, it does; then it asks again.
                    let _ = give(&mut mount(flash.clone(), FlashAddr(0)), compact, &mut used, 3);
                    recovered(&flash, KeyEpoch(5)).unwrap_or_else(|error| panic!("{what}: {error}"));
                    let mut store = mount(flash, FlashAddr(0));
                    give(&mut store, compact, &mut used, 3).unwrap_or_else(|()| panic!("{what}"));
                    assert!(used.iter().filter(|(epoch, _)| *epoch == KeyEpoch(5)).count() == 3, "{what}");
                    cuts += 1;
                }
            }
        }
        println!("recovery: {cuts} power cuts");
    }

    /// Gives out `count` numbers after a boot; panics if one was used before.
    fn give(
        store: &mut Nvs<Flash>,
        compact: bool,
        used: &mut BTreeSet<(KeyEpoch, u64)>,
        count: usize,
    ) -> Result<(), ()> {
        let epoch = Identity::load(store).map_err(|_| ())?.epoch;
        let mut counter = if compact { Some(SequenceCounter::start(store).map_err(|_| ())?) } else { None };
        for _ in 0..count {
            let number = match &mut counter {
                Some(counter) => counter.next(store).map_err(|_| ())?.get(),
                None => V1.next(store).map_err(|_| ())?.0.into(),
            };
            assert!(used.insert((epoch, number)), "{number} twice in epoch {epoch}");
        }
        assert!(AHEAD >= count as u64);
        Ok(())
    }

    fn recovered(flash: &Flash, epoch: KeyEpoch) -> Result<Identity, RenewalError<cotter_chip::flash::FlashError>> {
        let mut store = mount(flash.clone(), FlashAddr(0));
        let (claiming, grant) = claimed(Identity::load(&mut store)?, epoch);
        claiming.granted(&grant, &mut store)
    }
}
