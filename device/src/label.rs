//! What an application image says about itself: chip, project, versions, register map; read from its slot.
//!
//! Nothing here is trusted on its own: the manifest's hash (before the boot) and Secure Boot (during it) cover these
//! bytes. The label is what both are compared with.

use crate::slots::Slot;
use cotter_formats::chip::Chip;
use cotter_formats::image::{AppDescriptor, ImageHeader};
use cotter_wire::ids::SecureVersion;
use cotter_wire::registers::{RegisterMap, RegisterMapError};
use cotter_wire::version::Version;
use embedded_storage::nor_flash::ReadNorFlash;
use heapless::String;
use zerocopy::FromBytes;

/// The label of one image, about 150 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLabel {
    /// Which chip it was built for.
    pub chip: Chip,
    /// Which product it belongs to.
    pub project: String<32>,
    /// Its version.
    pub version: Version,
    /// Its place in the anti-rollback order.
    pub secure_version: SecureVersion,
    /// Which measurements it reads, if that part can be read.
    pub registers: Result<RegisterMap, RegisterMapError>,
}

impl ImageLabel {
    /// Reads the first 384 bytes of `slot` through the transparent view.
    ///
    /// # Errors
    /// [`LabelError`]: the flash, or the first thing that is not as in an application image.
    pub fn read<F: ReadNorFlash>(flash: &mut F, slot: Slot) -> Result<Self, LabelError<F::Error>> {
        let mut head = [0; HEAD];
        flash.read(slot.start.0, &mut head).map_err(LabelError::Flash)?;
        Self::parse(&head).map_err(LabelError::Label)
    }

    /// Reads the label from an image's first 384 bytes.
    ///
    /// # Errors
    /// [`MalformedLabel`] names the first thing that is not as in an application image.
    pub fn parse(head: &[u8; HEAD]) -> Result<Self, MalformedLabel> {
        let (header, _) = ImageHeader::ref_from_prefix(head).map_err(|_| MalformedLabel::Header)?;
        if header.magic != ImageHeader::MAGIC {
            return Err(MalformedLabel::Header);
        }
        let id = header.chip_id.get();
        let descriptor = AppDescriptor::of(&head[DESCRIPTOR_AT..]).ok_or(MalformedLabel::Descriptor)?;
        Ok(Self {
            chip: Chip::from_image_chip_id(id).ok_or(MalformedLabel::Chip { id })?,
            project: String::try_from(descriptor.project_name()).map_err(|_| MalformedLabel::Project)?,
            version: descriptor.version().parse().map_err(|_| MalformedLabel::Version)?,
            secure_version: SecureVersion(descriptor.secure_version.get()),
            registers: RegisterMap::parse(&head[REGISTERS_AT..]),
        })
    }
}

/// Why an image in a slot has no label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError<E> {
    /// The flash failed.
    #[error("image label: flash: {0}")]
    Flash(E),
    /// The bytes are no application image's.
    #[error(transparent)]
    Label(MalformedLabel),
}

/// What is wrong with the first bytes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedLabel {
    /// No image header.
    #[error("image label: no image header")]
    Header,
    /// No application descriptor behind it.
    #[error("image label: no application descriptor")]
    Descriptor,
    /// A chip that this code does not know.
    #[error("image label: chip id {id} is unknown")]
    Chip {
        /// The id in the header.
        id: u16,
    },
    /// The project name is not text.
    #[error("image label: the project name is not text")]
    Project,
    /// The version is not three numbers.
    #[error("image label: the version is not three numbers")]
    Version,
}

/// Header, first segment's header, descriptor, register map.
pub const HEAD: usize = REGISTERS_AT + RegisterMap::LEN;
const DESCRIPTOR_AT: usize = 0x20;
const REGISTERS_AT: usize = 0x120;

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::test_image::TestImage;
    use cotter_wire::registers::ECOWATT;
    use std::vec::Vec;

    fn head(image: &[u8]) -> [u8; HEAD] {
        image[..HEAD].try_into().unwrap()
    }

    #[test]
    fn reads_what_the_builder_wrote() {
        let label = ImageLabel::parse(&head(&TestImage::of("1.1.0", 1).build())).unwrap();
        assert_eq!((label.chip, label.project.as_str()), (Chip::Esp32C3, "cotter-app"));
        assert_eq!((label.version, label.secure_version), (Version::new(1, 1, 0), SecureVersion(1)));
        assert_eq!(label.registers.unwrap().registers(), ECOWATT);
    }

    #[test]
    fn reads_esptools_image_up_to_its_version() {
        // Its version is "v1.2.3-golden", which is no version of ours, and it has no register map.
        let mut golden = head(include_bytes!("../../vectors/image/esp32c3.bin"));
        assert_eq!(ImageLabel::parse(&golden), Err(MalformedLabel::Version));
        golden[0x30..0x50].fill(0);
        golden[0x30..0x35].copy_from_slice(b"1.2.3");
        let label = ImageLabel::parse(&golden).unwrap();
        assert_eq!(label.project.as_str(), "golden_esp32c3");
        assert!(matches!(label.registers, Err(RegisterMapError::Magic(_))));
    }

    #[test]
    fn refuses_what_is_no_application() {
        let image = TestImage::of("1.1.0", 1).build();
        let changed = |at: usize, bytes: &[u8]| {
            let mut head: Vec<u8> = image[..HEAD].to_vec();
            head[at..at + bytes.len()].copy_from_slice(bytes);
            ImageLabel::parse(&head.try_into().unwrap())
        };
        assert_eq!(changed(0, &[0xff]), Err(MalformedLabel::Header));
        assert_eq!(changed(12, &[0xfe, 0xff]), Err(MalformedLabel::Chip { id: 0xfffe }));
        assert_eq!(changed(0x20, &[0]), Err(MalformedLabel::Descriptor));
        assert_eq!(changed(0x30, b"1.1\0\0"), Err(MalformedLabel::Version));
        assert_eq!(changed(0x30, b"01.1.0"), Err(MalformedLabel::Version));
    }
}
