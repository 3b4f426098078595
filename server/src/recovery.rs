//! Recovery of devices that lost their nonce counter: a new key epoch for who proves the root key, never a lowered nonce.
//!
//! Open challenges are in memory, bounded in all and per device, and each is good for one claim. A recorded ask brings its
//! sender a challenge that he cannot answer; a recorded claim answers a challenge that is gone.

use crate::audit::Audit;
use crate::clock::Clock;
use crate::keyring::{Keyring, KeyringError, KnownDevice};
use crate::sessions::Sessions;
use crate::store::epoch::{Renewal, Renewed};
use crate::store::{Store, StoreError};
use cotter_wire::ids::DeviceId;
use cotter_wire::recovery::{Ask, ClaimMessage, MAX_MESSAGE, Nonces, RecoveryError, VerifiedClaim};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Renews epochs.
pub struct Recoveries {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    // Ended when a device gets new keys.
    sessions: Arc<Sessions>,
    audit: Arc<Audit>,
    clock: Arc<dyn Clock>,
    challenges: Challenges,
}

impl Recoveries {
    /// Without an open challenge.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        keyring: Arc<Keyring>,
        sessions: Arc<Sessions>,
        audit: Arc<Audit>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, keyring, sessions, audit, clock, challenges: Challenges::new(MOST_CHALLENGES) }
    }

    /// Answers an ask that was posted for `path_device` with a challenge.
    pub async fn ask(&self, path_device: DeviceId, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let ask = Ask::parse(body).map_err(|why| self.malformed(&path_device, &why))?;
        let device = self.device(path_device, ask.device()).await?;
        let ask = ask.verify(&device.recovery).map_err(|why| self.forged(&path_device, &why))?;
        let mut fresh = [0; 16];
        aws_lc_rs::rand::fill(&mut fresh).map_err(|_| Refused::NoRandomness)?;
        let server = self.challenges.open(path_device, ask.with(fresh), self.clock.unix());
        Ok(ask.challenge(&device.recovery, &server, &mut [0; MAX_MESSAGE])?.to_vec())
    }

    /// Answers a claim that was posted for `path_device` with a grant, once the new epoch is durably stored.
    pub async fn claim(&self, path_device: DeviceId, body: &[u8]) -> Result<Vec<u8>, Refused> {
        // 1. The one spelling of a claim, of this device, with its key.
        let claim = ClaimMessage::parse(body).map_err(|why| self.malformed(&path_device, &why))?;
        let device = self.device(path_device, claim.device()).await?;
        let claim = claim.verify(&device.recovery).map_err(|why| self.forged(&path_device, &why))?;
        // 2. Its challenge, which is used up by that.
        if !self.challenges.close(&path_device, claim.nonces(), self.clock.unix()) {
            self.audit.device("recovery-replayed", &path_device, &"no such challenge is open");
            return Err(Refused::Claim);
        }
        // 3. The new epoch, in one transaction with its note.
        let (epoch, nonce) = match self.renew(&device, &claim).await? {
            Renewed::Renewed { epoch, nonce } => (epoch, nonce),
            Renewed::TooOften => {
                let why = format!("more than {MOST_A_DAY} new key epochs in a day");
                self.audit.alarm("epoch-renewal-too-often", &path_device, &why);
                return Err(Refused::TooOften);
            }
            Renewed::Exhausted => {
                self.audit.alarm("epoch-exhausted", &path_device, &"there is no higher key epoch");
                return Err(Refused::Claim);
            }
            // Granted under the key before, the epoch would be that of the key before, on the device only.
            Renewed::Overtaken | Renewed::UnknownDevice => return Err(Refused::Claim),
        };
        // 4. Whatever holds the old keys ends.
        self.keyring.forget(&path_device);
        self.sessions.end_all_of(&path_device);
        Ok(claim.grant(&device.recovery, epoch, nonce, &mut [0; MAX_MESSAGE])?.to_vec())
    }

    async fn renew(&self, device: &KnownDevice, claim: &VerifiedClaim) -> Result<Renewed, Refused> {
        let detail = format!(", asked for by the device in epoch {}", claim.epoch());
        let note = self.audit.note(&device.id, "epoch-renewed", device.id.to_string(), detail);
        let renewal = Renewal {
            device: device.id,
            known: claim.epoch(),
            rotated_at: device.rotated_at,
            at: self.clock.unix(),
            most_a_day: MOST_A_DAY,
        };
        Ok(self.store.renew_epoch(renewal, note).await?)
    }

    async fn device(&self, path: DeviceId, named: &DeviceId) -> Result<Arc<KnownDevice>, Refused> {
        if path != *named {
            self.audit.stranger("recovery-of-another-device", &path, named);
            return Err(Refused::Claim);
        }
        self.keyring.device(path).await?.ok_or_else(|| {
            self.audit.stranger("recovery-of-unknown-device", &path, &"not enrolled");
            Refused::Claim
        })
    }

    fn malformed(&self, device: &DeviceId, why: &RecoveryError) -> Refused {
        self.audit.stranger("recovery-malformed", device, why);
        Refused::Malformed
    }

    fn forged(&self, device: &DeviceId, why: &RecoveryError) -> Refused {
        self.audit.stranger("recovery-forged", device, why);
        Refused::Claim
    }
}

