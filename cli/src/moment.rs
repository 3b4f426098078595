//! A moment as the server says it, in Unix seconds, and as people read it, in UTC.

use cotter_factory::pki::DateTime;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Unix seconds; `2026-11-21 20:15:00` in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    /// By this machine's clock.
    pub(crate) fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(time) = DateTime::from_unix_duration(Duration::from_secs(self.0)) else {
            return write!(f, "{}", self.0);
        };
        let (year, month, day) = (time.year(), time.month(), time.day());
        write!(f, "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", time.hour(), time.minutes(), time.seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_a_date_or_stays_a_number() {
        assert_eq!(Moment(1_795_000_000).to_string(), "2026-11-18 11:06:40");
        assert_eq!(Moment(u64::MAX).to_string(), u64::MAX.to_string());
    }
}
