//! What every store must do, written against the trait. A back-end's tests call [`check_all`] and
//! [`survives_reopening`] with a way to open it, and [`keeps_its_word_through_any_schedule`].

mod schedule;

pub(super) use schedule::keeps_its_word_through_any_schedule;

mod bridge;
mod commands;
mod device_keys;
mod ecowatt;
mod epoch;
mod inventory;
mod keys;
mod protocol;
mod rollouts;
mod rotations;
mod trust;

use super::trust::Signers;
use super::{
    Acceptance, AuditEntry, DeviceRecord, Enrolled, Place, Published, ReleaseAdded, ReleaseRecord, StatusRecord, Store,
    StoreError, StoredReading, TokenAdded, TokenRevoked, Verdict,
};
use crate::admin_token::{TokenHash, TokenRecord};
use crate::administrator::Role;
use crate::audit::checkpoint::Checkpoint;
use crate::audit::line::Line;
use crate::audit::note::NoteSigner;
use crate::audit::review::review;
use cotter_formats::chip::Chip;
use cotter_formats::secret::Secret;
use cotter_wire::ids::{DeviceId, KeyEpoch, Nonce, Protocol, ReleaseId, SecureVersion, Sequence};
use cotter_wire::status::{Outcome, StatusReport};
use cotter_wire::trust::TrustNumber;
use cotter_wire::version::Version;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

/// Runs every test of the contract, each on an empty store from `open`.
pub(in crate::store) fn check_all<S: Store>(mut open: impl FnMut() -> S) {
    let runtime = runtime();
    runtime.block_on(async {
        accepts_each_nonce_once(open()).await;
        starts_above_the_enrolled_floor(open()).await;
        tells_a_duplicate_from_a_replay(open()).await;
        a_place_stands_for_its_device_alone(open()).await;
        refuses_a_jump_beyond_the_window(open()).await;
        refuses_unknown_devices_and_other_epochs(open()).await;
        raises_an_epoch_but_never_lowers_it(open()).await;
        one_of_many_copies_wins(open()).await;
        answers_readings_newest_first(open()).await;
        keeps_devices_apart(open()).await;
        orders_releases_by_number(open()).await;
        refuses_a_lower_secure_version(open()).await;
        keeps_projects_and_chips_apart(open()).await;
        keeps_history_and_audit_in_order(open()).await;
        signs_the_log_with_each_entry(open()).await;
        notes_a_change_with_it_and_no_refusal(open()).await;
        keeps_tokens_apart_and_the_last_admin(open()).await;
        loses_no_entry_of_many_at_once(open()).await;
        commands::commands_come_in_order_until_they_end(open()).await;
        commands::commands_expire_and_are_cancelled_before_delivery_only(open()).await;
        commands::commands_are_bounded_and_their_numbers_only_rise(open()).await;
        bridge::messages_are_numbered_by_device_and_the_last_are_kept(open()).await;
        bridge::states_and_configurations_are_kept_for_a_while(open()).await;
        bridge::a_gateway_brings_what_is_bound_to_it(open()).await;
        device_keys::keys_of_devices_are_few_and_of_one_device_each(open()).await;
        ecowatt::keys_are_of_one_device_and_never_used_again(open()).await;
        ecowatt::an_upload_is_stored_whole_and_once(open()).await;
        inventory::pages_hold_every_device_once_in_order(open()).await;
        inventory::lists_releases_newest_first(open()).await;
        keys::remembers_since_when_each_key_is_in_use(open()).await;
        keys::counts_devices_with_old_keys(open()).await;
        protocol::takes_no_older_packet_after_a_newer_one(open()).await;
        protocol::raises_the_minimum_and_never_lowers_it(open()).await;
        protocol::counts_40_bits(open()).await;
        rollouts::all(&mut open).await;
        trust::all(&mut open).await;
        rotations::offers_one_key_until_the_switch(open()).await;
        rotations::an_order_is_for_whom_it_names_and_stops_when_told(open()).await;
        rotations::the_key_before_counts_through_the_same_counter(open()).await;
        rotations::keys_are_retired_in_time_and_orders_end(open()).await;
        rotations::orders_are_bounded_and_listed_newest_first(open()).await;
        rotations::a_rotation_resets_the_age_and_keeps_commands(open()).await;
        epoch::renews_an_epoch_upwards_only(open()).await;
        epoch::renews_a_few_times_a_day(open()).await;
    });
    behaves_like_a_map(&runtime, &mut open);
    rollouts::tallies_are_what_a_recount_finds(&runtime, open);
}

