//! Compact packets (version 2) from the real device code over real TLS: stored once, and no way back to version 1.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod product;

use cotter_device::nonces::NonceCounter;
use cotter_device::telemetry::{CompactTelemetry, Delivery, Telemetry};
use cotter_wire::api;
use cotter_wire::compact::{CONTENT_TYPE, Channel, MAX_COMPACT};
use cotter_wire::ids::{KeyEpoch, Nonce, SecureVersion, Sequence};
use cotter_wire::keys::Direction;
use cotter_wire::packet::MAX_PACKET;
use cotter_wire::reading::Reading;
use cotter_wire::version::Version;
use product::Product;
use product::board::{Board, FIRMWARE, FLOOR, HostRandom, VALUES};
use product::client::{Answer, Client};
use product::device::Device;

const REFUSED: &str = "{\"result\":\"refused\"}";
const COSE: [(&str, &str); 1] = [("content-type", CONTENT_TYPE)];

async fn upload(client: &mut Client, device: &Device, packet: &[u8]) -> Answer {
    client.ask("POST", &api::compact_telemetry(&device.id), &COSE, packet.to_vec()).await
}

/// The channel of a device, as somebody with its root key derives it.
fn channel(device: &Device, epoch: u32, direction: Direction) -> Channel {
    Channel::derive(&device.root, &device.id, KeyEpoch(epoch), direction)
}

