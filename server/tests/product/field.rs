//! A device in the field: what it does by itself about its keys, over real TLS.
#![allow(clippy::panic, reason = "a test that cannot go on says where")]

use super::Product;
use super::board::{Board, FIRMWARE, HostRandom, VALUES};
use super::client::{Answer, Client};
use super::device::Device;
use cotter_chip::flash::Flash;
use cotter_device::identity::Identity;
use cotter_device::nonces::NonceCounter;
use cotter_device::nvs::Nvs;
use cotter_device::recovery::Recovery;
use cotter_device::rotation::{Confirming, Rotation};
use cotter_device::session::{Opening, Session};
use cotter_device::telemetry::{CompactTelemetry, Telemetry};
use cotter_wire::compact::{CONTENT_TYPE, MAX_COMPACT};
use cotter_wire::ids::Nonce;
use cotter_wire::packet::MAX_PACKET;
use cotter_wire::rotation::MAX_MESSAGE;
use cotter_wire::session::{MAX_HEADER, Request};
use cotter_wire::{api, session};
use std::net::SocketAddr;

/// How a server refuses without a reason.
pub const REFUSED: &str = "{\"result\":\"refused\"}";
const COUNTER: NonceCounter = NonceCounter::new(Nonce(0));

/// A device in the field.
pub struct Field {
    pub board: Board,
    pub client: Client,
}

/// No answer: the server is gone.
pub type Cut = hyper::Error;

impl Field {
    pub async fn of(product: &Product, address: SocketAddr, name: &str) -> Self {
        let device = Device::enrolled(product, address, name).await;
        Self { board: Board::new(product, &device), client: product.connect(address).await }
    }

    /// Opens a session; `None` if the server refuses the keys.
    pub async fn greet(&mut self, identity: &Identity, store: &mut Nvs<Flash>) -> Result<Option<Session>, Cut> {
        let opening = Opening::new(identity, &mut HostRandom);
        let hello = opening.hello(&mut [0; session::MAX_MESSAGE]).to_vec();
        let answer = self.client.try_ask("POST", &api::session(&identity.device), &[], hello).await?;
        match answer.status {
            200 => Ok(Some(opening.accept(&answer.body, 0, store).unwrap())),
            _ => {
                assert_eq!(answer.is(), (401, REFUSED));
                Ok(None)
            }
        }
    }

    pub async fn ask(&mut self, session: &mut Session, method: &str, path: &str, body: Vec<u8>) -> Result<Answer, Cut> {
        let mut out = [0; MAX_HEADER];
        let header = session.sign(&Request { method, path, body: &body }, &mut out).unwrap();
        self.client.try_ask(method, path, &[(api::SESSION_HEADER, header)], body).await
    }

    /// Asks for a new key, in a new session.
    pub async fn fetch(&mut self, identity: &Identity, store: &mut Nvs<Flash>) -> Result<Fetched, Cut> {
        let Some(mut session) = self.greet(identity, store).await? else { return Ok(Fetched::Refused) };
        let rotation = Rotation::begin(identity, &mut HostRandom);
        let answer = self.ask(&mut session, "GET", &rotation.path(), Vec::new()).await?;
        if answer.status == 204 {
            return Ok(Fetched::Nothing);
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        rotation.offered(&answer.body, store).unwrap();
        Ok(Fetched::Pending)
    }

    /// The identity after the acknowledgement; `None` if the server refuses.
    pub async fn confirm(
        &mut self,
        confirming: Confirming,
        identity: Identity,
        store: &mut Nvs<Flash>,
    ) -> Result<Option<Identity>, Cut> {
        let message = confirming.message(&mut [0; MAX_MESSAGE]).to_vec();
        let answer = self.client.try_ask("POST", &api::key(&identity.device), &[], message).await?;
        if answer.status == 401 {
            return Ok(None);
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        Ok(Some(confirming.acknowledged(identity, &answer.body, store).unwrap()))
    }

    /// What a device does after a reset, until there is no new key for it: confirms what is pending, asks; if it is refused,
    /// confirms what is present, and recovers.
    pub async fn follow(&mut self) -> Result<Identity, Cut> {
        for _ in 0..20 {
            let (mut store, identity) = self.board.boot();
            if let Some(confirming) = Confirming::pending(&identity, &mut store, &mut HostRandom).unwrap()
                && self.confirm(confirming, identity, &mut store).await?.is_some()
            {
                continue;
            }
            let (_, identity) = self.board.boot();
            match self.fetch(&identity, &mut store).await? {
                Fetched::Nothing => return Ok(identity),
                Fetched::Pending => {}
                Fetched::Refused => {
                    if let Some(confirming) = Confirming::present(&identity, &mut HostRandom) {
                        self.confirm(confirming, identity, &mut store).await?.expect("not stranded");
                    }
                    let (_, identity) = self.board.boot();
                    if self.greet(&identity, &mut store).await?.is_none() {
                        self.recover(identity, &mut store).await;
                    }
                }
            }
        }
        panic!("it does not come to an end");
    }

    pub async fn recover(&mut self, identity: Identity, store: &mut Nvs<Flash>) -> Identity {
        let device = identity.device;
        let recovery = Recovery::begin(identity, &mut HostRandom);
        let ask = recovery.ask(&mut [0; cotter_wire::recovery::MAX_MESSAGE]).to_vec();
        let answer = self.client.ask("POST", &api::recovery(&device), &[], ask).await;
        assert_eq!(answer.status, 200, "stranded: {answer:?}");
        let claiming = recovery.challenged(&answer.body).unwrap();
        let claim = claiming.claim(&mut [0; cotter_wire::recovery::MAX_MESSAGE]).to_vec();
        let answer = self.client.ask("POST", &api::recovery_claim(&device), &[], claim).await;
        claiming.granted(&answer.body, store).unwrap()
    }

    pub async fn upload(&mut self, packet: Vec<u8>) -> Answer {
        let (_, identity) = self.board.boot();
        self.client.ask("POST", &api::telemetry(&identity.device), &[], packet).await
    }

    pub async fn upload_compact(&mut self, packet: Vec<u8>) -> Answer {
        let (_, identity) = self.board.boot();
        let path = api::compact_telemetry(&identity.device);
        self.client.ask("POST", &path, &[("content-type", CONTENT_TYPE)], packet).await
    }

    /// A packet of version 1 under the present keys, not sent.
    pub fn sealed(&self) -> Vec<u8> {
        let (mut store, identity) = self.board.boot();
        let telemetry = Telemetry::start(&identity, COUNTER, &mut store).unwrap();
        let reading = telemetry.reading(60, FIRMWARE, VALUES).unwrap();
        let mut out = [0; MAX_PACKET];
        telemetry.seal(&reading, &mut store, &mut HostRandom, &mut out).unwrap().packet().to_vec()
    }

    /// So many of version 2.
    pub fn compact(&self, count: usize) -> Vec<Vec<u8>> {
        let (mut store, identity) = self.board.boot();
        let mut telemetry = CompactTelemetry::start(&identity, &mut store).unwrap();
        let reading = Telemetry::start(&identity, COUNTER, &mut store).unwrap().reading(60, FIRMWARE, VALUES).unwrap();
        let mut seal = || {
            let mut out = [0; MAX_COMPACT];
            telemetry.seal(&reading, &mut store, &mut out).unwrap().packet().to_vec()
        };
        (0..count).map(|_| seal()).collect()
    }
}

/// What came of an ask.
pub enum Fetched {
    /// A key is pending now.
    Pending,
    /// There is none.
    Nothing,
    /// The server does not know the keys.
    Refused,
}
