//! Images against esptool: the same bytes from the same ELF file, the same refusals, and each reads the other's.

// The helpers are tests too: a broken expectation is a panic.
#![allow(clippy::unwrap_used)]

mod batch;

use batch::batch;
use cotter_formats::chip::Chip;
use cotter_formats::image::{
    BuildError, BuildOptions, FlashFrequency, FlashMode, FlashSize, Image, ImageError, SecurePad, build_app,
};
use cotter_interop::{Generator, temp_dir, tools};
use std::collections::BTreeMap;
use std::path::Path;

/// A section of an ELF file to be.
struct Section {
    name: String,
    kind: u32,
    address: u32,
    data: Vec<u8>,
}

/// A 32-bit little-endian ELF file with sections, and with a segment for each of them that is loaded.
fn elf(chip: Chip, entry: u32, sections: &[Section]) -> Vec<u8> {
    let xtensa = matches!(chip, Chip::Esp32 | Chip::Esp32S2 | Chip::Esp32S3);
    let mut names = b"\0".to_vec();
    let mut body = Vec::new();
    let mut headers = vec![[0; 10]];
    let mut programs = Vec::new();
    let word = |length: usize| u32::try_from(length).unwrap();
    let start = 52 + 32 * word(sections.len());
    for section in sections {
        let at = start + word(body.len());
        // Every other kind of section becomes a segment that is not loaded; virtual addresses are elsewhere.
        let (kind, length) = (if section.kind == 1 { 1 } else { 6 }, word(section.data.len()));
        programs.push([kind, at, section.address ^ 0x100, section.address, length, length, 7, 4]);
        headers.push([word(names.len()), section.kind, 2, section.address, at, word(section.data.len()), 0, 0, 4, 0]);
        names.extend_from_slice(section.name.as_bytes());
        names.push(0);
        body.extend_from_slice(&section.data);
    }
    let name = word(names.len());
    names.extend_from_slice(b".shstrtab\0");
    headers.push([name, 3, 0, 0, start + word(body.len()), word(names.len()), 0, 0, 1, 0]);
    body.extend_from_slice(&names);

    let mut out = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
    out.extend_from_slice(&(if xtensa { 94u16 } else { 243 }).to_le_bytes());
    for field in [1, entry, 52, start + word(body.len()), 0] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    let count = u16::try_from(headers.len()).unwrap();
    for field in [52, 32, u16::try_from(programs.len()).unwrap(), 40, count, count - 1] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    programs.iter().flatten().for_each(|field| out.extend_from_slice(&field.to_le_bytes()));
    out.extend_from_slice(&body);
    headers.iter().flatten().for_each(|field| out.extend_from_slice(&field.to_le_bytes()));
    out
}

/// Somewhere in the chip's data RAM and instruction RAM.
const fn ram(chip: Chip) -> (u32, u32) {
    match chip {
        Chip::Esp32 => (0x3ffb_0000, 0x4008_0000),
        Chip::Esp32S2 => (0x3ffb_0000, 0x4002_8000),
        Chip::Esp32S3 => (0x3fc9_0000, 0x4037_8000),
        Chip::Esp32C2 => (0x3fca_1000, 0x4038_0000),
        Chip::Esp32C3 => (0x3fc9_0000, 0x4038_0000),
        Chip::Esp32C5 | Chip::Esp32C6 | Chip::Esp32C61 | Chip::Esp32H2 => (0x4080_0000, 0x4081_0000),
        Chip::Esp32H21 => (0x4080_0000, 0x4081_0000),
        Chip::Esp32H4 => (0x4081_0000, 0x4082_0000),
        Chip::Esp32P4 => (0x4ff0_0000, 0x4ff1_0000),
        Chip::Esp32S31 => (0x2f00_0000, 0x2f01_0000),
    }
}

