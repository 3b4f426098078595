//! What a device reads of the image in a slot.

use cotter_device::label::{HEAD, ImageLabel};
use cotter_formats::chip::Chip;
use cotter_formats::image::{AppDescriptor, ImageHeader};

/// A label says what stands in header and descriptor, whatever follows them. Short inputs are filled up with erased flash;
/// magic words and chip are mended too.
pub fn image_label(data: &[u8]) {
    let mut head = [0xFF; HEAD];
    let used = data.len().min(HEAD);
    head[..used].copy_from_slice(&data[..used]);
    labelled(&head);
    head[0] = ImageHeader::MAGIC;
    head[12..14].copy_from_slice(&Chip::Esp32C3.image_chip_id().to_le_bytes());
    head[0x20..0x24].copy_from_slice(&AppDescriptor::MAGIC.to_le_bytes());
    labelled(&head);
}

fn labelled(head: &[u8; HEAD]) {
    match ImageLabel::parse(head) {
        Ok(label) => {
            assert_eq!(head[12..14], label.chip.image_chip_id().to_le_bytes());
            let version = label.version.to_string();
            assert_eq!(head[0x30..0x30 + version.len()], *version.as_bytes(), "the version is another");
            assert_eq!(head[0x50..0x50 + label.project.len()], *label.project.as_bytes(), "the project is another");
            assert_eq!(head[0x24..0x28], label.secure_version.0.to_le_bytes());
            if let Ok(map) = label.registers {
                assert_eq!(map.encode(), head[HEAD - 96..], "a map changed in a round trip");
            }
        }
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
    }
}
