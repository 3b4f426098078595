//! Readings, and the compression around them.

use cotter_wire::codec::{Codec, MAX_READING, compress, decompress};
use cotter_wire::reading::Reading;

/// A reading has one encoding; nothing inflates beyond the limit; compression loses nothing.
pub fn reading(data: &[u8]) {
    if let Ok(reading) = Reading::decode(data) {
        let mut out = [0; Reading::MAX_LEN];
        assert_eq!(reading.encode(&mut out), Ok(data), "a reading changed in a round trip");
    }
    for codec in [Codec::Identity, Codec::Heatshrink] {
        let mut out = [0; MAX_READING];
        if let Ok(plain) = decompress(codec, data, &mut out) {
            packed(plain);
        }
    }
    if data.len() <= MAX_READING {
        packed(data);
    } else {
        assert!(compress(data, &mut [0; 4 * MAX_READING]).is_err());
    }
}

fn packed(plain: &[u8]) {
    let (mut small, mut out) = ([0; MAX_READING], [0; MAX_READING]);
    let (codec, small) = compress(plain, &mut small).expect("the output is as long as the longest input");
    assert!(small.len() <= plain.len());
    assert_eq!(decompress(codec, small, &mut out), Ok(plain), "compression lost something");
}
