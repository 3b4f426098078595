//! A device with the code that ships in flash, on a flash of its own.

use super::Product;
use super::device::Device;
use cotter_chip::fault::Fault;
use cotter_chip::flash::Flash;
use cotter_device::identity::{self, Identity};
use cotter_device::nonces;
use cotter_device::nvs::Nvs;
use cotter_device::platform::{Random, Region};
use cotter_device::self_test::Promise;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::nvs::image::NvsImage;
use cotter_formats::nvs::keys::NvsKeys;
use cotter_formats::nvs::page::Version as Layout;
use cotter_formats::nvs::value::Value;
use cotter_formats::secret::Secret;
use cotter_wire::ids::SecureVersion;
use cotter_wire::version::Version;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;

/// Four registers and what is in them.
pub const VALUES: [(u8, u16); 4] = [(0, 2300), (1, 1700), (2, 5000), (9, 4000)];
/// Which firmware runs.
pub const FIRMWARE: Promise = Promise { version: Version::new(1, 0, 0), secure_version: SecureVersion(0) };
/// What the factory wrote as the last used nonce.
pub const FLOOR: u32 = 10_000;

/// Flash with an encrypted NVS partition, as the factory leaves it.
pub struct Board {
    pub flash: Flash,
}

impl Board {
    pub fn new(product: &Product, device: &Device) -> Self {
        let key =
            SubjectPublicKeyInfoDer::from_pem_file(product.directory.path().join(&product.signers.public_key_files[0]))
                .unwrap();
        let root = device.root.expose().to_vec();
        let mut image = NvsImage::new(LEN, Layout::V2).unwrap();
        for (name, value) in [
            (identity::DEVICE_ID, Value::String(device.id.to_string().into())),
            (identity::EPOCH, Value::U32(device.epoch.0)),
            (identity::ROOT_KEY, Value::Blob(root.into())),
            (identity::PROJECT, Value::String("cotter-app".into())),
            (identity::FIRMWARE_KEYS[0], Value::Blob(key.to_vec().into())),
            (identity::FIRMWARE_REQUIRED, Value::U32(1)),
        ] {
            image.put(&identity::NAMESPACE, &name, &value).unwrap();
        }
        image.put(&nonces::NAMESPACE, &nonces::KEY, &Value::U32(FLOOR)).unwrap();
        let flash = Flash::with_content(image.finish_encrypted(&keys()), Fault::default()).unwrap();
        Self { flash }
    }

    /// The same device on another flash.
    pub fn with_content(content: Vec<u8>) -> Self {
        Self { flash: Flash::with_content(content, Fault::default()).unwrap() }
    }

    /// What a boot does.
    pub fn boot(&self) -> (Nvs<Flash>, Identity) {
        let region = Region::new(self.flash.clone(), FlashAddr(0), LEN).unwrap();
        let mut store = Nvs::mount(region, Some(keys())).unwrap();
        let identity = Identity::load(&mut store).unwrap();
        (store, identity)
    }
}

/// The host's randomness as the device's.
pub struct HostRandom;

impl Random for HostRandom {
    fn fill(&mut self, out: &mut [u8]) {
        aws_lc_rs::rand::fill(out).unwrap();
    }
}

fn keys() -> NvsKeys {
    NvsKeys::new(Secret::filled_by(|keys| keys.fill(0x33)))
}

const LEN: FlashLen = FlashLen(0x4000);
