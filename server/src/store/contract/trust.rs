//! The change of keys: one statement after the other, and no device is offered what it would refuse.

use super::{device, enrolled, entry, id, release, signers};
use crate::rollout::decision::Act as RolloutAct;
use crate::rollout::plan::Plan;
use crate::store::rollouts::{Changed, NewRollout, Poll, RolloutAdded};
use crate::store::trust::{Acted, NewStatement, Planned, Signers};
use crate::store::{Acceptance, Enrolled, Published, ReleaseAdded, Store};
use crate::trust::operation::{Act, Gate, State};
use cotter_wire::ids::{ReleaseId, SecureVersion};
use cotter_wire::trust::TrustNumber;
use cotter_wire::version::Version;

const RETIRE: Act = Act::Retire { leave_behind: false };
const LEAVE: Act = Act::Retire { leave_behind: true };
const DAY: u64 = 86_400;

pub(super) async fn all<S: Store>(open: &mut impl FnMut() -> S) {
    goes_through_its_states_and_no_other_way(open()).await;
    a_statement_that_a_device_was_given_is_not_taken_back(open()).await;
    a_cancelled_statement_leaves_nothing(open()).await;
    offers_no_device_what_it_would_refuse(open()).await;
    offers_no_image_that_the_device_would_not_boot(open()).await;
    what_goes_out_is_believed_on_both_sides(open()).await;
    leaves_behind_only_who_was_not_seen(open()).await;
    a_device_that_falls_back_is_noticed(open()).await;
    a_device_that_asks_again_writes_nothing(open()).await;
}

pub(super) fn survives_reopening<S: Store>(runtime: &tokio::runtime::Runtime, open: &impl Fn() -> S) {
    runtime.block_on(async {
        let store = open();
        enrolled(&store, "a", 0).await;
        plan(&store, 1, &[]).await;
        act(&store, Act::Start).await;
        assert!(store.statement_after(id("a"), TrustNumber(0), 5).await.unwrap().is_some());
        drop(store);
        let store = open();
        assert_eq!(act(&store, Act::Cancel).await, Acted::Handed, "that it was given out is durable");
        assert_eq!(store.statement_after(id("a"), TrustNumber(1), 6).await.unwrap(), None);
        drop(store);
        let store = open();
        assert_eq!(state(&store).await, Some((1, State::Adopted)));
    });
}

async fn plan(store: &impl Store, number: u32, accepts: &[u8]) -> Planned {
    let basis = store.statements().await.unwrap().last().map_or(0, |last| last.row);
    let new = NewStatement {
        number: TrustNumber(number),
        beginning: [3; 32],
        statement: vec![u8::try_from(number).unwrap()],
        share: 100,
        days: 30,
        accepts: accepts.iter().map(|number| ReleaseId([*number; 32])).collect(),
        basis,
        at: 1,
    };
    store.plan_statement(new, entry(1)).await.unwrap()
}

async fn act(store: &impl Store, act: Act) -> Acted {
    store.act_on_statement(act, entry(100 * DAY)).await.unwrap()
}

async fn state(store: &impl Store) -> Option<(u32, State)> {
    store.statements().await.unwrap().last().map(|last| (last.number.0, last.state))
}

async fn poll(store: &impl Store, device: &str, trust: u32, at: u64) -> Option<(u16, u16, u16)> {
    let poll = Poll {
        device: id(device),
        project: "app".into(),
        version: Version::new(1, 0, 0),
        secure_version: SecureVersion(0),
        trust: TrustNumber(trust),
        at,
    };
    let Version { major, minor, patch } = store.poll(poll).await.unwrap().offer?.version;
    Some((major, minor, patch))
}

/// Adds a release that devices at these numbers believe.
async fn add(store: &impl Store, number: u8, version: (u16, u16, u16), numbers: &[u32], secure_boot: &[[u8; 32]]) {
    let basis = store.statements().await.unwrap().last().map_or(0, |last| last.row);
    let numbers = numbers.iter().copied().map(TrustNumber).collect();
    let signers = Signers { numbers, basis, secure_boot: secure_boot.to_vec() };
    assert_eq!(store.add_release(release(number, version, 1), signers, entry(1)).await.unwrap(), ReleaseAdded::Added);
}

async fn publish(store: &impl Store, number: u8) -> Published {
    store.publish_release(ReleaseId([number; 32]), 1, entry(1)).await.unwrap()
}

