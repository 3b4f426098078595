//! The steps in a wrong order, as a person in a hurry might take them.
//!
//! A wrong order ends at the first step that the chip refuses. Then somebody notices, and applies the whole plan in its
//! own order: either the chip comes out as it should, or it is lost.

use super::cores::on_all;
use super::{Reel, RehearsalError, good, outcome};
use crate::burn::{Manner, perform};
use crate::plan::Step;
use serde::Serialize;

/// One wrong order and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Order {
    /// The steps as they were taken; `content` is all of the flash.
    pub steps: Vec<String>,
    /// The step that the chip refused, and why.
    pub refused: Option<String>,
    /// What the chip did at power on, before anybody helped.
    pub boot: String,
    /// What became of the chip.
    pub fate: Fate,
}

/// What becomes of a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It is as it should be.
    Works,
    /// It boots, but some eFuse of the plan is missing, and can no longer be burned.
    Unprotected,
    /// It came right when the plan was applied in its own order.
    Recovers,
    /// It does not boot, and applying the plan does not help.
    Bricked,
}

/// Every order that differs from the right one by one step in a wrong place.
pub(super) fn all(reel: &Reel<'_>, version: &str) -> Result<Vec<Order>, RehearsalError> {
    let groups = groups(reel.plan.steps());
    let names: Vec<&str> = groups.iter().map(|(name, _)| *name).collect();
    let finished = reel.fresh()?;
    reel.birth(&finished, Manner::Fresh)?;
    let good = (good(reel.flashed, &finished, version), registers(&finished)?);
    on_all(wrong_orders(groups.len()), |order| {
        let chip = reel.fresh()?;
        let mut refused = None;
        'steps: for group in &order {
            // Each step is a session of its own, as if somebody had come back to the device.
            let mut session = match chip.power_on_in_download_mode() {
                Ok(session) => session,
                Err(code) => {
                    refused = Some(format!("{}: {code}", names[*group]));
                    break;
                }
            };
            for step in &groups[*group].1 {
                if let Err(failure) = perform(step, &mut session, Manner::Fresh) {
                    refused = Some(failure.to_string());
                    break 'steps;
                }
            }
        }
        let boot = outcome(&chip.duplicate()?);
        let is_whole = |chip| Ok::<_, RehearsalError>(registers(chip)? == good.1);
        let fate = if boot == good.0 && is_whole(&chip)? {
            Fate::Works
        } else {
            // Somebody helps; what the chip refuses then is told by what it does afterwards.
            let _either_way = reel.birth(&chip, Manner::Resume);
            match (outcome(&chip.duplicate()?) == good.0, is_whole(&chip)?) {
                (true, true) => Fate::Recovers,
                (true, false) => Fate::Unprotected,
                (false, _) => Fate::Bricked,
            }
        };
        let steps = order.iter().map(|group| names[*group].to_owned()).collect();
        Ok(Order { steps, refused, boot, fate })
    })
}

/// The eFuses after a reset.
pub(super) fn registers(chip: &cotter_chip::board::VirtualChip) -> Result<Vec<u8>, RehearsalError> {
    let image = chip.duplicate()?.efuses().image().map_err(|_| cotter_chip::flash::FlashError::PowerLost)?;
    Ok(image.registers().to_vec())
}

/// The burns one by one, all of the flash as one.
fn groups(steps: &[Step]) -> Vec<(&str, Vec<&Step>)> {
    let mut groups: Vec<(&str, Vec<&Step>)> = Vec::new();
    for step in steps {
        let name = if matches!(step, Step::Write(_)) { "content" } else { step.title() };
        match groups.last_mut() {
            Some((last, members)) if *last == name => members.push(step),
            _ => groups.push((name, vec![step])),
        }
    }
    groups
}

/// Every order in which one step stands in another place than it should.
fn wrong_orders(len: usize) -> Vec<Vec<usize>> {
    let mut orders: Vec<Vec<usize>> = Vec::new();
    for from in 0..len {
        for to in (0..len).filter(|to| *to != from) {
            let mut order: Vec<usize> = (0..len).collect();
            let step = order.remove(from);
            order.insert(to, step);
            if !orders.contains(&order) {
                orders.push(order);
            }
        }
    }
    orders
}

impl Fate {
    /// In a few words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Unprotected => "boots, but cannot be protected any more",
            Self::Recovers => "recovers when the plan is applied",
            Self::Bricked => "BRICKED",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_wrong_and_none_comes_twice() {
        let orders = wrong_orders(4);
        assert_eq!(orders.len(), 9);
        assert!(orders.iter().all(|order| *order != [0, 1, 2, 3]));
    }
}
