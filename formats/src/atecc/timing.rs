//! How long the part takes, as data.
//!
//! Source: DS20005927A sections 6.1 and 9.1.3; the ATECC608's execution times, for its three clock dividers, from
//! cryptoauthlib 20260505 `calib_execution.c`. They are maxima.

use super::packet::Opcode;

/// Microseconds from the wake condition until the part answers: tWHI.
pub const WAKE_US: u16 = 1_500;

/// The longest that a command takes, in milliseconds with the clock dividers M0, M1, M2; `None` for commands that the
/// ATECC608 does not know.
#[must_use]
pub fn execution_ms(opcode: Opcode) -> Option<[u16; 3]> {
    EXECUTION.iter().find(|(known, _)| *known == opcode).map(|(_, times)| *times)
}

const EXECUTION: [(Opcode, [u16; 3]); 22] = [
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