async fn goes_through_its_states_and_no_other_way(store: impl Store) {
    for name in ["a", "b"] {
        enrolled(&store, name, 0).await;
    }
    assert_eq!(act(&store, Act::Start).await, Acted::Nothing);
    assert_eq!(plan(&store, 2, &[]).await, Planned::Changed, "it skips a number");
    assert_eq!(plan(&store, 1, &[]).await, Planned::Planned);
    assert_eq!(plan(&store, 2, &[]).await, Planned::Changed, "one after the other");
    assert_eq!(store.statement_after(id("a"), TrustNumber(0), 5).await.unwrap(), None, "planned");
    assert_eq!(act(&store, RETIRE).await, Acted::Forbidden(State::Planned));
    assert_eq!(act(&store, Act::Start).await, Acted::To(TrustNumber(1), State::Bridging));
    assert_eq!(act(&store, Act::Start).await, Acted::Forbidden(State::Bridging));
    assert_eq!(store.statement_after(id("a"), TrustNumber(0), 6).await.unwrap(), Some(vec![1]));
    let notes = store.audit_lines(0, 100).await.unwrap().len();
    let unmet = |adopted| Acted::NotAdopted(Gate { devices: 2, adopted, unseen: 2 - adopted });
    assert_eq!(act(&store, RETIRE).await, unmet(0));
    assert_eq!(store.statement_after(id("a"), TrustNumber(1), 7).await.unwrap(), None);
    assert_eq!(act(&store, RETIRE).await, unmet(1));
    assert_eq!(store.audit_lines(0, 100).await.unwrap().len(), notes, "what is refused is no step");
    assert_eq!(state(&store).await, Some((1, State::Bridging)));
    assert_eq!(poll(&store, "b", 1, 8).await, None);
    assert_eq!(state(&store).await, Some((1, State::Adopted)), "in the transaction of the last device's poll");
    assert_eq!(store.audit_lines(0, 100).await.unwrap().len(), notes + 1);
    assert_eq!(store.trust_tallies().await.unwrap(), [(TrustNumber(1), 2)]);
    assert_eq!(act(&store, Act::Cancel).await, Acted::Forbidden(State::Adopted));
    // A device that comes later has not followed it: the gate is asked again.
    enrolled(&store, "c", 0).await;
    assert_eq!(act(&store, RETIRE).await, Acted::NotAdopted(Gate { devices: 3, adopted: 2, unseen: 1 }));
    assert_eq!(poll(&store, "c", 1, 9).await, None);
    assert_eq!(act(&store, RETIRE).await, Acted::To(TrustNumber(1), State::Retired));
    assert_eq!(act(&store, RETIRE).await, Acted::Nothing);
    assert_eq!(plan(&store, 1, &[]).await, Planned::Changed);
    assert_eq!(plan(&store, 2, &[]).await, Planned::Planned);
    assert_eq!(store.statement_after(id("a"), TrustNumber(0), 10).await.unwrap(), Some(vec![1]), "the whole chain");
    assert_eq!(store.statement_after(id("a"), TrustNumber(u32::MAX), 11).await.unwrap(), None);
}

async fn a_statement_that_a_device_was_given_is_not_taken_back(store: impl Store) {
    enrolled(&store, "a", 0).await;
    plan(&store, 1, &[]).await;
    act(&store, Act::Start).await;
    store.statement_after(id("a"), TrustNumber(0), 5).await.unwrap().unwrap();
    assert_eq!(act(&store, Act::Cancel).await, Acted::Handed, "it has not said that it followed it");
    assert_eq!(state(&store).await, Some((1, State::Bridging)));
}

async fn a_cancelled_statement_leaves_nothing(store: impl Store) {
    enrolled(&store, "a", 0).await;
    add(&store, 1, (1, 1, 0), &[0], &[]).await;
    assert_eq!(publish(&store, 1).await, Published::Published);
    for started in [false, true] {
        plan(&store, 1, &[1]).await;
        if started {
            act(&store, Act::Start).await;
        }
        assert_eq!(act(&store, Act::Cancel).await, Acted::To(TrustNumber(1), State::Cancelled));
        assert_eq!(state(&store).await, None);
        assert_eq!(store.statement_after(id("a"), TrustNumber(0), 5).await.unwrap(), None);
    }
    assert_eq!(poll(&store, "a", 1, 6).await, None, "nobody knows what number 1 would believe");
    plan(&store, 1, &[]).await;
    assert_eq!(act(&store, Act::Cancel).await, Acted::Handed, "a device is there already, after a restored backup");
    let stale = Signers { basis: 0, ..signers() };
    let added = store.add_release(release(2, (1, 2, 0), 1), stale, entry(1)).await.unwrap();
    assert_eq!(added, ReleaseAdded::TrustChanged);
}

