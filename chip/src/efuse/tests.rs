//! Tests of the eFuses against files that espefuse 5.6.0 burned.

use super::*;
use super::{BurnError, BurnSet, KeyProtection};
use crate::fault::{CutPoint, Phase};
use cotter_formats::efuse::coding;
use cotter_formats::efuse::esp32c3::*;
use proptest::prelude::*;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/efuse/");

fn vector(name: &str) -> Vec<u8> {
    std::fs::read(format!("{VECTORS}{name}")).unwrap()
}

fn secret(name: &str) -> Secret<32> {
    Secret::from_slice(&vector(name)).unwrap()
}

fn blank() -> Efuses {
    Efuses::from_image(&EfuseImage::blank(Chip::Esp32C3), Fault::new(11))
}

fn key_block(index: u8) -> EfuseBlock {
    EfuseBlock::key(index).unwrap()
}

fn set() -> BurnSet {
    BurnSet::new(Chip::Esp32C3)
}

fn add_key(set: &mut BurnSet, index: u8, purpose: KeyPurpose, file: &str) {
    set.key(key_block(index), purpose, &secret(file), KeyProtection::of(purpose)).unwrap();
}

fn production() -> BurnSet {
    let mut set = set();
    add_key(&mut set, 0, KeyPurpose::SECURE_BOOT_DIGEST0, "digest-rsa3072_a.bin");
    add_key(&mut set, 1, KeyPurpose::XTS_AES_128_KEY, "fe_key_256.bin");
    add_key(&mut set, 2, KeyPurpose::HMAC_UP, "hmac_key.bin");
    for field in [
        SECURE_BOOT_EN,
        DIS_DOWNLOAD_MANUAL_ENCRYPT,
        DIS_DOWNLOAD_ICACHE,
        DIS_PAD_JTAG,
        DIS_USB_JTAG,
        DIS_DIRECT_BOOT,
        SECURE_BOOT_KEY_REVOKE1,
        SECURE_BOOT_KEY_REVOKE2,
        ENABLE_SECURITY_DOWNLOAD,
    ] {
        set.field(&field, 1).unwrap();
    }
    set.field(&SPI_BOOT_CRYPT_CNT, 7).unwrap().field(&SOFT_DIS_JTAG, 7).unwrap().field(&SECURE_VERSION, 3).unwrap();
    set
}

fn burned(set: &BurnSet) -> Efuses {
    let efuses = blank();
    efuses.burn(set).unwrap();
    efuses
}

fn assert_file(set: &BurnSet, name: &str) {
    assert_eq!(&burned(set).image().unwrap().to_virtual_file()[..], vector(name), "{name}");
}

#[test]
fn the_same_burns_leave_the_same_file_as_espefuse() {
    assert_file(&production(), "esp32c3-prod.bin");

    let mut digests = set();
    add_key(&mut digests, 0, KeyPurpose::SECURE_BOOT_DIGEST0, "digest-rsa3072_a.bin");
    add_key(&mut digests, 1, KeyPurpose::SECURE_BOOT_DIGEST1, "digest-rsa3072_b.bin");
    assert_file(&digests, "esp32c3-sbv2.bin");

    let mut signature = set();
    add_key(&mut signature, 1, KeyPurpose::HMAC_DOWN_DIGITAL_SIGNATURE, "hmac_key.bin");
    assert_file(&signature, "esp32c3-ds.bin");

    let mut readable = set();
    let protection = KeyProtection { hidden: false, frozen: true };
    readable.key(key_block(0), KeyPurpose::XTS_AES_128_KEY, &secret("fe_key_256.bin"), protection).unwrap();
    assert_file(&readable, "esp32c3-xts-readable.bin");

    let mut frozen = set();
    frozen.write_protect(&DIS_ICACHE).unwrap();
    assert_file(&frozen, "esp32c3-wp.bin");

    let mut bits = set();
    let mut data = [0; 32];
    (data[0], data[3], data[31]) = (0x81, 0x80, 0x80);
    bits.block(EfuseBlock(3), &data).unwrap();
    assert_file(&bits, "esp32c3-bit.bin");
}

