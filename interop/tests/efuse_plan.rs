//! Release plans against espefuse 5.6.0's virtual chips: the commands that a plan prints leave, burned by espefuse, the
//! very registers that we foresee, and the lint finds nothing in them.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_factory::efuse::{Burn, EfusePlan, EfusePolicy, NvsMode, SecureBootMode, Wishes, build, commands, outcome};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::lint::{Expectation, findings};
use cotter_formats::efuse::{EfuseBlock, EfuseImage, Family};
use cotter_interop::{Generator, temp_dir, tools};
use std::path::Path;

/// Burns the plan with espefuse, one command for each stage, and gives its file.
fn burned_by_espefuse(plan: &EfusePlan, directory: &Path, random: &mut Generator) -> EfuseImage {
    for key in &plan.keys {
        let mut bytes = vec![0; key.bytes];
        random.fill(&mut bytes);
        let path = directory.join(format!("{}.bin", key.name));
        std::fs::write(&path, &bytes).unwrap();
        for (half, suffix) in bytes.chunks(32).zip(["aa", "ab"]) {
            std::fs::write(directory.join(format!("{}.bin.{suffix}", key.name)), half).unwrap();
        }
    }
    let file = directory.join("efuse.bin");
    let options = format!("--virt --do-not-confirm --path-efuse-file {} ", file.display());
    let path = |name: &str| directory.join(format!("{name}.bin")).display().to_string();
    for line in commands(plan, &options, path) {
        let arguments: Vec<&str> = line.split(' ').skip(1).collect();
        tools().espefuse(arguments).accepted();
    }
    EfuseImage::from_virtual_file(plan.chip, &std::fs::read(file).unwrap()).unwrap()
}

fn check(chip: Chip, wishes: &Wishes, random: &mut Generator) {
    let policy = EfusePolicy::of(chip, wishes).unwrap();
    let plan = build(&policy, &EfuseImage::blank(chip)).unwrap();
    let directory = temp_dir();
    let theirs = burned_by_espefuse(&plan, directory.path(), random);
    let foreseen = outcome(&plan, &EfuseImage::blank(chip)).unwrap();
    let map = *foreseen.map();
    for block in map.block_numbers() {
        let (ours, theirs) = (foreseen.block(block).unwrap(), theirs.block(block).unwrap());
        let is_key = map.key_index(block).is_some() && block != EfuseBlock::SETTINGS;
        let visible = ours.iter().any(|byte| *byte != 0);
        if is_key && visible {
            // Of a digest the plan knows the name only: it must sit where and as espefuse puts it.
            let layout = map.block(block).unwrap();
            let holder = |burn: &Burn| match burn {
                Burn::Key { block, key, read_protect: false, .. } if block == layout.name => Some(key.clone()),
                _ => None,
            };
            let name = plan.burns().find_map(|(_, burn)| holder(burn)).unwrap();
            let digest = std::fs::read(directory.path().join(format!("{name}.bin"))).unwrap();
            let expected: Vec<u8> = match map.family {
                Family::Esp32C2 => [&[0; 16][..], &digest[..16]].concat(),
                _ => digest,
            };
            assert_eq!(theirs, expected, "{chip} {block}");
        } else {
            assert_eq!(ours, theirs, "{chip} {block}");
        }
    }
    let expectation = Expectation { secure_boot: policy.secure_boot != SecureBootMode::Off, ..Expectation::RELEASE };
    assert_eq!(findings(&theirs, &expectation), [], "{chip}");
}

/// Two chips at a time: espefuse spends its time starting.
fn check_all(cases: &[(Chip, Wishes)]) {
    let random = Generator::seeded();
    std::thread::scope(|scope| {
        for half in cases.chunks(cases.len().div_ceil(2)) {
            let mut random = random.clone();
            scope.spawn(move || half.iter().for_each(|(chip, wishes)| check(*chip, wishes, &mut random)));
        }
    });
}

#[test]
fn a_release_plan_burned_by_espefuse_is_what_we_foresee_and_lints_clean_on_every_chip() {
    let plain = Chip::ALL.into_iter().filter(|chip| *chip != Chip::Esp32H4).map(|chip| (chip, Wishes::default()));
    let h4 = Wishes { secure_boot: Some(SecureBootMode::Off), ..Wishes::default() };
    let cases: Vec<_> = plain.chain([(Chip::Esp32H4, h4)]).collect();
    assert_eq!(cases.len(), Chip::ALL.len());
    check_all(&cases);
}

#[test]
fn plans_with_more_keys_burned_by_espefuse_are_what_we_foresee() {
    let full =
        Wishes { digests: Some(2), nvs: Some(NvsMode::Hmac), ds: Some(1), anti_rollback: Some(3), ..Wishes::default() };
    let wide = Wishes { key_size: Some(256), ..full.clone() };
    let v1 = Wishes { secure_boot: Some(SecureBootMode::V1), ..Wishes::default() };
    check_all(&[(Chip::Esp32C3, full), (Chip::Esp32S3, wide), (Chip::Esp32, v1)]);
}
