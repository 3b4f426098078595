//! ELF files, and the images that are built from them.

use cotter_formats::chip::Chip;
use cotter_formats::image::elf::Elf;
use cotter_formats::image::{BuildOptions, Image, build_app};

/// Sections lie within the file, and whatever can be built from it is an image that we accept.
pub fn elf(data: &[u8]) {
    if let Ok(elf) = Elf::parse(data) {
        let total: usize = elf.sections().map(|section| section.data.len()).sum();
        assert!(total <= data.len(), "sections share bytes");
        for section in elf.sections() {
            assert!(!section.data.is_empty() && section.address != 0);
        }
    }
    let plain = BuildOptions::new(Chip::Esp32C3);
    let ram_only = BuildOptions { ram_only: true, ..plain.clone() };
    for options in [plain, ram_only] {
        let Ok(built) = build_app(data, &options) else { continue };
        let shown = Image::parse(&built, options.chip).expect("what we built we accept");
        assert!(options.ram_only || shown.len() == built.len(), "bytes behind the image");
    }
}
