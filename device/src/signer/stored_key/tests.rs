extern crate std;
use super::*;
use crate::test_store::{Counting, TestStore, mount};
use cotter_chip::fault::{CutPoint, Fault, Phase};
use cotter_chip::flash::{Flash, FlashError};
use cotter_formats::addr::FlashAddr;
use cotter_formats::nvs::value::Value;
use hex_literal::hex;
use std::format;

const ORDER: [u8; 32] = hex!("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");

/// RFC 6979 A.2.5: the key, X and Y, and the signatures of "sample" and "test" with SHA-256.
const KEY: [u8; 32] = hex!("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
const PUBLIC: [u8; 64] = hex!(
    "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
);
const SAMPLE: [u8; 64] = hex!(
    "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
);
const TEST: [u8; 64] = hex!(
    "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367"
    "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"
);

fn holding(scalar: &[u8]) -> TestStore {
    TestStore::factory().set(SIGN_KEY, Value::Blob(scalar.to_vec().into()))
}

fn refusal(store: &TestStore) -> StoredKeyError<FlashError> {
    StoredKey::load(&mut store.mount()).unwrap_err()
}

#[test]
fn the_factorys_key_signs_as_rfc_6979_says() {
    let mut key = StoredKey::load(&mut holding(&KEY).mount()).unwrap();
    assert_eq!(key.public_key(), Ok(PUBLIC));
    assert_eq!(key.sign(b"sample"), Ok(SAMPLE));
    assert_eq!(key.sign(b"test"), Ok(TEST));
    assert_eq!(format!("{key:?}"), "StoredKey(..)");
}

#[test]
fn what_is_no_key_is_refused_by_name() {
    assert_eq!(refusal(&TestStore::factory()), StoredKeyError::Missing);
    for len in [0, 1, 31, 33, 64] {
        assert_eq!(refusal(&holding(&KEY.repeat(2)[..len])), StoredKeyError::Length { len });
    }
    for scalar in [[0; 32], ORDER, [0xff; 32]] {
        assert_eq!(refusal(&holding(&scalar)), StoredKeyError::Scalar);
    }
    let mut largest = ORDER;
    largest[31] -= 1;
    assert!(StoredKey::load(&mut holding(&largest).mount()).is_ok());
    let text = TestStore::factory().set(SIGN_KEY, Value::String("key".into()));
    assert!(matches!(refusal(&text), StoredKeyError::Store(NvsError::Type { .. })));
}

#[test]
fn a_key_that_the_device_made_is_there_after_a_boot_and_is_not_made_twice() {
    let mut store = TestStore::factory().mount();
    let public = StoredKey::generate(&mut store, &mut Counting::default()).unwrap().public_key();
    let mut again = mount(store.unmount().into_flash(), FlashAddr(0));
    assert_eq!(StoredKey::load(&mut again).unwrap().public_key(), public);
    let mut random = Counting(99);
    assert_eq!(StoredKey::generate(&mut again, &mut random).unwrap_err(), StoredKeyError::Exists);
    assert_eq!(StoredKey::load(&mut again).unwrap().public_key(), public);
    for bad in [holding(&[0; 32]), holding(&[]), TestStore::factory().set(SIGN_KEY, Value::U32(1))] {
        assert_eq!(StoredKey::generate(&mut bad.mount(), &mut random).unwrap_err(), StoredKeyError::Exists);
    }
}

/// Gives what is no scalar so many times, then one.
struct Late(usize);

impl Random for Late {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(if self.0 == 0 { 0x11 } else { 0xff });
        self.0 = self.0.saturating_sub(1);
    }
}

#[test]
fn a_source_without_scalars_is_asked_a_few_times_and_then_refused() {
    assert!(StoredKey::generate(&mut TestStore::factory().mount(), &mut Late(ATTEMPTS - 1)).is_ok());
    let mut store = TestStore::factory().mount();
    assert_eq!(StoredKey::generate(&mut store, &mut Late(ATTEMPTS)).unwrap_err(), StoredKeyError::Random);
    assert_eq!(StoredKey::load(&mut store).unwrap_err(), StoredKeyError::Missing, "nothing was stored");
}

/// Cut at every operation: afterwards there is no key, or the one that was made, and the next boot has one either way.
#[test]
fn a_power_cut_leaves_a_whole_key_or_none() {
    let content = TestStore::factory().build();
    let made = |fault: Fault| {
        let flash = Flash::with_content(content.clone(), fault).unwrap();
        (flash.clone(), mount(flash, FlashAddr(0)))
    };
    let (flash, mut store) = made(Fault::default());
    let before = flash.fault().operations();
    let public = StoredKey::generate(&mut store, &mut Counting::default()).unwrap().public_key();
    let after = flash.fault().operations();
    assert!(after > before);
    let (mut none, mut whole) = (0, 0);
    for op in before..after {
        for phase in Phase::ALL {
            let (flash, mut store) = made(Fault::new(op));
            flash.fault().cut_at(CutPoint { op, phase });
            StoredKey::generate(&mut store, &mut Counting::default()).expect_err("the power was cut");
            flash.fault().restore_power();
            let mut store = mount(flash.clone(), FlashAddr(0));
            match StoredKey::load(&mut store) {
                Ok(mut key) => {
                    assert_eq!(key.public_key(), public, "{op} {phase:?}");
                    whole += 1;
                }
                Err(refused) => {
                    assert_eq!(refused, StoredKeyError::Missing, "{op} {phase:?}");
                    StoredKey::generate(&mut store, &mut Counting(99)).unwrap();
                    none += 1;
                }
            }
            assert!(StoredKey::load(&mut mount(flash, FlashAddr(0))).is_ok(), "{op} {phase:?}");
        }
    }
    assert!(none > 0 && whole > 0, "{none} {whole}");
}
