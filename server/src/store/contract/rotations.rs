//! Rotation of root keys: who is due, the same offer until the switch, and the key before until its end.

use super::{device, enrolled, entry, id, nth, packet};
use crate::rotation::{Act, RotationId, Scope, State};
use crate::store::commands::{NewCommand, Queued};
use crate::store::epoch::{Renewal, Renewed};
use crate::store::rotations::{
    Due, MOST_ROTATIONS, NewOffer, NewRotation, OfferedKey, PreviousKey, RotationAdded, RotationChanged,
    RotationRecord, Switch, Switched,
};
use crate::store::{Acceptance, DeviceRecord, Enrolled, Store, Verdict};
use cotter_wire::command::{Command, CommandCounter};
use cotter_wire::ids::KeyEpoch;

/// After the enrolments of the contract.
const NOW: u64 = 2_000_000_000;

fn order(scope: Scope) -> NewRotation {
    NewRotation { scope, overlap: 100, at: NOW, by: "admin".into() }
}

async fn ordered(store: &impl Store, scope: Scope) -> RotationId {
    match store.add_rotation(order(scope), entry(1)).await.unwrap() {
        RotationAdded::Added(id) => id,
        other => panic!("{other:?}"),
    }
}

fn offer(name: &str, present: u32, byte: u8) -> NewOffer {
    let key = OfferedKey { epoch: KeyEpoch(present + 1), sealed: vec![byte; 60] };
    NewOffer { device: id(name), present: KeyEpoch(present), key, at: NOW }
}

fn switch(name: &str, epoch: u32, at: u64) -> Switch {
    Switch { device: id(name), epoch: KeyEpoch(epoch), sealed_root_key: vec![0xee; 60], at }
}

async fn due(store: &impl Store, name: &str, epoch: u32) -> Due {
    store.due_key(id(name), KeyEpoch(epoch)).await.unwrap()
}

/// Offered, switched and retired devices, and those that wait.
async fn counted(store: &impl Store, order: RotationId) -> [u64; 4] {
    let (RotationRecord { offered, switched, retired, .. }, waiting) = store.rotation(order).await.unwrap().unwrap();
    [waiting, offered, switched, retired]
}

pub(super) async fn offers_one_key_until_the_switch(store: impl Store) {
    for name in ["a", "b", "c"] {
        enrolled(&store, name, 0).await;
    }
    assert_eq!(due(&store, "a", 1).await, Due::Nothing);
    assert_eq!(store.offer_key(offer("a", 1, 1)).await.unwrap(), None, "nobody has ordered it");
    let stranger = Scope::Device(id("stranger"));
    assert_eq!(store.add_rotation(order(stranger), entry(1)).await.unwrap(), RotationAdded::UnknownDevice);
    let all = ordered(&store, Scope::All).await;
    assert_eq!(counted(&store, all).await, [3, 0, 0, 0]);
    assert_eq!(due(&store, "a", 1).await, Due::Wanted(all));
    assert_eq!((due(&store, "a", 2).await, due(&store, "x", 1).await), (Due::Nothing, Due::Nothing));

    // The first key that was stored is the one, whoever else was made at the same time.
    let first = offer("a", 1, 1).key;
    for byte in [1, 2, 3] {
        assert_eq!(store.offer_key(offer("a", 1, byte)).await.unwrap(), Some(first.clone()));
    }
    assert_eq!(due(&store, "a", 1).await, Due::Offered(first.clone()));
    assert_eq!(store.offered_key(id("a")).await.unwrap(), Some(first.clone()));
    assert_eq!(store.offered_key(id("b")).await.unwrap(), None);
    assert_eq!(counted(&store, all).await, [2, 1, 0, 0]);

    // A recovery overtakes it: another key, of a higher epoch.
    let renewal = Renewal { device: id("a"), known: KeyEpoch(1), rotated_at: None, at: NOW, most_a_day: 9 };
    store.renew_epoch(renewal, entry(2)).await.unwrap();
    assert_eq!(due(&store, "a", 2).await, Due::Wanted(all));
    assert_eq!(store.offer_key(offer("a", 2, 4)).await.unwrap(), Some(offer("a", 2, 4).key));
    assert_eq!(counted(&store, all).await, [2, 1, 0, 0]);

    assert_eq!(store.switch_key(switch("a", 3, NOW), entry(3)).await.unwrap(), Switched::Switched);
    assert_eq!((due(&store, "a", 3).await, store.offered_key(id("a")).await.unwrap()), (Due::Nothing, None));
    assert_eq!(counted(&store, all).await, [2, 1, 1, 0]);
    let stored = store.device(id("a")).await.unwrap().unwrap();
    assert_eq!((stored.record.epoch, stored.record.sealed_root_key), (KeyEpoch(3), vec![0xee; 60]));
    let sealed_root_key = device("a", 0).sealed_root_key;
    assert_eq!(stored.previous, Some(PreviousKey { epoch: KeyEpoch(2), sealed_root_key, until: NOW + 100 }));
    for epoch in [1, 3] {
        let again = store.switch_key(switch("a", epoch, NOW), entry(3)).await.unwrap();
        assert_eq!(again, Switched::NotNewer { current: KeyEpoch(3) });
    }
    assert_eq!(store.switch_key(switch("x", 9, NOW), entry(3)).await.unwrap(), Switched::UnknownDevice);
    // A device that nothing was offered to, as after a restored backup.
    assert_eq!(store.switch_key(switch("b", 7, NOW), entry(3)).await.unwrap(), Switched::Switched);
    assert_eq!(counted(&store, all).await, [2, 1, 1, 0], "b is still of the time of the order, c waits");
}

