//! A connection from its handshake to its end. One task drives it: it reads only while what it has read is under way and
//! what it has said is written, so that a flood waits on its own side and a slow listener is left alone with it.

use super::believe::{Believed, believe, by_token};
use super::errors::GatewayError;
use super::session::{Farewell, Granted, Greeting, Heard, Message, RECEIVE_MAXIMUM, Said, Session, Unwelcome, Wish};
use super::subscriber::{Subscribed, Subscribers};
use super::taken::{Outcome, Taken};
use super::topic::{Filter, FilterKind, Publication, PublicationKind};
use crate::app::App;
use crate::bridge::Delivery;
use crate::bridge::live::{Called, Leave, Line, Order};
use crate::config::{Limits, Mqtt};
use crate::entrance::certificate::Door;
use crate::entrance::gate::Gate;
use crate::entrance::listener::Host;
use crate::entrance::tls::handshake;
use crate::ingest::Receipt;
use crate::limits::Budget;
use crate::metrics::Limit;
use crate::store::bridge::NewMessage;
use cotter_wire::api::{MQTT_COMPACT_TELEMETRY, MQTT_TELEMETRY};
use cotter_wire::ids::{DeviceId, UnixTime};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Attends to MQTT clients.
#[derive(Clone)]
pub(crate) struct Broker {
    app: Arc<App>,
    gate: Arc<Gate>,
    config: Arc<Mqtt>,
    tls: TlsAcceptor,
    door: Door,
    limits: Limits,
}

impl Broker {
    pub(crate) fn new(app: &Arc<App>, gate: &Arc<Gate>, config: Mqtt, tls: TlsAcceptor, door: Door) -> Self {
        let (app, gate, limits) = (Arc::clone(app), Arc::clone(gate), app.limits);
        Self { app, gate, config: Arc::new(config), tls, door, limits }
    }

    /// What this listener may take.
    pub(crate) fn limits(&self) -> Limits {
        let Mqtt { connections, connections_per_address, .. } = *self.config;
        Limits { connections, connections_per_address, ..self.limits }
    }
}

impl Host for Broker {
    async fn attend(self, stream: TcpStream, address: IpAddr, mut closed: watch::Receiver<bool>) {
        let note = |why| self.app.audit.stranger("certificate-refused", &address, &why);
        let Some((stream, certified)) = handshake(stream, &self.tls, Some(&self.door), &self.limits, note).await else {
            return;
        };
        let mut wire = Wire { stream, stall: Duration::from_secs(self.limits.stall_seconds) };
        let certified = certified.map(|certified| certified.0);
        // Ends also if the sender is gone, which is a shutdown too.
        let told_to_close = async { drop(closed.wait_for(|closed| *closed).await) };
        let mut told_to_close = std::pin::pin!(told_to_close);
        let greeted = tokio::select! {
            biased;
            () = &mut told_to_close => None,
            greeted = tokio::time::timeout(self.limits.body(), self.greet(&mut wire, address, certified)) => greeted.ok().flatten(),
        };
        if let Some((session, believed, inbox)) = greeted {
            let line = self.app.bridge.live.arrive(believed.device);
            self.app.metrics.mqtt_devices.inc();
            Visit::new(&self, session, believed, line, inbox).attend(&mut wire, told_to_close).await;
            self.app.metrics.mqtt_devices.dec();
        }
        // The peer may be gone.
        let _ = tokio::time::timeout(LAST_WORDS, wire.stream.shutdown()).await;
    }
}

impl Broker {
    /// Hears who has come, and lets it in or not.
    async fn greet(
        &self,
        wire: &mut Wire,
        address: IpAddr,
        certified: Option<DeviceId>,
    ) -> Option<(Session, Believed, VecDeque<Heard>)> {
        let mut session = Session::new(MOST_PAYLOAD);
        let greeting = loop {
            let bytes = wire.read().await?;
            match session.hear(&bytes).into_iter().next() {
                Some(Heard::Greeting(greeting)) => break greeting,
                Some(Heard::Fault(why)) => {
                    self.app.audit.stranger("mqtt-malformed", &address, &why);
                    self.gate.refused(address);
                }
                _ => {}
            }
            if session.is_over() {
                wire.write(&session.said()).await?;
                return None;
            }
        };
        let decided = self.decide(&greeting, address, certified).await;
        let inbox = match decided {
            Ok(_) => session.accept(MOST_SILENCE_S),
            Err(why) => {
                if why != Unwelcome::Unavailable {
                    self.gate.refused(address);
                }
                session.refuse(why);
                Vec::new()
            }
        };
        wire.write(&session.said()).await?;
        Some((session, decided.ok()?, inbox.into()))
    }

    async fn decide(
        &self,
        greeting: &Greeting,
        address: IpAddr,
        certified: Option<DeviceId>,
    ) -> Result<Believed, Unwelcome> {
        if self.gate.exceeded(address).is_some() {
            return Err(Unwelcome::Unavailable);
        }
        believe(&self.app, &self.config, greeting, certified).await
    }
}

/// The connection.
struct Wire {
    stream: TlsStream<TcpStream>,
    stall: Duration,
}

