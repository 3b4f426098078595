//! Flash as the cache and the encrypting write path show it: plaintext, once the eFuses have switched encryption on.

use crate::efuse::{Efuses, Setting};
use crate::flash::{Flash, FlashError, aligned, span};
use cotter_formats::addr::{FlashAddr, FlashLen, SECTOR};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{EfuseBlock, KeyPurpose, unary};
use cotter_formats::flash_encryption::esp32::CryptConfig;
use cotter_formats::flash_encryption::key::{FlashKey, KeyHolder};
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use zeroize::Zeroizing;

/// The transparent view: what it reads is decrypted, what it writes is encrypted, if the chip does so at all.
///
/// The hardware looks at the eFuses each time: it encrypts with the key of [`flash_key`] while `SPI_BOOT_CRYPT_CNT`
/// (`FLASH_CRYPT_CNT` on the ESP32) has an odd number of bits set, and not otherwise. Writes go in units of 16 bytes in
/// either case, so that device code need not know. A unit must not be written twice without an erase: ciphertext ANDed
/// with ciphertext is neither.
#[derive(Clone, Debug)]
pub struct TransparentFlash {
    flash: Flash,
    efuses: Efuses,
}

/// Bytes in one unit of an encrypted write.
pub const UNIT: u32 = 16;

impl TransparentFlash {
    /// The view of this part by the chip with these eFuses.
    #[must_use]
    pub const fn new(flash: Flash, efuses: Efuses) -> Self {
        Self { flash, efuses }
    }

    /// True if the hardware encrypts and decrypts.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        unary::is_odd(self.efuses.sensed(Setting::FlashCryptCount))
    }

    /// Reads any bytes, decrypted.
    ///
    /// # Errors
    /// [`FlashError`].
    pub fn read_at(&self, addr: FlashAddr, out: &mut [u8]) -> Result<(), FlashError> {
        if !self.is_encrypted() {
            return self.flash.read_at(addr, out);
        }
        // Whole units are decrypted where they are wanted: images are read so.
        if addr.is_aligned(UNIT) && out.len().is_multiple_of(UNIT as usize) {
            self.flash.read_at(addr, out)?;
            flash_key(&self.efuses).decrypt(addr, out).expect("whole units inside the part");
            return Ok(());
        }
        let skipped = (addr.0 % UNIT) as usize;
        let first = FlashAddr(addr.0 - addr.0 % UNIT);
        let mut units = vec![0; (skipped + out.len()).next_multiple_of(UNIT as usize)];
        self.flash.read_at(first, &mut units).map_err(|error| match error {
            FlashError::OutOfBounds { capacity, .. } => FlashError::OutOfBounds { addr, len: out.len(), capacity },
            other => other,
        })?;
        flash_key(&self.efuses).decrypt(first, &mut units).expect("whole units inside the part");
        out.copy_from_slice(&units[skipped..skipped + out.len()]);
        Ok(())
    }

    /// The chip that looks.
    #[must_use]
    pub fn chip(&self) -> Chip {
        self.efuses.chip()
    }

    /// The raw part behind the view.
    #[must_use]
    pub const fn raw(&self) -> &Flash {
        &self.flash
    }
}

/// The flash encryption key that the hardware makes of the eFuses.
///
/// The ESP32 has it in BLOCK1, the ESP32-C2 in `BLOCK_KEY0` (the lower half without `XTS_KEY_LENGTH_256`), later chips
/// in the blocks of purpose `XTS_AES_256_KEY_1` and `_2`, or else `XTS_AES_128_KEY`. Keys that a key manager holds are
/// not modelled. Not observed: what the hardware does when encryption is on and there is no key. Here the key is zero.
pub(crate) fn flash_key(efuses: &Efuses) -> FlashKey {
    let chip = efuses.chip();
    let mut config = None;
    let file: Zeroizing<Vec<u8>> = Zeroizing::new(match chip {
        Chip::Esp32 => {
            config = u8::try_from(efuses.sensed(Setting::FlashCryptConfig)).ok().and_then(CryptConfig::new);
            let len = efuses.data_len(EfuseBlock(1)).min(32);
            reversed(&efuses.hardware_block(EfuseBlock(1)).expose()[..len])
        }
        Chip::Esp32C2 => {
            let len = if efuses.sensed(Setting::XtsKey256) == 0 { 16 } else { 32 };
            reversed(&efuses.hardware_block(EfuseBlock(3)).expose()[..len])
        }
        _ => {
            let key = |purpose| efuses.hardware_key(purpose).map(|key| reversed(key.expose()));
            let pair = || Some([key(KeyPurpose::XTS_AES_256_KEY_1)?, key(KeyPurpose::XTS_AES_256_KEY_2)?].concat());
            pair().or_else(|| key(KeyPurpose::XTS_AES_128_KEY)).unwrap_or_else(|| vec![0; 32])
        }
    });
    let whole = FlashKey::for_chip(chip, KeyHolder::Efuse, config, &file);
    // Off-spec: a pair of 256-bit blocks on a chip without XTS-AES-256, which no tool burns, counts as no key.
    whole
        .or_else(|_| FlashKey::for_chip(chip, KeyHolder::Efuse, config, &[0; 32]))
        .expect("every chip has 32-byte keys")
}

