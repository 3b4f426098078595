//! The power supply: counts every operation that changes flash or eFuses, and can be cut at any one of them.
//!
//! One [`Fault`] is shared by all the parts of a board. A test first runs undisturbed to learn how many operations
//! there are, then once per operation and phase:
//!
//! ```
//! use cotter_chip::fault::{CutPoint, Fault, Phase};
//! let fault = Fault::new(1);
//! fault.cut_at(CutPoint { op: 0, phase: Phase::Torn });
//! // ... run until `PowerLost` ...
//! fault.restore_power();
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The shared handle; clones speak of the same supply.
#[derive(Clone, Debug)]
pub struct Fault(Arc<Mutex<State>>);

/// Where the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutPoint {
    /// Which counted operation, from 0.
    pub op: u64,
    /// Which moment of it.
    pub phase: Phase,
}

/// A moment of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing of it happened.
    Before,
    /// Some of it happened: see `flash` and `efuse` for what each part leaves behind.
    Torn,
    /// All of it happened, but nobody was told.
    After,
}

impl Phase {
    /// The three, in the order of time.
    pub const ALL: [Self; 3] = [Self::Before, Self::Torn, Self::After];
}

/// The power is off: nothing answers until [`Fault::restore_power`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("power lost")]
pub struct PowerLost;

impl Fault {
    /// A supply that is on, with no cut planned. `seed` decides what torn operations leave behind.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State { count: 0, cut: None, lost: false, seed })))
    }

    /// Plans a cut, replacing any other. `op` counts from the last [`Self::restart_count`].
    pub fn cut_at(&self, point: CutPoint) {
        self.state().cut = Some(point);
    }

    /// Switches the power off now, between two operations.
    pub fn cut_now(&self) {
        self.state().lost = true;
    }

    /// Switches the power on again. A planned cut that has not happened yet stays planned.
    pub fn restore_power(&self) {
        self.state().lost = false;
    }

    /// Forgets a planned cut.
    pub fn forget_cut(&self) {
        self.state().cut = None;
    }

    /// How many operations were begun since the last [`Self::restart_count`].
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().count
    }

    /// Counts from 0 again.
    pub fn restart_count(&self) {
        self.state().count = 0;
    }

    /// True between a cut and [`Self::restore_power`].
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.state().lost
    }

    /// Fails if the power is off; for what changes nothing and is not counted.
    pub(crate) fn check(&self) -> Result<(), PowerLost> {
        if self.is_lost() { Err(PowerLost) } else { Ok(()) }
    }

    /// Runs one counted operation: `run` is told how much of it is to happen.
    pub(crate) fn operation<T>(&self, run: impl FnOnce(Extent) -> T) -> Result<T, PowerLost> {
        let (extent, survives) = {
            let mut state = self.state();
            if state.lost {
                return Err(PowerLost);
            }
            let op = state.count;
            state.count += 1;
            match state.cut.filter(|cut| cut.op == op).map(|cut| cut.phase) {
                None => (Extent::Whole, true),
                Some(phase) => {
                    state.cut = None;
                    state.lost = true;
                    match phase {
                        Phase::Before => return Err(PowerLost),
                        Phase::Torn => (Extent::Torn(Noise::new(state.seed, op)), false),
                        Phase::After => (Extent::Whole, false),
                    }
                }
            }
        };
        let result = run(extent);
        if survives { Ok(result) } else { Err(PowerLost) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Fault {
    fn default() -> Self {
        Self::new(0)
    }
}

/// How much of an operation is to happen.
pub(crate) enum Extent {
    Whole,
    Torn(Noise),
}

/// The randomness of a torn operation (SplitMix64): the same seed and operation always tear in the same way.
#[derive(Clone)]
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) const fn new(seed: u64, op: u64) -> Self {
        Self(seed ^ op.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) const fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) const fn byte(&mut self) -> u8 {
        self.u64().to_le_bytes()[0]
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.u64() % end as u64).expect("less than a usize")
    }
}

#[derive(Debug)]
struct State {
    count: u64,
    cut: Option<CutPoint>,
    lost: bool,
    seed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happened(phase: Phase) -> Option<bool> {
        let fault = Fault::new(7);
        fault.cut_at(CutPoint { op: 1, phase });
        assert_eq!(fault.operation(|_| ()), Ok(()));
        let mut whole = None;
        assert_eq!(fault.operation(|extent| whole = Some(matches!(extent, Extent::Whole))), Err(PowerLost));
        assert_eq!(fault.check(), Err(PowerLost));
        assert_eq!(fault.operation(|_| panic!("ran without power")), Err(PowerLost));
        fault.restore_power();
        assert_eq!(fault.operation(|_| ()), Ok(()));
        assert_eq!(fault.operations(), 3);
        whole
    }

    #[test]
    fn cuts_before_in_the_middle_and_after() {
        assert_eq!(happened(Phase::Before), None);
        assert_eq!(happened(Phase::Torn), Some(false));
        assert_eq!(happened(Phase::After), Some(true));
    }

    #[test]
    fn noise_repeats_for_the_same_seed_and_operation() {
        let first = |seed, op| Noise::new(seed, op).u64();
        assert_eq!(first(1, 2), first(1, 2));
        assert_ne!(first(1, 2), first(1, 3));
        assert_ne!(first(1, 2), first(2, 2));
    }
}