#[test]
fn bits_never_go_back() {
    let efuses = blank();
    let mut data = [0; 32];
    data[5] = 0x01;
    efuses.program(EfuseBlock(0), &data).unwrap();
    efuses.program(EfuseBlock(0), &[0; 32]).unwrap();
    assert_eq!(efuses.image().unwrap().block(EfuseBlock(0)).unwrap()[5], 1);
}

#[test]
fn write_protected_bits_stay_as_they_are() {
    let mut freeze = set();
    freeze.write_protect(&DIS_PAD_JTAG).unwrap();
    let efuses = burned(&freeze);
    let mut more = set();
    more.field(&DIS_USB_JTAG, 1).unwrap();
    assert_eq!(efuses.burn(&more), Err(BurnError::WriteProtected { block: EfuseBlock(0) }), "it shares the bit");
    for pass in more.passes() {
        efuses.program(pass.block, &[0xff; 32]).unwrap();
    }
    let image = efuses.image().unwrap();
    assert!(!image.is_set(&DIS_USB_JTAG) && image.is_set(&SECURE_BOOT_EN));
}

#[test]
fn a_hidden_key_reads_as_zero_and_still_serves_the_hardware() {
    let efuses = burned(&production());
    assert_eq!(efuses.image().unwrap().block(key_block(1)), Some(&[0; 32][..]));
    let mut expected = vector("fe_key_256.bin");
    expected.reverse();
    assert_eq!(&efuses.hardware_key(KeyPurpose::XTS_AES_128_KEY).unwrap().expose()[..], expected);
    assert!(efuses.hardware_key(KeyPurpose::HMAC_DOWN_JTAG).is_none());
}

#[test]
fn a_coded_block_is_burned_once() {
    let efuses = blank();
    let mut first = set();
    first.block(EfuseBlock(3), &[1; 32]).unwrap();
    efuses.burn(&first).unwrap();
    efuses.burn(&first).unwrap();
    assert_eq!(efuses.fault().operations(), 1, "the second time there was nothing to do");
    let mut second = set();
    second.block(EfuseBlock(3), &[3; 32]).unwrap();
    assert_eq!(efuses.burn(&second), Err(BurnError::AlreadyBurned { block: EfuseBlock(3) }));
    efuses.program(EfuseBlock(3), &[3; 32]).unwrap();
    assert!(efuses.is_damaged(EfuseBlock(3)).unwrap());
}

#[test]
fn refuses_what_would_brick() {
    let key = secret("fe_key_256.bin");
    let purpose = KeyPurpose::XTS_AES_128_KEY;
    let refused = set().key(key_block(5), purpose, &key, KeyProtection::of(purpose)).err();
    assert_eq!(refused, Some(BurnError::QuirkOfKey5 { purpose }));
    let hidden = KeyProtection { hidden: true, frozen: true };
    let refused = set().key(key_block(0), KeyPurpose::SECURE_BOOT_DIGEST0, &key, hidden).err();
    assert_eq!(refused, Some(BurnError::DigestMustBeReadable { block: key_block(0) }));
    let refused = set().field(&SECURE_VERSION, 0x1_0000).err();
    assert_eq!(refused, Some(BurnError::DoesNotFit { field: "SECURE_VERSION", value: 0x1_0000 }));

    let efuses = blank();
    let mut user = set();
    user.field(&KEY_PURPOSE_0, 8).unwrap();
    efuses.burn(&user).unwrap();
    let mut other = set();
    add_key(&mut other, 0, KeyPurpose::XTS_AES_128_KEY, "fe_key_256.bin");
    let taken = BurnError::PurposeTaken { field: "KEY_PURPOSE_0", current: 8, wanted: 4 };
    assert_eq!(efuses.burn(&other), Err(taken));
    assert_eq!(efuses.fault().operations(), 1);
}

