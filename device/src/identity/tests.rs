extern crate std;
use super::*;
use crate::test_store::{TEST_SPKI, TestStore, root_key};
use cotter_chip::flash::FlashError;
use cotter_formats::nvs::value::Value;
use std::string::ToString;

fn refusal(store: &TestStore) -> IdentityError<FlashError> {
    Identity::load(&mut store.mount()).unwrap_err()
}

#[test]
fn reads_what_the_factory_wrote() {
    let identity = Identity::load(&mut TestStore::factory().mount()).unwrap();
    assert_eq!((identity.device.as_str(), identity.epoch), ("esp32-001", KeyEpoch(3)));
    assert_eq!(identity.project().as_str(), "cotter-app");
    let keys = DeviceKeys::derive(&root_key(), &"esp32-001".parse().unwrap(), KeyEpoch(3));
    assert_eq!(identity.keys().telemetry_mac.expose(), keys.telemetry_mac.expose());
    assert_eq!(identity.keys().firmware_unwrap.expose(), keys.firmware_unwrap.expose());
}

#[test]
fn names_what_is_missing() {
    for key in [DEVICE_ID, EPOCH, ROOT_KEY, PROJECT, FIRMWARE_REQUIRED] {
        assert_eq!(refusal(&TestStore::factory().without(key)), IdentityError::Missing { key });
    }
    assert_eq!(IdentityError::<FlashError>::Missing { key: EPOCH }.to_string(), "identity: epoch is missing");
}

#[test]
fn refuses_what_is_wrong() {
    let with = |key, value| refusal(&TestStore::factory().set(key, value));
    let name = with(DEVICE_ID, Value::String("ESP32".into()));
    assert_eq!(name, IdentityError::DeviceId(DeviceIdError::Alphabet { at: 0 }));
    let long = with(DEVICE_ID, Value::String("a".repeat(33).into()));
    assert_eq!(long, IdentityError::Store(NvsError::Room { needed: 34, room: 33 }));
    let root = with(ROOT_KEY, Value::Blob([0; 31].to_vec().into()));
    assert_eq!(root, IdentityError::RootKey { len: 31 });
    let root = with(ROOT_KEY, Value::Blob([0; 33].to_vec().into()));
    assert_eq!(root, IdentityError::Store(NvsError::Room { needed: 33, room: 32 }));
    let project = with(PROJECT, Value::String("cotter\"app".into()));
    assert_eq!(project, IdentityError::Project);
    assert!(matches!(with(EPOCH, Value::String("1".into())), IdentityError::Store(NvsError::Type { .. })));
}

#[test]
fn refuses_firmware_keys_that_protect_nothing() {
    let with = |key, value| refusal(&TestStore::factory().set(key, value));
    let none = refusal(&TestStore::factory().without(FIRMWARE_KEYS[0]));
    assert_eq!(none, IdentityError::Policy(PolicyError::Threshold { required: 1, keys: 0 }));
    for required in [0, 2, u32::MAX] {
        let threshold = PolicyError::Threshold { required: required as usize, keys: 1 };
        assert_eq!(with(FIRMWARE_REQUIRED, Value::U32(required)), IdentityError::Policy(threshold));
    }
    let twice = with(FIRMWARE_KEYS[1], Value::Blob(TEST_SPKI.to_vec().into()));
    assert!(matches!(twice, IdentityError::Policy(PolicyError::DuplicateKey(_))));
    let short = with(FIRMWARE_KEYS[1], Value::Blob(TEST_SPKI[1..].to_vec().into()));
    assert_eq!(short, IdentityError::FirmwareKey { key: FIRMWARE_KEYS[1], source: KeyError::Kind });
}
