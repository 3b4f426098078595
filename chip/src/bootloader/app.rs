//! The image of an application in its partition: everything that is checked before it may run.

use crate::crypt::TransparentFlash;
use crate::efuse::{Efuses, Setting};
use crate::flash_image::{FlashImage, WalkError, read_header};
use crate::report::{AppSlot, Booted, Record, RefusalCode};
use crate::second_stage::{SecondStage, SecureBoot};
use crate::trusted_keys::TrustedKeys;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::efuse::EfuseImage;
use cotter_formats::image::{AppDescriptor, Checksum, ImageHeader, MAX_SEGMENTS};
use cotter_formats::otadata::OtaState;
use cotter_formats::partition::Partition;
use cotter_formats::secure_boot::v1;
use cotter_formats::secure_boot::v2::{
    self, BLOCK_LEN, BlockRefusal, ContentDigests, EfuseTrust, Scheme, SignatureBlock, SignatureError, Support,
    Version, blocks_of, support,
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

/// An image in a partition that is whole, for this chip, and signed if it has to be.
pub(super) struct Verified {
    image: FlashImage,
    signature: Checked,
}

/// Which signature was checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Checked {
    None,
    V1,
    V2,
}

impl App {
    /// Checks the image in a partition. `required`: the secure version that the eFuses demand.
    pub(super) fn load(
        flash: &TransparentFlash,
        efuses: &Efuses,
        partition: &Partition,
        required: u32,
        config: &SecondStage,
        record: &mut Record,
    ) -> Result<Self, Refusal> {
        let at = partition.offset;

        // 1. A header with the magic byte. (ESP-IDF looks at the descriptor first; the verdict is the same.)
        check_magic(&read_header(flash, at)?, at)?;

        // 2. Anti-rollback, by what the descriptor says; that the descriptor is genuine is established below.
        let secure_version = secure_version(flash, at)?.ok_or_else(|| Refusal {
            code: RefusalCode::DescriptorMissing,
            line: format!("boot_comm: no application descriptor at {at}"),
        })?;
        if secure_version < required {
            let line = format!("boot: secure version {secure_version} of the app, but the eFuses demand {required}");
            return Err(Refusal { code: RefusalCode::SecureVersionTooLow, line });
        }

        // 3. The image itself.
        let Verified { image, signature } = Verified::read(flash, efuses, partition, config, record)?;

        // The descriptor was found above; if it is in no segment, it names nothing.
        let (version, project_name) = image.parsed().app_descriptor().map_or_else(Default::default, |descriptor| {
            (descriptor.version().to_owned(), descriptor.project_name().to_owned())
        });
        let is_verified = signature != Checked::None;
        Ok(Self { secure_version, version, project_name, len: image.len(), is_verified })
    }

    pub(super) fn into_booted(self, slot: AppSlot, offset: FlashAddr, state: Option<OtaState>) -> Booted {
        let Self { secure_version, version, project_name, len, is_verified } = self;
        Booted { slot, offset, len, version, project_name, secure_version, is_verified, state }
    }
}

impl Verified {
    /// Checks the image in a partition, without regard to its secure version.
    #[doc(alias = "esp_image_verify")]
    pub(super) fn read(
        flash: &TransparentFlash,
        efuses: &Efuses,
        partition: &Partition,
        config: &SecondStage,
        record: &mut Record,
    ) -> Result<Self, Refusal> {
        let (at, limit) = (partition.offset, partition.size);
        let settings = efuses.image().map_err(|_| Refusal::power_lost())?;
        let header = read_header(flash, at)?;
        check_magic(&header, at)?;

        // 1. For this chip and its revision, in at most 16 segments that fit into the partition.
        check_header(&header, &settings, efuses)?;
        let image = FlashImage::read(flash, at, limit)?;

        // 2. The checksum.
        let parsed = image.parsed();
        let Checksum { stored, computed } = parsed.checksum();
        if stored != computed {
            let line = format!("esp_image: Checksum failed. Calculated {computed:#x} read {stored:#x}");
            return Err(Refusal { code: RefusalCode::ChecksumMismatch, line });
        }

        // 3. With Secure Boot the signature, over the padded image in V2, else the appended digest, if there is one.
        let is_on = EfuseTrust::of(&settings).enabled == Some(Version::V2);
        let signature = match &config.secure_boot {
            SecureBoot::V1(secure_boot) => {
                verify_v1(&image, flash, partition, &secure_boot.verification_key, record)?;
                Checked::V1
            }
            SecureBoot::AsBurned if is_on => {
                verify_signature(&image, flash, partition, &settings, Trust::Efuses)?;
                Checked::V2
            }
            SecureBoot::V2(_) => {
                verify_v2(&image, flash, partition, &settings, is_on, record)?;
                Checked::V2
            }
            SecureBoot::AsBurned | SecureBoot::Off => Checked::None,
        };
        if signature == Checked::None && parsed.digest().is_some_and(|digest| digest.stored != digest.computed) {
            let line = "esp_image: Image hash failed - image is corrupt".to_owned();
            return Err(Refusal { code: RefusalCode::HashMismatch, line });
        }
        Ok(Self { image, signature })
    }

