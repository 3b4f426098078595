//! When a rollout goes on by itself, and when it stops.

use super::plan::{OnFailure, Plan};
use std::fmt;

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Made, not started: offered to nobody.
    Draft,
    /// Its stage and those before are offered it.
    Running,
    /// Offered to nobody until it is resumed; downloads that are under way stop too.
    Paused,
    /// The last stage has shown enough. Whoever is in it goes on being offered it.
    Finished,
    /// Offered to nobody, for good.
    Aborted,
}

/// What a person does to a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Begins the first stage.
    Start,
    /// Stops for a while.
    Pause,
    /// Goes on where it stood.
    Resume,
    /// Stops for good.
    Abort,
    /// Begins the next stage without waiting for thresholds.
    Advance,
}

/// How far the devices of one stage are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Were offered it.
    pub offered: u32,
    /// Run it and have confirmed it.
    pub installed: u32,
    /// Have failed, or have come back to an older version.
    pub failed: u32,
}

/// What follows from a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Stay,
    /// The next stage begins.
    Advance,
    /// The last stage is over.
    Finish,
    /// Too many failed.
    Stop(OnFailure),
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Draft, Self::Running, Self::Paused, Self::Finished, Self::Aborted];

    /// Stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Finished => "finished",
            Self::Aborted => "aborted",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// What `act` makes of it; `None` if that cannot be done to a rollout in this state.
    #[must_use]
    pub const fn after(self, act: Act) -> Option<Self> {
        match (act, self) {
            (Act::Start, Self::Draft) | (Act::Resume, Self::Paused) | (Act::Advance, Self::Running) => {
                Some(Self::Running)
            }
            (Act::Pause, Self::Running | Self::Finished) => Some(Self::Paused),
            (Act::Abort, Self::Draft | Self::Running | Self::Paused | Self::Finished) => Some(Self::Aborted),
            _ => None,
        }
    }
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Start, Self::Pause, Self::Resume, Self::Abort, Self::Advance];

    /// Stable name, as in the path of the request.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Abort => "abort",
            Self::Advance => "advance",
        }
    }

    /// The act with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.as_str() == name)
    }

    /// What the audit log calls it.
    #[must_use]
    pub const fn event(self) -> &'static str {
        match self {
            Self::Start => "rollout-started",
            Self::Pause => "rollout-paused",
            Self::Resume => "rollout-resumed",
            Self::Abort => "rollout-aborted",
            Self::Advance => "rollout-advanced",
        }
    }
}

impl Tally {
    const fn reported(self) -> u64 {
        self.installed as u64 + self.failed as u64
    }

    /// At least `percent` of what was reported, and something was.
    const fn reaches(self, count: u32, percent: u8) -> bool {
        self.reported() > 0 && count as u64 * 100 >= self.reported() * percent as u64
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} offered, {} installed, {} failed", self.offered, self.installed, self.failed)
    }
}

/// What follows when a device of stage `stage` has just been counted as failed; `tally` is that stage's.
#[must_use]
pub fn after_failure(plan: &Plan, stage: usize, tally: Tally) -> Decision {
    match plan.stages.get(stage) {
        Some(rules) if tally.reported() >= u64::from(rules.reports) && tally.reaches(tally.failed, rules.failure) => {
            Decision::Stop(rules.on_failure)
        }
        _ => Decision::Stay,
    }
}

/// What follows when a device of the current stage has just installed; `tally` is that stage's.
#[must_use]
pub fn after_success(plan: &Plan, current: usize, tally: Tally) -> Decision {
    match plan.stages.get(current) {
        Some(rules)
            if tally.reported() >= u64::from(rules.reports) && tally.reaches(tally.installed, rules.success) =>
        {
            if current + 1 < plan.stages.len() {
                Decision::Advance
            } else {
                Decision::Finish
            }
        }
        _ => Decision::Stay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan::parse(
            br#"{"stages":[{"percent":10,"success":80,"failure":30,"reports":5},
                           {"percent":100,"success":50,"failure":50,"on_failure":"abort"}]}"#,
        )
        .unwrap()
    }

    const fn tally(installed: u32, failed: u32) -> Tally {
        Tally { offered: 100, installed, failed }
    }

    #[test]
    fn nothing_is_decided_before_enough_have_reported() {
        assert_eq!(after_success(&plan(), 0, tally(4, 0)), Decision::Stay);
        assert_eq!(after_failure(&plan(), 0, tally(0, 4)), Decision::Stay);
        assert_eq!(after_success(&plan(), 0, tally(5, 0)), Decision::Advance);
        assert_eq!(after_failure(&plan(), 0, tally(0, 5)), Decision::Stop(OnFailure::Pause));
    }

    #[test]
    fn thresholds_hold_when_they_are_reached_exactly() {
        assert_eq!(after_success(&plan(), 0, tally(8, 2)), Decision::Advance);
        assert_eq!(after_success(&plan(), 0, tally(79, 21)), Decision::Stay);
        assert_eq!(after_failure(&plan(), 0, tally(7, 3)), Decision::Stop(OnFailure::Pause));
        assert_eq!(after_failure(&plan(), 0, tally(71, 29)), Decision::Stay);
        assert_eq!(after_failure(&plan(), 1, tally(1, 1)), Decision::Stop(OnFailure::Abort));
    }

    #[test]
    fn the_last_stage_finishes_and_no_stage_beyond_decides() {
        assert_eq!(after_success(&plan(), 1, tally(1, 0)), Decision::Finish);
        assert_eq!(after_success(&plan(), 2, tally(9, 0)), Decision::Stay);
        assert_eq!(after_failure(&plan(), 2, tally(0, 9)), Decision::Stay);
        let everybody = Plan::everybody();
        assert_eq!(after_failure(&everybody, 0, tally(0, 1_000_000)), Decision::Stay, "publishing decides nothing");
    }

    #[test]
    fn acts_have_their_states_and_nothing_undoes_an_abort() {
        use State::{Aborted, Draft, Finished, Paused, Running};
        let after = |act: Act| State::ALL.map(|state| state.after(act));
        assert_eq!(after(Act::Start), [Some(Running), None, None, None, None]);
        assert_eq!(after(Act::Pause), [None, Some(Paused), None, Some(Paused), None]);
        assert_eq!(after(Act::Resume), [None, None, Some(Running), None, None]);
        assert_eq!(after(Act::Abort), [Some(Aborted), Some(Aborted), Some(Aborted), Some(Aborted), None]);
        assert_eq!(after(Act::Advance), [None, Some(Running), None, None, None]);
        assert_eq!((Draft.as_str(), Finished.as_str()), ("draft", "finished"));
        for state in State::ALL {
            assert_eq!(State::from_name(state.as_str()), Some(state));
        }
        for act in Act::ALL {
            assert_eq!(Act::from_name(act.as_str()), Some(act));
        }
    }
}
