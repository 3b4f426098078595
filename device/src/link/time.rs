//! Milliseconds, and how long to wait for what.

/// Milliseconds since any moment, the same for one power-up. They never go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// So much later.
    #[must_use]
    pub const fn after(self, millis: u32) -> Self {
        Self(self.0.saturating_add(millis as u64))
    }

    /// How long ago `earlier` was.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// How long an end waits, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For the first answer. It doubles with each that does not come.
    pub answer: u32,
    /// For any answer at most.
    pub answer_at_most: u32,
    /// How many answers may fail to come in a row until a new handshake is tried.
    pub patience: u8,
    /// A module takes different hellos this far apart, so that replayed ones cost it little and push out no handshake.
    pub between_replies: u32,
}

impl Timing {
    /// For a serial line of so many baud: an answer has the time of two of the longest frames, and 50 ms to think.
    #[must_use]
    pub const fn of_baud(baud: u32, longest_frame: u32) -> Self {
        let frame = longest_frame.saturating_mul(10_000) / if baud == 0 { 1 } else { baud };
        let answer = frame.saturating_mul(2).saturating_add(50);
        Self { answer, answer_at_most: answer.saturating_mul(4), patience: 8, between_replies: answer }
    }
}

impl Default for Timing {
    /// For 115200 baud and frames of 300 bytes.
    fn default() -> Self {
        Self::of_baud(115_200, 300)
    }
}

/// When an answer should be there, and what if it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Waiting {
    due: Option<Millis>,
    failed: u8,
}

impl Waiting {
    /// Waits from `now` on, unless it does already.
    pub(super) fn begin(&mut self, now: Millis, timing: &Timing) {
        if self.due.is_none() {
            let doubled = timing.answer.checked_shl(u32::from(self.failed.min(16))).unwrap_or(u32::MAX);
            let wait = doubled.clamp(timing.answer, timing.answer_at_most.max(timing.answer));
            self.due = Some(now.after(wait));
        }
    }

    /// Something came; what is still missing has its full time again.
    pub(super) const fn succeed(&mut self) {
        *self = Self { due: None, failed: 0 };
    }

    /// True once the time is over; then it waits no longer until told to.
    pub(super) fn fails(&mut self, now: Millis) -> bool {
        let over = self.due.is_some_and(|due| due <= now);
        if over {
            self.due = None;
            self.failed = self.failed.saturating_add(1);
        }
        over
    }

    /// How many answers in a row did not come.
    pub(super) const fn failed(&self) -> u8 {
        self.failed
    }

    /// When it is over.
    pub(super) const fn due(&self) -> Option<Millis> {
        self.due
    }

    /// Stops waiting for now; what failed before still counts.
    pub(super) const fn pause(&mut self) {
        self.due = None;
    }
}
