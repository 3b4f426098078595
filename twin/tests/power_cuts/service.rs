//! The server of one device, in the same process: it opens sessions, checks every request and packet, and serves a
//! release. What it has seen outlives the device's power; its sessions do not.

use crate::product::{ISSUED, NONCE_FLOOR, Offer, Product};
use cotter_device::ota::Request;
use cotter_wire::content::CHUNK;
use cotter_wire::ids::UnixTime;
use cotter_wire::packet::Packet;
use cotter_wire::reading::Reading;
use cotter_wire::session::{self, Credential, Hello, MAX_MESSAGE, ServerSession, SessionId};
use cotter_wire::status::StatusReport;
use std::sync::Arc;

/// What the server knows.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) product: &'static Product,
    pub(crate) offer: Option<Arc<Offer>>,
    /// The nonces of all packets, in the order in which they came.
    pub(crate) nonces: Vec<u32>,
    pub(crate) reports: Vec<StatusReport>,
    /// How many chunks were sent.
    pub(crate) chunks: usize,
    sessions: u8,
}

/// The body of an answer.
pub(crate) enum Answer {
    NoOffer,
    Offer(Vec<u8>),
    Chunk(Vec<u8>),
    Reported,
}

impl Service {
    pub(crate) fn new(product: &'static Product) -> Self {
        Self { product, offer: None, nonces: Vec::new(), reports: Vec::new(), chunks: 0, sessions: 0 }
    }

    /// From now on this is the newest release.
    pub(crate) fn offering(mut self, version: &str) -> Self {
        self.offer = Some(Arc::new(self.product.offer(version)));
        self.reports.clear();
        self.chunks = 0;
        self
    }

    /// Opens a session. Time goes on by a minute with each, so that the device has a new floor to keep.
    pub(crate) fn welcome(&mut self, hello: &[u8]) -> (Vec<u8>, ServerSession) {
        self.sessions += 1;
        let keys = self.product.keys();
        let hello = Hello::parse(hello).unwrap().verify(&keys.request).unwrap();
        let mut out = [0; MAX_MESSAGE];
        let fresh = [self.sessions; 16];
        let (body, session) = hello.welcome(&keys, SessionId(fresh), &fresh, self.now(), &mut out).unwrap();
        (body.to_vec(), session)
    }

    /// Takes a packet that left the device: its nonce must be above all others.
    pub(crate) fn receive(&mut self, packet: &[u8]) {
        let keys = self.product.keys();
        let verified = Packet::parse(packet).unwrap().verify(&keys.telemetry_mac).unwrap();
        Reading::decode(verified.open(&keys.telemetry_cipher, &mut [0; 512]).unwrap()).unwrap();
        let last = self.nonces.last().copied().unwrap_or(NONCE_FLOOR);
        let nonce = verified.nonce().0;
        assert!(nonce > last, "nonce {nonce} after {last}");
        self.nonces.push(nonce);
    }

    /// Answers a request after checking who sent it.
    pub(crate) fn answer(
        &mut self,
        session: &mut ServerSession,
        credential: &str,
        signed: &session::Request<'_>,
        request: &Request,
    ) -> Answer {
        session.check(&Credential::parse(credential.as_bytes()).unwrap(), signed, self.now()).unwrap();
        match (request, &self.offer) {
            (Request::Poll { version, .. }, Some(offer)) if offer.version > *version => {
                Answer::Offer(offer.envelope.clone())
            }
            (Request::Poll { .. }, _) => Answer::NoOffer,
            (Request::Chunk { release, index, .. }, Some(offer)) => {
                assert_eq!(*release, offer.id);
                self.chunks += 1;
                Answer::Chunk(offer.content.chunks(CHUNK).nth(*index as usize).unwrap().to_vec())
            }
            (Request::Chunk { .. }, None) => panic!("a chunk of nothing"),
            (Request::Status(_), _) => {
                self.reports.push(StatusReport::parse(signed.body).unwrap());
                Answer::Reported
            }
        }
    }

    fn now(&self) -> UnixTime {
        UnixTime(ISSUED.0 + 60 * u64::from(self.sessions))
    }
}
