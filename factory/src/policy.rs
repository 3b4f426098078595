//! A product's policy file: chip, images, partition table, keys, eFuses. From it follows the birth of each device.
//!
//! Paths count from the folder of the file. Where a key is `random`, or a secret one is not named, a rehearsal makes one.

use crate::efuse::{
    DownloadMode, EfusePlan, EfusePolicy, FlashEncryptionMode, JtagMode, PolicyError, ProductProfile, Refusal,
    SecureBootMode, Wishes, build,
};
use crate::layout::{LayoutError, Piece};
use crate::plan::{KeyFiles, Plan, PlanError};
use crate::private_key::PrivateKey;
use crate::public_key::PublicKey;
use crate::second_stage::{SecondStageFile, SecondStageFileError};
use crate::signing::random;
use cotter_chip::board::FLASH_SIZE;
use cotter_chip::efuse::Efuses;
use cotter_chip::fault::Fault;
use cotter_chip::second_stage::{self, DownloadPolicy, SecondStage, SecureBoot};
use cotter_formats::addr::{FlashAddr, FlashLen, SECTOR};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{ChipRevision, EfuseImage};
use cotter_formats::flash_encryption::key::{FlashKey, FlashKeyError, KeyHolder};
use cotter_formats::image::{Image, ImageHeader};
use cotter_formats::partition::csv::{self, CsvOptions};
use cotter_formats::partition::{DEFAULT_OFFSET, PartitionTable, PartitionType, Subtype, TABLE_LEN};
use cotter_formats::secure_boot::v2;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The file, as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProductPolicy {
    /// As esptool spells it.
    pub chip: String,
    /// Major and minor, `3.0`; else the one that is sold today.
    pub revision: Option<String>,
    /// Where the devices go.
    #[serde(default)]
    pub workflow: Workflow,
    /// Such as `4MB`.
    #[serde(default = "four_megabytes")]
    pub flash_size: String,
    /// Where the partition table lies.
    #[serde(default = "default_table_offset")]
    pub partition_table_offset: u32,
    /// Signed, if Secure Boot is wanted; with V1, the file with IV and digest for address 0.
    pub boot_image: PathBuf,
    /// CSV or binary.
    pub partition_table: PathBuf,
    /// An application of an earlier day, signed as the present one: the rehearsal tries to go back to it.
    pub older_image: Option<PathBuf>,
    /// What the second stage was compiled with: a short file, or the project's `sdkconfig`; see
    /// [`crate::second_stage`]. Without it, it checks Secure Boot V2 if the eFuses say so, and switches nothing on.
    pub second_stage: Option<PathBuf>,
    /// What goes into partitions.
    #[serde(rename = "image", default)]
    pub images: Vec<PartitionImage>,
    /// Files by the names that `cotter efuse plan` has for the keys; `random` makes one.
    #[serde(default)]
    pub keys: BTreeMap<String, PathBuf>,
    /// The line burns nothing: the second stage, which was compiled like this, does all of it at its first boot.
    pub first_boot: Option<SecondStageFile>,
    /// As in the policy of `cotter efuse plan`; chip and profile stand above.
    #[serde(default)]
    pub efuse: Wishes,
}

/// Where devices go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workflow {
    /// On a desk: it can be undone, or flashed again.
    Development,
    /// To customers.
    #[default]
    Production,
}

/// What goes into one partition.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PartitionImage {
    /// The label.
    pub partition: String,
    /// The bytes in plain.
    pub file: PathBuf,
}

/// A birth, ready to be rehearsed.
#[derive(Debug)]
pub struct Birth {
    /// The steps.
    pub plan: Plan,
    /// The chip's revision, if the policy names one.
    pub revision: Option<ChipRevision>,
    /// Size of the flash part.
    pub flash: FlashLen,
    /// Version in the descriptor of the application that boots first.
    pub version: String,
    /// What an attacker would go back to.
    pub older: Option<OlderImage>,
    /// What the device makes of itself at its first boot, if the line burns nothing.
    pub by_itself: Option<EfusePolicy>,
    /// Keys that were made for this birth only.
    pub made: Vec<String>,
    /// What the second stage was compiled with.
    pub second_stage: SecondStage,
}

