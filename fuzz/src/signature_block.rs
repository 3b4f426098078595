//! Secure Boot V2 signature blocks and the sector that holds them.

use cotter_formats::crc::crc_b;
use cotter_formats::secure_boot::v2::{BLOCK_LEN, Curve, MAX_BLOCKS, SignatureBlock, SignatureSector, SignedFile};

/// A block is the bytes it was parsed from, and verifies for no content that it does not name.
pub fn signature_block(data: &[u8]) {
    for curve in [Curve::P192, Curve::P256, Curve::P384] {
        if let Ok(numbers) = curve.numbers(data) {
            assert_eq!(numbers.len(), 2 * curve.coordinate_len());
            assert_eq!(curve.numbers(&numbers), Ok(numbers), "numbers as they stand are themselves");
        }
    }
    if let Ok(block) = SignatureBlock::parse(data) {
        described(&block, data);
    }
    if let Ok(sector) = SignatureSector::parse(data) {
        assert!((1..=MAX_BLOCKS).contains(&sector.blocks().count()));
        for (block, bytes) in sector.blocks().zip(data.chunks(BLOCK_LEN)) {
            described(block, bytes);
        }
    }
    if let Ok(file) = SignedFile::parse(data) {
        let zeros = [0; 32];
        assert!(file.verify(&zeros).is_err(), "a key digest of zeros was trusted");
    }
    if let Some(bytes) = data.first_chunk::<BLOCK_LEN>() {
        let mut mended = *bytes;
        mended[0] = 0xE7;
        let crc = crc_b(&mended[..BLOCK_LEN - 20]);
        mended[BLOCK_LEN - 20..BLOCK_LEN - 16].copy_from_slice(&crc.to_le_bytes());
        if let Ok(block) = SignatureBlock::parse(&mended) {
            described(&block, &mended);
            // Whatever this is, it is not a signature by chance. RSA takes its time: one input in 256.
            let named: Option<&[u8; 32]> = block.image_digest().try_into().ok();
            if let Some(digest) = named.filter(|_| mended != *bytes && crc.is_multiple_of(256)) {
                let _ = block.verify(digest);
            }
        }
    }
}

fn described(block: &SignatureBlock<'_>, bytes: &[u8]) {
    assert_eq!(block.as_bytes(), bytes, "a block changed in a round trip");
    assert_eq!(block.rsa_key().is_some(), block.image_digest().len() == 32 && bytes[1] == 2);
    let _ = (block.key_digest(), format!("{block:?} {}", block.scheme()));
    assert!(block.verify(&[0; 32]).is_err(), "verifies for content it does not name");
}