/// Sections as linkers make them and as they do not: neighbours, gaps, odd lengths, empty ones, no address, any order.
fn sections(random: &mut Generator, chip: Chip) -> Vec<Section> {
    let (dram, iram) = ram(chip);
    let mut sections = Vec::new();
    let mut area = |random: &mut Generator, prefix: &str, start: u32, count: usize, longest: usize| {
        let mut address = start;
        for index in 0..count {
            let length = match random.below(8) {
                0 => 0,
                1 => random.between(1, 40),
                _ => random.between(1, longest),
            };
            // Mostly whole words, so that the next section can follow without a gap.
            let length = if random.below(4) == 0 { length } else { length & !3 };
            let kind = *random.pick(&[1, 1, 1, 1, 14, 15, 8]);
            let name = format!(".{prefix}{index}");
            sections.push(Section { name, kind, address, data: random.bytes(length) });
            address += u32::try_from(length.next_multiple_of(4)).unwrap();
            if random.below(3) == 0 {
                address += 4 * u32::try_from(random.between(1, 0x200)).unwrap();
            }
        }
    };
    let pages = |random: &mut Generator| 0x2_0000 * u32::try_from(random.between(0, 3)).unwrap();
    let skew = *random.pick(&[0x20, 0x20, 0x20, 0, 0x18, 0x1c, 0x24, 0x28, 0x100, 0xfff0]);
    let (counts, long) = ([random.below(4), random.below(3), random.below(4), random.below(3)], 0x1_8000);
    let rodata = chip.drom().start + pages(random) + skew;
    area(random, "rodata", rodata, counts[0], long);
    let skew = *random.pick(&[0x20, 0x20, 0, 0x40, 0x8020, 0xfff8]);
    let text = chip.irom().start + 0x10_0000 + pages(random) + skew;
    area(random, "text", text, counts[1], long);
    area(random, "data", dram, counts[2], 0x4000);
    area(random, "iram", iram, counts[3], 0x4000);
    if random.below(2) == 0 {
        let length = random.between(256, 400) & !3;
        let mut data = random.bytes(length);
        data[..4].copy_from_slice(&0xabcd_5432u32.to_le_bytes());
        // esptool decodes the names in it.
        data[16..0x90].copy_from_slice(random.word(128).as_bytes());
        data[0x90..0xb0].fill(0);
        data[180] = *random.pick(&[0, 0, 13, 14, 15, 16, 12, 40]);
        let address = chip.drom().start + 0xa_0020 + *random.pick(&[0, 0, 0, 0x2000, 0x4000, 0x8000, 0x400]);
        sections.push(Section { name: ".flash.appdesc".into(), kind: 1, address, data });
    }
    if random.below(4) == 0 {
        let (address, data) = (dram + 0x1_8000, random.bytes(80));
        sections.push(Section { name: ".dram0.bootdesc".into(), kind: 1, address, data });
    }
    if random.below(4) == 0 {
        sections.push(Section { name: ".debug".into(), kind: 1, address: 0, data: random.bytes(100) });
    }
    if random.below(3) == 0 {
        let (a, b) = (random.below(sections.len().max(1)), random.below(sections.len().max(1)));
        if !sections.is_empty() {
            sections.swap(a, b);
        }
    }
    sections
}

/// Options of ours and the same for esptool.
fn options(random: &mut Generator, chip: Chip) -> (BuildOptions, Vec<String>) {
    let mut ours = BuildOptions::new(chip);
    let mut theirs: Vec<String> = ["--chip", chip.name(), "elf2image"].map(String::from).to_vec();
    let mut option = |name: &str, value: String| theirs.extend([name.to_owned(), value]);
    let (mode, name) = *random.pick(&[
        (FlashMode::QIO, "qio"),
        (FlashMode::QOUT, "qout"),
        (FlashMode::DIO, "dio"),
        (FlashMode::DOUT, "dout"),
    ]);
    ours.flash_mode = mode;
    option("--flash-mode", name.into());
    let size = u8::try_from(random.below(8)).unwrap();
    ours.flash_size = FlashSize(size);
    option("--flash-size", format!("{}MB", 1 << size));
    if random.below(2) == 0 {
        let mhz = *random.pick(&[80, 60, 48, 40, 30, 26, 24, 20, 16, 15, 12]);
        // Mostly one that the chip knows.
        if FlashFrequency(mhz).code(chip).is_some() || random.below(8) == 0 {
            ours.flash_frequency = FlashFrequency(mhz);
            option("--flash-freq", format!("{mhz}m"));
        }
    }
    if random.below(2) == 0 {
        (ours.min_revision, ours.max_revision) = (100, 399);
        option("--min-rev-full", "100".into());
        option("--max-rev-full", "399".into());
    }
    if random.below(6) == 0 {
        let page = *random.pick(&[8, 16, 32, 64]);
        ours.mmu_page = Some(page << 10);
        option("--flash-mmu-page-size", format!("{page}KB"));
    }
    if random.below(6) == 0 {
        let size = *random.pick(&[8, 64, 256, 1024]);
        ours.pad_to_size = Some(size << 10);
        option("--pad-to-size", if size == 1024 { "1MB".into() } else { format!("{size}KB") });
    }
    let mut flag = |name: &str| theirs.push(name.to_owned());
    if random.below(5) == 0 {
        ours.use_segments = true;
        flag("--use-segments");
    }
    match random.below(8) {
        // With both, esptool pads from byte 2 on and destroys the image.
        0 if ours.pad_to_size.is_none() => {
            ours.append_digest = false;
            flag("--dont-append-digest");
        }
        1 | 5 | 6 if chip == Chip::Esp32 || random.below(12) == 0 => {
            ours.secure_pad = Some(SecurePad::V1);
            flag("--secure-pad");
        }
        2 | 3 => {
            ours.secure_pad = Some(SecurePad::V2);
            flag("--secure-pad-v2");
        }
        // With both, esptool forgets the padding.
        4 if ours.pad_to_size.is_none() => {
            ours.ram_only = true;
            flag("--ram-only-header");
        }
        _ => {}
    }
    (ours, theirs)
}

