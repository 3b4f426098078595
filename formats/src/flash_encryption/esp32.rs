//! Flash encryption of the ESP32: AES-256 on single blocks, under a key that changes every 32 bytes of flash.
//!
//! Each 16-byte block is reversed, goes through AES, and is reversed again. The hardware uses AES the other way round:
//! flash is encrypted with the AES decryption and decrypted with the AES encryption. The key of a 32-byte line is the
//! key of the chip with bits of the line's address XORed onto it, where `FLASH_CRYPT_CONFIG` allows.
//! Source: espsecure 5.6.0, ESP-IDF 6.2-dev `docs/en/security/flash-encryption.rst`.

use crate::addr::FlashAddr;
use crate::secret::Secret;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, Key, KeyInit};
use aes::{Aes256Dec, Aes256Enc, Block};
use core::fmt;
use zeroize::Zeroize;

/// A key in the order of espsecure's key files. (eFuse BLOCK1 holds it reversed.)
#[derive(Debug)]
pub struct Esp32Key(Secret<32>);

impl Esp32Key {
    /// A key of a chip without coding scheme.
    #[must_use]
    pub const fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    /// The key that the hardware makes of 24 bytes under the 3/4 coding scheme: bytes 8 to 15 once more at the end.
    #[must_use]
    pub fn coded(key: &Secret<24>) -> Self {
        Self(Secret::filled_by(|out| {
            out[..24].copy_from_slice(key.expose());
            out[24..].copy_from_slice(&key.expose()[8..16]);
        }))
    }
}

/// `FLASH_CRYPT_CONFIG`: which quarters of the key the address changes. Always 0 to 15.
#[doc(alias = "FLASH_CRYPT_CONFIG")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CryptConfig(u8);

impl CryptConfig {
    /// All quarters: what ESP-IDF burns, and the only value to use for new devices.
    pub const ALL: Self = Self(0xf);

    /// `None` if the value has more than four bits.
    #[must_use]
    pub const fn new(value: u8) -> Option<Self> {
        if value <= 0xf { Some(Self(value)) } else { None }
    }

    /// The eFuse value.
    #[must_use]
    pub const fn value(self) -> u8 {
        self.0
    }

    /// The key bits that change, the first bit of the key on top.
    const fn mask(self) -> Bits {
        let (mut mask, mut quarter) = (NO_BITS, 0);
        while quarter < QUARTERS.len() {
            if self.0 & (1 << quarter) != 0 {
                let (mut bit, last) = QUARTERS[quarter];
                while bit <= last {
                    mask[bit / 128] |= 1 << (127 - bit % 128);
                    bit += 1;
                }
            }
            quarter += 1;
        }
        mask
    }
}

impl fmt::Display for CryptConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Encrypts `data` in place for the address at which it will sit in flash.
///
/// # Errors
/// [`Esp32Error`] if address or length is not a multiple of 16 bytes, or the range passes the 16 MiB of the scheme;
/// `data` is then untouched.
pub fn encrypt(key: &Esp32Key, config: CryptConfig, address: FlashAddr, data: &mut [u8]) -> Result<(), Esp32Error> {
    check_range(address, data)?;
    each_line(key, config, address, data, |cipher: &Aes256Dec, blocks| cipher.decrypt_blocks(blocks));
    Ok(())
}

/// Decrypts `data` in place, read from `address`.
///
/// # Errors
/// As [`encrypt`]. A wrong key is not an error: it gives noise, as on the chip.
pub fn decrypt(key: &Esp32Key, config: CryptConfig, address: FlashAddr, data: &mut [u8]) -> Result<(), Esp32Error> {
    check_range(address, data)?;
    each_line(key, config, address, data, |cipher: &Aes256Enc, blocks| cipher.encrypt_blocks(blocks));
    Ok(())
}

/// Why a range cannot be encrypted or decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Esp32Error {
    /// The hardware's block is 16 bytes.
    #[error("flash encryption: {address} is not a multiple of 16")]
    Address { address: FlashAddr },
    /// The hardware's block is 16 bytes. Pad explicitly.
    #[error("flash encryption: {len} bytes are not a multiple of 16")]
    Length { len: usize },
    /// The tweak has no bits for such an address.
    #[error("flash encryption: {len} bytes at {address} pass the 16 MiB that the ESP32 can encrypt")]
    Range { address: FlashAddr, len: usize },
}

