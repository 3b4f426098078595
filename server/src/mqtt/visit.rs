//! A client that was let in, to its end. One task drives it: it reads only while what it has read is under way and what it
//! has said is written, so that a flood waits on its own side and a slow listener is left alone with it.
//!
//! | file | noun |
//! |---|---|
//! | here | the task |
//! | `publish` | what the client publishes |
//! | `listen` | what it listens to |
//! | `gateway` | devices that it brings |

mod gateway;
mod listen;
mod publish;

use super::believe::Believed;
use super::broker::Broker;
use super::session::{Farewell, Heard, RECEIVE_MAXIMUM, Session};
use super::subscriber::Subscribers;
use super::taken::{Outcome, Taken};
use super::wire::Wire;
use crate::bridge::Delivery;
use crate::bridge::live::{Called, Leave, Line, Order};
use crate::config::Mqtt;
use crate::limits::Budget;
use cotter_wire::ids::{DeviceId, UnixTime};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// A client that was let in.
pub(super) struct Visit<'a> {
    broker: &'a Broker,
    session: Session,
    own: DeviceId,
    until: UnixTime,
    line: Arc<Line>,
    subscribers: Subscribers,
    inbox: VecDeque<Heard>,
    taken: Taken,
    awaited: Vec<(u16, Awaited)>,
    // Devices that get their configuration when others have acknowledged theirs.
    owed: VecDeque<(DeviceId, bool)>,
    heard_at: tokio::time::Instant,
    leave: Option<Farewell>,
    messages: Budget,
    bytes: Budget,
    states: Budget,
}

/// What an acknowledgement of the client's is for.
enum Awaited {
    Config {
        device: DeviceId,
        version: u64,
    },
    Command {
        done: oneshot::Sender<Delivery>,
    },
    /// Nobody asks.
    Nothing,
}

/// What happens next.
enum Next {
    Came(Vec<u8>),
    Stored(Option<u16>, Outcome),
    Order(Order),
    Leave(Farewell),
    Gone,
    Time,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        for device in self.subscribers.devices() {
            self.broker.app.bridge.live.give(device, &self.line);
        }
    }
}

impl<'a> Visit<'a> {
    pub(super) fn new(
        broker: &'a Broker,
        session: Session,
        believed: Believed,
        line: Arc<Line>,
        inbox: VecDeque<Heard>,
    ) -> Self {
        let Mqtt { messages_per_connection, bytes_per_connection, states_per_connection, .. } = *broker.config;
        let [messages, bytes, states] = [messages_per_connection, bytes_per_connection, states_per_connection]
            .map(|rate| Budget::new(rate.burst, rate.per_second));
        Self {
            broker,
            session,
            own: believed.device,
            until: believed.until,
            line,
            subscribers: Subscribers::of(believed.device),
            inbox,
            taken: Taken::default(),
            awaited: Vec::new(),
            owed: VecDeque::new(),
            heard_at: tokio::time::Instant::now(),
            leave: None,
            messages,
            bytes,
            states,
        }
    }

    pub(super) async fn attend(&mut self, wire: &mut Wire, mut told_to_close: impl Future<Output = ()> + Unpin) {
        loop {
            self.deal().await;
            if self.leave.is_some() || self.session.is_over() {
                return self.finish(wire).await;
            }
            if wire.write(&self.session.said()).await.is_none() {
                return;
            }
            let next = {
                let deadline = self.deadline();
                // What came is dealt with before more is read.
                let may_read = self.inbox.is_empty();
                let Self { taken, line, .. } = &mut *self;
                tokio::select! {
                    biased;
                    () = &mut told_to_close => Next::Leave(Farewell::ShuttingDown),
                    called = line.called() => match called {
                        Called::Order(order) => Next::Order(order),
                        Called::Leave(Leave::TakenOver) => Next::Leave(Farewell::TakenOver),
                        Called::Leave(Leave::Administrator) => Next::Leave(Farewell::Administrator),
                    },
                    (number, outcome) = taken.next(), if !taken.is_empty() => Next::Stored(number, outcome),
                    bytes = wire.read(), if may_read => bytes.map_or(Next::Gone, Next::Came),
                    () = tokio::time::sleep_until(deadline) => Next::Time,
                }
            };
            match next {
                Next::Order(order) => self.obey(order).await,
                Next::Leave(why) => self.leave(why),
                Next::Stored(number, outcome) => self.stored(number, outcome),
                Next::Came(bytes) => {
                    self.heard_at = tokio::time::Instant::now();
                    self.inbox.extend(self.session.hear(&bytes));
                }
                Next::Gone => return,
                Next::Time => {
                    let is_expired = self.now() >= self.until;
                    self.leave(if is_expired { Farewell::Expired } else { Farewell::Silent });
                }
            }
        }
    }

    /// Deals with what came, as far as there is room for it.
    async fn deal(&mut self) {
        while self.taken.len() < usize::from(RECEIVE_MAXIMUM)
            && let Some(heard) = self.inbox.pop_front()
        {
            self.heard(heard).await;
        }
    }

    /// Not one word more is heard; what is under way comes to its end.
    fn leave(&mut self, why: Farewell) {
        self.leave.get_or_insert(why);
        self.inbox.clear();
    }

    /// The end: what came before it is stored and acknowledged, if that does not take too long. Who is not acknowledged
    /// sends again.
    async fn finish(&mut self, wire: &mut Wire) {
        let rest = async {
            loop {
                self.deal().await;
                if self.taken.is_empty() {
                    return;
                }
                let (number, outcome) = self.taken.next().await;
                self.stored(number, outcome);
            }
        };
        let _ = tokio::time::timeout(LAST_WORDS, rest).await;
        if let Some(why) = self.leave {
            self.session.end(why);
        }
        // The peer may be gone.
        let _ = wire.write(&self.session.said()).await;
    }

    /// When the client has been silent for too long, or must come again.
    fn deadline(&self) -> tokio::time::Instant {
        let silence = self.session.silence().unwrap_or(MOST_SILENCE).min(MOST_SILENCE);
        let left = Duration::from_secs(self.until.0.saturating_sub(self.now().0));
        (self.heard_at + silence).min(tokio::time::Instant::now() + left)
    }

    fn now(&self) -> UnixTime {
        UnixTime(self.broker.app.clock.unix())
    }

    async fn heard(&mut self, heard: Heard) {
        match heard {
            Heard::Message(message) => self.published(message).await,
            Heard::Subscribe(number, wishes) => self.subscribe(number, wishes).await,
            Heard::Unsubscribe(number, filters) => {
                let existed: Vec<_> = filters.iter().map(|filter| self.unsubscribe(filter)).collect();
                self.session.unsubscribed(number, &existed);
            }
            Heard::Acknowledged(number) => self.acknowledged(number).await,
            Heard::Fault(why) => self.broker.app.audit.device("mqtt-fault", &self.own, &why),
            Heard::Greeting(_) | Heard::Goodbye => {}
        }
    }

    /// Whether the device is on this connection and on no newer one.
    fn is_here(&mut self, device: DeviceId) -> bool {
        let now = self.now();
        self.subscribers.get(device, now).is_some() && self.broker.app.bridge.live.is_on(device, &self.line)
    }
}

/// Longest silence, whatever the client has asked for: as in Cloud IoT Core.
pub(super) const MOST_SILENCE_S: u16 = 20 * 60;
const MOST_SILENCE: Duration = Duration::from_secs(MOST_SILENCE_S as u64 * 3 / 2);
/// For what is under way when a connection ends.
const LAST_WORDS: Duration = Duration::from_secs(5);
