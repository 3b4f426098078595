//! What a product's secure elements are to be, slot by slot in nouns; compiled to the configuration zone.
//!
//! Source of the bits: DS20005927A sections 2.2.1 to 2.2.5. A slot that the template does not name is closed: nobody
//! reads it, nobody writes it, and it is of no use for MACs.

use super::{Finding, lint};
use crate::hex::unhex;
use cotter_formats::atecc::config::{ClockDivider, LOCK_CONFIG, LOCK_VALUE, LOCKED};
use cotter_formats::atecc::counter::Count;
use cotter_formats::atecc::{ConfigZone, OTP_LEN, Slot};
use serde::{Deserialize, Serialize};

/// A template, as its TOML file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Template {
    /// What it is called.
    pub name: String,
    /// What the bus calls the part from its next sleep on, seven bits.
    #[serde(default = "own_address")]
    pub address: u8,
    /// How long the part stays awake.
    #[serde(default)]
    pub watchdog: Watchdog,
    /// How slow it computes.
    #[serde(default)]
    pub clock: Clock,
    /// Where the monotonic counters begin.
    #[serde(default)]
    pub counters: [u32; 2],
    /// 64 bytes in hexadecimal; without it the OTP zone stays as it is sold, all ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otp: Option<String>,
    /// Findings of the lint that are meant, by their codes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<String>,
    /// The slots that are of use.
    #[serde(default, rename = "slot")]
    pub slots: Vec<SlotTemplate>,
}

/// A slot of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SlotTemplate {
    /// 0 to 15.
    pub slot: u8,
    /// What for.
    #[serde(rename = "use")]
    pub purpose: Purpose,
    /// Each use of the key counts, up to the limit in the slot for that.
    #[serde(default, skip_serializing_if = "is_false")]
    pub limited: bool,
    /// What is in it, in hexadecimal, filled up with zeros.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Of data: who reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Access>,
    /// Of data: who writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<Access>,
    /// Locked when all else is done; for what has its content already.
    #[serde(default, skip_serializing_if = "is_false")]
    pub lock: bool,
    /// Of a count limit: how many uses, a multiple of 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// What a slot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// A private key that signs.
    Identity,
    /// A private key for ECDH.
    Agreement,
    /// The secret that part and host share.
    #[doc(alias = "IO protection key")]
    TransportKey,
    /// A certificate, whole, compressed or a piece of one: everybody reads it, everybody writes it until it is locked.
    Certificate,
    /// A public key on P-256, to verify with.
    PublicKey,
    /// How often keys with limited use may be used.
    #[doc(alias = "CountMatch")]
    CountLimit,
    /// Anything else.
    Data,
    /// Nothing, as all slots that are not named.
    Closed,
}

/// Who gets at data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Everybody on the bus.
    Everybody,
    /// Who has the transport key, encrypted.
    Encrypted,
    /// Nobody.
    Nobody,
}

/// How long the part stays awake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Watchdog {
    /// 1.3 s.
    #[default]
    Short,
    /// 10 s.
    Long,
}

/// How slow it computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// As fast as it can.
    #[default]
    M0,
    /// Slower, for less power.
    M1,
    /// Slowest.
    M2,
}

/// Which generation a part is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// ATECC508A.
    Atecc508,
    /// ATECC608A and ATECC608B.
    Atecc608,
}

impl Generation {
    /// From `RevNum`.
    ///
    /// # Errors
    /// [`TemplateError::Revision`].
    pub fn of(config: &ConfigZone) -> Result<Self, TemplateError> {
        match config.revision() {
            [0, 0, 0x50, _] => Ok(Self::Atecc508),
            [0, 0, 0x60, _] => Ok(Self::Atecc608),
            revision => Err(TemplateError::Revision(revision)),
        }
    }
}

