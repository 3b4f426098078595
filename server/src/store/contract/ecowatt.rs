//! EcoWatt devices: keys that are used once, uploads that are stored whole and once.

use super::{enrolled, entry};
use crate::ecowatt::EcowattName;
use crate::store::Store;
use crate::store::ecowatt::{
    EcowattAcceptance, EcowattAdded, EcowattArray, EcowattRecord, EcowattState, EcowattVerdict, KEPT_TEXTS,
};
use cotter_wire::ecowatt::History;
use cotter_wire::ids::Nonce;

fn name(name: &str) -> EcowattName {
    name.parse().unwrap()
}

fn record(device: &str, key: u8) -> EcowattRecord {
    EcowattRecord {
        name: name(device),
        sealed_key: vec![key; 60],
        fingerprint: [key; 32],
        nonce_floor: Nonce(10_000),
        added_at: 5,
    }
}

fn upload(device: &str, key: u8, after: u32, nonce: u32) -> EcowattAcceptance {
    let array = |values| EcowattArray {
        nonce: Nonce(nonce),
        received_at: 7,
        at: u64::from(nonce),
        interval: 5,
        registers: vec![0, 9],
        blob: vec![1, 2, 3],
        values,
    };
    EcowattAcceptance {
        name: name(device),
        fingerprint: [key; 32],
        after: Nonce(after),
        nonce: Nonce(nonce),
        received_at: 7,
        state: EcowattState { history: History::new(), last_at: nonce.into(), recent: vec![[3; 16], [4; 16]] },
        arrays: vec![array(Ok(vec![0; 8])), array(Err("unknown format".into()))],
        inner: nonce.to_be_bytes().to_vec(),
    }
}

pub(super) async fn keys_are_of_one_device_and_never_used_again(store: impl Store) {
    assert_eq!(store.ecowatt_device(name("A_1")).await.unwrap(), None);
    assert_eq!(store.add_ecowatt(record("A_1", 1), entry(1)).await.unwrap(), EcowattAdded::Added);
    assert_eq!(store.add_ecowatt(record("A_1", 2), entry(1)).await.unwrap(), EcowattAdded::AlreadyOn);
    assert_eq!(store.add_ecowatt(record("B_1", 1), entry(1)).await.unwrap(), EcowattAdded::KeyUsed, "no fleet key");
    enrolled(&store, "cotter-1", 0).await;
    assert_eq!(store.add_ecowatt(record("cotter-1", 3), entry(1)).await.unwrap(), EcowattAdded::Enrolled);
    let notes = async || store.audit_lines(0, 100).await.unwrap().len();
    assert_eq!(notes().await, 2);

    assert_eq!(store.accept_ecowatt(upload("A_1", 1, 10_000, 10_001)).await.unwrap(), EcowattVerdict::Accepted);
    assert!(store.remove_ecowatt(name("A_1"), entry(2)).await.unwrap());
    assert!(!store.remove_ecowatt(name("A_1"), entry(2)).await.unwrap());
    assert_eq!(notes().await, 3);
    assert_eq!(store.ecowatt_device(name("A_1")).await.unwrap(), None);
    assert_eq!(store.accept_ecowatt(upload("A_1", 1, 10_001, 10_002)).await.unwrap(), EcowattVerdict::Changed);
    // With the old key the nonces that it consumed would count again.
    assert_eq!(store.add_ecowatt(record("A_1", 1), entry(3)).await.unwrap(), EcowattAdded::KeyUsed);
    assert_eq!(store.add_ecowatt(record("A_1", 2), entry(3)).await.unwrap(), EcowattAdded::Added);
    let again = store.ecowatt_device(name("A_1")).await.unwrap().unwrap();
    assert_eq!((again.last_nonce, again.record.fingerprint), (Nonce(10_000), [2; 32]));
    assert_eq!(store.ecowatt_devices(10).await.unwrap(), [again]);
    assert_eq!(store.ecowatt_arrays(name("A_1"), 9).await.unwrap().len(), 2, "what it measured stays");
}

pub(super) async fn an_upload_is_stored_whole_and_once(store: impl Store) {
    store.add_ecowatt(record("A_1", 1), entry(1)).await.unwrap();
    for nonce in 10_001..10_021 {
        let new = upload("A_1", 1, nonce - 1, nonce);
        assert_eq!(store.accept_ecowatt(new.clone()).await.unwrap(), EcowattVerdict::Accepted);
        assert_eq!(store.accept_ecowatt(new.clone()).await.unwrap(), EcowattVerdict::Changed);
        let device = store.ecowatt_device(name("A_1")).await.unwrap().unwrap();
        assert_eq!((device.last_nonce, device.state), (Nonce(nonce), new.state));
    }
    let lower = upload("A_1", 1, 10_020, 10_020);
    assert_eq!(store.accept_ecowatt(lower).await.unwrap(), EcowattVerdict::Changed);
    assert_eq!(store.accept_ecowatt(upload("A_1", 9, 10_020, 10_021)).await.unwrap(), EcowattVerdict::Changed);
    assert_eq!(store.accept_ecowatt(upload("B_1", 1, 10_020, 10_021)).await.unwrap(), EcowattVerdict::Changed);

    let arrays = store.ecowatt_arrays(name("A_1"), 100).await.unwrap();
    assert_eq!(arrays.len(), 40);
    let sent = upload("A_1", 1, 10_019, 10_020).arrays;
    assert_eq!([&arrays[1], &arrays[0]], [&sent[0], &sent[1]], "newest first");
    assert_eq!(store.ecowatt_arrays(name("A_1"), 3).await.unwrap(), arrays[..3]);
    let texts = store.ecowatt_texts(name("A_1")).await.unwrap();
    assert_eq!(texts.len(), KEPT_TEXTS);
    assert_eq!(texts[0], (Nonce(10_020), 10_020u32.to_be_bytes().to_vec()));
}
