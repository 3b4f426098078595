//! The birth on a fresh virtual chip, by the very code that burns silicon, and then everything that must not work.
//!
//! Only a plan that came through all of it becomes [`Rehearsed`], and only a [`Rehearsed`] plan can be burned.
//!
//! | file | noun |
//! |---|---|
//! | here | the rehearsal and its verdict |
//! | `trials` | attacks on copies of the finished chip |
//! | `orders` | the steps in a wrong order: what is refused, what can be finished, what is a brick |
//! | `cuts` | the power goes during a birth, which is then finished |
//! | `cores` | work for all cores |

mod cores;
mod cuts;
mod orders;
mod trials;

use crate::burn::{BurnFailure, Manner, apply};
use crate::plan::Plan;
use crate::policy::Birth;
use cotter_chip::board::{BoardError, DownloadError, VirtualChip};
use cotter_chip::efuse::BurnError;
use cotter_chip::flash::FlashError;
use cotter_chip::report::{BootReport, RefusalCode};
use cotter_chip::second_stage::{SecondStage, SecureBoot};
use cotter_formats::addr::FlashLen;
use cotter_formats::efuse::{ChipRevision, EfuseImage};
use serde::Serialize;

pub use cuts::Cuts;
pub use orders::{Fate, Order};
pub use trials::Trial;
use trials::Trials;

/// Something that came through a rehearsal.
#[derive(Debug)]
pub struct Rehearsed<T> {
    inner: T,
    verdict: Verdict,
}

impl<T> Rehearsed<T> {
    /// What was rehearsed.
    pub const fn get(&self) -> &T {
        &self.inner
    }

    /// What was tried, all of it with the expected end.
    #[must_use]
    pub fn trials(&self) -> &[Trial] {
        &self.verdict.trials
    }

    /// Everything that was seen.
    #[must_use]
    pub const fn verdict(&self) -> &Verdict {
        &self.verdict
    }
}

/// Everything that a rehearsal saw.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The first boot of the finished chip.
    pub boot: BootReport,
    /// What was tried on copies of it.
    pub trials: Vec<Trial>,
    /// Wrong orders of the steps; empty unless [`Depth::Full`].
    pub orders: Vec<Order>,
    /// Power cuts; none unless [`Depth::Full`].
    pub cuts: Cuts,
    /// The eFuses of the finished chip as software reads them.
    #[serde(skip)]
    pub efuses: EfuseImage,
}

impl Verdict {
    /// True if everything ended as it had to. A wrong order may brick a chip: that is a warning, no failure.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.trials.iter().all(Trial::passed) && self.cuts.lost.is_empty()
    }
}

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The attacks alone.
    Quick,
    /// Also wrong orders, and a power cut at every operation.
    Full,
}

/// Applies the plan to a fresh virtual chip, boots it, then attacks copies of it. `progress` is told what comes next.
///
/// # Errors
/// [`RehearsalError::Failed`] with everything that was seen if anything ended otherwise; the plan is gone then.
pub fn rehearse_with(
    birth: Birth,
    depth: Depth,
    progress: &mut dyn FnMut(&str),
) -> Result<Rehearsed<Plan>, RehearsalError> {
    progress("birth");
    let Birth { plan, revision, flash, version, older, second_stage, .. } = birth;
    let version = version.as_str();
    let reel = Reel { plan: &plan, revision, flash, second_stage: &second_stage };
    let chip = reel.fresh()?;
    reel.birth(&chip, Manner::Fresh)?;
    progress("attacks");
    let trials = Trials { plan: &plan, chip: &chip, older: older.as_ref() }.all(version)?;
    let (mut orders, mut cuts) = (Vec::new(), Cuts::default());
    if depth == Depth::Full && trials.first().is_some_and(Trial::passed) {
        progress("wrong orders");
        orders = orders::all(&reel, version)?;
        cuts = cuts::all(&reel, &chip, version, progress)?;
    }
    let efuses = chip.efuses().image().map_err(|_| FlashError::PowerLost)?;
    let boot = chip.duplicate()?.power_on();
    let verdict = Verdict { boot, trials, orders, cuts, efuses };
    if verdict.passed() {
        Ok(Rehearsed { inner: plan, verdict })
    } else {
        Err(RehearsalError::Failed(Box::new(verdict)))
    }
}

