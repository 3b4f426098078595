//! Secure Boot V2 signature blocks and the sector that holds them.

use cotter_formats::crc::crc_b;
use cotter_formats::secure_boot::v2::{
    BLOCK_LEN, ContentDigests, Curve, MAX_BLOCKS, PublicKey, Scheme, SignatureBlock, SignatureSector, SignedFile,
    locate,
};

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
    if let Ok(file) = locate(data, Some(0)) {
        assert!(data.starts_with(file.content), "the content is elsewhere");
    }
    if let Ok(file) = SignedFile::parse(data) {
        let zeros = [0; 32];
        assert!(file.verify(&zeros).is_err(), "a key digest of zeros was trusted");
        assert!(file.verify_any(&[zeros]).is_err(), "a key digest of zeros was trusted");
    }
    if let Some(bytes) = data.first_chunk::<BLOCK_LEN>() {
        let mut mended = *bytes;
        mended[0] = 0xE7;
        let crc = crc_b(&mended[..BLOCK_LEN - 20]);
        mended[BLOCK_LEN - 20..BLOCK_LEN - 16].copy_from_slice(&crc.to_le_bytes());
        if let Ok(block) = SignatureBlock::parse(&mended) {
            described(&block, &mended);
            ecdsa(&block, crc);
            // RSA takes its time: one input in 256.
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

/// A key that is on its curve has the digest of the block, but for the bytes that P-192 leaves free; and a block that
/// verifies for the content it names is the one that this signature makes.
fn ecdsa(block: &SignatureBlock<'_>, crc: u32) {
    let scheme = block.scheme();
    let Ok(key @ PublicKey::Ecdsa(_)) = PublicKey::of_block(block) else { return };
    assert_eq!(key.scheme(), scheme);
    if scheme != Scheme::EcdsaP192 {
        assert_eq!(key.key_digest(), Ok(block.key_digest()));
    }
    // Curve arithmetic takes its time too: one input in 8.
    if !crc.is_multiple_of(8) {
        return;
    }
    let digests = ContentDigests::claimed_by(block);
    if block.verify_any(&digests).is_ok() {
        let (at, len) = match scheme {
            Scheme::EcdsaP384 => (149, 48),
            Scheme::EcdsaP192 => (101, 24),
            _ => (101, 32),
        };
        let pair = &block.as_bytes()[at..at + 2 * len];
        let numbers: Vec<u8> = pair[..len].iter().rev().chain(pair[len..].iter().rev()).copied().collect();
        assert!(key.block(&digests, &numbers).is_ok(), "a signature that holds cannot be put into a block");
    }
    assert!(block.verify_any(&ContentDigests::of(b"")).is_err(), "verifies for content it does not name");
}
