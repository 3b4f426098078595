//! Unmodified espflash on virtual chips, over a pseudo-terminal. It knows no sockets.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test panics where it fails")]

mod bench;

use bench::{Bench, boards};
use cotter_chip::report::{AppSlot, RefusalCode};
use cotter_formats::chip::Chip;
use cotter_interop::{Generator, ToolRun, temp_dir, tools};
use std::path::Path;

const IMAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/image/");

/// The lines of a pseudo-terminal are for data only: no resets.
const NO_RESETS: [&str; 5] = ["--non-interactive", "--before", "no-reset", "--after", "no-reset-no-stub"];

fn espflash(bench: &Bench, verb: &str, arguments: &[&str]) -> ToolRun {
    let words = [&[verb], &NO_RESETS[..], arguments].concat();
    tools().espflash(Path::new(&bench.port), words)
}

#[test]
fn espflash_works_on_every_chip() {
    let directory = temp_dir();
    let mut random = Generator::seeded();
    let file = |name: &str| directory.path().join(name).display().to_string();
    for board in boards() {
        let chip = board.chip();
        let bench = Bench::on_a_terminal(&board, &directory.path().join("ttyChip"));
        let told = espflash(&bench, "board-info", &[]).accepted();
        for what in [format!("Chip type:         {chip} "), "Flash size:        4MB".into(), "58:cf:79:aa:bb:cc".into()]
        {
            assert!(told.contains(&what), "{chip}: {told}");
        }

        // Its own second stage and partition table, and an application: they boot here.
        espflash(&bench, "flash", &[&format!("{IMAGES}{chip}.elf")]).accepted();
        let report = board.power_on();
        let booted = report.booted().unwrap_or_else(|| panic!("{chip}: {report:#?}"));
        assert_eq!((booted.slot, booted.is_verified), (AppSlot::Factory, false), "{chip}");

        let noise = random.bytes(0x5123);
        std::fs::write(file("noise"), &noise).unwrap();
        espflash(&bench, "write-bin", &["0x200000", &file("noise")]).accepted();
        assert!(bench.flash(0x20_0000, noise.len()) == noise, "{chip}");
        espflash(&bench, "read-flash", &["0x200000", "0x5123", &file("read")]).accepted();
        assert!(std::fs::read(file("read")).unwrap() == noise, "{chip}");
        espflash(&bench, "read-flash", &["--no-stub", "0x200000", "64", &file("read")]).accepted();
        assert!(std::fs::read(file("read")).unwrap() == noise[..64], "{chip}");
        let told = espflash(&bench, "checksum-md5", &["0x200000", "0x1000"]).accepted();
        let digest: String = md5(&noise[..0x1000]);
        assert!(told.contains(&digest), "{chip}: {digest}: {told}");

        espflash(&bench, "erase-region", &["0x201000", "0x1000"]).accepted();
        assert!(bench.flash(0x20_0000, 0x1000) == noise[..0x1000] && bench.flash(0x20_1000, 0x1000) == [0xff; 0x1000]);
        espflash(&bench, "write-bin", &["--no-stub", "0x300000", &file("noise")]).accepted();
        assert!(bench.flash(0x30_0000, noise.len()) == noise, "{chip}");
        espflash(&bench, "erase-flash", &[]).accepted();
        assert!(bench.flash(0, 4 << 20).iter().all(|byte| *byte == 0xff), "{chip}");
        assert_eq!(board.power_on().refusal(), Some(RefusalCode::InvalidHeader));
    }
}

#[test]
fn espflash_cannot_reset_a_chip_on_a_pseudo_terminal() {
    let directory = temp_dir();
    let board = cotter_chip::board::VirtualChip::new(Chip::Esp32C6, bench::MAC).unwrap();
    let bench = Bench::on_a_terminal(&board, &directory.path().join("ttyChip"));
    let refused = tools().espflash(Path::new(&bench.port), ["board-info", "--non-interactive"]).refused();
    assert!(refused.contains("Failed to connect to the device"), "{refused}");
}

fn md5(bytes: &[u8]) -> String {
    let directory = temp_dir();
    let file = directory.path().join("bytes");
    std::fs::write(&file, bytes).unwrap();
    let told = tools().openssl(["md5", "-r", &file.display().to_string()]).accepted();
    told.split(' ').next().unwrap().to_owned()
}