#[test]
fn survives_power_cut_at_every_burn() {
    let mut set = production();
    for field in [RD_DIS, DIS_PAD_JTAG, SPI_BOOT_CRYPT_CNT, SECURE_BOOT_EN, SECURE_BOOT_KEY_REVOKE1] {
        set.write_protect(&field).unwrap();
    }
    let complete = burned(&set);
    let total = complete.fault().operations();
    assert_eq!(total, 6, "three keys, settings, enabling, locking");
    for op in 0..total {
        for phase in Phase::ALL {
            let efuses = blank();
            efuses.fault().cut_at(CutPoint { op, phase });
            assert_eq!(efuses.burn(&set), Err(BurnError::PowerLost));
            assert_eq!(efuses.image().err(), Some(PowerLost));
            efuses.fault().restore_power();
            // The second attempt is cut as well.
            efuses.fault().restart_count();
            efuses.fault().cut_at(CutPoint { op: 0, phase });
            let _either_way = efuses.resume_burn(&set);
            efuses.fault().forget_cut();
            efuses.fault().restore_power();
            efuses.resume_burn(&set).unwrap();
            assert_eq!(efuses.silicon().cells(), complete.silicon().cells(), "op {op} {phase:?}");
        }
    }
}

#[test]
fn files_keep_hidden_keys_and_take_burns_of_espefuse() {
    let directory = std::env::temp_dir().join(format!("cotter-efuse-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let efuses = burned(&production());
    efuses.save(&directory).unwrap();
    let check = coding::check_bytes(&vector("digest-rsa3072_a.bin").try_into().unwrap());
    let saved = std::fs::read(directory.join(REGISTERS_FILE)).unwrap();
    let backwards: Vec<u8> = check.iter().rev().copied().collect();
    assert!(!saved.windows(12).any(|window| window == backwards), "no check bytes of a key are left");
    let load = || Efuses::load(Chip::Esp32C3, &directory, Fault::default());
    assert_eq!(load().unwrap().silicon().cells(), efuses.silicon().cells());

    let mut registers = efuses.image().unwrap();
    registers.block_mut(EfuseBlock(3)).unwrap()[0] = 0x10;
    std::fs::write(directory.join(REGISTERS_FILE), registers.to_virtual_file()).unwrap();
    let more = load().unwrap();
    assert_eq!(more.image().unwrap().block(EfuseBlock(3)).unwrap()[0], 0x10);
    assert!(!more.is_damaged(EfuseBlock(3)).unwrap());
    assert!(more.hardware_key(KeyPurpose::XTS_AES_128_KEY).is_some());

    std::fs::write(directory.join(REGISTERS_FILE), [0; 512]).unwrap();
    assert!(matches!(load(), Err(EfuseFileError::Unburned { block: EfuseBlock(0) })));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_fresh_chip_has_its_mac_and_its_revision() {
    let mac = [0x58, 0xcf, 0x79, 1, 2, 3];
    for chip in Chip::ALL {
        let revisions = match chip {
            Chip::Esp32 => [0, 300],
            Chip::Esp32P4 => [103, 301],
            Chip::Esp32H2 => [1, 102],
            _ => [0, 102],
        };
        for revision in revisions.map(ChipRevision) {
            let image = Efuses::fresh_of(chip, revision, mac, Fault::default()).image().unwrap();
            assert_eq!((image.mac(), image.revision()), (mac, revision), "{chip}");
        }
    }
}

/// The cells hold what espefuse burned, and what espefuse's file has lost, in every coding.
#[test]
fn every_file_of_espefuse_becomes_a_chip_that_reads_like_it() {
    let mut files = 0;
    for entry in std::fs::read_dir(VECTORS).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let chip = Chip::ALL.into_iter().find(|chip| name.starts_with(&format!("{chip}-")));
        let Some(chip) = chip.filter(|_| name.ends_with(".bin")) else { continue };
        let Ok(image) = EfuseImage::from_virtual_file(chip, &vector(&name)) else { continue };
        let efuses = Efuses::from_image(&image, Fault::default());
        for block in image.map().block_numbers() {
            assert_eq!(efuses.image().unwrap().block(block), image.block(block), "{name} {block}");
            assert!(!efuses.is_damaged(block).unwrap(), "{name} {block}");
        }
        files += 1;
    }
    assert!(files > 20, "{files} files");
}

#[test]
fn a_second_value_on_top_of_a_coded_block_damages_it() {
    for (chip, scheme, block) in [(Chip::Esp32, 1, 1), (Chip::Esp32C2, 0, 3), (Chip::Esp32S3, 0, 4)] {
        let mut image = EfuseImage::blank(chip);
        if let Some(field) = image.map().field("CODING_SCHEME") {
            field.merge(scheme, image.block_mut(EfuseBlock(0)).unwrap()).unwrap();
        }
        let efuses = Efuses::from_image(&image, Fault::default());
        let block = EfuseBlock(block);
        efuses.program(block, &[0x11; 24]).unwrap();
        assert!(!efuses.is_damaged(block).unwrap(), "{chip}");
        efuses.program(block, &[0x22; 24]).unwrap();
        assert!(efuses.is_damaged(block).unwrap(), "{chip}");
    }
}

proptest! {
    #[test]
    fn no_burn_of_any_chip_clears_a_bit_or_changes_a_frozen_one(
        chip in prop::sample::select(&Chip::ALL[..]),
        burns in prop::collection::vec((0..11_u8, any::<[u8; 32]>(), any::<[u8; 32]>()), 1..20),
    ) {
        let efuses = Efuses::from_image(&EfuseImage::blank(chip), Fault::new(11));
        let blocks = EfuseMap::of(chip).blocks.len();
        for (block, data, thin_out) in burns {
            let block = EfuseBlock(block % u8::try_from(blocks).unwrap());
            let before = efuses.silicon().cells();
            let frozen: Vec<u8> =
                EfuseMap::of(chip).block_numbers().flat_map(|block| efuses.silicon().frozen(block)).collect();
            let data: [u8; 32] = std::array::from_fn(|index| data[index] & thin_out[index] & thin_out[31 - index]);
            efuses.program(block, &data).unwrap();
            let after = efuses.silicon().cells();
            for (index, (before, after)) in before.iter().zip(after.iter()).enumerate() {
                let number = index / CELLS;
                prop_assert_eq!(before & !after, 0, "block {} byte {}", number, index % CELLS);
                prop_assert_eq!((before ^ after) & frozen[index], 0, "block {} byte {}", number, index % CELLS);
                prop_assert!(before == after || number == usize::from(block.0));
            }
        }
    }

    #[test]
    fn a_hidden_block_reads_as_zero_whatever_is_in_it(key in any::<[u8; 32]>(), index in 0..6_u8) {
        let efuses = blank();
        efuses.program(key_block(index), &key).unwrap();
        let image = efuses.image().unwrap();
        prop_assert_eq!(image.block(key_block(index)), Some(&key[..]));
        let mut hide = set();
        hide.field(&RD_DIS, 1 << index).unwrap();
        efuses.burn(&hide).unwrap();
        let image = efuses.image().unwrap();
        prop_assert_eq!(image.block(key_block(index)), Some(&[0; 32][..]));
    }
}

#[test]
fn a_save_cut_anywhere_loads_as_the_old_or_the_new() {
    let directory = std::env::temp_dir().join(format!("cotter-efuse-cut-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let [registers, cells] = [REGISTERS_FILE, CELLS_FILE].map(|name| directory.join(name));
    let staged = directory.join(format!("{CELLS_FILE}.new"));
    let efuses = burned(&BurnSet::new(Chip::Esp32C3));
    efuses.save(&directory).unwrap();
    let old = [&registers, &cells].map(|path| std::fs::read(path).unwrap());
    efuses.burn(&production()).unwrap();
    efuses.save(&directory).unwrap();
    let new = [&registers, &cells].map(|path| std::fs::read(path).unwrap());
    let put = |path: &std::path::Path, content: &[u8]| std::fs::write(path, content).unwrap();
    let load = || Efuses::load(Chip::Esp32C3, &directory, Fault::default()).unwrap().silicon().cells().to_vec();

    // While the cells are staged: cut short, or of the right length and empty.
    for torn in [&new[1][..100], &vec![0; new[1].len()]] {
        put(&registers, &old[0]);
        put(&cells, &old[1]);
        put(&staged, torn);
        assert_eq!(load(), old[1]);
    }
    // Before the registers are replaced, and before the cells are.
    for replaced in [&old[0], &new[0]] {
        put(&registers, replaced);
        put(&cells, &old[1]);
        put(&staged, &new[1]);
        assert_eq!(load(), new[1]);
    }
    std::fs::remove_dir_all(&directory).unwrap();
}
