//! What an array is made of: which registers, how many samples of each.

use super::{BlobError, MAX_VALUES};

/// How many registers an EcoWatt device has, numbered from 0.
pub const MAX_REGISTERS: usize = 10;

/// Samples x registers, sample by sample: 1 to 255 values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    registers: heapless::Vec<u8, MAX_REGISTERS>,
    samples: u8,
}

impl Layout {
    /// `registers`: of one sample, in order, none twice.
    ///
    /// # Errors
    /// [`BlobError::Shape`], [`BlobError::Register`] or [`BlobError::DuplicateRegister`].
    pub fn new(registers: &[u8], samples: usize) -> Result<Self, BlobError> {
        let shape = BlobError::Shape { registers: registers.len(), samples };
        let count = registers.len().checked_mul(samples).filter(|count| (1..=MAX_VALUES).contains(count));
        let (Some(_), Ok(samples)) = (count, u8::try_from(samples)) else { return Err(shape) };
        let mut layout = Self { registers: heapless::Vec::new(), samples };
        for register in registers {
            if usize::from(*register) >= MAX_REGISTERS {
                return Err(BlobError::Register(*register));
            }
            if layout.registers.contains(register) {
                return Err(BlobError::DuplicateRegister(*register));
            }
            layout.registers.push(*register).map_err(|_| shape)?;
        }
        Ok(layout)
    }

    /// The registers of one sample.
    #[must_use]
    pub fn registers(&self) -> &[u8] {
        &self.registers
    }

    /// How many samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        usize::from(self.samples)
    }

    /// How many values: 1 to 255.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.registers.len() * self.samples()
    }

    /// The register of each value.
    pub fn each(&self) -> impl Iterator<Item = u8> {
        self.registers.iter().copied().cycle().take(self.len())
    }

    /// That of [`Self::len`] as the blobs carry it.
    pub(super) fn count_byte(&self) -> u8 {
        self.len().to_le_bytes()[0]
    }
}