/// Who signs the logs of the stores under test.
pub(in crate::store) fn signer() -> NoteSigner {
    NoteSigner::new(&Secret::filled_by(|seed| *seed = [5; 32])).unwrap()
}

/// What was acknowledged is there after closing and opening again.
pub(in crate::store) fn survives_reopening<S: Store>(open: impl Fn() -> S) {
    runtime().block_on(async {
        let store = open();
        enrolled(&store, "a", 10).await;
        assert_eq!(store.accept_once(packet("a", 11)).await.unwrap(), Verdict::Accepted);
        drop(store);
        let store = open();
        assert_eq!(store.accept_once(packet("a", 11)).await.unwrap(), Verdict::Duplicate);
        assert_eq!(store.readings(id("a"), 10).await.unwrap().len(), 1);
        let device = store.device(id("a")).await.unwrap().unwrap();
        assert_eq!((device.last_nonce, device.last_digest), (nth(11), Some(packet("a", 11).packet_digest)));
    });
}

/// A rollout goes on where it stood, after closing and opening again.
pub(in crate::store) fn rollouts_survive_reopening<S: Store>(open: impl Fn() -> S) {
    rollouts::survives_reopening(&runtime(), &open);
}

/// So does a change of keys.
pub(in crate::store) fn trust_survives_reopening<S: Store>(open: impl Fn() -> S) {
    trust::survives_reopening(&runtime(), &open);
}

/// As [`rollouts_survive_reopening`], for a rotation.
pub(in crate::store) fn rotations_survive_reopening<S: Store>(open: impl Fn() -> S) {
    runtime().block_on(rotations::survives_reopening(&open));
}

async fn signs_the_log_with_each_entry(store: impl Store) {
    let key = signer().key().clone();
    let mut kept = vec![store.audit_checkpoint().await.unwrap()];
    for number in 0..9 {
        assert_eq!(store.append_audit(entry(number)).await.unwrap(), number);
        kept.push(store.audit_checkpoint().await.unwrap());
    }
    let sizes: Vec<u64> = kept.iter().map(|note| Checkpoint::open(note, &key).unwrap().size).collect();
    assert_eq!(sizes, (0..=9).collect::<Vec<_>>());
    let lines = store.audit_lines(0, 100).await.unwrap();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    assert_eq!(review(text.as_bytes(), &kept[9], &kept, &key).unwrap().entries, 9);
    assert_eq!(store.audit_lines(7, 1).await.unwrap(), lines[7..8]);
    assert_eq!(store.kept_checkpoint().await.unwrap(), "");
    store.keep_checkpoint(kept[3].clone()).await.unwrap();
    assert_eq!(store.kept_checkpoint().await.unwrap(), kept[3]);
}

async fn notes_a_change_with_it_and_no_refusal(store: impl Store) {
    let notes = async || store.audit_lines(0, 100).await.unwrap().len();
    enrolled(&store, "a", 0).await;
    assert_eq!(notes().await, 1);
    let device = store.device(id("a")).await.unwrap().unwrap().record;
    assert!(matches!(store.enrol(device, entry(1)).await.unwrap(), Enrolled::Stale { .. }));
    assert_eq!(notes().await, 1);
    let new = release(1, (1, 0, 0), 1);
    for _ in 0..2 {
        store.add_release(new.clone(), signers(), entry(2)).await.unwrap();
    }
    assert_eq!(notes().await, 2);
    for _ in 0..2 {
        store.publish_release(new.id, 1, entry(3)).await.unwrap();
    }
    assert_eq!(notes().await, 3);
}

