//! `70` | count u8 | count x register u8 | count x value u16 little-endian, or
//! `71` | count u8 | per value how far the prediction was off:
//!
//! ```text
//! -63 to 63       1 byte   80, | 40 if negative, | magnitude
//! else to +-127   2 bytes  00, i8
//! else            3 bytes  01, i16 little-endian
//! ```
//!
//! A register's prediction is `2 * last - before`, or `last` if that is no u16: of its values at the end of the last
//! array and of the one before. Differences are modulo 2^16.
//!
//! The device keeps ten values per array. From an array of more than ten it loses count itself (it writes beyond its
//! own table), and never sends a difference after one: [`History`] forgets such arrays.

use super::{Blob, BlobError, Layout, MAX_REGISTERS, Quality, Value, Values, count, push};
use cotter_formats::read::{ReadError, Reader};

pub(super) const BASE: u8 = 0x70;
pub(super) const DELTA: u8 = 0x71;

/// What is known of the values that the next differences are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    last: [Option<u16>; MAX_REGISTERS],
    before: [Option<u16>; MAX_REGISTERS],
    layout: Option<Layout>,
    // How many arrays, up to ARRAYS: before that the device sends no differences.
    seen: u8,
}

impl History {
    /// Length of [`Self::to_bytes`].
    pub const LEN: usize = 3 + MAX_REGISTERS + 6 * MAX_REGISTERS;