    /// The image.
    pub(super) const fn image(&self) -> &FlashImage {
        &self.image
    }

    /// Up to the end of the signature.
    pub(super) fn len_with_signature(&self) -> FlashLen {
        let len = self.image.len().0 as usize;
        let len = match self.signature {
            Checked::None => len,
            Checked::V1 => len + v1::SIGNATURE_LEN,
            Checked::V2 => v2::content_padded_len(len) + v2::SECTOR_LEN,
        };
        FlashLen(u32::try_from(len).expect("it fits into the flash"))
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

fn check_magic(header: &ImageHeader, at: FlashAddr) -> Result<(), Refusal> {
    if header.magic == ImageHeader::MAGIC {
        return Ok(());
    }
    let line = format!("esp_image: image at {at} has invalid magic byte (nothing flashed here?)");
    Err(Refusal { code: RefusalCode::InvalidHeader, line })
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

/// Secure Boot V1: 68 bytes right behind the image, by the key that is compiled in.
///
/// Source: ESP-IDF 6.2-dev `secure_boot_v1/secure_boot_signatures_bootloader.c`, `esp_image_format.c`.
fn verify_v1(
    image: &FlashImage,
    flash: &TransparentFlash,
    partition: &Partition,
    key: &v1::VerifyingKey,
    record: &mut Record,
) -> Result<(), Refusal> {
    record.line("esp_image: Verifying image signature...");
    let refuse = |code| Err(Refusal { code, line: "esp_image: Secure boot signature verification failed".to_owned() });
    let end = image.len().0 as usize + v1::SIGNATURE_LEN;
    if end > partition.size.0 as usize {
        return refuse(RefusalCode::Unsigned);
    }
    let mut bytes = [0; v1::SIGNATURE_LEN];
    let at = partition.offset.checked_add(image.len()).ok_or(WalkError::DoesNotFit)?;
    flash.read_at(at, &mut bytes).map_err(WalkError::from)?;
    let signature = match v1::Signature::parse(&bytes) {
        Ok(signature) => signature,
        Err(_) => {
            let version = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            record.line(format!(
                "secure_boot: image has invalid signature version field {version:#010x} (image without a signature?)"
            ));
            return refuse(RefusalCode::Unsigned);
        }
    };
    match key.verify(&v1::SignedFile { content: image.bytes(), signature }) {
        Ok(()) => Ok(()),
        Err(_) => refuse(RefusalCode::BadSignature),
    }
}

/// Secure Boot V2 compiled in: before it is on, the keys of an application are trusted if no digest was burned.
#[doc(alias = "esp_secure_boot_verify_sbv2_signature_block")]
fn verify_v2(
    image: &FlashImage,
    flash: &TransparentFlash,
    partition: &Partition,
    settings: &EfuseImage,
    is_on: bool,
    record: &mut Record,
) -> Result<(), Refusal> {
    record.line("esp_image: Verifying image signature...");
    let mut trust = Trust::Efuses;
    if !is_on && TrustedKeys::read(settings).is_empty() {
        record.line("secure_boot_v2: Secure boot V2 is not enabled yet and eFuse digest keys are not set");
        trust = Trust::Itself;
    }
    let scheme = verify_signature(image, flash, partition, settings, trust)?;
    let name = if scheme == Scheme::Rsa3072 { "RSA-PSS" } else { "ECDSA" };
    record.line(format!("secure_boot_v2: Verifying with {name}..."));
    record.line("secure_boot_v2: Signature verified successfully!");
    Ok(())
}

/// Whose signature counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Keys whose digests are in the eFuses.
    Efuses,
    /// Any, on the first boot.
    Itself,
}

/// Any block that is signed right by a trusted key will do; the blocks after one that is none are not looked at.
fn verify_signature(
    image: &FlashImage,
    flash: &TransparentFlash,
    partition: &Partition,
    settings: &EfuseImage,
    trust: Trust,
) -> Result<Scheme, Refusal> {
    let (chip, keys) = (flash.chip(), TrustedKeys::read(settings));
    let refuse = |code, reason: &str| {
        Err(Refusal { code, line: format!("esp_image: Secure boot signature verification failed: {reason}") })
    };
    if keys.is_empty() && trust == Trust::Efuses {
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
            None if trust == Trust::Efuses => RefusalCode::UntrustedKey,
            _ => match block.verify_any(&digests) {
                Ok(()) => return Ok(block.scheme()),
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