impl Wire {
    /// What came; `None` at the end. Who waits holds no buffer.
    async fn read(&mut self) -> Option<Vec<u8>> {
        poll_fn(|context| {
            BUFFER.with_borrow_mut(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer));
                Poll::Ready(read.ok().map(|()| buffer.filled().to_vec()).filter(|bytes| !bytes.is_empty()))
            })
        })
        .await
    }

    /// `None` if the peer is gone, or takes nothing.
    async fn write(&mut self, bytes: &[u8]) -> Option<()> {
        if bytes.is_empty() {
            return Some(());
        }
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        tokio::time::timeout(self.stall, written).await.ok()?.ok()
    }
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 16 * 1024]);
}

/// A client that was let in.
struct Visit<'a> {
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
    fn new(broker: &'a Broker, session: Session, believed: Believed, line: Arc<Line>, inbox: VecDeque<Heard>) -> Self {
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

    async fn attend(&mut self, wire: &mut Wire, mut told_to_close: impl Future<Output = ()> + Unpin) {
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

    async fn published(&mut self, message: Message) {
        if let Err(why) = self.take(&message).await {
            let detail = format!("{why:?}: {:?}", message.topic);
            self.broker.app.audit.device("mqtt-publication-refused", &self.own, &detail);
            self.leave(why);
        }
    }

    async fn take(&mut self, message: &Message) -> Result<(), Farewell> {
        let Broker { app, config, .. } = self.broker;
        let (now, length) = (Instant::now(), message.payload().len());
        if message.is_exactly_once {
            return Err(Farewell::ExactlyOnce);
        }
        // Nobody subscribes to what devices say, so nothing could be kept for them. MQTT 3.1.1 has no word for that.
        if message.is_retained && self.session.is_v5() {
            return Err(Farewell::Retained);
        }
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        if self.messages.take(now).is_none() || self.bytes.take_many(length, now).is_none() {
            app.metrics.limited(Limit::Messages);
            return Err(Farewell::Rate);
        }
        let Publication { device, kind } = Publication::parse(&message.topic).ok_or(Farewell::Forbidden)?;
        match kind {
            PublicationKind::Attach => return self.attach(device, message).await,
            PublicationKind::Detach => return self.detach(device, message).await,
            PublicationKind::Event { .. } | PublicationKind::State => {}
        }
        if !self.is_here(device) {
            return Err(Farewell::Forbidden);
        }
        let (app, payload) = (Arc::clone(app), message.payload().to_vec());
        let received_at = app.clock.unix();
        match kind {
            PublicationKind::State => {
                if payload.len() > MOST_STATE {
                    return Err(Farewell::Size);
                }
                if self.states.take(now).is_none() {
                    app.metrics.limited(Limit::Messages);
                    return Err(Farewell::Rate);
                }
                let work = async move {
                    match app.store.add_state(device, payload, received_at).await {
                        Ok(true) => Outcome::Stored,
                        Ok(false) => Outcome::Rejected,
                        Err(error) => unavailable(&error),
                    }
                };
                self.taken.push(message.number, Box::pin(work), true);
            }
            PublicationKind::Event { folder } if folder == MQTT_TELEMETRY || folder == MQTT_COMPACT_TELEMETRY => {
                let is_compact = folder == MQTT_COMPACT_TELEMETRY;
                let work = async move {
                    let begun = Instant::now();
                    let receipt = if is_compact {
                        app.ingest.receive_compact(device, &payload).await
                    } else {
                        app.ingest.receive(device, &payload).await
                    };
                    app.metrics.uploaded(receipt, begun.elapsed());
                    match receipt {
                        Receipt::Accepted(_) | Receipt::AlreadyStored => Outcome::Stored,
                        Receipt::OutOfOrder | Receipt::Malformed | Receipt::Refused => Outcome::Rejected,
                        Receipt::TooMany(_) => Outcome::TooMany,
                        Receipt::Unavailable => Outcome::Unavailable,
                    }
                };
                // One after the other: the order of packets counts.
                self.taken.push(message.number, Box::pin(work), false);
            }
            PublicationKind::Event { folder } => {
                if !config.plain_events {
                    return Err(Farewell::Payload);
                }
                let new = NewMessage { device, folder: folder.to_owned(), payload, received_at };
                let kept = config.kept_events;
                let permit = Arc::clone(&app.bridge.room).try_acquire_owned().ok();
                let has_room = permit.is_some();
                let work = async move {
                    let _room = match permit {
                        Some(permit) => Ok(permit),
                        None => Arc::clone(&app.bridge.room).acquire_owned().await,
                    };
                    match app.store.add_message(new, kept).await {
                        Ok(Some(_)) => Outcome::Stored,
                        Ok(None) => Outcome::Rejected,
                        Err(error) => unavailable(&error),
                    }
                };
                self.taken.push(message.number, Box::pin(work), has_room);
            }
            PublicationKind::Attach | PublicationKind::Detach => {}
        }
        Ok(())
    }

    fn stored(&mut self, number: Option<u16>, outcome: Outcome) {
        self.broker.app.metrics.mqtt_message(outcome == Outcome::Stored);
        match (outcome, number) {
            (Outcome::Stored, Some(number)) => self.session.acknowledge(number),
            (Outcome::Stored, None) => {}
            // Why, the ingest has noted.
            (Outcome::Rejected, Some(number)) => {
                if !self.session.reject(number) {
                    self.leave(Farewell::Payload);
                }
            }
            (Outcome::Rejected, None) => self.leave(Farewell::Payload),
            (Outcome::TooMany, _) => self.leave(Farewell::Rate),
            (Outcome::Unavailable, _) => self.leave(Farewell::Busy),
        }
    }

    /// Whether the device is on this connection and on no newer one.
    fn is_here(&mut self, device: DeviceId) -> bool {
        let now = self.now();
        self.subscribers.get(device, now).is_some() && self.broker.app.bridge.live.is_on(device, &self.line)
    }

    async fn subscribe(&mut self, number: u16, wishes: Vec<Wish>) {
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

    fn unsubscribe(&mut self, filter: &str) -> bool {
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

    async fn obey(&mut self, order: Order) {
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

    async fn acknowledged(&mut self, number: u16) {
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

    async fn attach(&mut self, device: DeviceId, message: &Message) -> Result<(), Farewell> {
        let app = Arc::clone(&self.broker.app);
        let bound = match app.store.binding(self.own, device).await {
            Ok(Some(bound)) => bound,
            // It is no gateway.
            Ok(None) => return Err(Farewell::Forbidden),
            Err(error) => {
                unavailable(&error);
                return Err(Farewell::Busy);
            }
        };
        let until = match authorization(message.payload()) {
            None => bound.then_some(None),
            Some(token) => match by_token(&app, &self.broker.config, device, token.as_bytes(), self.now()).await {
                Ok(Ok(admission)) => Some(Some(admission.close_at)),
                Ok(Err(why)) => {
                    app.audit.stranger(why.code(), &device, &format!("{why}, brought by {}", self.own));
                    None
                }
                Err(error) => {
                    unavailable(&error);
                    return Err(Farewell::Busy);
                }
            },
        };
        let is_known = matches!(app.store.device(device).await, Ok(Some(_)));
        match until.filter(|_| is_known && device != self.own) {
            Some(until) if self.subscribers.bring(device, until) => app.bridge.live.bring(device, &self.line),
            _ => {
                app.audit.device("mqtt-attachment-refused", &self.own, &device);
                self.complain(GatewayError::Attachment, device, message);
            }
        }
        self.taken.push(message.number, Box::pin(std::future::ready(Outcome::Stored)), true);
        Ok(())
    }

    async fn detach(&mut self, device: DeviceId, message: &Message) -> Result<(), Farewell> {
        match self.broker.app.store.binding(self.own, device).await {
            Ok(Some(_)) => {}
            Ok(None) => return Err(Farewell::Forbidden),
            Err(error) => {
                unavailable(&error);
                return Err(Farewell::Busy);
            }
        }
        if self.subscribers.take_away(device) {
            self.broker.app.bridge.live.give(device, &self.line);
        } else {
            self.complain(GatewayError::Detachment, device, message);
        }
        self.taken.push(message.number, Box::pin(std::future::ready(Outcome::Stored)), true);
        Ok(())
    }

    /// Tells the gateway, if it wants to know.
    fn complain(&mut self, what: GatewayError, device: DeviceId, message: &Message) {
        let own = self.own;
        let Some(Subscribed { is_acknowledged }) = *self.subscribers.own().subscription(FilterKind::Errors) else {
            return;
        };
        let document = what.document(device, &message.topic, message.number);
        let said = self.session.publish(&format!("/devices/{own}/errors"), &document, is_acknowledged, false);
        if let Some(Said(Some(number))) = said {
            self.awaited.push((number, Awaited::Nothing));
        }
    }
}

/// `{"authorization":"TOKEN"}`; `None` if a gateway shows no token.
fn authorization(payload: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Attachment {
        authorization: Option<String>,
    }
    if payload.is_empty() {
        return None;
    }
    // What does not read is a token that does not hold.
    let attachment = serde_json::from_slice(payload).unwrap_or(Attachment { authorization: Some(String::new()) });
    attachment.authorization
}

fn unavailable(error: &dyn std::error::Error) -> Outcome {
    tracing::error!(%error, "a message is not stored");
    Outcome::Unavailable
}

fn answer(done: oneshot::Sender<Delivery>, delivery: Delivery) {
    // Who asked may have stopped waiting.
    let _ = done.send(delivery);
}

/// Longest message, in bytes: as in Cloud IoT Core.
const MOST_PAYLOAD: u32 = 256 * 1024;
/// Longest state, in bytes: as in Cloud IoT Core.
const MOST_STATE: usize = 64 * 1024;
/// Longest silence, whatever the client has asked for: as in Cloud IoT Core.
const MOST_SILENCE_S: u16 = 20 * 60;
const MOST_SILENCE: Duration = Duration::from_secs(MOST_SILENCE_S as u64 * 3 / 2);
/// For what is under way when a connection ends.
const LAST_WORDS: Duration = Duration::from_secs(5);
