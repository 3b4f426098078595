//! The first lines of a boot: which ROM this is, and why it runs.
//!
//! The ESP32-C3's and the ESP32's (rev 3) were observed. The others are as boards print them in public logs, of the ROM
//! of the revision that is sold most; a newer one has another date.

use crate::report::Record;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::ChipRevision;

/// What the strap pins ask for.
#[derive(Clone, Copy)]
pub(super) enum Strap {
    Flash,
    Download,
}

/// Why the ROM runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reset {
    /// Power came on.
    PowerOn,
    /// The second stage asked for it. Observed on the ESP32 and ESP32-S3; later chips as ESP-IDF names the reason.
    Software,
}

pub(super) fn print(chip: Chip, revision: ChipRevision, strap: Strap, reset: Reset, record: &mut Record) {
    if chip == Chip::Esp32 {
        record.line(if revision.0 >= 300 { "ets Jul 29 2019 12:21:46" } else { "ets Jun  8 2016 00:22:57" });
        record.line("");
    } else {
        let (name, build) = rom(chip);
        record.line(format!("ESP-ROM:{name}"));
        record.line(format!("Build:{build}"));
    }
    let reset = match (reset, chip) {
        (Reset::PowerOn, Chip::Esp32) => "0x1 (POWERON_RESET)",
        (Reset::PowerOn, _) => "0x1 (POWERON)",
        (Reset::Software, Chip::Esp32) => "0x3 (SW_RESET)",
        (Reset::Software, Chip::Esp32S2 | Chip::Esp32S3 | Chip::Esp32C2 | Chip::Esp32C3) => "0x3 (RTC_SW_SYS_RST)",
        (Reset::Software, _) => "0x3 (LP_SW_HPSYS)",
    };
    record.line(format!("rst:{reset},boot:{}", boot_mode(chip, strap)));
}

const fn rom(chip: Chip) -> (&'static str, &'static str) {
    match chip {
        Chip::Esp32S2 => ("esp32s2-rc4-20191025", "Oct 25 2019"),
        Chip::Esp32S3 => ("esp32s3-20210327", "Mar 27 2021"),
        Chip::Esp32C2 => ("esp8684-api2-20220127", "Jan 27 2022"),
        Chip::Esp32C3 => ("esp32c3-api1-20210207", "Feb  7 2021"),
        Chip::Esp32C6 => ("esp32c6-20220919", "Sep 19 2022"),
        Chip::Esp32H2 => ("esp32h2-20221101", "Nov  1 2022"),
        Chip::Esp32C5 => ("esp32c5-eco2-20250121", "Jan 21 2025"),
        Chip::Esp32C61 => ("esp32c61-20240412", "Apr 12 2024"),
        Chip::Esp32P4 => ("esp32p4-eco2-20240710", "Jul 10 2024"),
        // Boards of these are refused.
        Chip::Esp32 | Chip::Esp32H21 | Chip::Esp32H4 | Chip::Esp32S31 => ("unknown", "unknown"),
    }
}

/// The strap register and what it means.
const fn boot_mode(chip: Chip, strap: Strap) -> &'static str {
    match (strap, chip) {
        (Strap::Flash, Chip::Esp32) => "0x13 (SPI_FAST_FLASH_BOOT)",
        (Strap::Flash, Chip::Esp32C2 | Chip::Esp32C6 | Chip::Esp32H2) => "0xc (SPI_FAST_FLASH_BOOT)",
        (Strap::Flash, Chip::Esp32C5) => "0x18 (SPI_FAST_FLASH_BOOT)",
        (Strap::Flash, Chip::Esp32P4) => "0xc (SPI_FAST_FLASH_BOOT)",
        (Strap::Flash, _) => "0x8 (SPI_FAST_FLASH_BOOT)",
        (Strap::Download, Chip::Esp32) => "0x3 (DOWNLOAD_BOOT(UART0/UART1/SDIO_REI_REO_V2))",
        (Strap::Download, Chip::Esp32S2 | Chip::Esp32S3) => "0x0 (DOWNLOAD(USB/UART0))",
        (Strap::Download, _) => "0x4 (DOWNLOAD(USB/UART0))",
    }
}
