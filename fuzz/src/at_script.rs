//! Scripts of a host that talks to an AT module.

use cotter_twin::at::script::{STEPS_MAX, Script};

/// What is accepted is written as a script that says the same; every mistake points into the text.
pub fn at_script(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match Script::parse(text) {
        Ok(script) => {
            assert!(script.steps.len() <= STEPS_MAX);
            assert!(script.steps.iter().all(|step| (1..=text.lines().count()).contains(&step.line)));
            let written = script.to_string();
            let again = Script::parse(&written).expect("what was written can be read");
            let actions = |script: &Script| script.steps.iter().map(|step| step.action.clone()).collect::<Vec<_>>();
            assert_eq!(actions(&again), actions(&script), "a script changed in a round trip");
            assert_eq!(again.to_string(), written);
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "refused without a reason");
            for mistake in mistakes {
                let line = text.lines().nth(mistake.line - 1).expect("it points to a line");
                assert!((1..=line.chars().count() + 1).contains(&mistake.column));
                assert!(!mistake.to_string().contains(char::is_control), "a control character reached the terminal");
            }
        }
    }
}
