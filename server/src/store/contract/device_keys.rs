//! Keys of devices: a few each, of one device each, noted when they come and go.

use super::{enrolled, entry, id};
use crate::store::Store;
use crate::store::device_keys::{DeviceKeyAdded, DeviceKeyRecord, MOST_KEYS};
use cotter_wire::ids::KeyId;

fn key(device: &str, number: u8, added_at: u64, expires_at: Option<u64>) -> DeviceKeyRecord {
    DeviceKeyRecord { device: id(device), id: KeyId([number; 8]), spki: vec![number; 91], added_at, expires_at }
}

pub(super) async fn keys_of_devices_are_few_and_of_one_device_each(store: impl Store) {
    let add = async |key| store.add_device_key(key, entry(7)).await.unwrap();
    let keys = async |device| store.device_keys(id(device)).await.unwrap();
    let notes = async || store.audit_lines(0, 100).await.unwrap().len();
    assert_eq!(add(key("a", 1, 5, None)).await, DeviceKeyAdded::UnknownDevice);
    assert_eq!(keys("a").await, None);
    enrolled(&store, "a", 0).await;
    enrolled(&store, "b", 0).await;
    assert_eq!(keys("a").await, Some(vec![]));
    let first = key("a", 1, 5, None);
    assert_eq!(add(first.clone()).await, DeviceKeyAdded::Added);
    assert_eq!(add(key("a", 1, 6, Some(9))).await, DeviceKeyAdded::AlreadyThere);
    assert_eq!(add(key("b", 1, 6, None)).await, DeviceKeyAdded::OfOtherDevice);
    let (second, third) = (key("a", 2, 6, Some(10)), key("a", 3, 6, Some(20)));
    assert_eq!((add(second.clone()).await, add(third.clone()).await), (DeviceKeyAdded::Added, DeviceKeyAdded::Added));
    assert_eq!(keys("a").await, Some(vec![first.clone(), second.clone(), third.clone()]));
    assert_eq!((add(key("a", 4, 9, None)).await, keys("a").await.unwrap().len()), (DeviceKeyAdded::Full, MOST_KEYS));
    assert_eq!(notes().await, 5, "two devices, three keys; refusals note nothing here");
    // One expires: it stays to be told from a stranger's, until its place is wanted.
    let fourth = key("a", 4, 10, None);
    assert_eq!(add(fourth.clone()).await, DeviceKeyAdded::Added);
    assert_eq!(keys("a").await, Some(vec![first.clone(), third.clone(), fourth.clone()]));
    assert_eq!(add(key("a", 5, 19, None)).await, DeviceKeyAdded::Full);
    // The same one again, once it has expired.
    let renewed = key("a", 3, 20, Some(30));
    assert_eq!(add(renewed.clone()).await, DeviceKeyAdded::Added);
    assert_eq!(keys("a").await, Some(vec![first, fourth.clone(), renewed.clone()]));
    let remove =
        async |device, number| store.remove_device_key(id(device), KeyId([number; 8]), entry(8)).await.unwrap();
    let before = notes().await;
    assert_eq!((remove("b", 1).await, remove("a", 9).await, remove("c", 1).await), (false, false, false));
    assert_eq!(notes().await, before);
    assert!(remove("a", 1).await);
    assert_eq!((keys("a").await, notes().await), (Some(vec![fourth, renewed]), before + 1));
    assert_eq!(add(key("b", 1, 30, None)).await, DeviceKeyAdded::Added, "nobody's any more");
}
