//! Everything that is wrong with a table, not only the first thing: the rules of the generator, and mistakes it lets through.
//!
//! Source: ESP-IDF 6.2-dev (1021229) `gen_esp32part.py` (v1.5). What forbids a table here and passes there: an empty
//! partition, a missing or doubled app slot, and a read-only TEE otadata.

use super::csv::HumanSize;
use super::{CAPACITY, Label, Partition, PartitionFlags, PartitionType, Subtype};
use crate::addr::{FlashAddr, FlashLen, SECTOR};
use alloc::vec::Vec;

/// What the table is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Where the table sits.
    pub table: FlashAddr,
    /// The size of the flash, if it is known.
    pub flash_size: Option<FlashLen>,
    /// The version of Secure Boot that the applications are signed for.
    pub secure_boot: SecureBoot,
    /// True if an MD5 row is wanted, which needs room.
    pub checksum: bool,
}

/// Secure Boot as it affects the sizes of applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SecureBoot {
    None,
    /// Maps the whole partition to check it: whole pages of 64 KiB.
    V1,
    /// The signature fills a sector, which every application is a multiple of anyway.
    V2,
}

impl SecureBoot {
    /// What the size of an application is a multiple of.
    #[must_use]
    pub const fn app_unit(self) -> u32 {
        match self {
            Self::V1 => 0x1_0000,
            Self::None | Self::V2 => SECTOR,
        }
    }
}

/// All findings: partition by partition, then those about two partitions, then those about the whole.
#[must_use]
pub fn findings(partitions: &[Partition], rules: &Rules) -> Vec<Finding> {
    let mut found = Vec::new();
    let most = if rules.checksum { CAPACITY - 1 } else { CAPACITY };
    if partitions.len() > most {
        found.push(Finding::TooMany { count: partitions.len(), most });
    }
    for partition in partitions {
        alone(partition, rules, &mut found);
    }
    for (index, second) in partitions.iter().enumerate() {
        for first in &partitions[..index] {
            pair(first, second, &mut found);
        }
    }
    whole(partitions, &mut found);
    found
}

fn alone(partition: &Partition, rules: &Rules, found: &mut Vec<Finding>) {
    let &Partition { label, kind, subtype, offset, size, flags } = partition;
    let alignment = kind.alignment();
    if !offset.is_aligned(alignment) {
        let next = u64::from(offset.0).next_multiple_of(alignment.into());
        found.push(Finding::Alignment { label, offset, alignment, next });
    }
    let unit = rules.secure_boot.app_unit();
    if size.0 == 0 {
        found.push(Finding::Empty { label });
    } else if kind == PartitionType::APP && !size.0.is_multiple_of(unit) {
        found.push(Finding::AppSize { label, size, unit, next: u64::from(size.0).next_multiple_of(unit.into()) });
    }
    let data = |wanted| kind == PartitionType::DATA && subtype == wanted;
    if (data(Subtype::DATA_OTA) || data(Subtype::DATA_TEE_OTA)) && size.0 != 2 * SECTOR && size.0 != 0 {
        found.push(Finding::OtadataSize { label, size });
    }
    let first = u64::from(rules.table.0) + u64::from(SECTOR);
    if !partition.is_primary() && u64::from(offset.0) < first {
        found.push(Finding::BelowTable { label, offset, first });
    }
    let flash = rules.flash_size.map_or(1 << 32, |size| u64::from(size.0));
    if partition.end() > flash {
        found.push(Finding::OutsideFlash { label, end: partition.end(), flash });
    }
    let read_only = flags.contains(PartitionFlags::READONLY);
    if read_only && (data(Subtype::DATA_OTA) || data(Subtype::DATA_TEE_OTA) || data(Subtype::DATA_COREDUMP)) {
        found.push(Finding::ReadOnly { label });
    }
    if data(Subtype::DATA_NVS) && !read_only && size.0 != 0 && size.0 < 3 * SECTOR {
        found.push(Finding::SmallNvs { label, size });
    }
    if data(Subtype::DATA_NVS) && flags.contains(PartitionFlags::ENCRYPTED) {
        found.push(Finding::EncryptedNvs { label });
    }
    if kind.0 == 0xff || subtype.0 == 0xff {
        found.push(Finding::Any { label });
    }
    let name = label.as_str();
    let other_kind = PartitionType::from_name(name).is_some_and(|named| named != kind);
    let is_subtype = |kind: PartitionType| Subtype::from_name(kind, name);
    let other_subtype =
        is_subtype(kind) != Some(subtype) && PartitionType::NAMED.iter().any(|&(_, kind)| is_subtype(kind).is_some());
    if other_kind || (other_subtype && PartitionType::from_name(name).is_none()) {
        found.push(Finding::Misleading { label });
    }
}

