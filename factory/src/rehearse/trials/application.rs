//! Attacks on the application, judged by the second stage; older applications, genuinely signed, among them.

use super::{APPLICATION, SECURE_BOOT_OFF, Trial, Trials, code, install, noise};
use crate::efuse::SecureBootMode;
use crate::policy::OlderImage;
use crate::rehearse::{RehearsalError, good, outcome};
use cotter_chip::board::VirtualChip;
use cotter_chip::flash::FlashError;
use cotter_chip::report::{AppSlot, RefusalCode};
use cotter_chip::second_stage::SecureBoot;
use cotter_formats::addr::{FlashAddr, SECTOR};
use cotter_formats::efuse::unary;
use cotter_formats::otadata::{ENTRY_LEN, OtaEntry, OtaState, next_seq, select};
use cotter_formats::partition::{Partition, PartitionTable, PartitionType, Subtype, TABLE_LEN};

/// What becomes of an older application while nothing forbids it.
const ANTI_ROLLBACK_OFF: &str = "boots: anti-rollback is off";

impl Trials<'_> {
    /// Each tampering with the application.
    pub(super) fn applications(&self, encrypted: bool) -> Result<Vec<Trial>, RehearsalError> {
        let (slot, _) = self.slot()?;
        let secure_boot = self.policy.secure_boot;
        let mut trials = Vec::new();
        if secure_boot == SecureBootMode::V2 {
            let unsigned = refused_in(slot, &self.unsigned(APPLICATION)?);
            trials.push(Trial::new("unsigned application", code(RefusalCode::Unsigned), unsigned));
            let other = refused_in(slot, &self.signed_by_somebody(APPLICATION)?);
            trials.push(Trial::new("application signed by somebody else", code(RefusalCode::UntrustedKey), other));
        }
        let modified = refused_in(slot, &self.modified(APPLICATION)?);
        trials.push(Trial::new("modified application", code(RefusalCode::ChecksumMismatch), modified));
        let mended = match secure_boot {
            SecureBootMode::V2 => Some(code(RefusalCode::SignedDigestMismatch)),
            SecureBootMode::Off => Some(SECURE_BOOT_OFF.to_owned()),
            // The key that judges it is compiled into the second stage.
            SecureBootMode::V1 if self.judges_v1() => Some(code(RefusalCode::BadSignature)),
            SecureBootMode::V1 => None,
        };
        if let Some(expected) = mended {
            let chip = self.mended(APPLICATION)?;
            let seen = if secure_boot == SecureBootMode::Off { self.seen_open(&chip) } else { refused_in(slot, &chip) };
            trials.push(Trial::new("modified application, checksum and SHA-256 mended", expected, seen));
        }
        if encrypted {
            let (chip, header) = self.plain(APPLICATION)?;
            let seen = refused_in(slot, &chip);
            trials.push(Trial::new("plaintext application", noise(header, &seen), seen));
        }
        Ok(trials)
    }

    /// A genuinely signed application of an earlier day, on a chip that has booted once: over the present one, and into
    /// the other slot, with otadata pointing there.
    pub(super) fn older_applications(&self, version: &str) -> Result<Vec<Trial>, RehearsalError> {
        let Some(older) = self.older else { return Ok(Vec::new()) };
        let used = self.chip.duplicate()?;
        if used.power_on().booted().is_none() {
            return Ok(Vec::new());
        }
        let image = used.efuses().image().map_err(|_| FlashError::PowerLost)?;
        let required = image.map().field("SECURE_VERSION").map_or(0, |field| unary::count(image.value(field)));
        let is_on = required > 0 || self.policy.anti_rollback > 0;
        let must = |refused: String| if is_on { refused } else { ANTI_ROLLBACK_OFF.to_owned() };
        let (first, table) = self.slot()?;
        let (at, _) = self.piece(APPLICATION)?;

        let chip = used.duplicate()?;
        install(&chip, at, &older.bytes)?;
        let seen = older.seen_in(first, &chip, is_on);
        let too_low = code(RefusalCode::SecureVersionTooLow);
        let name = |how: &str| format!("older application {}, {how}", older.version);
        let mut trials = vec![Trial::new(&name("flashed over"), must(too_low.clone()), seen)];

        let Some((slot, partition, otadata)) = other_slot(&table, first) else { return Ok(trials) };
        let chip = used.duplicate()?;
        install(&chip, partition.offset, &older.bytes)?;
        point_to(&chip, otadata, slot, table.ota_slot_count())?;
        let seen = match outcome(&chip.duplicate()?) {
            seen if seen.ends_with(&older.version) => older.seen_in(AppSlot::Ota(slot), &chip.duplicate()?, is_on),
            seen => seen,
        };
        trials.push(Trial::new(&name("selected by otadata"), must(good(self.policy, self.chip, version)), seen));

        // And nothing else is left to boot.
        install(&chip, at, &[0xff; SECTOR as usize])?;
        let seen = older.seen_in(AppSlot::Ota(slot), &chip, is_on);
        trials.push(Trial::new(&name("selected by otadata, the newer erased"), must(too_low), seen));
        Ok(trials)
    }

    /// True if the second stage has the key of Secure Boot V1.
    fn judges_v1(&self) -> bool {
        matches!(self.chip.second_stage().secure_boot, SecureBoot::V1(_))
    }

    /// The slot that the application lies in, and the table that says so.
    fn slot(&self) -> Result<(AppSlot, PartitionTable), RehearsalError> {
        let (at, _) = self.piece("partition table")?;
        let mut bytes = [0; TABLE_LEN];
        self.chip.transparent_flash().read_at(at, &mut bytes)?;
        let table = PartitionTable::parse(&bytes).map_err(|_| RehearsalError::NoPiece("partition table"))?;
        let (at, _) = self.piece(APPLICATION)?;
        let slot = (0..=u8::MAX).zip(table.ota_slots()).find(|(_, slot)| slot.offset == at);
        Ok((slot.map_or(AppSlot::Factory, |(number, _)| AppSlot::Ota(number)), table))
    }
}

