//! A client of the bridge: its key, its tokens, its connection.

use super::client::{Shown, tls_with};
use super::{Product, Running};
use crate::product::device::Device;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64ct::{Base64UrlUnpadded, Encoding};
use cotter_wire::ids::UnixTime;
use cotter_wire::token::{Algorithm, Claims, MAX_TOKEN, ToBeSigned};
use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::role::Client;
use mqtt_protocol_core::mqtt::connection::{Connection, Event};
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait, Packet, Qos, SubEntry, SubOpts, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::{DisconnectReasonCode, PubackReasonCode};
use rcgen::KeyPair;
use rustls_pki_types::CertificateDer;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pub const PROJECT: &str = "my-project";

/// The section of the configuration.
pub const CONFIG: &str = "\n[mqtt]\nlisten = \"127.0.0.1:0\"\nproject = \"my-project\"\nlocation = \"here\"\n\
                          registry = \"all\"\nplain_events = true\n";

pub fn client_id(device: &str) -> String {
    format!("projects/{PROJECT}/locations/here/registries/all/devices/{device}")
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// A device's key.
pub struct Signer(KeyPair);

impl Signer {
    pub fn new() -> Self {
        Self(KeyPair::generate().unwrap())
    }

    /// A device that is enrolled, with this key.
    pub async fn enrolled(product: &Product, address: SocketAddr, name: &str) -> (Device, Self) {
        let (device, signer) = (Device::enrolled(product, address, name).await, Self::new());
        signer.register(product, address, name).await;
        (device, signer)
    }

    pub async fn register(&self, product: &Product, address: SocketAddr, name: &str) {
        let wish = serde_json::json!({ "format": "ES256_PEM", "pem": self.0.public_key_pem() });
        let path = format!("/admin/v1/devices/{name}/keys");
        assert_eq!(product.admin(address, "POST", &path, wish.to_string().into()).await.status, 201);
    }

    /// A token from `issued` to `expires`, in seconds from now.
    pub fn token(&self, audience: &str, issued: i64, expires: i64) -> String {
        let at = |offset| UnixTime(now().checked_add_signed(offset).unwrap());
        let claims = Claims { audience, issued_at: at(issued), expires_at: at(expires) };
        let mut out = [0; MAX_TOKEN];
        let unsigned = ToBeSigned::new(Algorithm::Es256, &claims, &mut out).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.0.serialize_der()).unwrap();
        let signature = key.sign(&SystemRandom::new(), unsigned.signing_input()).unwrap();
        unsigned.finish(signature.as_ref()).unwrap().to_owned()
    }

    /// Whatever it says, signed.
    pub fn signed(&self, header: &str, claims: &str) -> String {
        let [header, claims] = [header, claims].map(|part| Base64UrlUnpadded::encode_string(part.as_bytes()));
        let input = format!("{header}.{claims}");
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.0.serialize_der()).unwrap();
        let signature = key.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", Base64UrlUnpadded::encode_string(signature.as_ref()))
    }

    pub fn good(&self) -> String {
        self.token(PROJECT, 0, 3600)
    }
}

/// Who connects, and how.
pub struct Login<'a> {
    pub version: Version,
    pub client_id: String,
    pub password: Option<&'a str>,
    pub keep_alive: u16,
    pub shown: Option<Shown>,
    pub has_will: bool,
}

impl<'a> Login<'a> {
    pub fn of(device: &str, token: &'a str) -> Self {
        let client_id = client_id(device);
        let (version, password) = (Version::V3_1_1, Some(token));
        Self { version, client_id, password, keep_alive: 0, shown: None, has_will: false }
    }

    pub fn v5(mut self) -> Self {
        self.version = Version::V5_0;
        self
    }
}

/// A connection.
pub struct Mqtt {
    stream: TlsStream<TcpStream>,
    protocol: Connection<Client>,
    inbox: VecDeque<Packet>,
    is_v5: bool,
}

/// What came from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Puback(u16),
    Refused(u16, PubackReasonCode),
    Message { topic: String, payload: Vec<u8>, is_retained: bool, number: Option<u16> },
    Disconnect(DisconnectReasonCode),
    Closed,
}

impl Mqtt {
    /// The connection, or the code by which the broker refused it.
    pub async fn connect(address: SocketAddr, ca: &CertificateDer<'static>, login: Login<'_>) -> Result<Self, u8> {
        let stream = tls_with(address, ca, login.shown).await.unwrap();
        let is_v5 = login.version == Version::V5_0;
        let mut client = Self { stream, protocol: Connection::new(login.version), inbox: VecDeque::new(), is_v5 };
        let connect: Packet = if is_v5 {
            let mut connect = v5_0::Connect::builder().client_id(&*login.client_id).unwrap().clean_start(true);
            connect = connect.keep_alive(login.keep_alive).user_name("ignored").unwrap();
            if login.has_will {
                connect = connect.will_message("/devices/a/state", "gone", Qos::AtMostOnce, false).unwrap();
            }
            match login.password {
                Some(password) => connect.password(password).unwrap().build().unwrap().into(),
                None => connect.build().unwrap().into(),
            }
        } else {
            let mut connect = v3_1_1::Connect::builder().client_id(&*login.client_id).unwrap().clean_session(true);
            connect = connect.keep_alive(login.keep_alive).user_name("ignored").unwrap();
            if login.has_will {
                connect = connect.will_message("/devices/a/state", "gone", Qos::AtMostOnce, false).unwrap();
            }
            match login.password {
                Some(password) => connect.password(password).unwrap().build().unwrap().into(),
                None => connect.build().unwrap().into(),
            }
        };
        client.send(connect).await;
        match client.packet().await {
            Some(Packet::V3_1_1Connack(answer)) if answer.return_code() as u8 == 0 => Ok(client),
            Some(Packet::V5_0Connack(answer)) if answer.reason_code() as u8 == 0 => Ok(client),
            Some(Packet::V3_1_1Connack(answer)) => Err(answer.return_code() as u8),
            Some(Packet::V5_0Connack(answer)) => Err(answer.reason_code() as u8),
            other => unreachable!("{other:?}"),
        }
    }

