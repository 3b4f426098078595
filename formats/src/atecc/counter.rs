//! The monotonic counters: eight bytes each, of which an increment only ever clears bits or takes one step in the other
//! half, so that a power cut loses no count.
//!
//! Two unary halves of 16 bits are used up in turns; two binary numbers (big-endian, as the unary ones) say how often each
//! was renewed. Source: cryptoauthlib 20260505 `calib_write_config_counter`.

/// A count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(u32);

impl Count {
    /// The last one.
    pub const MAX: Self = Self(2_097_151);

    /// `None` above the last one.
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    /// Reads it; bytes that no increment leaves behind count as far as they are used up.
    #[must_use]
    pub fn decode(bytes: [u8; 8]) -> Self {
        let half = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let used = |unary: u16, renewed: u16| 16 * u32::from(renewed) + unary.count_zeros();
        Self((used(half(0), half(4)) + used(half(2), half(6))).min(Self::MAX.0))
    }

    /// As it lies in the configuration zone.
    #[must_use]
    pub fn encode(self) -> [u8; 8] {
        let second = self.0.saturating_sub(16);
        let unary = |count: u32| 0xffff_u16.checked_shr(count).unwrap_or(0);
        let first_half = unary(self.0 % 32);
        let second_half = if self.0 < 16 { 0xffff } else { unary(second % 32) };
        let renewed = |count: u32| u16::try_from(count / 32).unwrap_or(u16::MAX);
        let mut bytes = [0; 8];
        for (at, half) in [first_half, second_half, renewed(self.0), renewed(second)].into_iter().enumerate() {
            bytes[2 * at..2 * at + 2].copy_from_slice(&half.to_be_bytes());
        }
        bytes
    }

    /// The next one, unless this is the last.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    #[test]
    fn counts_survive_their_encoding() {
        for value in (0..2_000).chain([COUNTS / 2, COUNTS - 1]) {
            let count = Count::new(value).unwrap();
            assert_eq!(Count::decode(count.encode()), count, "{value}");
        }
        assert_eq!(Count::new(COUNTS), None);
        assert_eq!(Count::MAX.next(), None);
    }

    const COUNTS: u32 = 2_097_152;

    #[test]
    fn a_fresh_counter_is_zero() {
        assert_eq!(Count::decode(hex!("ffffffff00000000")).value(), 0);
        assert_eq!(Count::new(0).unwrap().encode(), hex!("ffffffff00000000"));
    }

    #[test]
    fn bytes_of_anybody_are_a_count() {
        assert_eq!(Count::decode([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]), Count::MAX);
        assert_eq!(Count::decode([0; 8]).value(), 32);
    }
}
