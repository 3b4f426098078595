//! A budget for each device or address, in bounded memory.

use crate::config::Rate;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Token buckets, at most `capacity`. Who comes when all places are taken shares one bucket with all who do, until some
/// have refilled and are given up: a flood of new keys gets no fresh budgets and takes none away.
#[derive(Debug)]
pub struct Budgets<K> {
    rate: Rate,
    capacity: usize,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    known: HashMap<K, Bucket>,
    others: Bucket,
    swept: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// Nothing is left; when it is worth trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted {
    /// Whole seconds, at least one.
    pub retry_after: u32,
}

impl<K: Copy + Eq + Hash> Budgets<K> {
    /// Every budget starts full.
    #[must_use]
    pub fn new(rate: Rate, capacity: usize) -> Self {
        let others = Bucket { tokens: f64::from(rate.burst), at: Instant::now() };
        Self { rate, capacity, state: Mutex::new(State { known: HashMap::new(), others, swept: None }) }
    }

    /// Takes one.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn take(&self, key: K, now: Instant) -> Result<(), Exhausted> {
        let mut state = self.state();
        let bucket = self.bucket(&mut state, key, now);
        self.look_into(bucket)?;
        bucket.tokens -= 1.0;
        Ok(())
    }

    /// Whether there is one to take.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn look(&self, key: &K, now: Instant) -> Result<(), Exhausted> {
        let mut state = self.state();
        let State { known, others, .. } = &mut *state;
        let full = known.len() >= self.capacity;
        match known.get_mut(key) {
            Some(bucket) => self.look_into(self.refilled(bucket, now)),
            None if full => self.look_into(self.refilled(others, now)),
            None => Ok(()),
        }
    }

    fn bucket<'s>(&self, state: &'s mut State<K>, key: K, now: Instant) -> &'s mut Bucket {
        let State { known, others, swept } = state;
        if known.len() >= self.capacity && !known.contains_key(&key) {
            if swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP) {
                *swept = Some(now);
                known.retain(|_, bucket| self.refilled(bucket, now).tokens < f64::from(self.rate.burst));
            }
            if known.len() >= self.capacity {
                return self.refilled(others, now);
            }
        }
        let fresh = Bucket { tokens: f64::from(self.rate.burst), at: now };
        self.refilled(known.entry(key).or_insert(fresh), now)
    }

    fn refilled<'b>(&self, bucket: &'b mut Bucket, now: Instant) -> &'b mut Bucket {
        let gained = now.saturating_duration_since(bucket.at).as_secs_f64() * f64::from(self.rate.per_second);
        bucket.tokens = (bucket.tokens + gained).min(f64::from(self.rate.burst));
        bucket.at = bucket.at.max(now);
        bucket
    }

    fn look_into(&self, bucket: &Bucket) -> Result<(), Exhausted> {
        if bucket.tokens >= 1.0 {
            return Ok(());
        }
        let missing = (1.0 - bucket.tokens) / f64::from(self.rate.per_second.max(1));
        let whole = Duration::from_secs_f64(missing).as_secs() + 1;
        Err(Exhausted { retry_after: u32::try_from(whole).unwrap_or(u32::MAX) })
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who is limited as one address: an IPv4 address, or the /64 that one IPv6 customer has at least.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

/// Between two searches for budgets that have refilled.
const SWEEP: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn budgets(burst: u32, per_second: u32, capacity: usize) -> Budgets<u32> {
        Budgets::new(Rate { burst, per_second }, capacity)
    }

    #[test]
    fn each_key_has_its_own_budget_that_refills() {
        let (budgets, start) = (budgets(2, 2, 10), Instant::now());
        let take = |key, milliseconds| budgets.take(key, start + Duration::from_millis(milliseconds)).is_ok();
        assert_eq!([take(1, 0), take(1, 0), take(1, 0), take(2, 0)], [true, true, false, true]);
        assert_eq!([take(1, 499), take(1, 500), take(1, 501)], [false, true, false]);
    }

    #[test]
    fn says_when_to_come_again() {
        let (budgets, start) = (budgets(1, 1, 10), Instant::now());
        budgets.take(1, start).unwrap();
        assert_eq!(budgets.take(1, start), Err(Exhausted { retry_after: 2 }));
        assert_eq!(budgets.look(&1, start + Duration::from_millis(500)), Err(Exhausted { retry_after: 1 }));
        assert_eq!(budgets.look(&1, start + Duration::from_secs(1)), Ok(()));
        assert_eq!(budgets.look(&2, start), Ok(()));
    }

    #[test]
    fn a_flood_of_keys_neither_grows_nor_gets_fresh_budgets_nor_takes_any() {
        let (budgets, start) = (budgets(5, 1, 100), Instant::now());
        for _ in 0..4 {
            budgets.take(0, start).unwrap();
        }
        let allowed = (1..100_000).filter(|key| budgets.take(*key, start).is_ok()).count();
        assert_eq!(allowed, 99 + 5, "99 places, and one budget for all others");
        assert_eq!(budgets.state().known.len(), 100);
        assert!(budgets.take(0, start).is_ok() && budgets.take(0, start).is_err(), "who was there before has its own");
        let later = start + Duration::from_secs(5);
        assert!((200_000..200_050).all(|key| budgets.take(key, later).is_ok()), "what has refilled gives its place up");
        assert!(budgets.state().known.len() <= 100);
    }

    #[test]
    fn an_ipv6_customer_is_one_address() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1:2:3"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
