//! The MQTT commands, over TCP, TLS and WebSocket.
//!
//! Source of states, limits and numbers: esp-at (July 2026) `docs/en/AT_Command_Set/MQTT_AT_Commands.rst`.

use super::super::arguments::Arguments;
use super::super::connection::Connection;
use super::super::dial::{Carrier, DialError, Target};
use super::super::mqtt::{Client, Login, Told, Will};
use super::super::refusal::Refusal;
use super::entry::Entry;
use super::secure::alpn;
use super::{Job, Mode, Module, Outcome, Prompt, Purpose, Reply, quoted};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

pub(super) const COMMANDS: &[Entry] = &[
    Entry::new("+MQTTUSERCFG").set(configure),
    Entry::new("+MQTTLONGCLIENTID").set(|module, arguments, _| module.ask_mqtt_text(Text::ClientId, arguments)),
    Entry::new("+MQTTLONGUSERNAME").set(|module, arguments, _| module.ask_mqtt_text(Text::Username, arguments)),
    Entry::new("+MQTTLONGPASSWORD").set(|module, arguments, _| module.ask_mqtt_text(Text::Password, arguments)),
    Entry::new("+MQTTCONNCFG").set(configure_connection),
    Entry::new("+MQTTALPN").set(set_alpn),
    Entry::new("+MQTTSNI").set(set_sni),
    Entry::new("+MQTTCONN").query(query_connection).set(connect),
    Entry::new("+MQTTPUB").set(publish),
    Entry::new("+MQTTPUBRAW").set(ask_message),
    Entry::new("+MQTTSUB").query(query_subscriptions).set(subscribe),
    Entry::new("+MQTTUNSUB").set(unsubscribe),
    Entry::new("+MQTTCLEAN").set(clean),
];

/// How long a command waits if it does not say otherwise.
const PATIENCE: i64 = 15_000;
/// What `0` seconds mean.
const KEEP_ALIVE: u16 = 120;
/// How long the client waits before it connects again: esp-mqtt's default.
const RECONNECT: Duration = Duration::from_secs(10);
/// The most that one +MQTTSUBRECV tells. The original cuts what exceeds its buffer, header included; exactly where is not
/// known.
const BUFFER: usize = 1024;
const MOST_TOPICS: usize = 10;
/// Schemes behind it are the same over WebSocket.
const LAST_WITHOUT_WEB_SOCKET: u8 = 5;

const NOT_CONFIGURED: Refusal = Refusal::Mqtt(0x6001);
const WRONG_STATE: Refusal = Refusal::Mqtt(0x6002);
const ALREADY_CLEAN: Refusal = Refusal::Mqtt(0x6003);
const ALREADY_CONNECTED: Refusal = Refusal::Mqtt(0x6004);
const WRONG_COUNT: Refusal = Refusal::Mqtt(0x6008);
const NOT_STARTED: Refusal = Refusal::Mqtt(0x600B);
const NOT_PUBLISHED: Refusal = Refusal::Mqtt(0x600C);
const NOT_SUBSCRIBED: Refusal = Refusal::Mqtt(0x600D);
const NOT_UNSUBSCRIBED: Refusal = Refusal::Mqtt(0x600E);
const WRONG_LINK: Refusal = Refusal::Mqtt(0x6011);
const WRONG_SCHEME: Refusal = Refusal::Mqtt(0x6013);
const DISCONNECTED: Refusal = Refusal::Mqtt(0x6051);

/// The one MQTT link there is.
#[derive(Default)]
pub(super) struct Mqtt {
    state: State,
    scheme: u8,
    login: Login,
    path: String,
    alpn: Vec<String>,
    sni: Option<String>,
    target: Option<Target>,
    reconnects: bool,
    client: Option<Client>,
    topics: Vec<(String, u8)>,
    again: Option<Again>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    #[default]
    Uninitialized = 0,
    Configured = 1,
    ConnectionConfigured = 2,
    Disconnected = 3,
    Established = 4,
    NoTopics = 5,
    Topics = 6,
}

/// A text of the login that is too long for a command.
#[derive(Clone, Copy)]
pub(super) enum Text {
    ClientId,
    Username,
    Password,
}

/// A message whose text is asked for.
pub(super) struct Message {
    topic: String,
    qos: u8,
    retain: bool,
    patience: Duration,
}

