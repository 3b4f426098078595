//! Every key block: who can read it, change it, or guess it.

use super::state::{Key, Role, State};
use super::{Expectation, Finding, Fix, Rule};
use crate::chip::Chip;
use crate::efuse::KeyPurpose;
use alloc::format;
use alloc::vec::Vec;

pub(super) fn findings(state: &State<'_>, _: &Expectation, found: &mut Vec<Finding>) {
    for key in &state.keys {
        match key.role {
            Role::Free => continue,
            Role::Plain => without_purpose(key, found),
            Role::Other(purpose) => unknown(state, key, purpose, found),
            _ => {
                quirk(state, key, found);
                readable(state, key, found);
                changeable(state, key, found);
            }
        }
    }
    duplicates(state, found);
    halves(state, found);
}

/// True if no random generator and no hash function makes such bytes: one value, a period of up to four, a constant
/// step, or few different values.
pub(super) fn is_patterned(bytes: &[u8]) -> bool {
    let repeats = |period: usize| bytes.iter().zip(bytes.iter().skip(period)).all(|(a, b)| a == b);
    let step = |(a, b): (&u8, &u8)| b.wrapping_sub(*a);
    let mut steps = bytes.iter().zip(bytes.iter().skip(1)).map(step);
    let constant_step = steps.next().is_some_and(|first| steps.all(|step| step == first));
    let mut seen = [false; 256];
    bytes.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    let different = seen.iter().filter(|seen| **seen).count();
    (1..=4).any(repeats) || constant_step || different <= bytes.len() / 4
}

fn quirk(state: &State<'_>, key: &Key<'_>, found: &mut Vec<Finding>) {
    let Some((purpose_field, _)) = key.purpose else { return };
    let purpose = KeyPurpose(u8::try_from(state.read(purpose_field)).unwrap_or(u8::MAX));
    let ecdsa = state.map.chip == Chip::Esp32H2 && purpose == KeyPurpose::ECDSA_KEY_P256;
    if key.index == 5 && state.map.has_key5_quirk() && (ecdsa || !purpose.is_allowed_in_key5()) {
        let fix = Fix::Impossible("a purpose cannot be taken back; burn the key into another block as well".into());
        found.push(Finding::new(Rule::Key5Quirk, key.name, format!("holds a key of purpose {purpose}"), fix));
    }
}

fn readable(state: &State<'_>, key: &Key<'_>, found: &mut Vec<Finding>) {
    if !key.role.is_secret() || key.is_hidden {
        return;
    }
    if key.is_zero() {
        let reported = matches!(key.role, Role::Flash | Role::BootKey);
        if !reported {
            let fix = if key.is_frozen {
                Fix::Impossible(format!("{} is write-protected", key.name))
            } else {
                Fix::Burn(format!("burn a random key into {}{}", key.name, state.firmware_only()))
            };
            found.push(Finding::new(Rule::KeyEmpty, key.name, "has a purpose, and is all zeros", fix));
        }
        return;
    }
    if state.is_frozen("RD_DIS") {
        let fix = Fix::Impossible("RD_DIS is write-protected, so the key can no longer be hidden".into());
        found.push(Finding::new(
            Rule::RdDisLockedEarly,
            key.name,
            "is a secret and readable, and RD_DIS is frozen",
            fix,
        ));
    } else {
        found.push(Finding::new(Rule::KeyReadable, key.name, "is a secret and readable", state.hiding(key.name)));
    }
    if is_patterned(key.bytes) {
        let fix = Fix::Impossible("a burned key stays; do not use this chip".into());
        found.push(Finding::new(Rule::KeyWeak, key.name, "holds a pattern", fix));
    }
}

/// A revoked digest may be changed: it counts for nothing. Its purpose may not.
fn changeable(state: &State<'_>, key: &Key<'_>, found: &mut Vec<Finding>) {
    let revoked = matches!(key.role, Role::Digest(slot) if state.is_revoked(slot));
    // What is not burned yet is reported as missing.
    if !key.is_frozen && !revoked && !key.is_zero() {
        let fix = state.freezing_block(key.name);
        found.push(Finding::new(Rule::KeyNotFrozen, key.name, "is not write-protected", fix));
    }
    if let Some((field, false)) = key.purpose {
        let what = format!("is not write-protected: {} is in use", key.name);
        found.push(Finding::new(Rule::PurposeNotFrozen, field.name, what, state.freezing(field.name)));
    }
}

fn without_purpose(key: &Key<'_>, found: &mut Vec<Finding>) {
    if !key.is_zero() || key.is_hidden {
        found.push(Finding::new(Rule::KeyWithoutPurpose, key.name, "holds data of purpose USER", Fix::Unneeded));
    }
}

fn unknown(state: &State<'_>, key: &Key<'_>, purpose: KeyPurpose, found: &mut Vec<Finding>) {
    // CUSTOM_n is for the product's own use.
    if state.map.has_custom_purposes() && purpose.0 >= 20 {
        return;
    }
    let what = format!("has purpose {}", purpose.0);
    let fix = Fix::Impossible("a purpose cannot be taken back".into());
    found.push(Finding::new(Rule::PurposeUnknown, key.name, what, fix));
}

fn duplicates(state: &State<'_>, found: &mut Vec<Finding>) {
    let secrets: Vec<_> =
        state.keys.iter().filter(|key| key.role.is_secret() && !key.is_hidden && !key.is_zero()).collect();
    for (index, second) in secrets.iter().enumerate() {
        if let Some(first) = secrets.iter().take(index).find(|first| first.bytes == second.bytes) {
            let what = format!("holds the same key as {}", first.name);
            let fix = Fix::Impossible("a burned key stays; do not use this chip".into());
            found.push(Finding::new(Rule::KeyDuplicate, second.name, what, fix));
        }
    }
}

fn halves(state: &State<'_>, found: &mut Vec<Finding>) {
    let half = |purpose| state.keys.iter().find(|key| key.role == Role::EcdsaHalf(purpose));
    let (low, high) = (KeyPurpose::ECDSA_KEY_P384_L, KeyPurpose::ECDSA_KEY_P384_H);
    for (has, lacks) in [(low, high), (high, low)] {
        if let (Some(key), None) = (half(has), half(lacks)) {
            let what = format!("holds {has}, and {lacks} is nowhere");
            let fix =
                Fix::Burn(format!("burn the other half of this very key into a free block{}", state.firmware_only()));
            found.push(Finding::new(Rule::EcdsaHalfMissing, key.name, what, fix));
        }
    }
}
