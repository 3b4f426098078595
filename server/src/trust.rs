//! The change of the keys that sign firmware: planned, given to devices, adopted by them, finished.
//!
//! | file | noun |
//! |---|---|
//! | here | what administrators do |
//! | `chain` | the policies so far, and which of them a release must satisfy now |
//! | `operation` | states, and when it goes on |
//!
//! The server holds no key that could sign a statement. Nothing of it is in memory: a killed server goes on where the store
//! stands.

pub mod chain;
pub mod operation;

use crate::administrator::Administrator;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::firmware::Firmware;
use crate::store::trust::{Acted, Missing, NewStatement, Planned, StatementRecord};
use crate::store::{ReleaseRecord, Store, StoreError};
use chain::{Chain, ChainBroken};
use cotter_wire::manifest::Envelope;
use cotter_wire::trust::{SignedStatement, TrustError, TrustNumber};
use operation::{Act, Gate, State};
use std::sync::Arc;

/// Changes the keys.
pub struct Trusts {
    /// Where everything is.
    pub store: Arc<dyn Store>,
    /// What the configuration trusts.
    pub firmware: Arc<Firmware>,
    /// Who notes it.
    pub audit: Arc<Audit>,
    /// When it was.
    pub clock: Arc<dyn Clock>,
}

/// When the old keys may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How many of 100 devices must have followed the statement.
    pub share: u8,
    /// A device that was not seen for so many days may be left behind.
    pub days: u16,
}

/// Where everything stands.
#[derive(Debug)]
pub struct Standing {
    /// The policies so far.
    pub chain: Chain,
    /// The statements, by number.
    pub statements: Vec<StatementRecord>,
    /// How many devices are at which number.
    pub tallies: Vec<(TrustNumber, u64)>,
    /// How far devices have come with the latest statement.
    pub gate: Gate,
    /// The first of those that have not followed it, by name.
    pub missing: Vec<Missing>,
}

impl Trusts {
    /// Takes the next statement, if enough keys of the latest one signed it and enough of its own. Devices are not given it
    /// yet.
    ///
    /// # Errors
    /// [`TrustRefusal`].
    pub async fn plan(&self, statement: &[u8], terms: Terms, by: &Administrator) -> Result<TrustNumber, TrustRefusal> {
        let chain = self.firmware.chain().await?;
        if let Some((number, state)) = chain.unfinished() {
            return Err(TrustRefusal::Unfinished { number, state });
        }
        let next = SignedStatement::parse(statement)?;
        let next = next.verify(&self.firmware.project()?, chain.latest(), chain.policy())?;
        let extended = chain.followed_by(&next);
        let mut accepts = Vec::new();
        for release in self.store.releases(MOST_RELEASES).await? {
            if self.believes(&extended, &release).await? {
                accepts.push(release.id);
            }
        }
        let number = next.number;
        let keys: Vec<_> = next.policy.keys().iter().map(|key| key.id().to_string()).collect();
        let detail = format!("{} of {}; adopted by {} %", next.policy.required(), keys.join(" "), terms.share);
        let note = self.audit.note(&by.name, "trust-planned", number.to_string(), detail);
        let new = NewStatement {
            number,
            beginning: chain.beginning(),
            statement: statement.to_vec(),
            share: terms.share,
            days: terms.days,
            accepts,
            basis: chain.basis(),
            at: self.clock.unix(),
        };
        match self.store.plan_statement(new, note).await? {
            Planned::Planned => Ok(number),
            Planned::Changed => Err(TrustRefusal::Changed),
        }
    }

    /// Whether devices at the latest number of `chain` believe a release.
    async fn believes(&self, chain: &Chain, release: &ReleaseRecord) -> Result<bool, StoreError> {
        let Ok(envelope) = Envelope::parse(&release.envelope) else { return Ok(false) };
        if envelope.verify(chain.policy()).is_err() {
            return Ok(false);
        }
        let signers = self.store.image_signers(release.id).await?;
        Ok(chain.takes_image(chain.latest(), &signers))
    }

