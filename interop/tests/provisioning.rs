//! A production configuration on every virtual chip, burned by espefuse and written by esptool 5.6.0 over a socket and
//! over a pseudo-terminal: what the owner signed boots, everything else is refused with its reason, and espefuse's own
//! virtual chip ends with the same eFuses.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test panics where it fails")]

mod batch;
mod bench;
mod product;

use bench::{Bench, MAC, blocks};
use cotter_chip::board::VirtualChip;
use cotter_chip::report::{AppSlot, BootReport, RefusalCode};
use cotter_formats::addr::FlashAddr;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::ChipRevision;
use cotter_interop::temp_dir;
use product::{Attack, Piece, Place, Product, Scheme};

macro_rules! chips {
    ($($name:ident: $board:expr;)*) => {$(
        #[test]
        fn $name() {
            in_production(&$board.unwrap());
        }
    )*};
}

chips! {
    esp32_v1_in_production_boots_only_its_owners_images:
        VirtualChip::of_revision(Chip::Esp32, ChipRevision(100), MAC);
    esp32_v3_in_production_boots_only_its_owners_images: VirtualChip::new(Chip::Esp32, MAC);
    esp32s2_in_production_boots_only_its_owners_images: VirtualChip::new(Chip::Esp32S2, MAC);
    esp32s3_in_production_boots_only_its_owners_images: VirtualChip::new(Chip::Esp32S3, MAC);
    esp32c2_in_production_boots_only_its_owners_images: VirtualChip::new(Chip::Esp32C2, MAC);
    esp32c3_in_production_boots_only_its_owners_images: VirtualChip::new(Chip::Esp32C3, MAC);
    esp32c5_in_production_boots_only_its_owners_images: VirtualChip::new(Chip::Esp32C5, MAC);
    esp32c6_in_production_boots_only_its_owners_images: VirtualChip::new(Chip::Esp32C6, MAC);
    esp32c61_in_production_boots_only_its_owners_images: VirtualChip::new(Chip::Esp32C61, MAC);
    esp32h2_in_production_boots_only_its_owners_images: VirtualChip::new(Chip::Esp32H2, MAC);
    esp32p4_in_production_boots_only_its_owners_images: VirtualChip::new(Chip::Esp32P4, MAC);
}

/// How a tool gets at the chip, and how the images get encrypted.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// A socket; espsecure encrypts before esptool writes.
    Socket,
    /// A pseudo-terminal; the chip encrypts what esptool writes.
    Terminal,
}

fn in_production(fresh: &VirtualChip) {
    let directory = temp_dir();
    let product = Product::new(fresh, directory.path());
    let (pieces, second_stage) = (product.pieces(), product.second_stage());
    let attacks = product.attacks(&pieces);
    let expected = blocks(&product.virtual_burns(&[product.key_burns(), product.lock_burns()]));
    // The tools wait more than they work.
    std::thread::scope(|scope| {
        for way in [Way::Socket, Way::Terminal] {
            let board = fresh.duplicate().unwrap().with_second_stage(second_stage.clone()).unwrap();
            let bench = match way {
                Way::Socket => Bench::on_a_socket(&board),
                Way::Terminal => Bench::on_a_terminal(&board, &directory.path().join("ttyChip")),
            };
            let line = Line { bench, way, product: &product, pieces: &pieces };
            let (attacks, expected) = (&attacks, &expected);
            scope.spawn(move || line.produce(attacks, expected));
        }
    });
    println!("{}: {} attacks, twice", fresh.chip(), attacks.len());
}

/// One chip on a line, and what is made of it.
struct Line<'a> {
    bench: Bench,
    way: Way,
    product: &'a Product,
    pieces: &'a [Piece; 3],
}

