//! Alerts: what an operator should look at now. Bounded, in memory, and in the log at the moment they begin.
//!
//! | event | alert | begins at |
//! |---|---|---|
//! | `replay`, `ecowatt-replay` | `replay-burst` | the 5th within ten minutes, of one device |
//! | `packet-forged`, `ecowatt-forged` | `mac-failures` | the 10th within ten minutes, for one device |
//! | `nonce-jump`, `ecowatt-nonce-jump` | `nonce-jump` | the first |
//! | `protocol-downgrade` | `protocol-downgrade` | the first |
//! | `epoch-renewal-too-often` | `epoch-renewals` | the first |
//! | `device-rolled-back` | `rolled-back` | the first |
//! | `key-due` | `key-age` | the first |
//! | `clock-stepped` | `clock-stepped` | the first |
//!
//! An alert is shown for a day after its last event. A restart forgets it; the audit log does not.

use crate::clock::Clock;
use crate::lru::Lru;
use serde::{Deserialize, Serialize};
use std::fmt::{Display, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Watches events.
pub struct Alerts {
    clock: Arc<dyn Clock>,
    watched: Mutex<Lru<Watched, Seen>>,
}

/// What is shown to an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Stable kebab-case name.
    pub alert: String,
    /// Device or key that it is about.
    pub subject: String,
    /// When it began, Unix seconds.
    pub since: u64,
    /// When its last event was, Unix seconds.
    pub last: u64,
    /// Events since it began to be watched.
    pub events: u64,
    /// What the last event was about.
    pub detail: String,
}

struct Rule {
    event: &'static str,
    alert: &'static str,
    /// So many within the window.
    threshold: u64,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Watched {
    rule: usize,
    subject: Subject,
}

struct Seen {
    /// Events in the window.
    recent: u64,
    window_began: u64,
    since: Option<u64>,
    last: u64,
    events: u64,
    detail: String,
}

/// Names of devices and keys are short; what is longer is cut.
type Subject = heapless::String<SUBJECT>;

impl Alerts {
    /// Nothing has happened.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, watched: Mutex::new(Lru::new(MOST)) }
    }

    /// Takes note of an event; most mean nothing here.
    pub fn note(&self, event: &str, subject: &dyn Display, detail: &dyn Display) {
        let Some(rule) = RULES.iter().position(|rule| rule.event == event) else { return };
        let mut name = Subject::new();
        // What does not fit is cut.
        let _ = write!(name, "{subject}");
        let key = Watched { rule, subject: name };
        let Rule { alert, threshold, .. } = RULES[rule];
        let now = self.clock.unix();
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = match watched.touch(&key) {
            Some(seen) => seen,
            None => {
                watched.insert(key.clone(), Seen::nothing(now));
                let Some(seen) = watched.touch(&key) else { return };
                seen
            }
        };
        if seen.is_over(now) {
            *seen = Seen::nothing(now);
        }
        if now.saturating_sub(seen.window_began) > WINDOW {
            (seen.recent, seen.window_began) = (0, now);
        }
        seen.recent += 1;
        seen.events += 1;
        seen.last = now;
        // In place: a flood of forgeries comes through here. Writing to a string does not fail.
        seen.detail.clear();
        let _ = write!(seen.detail, "{detail}");
        if seen.since.is_none() && seen.recent >= threshold {
            seen.since = Some(now);
            tracing::error!(alert, subject = %key.subject, detail = seen.detail, "alert");
        }
    }

    /// Those of the last day, latest first.
    #[must_use]
    pub fn current(&self) -> Vec<Alert> {
        let now = self.clock.unix();
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let mut current: Vec<_> = watched
            .iter()
            .filter(|(_, seen)| !seen.is_over(now))
            .filter_map(|(key, seen)| {
                Some(Alert {
                    alert: RULES[key.rule].alert.to_owned(),
                    subject: key.subject.as_str().to_owned(),
                    since: seen.since?,
                    last: seen.last,
                    events: seen.events,
                    detail: seen.detail.clone(),
                })
            })
            .collect();
        current.sort_by(|one, other| {
            (other.last, &one.alert, &one.subject).cmp(&(one.last, &other.alert, &other.subject))
        });
        current
    }
}

