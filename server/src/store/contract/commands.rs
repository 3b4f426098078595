//! Commands: in order, bounded, ended once, and void when the keys change.

use super::{device, enrolled, entry, id};
use crate::store::commands::{
    Cancelled, CommandState, Finished, KEPT_COMMANDS, MOST_OPEN, NewCommand, Queued, StoredCommand,
};
use crate::store::{DeviceRecord, Store};
use cotter_wire::command::{Command, CommandCounter, CommandResult, Outcome, Value};
use cotter_wire::ids::KeyEpoch;

const ONE: KeyEpoch = KeyEpoch(1);

fn new(name: &str, queued_at: u64, expires: u64) -> NewCommand {
    let mut command = Command::new("set-interval".parse().unwrap());
    command.push("seconds".parse().unwrap(), Value::Integer(30)).unwrap();
    NewCommand { device: id(name), command, queued_at, queued_by: "alice".into(), expires }
}

fn number(counter: u32) -> CommandCounter {
    CommandCounter(counter)
}

async fn next(store: &impl Store, name: &str, epoch: KeyEpoch, now: u64) -> Option<u32> {
    let found: Option<StoredCommand> = store.open_command(id(name), epoch, now).await.unwrap();
    found.map(|command| command.counter.0)
}

pub(super) async fn commands_come_in_order_until_they_end(store: impl Store) {
    enrolled(&store, "a", 0).await;
    enrolled(&store, "b", 0).await;
    for counter in 1..=3 {
        let queued = store.queue_command(new("a", 10, 100), entry(1)).await.unwrap();
        assert_eq!(queued, Queued::Queued(number(counter)));
    }
    assert_eq!(store.queue_command(new("b", 10, 20), entry(1)).await.unwrap(), Queued::Queued(number(1)));
    assert_eq!(store.queue_command(new("stranger", 10, 20), entry(1)).await.unwrap(), Queued::UnknownDevice);
    let first = store.open_command(id("a"), ONE, 50).await.unwrap().unwrap();
    assert_eq!((first.counter, first.epoch, first.new.clone()), (number(1), ONE, new("a", 10, 100)));
    assert_eq!((first.delivered_at, first.state, first.finished_at), (None, CommandState::Open, None));

    let done = |counter| CommandResult::new(number(counter), Outcome::Done, "ok");
    let finish = async |name, result| store.finish_command(id(name), ONE, result, 60).await.unwrap();
    assert_eq!(finish("a", done(1)).await, Finished::Unknown, "never delivered");
    assert!(store.deliver_command(id("a"), number(1), 51).await.unwrap());
    assert!(store.deliver_command(id("a"), number(1), 55).await.unwrap(), "at least once");
    assert_eq!(next(&store, "a", ONE, 55).await, Some(1));
    assert_eq!(finish("b", done(1)).await, Finished::Unknown, "another device's");
    assert_eq!(finish("a", done(9)).await, Finished::Unknown);
    assert_eq!(store.finish_command(id("a"), KeyEpoch(2), done(1), 60).await.unwrap(), Finished::Unknown);
    assert_eq!(finish("a", done(1)).await, Finished::Finished);
    assert_eq!(finish("a", done(1)).await, Finished::Same);
    assert_eq!(finish("a", CommandResult::new(number(1), Outcome::Failed, "ok")).await, Finished::Different);
    assert_eq!(finish("a", CommandResult::new(number(1), Outcome::Done, "no")).await, Finished::Different);
    assert_eq!(next(&store, "a", ONE, 61).await, Some(2));

    let listed = store.commands(id("a"), 10).await.unwrap();
    assert_eq!(listed.iter().map(|command| command.counter.0).collect::<Vec<_>>(), [3, 2, 1]);
    let ended = &listed[2];
    assert_eq!((ended.delivered_at, ended.finished_at, &*ended.detail), (Some(51), Some(60), "ok"));
    assert_eq!(ended.state, CommandState::Ended(Outcome::Done));
    assert_eq!(store.commands(id("a"), 1).await.unwrap(), listed[..1]);
}

pub(super) async fn commands_expire_and_are_cancelled_before_delivery_only(store: impl Store) {
    enrolled(&store, "a", 0).await;
    for expires in [20, 100, 100] {
        store.queue_command(new("a", 10, expires), entry(1)).await.unwrap();
    }
    assert_eq!(next(&store, "a", ONE, 19).await, Some(1));
    assert!(store.deliver_command(id("a"), number(1), 19).await.unwrap());
    assert_eq!(next(&store, "a", ONE, 20).await, Some(2), "the first has expired");
    let cancel = async |counter, at| store.cancel_command(id("a"), number(counter), at, entry(2)).await.unwrap();
    let notes = async || store.audit_lines(0, 100).await.unwrap().len();
    let before = notes().await;
    assert_eq!(cancel(1, 19).await, Cancelled::Delivered);
    assert_eq!(cancel(1, 20).await, Cancelled::Over);
    assert_eq!(cancel(9, 20).await, Cancelled::Unknown);
    assert_eq!(notes().await, before);
    assert_eq!(cancel(2, 20).await, Cancelled::Cancelled);
    assert_eq!((cancel(2, 20).await, notes().await), (Cancelled::Over, before + 1));
    assert!(!store.deliver_command(id("a"), number(2), 21).await.unwrap(), "cancelled in between");
    assert_eq!(next(&store, "a", ONE, 21).await, Some(3));
    // A device that began it in time may say so later.
    let late = CommandResult::new(number(1), Outcome::Done, "");
    assert_eq!(store.finish_command(id("a"), ONE, late, 500).await.unwrap(), Finished::Finished);
    let cancelled = CommandResult::new(number(2), Outcome::Done, "");
    assert_eq!(store.finish_command(id("a"), ONE, cancelled, 500).await.unwrap(), Finished::Unknown);
}

pub(super) async fn commands_are_bounded_and_their_numbers_only_rise(store: impl Store) {
    enrolled(&store, "a", 0).await;
    for _ in 0..MOST_OPEN {
        assert!(matches!(store.queue_command(new("a", 10, 20), entry(1)).await.unwrap(), Queued::Queued(_)));
    }
    assert_eq!(store.queue_command(new("a", 19, 99), entry(1)).await.unwrap(), Queued::Full);
    // Expired ones make room.
    assert_eq!(store.queue_command(new("a", 20, 99), entry(1)).await.unwrap(), Queued::Queued(number(17)));

    // New keys: what was queued for the old ones is void, and its numbers are never given again.
    let renewed = DeviceRecord { epoch: KeyEpoch(2), ..device("a", 0) };
    store.enrol(renewed, entry(1)).await.unwrap();
    assert_eq!(next(&store, "a", KeyEpoch(2), 20).await, None);
    assert_eq!(store.queue_command(new("a", 20, 99), entry(1)).await.unwrap(), Queued::Queued(number(18)));
    assert_eq!(next(&store, "a", KeyEpoch(2), 20).await, Some(18));

    for counter in 19..=150 {
        let at = u64::from(counter) * 100;
        assert_eq!(store.queue_command(new("a", at, at + 1), entry(1)).await.unwrap(), Queued::Queued(number(counter)));
    }
    let listed = store.commands(id("a"), 1000).await.unwrap();
    assert_eq!((listed.len(), listed[0].counter), (KEPT_COMMANDS, number(150)));
}
