//! Release plans against espefuse 5.6.0's virtual chips: the commands that a plan prints leave, burned by espefuse, the
//! very registers that we foresee, and the lint finds nothing in them.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_factory::efuse::{
    Burn, Curve, EfusePlan, EfusePolicy, NvsMode, SecureBootMode, Wishes, build, commands, outcome,
};
use cotter_factory::private_key::PrivateKey;
use cotter_factory::public_key::KeyKind;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::lint::{Expectation, findings};
use cotter_formats::efuse::{ChipRevision, EfuseBlock, EfuseImage, Family};
use cotter_formats::secure_boot::v2::Curve as KeyCurve;
use cotter_interop::{Generator, temp_dir, tools};
use std::path::Path;

/// Burns the plan with espefuse, one command for each stage, and gives its file.
fn burned_by_espefuse(start: &EfuseImage, plan: &EfusePlan, directory: &Path, random: &mut Generator) -> EfuseImage {
    let is_pem = |name: &str| name.starts_with("ecdsa");
    let mut curves = plan.policy.ecdsa.iter();
    for key in &plan.keys {
        if is_pem(&key.name) {
            let curve = match curves.next().unwrap() {
                Curve::P192 => KeyCurve::P192,
                Curve::P256 => KeyCurve::P256,
                Curve::P384 => KeyCurve::P384,
            };
            let pem = PrivateKey::generate(KeyKind::Ecdsa(curve)).unwrap().to_pem().unwrap();
            std::fs::write(directory.join(format!("{}.pem", key.name)), pem.as_bytes()).unwrap();
            continue;
        }
        let mut bytes = vec![0; key.bytes];
        random.fill(&mut bytes);
        let path = directory.join(format!("{}.bin", key.name));
        std::fs::write(&path, &bytes).unwrap();
        for (half, suffix) in bytes.chunks(32).zip(["aa", "ab"]) {
            std::fs::write(directory.join(format!("{}.bin.{suffix}", key.name)), half).unwrap();
        }
    }
    let file = directory.join("efuse.bin");
    std::fs::write(&file, start.to_virtual_file()).unwrap();
    let options = format!("--virt --do-not-confirm --path-efuse-file {} ", file.display());
    let ending = |name: &str| if is_pem(name) { "pem" } else { "bin" };
    let path = |name: &str| directory.join(format!("{name}.{}", ending(name))).display().to_string();
    for line in commands(plan, &options, path) {
        let arguments: Vec<&str> = line.split(' ').skip(1).collect();
        tools().espefuse(arguments).accepted();
    }
    EfuseImage::from_virtual_file(plan.chip, &std::fs::read(file).unwrap()).unwrap()
}

fn check(start: &EfuseImage, wishes: &Wishes, random: &mut Generator) {
    let chip = start.map().chip;
    let policy = EfusePolicy::of(chip, wishes).unwrap();
    let plan = build(&policy, start).unwrap();
    let directory = temp_dir();
    let theirs = burned_by_espefuse(start, &plan, directory.path(), random);
    let foreseen = outcome(&plan, start).unwrap();
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
    let blank: Vec<_> = cases.iter().map(|(chip, wishes)| (EfuseImage::blank(*chip), wishes.clone())).collect();
    check_from(&blank);
}

/// Each plan from its own state.
fn check_from(cases: &[(EfuseImage, Wishes)]) {
    let random = Generator::seeded();
    std::thread::scope(|scope| {
        for half in cases.chunks(cases.len().div_ceil(2)) {
            let mut random = random.clone();
            scope.spawn(move || half.iter().for_each(|(start, wishes)| check(start, wishes, &mut random)));
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

#[test]
fn plans_with_keys_of_the_ecdsa_peripheral_burned_by_espefuse_are_what_we_foresee() {
    let with = |curves: &[Curve]| Wishes { ecdsa: Some(curves.to_vec()), ..Wishes::default() };
    let golden = |chip, name: &str| {
        let path = format!("{}/../vectors/efuse/{name}.bin", env!("CARGO_MANIFEST_DIR"));
        EfuseImage::from_virtual_file(chip, &std::fs::read(path).unwrap()).unwrap()
    };
    let (h2, p4) = (golden(Chip::Esp32H2, "esp32h2-v1.2"), golden(Chip::Esp32P4, "esp32p4-v3"));
    assert_eq!((h2.revision(), p4.revision()), (ChipRevision(102), ChipRevision(300)));
    check_from(&[
        (EfuseImage::blank(Chip::Esp32C5), with(&[Curve::P192, Curve::P256])),
        (EfuseImage::blank(Chip::Esp32S31), with(&[Curve::P384])),
        (EfuseImage::blank(Chip::Esp32H2), with(&[Curve::P256])),
        (EfuseImage::blank(Chip::Esp32C5), with(&[Curve::P384])),
        (h2, with(&[Curve::P256])),
        (p4, with(&[Curve::P256])),
    ]);
}
