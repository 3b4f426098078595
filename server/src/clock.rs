//! Time, as an input: expiry is tested without waiting.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Seconds since 1970-01-01 UTC.
    fn unix(&self) -> u64;
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

/// The same clock, watched by one that nobody sets.
pub(crate) struct SteadyClock {
    at: Instant,
    unix: u64,
}

impl SteadyClock {
    /// Watches from now on.
    pub(crate) fn started(clock: &dyn Clock) -> Self {
        Self { at: Instant::now(), unix: clock.unix() }
    }

    /// By how many seconds the clock was set since the last look, if more than a minute.
    pub(crate) fn stepped(&mut self, clock: &dyn Clock) -> Option<i64> {
        let now = Self::started(clock);
        let by_clock = i64::try_from(now.unix).ok()?.checked_sub(i64::try_from(self.unix).ok()?)?;
        let by_nobody = i64::try_from(now.at.duration_since(self.at).as_secs()).ok()?;
        *self = now;
        Some(by_clock - by_nobody).filter(|step| step.abs() > MINUTE)
    }
}

const MINUTE: i64 = 60;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A clock that a test sets.
    #[derive(Default)]
    pub(crate) struct Hands(pub(crate) AtomicU64);

    impl Clock for Hands {
        fn unix(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_clock_that_is_set_is_noticed_once() {
        let clock = Hands(AtomicU64::new(10_000));
        let mut steady = SteadyClock::started(&clock);
        assert_eq!(steady.stepped(&clock), None);
        clock.0.store(10_030, Ordering::Relaxed);
        assert_eq!(steady.stepped(&clock), None, "half a minute is drift");
        clock.0.store(6_430, Ordering::Relaxed);
        assert!(matches!(steady.stepped(&clock), Some(-3600 | -3601)));
        assert_eq!(steady.stepped(&clock), None);
    }
}
