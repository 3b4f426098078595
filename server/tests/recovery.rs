//! A device that lost its nonce counter gets a new key epoch: the real device code over real TLS, and what others try.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod product;

use cotter_chip::flash::Flash;
use cotter_device::identity::Identity;
use cotter_device::nonces::{self, NonceCounter, NonceError};
use cotter_device::nvs::Nvs;
use cotter_device::recovery::{Claiming, Recovery};
use cotter_device::sequences::{self, SequenceError};
use cotter_device::telemetry::{CompactTelemetry, Delivery, Telemetry, TelemetryError};
use cotter_server::recovery::MOST_A_DAY;
use cotter_wire::api;
use cotter_wire::compact::{CONTENT_TYPE, MAX_COMPACT};
use cotter_wire::ids::{DeviceId, KeyEpoch, Nonce};
use cotter_wire::packet::MAX_PACKET;
use cotter_wire::recovery::MAX_MESSAGE;
use product::Product;
use product::board::{Board, FIRMWARE, FLOOR, HostRandom, VALUES};
use product::client::{Answer, Client};
use product::device::Device;

const REFUSED: &str = "{\"result\":\"refused\"}";
const CONFIG: &str = "\n[ingest]\nnonce_floor = 10000\n";
const COUNTER: NonceCounter = NonceCounter::new(Nonce(0));

async fn ask(client: &mut Client, device: &DeviceId, body: &[u8]) -> Answer {
    client.ask("POST", &api::recovery(device), &[], body.to_vec()).await
}

async fn claim(client: &mut Client, device: &DeviceId, body: &[u8]) -> Answer {
    client.ask("POST", &api::recovery_claim(device), &[], body.to_vec()).await
}

/// A recovery as far as its claim.
async fn challenged(client: &mut Client, identity: Identity) -> Claiming {
    let device = identity.device;
    let recovery = Recovery::begin(identity, &mut HostRandom);
    let answer = ask(client, &device, recovery.ask(&mut [0; MAX_MESSAGE])).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    recovery.challenged(&answer.body).unwrap()
}

/// All of it.
async fn recover(client: &mut Client, identity: Identity, store: &mut Nvs<Flash>) -> Identity {
    let device = identity.device;
    let claiming = challenged(client, identity).await;
    let answer = claim(client, &device, claiming.claim(&mut [0; MAX_MESSAGE])).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    claiming.granted(&answer.body, store).unwrap()
}