fn check_range(address: FlashAddr, data: &[u8]) -> Result<(), Esp32Error> {
    let len = data.len();
    if !address.is_aligned(16) {
        return Err(Esp32Error::Address { address });
    }
    if !len.is_multiple_of(16) {
        return Err(Esp32Error::Length { len });
    }
    let end = u64::try_from(len).ok().and_then(|len| len.checked_add(address.0.into()));
    if end.is_some_and(|end| end <= FLASH) { Ok(()) } else { Err(Esp32Error::Range { address, len }) }
}

/// Runs `cipher` over the one or two blocks of each line under the line's key.
fn each_line<C: KeyInit>(
    key: &Esp32Key,
    config: CryptConfig,
    address: FlashAddr,
    data: &mut [u8],
    cipher: impl Fn(&C, &mut [Block]),
) {
    let mask = config.mask();
    let key = key.0.expose();
    let (halves, _) = key.as_chunks::<16>();
    let mut tweaked = [u128::from_be_bytes(halves[0]), u128::from_be_bytes(halves[1])];
    let mut line = address.0 / LINE;
    for (bit, pattern) in PATTERNS.iter().enumerate() {
        if line & (1 << bit) != 0 {
            flip(&mut tweaked, *pattern, mask);
        }
    }
    // The next line's address differs in the lowest clear bit and the set bits below it.
    let mut steps = PATTERNS;
    for bit in 1..steps.len() {
        let below = steps[bit - 1];
        flip(&mut steps[bit], below, [u128::MAX; 2]);
    }

    let mut bytes = Key::<C>::default();
    let mut rest = data;
    let mut room = LINE as usize - (address.0 % LINE) as usize;
    while !rest.is_empty() {
        let (part, after) = rest.split_at_mut(room.min(rest.len()));
        bytes[..16].copy_from_slice(&tweaked[0].to_be_bytes());
        bytes[16..].copy_from_slice(&tweaked[1].to_be_bytes());
        let schedule = C::new(&bytes);

        let (part, _) = part.as_chunks_mut::<16>();
        let mut blocks = [Block::default(); 2];
        for (block, bytes) in blocks.iter_mut().zip(&*part) {
            *block = u128::from_be_bytes(*bytes).to_le_bytes().into();
        }
        cipher(&schedule, &mut blocks[..part.len()]);
        for (block, bytes) in blocks.iter().zip(part) {
            *bytes = u128::from_le_bytes((*block).into()).to_be_bytes();
        }

        if let Some(step) = steps.get(line.trailing_ones() as usize) {
            flip(&mut tweaked, *step, mask);
        }
        line += 1;
        room = LINE as usize;
        rest = after;
    }
    bytes.as_mut_slice().zeroize();
    tweaked.zeroize();
}

const fn flip(key: &mut Bits, pattern: Bits, mask: Bits) {
    key[0] ^= pattern[0] & mask[0];
    key[1] ^= pattern[1] & mask[1];
}

/// 256 bits, the first on top.
type Bits = [u128; 2];
const NO_BITS: Bits = [0; 2];

/// Bytes under one key.
const LINE: u32 = 32;
/// Bytes that the tweak tells apart: address bits 5 to 23.
const FLASH: u64 = 1 << 24;
const ADDRESS_BITS: usize = 19;

/// First and last key bit of each bit of `FLASH_CRYPT_CONFIG`.
const QUARTERS: [(usize, usize); 4] = [(0, 66), (67, 131), (132, 194), (195, 255)];

/// For each address bit from 5 on, the key bits that it flips.
const PATTERNS: [Bits; ADDRESS_BITS] = patterns();

