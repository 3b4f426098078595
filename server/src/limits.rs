//! A budget that refills with time: so many at once, so many per second.

pub mod budgets;

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Token bucket. Taking from an empty one fails and is counted.
#[derive(Debug)]
pub struct Budget {
    burst: f64,
    per_second: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: f64,
    at: Option<Instant>,
    refused: u64,
}

impl Budget {
    /// Starts full.
    #[must_use]
    pub const fn new(burst: u32, per_second: u32) -> Self {
        let burst = burst as f64;
        let state = State { tokens: burst, at: None, refused: 0 };
        Self { burst, per_second: per_second as f64, state: Mutex::new(state) }
    }

    /// Takes one. `Some(n)`: allowed, and `n` were refused since the last one that was allowed.
    pub fn take(&self, now: Instant) -> Option<u64> {
        self.take_many(1, now)
    }

    /// As [`Self::take`], for so many at once: all or none.
    pub fn take_many(&self, many: u32, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = state.at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        state.tokens = (state.tokens + elapsed * self.per_second).min(self.burst);
        state.at = Some(state.at.map_or(now, |at| at.max(now)));
        if state.tokens < f64::from(many) {
            state.refused += 1;
            return None;
        }
        state.tokens -= f64::from(many);
        Some(std::mem::take(&mut state.refused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn allows_a_burst_then_the_rate() {
        let (budget, start) = (Budget::new(3, 10), Instant::now());
        assert_eq!([(); 5].map(|()| budget.take(start)), [Some(0), Some(0), Some(0), None, None]);
        assert_eq!(budget.take(start + Duration::from_millis(100)), Some(2), "tells how many it refused");
        assert_eq!(budget.take(start + Duration::from_millis(100)), None);
    }

    #[test]
    fn gives_many_or_none() {
        let (budget, start) = (Budget::new(10, 10), Instant::now());
        assert_eq!([8, 3, 2].map(|many| budget.take_many(many, start)), [Some(0), None, Some(1)]);
        assert_eq!(budget.take_many(11, start + Duration::from_secs(60)), None, "more than there ever are");
    }

    #[test]
    fn never_holds_more_than_its_burst() {
        let (budget, start) = (Budget::new(2, 10), Instant::now());
        budget.take(start);
        let later = start + Duration::from_secs(3600);
        assert_eq!([(); 3].map(|()| budget.take(later)), [Some(0), Some(0), None]);
    }

    #[test]
    fn time_going_back_gives_nothing() {
        let (budget, start) = (Budget::new(1, 1), Instant::now() + Duration::from_secs(100));
        assert!(budget.take(start).is_some());
        assert!(budget.take(start - Duration::from_secs(50)).is_none());
        assert!(budget.take(start).is_none());
    }
}