fn pair(first: &Partition, second: &Partition, found: &mut Vec<Finding>) {
    if first.label == second.label {
        found.push(Finding::DuplicateName { label: first.label, first: first.offset, second: second.offset });
    }
    let (from, to) = (first.offset.max(second.offset), first.end().min(second.end()));
    if u64::from(from.0) < to {
        found.push(Finding::Overlap { first: first.label, second: second.label, from, to });
    }
    let singular = match (first.kind, first.subtype) {
        (PartitionType::APP, Subtype::APP_FACTORY | Subtype::APP_TEST)
        | (PartitionType::DATA, Subtype::DATA_OTA | Subtype::DATA_TEE_OTA) => true,
        (PartitionType::APP, subtype) => subtype.ota_slot().is_some(),
        _ => false,
    };
    if singular && (first.kind, first.subtype) == (second.kind, second.subtype) {
        let name = first.subtype.name(first.kind).unwrap_or_default();
        found.push(Finding::DuplicateSlot { first: first.label, second: second.label, name });
    }
}

fn whole(partitions: &[Partition], found: &mut Vec<Finding>) {
    let has = |kind, subtype| partitions.iter().any(|partition| (partition.kind, partition.subtype) == (kind, subtype));
    let has_slot = |slot| Subtype::ota(slot).is_some_and(|subtype| has(PartitionType::APP, subtype));
    let slots = (0..16).filter(|&slot| has_slot(slot));
    if let Some(last) = slots.max() {
        for missing in (0..last).filter(|&slot| !has_slot(slot)) {
            found.push(Finding::OtaGap { missing, last });
        }
        if !has(PartitionType::DATA, Subtype::DATA_OTA) {
            found.push(Finding::NoOtadata);
        }
    } else if has(PartitionType::DATA, Subtype::DATA_OTA) {
        found.push(Finding::NoSlots);
    }
    let app = |partition: &Partition| partition.kind == PartitionType::APP;
    if !partitions.iter().any(app) {
        found.push(Finding::NoApp);
    }
}

/// One thing that is wrong, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Finding {
    #[error("{count} partitions, but the table has room for {most}")]
    TooMany { count: usize, most: usize },
    #[error("{label}: offset {offset} is not a multiple of {alignment:#x}; the next one is {next:#x}")]
    Alignment { label: Label, offset: FlashAddr, alignment: u32, next: u64 },
    #[error("{label}: the size is 0")]
    Empty { label: Label },
    #[error("{label}: size {size} of an app is not a multiple of {unit:#x}; the next one is {next:#x}")]
    AppSize { label: Label, size: FlashLen, unit: u32, next: u64 },
    #[error("{label}: size {size}, but this subtype has exactly 0x2000 (one sector for each entry)")]
    OtadataSize { label: Label, size: FlashLen },
    #[error("{label}: offset {offset} lies before {first:#x}, the end of the partition table's sector")]
    BelowTable { label: Label, offset: FlashAddr, first: u64 },
    #[error("{label}: ends at {end:#x}, but the flash ends at {flash:#x} ({} bytes too long)", end - flash)]
    OutsideFlash { label: Label, end: u64, flash: u64 },
    #[error("{label}: has the flag readonly, but the system writes to it; remove the flag")]
    ReadOnly { label: Label },
    #[error("{label}: NVS needs 0x3000 to be written to, this is {size}; enlarge it, or give it the flag readonly")]
    SmallNvs { label: Label, size: FlashLen },
    #[error("{label}: NVS has an encryption of its own; remove the flag encrypted, and add a partition nvs_keys")]
    EncryptedNvs { label: Label },
    #[error("{label}: type and subtype 0xff mean `any` to ESP-IDF's functions; choose another number")]
    Any { label: Label },
    #[error("{label}: is named like a type or subtype that it does not have; is it a mistake?")]
    Misleading { label: Label },
    #[error("{label}: name used twice (at {first} and {second}); give one another name")]
    DuplicateName { label: Label, first: FlashAddr, second: FlashAddr },
    #[error("{first} and {second} overlap from {from} to {to:#x} ({})", HumanSize(FlashLen(u32::try_from(to - u64::from(from.0)).unwrap_or(u32::MAX))))]
    Overlap { first: Label, second: Label, from: FlashAddr, to: u64 },
    #[error("{first} and {second} both have the subtype {name}, which may be there once")]
    DuplicateSlot { first: Label, second: Label, name: &'static str },
    #[error("ota_{missing} is missing below ota_{last}: the bootloader counts slots and would boot what is not there")]
    OtaGap { missing: u8, last: u8 },
    #[error("there are ota slots but no otadata: the bootloader cannot switch between them; add `data, ota, , 0x2000`")]
    NoOtadata,
    #[error("there is an otadata partition but no ota slot that it could choose")]
    NoSlots,
    #[error("there is no app partition: nothing can boot")]
    NoApp,
}