impl Seen {
    const fn nothing(now: u64) -> Self {
        Self { recent: 0, window_began: now, since: None, last: now, events: 0, detail: String::new() }
    }

    const fn is_over(&self, now: u64) -> bool {
        now.saturating_sub(self.last) > DAY
    }
}

const fn rule(event: &'static str, alert: &'static str, threshold: u64) -> Rule {
    Rule { event, alert, threshold }
}

const RULES: [Rule; 11] = [
    rule("replay", "replay-burst", 5),
    rule("packet-forged", "mac-failures", 10),
    rule("nonce-jump", "nonce-jump", 1),
    rule("ecowatt-replay", "replay-burst", 5),
    rule("ecowatt-forged", "mac-failures", 10),
    rule("ecowatt-nonce-jump", "nonce-jump", 1),
    rule("protocol-downgrade", "protocol-downgrade", 1),
    rule("epoch-renewal-too-often", "epoch-renewals", 1),
    rule("device-rolled-back", "rolled-back", 1),
    rule("key-due", "key-age", 1),
    rule("clock-stepped", "clock-stepped", 1),
];

/// Seconds.
const WINDOW: u64 = 10 * 60;
const DAY: u64 = 24 * 3600;
/// Watched at once; about 300 bytes each.
const MOST: usize = 4096;
const SUBJECT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::tests::Hands;
    use std::sync::atomic::Ordering;

    fn alerts() -> (Arc<Hands>, Alerts) {
        let clock = Arc::new(Hands::default());
        (Arc::clone(&clock), Alerts::new(clock))
    }

    fn names(alerts: &Alerts) -> Vec<(String, String)> {
        alerts.current().into_iter().map(|alert| (alert.alert, alert.subject)).collect()
    }

    #[test]
    fn a_burst_is_an_alert_and_single_replays_are_none() {
        let (clock, alerts) = alerts();
        for _ in 0..20 {
            alerts.note("replay", &"slow", &"nonce 1");
            clock.0.fetch_add(WINDOW, Ordering::Relaxed);
        }
        assert_eq!(alerts.current(), []);
        for count in 1..=5 {
            alerts.note("replay", &"fast", &format!("nonce {count}"));
            alerts.note("replay", &format!("other-{count}"), &"nonce 1");
        }
        let [alert] = &alerts.current()[..] else { panic!("{:?}", alerts.current()) };
        assert_eq!((alert.alert.as_str(), alert.subject.as_str(), alert.events), ("replay-burst", "fast", 5));
        assert_eq!(alert.detail, "nonce 5");
    }

    #[test]
    fn it_is_shown_for_a_day_and_begins_anew_after_it() {
        let (clock, alerts) = alerts();
        alerts.note("nonce-jump", &"a", &"far");
        clock.0.store(DAY, Ordering::Relaxed);
        assert_eq!(names(&alerts), [("nonce-jump".to_owned(), "a".to_owned())]);
        clock.0.store(DAY + 1, Ordering::Relaxed);
        assert_eq!(names(&alerts), []);
        alerts.note("nonce-jump", &"a", &"far");
        assert_eq!(alerts.current()[0].events, 1);
    }

    #[test]
    fn what_is_no_rule_is_no_alert_and_a_flood_is_bounded() {
        let (_, alerts) = alerts();
        alerts.note("duplicate", &"a", &"");
        assert_eq!(alerts.current(), []);
        for number in 0..3 * MOST {
            alerts.note("nonce-jump", &number, &"far");
        }
        assert_eq!(alerts.current().len(), MOST);
        alerts.note("nonce-jump", &"x".repeat(1000), &"far");
        assert!(alerts.current().iter().all(|alert| alert.subject.len() <= SUBJECT));
    }
}
