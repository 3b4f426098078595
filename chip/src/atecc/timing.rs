//! How long the part takes: as long as a part may (`cotter_formats::atecc::timing`). The watchdog: DS20005927A section 6.1.

use cotter_formats::atecc::config::ClockDivider;
use cotter_formats::atecc::timing::{WAKE_US, execution_ms};
use cotter_formats::atecc::{ConfigZone, Opcode};
use std::time::Duration;

/// From the wake condition until the part answers: tWHI.
pub const WAKE: Duration = Duration::from_micros(WAKE_US as u64);

/// From the wake condition until it falls asleep whatever it does: tWATCHDOG, nominal.
pub const WATCHDOG: Duration = Duration::from_millis(1_300);

/// The same, with the long watchdog of `ChipMode`.
pub const LONG_WATCHDOG: Duration = Duration::from_secs(10);

/// What a command takes that is refused.
pub const REFUSAL: Duration = Duration::from_millis(1);

/// The watchdog of a part.
#[must_use]
pub const fn watchdog(config: &ConfigZone) -> Duration {
    if config.has_long_watchdog() { LONG_WATCHDOG } else { WATCHDOG }
}

/// The longest that a command takes.
#[must_use]
pub fn execution(opcode: Opcode, divider: ClockDivider) -> Duration {
    let Some([m0, m1, m2]) = execution_ms(opcode) else { return REFUSAL };
    let milliseconds = match divider {
        ClockDivider::M1 => m1,
        ClockDivider::M2 => m2,
        _ => m0,
    };
    Duration::from_millis(milliseconds.into())
}
