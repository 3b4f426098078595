//! The NOR flash part: programming only clears bits, erasing sets a 4 KiB sector to FF.
//!
//! Counted operations (see [`crate::fault`]): each page program (up to 256 bytes inside one page, as the part has them)
//! and each sector erase. A torn program leaves the bytes before a seeded point programmed, the byte at that point with
//! some of its bits cleared, and the rest untouched. A torn erase leaves each byte old, erased or in between.
//!
//! Copies share their sectors until one is written, and a part can keep a tape of its operations, so that a test can cut
//! the power at each of thousands of them.

mod sectors;

use crate::fault::{Extent, Fault, Noise, PowerLost};
use cotter_formats::addr::{FlashAddr, FlashLen, SECTOR};
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use sectors::{Cells, LEN, Sectors};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fs, io};

/// A shared handle on the part; it is also the raw view (what is really stored) for device code.
#[derive(Clone, Debug)]
pub struct Flash {
    part: Arc<Mutex<Part>>,
    fault: Fault,
}

/// The cells, and the tape if one is running.
#[derive(Debug)]
struct Part {
    sectors: Sectors,
    /// What every erased sector is.
    blank: Arc<Cells>,
    /// Each operation with its number on the supply.
    tape: Option<Vec<(u64, FlashOperation)>>,
}

/// One counted operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlashOperation {
    /// Up to 256 bytes into one page.
    Program {
        /// Where the first of them goes.
        at: FlashAddr,
        /// The bytes.
        page: Vec<u8>,
    },
    /// One sector.
    Erase {
        /// Its first byte.
        at: FlashAddr,
    },
}

/// Bytes in one page, the most that one program operation takes.
pub const PAGE: usize = 256;

const ERASED: u8 = 0xff;

impl Flash {
    /// An erased part of `size` bytes, a whole number of sectors.
    ///
    /// # Errors
    /// [`FlashFileError::Size`] if it is not.
    pub fn erased(size: FlashLen, fault: Fault) -> Result<Self, FlashFileError> {
        let len = size.0 as usize;
        if len == 0 || !len.is_multiple_of(LEN) {
            return Err(FlashFileError::Size { len });
        }
        Ok(Self::around(Sectors::erased(len / LEN), fault))
    }

    /// A part that already holds `content`, a whole number of sectors.
    ///
    /// # Errors
    /// [`FlashFileError::Size`] if it is not.
    pub fn with_content(content: Vec<u8>, fault: Fault) -> Result<Self, FlashFileError> {
        let len = content.len();
        if len == 0 || !len.is_multiple_of(LEN) || u32::try_from(len).is_err() {
            return Err(FlashFileError::Size { len });
        }
        Ok(Self::around(Sectors::of(&content), fault))
    }

    fn around(sectors: Sectors, fault: Fault) -> Self {
        let part = Part { sectors, blank: Arc::new([ERASED; LEN]), tape: None };
        Self { part: Arc::new(Mutex::new(part)), fault }
    }

    /// Another part with the same content on another supply. It costs a pointer for each sector.
    #[must_use]
    pub fn duplicate(&self, fault: Fault) -> Self {
        let (sectors, blank) = {
            let part = self.part();
            (part.sectors.clone(), part.blank.clone())
        };
        Self { part: Arc::new(Mutex::new(Part { sectors, blank, tape: None })), fault }
    }

