//! The module's clock: 1970 when it gets power, until somebody tells it the time.

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

/// `Tue Oct 19 17:47:56 2021`, as C's `asctime` writes it.
pub(super) fn asctime(seconds: u64, offset: i64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let local = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_add(offset).max(0);
    let (days, time) = (local / 86_400, local % 86_400);
    let weekday = WEEKDAYS.get(usize::try_from(days % 7).unwrap_or(0)).unwrap_or(&"Thu");
    let (year, month, day) = date(days);
    let month = MONTHS.get(month).unwrap_or(&"Jan");
    format!("{weekday} {month} {day:>2} {:02}:{:02}:{:02} {year}", time / 3600, time / 60 % 60, time % 60)
}

/// Year, month from 0, day from 1.
fn date(mut days: i64) -> (i64, usize, i64) {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    // Four hundred years are always as long.
    let mut year = 1970 + days / 146_097 * 400;
    days %= 146_097;
    while days >= 365 + i64::from(is_leap(year)) {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + i64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
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
    }

    #[test]
    fn a_clock_says_what_it_was_told() {
        let clock = Clock::new();
        assert!(clock.seconds() < 5);
        clock.clone().set(1_700_000_000);
        assert!((1_700_000_000..1_700_000_005).contains(&clock.seconds()));
    }
}