/// What a slot holds when the data zone is locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotContent {
    /// A private key that the part makes.
    MadeInside,
    /// The transport key.
    TransportKey,
    /// These bytes, as many as the slot has.
    Bytes(Vec<u8>),
}

/// A template for one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The configuration zone when it is locked, `LockConfig` not yet.
    pub config: ConfigZone,
    /// What each slot holds.
    pub contents: [SlotContent; 16],
    /// What the OTP zone holds, if it is written.
    pub otp: Option<[u8; OTP_LEN]>,
    /// Slots that are locked at the end.
    pub locked: Vec<Slot>,
}

/// The built-in one, as its file.
pub const IDENTITY: &str = include_str!("identity.toml");

impl Template {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// [`TemplateError::Toml`].
    pub fn from_toml(text: &str) -> Result<Self, TemplateError> {
        toml::from_str(text).map_err(|error| TemplateError::Toml(Box::new(error)))
    }

    /// What becomes of a part with that configuration zone, which is not locked.
    ///
    /// # Errors
    /// [`TemplateError`] for what makes no sense, for what this part cannot do, and [`TemplateError::Findings`] for what
    /// the lint finds and the template does not accept.
    pub fn compile(&self, before: &ConfigZone) -> Result<Compiled, TemplateError> {
        let generation = Generation::of(before)?;
        let mut zone = Zone(before.clone());
        if !(0x08..0x78).contains(&self.address) {
            return Err(TemplateError::Address(self.address));
        }
        zone.set(ADDRESS, self.address << 1);
        let clock = match self.clock {
            Clock::M0 => ClockDivider::M0,
            Clock::M1 => ClockDivider::M1,
            Clock::M2 => ClockDivider::M2,
        };
        let watchdog = u8::from(self.watchdog == Watchdog::Long) << 2;
        // Bits 0 and 1 choose what byte 85 is and the thresholds of the bus: as the board needs them.
        zone.set(CHIP_MODE, before.chip_mode() & 3 | watchdog | clock.0 << 3);
        for (index, value) in self.counters.into_iter().enumerate() {
            let count = Count::new(value).ok_or(TemplateError::Counter(value))?;
            zone.write(COUNTERS + 8 * index, &count.encode());
        }
        let transport = self.only(Purpose::TransportKey)?;
        let limit = self.only(Purpose::CountLimit)?;
        if generation == Generation::Atecc608 {
            zone.set(COUNT_MATCH, limit.map_or(0, |slot| slot.number() << 4 | 1));
            // Use lock, volatile key permission, SecureBoot, KDF: not for what a template can say.
            zone.write(USE_LOCK, &[0; 7]);
            let options = transport.map_or(0, |slot| u16::from(slot.number()) << 12 | ENCRYPTED_OUTPUT | IO_KEY);
            zone.write(CHIP_OPTIONS, &options.to_le_bytes());
        } else if let Some(slot) = limit {
            return Err(TemplateError::Generation(slot.number(), "a count limit"));
        }
        zone.write(SLOTS_LOCKED, &[0xff; 2]);
        zone.write(X509_FORMAT, &[0; 4]);

        let mut contents = std::array::from_fn(|_| SlotContent::Bytes(Vec::new()));
        let mut locked = Vec::new();
        for (slot, content) in Slot::all().zip(&mut contents) {
            let mut named = self.slots.iter().filter(|named| named.slot == slot.number());
            let (rules, found) = match (named.next(), named.next()) {
                (Some(_), Some(_)) => return Err(TemplateError::Twice(slot.number())),
                (Some(named), None) => {
                    if limit.is_none() && named.limited {
                        return Err(TemplateError::NoLimit(slot.number()));
                    }
                    if named.is_locked() {
                        locked.push(slot);
                    }
                    (named.words(slot, transport)?, named.bytes(slot)?)
                }
                (None, _) => (closed(slot), SlotContent::Bytes(vec![0; slot.len()])),
            };
            zone.write(20 + 2 * slot.index(), &rules.slot_config.to_le_bytes());
            zone.write(96 + 2 * slot.index(), &rules.key_config.to_le_bytes());
            *content = found;
        }
        if let Some(stray) = self.slots.iter().find(|named| named.slot > 15) {
            return Err(TemplateError::Slot(stray.slot));
        }
        let otp = match &self.otp {
            Some(text) => Some(unhex(text).and_then(|bytes| bytes.try_into().ok()).ok_or(TemplateError::Otp)?),
            None => None,
        };
        let compiled = Compiled { config: zone.0, contents, otp, locked };
        let findings = compiled.findings();
        let is_accepted = |finding: &Finding| self.accept.iter().any(|code| code == finding.code());
        if findings.iter().all(is_accepted) {
            Ok(compiled)
        } else {
            Err(TemplateError::Findings(findings.into_iter().filter(|finding| !is_accepted(finding)).collect()))
        }
    }

