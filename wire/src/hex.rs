//! Lower-case hexadecimal, the only case that the wire knows.

/// Writes `bytes` as lower-case hexadecimal digits into `out`, which must hold exactly twice as many.
///
/// Returns `None`, with nothing written, if `out` has another length.
#[must_use]
pub fn encode<'o>(bytes: &[u8], out: &'o mut [u8]) -> Option<&'o str> {
    if bytes.len().checked_mul(2) != Some(out.len()) {
        return None;
    }
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    core::str::from_utf8(out).ok()
}

/// Reads exactly `N` bytes from exactly `2 * N` lower-case digits; anything else is `None`.
#[must_use]
pub fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    decode_into(text, &mut bytes).then_some(bytes)
}

/// As [`decode`], into a slice. On `false` the content of `out` is meaningless.
#[must_use]
pub fn decode_into(text: &[u8], out: &mut [u8]) -> bool {
    if out.len().checked_mul(2) != Some(text.len()) {
        return false;
    }
    text.chunks_exact(2).zip(out).all(|(pair, byte)| match (nibble(pair[0]), nibble(pair[1])) {
        (Some(high), Some(low)) => {
            *byte = high << 4 | low;
            true
        }
        _ => false,
    })
}

/// The value of one lower-case digit.
#[must_use]
pub const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_every_byte() {
        for byte in 0..=255 {
            let mut text = [0; 2];
            let text = encode(&[byte], &mut text).expect("two digits fit");
            assert_eq!(decode(text.as_bytes()), Some([byte]));
        }
    }

    #[test]
    fn refuses_upper_case_odd_and_foreign_digits() {
        for text in ["0A", "0", "0g", "000", " 0", "0x"] {
            assert_eq!(decode::<1>(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn refuses_an_output_of_another_length() {
        assert_eq!(encode(&[1, 2], &mut [0; 5]), None);
        assert!(!decode_into(b"0102", &mut [0; 3]));
    }
}
