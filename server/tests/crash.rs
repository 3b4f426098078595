//! The server as a process: killed under load it loses nothing that it acknowledged, and stops in order when asked.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod product;

use cotter_wire::api;
use product::Product;
use product::client::Client;
use product::device::Device;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

const RUNS: u32 = 30;
const DEVICES: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_minus_nine_loses_no_acknowledged_reading_and_lets_none_in_twice() {
    let product = Product::new();
    let mut devices: Vec<(Device, Vec<Vec<u8>>)> = Vec::new();
    let mut checkpoints = Vec::new();
    for run in 0..RUNS {
        let server = product.spawn();
        let address = server.address;
        if devices.is_empty() {
            for index in 0..DEVICES {
                devices.push((Device::enrolled(&product, address, &format!("device-{index}")).await, Vec::new()));
            }
        }
        // Each device sends as fast as it is answered; the kill comes after so many answers, another number each time.
        let (answered, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let until = 50 + 37 * (run as usize % 6);
        let mut tasks = Vec::new();
        for (device, acknowledged) in devices.drain(..) {
            let client = product.connect(address).await;
            let (answered, enough) = (Arc::clone(&answered), Arc::clone(&enough));
            tasks.push(tokio::spawn(send_until_cut(client, device, acknowledged, run, move || {
                if answered.fetch_add(1, Ordering::Relaxed) + 1 == until {
                    enough.notify_one();
                }
            })));
        }
        enough.notified().await;
        server.kill();
        for task in tasks {
            devices.push(task.await.unwrap());
        }

        let server = product.spawn();
        let mut client = product.connect(server.address).await;
        for (device, acknowledged) in &devices {
            let stored = product.stored_nonces(server.address, device.id.as_str()).await;
            assert_eq!(stored.iter().collect::<HashSet<_>>().len(), stored.len(), "a nonce is stored twice");
            for packet in acknowledged {
                let nonce = nonce_of(packet);
                assert!(stored.contains(&nonce), "run {run}: {} lost {nonce}", device.id);
            }
            // The last ones again: refused.
            for packet in acknowledged.iter().rev().take(20) {
                let answer = client.ask("POST", &api::telemetry(&device.id), &[], packet.clone()).await;
                assert_eq!(answer.status, 409, "run {run}: {} accepted {} twice", device.id, nonce_of(packet));
            }
        }
        server.kill();
        checkpoints.push(product.reviewed_audit_log(&checkpoints));
    }
    let acknowledged: usize = devices.iter().map(|(_, acknowledged)| acknowledged.len()).sum();
    println!("{RUNS} kills, {acknowledged} acknowledged readings, none lost, none twice, {RUNS} audit logs verified");
    assert!(acknowledged >= 30 * 50);
}

async fn send_until_cut(
    mut client: Client,
    device: Device,
    mut acknowledged: Vec<Vec<u8>>,
    run: u32,
    answered: impl Fn(),
) -> (Device, Vec<Vec<u8>>) {
    // A packet that was sent and not answered may be stored or not, so each run begins beyond all earlier ones.
    for nonce in 100_000 * run + 1.. {
        let packet = device.packet(nonce);
        match client.try_ask("POST", &api::telemetry(&device.id), &[], packet.clone()).await {
            Ok(answer) => {
                assert_eq!(answer.status, 200);
                acknowledged.push(packet);
                answered();
            }
            Err(_) => break,
        }
    }
    (device, acknowledged)
}

fn nonce_of(packet: &[u8]) -> u64 {
    serde_json::from_slice::<serde_json::Value>(packet).unwrap()["nonce"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_it_in_order() {
    let product = Product::new();
    let mut server = product.spawn();
    let device = Device::enrolled(&product, server.address, "a").await;
    let mut client = product.connect(server.address).await;
    assert_eq!(device.upload(&mut client, device.packet(1)).await.status, 200);
    let killed = std::process::Command::new("kill").arg("-TERM").arg(server.id().to_string()).status().unwrap();
    assert!(killed.success());
    let status = tokio::task::spawn_blocking(move || server.wait()).await.unwrap();
    assert!(status.success(), "{status}");
    let server = product.spawn();
    assert_eq!(product.stored_nonces(server.address, "a").await, [1]);
}
