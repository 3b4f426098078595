//! The change of the firmware keys as an operation: its states, and what it takes to go on.

use std::fmt;

/// Where a statement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Accepted, and given to nobody.
    Planned,
    /// Given to every device that asks.
    Bridging,
    /// Enough devices have followed it.
    Adopted,
    /// The old keys count no more.
    Retired,
    /// Taken back before any device had it.
    Cancelled,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Planned, Self::Bridging, Self::Adopted, Self::Retired, Self::Cancelled];

    /// Stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Bridging => "bridging",
            Self::Adopted => "adopted",
            Self::Retired => "retired",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether devices are given the statement.
    #[must_use]
    pub const fn is_given_out(self) -> bool {
        matches!(self, Self::Bridging | Self::Adopted | Self::Retired)
    }
}

/// What somebody does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Gives it to devices.
    Start,
    /// Ends the old keys.
    Retire {
        /// Whether devices that were not seen for long are left behind.
        leave_behind: bool,
    },
    /// Takes it back.
    Cancel,
}

impl Act {
    /// Stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Retire { .. } => "retire",
            Self::Cancel => "cancel",
        }
    }

    /// Its name in the audit log.
    #[must_use]
    pub const fn event(self) -> &'static str {
        match self {
            Self::Start => "trust-started",
            Self::Retire { .. } => "trust-retired",
            Self::Cancel => "trust-cancelled",
        }
    }
}

/// How far devices have come with a statement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gate {
    /// All devices.
    pub devices: u64,
    /// Those that have followed it.
    pub adopted: u64,
    /// Those that have not, and were not seen for long.
    pub unseen: u64,
}

impl Gate {
    /// Whether `share` of 100 devices have followed it.
    #[must_use]
    pub fn is_met(self, share: u8) -> bool {
        enough(self.adopted, self.devices, share)
    }

    /// As [`Self::is_met`], among those that were seen.
    #[must_use]
    pub fn is_met_by_the_seen(self, share: u8) -> bool {
        enough(self.adopted, self.devices.saturating_sub(self.unseen), share)
    }

    /// Those that have not followed it.
    #[must_use]
    pub const fn missing(self) -> u64 {
        self.devices.saturating_sub(self.adopted)
    }
}

fn enough(adopted: u64, devices: u64, share: u8) -> bool {
    adopted.saturating_mul(100) >= devices.saturating_mul(share.into())
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { devices, adopted, unseen } = self;
        write!(f, "{adopted} of {devices} devices have followed it, {} have not", self.missing())?;
        if *unseen > 0 {
            write!(f, ", {unseen} of these were not seen for long")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_met_by_its_share_and_not_by_one_less() {
        let gate = |adopted, devices, unseen| Gate { devices, adopted, unseen };
        for (adopted, devices, share, met) in
            [(0, 0, 100, true), (9, 10, 100, false), (10, 10, 100, true), (9, 10, 90, true), (8, 10, 90, false)]
        {
            assert_eq!(gate(adopted, devices, 0).is_met(share), met, "{adopted} of {devices}, {share} %");
        }
        assert!(gate(9, 10, 1).is_met_by_the_seen(100));
        assert!(!gate(8, 10, 1).is_met_by_the_seen(100));
        assert!(gate(u64::MAX, u64::MAX, 0).is_met(100));
    }

    #[test]
    fn names_lead_back() {
        for state in State::ALL {
            assert_eq!(State::from_name(state.as_str()), Some(state));
        }
    }
}
