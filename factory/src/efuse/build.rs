//! From a policy to a plan, for a blank chip or for one that has been burned before.

use super::outcome::{Obstacle, outcome};
use super::placement::{Placement, is_frozen, place};
use super::plan::{Burn, EfusePlan, FORMAT, Stage, StageName};
use super::policy::{DownloadMode, EfusePolicy, FlashEncryptionMode, JtagMode, NvsMode, SecureBootMode, SigningScheme};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::lint::{Expectation, Fix, Rule, Severity, findings};
use cotter_formats::efuse::release::{Features, Requirement, Scheme, Want, requirements};
use cotter_formats::efuse::{EfuseImage, EfuseMap, Family, unary};
use cotter_formats::secure_boot::v2::{Support, support};

/// Plans the burns that take a chip from what it is to what the policy wants.
///
/// # Errors
/// [`Refusal`] with everything that is no longer possible on this chip.
pub fn build(policy: &EfusePolicy, image: &EfuseImage) -> Result<EfusePlan, Refusal> {
    let chip = image.map().chip;
    let placement = place(policy, image);
    let mut builder = Builder { policy, image, placement, stages: Vec::new() };
    builder.key_settings();
    builder.restrictions();
    builder.enables();
    builder.locks();
    let Builder { placement, mut stages, .. } = builder;
    if !placement.obstacles.is_empty() {
        return Err(Refusal { chip, obstacles: placement.obstacles });
    }
    let content = content(policy, image.map());
    let keys = Stage { stage: StageName::Keys, instructions: Vec::new(), burns: placement.burns };
    stages.splice(0..0, [keys, Stage { stage: StageName::Content, instructions: content, burns: Vec::new() }]);
    stages.retain(|stage| !stage.burns.is_empty() || !stage.instructions.is_empty());
    let (format, policy) = (FORMAT.to_owned(), policy.clone());
    let (keys, already) = (placement.inputs, placement.already);
    let mut plan = EfusePlan { format, chip, policy, keys, stages, already, open: Vec::new() };
    plan.open = open(&plan, image);
    Ok(plan)
}

/// Everything that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this {chip} can no longer become that: {}", listed(.obstacles))]
pub struct Refusal {
    /// Which chip.
    pub chip: Chip,
    /// What, and why.
    pub obstacles: Vec<Obstacle>,
}

fn listed(obstacles: &[Obstacle]) -> String {
    obstacles.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

struct Builder<'a> {
    policy: &'a EfusePolicy,
    image: &'a EfuseImage,
    placement: Placement,
    stages: Vec<Stage>,
}

