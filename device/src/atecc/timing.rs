//! How long everything takes, as data, in microseconds.
//!
//! The part's own times are in `cotter_formats::atecc::timing`. Those of the ATECC508A are not longer, but for the 29 ms of
//! its `Nonce`, which the deadline for an answer covers. The watchdog: DS20005927A section 6.1.

use cotter_formats::atecc::Opcode;
use cotter_formats::atecc::config::ClockDivider;
use cotter_formats::atecc::timing::{WAKE_US, execution_ms};

/// From the wake condition until the part answers: tWHI.
pub const WAKE: u32 = WAKE_US as u32;

/// From the wake condition until the part may fall asleep whatever it does: tWATCHDOG, minimum.
pub const WATCHDOG: u32 = 700_000;

/// The longest that a command takes; an unknown divider counts as the slowest.
#[must_use]
pub fn execution(opcode: Opcode, divider: ClockDivider) -> u32 {
    let [m0, m1, m2] = execution_ms(opcode).unwrap_or(SLOWEST);
    let milliseconds = match divider {
        ClockDivider::M0 => m0,
        ClockDivider::M1 => m1,
        _ => m2,
    };
    1_000 * u32::from(milliseconds)
}

/// When to give up on an answer: clocks of hosts and parts differ.
pub(super) fn deadline(opcode: Opcode, divider: ClockDivider) -> u32 {
    let longest = execution(opcode, divider);
    longest + longest / 8 + 10_000
}

/// How long to wait before the next look, so much having been waited: looks are a sixth apart.
pub(super) fn interval(waited: u32) -> u32 {
    (waited / 6).clamp(1_000, 50_000)
}

/// Before each attempt to wake up a part that did not: at first for noise on the bus, then for a part that still
/// executes what an earlier life of this host had sent, and at last until its watchdog has barked.
pub(super) const BACKOFF: [u32; 6] = [2_000, 5_000, 20_000, 100_000, 500_000, 1_000_000];

const SLOWEST: [u16; 3] = [250, 625, 2_324];
