//! One client's protocol, MQTT 3.1.1 or 5, without sockets and without an opinion: bytes in, what the client has said and
//! bytes out.
//!
//! Before the client is accepted, [`MOST_GREETING`] bytes are enough for what it says, and what it says behind its
//! `CONNECT` waits. Whoever drives a session writes [`Session::said`] to the client after each call, and closes the
//! connection once [`Session::is_over`].

mod words;

pub use words::{Farewell, Fault, Granted, Greeting, Heard, Message, Said, Unwelcome, Wish};

use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::role::Server;
use mqtt_protocol_core::mqtt::connection::{Connection, ConnectionOptions, Event, TimerKind};
use mqtt_protocol_core::mqtt::packet::{
    GenericPacketTrait, MaximumQos, Packet, Property, Qos, RetainAvailable, RetainHandling, ServerKeepAlive,
    SessionExpiryInterval, SharedSubscriptionAvailable, SubEntry, SubscriptionIdentifierAvailable, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError, PubackReasonCode, SubackReasonCode,
    SubackReturnCode, UnsubackReasonCode,
};
use std::time::Duration;

/// The longest `CONNECT`, in bytes.
pub const MOST_GREETING: u32 = 4096;

/// Messages of the client's that may be under way at once, by what it is told in MQTT 5.
pub const RECEIVE_MAXIMUM: u16 = 64;

/// Messages to the client that it has not acknowledged.
pub const MOST_UNACKNOWLEDGED: usize = 16;

/// See the module.
pub struct Session {
    protocol: Connection<Server>,
    stage: Stage,
    is_v5: bool,
    most_packet: u32,
    silence: Option<Duration>,
    unacknowledged: usize,
    said: Vec<u8>,
}

enum Stage {
    Fresh,
    /// It has greeted and waits for an answer: its `CONNECT`, and what came behind it.
    Greeted {
        connect: Vec<u8>,
        behind: Vec<u8>,
    },
    Open,
    Over,
}

impl Session {
    /// With a client that has just connected, whose messages have at most `most_payload` bytes.
    #[must_use]
    pub fn new(most_payload: u32) -> Self {
        Self {
            protocol: protocol(MOST_GREETING, None),
            stage: Stage::Fresh,
            is_v5: false,
            most_packet: most_payload.saturating_add(AROUND_PAYLOAD),
            silence: None,
            unacknowledged: 0,
            said: Vec::new(),
        }
    }

    /// Takes in what came, and says what was meant.
    pub fn hear(&mut self, bytes: &[u8]) -> Vec<Heard> {
        match &mut self.stage {
            Stage::Greeted { behind, .. } => {
                behind.extend_from_slice(bytes);
                if behind.len() > MOST_BEHIND {
                    return vec![self.fault(MqttError::QuotaExceeded)];
                }
                Vec::new()
            }
            Stage::Fresh | Stage::Open => self.read(bytes),
            Stage::Over => Vec::new(),
        }
    }

    /// Lets the client in. If it would be silent for more than `most_silence` seconds, it is told not to be. What it has
    /// said since its greeting.
    pub fn accept(&mut self, most_silence: u16) -> Vec<Heard> {
        let Stage::Greeted { connect, behind } = std::mem::replace(&mut self.stage, Stage::Over) else {
            return Vec::new();
        };
        // Again, with room for messages now.
        self.protocol = protocol(self.most_packet, self.is_v5.then_some(RECEIVE_MAXIMUM));
        self.stage = Stage::Open;
        // Heard before, so what comes of it is known.
        drop(self.protocol.recv(&mut Cursor::new(&connect[..])));
        let too_silent = self.silence.is_none_or(|silence| silence > Duration::from_secs(most_silence.into()) * 3 / 2);
        let accepted = if self.is_v5 {
            let mut properties: Vec<Option<Property>> = vec![
                property(MaximumQos::new(1)),
                property(RetainAvailable::new(0)),
                property(SubscriptionIdentifierAvailable::new(0)),
                property(SharedSubscriptionAvailable::new(0)),
                property(SessionExpiryInterval::new(0)),
            ];
            if too_silent {
                properties.push(property(ServerKeepAlive::new(most_silence)));
            }
            let connack = v5_0::Connack::builder().reason_code(ConnectReasonCode::Success).session_present(false);
            connack.props(properties.into_iter().flatten().collect::<Vec<_>>()).build().map(Packet::from)
        } else {
            let connack = v3_1_1::Connack::builder().return_code(ConnectReturnCode::Accepted).session_present(false);
            connack.build().map(Packet::from)
        };
        self.say(accepted);
        self.read(&behind)
    }

