//! `01` | bits u8 (8 to 16) | count u8 | values of so many bits, most significant first, the last byte filled with zeros.
//!
//! The width is that of the largest value, and at least 8.

use super::{Blob, BlobError, Layout, Quality, Values, bit_length, count, push};
use cotter_formats::read::Reader;

pub(super) const MARKER: u8 = 0x01;

pub(super) fn encode(values: &[u16], blob: &mut Blob<'_>) -> Result<(), BlobError> {
    let width = width(values.iter().copied());
    blob.extend(&[MARKER, width.to_le_bytes()[0], values.len().to_le_bytes()[0]])?;
    // Bits that wait for a whole byte: at most 7 and 16.
    let (mut waiting, mut bits) = (0u32, 0);
    for value in values {
        waiting = waiting << width | u32::from(*value);
        bits += width;
        while bits >= 8 {
            bits -= 8;
            blob.push((waiting >> bits).to_le_bytes()[0])?;
            waiting &= (1 << bits) - 1;
        }
    }
    if bits > 0 { blob.push((waiting << (8 - bits)).to_le_bytes()[0]) } else { Ok(()) }
}

pub(super) fn decode(reader: &mut Reader<'_>, layout: &Layout) -> Result<Values, BlobError> {
    let got = usize::from(reader.u8()?);
    if !(8..=16).contains(&got) {
        return Err(BlobError::Width { expected: 8, got });
    }
    count(reader, layout)?;
    let mut bytes = reader.take((layout.len() * got).div_ceil(8))?.iter();
    let (mut waiting, mut bits) = (0u32, 0);
    let mut values = Values::new();
    for _ in 0..layout.len() {
        while bits < got {
            // As many as were taken: the last value ends in the last byte.
            waiting = waiting << 8 | u32::from(*bytes.next().ok_or(BlobError::Padding)?);
            bits += 8;
        }
        bits -= got;
        let [low, high, ..] = (waiting >> bits).to_le_bytes();
        push(&mut values, u16::from_le_bytes([low, high]), Quality::Exact)?;
        waiting &= (1 << bits) - 1;
    }
    if waiting != 0 {
        return Err(BlobError::Padding);
    }
    let expected = width(values.iter().map(|value| value.raw));
    if got == expected { Ok(values) } else { Err(BlobError::Width { expected, got }) }
}

fn width(values: impl Iterator<Item = u16>) -> usize {
    bit_length(values.max().unwrap_or_default()).max(8)
}
