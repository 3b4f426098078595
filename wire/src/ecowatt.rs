//! What EcoWatt devices send. Their blobs are arrays of register values, compressed in one of four formats.
//!
//! | marker | file | format | |
//! |---|---|---|---|
//! | `01` | `bit_packed` | values of 8 to 16 bits | exact |
//! | `d0` | `dictionary` | each distinct value once, then indices | exact |
//! | `70`, `71` | `temporal` | values, or how far a prediction was off | exact |
//! | `50` | `semantic` | runs of similar values per kind of register | lossy |
//! | | `upload` | the signed JSON that carries them | |
//!
//! Source: RPX2001/EcoWatt_TeamPowerPort at 00afa9c, `compression.cpp`: what the *device* writes, which the server of
//! that project does not always read. An array is samples x registers, sample by sample, and the metadata beside a blob
//! says which: a [`Layout`]. A decoder takes only what the device would have written for some array, so every count is
//! held against the layout, and what decodes encodes to the same bytes. There is no checksum: authenticate first.

mod bit_packed;
mod dictionary;
mod layout;
mod semantic;
mod temporal;
pub mod upload;

pub use layout::{Layout, MAX_REGISTERS};
pub use temporal::History;

use crate::canonical::OutputFull;
use cotter_formats::read::{ReadError, Reader};

/// Most values in an array: its count is one byte.
pub const MAX_VALUES: usize = 255;

/// Longest blob, in bytes: a semantic one of 255 values, no two alike.
pub const MAX_BLOB: usize = 1040;

/// A value as it came out of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// As read from the register, as far as it is known.
    pub raw: u16,
    /// How far that is.
    pub quality: Quality,
}

/// What a format has left of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// All of it.
    Exact,
    /// The true value is at most this far away: it was joined to a run.
    Within(u16),
    /// Only the low byte was sent, of a value that is at most this far from the true one. The device does that to
    /// currents and to the frequency, whatever they measure.
    LowByte(u16),
}

/// An array that was decoded, in the order of its [`Layout`].
pub type Values = heapless::Vec<Value, MAX_VALUES>;

/// How an array is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `d0`; the device writes `01` instead if that is not smaller than two bytes per value.
    Dictionary,
    /// `70` until eight arrays of one layout have gone by, then `71`.
    Temporal,
    /// `50`
    Semantic,
    /// `01`
    BitPacked,
}

impl Method {
    /// In the order in which the device tries them.
    pub const ALL: [Self; 4] = [Self::Dictionary, Self::Temporal, Self::Semantic, Self::BitPacked];
}

/// Reads a blob, and remembers its values for the one after it. Each blob of a device has to pass through here in the
/// order in which it was made: where one is missing, call [`History::forget`]. A blob that is refused is forgotten
/// about with everything before it.
///
/// # Errors
/// [`BlobError`].
pub fn decode(blob: &[u8], layout: &Layout, history: &mut History) -> Result<Values, BlobError> {
    let decoded = read(blob, layout, history);
    match &decoded {
        Ok(values) => history.record(layout, values),
        Err(_) => history.forget(),
    }
    decoded
}

fn read(blob: &[u8], layout: &Layout, history: &History) -> Result<Values, BlobError> {
    let mut reader = Reader::new(blob);
    let values = match reader.u8()? {
        bit_packed::MARKER => bit_packed::decode(&mut reader, layout)?,
        dictionary::MARKER => dictionary::decode(&mut reader, layout)?,
        temporal::BASE => temporal::decode_base(&mut reader, layout)?,
        temporal::DELTA => temporal::decode_delta(&mut reader, layout, history)?,
        semantic::MARKER => semantic::decode(&mut reader, layout)?,
        other => return Err(BlobError::Marker(other)),
    };
    reader.finish()?;
    Ok(values)
}

/// Writes `values` into the beginning of `out`; [`MAX_BLOB`] bytes are always enough. The history stays as it is.
///
/// # Errors
/// [`BlobError::Count`] if there are not as many values as `layout` says, [`BlobError::OutputFull`].
pub fn encode<'o>(
    method: Method,
    values: &[u16],
    layout: &Layout,
    history: &History,
    out: &'o mut [u8],
) -> Result<&'o [u8], BlobError> {
    if values.len() != layout.len() {
        return Err(BlobError::Count { expected: layout.len(), got: values.len() });
    }
    let mut blob = Blob { out, len: 0 };
    match method {
        Method::Dictionary if dictionary::pays(values) => dictionary::encode(values, &mut blob)?,
        Method::Dictionary | Method::BitPacked => bit_packed::encode(values, &mut blob)?,
        Method::Temporal => temporal::encode(values, layout, history, &mut blob)?,
        Method::Semantic => semantic::encode(values, layout, &mut blob)?,
    }
    let Blob { out, len } = blob;
    Ok(&out[..len])
}

