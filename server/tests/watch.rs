//! What somebody on call asks: alerts and the ages of keys, over the admin API.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod product;

use cotter_wire::api;
use product::Product;
use product::device::Device;

#[tokio::test]
async fn forgeries_and_replays_of_a_device_become_alerts_and_strangers_do_not() {
    let product = Product::new();
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "device-1").await;
    let stranger = Device::born("stranger", 1);
    let mut client = product.connect(server.address).await;
    let alerts = async || {
        let answer = product.admin(server.address, "GET", "/admin/v1/alerts", Vec::new()).await;
        let found = answer.json();
        let found = found["alerts"].as_array().unwrap().clone();
        found.iter().map(|alert| (alert["alert"].to_string(), alert["subject"].to_string())).collect::<Vec<_>>()
    };
    for nonce in 1..=20 {
        let answer = client.ask("POST", &api::telemetry(&stranger.id), &[], stranger.packet(nonce)).await;
        assert_eq!(answer.status, 401);
    }
    assert_eq!(alerts().await, []);

    let mut forged = device.packet(1);
    let at = forged.len() - 5;
    forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
    for count in 1..=10 {
        let answer = client.ask("POST", &api::telemetry(&device.id), &[], forged.clone()).await;
        assert_eq!(answer.status, 401);
        assert_eq!(alerts().await.len(), usize::from(count == 10));
    }
    let (first, second) = (device.packet(1), device.packet(2));
    for packet in [&first, &second] {
        assert_eq!(client.ask("POST", &api::telemetry(&device.id), &[], packet.clone()).await.status, 200);
    }
    for _ in 0..5 {
        assert_eq!(client.ask("POST", &api::telemetry(&device.id), &[], first.clone()).await.status, 409);
    }
    let mut found = alerts().await;
    found.sort();
    let of = |alert: &str| (format!("\"{alert}\""), "\"device-1\"".to_owned());
    assert_eq!(found, [of("mac-failures"), of("replay-burst")]);
    server.stop().await;
}

#[tokio::test]
async fn tells_since_when_the_keys_are_in_use_also_over_a_restart() {
    let product = Product::new();
    let ages = async || {
        let server = product.serve().await;
        let answer = product.admin(server.address, "GET", "/admin/v1/keys", Vec::new()).await.json();
        server.stop().await;
        answer
    };
    let first = ages().await;
    let names: Vec<_> = first["keys"].as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap()).collect();
    assert_eq!(names, ["audit", "enrolment", "master"]);
    assert_eq!((&first["due_after_days"], &first["devices_due"]), (&90.into(), &0.into()));
    assert_eq!(ages().await, first);
}
