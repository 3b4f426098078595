//! The same plan as commands of espefuse 5.6.0, for reviewers and for lines that burn with it: one command for each stage.

use super::plan::{Burn, EfusePlan, Stage};
use cotter_formats::chip::Chip;

/// One shell line for each stage that burns; `keys`: the file of a key by its name. Halves of a 64-byte flash key are
/// expected in `FILE.aa` and `FILE.ab`, as `split -b 32 FILE FILE.` makes them; an ECDSA key in a PEM.
#[must_use]
pub fn commands(plan: &EfusePlan, options: &str, keys: impl Fn(&str) -> String) -> Vec<String> {
    let stages = plan.stages.iter().filter(|stage| !stage.burns.is_empty());
    stages
        .map(|stage| format!("espefuse --chip {} {options}{}", plan.chip, arguments(plan.chip, stage, &keys)))
        .collect()
}

/// The same words in the lines of a plan file of `cotter efuse apply`, each burn explained in a comment.
#[must_use]
pub fn command_file(plan: &EfusePlan, keys: impl Fn(&str) -> String) -> String {
    let mut text = format!("# {}: burned as one batch, in the order of the controller\n", plan.chip);
    for stage in plan.stages.iter().filter(|stage| !stage.burns.is_empty()) {
        text += &format!("\n# {}\n", stage.stage.name());
        for burn in &stage.burns {
            text += &format!("#   {}: {}\n", burn.name(), burn.meaning());
        }
        text += &arguments(plan.chip, stage, &keys);
        text.push('\n');
    }
    text
}

fn arguments(chip: Chip, stage: &Stage, keys: &impl Fn(&str) -> String) -> String {
    let (mut key, mut readable) = (Vec::new(), Vec::new());
    let (mut field, mut hide, mut freeze) = (Vec::new(), Vec::new(), Vec::new());
    for burn in &stage.burns {
        match burn {
            Burn::Key { purpose, key: name, .. } if chip == Chip::Esp32 => {
                key.push(format!("{purpose} {}", keys(name)));
            }
            Burn::Key { purpose, half: Some(2), .. } if purpose.starts_with("ECDSA") => {}
            // espefuse hides it unless it is told not to.
            Burn::Key { block, purpose, key: name, read_protect: false, .. } if purpose.starts_with("HMAC") => {
                readable.push(format!("{block} {} {purpose}", keys(name)));
            }
            Burn::Key { block, purpose, key: name, half, .. } => {
                let file = keys(name);
                key.push(match half {
                    None => format!("{block} {file} {purpose}"),
                    Some(_) if purpose.starts_with("ECDSA") => format!("{block} {file} ECDSA_KEY_P384"),
                    Some(1) => format!("{block} {file}.aa {purpose}"),
                    Some(_) => format!("{block} {file}.ab {purpose}"),
                });
            }
            Burn::Field { field: name, value, .. } => field.push(format!("{name} {value:#x}")),
            Burn::ReadProtect { block, .. } => hide.push(block.clone()),
            Burn::WriteProtect { name, .. } => freeze.push(name.clone()),
        }
    }
    let verbs = [
        ("burn-key", key),
        ("burn-key --no-read-protect", readable),
        ("burn-efuse", field),
        ("read-protect-efuse", hide),
        ("write-protect-efuse", freeze),
    ];
    let parts = verbs.into_iter().filter(|(_, what)| !what.is_empty());
    parts.map(|(verb, what)| format!("{verb} {}", what.join(" "))).collect::<Vec<_>>().join(" ")
}