/// What a command waits for.
pub(super) struct Waiting {
    end: Instant,
    what: What,
}

enum What {
    Dial(Receiver<Result<Connection, DialError>>),
    Accept,
    Publish(u16),
    /// As `Publish`, of AT+MQTTPUBRAW, which answers differently.
    PublishRaw(u16),
    Subscribe(u16, String, u8),
    Unsubscribe(u16, String),
}

/// Connecting again, of its own accord.
enum Again {
    At(Instant),
    Dial(Receiver<Result<Connection, DialError>>),
}

fn configure(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let arguments = arguments.count(8..=8).map_err(|_| WRONG_COUNT)?;
    link(arguments)?;
    if module.mqtt.state >= State::Disconnected {
        return Err(WRONG_STATE);
    }
    let scheme = arguments.required::<u8>(1, 1..=10).map_err(|_| WRONG_SCHEME)?;
    let client_id = text(arguments, 2, 256, 0x6015)?;
    let username = text(arguments, 3, 64, 0x6018)?;
    let password = text(arguments, 4, 64, 0x601B)?;
    let _only_certificate: u8 = arguments.or(5, 0..=0, 0).map_err(|_| Refusal::Mqtt(0x601E))?;
    let _only_ca: u8 = arguments.or(6, 0..=0, 0).map_err(|_| Refusal::Mqtt(0x6020))?;
    let path = text(arguments, 7, 32, 0x6028)?;
    let mqtt = &mut module.mqtt;
    mqtt.login = Login { client_id, username, password, keep_alive: KEEP_ALIVE, ..Login::default() };
    (mqtt.scheme, mqtt.path, mqtt.state) = (scheme, path, State::Configured);
    Ok(Reply::Done)
}

fn configure_connection(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let arguments = arguments.count(7..=7).map_err(|_| WRONG_COUNT)?;
    link(arguments)?;
    module.configured()?;
    let keep_alive: u16 = arguments.or(1, 0..=7200, 0).map_err(|_| Refusal::Mqtt(0x602D))?;
    let keeps_session = arguments.or::<u8>(2, 0..=1, 0).map_err(|_| Refusal::Mqtt(0x602F))? == 1;
    let topic = text(arguments, 3, 128, 0x6031)?;
    let message = text(arguments, 4, 128, 0x6034)?;
    let qos = arguments.or(5, 0..=2, 0).map_err(|_| Refusal::Mqtt(0x6037))?;
    let retain = arguments.or::<u8>(6, 0..=1, 0).map_err(|_| Refusal::Mqtt(0x6039))? == 1;
    let login = &mut module.mqtt.login;
    login.keep_alive = if keep_alive == 0 { KEEP_ALIVE } else { keep_alive };
    login.keeps_session = keeps_session;
    login.will = (!topic.is_empty()).then_some(Will { topic, message, qos, retain });
    module.mqtt.state = State::ConnectionConfigured;
    Ok(Reply::Done)
}

fn set_alpn(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    link(arguments)?;
    module.configured()?;
    module.mqtt.alpn = alpn(arguments.rest())?;
    Ok(Reply::Done)
}

fn set_sni(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    link(arguments)?;
    module.configured()?;
    let sni = arguments.count(2..=2)?.required_text(1, 128)?;
    module.mqtt.sni = Some(sni.to_owned()).filter(|sni| !sni.is_empty());
    Ok(Reply::Done)
}

fn query_connection(module: &mut Module, _: Instant) -> Outcome {
    let mqtt = &module.mqtt;
    let (state, scheme, path, again) = (mqtt.state as u8, mqtt.scheme, quoted(&mqtt.path), u8::from(mqtt.reconnects));
    let (host, port) = mqtt.target.as_ref().map_or(("", 0), |target| (&*target.host, target.port));
    let line = format!("+MQTTCONN:0,{state},{scheme},\"{host}\",\"{port}\",{path},{again}");
    module.tell(&line)
}

