//! The personalisation of one part as a plan: what it is now, what it becomes, in which steps, and what stays for ever.
//!
//! The file is JSON. What counts in it is the template and the configuration zone that the part had; all the rest follows
//! from them, is there for whoever reviews it, and is compared when the file is read.

use super::template::{COUNTERS, Compiled, Generation, Purpose, SlotContent, Template, TemplateError};
use super::{SlotRules, Writes};
use crate::hex::{hex, unhex};
use cotter_formats::atecc::config::{LOCK_CONFIG, LOCK_VALUE};
use cotter_formats::atecc::counter::Count;
use cotter_formats::atecc::packet::{Crc, crc};
use cotter_formats::atecc::{BLOCK_LEN, CONFIG_LEN, ConfigZone, OTP_LEN, Slot};
use cotter_formats::secret::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// A plan for one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElementPlan {
    template: Template,
    before: ConfigZone,
    compiled: Compiled,
    generation: Generation,
    steps: Vec<ElementStep>,
}

/// One step, in order. Each can be begun again after it was cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementStep {
    /// Words of the configuration zone that differ are written; all of it is read back.
    WriteConfig,
    /// The configuration zone is locked, if the part computes the same sum over it.
    LockConfig,
    /// The part makes a private key.
    CreateKey(Slot),
    /// A slot never changes again.
    LockSlot(Slot),
    /// All of a slot is written.
    WriteSlot(Slot),
    /// All of the OTP zone is written.
    WriteOtp,
    /// Data and OTP zone are locked, if the part computes the same sum over them.
    LockData,
    /// What can be read is read, the keys are those that were made, and they sign.
    Check,
}

impl ElementStep {
    /// Whether nothing undoes it.
    #[must_use]
    pub const fn is_irreversible(self) -> bool {
        matches!(self, Self::LockConfig | Self::LockSlot(_) | Self::LockData)
    }
}

impl fmt::Display for ElementStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WriteConfig => f.write_str("write the configuration zone and read it back"),
            Self::LockConfig => f.write_str("lock the configuration zone"),
            Self::CreateKey(slot) => write!(f, "slot {}: have the part make a private key", slot.number()),
            Self::LockSlot(slot) => write!(f, "slot {}: lock it", slot.number()),
            Self::WriteSlot(slot) => write!(f, "slot {}: write all of it", slot.number()),
            Self::WriteOtp => f.write_str("write the OTP zone"),
            Self::LockData => f.write_str("lock data and OTP zone"),
            Self::Check => f.write_str("read back what can be read, and try the keys"),
        }
    }
}

/// One field of the configuration that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Which.
    pub what: String,
    /// In words.
    pub before: String,
    /// In words, once all is locked.
    pub after: String,
}

/// The plan as its file has it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    format: String,
    digest: String,
    model: String,
    serial_number: String,
    revision: String,
    template: Template,
    before: String,
    after: String,
    changes: Vec<Change>,
    steps: Vec<StepFile>,
    for_ever: Vec<String>,
    open: Vec<String>,
    accepted: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepFile {
    title: String,
    irreversible: bool,
}

impl ElementPlan {
    /// Plans what makes the template of a part whose configuration zone is `before`.
    ///
    /// # Errors
    /// [`PlanError::Locked`] for a part that was begun with, [`PlanError::Template`].
    pub fn new(template: Template, before: ConfigZone) -> Result<Self, PlanError> {
        if before.is_config_locked() {
            return Err(PlanError::Locked("configuration"));
        }
        if before.is_data_locked() {
            return Err(PlanError::Locked("data"));
        }
        if let Some(slot) = Slot::all().find(|slot| before.is_slot_locked(*slot)) {
            return Err(PlanError::SlotLocked(slot.number()));
        }
        let generation = Generation::of(&before)?;
        let compiled = template.compile(&before)?;
        let steps = steps(&compiled);
        Ok(Self { template, before, compiled, generation, steps })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`PlanError`]; [`PlanError::Edited`] for a file whose parts do not follow from each other.
    pub fn from_json(text: &[u8]) -> Result<Self, PlanError> {
        let file: PlanFile = serde_json::from_slice(text)?;
        if file.format != FORMAT {
            return Err(PlanError::Format { got: file.format });
        }
        let before = unhex(&file.before).and_then(|bytes| <[u8; CONFIG_LEN]>::try_from(bytes).ok());
        let before = ConfigZone(before.ok_or(PlanError::Before)?);
        let plan = Self::new(file.template.clone(), before)?;
        let again = plan.file();
        if again == file { Ok(plan) } else { Err(PlanError::Edited { expected: again.digest, got: file.digest }) }
    }

