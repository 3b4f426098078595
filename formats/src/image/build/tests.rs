extern crate std;
use super::*;
use crate::image::Image;
use proptest::prelude::*;
use std::path::Path;

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/image")).join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The later chips are compared with esptool on random files only (interop).
fn has_golden(chip: Chip) -> bool {
    !matches!(chip, Chip::Esp32H21 | Chip::Esp32H4 | Chip::Esp32S31)
}

/// The options of vectors/image/README.md.
fn app(chip: Chip) -> BuildOptions {
    BuildOptions {
        flash_mode: FlashMode::DIO,
        flash_size: FlashSize::MIB_4,
        max_revision: 399,
        elf_sha256_offset: Some(0xb0),
        ..BuildOptions::new(chip)
    }
}

fn same(built: Result<Vec<u8>, BuildError>, name: &str) {
    let (built, golden) = (built.unwrap(), golden(name));
    let first = built.iter().zip(&golden).position(|(a, b)| a != b);
    assert!(built == golden, "{name}: {} bytes, expected {}, first difference {first:x?}", built.len(), golden.len());
}

#[test]
fn builds_every_chip_s_application_to_the_byte() {
    for chip in Chip::ALL.into_iter().filter(|chip| has_golden(*chip)) {
        same(build_app(&golden(&std::format!("{chip}.elf")), &app(chip)), &std::format!("{chip}.bin"));
        let implied = BuildOptions { elf_sha256_offset: None, ..app(chip) };
        same(build_app(&golden(&std::format!("{chip}.elf")), &implied), &std::format!("{chip}.bin"));
    }
}

#[test]
fn builds_padded_undigested_and_boot_images_to_the_byte() {
    let (esp32, c3) = (golden("esp32.elf"), golden("esp32c3.elf"));
    let v1 = BuildOptions { secure_pad: Some(SecurePad::V1), max_revision: u16::MAX, ..app(Chip::Esp32) };
    same(build_app(&esp32, &v1), "esp32-secure-pad-v1.bin");
    let v2 = BuildOptions { secure_pad: Some(SecurePad::V2), max_revision: u16::MAX, ..app(Chip::Esp32C3) };
    same(build_app(&c3, &v2), "esp32c3-secure-pad-v2.bin");
    let bare = BuildOptions {
        append_digest: false,
        flash_mode: FlashMode::QIO,
        flash_size: FlashSize::MIB_2,
        max_revision: u16::MAX,
        ..app(Chip::Esp32C3)
    };
    same(build_app(&c3, &bare), "esp32c3-nodigest.bin");
    for chip in [Chip::Esp32, Chip::Esp32C3] {
        let boot = BuildOptions { elf_sha256_offset: None, max_revision: u16::MAX, ..app(chip) };
        let name = std::format!("{chip}-bootloader");
        same(build_app(&golden(&std::format!("{name}.elf")), &boot), &std::format!("{name}.bin"));
    }
}

/// An ELF file with these sections (name, address, content), for layouts that no golden file has.
fn elf(sections: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut names = b"\0".to_vec();
    let mut body = Vec::new();
    let mut headers = std::vec![[0u32; 10]];
    for &(name, address, data) in sections {
        let header = [names.len(), 1, 2, address as usize, 52 + body.len(), data.len(), 0, 0, 4, 0];
        headers.push(header.map(|word| u32::try_from(word).unwrap()));
        names.extend_from_slice(name.as_bytes());
        names.push(0);
        body.extend_from_slice(data);
    }
    headers
        .push([0, 3, 0, 0, 52 + body.len(), names.len(), 0, 0, 1, 0].map(|word: usize| u32::try_from(word).unwrap()));
    body.extend_from_slice(&names);
    let mut out = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xf3\0\x01\0\0\0".to_vec();
    for word in [0x4038_0000, 0, 52 + u32::try_from(body.len()).unwrap(), 0] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    let count = u16::try_from(headers.len()).unwrap();
    for half in [52, 32, 0, 40, count, count - 1] {
        out.extend_from_slice(&half.to_le_bytes());
    }
    out.extend_from_slice(&body);
    headers.iter().flatten().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    out
}

const C3: BuildOptions = BuildOptions::new(Chip::Esp32C3);

