//! Packets over real TLS: what is stored, what is refused, and that nothing is accepted twice.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![allow(clippy::print_stderr, reason = "counts, for whoever reads the test's output")]

mod product;

use cotter_server::audit::review::review;
use cotter_wire::api;
use cotter_wire::enrolment::MAX_ENROLMENT;
use cotter_wire::keys::EnrolmentKey;
use product::client::Client;
use product::device::Device;
use product::{Authority, Product};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ROUNDS: u32 = 100;
const REFUSED: &str = "{\"result\":\"refused\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packet_is_stored_once_and_a_replay_is_refused() {
    let product = Product::new();
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "esp32-001").await;
    let mut client = product.connect(server.address).await;

    let first = device.packet(10_001);
    assert_eq!(
        device.upload(&mut client, first.clone()).await.is(),
        (200, "{\"result\":\"accepted\",\"nonce\":10001}")
    );
    assert_eq!(device.upload(&mut client, first.clone()).await.is(), (409, "{\"result\":\"replay\",\"stored\":true}"));
    assert_eq!(
        device.upload(&mut client, device.packet(10_001)).await.is(),
        (409, REFUSED),
        "same nonce, other packet"
    );
    assert_eq!(device.upload(&mut client, device.packet(10_002)).await.status, 200);
    assert_eq!(device.upload(&mut client, first).await.is(), (409, REFUSED), "stored, but not the last");
    assert_eq!(product.stored_nonces(server.address, "esp32-001").await, [10_002, 10_001]);

    let readings =
        product.admin(server.address, "GET", "/admin/v1/devices/esp32-001/readings", Vec::new()).await.json();
    let values = serde_json::json!([{ "register": 0, "raw": 2300 }, { "register": 9, "raw": 2 }]);
    assert_eq!(readings["readings"][0]["values"], values);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_sixty_four_copies_is_accepted() {
    let product = Product::with("\n[limits]\nuploads_per_device = { burst = 6400, per_second = 1000 }\n");
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let mut clients = Vec::new();
    let mut refused = 0;
    for _ in 0..64 {
        clients.push(product.connect(server.address).await);
    }
    for round in 1..=ROUNDS {
        let packet = device.packet(round);
        let copies: Vec<_> = clients
            .drain(..)
            .map(|mut client| {
                let (packet, path) = (packet.clone(), api::telemetry(&device.id));
                tokio::spawn(async move {
                    let answer = client.ask("POST", &path, &[], packet).await;
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
                other => {
                    assert_eq!(other, 409);
                    refused += 1;
                }
            }
        }
        assert_eq!(accepted, 1, "round {round}");
    }
    eprintln!("{ROUNDS} rounds of 64 copies: {ROUNDS} accepted, {refused} refused");
    assert_eq!(refused, 63 * ROUNDS);
    let stored = product.stored_nonces(server.address, "a").await;
    assert_eq!(stored, (1..=u64::from(ROUNDS)).rev().collect::<Vec<_>>());
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
    let packet = one.packet(1);
    let text = String::from_utf8(packet.clone()).unwrap();

    // Another device's path; the id rewritten; an unknown device; another device's keys; another epoch.
    let path = api::telemetry(&two.id);
    assert_eq!(client.ask("POST", &path, &[], packet.clone()).await.is(), (401, REFUSED));
    let rewritten = text.replace("\"one\"", "\"two\"").into_bytes();
    assert_eq!(client.ask("POST", &path, &[], rewritten).await.is(), (401, REFUSED));
    let stranger = Device::born("stranger", 1);
    assert_eq!(stranger.upload(&mut client, stranger.packet(1)).await.is(), (401, REFUSED));
    let impostor = Device::born("one", 1);
    assert_eq!(impostor.upload(&mut client, impostor.packet(1)).await.is(), (401, REFUSED));
    let future = text.replace("\"epoch\":1", "\"epoch\":2").into_bytes();
    assert_eq!(one.upload(&mut client, future).await.is(), (401, REFUSED));

    // Every part changed a little: forged, or not a packet at all, but never accepted.
    for (old, new, status) in [
        ("\"nonce\":1", "\"nonce\":2", 401),
        ("\"compressed\":true", "\"compressed\":false", 401),
        ("\"encrypted\":true", "\"encrypted\":false", 400),
        ("{\"version\":1", "{ \"version\":1", 400),
        ("\"version\":1", "\"version\":2", 400),
        (",\"nonce\":1", ",\"nonce\":1,\"nonce\":1", 400),
        (",\"nonce\":1,", ",\"nonce\":1.0,", 400),
        ("}", "}\n", 400),
    ] {
        let changed = text.replacen(old, new, 1);
        if changed != text {
            assert_eq!(one.upload(&mut client, changed.into_bytes()).await.is(), (status, REFUSED), "{old} -> {new}");
        }
    }
    for body in ["", "{}", "[]", "null", "{\"nonce\":1}", "\u{feff}{}", "{\"version\":1"] {
        assert_eq!(one.upload(&mut client, body.into()).await.is(), (400, REFUSED), "{body}");
    }
    assert_eq!(product.stored_nonces(server.address, "one").await, [] as [u64; 0]);
    assert_eq!(one.upload(&mut client, packet).await.status, 200, "and the nonce is not burnt");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authentic_nonsense_burns_no_nonce() {
    let product = Product::new();
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let mut client = product.connect(server.address).await;
    assert_eq!(device.upload(&mut client, device.sealed(5, b"no reading")).await.is(), (401, REFUSED));
    assert_eq!(device.upload(&mut client, device.packet(5)).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nonce_must_be_above_the_floor_and_within_the_window() {
    let product = Product::with("\n[ingest]\nnonce_window = 100\nnonce_floor = 10000\n");
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let mut client = product.connect(server.address).await;
    for nonce in [0, 10_000, 10_101, u32::MAX] {
        assert_eq!(device.upload(&mut client, device.packet(nonce)).await.is(), (409, REFUSED), "{nonce}");
    }
    assert_eq!(device.upload(&mut client, device.packet(10_100)).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oversized_bodies_are_refused_unread() {
    let product = Product::new();
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let mut client = product.connect(server.address).await;
    assert_eq!(device.upload(&mut client, vec![b'{'; 4097]).await.is(), (413, REFUSED));

    // Declared and not sent: answered all the same, so nobody waits for it.
    let mut stream = product::client::tls(server.address, &product.ca).await.unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-length: 100000000\r\n\r\n",
        api::telemetry(&device.id),
        product::client::SERVER_NAME
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_half_open_peers_are_let_go() {
    let product = Product::with("\n[limits]\nheader_seconds = 1\nbody_seconds = 1\nhandshake_seconds = 1\n");
    let server = product.serve().await;
    // No handshake at all.
    let mut silent = tokio::net::TcpStream::connect(server.address).await.unwrap();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0, "closed");
    // A header that never ends; a body that never comes.
    let mut headless = product::client::tls(server.address, &product.ca).await.unwrap();
    headless.write_all(b"POST / HTTP/1.1\r\nx: ").await.unwrap();
    let mut rest = Vec::new();
    let _ = headless.read_to_end(&mut rest).await;
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
    let mut bodiless = product::client::tls(server.address, &product.ca).await.unwrap();
    let head = b"POST /v1/devices/a/telemetry HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n";
    bodiless.write_all(head).await.unwrap();
    let mut rest = Vec::new();
    let _ = bodiless.read_to_end(&mut rest).await;
    assert!(rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_so_many_connections_per_address() {
    let product = Product::with("\n[limits]\nconnections_per_address = 3\n");
    let server = product.serve().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(product.connect(server.address).await);
    }
    assert!(Client::connect(server.address, &product.ca).await.is_err());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_authority_is_not_believed() {
    let product = Product::new();
    let server = product.serve().await;
    let stranger = Authority::new();
    let refused = Client::connect(server.address, &stranger.certificate).await.err().unwrap();
    assert!(refused.to_string().contains("invalid peer certificate"), "{refused}");
    product.connect(server.address).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_administrator_enrols_and_reads() {
    let product = Product::new();
    let server = product.serve().await;
    let mut client = product.connect(server.address).await;
    let device = Device::born("a", 1);
    let record = device.record(&product);
    for authorization in ["", "Bearer ", "Bearer 00", "Basic YTpi"] {
        let headers = [("authorization", authorization)];
        let answer = client.ask("POST", api::ADMIN_DEVICES, &headers, record.clone()).await;
        assert_eq!(answer.is(), (401, REFUSED));
        let answer = client.ask("GET", "/admin/v1/devices/a/readings", &headers, Vec::new()).await;
        assert_eq!(answer.is(), (401, REFUSED));
    }
    let refused =
        |answer: product::client::Answer| (answer.status, answer.json()["reason"].as_str().unwrap().to_owned());
    let forged = device.record_sealed_with(&EnrolmentKey::new(cotter_formats::secret::Secret::filled_by(|_| ())));
    let answer = product.admin(server.address, "POST", api::ADMIN_DEVICES, forged).await;
    assert_eq!(refused(answer), (422, "enrolment-not-authentic".into()));
    let answer = product.admin(server.address, "POST", api::ADMIN_DEVICES, vec![b'{'; MAX_ENROLMENT]).await;
    assert_eq!(refused(answer), (422, "enrolment-malformed".into()));
    assert_eq!(product.admin(server.address, "POST", api::ADMIN_DEVICES, record.clone()).await.status, 201);
    let answer = product.admin(server.address, "POST", api::ADMIN_DEVICES, record).await;
    assert_eq!(refused(answer), (422, "enrolment-stale".into()), "a replayed record lowers no nonce");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_epoch_replaces_keys_and_restarts_nonces() {
    let product = Product::new();
    let server = product.serve().await;
    let old = Device::enrolled(&product, server.address, "a").await;
    let mut client = product.connect(server.address).await;
    assert_eq!(old.upload(&mut client, old.packet(500)).await.status, 200);
    let new = Device::born("a", 2);
    assert_eq!(product.admin(server.address, "POST", api::ADMIN_DEVICES, new.record(&product)).await.status, 200);
    assert_eq!(old.upload(&mut client, old.packet(501)).await.is(), (401, REFUSED));
    assert_eq!(new.upload(&mut client, new.packet(1)).await.status, 200);
    assert_eq!(product.stored_nonces(server.address, "a").await, [1, 500]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_forgeries_writes_nothing() {
    let product = Product::new();
    let server = product.serve().await;
    Device::enrolled(&product, server.address, "a").await;
    let impostor = Device::born("a", 1);
    let mut client = product.connect(server.address).await;
    let log = product.directory.path().join("cotter.db-wal");
    let before = std::fs::metadata(&log).unwrap().len();
    for nonce in 1..=300 {
        assert_eq!(impostor.upload(&mut client, impostor.packet(nonce)).await.status, 401);
        assert_eq!(impostor.upload(&mut client, b"{}".to_vec()).await.status, 400);
    }
    assert_eq!(std::fs::metadata(&log).unwrap().len(), before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_healthy_and_knows_no_other_path() {
    let product = Product::new();
    let server = product.serve().await;
    let mut client = product.connect(server.address).await;
    assert_eq!(client.ask("GET", "/healthz", &[], Vec::new()).await.is(), (200, "{\"status\":\"ok\"}"));
    assert_eq!(client.ask("GET", "/metrics", &[], Vec::new()).await.is(), (404, REFUSED));
    assert_eq!(client.ask("GET", "/v1/devices/a/telemetry", &[], Vec::new()).await.status, 405);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_act_is_a_line_of_a_log_that_an_auditor_can_verify() {
    let product = Product::new();
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let mut client = product.connect(server.address).await;
    let packet = device.packet(1);
    assert_eq!(device.upload(&mut client, packet.clone()).await.status, 200);
    assert_eq!(device.upload(&mut client, packet).await.status, 409);
    let get = |path: &'static str| product.admin(server.address, "GET", path, Vec::new());
    // The note on the replay is queued: a second question comes behind it.
    product.admin(server.address, "POST", "/admin/v1/devices", b"nonsense".to_vec()).await;
    let checkpoint = get("/admin/v1/audit/checkpoint").await;
    let entries = get("/admin/v1/audit/entries?from=0&limit=1000").await;
    let (checkpoint, entries) = (checkpoint.is().1.to_owned(), entries.is().1.to_owned());
    let found = review(entries.as_bytes(), &checkpoint, &[], &product.audit_key).unwrap();
    let events: Vec<String> = entries
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].to_string())
        .collect();
    assert_eq!(found.entries, events.len() as u64);
    assert!(events.contains(&"\"duplicate\"".to_owned()), "{events:?}");
    let second = get("/admin/v1/audit/entries?from=1&limit=1").await;
    assert_eq!(second.is().1.lines().collect::<Vec<_>>(), entries.lines().skip(1).take(1).collect::<Vec<_>>());
    assert_eq!(get("/admin/v1/audit/entries?page=1").await.status, 400);
    let stranger = product.connect(server.address).await.ask("GET", "/admin/v1/audit/entries", &[], Vec::new()).await;
    assert_eq!(stranger.is(), (401, REFUSED));
    server.stop().await;
    // At its orderly end the checkpoint lies beside the database.
    let kept = std::fs::read_to_string(product.directory.path().join("audit.checkpoint")).unwrap();
    assert_eq!(kept, product.reviewed_audit_log(&[checkpoint, kept.clone()]));
}
