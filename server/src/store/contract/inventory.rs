//! Lists: every device once, in order, however the pages are cut.

use super::{enrolled, entry, id, release, signers};
use crate::store::Store;
use cotter_wire::ids::DeviceId;

pub(super) async fn pages_hold_every_device_once_in_order(store: impl Store) {
    assert_eq!(store.devices(None, 10).await.unwrap(), []);
    let names: Vec<String> = (0..25).map(|number| format!("device-{number:02}")).collect();
    for name in names.iter().rev() {
        enrolled(&store, name, 7).await;
    }
    for size in [1, 2, 7, 25, 26] {
        let (mut found, mut after): (Vec<DeviceId>, _) = (Vec::new(), None);
        loop {
            let page = store.devices(after, size).await.unwrap();
            assert!(page.len() <= size);
            let Some(last) = page.last() else { break };
            after = Some(last.record.id);
            found.extend(page.iter().map(|device| device.record.id));
        }
        assert!(found.iter().map(DeviceId::as_str).eq(names.iter().map(String::as_str)), "pages of {size}");
    }
    let listed = store.devices(None, 1).await.unwrap();
    assert_eq!(listed.first(), store.device(id("device-00")).await.unwrap().as_ref());
}

pub(super) async fn lists_releases_newest_first(store: impl Store) {
    for (number, version) in [(1, (1, 9, 0)), (2, (1, 10, 0)), (3, (1, 2, 0))] {
        store.add_release(release(number, version, 1), signers(), entry(1)).await.unwrap();
    }
    let ids = |found: Vec<crate::store::ReleaseRecord>| found.iter().map(|release| release.id.0[0]).collect::<Vec<_>>();
    assert_eq!(ids(store.releases(10).await.unwrap()), [2, 1, 3]);
    assert_eq!(ids(store.releases(1).await.unwrap()), [2]);
}