    /// Before the first array.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: [None; MAX_REGISTERS], before: [None; MAX_REGISTERS], layout: None, seen: 0 }
    }

    /// An array is missing: nothing is known any more.
    pub fn forget(&mut self) {
        *self = Self::new();
    }

    /// For keeping it: number of arrays, samples, number of registers, registers; then per register the last value and
    /// the one before, each as known u8, value u16 little-endian. [`Self::LEN`] bytes, unused ones zero.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0] = self.seen;
        if let Some(layout) = &self.layout {
            bytes[1] = layout.samples().to_le_bytes()[0];
            bytes[2] = layout.registers().len().to_le_bytes()[0];
            bytes[3..3 + layout.registers().len()].copy_from_slice(layout.registers());
        }
        let values = self.last.iter().chain(&self.before);
        for (place, value) in bytes[3 + MAX_REGISTERS..].chunks_exact_mut(3).zip(values) {
            if let Some(value) = value {
                place[0] = 1;
                place[1..].copy_from_slice(&value.to_le_bytes());
            }
        }
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` for anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let read = || -> Result<Self, ReadError> {
            let mut reader = Reader::new(bytes);
            let mut history = Self::new();
            history.seen = reader.u8()?;
            let (samples, count) = (reader.u8()?, reader.u8()?);
            let registers = reader.array::<MAX_REGISTERS>()?;
            let registers = registers.get(..usize::from(count)).unwrap_or_default();
            history.layout = Layout::new(registers, samples.into()).ok();
            for value in history.last.iter_mut().chain(&mut history.before) {
                let (known, raw) = (reader.u8()?, reader.u16_le()?);
                *value = (known == 1).then_some(raw);
            }
            reader.finish()?;
            Ok(history)
        };
        read().ok().filter(|history| history.to_bytes() == bytes)
    }

    pub(super) fn record(&mut self, layout: &Layout, values: &[Value]) {
        let exact = |value: &Value| (value.quality == Quality::Exact).then_some(value.raw);
        self.remember(layout, values.iter().map(exact));
    }

    pub(super) fn record_exact(&mut self, layout: &Layout, values: &[u16]) {
        self.remember(layout, values.iter().copied().map(Some));
    }

    fn remember(&mut self, layout: &Layout, values: impl Iterator<Item = Option<u16>>) {
        if layout.len() > MAX_REGISTERS {
            return self.forget();
        }
        self.before = core::mem::replace(&mut self.last, [None; MAX_REGISTERS]);
        for (register, value) in layout.each().zip(values) {
            if let Some(place) = self.last.get_mut(usize::from(register)) {
                *place = value;
            }
        }
        self.layout = Some(layout.clone());
        self.seen = self.seen.saturating_add(1).min(ARRAYS);
    }

    /// # Errors
    /// [`BlobError::BaseUnknown`].
    fn predict(&self, register: u8) -> Result<u16, BlobError> {
        let at = usize::from(register);
        let known = |values: &[Option<u16>; MAX_REGISTERS]| values.get(at).copied().flatten();
        let (last, before) = known(&self.last).zip(known(&self.before)).ok_or(BlobError::BaseUnknown { register })?;
        Ok(u16::try_from(2 * i32::from(last) - i32::from(before)).unwrap_or(last))
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

pub(super) fn encode(values: &[u16], layout: &Layout, history: &History, blob: &mut Blob<'_>) -> Result<(), BlobError> {
    let count = layout.count_byte();
    // What is unknown cannot be a base, though the device might have one.
    let known = layout.registers().iter().all(|register| history.predict(*register).is_ok());
    if history.seen < ARRAYS || history.layout.as_ref() != Some(layout) || !known {
        blob.extend(&[BASE, count])?;
        layout.each().try_for_each(|register| blob.push(register))?;
        return values.iter().try_for_each(|value| blob.extend(&value.to_le_bytes()));
    }
    blob.extend(&[DELTA, count])?;
    for (register, value) in layout.each().zip(values) {
        let off = value.wrapping_sub(history.predict(register)?).cast_signed();
        match (off, i8::try_from(off)) {
            (-63..=63, Ok(off)) => blob.push(SHORT | if off < 0 { NEGATIVE } else { 0 } | off.unsigned_abs())?,
            (-127..=127, Ok(off)) => blob.extend(&[BYTE, off.cast_unsigned()])?,
            _ => {
                let [low, high] = off.to_le_bytes();
                blob.extend(&[WORD, low, high])?;
            }
        }
    }
    Ok(())
}

pub(super) fn decode_base(reader: &mut Reader<'_>, layout: &Layout) -> Result<Values, BlobError> {
    count(reader, layout)?;
    for (at, expected) in layout.each().enumerate() {
        let got = reader.u8()?;
        if got != expected {
            return Err(BlobError::OtherRegister { at, expected, got });
        }
    }
    let mut values = Values::new();
    for _ in 0..layout.len() {
        push(&mut values, reader.u16_le()?, Quality::Exact)?;
    }
    Ok(values)
}

pub(super) fn decode_delta(reader: &mut Reader<'_>, layout: &Layout, history: &History) -> Result<Values, BlobError> {
    count(reader, layout)?;
    let unknown = |register| BlobError::BaseUnknown { register };
    if history.layout.as_ref() != Some(layout) {
        return Err(unknown(layout.registers().first().copied().unwrap_or_default()));
    }
    let mut values = Values::new();
    for register in layout.each() {
        let (at, predicted) = (reader.offset(), history.predict(register)?);
        let head = reader.u8()?;
        let (off, shortest) = match head {
            BYTE => {
                let off = i16::from(reader.u8()?.cast_signed());
                (off, !(-63..=63).contains(&off) && off != -128)
            }
            WORD => {
                let off = reader.u16_le()?.cast_signed();
                (off, !(-127..=127).contains(&off))
            }
            SHORT.. => {
                let magnitude = i16::from(head & MAGNITUDE);
                let negative = head & NEGATIVE != 0;
                (if negative { -magnitude } else { magnitude }, !(negative && magnitude == 0))
            }
            _ => return Err(BlobError::NotShortest { at }),
        };
        if !shortest {
            return Err(BlobError::NotShortest { at });
        }
        push(&mut values, predicted.wrapping_add(off.cast_unsigned()), Quality::Exact)?;
    }
    Ok(values)
}

const BYTE: u8 = 0x00;
const WORD: u8 = 0x01;
const SHORT: u8 = 0x80;
const NEGATIVE: u8 = 0x40;
const MAGNITUDE: u8 = 0x3f;
/// After how many arrays the device has a history: its table has so many rows.
const ARRAYS: u8 = 8;
