//! Rollouts over real TLS: who is offered what, what an operator sees, and that a killed server goes on where it stood.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod product;

use cotter_wire::api;
use cotter_wire::ids::SecureVersion;
use cotter_wire::session::DeviceSession;
use cotter_wire::status::{Outcome, StatusReport};
use cotter_wire::version::Version;
use product::Product;
use product::client::{Answer, Client};
use product::device::{Device, ask};
use product::release;
use serde_json::{Value, json};
use std::net::SocketAddr;

async fn admin(product: &Product, address: SocketAddr, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
    product.admin(address, method, path, body).await
}

/// Uploads a release; its id.
async fn uploaded(product: &Product, address: SocketAddr, version: &str) -> String {
    let answer = product.admin(address, "POST", api::ADMIN_RELEASES, release::good(version)).await;
    assert_eq!(answer.status, 201, "{:?}", answer.is());
    answer.json()["release"].as_str().unwrap().to_owned()
}

async fn created(product: &Product, address: SocketAddr, release: &str, plan: Value) -> u64 {
    let wish = json!({ "release": release, "plan": plan });
    let answer = admin(product, address, "POST", "/admin/v1/rollouts", &wish).await;
    assert_eq!(answer.status, 201, "{:?}", answer.is());
    answer.json()["rollout"].as_u64().unwrap()
}

async fn act(product: &Product, address: SocketAddr, rollout: u64, act: &str) -> Answer {
    admin(product, address, "POST", &format!("/admin/v1/rollouts/{rollout}/{act}"), &Value::Null).await
}

async fn shown(product: &Product, address: SocketAddr, rollout: u64) -> Value {
    admin(product, address, "GET", &format!("/admin/v1/rollouts/{rollout}"), &Value::Null).await.json()
}

/// A device with its connection and its session.
struct InTheField {
    device: Device,
    client: Client,
    session: DeviceSession,
}

impl InTheField {
    async fn enrolled(product: &Product, address: SocketAddr, name: &str) -> Self {
        let device = Device::enrolled(product, address, name).await;
        Self::connected(product, address, device).await
    }

    async fn connected(product: &Product, address: SocketAddr, device: Device) -> Self {
        let mut client = product.connect(address).await;
        let session = device.begin(&mut client).await;
        Self { device, client, session }
    }

    async fn get(&mut self, path: &str) -> Answer {
        ask(&mut self.client, &mut self.session, "GET", path, Vec::new()).await
    }

    async fn polls(&mut self, version: (u16, u16, u16)) -> u16 {
        let version = Version::new(version.0, version.1, version.2);
        let path = api::update(&self.device.id, version, SecureVersion(0));
        self.get(&path).await.status
    }

