//! Keys of single devices; those that the world knows are refused by value.

use cotter_formats::secret::Secret;
use cotter_wire::hex;
use sha2::{Digest, Sha256};

/// What tells keys apart without showing them.
#[must_use]
pub fn fingerprint(key: &Secret<32>) -> [u8; 32] {
    Sha256::digest(key.expose()).into()
}

/// Refuses keys that are in public sources or in no way random.
///
/// # Errors
/// [`KeyRefusal`].
pub fn check(key: &Secret<32>) -> Result<(), KeyRefusal> {
    let key = key.expose();
    let begins = |known: &str| {
        let digits = known.len() / 2;
        (0..digits).all(|at| hex::decode::<1>(&known.as_bytes()[2 * at..2 * at + 2]) == Some([key[at]]))
    };
    if PUBLISHED.iter().any(|known| begins(known)) {
        return Err(KeyRefusal::Published);
    }
    let steps = key.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
    let first = key[1].wrapping_sub(key[0]);
    let halves = key[..16] == key[16..];
    if steps.into_iter().all(|step| step == first) || halves {
        return Err(KeyRefusal::Pattern);
    }
    Ok(())
}

/// Beginnings of keys that anybody can look up.
const PUBLISHED: [&str; 6] = [
    // EcoWatt's PSK_HMAC, and with it the AES-128 example key of NIST SP 800-38A, which is its first half.
    "2b7e151628aed2a6abf7158809cf4f3c",
    // The second half alone.
    "762e7160f38b4da56a784d9045190cfe",
    // EcoWatt's HMAC_PSK and AES key for firmware, at 00afa9c.
    "fb7956d796c2359eee9fdcf9726d728b576fce9570dac869ccd33d30a8869485",
    "a27bb3da294244cb3e797760a00abd1fd056379d313f4122e23fa469e0e84ae6",
    // The AES-256 example key of NIST SP 800-38A.
    "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
    // The example of the guide's keys.h.
    "5a7b3c9d2e4f1a6b",
];

/// Why a key is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// It stands in public sources or standards.
    #[error("this key is published: everybody has it")]
    Published,
    /// All bytes alike, counting up, or one half twice.
    #[error("this key is a pattern: make it from a random source")]
    Pattern,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digits: &str) -> Secret<32> {
        let bytes: [u8; 32] = hex::decode(digits.as_bytes()).unwrap();
        Secret::filled_by(|key| *key = bytes)
    }

    #[test]
    fn published_keys_and_patterns_are_refused_by_value() {
        for digits in [
            "2b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfe".to_owned(),
            "fb7956d796c2359eee9fdcf9726d728b576fce9570dac869ccd33d30a8869485".to_owned(),
            "a27bb3da294244cb3e797760a00abd1fd056379d313f4122e23fa469e0e84ae6".to_owned(),
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4".to_owned(),
            format!("2b7e151628aed2a6abf7158809cf4f3c{}", "00".repeat(16)),
            format!("5a7b3c9d2e4f1a6b{}", "07".repeat(24)),
        ] {
            assert_eq!(check(&key(&digits)), Err(KeyRefusal::Published), "{digits}");
        }
        let counting: String = (0..32).map(|byte| format!("{byte:02x}")).collect();
        for digits in ["00".repeat(32), "ff".repeat(32), counting, "0123456789abcdeffedcba9876543210".repeat(2)] {
            assert_eq!(check(&key(&digits)), Err(KeyRefusal::Pattern), "{digits}");
        }
        assert_eq!(check(&key("8f3b1c5e9a7d2046e1b8f7a3c5d90e12647f8a9b0c1d2e3f405162738495a6b7")), Ok(()));
    }
}
