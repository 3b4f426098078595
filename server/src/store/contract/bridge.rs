//! The bridge: numbered, the latest kept; gateways and what they may bring.

use super::{enrolled, entry, id};
use crate::store::Store;
use crate::store::bridge::{Bound, KEPT_CONFIGS, KEPT_STATES, NewConfig, NewMessage, StoredState};

fn message(device: &str, number: u64) -> NewMessage {
    let payload = number.to_be_bytes().to_vec();
    NewMessage { device: id(device), folder: format!("f{number}"), payload, received_at: number }
}

pub(super) async fn messages_are_numbered_by_device_and_the_last_are_kept(store: impl Store) {
    assert_eq!(store.add_message(message("a", 1), 3).await.unwrap(), None);
    assert_eq!(store.messages(id("a"), 0, 9).await.unwrap(), None);
    enrolled(&store, "a", 0).await;
    enrolled(&store, "b", 0).await;
    for number in 1..=5 {
        assert_eq!(store.add_message(message("a", number), 3).await.unwrap(), Some(number));
    }
    assert_eq!(store.add_message(message("b", 1), 3).await.unwrap(), Some(1), "by device");
    let found = async |after, limit| {
        let found = store.messages(id("a"), after, limit).await.unwrap().unwrap();
        assert!(found.iter().all(|stored| stored.message == message("a", stored.number)));
        found.iter().map(|stored| stored.number).collect::<Vec<_>>()
    };
    assert_eq!(found(0, 9).await, [3, 4, 5]);
    assert_eq!(found(3, 1).await, [4]);
    assert_eq!(found(5, 9).await, [0_u64; 0]);
    assert_eq!(found(u64::MAX, 9).await, [0_u64; 0]);
}

pub(super) async fn states_and_configurations_are_kept_for_a_while(store: impl Store) {
    let config = |device, number: u64| NewConfig {
        device: id(device),
        payload: number.to_be_bytes().to_vec(),
        set_at: number,
        set_by: "root".into(),
    };
    assert!(!store.add_state(id("a"), vec![1], 1).await.unwrap());
    assert_eq!(store.set_config(config("a", 1), entry(1)).await.unwrap(), None);
    assert_eq!((store.states(id("a")).await.unwrap(), store.configs(id("a"), 9).await.unwrap()), (None, None));
    enrolled(&store, "a", 0).await;
    let notes = async || store.audit_lines(0, 100).await.unwrap().len();
    let before = notes().await;
    for number in 1..=KEPT_STATES + 2 {
        assert!(store.add_state(id("a"), number.to_be_bytes().to_vec(), number).await.unwrap());
    }
    let states = store.states(id("a")).await.unwrap().unwrap();
    assert_eq!(states.len() as u64, KEPT_STATES);
    let newest = KEPT_STATES + 2;
    assert_eq!(states[0], StoredState { payload: newest.to_be_bytes().to_vec(), received_at: newest });
    assert_eq!(notes().await, before, "devices note nothing");
    for number in 1..=KEPT_CONFIGS + 1 {
        assert_eq!(store.set_config(config("a", number), entry(number)).await.unwrap(), Some(number));
    }
    assert_eq!(notes().await - before, (0..=KEPT_CONFIGS).count());
    store.acknowledge_config(id("a"), 3, 50).await.unwrap();
    store.acknowledge_config(id("a"), 3, 51).await.unwrap();
    store.acknowledge_config(id("a"), 1, 52).await.unwrap();
    store.acknowledge_config(id("b"), 1, 53).await.unwrap();
    let configs = store.configs(id("a"), 99).await.unwrap().unwrap();
    assert_eq!(
        configs.iter().map(|stored| stored.version).collect::<Vec<_>>(),
        (2..=KEPT_CONFIGS + 1).rev().collect::<Vec<_>>()
    );
    assert!(configs.iter().all(|stored| stored.config == config("a", stored.version)));
    let acknowledged: Vec<_> = configs.iter().filter_map(|stored| stored.acknowledged_at).collect();
    assert_eq!(acknowledged, [50], "the first time counts");
    assert_eq!(store.configs(id("a"), 1).await.unwrap().unwrap()[0].version, KEPT_CONFIGS + 1);
}

pub(super) async fn a_gateway_brings_what_is_bound_to_it(store: impl Store) {
    let set = async |device, is_gateway| store.set_gateway(id(device), is_gateway, entry(1)).await.unwrap();
    let bind = async |gateway, device, is_bound| store.bind(id(gateway), id(device), is_bound, entry(1)).await.unwrap();
    assert_eq!(set("g", true).await, None);
    for device in ["g", "h", "a", "b"] {
        enrolled(&store, device, 0).await;
    }
    assert_eq!(bind("g", "a", true).await, Bound::NoGateway);
    assert_eq!(store.binding(id("g"), id("a")).await.unwrap(), None);
    assert_eq!(store.bindings(id("g")).await.unwrap(), None);
    assert_eq!((set("g", true).await, set("g", true).await), (Some(true), Some(false)));
    assert_eq!(bind("g", "x", true).await, Bound::UnknownDevice);
    assert_eq!((bind("g", "b", true).await, bind("g", "a", true).await), (Bound::Changed, Bound::Changed));
    assert_eq!(bind("g", "a", true).await, Bound::AlreadySo);
    assert_eq!(store.bindings(id("g")).await.unwrap(), Some(vec![id("a"), id("b")]));
    let may = async |device| store.binding(id("g"), id(device)).await.unwrap();
    assert_eq!((may("a").await, may("h").await, may("x").await), (Some(true), Some(false), Some(false)));
    // A gateway is not brought by another.
    assert_eq!(set("h", true).await, Some(true));
    assert_eq!(bind("g", "h", true).await, Bound::IsGateway);
    assert_eq!(set("a", true).await, Some(true));
    assert_eq!(store.bindings(id("g")).await.unwrap(), Some(vec![id("b")]));
    assert_eq!((bind("g", "b", false).await, bind("g", "b", false).await), (Bound::Changed, Bound::AlreadySo));
    assert_eq!(bind("g", "b", true).await, Bound::Changed);
    assert_eq!(set("g", false).await, Some(true));
    assert_eq!(store.bindings(id("g")).await.unwrap(), None);
    assert_eq!(set("g", true).await, Some(true));
    assert_eq!(store.bindings(id("g")).await.unwrap(), Some(vec![]), "made anew");
}