    /// True if both parts hold the same bytes.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        let sectors = other.part().sectors.clone();
        self.part().sectors.holds(&sectors)
    }

    /// Keeps a tape of every operation from now on, whole or torn.
    pub fn start_tape(&self) {
        self.part().tape = Some(Vec::new());
    }

    /// Ends the tape.
    #[must_use]
    pub fn take_tape(&self) -> Vec<FlashOperation> {
        self.take_numbered_tape().into_iter().map(|(_, operation)| operation).collect()
    }

    /// Ends the tape; each operation comes with its number on the supply, see [`Fault::operations`].
    #[must_use]
    pub fn take_numbered_tape(&self) -> Vec<(u64, FlashOperation)> {
        self.part().tape.take().unwrap_or_default()
    }

    /// Does what is on a tape.
    ///
    /// # Errors
    /// As [`Self::program_at`] and [`Self::erase_at`].
    pub fn perform(&self, operation: &FlashOperation) -> Result<(), FlashError> {
        match operation {
            FlashOperation::Program { at, page } => self.program_at(*at, page),
            FlashOperation::Erase { at } => self.erase_at(*at, FlashLen(SECTOR)),
        }
    }

    /// A part with the content of a file.
    ///
    /// # Errors
    /// [`FlashFileError`] if the file cannot be read or is not a whole number of sectors.
    pub fn load(path: &Path, fault: Fault) -> Result<Self, FlashFileError> {
        let content = fs::read(path).map_err(|source| FlashFileError::Io { path: path.into(), source })?;
        Self::with_content(content, fault)
    }

    /// Writes the whole content to a file, which is either the old one or the new one if this is interrupted.
    ///
    /// # Errors
    /// [`FlashFileError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), FlashFileError> {
        let content = self.content();
        replace_file(path, &content).map_err(|source| FlashFileError::Io { path: path.into(), source })
    }

    /// Everything that is stored, as a probe on the pins reads it: works without power, counts nothing.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        self.part().sectors.content()
    }

    /// A program clip on the pins, with the chip out of the circuit: replaces bytes at will, counts nothing.
    ///
    /// # Errors
    /// [`FlashError::OutOfBounds`].
    pub fn overwrite_externally(&self, addr: FlashAddr, bytes: &[u8]) -> Result<(), FlashError> {
        let mut part = self.part();
        let range = part.sectors.bounds(addr, bytes.len())?;
        part.sectors.replace(range.start, bytes);
        Ok(())
    }

    /// Size of the part.
    #[must_use]
    pub fn size(&self) -> FlashLen {
        FlashLen(u32::try_from(self.part().sectors.len()).expect("checked when it was made"))
    }

    /// The supply that this part hangs on.
    #[must_use]
    pub const fn fault(&self) -> &Fault {
        &self.fault
    }

    /// Reads any bytes.
    ///
    /// # Errors
    /// [`FlashError::PowerLost`], [`FlashError::OutOfBounds`].
    pub fn read_at(&self, addr: FlashAddr, out: &mut [u8]) -> Result<(), FlashError> {
        self.fault.check()?;
        let part = self.part();
        let range = part.sectors.bounds(addr, out.len())?;
        part.sectors.read(range, out);
        Ok(())
    }

    /// Programs any bytes, page by page: a bit can only go from 1 to 0, and asking for more has no effect.
    ///
    /// # Errors
    /// [`FlashError::PowerLost`], [`FlashError::OutOfBounds`].
    pub fn program_at(&self, addr: FlashAddr, bytes: &[u8]) -> Result<(), FlashError> {
        let mut part = self.part();
        let mut range = part.sectors.bounds(addr, bytes.len())?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = PAGE - range.start % PAGE;
            let (page, after) = rest.split_at(room.min(rest.len()));
            let Part { sectors, tape, .. } = &mut *part;
            if let Some(tape) = tape {
                let operation = FlashOperation::Program { at: address(range.start), page: page.to_vec() };
                tape.push((self.fault.operations(), operation));
            }
            let at = range.start;
            self.fault.operation(|extent| program(sectors.cells(at, page.len()), page, extent))?;
            range.start += page.len();
            rest = after;
        }
        Ok(())
    }

    /// Erases whole sectors, one by one.
    ///
    /// # Errors
    /// [`FlashError::PowerLost`], [`FlashError::OutOfBounds`], [`FlashError::NotAligned`].
    pub fn erase_at(&self, addr: FlashAddr, len: FlashLen) -> Result<(), FlashError> {
        if !addr.is_aligned(SECTOR) || !len.0.is_multiple_of(SECTOR) {
            return Err(FlashError::NotAligned { addr, len: len.0 as usize, unit: SECTOR as usize });
        }
        let mut part = self.part();
        let range = part.sectors.bounds(addr, len.0 as usize)?;
        for at in range.step_by(LEN) {
            let Part { sectors, blank, tape } = &mut *part;
            if let Some(tape) = tape {
                tape.push((self.fault.operations(), FlashOperation::Erase { at: address(at) }));
            }
            self.fault.operation(|extent| match extent {
                Extent::Whole => sectors.blank(at, blank),
                Extent::Torn(mut noise) => {
                    sectors.cells(at, LEN).iter_mut().for_each(|cell| *cell |= half_erased(&mut noise));
                }
            })?;
        }
        Ok(())
    }

    fn part(&self) -> MutexGuard<'_, Part> {
        self.part.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address of a byte of the part.