    /// Does not let the client in.
    pub fn refuse(&mut self, why: Unwelcome) {
        let refused = if self.is_v5 {
            let code = match why {
                Unwelcome::ClientId => ConnectReasonCode::ClientIdentifierNotValid,
                Unwelcome::NotAuthorized => ConnectReasonCode::NotAuthorized,
                Unwelcome::Unavailable => ConnectReasonCode::ServerUnavailable,
                Unwelcome::Will => ConnectReasonCode::ImplementationSpecificError,
                Unwelcome::Method => ConnectReasonCode::BadAuthenticationMethod,
            };
            v5_0::Connack::builder().reason_code(code).session_present(false).build().map(Packet::from)
        } else {
            let code = match why {
                Unwelcome::ClientId => ConnectReturnCode::IdentifierRejected,
                Unwelcome::Unavailable => ConnectReturnCode::ServerUnavailable,
                Unwelcome::NotAuthorized | Unwelcome::Will | Unwelcome::Method => ConnectReturnCode::NotAuthorized,
            };
            v3_1_1::Connack::builder().return_code(code).session_present(false).build().map(Packet::from)
        };
        self.say(refused);
        self.stage = Stage::Over;
    }

    /// The message with this number is stored.
    pub fn acknowledge(&mut self, number: u16) {
        if self.is_over() {
            return;
        }
        let puback = if self.is_v5 {
            v5_0::Puback::builder().packet_id(number).build().map(Packet::from)
        } else {
            v3_1_1::Puback::builder().packet_id(number).build().map(Packet::from)
        };
        self.say(puback);
    }

    /// The message with this number is not stored and never will be. False if the client's MQTT has no word for that: then
    /// the connection has to end.
    #[must_use]
    pub fn reject(&mut self, number: u16) -> bool {
        if self.is_v5 {
            let puback = v5_0::Puback::builder().packet_id(number).reason_code(PubackReasonCode::PayloadFormatInvalid);
            self.say(puback.build().map(Packet::from));
        }
        self.is_v5
    }

    /// What became of the wishes of a `SUBSCRIBE`, in their order.
    pub fn subscribed(&mut self, number: u16, granted: &[Granted]) {
        let suback = if self.is_v5 {
            let codes = granted.iter().map(|granted| match granted {
                Granted::Unacknowledged => SubackReasonCode::GrantedQos0,
                Granted::Acknowledged => SubackReasonCode::GrantedQos1,
                Granted::Refused => SubackReasonCode::NotAuthorized,
                Granted::Shared => SubackReasonCode::SharedSubscriptionsNotSupported,
            });
            v5_0::Suback::builder().packet_id(number).reason_codes(codes.collect()).build().map(Packet::from)
        } else {
            let codes = granted.iter().map(|granted| match granted {
                Granted::Unacknowledged => SubackReturnCode::SuccessMaximumQos0,
                Granted::Acknowledged => SubackReturnCode::SuccessMaximumQos1,
                Granted::Refused | Granted::Shared => SubackReturnCode::Failure,
            });
            v3_1_1::Suback::builder().packet_id(number).return_codes(codes.collect()).build().map(Packet::from)
        };
        self.say(suback);
    }

    /// Whether each filter of an `UNSUBSCRIBE` was subscribed to, in their order.
    pub fn unsubscribed(&mut self, number: u16, existed: &[bool]) {
        let unsuback = if self.is_v5 {
            let codes = existed.iter().map(|existed| match existed {
                true => UnsubackReasonCode::Success,
                false => UnsubackReasonCode::NoSubscriptionExisted,
            });
            v5_0::Unsuback::builder().packet_id(number).reason_codes(codes.collect()).build().map(Packet::from)
        } else {
            v3_1_1::Unsuback::builder().packet_id(number).build().map(Packet::from)
        };
        self.say(unsuback);
    }

