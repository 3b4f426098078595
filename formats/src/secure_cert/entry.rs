//! One entry: header, data, zeros up to a multiple of 16, CRC-A over all of that.

use crate::crc::crc_a;
use core::fmt;

/// What an entry holds. Unknown values survive.
#[doc(alias = "esp_secure_cert_tlv_type_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TlvType(pub u8);

impl TlvType {
    /// The CA that the device trusts.
    pub const CA_CERT: Self = Self(0);
    /// The device's certificate.
    pub const DEVICE_CERT: Self = Self(1);
    /// The device's private key, or only the mark where it is.
    pub const PRIVATE_KEY: Self = Self(2);
    /// Parameters of the digital signature peripheral.
    pub const DS_DATA: Self = Self(3);
    /// Key block and key length that belong to them.
    pub const DS_CONTEXT: Self = Self(4);
    /// Salt of a derived ECDSA key.
    pub const ECDSA_SALT: Self = Self(5);
    /// Key block of the ECDSA peripheral.
    pub const SECURITY_CONFIG: Self = Self(6);
    /// Storage key of a trusted execution environment.
    pub const TEE_STORAGE_KEY: Self = Self(7);
    /// A signature over everything before the first of its type.
    pub const SIGNATURE: Self = Self(8);
    /// SHA-256 of everything before it.
    pub const INTEGRITY: Self = Self(9);
    /// The product's own data; five types, up to 55.
    pub const USER_DATA_1: Self = Self(51);
    /// Matter, first entry.
    pub const MATTER_1: Self = Self(201);
    /// Matter, second entry.
    pub const MATTER_2: Self = Self(202);

    /// Espressif's name in CSV files, if this value has one.
    #[must_use]
    pub const fn espressif_name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "ESP_SECURE_CERT_CA_CERT_TLV",
            1 => "ESP_SECURE_CERT_DEV_CERT_TLV",
            2 => "ESP_SECURE_CERT_PRIV_KEY_TLV",
            3 => "ESP_SECURE_CERT_DS_DATA_TLV",
            4 => "ESP_SECURE_CERT_DS_CONTEXT_TLV",
            5 => "ESP_SECURE_CERT_ECDSA_KEY_SALT_TLV",
            6 => "ESP_SECURE_CERT_SEC_CFG_TLV",
            7 => "ESP_SECURE_CERT_TEE_SEC_STORAGE_KEY_TLV",
            8 => "ESP_SECURE_CERT_SIGNATURE_BLOCK_TLV",
            9 => "ESP_SECURE_CERT_INTEGRITY_TLV",
            51 => "ESP_SECURE_CERT_USER_DATA_1_TLV",
            52 => "ESP_SECURE_CERT_USER_DATA_2_TLV",
            53 => "ESP_SECURE_CERT_USER_DATA_3_TLV",
            54 => "ESP_SECURE_CERT_USER_DATA_4_TLV",
            55 => "ESP_SECURE_CERT_USER_DATA_5_TLV",
            201 => "ESP_SECURE_CERT_MATTER_TLV_1",
            202 => "ESP_SECURE_CERT_MATTER_TLV_2",
            _ => return None,
        })
    }

    /// The type that a CSV file names, by Espressif's name or by number.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let known = (0..=u8::MAX).map(Self).find(|kind| kind.espressif_name() == Some(name));
        known.or_else(|| name.parse().ok().map(Self))
    }

    /// False for the values that mean "end", "highest" and "none" to the firmware.
    #[must_use]
    pub const fn is_storable(self) -> bool {
        !matches!(self.0, 50 | 254 | 255)
    }
}

impl fmt::Display for TlvType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("CA certificate"),
            1 => f.write_str("device certificate"),
            2 => f.write_str("private key"),
            3 => f.write_str("DS data"),
            4 => f.write_str("DS context"),
            5 => f.write_str("ECDSA salt"),
            6 => f.write_str("security config"),
            7 => f.write_str("TEE storage key"),
            8 => f.write_str("signature"),
            9 => f.write_str("integrity"),
            number @ 51..=55 => write!(f, "user data {}", number - 50),
            number @ 201..=202 => write!(f, "Matter {}", number - 200),
            number => write!(f, "type {number}"),
        }
    }
}

/// How an entry is protected. The bits exclude each other; unknown ones survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// As it stands.
    pub const NONE: Self = Self(0);
    /// Encrypted with AES-GCM under a key from the HMAC peripheral.
    pub const HMAC_ENCRYPTED: Self = Self(0x80);
    /// Derived by the HMAC peripheral; the entry is empty.
    pub const HMAC_DERIVED: Self = Self(0x40);
    /// In an eFuse block, for the ECDSA peripheral; the entry ought to be empty.
    pub const ECDSA_PERIPHERAL: Self = Self(0x08);

    /// What the firmware does with the entry; `None` for bits that it does not know or that contradict each other.
    #[must_use]
    pub const fn protection(self) -> Option<Protection> {
        match self {
            Self::NONE => Some(Protection::None),
            Self::HMAC_ENCRYPTED => Some(Protection::HmacEncrypted),
            Self::HMAC_DERIVED => Some(Protection::HmacDerived),
            Self::ECDSA_PERIPHERAL => Some(Protection::EcdsaPeripheral),
            _ => None,
        }
    }
}

