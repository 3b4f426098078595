//! The configuration zone: who the part is, what it allows, what is locked.
//!
//! Source: DS20005927A table 2-5; the bytes that only the ATECC608 has: Microchip's "Migrating from the ATECC508A to the
//! ATECC608B", table 3-1, and cryptoauthlib 20260505 `calib_device.h`.

use super::slot::{KeyConfig, Slot, SlotConfig};

/// Bytes of the zone.
pub const CONFIG_LEN: usize = 128;

/// The whole zone. Every value of its bytes means something to the part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigZone(pub [u8; CONFIG_LEN]);

impl ConfigZone {
    /// SN<0:8>, which is unique for each part.
    #[must_use]
    pub fn serial_number(&self) -> [u8; 9] {
        let mut serial = [0; 9];
        serial[..4].copy_from_slice(&self.0[..4]);
        serial[4..].copy_from_slice(&self.0[8..13]);
        serial
    }

    /// `RevNum`.
    #[must_use]
    pub fn revision(&self) -> [u8; 4] {
        [self.0[4], self.0[5], self.0[6], self.0[7]]
    }

    /// Byte 13: the AES command is there.
    #[must_use]
    pub const fn has_aes(&self) -> bool {
        self.0[13] & 1 != 0
    }

    /// Seven bits: what the bus calls the part, which it learns when it wakes up.
    #[must_use]
    pub const fn address(&self) -> u8 {
        let (own, extra) = (self.0[16] >> 1, self.0[85] >> 1);
        if self.chip_mode() & 1 != 0 && extra != 0 { extra } else { own }
    }

    /// Byte 18: the slot with the limit of counter 0, if there is one.
    #[must_use]
    pub const fn count_match(&self) -> Option<Slot> {
        if self.0[18] & 1 != 0 { Some(Slot::from_low_bits((self.0[18] >> 4) as u16)) } else { None }
    }

    /// Byte 19.
    #[must_use]
    pub const fn chip_mode(&self) -> u8 {
        self.0[19]
    }

    /// Bit 2 of [`Self::chip_mode`]: ten seconds instead of 1.3.
    #[must_use]
    pub const fn has_long_watchdog(&self) -> bool {
        self.chip_mode() & 1 << 2 != 0
    }

    /// Bits 7 to 3 of [`Self::chip_mode`].
    #[must_use]
    pub const fn clock_divider(&self) -> ClockDivider {
        ClockDivider(self.chip_mode() >> 3)
    }

    /// What may be done with a slot.
    #[must_use]
    pub const fn slot_config(&self, slot: Slot) -> SlotConfig {
        SlotConfig(self.word(20 + 2 * slot.index()))
    }

    /// What it holds.
    #[must_use]
    pub const fn key_config(&self, slot: Slot) -> KeyConfig {
        KeyConfig(self.word(96 + 2 * slot.index()))
    }

    /// Byte 69: the slot that must be authorised before the persistent latch is set, if it can be set.
    #[must_use]
    pub const fn volatile_key(&self) -> Option<Slot> {
        if self.0[69] & 0x80 != 0 { Some(Slot::from_low_bits(self.0[69] as u16)) } else { None }
    }

    /// Bytes 70 and 71.
    #[must_use]
    pub const fn secure_boot(&self) -> SecureBootConfig {
        SecureBootConfig(self.word(70))
    }

    /// Bytes 72 to 74: where a message for HKDF must have which two bytes.
    #[must_use]
    pub const fn kdf_initialization(&self) -> (usize, [u8; 2]) {
        (self.0[72] as usize, [self.0[73], self.0[74]])
    }

    /// Byte 86: the policies of data and OTP zone are in force.
    #[must_use]
    pub const fn is_data_locked(&self) -> bool {
        self.0[LOCK_VALUE] != UNLOCKED
    }

    /// Byte 87.
    #[must_use]
    pub const fn is_config_locked(&self) -> bool {
        self.0[LOCK_CONFIG] != UNLOCKED
    }

    /// Bytes 88 and 89: the slot never changes again.
    #[must_use]
    pub const fn is_slot_locked(&self, slot: Slot) -> bool {
        self.word(88) & 1 << slot.number() == 0
    }

