//! The factory's side of the demo: keys, images, and the birth of a device.

use super::report::Stage;
use super::stage::Running;
use crate::image::hex;
use crate::output::Format;
use anyhow::Context;
use cotter_chip::board::VirtualChip;
use cotter_factory::burn::burn;
use cotter_factory::identity::{Identity, Product};
use cotter_factory::journal::Journal;
use cotter_factory::layout::{Content, Layout};
use cotter_factory::output::{Visibility, write_whole};
use cotter_factory::pki::{Issued, ProductCa};
use cotter_factory::plan::{KeyFiles, Plan, Step};
use cotter_factory::rehearse::{Rehearsed, rehearse};
use cotter_factory::signing::{ManifestKey, SecureBootKey, random};
use cotter_formats::chip::Chip;
use cotter_formats::flash_encryption::key::FlashKey;
use cotter_formats::flash_encryption::xts::XtsKey;
use cotter_formats::image::Image;
use cotter_formats::secret::Secret;
use cotter_wire::ids::Nonce;
use cotter_wire::keys::EnrolmentKey;
use std::path::Path;

/// The chip of the demo.
pub(crate) const CHIP: Chip = Chip::Esp32C3;
/// The name that the server's certificate must be for.
pub(crate) const HOST: &str = "localhost";
/// Project name of the firmware.
pub(crate) const PROJECT: &str = "cotter-app";
/// The last nonce that the factory counts as used.
pub(crate) const NONCE_FLOOR: Nonce = Nonce(10_000);

/// The real firmware, built by `cargo xtask firmware`.
pub(crate) const BOOT: &[u8] = include_bytes!("../../../firmware/images/boot.bin");
/// Version 1.0.0.
pub(crate) const APP_1_0_0: &[u8] = include_bytes!("../../../firmware/images/app-1.0.0.bin");
/// Version 1.1.0, with a higher secure_version.
pub(crate) const APP_1_1_0: &[u8] = include_bytes!("../../../firmware/images/app-1.1.0.bin");
/// Version 1.2.0, whose self-test fails.
pub(crate) const APP_1_2_0: &[u8] = include_bytes!("../../../firmware/images/app-1.2.0.bin");

/// All keys of the product, and its first two devices.
pub(crate) struct Workshop {
    pub(crate) secure_boot: SecureBootKey,
    pub(crate) secure_boot_digest: [u8; 32],
    pub(crate) manifest_rsa: ManifestKey,
    pub(crate) manifest_p256: ManifestKey,
    pub(crate) ca: ProductCa,
    pub(crate) server_certificate: Issued,
    pub(crate) device: Identity,
    pub(crate) neighbour: Identity,
    /// What enrolment records are sealed with; known once the server exists.
    pub(crate) enrolment_key: Option<EnrolmentKey>,
    flash_key: Secret<32>,
    layout: Layout,
}

impl Workshop {
    /// Draws every key from the system's CSPRNG and writes them into `folder`, secrets at 0600.
    pub(crate) fn make_keys(folder: &Path, format: Format) -> anyhow::Result<(Self, Stage)> {
        let mut stage = Running::start("Keys", format);
        let secure_boot = SecureBootKey::generate()?;
        let secure_boot_digest = secure_boot.digest()?;
        secure_boot.save(&folder.join("secure-boot.key.pem"))?;
        stage.done("Secure Boot V2 key, RSA-3072", format!("digest {}..", hex(&secure_boot_digest[..8])));
        let flash_key = Secret::try_filled_by(|key| random(key))?;
        write_whole(&folder.join("flash-encryption.key"), flash_key.expose(), Visibility::Secret)?;
        stage.done("flash-encryption key, XTS-AES-128", "256 bits, this device only");
        let (manifest_rsa, manifest_p256) = (ManifestKey::generate_rsa()?, ManifestKey::generate_p256()?);
        manifest_rsa.save(&folder.join("manifest-rsa.key.pem"))?;
        manifest_p256.save(&folder.join("manifest-p256.key.pem"))?;
        stage.done("manifest keys, RSA-2048 PSS and ECDSA P-256", "2 of 2 must sign a release");
        let ca = ProductCa::generate("Cotter demo product CA")?;
        ca.save(folder)?;
        stage.done("product CA, P-256", "vouches for the server and for each device");
        let server_certificate = ca.issue_server(&[HOST, "127.0.0.1"])?;
        server_certificate.save(folder, "server")?;
        stage.done("server certificate", format!("for {HOST}"));
        let device = Identity::create("solar-0001".parse()?, &ca)?;
        let neighbour = Identity::create("solar-0002".parse()?, &ca)?;
        for identity in [&device, &neighbour] {
            let path = folder.join(format!("{}.root.key", identity.device));
            write_whole(&path, identity.root.expose(), Visibility::Secret)?;
            identity.certificate.save(folder, identity.device.as_str())?;
        }
        stage.done(
            "one 256-bit root key per device",
            "HKDF-SHA256 per use, device and epoch: MAC, cipher, unwrap, downlink, requests",
        );
        let layout = Layout::two_slots(CHIP)?;
        let workshop = Self {
            secure_boot,
            secure_boot_digest,
            manifest_rsa,
            manifest_p256,
            ca,
            server_certificate,
            device,
            neighbour,
            enrolment_key: None,
            flash_key,
            layout,
        };
        Ok((workshop, stage.end()))
    }