    /// The one slot with that purpose.
    fn only(&self, purpose: Purpose) -> Result<Option<Slot>, TemplateError> {
        let mut named = self.slots.iter().filter(|named| named.purpose == purpose);
        match (named.next(), named.next()) {
            (_, Some(second)) => Err(TemplateError::Second(second.slot)),
            (Some(one), None) => Slot::new(one.slot.into()).map(Some).ok_or(TemplateError::Slot(one.slot)),
            (None, None) => Ok(None),
        }
    }
}

impl Compiled {
    /// The configuration zone when all is done.
    #[must_use]
    pub fn finished(&self) -> ConfigZone {
        let mut config = self.config.clone();
        config.0[LOCK_CONFIG] = LOCKED;
        config.0[LOCK_VALUE] = LOCKED;
        self.locked.iter().for_each(|slot| config.lock_slot(*slot));
        config
    }

    /// What a product should not ship with.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        lint(&self.finished())
    }
}

/// The two words of a slot.
struct Words {
    slot_config: u16,
    key_config: u16,
}

impl SlotTemplate {
    /// Keys are: nobody is to make another one. What else is says the template.
    const fn is_locked(&self) -> bool {
        self.lock || matches!(self.purpose, Purpose::Identity | Purpose::Agreement)
    }

    fn words(&self, slot: Slot, transport: Option<Slot>) -> Result<Words, TemplateError> {
        let is_key = matches!(self.purpose, Purpose::Identity | Purpose::Agreement);
        let number = self.slot;
        let stray = [
            ("limited", self.limited && !is_key),
            ("read", self.read.is_some() && self.purpose != Purpose::Data),
            ("write", self.write.is_some() && self.purpose != Purpose::Data),
            ("limit", self.limit.is_some() != (self.purpose == Purpose::CountLimit)),
            ("content", self.content.is_some() && !matches!(self.purpose, Purpose::Data | Purpose::PublicKey)),
            ("lock", self.lock && matches!(self.purpose, Purpose::Closed | Purpose::CountLimit)),
        ];
        if let Some((field, _)) = stray.into_iter().find(|(_, is_stray)| *is_stray) {
            return Err(TemplateError::Field { slot: number, field });
        }
        if matches!(self.purpose, Purpose::PublicKey | Purpose::Certificate) && !slot.holds_public_keys() {
            return Err(TemplateError::Small(number));
        }
        let limited = if self.limited { LIMITED } else { 0 };
        let lockable = if self.is_locked() { LOCKABLE } else { 0 };
        let own = u16::from(slot.number());
        Ok(match self.purpose {
            // Without bit 13 of SlotConfig nobody makes a key in it once the data zone is locked; its lock says it again.
            Purpose::Identity => {
                Words { slot_config: NEVER | SECRET | limited | SIGNS, key_config: PRIVATE_KEY | LOCKABLE }
            }
            Purpose::Agreement => {
                Words { slot_config: NEVER | SECRET | limited | AGREES, key_config: PRIVATE_KEY | LOCKABLE }
            }
            Purpose::TransportKey => {
                Words { slot_config: NEVER | own << 8 | SECRET | own, key_config: OTHER | REQUIRES_RANDOM | lockable }
            }
            Purpose::Certificate => Words { slot_config: 0, key_config: OTHER | LOCKABLE },
            Purpose::PublicKey => Words { slot_config: 0, key_config: P256 | LOCKABLE },
            Purpose::CountLimit => Words { slot_config: NEVER | SECRET | NO_MAC, key_config: OTHER },
            Purpose::Closed => closed(slot),
            Purpose::Data => {
                let (read, write) = (self.read.unwrap_or(Access::Everybody), self.write.unwrap_or(Access::Everybody));
                // DS20005927A, table 2-6: whatever is not always written must be secret.
                if read == Access::Everybody && write != Access::Everybody {
                    return Err(TemplateError::ClearRead(number));
                }
                let is_shared = read == Access::Encrypted || write == Access::Encrypted;
                let key = match transport {
                    Some(key) => u16::from(key.number()),
                    None if is_shared => return Err(TemplateError::NoTransportKey(number)),
                    None => own,
                };
                let read = match read {
                    Access::Everybody => 0,
                    Access::Encrypted => SECRET | ENCRYPTED_READ | NO_MAC | key,
                    Access::Nobody => SECRET | NO_MAC | key,
                };
                let write = match write {
                    Access::Everybody => 0,
                    Access::Encrypted => ENCRYPTED_WRITE | key << 8,
                    Access::Nobody => NEVER | key << 8,
                };
                Words { slot_config: read | write, key_config: OTHER | lockable }
            }
        })
    }

