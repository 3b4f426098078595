//! What is said in a session: by the client, and to it.

use mqtt_protocol_core::mqtt::ArcPayload;
use mqtt_protocol_core::mqtt::result_code::MqttError;

/// What a client has said.
#[derive(Debug)]
pub enum Heard {
    /// Who it is. To be answered by [`Session::accept`] or [`Session::refuse`].
    Greeting(Greeting),
    /// A message; if it has a number, to be answered by [`Session::acknowledge`] once it is stored.
    Message(Message),
    /// To be answered by [`Session::subscribed`], an answer for each.
    Subscribe(u16, Vec<Wish>),
    /// Topic filters. To be answered by [`Session::unsubscribed`].
    Unsubscribe(u16, Vec<String>),
    /// It has the message with this number.
    Acknowledged(u16),
    /// It goes.
    Goodbye,
    /// It has broken the protocol; the session is over.
    Fault(Fault),
}

/// A `CONNECT`.
#[derive(Debug)]
pub struct Greeting {
    /// What it calls itself.
    pub client_id: String,
    /// If it has one.
    pub password: Option<Vec<u8>>,
    /// It has a last will.
    pub has_will: bool,
    /// MQTT 5: it wants to be authenticated by something else than a password.
    pub has_method: bool,
}

/// A `PUBLISH`.
#[derive(Debug)]
pub struct Message {
    /// Where to.
    pub topic: String,
    /// None with QoS 0.
    pub number: Option<u16>,
    /// With QoS 2.
    pub is_exactly_once: bool,
    /// The broker should keep it for subscribers.
    pub is_retained: bool,
    pub(super) payload: ArcPayload,
}

/// One entry of a `SUBSCRIBE`.
#[derive(Debug)]
pub struct Wish {
    /// Where.
    pub filter: String,
    /// With QoS 1; QoS 2 is not granted.
    pub is_acknowledged: bool,
    /// MQTT 5: not what is there already.
    pub only_new: bool,
}

/// What the client did wrong, by the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("MQTT: {0:?}")]
pub struct Fault(pub MqttError);

/// Why a client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwelcome {
    /// Its client id is none.
    ClientId,
    /// It is not believed.
    NotAuthorized,
    /// Nobody can say now.
    Unavailable,
    /// It has a last will, which the bridge does not execute.
    Will,
    /// It wants to be authenticated by something else than a password.
    Method,
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// Its device has come again.
    TakenOver,
    /// Its token or certificate has come to its end.
    Expired,
    /// Nothing came from it for too long.
    Silent,
    /// It published where it may not.
    Forbidden,
    /// With QoS 2.
    ExactlyOnce,
    /// As a message to be kept for subscribers.
    Retained,
    /// What it published is not what belongs there.
    Payload,
    /// More messages than it may send.
    Rate,
    /// Larger messages than it may send.
    Size,
    /// Its message cannot be stored now.
    Busy,
    /// The server goes.
    ShuttingDown,
    /// An administrator has ended it.
    Administrator,
    /// The server cannot say what it must.
    Internal,
}

/// What becomes of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granted {
    /// With QoS 0.
    Unacknowledged,
    /// With QoS 1.
    Acknowledged,
    /// It may not.
    Refused,
    /// MQTT 5: shared with others.
    Shared,
}

impl Message {
    /// What it says.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.payload.as_slice()
    }
}

/// A message was said; its number, if it is to be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said(pub Option<u16>);
