//! An encrypted NVS partition as the factory makes it, for the tests.

extern crate std;
use crate::identity;
use crate::nonces;
use crate::nvs::Nvs;
use crate::platform::{Random, Region};
use cotter_chip::fault::Fault;
use cotter_chip::flash::Flash;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::nvs::entry::Key;
use cotter_formats::nvs::image::NvsImage;
use cotter_formats::nvs::keys::NvsKeys;
use cotter_formats::nvs::page::Version;
use cotter_formats::nvs::value::Value;
use cotter_formats::secret::Secret;
use cotter_wire::keys::RootKey;
use std::vec::Vec;

pub(crate) const NVS_LEN: FlashLen = FlashLen(0x4000);
pub(crate) const ROOT: [u8; 32] = [0x5a; 32];
pub(crate) const FIRST_NONCE: u32 = 10_000;

/// A P-256 key whose private half is 1: the curve's base point (SEC 2, 2.4.2) as SubjectPublicKeyInfo.
pub(crate) const TEST_SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6,
    0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98,
    0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b,
    0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
];

pub(crate) fn nvs_keys() -> NvsKeys {
    NvsKeys::new(Secret::filled_by(|keys| (0..).zip(keys).for_each(|(value, byte)| *byte = value)))
}

pub(crate) fn root_key() -> RootKey {
    RootKey::new(Secret::filled_by(|key| *key = ROOT))
}

/// What the factory puts into the store.
pub(crate) struct TestStore(Vec<(Key, Key, Value<'static>)>);

impl TestStore {
    pub(crate) fn factory() -> Self {
        let values = [
            (identity::DEVICE_ID, Value::String("esp32-001".into())),
            (identity::EPOCH, Value::U32(3)),
            (identity::ROOT_KEY, Value::Blob(ROOT.to_vec().into())),
            (identity::PROJECT, Value::String("cotter-app".into())),
            (identity::FIRMWARE_KEYS[0], Value::Blob(TEST_SPKI.into())),
            (identity::FIRMWARE_REQUIRED, Value::U32(1)),
        ];
        let mut values: Vec<_> = values.into_iter().map(|(key, value)| (identity::NAMESPACE, key, value)).collect();
        values.push((nonces::NAMESPACE, nonces::KEY, Value::U32(FIRST_NONCE)));
        Self(values)
    }

    pub(crate) fn set(mut self, key: Key, value: Value<'static>) -> Self {
        self = self.without(key);
        self.0.push((identity::NAMESPACE, key, value));
        self
    }

    pub(crate) fn without(mut self, key: Key) -> Self {
        self.0.retain(|(_, stored, _)| *stored != key);
        self
    }

    /// The encrypted partition.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut image = NvsImage::new(NVS_LEN, Version::V2).unwrap();
        for (namespace, key, value) in &self.0 {
            image.put(namespace, key, value).unwrap();
        }
        image.finish_encrypted(&nvs_keys())
    }

    /// On a flash of its own.
    pub(crate) fn mount(&self) -> Nvs<Flash> {
        let flash = Flash::with_content(self.build(), Fault::default()).unwrap();
        mount(flash, FlashAddr(0))
    }
}

/// What a boot does.
pub(crate) fn mount(flash: Flash, start: FlashAddr) -> Nvs<Flash> {
    Nvs::mount(Region::new(flash, start, NVS_LEN).unwrap(), Some(nvs_keys())).unwrap()
}

/// Bytes that count up: no two fills are equal.
#[derive(Default)]
pub(crate) struct Counting(pub(crate) u64);

impl Random for Counting {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            self.0 += 1;
            chunk.copy_from_slice(&self.0.to_be_bytes()[..chunk.len()]);
        }
    }
}
