//! The names that a CSV uses for types and subtypes. A name belongs to one type; other values are spelled as numbers.
//!
//! Source: ESP-IDF 6.2-dev (1021229) `gen_esp32part.py` (v1.5), `esp_partition.h`.

use super::{PartitionType, Subtype};

impl PartitionType {
    /// All types that have a name.
    pub const NAMED: [(&'static str, Self); 4] = [
        ("app", Self::APP),
        ("data", Self::DATA),
        ("bootloader", Self::BOOTLOADER),
        ("partition_table", Self::PARTITION_TABLE),
    ];

    /// The type of that name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|&(_, kind)| kind)
    }

    /// The name of this type, if it has one.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Self::NAMED.iter().find(|&&(_, kind)| kind == self).map(|&(name, _)| name)
    }

    /// The subtypes that have a name under this type.
    #[must_use]
    pub const fn subtypes(self) -> &'static [(&'static str, Subtype)] {
        match self {
            Self::APP => &APP,
            Self::DATA => &DATA,
            Self::BOOTLOADER => &BOOTLOADER,
            Self::PARTITION_TABLE => &PARTITION_TABLE,
            _ => &[],
        }
    }
}

impl Subtype {
    /// The subtype of that name under `kind`, in any case.
    #[must_use]
    pub fn from_name(kind: PartitionType, name: &str) -> Option<Self> {
        kind.subtypes().iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|&(_, subtype)| subtype)
    }

    /// The name of this subtype under `kind`, if it has one.
    #[must_use]
    pub fn name(self, kind: PartitionType) -> Option<&'static str> {
        kind.subtypes().iter().find(|&&(_, subtype)| subtype == self).map(|&(name, _)| name)
    }
}

const APP: [(&str, Subtype); 20] = [
    ("factory", Subtype(0x00)),
    ("ota_0", Subtype(0x10)),
    ("ota_1", Subtype(0x11)),
    ("ota_2", Subtype(0x12)),
    ("ota_3", Subtype(0x13)),
    ("ota_4", Subtype(0x14)),
    ("ota_5", Subtype(0x15)),
    ("ota_6", Subtype(0x16)),
    ("ota_7", Subtype(0x17)),
    ("ota_8", Subtype(0x18)),
    ("ota_9", Subtype(0x19)),
    ("ota_10", Subtype(0x1a)),
    ("ota_11", Subtype(0x1b)),
    ("ota_12", Subtype(0x1c)),
    ("ota_13", Subtype(0x1d)),
    ("ota_14", Subtype(0x1e)),
    ("ota_15", Subtype(0x1f)),
    ("test", Subtype(0x20)),
    ("tee_0", Subtype(0x30)),
    ("tee_1", Subtype(0x31)),
];

const DATA: [(&str, Subtype); 12] = [
    ("ota", Subtype(0x00)),
    ("phy", Subtype(0x01)),
    ("nvs", Subtype(0x02)),
    ("coredump", Subtype(0x03)),
    ("nvs_keys", Subtype(0x04)),
    ("efuse", Subtype(0x05)),
    ("undefined", Subtype(0x06)),
    ("esphttpd", Subtype(0x80)),
    ("fat", Subtype(0x81)),
    ("spiffs", Subtype(0x82)),
    ("littlefs", Subtype(0x83)),
    ("tee_ota", Subtype(0x90)),
];

const BOOTLOADER: [(&str, Subtype); 3] = [("primary", Subtype(0)), ("ota", Subtype(1)), ("recovery", Subtype(2))];
const PARTITION_TABLE: [(&str, Subtype); 2] = [("primary", Subtype(0)), ("ota", Subtype(1))];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_again_and_every_value_has_one_name() {
        for (name, kind) in PartitionType::NAMED {
            assert_eq!((PartitionType::from_name(name), kind.name()), (Some(kind), Some(name)));
            for &(name, subtype) in kind.subtypes() {
                assert_eq!((Subtype::from_name(kind, name), subtype.name(kind)), (Some(subtype), Some(name)));
            }
        }
        assert_eq!(Subtype::from_name(PartitionType::APP, "OTA_15"), Subtype::ota(15));
    }

    #[test]
    fn a_name_of_another_type_is_unknown() {
        assert_eq!(Subtype::from_name(PartitionType::APP, "nvs"), None);
        assert_eq!(Subtype::from_name(PartitionType::APP, "ota_16"), None);
        assert_eq!(Subtype::from_name(PartitionType(0x40), "nvs"), None);
        assert_eq!(PartitionType::from_name("apps"), None);
        assert_eq!((PartitionType(0x40).name(), Subtype(7).name(PartitionType::DATA)), (None, None));
    }
}
