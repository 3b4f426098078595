//! The release-mode list, JTAG, download mode, counters that count bits, and what the controller says of its blocks.

use super::state::{Role, State};
use super::{Expectation, Finding, Fix, Rule, Severity, features, state};
use crate::chip::Chip;
use crate::efuse::release::{Requirement, Want, download_modes, requirements};
use crate::efuse::{KeyPurpose, unary};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

pub(super) fn findings(state: &State<'_>, expectation: &Expectation, found: &mut Vec<Finding>) {
    let features = features(state, expectation);
    let missing: Vec<_> = requirements(&state.map, state.revision(), &features)
        .into_iter()
        .filter(|line| line.want != Want::Counter && !line.is_met(state))
        .collect();
    let loader = loader_is_open(state, expectation);
    if expectation.is_release() {
        for line in missing {
            found.extend(setting(state, line));
        }
        if loader {
            found.push(open_loader(state));
        }
    } else {
        let mut names: Vec<_> = missing.iter().map(|line| line.field).collect();
        names.extend(loader.then_some(download_modes(state.map.chip).first().copied()).flatten());
        if !names.is_empty() {
            let what = format!("lacks {} settings of the release mode: {}", names.len(), state::listed(&names));
            found.push(Finding::new(Rule::ReleaseSettingsMissing, "BLOCK0", what, Fix::Unneeded));
        }
    }
    soft_jtag(state, expectation, found);
    broken(state, found);
    secure_version(state, found);
    damage(state, found);
    if state.is_set("DIS_DOWNLOAD_MODE") && state.is_set("ENABLE_SECURITY_DOWNLOAD") {
        let what = "is 1, and so is ENABLE_SECURITY_DOWNLOAD";
        found.push(Finding::new(Rule::DownloadModesBoth, "DIS_DOWNLOAD_MODE", what, Fix::Unneeded));
    }
}

/// One line of the list that is not met.
fn setting(state: &State<'_>, line: &Requirement) -> Option<Finding> {
    if line.rule == Rule::JtagOpen && (is_softly_closed(state) || is_softly_open(state)) {
        return None;
    }
    if line.rule == Rule::CryptConfig && state.is_hidden(1 << 3) {
        let what = "is hidden by RD_DIS bit 3";
        return Some(Finding::new(Rule::CryptConfigHidden, line.field, what, Fix::Unneeded));
    }
    let value = state.value(line.field);
    let (what, fix) = match line.want {
        Want::Value(wanted) if value & !wanted != 0 => {
            (format!("is {value:#x} instead of {wanted:#x}"), Fix::Impossible("a burned bit stays burned".into()))
        }
        Want::Value(wanted) | Want::AtLeast(wanted) => (format!("is {value:#x}"), state.burning(line.field, wanted)),
        Want::Counter => return None,
        Want::Frozen | Want::FrozenOr(_) => ("is not write-protected".to_string(), state.freezing(line.field)),
    };
    Some(Finding::new(line.rule, line.field, what, fix))
}

/// All bits of SOFT_DIS_JTAG with an HMAC key for it: ESP-IDF takes this for closed, to be opened by that key's holder.
fn is_softly_closed(state: &State<'_>) -> bool {
    let all = state.all_ones("SOFT_DIS_JTAG");
    all != 0 && state.value("SOFT_DIS_JTAG") == all && has_jtag_key(state)
}

/// SOFT_DIS_JTAG was burned in vain, which is a finding of its own.
fn is_softly_open(state: &State<'_>) -> bool {
    let value = state.value("SOFT_DIS_JTAG");
    value != 0 && !is_hard_closed(state) && (!unary::is_odd(value) || !has_jtag_key(state))
}

fn has_jtag_key(state: &State<'_>) -> bool {
    let opens = [KeyPurpose::HMAC_DOWN_JTAG, KeyPurpose::HMAC_DOWN_ALL];
    state.keys.iter().any(|key| matches!(key.role, Role::Secret(purpose) if opens.contains(&purpose)))
}

/// True if JTAG is closed by bits that nothing opens again.
fn is_hard_closed(state: &State<'_>) -> bool {
    let hard: Vec<_> = ["HARD_DIS_JTAG", "DIS_PAD_JTAG", "DIS_USB_JTAG", "JTAG_DISABLE"]
        .into_iter()
        .filter(|name| state.has(name))
        .collect();
    hard.iter().all(|name| state.is_set(name))
}

fn soft_jtag(state: &State<'_>, expectation: &Expectation, found: &mut Vec<Finding>) {
    if !is_softly_open(state) || !expectation.is_release() {
        return;
    }
    let value = state.value("SOFT_DIS_JTAG");
    if !unary::is_odd(value) {
        let what = format!("is {value:#b}: {} bits, an even number, so JTAG is on", value.count_ones());
        let fix = state.burning("SOFT_DIS_JTAG", state.all_ones("SOFT_DIS_JTAG"));
        found.push(Finding::new(Rule::SoftJtagEven, "SOFT_DIS_JTAG", what, fix));
    } else {
        let what = "is burned, and no block holds HMAC_DOWN_JTAG or HMAC_DOWN_ALL";
        let hard = state.first(&["HARD_DIS_JTAG", "DIS_PAD_JTAG"]).unwrap_or("DIS_PAD_JTAG");
        found.push(Finding::new(Rule::SoftJtagWithoutKey, "SOFT_DIS_JTAG", what, state.burning(hard, 1)));
    }
}

