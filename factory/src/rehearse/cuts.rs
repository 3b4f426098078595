//! The power goes during a birth: before, in the middle of, and after every single operation; then the birth is repeated.
//!
//! Every program command of the eFuses, every sector that is erased and every page that is programmed is cut. What makes
//! that a matter of seconds:
//!
//! 1. The chip as a cut leaves it is made from a tape of the birth and a copy of the chip, not by a new birth.
//! 2. The chip after an operation is the chip before the next one: both are the same trial.
//! 3. A repeated birth erases what a piece needs before it programs the first page of it. If the chip then is, cell by
//!    cell, what it is there in the repetition of a birth that was not torn at all, the rest is the same too, and that
//!    rest was seen. Otherwise the repetition goes on to its end, and the chip is booted.

use super::cores::on_all;
use super::orders::registers;
use super::{Reel, RehearsalError, good, outcome};
use crate::burn::{Manner, perform};
use crate::plan::Step;
use cotter_chip::board::VirtualChip;
use cotter_chip::fault::{CutPoint, Fault, Phase};
use cotter_chip::flash::FlashOperation;
use serde::Serialize;

/// What came of the cuts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cuts {
    /// Operations of the birth, all of which were cut: program commands of eFuses, erased sectors, programmed pages.
    pub operations: usize,
    /// Cuts during eFuse burns: before and after every command, and eight times in the middle of it.
    pub burns: usize,
    /// Cuts during flash writes: before, in the middle of, and after every operation.
    pub writes: usize,
    /// After which the chip booted and was complete once the birth was repeated.
    pub finished: usize,
    /// After which the chip works but the tool was locked out before the last protection was burned.
    pub unprotected: Vec<String>,
    /// After which the chip did not come right; the first of them, and how many more there are.
    pub lost: Vec<String>,
}

/// Cuts one birth after the other.
pub(super) fn all(
    reel: &Reel<'_>,
    finished: &VirtualChip,
    version: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<Cuts, RehearsalError> {
    let judge = Judge { reel, finished, good: good(reel.flashed, finished, version), whole: registers(finished)? };
    let mut cuts = Cuts::default();
    let line = reel.fresh()?;
    let mut session = line.power_on_in_download_mode().map_err(RehearsalError::NoDownloadMode)?;
    for step in reel.plan.steps() {
        let before = line.duplicate()?;
        let (begin, is_burn) = (line.fault().operations(), matches!(step, Step::Burn { .. }));
        line.raw_flash().start_tape();
        perform(step, &mut session, Manner::Fresh).map_err(RehearsalError::Birth)?;
        let tape = line.raw_flash().take_tape();
        let operations = line.fault().operations() - begin;
        progress(&format!("power cuts at {operations} operations of {}", step.title()));
        let ends = if is_burn { judge.burn(step, &before, operations)? } else { judge.write(step, &before, &tape)? };
        cuts.operations += usize::try_from(operations).unwrap_or(usize::MAX);
        *if is_burn { &mut cuts.burns } else { &mut cuts.writes } += ends.len();
        for end in ends {
            match end {
                End::Finished => cuts.finished += 1,
                End::Unprotected(at) => cuts.unprotected.push(at),
                End::Lost(at) => cuts.lost.push(at),
            }
        }
    }
    let more = cuts.lost.len().saturating_sub(SHOWN);
    if more > 0 {
        cuts.lost.truncate(SHOWN);
        cuts.lost.push(format!("power cuts: {more} more"));
    }
    Ok(cuts)
}

/// How often a torn burn is tried, each time with other bits.
const TORN: u64 = 8;

/// How many losses are told.
const SHOWN: usize = 20;

/// What became of one chip.
#[derive(Clone)]
enum End {
    Finished,
    Unprotected(String),
    Lost(String),
}

struct Judge<'a> {
    reel: &'a Reel<'a>,
    finished: &'a VirtualChip,
    /// How it boots.
    good: String,
    /// Its eFuses.
    whole: Vec<u8>,
}

/// A place in the repetition of a birth, and the chip there if nothing was torn.
struct Landmark {
    op: u64,
    chip: VirtualChip,
}

