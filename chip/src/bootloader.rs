//! The second stage: from the ROM's jump to the application, as ESP-IDF's bootloader does it with what
//! [`crate::second_stage`] says was compiled in.
//!
//! Source: ESP-IDF `components/bootloader_support/src/bootloader_utility.c` and `bootloader_common_loader.c`.
//! The code in flash is not executed: once the ROM has let it pass, whatever it is, this runs.
//!
//! | file | noun |
//! |---|---|
//! | here | the order of things |
//! | `app` | the image of an application, and why it may not run |
//! | `selection` | otadata: which slot, and how it is rewritten |
//! | `first_boot` | what is switched on between loading an application and starting it |
//! | `flash_encryption` | the flash key, and encryption in place |
//! | `secure_boot_v2`, `secure_boot_v1` | how Secure Boot is switched on |
//! | `features` | the eFuses that go with either |
//! | `efuse_batch` | how ESP-IDF burns eFuses |

mod app;
pub(crate) mod efuse_batch;
pub(crate) mod features;
mod first_boot;
mod flash_encryption;
mod secure_boot_v1;
mod secure_boot_v2;
mod selection;
#[cfg(test)]
mod tests;

use crate::crypt::TransparentFlash;
use crate::efuse::{Efuses, Setting};
use crate::entropy::Entropy;
use crate::flash::FlashError;
use crate::report::{AppSlot, Booted, Record, RefusalCode, Stage, Step};
use crate::second_stage::SecondStage;
use app::App;
use cotter_formats::addr::FlashAddr;
use cotter_formats::efuse::unary;
use cotter_formats::otadata::OtaState;
use cotter_formats::partition::{Partition, PartitionTable, PartitionType, Subtype, TABLE_LEN};
use first_boot::{FirstBoot, Next};
use selection::{Selection, Start};

/// How the second stage ended.
pub(crate) enum Ended {
    /// It jumps to the application.
    Jump(Booted),
    /// It resets the chip, which then boots encrypted.
    Reset,
}

/// Boots an application; returns when the second stage would jump to it, or reset the chip.
pub(crate) fn boot(
    flash: &mut TransparentFlash,
    efuses: &Efuses,
    config: &SecondStage,
    entropy: &Entropy,
    record: &mut Record,
) -> Result<Ended, RefusalCode> {
    // 1. The partition table, through the cache. Off-spec: one without MD5 is refused; ESP-IDF lets it pass.
    let table = read_table(flash, config.partition_table, record)?;
    let candidates = Candidates::of(&table);

    // 2. otadata: what was booted and not confirmed is given up, then the newest entry that is still good and whose
    //    application is not too old selects a slot. A new one is now on probation.
    let burned = unary::count(efuses.read_setting(Setting::SecureVersion)?);
    let required = if config.anti_rollback { burned } else { 0 };
    let mut selection = Selection::read(&table, flash)?;
    if config.app_rollback {
        selection.abort_unconfirmed(flash, record)?;
    }
    let start = selection.start(flash, required, record)?;
    if config.app_rollback {
        selection.put_on_probation(start, flash, record)?;
    }

    // 3. From the selected slot down to factory, then from the selected slot up, then test.
    for (slot, partition) in candidates.in_order(start) {
        match App::load(flash, efuses, partition, required, config, record) {
            Ok(app) => {
                let offset = partition.offset;
                record.line(format!("boot: Loaded app from partition at offset {offset}"));
                // 4. What must be remembered about this boot.
                let state = selection.confirm_initial(slot, flash, record)?.or(start.state_of(slot));
                if state == Some(OtaState::VALID) && config.anti_rollback {
                    burn_secure_version(app.secure_version, efuses, record)?;
                }
                // 5. What is compiled in and not switched on yet. If that fails, the next slot is tried.
                let first_boot = FirstBoot { flash, efuses, config, entropy, partition };
                match first_boot.switch_on(record) {
                    Ok(Next::Jump) => return Ok(Ended::Jump(app.into_booted(slot, offset, state))),
                    Ok(Next::Reset) => return Ok(Ended::Reset),
                    Err(code @ (RefusalCode::PowerLost | RefusalCode::BootKeyHalfProtected)) => return Err(code),
                    Err(code) => {
                        let line = format!("boot: not switched on: {code}");
                        refuse_step(slot, line, code, record);
                        log_not_bootable(slot, record);
                    }
                }
            }
            Err(refusal) if refusal.code == RefusalCode::PowerLost => return Err(refusal.code),
            Err(refusal) => refuse(slot, &refusal, record),
        }
    }
    record.line("boot: No bootable app partitions in the partition table");
    Err(RefusalCode::NoBootableApp)
}

