//! Rules about the files themselves: length, nothing unfinished, no machine's paths.

use std::path::Path;

use anyhow::Result;

use crate::workspace::{files, root};

/// Rust files above this length are probably two nouns.
const LONG: usize = 600;

/// What the files say against the rules: problems, and warnings that fail nothing.
pub(crate) struct Findings {
    pub problems: Vec<String>,
    pub warnings: Vec<String>,
}

pub(crate) fn findings() -> Result<Findings> {
    let mut findings = Findings { problems: Vec::new(), warnings: Vec::new() };
    let machine = machine_paths();
    for file in files()? {
        // Deleted but not yet committed.
        let Ok(bytes) = std::fs::read(root().join(&file)) else { continue };
        findings.problems.extend(foreign_paths(&file, &bytes, &machine));
        if file.extension().is_some_and(|extension| extension == "rs") {
            let text = String::from_utf8_lossy(&bytes);
            findings.problems.extend(unfinished(&file, &text));
            let lines = text.lines().count();
            if lines > LONG {
                findings.warnings.push(format!("{}: {lines} lines, more than {LONG}: two nouns?", file.display()));
            }
        }
    }
    Ok(findings)
}

/// `todo!`, `unimplemented!` and ignored tests in Rust code.
fn unfinished(file: &Path, text: &str) -> Vec<String> {
    // Spelled in two halves, because this file is checked too.
    const MARKS: [&str; 4] =
        [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[", "ignore"), concat!("FIX", "ME")];
    let mut problems = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for mark in MARKS.iter().filter(|mark| line.contains(**mark)) {
            problems.push(format!("{}:{}: `{mark}`", file.display(), number + 1));
        }
    }
    problems
}

/// Folders that exist on somebody's machine only: everybody's home folders, and wherever this checkout lies.
fn machine_paths() -> Vec<String> {
    let mut paths = ["/home/", "/root/", "/Users/"].map(str::to_owned).to_vec();
    let here = root().display().to_string();
    if here.matches('/').count() >= 2 {
        paths.push(here + "/");
    }
    paths
}

/// Absolute paths of a machine, in text or inside a binary. Logs among the vectors are other tools' words, kept as they are.
fn foreign_paths(file: &Path, bytes: &[u8], machine: &[String]) -> Vec<String> {
    if file.starts_with("vectors") || file == Path::new("xtask/src/check/files.rs") {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for path in machine {
        let found = bytes.windows(path.len()).enumerate().find(|(offset, window)| {
            // A path begins there: not the middle of a URL or of a longer path.
            let before = offset.checked_sub(1).and_then(|index| bytes.get(index));
            *window == path.as_bytes()
                && !before.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"./_-}".contains(byte))
        });
        if let Some((offset, _)) = found {
            problems.push(format!("{}: the path {path}... of a machine at byte {offset}", file.display()));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_unfinished_code_with_its_line() {
        let text = concat!("fn a() {}\nfn b() { todo", "!() }\n#[", "ignore]\n");
        assert_eq!(
            unfinished(Path::new("x.rs"), text),
            [concat!("x.rs:2: `todo", "!(`"), concat!("x.rs:3: `#[", "ignore`")]
        );
    }

    #[test]
    fn finds_a_home_folder_in_a_binary_but_not_in_a_url() {
        let machine = machine_paths();
        let problems = foreign_paths(Path::new("a.bin"), b"\x00\xFF/home/someone/x\x00", &machine);
        assert_eq!(problems, ["a.bin: the path /home/... of a machine at byte 2"]);
        assert!(foreign_paths(Path::new("a.md"), b"https://example.com/home/index", &machine).is_empty());
        assert!(foreign_paths(Path::new("vectors/a.log"), b"/home/someone", &machine).is_empty());
    }
}
