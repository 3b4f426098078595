//! The module's clock: 1970 when it gets power, until somebody tells it the time.

use der::DateTime;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds since 1970; copies are the same clock.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    started: Instant,
    /// What it said when it started.
    base: Arc<AtomicI64>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), base: Arc::default() }
    }

    pub(super) fn seconds(&self) -> u64 {
        let running = i64::try_from(self.started.elapsed().as_secs()).unwrap_or(i64::MAX);
        u64::try_from(self.base.load(Ordering::Relaxed).saturating_add(running)).unwrap_or(0)
    }

    pub(super) fn set(&self, seconds: u64) {
        let running = i64::try_from(self.started.elapsed().as_secs()).unwrap_or(i64::MAX);
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.base.store(seconds.saturating_sub(running), Ordering::Relaxed);
    }

    /// The time of this machine.
    pub(super) fn host() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
    }
}

/// `Tue Oct 19 17:47:56 2021`, as C's `asctime` writes it; after the year 9999, which X.509 does not know, as the last second
/// before.
pub(super) fn asctime(seconds: u64, offset: i64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let local = Duration::from_secs(seconds.saturating_add_signed(offset));
    let time = DateTime::from_unix_duration(local).unwrap_or(DateTime::INFINITY);
    let days = time.unix_duration().as_secs() / 86_400;
    let weekday = WEEKDAYS.get(usize::try_from(days % 7).unwrap_or(0)).unwrap_or(&"Thu");
    let month = MONTHS.get(usize::from(time.month()) - 1).unwrap_or(&"Jan");
    let (day, year) = (time.day(), time.year());
    format!("{weekday} {month} {day:>2} {:02}:{:02}:{:02} {year}", time.hour(), time.minutes(), time.seconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_manual() {
        assert_eq!(asctime(0, 0), "Thu Jan  1 00:00:00 1970");
        assert_eq!(asctime(1_634_636_876, 8 * 3600), "Tue Oct 19 17:47:56 2021");
        assert_eq!(asctime(951_782_400, 0), "Tue Feb 29 00:00:00 2000");
        assert_eq!(asctime(4_107_542_399, 0), "Sun Feb 28 23:59:59 2100");
        assert_eq!(asctime(4_107_542_400, 0), "Mon Mar  1 00:00:00 2100");
        assert_eq!(asctime(u64::MAX, 0), "Fri Dec 31 23:59:59 9999");
        assert_eq!(asctime(0, -3600), "Thu Jan  1 00:00:00 1970");
    }

    #[test]
    fn a_clock_says_what_it_was_told() {
        let clock = Clock::new();
        assert!(clock.seconds() < 5);
        clock.clone().set(1_700_000_000);
        assert!((1_700_000_000..1_700_000_005).contains(&clock.seconds()));
    }
}
