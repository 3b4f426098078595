//! A batch of devices: each complete and its own, resumed without harm, refused by name.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_factory::batch::{Batch, DeviceList, Mode, NvsScheme, Recipe};
use cotter_factory::certificate::Certificates;
use cotter_factory::ds;
use cotter_factory::pki::{ProductCa, Validity, now};
use cotter_factory::public_key::PublicKey;
use cotter_formats::addr::FlashLen;
use cotter_formats::chip::Chip;
use cotter_formats::ds::{DsData, EfuseKeyId};
use cotter_formats::hmac_key::HmacKey;
use cotter_formats::nvs::{NvsKeys, Value, read_partition};
use cotter_formats::secure_cert::{TlvType, inspect};
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

fn recipe(chip: Chip, mode: Mode, nvs_scheme: NvsScheme) -> Recipe {
    Recipe {
        chip,
        ca: ProductCa::generate("Batch Test CA").unwrap(),
        validity: Validity::days(now().unwrap(), 30).unwrap(),
        mode,
        block: EfuseKeyId::new(1).unwrap(),
        nvs_scheme,
        nvs_size: FlashLen(0x3000),
        nvs_template: None,
        nvs_folder: PathBuf::new(),
    }
}

fn counted(count: usize) -> DeviceList {
    DeviceList::Counted { prefix: "d-".to_owned(), count }
}

fn burned(folder: &Path, name: &str) -> HmacKey {
    HmacKey::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
}

#[test]
fn every_device_is_whole_and_no_secret_is_drawn_twice() {
    let hmac = NvsScheme::Hmac(EfuseKeyId::new(2).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(Chip::Esp32C3, Mode::Ds(2048), hmac);
    let told = AtomicUsize::new(0);
    let batch = Batch::open(folder.path(), &recipe).unwrap();
    let summary = batch
        .run(&counted(12), |done| {
            told.fetch_max(done, Ordering::Relaxed);
        })
        .unwrap();
    assert_eq!((summary.made, summary.kept, told.into_inner()), (12, 0, 12));
    let mut secrets = HashSet::new();
    for number in 1..=12 {
        let device = folder.path().join(format!("d-{number:02}"));
        let bytes = fs::read(device.join("esp_secure_cert.bin")).unwrap();
        let read = inspect(&bytes, Some(Chip::Esp32C3));
        assert_eq!(read.findings, []);
        let certificate = Certificates::read(read.entry(TlvType::DEVICE_CERT, 0).unwrap().data).unwrap();
        let PublicKey::Rsa(public) = certificate.public_key().unwrap() else { panic!("RSA") };
        let data = DsData::parse(read.entry(TlvType::DS_DATA, 0).unwrap().data).unwrap();
        let key = burned(&device, "block_key1_hmac_down_digital_signature.bin");
        assert_eq!(ds::check(&data, &key, Some(&public)).unwrap().rsa_bits, 2048);
        let up = burned(&device, "block_key2_hmac_up.bin");
        let nvs_keys = NvsKeys::from_hmac(|message| Ok::<_, ()>(up.mac(message))).unwrap();
        let items = read_partition(&fs::read(device.join("nvs.bin")).unwrap(), Some(&nvs_keys)).unwrap();
        assert!(items[0].value == Value::string(format!("d-{number:02}")));
        for secret in [key.expose().to_vec(), up.expose().to_vec(), data.iv.to_vec(), public.n.clone()] {
            assert!(secrets.insert(secret), "drawn twice");
        }
        for entry in fs::read_dir(&device).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            let public = entry.path().extension().is_some_and(|end| end == "pem" || end == "json");
            assert_eq!(mode, if public { 0o644 } else { 0o600 }, "{}", entry.path().display());
        }
        assert_eq!(fs::metadata(&device).unwrap().permissions().mode() & 0o777, 0o700);
    }
    let index = fs::read_to_string(folder.path().join("index.csv")).unwrap();
    assert_eq!(index.lines().count(), 13);
    assert!(index.lines().nth(1).unwrap().starts_with("d-01,esp32c3,ds-rsa2048,RSA-2048,"), "{index}");
}

