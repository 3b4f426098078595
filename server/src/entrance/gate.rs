//! The gate: what an address may ask for, before anything expensive is done for it.
//!
//! | budget | what it spares |
//! |---|---|
//! | handshakes of an address | the server's signature, before TLS begins |
//! | all requests | everything, when more come than can be served |
//! | requests of an address | everything behind the headers |
//! | refused requests of an address | the cryptography that strangers would have us do |
//!
//! What a device may ask for is limited where it is known to be that device (`ingest`, `device`): otherwise a stranger
//! could use up the budget of somebody else.

use crate::app::App;
use crate::limits::Budget;
use crate::limits::budgets::{Budgets, Exhausted};
use crate::metrics::{Limit, Metrics};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// One for the whole server.
pub(crate) struct Gate {
    handshakes: Budgets<IpAddr>,
    requests: Budget,
    of_address: Budgets<IpAddr>,
    refusals: Budgets<IpAddr>,
    metrics: Arc<Metrics>,
}

impl Gate {
    pub(crate) fn new(app: &App) -> Self {
        let (limits, metrics) = (app.limits, Arc::clone(&app.metrics));
        Self {
            handshakes: Budgets::new(limits.handshakes_per_address, MOST_ADDRESSES),
            requests: Budget::new(limits.requests.burst, limits.requests.per_second),
            of_address: Budgets::new(limits.requests_per_address, MOST_ADDRESSES),
            refusals: Budgets::new(limits.refusals_per_address, MOST_ADDRESSES),
            metrics,
        }
    }

    /// Whether a connection may begin. There is no answer before TLS: who may not is cut off.
    pub(super) fn lets_connect(&self, address: IpAddr) -> bool {
        let allowed = self.handshakes.take(address, Instant::now()).is_ok();
        if !allowed {
            self.metrics.limited(Limit::Handshakes);
        }
        allowed
    }

    /// Counts a request. `Some`: it is one too many, and there is something left after so many seconds.
    pub(crate) fn exceeded(&self, address: IpAddr) -> Option<u32> {
        let (limit, Exhausted { retry_after }) = self.exhausted(address, Instant::now())?;
        self.metrics.limited(limit);
        Some(retry_after)
    }

    fn exhausted(&self, address: IpAddr, now: Instant) -> Option<(Limit, Exhausted)> {
        if let Err(exhausted) = self.refusals.look(&address, now) {
            return Some((Limit::Refusals, exhausted));
        }
        if let Err(exhausted) = self.of_address.take(address, now) {
            return Some((Limit::Address, exhausted));
        }
        self.requests.take(now).is_none().then_some((Limit::All, Exhausted { retry_after: 1 }))
    }

    /// Counts something that was refused and that a stranger could have provoked.
    pub(crate) fn refused(&self, address: IpAddr) {
        // Nothing left to take: the next request is refused.
        let _ = self.refusals.take(address, Instant::now());
    }

    pub(super) const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}

/// With budgets of their own; 5 MB for all of them.
const MOST_ADDRESSES: usize = 1 << 15;
