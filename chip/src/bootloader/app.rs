//! The image of an application in its partition: everything that is checked before it may run.

use crate::crypt::TransparentFlash;
use crate::efuse::{Efuses, Setting};
use crate::flash_image::{FlashImage, WalkError, read_header};
use crate::report::{AppSlot, Booted, RefusalCode};
use crate::trusted_keys::TrustedKeys;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::efuse::EfuseImage;
use cotter_formats::image::{AppDescriptor, Checksum, ImageHeader, MAX_SEGMENTS};
use cotter_formats::otadata::OtaState;
use cotter_formats::partition::Partition;
use cotter_formats::secure_boot::v2::{
    BLOCK_LEN, BlockRefusal, ContentDigests, EfuseTrust, SignatureBlock, SignatureError, Support, Version, blocks_of,
    support,
};

/// An application that may run.
pub(super) struct App {
    pub(super) secure_version: u32,
    version: String,
    project_name: String,
    len: FlashLen,
    is_verified: bool,
}

/// Why one may not, and the line that says so.
pub(super) struct Refusal {
    pub(super) code: RefusalCode,
    pub(super) line: String,
}

impl App {
    /// Checks the image in a partition. `required`: the secure version that the eFuses demand.
    pub(super) fn load(
        flash: &TransparentFlash,
        efuses: &Efuses,
        partition: &Partition,
        required: u32,
    ) -> Result<Self, Refusal> {
        let (at, limit) = (partition.offset, partition.size);
        let settings = efuses.image().map_err(|_| Refusal::power_lost())?;

        // 1. A header with the magic byte. (ESP-IDF looks at the descriptor first; the verdict is the same.)
        let header = read_header(flash, at)?;
        if header.magic != ImageHeader::MAGIC {
            let line = format!("esp_image: image at {at} has invalid magic byte (nothing flashed here?)");
            return Err(Refusal { code: RefusalCode::InvalidHeader, line });
        }

        // 2. Anti-rollback, by what the descriptor says; that the descriptor is genuine is established below.
        let secure_version = secure_version(flash, at)?.ok_or_else(|| Refusal {
            code: RefusalCode::DescriptorMissing,
            line: format!("boot_comm: no application descriptor at {at}"),
        })?;
        if secure_version < required {
            let line = format!("boot: secure version {secure_version} of the app, but the eFuses demand {required}");
            return Err(Refusal { code: RefusalCode::SecureVersionTooLow, line });
        }

        // 3. For this chip and its revision, in at most 16 segments that fit into the partition.
        check_header(&header, &settings, efuses)?;
        let image = FlashImage::read(flash, at, limit)?;

        // 4. The checksum.
        let parsed = image.parsed();
        let Checksum { stored, computed } = parsed.checksum();
        if stored != computed {
            let line = format!("esp_image: Checksum failed. Calculated {computed:#x} read {stored:#x}");
            return Err(Refusal { code: RefusalCode::ChecksumMismatch, line });
        }

        // 5. With Secure Boot the signature over the padded image, else the appended digest, if there is one.
        let is_verified = EfuseTrust::of(&settings).enabled == Some(Version::V2);
        if is_verified {
            verify_signature(&image, flash, partition, &settings)?;
        } else if parsed.digest().is_some_and(|digest| digest.stored != digest.computed) {
            let line = "esp_image: Image hash failed - image is corrupt".to_owned();
            return Err(Refusal { code: RefusalCode::HashMismatch, line });
        }

        // The descriptor was found above; if it is in no segment, it names nothing.
        let (version, project_name) = parsed.app_descriptor().map_or_else(Default::default, |descriptor| {
            (descriptor.version().to_owned(), descriptor.project_name().to_owned())
        });
        Ok(Self { secure_version, version, project_name, len: image.len(), is_verified })
    }

    pub(super) fn into_booted(self, slot: AppSlot, offset: FlashAddr, state: Option<OtaState>) -> Booted {
        let Self { secure_version, version, project_name, len, is_verified } = self;
        Booted { slot, offset, len, version, project_name, secure_version, is_verified, state }
    }
}

impl Refusal {
    fn power_lost() -> Self {
        Self { code: RefusalCode::PowerLost, line: String::new() }
    }
}

