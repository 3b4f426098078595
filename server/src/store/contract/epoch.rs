//! Renewal of key epochs: upwards only, with its note, and a few times a day.

use super::{device, enrolled, entry, id, nth, packet};
use crate::store::epoch::{Renewal, Renewed};
use crate::store::{Acceptance, DeviceRecord, Enrolled, Store, Verdict};
use cotter_wire::ids::{KeyEpoch, Nonce, Protocol};
use std::sync::Arc;

const DAY_S: u64 = 86_400;

fn renewal(name: &str, known: u32, at: u64) -> Renewal {
    Renewal { device: id(name), known: KeyEpoch(known), rotated_at: None, at, most_a_day: 3 }
}

fn granted(epoch: u32, nonce: u32) -> Renewed {
    Renewed::Renewed { epoch: KeyEpoch(epoch), nonce: Nonce(nonce) }
}

pub(super) async fn renews_an_epoch_upwards_only(store: impl Store) {
    let renew = async |renewal| store.renew_epoch(renewal, entry(1)).await.unwrap();
    let notes = async || store.audit_lines(0, 100).await.unwrap();
    assert_eq!(renew(renewal("a", 1, 0)).await, Renewed::UnknownDevice);
    enrolled(&store, "a", 10).await;
    enrolled(&store, "b", 10).await;
    let compact = Acceptance { protocol: Protocol::V2, ..packet("a", 500) };
    assert_eq!(store.accept_once(compact.clone()).await.unwrap(), Verdict::Accepted);

    // The device knows its epoch, an older one, or a newer one than we do.
    for (known, epoch) in [(1, 2), (1, 3), (7, 8)] {
        assert_eq!(renew(renewal("a", known, 0)).await, granted(epoch, 10));
        let stored = store.device(id("a")).await.unwrap().unwrap();
        assert_eq!((stored.record.epoch, stored.last_nonce, stored.last_digest), (KeyEpoch(epoch), nth(10), None));
        assert_eq!(stored.minimum_protocol, Protocol::V2, "new keys bring the old protocol not back");
    }
    let lines = notes().await;
    assert_eq!(lines.len(), 5);
    assert!(lines[4].contains("key epoch 8"), "{}", lines[4]);
    assert_eq!(store.accept_once(compact.clone()).await.unwrap(), Verdict::WrongEpoch { current: KeyEpoch(8) });
    let first = Acceptance { epoch: KeyEpoch(8), nonce: nth(11), ..compact };
    assert_eq!(store.accept_once(first).await.unwrap(), Verdict::Accepted);
    assert_eq!(store.readings(id("a"), 9).await.unwrap().len(), 2, "readings outlive the epoch");
    assert_eq!(store.device(id("b")).await.unwrap().unwrap().record.epoch, KeyEpoch(1), "another device");
    // The factory has to go above that.
    let factory = DeviceRecord { epoch: KeyEpoch(8), ..device("a", 10) };
    assert_eq!(store.enrol(factory, entry(1)).await.unwrap(), Enrolled::Stale { current: KeyEpoch(8) });

    assert_eq!(renew(renewal("b", u32::MAX, 0)).await, Renewed::Exhausted);
    assert_eq!(renew(renewal("b", u32::MAX - 1, 0)).await, granted(u32::MAX, 10));
    assert_eq!(renew(renewal("b", 1, 0)).await, Renewed::Exhausted);
    assert_eq!(notes().await.len(), 6, "refusals note nothing here");
}

pub(super) async fn renews_a_few_times_a_day(store: impl Store) {
    let store = Arc::new(store);
    enrolled(&*store, "a", 0).await;
    let mut epoch = 1;
    for day in [20_000, 20_001, 20_005] {
        let tasks: Vec<_> = (0..20)
            .map(|number| {
                let store = Arc::clone(&store);
                let renewal = renewal("a", 1, day * DAY_S + number * 4000);
                tokio::spawn(async move { store.renew_epoch(renewal, entry(1)).await.unwrap() })
            })
            .collect();
        let mut epochs = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                Renewed::Renewed { epoch, .. } => epochs.push(epoch.0),
                other => assert_eq!(other, Renewed::TooOften),
            }
        }
        epochs.sort_unstable();
        assert_eq!(epochs, [epoch + 1, epoch + 2, epoch + 3], "day {day}");
        epoch += 3;
    }
}
