//! Secure elements: what a configuration zone makes of each slot, in words, and what in it a product should not ship with;
//! and their personalisation as a plan that is reviewed, rehearsed and applied.
//!
//! | file | noun |
//! |---|---|
//! | here | the rules of a slot, and findings |
//! | `template` | what a product's parts are to be, slot by slot |
//! | `plan` | the steps that make it of one part, and what stays for ever |
//! | `rehearsal` | the plan on a simulated part, with power cuts |
//! | `apply` | the plan on a part |
//! | `workpiece` | the part, as commands and answers |

mod apply;
#[cfg(test)]
mod personalisation_tests;
mod plan;
mod rehearsal;
mod template;
mod workpiece;

pub use apply::{ApplyError, Personalised, Progress, StepError, apply};
pub use plan::{Change, ElementPlan, ElementStep, MissingKey, PlanError};
pub use rehearsal::{ElementTrial, RehearsalError, Rehearsed, TrialOutcome, Verdict, rehearse};
pub use template::{
    Access, Clock, Compiled, Generation, IDENTITY, Purpose, SlotContent, SlotTemplate, Template, TemplateError,
    Watchdog,
};
pub use workpiece::{CommandError, ElementWorkpiece, Repeat};

use cotter_formats::atecc::config::OutputRule;
use cotter_formats::atecc::slot::WriteRule;
use cotter_formats::atecc::{ConfigZone, KeyType, Slot};
use std::fmt;

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A private key on P-256.
    PrivateKey,
    /// A public key on P-256, which `Verify` uses.
    PublicKey,
    /// Keys for AES-128.
    AesKeys,
    /// A secret for SHA-256, or data.
    SecretOrData,
    /// What the part does not know a key type for.
    Unknown,
}

/// Who reads a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Nobody.
    Never,
    /// Everybody on the bus.
    Clear,
    /// Who has the key in that slot, encrypted.
    Encrypted(Slot),
}

/// Who writes it once the data zone is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Nobody.
    Never,
    /// Everybody on the bus.
    Clear,
    /// Everybody, until it holds a public key that was validated.
    UntilValidated,
    /// Who has the key in that slot, encrypted.
    Encrypted(Slot),
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PrivateKey => "private key",
            Self::PublicKey => "public key",
            Self::AesKeys => "AES keys",
            Self::SecretOrData => "secret or data",
            Self::Unknown => "unknown",
        })
    }
}

impl fmt::Display for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("nobody"),
            Self::Clear => f.write_str("everybody"),
            Self::Encrypted(key) => write!(f, "who has key {}", key.number()),
        }
    }
}

impl fmt::Display for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("nobody"),
            Self::Clear => f.write_str("everybody"),
            Self::UntilValidated => f.write_str("everybody, until validated"),
            Self::Encrypted(key) => write!(f, "who has key {}", key.number()),
        }
    }
}

/// A slot, once configuration and data zone are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRules {
    /// Which.
    pub slot: Slot,
    /// What it holds.
    pub content: Content,
    /// Who reads it.
    pub reads: Reads,
    /// Who writes it; of a private key, who replaces it with `PrivWrite`.
    pub writes: Writes,
    /// Everybody on the bus makes a new key in it, and the old one is lost.
    #[doc(alias = "GenKey")]
    pub is_regenerable: bool,
    /// Nobody changes it any more.
    pub is_locked: bool,
    /// It can be locked.
    pub is_lockable: bool,
}

impl SlotRules {
    /// What `config` says of it.
    #[must_use]
    pub fn of(config: &ConfigZone, slot: Slot) -> Self {
        let (rules, key) = (config.slot_config(slot), config.key_config(slot));
        let is_locked = config.is_slot_locked(slot);
        let content = match key.key_type() {
            KeyType::P256 if key.is_private() => Content::PrivateKey,
            KeyType::P256 => Content::PublicKey,
            KeyType::AES => Content::AesKeys,
            KeyType::OTHER => Content::SecretOrData,
            _ => Content::Unknown,
        };
        let reads = match content {
            Content::PrivateKey => Reads::Never,
            _ if !rules.is_secret() => Reads::Clear,
            _ if rules.encrypts_reads() => Reads::Encrypted(rules.read_key()),
            _ => Reads::Never,
        };
        let writes = match (content, rules.write_rule()) {
            _ if is_locked => Writes::Never,
            // Only encrypted, once the data zone is locked.
            (Content::PrivateKey, _) if rules.takes_private_keys() => Writes::Encrypted(rules.write_key()),
            (Content::PrivateKey, _) | (_, WriteRule::Never) => Writes::Never,
            (_, WriteRule::Always) => Writes::Clear,
            (_, WriteRule::PublicKeyInvalid) => Writes::UntilValidated,
            (_, WriteRule::Encrypted) => Writes::Encrypted(rules.write_key()),
        };
        let creates = content == Content::PrivateKey && rules.creates_keys() && !key.requires_authorization();
        Self {
            slot,
            content,
            reads,
            writes,
            is_regenerable: creates && !is_locked,
            is_locked,
            is_lockable: key.is_lockable(),
        }
    }
}

