//! `d0` | count u8 | patterns u8 | patterns x f32 little-endian | indices, least significant bit first, last byte filled with zeros.
//!
//! The patterns are the distinct values in the order of their first use. An index takes as many bits as the *number* of
//! patterns does (not the largest index), so four patterns take three bits.

use super::{Blob, BlobError, Layout, MAX_VALUES, Quality, Values, bit_length, count, push};
use cotter_formats::read::Reader;

pub(super) const MARKER: u8 = 0xd0;

type Patterns = heapless::Vec<u16, MAX_VALUES>;

/// Whether the device writes this format at all: only if it is smaller than two bytes per value.
pub(super) fn pays(values: &[u16]) -> bool {
    len(patterns(values).len(), values.len()) < 2 * values.len()
}

pub(super) fn encode(values: &[u16], blob: &mut Blob<'_>) -> Result<(), BlobError> {
    let patterns = patterns(values);
    blob.extend(&[MARKER, values.len().to_le_bytes()[0], patterns.len().to_le_bytes()[0]])?;
    for pattern in &patterns {
        blob.extend(&f32::from(*pattern).to_le_bytes())?;
    }
    let width = index_width(patterns.len());
    let (mut waiting, mut bits) = (0usize, 0);
    for value in values {
        waiting |= patterns.iter().position(|pattern| pattern == value).unwrap_or_default() << bits;
        bits += width;
        while bits >= 8 {
            blob.push(waiting.to_le_bytes()[0])?;
            waiting >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 { blob.push(waiting.to_le_bytes()[0]) } else { Ok(()) }
}

pub(super) fn decode(reader: &mut Reader<'_>, layout: &Layout) -> Result<Values, BlobError> {
    count(reader, layout)?;
    let at = reader.offset();
    let patterns = usize::from(reader.u8()?);
    if len(patterns, layout.len()) >= 2 * layout.len() {
        return Err(BlobError::NotShortest { at });
    }
    let mut known = Patterns::new();
    for number in 0..patterns {
        let pattern = register_value(f32::from_le_bytes(reader.array()?)).ok_or(BlobError::Pattern(number))?;
        if known.contains(&pattern) {
            return Err(BlobError::Pattern(number));
        }
        known.push(pattern).map_err(|_| BlobError::Pattern(number))?;
    }
    let width = index_width(patterns);
    let mut bytes = reader.take((layout.len() * width).div_ceil(8))?.iter();
    let (mut waiting, mut bits, mut used) = (0usize, 0, 0);
    let mut values = Values::new();
    for at in 0..layout.len() {
        while bits < width {
            waiting |= usize::from(*bytes.next().ok_or(BlobError::Padding)?) << bits;
            bits += 8;
        }
        let index = waiting & ((1 << width) - 1);
        waiting >>= width;
        bits -= width;
        let pattern = *known.get(index).ok_or(BlobError::Index { at, index, patterns })?;
        // Each pattern is used, and first used after the one before it.
        match index {
            index if index == used => used += 1,
            index if index > used => return Err(BlobError::Pattern(used)),
            _ => {}
        }
        push(&mut values, pattern, Quality::Exact)?;
    }
    if used < patterns {
        return Err(BlobError::Pattern(used));
    }
    if waiting == 0 { Ok(values) } else { Err(BlobError::Padding) }
}

fn patterns(values: &[u16]) -> Patterns {
    let mut patterns = Patterns::new();
    for value in values {
        if !patterns.contains(value) {
            // No more than 255 values, so they fit.
            let _ = patterns.push(*value);
        }
    }
    patterns
}

fn index_width(patterns: usize) -> usize {
    u16::try_from(patterns).map_or(16, bit_length)
}

fn len(patterns: usize, values: usize) -> usize {
    3 + 4 * patterns + (values * index_width(patterns)).div_ceil(8)
}

/// The one spelling of a whole number up to 65535; not of -0, which compares equal to 0.
fn register_value(pattern: f32) -> Option<u16> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is compared")]
    let value = pattern as u16;
    (f32::from(value).to_bits() == pattern.to_bits()).then_some(value)
}
