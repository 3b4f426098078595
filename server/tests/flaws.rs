//! docs/ecowatt-flaws.md: 33 rows, and every test that it names is there.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The Rust sources of the crates whose tests are named, as one text.
fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_row_names_tests_that_exist() {
    let document = std::fs::read_to_string(root().join("docs/ecowatt-flaws.md")).unwrap();
    let mut text = String::new();
    for folder in ["wire/src", "device/src", "device/tests", "server/src", "server/tests", "interop/tests"] {
        sources(&root().join(folder), &mut text);
    }
    let rows: Vec<Vec<&str>> = document
        .lines()
        .filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit())
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let numbers: Vec<u32> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=33).collect::<Vec<_>>());
    for row in rows {
        let names: Vec<&str> = row[3].split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "row {} names no test", row[0]);
        for name in names {
            let found = text.contains(&format!("fn {name}(")) || text.contains(&format!("fn {name}<"));
            assert!(found, "row {}: there is no test {name}", row[0]);
        }
    }
}
