//! Every golden file in `vectors/` is read by some test. The sources tell which.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Files that no source names, and why they are there.
const UNNAMED: [(&str, &str); 4] = [
    ("protocol/", "captured by the loader's tests, which name those that they replay"),
    ("wire/vectors.py", "makes the files beside it"),
    ("link/derivation.py", "makes the file beside it"),
    ("rom/", "named by cases.json, which the ROM's tests read"),
];

/// Tests that read whatever is in a folder: source, folder, ending.
const LISTED: [(&str, &str, &str); 3] = [
    ("chip/src/efuse/tests.rs", "efuse", ".bin"),
    ("cli/tests/efuse_summary.rs", "efuse", ".json"),
    ("cli/tests/flash.rs", "flashenc", ".bin"),
];

#[test]
fn every_golden_file_is_read_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let sources: BTreeMap<PathBuf, BTreeSet<String>> = files(&root, &["target", ".git", "vectors"])
        .into_iter()
        .filter(|path| {
            path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("interop/tests/vectors.rs")
        })
        .map(|path| (path.clone(), words(&std::fs::read_to_string(&path).unwrap())))
        .collect();
    for (source, folder, _) in LISTED {
        let text = std::fs::read_to_string(root.join(source)).unwrap();
        assert!(text.contains("read_dir") && text.contains(folder), "{source} does not list {folder} any more");
    }
    let (mut named, mut unnamed, mut unread) = (0, BTreeSet::new(), Vec::new());
    for path in files(&root.join("vectors"), &[]) {
        let file = path.strip_prefix(root.join("vectors")).unwrap().to_str().unwrap().to_owned();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "README.md" {
            continue;
        }
        let folder = file.split('/').next().unwrap();
        let listed = LISTED.iter().any(|(_, listed, ending)| *listed == folder && name.ends_with(ending));
        if listed || sources.values().any(|words| names(words, folder, &file)) {
            named += 1;
        } else if let Some((start, _)) = UNNAMED.iter().find(|(start, _)| file.starts_with(start)) {
            unnamed.insert(*start);
        } else {
            unread.push(file);
        }
    }
    assert!(unread.is_empty(), "no test reads\n{}", unread.join("\n"));
    println!("{named} golden files are read; without a name in a source: {unnamed:?}");
    assert!(named > 300, "{named}");
}

/// Does a source with these words in its literals read the file?
fn names(words: &BTreeSet<String>, folder: &str, file: &str) -> bool {
    if words.iter().any(|word| word == file || word.ends_with(&format!("/{file}"))) {
        return true;
    }
    if !words.iter().any(|word| word.split('/').any(|part| part == folder)) {
        return false;
    }
    let name = file.rsplit('/').next().unwrap();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let lasts: BTreeSet<&str> = words.iter().map(|word| word.rsplit('/').next().unwrap()).collect();
    // A name with holes, `digest-{key}.bin`, and what fills them: another literal, or a number.
    let filled = |hole: &&str| {
        let digits = hole.trim_start_matches("0x");
        lasts.contains(hole) || (!digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    let template = |word: &&str| holes(word, name).is_some_and(|holes| holes.iter().all(&filled));
    lasts.contains(name) || lasts.contains(stem) || lasts.iter().any(template)
}

/// What stands in the holes of a template; `None` if it is none, or does not match.
fn holes<'n>(template: &str, name: &'n str) -> Option<Vec<&'n str>> {
    let mut pieces = template.split('{');
    let first = pieces.next()?;
    let mut rest = name.strip_prefix(first)?;
    let tails: Vec<&str> = pieces.map(|piece| Some(piece.split_once('}')?.1)).collect::<Option<_>>()?;
    if tails.is_empty() || (first.is_empty() && tails.iter().all(|tail| tail.trim_matches('.').is_empty())) {
        return None;
    }
    let mut holes = Vec::new();
    for (index, tail) in tails.iter().enumerate() {
        let end = if index + 1 == tails.len() { rest.len().checked_sub(tail.len())? } else { rest.find(tail)? };
        let (hole, after) = (rest.get(..end)?, rest.get(end..)?);
        rest = after.strip_prefix(tail)?;
        holes.push(hole);
    }
    (rest.is_empty() && holes.iter().all(|hole| !hole.is_empty())).then_some(holes)
}

/// The words in the string literals of a source.
fn words(source: &str) -> BTreeSet<String> {
    let (mut words, mut literal, mut inside, mut escaped) = (BTreeSet::new(), String::new(), false, false);
    for letter in source.chars() {
        match (inside, escaped, letter) {
            (_, true, _) => {
                escaped = false;
                literal.push(' ');
            }
            (true, _, '\\') => escaped = true,
            (true, _, '"') => {
                let split =
                    literal.split(|letter: char| letter.is_whitespace() || matches!(letter, ',' | ';' | '=' | '|'));
                words.extend(split.filter(|word| !word.is_empty()).map(str::to_owned));
                literal.clear();
                inside = false;
            }
            (false, _, '"') => inside = true,
            (true, ..) => literal.push(letter),
            _ => {}
        }
    }
    words
}

/// All files under a folder, without some folders.
fn files(folder: &Path, without: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            found.push(path);
        } else if !without.iter().any(|name| path.ends_with(name)) {
            found.extend(files(&path, without));
        }
    }
    found.sort();
    found
}

#[test]
fn a_file_that_no_test_names_would_be_found() {
    let source = r#"let a = golden("sbv2/digest-rsa.bin"); format!("keys/{name}.pem"); ["p256"]; format!("x-k{bits}-a{at:#x}.bin")"#;
    let words = words(source);
    for (folder, file, read) in [
        ("sbv2", "sbv2/digest-rsa.bin", true),
        ("sbv2", "sbv2/digest-rsa2.bin", false),
        ("keys", "keys/p256.pem", true),
        ("keys", "keys/p384.pem", false),
        ("keys", "keys/x-k256-a0x1000.bin", true),
        ("keys", "keys/x-k256-aother.bin", false),
        ("image", "image/p256.pem", false),
    ] {
        assert_eq!(names(&words, folder, file), read, "{file}");
    }
}