impl Builder<'_> {
    /// What espefuse burns together with a key.
    fn key_settings(&mut self) {
        if self.policy.ecdsa.is_empty() {
            return;
        }
        let mut burns = Vec::new();
        // ESP32-H2 before v1.2; later chips have no other way.
        let meaning = "the ECDSA peripheral takes its nonces from hardware; with one of software's choice a key gives itself away";
        self.field(&mut burns, "ECDSA_FORCE_USE_HARDWARE_K", 1, meaning);
        self.placement.burns.append(&mut burns);
    }

    fn restrictions(&mut self) {
        let mut burns = Vec::new();
        let policy = self.policy;
        if policy.secure_boot == SecureBootMode::V2 {
            let unused =
                (0u8..).zip(self.image.map().key_revokes).filter(|(slot, _)| !self.placement.slots.contains(slot));
            for (_, field) in unused.collect::<Vec<_>>() {
                let meaning = "an unused digest slot: nobody can burn a key of their own for it";
                self.field(&mut burns, field.name, 1, meaning);
            }
        }
        if policy.aggressive_revoke {
            let meaning = "the ROM revokes a key as soon as a signature by it fails";
            self.field(&mut burns, "SECURE_BOOT_AGGRESSIVE_REVOKE", 1, meaning);
        }
        if policy.jtag == JtagMode::Soft {
            let all = self.image.map().field("SOFT_DIS_JTAG").map_or(0, |field| field.all_ones());
            let meaning = "no JTAG, until the holder of the HMAC key opens it; for the time up to the next reset";
            self.field(&mut burns, "SOFT_DIS_JTAG", all, meaning);
        }
        if policy.anti_rollback > 0 {
            let field = self.image.map().field("SECURE_VERSION");
            let bits = field.and_then(|field| unary::bits(policy.anti_rollback.into(), field)).unwrap_or(0);
            let meaning = "applications of a lower secure_version do not boot; one bit for each version";
            self.field(&mut burns, "SECURE_VERSION", bits, meaning);
        }
        for line in self.lines() {
            if let Want::Value(value) | Want::AtLeast(value) = line.want
                && !is_enable(line.field)
            {
                self.field(&mut burns, line.field, value, line.meaning);
            }
        }
        self.push(StageName::Restrictions, burns);
    }

    fn enables(&mut self) {
        let mut burns = Vec::new();
        let counter = if self.image.map().family == Family::Esp32 { "FLASH_CRYPT_CNT" } else { "SPI_BOOT_CRYPT_CNT" };
        if self.policy.flash_encryption == FlashEncryptionMode::Development {
            let meaning = "flash encryption is on; it can be turned off again";
            self.counter(&mut burns, counter, false, meaning);
        }
        for line in self.lines() {
            match line.want {
                Want::Counter => self.counter(&mut burns, line.field, true, line.meaning),
                Want::Value(value) if is_enable(line.field) => self.field(&mut burns, line.field, value, line.meaning),
                _ => {}
            }
        }
        self.push(StageName::Enables, burns);
    }

    fn locks(&mut self) {
        let mut burns = Vec::new();
        for line in self.lines() {
            if matches!(line.want, Want::Frozen | Want::FrozenOr(_)) {
                self.freeze(&mut burns, line.field, line.meaning);
            }
        }
        self.push(StageName::Locks, burns);
        let gone = if self.image.map().family == Family::Esp32 { "UART_DOWNLOAD_DIS" } else { "DIS_DOWNLOAD_MODE" };
        let mut last = Vec::new();
        match self.policy.download {
            DownloadMode::Open => {}
            DownloadMode::Secure => {
                let meaning =
                    "the serial loader writes flash and reports its state, nothing else; it burns no more eFuses";
                self.field(&mut last, "ENABLE_SECURITY_DOWNLOAD", 1, meaning);
            }
            DownloadMode::Disabled => self.field(&mut last, gone, 1, "there is no serial loader any more"),
        }
        match self.stages.last_mut().filter(|stage| stage.stage == StageName::Locks) {
            Some(stage) => stage.burns.append(&mut last),
            None => self.push(StageName::Locks, last),
        }
    }

    fn push(&mut self, stage: StageName, burns: Vec<Burn>) {
        if !burns.is_empty() {
            self.stages.push(Stage { stage, instructions: Vec::new(), burns });
        }
    }

    /// The release-mode list for this policy; with an open debug port its lines about JTAG are left out.
    fn lines(&self) -> Vec<&'static Requirement> {
        let policy = self.policy;
        let features = features(policy);
        let map = self.image.map();
        let revision = (self.image.mac() != [0; 6]).then(|| self.image.revision());
        let mut lines = requirements(map, revision, &features);
        if policy.flash_encryption == FlashEncryptionMode::Development && map.family == Family::Esp32 {
            let with_encryption = Features { flash_encryption: true, ..features };
            lines.extend(
                requirements(map, revision, &with_encryption).iter().filter(|line| line.rule == Rule::CryptConfig),
            );
        }
        // The counter of the ESP32-C2 shares its protection with SECURE_BOOT_EN: both are burned before.
        lines.retain(|line| policy.jtag == JtagMode::Disabled || line.rule != Rule::JtagOpen);
        lines
    }

    fn field(&mut self, burns: &mut Vec<Burn>, name: &str, value: u32, meaning: &str) {
        let map = self.image.map();
        let Some(field) = map.field(name) else { return };
        let now = self.image.value(field);
        if now & value == value {
            self.placement.already.push(format!("{} is {now:#x}", field.name));
            if now != value && field.len > 1 && name == "FLASH_CRYPT_CONFIG" {
                self.placement.obstacles.push(Obstacle::new(field.name, "it has other bits burned"));
            }
            return;
        }
        if !self.image.is_writable(field) {
            self.placement.obstacles.push(Obstacle::new(field.name, &frozen_with(map, field.name)));
            return;
        }
        burns.push(Burn::Field {
            field: field.name.to_owned(),
            value,
            meaning: meaning.to_owned(),
            shares: shares(map, field.name),
        });
    }

    /// A counter of which an odd number of bits turns on: all of them for good, or the lowest that makes it odd.
    fn counter(&mut self, burns: &mut Vec<Burn>, name: &str, for_good: bool, meaning: &str) {
        let map = self.image.map();
        let Some(field) = map.field(name) else { return };
        let (now, all) = (self.image.value(field), field.all_ones());
        let frozen = !self.image.is_writable(field);
        if now == all || (unary::is_odd(now) && (frozen || !for_good)) {
            if unary::is_odd(now) {
                self.placement.already.push(format!("{name} is {now:#b}"));
            } else {
                self.placement
                    .obstacles
                    .push(Obstacle::new(name, "every bit is burned, an even number: it is off for good"));
            }
            return;
        }
        let value = if for_good { all } else { now | now.wrapping_add(1) };
        self.field(burns, name, value, meaning);
    }

    fn freeze(&mut self, burns: &mut Vec<Burn>, name: &str, meaning: &str) {
        let map = self.image.map();
        let Some((field, bit)) = map.field(name).and_then(|field| Some((field, field.write_protect_bit?))) else {
            return;
        };
        if is_frozen(self.image, name) {
            self.placement.already.push(format!("{} is write-protected", field.name));
            return;
        }
        if is_frozen(self.image, "WR_DIS") {
            self.placement.obstacles.push(Obstacle::new(field.name, "WR_DIS is write-protected itself"));
            return;
        }
        burns.push(Burn::WriteProtect {
            name: field.name.to_owned(),
            bit,
            freezes: shares(map, field.name),
            meaning: meaning.to_owned(),
        });
    }
}

