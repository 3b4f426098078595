//! Flash encryption: the counter, and whether the hardware will find the right key.

use super::state::{Key, Role, State};
use super::{Expectation, Finding, Fix, Rule};
use crate::efuse::Family;
use alloc::format;
use alloc::vec::Vec;

pub(super) fn findings(state: &State<'_>, expectation: &Expectation, found: &mut Vec<Finding>) {
    counter(state, expectation, found);
    mixed(state, found);
    if state.flash_encryption() {
        if state.flash_key_is_managed() {
            overridden(state, found);
        } else {
            key(state, found);
        }
    }
    if state.map.family == Family::Esp32 && state.value("CODING_SCHEME") == 2 {
        let fix = Fix::Impossible("the coding scheme is set in Espressif's factory".into());
        found.push(Finding::new(Rule::CodingSchemeUnsupported, "CODING_SCHEME", "is 2 (repeat)", fix));
    }
    if state.map.family == Family::Esp32C2 && state.is_set("XTS_KEY_LENGTH_256") && state.secure_boot_v2() {
        let fix = Fix::Impossible("a burned bit stays burned".into());
        let what = "is 1, and SECURE_BOOT_EN is burned";
        found.push(Finding::new(Rule::KeyLengthTakesDigest, "XTS_KEY_LENGTH_256", what, fix));
    }
}

fn counter(state: &State<'_>, expectation: &Expectation, found: &mut Vec<Finding>) {
    let (name, value, all) = state.crypt_cnt();
    let frozen = state.is_frozen(name);
    let count = value.count_ones();
    let wanted = expectation.is_release() && expectation.flash_encryption;
    match (count % 2 == 1, count) {
        (true, _) => {
            if wanted && value != all && !frozen {
                let what = format!("is {value:#b}: on, but it can be turned off again");
                let fix = state.burning(name, all);
                found.push(Finding::new(Rule::FlashEncryptionDevelopment, name, what, fix));
            }
            if !expectation.is_release() && (value == all || frozen) {
                let fix = Fix::Impossible("a burned counter stays burned".into());
                found.push(Finding::new(Rule::DevelopmentLocked, name, format!("is {value:#b}: on, for good"), fix));
            }
        }
        (false, 0) => {
            if wanted {
                found.push(Finding::new(Rule::FlashEncryptionOff, name, "is 0: off", enabling(state, name)));
                too_late(state, found);
            }
        }
        (false, _) if frozen => {
            let what = format!("is {value:#b}: {count} bits, an even number, and write-protected");
            let fix = Fix::Impossible(format!("{name} is write-protected"));
            found.push(Finding::new(Rule::CryptCntFrozenEven, name, what, fix));
        }
        (false, _) => {
            if wanted {
                let what = format!("is {value:#b}: {count} bits, an even number, so encryption is off");
                let fix =
                    if value == all { Fix::Impossible("no bit is left".into()) } else { state.burning(name, all) };
                found.push(Finding::new(Rule::CryptCntEven, name, what, fix));
            }
        }
    }
}

/// Turning it on takes a key that can still be hidden, and then the counter.
fn enabling(state: &State<'_>, name: &str) -> Fix {
    let hidden_key = state.flash_keys().any(|key| key.is_hidden);
    if state.is_frozen("RD_DIS") && !hidden_key && !state.flash_key_is_managed() {
        return Fix::Impossible("RD_DIS is write-protected, so a key can no longer be hidden".into());
    }
    match state.burning(name, state.all_ones(name)) {
        Fix::Burn(_) => Fix::Burn(format!(
            "burn a flash key, flash encrypted content, then {name} {:#x}{}",
            state.all_ones(name),
            state.firmware_only()
        )),
        other => other,
    }
}

fn too_late(state: &State<'_>, found: &mut Vec<Finding>) {
    let ready = state.flash_keys().any(|key| key.is_hidden) || state.flash_key_is_managed();
    if state.is_frozen("RD_DIS") && !ready {
        let what = "is write-protected, and no flash key is hidden yet";
        let fix = Fix::Impossible("a frozen RD_DIS stays frozen".into());
        found.push(Finding::new(Rule::RdDisLockedEarly, "RD_DIS", what, fix));
    }
}

/// Both key sizes at once.
fn mixed(state: &State<'_>, found: &mut Vec<Finding>) {
    let whole = state.flash_keys().find(|key| key.role == Role::Flash);
    let half = state.flash_keys().find(|key| matches!(key.role, Role::FlashHalf(_)));
    if let (Some(whole), Some(half)) = (whole, half) {
        let what = format!("holds a 128-bit flash key, and {} half a 256-bit one", half.name);
        let fix = Fix::Impossible("a purpose cannot be taken back".into());
        found.push(Finding::new(Rule::FlashKeySizesMixed, whole.name, what, fix));
    }
}

fn overridden(state: &State<'_>, found: &mut Vec<Finding>) {
    if let Some(key) = state.flash_keys().find(|key| !key.is_zero()) {
        let what = format!("forces the key manager, and {} holds a flash key", key.name);
        let fix = Fix::Burn("encrypt the flash content with the key manager's key; the other is of no use".into());
        found.push(Finding::new(Rule::FlashKeyOverridden, "FORCE_USE_KEY_MANAGER_KEY", what, fix));
    }
}

/// Encryption is on: is there a key?
fn key(state: &State<'_>, found: &mut Vec<Finding>) {
    let (name, ..) = state.crypt_cnt();
    let usable = |key: &&Key<'_>| !key.is_zero();
    let half = |number| state.flash_keys().find(|key| key.role == Role::FlashHalf(number));
    if let Some(key) = state.flash_keys().find(|key| key.role == Role::Flash) {
        if key.is_zero() {
            found.push(Finding::new(
                Rule::FlashKeyMissing,
                key.name,
                format!("is blank, and {name} is on"),
                burn(state, key),
            ));
        }
    } else if state.flash_keys().filter(usable).count() == 0 {
        let what = "is on, and no block holds a flash key";
        let free = state.keys.iter().find(|key| key.role == Role::Free);
        let fix = free.map_or_else(|| Fix::Impossible("no key block is free".into()), |key| burn(state, key));
        found.push(Finding::new(Rule::FlashKeyMissing, name, what, fix));
    } else {
        for (has, lacks) in [(1, 2), (2, 1)] {
            if let (Some(key), None) = (half(has), half(lacks).filter(usable)) {
                let what = format!("holds half {has} of a 256-bit flash key, and half {lacks} is nowhere");
                let fix = Fix::Burn(format!(
                    "burn the other half of this very key into a free block{}",
                    state.firmware_only()
                ));
                found.push(Finding::new(Rule::FlashKeyHalfMissing, key.name, what, fix));
            }
        }
    }
}

fn burn(state: &State<'_>, key: &Key<'_>) -> Fix {
    if key.is_frozen {
        return Fix::Impossible(format!("{} is write-protected", key.name));
    }
    if state.is_frozen("RD_DIS") {
        return Fix::Impossible("RD_DIS is write-protected, so a key can no longer be hidden".into());
    }
    Fix::Burn(format!(
        "burn the key that the flash content is encrypted with into {}{}",
        key.name,
        state.firmware_only()
    ))
}