    /// Signs, lays out and encrypts what the new device is flashed with, and plans its birth.
    pub(crate) fn make_images(&self, folder: &Path, format: Format) -> anyhow::Result<(Plan, Stage)> {
        let mut stage = Running::start("Images", format);
        let boot = self.secure_boot.sign(BOOT)?;
        let app = self.secure_boot.sign(APP_1_0_0)?;
        let label = Image::parse(APP_1_0_0, CHIP)?;
        let descriptor = label.app_descriptor().context("the application has no descriptor")?;
        stage.done("boot image signed", format!("{} bytes, V2 block, RSA-3072", boot.len()));
        stage.done(
            "application signed",
            format!("{} {}, {} bytes", descriptor.project_name(), descriptor.version(), app.len()),
        );
        let firmware_keys = [self.manifest_rsa.public_spki()?, self.manifest_p256.public_spki()?];
        let product = Product {
            project: PROJECT,
            firmware_keys: &firmware_keys,
            firmware_required: 2,
            trust_anchor: self.ca.certificate_der(),
            nonce_floor: NONCE_FLOOR,
        };
        let partition = self.layout.table.find("nvs").context("the table has no nvs")?;
        let nvs = self.device.nvs_partition(partition, &product)?;
        stage.done("partition table", format!("{} partitions, 2 OTA slots", self.layout.table.partitions().len()));
        stage.done("encrypted NVS", format!("{} bytes: identity, trust anchor, nonce floor {NONCE_FLOOR}", nvs.len()));
        let nvs_keys = self.device.nvs_keys_partition();
        let content = Content { boot: &boot, app: &app, nvs: &nvs, nvs_keys: &nvs_keys };
        let key = FlashKey::Xts(XtsKey::Aes128(Secret::filled_by(|key| key.copy_from_slice(self.flash_key.expose()))));
        let pieces = self.layout.pieces(&content, Some(&key))?;
        let encrypted: usize = pieces.iter().filter(|piece| piece.encrypted).map(|piece| piece.bytes.len()).sum();
        for piece in &pieces {
            let name = format!("{:#08x}-{}.bin", piece.at.0, piece.what.replace(' ', "-"));
            write_whole(&folder.join(name), &piece.bytes, Visibility::Secret)?;
        }
        stage.done("flash content encrypted", format!("{encrypted} bytes, XTS-AES-128 by address"));
        let mut keys = KeyFiles::default();
        keys.insert("digest0", &self.secure_boot_digest);
        keys.insert("flash", self.flash_key.expose());
        let plan = Plan::release(CHIP, &keys, pieces)?;
        Ok((plan, stage.end()))
    }

    /// Rehearses the birth on a virtual chip, then gives birth to the device on a second, fresh one.
    pub(crate) fn birth(&self, plan: Plan, folder: &Path, format: Format) -> anyhow::Result<(VirtualChip, Stage)> {
        let mut stage = Running::start("Birth", format);
        for item in plan.burns() {
            stage.done(format!("plan: {} = {}", item.name, item.value), &item.meaning);
        }
        let rehearsed: Rehearsed<Plan> = rehearse(plan, "1.0.0")?;
        for trial in rehearsed.trials() {
            stage.check(format!("rehearsal: {}", trial.name), &trial.seen, trial.passed());
        }
        let chip = VirtualChip::new(CHIP, DEVICE_MAC)?;
        let mut session = chip.power_on_in_download_mode()?;
        let mut journal = Journal::open(&folder.join("journal.jsonl"))?;
        burn(&rehearsed, self.device.device.as_str(), &mut session, &mut journal)?;
        let burns = rehearsed.get().steps().iter().filter(|step| matches!(step, Step::Burn { .. })).count();
        let writes = rehearsed.get().steps().len() - burns;
        stage.done("burned into the fresh chip", format!("{burns} burns, {writes} flash writes, journal kept"));
        Ok((chip, stage.end()))
    }
}

/// Locally administered.
pub(crate) const DEVICE_MAC: [u8; 6] = [0x02, 0xc0, 0x77, 0xe2, 0x00, 0x01];
