//! Rates: who asks too much is told when to come again, nobody else notices, and nothing is written for strangers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![allow(clippy::print_stderr, reason = "counts, for whoever reads the test's output")]

mod product;

use cotter_server::config::Config;
use cotter_server::server::{Server, StartError};
use cotter_wire::api;
use product::Product;
use product::client::{Answer, Client};
use product::device::{Device, ask};
use sha2::{Digest, Sha256};
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const REFUSED: &str = "{\"result\":\"refused\"}";

fn is_too_many(answer: &Answer) -> bool {
    let after: u32 = match answer.headers.get("retry-after") {
        Some(after) => after.to_str().unwrap().parse().unwrap(),
        None => return false,
    };
    assert_eq!(answer.is(), (429, REFUSED));
    after >= 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_uploads_too_much_is_told_when_to_come_again_and_others_are_not() {
    let product = Product::with("\n[limits]\nuploads_per_device = { burst = 3, per_second = 1 }\n");
    let server = product.serve().await;
    let (busy, other) = (
        Device::enrolled(&product, server.address, "busy").await,
        Device::enrolled(&product, server.address, "other").await,
    );
    let mut client = product.connect(server.address).await;
    // Forgeries and replays in its name take nothing from it.
    let impostor = Device::born("busy", 1);
    for nonce in 1..=5 {
        assert_eq!(impostor.upload(&mut client, impostor.packet(nonce)).await.status, 401);
    }
    let first = busy.packet(1);
    assert_eq!(busy.upload(&mut client, first.clone()).await.status, 200);
    for _ in 0..5 {
        assert_eq!(busy.upload(&mut client, first.clone()).await.status, 409);
    }
    assert_eq!(busy.upload(&mut client, busy.packet(2)).await.status, 200);
    assert_eq!(busy.upload(&mut client, busy.packet(3)).await.status, 200);
    let too_many = busy.packet(4);
    let mut refused = 0;
    loop {
        let answer = busy.upload(&mut client, too_many.clone()).await;
        if answer.status == 200 {
            break;
        }
        assert!(is_too_many(&answer), "{answer:?}");
        refused += 1;
        assert_eq!(other.upload(&mut client, other.packet(refused)).await.status, if refused <= 3 { 200 } else { 429 });
    }
    assert!(refused > 0, "its nonce was not burnt, and the packet came in when it was time");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_a_session_are_limited_too() {
    let product = Product::with("\n[limits]\nrequests_per_device = { burst = 2, per_second = 1 }\n");
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let mut client = product.connect(server.address).await;
    let mut session = device.begin(&mut client).await;
    let path = "/v1/devices/a/update?version=1.0.0&secure_version=0";
    for expected in [204, 204] {
        assert_eq!(ask(&mut client, &mut session, "GET", path, Vec::new()).await.status, expected);
    }
    assert!(is_too_many(&ask(&mut client, &mut session, "GET", path, Vec::new()).await));
    assert_eq!(device.upload(&mut client, device.packet(1)).await.status, 200, "its packets have their own");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_so_many_requests_refusals_and_handshakes() {
    for (limit, path, first) in [
        ("requests_per_address = { burst = 4, per_second = 1 }", "/healthz", 200),
        ("requests = { burst = 4, per_second = 1 }", "/healthz", 200),
        ("refusals_per_address = { burst = 4, per_second = 1 }", "/nothing", 404),
    ] {
        let product = Product::with(&format!("\n[limits]\n{limit}\n"));
        let server = product.serve().await;
        let mut client = product.connect(server.address).await;
        let mut statuses = Vec::new();
        for _ in 0..5 {
            let answer = client.ask("GET", path, &[], Vec::new()).await;
            assert!(answer.status == first || is_too_many(&answer), "{answer:?}");
            statuses.push(answer.status);
        }
        assert_eq!(statuses[..4], [first; 4], "{limit}");
        assert_eq!(statuses[4], 429, "{limit}");
        server.stop().await;
    }
    let product = Product::with("\n[limits]\nhandshakes_per_address = { burst = 4, per_second = 1 }\n");
    let server = product.serve().await;
    let mut cut_off = 0;
    for _ in 0..6 {
        cut_off += usize::from(Client::connect(server.address, &product.ca).await.is_err());
    }
    assert!((1..=2).contains(&cut_off), "{cut_off}");
    server.stop().await;
}

/// Digest of every file of the database.
fn fingerprint(directory: &Path) -> Vec<(String, [u8; 32])> {
    let mut files: Vec<_> = ["cotter.db", "cotter.db-wal"]
        .iter()
        .map(|name| ((*name).to_owned(), Sha256::digest(std::fs::read(directory.join(name)).unwrap()).into()))
        .collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_strangers_changes_no_byte_of_the_database() {
    let product = Product::with("\n[limits]\nrefusals_per_address = { burst = 500, per_second = 1 }\n");
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let mut client = product.connect(server.address).await;
    let packet = device.packet(1);
    assert_eq!(device.upload(&mut client, packet).await.status, 200);
    let before = fingerprint(product.directory.path());

    let (impostor, unknown) = (Device::born("a", 1), Device::born("nobody", 1));
    let mut statuses = std::collections::BTreeMap::new();
    for round in 0..200 {
        let answers = [
            impostor.upload(&mut client, impostor.packet(round + 2)).await,
            unknown.upload(&mut client, unknown.packet(round)).await,
            client.ask("POST", &api::telemetry(&device.id), &[], b"{}".to_vec()).await,
            client.ask("POST", &api::session(&device.id), &[], impostor.hello().1).await,
            client.ask("POST", &api::session(&unknown.id), &[], unknown.hello().1).await,
            client.ask("GET", "/v1/devices/a/update?version=1.0.0&secure_version=0", &[], Vec::new()).await,
            client.ask("POST", "/v1/devices/a/status", &[("Cotter-Session", "0:0:0")], Vec::new()).await,
            client.ask("GET", "/admin/v1/tokens", &[("authorization", "Bearer nonsense")], Vec::new()).await,
            client.ask("POST", api::ADMIN_DEVICES, &[], device.record(&product)).await,
            client.ask("GET", "/healthz", &[], Vec::new()).await,
            client.ask("GET", &format!("/{round}"), &[], Vec::new()).await,
        ];
        for answer in answers {
            *statuses.entry(answer.status).or_insert(0) += 1;
        }
    }
    eprintln!("answers by status: {statuses:?}");
    assert_eq!(fingerprint(product.directory.path()), before);
    assert!(statuses[&401] > 100 && statuses[&429] > 1_000, "{statuses:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_are_served_on_loopback_if_asked_for_and_nowhere_else() {
    let product = Product::with(
        "\n[metrics]\nlisten = \"127.0.0.1:0\"\n[ecowatt]\nlisten = \"127.0.0.1:0\"\n[limits]\nuploads_per_device = { burst = 2, per_second = 1 }\n",
    );
    let server = Server::bind(&Config::read(&product.config).unwrap()).await.unwrap();
    let (address, metrics) = (server.address(), server.metrics_address().unwrap());
    let ecowatt = server.ecowatt_address().unwrap();
    let running = tokio::spawn(server.run(std::future::pending()));
    let stranger = product.connect(ecowatt).await.ask("POST", "/aggregated/ESP32_001", &[], b"{}".to_vec()).await;
    assert_eq!(stranger.status, 400);
    let device = Device::enrolled(&product, address, "a").await;
    let mut client = product.connect(address).await;
    for (nonce, status) in [(1, 200), (1, 409), (2, 200), (3, 429)] {
        assert_eq!(device.upload(&mut client, device.packet(nonce)).await.status, status);
    }
    let impostor = Device::born("a", 1);
    assert_eq!(impostor.upload(&mut client, impostor.packet(9)).await.status, 401);
    assert_eq!(client.ask("GET", "/metrics", &[], Vec::new()).await.status, 404, "not where everybody is");

    let mut stream = tokio::net::TcpStream::connect(metrics).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    for line in [
        "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8",
        "cotter_uploads_total{outcome=\"Accepted\"} 2",
        "cotter_uploads_total{outcome=\"OutOfOrder\"} 1",
        "cotter_uploads_total{outcome=\"Refused\"} 1",
        "cotter_uploads_total{outcome=\"TooMany\"} 1",
        "cotter_upload_seconds_count 5",
        "cotter_ecowatt_uploads_total{outcome=\"Malformed\"} 1",
        "cotter_limited_total{limit=\"Uploads\"} 1",
        "cotter_connections 1",
        "cotter_devices_cached 1",
        "cotter_store_queue 0",
        "cotter_commits_failed_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    let number = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse().unwrap()
    };
    assert!(number("cotter_audit_entries ") >= 2, "{text}");
    assert!(number("cotter_commit_jobs_count ") >= 3, "{text}");
    running.abort();

    let exposed = Product::with("\n[metrics]\nlisten = \"0.0.0.0:0\"\n");
    let refused = Server::bind(&Config::read(&exposed.config).unwrap()).await.err().unwrap();
    assert!(matches!(refused, StartError::MetricsExposed { .. }), "{refused}");
}