fn sealed(channel: &Channel, sequence: u64) -> Vec<u8> {
    let mut reading = Reading::new(60, 1, Version::new(1, 0, 0), SecureVersion(0));
    VALUES.into_iter().for_each(|(register, raw)| reading.push(register, raw).unwrap());
    let mut plain = [0; Reading::MAX_COMPACT];
    let plain = reading.encode_compact(&mut plain).unwrap();
    channel.seal(Sequence::new(sequence).unwrap(), plain, &mut [0; MAX_COMPACT]).unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_changes_to_version_2_and_never_back() {
    let product = Product::with("\n[ingest]\nnonce_floor = 10000\n");
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "esp32-001").await;
    let board = Board::new(&product, &device);
    let mut client = product.connect(server.address).await;

    // A packet in version 1, as all firmware so far; and one that somebody keeps.
    let (mut store, identity) = board.boot();
    let old = Telemetry::start(&identity, NonceCounter::new(Nonce(0)), &mut store).unwrap();
    let reading = old.reading(60, FIRMWARE, VALUES).unwrap();
    let mut bodies = Vec::new();
    for _ in 0..2 {
        let mut out = [0; MAX_PACKET];
        bodies.push(old.seal(&reading, &mut store, &mut HostRandom, &mut out).unwrap().packet().to_vec());
    }
    let path = api::telemetry(&device.id);
    let [sent, kept] = &bodies[..] else { unreachable!() };
    assert_eq!(client.ask("POST", &path, &[], sent.clone()).await.status, 200);

    // The same device in version 2: on the same line of numbers, and a lost answer is no attack.
    let mut new = CompactTelemetry::start(&identity, &mut store).unwrap();
    let mut out = [0; MAX_COMPACT];
    let packet = new.seal(&reading, &mut store, &mut out).unwrap();
    assert_eq!(packet.nonce().get(), u64::from(FLOOR) + 3);
    assert!(packet.packet().len() <= 56, "{}", packet.packet().len());
    let answer = upload(&mut client, &device, packet.packet()).await;
    assert_eq!(answer.is(), (200, "{\"result\":\"accepted\",\"nonce\":10003}"));
    assert_eq!(packet.judge(&answer.body), Delivery::Stored);
    let answer = upload(&mut client, &device, packet.packet()).await;
    assert_eq!((answer.status, packet.judge(&answer.body)), (409, Delivery::StoredEarlier));
    let first = packet.packet().to_vec();

    // Version 1 is over, for the packet that was stored and for the one that was kept.
    for packet in [sent, kept] {
        assert_eq!(client.ask("POST", &path, &[], packet.clone()).await.is(), (401, REFUSED));
    }
    // A reset: the numbers go on above the mark. The first packet is a replay by now.
    let (mut store, identity) = board.boot();
    let mut new = CompactTelemetry::start(&identity, &mut store).unwrap();
    let mut out = [0; MAX_COMPACT];
    let packet = new.seal(&reading, &mut store, &mut out).unwrap();
    assert_eq!(packet.judge(&upload(&mut client, &device, packet.packet()).await.body), Delivery::Stored);
    assert_eq!(upload(&mut client, &device, &first).await.is(), (409, REFUSED));

    assert_eq!(product.stored_nonces(server.address, "esp32-001").await, [10_067, 10_003, 10_001]);
    let path = "/admin/v1/devices/esp32-001/readings";
    let readings = product.admin(server.address, "GET", path, Vec::new()).await.json();
    assert_eq!(readings["readings"][0]["values"], readings["readings"][2]["values"], "whichever way it came");
    let shown = product.admin(server.address, "GET", "/admin/v1/devices/esp32-001", Vec::new()).await.json();
    assert_eq!((&shown["minimum_protocol"], &shown["last_nonce"]), (&2.into(), &10_067.into()));
    let events = product.audited(server.address, "esp32-001").await;
    let events: Vec<(&str, &str)> = events.iter().map(|(event, detail)| (&**event, &**detail)).collect();
    assert_eq!(
        events,
        [
            ("device-enrolled", "key epoch 1"),
            ("duplicate", "nonce 10003 is stored already"),
            ("protocol-downgrade", "nonce 10001 in version 1, but it must be 2"),
            ("protocol-downgrade", "nonce 10002 in version 1, but it must be 2"),
            ("replay", "nonce 10003 is not above 10067"),
        ]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_raises_the_minimum_and_nobody_lowers_it() {
    let product = Product::new();
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let mut client = product.connect(server.address).await;
    let path = "/admin/v1/devices/a/minimum-protocol";
    let raise = |body: &str| product.admin(server.address, "POST", path, body.as_bytes().to_vec());
    assert_eq!(device.upload(&mut client, device.packet(1)).await.status, 200);
    assert_eq!(client.ask("POST", path, &[], b"{\"protocol\":2}".to_vec()).await.is(), (401, REFUSED));
    for body in ["", "{}", "{\"protocol\":0}", "{\"protocol\":3}", "{\"protocol\":\"2\"}", "{\"protocol\":2,\"x\":1}"] {
        let answer = raise(body).await;
        assert_eq!((answer.status, &answer.json()["reason"]), (422, &"protocol-malformed".into()), "{body}");
    }
    assert_eq!(raise("{\"protocol\":2}").await.is(), (200, "{\"device\":\"a\",\"minimum_protocol\":2}"));
    assert_eq!(raise("{\"protocol\":2}").await.status, 200);
    let answer = raise("{\"protocol\":1}").await;
    assert_eq!((answer.status, &answer.json()["reason"]), (422, &"protocol-lower".into()));
    let unknown = "/admin/v1/devices/nobody/minimum-protocol";
    let answer = product.admin(server.address, "POST", unknown, b"{\"protocol\":2}".to_vec()).await;
    assert_eq!(answer.is(), (404, REFUSED));

    assert_eq!(device.upload(&mut client, device.packet(2)).await.is(), (401, REFUSED));
    let uplink = channel(&device, 1, Direction::Up);
    assert_eq!(upload(&mut client, &device, &sealed(&uplink, 2)).await.status, 200);
    let events = product.audited(server.address, "a").await;
    let raised = ("minimum-protocol-raised".to_owned(), "protocol 2".to_owned());
    assert_eq!(events.iter().filter(|event| **event == raised).count(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_from_the_device_is_refused_alike() {
    let product = Product::new();
    let server = product.serve().await;
    let (one, two) = (
        Device::enrolled(&product, server.address, "one").await,
        Device::enrolled(&product, server.address, "two").await,
    );
    let mut client = product.connect(server.address).await;
    let packet = sealed(&channel(&one, 1, Direction::Up), 1);
    // Another device's path; another direction or epoch; another device's keys; a device that nobody knows.
    assert_eq!(upload(&mut client, &two, &packet).await.is(), (401, REFUSED));
    for (epoch, direction) in [(1, Direction::Down), (2, Direction::Up)] {
        let other = sealed(&channel(&one, epoch, direction), 1);
        assert_eq!(upload(&mut client, &one, &other).await.is(), (401, REFUSED));
    }
    let impostor = Device::born("one", 1);
    let forged = sealed(&channel(&impostor, 1, Direction::Up), 1);
    assert_eq!(upload(&mut client, &impostor, &forged).await.is(), (401, REFUSED));
    let stranger = Device::born("stranger", 1);
    let strange = sealed(&channel(&stranger, 1, Direction::Up), 1);
    assert_eq!(upload(&mut client, &stranger, &strange).await.is(), (401, REFUSED));
    // Every bit.
    for bit in 0..8 * packet.len() {
        let mut flipped = packet.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let answer = upload(&mut client, &one, &flipped).await;
        assert!(matches!(answer.is(), (400 | 401, REFUSED)), "bit {bit}: {answer:?}");
    }
    // Not a packet: cut off, too long, the other version, another kind.
    let one_more = [&packet[..], &[0]].concat();
    for body in [&packet[..packet.len() - 1], &[], &one_more, &one.packet(1), &[0xd0; 200]] {
        assert_eq!(upload(&mut client, &one, body).await.is(), (400, REFUSED));
    }
    assert_eq!(one.upload(&mut client, packet.clone()).await.is(), (400, REFUSED), "in the place of version 1");
    let path = api::compact_telemetry(&one.id);
    for headers in [&[][..], &[("content-type", "application/json")], &[("content-type", "application/cbor")]] {
        assert_eq!(client.ask("POST", &path, headers, packet.clone()).await.is(), (415, REFUSED));
    }
    // Authentic nonsense burns no number.
    let nonsense = channel(&one, 1, Direction::Up);
    let mut out = [0; MAX_COMPACT];
    let nonsense = nonsense.seal(Sequence::new(1).unwrap(), b"no reading", &mut out).unwrap();
    assert_eq!(upload(&mut client, &one, nonsense).await.is(), (401, REFUSED));

    assert_eq!(product.stored_nonces(server.address, "one").await, [] as [u64; 0]);
    let kind = [("content-type", "application/cose; cose-type=\"cose-encrypt0\"")];
    assert_eq!(client.ask("POST", &path, &kind, packet).await.status, 200, "and the number is not burnt");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_sixty_four_copies_is_accepted_and_a_jump_is_alarmed() {
    const CONFIG: &str = "
[ingest]
nonce_window = 100
[limits]
uploads_per_device = { burst = 6400, per_second = 1000 }
";
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let uplink = channel(&device, 1, Direction::Up);
    let mut clients = Vec::new();
    for _ in 0..64 {
        clients.push(product.connect(server.address).await);
    }
    for round in 1..=10 {
        let packet = sealed(&uplink, round);
        let copies: Vec<_> = clients
            .drain(..)
            .map(|mut client| {
                let (packet, path) = (packet.clone(), api::compact_telemetry(&device.id));
                tokio::spawn(async move {
                    let answer = client.ask("POST", &path, &COSE, packet).await;
                    (client, answer.status)
                })
            })
            .collect();
        let mut accepted = 0;
        for copy in copies {
            let (client, status) = copy.await.unwrap();
            clients.push(client);
            match status {
                200 => accepted += 1,
                other => assert_eq!(other, 409),
            }
        }
        assert_eq!(accepted, 1, "round {round}");
    }
    for beyond in [111, u64::from(u32::MAX) + 11, Sequence::MAX.get()] {
        assert_eq!(upload(&mut clients[0], &device, &sealed(&uplink, beyond)).await.is(), (409, REFUSED), "{beyond}");
    }
    assert_eq!(upload(&mut clients[0], &device, &sealed(&uplink, 110)).await.status, 200);
    let jumps: Vec<String> = product
        .audited(server.address, "a")
        .await
        .into_iter()
        .filter_map(|(event, detail)| (event == "nonce-jump").then_some(detail))
        .collect();
    let said = |nonce: u64| format!("nonce {nonce} is more than 100 beyond 10");
    assert_eq!(jumps, [said(111), said(u64::from(u32::MAX) + 11), said(Sequence::MAX.get())]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_forgeries_writes_nothing() {
    let product = Product::new();
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let uplink = channel(&Device::born("a", 1), 1, Direction::Up);
    let mut client = product.connect(server.address).await;
    let log = product.directory.path().join("cotter.db-wal");
    let before = std::fs::metadata(&log).unwrap().len();
    for sequence in 1..=300 {
        assert_eq!(upload(&mut client, &device, &sealed(&uplink, sequence)).await.status, 401);
        assert_eq!(upload(&mut client, &device, b"{}").await.status, 400);
    }
    assert_eq!(std::fs::metadata(&log).unwrap().len(), before);
    server.stop().await;
}
