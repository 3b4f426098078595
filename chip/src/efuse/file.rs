//! The eFuses of a virtual chip in two files: what software can read, as espefuse keeps it, and all the cells.

use super::{Efuses, Silicon};
use crate::fault::Fault;
use crate::flash::{replace_file, stage_file, staged_name};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{EfuseBlock, EfuseImage, EfuseImageError};
use std::path::{Path, PathBuf};
use std::{fs, io};
use zeroize::Zeroizing;

/// The readable registers, in the format of `espefuse --virt --path-efuse-file`.
pub const REGISTERS_FILE: &str = "efuse.bin";

/// The [`cells_file`] of that: 44 bytes for each block, 32 data and 12 check bytes where it is RS-coded. It holds the
/// hidden keys, which the other file has lost.
pub const CELLS_FILE: &str = "efuse-cells.bin";

impl Efuses {
    /// Writes both files into a directory, as a board that is switched off: espefuse's own file keeps the check bytes
    /// of the last key it burned, 96 bits of a hidden key; a reset forgets them, and so does this.
    ///
    /// # Errors
    /// [`EfuseFileError::Io`].
    pub fn save(&self, directory: &Path) -> Result<(), EfuseFileError> {
        self.save_as(&directory.join(REGISTERS_FILE))
    }

    /// As [`Self::save`], into a file of that name and its [`cells_file`]. If this is interrupted, they load as what
    /// they were, or as what they should have become: the cells are written beside their file, then the registers are
    /// replaced, then the cells.
    ///
    /// # Errors
    /// [`EfuseFileError::Io`].
    pub fn save_as(&self, path: &Path) -> Result<(), EfuseFileError> {
        let (registers, cells) = {
            let mut silicon = self.silicon();
            silicon.reset_controller();
            (silicon.image().to_virtual_file(), silicon.cells())
        };
        let cells_path = cells_file(path);
        let io = |source| EfuseFileError::Io { path: cells_path.clone(), source };
        let staged = stage_file(&cells_path, &cells).map_err(io)?;
        write(path, &registers)?;
        fs::rename(staged, &cells_path).map_err(io)
    }

    /// Reads both files, and burns what espefuse has burned into the first since they were written.
    ///
    /// # Errors
    /// [`EfuseFileError`]; [`EfuseFileError::Unburned`] if a bit of the cells is missing from the registers.
    pub fn load(chip: Chip, directory: &Path, fault: Fault) -> Result<Self, EfuseFileError> {
        let path = directory.join(REGISTERS_FILE);
        Self::load_both(chip, &path, &cells_file(&path), fault)
    }

    /// As [`Self::load`], from a file of that name and its [`cells_file`]. A file without one is espefuse's own: what
    /// is hidden in it is lost.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_from(chip: Chip, path: &Path, fault: Fault) -> Result<Self, EfuseFileError> {
        let cells = cells_file(path);
        if cells.exists() {
            return Self::load_both(chip, path, &cells, fault);
        }
        Ok(Self::from_image(&EfuseImage::from_virtual_file(chip, &read(path)?)?, fault))
    }

    fn load_both(chip: Chip, path: &Path, cells: &Path, fault: Fault) -> Result<Self, EfuseFileError> {
        let registers = EfuseImage::from_virtual_file(chip, &read(path)?)?;
        let path = cells.to_path_buf();
        let cells = read(&path)?;
        let efuses = Self::from_image(&EfuseImage::blank(chip), fault);
        {
            let mut silicon = efuses.silicon();
            let (expected, got) = (silicon.cells_len(), cells.len());
            if got != expected {
                return Err(EfuseFileError::CellsLength { path, expected, got });
            }
            silicon.set_cells(&cells);
            // A save that was interrupted: its cells are those of this chip with nothing taken back.
            let staged = staged_name(&path).and_then(|staged| fs::read(staged).ok()).map(Zeroizing::new);
            let grown = |staged: &Zeroizing<Vec<u8>>| {
                staged.len() == expected && cells.iter().zip(staged.iter()).all(|(cell, staged)| cell & !staged == 0)
            };
            match staged.filter(grown) {
                Some(staged) => {
                    silicon.set_cells(&staged);
                    silicon.merge_new_registers(&registers);
                }
                None => silicon.merge_registers(&registers)?,
            }
        }
        Ok(efuses)
    }
}

impl Silicon {
    /// Burns what the registers have more than the cells.
    fn merge_new_registers(&mut self, registers: &EfuseImage) {
        for block in registers.map().block_numbers() {
            let burned = self.image();
            let (Some(before), Some(after)) = (burned.block(block), registers.block(block)) else { continue };
            if before.iter().zip(after).any(|(before, after)| after & !before != 0) {
                let word = self.code_word(block, after);
                self.merge(block, &word);
            }
        }
    }

    fn merge_registers(&mut self, registers: &EfuseImage) -> Result<(), EfuseFileError> {
        // Block 0 first: it says which blocks are zero in the file only because they are hidden.
        for block in registers.map().block_numbers() {
            let burned = self.image();
            let (Some(before), Some(after)) = (burned.block(block), registers.block(block)) else { continue };
            if before.iter().zip(after).any(|(before, after)| before & !after != 0) {
                return Err(EfuseFileError::Unburned { block });
            }
            if before != after {
                let word = self.code_word(block, after);
                self.merge(block, &word);
            }
        }
        Ok(())
    }
}

/// Why the eFuse files cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum EfuseFileError {
    /// The file system.
    #[error("eFuse file {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not espefuse's format.
    #[error(transparent)]
    Image(#[from] EfuseImageError),
    /// The cells file has another length.
    #[error("eFuse cells file {} has {got} bytes instead of {expected}", path.display())]
    CellsLength {
        /// Which file.
        path: PathBuf,
        /// What the blocks of the chip need.
        expected: usize,
        /// Its length.
        got: usize,
    },
    /// The registers lack a bit that is burned.
    #[error("eFuse file: {block} has lost bits that were burned; the two files are not of the same chip")]
    Unburned {
        /// Where.
        block: EfuseBlock,
    },
}

/// The file of the cells beside a file of the registers: `efuse-cells.bin` beside `efuse.bin`.
#[must_use]
pub fn cells_file(registers: &Path) -> PathBuf {
    let mut name = registers.file_stem().unwrap_or_default().to_os_string();
    name.push("-cells");
    if let Some(extension) = registers.extension() {
        name.push(".");
        name.push(extension);
    }
    registers.with_file_name(name)
}

fn read(path: &Path) -> Result<Vec<u8>, EfuseFileError> {
    fs::read(path).map_err(|source| EfuseFileError::Io { path: path.into(), source })
}

fn write(path: &Path, content: &[u8]) -> Result<(), EfuseFileError> {
    replace_file(path, content).map_err(|source| EfuseFileError::Io { path: path.into(), source })
}