async fn offers_no_device_what_it_would_refuse(store: impl Store) {
    for name in ["early", "late"] {
        enrolled(&store, name, 0).await;
    }
    add(&store, 1, (1, 1, 0), &[0], &[]).await;
    publish(&store, 1).await;
    plan(&store, 1, &[]).await;
    act(&store, Act::Start).await;
    assert_eq!(poll(&store, "late", 0, 5).await, Some((1, 1, 0)));
    assert_eq!(poll(&store, "early", 1, 5).await, None, "it would refuse it");
    add(&store, 2, (1, 2, 0), &[0, 1], &[]).await;
    assert_eq!(publish(&store, 2).await, Published::Published);
    assert_eq!(poll(&store, "early", 1, 6).await, Some((1, 2, 0)));
    assert_eq!(poll(&store, "late", 0, 6).await, Some((1, 2, 0)));
    assert_eq!(act(&store, LEAVE).await, Acted::To(TrustNumber(1), State::Retired));
    // Many releases later the bridge is still found.
    for number in 3..100 {
        add(&store, number, (1, u16::from(number), 0), &[1], &[]).await;
        assert_eq!(publish(&store, number).await, Published::Published);
    }
    assert_eq!(poll(&store, "early", 1, 7).await, Some((1, 99, 0)));
    assert_eq!(poll(&store, "late", 0, 8).await, Some((1, 2, 0)), "the bridge, until it has followed");
    assert_eq!(store.statement_after(id("late"), TrustNumber(0), 9).await.unwrap(), Some(vec![1]));
    assert_eq!(poll(&store, "late", 1, 9).await, Some((1, 99, 0)));
    assert_eq!(poll(&store, "late", 7, 9).await, None, "a number that nobody knows");
}

async fn offers_no_image_that_the_device_would_not_boot(store: impl Store) {
    enrolled(&store, "a", 0).await;
    let open = crate::store::DeviceRecord { secure_boot_digest: [0; 32], ..device("open", 0) };
    assert_eq!(store.enrol(open, entry(1)).await.unwrap(), Enrolled::New);
    add(&store, 1, (1, 1, 0), &[0], &[[7; 32], [8; 32]]).await;
    add(&store, 2, (1, 2, 0), &[0], &[[8; 32]]).await;
    for number in [1, 2] {
        assert_eq!(publish(&store, number).await, Published::Published);
    }
    assert_eq!(poll(&store, "a", 0, 5).await, Some((1, 1, 0)), "7 is burnt into it");
    assert_eq!(poll(&store, "open", 0, 5).await, Some((1, 2, 0)), "nothing is burnt into it");
    assert_eq!(store.image_signers(ReleaseId([1; 32])).await.unwrap(), [[7; 32], [8; 32]]);
    assert_eq!(store.image_signers(ReleaseId([9; 32])).await.unwrap(), [[0; 32]; 0]);
}

async fn what_goes_out_is_believed_on_both_sides(store: impl Store) {
    enrolled(&store, "a", 0).await;
    let roll = async |number: u8| {
        let new = NewRollout { release: ReleaseId([number; 32]), plan: Plan::everybody(), at: 1 };
        store.add_rollout(new, entry(1)).await.unwrap()
    };
    add(&store, 1, (1, 1, 0), &[0], &[]).await;
    let RolloutAdded::Added(draft) = roll(1).await else { panic!("nothing has changed yet") };
    plan(&store, 1, &[]).await;
    add(&store, 2, (1, 2, 0), &[1], &[]).await;
    add(&store, 3, (1, 3, 0), &[0, 1], &[]).await;
    assert_eq!(publish(&store, 2).await, Published::RefusedAt(TrustNumber(0)), "planned");
    act(&store, Act::Start).await;
    for (number, refused) in [(1, 1), (2, 0)] {
        assert_eq!(publish(&store, number).await, Published::RefusedAt(TrustNumber(refused)));
        assert_eq!(roll(number).await, RolloutAdded::RefusedAt(TrustNumber(refused)));
    }
    let started = store.change_rollout(draft, RolloutAct::Start, String::new(), entry(1)).await.unwrap();
    assert_eq!(started, Changed::RefusedAt(TrustNumber(1)), "a draft of before");
    assert!(matches!(roll(3).await, RolloutAdded::Added(_)));
    poll(&store, "a", 1, 5).await;
    assert_eq!(state(&store).await, Some((1, State::Adopted)));
    assert_eq!(publish(&store, 2).await, Published::RefusedAt(TrustNumber(0)), "until the old keys are retired");
    act(&store, RETIRE).await;
    assert_eq!(publish(&store, 1).await, Published::RefusedAt(TrustNumber(1)));
    assert_eq!(publish(&store, 2).await, Published::Published);
    assert_eq!(publish(&store, 3).await, Published::Published);
}

