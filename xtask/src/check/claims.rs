//! Documents that name tests as proof: each test that they name is there.

use std::collections::HashSet;

use anyhow::{Context, Result};

use crate::workspace::{files, root};

/// What is named and is not there, and how many tests are.
pub(crate) fn problems() -> Result<(usize, Vec<String>)> {
    let mut tests = HashSet::new();
    for file in files()? {
        if file.extension().is_some_and(|extension| extension == "rs") {
            // Deleted but not yet committed.
            let Ok(text) = std::fs::read_to_string(root().join(&file)) else { continue };
            tests.extend(functions(&text).map(str::to_owned));
        }
    }
    let (mut count, mut problems) = (0, Vec::new());
    for document in DOCUMENTS {
        let text = std::fs::read_to_string(root().join(document)).with_context(|| document.to_owned())?;
        for name in named(&text) {
            count += 1;
            if !tests.contains(name) {
                problems.push(format!("{document}: no test is called {name}"));
            }
        }
    }
    Ok((count, problems))
}

/// The names of all functions in a Rust file.
fn functions(text: &str) -> impl Iterator<Item = &str> {
    text.split("fn ")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or(""))
}

/// What is in backticks and looks like the name of a test: three underscores or more, and nothing but a name.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |word: &&str| {
        word.matches('_').count() >= 3 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    text.split('`').skip(1).step_by(2).filter(is_name)
}

const DOCUMENTS: [&str; 1] = ["docs/update-attacks.md"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_named_and_what_is_there() {
        let text = "| 1 | `rejects_a_truncated_entry`, `cotter demo`, `a_b`, `server/tests/a_b_c_d.rs` |";
        assert_eq!(named(text).collect::<Vec<_>>(), ["rejects_a_truncated_entry"]);
        assert_eq!(functions("async fn one_two(x: u8) {}\nfn three() {}").collect::<Vec<_>>(), ["one_two", "three"]);
    }
}