impl Birth {
    /// A plan for the revision of the chip that is sold today, on a part of 4 MiB.
    #[must_use]
    pub fn of(plan: Plan, version: &str) -> Self {
        let (version, made) = (version.to_owned(), Vec::new());
        Self {
            plan,
            revision: None,
            flash: FLASH_SIZE,
            version,
            older: None,
            by_itself: None,
            made,
            second_stage: SecondStage::default(),
        }
    }
}

/// An application of an earlier day, genuinely signed.
#[derive(Clone, Debug)]
pub struct OlderImage {
    /// With its signature.
    pub bytes: Vec<u8>,
    /// Version in its descriptor.
    pub version: String,
    /// `secure_version` in its descriptor.
    pub secure_version: u32,
}

impl ProductPolicy {
    /// Reads the file.
    ///
    /// # Errors
    /// [`ProductError::Toml`].
    pub fn from_toml(text: &str) -> Result<Self, ProductError> {
        Ok(toml::from_str(text)?)
    }

    /// Reads keys and images from `folder`, and lays out the birth of one device.
    ///
    /// # Errors
    /// [`ProductError`], with the file or the key that it is about.
    pub fn birth(&self, folder: &Path) -> Result<Birth, ProductError> {
        let chip = Chip::from_name(&self.chip).ok_or_else(|| ProductError::Chip(self.chip.clone()))?;
        let revision = self.revision()?;
        let image = match revision {
            None => EfuseImage::blank(chip),
            Some(revision) => fresh(chip, revision)?,
        };
        if let Some(file) = &self.first_boot {
            return self.first_boot(file, folder, &image, revision);
        }
        let profile = match self.workflow {
            Workflow::Development => ProductProfile::Development,
            Workflow::Production => ProductProfile::Release,
        };
        let wishes = self.efuse.clone().or(Wishes { profile: Some(profile), ..Wishes::default() });
        let policy = EfusePolicy::of_map(image.map(), &wishes)?;
        let efuses = build(&policy, &image)?;
        let mut made = Vec::new();
        let keys = self.keys(folder, &efuses, &mut made)?;
        let flash = self.flash()?;
        let key = keys.get("flash").map(|key| FlashKey::for_chip(chip, KeyHolder::Efuse, None, key)).transpose()?;
        let table = self.table(folder, chip)?;
        table.check_flash(FlashAddr(self.partition_table_offset), flash)?;
        let (pieces, version) = self.pieces(folder, chip, &table, policy.secure_boot, key.as_ref())?;
        let older = self.older(folder, chip, policy.secure_boot, &keys)?;
        let plan = Plan::new(efuses, &image, &keys, pieces)?;
        let second_stage = match &self.second_stage {
            None => SecondStage { partition_table: FlashAddr(self.partition_table_offset), ..SecondStage::default() },
            Some(file) => SecondStageFile::load(&folder.join(file), chip)?,
        };
        self.table_is_where_it_looks(&second_stage)?;
        Ok(Birth { plan, revision, flash, version, older, by_itself: None, made, second_stage })
    }

    /// The birth of a device that is flashed with plain images and does the rest itself.
    fn first_boot(
        &self,
        file: &SecondStageFile,
        folder: &Path,
        image: &EfuseImage,
        revision: Option<ChipRevision>,
    ) -> Result<Birth, ProductError> {
        if self.efuse != Wishes::default() || !self.keys.is_empty() || self.second_stage.is_some() {
            return Err(ProductError::BurnsTwice);
        }
        let (map, chip) = (image.map(), image.map().chip);
        let offset = file.partition_table_offset.or(Some(self.partition_table_offset));
        let file = SecondStageFile { partition_table_offset: offset, ..file.clone() };
        let second_stage = file.resolve(chip, folder)?;
        self.table_is_where_it_looks(&second_stage)?;
        let nothing = Wishes {
            profile: Some(ProductProfile::Development),
            flash_encryption: Some(FlashEncryptionMode::Off),
            ..Wishes::default()
        };
        let policy = EfusePolicy::of_map(map, &by_itself(&second_stage))?;
        let flash = self.flash()?;
        let table = self.table(folder, chip)?;
        table.check_flash(FlashAddr(self.partition_table_offset), flash)?;
        let (pieces, version) = self.pieces(folder, chip, &table, SecureBootMode::Off, None)?;
        let older = self.older(folder, chip, SecureBootMode::Off, &KeyFiles::default())?;
        let plan = Plan::new(build(&EfusePolicy::of_map(map, &nothing)?, image)?, image, &KeyFiles::default(), pieces)?;
        let (by_itself, made) = (Some(policy), Vec::new());
        Ok(Birth { plan, revision, flash, version, older, by_itself, made, second_stage })
    }