async fn leaves_behind_only_who_was_not_seen(store: impl Store) {
    for name in ["adopted", "asked", "measured", "silent"] {
        enrolled(&store, name, 0).await;
    }
    plan(&store, 1, &[]).await;
    act(&store, Act::Start).await;
    poll(&store, "adopted", 1, 5).await;
    poll(&store, "asked", 0, 99 * DAY).await;
    let packet = Acceptance { received_at: 80 * DAY, ..super::packet("measured", 1) };
    store.accept_once(packet).await.unwrap();
    let gate = |adopted, unseen| Gate { devices: 4, adopted, unseen };
    assert_eq!(store.gate(TrustNumber(1), 70 * DAY).await.unwrap(), gate(1, 1));
    let missing = store.missing(TrustNumber(1), None, 10).await.unwrap();
    let seen: Vec<_> = missing.iter().map(|of| (of.device.as_str(), of.number.0, of.seen_at)).collect();
    assert_eq!(seen, [("asked", 0, 99 * DAY), ("measured", 0, 80 * DAY), ("silent", 0, 1_000)]);
    assert_eq!(store.missing(TrustNumber(1), Some(id("asked")), 1).await.unwrap(), missing[1..2]);
    assert_eq!(act(&store, LEAVE).await, Acted::NotAdopted(gate(1, 1)), "two were seen within 30 days");
    poll(&store, "asked", 1, 100 * DAY).await;
    poll(&store, "measured", 1, 100 * DAY).await;
    assert_eq!(act(&store, RETIRE).await, Acted::NotAdopted(gate(3, 1)), "nobody said so");
    assert_eq!(act(&store, LEAVE).await, Acted::To(TrustNumber(1), State::Retired));
    let lines = store.audit_lines(0, 100).await.unwrap();
    assert!(lines.last().unwrap().contains("1 devices are left behind: silent"), "{lines:?}");
}

async fn a_device_that_falls_back_is_noticed(store: impl Store) {
    enrolled(&store, "a", 0).await;
    plan(&store, 1, &[]).await;
    act(&store, Act::Start).await;
    let lowered = async || {
        let lines = store.audit_lines(0, 100).await.unwrap();
        lines.iter().filter(|line| line.contains("trust-lowered")).count()
    };
    poll(&store, "a", 1, 10_000).await;
    for at in [10_001, 10_003, 10_005] {
        poll(&store, "a", 0, at).await;
        assert_eq!(store.device_trust(id("a")).await.unwrap(), Some(TrustNumber(0)));
        poll(&store, "a", 1, at + 1).await;
    }
    assert_eq!(lowered().await, 1, "once an hour");
    poll(&store, "a", 0, 20_000).await;
    assert_eq!(lowered().await, 2);
    assert_eq!(store.trust_tallies().await.unwrap(), [(TrustNumber(0), 1)]);
    assert_eq!(store.device_trust(id("stranger")).await.unwrap(), None);
}

async fn a_device_that_asks_again_writes_nothing(store: impl Store) {
    enrolled(&store, "a", 0).await;
    plan(&store, 1, &[]).await;
    act(&store, Act::Start).await;
    let seen = async || store.missing(TrustNumber(1), None, 1).await.unwrap()[0].seen_at;
    for (at, expected) in [(50_000, 50_000), (50_001, 50_000), (93_199, 50_000), (93_200, 93_200)] {
        store.statement_after(id("a"), TrustNumber(0), at).await.unwrap();
        assert_eq!(seen().await, expected);
    }
    assert_eq!(store.statement_after(id("stranger"), TrustNumber(0), 1).await.unwrap(), Some(vec![1]));
    assert_eq!(store.trust_tallies().await.unwrap(), [(TrustNumber(0), 1)], "strangers count for nothing");
}