    async fn reports(&mut self, outcome: Outcome, reason: &str) {
        let report = StatusReport::new(Version::new(1, 1, 0), outcome, reason);
        let body = report.write(&mut [0; StatusReport::MAX_LEN]).unwrap().to_vec();
        let path = api::status(&self.device.id);
        assert_eq!(ask(&mut self.client, &mut self.session, "POST", &path, body).await.status, 204);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_goes_from_a_tag_to_everybody_and_each_device_has_a_history() {
    let product = Product::new();
    let server = product.serve().await;
    let address = server.address;
    let release = uploaded(&product, address, "1.1.0").await;
    let mut one = InTheField::enrolled(&product, address, "one").await;
    let mut two = InTheField::enrolled(&product, address, "two").await;
    assert_eq!(admin(&product, address, "PUT", "/admin/v1/devices/one/tags/beta", &Value::Null).await.status, 204);

    let plan = json!({ "stages": [{ "tag": "beta" }, { "percent": 100 }], "conditions": { "running_from": "1.0.0" } });
    let rollout = created(&product, address, &release, plan).await;
    assert_eq!(one.polls((1, 0, 0)).await, 204, "a draft");
    assert_eq!(act(&product, address, rollout, "start").await.is(), (200, r#"{"rollout":1,"state":"running"}"#));
    assert_eq!((one.polls((0, 9, 0)).await, two.polls((1, 0, 0)).await), (204, 204), "not meant");
    assert_eq!(one.polls((1, 0, 0)).await, 200);

    let path = |device: &str, chunk| format!("/v1/devices/{device}/releases/{release}/chunks/{chunk}");
    assert_eq!(two.get(&path("two", 0)).await.status, 404, "what is not offered is not handed out");
    for chunk in 0..60 {
        assert_eq!(one.get(&path("one", chunk)).await.status, 200);
    }
    // It is noted a tenth at a time, and nobody waits for the note.
    let expected = 60 * 2048 * 10;
    for attempt in 0.. {
        let history = admin(&product, address, "GET", "/admin/v1/devices/one/history", &Value::Null).await.json();
        let offer = &history["offers"][0];
        let (progress, size) = (offer["progress"].as_u64().unwrap(), offer["size"].as_u64().unwrap());
        if progress * 10 / size == expected / size {
            assert_eq!((&offer["step"], &offer["rollout"]), (&json!("downloading"), &json!(1)));
            break;
        }
        assert!(attempt < 1000, "{progress} of {size}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }

    act(&product, address, rollout, "pause").await;
    assert_eq!(one.get(&path("one", 60)).await.status, 404, "a pause stops downloads");
    assert_eq!(one.polls((1, 0, 0)).await, 204);
    act(&product, address, rollout, "resume").await;
    assert_eq!(one.get(&path("one", 60)).await.status, 200);

    one.reports(Outcome::Installed, "").await;
    let seen = shown(&product, address, rollout).await;
    assert_eq!((&seen["state"], &seen["stage"]), (&json!("running"), &json!(2)));
    assert_eq!(seen["reason"], "stage 1: 1 offered, 1 installed, 0 failed");
    assert_eq!(two.polls((1, 0, 0)).await, 200);
    two.reports(Outcome::RolledBack, "register 3 has gain 0").await;
    let seen = shown(&product, address, rollout).await;
    assert_eq!((&seen["state"], &seen["stages"][1]["failed"]), (&json!("paused"), &json!(1)));
    let path = format!("/admin/v1/rollouts/{rollout}/devices");
    let devices = admin(&product, address, "GET", &path, &Value::Null).await.json();
    let steps: Vec<_> = devices["devices"].as_array().unwrap().iter().map(|device| &device["step"]).collect();
    assert_eq!(steps, ["installed", "rolled-back"]);
    assert_eq!(devices["devices"][1]["reason"], "register 3 has gain 0");

    act(&product, address, rollout, "resume").await;
    assert_eq!(two.polls((1, 0, 0)).await, 204, "it came back from it");
    let path = format!("/admin/v1/rollouts/{rollout}/retry?device=two");
    assert_eq!(admin(&product, address, "POST", &path, &Value::Null).await.json()["devices"], 1);
    assert_eq!(two.polls((1, 0, 0)).await, 200);
    two.reports(Outcome::Installed, "").await;
    assert_eq!(shown(&product, address, rollout).await["state"], "finished");
    let releases = admin(&product, address, "GET", &format!("/admin/v1/releases/{release}"), &Value::Null).await.json();
    assert!(releases["published_at"].is_null(), "its conditions leave somebody out");

    // It confirmed 1.1.0 and asks with 1.0.0: somebody put the old one back.
    assert_eq!(one.polls((1, 0, 0)).await, 204);
    let device = admin(&product, address, "GET", "/admin/v1/devices/one", &Value::Null).await.json();
    assert_eq!((&device["running"]["version"], &device["tags"][0]), (&json!("1.0.0"), &json!("beta")));
    let alerts = admin(&product, address, "GET", "/admin/v1/alerts", &Value::Null).await.json();
    let alert = &alerts["alerts"][0];
    assert_eq!((&alert["alert"], &alert["subject"]), (&json!("rolled-back"), &json!("one")), "{alerts}");
    server.stop().await;
    let mut lines = Vec::new();
    let log = product.directory.path().join("cotter.db");
    cotter_server::store::sqlite::export_audit_log(&log, |line| {
        lines.push(line);
        Ok(())
    })
    .unwrap();
    let log = lines.join("\n");
    for event in ["rollout-created", "rollout-started", "rollout-advanced", "rollout-finished", "device-tagged"] {
        assert_eq!(log.matches(&format!("\"{event}\"")).count(), 1, "{event}");
    }
    assert_eq!(log.matches("\"rollout-paused\"").count(), 3, "by hand, after a failure, and because one came back");
    // It had asked with 0.9.0 before; of one device the log tells this once an hour.
    assert_eq!(log.matches("device-rolled-back").count(), 1);
    assert!(log.contains("runs 0.9.0, had confirmed 1.0.0"), "{log}");
    product.reviewed_audit_log(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_goes_on_with_its_rollout_where_it_stood() {
    let product = Product::new();
    let mut server = product.spawn();
    let release = uploaded(&product, server.address, "1.1.0").await;
    let rollout = created(
        &product,
        server.address,
        &release,
        json!({ "stages": [{ "tag": "nobody" }, { "percent": 100, "failure": 50, "reports": 4 }] }),
    )
    .await;
    act(&product, server.address, rollout, "start").await;
    act(&product, server.address, rollout, "advance").await;
    let mut devices = Vec::new();
    for number in 0..8 {
        devices.push(Device::enrolled(&product, server.address, &format!("device-{number}")).await);
    }
    // One device after the other fails; after each, kill -9. With four reports, half of them failed, it pauses.
    let mut reported = 0;
    for device in devices {
        let mut device = InTheField::connected(&product, server.address, device).await;
        let offered = device.polls((1, 0, 0)).await;
        let before = shown(&product, server.address, rollout).await;
        let paused = before["state"] == "paused";
        assert_eq!(offered == 204, paused, "{before}");
        if !paused {
            device.reports(Outcome::RolledBack, "self-test").await;
            reported += 1;
        }
        server.kill();
        server = product.spawn();
        let after = shown(&product, server.address, rollout).await;
        let failed: u64 =
            after["stages"].as_array().unwrap().iter().map(|stage| stage["failed"].as_u64().unwrap()).sum();
        assert_eq!(failed, reported, "what was answered is there");
    }
    let last = shown(&product, server.address, rollout).await;
    assert_eq!(last["state"], "paused");
    assert_eq!(last["stages"][1]["failed"], 4, "not one too many, not one too few");
    server.kill();
    product.reviewed_audit_log(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_by_name_and_changes_nothing() {
    let product = Product::new();
    let server = product.serve().await;
    let address = server.address;
    let release = uploaded(&product, address, "1.1.0").await;
    let good = json!({ "stages": [{ "percent": 10 }] });
    for (wish, expected) in [
        (json!({}), "rollout-malformed"),
        (json!({ "release": release, "plan": {} }), "rollout-malformed"),
        (json!({ "release": release, "plan": { "stages": [{ "percent": 101 }] } }), "rollout-malformed"),
        (json!({ "release": "x", "plan": good }), "rollout-malformed"),
        (json!({ "release": "0".repeat(64), "plan": good }), "release-unknown"),
        (json!({ "release": release, "plan": good, "more": 1 }), "rollout-malformed"),
        (
            json!({ "release": release, "plan": { "stages": [{ "percent": 10 }], "conditions": { "chip": "esp32" } } }),
            "rollout-wrong-chip",
        ),
    ] {
        let answer = admin(&product, address, "POST", "/admin/v1/rollouts", &wish).await;
        assert_eq!((answer.status, &answer.json()["reason"]), (422, &json!(expected)), "{wish}");
    }
    let list = admin(&product, address, "GET", "/admin/v1/rollouts", &Value::Null).await.json();
    assert_eq!(list, json!({ "rollouts": [], "next": null }));

    let rollout = created(&product, address, &release, good).await;
    let refused = act(&product, address, rollout, "pause").await;
    assert_eq!((refused.status, &refused.json()["reason"]), (422, &json!("rollout-state")));
    assert_eq!(act(&product, address, rollout, "explode").await.status, 404);
    assert_eq!(act(&product, address, 99, "start").await.status, 404);
    assert_eq!(act(&product, address, rollout, "start").await.status, 200);
    let refused = act(&product, address, rollout, "advance").await;
    assert_eq!((refused.status, &refused.json()["reason"]), (422, &json!("rollout-last-stage")));

    let tag = async |method, path: &str| admin(&product, address, method, path, &Value::Null).await.status;
    assert_eq!(tag("PUT", "/admin/v1/devices/nobody/tags/beta").await, 404);
    Device::enrolled(&product, address, "one").await;
    assert_eq!(tag("PUT", "/admin/v1/devices/one/tags/Beta").await, 422);
    for number in 0..16 {
        assert_eq!(tag("PUT", &format!("/admin/v1/devices/one/tags/tag-{number}")).await, 204);
    }
    assert_eq!(tag("PUT", "/admin/v1/devices/one/tags/one-too-many").await, 422);
    assert_eq!(tag("DELETE", "/admin/v1/devices/one/tags/tag-3").await, 204);
    assert_eq!(tag("DELETE", "/admin/v1/devices/one/tags/tag-3").await, 204, "it is as asked for");

    // Who may only look may only look.
    let viewer = json!({ "name": "viewer", "role": "viewer" });
    let token = admin(&product, address, "POST", "/admin/v1/tokens", &viewer).await.json()["token"].clone();
    let headers = format!("Bearer {}", token.as_str().unwrap());
    let headers = [("authorization", headers.as_str())];
    let mut client = product.connect(address).await;
    assert_eq!(client.ask("GET", "/admin/v1/rollouts/1", &headers, Vec::new()).await.status, 200);
    for (method, path) in [
        ("POST", "/admin/v1/rollouts"),
        ("POST", "/admin/v1/rollouts/1/abort"),
        ("POST", "/admin/v1/rollouts/1/retry"),
        ("PUT", "/admin/v1/devices/one/tags/beta"),
        ("DELETE", "/admin/v1/devices/one/tags/beta"),
    ] {
        assert_eq!(client.ask(method, path, &headers, Vec::new()).await.status, 403, "{method} {path}");
    }
    server.stop().await;
}