/// Whether a flash encryption key has been burned at all.
pub(crate) fn has_flash_key(efuses: &Efuses) -> bool {
    let is_burned = |block| efuses.hardware_block(block).expose().iter().any(|byte| *byte != 0);
    match efuses.chip() {
        Chip::Esp32 => is_burned(EfuseBlock(1)),
        Chip::Esp32C2 => is_burned(EfuseBlock(3)),
        _ => {
            let pair = [KeyPurpose::XTS_AES_256_KEY_1, KeyPurpose::XTS_AES_256_KEY_2];
            let has = |purpose| efuses.hardware_key(purpose).is_some();
            has(KeyPurpose::XTS_AES_128_KEY) || pair.into_iter().all(has)
        }
    }
}

fn reversed(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().rev().copied().collect()
}

/// Encrypts whole units in place for an address, whether the transparent view does so now or not: what download mode
/// does when it is asked to.
///
/// # Errors
/// [`FlashError::NotAligned`].
pub(crate) fn encrypt(efuses: &Efuses, addr: FlashAddr, units: &mut [u8]) -> Result<(), FlashError> {
    let not_aligned = FlashError::NotAligned { addr, len: units.len(), unit: UNIT as usize };
    flash_key(efuses).encrypt(addr, units).map_err(|_| not_aligned)
}

impl ErrorType for TransparentFlash {
    type Error = FlashError;
}

impl ReadNorFlash for TransparentFlash {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        aligned(offset, bytes.len(), Self::READ_SIZE)?;
        self.read_at(FlashAddr(offset), bytes)
    }

    fn capacity(&self) -> usize {
        self.flash.capacity()
    }
}

impl NorFlash for TransparentFlash {
    const WRITE_SIZE: usize = UNIT as usize;
    const ERASE_SIZE: usize = SECTOR as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        self.flash.erase_at(FlashAddr(from), span(from, to)?)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        aligned(offset, bytes.len(), Self::WRITE_SIZE)?;
        let addr = FlashAddr(offset);
        if !self.is_encrypted() {
            return self.flash.program_at(addr, bytes);
        }
        let capacity = self.capacity();
        let out_of_bounds = FlashError::OutOfBounds { addr, len: bytes.len(), capacity };
        let len = u32::try_from(bytes.len()).map_err(|_| out_of_bounds)?;
        if addr.checked_add(FlashLen(len)).is_none_or(|end| end.0 as usize > capacity) {
            return Err(out_of_bounds);
        }
        let mut units = bytes.to_vec();
        flash_key(&self.efuses).encrypt(addr, &mut units).expect("whole units inside the part");
        self.flash.program_at(addr, &units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::efuse::{BurnSet, KeyProtection};
    use crate::fault::Fault;
    use cotter_formats::efuse::esp32c3;
    use cotter_formats::secret::Secret;

    // espsecure 5.6.0 encrypt-flash-data --aes-xts -k fe_key_256.bin -a 0x1000 plain-272.bin, see vectors/flashenc
    const PLAIN: &[u8] = include_bytes!("../../vectors/flashenc/plain-272.bin");
    const CIPHER: &[u8] = include_bytes!("../../vectors/flashenc/xts-k256-a0x1000-272.bin");
    const KEY_FILE: &[u8] = include_bytes!("../../vectors/efuse/fe_key_256.bin");

    fn view(counter: u32) -> TransparentFlash {
        let fault = Fault::default();
        let efuses = Efuses::fresh(Chip::Esp32C3, [2; 6], fault.clone());
        let mut set = BurnSet::new(Chip::Esp32C3);
        let purpose = KeyPurpose::XTS_AES_128_KEY;
        let key = Secret::from_slice(KEY_FILE).unwrap();
        set.key(EfuseBlock(4), purpose, &key, KeyProtection::of(purpose)).unwrap();
        set.field(&esp32c3::SPI_BOOT_CRYPT_CNT, counter).unwrap();
        efuses.burn(&set).unwrap();
        TransparentFlash::new(Flash::erased(FlashLen(0x4000), fault).unwrap(), efuses)
    }

    #[test]
    fn decrypts_what_espsecure_encrypted() {
        let view = view(1);
        view.raw().program_at(FlashAddr(0x1000), CIPHER).unwrap();
        for (skipped, len) in [(0, 272), (4, 4), (15, 2), (100, 150)] {
            let mut out = vec![0; len];
            view.read_at(FlashAddr(0x1000 + u32::try_from(skipped).unwrap()), &mut out).unwrap();
            assert_eq!(out, PLAIN[skipped..skipped + len]);
        }
    }

    #[test]
    fn writes_what_espsecure_would() {
        let mut view = view(7);
        view.write(0x1000, PLAIN).unwrap();
        assert_eq!(&view.raw().content()[0x1000..0x1000 + 272], CIPHER);
    }

    #[test]
    fn an_even_count_is_plain() {
        let mut view = view(3);
        view.write(0x1000, PLAIN).unwrap();
        assert_eq!(&view.raw().content()[0x1000..0x1000 + 272], PLAIN);
    }

    #[test]
    fn refuses_part_of_a_unit_and_what_lies_outside() {
        let mut view = view(1);
        let addr = FlashAddr(0x1008);
        assert_eq!(view.write(0x1008, &[0; 16]), Err(FlashError::NotAligned { addr, len: 16, unit: 16 }));
        let addr = FlashAddr(0x4000);
        assert_eq!(view.write(0x4000, &[0; 16]), Err(FlashError::OutOfBounds { addr, len: 16, capacity: 0x4000 }));
        let addr = FlashAddr(0x3ffc);
        assert_eq!(view.read(0x3ffc, &mut [0; 8]), Err(FlashError::OutOfBounds { addr, len: 8, capacity: 0x4000 }));
    }
}