    /// Publishes to the client. With `is_acknowledged`, the number that [`Heard::Acknowledged`] will name. None, and nothing
    /// is said, if the client takes no message of that size, or has not acknowledged the ones before.
    pub fn publish(&mut self, topic: &str, payload: &[u8], is_acknowledged: bool, is_retained: bool) -> Option<Said> {
        let number = if is_acknowledged {
            if self.is_full() {
                return None;
            }
            Some(self.protocol.acquire_packet_id().ok()?)
        } else {
            None
        };
        let qos = if is_acknowledged { Qos::AtLeastOnce } else { Qos::AtMostOnce };
        let publish = if self.is_v5 {
            let publish = v5_0::Publish::builder().topic_name(topic).ok()?.qos(qos).retain(is_retained);
            publish.packet_id(number).payload(payload.to_vec()).build().map(Packet::from)
        } else {
            let publish = v3_1_1::Publish::builder().topic_name(topic).ok()?.qos(qos).retain(is_retained);
            publish.packet_id(number).payload(payload.to_vec()).build().map(Packet::from)
        };
        if !self.say(publish) {
            if let Some(number) = number {
                drop(self.protocol.release_packet_id(number));
            }
            return None;
        }
        self.unacknowledged += usize::from(is_acknowledged);
        Some(Said(number))
    }