fn read_table(flash: &TransparentFlash, at: FlashAddr, record: &mut Record) -> Result<PartitionTable, RefusalCode> {
    let mut bytes = [0; TABLE_LEN];
    flash.read_at(at, &mut bytes)?;
    match PartitionTable::parse(&bytes) {
        Ok(table) if table.is_checksummed() => {
            let count = table.partitions().len();
            record.step(Stage::SecondStage, "partition table", format!("{count} partitions"));
            return Ok(table);
        }
        Ok(_) => record.line("flash_parts: partition table has no MD5"),
        Err(error) => record.line(format!("flash_parts: {error}")),
    }
    record.line("boot: Failed to verify partition table");
    Err(RefusalCode::PartitionTableInvalid)
}

/// Everything that could be booted.
struct Candidates<'a> {
    factory: Option<&'a Partition>,
    ota: Vec<&'a Partition>,
    test: Option<&'a Partition>,
}

impl<'a> Candidates<'a> {
    fn of(table: &'a PartitionTable) -> Self {
        Self {
            factory: table.find_type(PartitionType::APP, Subtype::APP_FACTORY),
            ota: table.ota_slots().collect(),
            test: table.find_type(PartitionType::APP, Subtype::APP_TEST),
        }
    }

    fn in_order(&self, start: Start) -> impl Iterator<Item = (AppSlot, &'a Partition)> {
        let first = start.slot().map_or(0, |slot| usize::from(slot) + 1);
        let numbered = (0..=u8::MAX).zip(&self.ota).map(|(index, partition)| (AppSlot::Ota(index), *partition));
        let down = numbered.clone().take(first).collect::<Vec<_>>().into_iter().rev();
        let up = numbered.skip(first).collect::<Vec<_>>();
        let factory = self.factory.map(|partition| (AppSlot::Factory, partition));
        let test = self.test.map(|partition| (AppSlot::Test, partition));
        down.chain(factory).chain(up).chain(test)
    }
}

fn refuse(slot: AppSlot, refusal: &app::Refusal, record: &mut Record) {
    record.line(refusal.line.clone());
    log_not_bootable(slot, record);
    refuse_step(slot, refusal.line.clone(), refusal.code, record);
}

fn log_not_bootable(slot: AppSlot, record: &mut Record) {
    record.line(match slot {
        AppSlot::Factory => "boot: Factory app partition is not bootable".to_owned(),
        AppSlot::Ota(index) => format!("boot: OTA app partition slot {index} is not bootable"),
        AppSlot::Test => "boot: Factory test app partition is not bootable".to_owned(),
    });
}

fn refuse_step(slot: AppSlot, found: String, code: RefusalCode, record: &mut Record) {
    record.push(Step { stage: Stage::SecondStage, what: "application", slot: Some(slot), found, refusal: Some(code) });
}

/// Burns the missing low bits of `SECURE_VERSION`, so that nothing older than a confirmed application boots again.
///
/// Off-spec: ESP-IDF burns for the selected slot before it has looked at more than the descriptor, so that an attacker
/// who writes a descriptor into plain flash can burn a chip to the end. Here the image has been verified.
fn burn_secure_version(version: u32, efuses: &Efuses, record: &mut Record) -> Result<(), RefusalCode> {
    let current = efuses.read_setting(Setting::SecureVersion)?;
    let field = efuses.setting_field(Setting::SecureVersion).expect("every simulated chip has SECURE_VERSION");
    let Some(wanted) = unary::bits(version, field) else {
        record.line(format!("efuse: secure version {version} does not fit into {} bits", field.len));
        return Ok(());
    };
    if unary::count(current) >= version || wanted & !current == 0 {
        return Ok(());
    }
    efuses.set(Setting::SecureVersion, wanted & !current)?;
    let burned = unary::count(efuses.read_setting(Setting::SecureVersion)?);
    record.line(format!("efuse: secure version is {burned} now"));
    record.step(Stage::SecondStage, "anti-rollback", format!("SECURE_VERSION burned to {burned}"));
    Ok(())
}

impl From<FlashError> for RefusalCode {
    /// The second stage reads and writes where the partition table says; a table that points outside is a bad one.
    fn from(error: FlashError) -> Self {
        match error {
            FlashError::PowerLost => Self::PowerLost,
            FlashError::OutOfBounds { .. } | FlashError::NotAligned { .. } => Self::PartitionTableInvalid,
        }
    }
}