    /// The file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(&self.file()).expect("strings and numbers are JSON");
        text.push('\n');
        text
    }

    fn file(&self) -> PlanFile {
        let mut file = PlanFile {
            format: FORMAT.to_owned(),
            digest: String::new(),
            model: self.model().to_owned(),
            serial_number: hex(&self.before.serial_number()),
            revision: hex(&self.before.revision()),
            template: self.template.clone(),
            before: hex(&self.before.0),
            after: hex(&self.compiled.config.0),
            changes: self.changes(),
            steps: self.steps.iter().map(StepFile::of).collect(),
            for_ever: self.for_ever(),
            open: self.open(),
            accepted: self.compiled.findings().iter().map(|found| format!("{}: {found}", found.code())).collect(),
        };
        let content = serde_json::to_vec(&file).expect("strings and numbers are JSON");
        file.digest = hex(&Sha256::digest(&content));
        file
    }

    /// SHA-256 of all that the file says, in hexadecimal: what was reviewed.
    #[must_use]
    pub fn digest(&self) -> String {
        self.file().digest
    }

    /// As the data sheets spell it.
    #[must_use]
    pub fn model(&self) -> &'static str {
        match (self.generation, self.before.revision()) {
            (Generation::Atecc508, _) => "ATECC508A",
            (Generation::Atecc608, [_, _, _, 0..=2]) => "ATECC608A",
            (Generation::Atecc608, _) => "ATECC608B",
        }
    }

    /// Which generation the part is of.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// The template.
    #[must_use]
    pub const fn template(&self) -> &Template {
        &self.template
    }

    /// The configuration zone that the part has.
    #[must_use]
    pub const fn before(&self) -> &ConfigZone {
        &self.before
    }

    /// What becomes of it, and of the slots.
    #[must_use]
    pub const fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// What is done, in order.
    #[must_use]
    pub fn steps(&self) -> &[ElementStep] {
        &self.steps
    }

    /// Whether a transport key is needed to apply it.
    #[must_use]
    pub fn needs_transport_key(&self) -> bool {
        self.compiled.contents.contains(&SlotContent::TransportKey)
    }

    /// The slot of the transport key.
    #[must_use]
    pub fn transport_slot(&self) -> Option<Slot> {
        Slot::all().zip(&self.compiled.contents).find(|(_, it)| **it == SlotContent::TransportKey).map(|(slot, _)| slot)
    }

    /// Slots with that purpose.
    pub fn slots_for(&self, purpose: Purpose) -> impl Iterator<Item = Slot> {
        let named = self.template.slots.iter().filter(move |named| named.purpose == purpose);
        named.filter_map(|named| Slot::new(named.slot.into()))
    }

    /// What a slot holds when the data zone is locked; `None` for private keys.
    ///
    /// # Errors
    /// [`MissingKey`].
    pub fn content(
        &self,
        slot: Slot,
        transport: Option<&Secret<32>>,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, MissingKey> {
        Ok(match self.compiled.contents.get(slot.index()) {
            None | Some(SlotContent::MadeInside) => None,
            Some(SlotContent::Bytes(bytes)) => Some(Zeroizing::new(bytes.clone())),
            Some(SlotContent::TransportKey) => {
                let mut content = Zeroizing::new(vec![0; slot.len()]);
                let key = transport.ok_or(MissingKey)?;
                content.iter_mut().zip(key.expose()).for_each(|(to, from)| *to = *from);
                Some(content)
            }
        })
    }

    /// The sum under which the configuration zone is locked.
    #[must_use]
    pub fn config_crc(&self) -> u16 {
        u16::from_le_bytes(crc(&self.compiled.config.0))
    }

    /// The sum under which data and OTP zone are: every slot but those with private keys, then OTP.
    ///
    /// # Errors
    /// [`MissingKey`].
    pub fn data_sum(&self, transport: Option<&Secret<32>>) -> Result<Crc, MissingKey> {
        let mut sum = Crc::default();
        for slot in Slot::all() {
            if let Some(content) = self.content(slot, transport)? {
                sum.update(&content);
            }
        }
        sum.update(&self.compiled.otp.unwrap_or([0xff; OTP_LEN]));
        Ok(sum)
    }

    /// What differs, field by field, in words.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let (old, new) = (&self.before, &self.compiled.finished());
        let mut all = vec![
            ("address".to_owned(), format!("{:02x}", old.address()), format!("{:02x}", new.address())),
            ("watchdog".to_owned(), watchdog(old), watchdog(new)),
            ("clock divider".to_owned(), clock(old), clock(new)),
        ];
        for index in 0..2 {
            all.push((format!("counter {index}"), count(old, index), count(new, index)));
        }
        if self.generation == Generation::Atecc608 {
            let limit = |config: &ConfigZone| slot_or_none(config.count_match());
            all.push(("slot with the count limit".to_owned(), limit(old), limit(new)));
            let key = |config: &ConfigZone| slot_or_none(config.chip_options().io_key());
            all.push(("slot of the transport key".to_owned(), key(old), key(new)));
            let output = |config: &ConfigZone| format!("{:?}", config.chip_options().ecdh_output()).to_lowercase();
            all.push(("what ECDH comes to leaves the part".to_owned(), output(old), output(new)));
        }
        for slot in Slot::all() {
            all.push((format!("slot {}", slot.number()), slot_in_words(old, slot), slot_in_words(new, slot)));
        }
        all.push(("configuration".to_owned(), "open".to_owned(), "locked".to_owned()));
        all.push(("data and OTP zone".to_owned(), "open".to_owned(), "locked".to_owned()));
        let differs = all.into_iter().filter(|(_, before, after)| before != after);
        differs.map(|(what, before, after)| Change { what, before, after }).collect()
    }

    /// What nobody can undo.
    #[must_use]
    pub fn for_ever(&self) -> Vec<String> {
        let mut all = vec![
            "the configuration zone: what each slot is for and who may do what with it".to_owned(),
            "the data zone and the OTP zone: from then on every slot is as its rules say".to_owned(),
        ];
        for (slot, content) in Slot::all().zip(&self.compiled.contents) {
            let number = slot.number();
            let is_locked = self.compiled.locked.contains(&slot);
            match content {
                SlotContent::MadeInside => {
                    all.push(format!(
                        "slot {number}: the private key; nobody reads it, replaces it or makes another one"
                    ));
                }
                SlotContent::TransportKey => {
                    all.push(format!("slot {number}: the transport key; nobody reads it or replaces it"));
                }
                SlotContent::Bytes(_) if is_locked => all.push(format!("slot {number}: what is written into it")),
                SlotContent::Bytes(_) => {}
            }
        }
        let closed = Slot::all().filter(|slot| self.is_closed(*slot)).map(|slot| slot.number().to_string());
        let closed: Vec<_> = closed.collect();
        if !closed.is_empty() {
            all.push(format!("slots {}: closed, of no use", closed.join(", ")));
        }
        all
    }

    /// What stays as it can be changed.
    #[must_use]
    pub fn open(&self) -> Vec<String> {
        let finished = self.compiled.finished();
        let mut all = Vec::new();
        for slot in Slot::all() {
            let rules = SlotRules::of(&finished, slot);
            let who = match rules.writes {
                Writes::Never => continue,
                Writes::Clear | Writes::UntilValidated => "everybody on the bus".to_owned(),
                Writes::Encrypted(key) => format!("who has the key in slot {}", key.number()),
            };
            let lock = if rules.is_lockable { ", until it is locked: `cotter element lock`" } else { "" };
            all.push(format!("slot {}: is written by {who}{lock}", slot.number()));
        }
        all.push("both counters: everybody on the bus counts up".to_owned());
        all
    }

    fn is_closed(&self, slot: Slot) -> bool {
        let named = self.template.slots.iter().find(|named| named.slot == slot.number());
        named.is_none_or(|named| named.purpose == Purpose::Closed)
    }
}

