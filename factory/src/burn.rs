//! Applies a plan to a chip. The only way in takes a [`Rehearsed`] plan: an unrehearsed one does not compile.
//!
//! ```compile_fail
//! use cotter_factory::{burn::burn, journal::Journal, plan::Plan, workpiece::Workpiece};
//! fn skip_the_rehearsal<W: Workpiece>(plan: &Plan, chip: &mut W, journal: &mut Journal) {
//!     let _ = burn(plan, "device-1", chip, journal);
//! }
//! ```

use crate::journal::{Entry, Journal};
use crate::plan::{Plan, Step};
use crate::rehearse::Rehearsed;
use crate::workpiece::Workpiece;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::chip::Chip;
use std::io;

/// Burns and writes everything, in order, with a journal line before and after each step.
///
/// # Errors
/// [`BurnFailure`]; the journal says which step was the last.
pub fn burn<W: Workpiece>(
    plan: &Rehearsed<Plan>,
    device: &str,
    workpiece: &mut W,
    journal: &mut Journal,
) -> Result<(), BurnFailure<W::Error>> {
    let chip = plan.get().chip();
    journal.record(&Entry::Begun { device, chip: chip.name(), steps: plan.get().steps().len() })?;
    apply(plan.get(), workpiece, Manner::Fresh, |entry| journal.record(entry))?;
    Ok(journal.record(&Entry::Finished { device })?)
}

/// Whether a birth was begun before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The chip is fresh.
    Fresh,
    /// A birth by the same plan was cut short: what is burned already is left alone.
    Resume,
}

/// The steps themselves: the very code that the rehearsal runs, too.
pub(crate) fn apply<W: Workpiece>(
    plan: &Plan,
    workpiece: &mut W,
    manner: Manner,
    mut record: impl FnMut(&Entry<'_>) -> io::Result<()>,
) -> Result<(), BurnFailure<W::Error>> {
    if workpiece.chip() != plan.chip() {
        return Err(BurnFailure::WrongChip { expected: plan.chip(), found: workpiece.chip() });
    }
    for (index, step) in plan.steps().iter().enumerate() {
        let number = index + 1;
        record(&Entry::Started { step: number, title: step.title(), irreversible: matches!(step, Step::Burn { .. }) })?;
        let outcome = perform(step, workpiece, manner);
        match &outcome {
            Ok(()) => record(&Entry::Done { step: number })?,
            Err(failure) => record(&Entry::Failed { step: number, reason: &failure.to_string() })?,
        }
        outcome?;
    }
    Ok(())
}

/// One step.
pub(crate) fn perform<W: Workpiece>(
    step: &Step,
    workpiece: &mut W,
    manner: Manner,
) -> Result<(), BurnFailure<W::Error>> {
    match step {
        Step::Burn { title, set, .. } => {
            let burned = match manner {
                Manner::Fresh => workpiece.burn(set),
                Manner::Resume => workpiece.resume(set),
            };
            burned.map_err(|source| BurnFailure::Chip { step: (*title).to_owned(), source })
        }
        Step::Write(piece) => {
            let chip = |source| BurnFailure::Chip { step: piece.what.clone(), source };
            workpiece.write_flash(piece.at, &piece.bytes).map_err(chip)?;
            let len = FlashLen(u32::try_from(piece.bytes.len()).expect("checked against the layout"));
            match workpiece.read_flash(piece.at, len).map_err(chip)? {
                Some(stored) if stored != *piece.bytes => {
                    Err(BurnFailure::NotReadBack { what: piece.what.clone(), at: piece.at })
                }
                _ => Ok(()),
            }
        }
    }
}

/// Why a birth stopped.
#[derive(Debug, thiserror::Error)]
pub enum BurnFailure<E: std::error::Error + 'static> {
    /// The plan is for another chip; nothing was done.
    #[error("the plan is for {expected}, this is {found}")]
    WrongChip {
        /// The plan's chip.
        expected: Chip,
        /// The workpiece.
        found: Chip,
    },
    /// The journal could not be written; nothing further was done.
    #[error("journal: {0}")]
    Journal(#[from] io::Error),
    /// The chip refused or failed.
    #[error("{step}: {source}")]
    Chip {
        /// The step.
        step: String,
        /// What the chip said.
        source: E,
    },
    /// Flash does not hold what was written.
    #[error("{what} at {at} does not read back as written")]
    NotReadBack {
        /// What.
        what: String,
        /// Where.
        at: FlashAddr,
    },
}
