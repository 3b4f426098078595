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
//! | `first_boot` | the power goes while the device protects itself |
//! | `cores` | work for all cores |

mod cores;
mod cuts;
mod first_boot;
mod orders;
mod trials;

use crate::burn::{BurnFailure, Manner, apply};
use crate::efuse::{EfusePolicy, SecureBootMode};
use crate::plan::Plan;
use crate::policy::Birth;
use cotter_chip::board::{BoardError, DownloadError, VirtualChip};
use cotter_chip::efuse::BurnError;
use cotter_chip::entropy::Entropy;
use cotter_chip::flash::FlashError;
use cotter_chip::report::{BootReport, RefusalCode};
use cotter_chip::second_stage::{SecondStage, SecureBoot};
use cotter_formats::addr::FlashLen;
use cotter_formats::efuse::{ChipRevision, EfuseImage};
use serde::Serialize;

pub use cuts::Cuts;
pub use first_boot::{Aftermath, FirstBoot};
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
    /// Power cuts while the device protects itself; `None` if it does not, or not [`Depth::Full`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_boot: Option<FirstBoot>,
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
    let Birth { plan, revision, flash, version, older, by_itself, second_stage, .. } = birth;
    let version = version.as_str();
    // Of a device that protects itself, the line sees what it flashed, and the world what the first boot made of it.
    let policy = by_itself.as_ref().unwrap_or(plan.policy());
    let reel = Reel { plan: &plan, flashed: policy, revision, flash, second_stage: &second_stage };
    let flashed = reel.fresh()?;
    reel.birth(&flashed, Manner::Fresh)?;
    let chip = flashed.duplicate()?;
    let booted = by_itself.is_some().then(|| chip.power_on());
    progress("attacks");
    let trials = Trials { plan: &plan, policy, chip: &chip, older: older.as_ref() }.all(version)?;
    let (mut orders, mut cuts, mut first_boot) = (Vec::new(), Cuts::default(), None);
    if depth == Depth::Full && trials.first().is_some_and(Trial::passed) {
        progress("wrong orders");
        orders = orders::all(&reel, version)?;
        cuts = cuts::all(&reel, &flashed, version, progress)?;
        if by_itself.is_some() {
            progress("power cuts at the first boot");
            first_boot = Some(first_boot::all(&flashed, &good(policy, &flashed, version))?);
        }
    }
    let efuses = chip.efuses().image().map_err(|_| FlashError::PowerLost)?;
    let boot = booted.map_or_else(|| chip.duplicate().map(|chip| chip.power_on()), Ok)?;
    let verdict = Verdict { boot, trials, orders, cuts, first_boot, efuses };
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
    /// What a device that has booted once is.
    flashed: &'a EfusePolicy,
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
        let board = board.with_second_stage(self.second_stage.clone())?.with_entropy(Entropy::known(KNOWN));
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

/// How a good boot ends.
fn good(policy: &EfusePolicy, chip: &VirtualChip, version: &str) -> String {
    let verified = match policy.secure_boot {
        SecureBootMode::V2 => "verified and ",
        // If the second stage has the key.
        SecureBootMode::V1 if matches!(chip.second_stage().secure_boot, SecureBoot::V1(_)) => "verified and ",
        SecureBootMode::V1 | SecureBootMode::Off => "",
    };
    format!("{verified}booted {version}")
}

/// Keys that a rehearsed device makes for itself are known to everybody, so that its boots can be repeated.
const KNOWN: u64 = 1;

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
