//! A flash write that has begun: blocks come in, raw or as a zlib stream, and go to the part, plain or encrypted.

use super::command::Failure;
use crate::board::VirtualChip;
use cotter_formats::addr::{FlashAddr, FlashLen, SECTOR};
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

pub(super) struct FlashWrite {
    /// Where the next byte goes.
    next: u32,
    /// Where the last one must have gone.
    end: u32,
    /// Where what was announced ends; a raw write may fill up its last block beyond that.
    announced_end: u32,
    block_size: u32,
    /// The next block.
    sequence: u32,
    encryption: Encryption,
    inflate: Option<Box<InflateState>>,
    /// Bytes that do not fill a unit of encryption yet.
    partial: Vec<u8>,
}

/// What `FLASH_BEGIN` says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begin {
    /// Of the part; nothing goes beyond.
    pub(super) size: u32,
    pub(super) erase_len: u32,
    pub(super) blocks: u32,
    pub(super) block_size: u32,
    pub(super) offset: u32,
    pub(super) encryption: Encryption,
    pub(super) packing: Packing,
}

/// What the chip does to the data on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encryption {
    Plain,
    Encrypted,
}

/// How the data come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Raw,
    Deflated,
}

impl FlashWrite {
    /// Erases what will be written, whole sectors. Off-spec: the stub erases as it goes.
    pub(super) fn begin(board: &VirtualChip, begin: Begin) -> Result<Self, Failure> {
        let size = begin.size;
        let len = match begin.packing {
            Packing::Raw => begin.blocks.checked_mul(begin.block_size).ok_or(Failure::BadLength)?,
            Packing::Deflated => begin.erase_len,
        };
        let ends = [begin.erase_len, len].map(|len| begin.offset.checked_add(len).filter(|end| *end <= size));
        // The last block of a raw write is filled up, possibly past the end of the part.
        let [Some(erase_end), written_end] = ends else { return Err(Failure::Forbidden) };
        if begin.block_size > BLOCK_MAX {
            return Err(Failure::BadLength);
        }
        if begin.erase_len != 0 {
            let first = begin.offset / SECTOR * SECTOR;
            let len = FlashLen(erase_end.next_multiple_of(SECTOR).min(size) - first);
            board.raw_flash().erase_at(FlashAddr(first), len).map_err(Failure::of_write)?;
        }
        Ok(Self {
            next: begin.offset,
            end: written_end.unwrap_or(size),
            announced_end: erase_end,
            block_size: begin.block_size,
            sequence: 0,
            encryption: begin.encryption,
            inflate: (begin.packing == Packing::Deflated).then(|| InflateState::new_boxed(DataFormat::Zlib)),
            partial: Vec::new(),
        })
    }

    /// Blocks come in order; one that was just taken may come again, for its answer may have been lost.
    pub(super) fn block(&mut self, board: &VirtualChip, sequence: u32, content: &[u8]) -> Result<(), Failure> {
        if content.len() > self.block_size as usize {
            return Err(Failure::BadBlock);
        }
        if sequence != self.sequence {
            let is_repeated = sequence.checked_add(1) == Some(self.sequence);
            return if is_repeated { Ok(()) } else { Err(Failure::BadBlock) };
        }
        match self.inflate.take() {
            None => {
                // Filling beyond the part is no data.
                let room = (self.end - self.next) as usize - self.partial.len();
                let (content, beyond) = content.split_at(room.min(content.len()));
                if beyond.iter().any(|byte| *byte != 0xff) {
                    return Err(Failure::TooMuch);
                }
                self.store(board, content)?;
            }
            Some(mut state) => {
                self.inflate_block(board, &mut state, content)?;
                self.inflate = Some(state);
            }
        }
        self.sequence += 1;
        Ok(())
    }

    /// No more blocks come: fills up the last unit of encryption. True if less was written than announced.
    pub(super) fn finish(mut self, board: &VirtualChip) -> Result<bool, Failure> {
        if !self.partial.is_empty() {
            let filled = self.partial.len().next_multiple_of(UNIT);
            self.partial.resize(filled, 0xff);
            self.flush(board)?;
        }
        Ok(self.next < self.announced_end)
    }

    /// Marks what follows as to be encrypted, as `FLASH_ENCRYPT_DATA` of older stubs does.
    pub(super) const fn encrypt(&mut self) {
        self.encryption = Encryption::Encrypted;
    }

    fn inflate_block(&mut self, board: &VirtualChip, state: &mut InflateState, packed: &[u8]) -> Result<(), Failure> {
        let mut rest = packed;
        let mut unpacked = vec![0; 0x4000];
        loop {
            let step = inflate(state, rest, &mut unpacked, MZFlush::None);
            rest = rest.get(step.bytes_consumed..).unwrap_or_default();
            let content = unpacked.get(..step.bytes_written).unwrap_or_default();
            let room = (self.end - self.next) as usize - self.partial.len();
            if content.len() > room {
                return Err(Failure::TooMuch);
            }
            self.store(board, content)?;
            match step.status {
                // What follows the stream fills up the last block.
                Ok(MZStatus::StreamEnd) => return Ok(()),
                Ok(_) if step.bytes_consumed + step.bytes_written > 0 => {}
                // All taken, and nothing more to come of it.
                Ok(_) | Err(MZError::Buf) => return Ok(()),
                Err(_) => return Err(Failure::Inflate),
            }
        }
    }

    fn store(&mut self, board: &VirtualChip, content: &[u8]) -> Result<(), Failure> {
        if self.encryption == Encryption::Plain {
            board.raw_flash().program_at(FlashAddr(self.next), content).map_err(Failure::of_write)?;
            self.next += u32::try_from(content.len()).expect("a block is short");
            return Ok(());
        }
        self.partial.extend_from_slice(content);
        let whole = self.partial.len() / UNIT * UNIT;
        let rest = self.partial.split_off(whole);
        self.flush(board)?;
        self.partial = rest;
        Ok(())
    }

    fn flush(&mut self, board: &VirtualChip) -> Result<(), Failure> {
        let at = FlashAddr(self.next);
        let mut units = std::mem::take(&mut self.partial);
        crate::crypt::encrypt(board.efuses(), at, &mut units).map_err(|_| Failure::FlashWrite)?;
        board.raw_flash().program_at(at, &units).map_err(Failure::of_write)?;
        self.next += u32::try_from(units.len()).expect("a block is short");
        Ok(())
    }
}

/// The largest block: that of the stub.
const BLOCK_MAX: u32 = 0x4000;

/// What goes to the part at once when it is encrypted: the unit of the ESP32; later chips take half of it too.
const UNIT: usize = 32;
