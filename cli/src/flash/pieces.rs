//! An input read piece by piece, so that memory does not grow with it.

use super::{Direction, Job};
use crate::file::File;
use crate::output::Help;
use anyhow::Context;
use std::io::Read;
use zeroize::Zeroizing;

/// An input in pieces of whole blocks; `--pad` fills the last.
pub(super) struct Pieces<'a> {
    job: &'a Job,
    input: &'a File,
    reader: Box<dyn Read>,
    buffer: Zeroizing<Vec<u8>>,
    /// Bytes given out.
    pub(super) length: u64,
    /// 0xFF bytes among them that are not in the input.
    pub(super) padding: usize,
    ended: bool,
}

impl<'a> Pieces<'a> {
    /// `first`: bytes that the first piece has unless the input ends before, a multiple of 16.
    /// A file that is empty or ends within a block is refused here, before anything is written.
    pub(super) fn open(job: &'a Job, input: &'a File, first: usize) -> anyhow::Result<Self> {
        let (reader, length) = input.open()?;
        if let Some(length) = length {
            anyhow::ensure!(length != 0, "{input} is empty");
            if !length.is_multiple_of(16) && !job.pad {
                return Err(not_whole_blocks(input, length, job.direction));
            }
        }
        let buffer = Zeroizing::new(vec![0; first.max(PIECE)]);
        Ok(Self { job, input, reader, buffer, length: 0, padding: 0, ended: false })
    }

    /// The next piece and where in the input it begins, `None` after the last.
    /// All pieces but the last end at a multiple of [`PIECE`] or of `first`.
    ///
    /// # Errors
    /// The input cannot be read, is empty, or ends within a block.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<(u64, &mut [u8])>> {
        if self.ended {
            return Ok(None);
        }
        let room = if self.length == 0 { self.buffer.as_mut_slice() } else { &mut self.buffer[..PIECE] };
        let read = fill(&mut self.reader, room).with_context(|| format!("cannot read {}", self.input))?;
        self.ended = read < room.len();
        let (start, blocks) = (self.length, read.next_multiple_of(16));
        anyhow::ensure!(start != 0 || read != 0, "{} is empty", self.input);
        if blocks != read {
            if !self.job.pad {
                return Err(not_whole_blocks(self.input, start + read as u64, self.job.direction));
            }
            room[read..blocks].fill(0xff);
            self.padding = blocks - read;
        }
        self.length += blocks as u64;
        Ok((blocks != 0).then_some((start, &mut self.buffer[..blocks])))
    }
}

/// Reads until the buffer is full or the input ends.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// An input whose length the hardware does not take.
fn not_whole_blocks(input: &File, length: u64, direction: Direction) -> anyhow::Error {
    let error = anyhow::anyhow!("{input} is {length} bytes, not a multiple of 16");
    error.context(Help(match direction {
        Direction::Encrypt => "say --pad to fill the last block with 0xFF",
        Direction::Decrypt => "ciphertext is whole 16-byte blocks: read the flash again",
    }))
}

/// What is read at once: sectors, and enough for several threads.
pub(super) const PIECE: usize = 1 << 20;
