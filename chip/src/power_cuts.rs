//! A first boot that loses power: what ESP-IDF comes back from, what it does not, and what would help then.
//!
//! ```
//! # use cotter_chip::{board::VirtualChip, power_cuts};
//! # use cotter_formats::chip::Chip;
//! # let board = VirtualChip::new(Chip::Esp32C3, [2; 6]).unwrap();
//! // `board`: flashed, with a second stage that switches something on.
//! let cuts = power_cuts::survey(&board, 1).unwrap();
//! let lost = cuts.iter().filter(|cut| cut.aftermath != power_cuts::Aftermath::ComesBack).count();
//! # assert_eq!(lost, 0);
//! ```

use crate::board::{BoardError, VirtualChip};
use crate::crypt::has_flash_key;
use crate::efuse::Setting;
use crate::fault::{CutPoint, Fault, Phase};
use crate::report::{BootReport, RefusalCode, Remedy, Stage, Stranded, StrandedAt};
use crate::rom::DownloadMode;
use crate::second_stage::SecureBoot;
use cotter_formats::addr::FlashAddr;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{EfuseBlock, EfuseImage, Field, KeyPurpose, unary};

/// A power cut during the first boot, and the power-on after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where it was.
    pub point: CutPoint,
    /// What was being changed.
    pub doing: String,
    /// What the power-on after it led to.
    pub aftermath: Aftermath,
    /// Fields of block 0 that an undisturbed first boot sets and this chip, though it runs, does not have.
    pub missing: Vec<&'static str>,
}

/// What the power-on after a cut led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aftermath {
    /// The application runs, or would, had it been whole before.
    ComesBack,
    /// The chip does not come back by itself; what did help when it was tried.
    Stays(Remedy),
}

/// Cuts the next power-on at each `step`th operation that changes flash or eFuses, before, in the middle and after,
/// and looks what becomes of the chip. The board itself is left alone.
///
/// # Errors
/// [`BoardError`], which no existing board causes.
pub fn survey(board: &VirtualChip, step: usize) -> Result<Vec<Cut>, BoardError> {
    let survey = Survey::new(board)?;
    let ops = (0..survey.operations).step_by(step.max(1));
    // Another tear at each operation.
    ops.flat_map(|op| Phase::ALL.map(|phase| survey.cut(CutPoint { op, phase }, op))).collect()
}

/// A board before its first boot, and what an undisturbed one makes of it.
pub struct Survey<'a> {
    board: &'a VirtualChip,
    /// The flash before it.
    plain: Vec<u8>,
    /// The registers after it.
    goal: EfuseImage,
    /// True if it ends well.
    runs: bool,
    operations: u64,
}

impl<'a> Survey<'a> {
    /// Boots a copy of the board without a cut.
    ///
    /// # Errors
    /// [`BoardError`], which no existing board causes.
    pub fn new(board: &'a VirtualChip) -> Result<Self, BoardError> {
        let undisturbed = board.duplicate()?;
        let runs = is_well(&undisturbed.power_on());
        let operations = undisturbed.fault().operations();
        let goal = undisturbed.efuses().image().map_err(|_| BoardError::PowerLost)?;
        Ok(Self { board, plain: board.external_readout(), goal, runs, operations })
    }

    /// How many operations an undisturbed power-on has.
    #[must_use]
    pub const fn operations(&self) -> u64 {
        self.operations
    }

    /// Cuts a copy at one point. `seed` decides how the operation tears.
    ///
    /// # Errors
    /// [`BoardError`], which no existing board causes.
    pub fn cut(&self, point: CutPoint, seed: u64) -> Result<Cut, BoardError> {
        let chip = self.board.duplicate_on(Fault::new(seed))?;
        chip.fault().cut_at(point);
        let cut = chip.power_on();
        chip.fault().forget_cut();
        let doing = cut.steps.last().filter(|step| step.what == "power lost");
        let doing = doing.map_or_else(String::new, |step| step.found.clone());
        let after = chip.power_on();
        let (aftermath, missing) = match !self.runs || is_well(&after) {
            true => (Aftermath::ComesBack, missing(&chip, &self.goal)),
            false => (Aftermath::Stays(remedy(&chip, &self.plain, &self.goal)?), Vec::new()),
        };
        Ok(Cut { point, doing, aftermath, missing })
    }
}

fn is_well(report: &BootReport) -> bool {
    let fails = |stage| report.steps.iter().any(|step| step.stage == stage && step.refusal.is_some());
    report.booted().is_some() && !fails(Stage::Application)
}

/// What helps, by trying it on copies of the chip.
fn remedy(chip: &VirtualChip, plain: &[u8], goal: &EfuseImage) -> Result<Remedy, BoardError> {
    let reflashed = |chip: &VirtualChip| {
        let download = chip.power_on_in_download_mode().ok()?;
        download.write_flash(FlashAddr(0), plain).ok()?;
        is_well(&chip.power_on()).then_some(())
    };
    if reflashed(&chip.duplicate()?).is_some() {
        return Ok(Remedy::Reflash);
    }
    let by_hand = chip.duplicate()?;
    let mode = by_hand.power_on_in_download_mode().map(|download| download.mode());
    if mode == Ok(DownloadMode::Full) {
        finish_efuses(&by_hand, goal);
        if is_well(&by_hand.duplicate()?.power_on()) || reflashed(&by_hand).is_some() {
            return Ok(Remedy::FinishEfuses);
        }
    }
    Ok(Remedy::None)
}