    fn bytes(&self, slot: Slot) -> Result<SlotContent, TemplateError> {
        let number = self.slot;
        let mut content = match self.purpose {
            Purpose::Identity | Purpose::Agreement => return Ok(SlotContent::MadeInside),
            Purpose::TransportKey => return Ok(SlotContent::TransportKey),
            Purpose::CountLimit => {
                let limit = self.limit.filter(|limit| limit % 32 == 0 && *limit <= Count::MAX.value());
                limit.ok_or(TemplateError::Limit(number))?.to_le_bytes().repeat(2)
            }
            _ => match &self.content {
                Some(text) => unhex(text).ok_or(TemplateError::Content(number))?,
                None => Vec::new(),
            },
        };
        if self.purpose == Purpose::PublicKey && !content.is_empty() {
            // 4 bytes of padding, X, 4 bytes of padding, Y.
            let (x, y) =
                content.split_at_checked(32).filter(|(_, y)| y.len() == 32).ok_or(TemplateError::Point(number))?;
            content = [&[0; 4][..], x, &[0; 4], y].concat();
        }
        if content.len() > slot.len() {
            return Err(TemplateError::Content(number));
        }
        content.resize(slot.len(), 0);
        Ok(SlotContent::Bytes(content))
    }
}

/// Nobody reads it, nobody writes it, nobody computes with it.
fn closed(slot: Slot) -> Words {
    let own = u16::from(slot.number());
    Words { slot_config: NEVER | own << 8 | SECRET | NO_MAC | own, key_config: OTHER }
}

/// A configuration zone that is being written.
struct Zone(ConfigZone);

impl Zone {
    fn set(&mut self, at: usize, value: u8) {
        self.write(at, &[value]);
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        let to = self.0.0.iter_mut().skip(at);
        to.zip(bytes).for_each(|(to, from)| *to = *from);
    }
}