    /// A device whose token is good.
    pub async fn of(product: &Product, server: &Running, device: &str, signer: &Signer) -> Self {
        Self::connect(server.mqtt.unwrap(), &product.ca, Login::of(device, &signer.good())).await.unwrap()
    }

    pub async fn raw(&mut self, bytes: &[u8]) {
        // The broker may be gone.
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    async fn send(&mut self, packet: Packet) {
        let bytes = self.protocol.send(packet).into_iter().flat_map(|event| match event {
            Event::RequestSendPacket { packet, .. } => packet.to_continuous_buffer(),
            _ => Vec::new(),
        });
        let bytes: Vec<u8> = bytes.collect();
        self.raw(&bytes).await;
    }

    pub async fn publish(&mut self, topic: &str, payload: &[u8], qos: Qos) -> Option<u16> {
        self.publish_as(topic, payload, qos, false).await
    }

    pub async fn publish_as(&mut self, topic: &str, payload: &[u8], qos: Qos, retain: bool) -> Option<u16> {
        let number = (qos != Qos::AtMostOnce).then(|| self.protocol.acquire_packet_id().unwrap());
        let packet: Packet = if self.is_v5 {
            let publish = v5_0::Publish::builder().topic_name(topic).unwrap().qos(qos).retain(retain);
            publish.packet_id(number).payload(payload.to_vec()).build().unwrap().into()
        } else {
            let publish = v3_1_1::Publish::builder().topic_name(topic).unwrap().qos(qos).retain(retain);
            publish.packet_id(number).payload(payload.to_vec()).build().unwrap().into()
        };
        self.send(packet).await;
        number
    }

    /// The codes of the answer.
    pub async fn subscribe(&mut self, filters: &[(&str, Qos)]) -> Vec<u8> {
        let number = self.protocol.acquire_packet_id().unwrap();
        let entry = |(filter, qos): &(&str, Qos)| SubEntry::new(*filter, SubOpts::new().set_qos(*qos)).unwrap();
        let entries: Vec<_> = filters.iter().map(entry).collect();
        let packet: Packet = if self.is_v5 {
            v5_0::Subscribe::builder().packet_id(number).entries(entries).build().unwrap().into()
        } else {
            v3_1_1::Subscribe::builder().packet_id(number).entries(entries).build().unwrap().into()
        };
        self.send(packet).await;
        match self.packet().await {
            Some(Packet::V3_1_1Suback(answer)) => answer.return_codes().iter().map(|code| *code as u8).collect(),
            Some(Packet::V5_0Suback(answer)) => answer.reason_codes().iter().map(|code| *code as u8).collect(),
            other => unreachable!("{other:?}"),
        }
    }

    pub async fn acknowledge(&mut self, number: u16) {
        let packet: Packet = if self.is_v5 {
            v5_0::Puback::builder().packet_id(number).build().unwrap().into()
        } else {
            v3_1_1::Puback::builder().packet_id(number).build().unwrap().into()
        };
        self.send(packet).await;
    }

    /// The next packet; `None` when the broker has closed.
    async fn packet(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.inbox.pop_front() {
                return Some(packet);
            }
            let mut buffer = [0; 4096];
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await.unwrap().unwrap_or(0);
            if read == 0 {
                return None;
            }
            let mut cursor = Cursor::new(&buffer[..read]);
            while cursor.position() < read as u64 {
                for event in self.protocol.recv(&mut cursor) {
                    if let Event::NotifyPacketReceived(packet) = event {
                        self.inbox.push_back(packet);
                    }
                }
            }
        }
    }

    pub async fn told(&mut self) -> Told {
        match self.packet().await {
            None => Told::Closed,
            Some(Packet::V3_1_1Puback(answer)) => Told::Puback(answer.packet_id()),
            Some(Packet::V5_0Puback(answer)) => match answer.reason_code() {
                None | Some(PubackReasonCode::Success) => Told::Puback(answer.packet_id()),
                Some(code) => Told::Refused(answer.packet_id(), code),
            },
            Some(Packet::V3_1_1Publish(message)) => Told::Message {
                topic: message.topic_name().to_owned(),
                payload: message.payload().as_slice().to_vec(),
                is_retained: message.retain(),
                number: message.packet_id(),
            },
            Some(Packet::V5_0Publish(message)) => Told::Message {
                topic: message.topic_name().to_owned(),
                payload: message.payload().as_slice().to_vec(),
                is_retained: message.retain(),
                number: message.packet_id(),
            },
            Some(Packet::V5_0Disconnect(goodbye)) => {
                Told::Disconnect(goodbye.reason_code().unwrap_or(DisconnectReasonCode::NormalDisconnection))
            }
            other => unreachable!("{other:?}"),
        }
    }

    /// Whether nothing comes for a while.
    pub async fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        self.inbox.is_empty()
            && tokio::time::timeout(Duration::from_millis(200), self.stream.read(&mut byte)).await.is_err()
    }
}

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