    fn table_is_where_it_looks(&self, second_stage: &SecondStage) -> Result<(), ProductError> {
        let (policy, second_stage) = (FlashAddr(self.partition_table_offset), second_stage.partition_table);
        if policy == second_stage { Ok(()) } else { Err(ProductError::TableOffset { policy, second_stage }) }
    }

    fn revision(&self) -> Result<Option<ChipRevision>, ProductError> {
        let Some(text) = &self.revision else { return Ok(None) };
        let numbers = text.trim_start_matches('v').split_once('.');
        let number = |digits: &str| digits.parse().ok().filter(|number: &u16| *number < 100);
        let revision = numbers.and_then(|(major, minor)| Some(100 * number(major)? + number(minor)?));
        revision.map(|revision| Some(ChipRevision(revision))).ok_or_else(|| ProductError::Revision(text.clone()))
    }

    fn flash(&self) -> Result<FlashLen, ProductError> {
        let text = self.flash_size.strip_suffix(['B', 'b']).unwrap_or(&self.flash_size);
        let size = csv::number(text).and_then(|size| u32::try_from(size).ok());
        let whole = size.filter(|size| *size > 0 && size.is_multiple_of(SECTOR));
        whole
            .filter(|size| *size <= MAX_FLASH)
            .map(FlashLen)
            .ok_or_else(|| ProductError::FlashSize(self.flash_size.clone()))
    }

    /// Every key that the plan wants. Digests come from keys in PEM or 32 raw bytes.
    fn keys(&self, folder: &Path, efuses: &EfusePlan, made: &mut Vec<String>) -> Result<KeyFiles, ProductError> {
        let mut keys = KeyFiles::default();
        if let Some(name) = self.keys.keys().find(|name| !efuses.keys.iter().any(|input| input.name == **name)) {
            return Err(ProductError::UnknownKey(name.clone()));
        }
        for input in &efuses.keys {
            let file = self.keys.get(&input.name).filter(|file| file.as_os_str() != "random");
            let bytes = match file {
                Some(file) => key_bytes(&folder.join(file), input.secret)?,
                None if input.secret => {
                    made.push(input.name.clone());
                    let mut bytes = Zeroizing::new(vec![0; input.bytes]);
                    random(&mut bytes).map_err(|_| ProductError::Random)?;
                    bytes
                }
                None => return Err(ProductError::KeyMissing(input.name.clone())),
            };
            keys.insert(&input.name, &bytes);
        }
        Ok(keys)
    }

    /// The older application; with Secure Boot V2 it must carry a signature by a key that the policy trusts, for
    /// otherwise its refusal would prove nothing.
    fn older(
        &self,
        folder: &Path,
        chip: Chip,
        secure_boot: SecureBootMode,
        keys: &KeyFiles,
    ) -> Result<Option<OlderImage>, ProductError> {
        let Some(file) = &self.older_image else { return Ok(None) };
        let bytes = read(&folder.join(file))?;
        let image = Image::parse(&bytes, chip).map_err(|_| ProductError::Application(file.clone()))?;
        let descriptor = image.app_descriptor().ok_or_else(|| ProductError::Application(file.clone()))?;
        let (version, secure_version) = (descriptor.version().to_owned(), descriptor.secure_version.get());
        if secure_boot == SecureBootMode::V2 {
            let trusted: Vec<[u8; 32]> = DIGESTS.iter().filter_map(|name| keys.get(name)?.try_into().ok()).collect();
            let signed = v2::locate(&bytes, Some(image.len())).ok();
            if signed.is_none_or(|signed| signed.verify_any(&trusted).is_err()) {
                return Err(ProductError::OlderSignature(file.clone()));
            }
        }
        Ok(Some(OlderImage { bytes, version, secure_version }))
    }

