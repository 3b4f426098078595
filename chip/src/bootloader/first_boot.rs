//! Between loading an application and starting it: Secure Boot and flash encryption, if they are compiled in and not on.
//!
//! The order is that of ESP-IDF 6.2-dev `bootloader_utility.c` (`load_image`), whose comment says what a power cut in
//! each step leads to:
//!
//! 1. Secure Boot V2: the digests of the keys that signed the second stage are burned, and Secure Boot is on.
//! 2. Secure Boot V1: its key is burned, IV and digest are written to flash address 0.
//! 3. The flash key is burned, with the settings that go with it.
//! 4. The flash is encrypted in place: second stage, V1 digest, partition table, partitions.
//! 5. The count of flash encryption is burned.
//! 6. Secure Boot V1 is on.
//! 7. If encryption is new, the chip is reset.

use super::efuse_batch::EfuseBatch;
use super::{flash_encryption, secure_boot_v1, secure_boot_v2};
use crate::crypt::TransparentFlash;
use crate::efuse::Efuses;
use crate::entropy::Entropy;
use crate::report::{Record, RefusalCode, Stage};
use crate::second_stage::{SecondStage, SecureBoot};
use cotter_formats::chip::Chip;
use cotter_formats::partition::Partition;

/// Everything that is needed for it. `partition`: of the application that was loaded.
pub(super) struct FirstBoot<'a> {
    pub(super) flash: &'a mut TransparentFlash,
    pub(super) efuses: &'a Efuses,
    pub(super) config: &'a SecondStage,
    pub(super) entropy: &'a Entropy,
    pub(super) partition: &'a Partition,
}

/// What follows.
pub(super) enum Next {
    Jump,
    Reset,
}

