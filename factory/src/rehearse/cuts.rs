//! The power goes during a birth: before, in the middle of, and after a program command; then the birth is finished.

use super::orders::registers;
use super::{Reel, RehearsalError, good, outcome};
use crate::burn::{Manner, perform};
use crate::plan::Step;
use cotter_chip::board::VirtualChip;
use cotter_chip::fault::{CutPoint, Fault, Phase};
use serde::Serialize;

/// What came of the cuts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cuts {
    /// Cuts during eFuse burns: before and after every command, and eight times in the middle of it.
    pub burns: usize,
    /// Cuts during flash writes: the first, the middle and the last operation of each write, in each phase.
    pub writes: usize,
    /// After which the chip booted and was complete once the birth was repeated.
    pub finished: usize,
    /// After which the chip works but the tool was locked out before the last protection was burned.
    pub unprotected: Vec<String>,
    /// After which the chip did not come right.
    pub lost: Vec<String>,
}

/// Cuts one birth after the other.
pub(super) fn all(reel: &Reel<'_>, finished: &VirtualChip, version: &str) -> Result<Cuts, RehearsalError> {
    let (good, whole) = (good(reel.plan, version), registers(finished)?);
    let mut cuts = Cuts::default();
    for (name, op, is_burn) in points(reel)? {
        // A torn burn leaves any subset of its bits: several are tried.
        let torn = if is_burn { TORN } else { 1 };
        let again = std::iter::repeat_n(Phase::Torn, torn - 1);
        for (seed, phase) in (0..).zip(Phase::ALL.into_iter().chain(again)) {
            let chip = reel.fresh()?.duplicate_on(Fault::new(seed))?;
            chip.fault().restart_count();
            chip.fault().cut_at(CutPoint { op, phase });
            // It ends at the cut.
            let _cut = reel.birth(&chip, Manner::Fresh);
            chip.fault().forget_cut();
            chip.fault().restore_power();
            // The line tries again; what the chip refuses then is told by what it does afterwards.
            let _either_way = reel.birth(&chip, Manner::Resume);
            *if is_burn { &mut cuts.burns } else { &mut cuts.writes } += 1;
            let at = format!("{name}, operation {op}, {}", phase_name(phase));
            match (outcome(&chip.duplicate()?), registers(&chip)? == whole) {
                (boot, true) if boot == good => cuts.finished += 1,
                (boot, false) if boot == good => cuts.unprotected.push(at),
                (boot, _) => cuts.lost.push(format!("power cut at {at}: {boot}")),
            }
        }
    }
    Ok(cuts)
}

/// How often a torn burn is tried, each time with other bits.
const TORN: usize = 8;

/// The operations at which the power goes: their step, their number, and whether they burn.
fn points(reel: &Reel<'_>) -> Result<Vec<(String, u64, bool)>, RehearsalError> {
    let chip = reel.fresh()?;
    let mut session = chip.power_on_in_download_mode().map_err(RehearsalError::NoDownloadMode)?;
    chip.fault().restart_count();
    let mut points = Vec::new();
    for step in reel.plan.steps() {
        let begin = chip.fault().operations();
        perform(step, &mut session, Manner::Fresh).map_err(RehearsalError::Birth)?;
        let end = chip.fault().operations();
        let is_burn = matches!(step, Step::Burn { .. });
        let mut ops: Vec<u64> = if is_burn { (begin..end).collect() } else { vec![begin, (begin + end) / 2, end - 1] };
        ops.dedup();
        points.extend(ops.into_iter().filter(|op| *op < end).map(|op| (step.title().to_owned(), op, is_burn)));
    }
    Ok(points)
}

const fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Before => "before",
        Phase::Torn => "torn",
        Phase::After => "after",
    }
}
