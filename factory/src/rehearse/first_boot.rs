//! The device does it itself: at its first boot the second stage burns eFuses and encrypts the flash in place. Here the
//! power goes at every operation of that boot, and what is told is what the next power-on leads to.
//!
//! Nobody can make the real second stage survive all of it: what it does not come back from is no failure of the plan,
//! but has to be known before a line switches off a thousand devices too early. As with births, the chip after a cut is
//! made from a tape, because between two burns only the flash changes.

use super::cores::on_all;
use super::{RehearsalError, outcome};
use cotter_chip::board::VirtualChip;
use cotter_chip::fault::{CutPoint, Fault, Phase};
use cotter_chip::flash::{FlashError, FlashOperation};
use cotter_chip::report::RefusalCode;
use cotter_formats::efuse::{EfuseBlock, EfuseImage};
use serde::Serialize;

/// What came of the cuts during the first boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FirstBoot {
    /// Operations of the first boot, all of which were cut.
    pub operations: usize,
    /// Cuts: before, torn and after each; a torn burn eight times.
    pub cuts: usize,
    /// After which the device came back by itself, and was complete.
    pub comes_back: usize,
    /// After which it runs, but lacks settings.
    pub incomplete: Vec<Aftermath>,
    /// After which it does not come back by itself.
    pub stays: Vec<Aftermath>,
}

/// What became of some of the devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Aftermath {
    /// Where it stands, and what helps.
    pub what: String,
    /// After how many cuts.
    pub times: usize,
}

/// Cuts the first boot of a flashed board at every operation. `good`: how a boot of the finished device ends.
pub(super) fn all(board: &VirtualChip, good: &str) -> Result<FirstBoot, RehearsalError> {
    let whole = board.duplicate()?;
    whole.raw_flash().start_tape();
    let _seen_before = whole.power_on();
    let tape = whole.raw_flash().take_numbered_tape();
    let operations = whole.fault().operations();
    let goal = whole.efuses().image().map_err(|_| FlashError::PowerLost)?;
    let survey = Survey { board, good, goal };

    let mut ends = Vec::new();
    let mut burns = (0..operations).filter(|op| tape.binary_search_by_key(op, |(number, _)| *number).is_err());
    ends.extend(survey.burns(&mut burns)?);
    for stretch in tape.chunk_by(|(before, _), (after, _)| before + 1 == *after) {
        ends.extend(survey.stretch(stretch)?);
    }
    let mut told = FirstBoot { operations: usize::try_from(operations).unwrap_or(usize::MAX), ..FirstBoot::default() };
    told.cuts = ends.len();
    for end in ends {
        match end {
            End::ComesBack => told.comes_back += 1,
            End::Incomplete(what) => count(&mut told.incomplete, what),
            End::Stays(what) => count(&mut told.stays, what),
        }
    }
    Ok(told)
}

/// How often a torn burn is tried, each time with other bits.
const TORN: u64 = 8;

/// So many operations are a job.
const STRETCH: usize = 64;

#[derive(Clone)]
enum End {
    ComesBack,
    Incomplete(String),
    Stays(String),
}

struct Survey<'a> {
    board: &'a VirtualChip,
    good: &'a str,
    /// The eFuses of a device whose first boot nobody disturbed.
    goal: EfuseImage,
}

impl Survey<'_> {
    /// Cuts at each command of a burn, with a first boot for each.
    fn burns(&self, commands: &mut dyn Iterator<Item = u64>) -> Result<Vec<End>, RehearsalError> {
        let phases = |op| {
            let torn = (0..TORN).map(move |seed| (op, seed, Phase::Torn));
            [(op, 0, Phase::Before), (op, 0, Phase::After)].into_iter().chain(torn)
        };
        on_all(commands.flat_map(phases).collect(), |(op, seed, phase)| {
            let chip = self.board.duplicate_on(Fault::new(seed))?;
            chip.fault().cut_at(CutPoint { op, phase });
            // It ends at the cut.
            let _cut = chip.power_on();
            chip.fault().forget_cut();
            self.end(&chip)
        })
    }

    /// Cuts at each of the operations on the flash between two burns.
    fn stretch(&self, tape: &[(u64, FlashOperation)]) -> Result<Vec<End>, RehearsalError> {
        let Some((first, _)) = tape.first() else { return Ok(Vec::new()) };
        let chip = self.board.duplicate()?;
        chip.fault().cut_at(CutPoint { op: *first, phase: Phase::Before });
        let _cut = chip.power_on();
        chip.fault().forget_cut();
        chip.fault().restore_power();
        let mut previous = self.end(&chip.duplicate()?)?;
        let mut jobs = Vec::new();
        for operations in tape.chunks(STRETCH) {
            jobs.push((operations, chip.duplicate()?));
            operations.iter().try_for_each(|(_, operation)| chip.raw_flash().perform(operation))?;
        }
        let jobs = on_all(jobs, |(operations, chip): (&[(u64, FlashOperation)], VirtualChip)| {
            let ends = operations.iter().map(|(number, operation)| {
                let torn = chip.duplicate_on(Fault::new(*number))?;
                torn.fault().cut_at(CutPoint { op: 0, phase: Phase::Torn });
                // It ends at the cut.
                let _cut = torn.raw_flash().perform(operation);
                chip.raw_flash().perform(operation)?;
                Ok([self.end(&torn)?, self.end(&chip.duplicate()?)?])
            });
            ends.collect::<Result<Vec<_>, RehearsalError>>()
        })?;
        let mut ends = Vec::with_capacity(3 * tape.len());
        for [torn, after] in jobs.into_iter().flatten() {
            ends.extend([previous, torn, after.clone()]);
            previous = after;
        }
        Ok(ends)
    }

    /// The power-on after a cut, and one more.
    fn end(&self, chip: &VirtualChip) -> Result<End, RehearsalError> {
        let report = chip.power_on();
        if let Some(stranded) = report.stranded {
            return Ok(End::Stays(stranded.to_string()));
        }
        if let Some(refusal) = report.refusal() {
            return Ok(End::Stays(refused(refusal)));
        }
        let boot = outcome(&chip.duplicate()?);
        if boot != self.good {
            return Ok(End::Stays(boot));
        }
        let now = chip.efuses().image().map_err(|_| FlashError::PowerLost)?;
        let missing = self.missing(&now);
        Ok(if missing.is_empty() { End::ComesBack } else { End::Incomplete(missing.join(", ")) })
    }

    /// Settings that an undisturbed device has and this one has not. A torn key costs a block and the next one is taken,
    /// so that purposes and protections may be elsewhere.
    fn missing(&self, now: &EfuseImage) -> Vec<&'static str> {
        let moves = |name: &str| name.starts_with("KEY_PURPOSE") || matches!(name, "WR_DIS" | "RD_DIS");
        let settings = now.map().fields.iter().filter(|field| field.block == EfuseBlock::SETTINGS && field.len <= 32);
        let lacking = settings.filter(|field| !moves(field.name) && self.goal.value(field) & !now.value(field) != 0);
        lacking.map(|field| field.name).collect()
    }
}

fn refused(refusal: RefusalCode) -> String {
    format!("refused: {refusal}")
}

fn count(aftermaths: &mut Vec<Aftermath>, what: String) {
    match aftermaths.iter_mut().find(|aftermath| aftermath.what == what) {
        Some(aftermath) => aftermath.times += 1,
        None => aftermaths.push(Aftermath { what, times: 1 }),
    }
}