async fn keeps_tokens_apart_and_the_last_admin(store: impl Store) {
    let token = |name: &str, role, number: u8, expires_at| TokenRecord {
        name: name.parse().unwrap(),
        role,
        hash: TokenHash([number; 32]),
        added_at: 5,
        expires_at,
    };
    let name = |name: &str| name.parse().unwrap();
    let (first, second) = (token("first", Role::Admin, 1, None), token("ci", Role::ReleaseManager, 2, Some(9)));
    assert_eq!(store.add_token(first.clone(), entry(0)).await.unwrap(), TokenAdded::Added);
    assert_eq!(store.add_token(second.clone(), entry(1)).await.unwrap(), TokenAdded::Added);
    let twin = token("ci", Role::Admin, 3, None);
    assert_eq!(store.add_token(twin, entry(2)).await.unwrap(), TokenAdded::NameTaken);
    assert_eq!(store.token(TokenHash([2; 32])).await.unwrap(), Some(second.clone()));
    assert_eq!(store.token(TokenHash([3; 32])).await.unwrap(), None);
    assert_eq!(store.tokens().await.unwrap(), [second, first]);
    // An admin whose token expires does not count.
    assert_eq!(store.add_token(token("guest", Role::Admin, 4, Some(9)), entry(3)).await.unwrap(), TokenAdded::Added);
    assert_eq!(store.revoke_token(name("first"), entry(4)).await.unwrap(), TokenRevoked::LastAdmin);
    assert_eq!(store.add_token(token("other", Role::Admin, 5, None), entry(5)).await.unwrap(), TokenAdded::Added);
    assert_eq!(store.revoke_token(name("first"), entry(6)).await.unwrap(), TokenRevoked::Revoked);
    assert_eq!(store.revoke_token(name("first"), entry(7)).await.unwrap(), TokenRevoked::Unknown);
    assert_eq!(store.token(TokenHash([1; 32])).await.unwrap(), None);
    assert_eq!(store.audit_lines(0, 100).await.unwrap().len(), 5, "refusals note nothing here");
}

async fn loses_no_entry_of_many_at_once(store: impl Store) {
    let store = Arc::new(store);
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.append_audit(entry(number)).await.unwrap() })
        })
        .collect();
    let mut places = Vec::new();
    for task in tasks {
        places.push(task.await.unwrap());
    }
    places.sort_unstable();
    assert_eq!(places, (0..200).collect::<Vec<_>>());
    let (key, note) = (signer().key().clone(), store.audit_checkpoint().await.unwrap());
    let lines = store.audit_lines(0, 1000).await.unwrap();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    assert_eq!(review(text.as_bytes(), &note, &[], &key).unwrap().entries, 200);
}

async fn accepts_each_nonce_once(store: impl Store) {
    enrolled(&store, "a", 0).await;
    for nonce in [1, 2, 3, 7] {
        assert_eq!(store.accept_once(packet("a", nonce)).await.unwrap(), Verdict::Accepted);
    }
    for nonce in [1, 2, 3, 6] {
        assert_eq!(store.accept_once(packet("a", nonce)).await.unwrap(), Verdict::Replay { last: nth(7) });
    }
    assert_eq!(store.readings(id("a"), 10).await.unwrap().len(), 4);
}

async fn starts_above_the_enrolled_floor(store: impl Store) {
    enrolled(&store, "a", 10_000).await;
    for nonce in [0, 1, 9_999, 10_000] {
        assert_eq!(store.accept_once(packet("a", nonce)).await.unwrap(), Verdict::Replay { last: nth(10_000) });
    }
    assert_eq!(store.accept_once(packet("a", 10_001)).await.unwrap(), Verdict::Accepted);
}

async fn tells_a_duplicate_from_a_replay(store: impl Store) {
    enrolled(&store, "a", 0).await;
    assert_eq!(store.accept_once(packet("a", 1)).await.unwrap(), Verdict::Accepted);
    assert_eq!(store.accept_once(packet("a", 1)).await.unwrap(), Verdict::Duplicate);
    let other = Acceptance { packet_digest: [0xee; 32], ..packet("a", 1) };
    assert_eq!(store.accept_once(other).await.unwrap(), Verdict::Replay { last: nth(1) });
    assert_eq!(store.accept_once(packet("a", 2)).await.unwrap(), Verdict::Accepted);
    assert_eq!(store.accept_once(packet("a", 1)).await.unwrap(), Verdict::Replay { last: nth(2) });
    assert_eq!(store.readings(id("a"), 10).await.unwrap().len(), 2);
}