/// What a product should not ship with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The configuration is everybody's, and random numbers are a fixed pattern.
    ConfigurationOpen,
    /// No policy of any slot is in force.
    DataOpen,
    /// Everybody on the bus makes a new private key, and the device's identity is lost.
    IdentityRegenerable(Slot),
    /// The same, and the slot cannot be locked any more.
    IdentityRegenerableForEver(Slot),
    /// One private key both signs and agrees on secrets.
    SignsAndAgrees(Slot),
    /// ECDH with this key tells everybody on the bus the secret.
    AgreesInTheClear(Slot),
    /// Reads or writes of the first slot are under a key that everybody reads, the second.
    KeyReadable(Slot, Slot),
    /// They are under a key that everybody writes.
    KeyWritable(Slot, Slot),
}

impl Finding {
    /// A stable name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ConfigurationOpen => "configuration-open",
            Self::DataOpen => "data-open",
            Self::IdentityRegenerable(_) => "identity-regenerable",
            Self::IdentityRegenerableForEver(_) => "identity-regenerable-for-ever",
            Self::SignsAndAgrees(_) => "signs-and-agrees",
            Self::AgreesInTheClear(_) => "agrees-in-the-clear",
            Self::KeyReadable(..) => "key-readable",
            Self::KeyWritable(..) => "key-writable",
        }
    }

    /// The slot that it is about, if it is one.
    #[must_use]
    pub const fn slot(&self) -> Option<Slot> {
        match self {
            Self::ConfigurationOpen | Self::DataOpen => None,
            Self::IdentityRegenerable(slot)
            | Self::IdentityRegenerableForEver(slot)
            | Self::SignsAndAgrees(slot)
            | Self::AgreesInTheClear(slot)
            | Self::KeyReadable(slot, _)
            | Self::KeyWritable(slot, _) => Some(*slot),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConfigurationOpen => f.write_str(
                "the configuration zone is not locked: everybody on the bus changes it, and random numbers are a fixed \
                 pattern",
            ),
            Self::DataOpen => f.write_str("the data zone is not locked: no policy of any slot is in force"),
            Self::IdentityRegenerable(slot) => write!(
                f,
                "slot {}: everybody on the bus can make a new private key in it, and the device's identity is lost; lock \
                 the slot once it has its key",
                slot.number()
            ),
            Self::IdentityRegenerableForEver(slot) => write!(
                f,
                "slot {}: everybody on the bus can make a new private key in it, and the device's identity is lost; the \
                 slot cannot be locked, for ever",
                slot.number()
            ),
            Self::SignsAndAgrees(slot) => {
                write!(f, "slot {}: one private key signs and agrees on secrets; take one for each", slot.number())
            }
            Self::AgreesInTheClear(slot) => {
                write!(f, "slot {}: what ECDH comes to goes over the bus in the clear", slot.number())
            }
            Self::KeyReadable(slot, key) => {
                write!(
                    f,
                    "slot {}: is protected by the key in slot {}, which everybody reads",
                    slot.number(),
                    key.number()
                )
            }
            Self::KeyWritable(slot, key) => {
                write!(
                    f,
                    "slot {}: is protected by the key in slot {}, which everybody writes",
                    slot.number(),
                    key.number()
                )
            }
        }
    }
}