pub(super) async fn an_order_is_for_whom_it_names_and_stops_when_told(store: impl Store) {
    for name in ["a", "b", "c"] {
        enrolled(&store, name, 0).await;
    }
    store.add_tag(id("b"), "field".parse().unwrap(), entry(1)).await.unwrap();
    let tagged = ordered(&store, Scope::Tag("field".parse().unwrap())).await;
    let one = ordered(&store, Scope::Device(id("c"))).await;
    let wanted = async |name| due(&store, name, 1).await;
    assert_eq!((wanted("a").await, wanted("b").await), (Due::Nothing, Due::Wanted(tagged)));
    assert_eq!(wanted("c").await, Due::Wanted(one));
    assert_eq!((counted(&store, tagged).await, counted(&store, one).await), ([1, 0, 0, 0], [1, 0, 0, 0]));

    let change = async |id, act| store.change_rotation(id, act, NOW + 1, entry(2)).await.unwrap();
    store.offer_key(offer("b", 1, 1)).await.unwrap();
    assert_eq!(change(tagged, Act::Resume).await, RotationChanged::Forbidden(State::Running));
    assert_eq!(change(tagged, Act::Pause).await, RotationChanged::To(State::Paused));
    assert_eq!(wanted("b").await, Due::Nothing);
    assert_eq!(change(tagged, Act::Resume).await, RotationChanged::To(State::Running));
    assert_eq!(wanted("b").await, Due::Offered(offer("b", 1, 1).key), "the same as before");
    assert_eq!(change(tagged, Act::Cancel).await, RotationChanged::To(State::Cancelled));
    assert_eq!(wanted("b").await, Due::Nothing);
    assert_eq!(change(tagged, Act::Resume).await, RotationChanged::Forbidden(State::Cancelled));
    assert_eq!(change(RotationId(99), Act::Pause).await, RotationChanged::Unknown);
    // Whoever has its offer may still take it.
    assert_eq!(store.switch_key(switch("b", 2, NOW), entry(3)).await.unwrap(), Switched::Switched);
    assert_eq!(counted(&store, tagged).await, [0, 1, 1, 0]);

    // An order is not for keys that are newer than it.
    assert_eq!(store.switch_key(switch("c", 2, NOW + 1), entry(3)).await.unwrap(), Switched::Switched);
    assert_eq!(due(&store, "c", 2).await, Due::Nothing);
    let lines = store.audit_lines(0, 100).await.unwrap();
    assert!(lines.iter().any(|line| line.contains("rotation 1")), "{lines:?}");
}