/// Going through the key bits, the address bits run down from 23 to 5 three times and then from a lower start, which
/// is 14, 12, 10 and 8 in the four quarters.
const fn patterns() -> [Bits; ADDRESS_BITS] {
    let mut patterns = [NO_BITS; ADDRESS_BITS];
    let (mut bit, mut quarter) = (0, 0);
    while quarter < QUARTERS.len() {
        let starts = [23, 23, 23, 14 - 2 * quarter];
        let mut run = 0;
        while run < starts.len() {
            let mut address_bit = starts[run];
            while address_bit >= 5 {
                patterns[address_bit - 5][bit / 128] |= 1 << (127 - bit % 128);
                bit += 1;
                address_bit -= 1;
            }
            run += 1;
        }
        quarter += 1;
    }
    assert!(bit == 256, "every key bit has its address bit");
    patterns
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::path::PathBuf;
    use std::vec::Vec;

    fn golden(name: &str) -> Vec<u8> {
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors")).join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn key(bits: usize) -> Esp32Key {
        let file = golden(&format!("keys/fe_key_{bits}.bin"));
        match bits {
            192 => Esp32Key::coded(&Secret::from_slice(&file).unwrap()),
            _ => Esp32Key::new(Secret::from_slice(&file).unwrap()),
        }
    }

    fn assert_golden(bits: usize, address: u32, config: u8, plain: &str, cipher: &str) {
        let (plain, cipher) = (golden(plain), golden(cipher));
        let (key, config) = (key(bits), CryptConfig::new(config).unwrap());
        let mut data = plain.clone();
        encrypt(&key, config, FlashAddr(address), &mut data).unwrap();
        assert!(data == cipher, "{bits} {address:#x} {config}");
        decrypt(&key, config, FlashAddr(address), &mut data).unwrap();
        assert!(data == plain, "{bits} {address:#x} {config}");
    }

    #[test]
    fn equals_every_ciphertext_of_espsecure_both_ways() {
        for bits in [192, 256] {
            for address in [0x1000, 0x8000, 0x1_0000, 0x3f_0010] {
                let cipher = format!("flashenc/esp32-k{bits}-a{address:#x}-c0xf.bin");
                assert_golden(bits, address, 0xf, "flashenc/plain-4k.bin", &cipher);
            }
        }
        for config in [0, 1, 2, 3, 4, 5, 7, 8, 9] {
            let cipher = format!("flashenc/esp32-k256-a0x10000-c{config}-272.bin");
            assert_golden(256, 0x1_0000, config, "flashenc/plain-272.bin", &cipher);
        }
    }

    #[test]
    fn refuses_what_the_hardware_cannot_address() {
        let key = key(256);
        for offset in 1..16 {
            let address = FlashAddr(0x1000 + offset);
            let refused = encrypt(&key, CryptConfig::ALL, address, &mut [0; 16]);
            assert_eq!(refused, Err(Esp32Error::Address { address }));
        }
        for len in 1..16 {
            let refused = decrypt(&key, CryptConfig::ALL, FlashAddr(0), &mut [0; 16][..len]);
            assert_eq!(refused, Err(Esp32Error::Length { len }));
        }
        let address = FlashAddr(0xff_fff0);
        assert_eq!(encrypt(&key, CryptConfig::ALL, address, &mut [0; 16]), Ok(()));
        let refused = encrypt(&key, CryptConfig::ALL, address, &mut [0; 32]);
        assert_eq!(refused, Err(Esp32Error::Range { address, len: 32 }));
        let address = FlashAddr(0xffff_fff0);
        assert!(decrypt(&key, CryptConfig::ALL, address, &mut [0; 16]).is_err());
        assert_eq!(CryptConfig::new(0x10), None);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_bytes(
            blocks in 1usize..40, cut in 0usize..40, start in 0u32..0x1000, config in 0u8..16, fill: u8
        ) {
            let (key, config) = (key(256), CryptConfig::new(config).unwrap());
            let cut = 16 * cut.min(blocks);
            let whole: Vec<u8> = (0..16 * blocks).map(|at| u8::try_from(at % 251).unwrap() ^ fill).collect();
            let (address, mut at_once, mut in_two) = (16 * start, whole.clone(), whole.clone());
            encrypt(&key, config, FlashAddr(address), &mut at_once).unwrap();
            let (head, tail) = in_two.split_at_mut(cut);
            encrypt(&key, config, FlashAddr(address), head).unwrap();
            encrypt(&key, config, FlashAddr(address + u32::try_from(cut).unwrap()), tail).unwrap();
            prop_assert_eq!(&at_once, &in_two);
            decrypt(&key, config, FlashAddr(address), &mut at_once).unwrap();
            prop_assert_eq!(at_once, whole);
        }
    }
}
