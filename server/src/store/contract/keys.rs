//! Keys in use: a key keeps its time, and only a replacement is noted in the log.

use super::{enrolled, entry};
use crate::store::Store;
use crate::store::keys::KeySeen;

fn key(name: &str, fingerprint: u8, since: u64) -> KeySeen {
    KeySeen { name: name.into(), fingerprint: [fingerprint; 16], since }
}

pub(super) async fn remembers_since_when_each_key_is_in_use(store: impl Store) {
    store.use_key(key("master", 1, 10), entry(1)).await.unwrap();
    store.use_key(key("audit", 1, 11), entry(2)).await.unwrap();
    store.use_key(key("master", 1, 20), entry(3)).await.unwrap();
    assert_eq!(store.keys_in_use().await.unwrap(), [key("audit", 1, 11), key("master", 1, 10)]);
    assert_eq!(store.audit_lines(0, 10).await.unwrap().len(), 0, "the first key of a name replaces none");
    store.use_key(key("master", 2, 30), entry(4)).await.unwrap();
    assert_eq!(store.keys_in_use().await.unwrap(), [key("audit", 1, 11), key("master", 2, 30)]);
    store.use_key(key("master", 1, 40), entry(5)).await.unwrap();
    assert_eq!(store.keys_in_use().await.unwrap(), [key("audit", 1, 11), key("master", 1, 10)], "it came back");
    assert_eq!(store.audit_lines(0, 10).await.unwrap().len(), 2);
}

pub(super) async fn counts_devices_with_old_keys(store: impl Store) {
    enrolled(&store, "a", 7).await;
    enrolled(&store, "b", 7).await;
    let at = store.devices(None, 1).await.unwrap()[0].record.enrolled_at;
    assert_eq!(store.devices_with_keys_before(at).await.unwrap(), 0);
    assert_eq!(store.devices_with_keys_before(at + 1).await.unwrap(), 2);
}
