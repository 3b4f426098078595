//! How long everything takes, as data, in microseconds.
//!
//! Source: DS20005927A sections 6.1 and 9.1.3; the ATECC608's execution times, for its three clock dividers, from
//! cryptoauthlib 20260505 `calib_execution.c`. They are maxima. Those of the ATECC508A are not longer, but for the 29 ms
//! of its `Nonce`, which the deadline for an answer covers.

use cotter_formats::atecc::Opcode;
use cotter_formats::atecc::config::ClockDivider;

/// From the wake condition until the part answers: tWHI.
pub const WAKE: u32 = 1_500;

/// From the wake condition until the part may fall asleep whatever it does: tWATCHDOG, minimum.
pub const WATCHDOG: u32 = 700_000;

/// The longest that a command takes; an unknown divider counts as the slowest.
#[must_use]
pub fn execution(opcode: Opcode, divider: ClockDivider) -> u32 {
    let row = EXECUTION.iter().find(|(known, _)| *known == opcode);
    let [m0, m1, m2] = row.map_or(SLOWEST, |(_, times)| *times);
    1_000
        * match divider {
            ClockDivider::M0 => m0,
            ClockDivider::M1 => m1,
            _ => m2,
        }
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

/// Milliseconds with the clock dividers M0, M1, M2.
const EXECUTION: [(Opcode, [u32; 3]); 22] = [
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

const SLOWEST: [u32; 3] = [250, 625, 2_324];

#[cfg(test)]
mod tests {
    use super::*;

    /// The ATECC508A's row of cryptoauthlib's `calib_execution.c`, milliseconds.
    #[test]
    fn the_slowest_answers_of_an_atecc508a_are_waited_for() {
        for (opcode, longest) in [
            (Opcode::CHECK_MAC, 13),
            (Opcode::COUNTER, 20),
            (Opcode::DERIVE_KEY, 50),
            (Opcode::ECDH, 58),
            (Opcode::GEN_DIG, 11),
            (Opcode::GEN_KEY, 115),
            (Opcode::INFO, 2),
            (Opcode::LOCK, 32),
            (Opcode::MAC, 14),
            (Opcode::NONCE, 29),
            (Opcode::PRIV_WRITE, 48),
            (Opcode::RANDOM, 23),
            (Opcode::READ, 5),
            (Opcode::SHA, 9),
            (Opcode::SIGN, 60),
            (Opcode::UPDATE_EXTRA, 10),
            (Opcode::VERIFY, 72),
            (Opcode::WRITE, 26),
        ] {
            assert!(deadline(opcode, ClockDivider::M0) > 1_000 * longest, "{opcode:?}");
        }
    }
}
