//! Slots of the data zone, and the two words of the configuration zone that say what may be done with each.
//!
//! Source: DS20005927A sections 2.1, 2.2.1 to 2.2.5; the bits that the ATECC608 reads differently: Microchip's "Migrating
//! from the ATECC508A to the ATECC608B" and cryptoauthlib 20260505 `calib_device.h`.

/// One of the 16 slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u8);

impl Slot {
    /// The slot of that number; `None` above 15.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| *number < 16).map(Self)
    }

    /// The slot that the low four bits name.
    #[must_use]
    pub const fn from_low_bits(bits: u16) -> Self {
        Self((bits & 0xf) as u8)
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..16).map(Self)
    }

    /// 0 to 15.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The number as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Bytes.
    #[must_use]
    pub const fn len(self) -> usize {
        match self.0 {
            0..=7 => 36,
            8 => 416,
            _ => 72,
        }
    }

    /// Never.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        false
    }

    /// Whether a public key fits in: 4 bytes of padding, X, 4 bytes of padding, Y.
    #[must_use]
    pub const fn holds_public_keys(self) -> bool {
        self.0 >= 8
    }
}

/// `SlotConfig`: who reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotConfig(pub u16);

impl SlotConfig {
    /// Bits 3 to 0: the slot of the key that encrypts reads, or that validates a public key.
    #[must_use]
    pub const fn read_key(self) -> Slot {
        Slot::from_low_bits(self.0)
    }

    /// Bit 0 of `ReadKey` of a private key: it signs what comes from outside.
    #[must_use]
    pub const fn signs_external(self) -> bool {
        self.0 & 1 != 0
    }

    /// Bit 1: it signs what `GenDig` and `GenKey` made.
    #[must_use]
    pub const fn signs_internal(self) -> bool {
        self.0 & 1 << 1 != 0
    }

    /// Bit 2: ECDH.
    #[must_use]
    pub const fn agrees(self) -> bool {
        self.0 & 1 << 2 != 0
    }

    /// Bit 3: what ECDH comes to goes into the next slot.
    #[must_use]
    pub const fn agrees_into_next_slot(self) -> bool {
        self.0 & 1 << 3 != 0
    }

    /// Bit 4: not for MAC and HMAC.
    #[must_use]
    pub const fn is_no_mac(self) -> bool {
        self.0 & 1 << 4 != 0
    }

    /// Bit 5: counter 0 limits its use.
    #[must_use]
    pub const fn is_limited(self) -> bool {
        self.0 & 1 << 5 != 0
    }

    /// Bit 6: reads are encrypted.
    #[must_use]
    pub const fn encrypts_reads(self) -> bool {
        self.0 & 1 << 6 != 0
    }

    /// Bit 7: no clear reads, no words of four bytes.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        self.0 & 1 << 7 != 0
    }

    /// Bits 11 to 8: the slot of the key that authorises writes.
    #[must_use]
    pub const fn write_key(self) -> Slot {
        Slot::from_low_bits(self.0 >> 8)
    }

    /// Bits 15 to 12, as the `Write` command reads them.
    #[must_use]
    pub const fn write_rule(self) -> WriteRule {
        match self.0 >> 12 {
            0 => WriteRule::Always,
            1 => WriteRule::PublicKeyInvalid,
            bits if bits & 4 != 0 => WriteRule::Encrypted,
            _ => WriteRule::Never,
        }
    }

    /// Bit 13: `GenKey` may make a private key here, `DeriveKey` a secret one.
    #[must_use]
    pub const fn creates_keys(self) -> bool {
        self.0 & 1 << 13 != 0
    }

    /// Bit 12: `DeriveKey` derives from the parent key, not from the key itself.
    #[must_use]
    pub const fn derives_from_parent(self) -> bool {
        self.0 & 1 << 12 != 0
    }

    /// Bit 15: `DeriveKey` wants a MAC.
    #[must_use]
    pub const fn derives_with_mac(self) -> bool {
        self.0 & 1 << 15 != 0
    }

    /// Bit 14: `PrivWrite` may write here.
    #[must_use]
    pub const fn takes_private_keys(self) -> bool {
        self.0 & 1 << 14 != 0
    }
}

/// When the `Write` command may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteRule {
    /// In the clear.
    Always,
    /// In the clear, unless it holds a validated public key.
    PublicKeyInvalid,
    /// Encrypted and with a MAC.
    Encrypted,
    /// Not at all.
    Never,
}

/// `KeyConfig`: what the content is and who may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyConfig(pub u16);

impl KeyConfig {
    /// Bit 0: an ECC private key.
    #[must_use]
    pub const fn is_private(self) -> bool {
        self.0 & 1 != 0
    }

    /// Bit 1: of a private key, that its public key may be computed; of a public key, that it must be validated; of
    /// anything else on the ATECC608, that KDF may write it.
    #[must_use]
    pub const fn public_info(self) -> bool {
        self.0 & 1 << 1 != 0
    }

    /// Bits 4 to 2.
    #[must_use]
    pub const fn key_type(self) -> KeyType {
        KeyType((self.0 >> 2 & 7) as u8)
    }

    /// Bit 5: the `Lock` command may lock the slot.
    #[must_use]
    pub const fn is_lockable(self) -> bool {
        self.0 & 1 << 5 != 0
    }

    /// Bit 6: `TempKey` must come from the random number generator.
    #[must_use]
    pub const fn requires_random(self) -> bool {
        self.0 & 1 << 6 != 0
    }

    /// Bit 7: another key must have been used before.
    #[must_use]
    pub const fn requires_authorization(self) -> bool {
        self.0 & 1 << 7 != 0
    }

    /// Bits 11 to 8: that key.
    #[must_use]
    pub const fn authorizing_key(self) -> Slot {
        Slot::from_low_bits(self.0 >> 8)
    }

    /// Bit 12: of no use while the persistent latch is zero. `IntrusionDisable` on the ATECC508A.
    #[must_use]
    #[doc(alias = "IntrusionDisable")]
    pub const fn is_latched(self) -> bool {
        self.0 & 1 << 12 != 0
    }

    /// Bits 15 and 14: which of the four `X509format` bytes counts.
    #[must_use]
    pub const fn x509_format(self) -> usize {
        (self.0 >> 14) as usize
    }

    /// A public key that `Verify` uses only after it was validated.
    #[must_use]
    pub const fn is_validated_public_key(self) -> bool {
        !self.is_private() && self.public_info() && self.key_type().0 == KeyType::P256.0
    }
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyType(pub u8);

impl KeyType {
    /// ECC over NIST P-256.
    pub const P256: Self = Self(4);
    /// AES-128.
    pub const AES: Self = Self(6);
    /// A secret for SHA-256, or data.
    pub const OTHER: Self = Self(7);
}