impl Line<'_> {
    fn produce(&self, attacks: &[Attack], expected: &[Vec<u8>]) {
        let (bench, board) = (&self.bench, &self.bench.board);
        bench.espefuse(&self.product.key_burns()).accepted();
        self.write();
        for piece in self.pieces {
            let found = bench.flash(piece.at as usize, piece.content.len());
            assert!(found == piece.content, "{} {:?}", self.name(), piece.place);
        }
        bench.espefuse(&self.product.lock_burns()).accepted();
        assert_eq!(blocks(&board.efuses().image().unwrap()), expected, "{}", self.name());
        self.expect_owners();
        for attack in attacks {
            let victim = board.duplicate().unwrap();
            victim.raw_flash().overwrite_externally(FlashAddr(self.product.at(attack.place)), &attack.bytes).unwrap();
            self.expect_refusal(&victim.power_on(), attack);
        }
        self.attack_over_the_line(&attacks[0]);
        if matches!(self.way, Way::Socket) && board.chip() != Chip::Esp32 {
            self.expect_secure_download_mode();
        }
    }

    fn write(&self) {
        let files = |file: fn(&Piece) -> &str| {
            let words: Vec<_> = self.pieces.iter().map(|piece| format!("{:#x} {}", piece.at, file(piece))).collect();
            words.join(" ")
        };
        let command = match self.way {
            Way::Socket => format!("write-flash {}", files(|piece| &piece.cipher_file)),
            Way::Terminal => format!("write-flash --encrypt {}", files(|piece| &piece.plain_file)),
        };
        self.bench.esptool(&command).accepted();
    }

    /// The serial line still writes flash, and that is of no use without the owner's keys.
    fn attack_over_the_line(&self, attack: &Attack) {
        let boot = &self.pieces[0];
        let file = self.product.put(&format!("{:?}.attack", self.way), &attack.bytes);
        let write = |file: &str| {
            let command = format!("--no-stub write-flash --force --flash-size 4MB {:#x} {file}", boot.at);
            self.bench.esptool(&command).accepted()
        };
        write(&file);
        self.expect_refusal(&self.bench.board.power_on(), attack);
        write(&boot.cipher_file);
        self.expect_owners();
    }

    fn expect_secure_download_mode(&self) {
        let directory = temp_dir();
        let read = format!("--no-stub read-flash 0 64 {}", directory.path().join("read.bin").display());
        let encrypt = format!("--no-stub write-flash --encrypt 0x10000 {}", self.pieces[2].plain_file);
        for (command, reason) in [
            ("flash-id", "not available in Secure Download Mode"),
            (&read, "not available in Secure Download Mode"),
            ("--no-stub dump-mem 0x40001000 64 unread.bin", "not available in Secure Download Mode"),
            (&encrypt, "Failed to enter flash download mode (result was 0106"),
        ] {
            let refused = self.bench.esptool(command).refused();
            assert!(refused.contains(reason), "{} {command}: {refused}", self.name());
        }
        let refused = self.bench.espefuse("summary").refused();
        assert!(refused.contains("Secure Download Mode"), "{}: {refused}", self.name());
        let info = self.bench.esptool("--no-stub get-security-info").accepted();
        for told in ["Secure Boot: Enabled", "Flash Encryption: Enabled"] {
            assert!(info.contains(told), "{}: {info}", self.name());
        }
    }

    fn expect_owners(&self) {
        let report = self.bench.board.power_on();
        let booted = report.booted().unwrap_or_else(|| panic!("{}: {report:#?}", self.name()));
        let found = (booted.project_name.as_str(), booted.version.as_str(), booted.slot);
        assert_eq!(found, ("product", "2.0.1", AppSlot::Factory));
        // The ROM says nothing of a Secure Boot V1 that succeeds.
        let is_v1 = self.product.scheme == Scheme::V1;
        let told = report.lines.iter().any(|line| line == "secure boot verification succeeded");
        assert!(booted.is_verified && (is_v1 || told), "{report:#?}");
    }

    fn expect_refusal(&self, report: &BootReport, attack: &Attack) {
        let name = format!("{}: {:?} {}", self.name(), attack.place, attack.name);
        let found = match attack.place {
            Place::App => {
                assert_eq!(report.refusal(), Some(RefusalCode::NoBootableApp), "{name}");
                report.slot_refusal(AppSlot::Factory)
            }
            Place::Boot | Place::Table => report.refusal(),
        };
        let told = report.lines.iter().any(|line| line.contains(attack.line));
        let is_expected = found == Some(attack.code) && told;
        assert!(is_expected || attack.is_noise && found.is_some(), "{name}: {report:#?}");
    }

    fn name(&self) -> String {
        format!("{} {:?}", self.bench.board.chip(), self.way)
    }
}
