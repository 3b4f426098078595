//! An MQTT 3.1.1 client over a connection: it asks, and tells what came of it.

use super::connection::Connection;
use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::role::Client as ClientRole;
use mqtt_protocol_core::mqtt::connection::{Connection as Protocol, Event as ProtocolEvent, TimerKind};
use mqtt_protocol_core::mqtt::packet::v3_1_1::{Connect, Disconnect, Publish, Subscribe, Unsubscribe};
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait, Packet, Qos, SubEntry, SubOpts};
use mqtt_protocol_core::mqtt::result_code::{ConnectReturnCode, SubackReturnCode};
use std::time::{Duration, Instant};

/// Who connects, and what is said of it when it is gone.
#[derive(Clone, Default)]
pub(super) struct Login {
    pub(super) client_id: String,
    pub(super) username: String,
    pub(super) password: String,
    pub(super) keep_alive: u16,
    pub(super) keeps_session: bool,
    pub(super) will: Option<Will>,
}

/// The last will.
#[derive(Clone)]
pub(super) struct Will {
    pub(super) topic: String,
    pub(super) message: String,
    pub(super) qos: u8,
    pub(super) retain: bool,
}

/// A session with a broker.
pub(super) struct Client {
    protocol: Protocol<ClientRole>,
    connection: Connection,
    /// When a timer of the protocol ends.
    timers: [(TimerKind, Option<Instant>); 3],
    is_closed: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The broker takes us.
    Accepted,
    /// The broker does not take us.
    Refused,
    /// What was published, subscribed or unsubscribed with this number has arrived.
    Done(u16),
    /// The subscription with this number was refused.
    NotSubscribed(u16),
    /// A message.
    Message { topic: String, payload: Vec<u8> },
    /// It is over.
    Closed,
}

/// What cannot be said in MQTT: a topic or a text that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsayable;

impl Client {
    /// Asks the broker to take us.
    pub(super) fn open(connection: Connection, login: &Login, now: Instant) -> Result<Self, Unsayable> {
        let mut protocol = Protocol::new(Version::V3_1_1);
        protocol.set_auto_pub_response(true);
        protocol.set_pingresp_recv_timeout(10_000);
        let mut connect = Connect::builder().client_id(&*login.client_id).map_err(unsayable)?;
        connect = connect.clean_session(!login.keeps_session).keep_alive(login.keep_alive);
        if !login.username.is_empty() {
            connect = connect.user_name(&*login.username).map_err(unsayable)?;
        }
        if !login.password.is_empty() {
            connect = connect.password(&*login.password).map_err(unsayable)?;
        }
        if let Some(will) = &login.will {
            let message = &*will.message;
            connect = connect.will_message(&*will.topic, message, qos(will.qos), will.retain).map_err(unsayable)?;
        }
        let timers = [TimerKind::PingreqSend, TimerKind::PingreqRecv, TimerKind::PingrespRecv].map(|kind| (kind, None));
        let mut client = Self { protocol, connection, timers, is_closed: false };
        let events = client.protocol.checked_send(connect.build().map_err(unsayable)?);
        let _nothing_yet = client.obey(events, now);
        Ok(client)
    }

    /// Publishes. The number is what [`Told::Done`] names; none for QoS 0, which is done at once.
    pub(super) fn publish(
        &mut self,
        topic: &str,
        payload: &[u8],
        level: u8,
        retain: bool,
        now: Instant,
    ) -> Result<Option<u16>, Unsayable> {
        let number = if level == 0 { None } else { Some(self.protocol.acquire_packet_id().map_err(unsayable)?) };
        let mut publish = Publish::builder().topic_name(topic).map_err(unsayable)?;
        publish = publish.qos(qos(level)).retain(retain).payload(payload.to_vec());
        if let Some(number) = number {
            publish = publish.packet_id(number);
        }
        let events = self.protocol.checked_send(publish.build().map_err(unsayable)?);
        let _nothing_yet = self.obey(events, now);
        Ok(number)
    }

    /// Subscribes.
    pub(super) fn subscribe(&mut self, topic: &str, level: u8, now: Instant) -> Result<u16, Unsayable> {
        let number = self.protocol.acquire_packet_id().map_err(unsayable)?;
        let entry = SubEntry::new(topic, SubOpts::new().set_qos(qos(level))).map_err(unsayable)?;
        let subscribe = Subscribe::builder().entries(vec![entry]).packet_id(number).build().map_err(unsayable)?;
        let events = self.protocol.checked_send(subscribe);
        let _nothing_yet = self.obey(events, now);
        Ok(number)
    }

