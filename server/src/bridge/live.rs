//! Which device is on which connection. A device is on one: the newer wins.

use super::Delivery;
use cotter_wire::ids::DeviceId;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};

/// Everybody who is there.
#[derive(Default)]
pub(crate) struct Live {
    lines: Mutex<HashMap<DeviceId, Arc<Line>>>,
    next: AtomicU64,
}

/// A connection, as others see it.
pub(crate) struct Line {
    number: u64,
    owner: DeviceId,
    waiting: Mutex<Waiting>,
    called: Notify,
}

#[derive(Default)]
struct Waiting {
    orders: VecDeque<Order>,
    leave: Option<Leave>,
}

/// What a connection is told.
pub(crate) enum Order {
    /// The device has a new configuration.
    Config { device: DeviceId },
    /// Send it this.
    Command { device: DeviceId, folder: String, payload: Vec<u8>, done: oneshot::Sender<Delivery> },
}

/// What a connection hears next.
#[derive(Debug)]
pub(crate) enum Called {
    Order(Order),
    Leave(Leave),
}

/// Why a connection has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Its device came again.
    TakenOver,
    /// An administrator has changed something that it rested on.
    Administrator,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config { device } => write!(f, "Config({device})"),
            Self::Command { device, .. } => write!(f, "Command({device})"),
        }
    }
}

impl Live {
    /// A new connection of a device's own.
    pub(crate) fn arrive(&self, owner: DeviceId) -> Arc<Line> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let line = Arc::new(Line { number, owner, waiting: Mutex::default(), called: Notify::new() });
        self.bring(owner, &line);
        line
    }

    /// The device is on this connection from now on. If it was there on one of its own, that one ends; a gateway's goes on
    /// without it.
    pub(crate) fn bring(&self, device: DeviceId, line: &Arc<Line>) {
        let before = self.lines().insert(device, Arc::clone(line));
        if let Some(before) = before.filter(|before| before.number != line.number && before.owner == device) {
            before.end(Leave::TakenOver);
        }
    }

    /// The device is not on this connection any more.
    pub(crate) fn give(&self, device: DeviceId, line: &Line) {
        let mut lines = self.lines();
        if lines.get(&device).is_some_and(|there| there.number == line.number) {
            lines.remove(&device);
        }
    }

    /// Whether the device is on this connection still.
    pub(crate) fn is_on(&self, device: DeviceId, line: &Line) -> bool {
        self.lines().get(&device).is_some_and(|there| there.number == line.number)
    }

    /// Whether the device is on any.
    pub(crate) fn is_there(&self, device: DeviceId) -> bool {
        self.lines().contains_key(&device)
    }

    /// Tells the connection of a device. False if there is none, or it has [`MOST_ORDERS`] to do already.
    pub(crate) fn tell(&self, device: DeviceId, order: Order) -> bool {
        let line = self.lines().get(&device).cloned();
        line.is_some_and(|line| line.tell(order))
    }

    /// Ends the connection of a device.
    pub(crate) fn end(&self, device: DeviceId, why: Leave) {
        let line = self.lines().get(&device).cloned();
        if let Some(line) = line {
            line.end(why);
        }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<DeviceId, Arc<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// What it is told next. What was told before comes first, but for the end.
    pub(crate) async fn called(&self) -> Called {
        loop {
            let called = self.called.notified();
            {
                let mut waiting = self.waiting();
                if let Some(why) = waiting.leave {
                    return Called::Leave(why);
                }
                if let Some(order) = waiting.orders.pop_front() {
                    return Called::Order(order);
                }
            }
            called.await;
        }
    }

    fn tell(&self, order: Order) -> bool {
        {
            let mut waiting = self.waiting();
            let is_known = matches!(&order, Order::Config { device } if waiting.orders.iter().any(
                |known| matches!(known, Order::Config { device: known } if known == device)
            ));
            // The latest configuration is sent, whatever it is by then.
            if is_known {
                return true;
            }
            if waiting.orders.len() >= MOST_ORDERS {
                return false;
            }
            waiting.orders.push_back(order);
        }
        self.called.notify_one();
        true
    }

    fn end(&self, why: Leave) {
        self.waiting().leave = Some(why);
        self.called.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That wait for one connection.
const MOST_ORDERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> DeviceId {
        name.parse().unwrap()
    }

    #[tokio::test]
    async fn the_newer_connection_of_a_device_wins() {
        let live = Live::default();
        let older = live.arrive(id("a"));
        let newer = live.arrive(id("a"));
        assert!(matches!(older.called().await, Called::Leave(Leave::TakenOver)));
        assert!(live.is_on(id("a"), &newer) && !live.is_on(id("a"), &older));
        live.give(id("a"), &older);
        assert!(live.is_on(id("a"), &newer), "who left does not take the newer one along");
        live.give(id("a"), &newer);
        assert!(!live.tell(id("a"), Order::Config { device: id("a") }));
    }

    #[tokio::test]
    async fn a_gateway_goes_on_without_a_device_that_comes_by_itself() {
        let live = Live::default();
        let own = live.arrive(id("a"));
        let gateway = live.arrive(id("g"));
        live.bring(id("a"), &gateway);
        assert!(matches!(own.called().await, Called::Leave(Leave::TakenOver)));
        let again = live.arrive(id("a"));
        assert!(live.is_on(id("a"), &again) && !live.is_on(id("a"), &gateway) && live.is_on(id("g"), &gateway));
        assert!(gateway.waiting().leave.is_none());
    }

    #[tokio::test]
    async fn orders_come_in_their_order_and_are_bounded() {
        let live = Live::default();
        let line = live.arrive(id("a"));
        for _ in 0..3 {
            assert!(live.tell(id("a"), Order::Config { device: id("a") }), "told once");
        }
        let command = || {
            let (done, outcome) = oneshot::channel();
            let order = Order::Command { device: id("a"), folder: String::new(), payload: Vec::new(), done };
            (live.tell(id("a"), order), outcome)
        };
        let outcomes: Vec<_> = (1..MOST_ORDERS).map(|_| command()).collect();
        assert!(outcomes.iter().all(|(told, _)| *told));
        let (told, mut outcome) = command();
        assert!(!told && outcome.try_recv().is_err());
        assert!(matches!(line.called().await, Called::Order(Order::Config { .. })));
        for _ in 1..MOST_ORDERS {
            assert!(matches!(line.called().await, Called::Order(Order::Command { .. })));
        }
        live.end(id("a"), Leave::Administrator);
        assert!(matches!(line.called().await, Called::Leave(Leave::Administrator)));
    }
}