async fn a_place_stands_for_its_device_alone(store: impl Store) {
    let mut places = Vec::new();
    for name in ["a", "b", "c"] {
        enrolled(&store, name, 0).await;
        places.push(store.device(id(name)).await.unwrap().unwrap().place);
    }
    let listed = store.devices(None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|stored| stored.place).collect::<Vec<_>>(), places);
    let at = |name, place, nonce| Acceptance { place: Some(place), ..packet(name, nonce) };
    for (name, place) in ["a", "b", "c"].into_iter().zip(&places) {
        assert_eq!(store.accept_once(at(name, *place, 1)).await.unwrap(), Verdict::Accepted);
        assert_eq!(store.accept_once(at(name, *place, 1)).await.unwrap(), Verdict::Duplicate);
        assert_eq!(store.accept_once(packet(name, 1)).await.unwrap(), Verdict::Duplicate);
        assert_eq!(store.readings(id(name), 10).await.unwrap().len(), 1);
    }
    let next = DeviceRecord { epoch: KeyEpoch(2), ..device("b", 10) };
    assert_eq!(store.enrol(next, entry(1)).await.unwrap(), Enrolled::NewEpoch);
    let old = store.accept_once(at("b", places[1], 2)).await.unwrap();
    assert_eq!(old, Verdict::WrongEpoch { current: KeyEpoch(2) });
    let new = Acceptance { epoch: KeyEpoch(2), ..at("b", places[1], 11) };
    assert_eq!(store.accept_once(new).await.unwrap(), Verdict::Accepted);
    assert_eq!(store.accept_once(at("a", Place::nowhere(), 2)).await.unwrap(), Verdict::UnknownDevice);
}

async fn refuses_a_jump_beyond_the_window(store: impl Store) {
    enrolled(&store, "a", 5).await;
    let far = Acceptance { nonce_window: 100, ..packet("a", 106) };
    assert_eq!(store.accept_once(far).await.unwrap(), Verdict::Jump { last: nth(5) });
    let last = Acceptance { nonce_window: 100, ..packet("a", u32::MAX) };
    assert_eq!(store.accept_once(last).await.unwrap(), Verdict::Jump { last: nth(5) });
    let edge = Acceptance { nonce_window: 100, ..packet("a", 105) };
    assert_eq!(store.accept_once(edge).await.unwrap(), Verdict::Accepted);
}

async fn refuses_unknown_devices_and_other_epochs(store: impl Store) {
    assert_eq!(store.accept_once(packet("a", 1)).await.unwrap(), Verdict::UnknownDevice);
    assert_eq!(store.device(id("a")).await.unwrap(), None);
    assert_eq!(store.readings(id("a"), 1).await.unwrap(), []);
    enrolled(&store, "a", 0).await;
    for epoch in [0, 2] {
        let other = Acceptance { epoch: KeyEpoch(epoch), ..packet("a", 1) };
        assert_eq!(store.accept_once(other).await.unwrap(), Verdict::WrongEpoch { current: KeyEpoch(1) });
    }
}

