//! The SHA-256 engine, whose state can be taken out between two blocks and put back.
//!
//! The hash itself is sha2's; only padding and state are here.

use super::sram::CertificateDigest;
use cotter_formats::atecc::Slot;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A digest that is being computed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct ShaContext {
    state: [u32; 8],
    total: u32,
    pending: [u8; BLOCK],
    /// The key of an HMAC.
    key: Option<[u8; 32]>,
    /// Public key in it, by how many blocks it began.
    #[zeroize(skip)]
    public_key: Option<(Slot, u8)>,
}

const BLOCK: usize = 64;

/// Digest of a message in pieces.
pub(super) fn digest(pieces: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    pieces.iter().for_each(|piece| hash.update(piece));
    hash.finalize().into()
}

impl ShaContext {
    pub(super) const fn new() -> Self {
        Self { state: INITIAL, total: 0, pending: [0; BLOCK], key: None, public_key: None }
    }

    /// HMAC with a key of 32 bytes.
    pub(super) fn hmac(key: [u8; 32]) -> Self {
        let mut context = Self { key: Some(key), ..Self::new() };
        context.update(&*pad(&key, 0x36));
        context
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let filled = self.filled();
            let (taken, rest) = bytes.split_at(bytes.len().min(BLOCK - filled));
            self.pending[filled..filled + taken.len()].copy_from_slice(taken);
            self.total = self.total.wrapping_add(u32::try_from(taken.len()).unwrap_or(0));
            if self.filled() == 0 {
                sha2::block_api::compress256(&mut self.state, &[self.pending]);
            }
            bytes = rest;
        }
    }

    pub(super) const fn set_public_key(&mut self, slot: Slot) {
        self.public_key = Some((slot, self.blocks()));
    }

    /// The digest or HMAC, and which public key is in it.
    pub(super) fn finish(mut self) -> ([u8; 32], Option<CertificateDigest>) {
        let bits = u64::from(self.total) * 8;
        let certificate = self.public_key.map(|(slot, position)| CertificateDigest {
            slot,
            position,
            blocks: self.blocks().saturating_add(u8::from(self.filled() > 0)),
        });
        self.update(&[0x80]);
        while self.filled() != BLOCK - 8 {
            self.update(&[0]);
        }
        self.update(&bits.to_be_bytes());
        let mut inner = Zeroizing::new([0; 32]);
        for (bytes, word) in inner.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        match &self.key {
            Some(key) => (digest(&[&*pad(key, 0x5c), &*inner]), None),
            None => (*inner, certificate),
        }
    }

    /// Length, state, and what does not fill a block; `None` for an HMAC.
    pub(super) fn export(&self) -> Option<Vec<u8>> {
        if self.key.is_some() {
            return None;
        }
        let mut out = self.total.to_le_bytes().to_vec();
        self.state.iter().for_each(|word| out.extend(word.to_le_bytes()));
        out.extend(&self.pending[..self.filled()]);
        Some(out)
    }

    /// What [`Self::export`] gave; `None` if the lengths do not agree.
    pub(super) fn import(bytes: &[u8]) -> Option<Self> {
        let (head, pending) = bytes.split_at_checked(36)?;
        let (total, words) = head.split_at_checked(4)?;
        let mut context = Self { total: u32::from_le_bytes(total.try_into().ok()?), ..Self::new() };
        for (word, bytes) in context.state.iter_mut().zip(words.chunks_exact(4)) {
            *word = u32::from_le_bytes(bytes.try_into().ok()?);
        }
        if pending.len() != context.filled() {
            return None;
        }
        context.pending[..pending.len()].copy_from_slice(pending);
        Some(context)
    }

    pub(super) const fn is_hmac(&self) -> bool {
        self.key.is_some()
    }

    const fn filled(&self) -> usize {
        self.total as usize % BLOCK
    }

    const fn blocks(&self) -> u8 {
        let blocks = self.total as usize / BLOCK;
        if blocks > u8::MAX as usize { u8::MAX } else { blocks.to_le_bytes()[0] }
    }
}

fn pad(key: &[u8; 32], with: u8) -> Zeroizing<[u8; BLOCK]> {
    let mut block = Zeroizing::new([with; BLOCK]);
    block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
    block
}

/// FIPS 180-4 section 5.3.3.
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    #[test]
    fn pieces_make_the_digest_of_the_whole() {
        for len in (0..200).step_by(7) {
            let message: Vec<u8> = (0..len).map(|byte| u8::try_from(byte).unwrap()).collect();
            for cut in 0..=message.len() {
                let mut context = ShaContext::new();
                context.update(&message[..cut]);
                let mut context = ShaContext::import(&context.export().unwrap()).unwrap();
                context.update(&message[cut..]);
                assert_eq!(context.finish().0, digest(&[&message]), "{len} cut at {cut}");
            }
        }
    }

    /// The context that cryptoauthlib's test `sha_context` expects of an ATECC608.
    #[test]
    fn contexts_look_as_the_part_shows_them() {
        let mut context = ShaContext::new();
        context.update(&[1, 2, 3, 4, 5]);
        let expected = hex!("0500000067e6096a85ae67bb72f36e3c3af54fa57f520e518c68059babd9831f19cde05b0102030405");
        assert_eq!(context.export().unwrap(), expected);
        assert!(ShaContext::import(&expected[..40]).is_none());
        assert!(ShaContext::hmac([0; 32]).export().is_none());
    }

    #[test]
    fn hmac_is_that_of_rfc_2104() {
        use hmac::{Hmac, KeyInit, Mac};
        let mut context = ShaContext::hmac([7; 32]);
        context.update(&[9; 100]);
        let mut expected = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();
        expected.update(&[9; 100]);
        assert_eq!(context.finish().0, <[u8; 32]>::from(expected.finalize().into_bytes()));
    }
}