fn connect(module: &mut Module, arguments: Arguments<'_>, now: Instant) -> Outcome {
    let arguments = arguments.count(4..=5).map_err(|_| WRONG_COUNT)?;
    link(arguments)?;
    match module.mqtt.state {
        State::Uninitialized => return Err(NOT_CONFIGURED),
        State::Configured | State::ConnectionConfigured => {}
        State::Disconnected => return Err(DISCONNECTED),
        State::Established | State::NoTopics | State::Topics => return Err(ALREADY_CONNECTED),
    }
    let host = text(arguments, 1, 128, 0x603B)?;
    let port = arguments.required::<u16>(2, 1..=65_535).map_err(|_| Refusal::Mqtt(0x603E))?;
    let reconnects = arguments.required::<u8>(3, 0..=1).map_err(|_| Refusal::Mqtt(0x6040))? == 1;
    let patience = patience(arguments, 4)?;
    if module.mqtt.login.client_id.is_empty() {
        return Err(Refusal::Mqtt(0x6015));
    }
    if !module.wifi.has_address() {
        return Err(NOT_STARTED);
    }
    let carrier = module.mqtt_carrier()?;
    let web_socket = (module.mqtt.scheme > LAST_WITHOUT_WEB_SOCKET).then(|| module.mqtt.path.clone());
    let target = Target { host, port, carrier, web_socket, timeout: patience };
    let answer = target.clone().dial(&module.surroundings.network);
    module.mqtt.target = Some(target);
    module.mqtt.reconnects = reconnects;
    module.wait_for(What::Dial(answer), patience, now)
}

fn publish(module: &mut Module, arguments: Arguments<'_>, now: Instant) -> Outcome {
    let arguments = arguments.count(5..=6).map_err(|_| WRONG_COUNT)?;
    link(arguments)?;
    module.connected()?;
    let topic = text(arguments, 1, 128, 0x6042)?;
    let data = text(arguments, 2, 256, 0x6045)?;
    let (qos, retain) = quality(arguments, 3)?;
    let patience = patience(arguments, 5)?;
    let client = module.mqtt.client.as_mut().ok_or(DISCONNECTED)?;
    let number = client.publish(&topic, data.as_bytes(), qos, retain, now).map_err(|_| NOT_PUBLISHED)?;
    match number {
        None => Ok(Reply::Done),
        Some(number) => module.wait_for(What::Publish(number), patience, now),
    }
}

fn ask_message(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let arguments = arguments.count(5..=6).map_err(|_| WRONG_COUNT)?;
    link(arguments)?;
    module.connected()?;
    let topic = text(arguments, 1, 128, 0x6042)?;
    let wanted: usize = arguments.required(2, 1..=128 * 1024).map_err(|_| Refusal::Mqtt(0x604C))?;
    let (qos, retain) = quality(arguments, 3)?;
    let message = Message { topic, qos, retain, patience: patience(arguments, 5)? };
    Ok(Reply::Prompt(Prompt { wanted, got: Vec::new(), purpose: Purpose::Publish(message) }))
}

fn query_subscriptions(module: &mut Module, _: Instant) -> Outcome {
    let state = module.mqtt.state as u8;
    let lines: Vec<String> =
        module.mqtt.topics.iter().map(|(topic, qos)| format!("+MQTTSUB:0,{state},\"{topic}\",{qos}")).collect();
    lines.iter().for_each(|line| module.say(line));
    Ok(Reply::Done)
}

fn subscribe(module: &mut Module, arguments: Arguments<'_>, now: Instant) -> Outcome {
    let arguments = arguments.count(3..=4).map_err(|_| WRONG_COUNT)?;
    link(arguments)?;
    module.connected()?;
    let topic = text(arguments, 1, 128, 0x6042)?;
    let qos: u8 = arguments.or(2, 0..=2, 0).map_err(|_| Refusal::Mqtt(0x6048))?;
    let patience = patience(arguments, 3)?;
    if module.mqtt.topics.iter().any(|(known, _)| *known == topic) {
        module.say("ALREADY SUBSCRIBE");
        return Ok(Reply::Done);
    }
    if module.mqtt.topics.len() >= MOST_TOPICS {
        return Err(NOT_SUBSCRIBED);
    }
    let client = module.mqtt.client.as_mut().ok_or(DISCONNECTED)?;
    let number = client.subscribe(&topic, qos, now).map_err(|_| NOT_SUBSCRIBED)?;
    module.wait_for(What::Subscribe(number, topic, qos), patience, now)
}