impl Judge<'_> {
    /// Cuts at every command of a burn. A torn one leaves any subset of its bits: several are tried.
    fn burn(&self, step: &Step, before: &VirtualChip, operations: u64) -> Result<Vec<End>, RehearsalError> {
        let phases = |op| {
            let torn = (0..TORN).map(move |seed| (op, seed, Phase::Torn));
            [(op, 0, Phase::Before), (op, 0, Phase::After)].into_iter().chain(torn)
        };
        on_all((0..operations).flat_map(phases).collect(), |(op, seed, phase)| {
            let chip = before.duplicate_on(Fault::new(seed))?;
            let mut session = chip.power_on_in_download_mode().map_err(RehearsalError::NoDownloadMode)?;
            chip.fault().cut_at(CutPoint { op, phase });
            // It ends at the cut.
            let _cut = perform(step, &mut session, Manner::Fresh);
            chip.fault().forget_cut();
            chip.fault().restore_power();
            self.repeated(&chip, &|| format!("{}, command {op}, {}", step.title(), phase_name(phase)))
        })
    }

    /// Cuts at every operation on a tape that begins with the chip as it is `before`.
    fn write(&self, step: &Step, before: &VirtualChip, tape: &[FlashOperation]) -> Result<Vec<End>, RehearsalError> {
        let landmark = self.landmark(step, before)?;
        let mut jobs = Vec::new();
        let chip = before.duplicate()?;
        for (first, operations) in (0..).step_by(STRETCH).zip(tape.chunks(STRETCH)) {
            jobs.push((first, operations, chip.duplicate()?));
            operations.iter().try_for_each(|operation| chip.raw_flash().perform(operation))?;
        }
        let mut previous = self.written(&before.duplicate()?, landmark.as_ref(), &|| at(step, 0, Phase::Before))?;
        let stretches = on_all(jobs, |(first, operations, chip): (u64, _, _)| {
            let ends = (first..).zip(operations).map(|(op, operation)| {
                let torn: VirtualChip = chip.duplicate_on(Fault::new(op))?;
                torn.fault().cut_at(CutPoint { op: 0, phase: Phase::Torn });
                // It ends at the cut.
                let _cut = torn.raw_flash().perform(operation);
                let torn = self.written(&torn, landmark.as_ref(), &|| at(step, op, Phase::Torn))?;
                chip.raw_flash().perform(operation)?;
                let after = chip.duplicate()?;
                let after = self.written(&after, landmark.as_ref(), &|| at(step, op, Phase::After))?;
                Ok([torn, after])
            });
            ends.collect::<Result<Vec<_>, RehearsalError>>()
        })?;
        let mut ends = Vec::with_capacity(3 * tape.len());
        for [torn, after] in stretches.into_iter().flatten() {
            ends.extend([previous, torn, after.clone()]);
            previous = after;
        }
        Ok(ends)
    }

    /// Where the repetition of a birth, cut in this piece, has erased the piece; `None` if such a repetition would not
    /// come right.
    fn landmark(&self, step: &Step, before: &VirtualChip) -> Result<Option<Landmark>, RehearsalError> {
        let Step::Write(piece) = step else { return Ok(None) };
        let whole = before.duplicate()?;
        whole.raw_flash().start_tape();
        let ended = self.reel.birth(&whole, Manner::Resume);
        let tape = whole.raw_flash().take_tape();
        let is_first_page =
            |operation: &FlashOperation| matches!(operation, FlashOperation::Program { at, .. } if *at == piece.at);
        let op = tape.iter().position(is_first_page).and_then(|op| u64::try_from(op).ok());
        let (Some(op), true) = (op, ended.is_ok() && whole.is_same_as(self.finished)) else { return Ok(None) };
        let chip = before.duplicate()?;
        self.stop_at(&chip, op);
        Ok(Some(Landmark { op, chip }))
    }

    /// Repeats the birth as far as one operation.
    fn stop_at(&self, chip: &VirtualChip, op: u64) {
        chip.fault().restart_count();
        chip.fault().cut_at(CutPoint { op, phase: Phase::Before });
        // It ends at the cut, or earlier.
        let _cut = self.reel.birth(chip, Manner::Resume);
    }

    /// What becomes of a chip after a cut during a write.
    fn written(
        &self,
        chip: &VirtualChip,
        landmark: Option<&Landmark>,
        name: &dyn Fn() -> String,
    ) -> Result<End, RehearsalError> {
        if let Some(Landmark { op, chip: expected }) = landmark {
            let short = chip.duplicate()?;
            self.stop_at(&short, *op);
            if short.fault().is_lost() && short.fault().operations() == op + 1 && short.is_same_as(expected) {
                return Ok(End::Finished);
            }
        }
        chip.fault().forget_cut();
        chip.fault().restore_power();
        self.repeated(chip, name)
    }

    /// The line tries again; what the chip refuses then is told by what it does afterwards.
    fn repeated(&self, chip: &VirtualChip, name: &dyn Fn() -> String) -> Result<End, RehearsalError> {
        let _either_way = self.reel.birth(chip, Manner::Resume);
        if chip.is_same_as(self.finished) {
            return Ok(End::Finished);
        }
        Ok(match (outcome(&chip.duplicate()?), registers(chip)? == self.whole) {
            (boot, true) if boot == self.good => End::Finished,
            (boot, false) if boot == self.good => End::Unprotected(name()),
            (boot, _) => End::Lost(format!("power cut at {}: {boot}", name())),
        })
    }
}

/// So many operations are a job.
const STRETCH: usize = 256;

fn at(step: &Step, op: u64, phase: Phase) -> String {
    format!("{}, operation {op}, {}", step.title(), phase_name(phase))
}

const fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Before => "before",
        Phase::Torn => "torn",
        Phase::After => "after",
    }
}