#[test]
fn every_mode_makes_partitions_that_read_without_a_finding() {
    for (chip, mode, burn) in [
        (Chip::Esp32H2, Mode::EcdsaPeripheral, "block_key1_ecdsa_key.pem"),
        (Chip::Esp32S3, Mode::HmacDerived, "block_key1_hmac_up.bin"),
        (Chip::Esp32P4, Mode::HmacEncrypted, "block_key1_hmac_up.bin"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let recipe = recipe(chip, mode, NvsScheme::FlashEncryption);
        Batch::open(folder.path(), &recipe).unwrap().run(&counted(2), |_| ()).unwrap();
        let device = folder.path().join("d-1");
        let bytes = fs::read(device.join("esp_secure_cert.bin")).unwrap();
        assert_eq!(inspect(&bytes, Some(chip)).findings, [], "{chip}");
        assert!(device.join(burn).exists() && device.join("nvs_keys.bin").exists());
    }
}

/// Every file of a device with its content.
fn content(device: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(device)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_stopped_batch_goes_on_and_keeps_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(Chip::Esp32H2, Mode::EcdsaPeripheral, NvsScheme::FlashEncryption);
    Batch::open(folder.path(), &recipe).unwrap().run(&counted(3), |_| ()).unwrap();
    let before = content(&folder.path().join("d-2"));
    fs::remove_dir_all(folder.path().join("d-3")).unwrap();
    // What a run leaves that was killed in the middle of a device.
    let unfinished = folder.path().join(".cotter-device-killed");
    fs::create_dir(&unfinished).unwrap();
    fs::write(unfinished.join("nvs.bin"), "half").unwrap();
    let batch = Batch::open(folder.path(), &recipe).unwrap();
    assert!(!unfinished.exists());
    let busy = Batch::open(folder.path(), &recipe).err().unwrap().to_string();
    assert!(busy.starts_with("another batch is at work in "), "{busy}");
    let summary = batch.run(&counted(3), |_| ()).unwrap();
    assert_eq!((summary.made, summary.kept), (1, 2));
    assert!(content(&folder.path().join("d-2")) == before);
    drop(batch);
    assert_eq!(Batch::open(folder.path(), &recipe).unwrap().run(&counted(3), |_| ()).unwrap().kept, 3);
}

#[test]
fn refuses_by_name_and_what_is_finished_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("devices.csv");
    let out = folder.path().join("out");
    let run = |recipe: &Recipe, list: &str| {
        fs::write(&path, list).unwrap();
        let list = DeviceList::Csv { path: path.clone(), id_column: "id".to_owned() };
        Batch::open(&out, recipe).unwrap().run(&list, |_| ()).err().unwrap().to_string()
    };
    let made = recipe(Chip::Esp32H2, Mode::EcdsaPeripheral, NvsScheme::FlashEncryption);
    assert_eq!(run(&made, "id\na\nb\na\n"), "device \"a\" is in the list twice");
    assert!(out.join("a/device.json").exists());
    let other = recipe(Chip::Esp32H2, Mode::EcdsaPeripheral, NvsScheme::FlashEncryption);
    let says = "device \"a\" is there already, but of another chip, mode or CA";
    assert_eq!(run(&other, "id\na\n"), says, "another CA");
    let none = recipe(Chip::Esp32C2, Mode::Ds(2048), NvsScheme::FlashEncryption);
    assert_eq!(run(&none, "id\nc\n"), "device \"c\": the esp32c2 has no digital signature peripheral");
    let clash = recipe(Chip::Esp32C3, Mode::Ds(2048), NvsScheme::Hmac(EfuseKeyId::new(1).unwrap()));
    assert_eq!(run(&clash, "id\nc\n"), "device \"c\": BLOCK_KEY1 is wanted for two different keys");
    assert!(!out.join("c").exists());
    let leftovers = fs::read_dir(&out)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".cotter-device-"));
    assert_eq!(leftovers.count(), 0);
}

#[test]
fn the_nvs_template_takes_its_values_from_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("devices.csv");
    fs::write(&path, "id,site\nm1,north\nm2,south\n").unwrap();
    let mut recipe = recipe(Chip::Esp32S3, Mode::HmacDerived, NvsScheme::Hmac(EfuseKeyId::new(1).unwrap()));
    recipe.nvs_template = Some("key,type,encoding,value\napp,namespace,,\nwho,data,string,{id}@{site}\n".to_owned());
    let list = DeviceList::Csv { path, id_column: "id".to_owned() };
    let out = folder.path().join("out");
    let seen = Mutex::new(0);
    Batch::open(&out, &recipe).unwrap().run(&list, |done| *seen.lock().unwrap() = done).unwrap();
    // One HMAC_UP key serves both: the derived key and NVS.
    let key = burned(&out.join("m2"), "block_key1_hmac_up.bin");
    let keys = NvsKeys::from_hmac(|message| Ok::<_, ()>(key.mac(message))).unwrap();
    let items = read_partition(&fs::read(out.join("m2/nvs.bin")).unwrap(), Some(&keys)).unwrap();
    assert!(items[0].value == Value::string("m2@south"));
    assert!(!out.join("m2/nvs_keys.bin").exists());
}
