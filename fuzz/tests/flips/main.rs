//! What becomes of every single flipped bit of one small file of each format: refused, and by what; or without effect,
//! and why. `cargo xtask flips` prints the table.
//!
//! A bit that changes the meaning and that no check of the format covers is counted too, by name; the test knows how many
//! there are. A verdict that nobody named fails it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics where it fails")]

mod certificates;
mod efuses;
mod images;
mod secure_cert;
mod storage;
mod tally;

use tally::Tally;

/// One line for each file.
#[test]
fn every_flipped_bit_is_refused_or_named() {
    let rows: Vec<fn() -> Vec<Tally>> = vec![
        images::unsigned,
        images::signed,
        images::blocks,
        images::mended_blocks,
        images::encrypted,
        storage::nvs_pages,
        storage::nvs_keys,
        storage::partition_table,
        storage::otadata,
        secure_cert::partitions,
        secure_cert::encrypted,
        secure_cert::legacy,
        efuses::token,
        efuses::files,
        certificates::debug,
        certificates::bundle,
    ];
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let running: Vec<_> = rows.into_iter().map(|row| scope.spawn(row)).collect();
        running.into_iter().flat_map(|row| row.join().unwrap()).collect()
    });
    println!("{}", Tally::HEAD);
    for tally in &tallies {
        println!("{tally}");
    }
    let (bits, refused, harmless, unseen) = tallies.iter().fold((0, 0, 0, 0), |sum, tally| {
        (sum.0 + tally.bits(), sum.1 + tally.refused(), sum.2 + tally.harmless(), sum.3 + tally.unseen())
    });
    println!("all: {bits} bits, {refused} refused, {harmless} without effect, {unseen} beyond the format's checks");
    assert_eq!(bits, refused + harmless + unseen);
    // A check that is lost, or gained, is seen here. Espressif's readers do not see these bits either.
    let uncovered: Vec<_> = tallies.iter().filter(|tally| tally.unseen() > 0).collect();
    let counts: Vec<_> = uncovered.iter().map(|tally| (tally.name(), tally.unseen())).collect();
    assert_eq!(
        counts,
        [
            ("NVS page, version 2", 10),
            ("otadata", 4),
            ("esp_secure_cert with integrity, CRCs mended", 5),
            ("esp_secure_cert, signed, CRCs mended", 5),
            ("esp_secure_cert, signed, CRCs and integrity mended", 5),
            ("cust_flash (legacy)", 19),
            ("certificate bundle", BUNDLE)
        ]
    );
}

/// Names and keys of the roots: the bundle has no checksum.
const BUNDLE: usize = 10_150;

/// A golden file.
fn vector(path: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors").join(path);
    std::fs::read(&path).unwrap_or_else(|error| unreachable!("{}: {error}", path.display()))
}
