//! Secure Boot: what the ROM will find when it looks for the key.

use super::state::{Key, Role, State};
use super::{Expectation, Finding, Fix, Rule, Severity};
use crate::efuse::{ChipRevision, Family};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

pub(super) fn findings(state: &State<'_>, expectation: &Expectation, found: &mut Vec<Finding>) {
    if state.secure_boot_v2() {
        trusted(state, found);
        unused_slots(state, expectation, found);
        aggressive(state, found);
    } else if state.secure_boot_v1() && state.keys.iter().any(|key| key.role == Role::BootKey && key.is_zero()) {
        let fix = Fix::Burn(
            "burn the key (espefuse: burn-key secure_boot_v1) that made the digest at flash address 0".into(),
        );
        found.push(Finding::new(Rule::SecureBootV1NoKey, "BLOCK2", "is blank, and ABS_DONE_0 is burned", fix));
    }
    for (slot, key) in state.digests().filter(|(slot, _)| !state.is_revoked(*slot)) {
        digest(state, slot, key, found);
    }
    same_digests(state, found);
    if state.is_set("ABS_DONE_1") {
        esp32_v2(state, found);
    }
    if state.secure_boot_v2() && state.is_set("SECURE_BOOT_SHA384_EN") {
        found.push(Finding::new(Rule::Sha384Only, "SECURE_BOOT_SHA384_EN", "is 1", Fix::Unneeded));
    }
}

/// Is there a key that the ROM can trust?
fn trusted(state: &State<'_>, found: &mut Vec<Finding>) {
    let enable = if state.map.family == Family::Esp32 { "ABS_DONE_1" } else { "SECURE_BOOT_EN" };
    let has_room = (0..state.slots())
        .any(|slot| !state.is_revoked(slot) && state.digests().all(|(used, _)| used != slot))
        && state.keys.iter().any(|key| key.role == Role::Free);
    let burn = || {
        if has_room {
            Fix::Burn(format!(
                "burn the digest of a key into a free block, for a slot that is not revoked{}",
                state.firmware_only()
            ))
        } else {
            Fix::Impossible("no block or slot is left for a digest".into())
        }
    };
    let only = state.digests().next().filter(|(_, key)| state.slots() == 1 && key.is_zero());
    if let Some((_, key)) = only {
        let fix = if key.is_frozen {
            Fix::Impossible(format!("{} is write-protected", key.name))
        } else {
            Fix::Burn(format!("burn the digest of the key into {}{}", key.name, state.firmware_only()))
        };
        let what = format!("is blank, and {enable} is burned");
        found.push(Finding::new(Rule::SecureBootNoDigest, key.name, what, fix));
    } else if state.digests().count() == 0 {
        found.push(Finding::new(Rule::SecureBootNoDigest, enable, "is burned, and no block holds a digest", burn()));
    } else if state.digests().all(|(slot, _)| state.is_revoked(slot)) {
        let what = "is burned, and every digest is revoked";
        found.push(Finding::new(Rule::SecureBootAllRevoked, enable, what, burn()));
    }
}

/// A digest that no signature can match.
fn digest(state: &State<'_>, slot: u8, key: &Key<'_>, found: &mut Vec<Finding>) {
    let others = state
        .digests()
        .any(|(other, key)| other != slot && !state.is_revoked(other) && !key.is_hidden && !key.is_zero());
    let revoke = || match state.map.key_revokes.get(usize::from(slot)) {
        Some(field) if others => state.burning(field.name, 1),
        Some(_) => Fix::Impossible("it is the only digest; revoking it leaves none".into()),
        None => Fix::Impossible("this chip has no other place for a digest".into()),
    };
    let name = |text: &str| -> String { format!("{text} (digest {slot})") };
    if key.is_hidden {
        found.push(Finding::new(Rule::DigestReadProtected, key.name, name("is read-protected"), revoke()));
    } else if key.is_zero() {
        if state.slots() > 1 {
            let fix = if key.is_frozen { revoke() } else { Fix::Burn(format!("burn the digest into {}", key.name)) };
            found.push(Finding::new(Rule::DigestEmpty, key.name, name("is all zeros"), fix));
        }
    } else if super::keys::is_patterned(key.bytes) {
        found.push(Finding::new(Rule::DigestImplausible, key.name, name("holds a pattern"), revoke()));
    }
}

fn unused_slots(state: &State<'_>, expectation: &Expectation, found: &mut Vec<Finding>) {
    if !expectation.is_release() || state.digests().count() == 0 {
        return;
    }
    for (slot, field) in (0u8..).zip(state.map.key_revokes) {
        if !state.is_revoked(slot) && state.digests().all(|(used, _)| used != slot) {
            let what = format!("is 0, and no block holds digest {slot}");
            found.push(Finding::new(Rule::DigestSlotOpen, field.name, what, state.burning(field.name, 1)));
        }
    }
}

fn aggressive(state: &State<'_>, found: &mut Vec<Finding>) {
    let trusted = state.digests().filter(|(slot, _)| !state.is_revoked(*slot)).count();
    if state.is_set("SECURE_BOOT_AGGRESSIVE_REVOKE") && trusted == 1 {
        let (at, what) = ("SECURE_BOOT_AGGRESSIVE_REVOKE", "is 1, and one digest is trusted");
        found.push(Finding::new(Rule::AggressiveRevokeOneKey, at, what, Fix::Unneeded));
    }
}

fn same_digests(state: &State<'_>, found: &mut Vec<Finding>) {
    let readable: Vec<_> = state.digests().filter(|(_, key)| !key.is_hidden && !key.is_zero()).collect();
    for (index, (_, second)) in readable.iter().enumerate() {
        if let Some((_, first)) = readable.iter().take(index).find(|(_, first)| first.bytes == second.bytes) {
            let what = format!("holds the same digest as {}", first.name);
            found.push(Finding::new(Rule::DigestDuplicate, second.name, what, Fix::Unneeded));
        }
    }
}

fn esp32_v2(state: &State<'_>, found: &mut Vec<Finding>) {
    if matches!(state.value("CODING_SCHEME"), 1 | 2) {
        let what = format!("is {}, and ABS_DONE_1 is burned", state.value("CODING_SCHEME"));
        let fix = Fix::Impossible("the coding scheme is set in Espressif's factory".into());
        found.push(Finding::new(Rule::SecureBootCodingScheme, "CODING_SCHEME", what, fix));
    }
    if let Some(revision) = state.revision().filter(|revision| *revision < ChipRevision(300)) {
        let what = format!("is burned on a chip of revision {revision}");
        let fix =
            Fix::Impossible("the ROM is what it is; use chips of revision v3.0 or newer, or Secure Boot V1".into());
        found.push(Finding::new(Rule::SecureBootV2Unsupported, "ABS_DONE_1", what, fix).milder(Severity::Open));
    }
}