impl StepFile {
    fn of(step: &ElementStep) -> Self {
        Self { title: step.to_string(), irreversible: step.is_irreversible() }
    }
}

/// Private keys are locked as soon as they are made: the part signs with the key that the journal knows, or with none.
fn steps(compiled: &Compiled) -> Vec<ElementStep> {
    let mut steps = vec![ElementStep::WriteConfig, ElementStep::LockConfig];
    let slots = || Slot::all().zip(&compiled.contents);
    for (slot, _) in slots().filter(|(_, content)| **content == SlotContent::MadeInside) {
        steps.extend([ElementStep::CreateKey(slot), ElementStep::LockSlot(slot)]);
    }
    let written = slots().filter(|(_, content)| **content != SlotContent::MadeInside);
    steps.extend(written.map(|(slot, _)| ElementStep::WriteSlot(slot)));
    steps.extend(compiled.otp.map(|_| ElementStep::WriteOtp));
    steps.push(ElementStep::LockData);
    // After the sum over the content held.
    let made = |slot: &Slot| compiled.contents.get(slot.index()) == Some(&SlotContent::MadeInside);
    steps.extend(compiled.locked.iter().filter(|slot| !made(slot)).map(|slot| ElementStep::LockSlot(*slot)));
    steps.push(ElementStep::Check);
    steps
}