    fn table(&self, folder: &Path, chip: Chip) -> Result<PartitionTable, ProductError> {
        let path = folder.join(&self.partition_table);
        let bytes = read(&path)?;
        if let Some(table) = bytes.first_chunk::<TABLE_LEN>().filter(|table| table.starts_with(&[0xaa, 0x50])) {
            return Ok(PartitionTable::parse(table)?);
        }
        let text = str::from_utf8(&bytes).map_err(|_| ProductError::Table(path.clone()))?;
        let options = CsvOptions {
            table: FlashAddr(self.partition_table_offset),
            bootloader: Some(chip.bootloader_offset()),
            recovery: None,
            variables: None,
        };
        let rows = csv::parse(text, &options).map_err(|errors| ProductError::Csv {
            path,
            first: errors.first().map_or(String::new(), ToString::to_string),
        })?;
        Ok(PartitionTable::new(&rows)?)
    }

    /// The flash content, and the version of the application that boots first.
    fn pieces(
        &self,
        folder: &Path,
        chip: Chip,
        table: &PartitionTable,
        secure_boot: SecureBootMode,
        key: Option<&FlashKey>,
    ) -> Result<(Vec<Piece>, String), ProductError> {
        let boot = read(&folder.join(&self.boot_image))?;
        let is_image = boot.first() == Some(&ImageHeader::MAGIC);
        let boot_at = match (secure_boot, is_image) {
            (SecureBootMode::V1, false) => FlashAddr(0),
            (_, true) => chip.bootloader_offset(),
            (_, false) => return Err(ProductError::BootImage(self.boot_image.clone())),
        };
        let table_at = FlashAddr(self.partition_table_offset);
        let mut pieces = vec![
            Piece::sealed("boot image", boot_at, FlashLen(table_at.0.saturating_sub(boot_at.0)), &boot, key)?,
            Piece::sealed("partition table", table_at, FlashLen(SECTOR), &table.encode(), key)?,
        ];
        let first = table.find_type(PartitionType::APP, Subtype::APP_FACTORY).or_else(|| table.ota_slots().next());
        let first = first.ok_or(ProductError::NoApplication)?;
        let mut version = None;
        for PartitionImage { partition: label, file } in &self.images {
            let partition = table.find(label).ok_or_else(|| ProductError::NoPartition(label.clone()))?;
            let bytes = read(&folder.join(file))?;
            let is_first = partition.offset == first.offset;
            if is_first {
                version = Some(version_of(&bytes, chip).ok_or_else(|| ProductError::Application(file.clone()))?);
            }
            let what = if is_first { "application" } else { label };
            pieces.push(Piece::in_partition(what, partition, &bytes, key)?);
        }
        let version = version.ok_or_else(|| ProductError::NoImage(first.label.as_str().to_owned()))?;
        Ok((pieces, version))
    }
}

/// What a second stage makes of a chip, in the words of a policy.
fn by_itself(second_stage: &SecondStage) -> Wishes {
    let secure_boot = match second_stage.secure_boot {
        SecureBoot::AsBurned | SecureBoot::Off => SecureBootMode::Off,
        SecureBoot::V1(_) => SecureBootMode::V1,
        SecureBoot::V2(_) => SecureBootMode::V2,
    };
    let flash_encryption = match second_stage.flash_encryption.map(|encryption| encryption.mode) {
        None => FlashEncryptionMode::Off,
        Some(second_stage::FlashEncryptionMode::Development) => FlashEncryptionMode::Development,
        Some(second_stage::FlashEncryptionMode::Release) => FlashEncryptionMode::Release,
    };
    let protects = secure_boot != SecureBootMode::Off || flash_encryption != FlashEncryptionMode::Off;
    let closes_jtag = protects && !second_stage.allow_jtag;
    Wishes {
        profile: Some(ProductProfile::Development),
        secure_boot: Some(secure_boot),
        flash_encryption: Some(flash_encryption),
        jtag: Some(if closes_jtag { JtagMode::Disabled } else { JtagMode::Open }),
        download: Some(match second_stage.download_mode {
            DownloadPolicy::Open => DownloadMode::Open,
            DownloadPolicy::Secure => DownloadMode::Secure,
            DownloadPolicy::Disabled => DownloadMode::Disabled,
        }),
        ..Wishes::default()
    }
}

