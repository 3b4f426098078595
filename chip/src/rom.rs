//! The mask ROMs: from reset to the jump into the second stage, with the lines they print.
//!
//! Verdicts and lines of the ESP32-C3 (2021-02-07) and of Secure Boot V2 on the ESP32 (2019-07-29) are those of
//! Espressif's own ROM code, observed in an emulated board; `tests.rs` holds the table. The other chips of the family
//! take the path of the ESP32-C3 with their own constants, schemes and banner: that was not observed. What else was not
//! observed says so where it stands. The ROM prints `invalid header` for ever; here it does once.
//!
//! | file | noun |
//! |---|---|
//! | here | reset, image header, load |
//! | `banner` | the first lines |
//! | `secure_boot_v1` | the digest of the bootloader, ESP32 |
//! | `secure_boot` | Secure Boot V2 |

mod banner;
mod secure_boot;
mod secure_boot_v1;
#[cfg(test)]
mod tests;

use crate::crypt::TransparentFlash;
use crate::download_rules::DownloadRules;
use crate::efuse::{Efuses, Setting};
use crate::fault::PowerLost;
use crate::flash_image::{FlashImage, WalkError, read_header};
use crate::report::{Record, RefusalCode, Stage};
use cotter_formats::addr::FlashLen;
use cotter_formats::chip::Chip;
use cotter_formats::image::{FlashMode, ImageHeader, MAX_SEGMENTS};
use cotter_formats::secure_boot::v2::{EfuseTrust, Version};
use zerocopy::IntoBytes;

pub(crate) use banner::Reset;

/// Boots from flash: returns when the ROM would jump to the second stage.
pub(crate) fn boot(
    flash: &TransparentFlash,
    efuses: &Efuses,
    reset: Reset,
    record: &mut Record,
) -> Result<(), RefusalCode> {
    let settings = efuses.image()?;
    let chip = efuses.chip();

    // 1. The banner, unless UART_PRINT_CONTROL forbids it.
    silence(efuses, record);
    banner::print(chip, settings.revision(), banner::Strap::Flash, reset, record);

    // 2. The first byte at the bootloader's offset must be the magic byte. Flash encryption, if it is on, has been
    //    applied by the cache: a plaintext image, or one for another address, is noise here.
    let at = chip.bootloader_offset();
    let limit = FlashLen(flash.raw().size().0.saturating_sub(at.0));
    let header = read_header(flash, at)?;
    if header.magic != ImageHeader::MAGIC {
        let first = header.as_bytes().first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
        record.line(format!("invalid header: {first:#010x}"));
        return Err(RefusalCode::InvalidHeader);
    }
    describe(chip, &header, record);

    // 3. The header. The ROM ignores the revision fields. Not observed: the order of these two checks, and whether the
    //    ESP32 looks at the chip id, which is younger than its ROM; here it does not.
    let expected = chip.image_chip_id();
    let found = header.chip_id.get();
    if found != expected && chip != Chip::Esp32 {
        record.line(format!("Invalid chip id. Expected {expected} read {found}. Bootloader for wrong chip?"));
        return Err(RefusalCode::WrongChip);
    }
    let count = header.segment_count;
    if usize::from(count) > MAX_SEGMENTS {
        record.line(format!("Invalid image block count: {count} (max {MAX_SEGMENTS})"));
        return Err(RefusalCode::TooManySegments);
    }
    // Not observed: what the ROM says to a segment that ends outside flash. Here it says nothing and stops.
    let image = FlashImage::read(flash, at, limit)?;
    record.step(Stage::Rom, "image header", format!("{count} segments, {} bytes", image.len().0));

    // 4. Secure Boot comes before a single segment is loaded.
    match EfuseTrust::of(&settings).enabled {
        Some(Version::V2) if settings.revision().0 >= 300 || chip != Chip::Esp32 => {
            secure_boot::verify(&image, flash, efuses, record)?;
        }
        Some(Version::V1) => secure_boot_v1::verify(flash, efuses, record)?,
        // Before v3.0 an ESP32 does not know ABS_DONE_1.
        Some(Version::V2) => {
            record.step(Stage::Rom, "Secure Boot", "V2 is enabled, but this revision does not know it")
        }
        None => record.step(Stage::Rom, "Secure Boot", "off"),
    }

    // 5. Segments are loaded, then the checksum counts, then the digest, which without Secure Boot only warns.
    let image = image.parsed();
    for segment in image.segments() {
        let (address, len) = (segment.load_address, segment.data.len());
        record.line(match chip {
            Chip::Esp32 => format!("load:{address:#010x},len:{len}"),
            _ => format!("load:{address:#x},len:{len:#x}"),
        });
    }
    let checksum = image.checksum();
    if checksum.stored != checksum.computed {
        let (calculated, stored) = (checksum.computed, checksum.stored);
        record.line(match chip {
            // Not observed.
            Chip::Esp32 => format!("csum err:{calculated:#04x}!={stored:#04x}"),
            _ => format!("Checksum failure. Calculated {calculated:#04x} stored {stored:#04x}"),
        });
        return Err(RefusalCode::ChecksumMismatch);
    }
    // The ESP32's ROM is older than the appended digest.
    if let Some(digest) = image.digest().filter(|digest| digest.stored != digest.computed && chip != Chip::Esp32) {
        record.line("SHA-256 comparison failed:");
        record.line(format!("Calculated: {}", hex(&digest.computed)));
        record.line(format!("Expected: {}", hex(&digest.stored)));
        record.line("Attempting to boot anyway...");
    }

    // 6. Jump.
    record.line(format!("entry {:#x}", header.entry.get()));
    record.step(Stage::Rom, "jump", format!("{:#x}", header.entry.get()));
    record.silence(false);
    Ok(())
}

