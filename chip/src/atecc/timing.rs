//! How long the part takes, as data.
//!
//! Source: DS20005927A sections 6.1 and 9.1.3; the ATECC608's execution times, for its three clock dividers, from
//! cryptoauthlib 20260505 `calib_execution.c`. They are maxima, and the simulated part is as slow as a part may be.

use cotter_formats::atecc::config::ClockDivider;
use cotter_formats::atecc::{ConfigZone, Opcode};
use std::time::Duration;

/// From the wake condition until the part answers: tWHI.
pub const WAKE: Duration = Duration::from_micros(1_500);

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
    let column = match divider {
        ClockDivider::M1 => 1,
        ClockDivider::M2 => 2,
        _ => 0,
    };
    let row = EXECUTION.iter().find(|(known, _)| *known == opcode);
    row.map_or(REFUSAL, |(_, times)| Duration::from_millis(times[column]))
}

/// Milliseconds with the clock dividers M0, M1, M2.
const EXECUTION: [(Opcode, [u64; 3]); 22] = [
    (Opcode::AES, [27, 27, 27]),
    (Opcode::CHECK_MAC, [40, 40, 40]),
    (Opcode::COUNTER, [25, 25, 25]),
    (Opcode::DERIVE_KEY, [50, 50, 50]),
    (Opcode::ECDH, [75, 172, 531]),
    (Opcode::GEN_DIG, [25, 35, 35]),
    (Opcode::GEN_KEY, [115, 215, 653]),
    (Opcode::INFO, [5, 5, 5]),
    (Opcode::KDF, [165, 165, 165]),
    (Opcode::LOCK, [35, 35, 35]),
    (Opcode::MAC, [55, 55, 55]),
    (Opcode::NONCE, [20, 20, 20]),
    (Opcode::PRIV_WRITE, [50, 50, 50]),
    (Opcode::RANDOM, [23, 23, 23]),
    (Opcode::READ, [5, 5, 5]),
    (Opcode::SECURE_BOOT, [80, 160, 480]),
    (Opcode::SELF_TEST, [250, 625, 2_324]),
    (Opcode::SHA, [36, 42, 75]),
    (Opcode::SIGN, [115, 220, 665]),
    (Opcode::UPDATE_EXTRA, [10, 10, 10]),
    (Opcode::VERIFY, [105, 295, 1_085]),
    (Opcode::WRITE, [45, 45, 45]),
];
