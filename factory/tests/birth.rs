//! A whole birth with the real firmware: planned, rehearsed, burned, booted.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_chip::board::VirtualChip;
use cotter_factory::burn::burn;
use cotter_factory::identity::{Identity, Product};
use cotter_factory::journal::Journal;
use cotter_factory::layout::{Content, Layout};
use cotter_factory::pki::ProductCa;
use cotter_factory::plan::{KeyFiles, Plan};
use cotter_factory::policy::Birth;
use cotter_factory::rehearse::{Depth, Fate, RehearsalError, rehearse, rehearse_with};
use cotter_factory::signing::{ManifestKey, SecureBootKey};
use cotter_formats::chip::Chip;
use cotter_formats::flash_encryption::key::FlashKey;
use cotter_formats::flash_encryption::xts::XtsKey;
use cotter_formats::secret::Secret;
use cotter_wire::ids::Nonce;

const BOOT: &[u8] = include_bytes!("../../firmware/images/boot.bin");
const APP: &[u8] = include_bytes!("../../firmware/images/app-1.0.0.bin");

/// `boot` and `app`: images as they come from the compiler; each is signed by the key in the tuple.
fn plan(boot_key: &SecureBootKey, app_key: &SecureBootKey, trusted: &SecureBootKey) -> Plan {
    let ca = ProductCa::generate("test CA").unwrap();
    let layout = Layout::two_slots(Chip::Esp32C3).unwrap();
    let identity = Identity::create("c3-0001".parse().unwrap(), &ca).unwrap();
    let product = Product {
        project: "cotter-app",
        firmware_keys: &[ManifestKey::generate_p256().unwrap().public_spki().unwrap()],
        firmware_required: 1,
        trust_anchor: ca.certificate_der(),
        nonce_floor: Nonce(10_000),
    };
    let nvs = identity.nvs_partition(layout.table.find("nvs").unwrap(), &product).unwrap();
    let flash_key: Secret<32> = Secret::filled_by(|key| cotter_factory::signing::random(key).unwrap());
    let content = Content {
        boot: &boot_key.sign(BOOT).unwrap(),
        app: &app_key.sign(APP).unwrap(),
        nvs: &nvs,
        nvs_keys: &identity.nvs_keys_partition(),
    };
    let key = FlashKey::Xts(XtsKey::Aes128(Secret::filled_by(|key| key.copy_from_slice(flash_key.expose()))));
    let pieces = layout.pieces(&content, Some(&key)).unwrap();
    let mut keys = KeyFiles::default();
    keys.insert("digest0", &trusted.digest().unwrap());
    keys.insert("flash", flash_key.expose());
    Plan::release(Chip::Esp32C3, &keys, pieces).unwrap()
}

#[test]
fn a_rehearsed_plan_burns_and_boots() {
    let key = SecureBootKey::generate().unwrap();
    let rehearsed = rehearse(plan(&key, &key, &key), "1.0.0").unwrap();
    let tried: Vec<_> = rehearsed.trials().iter().map(|trial| (trial.name.as_str(), trial.expected.as_str())).collect();
    assert_eq!(
        tried,
        [
            ("power on", "verified and booted 1.0.0"),
            ("unsigned boot image", "unsigned"),
            ("boot image signed by somebody else", "untrusted-key"),
            ("modified boot image", "hash-mismatch"),
            ("modified boot image, checksum and SHA-256 mended", "signed-digest-mismatch"),
            ("plaintext boot image", "invalid-header"),
            ("unsigned application", "unsigned"),
            ("application signed by somebody else", "untrusted-key"),
            ("modified application", "checksum-mismatch"),
            ("modified application, checksum and SHA-256 mended", "signed-digest-mismatch"),
            ("plaintext application", "invalid-header"),
            ("flash readout", "0 blocks in clear"),
            ("BLOCK_KEY1 readout (XTS_AES_128_KEY)", "reads as zero"),
            ("loader reads eFuses", "secure-mode"),
            ("loader reads flash", "secure-mode"),
            ("second Secure Boot key", "changes nothing"),
            ("JTAG", "disabled"),
            ("second burn", "changes nothing"),
        ]
    );
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.jsonl");
    let chip = VirtualChip::new(Chip::Esp32C3, [2, 0, 0, 0, 0, 9]).unwrap();
    let mut session = chip.power_on_in_download_mode().unwrap();
    burn(&rehearsed, "c3-0001", &mut session, &mut Journal::open(&journal).unwrap()).unwrap();
    let report = chip.power_on();
    let app = report.booted().expect("boots");
    assert!(app.is_verified);
    assert_eq!((app.version.as_str(), app.project_name.as_str()), ("1.0.0", "cotter-app"));
    let text = std::fs::read_to_string(journal).unwrap();
    assert_eq!(text.lines().count(), 2 + 2 * rehearsed.get().steps().len());
}

#[test]
fn an_application_signed_by_another_key_never_reaches_silicon() {
    let (key, other) = (SecureBootKey::generate().unwrap(), SecureBootKey::generate().unwrap());
    let refused = rehearse(plan(&key, &other, &key), "1.0.0").unwrap_err();
    assert!(matches!(refused, RehearsalError::Failed(_)));
    assert!(refused.to_string().contains("power on: expected verified and booted 1.0.0, saw no-bootable-app"));
}

#[test]
fn a_digest_of_another_key_never_reaches_silicon() {
    let (key, other) = (SecureBootKey::generate().unwrap(), SecureBootKey::generate().unwrap());
    let refused = rehearse(plan(&key, &key, &other), "1.0.0").unwrap_err();
    assert!(refused.to_string().contains("power on: expected verified and booted 1.0.0, saw untrusted-key"));
}

#[test]
fn a_whole_rehearsal_tries_wrong_orders_and_power_cuts() {
    let key = SecureBootKey::generate().unwrap();
    let plan = plan(&key, &key, &key);
    let birth = Birth::of(plan, "1.0.0");
    let rehearsed = rehearse_with(birth, Depth::Full, &mut |_| ()).unwrap();
    let verdict = rehearsed.verdict();
    println!("{:#?}\n{:#?}", verdict.cuts, verdict.orders);
    assert!(verdict.passed());
    // Ten births for each command of a burn, three for each operation on the flash.
    let commands = verdict.cuts.burns / 10;
    assert_eq!((verdict.cuts.burns % 10, verdict.cuts.writes), (0, 3 * (verdict.cuts.operations - commands)));
    assert!(verdict.cuts.operations > 1000 && commands > 5, "{:?}", verdict.cuts);
    assert_eq!(verdict.cuts.finished + verdict.cuts.unprotected.len(), verdict.cuts.burns + verdict.cuts.writes);
    let fate = |first: &str| verdict.orders.iter().find(|order| order.steps[0] == first).unwrap().fate;
    assert_eq!(fate("content"), Fate::Works);
}
