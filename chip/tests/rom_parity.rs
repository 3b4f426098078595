//! What the ROMs do with good and bad boot images and eFuses, row by row; the rows are data, see `vectors/rom`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

use cotter_chip::board::VirtualChip;
use cotter_chip::efuse::session::{KeyOptions, KeyToBurn, Session};
use cotter_chip::report::{BootReport, Stage};
use cotter_formats::addr::FlashAddr;
use cotter_formats::chip::Chip;
use cotter_formats::crc::crc_b;
use cotter_formats::efuse::ChipRevision;
use cotter_formats::flash_encryption::key::{FlashKey, KeyHolder};
use cotter_formats::secure_boot::v2::BLOCK_LEN;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    chip: String,
    revision: Option<u16>,
    case: String,
    /// Which ROM was seen to do so, if one was.
    observed: Option<String>,
    flash: Vec<Piece>,
    /// Commands of espefuse, in order, each burned by itself.
    efuse: Vec<String>,
    /// `jumps`, or the refusal.
    verdict: String,
    /// Printed one after the other; the last of them ends the output of a ROM that refuses.
    lines: Vec<String>,
    /// eFuses after the boot.
    #[serde(default)]
    burned: BTreeMap<String, u32>,
}

/// A file as it is put into flash: bytes are changed, the CRC of a signature block is mended, then all is encrypted.
/// Changes of an encrypted piece are made to the ciphertext.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Piece {
    at: u32,
    file: String,
    #[serde(default)]
    change: Vec<Change>,
    mend_crc_of_block_at: Option<usize>,
    encrypt: Option<Encrypt>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    at: usize,
    xor: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Encrypt {
    key: String,
    address: u32,
}

fn vector(name: &str) -> Vec<u8> {
    std::fs::read(format!("{VECTORS}{name}")).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn cases() -> Vec<Case> {
    serde_json::from_slice(&vector("rom/cases.json")).unwrap()
}

impl Case {
    fn name(&self) -> String {
        format!("{}: {}", self.chip, self.case)
    }

    fn boot(&self) -> (VirtualChip, BootReport) {
        let chip = Chip::from_name(&self.chip).unwrap();
        let mac = [0x02, 0, 0, 0, 0, 1];
        let board = match self.revision {
            None => VirtualChip::new(chip, mac),
            Some(revision) => VirtualChip::of_revision(chip, ChipRevision(revision), mac),
        }
        .unwrap();
        for command in &self.efuse {
            espefuse(&board, command).unwrap_or_else(|error| panic!("{}: {command}: {error}", self.name()));
        }
        for piece in &self.flash {
            board.raw_flash().overwrite_externally(FlashAddr(piece.at), &piece.bytes(chip)).unwrap();
        }
        let report = board.power_on();
        (board, report)
    }
}

impl Piece {
    fn bytes(&self, chip: Chip) -> Vec<u8> {
        let mut bytes = vector(&self.file);
        let change = |bytes: &mut Vec<u8>| self.change.iter().for_each(|change| bytes[change.at] ^= change.xor);
        if self.encrypt.is_none() {
            change(&mut bytes);
        }
        if let Some(at) = self.mend_crc_of_block_at {
            let block = &mut bytes[at..at + BLOCK_LEN];
            let crc = crc_b(&block[..1196]);
            block[1196..1200].copy_from_slice(&crc.to_le_bytes());
        }
        if let Some(Encrypt { key, address }) = &self.encrypt {
            bytes.resize(bytes.len().next_multiple_of(16), 0xff);
            let key = FlashKey::for_chip(chip, KeyHolder::Efuse, None, &vector(key)).unwrap();
            key.encrypt(FlashAddr(*address), &mut bytes).unwrap();
            change(&mut bytes);
        }
        bytes
    }
}

/// One command line of espefuse.
fn espefuse(board: &VirtualChip, line: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut session = Session::new(board.efuses().image()?);
    let mut words: Vec<&str> = line.split_whitespace().collect();
    let command = words.remove(0);
    let open = words.first() == Some(&"--no-protect-key");
    let options = KeyOptions { keep_readable: open, keep_writable: open };
    if open {
        words.remove(0);
    }
    let key = |words: &[&str]| KeyToBurn {
        block: words[0].to_owned(),
        data: Zeroizing::new(vector(words[1])),
        purpose: words.get(2).map(|purpose| (*purpose).to_owned()),
    };
    let group = if board.chip() == Chip::Esp32 { 2 } else { 3 };
    match command {
        "burn-key" => session.burn_keys(&words.chunks(group).map(key).collect::<Vec<_>>(), options)?,
        "burn-key-digest" => session.burn_digest(None, &vector(words[0]).try_into().unwrap(), None, options)?,
        "burn-efuse" => session.burn_efuse(words[0], words.get(1).copied())?,
        other => panic!("{other}"),
    }
    Ok(session.burn_on(board.efuses())?)
}

#[test]
fn every_row_has_the_verdict_and_the_lines_of_the_rom() {
    for case in cases() {
        let name = case.name();
        let (board, report) = case.boot();
        let jumped = report.steps.iter().any(|step| step.stage == Stage::Rom && step.what == "jump");
        let verdict = if jumped { "jumps" } else { report.refusal().unwrap().as_str() };
        assert_eq!(verdict, case.verdict, "{name}: {:#?}", report.lines);
        let expected = &case.lines[..];
        match jumped || expected.is_empty() {
            true => {
                let found = expected.is_empty() || report.lines.windows(expected.len()).any(|lines| lines == expected);
                assert!(found, "{name}: {expected:#?} in {:#?}", report.lines);
            }
            false => {
                let tail = report.lines.len().saturating_sub(expected.len());
                assert_eq!(&report.lines[tail..], expected, "{name}");
            }
        }
        let image = board.efuses().image().unwrap();
        for (field, value) in case.burned {
            assert_eq!(image.value_named(&field), Some(value), "{name}: {field}");
        }
    }
}

#[test]
fn the_rows_are_those_that_were_observed_and_no_row_is_there_twice() {
    let cases = cases();
    let names: BTreeSet<String> = cases.iter().map(Case::name).collect();
    assert_eq!(names.len(), cases.len());
    let observed = |chip: &str| cases.iter().filter(|case| case.chip == chip && case.observed.is_some()).count();
    assert_eq!([observed("esp32c3"), observed("esp32")], [34, 12]);
    let chips: BTreeSet<&str> = cases.iter().map(|case| case.chip.as_str()).collect();
    assert_eq!(chips.len(), 10, "{chips:?}");
}