fn unsubscribe(module: &mut Module, arguments: Arguments<'_>, now: Instant) -> Outcome {
    let arguments = arguments.count(2..=3).map_err(|_| WRONG_COUNT)?;
    link(arguments)?;
    module.connected()?;
    let topic = text(arguments, 1, 128, 0x6042)?;
    let patience = patience(arguments, 2)?;
    if !module.mqtt.topics.iter().any(|(known, _)| *known == topic) {
        module.say("NO UNSUBSCRIBE");
        return Ok(Reply::Done);
    }
    let client = module.mqtt.client.as_mut().ok_or(DISCONNECTED)?;
    let number = client.unsubscribe(&topic, now).map_err(|_| NOT_UNSUBSCRIBED)?;
    module.wait_for(What::Unsubscribe(number, topic), patience, now)
}

fn clean(module: &mut Module, arguments: Arguments<'_>, now: Instant) -> Outcome {
    link(arguments.count(1..=1).map_err(|_| WRONG_COUNT)?)?;
    if module.mqtt.state == State::Uninitialized {
        return Err(ALREADY_CLEAN);
    }
    let mqtt = std::mem::take(&mut module.mqtt);
    if let Some(client) = mqtt.client {
        client.close(now);
        module.say("+MQTTDISCONNECTED:0");
    }
    Ok(Reply::Done)
}

/// The only link there is.
fn link(arguments: Arguments<'_>) -> Result<(), Refusal> {
    arguments.required::<u8>(0, 0..=0).map(drop).map_err(|_| WRONG_LINK)
}

/// A string whose errors are numbered in a row: it is missing, it is too long.
fn text(arguments: Arguments<'_>, index: usize, max: usize, missing: u16) -> Result<String, Refusal> {
    match arguments.required_text(index, max) {
        Ok(text) => Ok(text.to_owned()),
        Err(Refusal::Length(_)) => Err(Refusal::Mqtt(missing + 1)),
        Err(_) => Err(Refusal::Mqtt(missing)),
    }
}

fn quality(arguments: Arguments<'_>, index: usize) -> Result<(u8, bool), Refusal> {
    let qos = arguments.or(index, 0..=2, 0).map_err(|_| Refusal::Mqtt(0x6048))?;
    let retain = arguments.or::<u8>(index + 1, 0..=1, 0).map_err(|_| Refusal::Mqtt(0x604A))? == 1;
    Ok((qos, retain))
}

fn patience(arguments: Arguments<'_>, index: usize) -> Result<Duration, Refusal> {
    Ok(Duration::from_millis(arguments.or(index, 3000..=60_000, PATIENCE.unsigned_abs())?))
}

impl Module {
    fn configured(&self) -> Result<(), Refusal> {
        match self.mqtt.state {
            State::Uninitialized => Err(NOT_CONFIGURED),
            State::Configured | State::ConnectionConfigured => Ok(()),
            _ => Err(WRONG_STATE),
        }
    }

    fn connected(&self) -> Result<(), Refusal> {
        match self.mqtt.state {
            State::Uninitialized => Err(NOT_CONFIGURED),
            state if state >= State::Established => Ok(()),
            _ => Err(DISCONNECTED),
        }
    }

    fn wait_for(&mut self, what: What, patience: Duration, now: Instant) -> Outcome {
        self.job = Some(Job::Mqtt(Waiting { end: now + patience, what }));
        Ok(Reply::Later)
    }

    fn ask_mqtt_text(&mut self, text: Text, arguments: Arguments<'_>) -> Outcome {
        let arguments = arguments.count(2..=2).map_err(|_| WRONG_COUNT)?;
        link(arguments)?;
        self.configured()?;
        let wanted = arguments.required(1, 1..=1024)?;
        Ok(Reply::Prompt(Prompt { wanted, got: Vec::new(), purpose: Purpose::Mqtt(text) }))
    }

    pub(super) fn set_mqtt_text(&mut self, text: Text, data: Vec<u8>) -> Outcome {
        let data = String::from_utf8(data).map_err(|_| Refusal::Failed)?;
        let login = &mut self.mqtt.login;
        match text {
            Text::ClientId => login.client_id = data,
            Text::Username => login.username = data,
            Text::Password => login.password = data,
        }
        Ok(Reply::Done)
    }