async fn raises_an_epoch_but_never_lowers_it(store: impl Store) {
    enrolled(&store, "a", 0).await;
    assert_eq!(store.accept_once(packet("a", 500)).await.unwrap(), Verdict::Accepted);
    // The same epoch again would lower the nonce: refused, and nothing changes.
    let again = DeviceRecord { nonce_floor: Nonce(3), ..device("a", 0) };
    assert_eq!(store.enrol(again, entry(1)).await.unwrap(), Enrolled::Stale { current: KeyEpoch(1) });
    assert_eq!(store.accept_once(packet("a", 500)).await.unwrap(), Verdict::Duplicate);

    let next = DeviceRecord { epoch: KeyEpoch(2), sealed_root_key: vec![2], ..device("a", 20) };
    assert_eq!(store.enrol(next.clone(), entry(1)).await.unwrap(), Enrolled::NewEpoch);
    let stored = store.device(id("a")).await.unwrap().unwrap();
    assert_eq!((stored.record, stored.last_nonce), (next, nth(20)));
    assert_eq!(
        store.accept_once(packet("a", 501)).await.unwrap(),
        Verdict::WrongEpoch { current: KeyEpoch(2) },
        "old keys are of no more use"
    );
    let first = Acceptance { epoch: KeyEpoch(2), ..packet("a", 21) };
    assert_eq!(store.accept_once(first).await.unwrap(), Verdict::Accepted);
    assert_eq!(store.readings(id("a"), 10).await.unwrap().len(), 2, "readings outlive the epoch");
}

async fn one_of_many_copies_wins(store: impl Store) {
    let store = Arc::new(store);
    enrolled(&*store, "a", 0).await;
    for nonce in 1..=20 {
        let copies: Vec<_> = (0..64)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { store.accept_once(packet("a", nonce)).await.unwrap() })
            })
            .collect();
        let mut accepted = 0;
        for copy in copies {
            match copy.await.unwrap() {
                Verdict::Accepted => accepted += 1,
                other => assert_eq!(other, Verdict::Duplicate),
            }
        }
        assert_eq!(accepted, 1);
    }
    assert_eq!(store.readings(id("a"), 100).await.unwrap().len(), 20);
}

async fn answers_readings_newest_first(store: impl Store) {
    enrolled(&store, "a", 0).await;
    for nonce in 1..=5 {
        store.accept_once(packet("a", nonce)).await.unwrap();
    }
    let nonces = |readings: Vec<StoredReading>| readings.iter().map(|reading| reading.nonce.get()).collect::<Vec<_>>();
    assert_eq!(nonces(store.readings(id("a"), 3).await.unwrap()), [5, 4, 3]);
    assert_eq!(nonces(store.readings(id("a"), 99).await.unwrap()), [5, 4, 3, 2, 1]);
    assert_eq!(store.readings(id("a"), 0).await.unwrap(), []);
    let newest = &store.readings(id("a"), 1).await.unwrap()[0];
    assert_eq!(newest.reading, packet("a", 5).reading);
    assert_eq!((newest.epoch, newest.received_at), (KeyEpoch(1), packet("a", 5).received_at));
}

async fn keeps_devices_apart(store: impl Store) {
    enrolled(&store, "a", 0).await;
    enrolled(&store, "b", 0).await;
    store.accept_once(packet("a", 9)).await.unwrap();
    store.accept_once(packet("b", 4)).await.unwrap();
    store.accept_once(packet("a", 10)).await.unwrap();
    assert_eq!(store.accept_once(packet("b", 9)).await.unwrap(), Verdict::Accepted);
    assert_eq!(store.readings(id("a"), 9).await.unwrap().len(), 2);
    assert_eq!(store.readings(id("b"), 9).await.unwrap()[1].reading, packet("b", 4).reading);
}

