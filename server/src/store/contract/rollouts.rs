//! Rollouts: who is offered what, what a report leads to, and that all of it is one transaction.

use super::{enrolled, entry, id, release, signers};
use crate::rollout::RolloutId;
use crate::rollout::decision::{Act, State, Tally};
use crate::rollout::plan::Plan;
use crate::rollout::tag::Tag;
use crate::store::rollouts::{Changed, NewRollout, Poll, Reported, RolloutAdded, Step, Tagged};
use crate::store::{ReleaseRecord, StatusRecord, Store};
use cotter_wire::ids::{ReleaseId, SecureVersion};
use cotter_wire::status::{Outcome, StatusReport};
use cotter_wire::trust::TrustNumber;
use cotter_wire::version::Version;
use proptest::prelude::*;

pub(super) async fn all<S: Store>(open: &mut impl FnMut() -> S) {
    offers_each_stage_to_its_devices_only(open()).await;
    stops_by_itself_and_goes_on_by_hand(open()).await;
    counts_a_failure_when_the_attempts_are_used_up(open()).await;
    a_device_that_comes_back_is_noticed_and_counts(open()).await;
    what_is_reported_during_a_pause_counts_when_it_goes_on(open()).await;
    asking_again_writes_nothing(open()).await;
    a_download_is_for_whom_it_is_offered_to_and_only_grows(open()).await;
    a_newer_offer_supersedes_an_older_one(open()).await;
    publishing_is_a_rollout_to_everybody(open()).await;
    a_rollout_that_ends_at_everybody_is_published(open()).await;
    refuses_what_makes_no_sense(open()).await;
    tags_are_put_and_taken_and_bounded(open()).await;
    keeps_the_last_reports_only(open()).await;
}