    /// Locks it.
    pub const fn lock_slot(&mut self, slot: Slot) {
        let [low, high] = (self.word(88) & !(1 << slot.number())).to_le_bytes();
        self.0[88] = low;
        self.0[89] = high;
    }

    /// Bytes 90 and 91.
    #[must_use]
    pub const fn chip_options(&self) -> ChipOptions {
        ChipOptions(self.word(90))
    }

    /// Bytes 92 to 95: how a certificate must look that validates a public key.
    #[must_use]
    pub const fn x509_format(&self, index: usize) -> u8 {
        self.0[92 + (index & 3)]
    }

    const fn word(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }
}

/// Where `LockValue` is.
pub const LOCK_VALUE: usize = 86;

/// Where `LockConfig` is.
pub const LOCK_CONFIG: usize = 87;

/// What both hold until they are locked.
pub const UNLOCKED: u8 = 0x55;

/// What they hold then.
pub const LOCKED: u8 = 0;

/// How slow the part computes, for less power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockDivider(pub u8);

/// The three that the data sheet names.
impl ClockDivider {
    /// Fastest.
    pub const M0: Self = Self(0x00);
    /// Slower.
    pub const M1: Self = Self(0x05);
    /// Slowest.
    pub const M2: Self = Self(0x0d);
}

/// `ChipOptions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChipOptions(pub u16);

impl ChipOptions {
    /// Bits 1 and 15 to 12: the key that protects what goes over the bus.
    #[must_use]
    pub const fn io_key(self) -> Option<Slot> {
        if self.0 & 1 << 1 != 0 { Some(Slot::from_low_bits(self.0 >> 12)) } else { None }
    }

    /// Bit 2.
    #[must_use]
    pub const fn kdf_has_aes(self) -> bool {
        self.0 & 1 << 2 != 0
    }

    /// Bits 9 and 8.
    #[must_use]
    pub const fn ecdh_output(self) -> OutputRule {
        OutputRule::from_bits(self.0 >> 8)
    }

    /// Bits 11 and 10.
    #[must_use]
    pub const fn kdf_output(self) -> OutputRule {
        OutputRule::from_bits(self.0 >> 10)
    }
}

/// How a computed secret may leave the part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputRule {
    /// As the command asks for.
    Clear,
    /// Encrypted, whatever the command asks for.
    Encrypted,
    /// Not at all.
    Inside,
    /// A value that has no meaning; nothing leaves.
    Invalid,
}

impl OutputRule {
    const fn from_bits(bits: u16) -> Self {
        match bits & 3 {
            0 => Self::Clear,
            1 => Self::Encrypted,
            2 => Self::Inside,
            _ => Self::Invalid,
        }
    }
}

/// `SecureBoot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecureBootConfig(pub u16);

impl SecureBootConfig {
    /// Bits 1 and 0.
    #[must_use]
    pub const fn mode(self) -> SecureBootMode {
        match self.0 & 3 {
            0 => SecureBootMode::Disabled,
            1 => SecureBootMode::Full,
            2 => SecureBootMode::StoredSignature,
            _ => SecureBootMode::StoredDigest,
        }
    }

    /// Bit 3: success sets the persistent latch.
    #[must_use]
    pub const fn sets_latch(self) -> bool {
        self.0 & 1 << 3 != 0
    }

    /// Bit 4: only with a random nonce.
    #[must_use]
    pub const fn requires_random(self) -> bool {
        self.0 & 1 << 4 != 0
    }

    /// Bits 11 to 8: where digest or signature is stored.
    #[must_use]
    pub const fn digest_slot(self) -> Slot {
        Slot::from_low_bits(self.0 >> 8)
    }

    /// Bits 15 to 12: the public key.
    #[must_use]
    pub const fn key_slot(self) -> Slot {
        Slot::from_low_bits(self.0 >> 12)
    }
}

/// What the `SecureBoot` command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecureBootMode {
    /// Nothing.
    Disabled,
    /// It checks a digest and its signature each time.
    Full,
    /// It keeps the signature.
    StoredSignature,
    /// It keeps the digest.
    StoredDigest,
}
