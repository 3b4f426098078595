//! Application and boot images.

use cotter_formats::chip::Chip;
use cotter_formats::image::{HEADER_LEN, Image, ImageError};
use sha2::{Digest, Sha256};

/// What is accepted consists of its header and its segments, lies within the input, and checksum and SHA-256 hold.
pub fn image(data: &[u8]) {
    for chip in [Chip::Esp32C3, Chip::Esp32] {
        let Ok(scanned) = Image::scan(data, chip) else { continue };
        rebuilt(&scanned, data);
        match Image::parse(data, chip) {
            Ok(parsed) => assert!(holds(&parsed)),
            Err(ImageError::Checksum { .. } | ImageError::Digest) => assert!(!holds(&scanned)),
            Err(other) => unreachable!("scan let it pass, parse says {other}"),
        }
        let mended = mended(&scanned);
        let parsed = Image::parse(&mended, chip).expect("checksum and SHA-256 are right now");
        assert_eq!(parsed.as_bytes(), mended);
        if let Some(descriptor) = parsed.app_descriptor() {
            let _ = (descriptor.version(), descriptor.project_name(), descriptor.time(), descriptor.date());
            let _ = (descriptor.idf_version(), parsed.custom_descriptor());
        }
        if let Some(descriptor) = parsed.boot_descriptor() {
            let _ = (descriptor.idf_version(), descriptor.date_time());
        }
    }
}

fn rebuilt(image: &Image<'_>, data: &[u8]) {
    let bytes = image.as_bytes();
    assert_eq!(bytes, &data[..image.len()], "an image is where it was read");
    let mut again = data[..HEADER_LEN].to_vec();
    for segment in image.segments() {
        let length = u32::try_from(segment.data.len()).expect("below 16 MiB");
        again.extend(segment.load_address.to_le_bytes());
        again.extend(length.to_le_bytes());
        assert_eq!(again.len(), segment.file_offset, "a segment is not where it says");
        again.extend(segment.data);
    }
    assert_eq!(usize::from(image.header().segment_count), image.segments().count());
    assert_eq!(again, bytes[..again.len()], "header and segments changed in a round trip");
    let tail = bytes.len() - again.len() - if image.digest().is_some() { 32 } else { 0 };
    assert!((1..=16).contains(&tail), "padding and checksum take {tail} bytes");
}

fn holds(image: &Image<'_>) -> bool {
    let checksum = image.checksum();
    checksum.stored == checksum.computed && image.digest().is_none_or(|digest| digest.stored == digest.computed)
}

fn mended(image: &Image<'_>) -> Vec<u8> {
    let mut bytes = image.as_bytes().to_vec();
    let end = bytes.len() - if image.digest().is_some() { 32 } else { 0 };
    bytes[end - 1] = image.checksum().computed;
    let digest = Sha256::digest(&bytes[..end]);
    let length = bytes.len();
    bytes[end..].copy_from_slice(&digest[..length - end]);
    bytes
}