/// Burns what is known to be missing: everything that can be read in the goal, but not the count of flash encryption and
/// what freezes it.
fn finish_efuses(chip: &VirtualChip, goal: &EfuseImage) {
    let map = *goal.map();
    for block in map.block_numbers().rev() {
        let (Some(wanted), Ok(now)) = (goal.block(block), chip.efuses().image()) else { continue };
        let now = now.block(block).unwrap_or_default();
        let mut missing: Vec<u8> = wanted.iter().zip(now).map(|(wanted, now)| wanted & !now).collect();
        if block == EfuseBlock::SETTINGS
            && let Some(count) = chip.efuses().setting_field(Setting::FlashCryptCount)
        {
            let frozen_by = count.write_protect_bit.map(|bit| map.wr_dis().bit + u16::from(bit));
            for bit in (count.bit..count.bit + count.len).chain(frozen_by) {
                missing[usize::from(bit / 8)] &= !(1 << (bit % 8));
            }
        }
        if missing.iter().any(|byte| *byte != 0) {
            // A coded block is burned whole: the same word again mends a torn one.
            let data = if block == EfuseBlock::SETTINGS { &missing } else { wanted };
            let _burned = chip.efuses().program(block, data);
        }
    }
}

/// Settings that the goal has and the chip has not. Key blocks may differ, because a new key goes into the next one.
fn missing(chip: &VirtualChip, goal: &EfuseImage) -> Vec<&'static str> {
    let Ok(now) = chip.efuses().image() else { return Vec::new() };
    let map = *goal.map();
    let moves = |name: &str| name.starts_with("KEY_PURPOSE") || matches!(name, "WR_DIS" | "RD_DIS");
    let settings = map.fields.iter().filter(|field| field.block == EfuseBlock::SETTINGS && !moves(field.name));
    let lacks = |field: &&Field| field.len <= 32 && goal.value(field) & !now.value(field) != 0;
    let mut names: Vec<_> = settings.filter(lacks).map(|field| field.name).collect();
    let is_open = |block: EfuseBlock, image: &EfuseImage| {
        let hides = image.key_purpose(block).is_some_and(KeyPurpose::wants_read_protection);
        hides && image.is_block_readable(block)
    };
    if map.key_blocks().any(|block| is_open(block, &now) && !is_open(block, goal))
        || (map.chip == Chip::Esp32 && goal.value(map.rd_dis()) & !now.value(map.rd_dis()) != 0)
    {
        names.push("RD_DIS");
    }
    names
}

/// Whether nothing runs because a first boot was interrupted.
pub(crate) fn stranded(board: &VirtualChip, report: &BootReport) -> Option<Stranded> {
    let config = board.second_stage();
    let code = report.refusal().or_else(|| {
        report.steps.iter().filter(|step| step.stage == Stage::Application).find_map(|step| step.refusal)
    })?;
    let efuses = board.efuses();
    let (is_closed, is_secure) =
        (efuses.sensed(Setting::DownloadDisabled) != 0, efuses.sensed(Setting::SecureDownload) != 0);
    let by_flash = if is_closed { Remedy::None } else { Remedy::Reflash };
    let by_hand = if is_closed || is_secure { Remedy::None } else { Remedy::FinishEfuses };
    let has_v2 = matches!(config.secure_boot, SecureBoot::V2(_));
    let refused =
        |codes: &[RefusalCode]| report.steps.iter().any(|step| step.refusal.is_some_and(|code| codes.contains(&code)));
    let in_rom = !report.steps.iter().any(|step| step.stage != Stage::Rom);
    let only_one = board.chip() == Chip::Esp32C2
        && has_v2
        && config.flash_encryption.is_some()
        && (efuses.sensed(Setting::SecureBoot) != 0) != (efuses.sensed(Setting::FlashCryptCount) != 0);
    let is_plain = !unary::is_odd(efuses.sensed(Setting::FlashCryptCount));

    let (at, remedy) = match code {
        RefusalCode::PowerLost => return None,
        _ if only_one => (StrandedAt::OnlyOneOfTwo, Remedy::None),
        RefusalCode::NoTrustedKey if in_rom && has_v2 => (StrandedAt::HalfBurnedSecureBoot, by_hand),
        _ if in_rom && config.flash_encryption.is_some() && is_plain && has_flash_key(efuses) => {
            (StrandedAt::HalfEncryptedFlash, by_flash)
        }
        RefusalCode::BootKeyHalfProtected => (StrandedAt::HalfBurnedSecureBoot, by_hand),
        RefusalCode::HmacBlockTaken => (StrandedAt::HalfBurnedHmacKey, Remedy::OtherKeyBlock),
        _ if refused(&[RefusalCode::FlashKeyNotProtected]) => (StrandedAt::HalfBurnedFlashKey, by_hand),
        _ if has_v2
            && efuses.sensed(Setting::SecureBoot) == 0
            && refused(&[RefusalCode::EfuseBurnFailed, RefusalCode::UntrustedKey, RefusalCode::NoTrustedKey]) =>
        {
            (StrandedAt::HalfBurnedSecureBoot, by_hand)
        }
        _ if refused(&[RefusalCode::EfuseBurnFailed]) => (StrandedAt::HalfBurnedFlashKey, by_hand),
        _ => return None,
    };
    Some(Stranded { at, remedy })
}
