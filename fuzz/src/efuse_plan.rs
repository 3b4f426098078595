//! Plans of eFuses, as `cotter efuse plan` writes them and other verbs read them.

use cotter_factory::efuse::{EfusePlan, command_file, commands, order_findings, outcome};
use cotter_formats::efuse::EfuseImage;
use cotter_formats::efuse::lint::{Expectation, findings};

/// A plan that is read is written again to the same plan; whatever it asks for, judging it and printing it as commands ends
/// with an answer.
pub fn efuse_plan(data: &[u8]) {
    let Ok(plan) = EfusePlan::from_json(data) else { return };
    let again = serde_json::to_vec(&plan).expect("a plan is JSON");
    assert_eq!(EfusePlan::from_json(&again).ok().as_ref(), Some(&plan), "a plan changed in a round trip");
    let blank = EfuseImage::blank(plan.chip);
    for finding in order_findings(&plan, &blank) {
        assert!(!finding.to_string().is_empty());
    }
    match outcome(&plan, &blank) {
        Ok(after) => {
            let _ = findings(&after, &Expectation::RELEASE);
        }
        Err(obstacle) => assert!(!obstacle.to_string().is_empty()),
    }
    let path = |name: &str| format!("{name}.bin");
    let lines = commands(&plan, "--virt ", path);
    assert_eq!(lines.len(), plan.stages.iter().filter(|stage| !stage.burns.is_empty()).count());
    let _ = command_file(&plan, path);
    for (_, burn) in plan.burns() {
        let _ = (burn.name(), burn.meaning(), burn.irreversible());
    }
}