    /// Starts, retires or cancels the latest statement.
    ///
    /// # Errors
    /// [`TrustRefusal`].
    pub async fn act(&self, act: Act, by: &Administrator) -> Result<(TrustNumber, State), TrustRefusal> {
        let note = self.audit.note(&by.name, act.event(), String::new(), String::new());
        match self.store.act_on_statement(act, note).await? {
            Acted::To(number, state) => Ok((number, state)),
            Acted::Forbidden(state) => Err(TrustRefusal::Forbidden { act, state }),
            Acted::Handed => Err(TrustRefusal::Handed),
            Acted::Nothing => Err(TrustRefusal::Nothing),
            Acted::NotAdopted(gate) => {
                let missing = match self.store.statements().await?.last() {
                    Some(last) => self.store.missing(last.number, None, MOST_NAMED).await?,
                    None => Vec::new(),
                };
                let names: Vec<_> = missing.iter().map(|missing| missing.device.to_string()).collect();
                Err(TrustRefusal::NotAdopted { gate, names: names.join(", ") })
            }
        }
    }

    /// Where everything stands.
    ///
    /// # Errors
    /// [`TrustRefusal::Chain`] or the store's.
    pub async fn standing(&self) -> Result<Standing, TrustRefusal> {
        let chain = self.firmware.chain().await?;
        let statements = self.store.statements().await?;
        let tallies = self.store.trust_tallies().await?;
        let days = statements.last().map_or(0, |last| last.days);
        let unseen_since = self.clock.unix().saturating_sub(u64::from(days) * 86_400);
        let gate = self.store.gate(chain.latest(), unseen_since).await?;
        let missing = self.store.missing(chain.latest(), None, MOST_SHOWN).await?;
        Ok(Standing { chain, statements, tallies, gate, missing })
    }
}

/// Releases that are looked at when a statement is planned.
const MOST_RELEASES: usize = 100_000;
/// Devices that a refusal names.
const MOST_NAMED: usize = 20;
/// Devices that are shown.
const MOST_SHOWN: usize = 1000;

/// Why the keys do not change.
#[derive(Debug, thiserror::Error)]
pub enum TrustRefusal {
    /// The statement.
    #[error(transparent)]
    Statement(#[from] TrustError),
    /// The statements so far.
    #[error(transparent)]
    Chain(#[from] ChainBroken),
    /// One at a time.
    #[error("trust: number {number} is {}: one change after the other", state.as_str())]
    Unfinished {
        /// Which one.
        number: TrustNumber,
        /// Where it stands.
        state: State,
    },
    /// Not from this state.
    #[error("trust: it is {}, so {} makes no sense", state.as_str(), act.as_str())]
    Forbidden {
        /// What was asked.
        act: Act,
        /// Where it stands.
        state: State,
    },
    /// Somebody would be left behind.
    #[error("trust: {gate}: {names}")]
    NotAdopted {
        /// How many.
        gate: Gate,
        /// The first of them.
        names: String,
    },
    /// Nobody knows whether it was followed.
    #[error("trust: a device was given it and may have followed it: it cannot be taken back")]
    Handed,
    /// There is nothing to change.
    #[error("trust: there is no statement that is not finished")]
    Nothing,
    /// Somebody else was faster.
    #[error("trust: it has changed meanwhile")]
    Changed,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TrustRefusal {
    /// A stable name; `None` if the server itself is at fault.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::Statement(error) => error.code(),
            Self::Chain(ChainBroken::Store(_)) | Self::Store(_) => return None,
            Self::Chain(_) => "trust-chain-broken",
            Self::Unfinished { .. } => "trust-unfinished",
            Self::Forbidden { .. } => "trust-state",
            Self::NotAdopted { .. } => "trust-not-adopted",
            Self::Handed => "trust-handed-out",
            Self::Nothing => "trust-nothing-planned",
            Self::Changed => "trust-changed-meanwhile",
        })
    }
}