async fn orders_releases_by_number(store: impl Store) {
    let (old, new) = (release(1, (1, 9, 0), 1), release(2, (1, 10, 0), 1));
    assert_eq!(store.add_release(new.clone(), signers(), entry(1)).await.unwrap(), ReleaseAdded::Added);
    assert_eq!(store.add_release(new.clone(), signers(), entry(1)).await.unwrap(), ReleaseAdded::AlreadyThere);
    assert_eq!(
        store.add_release(old.clone(), signers(), entry(1)).await.unwrap(),
        ReleaseAdded::Added,
        "nothing is published yet"
    );
    assert_eq!(newest(&store).await, None);
    let twin = ReleaseRecord { id: ReleaseId([9; 32]), ..new.clone() };
    assert_eq!(store.add_release(twin, signers(), entry(1)).await.unwrap(), ReleaseAdded::VersionTaken);

    assert_eq!(store.publish_release(new.id, 77, entry(1)).await.unwrap(), Published::Published);
    assert_eq!(store.publish_release(new.id, 78, entry(1)).await.unwrap(), Published::AlreadyPublished);
    assert_eq!(store.release(new.id).await.unwrap(), Some(ReleaseRecord { published_at: Some(77), ..new.clone() }));
    assert_eq!(newest(&store).await, Some(new.id));
    let refused = Published::NotNewer { newest: new.version, secure_version: new.secure_version };
    assert_eq!(store.publish_release(old.id, 79, entry(1)).await.unwrap(), refused);
    assert_eq!(store.publish_release(ReleaseId([5; 32]), 79, entry(1)).await.unwrap(), Published::UnknownRelease);
    assert_eq!(store.release(ReleaseId([5; 32])).await.unwrap(), None);
    let refused = ReleaseAdded::NotNewer { newest: new.version, secure_version: new.secure_version };
    assert_eq!(store.add_release(release(3, (1, 9, 5), 1), signers(), entry(1)).await.unwrap(), refused);
}

async fn refuses_a_lower_secure_version(store: impl Store) {
    let first = release(1, (1, 0, 0), 2);
    store.add_release(first.clone(), signers(), entry(1)).await.unwrap();
    store.publish_release(first.id, 1, entry(1)).await.unwrap();
    let refused = ReleaseAdded::NotNewer { newest: first.version, secure_version: first.secure_version };
    assert_eq!(store.add_release(release(2, (2, 0, 0), 1), signers(), entry(1)).await.unwrap(), refused);
    assert_eq!(store.add_release(release(3, (2, 0, 0), 2), signers(), entry(1)).await.unwrap(), ReleaseAdded::Added);
}

async fn keeps_projects_and_chips_apart(store: impl Store) {
    let first = release(1, (5, 0, 0), 5);
    store.add_release(first.clone(), signers(), entry(1)).await.unwrap();
    store.publish_release(first.id, 1, entry(1)).await.unwrap();
    for (number, other) in [
        (2, ReleaseRecord { chip: Chip::Esp32S3, ..release(2, (1, 0, 0), 0) }),
        (3, ReleaseRecord { project: "other".into(), ..release(3, (1, 0, 0), 0) }),
    ] {
        assert_eq!(
            store.add_release(other.clone(), signers(), entry(1)).await.unwrap(),
            ReleaseAdded::Added,
            "{number}"
        );
        assert_eq!(store.publish_release(other.id, 2, entry(1)).await.unwrap(), Published::Published, "{number}");
    }
    assert_eq!(newest(&store).await, Some(first.id));
    assert_eq!(store.newest_release("app".into(), Chip::Esp32C6).await.unwrap(), None);
}

async fn keeps_history_and_audit_in_order(store: impl Store) {
    enrolled(&store, "a", 0).await;
    let status = |number: u64| StatusRecord {
        device: id("a"),
        report: StatusReport::new(Version::new(1, 2, 0), Outcome::RolledBack, &format!("attempt {number}")),
        received_at: number,
    };
    for number in 0..4 {
        store.record_status(status(number)).await.unwrap();
        store.append_audit(entry(number)).await.unwrap();
    }
    assert_eq!(store.status_history(id("a"), 2).await.unwrap(), [status(3), status(2)]);
    // The note on the enrolment comes first.
    let lines: Vec<_> = (0..4).map(|number| Line::new(number + 1, entry(number)).text()).collect();
    assert_eq!(store.audit_lines(1, 9).await.unwrap(), lines);
    let stranger = StatusRecord { device: id("stranger"), ..status(9) };
    assert!(matches!(store.record_status(stranger).await, Err(StoreError::UnknownDevice)));
    assert_eq!(store.status_history(id("stranger"), 2).await.unwrap(), []);
    store.check().await.unwrap();
}

pub(in crate::store) fn entry(number: u64) -> AuditEntry {
    AuditEntry {
        at: number,
        by: "a".into(),
        subject: "a".into(),
        event: "replay".into(),
        detail: format!("nonce {number}"),
    }
}

