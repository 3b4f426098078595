//! What a product wants of its silicon, before anyone says which bits that means.

use cotter_formats::chip::Chip;

/// A product's choices; [`crate::plan`] turns them into burns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Which chip.
    pub chip: Chip,
    /// The ROM boots only what the Secure Boot V2 key signed.
    pub secure_boot: bool,
    /// What becomes of the flash content.
    pub flash_encryption: FlashEncryption,
    /// The debug port.
    pub jtag: Jtag,
    /// The serial loader.
    pub download: Download,
}

/// Flash encryption modes, as ESP-IDF has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashEncryption {
    /// Plain flash.
    Off,
    /// On, but the counter leaves room to turn it off again and the loader may encrypt: not for products.
    Development,
    /// On for good.
    Release,
}

/// What becomes of JTAG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jtag {
    /// Left as it is: anyone with a probe owns the chip.
    Open,
    /// Pads and USB disabled for good.
    Disabled,
}

/// What becomes of the serial download mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Download {
    /// Left as it is.
    Open,
    /// Only flash writes and the security report; no reads, no code.
    Secure,
    /// Gone: the chip can only boot.
    Disabled,
}

impl Policy {
    /// What ESP-IDF's release-mode lists ask for: everything on, everything locked.
    #[must_use]
    pub const fn release(chip: Chip) -> Self {
        Self {
            chip,
            secure_boot: true,
            flash_encryption: FlashEncryption::Release,
            jtag: Jtag::Disabled,
            download: Download::Secure,
        }
    }
}