fn address(at: usize) -> FlashAddr {
    FlashAddr(u32::try_from(at).expect("no part is larger"))
}

impl ErrorType for Flash {
    type Error = FlashError;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        aligned(offset, bytes.len(), Self::READ_SIZE)?;
        self.read_at(FlashAddr(offset), bytes)
    }

    fn capacity(&self) -> usize {
        self.part().sectors.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        self.erase_at(FlashAddr(from), span(from, to)?)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        aligned(offset, bytes.len(), Self::WRITE_SIZE)?;
        self.program_at(FlashAddr(offset), bytes)
    }
}

/// Why a flash operation did not happen (or happened in part, if the power went).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlashError {
    /// The supply was cut.
    #[error("flash: power lost")]
    PowerLost,
    /// Past the end of the part.
    #[error("flash: {len} bytes at {addr} do not fit into {capacity:#x}")]
    OutOfBounds {
        /// First byte.
        addr: FlashAddr,
        /// How many.
        len: usize,
        /// Size of the part.
        capacity: usize,
    },
    /// Not a multiple of what this view can do.
    #[error("flash: {len} bytes at {addr} are not aligned to {unit}")]
    NotAligned {
        /// First byte.
        addr: FlashAddr,
        /// How many.
        len: usize,
        /// The unit.
        unit: usize,
    },
}

impl From<PowerLost> for FlashError {
    fn from(PowerLost: PowerLost) -> Self {
        Self::PowerLost
    }
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::PowerLost => NorFlashErrorKind::Other,
            Self::OutOfBounds { .. } => NorFlashErrorKind::OutOfBounds,
            Self::NotAligned { .. } => NorFlashErrorKind::NotAligned,
        }
    }
}

/// Why a flash content is not one, or its file is out of reach.
#[derive(Debug, thiserror::Error)]
pub enum FlashFileError {
    /// Not a whole number of sectors, or none, or 4 GiB and more.
    #[error("flash content of {len} bytes is not a whole number of {SECTOR}-byte sectors")]
    Size {
        /// Its length.
        len: usize,
    },
    /// The file.
    #[error("flash file {}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Refuses what is no multiple of `unit`; for the views, which have one.
pub(crate) const fn aligned(offset: u32, len: usize, unit: usize) -> Result<(), FlashError> {
    if (offset as usize).is_multiple_of(unit) && len.is_multiple_of(unit) {
        Ok(())
    } else {
        Err(FlashError::NotAligned { addr: FlashAddr(offset), len, unit })
    }
}

/// The length from `from` to `to`, which is not before it.
pub(crate) fn span(from: u32, to: u32) -> Result<FlashLen, FlashError> {
    to.checked_sub(from).map(FlashLen).ok_or(FlashError::OutOfBounds { addr: FlashAddr(from), len: 0, capacity: 0 })
}

/// Replaces a file in one step: a temporary neighbour is written whole, then renamed over it.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    fs::rename(stage_file(path, content)?, path)
}

/// The first half of [`replace_file`]: writes the neighbour whole, and returns its name.
pub(crate) fn stage_file(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    let neighbour = staged_name(path).ok_or(io::ErrorKind::InvalidInput)?;
    // For its owner only: flash and cells may hold keys.
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&neighbour)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(neighbour)
}

/// The temporary neighbour of a file.
pub(crate) fn staged_name(path: &Path) -> Option<PathBuf> {
    let mut name = path.file_name()?.to_os_string();
    name.push(".new");
    Some(path.with_file_name(name))
}

fn program(cells: &mut [u8], bytes: &[u8], extent: Extent) {
    let (whole, mut noise) = match extent {
        Extent::Whole => (bytes.len(), None),
        Extent::Torn(mut noise) => (noise.below(bytes.len()), Some(noise)),
    };
    for (cell, byte) in cells.iter_mut().zip(bytes).take(whole) {
        *cell &= byte;
    }
    if let Some(noise) = &mut noise {
        cells[whole] &= bytes[whole] | noise.byte();
    }
}

fn half_erased(noise: &mut Noise) -> u8 {
    match noise.below(4) {
        0 | 1 => 0,
        2 => ERASED,
        _ => noise.byte(),
    }
}

#[cfg(test)]
mod tests;
