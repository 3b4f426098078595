//! `50` | count u8 | groups u8 | per group: kind u8, n u8, n x position u8, then runs until n values are told.
//!
//! A run is a value (one byte or u16 little-endian, by kind) and a length u8: the value of its first register, and so
//! many registers of this kind that are no farther from it than the kind's tolerance. Kinds of 8 bits and less send the
//! low byte only, also of values that need two. Groups come in the order in which their kinds first appear.

use super::{Blob, BlobError, Layout, MAX_VALUES, Quality, Value, Values, count, push};
use cotter_formats::read::Reader;

pub(super) const MARKER: u8 = 0x50;

/// What a register measures, as far as this format cares.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    id: u8,
    tolerance: u16,
    one_byte: bool,
}

/// By register: 0 Vac1, 1 Iac1, 2 Fac1, 3 Vpv1, 4 Vpv2, 5 Ipv1, 6 Ipv2, 7 temperature, 8 power limit, 9 Pac.
fn kind(register: u8) -> Kind {
    let (id, tolerance, one_byte) = match register {
        0 => (1, 10, false),
        1 => (2, 5, true),
        2 => (3, 1, true),
        3 | 4 => (4, 15, false),
        5 | 6 => (5, 3, true),
        7 => (6, 5, false),
        _ => (7, 50, false),
    };
    Kind { id, tolerance, one_byte }
}

type Positions = heapless::Vec<u8, MAX_VALUES>;

/// The groups of a layout: kind by kind, in the order in which the kinds first appear.
fn groups(layout: &Layout) -> impl Iterator<Item = (Kind, Positions)> {
    let first_of_kind = |at: usize| {
        let kinds = || layout.registers().iter().map(|register| kind(*register).id);
        kinds().nth(at).is_some_and(|id| kinds().position(|other| other == id) == Some(at))
    };
    (0..layout.registers().len()).filter(move |at| first_of_kind(*at)).filter_map(|at| {
        let kind_of_group = kind(*layout.registers().get(at)?);
        let of_this_kind = layout.each().zip(0u8..).filter(|(register, _)| kind(*register) == kind_of_group);
        Some((kind_of_group, of_this_kind.map(|(_, position)| position).collect()))
    })
}

pub(super) fn encode(values: &[u16], layout: &Layout, blob: &mut Blob<'_>) -> Result<(), BlobError> {
    blob.extend(&[MARKER, layout.count_byte(), groups(layout).count().to_le_bytes()[0]])?;
    for (kind, positions) in groups(layout) {
        blob.extend(&[kind.id, positions.len().to_le_bytes()[0]])?;
        blob.extend(&positions)?;
        let mut rest = positions.iter().filter_map(|position| values.get(usize::from(*position))).copied().peekable();
        while let Some(value) = rest.next() {
            let mut run = 1u8;
            while rest.next_if(|next| next.abs_diff(value) <= kind.tolerance).is_some() {
                run += 1;
            }
            let [low, high] = value.to_le_bytes();
            blob.push(low)?;
            if !kind.one_byte {
                blob.push(high)?;
            }
            blob.push(run)?;
        }
    }
    Ok(())
}

pub(super) fn decode(reader: &mut Reader<'_>, layout: &Layout) -> Result<Values, BlobError> {
    count(reader, layout)?;
    let mut values = Values::new();
    for _ in 0..layout.len() {
        push(&mut values, 0, Quality::Exact)?;
    }
    let expect = |reader: &mut Reader<'_>, expected: usize| {
        let at = reader.offset();
        if usize::from(reader.u8()?) == expected { Ok(()) } else { Err(BlobError::Group { at }) }
    };
    expect(reader, groups(layout).count())?;
    for (kind, positions) in groups(layout) {
        expect(reader, kind.id.into())?;
        expect(reader, positions.len())?;
        for position in &positions {
            expect(reader, (*position).into())?;
        }
        runs(reader, kind, &positions, &mut values)?;
    }
    Ok(values)
}

fn runs(reader: &mut Reader<'_>, kind: Kind, positions: &[u8], values: &mut Values) -> Result<(), BlobError> {
    let mut left = positions;
    let mut previous: Option<u16> = None;
    while !left.is_empty() {
        let at = reader.offset();
        let raw = if kind.one_byte { reader.u8()?.into() } else { reader.u16_le()? };
        let got = usize::from(reader.u8()?);
        let (run, rest) = left.split_at_checked(got).filter(|(run, _)| !run.is_empty()).ok_or(BlobError::Run {
            at,
            got,
            left: left.len(),
        })?;
        // Of whole values it can be seen that the device would have made one run of these two.
        if !kind.one_byte && previous.is_some_and(|previous| raw.abs_diff(previous) <= kind.tolerance) {
            return Err(BlobError::NotShortest { at });
        }
        for (number, position) in run.iter().enumerate() {
            let tolerance = if number == 0 { 0 } else { kind.tolerance };
            let quality = match (kind.one_byte, number) {
                (true, _) => Quality::LowByte(tolerance),
                (false, 0) => Quality::Exact,
                (false, _) => Quality::Within(tolerance),
            };
            if let Some(value) = values.get_mut(usize::from(*position)) {
                *value = Value { raw, quality };
            }
        }
        (left, previous) = (rest, Some(raw));
    }
    Ok(())
}