pub(super) async fn the_key_before_counts_through_the_same_counter(store: impl Store) {
    enrolled(&store, "a", 10).await;
    ordered(&store, Scope::All).await;
    assert_eq!(store.accept_once(packet("a", 11)).await.unwrap(), Verdict::Accepted);
    store.offer_key(offer("a", 1, 1)).await.unwrap();
    store.switch_key(switch("a", 2, NOW), entry(3)).await.unwrap();
    let at = |nonce, epoch, received_at| Acceptance { epoch: KeyEpoch(epoch), received_at, ..packet("a", nonce) };
    let accept = async |acceptance| store.accept_once(acceptance).await.unwrap();
    assert_eq!(accept(at(11, 1, NOW)).await, Verdict::Duplicate, "the answer before the switch was lost");
    assert_eq!(accept(at(12, 1, NOW + 99)).await, Verdict::Accepted);
    assert_eq!(accept(at(12, 1, NOW + 99)).await, Verdict::Duplicate);
    assert_eq!(accept(at(10, 1, NOW + 99)).await, Verdict::Replay { last: nth(12) });
    let gone = Verdict::WrongEpoch { current: KeyEpoch(2) };
    assert_eq!(accept(at(13, 1, NOW + 100)).await, gone, "its time is over");
    assert_eq!(accept(at(13, 0, NOW)).await, gone, "an epoch before");
    assert_eq!(accept(at(12, 2, NOW)).await, Verdict::Duplicate);
    assert_eq!(accept(at(13, 2, NOW)).await, Verdict::Accepted);
    assert!(store.retire_key(id("a"), entry(4)).await.unwrap());
    assert!(!store.retire_key(id("a"), entry(4)).await.unwrap(), "once");
    assert_eq!(accept(at(14, 1, NOW)).await, gone);

    // A new epoch begins at the floor: what the old keys have counted must not count again.
    enrolled(&store, "b", 10).await;
    store.offer_key(offer("b", 1, 1)).await.unwrap();
    store.switch_key(switch("b", 2, NOW), entry(3)).await.unwrap();
    assert_eq!(accept(Acceptance { received_at: NOW, ..packet("b", 20) }).await, Verdict::Accepted);
    let renewal = Renewal { device: id("b"), known: KeyEpoch(2), rotated_at: Some(NOW), at: NOW, most_a_day: 9 };
    for overtaken in [None, Some(NOW - 1)] {
        let renewal = Renewal { rotated_at: overtaken, ..renewal };
        assert_eq!(store.renew_epoch(renewal, entry(2)).await.unwrap(), Renewed::Overtaken, "proven by the key before");
    }
    store.renew_epoch(renewal, entry(2)).await.unwrap();
    let again = Acceptance { received_at: NOW, ..packet("b", 20) };
    assert_eq!(accept(again).await, Verdict::WrongEpoch { current: KeyEpoch(3) });
}

pub(super) async fn keys_are_retired_in_time_and_orders_end(store: impl Store) {
    for name in ["a", "b"] {
        enrolled(&store, name, 0).await;
    }
    let all = ordered(&store, Scope::All).await;
    let done = async || store.done_rotations().await.unwrap();
    for (name, at) in [("a", NOW), ("b", NOW + 50)] {
        assert_eq!(done().await, []);
        store.offer_key(offer(name, 1, 1)).await.unwrap();
        assert_eq!(done().await, []);
        store.switch_key(switch(name, 2, at), entry(3)).await.unwrap();
    }
    let sweep = async |now| store.retire_keys(now, entry(5)).await.unwrap();
    assert_eq!(sweep(NOW + 99).await, []);
    assert_eq!(sweep(NOW + 100).await, [id("a")]);
    assert_eq!((sweep(NOW + 100).await.len(), done().await), (0, vec![]));
    assert_eq!(sweep(NOW + 1000).await, [id("b")]);
    assert!(store.device(id("b")).await.unwrap().unwrap().previous.is_none());
    assert_eq!(counted(&store, all).await, [0, 2, 2, 2]);
    assert_eq!(done().await, [all]);
    assert!(store.finish_rotation(all, NOW, entry(6)).await.unwrap());
    assert!(!store.finish_rotation(all, NOW, entry(6)).await.unwrap());
    assert_eq!((done().await, store.rotation(all).await.unwrap().unwrap().0.state), (vec![], State::Finished));

    // The factory's new keys end what was under way.
    let next = store.add_rotation(NewRotation { at: NOW + 60, ..order(Scope::All) }, entry(1)).await.unwrap();
    let RotationAdded::Added(next) = next else { panic!("{next:?}") };
    store.offer_key(offer("a", 2, 1)).await.unwrap();
    store.switch_key(switch("b", 3, NOW + 50), entry(3)).await.unwrap();
    for name in ["a", "b"] {
        let again = DeviceRecord { epoch: KeyEpoch(9), ..device(name, 0) };
        assert_eq!(store.enrol(again, entry(7)).await.unwrap(), Enrolled::NewEpoch);
        let stored = store.device(id(name)).await.unwrap().unwrap();
        assert_eq!((stored.previous, store.offered_key(id(name)).await.unwrap()), (None, None));
    }
    assert_eq!(counted(&store, next).await, [2, 0, 0, 0]);
}