/// Why we refuse what esptool accepts. Each of these images would not run.
fn stricter_on_purpose(refusal: BuildError) -> bool {
    match refusal {
        // esptool counts before it adds padding segments; the ROM counts them.
        BuildError::TooManySegments { count } => count > 16,
        // Segments whose pages meet at their ends, and an image without anything in it.
        BuildError::SharedPage { .. } | BuildError::Empty => true,
        // esptool ignores --secure-pad on the chips without Secure Boot V1.
        BuildError::SecurePadV1 { .. } => true,
        // Nor does it notice a page size on a chip that has only one.
        BuildError::MmuPage { chip, .. } => {
            matches!(chip, Chip::Esp32 | Chip::Esp32S2 | Chip::Esp32S3 | Chip::Esp32C3 | Chip::Esp32C5 | Chip::Esp32P4)
        }
        _ => false,
    }
}

#[test]
fn random_elf_files_become_the_same_image_or_are_refused_by_both() {
    let (dir, mut random) = (temp_dir(), Generator::seeded());
    let path = |index: usize, name: &str| dir.path().join(format!("{index}.{name}"));
    let (mut commands, mut cases) = (Vec::new(), Vec::new());
    for index in 0..400 {
        let chip = *random.pick(&Chip::ALL);
        let (ours, mut theirs) = options(&mut random, chip);
        let mut sections = sections(&mut random, chip);
        if ours.ram_only {
            // With both, esptool overwrites RAM with the ELF file's digest.
            sections.retain(|section| section.name != ".flash.appdesc");
        }
        let file = elf(chip, random.next_u32(), &sections);
        std::fs::write(path(index, "elf"), &file).unwrap();
        let names = [path(index, "bin"), path(index, "elf")].map(|path| path.to_str().unwrap().to_owned());
        theirs.push("--output".into());
        theirs.extend(names);
        commands.push(theirs);
        cases.push((chip, sections, build_app(&file, &ours)));
    }
    let (mut built, mut refused, mut stricter) = (0, 0, 0);
    let (mut chips, mut kinds) = (BTreeMap::new(), BTreeMap::new());
    for (index, (outcome, (chip, sections, ours))) in batch("esptool", &commands).into_iter().zip(cases).enumerate() {
        let layout: Vec<_> = sections
            .iter()
            .map(|section| {
                format!("{} {} {:#x}+{:#x}", section.name, section.kind, section.address, section.data.len())
            })
            .collect();
        let what = format!("{:?}\n{layout:#?}\n{}", commands[index], outcome.output);
        match ours {
            Ok(ours) if outcome.accepted => {
                let theirs = std::fs::read(path(index, "bin")).unwrap();
                let first = ours.iter().zip(&theirs).position(|(a, b)| a != b);
                assert!(ours == theirs, "{} bytes, expected {}, at {first:x?}: {what}", ours.len(), theirs.len());
                assert_eq!(Image::parse(&theirs, chip).map(|_| ()), Ok(()), "{what}");
                built += 1;
                *chips.entry(chip.name()).or_insert(0) += 1;
                let bootloader = sections.iter().any(|section| section.name == ".dram0.bootdesc");
                *kinds.entry(if bootloader { "with boot descriptor" } else { "without" }).or_insert(0) += 1;
                for flag in ["--use-segments", "--pad-to-size", "--secure-pad", "--secure-pad-v2", "--ram-only-header"]
                {
                    *kinds.entry(flag).or_insert(0) += i32::from(commands[index].iter().any(|given| given == flag));
                }
            }
            // Where exactly a header's room is left between two segments, esptool fails its own assertion.
            Ok(_) => assert!(outcome.output.contains("AssertionError"), "we build what esptool refuses: {what}"),
            Err(refusal) => {
                assert!(
                    !outcome.accepted || stricter_on_purpose(refusal),
                    "we refuse ({refusal}) what it builds: {what}"
                );
                if outcome.accepted { stricter += 1 } else { refused += 1 }
            }
        }
    }
    println!("equal images by chip {chips:?}, by kind {kinds:?}");
    assert_eq!(chips.len(), Chip::ALL.len(), "every chip");
    assert!(kinds.values().filter(|&&count| count > 0).count() >= 6, "nearly every kind: {kinds:?}");
    println!("{built} images equal, {refused} ELF files refused by both, {stricter} only by us");
    assert!(built > 80 && refused > 10, "{built} {refused}");
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/image")).join(name)).unwrap()
}

