//! What a sleep forgets: `TempKey`, the other buffers, the SHA context, authorisation.

use super::sha::ShaContext;
use cotter_formats::atecc::Slot;
use std::cell::Cell;
use zeroize::{Zeroize, Zeroizing};

/// The volatile memory.
#[derive(Default)]
pub(super) struct Sram {
    pub(super) temp_key: TempKey,
    /// The message digest buffer.
    pub(super) digest: Option<Buffer>,
    /// The alternate key buffer.
    pub(super) alternate_key: Option<Buffer>,
    pub(super) sha: Option<ShaContext>,
    /// The key that was shown to be known.
    pub(super) authorized: Option<Slot>,
}

/// 32 or 64 bytes.
pub(super) struct Buffer {
    bytes: Zeroizing<[u8; 64]>,
    len: usize,
}

impl Buffer {
    /// Of 32 or 64 bytes; `None` for any other length.
    pub(super) fn new(content: &[u8]) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 64]);
        bytes.get_mut(..content.len())?.copy_from_slice(content);
        matches!(content.len(), 32 | 64).then_some(Self { bytes, len: content.len() })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(super) fn lower(&self) -> [u8; 32] {
        let mut half = [0; 32];
        half.copy_from_slice(&self.bytes[..32]);
        half
    }

    pub(super) fn upper(&self) -> Option<[u8; 32]> {
        let mut half = [0; 32];
        half.copy_from_slice(&self.bytes[32..]);
        (self.len == 64).then_some(half)
    }
}

/// DS20005927A table 2-16; 64 bytes wide on the ATECC608.
pub(super) struct TempKey {
    value: Zeroizing<[u8; 64]>,
    /// 0 while it is not valid, else 32 or 64.
    len: usize,
    pub(super) flags: Flags,
    /// Its value was looked at since the command began.
    is_used: Cell<bool>,
}

/// What is known of how `TempKey` came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    /// The slot that `GenDig` or `GenKey` used.
    pub(super) key: u8,
    /// Only from outside, not from the random number generator.
    pub(super) is_input: bool,
    pub(super) gen_dig: bool,
    pub(super) gen_key: bool,
    /// A key went in that must not be used for MACs.
    pub(super) no_mac: bool,
    /// It is a private key that `GenKey` made, and nothing else.
    pub(super) is_private: bool,
    /// The digest of a certificate with the public key of a slot in it.
    pub(super) certificate: Option<CertificateDigest>,
}

/// How a public key went into a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CertificateDigest {
    pub(super) slot: Slot,
    /// Blocks of the message before it.
    pub(super) position: u8,
    /// Blocks of the whole message.
    pub(super) blocks: u8,
}

impl Default for TempKey {
    fn default() -> Self {
        Self { value: Zeroizing::new([0; 64]), len: 0, flags: Flags::default(), is_used: Cell::new(false) }
    }
}

impl TempKey {
    pub(super) const fn is_valid(&self) -> bool {
        self.len != 0
    }

    /// The first 32 bytes, if it is valid.
    pub(super) fn value(&self) -> Option<[u8; 32]> {
        self.is_used.set(true);
        let mut half = [0; 32];
        half.copy_from_slice(&self.value[..32]);
        self.is_valid().then_some(half)
    }

    /// All of it, if it is valid.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        self.is_used.set(true);
        self.is_valid().then(|| &self.value[..self.len])
    }

    /// Replaces it by 32 or 64 bytes.
    pub(super) fn load(&mut self, content: &[u8], flags: Flags) {
        self.value.zeroize();
        let len = content.len().min(64);
        self.value[..len].copy_from_slice(&content[..len]);
        self.len = len;
        self.flags = flags;
    }

    /// Replaces the second half and leaves the first.
    pub(super) fn load_upper(&mut self, content: &[u8; 32]) {
        self.value[32..].copy_from_slice(content);
        self.len = 64;
    }

    pub(super) fn clear(&mut self) {
        self.value.zeroize();
        self.len = 0;
        self.flags = Flags::default();
    }

    /// Whether its value was looked at since this was asked last.
    pub(super) fn take_used(&self) -> bool {
        self.is_used.replace(false)
    }

    /// Valid and from the random number generator.
    pub(super) const fn is_random(&self) -> bool {
        self.is_valid() && !self.flags.is_input
    }

    /// As the `Info` command and internal signatures tell the flags.
    pub(super) const fn flag_byte(&self) -> u8 {
        let Flags { key, is_input, gen_dig, gen_key, no_mac, .. } = self.flags;
        key & 0xf | (is_input as u8) << 4 | (gen_dig as u8) << 5 | (gen_key as u8) << 6 | (no_mac as u8) << 7
    }
}
