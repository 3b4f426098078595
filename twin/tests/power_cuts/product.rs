//! A product as its factory has it: keys, signed images, releases, and devices that were really born.

use cotter_chip::board::VirtualChip;
use cotter_factory::burn::burn;
use cotter_factory::identity::{Identity, Product as ProductData};
use cotter_factory::journal::Journal;
use cotter_factory::layout::{Content, Layout};
use cotter_factory::pki::{Issued, ProductCa};
use cotter_factory::plan::{KeyFiles, Plan};
use cotter_factory::rehearse::rehearse;
use cotter_factory::release::Release;
use cotter_factory::signing::{ManifestKey, SecureBootKey, random};
use cotter_formats::chip::Chip;
use cotter_formats::flash_encryption::key::FlashKey;
use cotter_formats::flash_encryption::xts::XtsKey;
use cotter_formats::image::{AppDescriptor, BuildOptions, build_app};
use cotter_formats::secret::Secret;
use cotter_wire::content::WrappedKey;
use cotter_wire::ids::{Nonce, ReleaseId, UnixTime};
use cotter_wire::keys::DeviceKeys;
use cotter_wire::manifest::{Envelope, MAX_ENVELOPE, encode_envelope};
use cotter_wire::version::Version;
use std::ops::Range;
use std::sync::LazyLock;
use std::time::Duration;

/// The first packet of a new device has the nonce after this one.
pub(crate) const NONCE_FLOOR: u32 = 10_000;
/// When the releases were signed.
pub(crate) const ISSUED: UnixTime = UnixTime(1_800_000_000);

const BOOT: &[u8] = include_bytes!("../../../firmware/images/boot.bin");
const APPLICATIONS: [(&str, &[u8]); 3] = [
    ("1.0.0", include_bytes!("../../../firmware/images/app-1.0.0.bin")),
    ("1.1.0", include_bytes!("../../../firmware/images/app-1.1.0.bin")),
    ("1.2.0", include_bytes!("../../../firmware/images/app-1.2.0.bin")),
];

/// With the images as they were compiled.
pub(crate) static WHOLE: LazyLock<Product> = LazyLock::new(|| Product::new(<[u8]>::to_vec));
/// With small images that say the same about themselves, so that more cuts can be tried in the same time.
pub(crate) static SMALL: LazyLock<Product> = LazyLock::new(|| Product::new(shortened));

/// One product with one device.
pub(crate) struct Product {
    secure_boot: SecureBootKey,
    manifest_keys: [ManifestKey; 2],
    ca: ProductCa,
    identity: Identity,
    /// Version and signed image.
    images: Vec<(&'static str, Vec<u8>)>,
}

/// A release as the server offers it to the device.
pub(crate) struct Offer {
    pub(crate) version: Version,
    pub(crate) id: ReleaseId,
    pub(crate) envelope: Vec<u8>,
    pub(crate) content: Vec<u8>,
}

impl Product {
    fn new(of: impl Fn(&[u8]) -> Vec<u8>) -> Self {
        let secure_boot = SecureBootKey::generate().unwrap();
        let ca = ProductCa::generate("test CA").unwrap();
        let identity = Identity::create("c3-0001".parse().unwrap(), &ca).unwrap();
        let signed = |image: &[u8]| secure_boot.sign(&of(image)).unwrap();
        let images = APPLICATIONS.map(|(version, image)| (version, signed(image))).to_vec();
        let manifest_keys = [ManifestKey::generate_rsa().unwrap(), ManifestKey::generate_p256().unwrap()];
        Self { secure_boot, manifest_keys, ca, identity, images }
    }