/// As [`rehearse_with`], the attacks only, on the revision of the chip that is sold today.
///
/// # Errors
/// As [`rehearse_with`].
pub fn rehearse(plan: Plan, version: &str) -> Result<Rehearsed<Plan>, RehearsalError> {
    let birth = Birth::of(plan, version);
    rehearse_with(birth, Depth::Quick, &mut |_| ())
}

/// Where fresh chips come from.
struct Reel<'a> {
    plan: &'a Plan,
    revision: Option<ChipRevision>,
    flash: FlashLen,
    second_stage: &'a SecondStage,
}

impl Reel<'_> {
    fn fresh(&self) -> Result<VirtualChip, BoardError> {
        let chip = self.plan.chip();
        let board = match self.revision {
            None => VirtualChip::new(chip, REHEARSAL_MAC)?,
            Some(revision) => VirtualChip::of_revision(chip, revision, REHEARSAL_MAC)?,
        };
        let board = board.with_second_stage(self.second_stage.clone())?;
        if board.raw_flash().size() == self.flash { Ok(board) } else { board.with_flash(self.flash) }
    }

    /// The whole plan, by the code that burns silicon.
    fn birth(&self, chip: &VirtualChip, manner: Manner) -> Result<(), RehearsalError> {
        let mut session = chip.power_on_in_download_mode().map_err(RehearsalError::NoDownloadMode)?;
        apply(self.plan, &mut session, manner, |_| Ok(())).map_err(RehearsalError::Birth)
    }
}

/// How a boot ended, in words.
fn outcome(chip: &VirtualChip) -> String {
    let report = chip.power_on();
    match (report.booted(), report.refusal()) {
        (Some(app), _) if app.is_verified => format!("verified and booted {}", app.version),
        (Some(app), _) => format!("booted {}", app.version),
        (None, code) => code.map_or("nothing", RefusalCode::as_str).to_owned(),
    }
}

/// How a good boot ends. The key that judges an application under Secure Boot V1 is compiled into the second stage.
fn good(plan: &Plan, second_stage: &SecondStage, version: &str) -> String {
    let is_v2 = plan.policy().secure_boot == crate::efuse::SecureBootMode::V2;
    let is_verified = is_v2 || matches!(second_stage.secure_boot, SecureBoot::V1(_));
    let verified = if is_verified { "verified and " } else { "" };
    format!("{verified}booted {version}")
}

/// Locally administered, so that it is nobody's.
const REHEARSAL_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 1];

/// Why a plan was not rehearsed, or did not come through.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// There is no virtual chip of this kind.
    #[error(transparent)]
    Board(#[from] BoardError),
    /// A fresh chip that does not let anyone in.
    #[error("a fresh chip refuses download mode: {0}")]
    NoDownloadMode(RefusalCode),
    /// The birth itself failed.
    #[error("rehearsed birth: {0}")]
    Birth(BurnFailure<DownloadError>),
    /// The plan writes no such thing.
    #[error("the plan writes no {0}")]
    NoPiece(&'static str),
    /// The virtual flash failed.
    #[error(transparent)]
    Flash(#[from] FlashError),
    /// A trial could not be set up.
    #[error(transparent)]
    Burn(#[from] BurnError),
    /// A throw-away key could not be made.
    #[error(transparent)]
    Key(#[from] crate::private_key::PrivateKeyError),
    /// Something ended otherwise than it had to.
    #[error("rehearsal: {}", failures(.0))]
    Failed(Box<Verdict>),
}

fn failures(verdict: &Verdict) -> String {
    let failed = verdict.trials.iter().filter(|trial| !trial.passed());
    let trials = failed.map(|trial| format!("{}: expected {}, saw {}", trial.name, trial.expected, trial.seen));
    trials.chain(verdict.cuts.lost.iter().cloned()).collect::<Vec<_>>().join("; ")
}
