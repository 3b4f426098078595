//! Rollouts as an operator describes and names them: plans, tags, numbers.

use cotter_server::rollout::RolloutId;
use cotter_server::rollout::plan::Plan;
use cotter_server::rollout::tag::Tag;

/// A plan that is taken in is the same after it was stored; tags and numbers are what they were.
pub fn rollout(data: &[u8]) {
    if let Ok(plan) = Plan::parse(data) {
        let stored = plan.to_json().expect("a plan that was read can be written");
        assert_eq!(Plan::parse(stored.as_bytes()).ok(), Some(plan), "a plan changed in a round trip");
    }
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(tag) = text.parse::<Tag>() {
        assert_eq!(tag.to_string(), text, "a second spelling of {tag:?}");
    }
    if let Ok(number) = text.parse::<RolloutId>() {
        assert_eq!(number.to_string().parse(), Ok(number), "a number changed in a round trip");
    }
}