impl Finding {
    /// True if a table like this must not be built; false for what may be meant, though it is unusual.
    #[must_use]
    pub const fn forbids(&self) -> bool {
        !matches!(
            self,
            Self::EncryptedNvs { .. }
                | Self::Any { .. }
                | Self::Misleading { .. }
                | Self::NoOtadata
                | Self::NoSlots
                | Self::NoApp
        )
    }

    /// A short stable name, for machines.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooMany { .. } => "too-many",
            Self::Alignment { .. } => "alignment",
            Self::Empty { .. } => "empty",
            Self::AppSize { .. } => "app-size",
            Self::OtadataSize { .. } => "otadata-size",
            Self::BelowTable { .. } => "below-table",
            Self::OutsideFlash { .. } => "outside-flash",
            Self::ReadOnly { .. } => "read-only",
            Self::SmallNvs { .. } => "small-nvs",
            Self::EncryptedNvs { .. } => "encrypted-nvs",
            Self::Any { .. } => "any",
            Self::Misleading { .. } => "misleading-name",
            Self::DuplicateName { .. } => "duplicate-name",
            Self::Overlap { .. } => "overlap",
            Self::DuplicateSlot { .. } => "duplicate-slot",
            Self::OtaGap { .. } => "ota-gap",
            Self::NoOtadata => "no-otadata",
            Self::NoSlots => "no-slots",
            Self::NoApp => "no-app",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::csv::{CsvOptions, parse};
    use super::*;
    use crate::partition::{DEFAULT_OFFSET, PartitionTable};
    use alloc::string::{String, ToString};
    use proptest::prelude::*;

    const RULES: Rules =
        Rules { table: DEFAULT_OFFSET, flash_size: None, secure_boot: SecureBoot::None, checksum: true };
    const PLAIN: CsvOptions<'static> =
        CsvOptions { table: DEFAULT_OFFSET, bootloader: None, recovery: None, variables: None };