/// Where the secret of an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Protection {
    None,
    HmacEncrypted,
    HmacDerived,
    EcdsaPeripheral,
}

/// An entry that lies inside the partition. Whether its CRC holds is another question: [`Self::check`].
#[doc(alias = "esp_secure_cert_tlv_header_t")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Offset of its header in the partition.
    pub offset: usize,
    /// How it is protected.
    pub flags: Flags,
    /// Zero, and read by nobody.
    pub reserved: [u8; 3],
    /// What it holds.
    pub kind: TlvType,
    /// Index among the entries of its type.
    pub subtype: u8,
    /// The data alone.
    pub data: &'a [u8],
    /// Header, data, padding and CRC.
    pub bytes: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Bytes before the data.
    pub const HEADER_LEN: usize = 12;
    /// Bytes behind the padding.
    pub const CRC_LEN: usize = 4;
    /// Entries, and the data in them, take a multiple of this: flash encryption writes no less.
    #[doc(alias = "MIN_ALIGNMENT_REQUIRED")]
    pub const ALIGNMENT: usize = 16;
    /// First word of an entry.
    #[doc(alias = "ESP_SECURE_CERT_TLV_MAGIC")]
    pub const MAGIC: u32 = 0xBA5E_BA11;

    /// Bytes that an entry with so much data takes.
    #[must_use]
    pub const fn len_with(data: usize) -> usize {
        Self::HEADER_LEN + data.next_multiple_of(Self::ALIGNMENT) + Self::CRC_LEN
    }

    /// The zeros between data and CRC.
    #[must_use]
    pub fn padding(&self) -> &'a [u8] {
        &self.bytes[Self::HEADER_LEN + self.data.len()..self.bytes.len() - Self::CRC_LEN]
    }

    /// Holds the CRC against header, data and padding.
    ///
    /// # Errors
    /// [`TlvError::Crc`].
    pub fn check(&self) -> Result<(), TlvError> {
        let (body, stored) = self.bytes.split_at(self.bytes.len() - Self::CRC_LEN);
        let stored = u32::from_le_bytes(stored.try_into().expect("an entry ends with four bytes"));
        let computed = crc_a(body);
        if stored == computed { Ok(()) } else { Err(TlvError::Crc { at: self.offset, stored, computed }) }
    }

    /// The offset behind it.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.offset + self.bytes.len()
    }
}

/// The data may be a key.
impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, flags, kind, subtype, data, .. } = self;
        write!(f, "Entry({kind} {subtype} at {offset:#x}, flags {:#04x}, {} bytes)", flags.0, data.len())
    }
}

/// The entries of a partition in order. It ends at the first word that is not the magic, as the firmware does, or after
/// an entry that reaches beyond the partition.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Entries<'a> {
    /// Starts at offset 0 of the partition.
    #[must_use]
    pub const fn new(partition: &'a [u8]) -> Self {
        Self { bytes: partition, at: 0 }
    }

    /// Where the next entry would begin; at the end, what nobody reads.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, TlvError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..)?;
        if rest.first_chunk() != Some(&Entry::MAGIC.to_le_bytes()) {
            return None;
        }
        let at = self.at;
        let truncated = |needed| Some(Err(TlvError::Truncated { at, needed, remaining: rest.len() }));
        let Some(&[_, _, _, _, flags, r0, r1, r2, kind, subtype, low, high]) = rest.first_chunk() else {
            self.at = self.bytes.len();
            return truncated(Entry::HEADER_LEN + Entry::CRC_LEN);
        };
        let len = usize::from(u16::from_le_bytes([low, high]));
        let Some(bytes) = rest.get(..Entry::len_with(len)) else {
            self.at = self.bytes.len();
            return truncated(Entry::len_with(len));
        };
        self.at += bytes.len();
        let data = &bytes[Entry::HEADER_LEN..Entry::HEADER_LEN + len];
        let (flags, reserved, kind) = (Flags(flags), [r0, r1, r2], TlvType(kind));
        Some(Ok(Entry { offset: at, flags, reserved, kind, subtype, data, bytes }))
    }
}

/// What is wrong with an entry as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlvError {
    /// It reaches beyond the partition.
    #[error("entry at {at:#x} takes {needed} bytes, but only {remaining} remain")]
    Truncated {
        /// Its offset.
        at: usize,
        /// What it takes.
        needed: usize,
        /// What is left.
        remaining: usize,
    },
    /// Damaged.
    #[error("entry at {at:#x}: stored CRC {stored:#010x}, calculated {computed:#010x}")]
    Crc {
        /// Its offset.
        at: usize,
        /// As in the partition.
        stored: u32,
        /// Of the entry.
        computed: u32,
    },
}
