//! How a reading is compressed: not at all, or with Heatshrink (window 8 bits, lookahead 4), whichever is smaller.
//!
//! Heatshrink, because it needs neither allocation nor more than 2 KiB of memory on the device. Both directions are
//! bounded by [`MAX_READING`], so a packet that was forged with a stolen key still cannot inflate.

use heatshrink::{CodecError as HeatshrinkError, decoder, encoder};

/// Most bytes before compression and after decompression.
pub const MAX_READING: usize = 512;

/// One of the two codecs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// The bytes themselves.
    Identity = 0,
    /// LZSS: atomicobject/heatshrink 0.4.1, `-w 8 -l 4`.
    Heatshrink = 1,
}

/// Compresses `input` into `out`, which holds at least as many bytes, and says how.
///
/// # Errors
/// [`CodecError::InputTooLong`] beyond [`MAX_READING`], [`CodecError::OutputFull`] if `out` is shorter than `input`.
pub fn compress<'o>(input: &[u8], out: &'o mut [u8]) -> Result<(Codec, &'o [u8]), CodecError> {
    if input.len() > MAX_READING {
        return Err(CodecError::InputTooLong(input.len()));
    }
    let out = out.get_mut(..input.len()).ok_or(CodecError::OutputFull)?;
    // heatshrink-lib 1.0.0 loses the last bits without a word when they do not fit, so it gets room for the worst case.
    let mut scratch = [0; WORST_CASE];
    match encoder::encode(input, &mut scratch) {
        Ok(smaller) if smaller.len() < input.len() => {
            let out = &mut out[..smaller.len()];
            out.copy_from_slice(smaller);
            Ok((Codec::Heatshrink, out))
        }
        _ => {
            out.copy_from_slice(input);
            Ok((Codec::Identity, out))
        }
    }
}

/// Undoes [`compress`] into `out`; never yields more than [`MAX_READING`] bytes.
///
/// # Errors
/// [`CodecError::OutputTooLong`] beyond [`MAX_READING`], [`CodecError::OutputFull`] if `out` is too small.
pub fn decompress<'o>(codec: Codec, input: &[u8], out: &'o mut [u8]) -> Result<&'o [u8], CodecError> {
    // The decoder cannot tell "exactly full" from "too small", so it gets one byte more than it may use.
    let mut inflated = [0; MAX_READING + 1];
    let bytes = match codec {
        Codec::Identity => input,
        Codec::Heatshrink => decoder::decode(input, &mut inflated).map_err(|refusal| match refusal {
            HeatshrinkError::OutputFull => CodecError::OutputTooLong,
            HeatshrinkError::Internal => CodecError::Corrupt,
        })?,
    };
    if bytes.len() > MAX_READING {
        return Err(CodecError::OutputTooLong);
    }
    let out = out.get_mut(..bytes.len()).ok_or(CodecError::OutputFull)?;
    out.copy_from_slice(bytes);
    Ok(out)
}

/// Nine bits per byte, and room so that the buffer is never exactly full.
const WORST_CASE: usize = MAX_READING / 8 * 9 + 2;

/// Why nothing was compressed or decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// More than [`MAX_READING`] bytes to compress.
    #[error("{0} bytes to compress, at most 512")]
    InputTooLong(usize),
    /// It would inflate beyond [`MAX_READING`].
    #[error("inflates to more than 512 bytes")]
    OutputTooLong,
    /// The caller's buffer is too small.
    #[error("the output buffer is too small")]
    OutputFull,
    /// The compressed bytes are not a Heatshrink stream.
    #[error("not a Heatshrink stream")]
    Corrupt,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Compressed by the C reference implementation, see /vectors/wire/README.md.
    const REFERENCE: [(&[u8], &[u8]); 5] = [
        (
            include_bytes!("../../vectors/wire/heatshrink/reading.bin"),
            include_bytes!("../../vectors/wire/heatshrink/reading.hs"),
        ),
        (
            include_bytes!("../../vectors/wire/heatshrink/quiet.bin"),
            include_bytes!("../../vectors/wire/heatshrink/quiet.hs"),
        ),
        (
            include_bytes!("../../vectors/wire/heatshrink/text.bin"),
            include_bytes!("../../vectors/wire/heatshrink/text.hs"),
        ),
        (
            include_bytes!("../../vectors/wire/heatshrink/zeros.bin"),
            include_bytes!("../../vectors/wire/heatshrink/zeros.hs"),
        ),
        (
            include_bytes!("../../vectors/wire/heatshrink/max_random.bin"),
            include_bytes!("../../vectors/wire/heatshrink/max_random.hs"),
        ),
    ];

    #[test]
    fn inflates_what_the_c_reference_compressed() {
        for (plain, compressed) in REFERENCE {
            assert_eq!(decompress(Codec::Heatshrink, compressed, &mut [0; MAX_READING]), Ok(plain));
        }
    }

    #[test]
    fn compresses_as_the_c_reference_does_when_that_is_smaller() {
        for (plain, compressed) in REFERENCE {
            let expected =
                if compressed.len() < plain.len() { (Codec::Heatshrink, compressed) } else { (Codec::Identity, plain) };
            assert_eq!(compress(plain, &mut [0; MAX_READING]), Ok(expected));
        }
    }

    #[test]
    fn a_bomb_does_not_inflate() {
        // 0-bits are back-references of one byte; all-zero index and all-ones length repeat 16 bytes per 13 bits.
        let mut bomb = [0; 704];
        for bit in (0..8 * bomb.len()).filter(|bit| bit % 13 >= 9) {
            bomb[bit / 8] |= 0x80 >> (bit % 8);
        }
        assert_eq!(decompress(Codec::Heatshrink, &bomb, &mut [0; 4096]), Err(CodecError::OutputTooLong));
        assert_eq!(decompress(Codec::Identity, &[0; 513], &mut [0; 4096]), Err(CodecError::OutputTooLong));
    }

    #[test]
    fn bounds_are_exact() {
        assert_eq!(compress(&[0; 513], &mut [0; 600]), Err(CodecError::InputTooLong(513)));
        assert_eq!(compress(&[0; 20], &mut [0; 19]), Err(CodecError::OutputFull));
        assert_eq!(decompress(Codec::Identity, &[1; 20], &mut [0; 19]), Err(CodecError::OutputFull));
        assert_eq!(compress(&[], &mut []), Ok((Codec::Identity, &[][..])));
    }

    proptest! {
        #[test]
        fn round_trips(input in proptest::collection::vec(0u8..4, 0..=MAX_READING)) {
            let (mut small, mut large) = ([0; MAX_READING], [0; MAX_READING]);
            let (codec, compressed) = compress(&input, &mut small).expect("fits");
            prop_assert!(compressed.len() <= input.len());
            prop_assert_eq!(decompress(codec, compressed, &mut large), Ok(&input[..]));
        }

        #[test]
        fn survives_any_stream(input in proptest::collection::vec(any::<u8>(), 0..=704)) {
            let mut out = [0; MAX_READING];
            if let Ok(bytes) = decompress(Codec::Heatshrink, &input, &mut out) {
                prop_assert!(bytes.len() <= MAX_READING);
            }
        }
    }
}