    fn mqtt_carrier(&mut self) -> Result<Carrier, Refusal> {
        // 6 to 10 are 1 to 5 over WebSocket.
        let scheme =
            self.mqtt.scheme.checked_sub(LAST_WITHOUT_WEB_SOCKET).filter(|rest| *rest > 0).unwrap_or(self.mqtt.scheme);
        if scheme <= 1 {
            return Ok(Carrier::Tcp);
        }
        let own = matches!(scheme, 4 | 5).then(|| ["mqtt_cert", "mqtt_key"].map(|name| (name, name.to_owned())));
        let ca = matches!(scheme, 3 | 5).then(|| ("mqtt_ca", "mqtt_ca".to_owned()));
        let alpn = self.mqtt.alpn.iter().map(|name| name.clone().into_bytes()).collect();
        let name = self.mqtt.sni.clone();
        self.carrier(own, ca, alpn, name).map_err(|_| Refusal::Mqtt(0x6009))
    }

    /// Publishes what AT+MQTTPUBRAW asked for.
    pub(super) fn publish_raw(&mut self, message: Message, data: &[u8], now: Instant) -> Outcome {
        let Message { topic, qos, retain, patience } = message;
        let published = self.mqtt.client.as_mut().map(|client| client.publish(&topic, data, qos, retain, now));
        match published {
            Some(Ok(None)) => self.tell_published(true),
            Some(Ok(Some(number))) => self.wait_for(What::PublishRaw(number), patience, now),
            Some(Err(_)) | None => self.tell_published(false),
        }
    }

    fn tell_published(&mut self, is_done: bool) -> Outcome {
        self.out.extend(if is_done { &b"\r\n+MQTTPUB:OK\r\n"[..] } else { b"\r\n+MQTTPUB:FAIL\r\n" });
        Ok(Reply::Said)
    }

    /// A command waits for the network.
    pub(super) fn go_on_waiting(&mut self, waiting: Waiting, now: Instant) {
        let Waiting { end, what } = waiting;
        let is_late = end <= now;
        match what {
            What::Dial(answer) => match answer.try_recv() {
                Err(TryRecvError::Empty) if !is_late => {
                    self.job = Some(Job::Mqtt(Waiting { end, what: What::Dial(answer) }));
                }
                Ok(Ok(connection)) => match Client::open(connection, &self.mqtt.login, now) {
                    Ok(client) => {
                        self.mqtt.client = Some(client);
                        self.job = Some(Job::Mqtt(Waiting { end, what: What::Accept }));
                    }
                    Err(_) => self.answer(Err(NOT_STARTED)),
                },
                Ok(Err(error)) => {
                    self.note(format_args!("MQTT: no connection: {error}"));
                    self.answer(Err(NOT_STARTED));
                }
                Err(_) => self.answer(Err(NOT_STARTED)),
            },
            what if is_late => self.give_up(&what),
            what => self.job = Some(Job::Mqtt(Waiting { end, what })),
        }
    }

    fn give_up(&mut self, what: &What) {
        match what {
            What::Dial(_) | What::Accept => {
                self.mqtt.client = None;
                self.answer(Err(NOT_STARTED));
            }
            What::Publish(_) => self.answer(Err(NOT_PUBLISHED)),
            What::PublishRaw(_) => {
                let outcome = self.tell_published(false);
                self.answer(outcome);
            }
            What::Subscribe(..) => self.answer(Err(NOT_SUBSCRIBED)),
            What::Unsubscribe(..) => self.answer(Err(NOT_UNSUBSCRIBED)),
        }
    }

    pub(super) fn tick_mqtt(&mut self, now: Instant) {
        let told = self.mqtt.client.as_mut().map(|client| client.poll(now)).unwrap_or_default();
        for told in told {
            self.hear(told, now);
        }
        self.connect_again(now);
    }

    fn hear(&mut self, told: Told, now: Instant) {
        let what = match self.job.take() {
            Some(Job::Mqtt(Waiting { what, end })) => Some((what, end)),
            other => {
                self.job = other;
                None
            }
        };
        match (told, what) {
            (Told::Accepted, what) => {
                self.mqtt.state = if self.mqtt.topics.is_empty() { State::Established } else { State::Topics };
                self.tell_connected();
                if let Some((What::Accept, _)) = what {
                    self.answer(Ok(Reply::Done));
                } else {
                    self.keep(what);
                }
            }
            (Told::Done(number), Some((what, end))) => self.done(number, what, end),
            (Told::NotSubscribed(number), Some((What::Subscribe(wanted, ..), _))) if number == wanted => {
                self.answer(Err(NOT_SUBSCRIBED));
            }
            (Told::Message { topic, payload }, what) => {
                self.tell_message(&topic, &payload);
                self.keep(what);
            }
            (Told::Refused, what) => {
                self.note("MQTT: the broker refused the login");
                self.lose(what.map(|(what, _)| what), now);
            }
            (Told::Closed, what) => self.lose(what.map(|(what, _)| what), now),
            (Told::Done(_) | Told::NotSubscribed(_), what) => self.keep(what),
        }
    }

