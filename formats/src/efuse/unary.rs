//! Counters that count burned bits: `SECURE_VERSION`, `SPI_BOOT_CRYPT_CNT`, `SOFT_DIS_JTAG`.
//!
//! The value of such a field is how many of its bits are set, not the number that the bits spell. espefuse writes the
//! number that it is given: `burn-efuse SECURE_VERSION 3` burns two bits and makes version 2.

use super::field::Field;

/// What a unary field counts to: the number of its set bits.
#[must_use]
pub const fn count(bits: u32) -> u32 {
    bits.count_ones()
}

/// The lowest `count` bits, which is how a field is burned to that count from blank; `None` if it has fewer bits.
#[must_use]
pub const fn bits(count: u32, field: &Field) -> Option<u32> {
    if count > field.len as u32 {
        None
    } else if count >= 32 {
        Some(u32::MAX)
    } else {
        Some((1 << count) - 1)
    }
}

/// True if an odd number of bits is set: flash encryption is on, JTAG is off.
#[must_use]
pub const fn is_odd(bits: u32) -> bool {
    bits.count_ones() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::efuse::esp32c3::SECURE_VERSION;

    #[test]
    fn version_n_is_the_low_n_bits() {
        assert_eq!(bits(0, &SECURE_VERSION), Some(0));
        assert_eq!(bits(3, &SECURE_VERSION), Some(0b111));
        assert_eq!(bits(16, &SECURE_VERSION), Some(0xffff));
        assert_eq!(bits(17, &SECURE_VERSION), None);
    }

    #[test]
    fn the_number_three_is_version_two() {
        assert_eq!(count(3), 2);
        assert_eq!(count(8), 1);
    }

    #[test]
    fn flash_encryption_is_on_at_odd_counts() {
        assert_eq!([0, 1, 3, 7].map(is_odd), [false, true, false, true]);
    }
}
