//! Unmodified esptool and espefuse 5.6.0 on virtual chips, over a socket and over a pseudo-terminal.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod bench;

use bench::{Bench, MAC, blocks, boards};
use cotter_chip::board::VirtualChip;
use cotter_formats::addr::FlashAddr;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{ChipRevision, EfuseImage, Family};
use cotter_formats::flash_encryption::esp32::CryptConfig;
use cotter_formats::flash_encryption::key::{FlashKey, KeyHolder};
use cotter_interop::{Generator, temp_dir, tools};
use std::path::Path;

/// Two files: one that compresses and one that does not.
fn contents(random: &mut Generator, directory: &Path) -> (Vec<u8>, String, Vec<u8>, String) {
    let repeated = b"what compresses well ".repeat(1000);
    let noise = random.bytes(0x4100);
    let write = |name: &str, content: &[u8]| {
        let path = directory.join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let names = (write("repeated.bin", &repeated), write("noise.bin", &noise));
    (repeated, names.0, noise, names.1)
}

#[test]
fn esptool_works_on_every_chip() {
    let directory = temp_dir();
    let (repeated, repeated_file, noise, noise_file) = contents(&mut Generator::seeded(), directory.path());
    let read = directory.path().join("read.bin").display().to_string();
    for board in boards() {
        let chip = board.chip();
        let bench = Bench::on_a_socket(&board);
        // With the stub: deflated, and raw because it would not get shorter; both are verified by the tool.
        let done = bench.esptool(&format!("write-flash 0x10000 {repeated_file} 0x20000 {noise_file}")).accepted();
        assert_eq!(done.matches("Hash of data verified.").count(), 2, "{chip}: {done}");
        assert!(done.contains("Stub flasher running."), "{chip}: {done}");
        assert!(done.contains("58:cf:79:aa:bb:cc"), "{chip}: {done}");
        assert!(bench.flash(0x10000, repeated.len()) == repeated && bench.flash(0x20000, noise.len()) == noise);
        bench.esptool(&format!("read-flash 0x20000 0x1800 {read}")).accepted();
        assert!(std::fs::read(&read).unwrap() == noise[..0x1800], "{chip}");
        bench.esptool("erase-region 0x21000 0x1000").accepted();
        assert!(bench.flash(0x20000, 0x1000) == noise[..0x1000] && bench.flash(0x21000, 0x1000) == [0xff; 0x1000]);
        // With the ROM alone.
        let done = bench.esptool(&format!("--no-stub write-flash 0x30000 {noise_file}")).accepted();
        assert_eq!(done.matches("Hash of data verified.").count(), 1, "{chip}: {done}");
        assert!(bench.flash(0x30000, noise.len()) == noise, "{chip}");
        bench.esptool(&format!("--no-stub read-flash 0x30010 100 {read}")).accepted();
        assert_eq!(std::fs::read(&read).unwrap(), noise[0x10..0x10 + 100], "{chip}");
    }
}

#[test]
fn esptool_identifies_every_chip() {
    for board in boards() {
        let chip = board.chip();
        let told = board.efuses().image().unwrap().revision();
        // The file of a v1 does not tell that it is one, see `EfuseImage::revision`; the chip does.
        let revision = if told == ChipRevision(0) { ChipRevision(100) } else { told };
        let bench = Bench::on_a_socket(&board);
        let done = bench.esptool("--no-stub flash-id").accepted();
        assert!(done.contains("Detected flash size: 4MB"), "{chip}: {done}");
        assert!(done.contains(&format!("(revision {revision})")), "{chip} {revision}: {done}");
        if chip == Chip::Esp32 {
            continue;
        }
        let done = bench.esptool("--no-stub get-security-info").accepted();
        let id = format!("Chip ID: {}", chip.image_chip_id());
        assert!(done.contains(&id) || chip == Chip::Esp32S2, "{chip}: {done}");
        assert!(done.contains("Flash Encryption: Disabled"), "{chip}: {done}");
    }
}

/// Command lines of espefuse that burn keys with their protection, settings and bits, and protect more, as far as a chip
/// has them. `first.key` is the flash encryption key. (espefuse 5.6.0 takes a protection only at the end of a line.)
fn burns(image: &EfuseImage, directory: &Path, random: &mut Generator) -> Vec<String> {
    let key = |name: &str, content: &[u8]| {
        let path = directory.join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let first = key("first.key", &random.array::<32>());
    let second = key("second.key", &random.array::<32>());
    let mut lines = match image.map().family {
        Family::Esp32 => vec![
            format!(
                "burn-key flash_encryption {first} secure_boot_v1 {second} burn-bit BLOCK3 3 77 255 \
                 burn-efuse FLASH_CRYPT_CONFIG 0xf JTAG_DISABLE 1 FLASH_CRYPT_CNT 1 write-protect-efuse JTAG_DISABLE"
            ),
            "read-protect-efuse BLOCK3".to_owned(),
        ],
        Family::Esp32C2 => vec![format!(
            "burn-key BLOCK_KEY0 {first} XTS_AES_128_KEY burn-bit BLOCK1 3 77 \
             burn-efuse DIS_PAD_JTAG 1 SPI_BOOT_CRYPT_CNT 1 write-protect-efuse SPI_BOOT_CRYPT_CNT"
        )],
        Family::Many => vec![format!(
            "burn-key BLOCK_KEY0 {first} XTS_AES_128_KEY BLOCK_KEY1 {second} SECURE_BOOT_DIGEST0 \
             burn-bit BLOCK3 3 77 255 burn-efuse SPI_BOOT_CRYPT_CNT 1 DIS_PAD_JTAG 1 SECURE_BOOT_AGGRESSIVE_REVOKE 1 \
             write-protect-efuse SPI_BOOT_CRYPT_CNT"
        )],
    };
    if image.map().chip == Chip::Esp32C3 {
        lines.push(format!("burn-key BLOCK_KEY3 {second} HMAC_UP --no-read-protect"));
        lines.push("read-protect-efuse BLOCK_KEY3".to_owned());
    }
    if let Some(line) = lines.first_mut()
        && image.map().field("DIS_PAD_JTAG").is_none()
    {
        *line = line.replace(" DIS_PAD_JTAG 1", "");
    }
    lines
}

#[test]
fn espefuse_burns_the_same_on_every_chip_as_on_its_own() {
    let directory = temp_dir();
    let mut random = Generator::seeded();
    for board in boards() {
        let chip = board.chip();
        let before = board.efuses().image().unwrap();
        let file = directory.path().join("virtual.bin");
        std::fs::write(&file, &*before.to_virtual_file()).unwrap();
        let commands = burns(&before, directory.path(), &mut random);
        let file_name = file.display().to_string();
        let bench = Bench::on_a_socket(&board);
        for line in &commands {
            let virtually =
                ["--chip", chip.name(), "--virt", "--do-not-confirm", "--path-efuse-file", &file_name].into_iter();
            tools().espefuse(virtually.chain(line.split(' '))).accepted();
            let done = bench.espefuse(line).accepted();
            assert!(done.contains("Successful."), "{chip}: {done}");
        }
        let found = bench.espefuse("check-error").accepted();
        assert!(found.contains("No errors detected."), "{chip}: {found}");
        let expected = EfuseImage::from_virtual_file(chip, &std::fs::read(&file).unwrap()).unwrap();
        let burned = board.efuses().image().unwrap();
        assert_ne!(blocks(&burned), blocks(&before));
        assert_eq!(blocks(&burned), blocks(&expected), "{chip}: {commands:?}");
        // The chip has what its registers do not show: what esptool encrypts, the key opens.
        let image = random.bytes(0x1000);
        let plain = directory.path().join("plain.bin");
        std::fs::write(&plain, &image).unwrap();
        let done = bench.esptool(&format!("write-flash --encrypt 0x40000 {}", plain.display())).accepted();
        assert!(done.contains("Wrote 4096 bytes"), "{chip}: {done}");
        let mut stored = bench.flash(0x40000, image.len());
        let key = std::fs::read(directory.path().join("first.key")).unwrap();
        let config = (chip == Chip::Esp32).then(|| CryptConfig::new(0xf).unwrap());
        let key = FlashKey::for_chip(chip, KeyHolder::Efuse, config, &key).unwrap();
        key.decrypt(FlashAddr(0x40000), &mut stored).unwrap();
        assert!(stored == image, "{chip}");
    }
}

#[test]
fn espefuse_refuses_and_finds_on_the_line_what_it_does_on_its_own_chip() {
    let directory = temp_dir();
    let board = VirtualChip::new(Chip::Esp32C3, MAC).unwrap();
    let bench = Bench::on_a_socket(&board);
    let pem = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/keys/rsa3072_a.pem");
    bench.espefuse(&format!("burn-key-digest BLOCK_KEY2 {pem} SECURE_BOOT_DIGEST0")).accepted();
    let summary = bench.espefuse("summary").accepted();
    assert!(summary.contains("SECURE_BOOT_DIGEST0"), "{summary}");
    let digest = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/efuse/digest-rsa3072_a.bin")).unwrap();
    let image = board.efuses().image().unwrap();
    assert_eq!(image.block(image.map().key_block(2).unwrap()).unwrap(), digest);

    let key = directory.path().join("key.bin");
    std::fs::write(&key, [7; 32]).unwrap();
    let refused = bench.espefuse(&format!("burn-key BLOCK_KEY2 {} USER", key.display())).refused();
    assert!(refused.contains("BLOCK_KEY2"), "{refused}");
    // A torn burn, which the check bytes tell.
    let damaged = image.map().key_block(4).unwrap();
    board.efuses().program_word(damaged, &[1]).unwrap();
    let found = bench.espefuse("check-error").refused();
    assert!(found.contains("Error(s) in BLOCK8 [ERRORS:7 FAIL:True]"), "{found}");
}

#[test]
fn secure_download_mode_refuses_what_the_rom_refuses() {
    let directory = temp_dir();
    let (repeated, repeated_file, ..) = contents(&mut Generator::seeded(), directory.path());
    for chip in [Chip::Esp32C3, Chip::Esp32S2, Chip::Esp32H2] {
        let board = VirtualChip::new(chip, MAC).unwrap();
        let bench = Bench::on_a_socket(&board);
        // espefuse notices that it has locked itself out, and that this was asked for.
        let done = bench.espefuse("burn-efuse ENABLE_SECURITY_DOWNLOAD 1").accepted();
        assert!(done.contains("ENABLE_SECURITY_DOWNLOAD is enabled."), "{chip}: {done}");
        let refused = bench.esptool("flash-id").refused();
        assert!(refused.contains("not available in Secure Download Mode"), "{chip}: {refused}");
        let refused = bench.espefuse("summary").refused();
        assert!(refused.contains("Secure Download Mode is enabled"), "{chip}: {refused}");
        bench.esptool(&format!("--no-stub write-flash --flash-size 4MB 0x10000 {repeated_file}")).accepted();
        assert!(bench.flash(0x10000, repeated.len()) == repeated, "{chip}");
        let info = bench.esptool("--no-stub get-security-info").accepted();
        assert!(info.contains("in Secure Download Mode"), "{chip}: {info}");
    }
}

#[test]
fn disabling_download_mode_is_the_last_that_espefuse_does() {
    // The ESP32 can still read back what was burned.
    for (chip, field, told) in [
        (Chip::Esp32C6, "DIS_DOWNLOAD_MODE", "DIS_DOWNLOAD_MODE is enabled."),
        (Chip::Esp32, "UART_DOWNLOAD_DIS", "Successful."),
    ] {
        let board = VirtualChip::new(chip, MAC).unwrap();
        let bench = Bench::on_a_socket(&board);
        let done = bench.espefuse(&format!("burn-efuse {field} 1")).accepted();
        assert!(done.contains(told), "{chip}: {done}");
        let refused = bench.esptool("--connect-attempts 1 flash-id").refused();
        assert!(refused.contains("Failed to connect"), "{chip}: {refused}");
    }
}

#[test]
fn a_pseudo_terminal_serves_as_a_serial_port() {
    let directory = temp_dir();
    let (repeated, repeated_file, noise, noise_file) = contents(&mut Generator::seeded(), directory.path());
    let link = directory.path().join("ttyChip");
    for board in [Chip::Esp32, Chip::Esp32S3, Chip::Esp32C3].map(|chip| VirtualChip::new(chip, MAC).unwrap()) {
        let chip = board.chip();
        let bench = Bench::on_a_terminal(&board, &link);
        let done =
            bench.esptool(&format!("-b 921600 write-flash 0x1000 {repeated_file} 0x9000 {noise_file}")).accepted();
        assert!(done.contains("Changing baud rate to 921600"), "{chip}: {done}");
        assert_eq!(done.matches("Hash of data verified.").count(), 2, "{chip}: {done}");
        assert!(bench.flash(0x1000, repeated.len()) == repeated && bench.flash(0x9000, noise.len()) == noise);
        let read = directory.path().join("read.bin").display().to_string();
        bench.esptool(&format!("read-flash 0 0x20000 {read}")).accepted();
        assert!(std::fs::read(&read).unwrap() == bench.flash(0, 0x20000), "{chip}");
        bench.espefuse("burn-bit BLOCK3 3 check-error").accepted();
        bench.esptool("erase-flash").accepted();
        assert!(bench.flash(0, 4 << 20).iter().all(|byte| *byte == 0xff), "{chip}");
    }
    assert!(!link.exists(), "the link goes away with the port");
}

#[test]
fn esptool_resets_the_chip_where_the_line_carries_dtr_and_rts() {
    let directory = temp_dir();
    let (repeated, repeated_file, ..) = contents(&mut Generator::seeded(), directory.path());
    let board = VirtualChip::new(Chip::Esp32C3, MAC).unwrap();
    let mut bench = Bench::on_a_socket(&board);
    bench.port = bench.port.replace("socket:", "rfc2217:");
    let done = bench.esptool(&format!("write-flash 0x10000 {repeated_file}")).accepted();
    assert!(done.contains("Hash of data verified.") && !done.contains("NOT reset"), "{done}");
    assert!(bench.flash(0x10000, repeated.len()) == repeated);
    let printed = bench.stop();
    // On opening, into download mode for the tool, and out of it at the end.
    assert_eq!(printed.iter().filter(|line| *line == "waiting for download").count(), 2, "{printed:?}");
    assert_eq!(printed.last().unwrap(), "invalid header: 0xffffffff", "{printed:?}");
}

#[test]
fn esptool_loads_an_image_into_ram() {
    let board = VirtualChip::new(Chip::Esp32C3, MAC).unwrap();
    let bench = Bench::on_a_socket(&board);
    let image = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/image/esp32c3-bootloader.bin");
    let done = bench.esptool(&format!("--no-stub load-ram {image}")).accepted();
    assert!(done.contains("Exiting immediately."), "{done}");
    assert!(board.external_readout().iter().all(|byte| *byte == 0xff), "flash was left alone");
}