/// The same random packets go to the store and to a `HashMap`; both must say the same.
fn behaves_like_a_map<S: Store>(runtime: &tokio::runtime::Runtime, mut open: impl FnMut() -> S) {
    let packets = proptest::collection::vec((0..3_usize, 0..40_u32, 0..2_u8), 1..120);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(24));
    let opened = std::cell::RefCell::new(&mut open);
    runner
        .run(&packets, |packets| {
            let store = (opened.borrow_mut())();
            runtime.block_on(async {
                let names = ["a", "b", "stranger"];
                let mut last: HashMap<&str, (u32, Option<u8>)> = HashMap::new();
                for name in &names[..2] {
                    enrolled(&store, name, 5).await;
                    last.insert(name, (5, None));
                }
                for (device, nonce, content) in packets {
                    let sent =
                        Acceptance { packet_digest: [content; 32], nonce_window: 20, ..packet(names[device], nonce) };
                    let expected = match last.get_mut(names[device]) {
                        None => Verdict::UnknownDevice,
                        Some((last, digest)) if nonce == *last && *digest == Some(content) => Verdict::Duplicate,
                        Some((last, _)) if nonce <= *last => Verdict::Replay { last: nth(*last) },
                        Some((last, _)) if nonce - *last > 20 => Verdict::Jump { last: nth(*last) },
                        Some(entry) => {
                            *entry = (nonce, Some(content));
                            Verdict::Accepted
                        }
                    };
                    prop_assert_eq!(store.accept_once(sent).await.unwrap(), expected);
                }
                Ok(())
            })
        })
        .unwrap();
}

async fn enrolled(store: &impl Store, name: &str, floor: u32) {
    let device = device(name, floor);
    assert_eq!(store.enrol(device.clone(), entry(1)).await.unwrap(), Enrolled::New);
    let stored = store.device(id(name)).await.unwrap().unwrap();
    assert_eq!((stored.record, stored.last_nonce), (device, nth(floor)));
}

async fn newest(store: &impl Store) -> Option<ReleaseId> {
    store.newest_release("app".into(), Chip::Esp32C3).await.unwrap().map(|release| release.id)
}

pub(in crate::store) fn device(name: &str, floor: u32) -> DeviceRecord {
    DeviceRecord {
        id: id(name),
        chip: Chip::Esp32C3,
        mac: [1, 2, 3, 4, 5, 6],
        epoch: KeyEpoch(1),
        sealed_root_key: name.as_bytes().to_vec(),
        nonce_floor: Nonce(floor),
        secure_boot_digest: [7; 32],
        enrolled_at: 1_000,
    }
}

pub(in crate::store) fn packet(name: &str, nonce: u32) -> Acceptance {
    let mut packet_digest = [0; 32];
    packet_digest[..4].copy_from_slice(&nonce.to_be_bytes());
    packet_digest[4] = name.as_bytes()[0];
    Acceptance {
        device: id(name),
        place: None,
        epoch: KeyEpoch(1),
        protocol: Protocol::V1,
        nonce: nth(nonce),
        packet_digest,
        reading: format!("{name} {nonce}").into_bytes(),
        received_at: 1_000 + u64::from(nonce),
        nonce_window: u32::MAX,
    }
}

fn release(number: u8, (major, minor, patch): (u16, u16, u16), secure_version: u32) -> ReleaseRecord {
    ReleaseRecord {
        id: ReleaseId([number; 32]),
        project: "app".into(),
        chip: Chip::Esp32C3,
        version: Version::new(major, minor, patch),
        secure_version: SecureVersion(secure_version),
        expires: 9_000,
        encrypted_size: 4_112,
        envelope: vec![number; 3],
        sealed_content_key: vec![number],
        published_at: None,
    }
}

/// As the keys of the configuration sign.
fn signers() -> Signers {
    Signers { numbers: vec![TrustNumber::BEGINNING], ..Signers::default() }
}

pub(in crate::store) fn nth(nonce: u32) -> Sequence {
    Nonce(nonce).into()
}

pub(in crate::store) fn id(name: &str) -> DeviceId {
    name.parse().unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