/// Boots into download mode: returns how much of it there is.
pub(crate) fn download(efuses: &Efuses, record: &mut Record) -> Result<DownloadMode, RefusalCode> {
    let settings = efuses.image()?;
    silence(efuses, record);
    banner::print(efuses.chip(), settings.revision(), banner::Strap::Download, Reset::PowerOn, record);
    let rules = DownloadRules::of_cells(efuses);
    if !rules.begins(settings.revision()) {
        // ... and a reset, for ever.
        record.line("Download boot modes disabled");
        return Err(RefusalCode::DownloadModeDisabled);
    }
    if !rules.is_open() {
        record.line("wait uart download(secure mode)");
        return Ok(DownloadMode::Secure);
    }
    record.line("waiting for download");
    Ok(DownloadMode::Full)
}

/// What the serial port can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownloadMode {
    /// Everything.
    Full,
    /// Flash can be written, but neither flash nor registers (so no eFuses) can be read.
    Secure,
}

/// What the ROM says about the flash.
fn describe(chip: Chip, header: &ImageHeader, record: &mut Record) {
    let wp = header.wp_pin;
    if chip == Chip::Esp32 {
        record.line(format!("configsip: 0, SPIWP:{wp:#x}"));
        record.line("clk_drv:0x00,q_drv:0x00,d_drv:0x00,cs0_drv:0x00,hd_drv:0x00,wp_drv:0x00");
    } else {
        record.line(format!("SPIWP:{wp:#x}"));
    }
    record.line(format!("mode:{}, clock div:{}", mode_name(header.flash_mode), clock_divider(chip, header)));
}

/// `UART_PRINT_CONTROL`: 3 silences the ROM. 1 and 2 depend on a pin (GPIO8 on the C3), which this board pulls up.
fn silence(efuses: &Efuses, record: &mut Record) {
    record.silence(matches!(efuses.sensed(Setting::UartPrint), 1 | 3));
}

impl From<WalkError> for RefusalCode {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::PowerLost => Self::PowerLost,
            WalkError::DoesNotFit => Self::MalformedImage,
        }
    }
}

impl From<PowerLost> for RefusalCode {
    fn from(PowerLost: PowerLost) -> Self {
        Self::PowerLost
    }
}

/// As the ROM spells it.
const fn mode_name(mode: FlashMode) -> &'static str {
    match mode {
        FlashMode::QIO => "QIO",
        FlashMode::QOUT => "QOUT",
        FlashMode::DIO => "DIO",
        FlashMode::DOUT => "DOUT",
        FlashMode::FAST_READ => "FAST_RD",
        _ => "SLOW_RD",
    }
}

/// Divider of the 80 MHz clock. Not observed: an unknown code.
fn clock_divider(chip: Chip, header: &ImageHeader) -> u8 {
    header.flash_frequency(chip).map_or(1, |frequency| 80 / frequency.0.max(1))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
