//! espefuse's file of a virtual chip.

use cotter_formats::chip::Chip;
use cotter_formats::efuse::lint::{Expectation, findings};
use cotter_formats::efuse::reach::obstacles;
use cotter_formats::efuse::{EfuseImage, Field};

/// Any 512 bytes are a chip, and come back as they were; lint and comparison have an answer to each.
pub fn efuse_virtual_file(data: &[u8]) {
    for (index, chip) in Chip::ALL.into_iter().enumerate() {
        let Ok(image) = EfuseImage::from_virtual_file(chip, data) else { continue };
        assert_eq!(data, &*image.to_virtual_file(), "{chip:?} changed in a round trip");
        // Under the 3/4 coding of the ESP32, blocks are shorter than their fields.
        let is_there = |field: &&Field| {
            image.block(field.block).is_some_and(|block| usize::from(field.bit + field.len) <= 8 * block.len())
        };
        for field in image.map().fields.iter().filter(|field| field.len <= 32).filter(is_there) {
            let set = image.value(field) != 0;
            assert_eq!(set, image.is_set(field), "{} of {chip:?}", field.name);
        }
        let _ = image.mac();
        let registers = EfuseImage::from_registers(chip, image.registers()).expect("as many as were read");
        assert!(registers == image, "{chip:?}: its registers are another image");
        // Judging takes its time: each input for one of the chips that it could be.
        if data.iter().fold(0, |sum, &byte| sum + usize::from(byte)) % Chip::ALL.len() != index {
            continue;
        }
        assert_eq!(obstacles(&image, &image), [], "{chip:?} is not itself");
        for finding in findings(&image, &Expectation::RELEASE) {
            assert!(!finding.at.is_empty() && !finding.what.is_empty(), "{finding:?}");
        }
    }
}
