//! Small images by hand: random segments, checksum, SHA-256.

use cotter_formats::chip::Chip;
use cotter_interop::Generator;
use sha2::{Digest, Sha256};

/// A second stage.
pub(super) fn boot(chip: Chip, random: &mut Generator) -> Vec<u8> {
    let segments = [random.bytes(4 * 100), random.bytes(4 * 256)];
    finish(chip.image_chip_id(), &segments)
}

/// An application with a descriptor.
pub(super) fn app(chip: Chip, secure_version: u32, random: &mut Generator) -> Vec<u8> {
    let mut first = vec![0; 256];
    first[..4].copy_from_slice(&0xabcd_5432_u32.to_le_bytes());
    first[4..8].copy_from_slice(&secure_version.to_le_bytes());
    first[16..21].copy_from_slice(b"2.0.1");
    first[48..55].copy_from_slice(b"product");
    first.extend(random.bytes(4 * 900));
    finish(chip.image_chip_id(), &[first, random.bytes(4 * 200)])
}

/// The same for another chip, with checksum and SHA-256 that hold.
pub(super) fn for_chip(image: &[u8], chip: Chip) -> Vec<u8> {
    let mut changed = image[..image.len() - 32].to_vec();
    changed[12..14].copy_from_slice(&chip.image_chip_id().to_le_bytes());
    let digest = Sha256::digest(&changed);
    changed.extend(digest);
    changed
}

fn finish(chip_id: u16, segments: &[Vec<u8>]) -> Vec<u8> {
    let mut image = vec![0xe9, u8::try_from(segments.len()).unwrap(), 2, 0x20];
    image.extend(0x4038_0000_u32.to_le_bytes());
    image.extend([0xee, 0, 0, 0]);
    image.extend(chip_id.to_le_bytes());
    image.extend([0, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 1]);
    let mut checksum = 0xef;
    for (index, segment) in (0_u32..).zip(segments) {
        image.extend((0x4038_0000 + 0x1_0000 * index).to_le_bytes());
        image.extend(u32::try_from(segment.len()).unwrap().to_le_bytes());
        image.extend(segment);
        checksum = segment.iter().fold(checksum, |sum, byte| sum ^ byte);
    }
    image.resize(image.len() | 15, 0);
    image.push(checksum);
    let digest = Sha256::digest(&image);
    image.extend(digest);
    image
}