impl OlderImage {
    /// The refusal of the older application in a slot, or that it boots.
    fn seen_in(&self, slot: AppSlot, chip: &VirtualChip, is_on: bool) -> String {
        let report = chip.power_on();
        match (report.slot_refusal(slot), report.booted()) {
            (Some(refusal), _) => code(refusal),
            (None, Some(app)) if !is_on && app.slot == slot && app.version == self.version => {
                ANTI_ROLLBACK_OFF.to_owned()
            }
            (None, Some(app)) => format!("booted {} from {}", app.version, app.slot),
            (None, None) => report.refusal().map_or_else(String::new, code),
        }
    }
}

/// Why the second stage passed the slot over.
fn refused_in(slot: AppSlot, chip: &VirtualChip) -> String {
    let report = chip.power_on();
    let refusal = report.slot_refusal(slot).or(report.refusal());
    refusal.map_or_else(|| "booted".to_owned(), code)
}

/// An OTA slot that is not the first one, and where otadata lies.
fn other_slot(table: &PartitionTable, first: AppSlot) -> Option<(u8, &Partition, FlashAddr)> {
    let otadata = table.find_type(PartitionType::DATA, Subtype::DATA_OTA)?.offset;
    let mut slots = (0..=u8::MAX).zip(table.ota_slots());
    let (slot, partition) = slots.find(|(number, _)| AppSlot::Ota(*number) != first)?;
    Some((slot, partition, otadata))
}

/// Selects a slot as Espressif's otatool.py does: the next sequence number, into the entry that is not active.
fn point_to(chip: &VirtualChip, otadata: FlashAddr, slot: u8, slots: u32) -> Result<(), RehearsalError> {
    let flash = chip.transparent_flash();
    let mut entries = [OtaEntry::ERASED; 2];
    for (index, entry) in (0..).zip(&mut entries) {
        let mut bytes = [0; ENTRY_LEN];
        flash.read_at(FlashAddr(otadata.0 + index * SECTOR), &mut bytes)?;
        *entry = OtaEntry::parse(&bytes).unwrap_or(OtaEntry::ERASED);
    }
    let active = select(&entries);
    let current = active.map_or(0, |active| entries[active].seq);
    let Some(seq) = next_seq(current, slot.into(), slots) else { return Ok(()) };
    let sector = if active == Some(0) { SECTOR } else { 0 };
    install(chip, FlashAddr(otadata.0 + sector), &OtaEntry::new(seq, OtaState::UNDEFINED).encode())
}