/// The eFuses of a chip of that revision, on which nothing else is burned.
fn fresh(chip: Chip, revision: ChipRevision) -> Result<EfuseImage, ProductError> {
    let efuses = Efuses::fresh_of(chip, revision, [0; 6], Fault::default());
    efuses.image().map_err(|_| ProductError::Chip(chip.name().to_owned()))
}

fn version_of(bytes: &[u8], chip: Chip) -> Option<String> {
    let image = Image::scan(bytes, chip).ok()?;
    image.app_descriptor().map(|descriptor| descriptor.version().to_owned())
}

/// A secret as it is; of a public key its digest.
fn key_bytes(path: &Path, secret: bool) -> Result<Zeroizing<Vec<u8>>, ProductError> {
    let bytes = Zeroizing::new(read(path)?);
    if secret || !bytes.starts_with(b"-----") {
        return Ok(bytes);
    }
    let refused = |reason: String| ProductError::Key { path: path.into(), reason };
    let public =
        PublicKey::from_pem(&bytes).or_else(|_| PrivateKey::from_pem(&bytes, None).map(|key| key.public().clone()));
    let digest = public.map_err(|error| refused(error.to_string()))?.secure_boot_digest();
    Ok(Zeroizing::new(digest.map_err(|error| refused(error.to_string()))?.to_vec()))
}

fn read(path: &Path) -> Result<Vec<u8>, ProductError> {
    let length = |error| ProductError::Io { path: path.into(), source: error };
    let metadata = std::fs::metadata(path).map_err(length)?;
    if metadata.len() > u64::from(MAX_FLASH) {
        return Err(ProductError::TooLong(path.into()));
    }
    std::fs::read(path).map_err(length)
}

/// The keys that the ROM trusts, as plans name them.
const DIGESTS: [&str; 3] = ["digest0", "digest1", "digest2"];

/// No flash part on an ESP32-class board is larger.
const MAX_FLASH: u32 = 128 << 20;

fn four_megabytes() -> String {
    "4MB".to_owned()
}

const fn default_table_offset() -> u32 {
    DEFAULT_OFFSET.0
}

/// Why a policy is no birth.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ProductError {
    #[error("policy: {0}")]
    Toml(#[from] toml::de::Error),
    #[error("policy: {0:?} is no chip that esptool knows")]
    Chip(String),
    #[error("policy: revision {0:?} is not of the form 3.0")]
    Revision(String),
    #[error("policy: flash-size {0:?} is no size such as 4MB, up to 128MB")]
    FlashSize(String),
    #[error("policy: {0}")]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    SecondStage(#[from] SecondStageFileError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("policy: the plan has no key {0:?}; `cotter efuse plan` lists the names")]
    UnknownKey(String),
    #[error("policy: no file is named for the key {0:?}; add it under [keys]")]
    KeyMissing(String),
    #[error("{}: {reason}", path.display())]
    Key { path: PathBuf, reason: String },
    #[error("policy: {0}")]
    FlashKey(#[from] FlashKeyError),
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(
        "policy: with [first-boot] the device burns and makes its keys itself: leave [efuse] and [keys] out, and second-stage, which it replaces"
    )]
    BurnsTwice,
    #[error(
        "policy: partition-table-offset is {policy}, but the second stage was compiled to find the table at {second_stage}"
    )]
    TableOffset { policy: FlashAddr, second_stage: FlashAddr },
    #[error("the system's random numbers failed")]
    Random,
    #[error("{} is neither a binary partition table nor CSV", .0.display())]
    Table(PathBuf),
    #[error("{}: {first}", path.display())]
    Csv { path: PathBuf, first: String },
    #[error(transparent)]
    Partition(#[from] cotter_formats::partition::PartitionError),
    #[error("{} is no boot image", .0.display())]
    BootImage(PathBuf),
    #[error("the partition table has neither a factory application nor an OTA slot")]
    NoApplication,
    #[error("the partition table has no partition {0:?}")]
    NoPartition(String),
    #[error("no [[image]] is for partition {0:?}, from which the device boots first")]
    NoImage(String),
    #[error("{} is no application of this chip, or has no descriptor", .0.display())]
    Application(PathBuf),
    #[error("{} has no signature by a key of this policy: that it does not boot would prove nothing", .0.display())]
    OlderSignature(PathBuf),
    #[error("{} is larger than any flash part", .0.display())]
    TooLong(PathBuf),
    #[error("{}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}