/// Words of the configuration zone that the plan writes and the part does not have.
pub(super) fn differing_words(now: &ConfigZone, then: &ConfigZone) -> Vec<u8> {
    let is_writable = |word: &u8| *word >= 4 && *word != LOCKS_WORD;
    let word = |zone: &ConfigZone, word: u8| zone.0.as_chunks::<4>().0.get(usize::from(word)).copied();
    (0..32).filter(is_writable).filter(|at| word(now, *at) != word(then, *at)).collect()
}

/// `UserExtra`, `UserExtraAdd`, `LockValue`, `LockConfig`.
const LOCKS_WORD: u8 = 21;

/// The first byte in which `now` is neither as the part was nor as it is to be. Slots may be locked meanwhile, and
/// counters are only looked at until the configuration is locked.
pub(super) fn stray_byte(plan: &ElementPlan, now: &ConfigZone) -> Option<usize> {
    let (before, after) = (&plan.before.0, &plan.compiled.finished().0);
    (0..CONFIG_LEN).find(|at| {
        let (now_byte, before, after) = (now.0.get(*at), before.get(*at), after.get(*at));
        let is_expected =
            if now.is_config_locked() { now_byte == after } else { now_byte == before || now_byte == after };
        match *at {
            LOCK_CONFIG | LOCK_VALUE => false,
            // Bits go from one to zero.
            88 | 89 => now_byte.zip(after).is_none_or(|(now, after)| now & after != *after),
            COUNTERS..68 if now.is_config_locked() => false,
            _ => !is_expected,
        }
    })
}

fn watchdog(config: &ConfigZone) -> String {
    if config.has_long_watchdog() { "10 s" } else { "1.3 s" }.to_owned()
}

fn clock(config: &ConfigZone) -> String {
    format!("{:#04x}", config.clock_divider().0)
}

fn count(config: &ConfigZone, index: usize) -> String {
    let bytes = config.0.get(COUNTERS + 8 * index..).and_then(|bytes| bytes.first_chunk()).copied();
    Count::decode(bytes.unwrap_or_default()).value().to_string()
}

fn slot_or_none(slot: Option<Slot>) -> String {
    slot.map_or_else(|| "none".to_owned(), |slot| slot.number().to_string())
}

fn slot_in_words(config: &ConfigZone, slot: Slot) -> String {
    let rules = SlotRules::of(config, slot);
    let (content, reads, writes) = (rules.content, rules.reads, rules.writes);
    let creates = if rules.is_regenerable { ", new key by everybody" } else { "" };
    let state = match (rules.is_locked, rules.is_lockable) {
        (true, _) => ", locked",
        (false, true) => ", lockable",
        (false, false) => "",
    };
    let words = (config.slot_config(slot).0, config.key_config(slot).0);
    format!("{content}, read by {reads}, written by {writes}{creates}{state} ({:04x} {:04x})", words.0, words.1)
}

/// Blocks of a slot, the last one filled up with zeros.
pub(super) fn blocks(content: &[u8]) -> impl Iterator<Item = Zeroizing<[u8; BLOCK_LEN]>> {
    content.chunks(BLOCK_LEN).map(|chunk| {
        let mut block = Zeroizing::new([0; BLOCK_LEN]);
        block.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        block
    })
}

/// The only format there is.
const FORMAT: &str = "cotter-element-plan/1";

/// The plan writes a transport key, and there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plan writes a transport key, but none was given")]
pub struct MissingKey;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Somebody has begun with the part.
    #[error("plan: the part's {0} zone is locked: there is nothing to plan any more")]
    Locked(&'static str),
    /// The same.
    #[error("plan: slot {0} of the part is locked: there is nothing to plan any more")]
    SlotLocked(u8),
    /// Not JSON, or another shape.
    #[error("plan: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version.
    #[error("plan: format {got:?}, expected {FORMAT:?}")]
    Format {
        /// What it says.
        got: String,
    },
    /// No configuration zone.
    #[error("plan: `before` is not 128 bytes in hexadecimal")]
    Before,
    /// Somebody changed the file.
    #[error("plan: what it says does not follow from its template: digest {got}, expected {expected}")]
    Edited {
        /// Of the plan that follows from template and part.
        expected: String,
        /// Of the file.
        got: String,
    },
}
