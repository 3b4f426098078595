//! The mask ROM of the ESP32-C3 (2021-02-07): from reset to the jump into the second stage, with the lines it prints.
//!
//! The verdicts and lines are those of Espressif's own ROM code, observed in an emulated board; `tests.rs` holds the
//! table. What was not observed says so where it stands. The ROM prints `invalid header` for ever; here it does once.
//!
//! | file | noun |
//! |---|---|
//! | here | reset, image header, load |
//! | `secure_boot` | Secure Boot V2 |

mod secure_boot;
#[cfg(test)]
mod tests;

use crate::crypt::TransparentFlash;
use crate::efuse::Efuses;
use crate::fault::PowerLost;
use crate::flash_image::{FlashImage, WalkError, read_header};
use crate::report::{Record, RefusalCode, Stage};
use cotter_formats::addr::FlashLen;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::esp32c3;
use cotter_formats::image::{FlashMode, ImageHeader, MAX_SEGMENTS};
use zerocopy::IntoBytes;

/// Boots from flash: returns when the ROM would jump to the second stage.
pub(crate) fn boot(flash: &TransparentFlash, efuses: &Efuses, record: &mut Record) -> Result<(), RefusalCode> {
    let settings = efuses.image()?;

    // 1. The banner, unless UART_PRINT_CONTROL forbids it.
    silence(efuses, record);
    banner(record, "boot:0x8 (SPI_FAST_FLASH_BOOT)");

    // 2. The first byte at the bootloader's offset must be the magic byte. Flash encryption, if it is on, has been
    //    applied by the cache: a plaintext image, or one for another address, is noise here.
    let at = Chip::Esp32C3.bootloader_offset();
    let limit = FlashLen(flash.raw().size().0 - at.0);
    let header = read_header(flash, at)?;
    if header.magic != ImageHeader::MAGIC {
        let first = header.as_bytes().first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
        record.line(format!("invalid header: {first:#010x}"));
        return Err(RefusalCode::InvalidHeader);
    }
    record.line(format!("SPIWP:{:#x}", header.wp_pin));
    record.line(format!("mode:{}, clock div:{}", mode_name(header.flash_mode), clock_divider(&header)));

    // 3. The header. The ROM ignores the revision fields. Not observed: the order of these two checks.
    let expected = Chip::Esp32C3.image_chip_id();
    let found = header.chip_id.get();
    if found != expected {
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
    if settings.is_set(&esp32c3::SECURE_BOOT_EN) {
        secure_boot::verify(&image, flash, efuses, record)?;
    } else {
        record.step(Stage::Rom, "Secure Boot", "off");
    }

    // 5. Segments are loaded, then the checksum counts, then the digest, which without Secure Boot only warns.
    let image = image.parsed();
    for segment in image.segments() {
        record.line(format!("load:{:#x},len:{:#x}", segment.load_address, segment.data.len()));
    }
    let checksum = image.checksum();
    if checksum.stored != checksum.computed {
        let (calculated, stored) = (checksum.computed, checksum.stored);
        record.line(format!("Checksum failure. Calculated {calculated:#04x} stored {stored:#04x}"));
        return Err(RefusalCode::ChecksumMismatch);
    }
    if let Some(digest) = image.digest().filter(|digest| digest.stored != digest.computed) {
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
    if settings.is_set(&esp32c3::DIS_DOWNLOAD_MODE) {
        banner(record, "boot:0x4 (DOWNLOAD(USB/UART0))");
        // ... and a reset, for ever.
        record.line("Download boot modes disabled");
        return Err(RefusalCode::DownloadModeDisabled);
    }
    banner(record, "boot:0x4 (DOWNLOAD(USB/UART0))");
    if settings.is_set(&esp32c3::ENABLE_SECURITY_DOWNLOAD) {
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

fn banner(record: &mut Record, mode: &str) {
    record.line("ESP-ROM:esp32c3-api1-20210207");
    record.line("Build:Feb  7 2021");
    record.line(format!("rst:0x1 (POWERON),{mode}"));
}

/// `UART_PRINT_CONTROL`: 3 silences the ROM. 1 and 2 depend on GPIO8, which this board pulls up.
fn silence(efuses: &Efuses, record: &mut Record) {
    record.silence(matches!(efuses.sensed(&esp32c3::UART_PRINT_CONTROL), 1 | 3));
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
fn clock_divider(header: &ImageHeader) -> u8 {
    header.flash_frequency(Chip::Esp32C3).map_or(1, |frequency| 80 / frequency.0)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
