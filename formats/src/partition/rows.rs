//! A binary table row by row, with everything that is wrong: for tools that show or check a table, not for what boots.
//! [`super::PartitionTable::parse`] is the strict reader.

use super::{CAPACITY, ENTRY_LEN, Partition, PartitionError, TABLE_LEN};
use alloc::vec::Vec;
use md5::{Digest, Md5};

/// What was found in the bytes of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The entries that could be read, in the order of the table.
    pub partitions: Vec<Partition>,
    /// True if an MD5 row holds.
    pub checksummed: bool,
    /// Rows that could not be read, and what is missing.
    pub problems: Vec<RowProblem>,
}

impl Rows {
    /// Reads up to the end row. Of a sector with a signature behind the table, pass only the table.
    #[must_use]
    pub fn read(body: &[u8; TABLE_LEN]) -> Self {
        let mut found = Self { partitions: Vec::new(), checksummed: false, problems: Vec::new() };
        let mut seen_checksum = false;
        for (index, row) in body.as_chunks::<ENTRY_LEN>().0.iter().enumerate() {
            let at = index * ENTRY_LEN;
            if row == &[0xff; ENTRY_LEN] {
                if let Some(behind) = body[at..].iter().position(|&byte| byte != 0xff) {
                    found.problems.push(RowProblem::AfterEnd { at: at + behind });
                }
                return found;
            }
            match [row[0], row[1]] {
                _ if seen_checksum => found.problems.push(RowProblem::AfterChecksum { at }),
                [0xaa, 0x50] => match Partition::decode(row) {
                    Ok(partition) => found.partitions.push(partition),
                    Err(_) => found.problems.push(RowProblem::Name { at }),
                },
                [0xeb, 0xeb] => {
                    seen_checksum = true;
                    found.checksummed = row[2..16] == [0xff; 14] && row[16..] == Md5::digest(&body[..at])[..];
                    if !found.checksummed {
                        found.problems.push(RowProblem::Checksum { at });
                    }
                }
                magic => found.problems.push(RowProblem::Magic { at, found: u16::from_le_bytes(magic) }),
            }
        }
        found.problems.push(RowProblem::NoEnd);
        found
    }

    /// The bytes of these partitions, whatever rules they break, with or without the MD5 row.
    ///
    /// # Errors
    /// [`PartitionError::TooMany`] for more than 94 partitions with the row and 95 without.
    pub fn write(partitions: &[Partition], checksum: bool) -> Result<[u8; TABLE_LEN], PartitionError> {
        if partitions.len() + usize::from(checksum) > CAPACITY {
            return Err(PartitionError::TooMany);
        }
        let mut out = [0xff; TABLE_LEN];
        for (row, partition) in out.as_chunks_mut::<ENTRY_LEN>().0.iter_mut().zip(partitions) {
            *row = partition.encode();
        }
        if checksum {
            let at = partitions.len() * ENTRY_LEN;
            let digest = Md5::digest(&out[..at]);
            out[at..at + 2].fill(0xeb);
            out[at + 16..at + 32].copy_from_slice(&digest);
        }
        Ok(out)
    }
}

/// Something in the bytes that is not a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum RowProblem {
    #[error(
        "row at {at:#x} begins with {found:#06x}, expected an entry (0x50aa), the MD5 (0xebeb) or the end (0xffff)"
    )]
    Magic { at: usize, found: u16 },
    #[error("row at {at:#x}: the name is empty, not UTF-8, or goes on after its NUL")]
    Name { at: usize },
    #[error("the MD5 at {at:#x} does not match the entries: the bootloader refuses the table; build it again")]
    Checksum { at: usize },
    #[error("row at {at:#x} follows the MD5, which must be the last row")]
    AfterChecksum { at: usize },
    #[error("byte at {at:#x} follows the end row; nothing reads it")]
    AfterEnd { at: usize },
    #[error("no end row (32 bytes of 0xff) within {TABLE_LEN:#x} bytes")]
    NoEnd,
}

impl RowProblem {
    /// A short stable name, for machines.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Magic { .. } => "row-magic",
            Self::Name { .. } => "row-name",
            Self::Checksum { .. } => "row-checksum",
            Self::AfterChecksum { .. } => "row-after-checksum",
            Self::AfterEnd { .. } => "row-after-end",
            Self::NoEnd => "no-end",
        }
    }
}

/// True if the bytes begin as a binary table does. No text begins so.
#[must_use]
pub fn is_binary(bytes: &[u8]) -> bool {
    matches!(bytes, [0xaa, 0x50, ..] | [0xeb, 0xeb, ..] | [0xff, 0xff, ..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::PartitionTable;

    const GOLDEN: &[u8; TABLE_LEN] = include_bytes!("../../../vectors/partition/two_ota_sec.bin");
    const BARE: &[u8; TABLE_LEN] = include_bytes!("../../../vectors/partition/two_ota_sec-nomd5.bin");

    #[test]
    fn reads_and_writes_what_the_generator_wrote() {
        for (golden, checksum) in [(GOLDEN, true), (BARE, false)] {
            let rows = Rows::read(golden);
            assert_eq!((rows.checksummed, rows.problems.as_slice()), (checksum, &[][..]));
            assert_eq!(&Rows::write(&rows.partitions, checksum).unwrap(), golden);
        }
    }

    #[test]
    fn every_flipped_bit_is_a_problem_or_refused_by_the_strict_reader() {
        for bit in 0..8 * TABLE_LEN {
            let mut flipped = *GOLDEN;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!Rows::read(&flipped).problems.is_empty(), "bit {bit}");
            assert!(PartitionTable::parse(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn goes_on_after_a_bad_row() {
        let mut table = *GOLDEN;
        table[32] = 0;
        table[64 + 12] = 0;
        let rows = Rows::read(&table);
        assert_eq!(rows.partitions.len(), 7);
        let expected = [
            RowProblem::Magic { at: 32, found: 0x5000 },
            RowProblem::Name { at: 64 },
            RowProblem::Checksum { at: 9 * 32 },
        ];
        assert_eq!(rows.problems, expected);
    }

    #[test]
    fn holds_94_entries_with_the_md5_and_95_without() {
        let one = Rows::read(GOLDEN).partitions[0];
        let many = alloc::vec![one; 96];
        assert_eq!(Rows::write(&many[..95], true), Err(PartitionError::TooMany));
        assert_eq!(Rows::write(&many, false), Err(PartitionError::TooMany));
        for (count, checksum) in [(94, true), (95, false)] {
            let rows = Rows::read(&Rows::write(&many[..count], checksum).unwrap());
            assert_eq!((rows.partitions.len(), rows.problems.as_slice()), (count, &[][..]));
        }
    }
}
