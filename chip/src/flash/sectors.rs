//! The cells of a flash part, shared sector by sector between copies until one of them is written.

use super::{ERASED, FlashError};
use cotter_formats::addr::{FlashAddr, SECTOR};
use std::ops::Range;
use std::sync::Arc;

/// One sector.
pub(super) type Cells = [u8; LEN];

/// Bytes in a sector.
pub(super) const LEN: usize = SECTOR as usize;

/// Whole sectors. A clone costs a pointer for each.
#[derive(Clone, Debug)]
pub(super) struct Sectors(Vec<Arc<Cells>>);

impl Sectors {
    /// So many erased sectors.
    pub(super) fn erased(count: usize) -> Self {
        let blank = Arc::new([ERASED; LEN]);
        Self(std::iter::repeat_n(blank, count).collect())
    }

    /// Whole sectors of content.
    pub(super) fn of(content: &[u8]) -> Self {
        let blank = Arc::new([ERASED; LEN]);
        let (sectors, _) = content.as_chunks::<LEN>();
        let share = |sector: &Cells| if *sector == *blank { blank.clone() } else { Arc::new(*sector) };
        Self(sectors.iter().map(share).collect())
    }

    /// Bytes in all of them.
    pub(super) const fn len(&self) -> usize {
        self.0.len() * LEN
    }

    /// Everything.
    pub(super) fn content(&self) -> Vec<u8> {
        let mut content = Vec::with_capacity(self.len());
        self.0.iter().for_each(|sector| content.extend_from_slice(&**sector));
        content
    }

    /// True if all bytes are the same.
    pub(super) fn holds(&self, other: &Self) -> bool {
        let same = |(a, b): (&Arc<Cells>, &Arc<Cells>)| Arc::ptr_eq(a, b) || a == b;
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(same)
    }

    /// The range of so many bytes from an address.
    pub(super) fn bounds(&self, addr: FlashAddr, len: usize) -> Result<Range<usize>, FlashError> {
        let start = addr.0 as usize;
        let end = start.checked_add(len).filter(|end| *end <= self.len());
        end.map(|end| start..end).ok_or(FlashError::OutOfBounds { addr, len, capacity: self.len() })
    }

    /// Copies bytes out; `range` lies inside.
    pub(super) fn read(&self, range: Range<usize>, out: &mut [u8]) {
        let mut at = range.start;
        let mut rest = out;
        while !rest.is_empty() {
            let (sector, offset) = (at / LEN, at % LEN);
            let (piece, after) = rest.split_at_mut(rest.len().min(LEN - offset));
            piece.copy_from_slice(&self.0[sector][offset..offset + piece.len()]);
            at += piece.len();
            rest = after;
        }
    }

    /// Replaces bytes; `at` and what follows lie inside.
    pub(super) fn replace(&mut self, mut at: usize, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(LEN - at % LEN));
            self.cells(at, piece.len()).copy_from_slice(piece);
            at += piece.len();
            rest = after;
        }
    }

    /// Cells of one sector, to be written.
    pub(super) fn cells(&mut self, at: usize, len: usize) -> &mut [u8] {
        &mut Arc::make_mut(&mut self.0[at / LEN])[at % LEN..at % LEN + len]
    }

    /// Sets all cells of the sector at this place, which is kept as `blank` by all that are erased.
    pub(super) fn blank(&mut self, at: usize, blank: &Arc<Cells>) {
        self.0[at / LEN] = blank.clone();
    }
}
