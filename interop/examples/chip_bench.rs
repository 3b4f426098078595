//! What the virtual chip and a rehearsal cost, for `cargo xtask bench chip`: numbers as JSON.
//!
//! `chip_bench boot`: boots of a signed and encrypted application of 1.5 MB, beside SHA-256 and AES-XTS over the same
//! bytes. `chip_bench rehearse COUNT`: so many rehearsals of the ready production policy, all cores at once, with a small
//! application. `chip_bench rehearse-large`: one, with the application of 1.5 MB. `chip_bench image FILE`: that
//! application, unsigned, into a file.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a bench panics where it fails")]

use cotter_chip::board::VirtualChip;
use cotter_chip::report::BootReport;
use cotter_factory::burn::burn;
use cotter_factory::journal::Journal;
use cotter_factory::policy::{Birth, ProductPolicy};
use cotter_factory::private_key::PrivateKey;
use cotter_factory::rehearse::{Depth, rehearse_with};
use cotter_formats::addr::FlashAddr;
use cotter_formats::chip::Chip;
use cotter_formats::flash_encryption::xts::{self, XtsKey};
use cotter_formats::secret::Secret;
use cotter_formats::secure_boot::v2::{ContentDigests, append_block};
use cotter_interop::Generator;
use sha2::{Digest, Sha256};
use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors");
const POLICY: &str = include_str!("../../docs/policies/production.toml");
const PARTITIONS: &str = "nvs,data,nvs,0x9000,0x6000\notadata,data,ota,0xf000,0x2000\n\
    ota_0,app,ota_0,0x20000,1600K\nota_1,app,ota_1,,1600K\n";
const LARGE: usize = 3 << 19;
const BOOTS: usize = 201;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["boot"] => boot(),
        ["rehearse", count] => rehearse(count.parse().unwrap()),
        ["rehearse-large"] => rehearse_large(),
        ["image", file] => std::fs::write(file, application(LARGE)).unwrap(),
        _ => panic!("boot, rehearse COUNT, rehearse-large, or image FILE"),
    }
}

fn boot() {
    let folder = product(&application(LARGE));
    let rehearsed = rehearse_with(birth(folder.path()), Depth::Quick, &mut |_| ()).unwrap();
    let chip = VirtualChip::new(Chip::Esp32C3, [2, 0, 0, 0, 0, 1]).unwrap();
    let mut session = chip.power_on_in_download_mode().unwrap();
    let mut journal = Journal::open(&folder.path().join("journal.jsonl")).unwrap();
    burn(&rehearsed, "bench", &mut session, &mut journal).unwrap();
    let report: BootReport = chip.power_on();
    let bytes = report.booted().unwrap().len.0 as usize;
    assert!(report.booted().unwrap().is_verified && bytes > LARGE);

    let key = XtsKey::Aes128(Secret::filled_by(|key| key.fill(7)));
    let mut data = vec![0x5a; bytes.next_multiple_of(16)];
    let (mut boots, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..BOOTS {
        boots.push(timed(|| assert!(black_box(chip.power_on()).booted().is_some())));
        floors.push(timed(|| {
            xts::decrypt(&key, FlashAddr(0x2_0000), black_box(&mut data)).unwrap();
            black_box(Sha256::digest(&data));
        }));
    }
    let (boot, floor) = (median(&mut boots), median(&mut floors));
    println!("{}", serde_json::json!({ "bytes": bytes, "boot_ms": boot, "floor_ms": floor, "ratio": boot / floor }));
}

fn rehearse(count: usize) {
    let small = std::fs::read(format!("{VECTORS}/image/esp32c3.bin")).unwrap();
    let folder = product(&small);
    let next = AtomicUsize::new(0);
    let operations = AtomicUsize::new(0);
    let begun = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    let rehearsed = rehearse_with(birth(folder.path()), Depth::Full, &mut |_| ()).unwrap();
                    operations.store(rehearsed.verdict().cuts.operations, Ordering::Relaxed);
                }
            });
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::json!({ "count": count, "cores": cores, "seconds": seconds, "application": small.len(),
            "operations": operations.into_inner() })
    );
}

fn rehearse_large() {
    let folder = product(&application(LARGE));
    let birth = birth(folder.path());
    let begun = Instant::now();
    let rehearsed = rehearse_with(birth, Depth::Full, &mut |_| ()).unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    let cuts = &rehearsed.verdict().cuts;
    println!(
        "{}",
        serde_json::json!({ "seconds": seconds, "operations": cuts.operations, "births": cuts.burns + cuts.writes })
    );
}

/// The ready production policy with its files.
fn product(application: &[u8]) -> tempfile::TempDir {
    let folder = cotter_interop::temp_dir();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let vector = |name: &str| std::fs::read(format!("{VECTORS}/{name}")).unwrap();
    let key = PrivateKey::from_pem(&vector("keys/rsa3072_a.pem"), None).unwrap();
    let mut padded = application.to_vec();
    padded.resize(padded.len().next_multiple_of(0x1000), 0xff);
    put("app-signed.bin", &append_block(&padded, &key.sign_block(&ContentDigests::of(&padded)).unwrap()));
    put("bootloader-signed.bin", &vector("sbv2/signed-rsa3072_a.bin"));
    put("secure-boot.pub.pem", &vector("sbv2/pub-rsa3072_a.pem"));
    put("partitions.csv", PARTITIONS.as_bytes());
    folder
}

fn birth(folder: &Path) -> Birth {
    ProductPolicy::from_toml(POLICY).unwrap().birth(folder).unwrap()
}

/// An application of the ESP32-C3 in one segment, of random bytes behind its descriptor.
fn application(len: usize) -> Vec<u8> {
    let golden = std::fs::read(format!("{VECTORS}/image/esp32c3.bin")).unwrap();
    let (header, descriptor) = (&golden[..24], &golden[0x20..0x120]);
    let mut segment = descriptor.to_vec();
    segment.extend(Generator::from_seed(1).bytes(len - descriptor.len()));
    let mut image = header.to_vec();
    image[1] = 1;
    image.extend_from_slice(&golden[24..28]);
    image.extend_from_slice(&u32::try_from(segment.len()).unwrap().to_le_bytes());
    image.extend_from_slice(&segment);
    image.resize(image.len() | 15, 0);
    image.push(segment.iter().fold(0xef, |sum, byte| sum ^ byte));
    let digest = Sha256::digest(&image);
    image.extend_from_slice(&digest);
    image
}

fn timed(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64() * 1e3
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