/// Challenges that wait for their claim, oldest first.
struct Challenges {
    capacity: usize,
    open: Mutex<VecDeque<Challenge>>,
}

struct Challenge {
    device: DeviceId,
    nonces: Nonces,
    until: u64,
}

impl Challenges {
    const fn new(capacity: usize) -> Self {
        Self { capacity, open: Mutex::new(VecDeque::new()) }
    }

    /// Opens a challenge, or finds the one that the same ask has opened; returns the server's nonce. A device that has too
    /// many loses its oldest, and so does the table.
    fn open(&self, device: DeviceId, nonces: Nonces, now: u64) -> [u8; 16] {
        let mut open = self.table();
        open.retain(|other| now < other.until);
        let same = |other: &&Challenge| other.device == device && other.nonces.device == nonces.device;
        if let Some(same) = open.iter().find(same) {
            return same.nonces.server;
        }
        let own = open.iter().filter(|other| other.device == device).count();
        if own >= MOST_PER_DEVICE {
            let oldest = open.iter().position(|other| other.device == device);
            oldest.and_then(|oldest| open.remove(oldest));
        } else if open.len() >= self.capacity {
            open.pop_front();
        }
        open.push_back(Challenge { device, nonces, until: now.saturating_add(LIFETIME_S) });
        nonces.server
    }

    /// Uses a challenge up. False if none is open for these nonces.
    fn close(&self, device: &DeviceId, nonces: &Nonces, now: u64) -> bool {
        let mut open = self.table();
        let found =
            open.iter().position(|other| other.device == *device && other.nonces == *nonces && now < other.until);
        found.and_then(|found| open.remove(found)).is_some()
    }

    fn table(&self) -> MutexGuard<'_, VecDeque<Challenge>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often a device may renew its epoch in a day: an honest one needs it once in its life, or a few times if answers are
/// lost.
pub const MOST_A_DAY: u32 = 4;
/// About 80 bytes each.
const MOST_CHALLENGES: usize = 4096;
const MOST_PER_DEVICE: usize = 4;
const LIFETIME_S: u64 = 120;

/// Why there is no answer; the sender learns only "refused".
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not a message.
    #[error("recovery: malformed")]
    Malformed,
    /// Not from the device, or not to an open challenge.
    #[error("recovery: refused")]
    Claim,
    /// The device has renewed its epoch too often today.
    #[error("recovery: too often")]
    TooOften,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys were not found.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system")]
    NoRandomness,
    /// The answer does not fit.
    #[error(transparent)]
    Answer(#[from] RecoveryError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonces(device: u8, server: u8) -> Nonces {
        Nonces { device: [device; 16], server: [server; 16] }
    }

    #[test]
    fn a_challenge_is_good_for_one_claim_in_its_time() {
        let (challenges, device) = (Challenges::new(10), "a".parse().unwrap());
        assert_eq!(challenges.open(device, nonces(1, 2), 0), [2; 16]);
        assert_eq!(challenges.open(device, nonces(1, 3), 1), [2; 16], "the same ask again brings the same challenge");
        assert!(!challenges.close(&device, &nonces(1, 3), 1));
        assert!(!challenges.close(&"b".parse().unwrap(), &nonces(1, 2), 1));
        assert!(!challenges.close(&device, &nonces(1, 2), LIFETIME_S), "too late");
        assert!(challenges.close(&device, &nonces(1, 2), LIFETIME_S - 1));
        assert!(!challenges.close(&device, &nonces(1, 2), LIFETIME_S - 1), "used up");
    }

    #[test]
    fn the_table_stays_within_its_bounds() {
        let challenges = Challenges::new(20);
        for round in 0..10 {
            for name in 0..30 {
                challenges.open(format!("device-{name}").parse().unwrap(), nonces(round, round), 5);
            }
        }
        assert_eq!(challenges.table().len(), 20);
        let (challenges, one, other) = (Challenges::new(20), "a".parse().unwrap(), "b".parse().unwrap());
        challenges.open(other, nonces(0, 0), 0);
        for number in 0..50 {
            challenges.open(one, nonces(number, number), 0);
        }
        assert_eq!(challenges.table().len(), 1 + MOST_PER_DEVICE, "and no device pushes out another");
        assert!(challenges.close(&other, &nonces(0, 0), 1));
        challenges.open(one, nonces(99, 99), LIFETIME_S);
        assert_eq!(challenges.table().len(), 1, "what is over goes");
    }
}