/// As the device does it: the first of the smallest, and the values are remembered.
///
/// # Errors
/// As [`encode`]; the history then stays as it is.
pub fn encode_smallest<'o>(
    values: &[u16],
    layout: &Layout,
    history: &mut History,
    out: &'o mut [u8],
) -> Result<(Method, &'o [u8]), BlobError> {
    let (mut best, mut least) = (Method::Dictionary, usize::MAX);
    for method in Method::ALL {
        let len = encode(method, values, layout, history, out)?.len();
        if len < least {
            (best, least) = (method, len);
        }
    }
    let blob = encode(best, values, layout, history, out)?;
    history.record_exact(layout, values);
    Ok((best, blob))
}

/// A blob that is being written.
struct Blob<'o> {
    out: &'o mut [u8],
    len: usize,
}

impl Blob<'_> {
    fn push(&mut self, byte: u8) -> Result<(), BlobError> {
        *self.out.get_mut(self.len).ok_or(BlobError::OutputFull)? = byte;
        self.len += 1;
        Ok(())
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        bytes.iter().try_for_each(|byte| self.push(*byte))
    }
}

/// The count in a blob must be that of its layout.
fn count(reader: &mut Reader<'_>, layout: &Layout) -> Result<(), BlobError> {
    let got = usize::from(reader.u8()?);
    if got == layout.len() { Ok(()) } else { Err(BlobError::Count { expected: layout.len(), got }) }
}

fn push(values: &mut Values, raw: u16, quality: Quality) -> Result<(), BlobError> {
    values.push(Value { raw, quality }).map_err(|_| BlobError::Count { expected: MAX_VALUES, got: MAX_VALUES + 1 })
}

/// How many bits it takes to write `value`; 0 for 0.
fn bit_length(value: u16) -> usize {
    // At most 16.
    (u16::BITS - value.leading_zeros()) as usize
}

/// Why bytes are no blob of this layout, or values cannot become one. Offsets count from the marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// Too short or too long.
    #[error("blob: {0}")]
    Read(#[from] ReadError),
    /// No format of the device.
    #[error("blob: unknown format {0:#04x}")]
    Marker(u8),
    /// Another number of values than the layout says.
    #[error("blob: {got} values, expected {expected}")]
    Count {
        /// By the layout.
        expected: usize,
        /// By the blob.
        got: usize,
    },
    /// No array: without registers or samples, or with more than 255 values.
    #[error("blob: {registers} registers x {samples} samples are no array of 1 to 255 values")]
    Shape {
        /// How many registers.
        registers: usize,
        /// How many samples.
        samples: usize,
    },
    /// A register that the device does not have.
    #[error("blob: register {0}, the device has 0 to 9")]
    Register(u8),
    /// A register twice in one sample.
    #[error("blob: register {0} is there twice")]
    DuplicateRegister(u8),
    /// A width that the device never chooses for these values.
    #[error("blob: {got} bits per value, expected {expected}")]
    Width {
        /// For the largest value that was read.
        expected: usize,
        /// By the blob.
        got: usize,
    },
    /// Bits after the last value are not zero.
    #[error("blob: padding bits after the last value are not zero")]
    Padding,
    /// A dictionary entry that is no register value, or stands there twice, or out of order.
    #[error("blob: dictionary entry {0} is no register value, or not in the order of first use")]
    Pattern(usize),
    /// An index beyond the dictionary.
    #[error("blob: value {at} is entry {index} of a dictionary of {patterns}")]
    Index {
        /// Which value.
        at: usize,
        /// What it points to.
        index: usize,
        /// How many entries there are.
        patterns: usize,
    },
    /// The device would have written it shorter.
    #[error("blob: not the shortest spelling at offset {at:#x}")]
    NotShortest {
        /// Where.
        at: usize,
    },
    /// A base with the registers of another layout.
    #[error("blob: register {got} at value {at}, expected {expected}")]
    OtherRegister {
        /// Which value.
        at: usize,
        /// By the layout.
        expected: u8,
        /// By the blob.
        got: u8,
    },
    /// A difference to values that are not known: an array is missing, or was lossy, or had another layout.
    #[error("blob: a difference to values of register {register} that are not known")]
    BaseUnknown {
        /// Which register.
        register: u8,
    },
    /// Groups, their registers or positions are not those of the layout.
    #[error("blob: not the groups of the layout, at offset {at:#x}")]
    Group {
        /// Where.
        at: usize,
    },
    /// A run of no values, or of more than are left in its group.
    #[error("blob: a run of {got} values at offset {at:#x}, {left} are left")]
    Run {
        /// Where.
        at: usize,
        /// How many.
        got: usize,
        /// How many there may be.
        left: usize,
    },
    /// The caller's buffer is too small.
    #[error("blob: the output buffer is too small")]
    OutputFull,
}

impl From<OutputFull> for BlobError {
    fn from(OutputFull: OutputFull) -> Self {
        Self::OutputFull
    }
}

#[cfg(test)]
mod tests;