    /// The client has as many messages to acknowledge as it may have.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.unacknowledged >= MOST_UNACKNOWLEDGED || self.protocol.get_receive_maximum_vacancy_for_send() == Some(0)
    }

    /// Ends it, and says why if the client's MQTT has a word for that.
    pub fn end(&mut self, why: Farewell) {
        if self.is_v5 && matches!(self.stage, Stage::Open) {
            let code = match why {
                Farewell::TakenOver => DisconnectReasonCode::SessionTakenOver,
                Farewell::Expired => DisconnectReasonCode::MaximumConnectTime,
                Farewell::Silent => DisconnectReasonCode::KeepAliveTimeout,
                Farewell::Forbidden => DisconnectReasonCode::NotAuthorized,
                Farewell::ExactlyOnce => DisconnectReasonCode::QosNotSupported,
                Farewell::Retained => DisconnectReasonCode::RetainNotSupported,
                Farewell::Payload => DisconnectReasonCode::PayloadFormatInvalid,
                Farewell::Rate => DisconnectReasonCode::MessageRateTooHigh,
                Farewell::Size => DisconnectReasonCode::PacketTooLarge,
                Farewell::Busy => DisconnectReasonCode::ServerBusy,
                Farewell::ShuttingDown => DisconnectReasonCode::ServerShuttingDown,
                Farewell::Administrator => DisconnectReasonCode::AdministrativeAction,
                Farewell::Internal => DisconnectReasonCode::ImplementationSpecificError,
            };
            let disconnect = v5_0::Disconnect::builder().reason_code(code).build().map(Packet::from);
            self.say(disconnect);
        }
        self.stage = Stage::Over;
    }

    /// What is to be written to the client.
    pub fn said(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.said)
    }

    /// Nothing more is heard or said.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// How long the client may be silent, by its own word; `None`: for ever.
    #[must_use]
    pub const fn silence(&self) -> Option<Duration> {
        self.silence
    }

    /// It speaks MQTT 5.
    #[must_use]
    pub const fn is_v5(&self) -> bool {
        self.is_v5
    }

    fn read(&mut self, bytes: &[u8]) -> Vec<Heard> {
        let mut cursor = Cursor::new(bytes);
        let mut heard = Vec::new();
        while let Some(rest) = usize::try_from(cursor.position()).ok().and_then(|at| bytes.get(at..))
            && !rest.is_empty()
        {
            match &mut self.stage {
                Stage::Fresh | Stage::Open => {}
                Stage::Greeted { behind, .. } => {
                    behind.extend_from_slice(rest);
                    break;
                }
                Stage::Over => break,
            }
            let events = self.protocol.recv(&mut cursor);
            self.obey(events, &mut heard);
        }
        heard
    }

    fn obey(&mut self, events: Vec<Event>, heard: &mut Vec<Heard>) {
        for event in events {
            match event {
                Event::RequestSendPacket { packet, .. } => self.said.extend(packet.to_continuous_buffer()),
                Event::NotifyPacketReceived(packet) => self.received(packet, heard),
                Event::RequestTimerReset { kind: TimerKind::PingreqRecv, duration_ms } => {
                    self.silence = Some(Duration::from_millis(duration_ms));
                }
                Event::RequestTimerCancel(TimerKind::PingreqRecv) => self.silence = None,
                Event::RequestClose => self.stage = Stage::Over,
                Event::NotifyError(error) => {
                    if error == MqttError::UnsupportedProtocolVersion && matches!(self.stage, Stage::Fresh) {
                        self.other_version();
                    }
                    heard.push(self.fault(error));
                }
                // Numbers come back with the acknowledgement; the other timers are those of a client.
                Event::NotifyPacketIdReleased(_) | Event::RequestTimerReset { .. } | Event::RequestTimerCancel(_) => {}
            }
        }
    }

    fn received(&mut self, packet: Packet, heard: &mut Vec<Heard>) {
        let is_open = matches!(self.stage, Stage::Open);
        match packet {
            Packet::V3_1_1Connect(connect) if !is_open => {
                let greeting = Greeting {
                    client_id: connect.client_id().to_owned(),
                    password: connect.password().map(<[u8]>::to_vec),
                    has_will: connect.will_flag(),
                    has_method: false,
                };
                self.greeted(connect.to_continuous_buffer(), greeting, heard);
            }
            Packet::V5_0Connect(connect) if !is_open => {
                self.is_v5 = true;
                let has_method =
                    connect.props().iter().any(|property| matches!(property, Property::AuthenticationMethod(_)));
                let greeting = Greeting {
                    client_id: connect.client_id().to_owned(),
                    password: connect.password().map(<[u8]>::to_vec),
                    has_will: connect.will_flag(),
                    has_method,
                };
                self.greeted(connect.to_continuous_buffer(), greeting, heard);
            }
            Packet::V3_1_1Publish(publish) if is_open => heard.push(Heard::Message(Message {
                topic: publish.topic_name().to_owned(),
                number: publish.packet_id(),
                is_exactly_once: publish.qos() == Qos::ExactlyOnce,
                is_retained: publish.retain(),
                payload: publish.payload().clone(),
            })),
            Packet::V5_0Publish(publish) if is_open => heard.push(Heard::Message(Message {
                topic: publish.topic_name().to_owned(),
                number: publish.packet_id(),
                is_exactly_once: publish.qos() == Qos::ExactlyOnce,
                is_retained: publish.retain(),
                payload: publish.payload().clone(),
            })),
            Packet::V3_1_1Subscribe(subscribe) if is_open => {
                heard.push(Heard::Subscribe(subscribe.packet_id(), wishes(subscribe.entries())));
            }
            Packet::V5_0Subscribe(subscribe) if is_open => {
                if subscribe.props().iter().any(|property| matches!(property, Property::SubscriptionIdentifier(_))) {
                    let code = DisconnectReasonCode::SubscriptionIdentifiersNotSupported;
                    let disconnect = v5_0::Disconnect::builder().reason_code(code).build().map(Packet::from);
                    self.say(disconnect);
                    heard.push(self.fault(MqttError::SubscriptionIdentifiersNotSupported));
                    return;
                }
                heard.push(Heard::Subscribe(subscribe.packet_id(), wishes(subscribe.entries())));
            }
            Packet::V3_1_1Unsubscribe(unsubscribe) if is_open => {
                let filters = unsubscribe.entries().iter().map(|filter| filter.as_str().to_owned()).collect();
                heard.push(Heard::Unsubscribe(unsubscribe.packet_id(), filters));
            }
            Packet::V5_0Unsubscribe(unsubscribe) if is_open => {
                let filters = unsubscribe.entries().iter().map(|filter| filter.as_str().to_owned()).collect();
                heard.push(Heard::Unsubscribe(unsubscribe.packet_id(), filters));
            }
            Packet::V3_1_1Puback(puback) if is_open => self.acknowledged(puback.packet_id(), heard),
            Packet::V5_0Puback(puback) if is_open => self.acknowledged(puback.packet_id(), heard),
            Packet::V3_1_1Disconnect(_) | Packet::V5_0Disconnect(_) if is_open => {
                self.stage = Stage::Over;
                heard.push(Heard::Goodbye);
            }
            // Answered by the protocol.
            Packet::V3_1_1Pingreq(_) | Packet::V5_0Pingreq(_) if is_open => {}
            _ => heard.push(self.fault(MqttError::ProtocolError)),
        }
    }

    fn greeted(&mut self, connect: Vec<u8>, greeting: Greeting, heard: &mut Vec<Heard>) {
        self.stage = Stage::Greeted { connect, behind: Vec::new() };
        heard.push(Heard::Greeting(greeting));
    }

    fn acknowledged(&mut self, number: u16, heard: &mut Vec<Heard>) {
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
        heard.push(Heard::Acknowledged(number));
    }

    /// False: it cannot be said.
    fn say(&mut self, packet: Result<Packet, MqttError>) -> bool {
        let Ok(packet) = packet else { return false };
        let events = self.protocol.send(packet);
        let mut is_said = true;
        for event in events {
            match event {
                Event::RequestSendPacket { packet, .. } => self.said.extend(packet.to_continuous_buffer()),
                Event::RequestTimerReset { kind: TimerKind::PingreqRecv, duration_ms } => {
                    self.silence = Some(Duration::from_millis(duration_ms));
                }
                Event::RequestTimerCancel(TimerKind::PingreqRecv) => self.silence = None,
                Event::RequestClose => self.stage = Stage::Over,
                Event::NotifyError(_) => is_said = false,
                Event::NotifyPacketReceived(_)
                | Event::NotifyPacketIdReleased(_)
                | Event::RequestTimerReset { .. }
                | Event::RequestTimerCancel(_) => {}
            }
        }
        is_said
    }

    fn fault(&mut self, error: MqttError) -> Heard {
        self.stage = Stage::Over;
        Heard::Fault(Fault(error))
    }

    /// MQTT 3.1.1 wants that word for all others: [MQTT-3.1.2-2].
    fn other_version(&mut self) {
        let code = ConnectReturnCode::UnacceptableProtocolVersion;
        if let Ok(connack) = v3_1_1::Connack::builder().return_code(code).session_present(false).build() {
            self.said.extend(connack.to_continuous_buffer());
        }
    }
}