#[test]
fn refuses_each_impossible_layout_by_name() {
    let small = [0x41; 64];
    let refusal = |sections: &[(&str, u32, &[u8])]| build_app(&elf(sections), &C3).unwrap_err();
    assert_eq!(refusal(&[]), BuildError::Empty);
    assert_eq!(refusal(&[(".zero", 0, &small)]), BuildError::Empty);
    assert_eq!(refusal(&[(".text", 0x4200_0022, &small)]), BuildError::Unaligned { address: 0x4200_0022 });
    assert_eq!(
        refusal(&[(".text", 0x4200_0020, &small), (".more", 0x4200_0100, &small)]),
        BuildError::SharedPage { first: 0x4200_0020, second: 0x4200_0100, page: 0x1_0000 }
    );
    // The second begins where the first's last page goes on. The tool accepts this; the chip would run the wrong bytes.
    let long = std::vec![0x41; 0x1_0000];
    assert_eq!(
        refusal(&[(".text", 0x4200_0020, &long), (".more", 0x4201_0100, &small)]),
        BuildError::SharedPage { first: 0x4200_0020, second: 0x4201_0100, page: 0x1_0000 }
    );
    let many: Vec<_> = (0u32..17).map(|n| (".ram", 0x3fc8_1000 + 0x100 * n, &small[..])).collect();
    assert_eq!(refusal(&many), BuildError::TooManySegments { count: 17 });
    // 16 sections are possible, but not with the padding between two of them: the tool writes 17 for the ROM to refuse.
    let mut padded = many[..14].to_vec();
    padded.extend([(".rodata", 0x3c00_0020, &small[..]), (".text", 0x4200_0020, &small)]);
    assert_eq!(refusal(&padded), BuildError::TooManySegments { count: 17 });
}

#[test]
fn refuses_options_that_cannot_be_by_name() {
    let ram = elf(&[(".data", 0x3fc8_1000, &[0x41; 64])]);
    let refusal = |options: BuildOptions| build_app(&ram, &options).unwrap_err();
    let mhz = BuildOptions { flash_frequency: FlashFrequency(48), ..C3 };
    assert_eq!(refusal(mhz), BuildError::Frequency { chip: Chip::Esp32C3, mhz: 48 });
    assert_eq!(refusal(BuildOptions { flash_size: FlashSize(8), ..C3 }), BuildError::FlashSize { code: 8 });
    let h2 = BuildOptions { mmu_page: Some(0x1000), ..BuildOptions::new(Chip::Esp32H2) };
    assert_eq!(refusal(h2), BuildError::MmuPage { chip: Chip::Esp32H2, page: 0x1000 });
    for options in [BuildOptions { append_digest: false, ..C3 }, BuildOptions { ram_only: true, ..C3 }] {
        let padded = BuildOptions { secure_pad: Some(SecurePad::V2), ..options };
        assert_eq!(refusal(padded), BuildError::SecurePadWithoutDigest);
    }
    let v1 = BuildOptions { secure_pad: Some(SecurePad::V1), ..C3 };
    assert_eq!(refusal(v1), BuildError::SecurePadV1 { chip: Chip::Esp32C3 });
    for offset in [0, 8, 0x1f, 0x60, u32::MAX] {
        let refused = refusal(BuildOptions { elf_sha256_offset: Some(offset), ..C3 });
        assert_eq!(refused, BuildError::ElfDigestPlace { offset });
    }
    let taken = refusal(BuildOptions { elf_sha256_offset: Some(0x20), ..C3 });
    assert_eq!(taken, BuildError::ElfDigestTaken { offset: 0x20 });
}

#[test]
fn an_exact_header_of_room_is_filled_where_the_tool_asserts() {
    let file = elf(&[(".rodata", 0x3c00_0020, &[0x41; 0xffd0]), (".text", 0x4201_0000, &[0x42; 64])]);
    let bytes = build_app(&file, &C3).unwrap();
    let image = Image::parse(&bytes, Chip::Esp32C3).unwrap();
    let text = image.segments().last().unwrap();
    assert_eq!((text.load_address, text.file_offset % 0x1_0000), (0x4201_0000, 0));
}

#[test]
fn refuses_every_truncation_of_an_elf_file() {
    let file = golden("esp32c3-bootloader.elf");
    for len in 0..file.len() {
        let refusal = build_app(&file[..len], &C3).unwrap_err();
        assert!(matches!(refusal, BuildError::Elf(_)), "{len}: {refusal}");
    }
}