pub(super) async fn orders_are_bounded_and_listed_newest_first(store: impl Store) {
    enrolled(&store, "a", 0).await;
    let mut made = Vec::new();
    for _ in 0..MOST_ROTATIONS {
        made.push(ordered(&store, Scope::All).await);
    }
    assert_eq!(store.add_rotation(order(Scope::All), entry(1)).await.unwrap(), RotationAdded::TooMany);
    store.change_rotation(made[3], Act::Cancel, NOW, entry(2)).await.unwrap();
    made.push(ordered(&store, Scope::All).await);
    let listed = async |before, limit| -> Vec<RotationId> {
        store.rotations(before, limit).await.unwrap().into_iter().map(|found| found.id).collect()
    };
    made.reverse();
    assert_eq!(listed(None, 100).await, made);
    assert_eq!(listed(Some(made[1]), 2).await, made[2..4]);
    // A device follows the newest order that is for it, and then the others want nothing of it, even within the second.
    assert_eq!(due(&store, "a", 1).await, Due::Wanted(made[0]));
    store.offer_key(offer("a", 1, 1)).await.unwrap();
    store.switch_key(switch("a", 2, NOW), entry(3)).await.unwrap();
    assert_eq!(due(&store, "a", 2).await, Due::Nothing);
    for order in &made {
        assert_eq!(counted(&store, *order).await[0], 0, "{order:?}");
    }
}

pub(super) async fn a_rotation_resets_the_age_and_keeps_commands(store: impl Store) {
    enrolled(&store, "a", 0).await;
    let name = "open-valve".parse().unwrap();
    let command = Command::new(name);
    let new = NewCommand { device: id("a"), command, queued_at: NOW, queued_by: "me".into(), expires: NOW + 900 };
    for counter in [1, 2] {
        let queued = store.queue_command(new.clone(), entry(1)).await.unwrap();
        assert_eq!(queued, Queued::Queued(CommandCounter(counter)));
    }
    store.cancel_command(id("a"), CommandCounter(1), NOW, entry(1)).await.unwrap();
    assert_eq!(store.devices_with_keys_before(NOW).await.unwrap(), 1);
    let renewal = Renewal { device: id("a"), known: KeyEpoch(1), rotated_at: None, at: NOW, most_a_day: 9 };
    ordered(&store, Scope::All).await;
    store.offer_key(offer("a", 1, 1)).await.unwrap();
    store.switch_key(switch("a", 2, NOW), entry(3)).await.unwrap();
    let waiting = store.open_command(id("a"), KeyEpoch(2), NOW).await.unwrap().expect("it waits on");
    assert_eq!((waiting.counter, waiting.epoch), (CommandCounter(2), KeyEpoch(2)));
    assert_eq!(store.devices_with_keys_before(NOW).await.unwrap(), 0);
    assert_eq!(store.devices_with_keys_before(NOW + 1).await.unwrap(), 1);
    store
        .renew_epoch(Renewal { at: NOW + 500, known: KeyEpoch(2), rotated_at: Some(NOW), ..renewal }, entry(2))
        .await
        .unwrap();
    assert_eq!(store.devices_with_keys_before(NOW + 1).await.unwrap(), 1, "the root key is as old as it was");
}

/// A rotation goes on where it stood, after closing and opening again.
pub(super) async fn survives_reopening<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    enrolled(&store, "a", 0).await;
    let all = ordered(&store, Scope::All).await;
    store.offer_key(offer("a", 1, 1)).await.unwrap();
    drop(store);
    let store = open();
    assert_eq!(due(&store, "a", 1).await, Due::Offered(offer("a", 1, 1).key));
    store.switch_key(switch("a", 2, NOW), entry(3)).await.unwrap();
    drop(store);
    let store = open();
    assert_eq!(store.device(id("a")).await.unwrap().unwrap().previous.unwrap().until, NOW + 100);
    assert_eq!(counted(&store, all).await, [0, 1, 1, 0]);
}
