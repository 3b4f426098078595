//! A device as its server sees it: it seals packets and signs requests, with the code of the wire.

use super::Product;
use super::client::{Answer, Client};
use super::release::secure_boot_digest;
use cotter_formats::chip::Chip;
use cotter_formats::secret::Secret;
use cotter_wire::content::ContentKey;
use cotter_wire::enrolment::{Enrolment, MAX_ENROLMENT};
use cotter_wire::ids::{DeviceId, KeyEpoch, Nonce, SecureVersion};
use cotter_wire::keys::{DeviceKeys, EnrolmentKey, RootKey};
use cotter_wire::manifest::Envelope;
use cotter_wire::packet::{MAX_PACKET, seal};
use cotter_wire::reading::Reading;
use cotter_wire::session::{DeviceSession, Greeting, MAX_HEADER, MAX_MESSAGE, Request};
use cotter_wire::version::Version;
use cotter_wire::{api, hex};
use std::net::SocketAddr;

pub struct Device {
    /// Digest in its eFuses.
    pub secure_boot: [u8; 32],
    pub id: DeviceId,
    pub epoch: KeyEpoch,
    pub keys: DeviceKeys,
    pub root: RootKey,
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

impl Device {
    /// A device that nobody knows yet.
    pub fn born(name: &str, epoch: u32) -> Self {
        let (id, epoch) = (name.parse().unwrap(), KeyEpoch(epoch));
        let root = RootKey::new(Secret::filled_by(|key| *key = random()));
        Self { id, epoch, keys: DeviceKeys::derive(&root, &id, epoch), root, secure_boot: secure_boot_digest() }
    }

    /// The record that the factory sends for it.
    pub fn record(&self, product: &Product) -> Vec<u8> {
        let text = std::fs::read_to_string(&product.enrolment_key).unwrap();
        let key = hex::decode::<32>(text.trim().as_bytes()).unwrap();
        self.record_sealed_with(&EnrolmentKey::new(Secret::filled_by(|to| *to = key)))
    }

    pub fn record_sealed_with(&self, key: &EnrolmentKey) -> Vec<u8> {
        let enrolment = Enrolment {
            device: self.id,
            epoch: self.epoch,
            chip: Chip::Esp32C3,
            mac: [2, 0, 0, 0, 0, 1],
            secure_boot: self.secure_boot,
            certificate: None,
        };
        enrolment.seal(key, &random(), &self.root, &mut [0; MAX_ENROLMENT]).unwrap().to_vec()
    }

    /// Born and enrolled.
    pub async fn enrolled(product: &Product, address: SocketAddr, name: &str) -> Self {
        Self::enrolled_with(product, address, name, secure_boot_digest()).await
    }

    /// With the digest of this Secure Boot key in its eFuses.
    pub async fn enrolled_with(product: &Product, address: SocketAddr, name: &str, secure_boot: [u8; 32]) -> Self {
        let device = Self { secure_boot, ..Self::born(name, 1) };
        let answer = product.admin(address, "POST", api::ADMIN_DEVICES, device.record(product)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        device
    }

    /// A packet with a reading.
    pub fn packet(&self, nonce: u32) -> Vec<u8> {
        let mut reading = Reading::new(60, 1, Version::new(1, 0, 0), SecureVersion(0));
        reading.push(0, 2300).unwrap();
        reading.push(9, u16::try_from(nonce % 10_000).unwrap()).unwrap();
        self.sealed(nonce, reading.encode(&mut [0; Reading::MAX_LEN]).unwrap())
    }

    /// A packet with anything.
    pub fn sealed(&self, nonce: u32, plain: &[u8]) -> Vec<u8> {
        let mut out = [0; MAX_PACKET];
        seal(&self.keys, &self.id, self.epoch, Nonce(nonce), &random(), plain, &mut out).unwrap().to_vec()
    }

    pub async fn upload(&self, client: &mut Client, packet: Vec<u8>) -> Answer {
        client.ask("POST", &api::telemetry(&self.id), &[], packet).await
    }

    /// Greets and begins a session.
    pub async fn begin(&self, client: &mut Client) -> DeviceSession {
        let (greeting, hello) = self.hello();
        let answer = client.ask("POST", &api::session(&self.id), &[], hello).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        greeting.accept(&self.keys, &answer.body).unwrap()
    }

    pub fn hello(&self) -> (Greeting, Vec<u8>) {
        let greeting = Greeting::new(self.id, self.epoch, random());
        let hello = greeting.write(&self.keys, &mut [0; MAX_MESSAGE]).unwrap().to_vec();
        (greeting, hello)
    }

    /// The content key of an offer.
    pub fn unwrap(&self, envelope: &Envelope) -> ContentKey {
        let wrapped = envelope.content_key().unwrap();
        wrapped.unwrap(&self.keys.firmware_unwrap, &self.id, &envelope.release()).unwrap()
    }
}

/// A request in a session.
pub async fn ask(client: &mut Client, session: &mut DeviceSession, method: &str, path: &str, body: Vec<u8>) -> Answer {
    let mut out = [0; MAX_HEADER];
    let header = session.sign(&Request { method, path, body: &body }, &mut out).unwrap();
    client.ask(method, path, &[(api::SESSION_HEADER, header)], body).await
}
