//! What a client listens to: its subscriptions, configurations, commands.

use super::{Awaited, Visit};
use crate::bridge::Delivery;
use crate::bridge::live::Order;
use crate::mqtt::session::{Farewell, Granted, Said, Wish};
use crate::mqtt::subscriber::Subscribed;
use crate::mqtt::topic::{Filter, FilterKind};
use cotter_wire::ids::DeviceId;
use tokio::sync::oneshot;

impl Visit<'_> {
    pub(super) async fn subscribe(&mut self, number: u16, wishes: Vec<Wish>) {
        let mut configured = Vec::new();
        let mut granted = Vec::with_capacity(wishes.len());
        for wish in &wishes {
            let subscribed = Subscribed { is_acknowledged: wish.is_acknowledged };
            granted.push(match Filter::parse(&wish.filter) {
                Some(Filter { device, kind }) if self.may_subscribe(device, kind) => {
                    let now = self.now();
                    if let Some(subscriber) = self.subscribers.get(device, now) {
                        *subscriber.subscription(kind) = Some(subscribed);
                    }
                    if kind == FilterKind::Config && !wish.only_new {
                        configured.push(device);
                    }
                    if wish.is_acknowledged { Granted::Acknowledged } else { Granted::Unacknowledged }
                }
                _ if wish.filter.starts_with("$share/") => Granted::Shared,
                _ => Granted::Refused,
            });
        }
        if granted.iter().any(|granted| matches!(granted, Granted::Refused | Granted::Shared)) {
            let filters: Vec<_> = wishes.iter().take(8).map(|wish| wish.filter.as_str()).collect();
            self.broker.app.audit.device("mqtt-subscription-refused", &self.own, &format!("{filters:?}"));
        }
        self.session.subscribed(number, &granted);
        for device in configured {
            self.send_config(device, true).await;
        }
    }

    fn may_subscribe(&mut self, device: DeviceId, kind: FilterKind) -> bool {
        (kind != FilterKind::Errors || device == self.own) && self.is_here(device)
    }

    pub(super) fn unsubscribe(&mut self, filter: &str) -> bool {
        let now = self.now();
        Filter::parse(filter).is_some_and(|Filter { device, kind }| {
            let subscriber = self.subscribers.get(device, now);
            subscriber.is_some_and(|subscriber| subscriber.subscription(kind).take().is_some())
        })
    }

    fn subscription(&mut self, device: DeviceId, kind: FilterKind) -> Option<Subscribed> {
        let now = self.now();
        self.subscribers.get(device, now).and_then(|subscriber| *subscriber.subscription(kind))
    }

    /// Sends the latest configuration, if the device wants it. `is_there`: it was there before.
    async fn send_config(&mut self, device: DeviceId, is_there: bool) {
        let Some(Subscribed { is_acknowledged }) = self.subscription(device, FilterKind::Config) else { return };
        if is_acknowledged && self.session.is_full() {
            if !self.owed.iter().any(|(owed, _)| *owed == device) {
                self.owed.push_back((device, is_there));
            }
            return;
        }
        let latest = match self.broker.app.store.configs(device, 1).await {
            Ok(configs) => configs.and_then(|configs| configs.into_iter().next()),
            Err(error) => {
                tracing::error!(%error, %device, "the configuration is not at hand");
                return self.leave(Farewell::Busy);
            }
        };
        // Who was never given one has an empty one.
        let (version, payload) = latest.map_or((0, Vec::new()), |latest| (latest.version, latest.config.payload));
        let topic = format!("/devices/{device}/config");
        match self.session.publish(&topic, &payload, is_acknowledged, is_there) {
            Some(Said(Some(number))) => {
                self.awaited.push((number, Awaited::Config { device, version }));
            }
            Some(Said(None)) => {}
            None => self.broker.app.audit.device(
                "mqtt-config-not-taken",
                &device,
                &"the client takes no message of that size",
            ),
        }
    }

    pub(super) async fn obey(&mut self, order: Order) {
        match order {
            Order::Config { device } => self.send_config(device, false).await,
            Order::Command { device, folder, payload, done } => {
                let Some(Subscribed { is_acknowledged }) = self.subscription(device, FilterKind::Commands) else {
                    return answer(done, Delivery::NotSubscribed);
                };
                let slash = if folder.is_empty() { "" } else { "/" };
                let topic = format!("/devices/{device}/commands{slash}{folder}");
                match self.session.publish(&topic, &payload, is_acknowledged, false) {
                    Some(Said(Some(number))) => self.awaited.push((number, Awaited::Command { done })),
                    Some(Said(None)) => answer(done, Delivery::Delivered),
                    None => answer(done, Delivery::Busy),
                }
            }
        }
    }

    pub(super) async fn acknowledged(&mut self, number: u16) {
        let Some(at) = self.awaited.iter().position(|(awaited, _)| *awaited == number) else { return };
        match self.awaited.swap_remove(at).1 {
            Awaited::Config { device, version } if version > 0 => {
                let app = &self.broker.app;
                if let Err(error) = app.store.acknowledge_config(device, version, app.clock.unix()).await {
                    tracing::error!(%error, %device, version, "that a configuration has arrived is not noted");
                }
            }
            Awaited::Command { done } => answer(done, Delivery::Delivered),
            Awaited::Config { .. } | Awaited::Nothing => {}
        }
        while !self.session.is_full()
            && let Some((device, is_there)) = self.owed.pop_front()
        {
            self.send_config(device, is_there).await;
        }
    }
}

fn answer(done: oneshot::Sender<Delivery>, delivery: Delivery) {
    // Who asked may have stopped waiting.
    let _ = done.send(delivery);
}