    fn keep(&mut self, what: Option<(What, Instant)>) {
        if let Some((what, end)) = what {
            self.job = Some(Job::Mqtt(Waiting { end, what }));
        }
    }

    fn done(&mut self, number: u16, what: What, end: Instant) {
        match what {
            What::Publish(wanted) if wanted == number => self.answer(Ok(Reply::Done)),
            What::PublishRaw(wanted) if wanted == number => {
                let outcome = self.tell_published(true);
                self.answer(outcome);
            }
            What::Subscribe(wanted, topic, qos) if wanted == number => {
                self.mqtt.topics.push((topic, qos));
                self.mqtt.state = State::Topics;
                self.answer(Ok(Reply::Done));
            }
            What::Unsubscribe(wanted, topic) if wanted == number => {
                self.mqtt.topics.retain(|(known, _)| *known != topic);
                if self.mqtt.topics.is_empty() {
                    self.mqtt.state = State::NoTopics;
                }
                self.answer(Ok(Reply::Done));
            }
            what => self.keep(Some((what, end))),
        }
    }

    /// The connection is gone.
    fn lose(&mut self, what: Option<What>, now: Instant) {
        self.mqtt.client = None;
        let was_connected = self.mqtt.state >= State::Established;
        if was_connected {
            self.mqtt.state = State::Disconnected;
            if !self.mqtt.login.keeps_session {
                // The broker has forgotten them. Whether the original subscribes again by itself is not known.
                self.mqtt.topics.clear();
            }
            self.say("+MQTTDISCONNECTED:0");
        }
        if let Some(what) = what {
            self.give_up(&what);
        }
        if self.mqtt.reconnects && (was_connected || self.mqtt.state == State::Disconnected) {
            self.mqtt.again = now.checked_add(RECONNECT).map(Again::At);
        }
    }

    fn connect_again(&mut self, now: Instant) {
        match self.mqtt.again.take() {
            None => {}
            Some(Again::At(due)) if due > now => self.mqtt.again = Some(Again::At(due)),
            Some(Again::At(_)) => {
                let target = self.mqtt.target.clone();
                self.mqtt.again = target.map(|target| Again::Dial(target.dial(&self.surroundings.network)));
            }
            Some(Again::Dial(answer)) => match answer.try_recv() {
                Err(TryRecvError::Empty) => self.mqtt.again = Some(Again::Dial(answer)),
                Ok(Ok(connection)) => self.mqtt.client = Client::open(connection, &self.mqtt.login, now).ok(),
                Ok(Err(_)) | Err(TryRecvError::Disconnected) => {
                    self.mqtt.again = now.checked_add(RECONNECT).map(Again::At);
                }
            },
        }
    }

    fn tell_connected(&mut self) {
        let mqtt = &self.mqtt;
        let Some(target) = &mqtt.target else { return };
        let (scheme, host, port, path) = (mqtt.scheme, &target.host, target.port, quoted(&mqtt.path));
        let line = format!("+MQTTCONNECTED:0,{scheme},\"{host}\",\"{port}\",{path},{}", u8::from(mqtt.reconnects));
        self.say(line);
    }

    fn tell_message(&mut self, topic: &str, payload: &[u8]) {
        if matches!(self.mode, Mode::Passthrough) {
            return;
        }
        let room = BUFFER.saturating_sub(topic.len() + 10).max(1);
        let mut pieces: Vec<&[u8]> = payload.chunks(room).collect();
        if pieces.is_empty() {
            pieces.push(&[]);
        }
        for piece in pieces {
            self.out.extend(format!("+MQTTSUBRECV:0,\"{topic}\",{},", piece.len()).as_bytes());
            self.out.extend(piece);
            self.out.extend(b"\r\n");
        }
    }
}
