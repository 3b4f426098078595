//! Decoded values as they are stored: per value raw u16 little-endian, quality u8, tolerance u8.

use cotter_wire::ecowatt::{Quality, Value, Values};

/// Four bytes per value.
#[must_use]
pub fn encode(values: &Values) -> Vec<u8> {
    let bytes = |value: &Value| {
        let [low, high] = value.raw.to_le_bytes();
        let (quality, tolerance) = match value.quality {
            Quality::Exact => (EXACT, 0),
            Quality::Within(tolerance) => (WITHIN, tolerance),
            Quality::LowByte(tolerance) => (LOW_BYTE, tolerance),
        };
        // No tolerance is above 50.
        [low, high, quality, tolerance.to_le_bytes()[0]]
    };
    values.iter().flat_map(bytes).collect()
}

/// What [`encode`] wrote: raw value, kebab-case name of its quality, tolerance. `None` for anything else.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Vec<(u16, &'static str, u8)>> {
    let (values, rest) = bytes.as_chunks::<4>();
    let value = |[low, high, quality, tolerance]: &[u8; 4]| {
        let name = match *quality {
            EXACT => "exact",
            WITHIN => "within",
            LOW_BYTE => "low-byte",
            _ => return None,
        };
        Some((u16::from_le_bytes([*low, *high]), name, *tolerance))
    };
    rest.is_empty().then(|| values.iter().map(value).collect())?
}

pub(super) const fn count(bytes: &[u8]) -> usize {
    bytes.len() / 4
}

const EXACT: u8 = 0;
const WITHIN: u8 = 1;
const LOW_BYTE: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_quality() {
        let qualities = [Quality::Exact, Quality::Within(50), Quality::LowByte(5)];
        let values = qualities.into_iter().map(|quality| Value { raw: 0x1234, quality }).collect();
        let stored = encode(&values);
        let read = vec![(0x1234, "exact", 0), (0x1234, "within", 50), (0x1234, "low-byte", 5)];
        assert_eq!((decode(&stored), count(&stored)), (Some(read), 3));
        assert_eq!(decode(&stored[..5]), None);
        assert_eq!(decode(&[0, 0, 3, 0]), None);
    }
}