/// A client that cannot be told how many messages it may send at once may send any number: they wait on its side.
fn protocol(most_packet: u32, receive_maximum: Option<u16>) -> Connection<Server> {
    let options = ConnectionOptions::new().maximum_packet_size_recv(most_packet);
    let options = receive_maximum.map_or(options, |most| options.receive_maximum(most));
    let mut protocol = Connection::with_options(Version::Undetermined, options);
    protocol.set_auto_ping_response(true);
    protocol
}

fn property<P: Into<Property>>(property: Result<P, MqttError>) -> Option<Property> {
    property.ok().map(Into::into)
}

fn wishes(entries: &[SubEntry]) -> Vec<Wish> {
    let wish = |entry: &SubEntry| Wish {
        filter: entry.topic_filter().to_owned(),
        is_acknowledged: entry.sub_opts().qos() != Qos::AtMostOnce,
        only_new: entry.sub_opts().rh() == RetainHandling::DoNotSendRetained,
    };
    entries.iter().map(wish).collect()
}

/// Fixed header, topic, number and, in MQTT 5, properties.
const AROUND_PAYLOAD: u32 = 1024;

/// Behind a greeting, before it is answered: one read of the connection.
const MOST_BEHIND: usize = 64 * 1024;

#[cfg(test)]
mod tests;
