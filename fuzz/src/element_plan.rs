//! Templates and plans of secure elements.

use cotter_chip::atecc::{Entropy, Model, SecureElement};
use cotter_factory::element::{ElementPlan, Template};

/// A template becomes a plan or a refusal; a plan that is read is written again to the same file, and leaves no key that
/// everybody could replace.
pub fn element_plan(data: &[u8]) {
    if let Ok(plan) = ElementPlan::from_json(data) {
        check(&plan);
    }
    let Some(template) = std::str::from_utf8(data).ok().and_then(|text| Template::from_toml(text).ok()) else { return };
    let part = SecureElement::fresh(Model::Atecc608A, [3; 6], Entropy::known(3));
    match ElementPlan::new(template, part.config().clone()) {
        Ok(plan) => check(&plan),
        Err(refused) => assert!(!refused.to_string().is_empty()),
    }
}

fn check(plan: &ElementPlan) {
    let text = plan.to_json();
    assert_eq!(ElementPlan::from_json(text.as_bytes()).ok().as_ref(), Some(plan), "a plan changed in a round trip");
    let (compiled, accepted) = (plan.compiled(), &plan.template().accept);
    assert!(compiled.findings().iter().all(|finding| accepted.iter().any(|code| code == finding.code())));
    let finished = compiled.finished();
    assert!(finished.is_config_locked() && finished.is_data_locked());
    assert_eq!(finished.serial_number(), plan.before().serial_number());
    for step in plan.steps() {
        assert!(!step.to_string().is_empty());
    }
    assert_eq!(plan.data_sum(None).is_err(), plan.needs_transport_key());
}
