//! Every seed of every target: as it is, cut at every length, and with every single bit flipped.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::path::Path;

use cotter_fuzz::{BODIES, Body};

/// Per seed: a small seed is tried exhaustively, a larger one at evenly spaced places.
const MOST_CUTS: usize = 2_000;
const MOST_FLIPS: usize = 10_000;

/// One thread per body; the first input that breaks one is written out, ready to become a seed.
#[test]
fn corpus_never_panics() {
    std::thread::scope(|scope| {
        for &(name, body) in BODIES {
            scope.spawn(move || {
                let tried = replay(name, body);
                println!("{name}: {tried} inputs");
            });
        }
    });
}

#[test]
fn every_body_has_seeds_and_every_seed_a_body() {
    let folders = entries(&corpus()).into_iter().filter(|path| path.is_dir());
    let mut found: Vec<String> = folders.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    found.sort();
    let mut bodies: Vec<&str> = BODIES.iter().map(|(name, _)| *name).collect();
    bodies.sort_unstable();
    assert_eq!(found, bodies);
    for folder in found {
        assert!(!entries(&corpus().join(&folder)).is_empty(), "no seed in fuzz/corpus/{folder}");
    }
}

#[test]
fn every_body_has_a_libfuzzer_target() {
    let mut targets: Vec<String> = entries(&corpus().join("../targets/src"))
        .into_iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    targets.sort();
    let mut bodies: Vec<&str> = BODIES.iter().map(|(name, _)| *name).collect();
    bodies.sort_unstable();
    assert_eq!(targets, bodies);
}

fn replay(name: &str, body: Body) -> usize {
    let mut tried = 0;
    let mut feed = |what: &str, input: &[u8]| {
        tried += 1;
        let witness = Witness { name, what, input };
        body(input);
        std::mem::forget(witness);
    };
    feed("nothing", &[]);
    for path in entries(&corpus().join(name)) {
        let seed = std::fs::read(&path).unwrap();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        feed(&file, &seed);
        for cut in (0..seed.len()).step_by(seed.len().div_ceil(MOST_CUTS).max(1)) {
            feed(&file, &seed[..cut]);
        }
        let mut flipped = seed.clone();
        let bits = seed.len() * 8;
        for bit in (0..bits).step_by(bits.div_ceil(MOST_FLIPS).max(1)) {
            flipped[bit / 8] ^= 1 << (bit % 8);
            feed(&file, &flipped);
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
    }
    tried
}

/// Dropped only when the body panicked: keeps the input.
struct Witness<'a> {
    name: &'a str,
    what: &'a str,
    input: &'a [u8],
}

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("breaks-{}", self.name));
        println!("{} broke on a variant of {}, kept as {}", self.name, self.what, path.display());
        std::fs::write(path, self.input).unwrap();
    }
}

fn corpus() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn entries(folder: &Path) -> Vec<std::path::PathBuf> {
    let listed = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = listed.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
