//! What survives without power: configuration, OTP and data zone.

use cotter_formats::atecc::config::{LOCK_CONFIG, LOCK_VALUE, LOCKED};
use cotter_formats::atecc::counter::Count;
use cotter_formats::atecc::packet::Crc;
use cotter_formats::atecc::{BLOCK_LEN, ConfigZone, OTP_LEN, Slot};
use zeroize::Zeroizing;

/// The EEPROM.
pub(super) struct Memory {
    config: ConfigZone,
    otp: [u8; OTP_LEN],
    data: Zeroizing<Vec<u8>>,
    /// Slots whose private key was made or written whole, one bit each.
    private_keys: u16,
    has_changed: bool,
}

/// Bytes of the data zone.
pub(super) const DATA_LEN: usize = 1_208;

impl Memory {
    /// Never written, but for the configuration zone.
    pub(super) fn fresh(config: ConfigZone) -> Self {
        Self {
            config,
            otp: [0xff; OTP_LEN],
            data: Zeroizing::new(vec![0xff; DATA_LEN]),
            private_keys: 0,
            has_changed: false,
        }
    }

    /// As it was; `data` has [`DATA_LEN`] bytes.
    pub(super) fn restored(
        config: ConfigZone,
        otp: [u8; OTP_LEN],
        data: Zeroizing<Vec<u8>>,
        private_keys: u16,
    ) -> Self {
        Self { config, otp, data, private_keys, has_changed: false }
    }

    pub(super) const fn config(&self) -> &ConfigZone {
        &self.config
    }

    pub(super) const fn otp(&self) -> &[u8; OTP_LEN] {
        &self.otp
    }

    pub(super) fn data(&self) -> &[u8] {
        &self.data
    }

    pub(super) const fn private_keys(&self) -> u16 {
        self.private_keys
    }

    /// Whether anything was written since this was asked last.
    pub(super) const fn take_changed(&mut self) -> bool {
        std::mem::replace(&mut self.has_changed, false)
    }

    pub(super) fn slot(&self, slot: Slot) -> &[u8] {
        &self.data[range(slot)]
    }

    /// The first 32 bytes of a slot, which are the key if it is a secret one.
    pub(super) fn key(&self, slot: Slot) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(&self.slot(slot)[..32]);
        key
    }

    /// The private key in a slot, once there is one.
    pub(super) fn private_key(&self, slot: Slot) -> Option<Zeroizing<[u8; 32]>> {
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(&self.slot(slot)[4..36]);
        (self.private_keys & 1 << slot.number() != 0).then_some(key)
    }

    /// X and Y of the public key in a slot that has room for one.
    pub(super) fn public_key(&self, slot: Slot) -> Option<[u8; 64]> {
        let content = self.slot(slot);
        let (x, y) = (content.get(4..36)?, content.get(40..72)?);
        let mut key = [0; 64];
        key[..32].copy_from_slice(x);
        key[32..].copy_from_slice(y);
        Some(key)
    }

    /// Whether the public key in a slot was validated.
    pub(super) fn is_validated(&self, slot: Slot) -> bool {
        self.slot(slot)[0] >> 4 == VALID
    }

    pub(super) fn set_validated(&mut self, slot: Slot, is_valid: bool) {
        let nibble = if is_valid { VALID } else { INVALID };
        let byte = self.slot(slot)[0] & 0xf | nibble << 4;
        self.write_slot(slot, 0, &[byte]);
    }

    pub(super) fn write_config(&mut self, at: usize, bytes: &[u8]) {
        self.config.0[at..at + bytes.len()].copy_from_slice(bytes);
        self.has_changed = true;
    }

    pub(super) fn write_otp(&mut self, at: usize, bytes: &[u8]) {
        self.otp[at..at + bytes.len()].copy_from_slice(bytes);
        self.has_changed = true;
    }

    /// Writes into a slot; what lies past its end is dropped.
    pub(super) fn write_slot(&mut self, slot: Slot, at: usize, bytes: &[u8]) {
        let room = slot.len().saturating_sub(at).min(bytes.len());
        let start = range(slot).start + at;
        self.data[start..start + room].copy_from_slice(&bytes[..room]);
        self.has_changed = true;
    }

    pub(super) fn write_private_key(&mut self, slot: Slot, key: &[u8; 32]) {
        self.write_slot(slot, 0, &[0; 4]);
        self.write_slot(slot, 4, key);
        self.private_keys |= 1 << slot.number();
    }

    pub(super) fn lock_config(&mut self) {
        self.write_config(LOCK_CONFIG, &[LOCKED]);
    }

    pub(super) fn lock_data(&mut self) {
        self.write_config(LOCK_VALUE, &[LOCKED]);
    }

    pub(super) fn lock_slot(&mut self, slot: Slot) {
        self.config.lock_slot(slot);
        self.has_changed = true;
    }

    pub(super) fn counter(&self, index: usize) -> Count {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.config.0[COUNTERS + 8 * index..][..8]);
        Count::decode(bytes)
    }

    pub(super) fn set_counter(&mut self, index: usize, count: Count) {
        self.write_config(COUNTERS + 8 * index, &count.encode());
    }

    /// The summary that locks data and OTP zone: every slot but those with private keys, then OTP.
    pub(super) fn data_crc(&self) -> u16 {
        let mut crc = Crc::default();
        for slot in Slot::all().filter(|slot| !self.config.key_config(*slot).is_private()) {
            crc.update(self.slot(slot));
        }
        crc.update(&self.otp);
        crc.value()
    }

    /// A block of a slot, zeros past its end.
    pub(super) fn slot_block(&self, slot: Slot, block: usize) -> Option<[u8; BLOCK_LEN]> {
        let content = self.slot(slot).get(block * BLOCK_LEN..).filter(|rest| !rest.is_empty())?;
        let mut out = [0; BLOCK_LEN];
        let len = content.len().min(BLOCK_LEN);
        out[..len].copy_from_slice(&content[..len]);
        Some(out)
    }
}

/// The upper four bits of a public key's first byte.
const VALID: u8 = 0x5;
const INVALID: u8 = 0xa;

const COUNTERS: usize = 52;

fn range(slot: Slot) -> std::ops::Range<usize> {
    let start = match slot.index() {
        index @ 0..=8 => 36 * index,
        index => 8 * 36 + 416 + 72 * (index - 9),
    };
    start..start + slot.len()
}