    fn codes(csv: &str, rules: &Rules) -> Vec<&'static str> {
        findings(&parse(csv, &PLAIN).unwrap(), rules).iter().map(Finding::code).collect()
    }

    #[test]
    fn golden_tables_have_no_finding() {
        for csv in [
            include_str!("../../../vectors/partition/two_ota_sec.csv"),
            include_str!("../../../vectors/partition/singleapp.csv"),
        ] {
            for secure_boot in [SecureBoot::None, SecureBoot::V1, SecureBoot::V2] {
                let rules = Rules { flash_size: Some(FlashLen(4 << 20)), secure_boot, ..RULES };
                assert_eq!(codes(csv, &rules), [""; 0]);
            }
        }
    }

    #[test]
    fn each_mistake_has_its_finding() {
        let app = "f,app,factory,0x20000,64K\n";
        for (line, code) in [
            ("a,app,test,0x31000,64K", "alignment"),
            ("d,data,fat,0x31004,4K", "alignment"),
            ("d,data,fat,0x31000,0", "empty"),
            ("a,app,test,,0x1100", "app-size"),
            ("d,data,tee_ota,,0x1000", "otadata-size"),
            ("d,data,tee_ota,,0x2000,readonly", "read-only"),
            ("d,data,coredump,,64K,readonly", "read-only"),
            ("d,data,fat,0x8000,4K", "below-table"),
            ("b,bootloader,ota,0x1000,0x7000", "below-table"),
            ("d,data,fat,0x400000,4K", "outside-flash"),
            ("n,data,nvs,,0x2000", "small-nvs"),
            ("n,data,nvs,,0x3000,encrypted", "encrypted-nvs"),
            ("d,0xff,1,,4K", "any"),
            ("nvs,data,fat,,4K", "misleading-name"),
            ("app,data,fat,,4K", "misleading-name"),
            ("f,data,fat,,4K", "duplicate-name"),
            ("d,data,fat,0x2f000,8K", "overlap"),
            ("g,app,factory,,64K", "duplicate-slot"),
            ("o,data,ota,,8K", "no-slots"),
            ("o,app,ota_0,,64K", "no-otadata"),
        ] {
            let csv = String::from(app) + line;
            let flash_size = Some(FlashLen(4 << 20));
            assert_eq!(codes(&csv, &Rules { flash_size, ..RULES }), [code], "{line}");
        }
        assert_eq!(codes("d,data,fat,,4K", &RULES), ["no-app"]);
        let tee = "\nt,data,tee_ota,,8K\nu,data,tee_ota,,8K";
        assert_eq!(codes(&(String::from(app) + tee), &RULES), ["duplicate-slot"]);
        assert_eq!(codes("o,data,ota,,8K\nx,app,ota_2,,64K", &RULES), ["ota-gap", "ota-gap"]);
        assert_eq!(codes("f,app,factory,,68K", &Rules { secure_boot: SecureBoot::V1, ..RULES }), ["app-size"]);
        assert_eq!(codes("f,app,factory,,68K", &Rules { secure_boot: SecureBoot::V2, ..RULES }), [""; 0]);
    }

    #[test]
    fn primary_bootloader_and_table_may_lie_before_the_end_of_the_table() {
        let csv = "boot,bootloader,primary,,\ntable,partition_table,primary,,\nf,app,factory,,1M";
        let options = CsvOptions { bootloader: Some(FlashAddr(0x1000)), ..PLAIN };
        let partitions = parse(csv, &options).unwrap();
        assert_eq!(findings(&partitions, &RULES), []);
        assert_eq!((partitions[0].offset, partitions[0].size), (FlashAddr(0x1000), FlashLen(0x7000)));
    }

    #[test]
    fn a_finding_says_what_to_do() {
        let partitions = parse("f,app,factory,0x11000,0x1100\nd,data,fat,0x12000,8K", &PLAIN).unwrap();
        let texts: Vec<String> = findings(&partitions, &RULES).iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "f: offset 0x11000 is not a multiple of 0x10000; the next one is 0x20000",
                "f: size 0x1100 of an app is not a multiple of 0x1000; the next one is 0x2000",
                "f and d overlap from 0x12000 to 0x12100 (0x100)",
            ]
        );
    }

    #[test]
    fn counts_the_room_that_the_md5_row_takes() {
        let line = |index: usize| alloc::format!("p{index},0x40,0,,4K\n");
        let csv: String = (0..94).map(line).chain([String::from("f,app,factory,,64K\n")]).collect();
        assert_eq!(codes(&csv, &RULES), ["too-many"]);
        assert_eq!(codes(&csv, &Rules { checksum: false, ..RULES }), [""; 0]);
    }

    proptest! {
        #[test]
        fn what_nothing_forbids_is_a_legal_table(
            rows in proptest::collection::vec((0..4u8, 0..0x22u8, 0..64u32, 1..40u32, 0..4u32), 0..12),
        ) {
            let partitions: Vec<Partition> = rows.iter().enumerate().map(|(index, &(kind, subtype, offset, size, flags))| {
                Partition {
                    label: Label::new(&alloc::format!("p{index}")).unwrap(),
                    kind: PartitionType(kind),
                    subtype: Subtype(subtype),
                    offset: FlashAddr(offset * 0x8000),
                    size: FlashLen(size * 0x800),
                    flags: PartitionFlags(flags),
                }
            }).collect();
            let forbidden = findings(&partitions, &RULES).iter()
                .any(|finding| finding.forbids() && finding.code() != "below-table");
            prop_assert_eq!(PartitionTable::new(&partitions).is_err(), forbidden);
        }
    }
}