fn loader_is_open(state: &State<'_>, expectation: &Expectation) -> bool {
    let wanted = expectation.secure_boot || expectation.flash_encryption;
    // Before v3.0 the ESP32 has no such bit; Secure Boot V1 and its flash encryption do without.
    let known = state.map.chip != Chip::Esp32 || !state.is_boot_v1() || state.secure_boot_v2();
    wanted && known && !download_modes(state.map.chip).iter().any(|name| state.is_set(name))
}

fn open_loader(state: &State<'_>) -> Finding {
    let names = download_modes(state.map.chip);
    let last = names.last().copied().unwrap_or_default();
    let what = if names.len() == 1 { "is 0".to_string() } else { format!("is 0, and so is {}", names[0]) };
    Finding::new(Rule::DownloadModeOpen, last, what, state.burning(last, 1))
}

/// Bits that must never be burned.
fn broken(state: &State<'_>, found: &mut Vec<Finding>) {
    for name in ["DIS_CACHE", "DIS_ICACHE", "DIS_DCACHE"].into_iter().filter(|name| state.is_set(name)) {
        let fix = Fix::Impossible("a burned bit stays burned".into());
        found.push(Finding::new(Rule::CacheDisabled, name, "is 1", fix));
    }
    let both = ["DIS_USB_JTAG", "DIS_USB_SERIAL_JTAG"];
    if state.map.chip == Chip::Esp32S3 && both.iter().all(|name| state.is_set(name)) {
        let fix = Fix::Impossible("a burned bit stays burned; flash over the air only".into());
        let what = "is 1, and so is DIS_USB_JTAG";
        found.push(Finding::new(Rule::UsbJtagRomBug, "DIS_USB_SERIAL_JTAG", what, fix));
    }
}

fn secure_version(state: &State<'_>, found: &mut Vec<Finding>) {
    let name = "SECURE_VERSION";
    let value = state.value(name);
    let version = unary::count(value);
    if value & value.wrapping_add(1) != 0 {
        let what = format!("is {value:#b}, which is version {version}");
        let gaps = 1u32.checked_shl(u32::BITS - value.leading_zeros()).unwrap_or(0).wrapping_sub(1);
        let fix = match state.burning(name, gaps) {
            Fix::Burn(_) => Fix::Burn(format!("if version {} was meant, burn {name} {gaps:#x}", unary::count(gaps))),
            other => other,
        };
        found.push(Finding::new(Rule::SecureVersionNotUnary, name, what, fix));
    }
    if value != 0 && value != state.all_ones(name) && state.is_frozen(name) {
        let what = format!("is at version {version} and write-protected");
        let fix = Fix::Impossible(state.frozen_by(name).unwrap_or_default());
        found.push(Finding::new(Rule::SecureVersionFrozen, name, what, fix));
    }
}

/// What the controller found when it last read the blocks: error registers, and the bits of them that mean data is lost.
fn damage(state: &State<'_>, found: &mut Vec<Finding>) {
    const LOST: u32 = 0x8888_8888;
    let coded = match state.map.chip {
        Chip::Esp32 => &[("DEC_STATUS", 0x11c, 0xfff, 0xfff)][..],
        Chip::Esp32C2 => &[("RD_RS_ERR", 0x084, u32::MAX, LOST)],
        Chip::Esp32S31 => &[("RD_RS_ERR0", 0x188, u32::MAX, LOST), ("RD_RS_ERR1", 0x18c, u32::MAX, LOST)],
        Chip::Esp32C5 | Chip::Esp32C61 | Chip::Esp32H21 | Chip::Esp32H4 => {
            &[("RD_RS_ERR0", 0x190, u32::MAX, LOST), ("RD_RS_ERR1", 0x194, u32::MAX, LOST)]
        }
        _ => &[("RD_RS_ERR0", 0x1c0, u32::MAX, LOST), ("RD_RS_ERR1", 0x1c4, u32::MAX, LOST)],
    };
    for &(name, offset, mask, lost) in coded {
        let value = state.image.register(offset).unwrap_or(0) & mask;
        if value == 0 {
            continue;
        }
        let what = format!("reads {value:#010x}");
        let fix = Fix::Burn("burn the same data again (espefuse: check-error --recovery); other data never".into());
        let finding = Finding::new(Rule::BlockDamaged, name, what, fix);
        found.push(if value & lost == 0 { finding.milder(Severity::Advice) } else { finding });
    }
}
