//! Protocols of devices: one line of numbers, and no way back.

use super::{device, enrolled, entry, id, nth, packet};
use crate::store::protocol::MinimumRaised;
use crate::store::{Acceptance, DeviceRecord, Enrolled, Store, Verdict};
use cotter_wire::ids::{KeyEpoch, Protocol, Sequence};

const TOO_OLD: Verdict = Verdict::Downgrade { minimum: Protocol::V2 };

fn compact(name: &str, nonce: u32) -> Acceptance {
    Acceptance { protocol: Protocol::V2, ..packet(name, nonce) }
}

pub(super) async fn takes_no_older_packet_after_a_newer_one(store: impl Store) {
    enrolled(&store, "a", 10).await;
    assert_eq!(store.accept_once(packet("a", 11)).await.unwrap(), Verdict::Accepted);
    assert_eq!(store.accept_once(compact("a", 11)).await.unwrap(), Verdict::Duplicate, "one line of numbers");
    let other = Acceptance { packet_digest: [9; 32], ..compact("a", 11) };
    assert_eq!(store.accept_once(other).await.unwrap(), Verdict::Replay { last: nth(11) });
    assert_eq!(store.accept_once(packet("a", 12)).await.unwrap(), Verdict::Accepted, "nothing compact was accepted");
    assert_eq!(store.accept_once(compact("a", 13)).await.unwrap(), Verdict::Accepted);
    for nonce in [11, 12, 13, 14, u32::MAX] {
        assert_eq!(store.accept_once(packet("a", nonce)).await.unwrap(), TOO_OLD, "{nonce}");
    }
    assert_eq!(store.accept_once(compact("a", 13)).await.unwrap(), Verdict::Duplicate);
    let stored = store.device(id("a")).await.unwrap().unwrap();
    assert_eq!((stored.last_nonce, stored.minimum_protocol), (nth(13), Protocol::V2));
    // New keys bring the old protocol not back.
    let next = DeviceRecord { epoch: KeyEpoch(2), ..device("a", 20) };
    assert_eq!(store.enrol(next, entry(1)).await.unwrap(), Enrolled::NewEpoch);
    let old = Acceptance { epoch: KeyEpoch(2), ..packet("a", 21) };
    assert_eq!(store.accept_once(old).await.unwrap(), TOO_OLD);
}

pub(super) async fn raises_the_minimum_and_never_lowers_it(store: impl Store) {
    let raise = async |name, minimum| store.raise_minimum_protocol(id(name), minimum, entry(7)).await.unwrap();
    let notes = async || store.audit_lines(0, 100).await.unwrap().len();
    assert_eq!(raise("a", Protocol::V2).await, MinimumRaised::UnknownDevice);
    enrolled(&store, "a", 0).await;
    enrolled(&store, "b", 0).await;
    assert_eq!(raise("a", Protocol::V1).await, MinimumRaised::AlreadyThere);
    assert_eq!(notes().await, 2, "the two enrolments");
    assert_eq!(raise("a", Protocol::V2).await, MinimumRaised::Raised);
    assert_eq!(notes().await, 3);
    assert_eq!(raise("a", Protocol::V2).await, MinimumRaised::AlreadyThere);
    assert_eq!(raise("a", Protocol::V1).await, MinimumRaised::Lower { current: Protocol::V2 });
    assert_eq!(notes().await, 3, "refusals note nothing here");
    assert_eq!(store.accept_once(packet("a", 1)).await.unwrap(), TOO_OLD);
    assert_eq!(store.accept_once(compact("a", 1)).await.unwrap(), Verdict::Accepted);
    assert_eq!(store.accept_once(packet("b", 1)).await.unwrap(), Verdict::Accepted, "another device");
}

pub(super) async fn counts_40_bits(store: impl Store) {
    enrolled(&store, "a", u32::MAX - 1).await;
    let at = |number| Acceptance { nonce: Sequence::new(number).unwrap(), ..compact("a", 1) };
    let beyond = u64::from(u32::MAX) + 1;
    for number in [beyond, beyond + u64::from(u32::MAX), beyond + 2 * u64::from(u32::MAX)] {
        assert_eq!(store.accept_once(at(number)).await.unwrap(), Verdict::Accepted);
        let last = Sequence::new(number).unwrap();
        assert_eq!(store.readings(id("a"), 1).await.unwrap()[0].nonce, last);
        let jump = number + u64::from(u32::MAX) + 1;
        assert_eq!(store.accept_once(at(jump)).await.unwrap(), Verdict::Jump { last });
        assert_eq!(store.accept_once(at(Sequence::MAX.get())).await.unwrap(), Verdict::Jump { last });
    }
}