    /// Ends a subscription.
    pub(super) fn unsubscribe(&mut self, topic: &str, now: Instant) -> Result<u16, Unsayable> {
        let number = self.protocol.acquire_packet_id().map_err(unsayable)?;
        let unsubscribe = Unsubscribe::builder().entries(vec![topic]).map_err(unsayable)?;
        let unsubscribe = unsubscribe.packet_id(number).build().map_err(unsayable)?;
        let events = self.protocol.checked_send(unsubscribe);
        let _nothing_yet = self.obey(events, now);
        Ok(number)
    }

    /// Says goodbye.
    pub(super) fn close(mut self, now: Instant) {
        let events = self.protocol.checked_send(Disconnect::new());
        let _nothing_more = self.obey(events, now);
    }

    /// What has happened meanwhile.
    pub(super) fn poll(&mut self, now: Instant) -> Vec<Told> {
        let mut told = Vec::new();
        if self.is_closed {
            return told;
        }
        let arrivals = self.connection.receive();
        let is_over = arrivals.is_err();
        for arrival in arrivals.unwrap_or_default() {
            let mut cursor = Cursor::new(&arrival.bytes[..]);
            while cursor.position() < arrival.bytes.len() as u64 {
                let events = self.protocol.recv(&mut cursor);
                told.extend(self.obey(events, now));
                if self.is_closed {
                    return told;
                }
            }
        }
        for index in 0..self.timers.len() {
            if let Some((kind, end)) = self.timers.get_mut(index)
                && end.is_some_and(|end| end <= now)
            {
                *end = None;
                let kind = *kind;
                let events = self.protocol.notify_timer_fired(kind);
                told.extend(self.obey(events, now));
            }
        }
        if is_over && !self.is_closed {
            self.is_closed = true;
            told.push(Told::Closed);
        }
        told
    }

    fn obey(&mut self, events: Vec<ProtocolEvent>, now: Instant) -> Vec<Told> {
        let mut told = Vec::new();
        for event in events {
            match event {
                ProtocolEvent::RequestSendPacket { packet, .. } => {
                    // That it did not leave is noticed by the next poll.
                    let _handed_over = self.connection.send(&packet.to_continuous_buffer(), None);
                }
                ProtocolEvent::NotifyPacketReceived(packet) => told.extend(received(packet)),
                ProtocolEvent::RequestTimerReset { kind, duration_ms } => {
                    self.timer(kind, Some(now + Duration::from_millis(duration_ms)));
                }
                ProtocolEvent::RequestTimerCancel(kind) => self.timer(kind, None),
                ProtocolEvent::RequestClose if !self.is_closed => {
                    self.is_closed = true;
                    told.push(Told::Closed);
                }
                ProtocolEvent::RequestClose
                | ProtocolEvent::NotifyPacketIdReleased(_)
                | ProtocolEvent::NotifyError(_) => {}
            }
        }
        told
    }

    fn timer(&mut self, kind: TimerKind, end: Option<Instant>) {
        for (timer, ends) in &mut self.timers {
            if *timer == kind {
                *ends = end;
            }
        }
    }
}

fn received(packet: Packet) -> Option<Told> {
    Some(match packet {
        Packet::V3_1_1Connack(answer) if answer.return_code() == ConnectReturnCode::Accepted => Told::Accepted,
        Packet::V3_1_1Connack(_) => Told::Refused,
        Packet::V3_1_1Puback(answer) => Told::Done(answer.packet_id()),
        Packet::V3_1_1Pubcomp(answer) => Told::Done(answer.packet_id()),
        Packet::V3_1_1Unsuback(answer) => Told::Done(answer.packet_id()),
        Packet::V3_1_1Suback(answer) => {
            let refused = answer.return_codes().contains(&SubackReturnCode::Failure);
            if refused { Told::NotSubscribed(answer.packet_id()) } else { Told::Done(answer.packet_id()) }
        }
        Packet::V3_1_1Publish(message) => {
            Told::Message { topic: message.topic_name().to_owned(), payload: message.payload().as_slice().to_vec() }
        }
        _ => return None,
    })
}

const fn qos(level: u8) -> Qos {
    match level {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    }
}

fn unsayable<E>(_: E) -> Unsayable {
    Unsayable
}
