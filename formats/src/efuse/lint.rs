//! What is wrong with the eFuses of a chip: every known way to brick it, and everything that is left open.
//!
//! | file | noun |
//! |---|---|
//! | here | findings, and what the chip is held against |
//! | `rule` | every rule by its code |
//! | `state` | what the rules look at |
//! | `boot` | Secure Boot and its digests |
//! | `encryption` | flash encryption and its key |
//! | `keys` | every key block: who can read, change or guess it |
//! | `settings` | the release-mode list, JTAG, download mode, counters, coding |
//!
//! A register image tells nothing about what a hidden key block holds: it reads as zero.

mod boot;
mod encryption;
mod keys;
mod rule;
mod settings;
mod state;

pub use rule::{Rule, Severity};
pub(super) use state::State;

use super::release::{Features, Scheme};
use super::{EfuseImage, Family};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What a chip is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Where the chip is in its life.
    pub profile: Profile,
    /// The product uses Secure Boot.
    pub secure_boot: bool,
    /// The product uses flash encryption.
    pub flash_encryption: bool,
}

/// Where a chip is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// On a desk: nothing may be broken, but it may be open.
    Development,
    /// In the field: ESP-IDF's release-mode lists hold.
    Release,
}

impl Expectation {
    /// A product that uses everything.
    pub const RELEASE: Self = Self { profile: Profile::Release, secure_boot: true, flash_encryption: true };

    /// A desk.
    pub const DEVELOPMENT: Self = Self { profile: Profile::Development, secure_boot: true, flash_encryption: true };

    const fn is_release(&self) -> bool {
        matches!(self.profile, Profile::Release)
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which rule says so.
    pub rule: Rule,
    /// How bad it is here.
    pub severity: Severity,
    /// Where: a field, a key block, a register.
    pub at: String,
    /// What is there.
    pub what: String,
    /// What can be done.
    pub fix: Fix,
}

/// What can be done about a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fix {
    /// This, which is irreversible itself.
    Burn(String),
    /// Nothing any more, and why.
    Impossible(String),
    /// Nothing has to be.
    Unneeded,
}

impl Fix {
    /// The text; empty if nothing has to be done.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Burn(text) | Self::Impossible(text) => text,
            Self::Unneeded => "",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}] {} {}. {}", self.severity, self.rule, self.at, self.what, self.rule.why())?;
        match &self.fix {
            Fix::Burn(text) => write!(f, " To do: {text}."),
            Fix::Impossible(text) => write!(f, " It cannot be mended: {text}."),
            Fix::Unneeded => Ok(()),
        }
    }
}

/// Everything that is wrong with a chip, the worst first.
#[must_use]
pub fn findings(image: &EfuseImage, expectation: &Expectation) -> Vec<Finding> {
    let state = State::new(image);
    let mut found = Vec::new();
    boot::findings(&state, expectation, &mut found);
    encryption::findings(&state, expectation, &mut found);
    keys::findings(&state, expectation, &mut found);
    settings::findings(&state, expectation, &mut found);
    found.sort_by_key(|finding| finding.severity);
    found
}

/// What the release-mode list is taken for on this chip: what is expected, under the scheme that is burned.
fn features(state: &State<'_>, expectation: &Expectation) -> Features {
    let scheme = if state.map.family == Family::Esp32 && !state.secure_boot_v2() && state.is_boot_v1() {
        Scheme::V1
    } else if state.is_set("SECURE_BOOT_SHA384_EN") {
        Scheme::V2Sha384
    } else {
        Scheme::V2
    };
    let secure_boot = expectation.secure_boot.then_some(scheme);
    Features { flash_encryption: expectation.flash_encryption, secure_boot }
}

impl Finding {
    fn new(rule: Rule, at: impl Into<String>, what: impl Into<String>, fix: Fix) -> Self {
        Self { rule, severity: rule.severity(), at: at.into(), what: what.into(), fix }
    }

    fn milder(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }
}

/// What can still be done, and with what side effects.
impl State<'_> {
    /// Burning a value into a field.
    fn burning(&self, name: &str, value: u32) -> Fix {
        match self.frozen_by(name) {
            Some(reason) => Fix::Impossible(reason),
            None => Fix::Burn(format!("burn {name} {value:#x}{}", self.firmware_only())),
        }
    }

    /// Write-protecting a field.
    fn freezing(&self, name: &str) -> Fix {
        if self.is_frozen("WR_DIS") {
            return Fix::Impossible("WR_DIS is write-protected itself".into());
        }
        let shared = State::shares_protection_with(&self.map, name);
        let also = match shared.as_slice() {
            [] => String::new(),
            names => format!(" (this also freezes {})", state::listed(names)),
        };
        Fix::Burn(format!("write-protect {name}{also}{}", self.firmware_only()))
    }

    /// Write-protecting a key block.
    fn freezing_block(&self, name: &str) -> Fix {
        if self.is_frozen("WR_DIS") {
            return Fix::Impossible("WR_DIS is write-protected itself".into());
        }
        Fix::Burn(format!("write-protect {name}{}", self.firmware_only()))
    }

    /// Read-protecting a key block.
    fn hiding(&self, name: &str) -> Fix {
        if self.is_frozen("RD_DIS") {
            return Fix::Impossible("RD_DIS is write-protected".into());
        }
        Fix::Burn(format!("read-protect {name}{}", self.firmware_only()))
    }

    /// Why a field cannot be burned any more.
    fn frozen_by(&self, name: &str) -> Option<String> {
        let bit = self.map.field(name)?.write_protect_bit.filter(|bit| self.is_frozen_bit(Some(*bit)))?;
        let shared = State::shares_protection_with(&self.map, name);
        Some(match shared.as_slice() {
            [] => format!("{name} is write-protected (WR_DIS bit {bit})"),
            names => {
                format!("{name} is write-protected by WR_DIS bit {bit}, which it shares with {}", state::listed(names))
            }
        })
    }

    /// The loader of a closed chip burns nothing: only code on the chip can.
    fn firmware_only(&self) -> &'static str {
        let closed = ["DIS_DOWNLOAD_MODE", "ENABLE_SECURITY_DOWNLOAD", "UART_DOWNLOAD_DIS"];
        if closed.iter().any(|name| self.is_set(name)) { ", from firmware: the loader is closed" } else { "" }
    }
}