    /// Plans the device's birth with 1.0.0 in it, rehearses it, and burns a fresh chip. It was never switched on.
    pub(crate) fn birth(&self) -> VirtualChip {
        let layout = Layout::two_slots(Chip::Esp32C3).unwrap();
        let product = ProductData {
            project: "cotter-app",
            firmware_keys: &self.manifest_keys.each_ref().map(|key| key.public_spki().unwrap()),
            firmware_required: 2,
            trust_anchor: self.ca.certificate_der(),
            nonce_floor: Nonce(NONCE_FLOOR),
        };
        let flash_key: Secret<32> = Secret::filled_by(|key| random(key).unwrap());
        let content = Content {
            boot: &self.secure_boot.sign(BOOT).unwrap(),
            app: self.image("1.0.0"),
            nvs: &self.identity.nvs_partition(layout.table.find("nvs").unwrap(), &product).unwrap(),
            nvs_keys: &self.identity.nvs_keys_partition(),
        };
        let key = FlashKey::Xts(XtsKey::Aes128(Secret::filled_by(|key| key.copy_from_slice(flash_key.expose()))));
        let pieces = layout.pieces(&content, Some(&key)).unwrap();
        let mut keys = KeyFiles::default();
        keys.insert("digest0", &self.secure_boot.digest().unwrap());
        keys.insert("flash", flash_key.expose());
        let plan = Plan::release(Chip::Esp32C3, &keys, pieces).unwrap();
        let rehearsed = rehearse(plan, "1.0.0").unwrap();

        let chip = VirtualChip::new(Chip::Esp32C3, [2, 0, 0, 0, 0, 9]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("journal.jsonl")).unwrap();
        burn(&rehearsed, "c3-0001", &mut chip.power_on_in_download_mode().unwrap(), &mut journal).unwrap();
        chip
    }

    /// The signed image of a version.
    pub(crate) fn image(&self, version: &str) -> &[u8] {
        let found = self.images.iter().find(|(known, _)| *known == version);
        found.map(|(_, image)| image.as_slice()).expect("a version of this product")
    }

    /// The release of a version, its content key wrapped for the device.
    pub(crate) fn offer(&self, version: &str) -> Offer {
        let signers = self.manifest_keys.each_ref();
        let image = self.image(version).to_vec();
        let release =
            Release::prepare(image, Chip::Esp32C3, &signers, ISSUED, Duration::from_secs(30 * 86_400)).unwrap();
        let Identity { device, epoch, .. } = &self.identity;
        let key = &self.keys().firmware_unwrap;
        let wrapped = WrappedKey::wrap(key, device, *epoch, &release.id, [7; 12], &release.content_key);
        let stored = Envelope::parse(&release.envelope).unwrap();
        let mut out = [0; MAX_ENVELOPE];
        let envelope = encode_envelope(stored.body(), stored.signatures(), Some(&wrapped), &mut out).unwrap().to_vec();
        Offer { version: release.manifest.version, id: release.id, envelope, content: release.content() }
    }

    /// A certificate of a server that the device trusts.
    #[allow(dead_code, reason = "for the evil server, which shares this file")]
    pub(crate) fn server_certificate(&self, host: &str) -> Issued {
        self.ca.issue_server(&[host]).unwrap()
    }

    /// The device's keys, which the server has too.
    pub(crate) fn keys(&self) -> DeviceKeys {
        let Identity { root, device, epoch, .. } = &self.identity;
        DeviceKeys::derive(root, device, *epoch)
    }
}

/// An image with the description of `image` (descriptor and register map), and 6 KB of constants instead of its code:
/// three sectors with the signature, the last chunk nothing but padding.
fn shortened(image: &[u8]) -> Vec<u8> {
    /// Descriptor and register map in the image file.
    const DESCRIPTION: Range<usize> = 0x20..0x180;
    const HEADER: usize = 52;
    const NAMES: &[u8] = b"\0.flash.appdesc\0.shstrtab\0";
    const ADDRESS: u32 = 0x3c00_0020;
    let mut content = image[DESCRIPTION].to_vec();
    // The builder puts the digest of its own ELF file there.
    let digest = AppDescriptor::ELF_SHA256_OFFSET as usize - DESCRIPTION.start;
    content[digest..digest + 32].fill(0);
    // Bytes that no two places share by chance, so that a chunk in the wrong place is noticed.
    content.extend((0..6000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]));

    let number = |value: usize| u32::try_from(value).unwrap();
    let section = |name: u32, kind: u32, address: u32, offset: usize, len: usize| {
        [name, kind, 0, address, number(offset), number(len), 0, 0, 4, 0].map(u32::to_le_bytes).concat()
    };
    let names_at = HEADER + content.len();
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xf3\0\x01\0\0\0".to_vec();
    elf.extend([ADDRESS, 0, number(names_at + NAMES.len()), 0].map(u32::to_le_bytes).concat());
    elf.extend([52_u16, 0, 0, 40, 3, 2].map(u16::to_le_bytes).concat());
    elf.extend(&content);
    elf.extend(NAMES);
    elf.extend(section(0, 0, 0, 0, 0));
    elf.extend(section(1, 1, ADDRESS, HEADER, content.len()));
    elf.extend(section(16, 3, 0, names_at, NAMES.len()));
    build_app(&elf, &BuildOptions::new(Chip::Esp32C3)).unwrap()
}
