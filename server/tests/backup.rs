//! A restore drill: a backup of a running server, its loss, and another host on which the devices go on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod product;

use cotter_server::backup::custodian::Custodians;
use cotter_server::backup::{self, BackupError};
use cotter_wire::api;
use product::Product;
use product::device::Device;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_devices_of_a_lost_server_go_on_with_a_restored_one() {
    let mut product = Product::new();
    let server = product.spawn();
    let device = Device::enrolled(&product, server.address, "device-1").await;
    let busy = Device::enrolled(&product, server.address, "device-2").await;
    let mut client = product.connect(server.address).await;
    for nonce in 1..=3 {
        let answer = client.ask("POST", &api::telemetry(&device.id), &[], device.packet(nonce)).await;
        assert_eq!(answer.status, 200);
    }

    // While another device sends: what was acknowledged before it began is in it, whatever comes in between.
    let done = Arc::new(AtomicBool::new(false));
    let load = {
        let (done, mut client) = (Arc::clone(&done), product.connect(server.address).await);
        tokio::spawn(async move {
            let mut nonce = 0;
            while !done.load(Ordering::Relaxed) {
                nonce += 1;
                let answer = client.ask("POST", &api::telemetry(&busy.id), &[], busy.packet(nonce)).await;
                assert_eq!(answer.status, 200);
            }
            nonce
        })
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("a.backup");
    let (config, to) = (product.config.clone(), file.clone());
    let made = tokio::task::spawn_blocking(move || {
        backup::make(&config, &to, Custodians::new(2, 3).unwrap(), |_| Ok(())).unwrap()
    });
    let made = made.await.unwrap();
    done.store(true, Ordering::Relaxed);
    let sent = load.await.unwrap();
    let answer = client.ask("POST", &api::telemetry(&device.id), &[], device.packet(4)).await;
    assert_eq!(answer.status, 200, "accepted after the backup, and lost with the server");
    server.kill();

    // One custodian alone is nobody.
    let into = elsewhere.path().join("server");
    let alone = backup::restore(&file, &made.shares[..1], &into);
    assert!(matches!(alone, Err(BackupError::TooFewShares { needed: 2, given: 1 })));
    let checked = backup::check(&file, &made.shares[1..]).unwrap();
    assert_eq!((checked.sealed_keys, into.exists()), (2, false));
    let restored = backup::restore(&file, &made.shares[1..], &into).unwrap();
    assert_eq!(restored, checked);

    product.config = into.join("cotter.toml");
    let server = product.spawn();
    let mut client = product.connect(server.address).await;
    assert_eq!(product.stored_nonces(server.address, "device-1").await, [3, 2, 1]);
    let of_the_busy_one = product.stored_nonces(server.address, "device-2").await.len();
    for nonce in 1..=3 {
        let answer = client.ask("POST", &api::telemetry(&device.id), &[], device.packet(nonce)).await;
        assert_eq!(answer.status, 409, "what was stored before the backup is not taken twice");
    }
    let answer = client.ask("POST", &api::telemetry(&device.id), &[], device.packet(5)).await;
    assert_eq!(answer.status, 200, "the device goes on");
    let log = product.admin(server.address, "GET", "/admin/v1/audit/entries", Vec::new()).await;
    let log = String::from_utf8(log.body).unwrap();
    assert!(log.contains(r#""event":"backup-restored","by":"host""#), "{log}");
    println!("{sent} packets during the backup, {of_the_busy_one} of them in it");
    server.kill();
}