pub(super) fn survives_reopening<S: Store>(runtime: &tokio::runtime::Runtime, open: &impl Fn() -> S) {
    runtime.block_on(async {
        let store = open();
        let rollout = two_stages(&store, r#""reports":1"#).await;
        assert_eq!(version(&poll(&store, "a", (1, 0, 0)).await), Some((1, 1, 0)));
        report(&store, "a", Outcome::Installed, "", 5).await;
        drop(store);
        let store = open();
        let found = store.rollout(rollout).await.unwrap().unwrap();
        assert_eq!((found.state, found.stage), (State::Running, 1));
        assert_eq!(version(&poll(&store, "b", (1, 0, 0)).await), Some((1, 1, 0)));
    });
}

/// Tallies that are counted along are those that a recount finds, whatever happens in whatever order.
pub(super) fn tallies_are_what_a_recount_finds<S: Store>(
    runtime: &tokio::runtime::Runtime,
    mut open: impl FnMut() -> S,
) {
    let steps = proptest::collection::vec((0..4_usize, 0..8_u8), 1..60);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(24));
    let opened = std::cell::RefCell::new(&mut open);
    runner
        .run(&steps, |steps| {
            let store = (opened.borrow_mut())();
            runtime.block_on(async {
                let rollout = two_stages(&store, r#""reports":1000"#).await;
                store.change_rollout(rollout, Act::Advance, String::new(), entry(1)).await.unwrap();
                for (at, (device, step)) in (10..).zip(steps) {
                    let device = ["a", "b", "c", "d"][device];
                    match step {
                        0 | 1 => drop(poll(&store, device, (1, 0, 0)).await),
                        2 => drop(poll(&store, device, (1, 1, 0)).await),
                        3 => drop(report(&store, device, Outcome::Installed, "", at).await),
                        4 => drop(report(&store, device, Outcome::RolledBack, "self-test", at).await),
                        5 => drop(report(&store, device, Outcome::Failed, "image-hash", at).await),
                        6 => drop(store.retry(rollout, Some(id(device)), entry(at)).await.unwrap()),
                        _ => drop(store.retry(rollout, None, entry(at)).await.unwrap()),
                    }
                }
                let found = store.rollout(rollout).await.unwrap().unwrap();
                let devices = store.rollout_devices(rollout, None, 100).await.unwrap();
                for (stage, tally) in found.tallies.iter().enumerate() {
                    let count = |counts: &dyn Fn(Step, u32) -> bool| {
                        let counts = |(_, of): &&(_, crate::store::rollouts::Assignment)| {
                            of.stage == stage && counts(of.step, of.failures)
                        };
                        u32::try_from(devices.iter().filter(counts).count()).unwrap()
                    };
                    let recount = Tally {
                        offered: count(&|_, _| true),
                        installed: count(&|step, _| step == Step::Installed),
                        failed: count(&|step, failures| {
                            step == Step::RolledBack || (step == Step::Failed && failures >= ATTEMPTS)
                        }),
                    };
                    prop_assert_eq!(*tally, recount);
                }
                Ok(())
            })
        })
        .unwrap();
}

async fn offers_each_stage_to_its_devices_only(store: impl Store) {
    let rollout = made(&store, &stages(r#""reports":1"#)).await;
    for device in ["a", "b"] {
        assert_eq!(version(&poll(&store, device, (1, 0, 0)).await), None, "a draft is offered to nobody");
    }
    change(&store, rollout, Act::Start).await;
    assert_eq!(version(&poll(&store, "b", (1, 0, 0)).await), None, "b has no tag");
    assert_eq!(version(&poll(&store, "a", (1, 0, 0)).await), Some((1, 1, 0)));
    for (running, why) in [((1, 1, 0), "has it"), ((1, 2, 0), "has a newer one")] {
        assert_eq!(version(&poll(&store, "a", running).await), None, "{why}");
    }
    let fused = Poll { secure_version: SecureVersion(2), ..asks("a", (1, 0, 0)) };
    assert_eq!(version(&store.poll(fused).await.unwrap().offer), None, "its eFuses are ahead");
    let late = Poll { at: 9_000, ..asks("c", (1, 0, 0)) };
    assert_eq!(version(&store.poll(late).await.unwrap().offer), None, "expired");
    let other = Poll { project: "other".into(), ..asks("a", (1, 0, 0)) };
    assert_eq!(version(&store.poll(other).await.unwrap().offer), None, "another project");
    assert_eq!(version(&poll(&store, "stranger", (1, 0, 0)).await), None);

    assert_eq!(report(&store, "a", Outcome::Installed, "", 5).await, Reported { decided: true, came_back_from: None });
    let found = store.rollout(rollout).await.unwrap().unwrap();
    assert_eq!((found.state, found.stage, found.changed_at), (State::Running, 1, 5));
    assert_eq!(found.reason, "stage 1: 1 offered, 1 installed, 0 failed");
    assert_eq!(version(&poll(&store, "b", (1, 0, 0)).await), Some((1, 1, 0)));
    let devices = store.rollout_devices(rollout, None, 10).await.unwrap();
    let seen: Vec<_> = devices.iter().map(|(device, of)| (device.as_str(), of.stage, of.step)).collect();
    assert_eq!(seen, [("a", 0, Step::Installed), ("b", 1, Step::Offered)]);
    assert_eq!(store.rollout_devices(rollout, Some(id("a")), 10).await.unwrap().len(), 1);
    assert!(last_note(&store).await.contains("rollout-advanced"), "noted, by nobody");
}

async fn stops_by_itself_and_goes_on_by_hand(store: impl Store) {
    let rollout = two_stages(&store, r#""reports":2,"failure":50"#).await;
    tagged(&store, "b").await;
    for device in ["a", "b"] {
        poll(&store, device, (1, 0, 0)).await;
    }
    assert!(!report(&store, "a", Outcome::RolledBack, "self-test", 5).await.decided, "one report is not enough");
    let notes = store.audit_lines(0, 1000).await.unwrap().len();
    assert!(report(&store, "b", Outcome::Installed, "", 6).await == Reported::default(), "installing stops nothing");
    assert!(report(&store, "b", Outcome::RolledBack, "gain 0", 7).await.decided);
    let found = store.rollout(rollout).await.unwrap().unwrap();
    assert_eq!((found.state, found.stage), (State::Paused, 0));
    assert_eq!(found.tallies[0], Tally { offered: 2, installed: 0, failed: 2 });
    assert_eq!(store.audit_lines(0, 1000).await.unwrap().len(), notes + 1);
    assert!(last_note(&store).await.contains("rollout-paused"));
    tagged(&store, "c").await;
    assert_eq!(version(&poll(&store, "c", (1, 0, 0)).await), None, "paused");
    assert_eq!(store.may_download(id("b"), ReleaseId([1; 32])).await.unwrap(), None, "downloads stop too");

    change(&store, rollout, Act::Resume).await;
    assert_eq!(version(&poll(&store, "c", (1, 0, 0)).await), Some((1, 1, 0)));
    assert_eq!(version(&poll(&store, "a", (1, 0, 0)).await), None, "it came back from it");
    assert_eq!(store.retry(rollout, Some(id("a")), entry(1)).await.unwrap(), Some(1));
    assert_eq!(store.retry(rollout, Some(id("c")), entry(1)).await.unwrap(), Some(0), "it has not failed");
    assert_eq!(store.rollout(rollout).await.unwrap().unwrap().tallies[0].failed, 1);
    assert_eq!(version(&poll(&store, "a", (1, 0, 0)).await), Some((1, 1, 0)));
    assert_eq!(store.retry(rollout, None, entry(1)).await.unwrap(), Some(1));
    assert_eq!(store.retry(RolloutId(99), None, entry(1)).await.unwrap(), None);
    change(&store, rollout, Act::Abort).await;
    assert_eq!(version(&poll(&store, "b", (1, 0, 0)).await), None, "aborted");
}

async fn counts_a_failure_when_the_attempts_are_used_up(store: impl Store) {
    let rollout = two_stages(&store, r#""on_failure":"abort","failure":100"#).await;
    for attempt in 1..=ATTEMPTS {
        assert_eq!(version(&poll(&store, "a", (1, 0, 0)).await), Some((1, 1, 0)), "attempt {attempt}");
        let decided = report(&store, "a", Outcome::Failed, "image-hash", u64::from(attempt)).await.decided;
        assert_eq!(decided, attempt == ATTEMPTS, "attempt {attempt}");
    }
    assert_eq!(store.rollout(rollout).await.unwrap().unwrap().state, State::Aborted);
    let offer = &store.assignments(id("a"), 10).await.unwrap()[0];
    assert_eq!((offer.step, offer.failures, offer.reason.as_str()), (Step::Failed, ATTEMPTS, "image-hash"));
}

async fn a_device_that_comes_back_is_noticed_and_counts(store: impl Store) {
    let rollout = two_stages(&store, r#""reports":1,"failure":100"#).await;
    poll(&store, "a", (1, 0, 0)).await;
    report(&store, "a", Outcome::Installed, "", 5).await;
    assert_eq!(store.running(id("a")).await.unwrap().unwrap().version, Version::new(1, 1, 0));
    let polled = store.poll(asks("a", (1, 0, 0))).await.unwrap();
    assert_eq!(polled.reported, Reported { decided: true, came_back_from: Some(Version::new(1, 1, 0)) });
    assert_eq!(version(&polled.offer), None, "not offered again what it came back from");
    let offer = &store.assignments(id("a"), 10).await.unwrap()[0];
    assert_eq!((offer.step, offer.reason.as_str()), (Step::RolledBack, "runs 1.0.0 again"));
    let found = store.rollout(rollout).await.unwrap().unwrap();
    assert_eq!((found.state, found.tallies[0].failed, found.tallies[0].installed), (State::Paused, 1, 0));
    let log = store.audit_lines(0, 1000).await.unwrap().join("\n");
    assert!(log.contains("device-rolled-back") && log.contains("runs 1.0.0, had confirmed 1.1.0"), "{log}");
    // It says now this, now that: one alarm an hour is enough.
    for _ in 0..5 {
        poll(&store, "a", (1, 1, 0)).await;
        poll(&store, "a", (1, 0, 0)).await;
    }
    let alarms = |log: &str| log.matches("device-rolled-back").count();
    assert_eq!(alarms(&store.audit_lines(0, 1000).await.unwrap().join("\n")), 1);
    store.poll(Poll { at: 3_700, ..asks("a", (0, 9, 0)) }).await.unwrap();
    assert_eq!(alarms(&store.audit_lines(0, 1000).await.unwrap().join("\n")), 2);
}

async fn what_is_reported_during_a_pause_counts_when_it_goes_on(store: impl Store) {
    let rollout = two_stages(&store, r#""reports":1"#).await;
    poll(&store, "a", (1, 0, 0)).await;
    change(&store, rollout, Act::Pause).await;
    assert_eq!(report(&store, "a", Outcome::Installed, "", 5).await, Reported::default());
    assert_eq!(store.rollout(rollout).await.unwrap().unwrap().stage, 0);
    change(&store, rollout, Act::Resume).await;
    let found = store.rollout(rollout).await.unwrap().unwrap();
    assert_eq!((found.state, found.stage), (State::Running, 1));
}

async fn asking_again_writes_nothing(store: impl Store) {
    two_stages(&store, "").await;
    let first = poll(&store, "a", (1, 0, 0)).await;
    let before = (store.assignments(id("a"), 9).await.unwrap(), store.running(id("a")).await.unwrap());
    for at in [100, 200] {
        assert_eq!(store.poll(Poll { at, ..asks("a", (1, 0, 0)) }).await.unwrap().offer, first);
    }
    assert_eq!((store.assignments(id("a"), 9).await.unwrap(), store.running(id("a")).await.unwrap()), before);
}

async fn a_download_is_for_whom_it_is_offered_to_and_only_grows(store: impl Store) {
    two_stages(&store, "").await;
    let release = ReleaseId([1; 32]);
    assert_eq!(store.may_download(id("a"), release).await.unwrap(), None, "not asked yet");
    poll(&store, "a", (1, 0, 0)).await;
    assert_eq!(store.may_download(id("a"), release).await.unwrap(), Some(4_112));
    assert_eq!(store.may_download(id("b"), release).await.unwrap(), None, "not in the stage");
    assert_eq!(store.may_download(id("a"), ReleaseId([2; 32])).await.unwrap(), None);
    for (bytes, expected) in [(2_048, 2_048), (1_000, 2_048), (4_112, 4_112)] {
        store.record_progress(id("a"), release, bytes, 7).await.unwrap();
        let offer = &store.assignments(id("a"), 9).await.unwrap()[0];
        assert_eq!((offer.step, offer.progress, offer.size), (Step::Downloading, expected, 4_112));
    }
    report(&store, "a", Outcome::Installed, "", 8).await;
    store.record_progress(id("a"), release, 4_112, 9).await.unwrap();
    assert_eq!(store.assignments(id("a"), 9).await.unwrap()[0].step, Step::Installed, "and stays so");
    store.record_progress(id("stranger"), release, 1, 9).await.unwrap();
}

async fn a_newer_offer_supersedes_an_older_one(store: impl Store) {
    let first = two_stages(&store, "").await;
    poll(&store, "a", (1, 0, 0)).await;
    store.add_release(release(2, (1, 2, 0), 1), signers(), entry(1)).await.unwrap();
    let second = added(&store, 2, r#"{"stages":[{"percent":100}]}"#).await;
    change(&store, second, Act::Start).await;
    assert_eq!(version(&poll(&store, "a", (1, 0, 0)).await), Some((1, 2, 0)));
    let offers = store.assignments(id("a"), 9).await.unwrap();
    let seen: Vec<_> = offers.iter().map(|offer| (offer.rollout, offer.step)).collect();
    assert_eq!(seen, [(second, Step::Offered), (first, Step::Superseded)]);
    change(&store, second, Act::Pause).await;
    assert_eq!(version(&poll(&store, "a", (1, 0, 0)).await), Some((1, 1, 0)), "back to the older rollout");
    // A failure without a believable offer names the running version: it is about what was offered.
    report(&store, "a", Outcome::Failed, "manifest-expired", 5).await;
    let offers = store.assignments(id("a"), 9).await.unwrap();
    assert_eq!((offers[1].step, offers[1].reason.as_str()), (Step::Failed, "manifest-expired"));
}

async fn publishing_is_a_rollout_to_everybody(store: impl Store) {
    enrolled(&store, "a", 0).await;
    store.add_release(release(1, (1, 1, 0), 1), signers(), entry(1)).await.unwrap();
    assert_eq!(store.rollouts(None, 10).await.unwrap(), []);
    store.publish_release(ReleaseId([1; 32]), 7, entry(1)).await.unwrap();
    store.publish_release(ReleaseId([1; 32]), 8, entry(1)).await.unwrap();
    let found = store.rollouts(None, 10).await.unwrap();
    let [rollout] = &found[..] else { panic!("one rollout: {found:?}") };
    assert_eq!((rollout.state, &rollout.plan, rollout.created_at), (State::Finished, &Plan::everybody(), 7));
    assert_eq!(version(&poll(&store, "a", (1, 0, 0)).await), Some((1, 1, 0)));
    for at in 0..9 {
        report(&store, "a", Outcome::Failed, "image-hash", at).await;
        assert_eq!(version(&poll(&store, "a", (1, 0, 0)).await), Some((1, 1, 0)), "any number of attempts");
    }
    change(&store, rollout.id, Act::Pause).await;
    assert_eq!(version(&poll(&store, "a", (1, 0, 0)).await), None);
}

async fn a_rollout_that_ends_at_everybody_is_published(store: impl Store) {
    let rollout = two_stages(&store, r#""reports":1"#).await;
    for device in ["a", "b"] {
        poll(&store, device, (1, 0, 0)).await;
        report(&store, device, Outcome::Installed, "", 5).await;
    }
    assert_eq!(store.rollout(rollout).await.unwrap().unwrap().state, State::Finished);
    assert_eq!(store.release(ReleaseId([1; 32])).await.unwrap().unwrap().published_at, Some(5));
    assert_eq!(version(&poll(&store, "c", (1, 0, 0)).await), Some((1, 1, 0)), "who comes late gets it too");
    assert_eq!(store.rollouts(None, 10).await.unwrap().len(), 1, "no second rollout");
}

async fn refuses_what_makes_no_sense(store: impl Store) {
    let plan = Plan::parse(br#"{"stages":[{"percent":10}]}"#).unwrap();
    let new = |number| NewRollout { release: ReleaseId([number; 32]), plan: plan.clone(), at: 1 };
    assert_eq!(store.add_rollout(new(1), entry(1)).await.unwrap(), RolloutAdded::UnknownRelease);
    for (number, version) in [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 2, 0))] {
        store.add_release(release(number, version, 1), signers(), entry(1)).await.unwrap();
    }
    store.publish_release(ReleaseId([2; 32]), 1, entry(1)).await.unwrap();
    let older = store.add_rollout(new(1), entry(1)).await.unwrap();
    let newest = Version::new(1, 1, 0);
    assert_eq!(older, RolloutAdded::NotNewer { newest, secure_version: SecureVersion(1) });
    let RolloutAdded::Added(rollout) = store.add_rollout(new(3), entry(1)).await.unwrap() else { panic!("added") };
    let act = async |act| store.change_rollout(rollout, act, String::new(), entry(1)).await.unwrap();
    let notes = store.audit_lines(0, 1000).await.unwrap().len();
    assert_eq!(act(Act::Pause).await, Changed::Forbidden(State::Draft));
    assert_eq!(store.audit_lines(0, 1000).await.unwrap().len(), notes, "a refusal notes nothing here");
    assert_eq!(act(Act::Start).await, Changed::To(State::Running));
    assert_eq!(act(Act::Advance).await, Changed::LastStage);
    assert_eq!(act(Act::Start).await, Changed::Forbidden(State::Running));
    assert_eq!(act(Act::Abort).await, Changed::To(State::Aborted));
    assert_eq!(act(Act::Resume).await, Changed::Forbidden(State::Aborted));
    let unknown = store.change_rollout(RolloutId(77), Act::Start, String::new(), entry(1)).await.unwrap();
    assert_eq!((unknown, store.rollout(RolloutId(77)).await.unwrap()), (Changed::Unknown, None));
    for _ in 0..100 {
        assert!(matches!(store.add_rollout(new(3), entry(1)).await.unwrap(), RolloutAdded::Added(_)));
    }
    assert_eq!(store.add_rollout(new(3), entry(1)).await.unwrap(), RolloutAdded::TooMany);
    let page = store.rollouts(Some(RolloutId(50)), 3).await.unwrap();
    assert_eq!(page.iter().map(|rollout| rollout.id.0).collect::<Vec<_>>(), [49, 48, 47]);
}

async fn tags_are_put_and_taken_and_bounded(store: impl Store) {
    enrolled(&store, "a", 0).await;
    let tag = |number: usize| format!("tag-{number:02}").parse::<Tag>().unwrap();
    for number in (0..Tag::MOST).rev() {
        assert_eq!(store.add_tag(id("a"), tag(number), entry(1)).await.unwrap(), Tagged::Changed);
    }
    assert_eq!(store.add_tag(id("a"), tag(3), entry(1)).await.unwrap(), Tagged::AsBefore);
    assert_eq!(store.add_tag(id("a"), tag(99), entry(1)).await.unwrap(), Tagged::TooMany);
    assert_eq!(store.tags(id("a")).await.unwrap(), (0..Tag::MOST).map(tag).collect::<Vec<_>>());
    assert_eq!(store.remove_tag(id("a"), tag(0), entry(1)).await.unwrap(), Tagged::Changed);
    assert_eq!(store.remove_tag(id("a"), tag(0), entry(1)).await.unwrap(), Tagged::AsBefore);
    assert_eq!(store.add_tag(id("b"), tag(0), entry(1)).await.unwrap(), Tagged::UnknownDevice);
    assert_eq!(store.remove_tag(id("b"), tag(0), entry(1)).await.unwrap(), Tagged::UnknownDevice);
    assert_eq!(store.tags(id("b")).await.unwrap(), []);
    assert_eq!(store.audit_lines(0, 1000).await.unwrap().len(), 1 + Tag::MOST + 1);
}

async fn keeps_the_last_reports_only(store: impl Store) {
    for device in ["a", "b"] {
        enrolled(&store, device, 0).await;
        report(&store, device, Outcome::Failed, "first", 1).await;
    }
    for number in 0..300 {
        report(&store, "a", Outcome::Failed, &format!("number {number}"), 2).await;
    }
    let kept = store.status_history(id("a"), 1000).await.unwrap();
    assert_eq!((kept.len(), kept[0].report.reason()), (256, "number 299"));
    assert_eq!(kept[255].report.reason(), "number 44");
    assert_eq!(store.status_history(id("b"), 1000).await.unwrap().len(), 1, "others keep theirs");
}

/// Devices a, b, c and d, of which a has the tag `beta`; a release 1.1.0; `beta` first, then everybody; running.
async fn two_stages(store: &impl Store, rules: &str) -> RolloutId {
    let rollout = made(store, &stages(rules)).await;
    change(store, rollout, Act::Start).await;
    rollout
}

fn stages(rules: &str) -> String {
    let rules = if rules.is_empty() { String::new() } else { format!(",{rules}") };
    format!(r#"{{"stages":[{{"tag":"beta"{rules}}},{{"percent":100{rules}}}],"attempts":{ATTEMPTS}}}"#)
}

async fn made(store: &impl Store, plan: &str) -> RolloutId {
    for device in ["a", "b", "c", "d"] {
        enrolled(store, device, 0).await;
    }
    tagged(store, "a").await;
    store.add_release(release(1, (1, 1, 0), 1), signers(), entry(1)).await.unwrap();
    added(store, 1, plan).await
}

async fn added(store: &impl Store, number: u8, plan: &str) -> RolloutId {
    let plan = Plan::parse(plan.as_bytes()).unwrap();
    let new = NewRollout { release: ReleaseId([number; 32]), plan, at: 1 };
    match store.add_rollout(new, entry(1)).await.unwrap() {
        RolloutAdded::Added(rollout) => rollout,
        other => panic!("{other:?}"),
    }
}

async fn tagged(store: &impl Store, device: &str) {
    store.add_tag(id(device), "beta".parse().unwrap(), entry(1)).await.unwrap();
}

async fn change(store: &impl Store, rollout: RolloutId, act: Act) {
    let changed = store.change_rollout(rollout, act, "by hand".into(), entry(1)).await.unwrap();
    assert!(matches!(changed, Changed::To(_)), "{changed:?}");
}

fn asks(device: &str, (major, minor, patch): (u16, u16, u16)) -> Poll {
    let version = Version::new(major, minor, patch);
    let (secure_version, trust) = (SecureVersion(0), TrustNumber::BEGINNING);
    Poll { device: id(device), project: "app".into(), version, secure_version, trust, at: 2 }
}

async fn poll(store: &impl Store, device: &str, version: (u16, u16, u16)) -> Option<ReleaseRecord> {
    store.poll(asks(device, version)).await.unwrap().offer
}

fn version(offer: &Option<ReleaseRecord>) -> Option<(u16, u16, u16)> {
    offer.as_ref().map(|offer| (offer.version.major, offer.version.minor, offer.version.patch))
}

/// About version 1.1.0, except for what a device says that believes no offer.
async fn report(store: &impl Store, device: &str, outcome: Outcome, reason: &str, at: u64) -> Reported {
    let version = if reason == "manifest-expired" { Version::new(1, 0, 0) } else { Version::new(1, 1, 0) };
    let report = StatusReport::new(version, outcome, reason);
    store.record_status(StatusRecord { device: id(device), report, received_at: at }).await.unwrap()
}

async fn last_note(store: &impl Store) -> String {
    store.audit_lines(0, 1000).await.unwrap().pop().unwrap()
}

const ATTEMPTS: u32 = 3;