#[test]
fn image_info_accepts_ours_for_every_chip() {
    let dir = temp_dir();
    let mut commands = Vec::new();
    let later = [Chip::Esp32H21, Chip::Esp32H4, Chip::Esp32S31];
    let chips: Vec<Chip> = Chip::ALL.into_iter().filter(|chip| !later.contains(chip)).collect();
    for &chip in &chips {
        for pad in [None, Some(SecurePad::V2)] {
            let options = BuildOptions { secure_pad: pad, ..BuildOptions::new(chip) };
            let image = build_app(&golden(&format!("{chip}.elf")), &options).unwrap();
            let path = dir.path().join(format!("{chip}-{}.bin", pad.is_some()));
            std::fs::write(&path, image).unwrap();
            commands.push(vec!["image-info".to_owned(), path.to_str().unwrap().to_owned()]);
        }
    }
    for (index, command) in commands.iter().enumerate() {
        let info = tools().esptool(command).accepted();
        let chip = chips[index / 2];
        assert_eq!(info.matches("(valid)").count(), 2, "{chip}: {info}");
        assert!(!info.contains("invalid"), "{chip}: {info}");
        assert!(info.contains(&format!("Project name: golden_{chip}")), "{info}");
        assert!(info.contains(&format!("Chip ID: {}", chip.image_chip_id())), "{info}");
    }
}

#[test]
fn both_see_the_same_damage() {
    let (dir, mut random) = (temp_dir(), Generator::seeded());
    let good = golden("esp32c3-bootloader.bin");
    let path = dir.path().join("bad.bin");
    let verdict = |bad: &[u8]| {
        std::fs::write(&path, bad).unwrap();
        (Image::parse(bad, Chip::Esp32C3).map(|_| ()), tools().esptool(["image-info".as_ref(), path.as_os_str()]))
    };
    let flipped = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        bad
    };
    // A segment's byte, the checksum, the SHA-256: esptool reports, ours refuses.
    let (ours, theirs) = verdict(&flipped(random.between(0x20, 0x60)));
    assert!(matches!(ours, Err(ImageError::Checksum { .. })), "{ours:?}");
    assert!(theirs.accepted().contains("(invalid"));
    let (ours, theirs) = verdict(&flipped(good.len() - 1));
    assert_eq!(ours, Err(ImageError::Digest));
    assert!(theirs.accepted().contains("(invalid)"));
    // The magic and a truncation: both refuse.
    let (ours, theirs) = verdict(&flipped(0));
    assert_eq!(ours, Err(ImageError::Magic { found: 0xf9 }));
    theirs.refused();
    let (ours, theirs) = verdict(&good[..random.between(24, 0x60)]);
    assert!(matches!(ours, Err(ImageError::Read(_) | ImageError::Segment { .. })), "{ours:?}");
    theirs.refused();
}

#[test]
fn both_accept_the_committed_firmware() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware/images"));
    let mut applications = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "bin") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let image = Image::parse(&bytes, Chip::Esp32C3).unwrap();
        let info = tools().esptool(["image-info".as_ref(), path.as_os_str()]).accepted();
        assert_eq!(info.matches("(valid)").count(), 2, "{info}");
        if let Some(descriptor) = image.app_descriptor() {
            assert!(info.contains(&format!("App version: {}\n", descriptor.version())), "{info}");
            assert!(info.contains(&format!("Secure version: {}\n", descriptor.secure_version)), "{info}");
            applications += 1;
        }
    }
    assert!(applications >= 3, "{applications}");
}