/// All that a product should not ship with, the slots in order.
#[must_use]
pub fn lint(config: &ConfigZone) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend((!config.is_config_locked()).then_some(Finding::ConfigurationOpen));
    found.extend((!config.is_data_locked()).then_some(Finding::DataOpen));
    for slot in Slot::all() {
        let (rules, policy) = (SlotRules::of(config, slot), config.slot_config(slot));
        if rules.is_regenerable {
            let can_be_locked = rules.is_lockable || !config.is_config_locked();
            found.push(if can_be_locked {
                Finding::IdentityRegenerable(slot)
            } else {
                Finding::IdentityRegenerableForEver(slot)
            });
        }
        if rules.content == Content::PrivateKey && policy.agrees() {
            let signs = policy.signs_external() || policy.signs_internal();
            found.extend(signs.then_some(Finding::SignsAndAgrees(slot)));
            let in_the_clear =
                !policy.agrees_into_next_slot() && config.chip_options().ecdh_output() == OutputRule::Clear;
            found.extend(in_the_clear.then_some(Finding::AgreesInTheClear(slot)));
        }
        let mut keys = Vec::new();
        keys.extend(match rules.reads {
            Reads::Encrypted(key) => Some(key),
            Reads::Never | Reads::Clear => None,
        });
        keys.extend(match rules.writes {
            Writes::Encrypted(key) if !keys.contains(&key) => Some(key),
            _ => None,
        });
        for key in keys {
            let of_key = SlotRules::of(config, key);
            found.extend((of_key.reads == Reads::Clear).then_some(Finding::KeyReadable(slot, key)));
            found.extend((of_key.writes == Writes::Clear).then_some(Finding::KeyWritable(slot, key)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test panics where it fails")]
    use super::*;

    /// The board in the demo of a token's device: an ATECC608A that Microchip's own tests had configured.
    const DEMO: [u8; 128] = hex_literal::hex!(
        "012310ba0000600268e82c53ee013500c000a100af2fc4448720c4f48f0f0f0f9f8f8364c444c4640f0f0f0f0f0f0f0f"
        "0f0f0f0fffffffff00000000ffffffff00000000ff8403bc09697600000000000000000000000000ffff0e4000000000"
        "33001c0013001c003c003e001c0033003c003c003c003c003c003c003c001c00"
    );

    fn slot(number: u16) -> Slot {
        Slot::new(number).unwrap()
    }

    #[test]
    fn the_demos_identity_is_everybodys_to_destroy() {
        let demo = ConfigZone(DEMO);
        let identity = SlotRules::of(&demo, slot(2));
        assert_eq!(identity.content, Content::PrivateKey);
        assert_eq!((identity.reads, identity.writes), (Reads::Never, Writes::Never));
        assert!(identity.is_regenerable && !identity.is_lockable && !identity.is_locked);
        let found = lint(&demo);
        assert!(found.contains(&Finding::IdentityRegenerableForEver(slot(2))), "{found:?}");
        assert!(found.contains(&Finding::SignsAndAgrees(slot(2))), "{found:?}");
        assert!(found.contains(&Finding::AgreesInTheClear(slot(2))), "{found:?}");
        assert!(!found.contains(&Finding::ConfigurationOpen) && !found.contains(&Finding::DataOpen), "{found:?}");
    }

    /// Slot 0 signs, may be locked, and is; all else is as in the demo, but of no use.
    fn product() -> ConfigZone {
        let mut zone = ConfigZone(DEMO);
        for number in 0..16 {
            // Secret, never written; of no key type's use.
            zone.0[20 + 2 * number..][..2].copy_from_slice(&[0x80, 0x20]);
            zone.0[96 + 2 * number..][..2].copy_from_slice(&[0x3c, 0x00]);
        }
        zone.0[20..22].copy_from_slice(&[0x81, 0x20]);
        zone.0[96..98].copy_from_slice(&[0x33, 0x00]);
        zone
    }

    #[test]
    fn a_signing_key_in_a_locked_slot_is_in_order() {
        let mut zone = product();
        assert_eq!(lint(&zone), [Finding::IdentityRegenerable(slot(0))]);
        zone.lock_slot(slot(0));
        assert_eq!(lint(&zone), []);
        // Or with a policy under which nobody makes keys.
        let mut zone = product();
        zone.0[21] = 0;
        assert_eq!(lint(&zone), []);
        // Or only who is authorised.
        let mut zone = product();
        zone.0[96] |= 0x80;
        assert_eq!(lint(&zone), []);
    }

    #[test]
    fn open_zones_are_told() {
        let mut zone = product();
        zone.lock_slot(slot(0));
        zone.0[86] = 0x55;
        assert_eq!(lint(&zone), [Finding::DataOpen]);
        zone.0[87] = 0x55;
        assert_eq!(lint(&zone), [Finding::ConfigurationOpen, Finding::DataOpen]);
    }

    #[test]
    fn a_key_that_everybody_has_protects_nothing() {
        let mut zone = product();
        zone.lock_slot(slot(0));
        // Slot 5: reads and writes encrypted under slot 9.
        zone.0[30..32].copy_from_slice(&[0xc9, 0x49]);
        assert_eq!(lint(&zone), []);
        // Slot 9: in the clear.
        zone.0[38..40].copy_from_slice(&[0x00, 0x00]);
        assert_eq!(lint(&zone), [Finding::KeyReadable(slot(5), slot(9)), Finding::KeyWritable(slot(5), slot(9))]);
        assert_eq!(SlotRules::of(&zone, slot(5)).reads, Reads::Encrypted(slot(9)));
    }
}