impl From<WalkError> for Refusal {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::PowerLost => Self::power_lost(),
            WalkError::DoesNotFit => {
                let line = "esp_image: image does not fit into its partition".to_owned();
                Self { code: RefusalCode::MalformedImage, line }
            }
        }
    }
}

/// `secure_version` of the descriptor of the image at `at`; `None` if there is no descriptor.
pub(super) fn secure_version(flash: &TransparentFlash, at: FlashAddr) -> Result<Option<u32>, WalkError> {
    let start = at.checked_add(FlashLen(DESCRIPTOR)).ok_or(WalkError::DoesNotFit)?;
    let mut words = [0; 8];
    flash.read_at(start, &mut words)?;
    let [magic, version] = [0, 4].map(|i| u32::from_le_bytes([words[i], words[i + 1], words[i + 2], words[i + 3]]));
    Ok((magic == AppDescriptor::MAGIC).then_some(version))
}

fn check_header(header: &ImageHeader, settings: &EfuseImage, efuses: &Efuses) -> Result<(), Refusal> {
    let expected = efuses.chip().image_chip_id();
    let found = header.chip_id.get();
    if found != expected {
        let line = format!("boot_comm: mismatch chip ID, expected {expected}, found {found}");
        return Err(Refusal { code: RefusalCode::WrongChip, line });
    }
    let revision = u32::from(settings.revision().0);
    let (min, max) = (u32::from(header.min_revision.get()), u32::from(header.max_revision.get()));
    let is_limited = !matches!(max, 0 | 65535) && efuses.sensed(Setting::RevisionUnlimited) == 0;
    if revision < min || (is_limited && revision > max) {
        let line = format!("boot_comm: chip revision check failed. Required {min} to {max}, found {revision}");
        return Err(Refusal { code: RefusalCode::WrongRevision, line });
    }
    let count = header.segment_count;
    if usize::from(count) > MAX_SEGMENTS {
        let line = format!("esp_image: segment count {count} exceeds max {MAX_SEGMENTS}");
        return Err(Refusal { code: RefusalCode::TooManySegments, line });
    }
    Ok(())
}

/// Any block that is signed right by a trusted key will do; the blocks after one that is none are not looked at.
fn verify_signature(
    image: &FlashImage,
    flash: &TransparentFlash,
    partition: &Partition,
    settings: &EfuseImage,
) -> Result<(), Refusal> {
    let (chip, keys) = (flash.chip(), TrustedKeys::read(settings));
    let refuse = |code, reason: &str| {
        Err(Refusal { code, line: format!("esp_image: Secure boot signature verification failed: {reason}") })
    };
    if keys.is_empty() {
        return refuse(RefusalCode::NoTrustedKey, "no usable key digest in the eFuses");
    }
    let content = match image.signed_content(flash, partition.offset, partition.size) {
        Err(WalkError::DoesNotFit) => return refuse(RefusalCode::Unsigned, "no room for a signature"),
        content => content?,
    };
    let mut refusal = refuse(RefusalCode::Unsigned, "no signature block");
    for (number, bytes) in content.sector.chunks_exact(BLOCK_LEN).take(blocks_of(chip)).enumerate() {
        let block = match SignatureBlock::parse(bytes) {
            Ok(block) => block,
            Err(SignatureError::Magic { .. }) => break,
            Err(error) => {
                refusal = refuse(RefusalCode::SignatureBlockInvalid, &format!("block {number}: {error}"));
                break;
            }
        };
        let digests = ContentDigests::of_schemes(&content.bytes, [block.scheme()]);
        let code = match keys.number_of(&block) {
            _ if support(chip, block.scheme()) == Support::No => RefusalCode::SignatureBlockInvalid,
            None => RefusalCode::UntrustedKey,
            Some(_) => match block.verify_any(&digests) {
                Ok(()) => return Ok(()),
                Err(BlockRefusal::Block(SignatureError::Digest)) => RefusalCode::SignedDigestMismatch,
                Err(_) => RefusalCode::BadSignature,
            },
        };
        refusal = refuse(code, &format!("block {number}: {code}"));
    }
    refusal
}

/// The descriptor is the start of the first segment.
const DESCRIPTOR: u32 = 0x20;