const fn own_address() -> u8 {
    0x60
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it like that")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Places in the configuration zone.
const ADDRESS: usize = 16;
const COUNT_MATCH: usize = 18;
const CHIP_MODE: usize = 19;
pub(super) const COUNTERS: usize = 52;
const USE_LOCK: usize = 68;
const SLOTS_LOCKED: usize = 88;
const CHIP_OPTIONS: usize = 90;
const X509_FORMAT: usize = 92;

/// `SlotConfig`.
const SIGNS: u16 = 1;
const AGREES: u16 = 1 << 2;
const NO_MAC: u16 = 1 << 4;
const LIMITED: u16 = 1 << 5;
const ENCRYPTED_READ: u16 = 1 << 6;
const SECRET: u16 = 1 << 7;
const ENCRYPTED_WRITE: u16 = 4 << 12;
const NEVER: u16 = 8 << 12;

/// `KeyConfig`.
const PRIVATE_KEY: u16 = 1 | 1 << 1 | P256;
const P256: u16 = 4 << 2;
const OTHER: u16 = 7 << 2;
const LOCKABLE: u16 = 1 << 5;
const REQUIRES_RANDOM: u16 = 1 << 6;

/// `ChipOptions`: the key in bits 15 to 12 protects, and what ECDH and KDF come to leaves the part encrypted.
const IO_KEY: u16 = 1 << 1;
const ENCRYPTED_OUTPUT: u16 = 1 << 8 | 1 << 10;

/// Why a template is none, or not for this part.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// Not TOML, or another shape.
    #[error("template: {0}")]
    Toml(Box<toml::de::Error>),
    /// A part that is not known.
    #[error("template: the part's revision {0:02x?} is that of no ATECC508A, ATECC608A or ATECC608B")]
    Revision([u8; 4]),
    /// No address of seven bits that a device may have.
    #[error("template: the address {0:#04x} is not from 0x08 to 0x77")]
    Address(u8),
    /// No counter counts that far.
    #[error("template: no counter begins at {0}; the last count is 2097151")]
    Counter(u32),
    /// There are 16 slots.
    #[error("template: there is no slot {0}")]
    Slot(u8),
    /// The slot is named twice.
    #[error("template: slot {0} is there twice")]
    Twice(u8),
    /// There can be one transport key and one count limit.
    #[error("template: slot {0} is the second one for what there can be once")]
    Second(u8),
    /// Something is said that means nothing for this purpose, or the limit is missing.
    #[error("template: slot {slot}: `{field}` does not go with its use")]
    Field {
        /// The slot.
        slot: u8,
        /// The key in the file.
        field: &'static str,
    },
    /// Certificates and public keys need 72 bytes.
    #[error("template: slot {0} has 36 bytes: certificates and public keys go into slots 8 to 15")]
    Small(u8),
    /// The part has no such mode.
    #[error(
        "template: slot {0}: everybody reads it, so everybody writes it until it is locked: say `lock = true` instead"
    )]
    ClearRead(u8),
    /// Encrypted under what?
    #[error("template: slot {0}: encrypted, but no slot has a transport key")]
    NoTransportKey(u8),
    /// A limit is missing.
    #[error("template: slot {0}: its use is limited, but no slot has a count limit")]
    NoLimit(u8),
    /// A limit that the part cannot compare with.
    #[error("template: slot {0}: the limit is no multiple of 32 up to 2097151")]
    Limit(u8),
    /// No hexadecimal digits, or too many.
    #[error("template: slot {0}: the content is no hexadecimal, or more than the slot holds")]
    Content(u8),
    /// No X and Y.
    #[error("template: slot {0}: a public key is X and Y, 64 bytes")]
    Point(u8),
    /// Not 64 bytes.
    #[error("template: the OTP zone has 64 bytes in hexadecimal")]
    Otp,
    /// The ATECC508A has no such thing.
    #[error("template: slot {0}: the ATECC508A has no {1}")]
    Generation(u8, &'static str),
    /// The lint finds something that is not accepted.
    #[error("template: {}", .0.iter().map(|finding| format!("{}: {finding}", finding.code())).collect::<Vec<_>>().join("; "))]
    Findings(Vec<Finding>),
}