#[test]
fn refuses_hostile_elf_files_by_name() {
    let good = elf(&[(".data", 0x3fc8_1000, &[0x41; 64])]);
    let table = good.len() - 3 * 40;
    let refusal = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        match build_app(&file, &C3) {
            Err(BuildError::Elf(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refusal(0, b"\x7fELG"), ElfError::Magic);
    assert_eq!(refusal(4, &[2]), ElfError::Kind { class: 2, encoding: 1, version: 1 });
    assert_eq!(refusal(18, &[62]), ElfError::Machine { found: 62 });
    assert_eq!(refusal(46, &[41]), ElfError::EntrySize { found: 41 });
    assert_eq!(refusal(48, &[4]), ElfError::Table { at: u32::try_from(table).unwrap(), count: 4 });
    assert_eq!(refusal(32, &[0xff; 4]), ElfError::Table { at: u32::MAX, count: 3 });
    for index in [1, 3, 0xff] {
        assert_eq!(refusal(50, &[index]), ElfError::Names { index: index.into() });
    }
    assert_eq!(refusal(table + 40, &[0xff; 4]), ElfError::Section { index: 1, at: 52, length: 64 });
    assert_eq!(refusal(table + 56, &[0xff; 4]), ElfError::Section { index: 1, at: u32::MAX, length: 64 });
    assert_eq!(refusal(table + 60, &[0xff; 4]), ElfError::Section { index: 1, at: 52, length: u32::MAX });
    assert_eq!(refusal(table + 52, &[0xff; 4]), ElfError::Address { index: 1, address: u32::MAX });
    let mut shared = good[table + 40..table + 80].to_vec();
    shared[16..24].copy_from_slice(&[0, 0, 0, 0, 200, 0, 0, 0]);
    let twice = [&shared[..], &good[table + 80..]].concat();
    let mut file = [&good[..table + 40], &shared, &twice].concat();
    file[48..52].copy_from_slice(&[4, 0, 3, 0]);
    let len = file.len();
    assert_eq!(build_app(&file, &C3), Err(BuildError::Elf(ElfError::Overlap { total: 400, len })));
}

#[test]
fn survives_every_bit_flip_of_an_elf_file_s_headers() {
    let good = elf(&[(".flash.appdesc", 0x3c00_0020, &[0; 256]), (".data", 0x3fc8_1000, &[0x41; 64])]);
    let headers = (0..52).chain(good.len() - 4 * 40 - 30..good.len());
    for bit in headers.flat_map(|at| 8 * at..8 * at + 8) {
        let mut file = good.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        // What is still an ELF file becomes an image of it; nothing panics.
        if let Ok(image) = build_app(&file, &C3) {
            assert!(Image::parse(&image, Chip::Esp32C3).is_ok(), "bit {bit}");
        }
    }
}

proptest! {
    #[test]
    fn any_layout_becomes_an_image_with_the_same_memory(
        rodata in 4usize..0x1_8000, text in 4usize..0x8000, data in 4usize..0x1_8000, offset in 0u32..0x3000, fill: u8,
        pad: bool, chip in prop::sample::select(&Chip::ALL[..])
    ) {
        let (irom, drom) = (chip.irom().start, chip.drom().start);
        let content = |len: usize, salt: u8| (0..len & !3).map(|at| fill ^ salt ^ at.to_le_bytes()[0]).collect::<Vec<_>>();
        let (rodata, text, data) = (content(rodata, 0), content(text, 85), content(data, 170));
        let text_at = irom + 0x40_0000 / 2 + 4 * offset;
        let sections = [(".rodata", drom + 0x20, &rodata[..]), (".text", text_at, &text), (".data", 0x3fc8_1000, &data)];
        let options = BuildOptions { secure_pad: pad.then_some(SecurePad::V2), ..BuildOptions::new(chip) };
        let bytes = build_app(&elf(&sections), &options).unwrap();
        let image = Image::parse(&bytes, chip).unwrap();
        prop_assert_eq!(image.len(), bytes.len());
        prop_assert!(!pad || bytes.len().is_multiple_of(0x1_0000));
        for (_, address, wanted) in sections {
            let mut found = std::vec![None; wanted.len()];
            for segment in image.segments() {
                for (byte, at) in segment.data.iter().zip(u64::from(segment.load_address)..) {
                    if let Some(slot) = at.checked_sub(address.into()).and_then(|at| found.get_mut(usize::try_from(at).unwrap())) {
                        prop_assert_eq!(slot.replace(*byte), None);
                    }
                }
                if chip.maps_from_flash(segment.load_address) {
                    prop_assert_eq!(segment.file_offset % 0x1_0000, segment.load_address as usize % 0x1_0000);
                }
            }
            prop_assert!(found.iter().copied().eq(wanted.iter().copied().map(Some)));
        }
    }
}