impl FirstBoot<'_> {
    /// Goes through the steps; what is on already is skipped.
    pub(super) fn switch_on(mut self, record: &mut Record) -> Result<Next, RefusalCode> {
        let Self { efuses, config, entropy, .. } = self;
        let has_v2 = matches!(config.secure_boot, SecureBoot::V2(_));
        if config.flash_encryption.is_some() && has_v2 && efuses.chip() == Chip::Esp32C2 {
            return self.switch_on_together(record);
        }

        if let SecureBoot::V2(secure_boot) = &config.secure_boot {
            record.line("secure_boot_v2: enabling secure boot v2...");
            if secure_boot_v2::is_on(efuses) {
                record.line("secure_boot_v2: secure boot v2 is already enabled, continuing..");
            } else {
                require(!secure_boot.require_already_enabled, NO_SECURE_BOOT, record)?;
                self.burn(record, |this, batch, record| secure_boot_v2::prepare(batch, this, *secure_boot, record))?;
                secure_boot_v2::tell(efuses, record);
            }
        }
        if let SecureBoot::V1(_) = &config.secure_boot {
            secure_boot_v1::write_digest(&mut self, record)?;
        }

        let mut is_new = false;
        if let Some(encryption) = &config.flash_encryption {
            record.line("boot: Checking flash encryption...");
            if !flash_encryption::tell_state(efuses, record)? {
                require(!encryption.require_already_enabled, NO_FLASH_ENCRYPTION, record)?;
                flash_encryption::check_count(efuses, record)?;
                if !flash_encryption::was_begun(efuses) {
                    self.burn(record, |_, batch, record| {
                        flash_encryption::prepare(batch, config, encryption, entropy, record)
                    })?;
                }
                flash_encryption::encrypt_contents(self.flash, efuses, config, encryption, record)?;
                flash_encryption::switch_on(efuses, encryption, record)?;
                is_new = true;
            }
        }
        if let SecureBoot::V1(_) = &config.secure_boot {
            secure_boot_v1::switch_on(efuses, config, record)?;
        }
        Ok(finish(is_new, efuses, config, record))
    }

    /// ESP32-C2: one key block holds digest and flash key, and its coding allows one burn.
    #[doc(alias = "CONFIG_SECURE_BOOT_FLASH_ENC_KEYS_BURN_TOGETHER")]
    fn switch_on_together(self, record: &mut Record) -> Result<Next, RefusalCode> {
        let Self { efuses, config, entropy, .. } = self;
        let (SecureBoot::V2(secure_boot), Some(encryption)) = (&config.secure_boot, &config.flash_encryption) else {
            return Ok(Next::Jump);
        };
        let is_verified = secure_boot_v2::is_on(efuses);
        if is_verified != flash_encryption::was_begun(efuses) {
            record.line("boot: Secure Boot and Flash Encryption cannot be enabled separately, only together (their keys go into one eFuse key block)");
            return Err(RefusalCode::OnlyOneOfTwo);
        }
        record.line("secure_boot_v2: enabling secure boot v2...");
        let mut is_new = false;
        if is_verified {
            record.line("secure_boot_v2: secure boot v2 is already enabled, continuing..");
            record.line("boot: Checking flash encryption...");
            if !flash_encryption::tell_state(efuses, record)? {
                flash_encryption::check_count(efuses, record)?;
                is_new = true;
            }
        } else {
            require(!secure_boot.require_already_enabled, NO_SECURE_BOOT, record)?;
            self.burn(record, |this, batch, record| {
                secure_boot_v2::prepare(batch, this, *secure_boot, record)?;
                record.line("boot: Checking flash encryption...");
                require(!encryption.require_already_enabled, NO_FLASH_ENCRYPTION, record)?;
                flash_encryption::check_count(efuses, record)?;
                flash_encryption::prepare(batch, config, encryption, entropy, record)
            })?;
            record.line("boot: Secure boot permanently enabled");
            record.step(Stage::SecondStage, "Secure Boot", "V2 is on");
            is_new = true;
        }
        if is_new {
            flash_encryption::encrypt_contents(self.flash, efuses, config, encryption, record)?;
            flash_encryption::switch_on(efuses, encryption, record)?;
        }
        Ok(finish(is_new, efuses, config, record))
    }

    /// Collects fields and burns them, or gives up without burning any.
    fn burn(
        &self,
        record: &mut Record,
        prepare: impl FnOnce(&Self, &mut EfuseBatch<'_>, &mut Record) -> Result<(), RefusalCode>,
    ) -> Result<(), RefusalCode> {
        let mut batch = EfuseBatch::begin(self.efuses, record)?;
        match prepare(self, &mut batch, record) {
            Ok(()) => batch.commit(record),
            Err(code) => {
                batch.cancel(record);
                Err(code)
            }
        }
    }
}

const NO_SECURE_BOOT: &str =
    "secure_boot_v2: secure boot is not enabled, and SECURE_BOOT_REQUIRE_ALREADY_ENABLED is set, refusing to boot.";
const NO_FLASH_ENCRYPTION: &str =
    "boot: flash encryption is not enabled, and SECURE_FLASH_REQUIRE_ALREADY_ENABLED is set, refusing to boot.";

fn require(is_met: bool, line: &str, record: &mut Record) -> Result<(), RefusalCode> {
    if is_met {
        return Ok(());
    }
    record.line(line);
    Err(RefusalCode::NotEnabledBefore)
}

fn finish(is_new: bool, efuses: &Efuses, config: &SecondStage, record: &mut Record) -> Next {
    if is_new && flash_encryption::is_on(efuses) {
        record.line("boot: Resetting with flash encryption enabled...");
        record.step(Stage::SecondStage, "reset", "flash encryption is new");
        return Next::Reset;
    }
    let has_secure_boot = matches!(config.secure_boot, SecureBoot::V1(_) | SecureBoot::V2(_));
    if has_secure_boot || config.flash_encryption.is_some() {
        record.line("boot: Disabling RNG early entropy source...");
    }
    Next::Jump
}

#[cfg(test)]
mod tests;