fn is_enable(field: &str) -> bool {
    ["SECURE_BOOT_EN", "ABS_DONE_0", "ABS_DONE_1"].contains(&field)
}

fn features(policy: &EfusePolicy) -> Features {
    let secure_boot = match (policy.secure_boot, policy.scheme) {
        (SecureBootMode::Off, _) => None,
        (SecureBootMode::V1, _) => Some(Scheme::V1),
        (SecureBootMode::V2, SigningScheme::Ecdsa384) => Some(Scheme::V2Sha384),
        (SecureBootMode::V2, _) => Some(Scheme::V2),
    };
    Features { flash_encryption: policy.flash_encryption == FlashEncryptionMode::Release, secure_boot }
}

/// Other fields behind the same bit of `WR_DIS`.
pub(super) fn shares(map: &EfuseMap, name: &str) -> Vec<String> {
    let Some(field) = map.field(name).filter(|field| field.write_protect_bit.is_some()) else { return Vec::new() };
    let same = |other: &&cotter_formats::efuse::Field| {
        other.write_protect_bit == field.write_protect_bit && other.name != field.name && !other.reserved
    };
    map.fields.iter().filter(same).map(|other| other.name.to_owned()).collect()
}

fn frozen_with(map: &EfuseMap, name: &str) -> String {
    let bit = map.field(name).and_then(|field| field.write_protect_bit).unwrap_or_default();
    let shared = shares(map, name);
    if shared.is_empty() {
        format!("it is write-protected (WR_DIS bit {bit})")
    } else {
        format!("it is write-protected by WR_DIS bit {bit}, which it shares with {}", shared.join(", "))
    }
}

/// What is done to the flash between the keys and the bits that act on them.
fn content(policy: &EfusePolicy, map: &EfuseMap) -> Vec<String> {
    let mut lines = Vec::new();
    match policy.secure_boot {
        SecureBootMode::Off => {}
        SecureBootMode::V1 => lines.push("sign application and partition table, make the bootloader digest".to_owned()),
        SecureBootMode::V2 => lines.push("sign bootloader and application (cotter image sign)".to_owned()),
    }
    if policy.flash_encryption != FlashEncryptionMode::Off {
        lines.push("encrypt what is signed, for its address (cotter flash encrypt --whole)".to_owned());
    }
    if policy.nvs == NvsMode::Hmac {
        lines.push("encrypt NVS with keys derived from nvs-hmac (cotter nvs encrypt)".to_owned());
    }
    if !lines.is_empty() {
        lines.push(format!("write all of it to the flash, bootloader at {}", map.chip.bootloader_offset()));
    }
    lines
}

/// What stays open: what the lint says of the outcome, and what is open on purpose.
fn open(plan: &EfusePlan, image: &EfuseImage) -> Vec<String> {
    let policy = &plan.policy;
    let mut lines = Vec::new();
    if let Ok(after) = outcome(plan, image) {
        let found = findings(&after, &Expectation::RELEASE);
        let open = found.iter().filter(|finding| finding.severity != Severity::Advice);
        lines.extend(open.map(|finding| match &finding.fix {
            Fix::Impossible(reason) => format!("{} {}, for good: {reason}", finding.at, finding.what),
            _ => format!("{} {}: {}", finding.at, finding.what, finding.rule.why()),
        }));
        let version = after.map().field("SECURE_VERSION");
        if let Some(field) = version.filter(|field| after.is_writable(field)) {
            let bits = u32::from(field.len) - unary::count(after.value(field));
            lines.push(format!("SECURE_VERSION can still be raised, {bits} times: anti-rollback needs it"));
        }
        let free = after.map().key_blocks().filter(|block| {
            after.key_purpose(*block).is_some_and(|purpose| purpose.0 == 0) && after.is_block_writable(*block)
        });
        let free = free.count();
        if free > 0 && is_frozen(&after, "RD_DIS") {
            lines.push(format!("{free} key blocks are free, for keys that may stay readable only: RD_DIS is frozen"));
        } else if free > 0 {
            lines.push(format!("{free} key blocks are free"));
        }
    }
    if policy.download == DownloadMode::Secure {
        lines.push("the secure loader still writes and erases flash: an update by cable, or damage".to_owned());
    }
    if policy.jtag == JtagMode::Soft {
        lines.push("JTAG opens for whoever has jtag-hmac".to_owned());
    }
    if policy.secure_boot == SecureBootMode::V2 && support(plan.chip, policy.scheme.verified()) == Support::Insecure {
        lines.push(format!(
            "ESP-IDF calls ECDSA signatures on the {} insecure: not functional for certain inputs",
            plan.chip
        ));
    }
    lines
}
