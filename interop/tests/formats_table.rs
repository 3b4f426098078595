//! `docs/formats.md` names tests. They exist.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::path::Path;

#[test]
fn every_test_that_the_table_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = std::fs::read_to_string(root.join("docs/formats.md")).unwrap();
    let mut named = 0;
    for row in table.lines().filter(|line| line.starts_with('|')) {
        let mut file = None;
        for name in row.split('`').skip(1).step_by(2) {
            let Some((path, test)) = name.split_once("::") else { continue };
            file = if path.is_empty() { file } else { Some(path) };
            let path = file.unwrap_or_else(|| unreachable!("{name} is in no file"));
            let text = std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| unreachable!("{path}: {error}"));
            assert!(text.contains(&format!("#[test]\nfn {test}(")), "{path} has no test {test}");
            named += 1;
        }
    }
    assert!(named > 20, "the table is elsewhere: only {named} names were found");
}