/// A packet of version 1, not sent.
fn sealed(identity: &Identity, store: &mut Nvs<Flash>) -> Vec<u8> {
    let telemetry = Telemetry::start(identity, COUNTER, store).unwrap();
    let reading = telemetry.reading(60, FIRMWARE, VALUES).unwrap();
    let mut out = [0; MAX_PACKET];
    telemetry.seal(&reading, store, &mut HostRandom, &mut out).unwrap().packet().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_counter_is_recovered_and_old_packets_stay_refused() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "esp32-001").await;
    let board = Board::new(&product, &device);
    let mut client = product.connect(server.address).await;
    let (mut store, identity) = board.boot();
    let (sent, kept) = (sealed(&identity, &mut store), sealed(&identity, &mut store));
    assert_eq!(device.upload(&mut client, sent.clone()).await.status, 200);

    // The counter is gone: no packet is sealed.
    store.erase_key(&nonces::NAMESPACE, &nonces::KEY).unwrap();
    let telemetry = Telemetry::start(&identity, COUNTER, &mut store).unwrap();
    let reading = telemetry.reading(60, FIRMWARE, VALUES).unwrap();
    let refused = telemetry.seal(&reading, &mut store, &mut HostRandom, &mut [0; MAX_PACKET]).err();
    assert_eq!(refused, Some(TelemetryError::Nonce(NonceError::Missing)));
    let identity = recover(&mut client, identity, &mut store).await;
    assert_eq!(identity.epoch, KeyEpoch(2));
    for packet in [&sent, &kept] {
        assert_eq!(device.upload(&mut client, packet.clone()).await.is(), (401, REFUSED));
    }
    let fresh = sealed(&identity, &mut store);
    let accepted = (200, "{\"result\":\"accepted\",\"nonce\":10001}");
    assert_eq!(device.upload(&mut client, fresh).await.is(), accepted);

    // The same in version 2, and over a reset.
    let mut telemetry = CompactTelemetry::start(&identity, &mut store).unwrap();
    let mut out = [0; MAX_COMPACT];
    let recorded = telemetry.seal(&reading, &mut store, &mut out).unwrap().packet().to_vec();
    let path = api::compact_telemetry(&device.id);
    let kind = [("content-type", CONTENT_TYPE)];
    assert_eq!(client.ask("POST", &path, &kind, recorded.clone()).await.status, 200);
    for key in [nonces::KEY, sequences::KEY] {
        store.erase_key(&nonces::NAMESPACE, &key).unwrap();
    }
    let (mut store, identity) = board.boot();
    assert_eq!(CompactTelemetry::start(&identity, &mut store).err(), Some(SequenceError::Missing));
    recover(&mut client, identity, &mut store).await;
    let (mut store, identity) = board.boot();
    assert_eq!(identity.epoch, KeyEpoch(3));
    assert_eq!(client.ask("POST", &path, &kind, recorded).await.is(), (401, REFUSED));
    let mut telemetry = CompactTelemetry::start(&identity, &mut store).unwrap();
    let mut out = [0; MAX_COMPACT];
    let packet = telemetry.seal(&reading, &mut store, &mut out).unwrap();
    let answer = client.ask("POST", &path, &kind, packet.packet().to_vec()).await;
    assert_eq!((packet.nonce().get(), packet.judge(&answer.body)), (u64::from(FLOOR) + 1, Delivery::Stored));

    assert_eq!(product.stored_nonces(server.address, "esp32-001").await, [10_001, 10_002, 10_001, 10_001]);
    let renewed: Vec<String> = product
        .audited(server.address, "esp32-001")
        .await
        .into_iter()
        .filter_map(|(event, detail)| (event == "epoch-renewed").then_some(detail))
        .collect();
    assert_eq!(
        renewed,
        ["key epoch 2, asked for by the device in epoch 1", "key epoch 3, asked for by the device in epoch 2"]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_strands_nobody() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let board = Board::new(&product, &device);
    let mut client = product.connect(server.address).await;
    let (mut store, identity) = board.boot();
    store.erase_key(&nonces::NAMESPACE, &nonces::KEY).unwrap();
    // The challenge is lost, then the grant: the server is in epoch 2, the device in epoch 1.
    let unheard = Recovery::begin(identity, &mut HostRandom);
    assert_eq!(ask(&mut client, &device.id, unheard.ask(&mut [0; MAX_MESSAGE])).await.status, 200);
    let unheard = challenged(&mut client, board.boot().1).await;
    assert_eq!(claim(&mut client, &device.id, unheard.claim(&mut [0; MAX_MESSAGE])).await.status, 200);
    // A restart of the server forgets its challenges: refused, and asked again.
    let late = challenged(&mut client, board.boot().1).await;
    server.stop().await;
    let server = product.serve().await;
    let mut client = product.connect(server.address).await;
    assert_eq!(claim(&mut client, &device.id, late.claim(&mut [0; MAX_MESSAGE])).await.is(), (401, REFUSED));

    let identity = recover(&mut client, board.boot().1, &mut store).await;
    assert_eq!(identity.epoch, KeyEpoch(3));
    assert_eq!(device.upload(&mut client, sealed(&identity, &mut store)).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_recorded_or_forged_does_nothing() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let other = Device::enrolled(&product, server.address, "b").await;
    let board = Board::new(&product, &device);
    let mut client = product.connect(server.address).await;
    let (mut store, identity) = board.boot();
    let recovery = Recovery::begin(identity, &mut HostRandom);
    let mut out = [0; MAX_MESSAGE];
    let recorded_ask = recovery.ask(&mut out).to_vec();
    let challenge = ask(&mut client, &device.id, &recorded_ask).await;
    assert_eq!(ask(&mut client, &device.id, &recorded_ask).await.is(), challenge.is(), "one ask, one challenge");
    let claiming = recovery.challenged(&challenge.body).unwrap();
    let recorded = claiming.claim(&mut out).to_vec();

    // Elsewhere, in the place of the other message, changed, cut off; by devices that are somebody else or nobody.
    assert_eq!(claim(&mut client, &other.id, &recorded).await.is(), (401, REFUSED));
    assert_eq!(ask(&mut client, &other.id, &recorded_ask).await.is(), (401, REFUSED));
    assert_eq!(claim(&mut client, &device.id, &recorded_ask).await.is(), (400, REFUSED));
    assert_eq!(ask(&mut client, &device.id, &recorded).await.is(), (400, REFUSED));
    assert_eq!(claim(&mut client, &device.id, &recorded[..recorded.len() - 1]).await.is(), (400, REFUSED));
    let text = String::from_utf8(recorded.clone()).unwrap();
    for (old, new) in [("\"epoch\":1", "\"epoch\":7"), ("\"mac\":\"", "\"mac\":\"0")] {
        let changed = text.replacen(old, new, 1);
        let status = claim(&mut client, &device.id, changed.as_bytes()).await.status;
        assert_eq!(status, if changed.len() == text.len() { 401 } else { 400 }, "{old}");
    }
    for impostor in [Device::born("a", 1), Device::born("stranger", 1)] {
        let (_, identity) = Board::new(&product, &impostor).boot();
        let forged = Recovery::begin(identity, &mut HostRandom);
        let answer = ask(&mut client, &impostor.id, forged.ask(&mut [0; MAX_MESSAGE])).await;
        assert_eq!(answer.is(), (401, REFUSED));
    }

    // The claim counts once. Recorded again, and with a challenge to the recorded ask, it changes nothing.
    let grant = claim(&mut client, &device.id, &recorded).await;
    let identity = claiming.granted(&grant.body, &mut store).unwrap();
    assert_eq!(identity.epoch, KeyEpoch(2));
    assert_eq!(claim(&mut client, &device.id, &recorded).await.is(), (401, REFUSED));
    assert_eq!(ask(&mut client, &device.id, &recorded_ask).await.status, 200);
    assert_eq!(claim(&mut client, &device.id, &recorded).await.is(), (401, REFUSED));
    assert_eq!(device.upload(&mut client, sealed(&identity, &mut store)).await.status, 200, "still in epoch 2");
    let events = product.audited(server.address, "a").await;
    let count = |name: &str| events.iter().filter(|(event, _)| event == name).count();
    assert_eq!((count("epoch-renewed"), count("recovery-replayed")), (1, 2));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_renews_a_few_times_a_day() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let other = Device::enrolled(&product, server.address, "b").await;
    let (board, neighbour) = (Board::new(&product, &device), Board::new(&product, &other));
    let mut client = product.connect(server.address).await;
    let (mut store, mut identity) = board.boot();
    for _ in 0..MOST_A_DAY {
        identity = recover(&mut client, identity, &mut store).await;
    }
    let claiming = challenged(&mut client, identity).await;
    let answer = claim(&mut client, &device.id, claiming.claim(&mut [0; MAX_MESSAGE])).await;
    // At midnight the test may be given one more.
    if answer.status != 200 {
        assert_eq!(answer.is(), (429, REFUSED));
        assert!(answer.headers.contains_key("retry-after"));
        let events = product.audited(server.address, "a").await;
        assert_eq!(events.last().unwrap().0, "epoch-renewal-too-often");
        assert_eq!(device.upload(&mut client, sealed(&board.boot().1, &mut store)).await.status, 200);
    }
    let (mut store, identity) = neighbour.boot();
    assert_eq!(recover(&mut client, identity, &mut store).await.epoch, KeyEpoch(2), "another device");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_forgeries_writes_nothing() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let impostor = Board::new(&product, &Device::born("a", 1));
    let mut client = product.connect(server.address).await;
    let log = product.directory.path().join("cotter.db-wal");
    let before = std::fs::metadata(&log).unwrap().len();
    for _ in 0..200 {
        let forged = Recovery::begin(impostor.boot().1, &mut HostRandom);
        assert_eq!(ask(&mut client, &device.id, forged.ask(&mut [0; MAX_MESSAGE])).await.status, 401);
        assert_eq!(claim(&mut client, &device.id, b"{}").await.status, 400);
    }
    assert_eq!(std::fs::metadata(&log).unwrap().len(), before);
    server.stop().await;
}
