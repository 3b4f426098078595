//! Who may do what: roles, tokens that end, and the host's own commands.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod product;

use cotter_wire::api;
use product::Product;
use product::client::Answer;
use product::device::Device;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Command;

const REFUSED: &str = "{\"result\":\"refused\"}";

async fn ask(product: &Product, address: SocketAddr, token: &str, method: &str, path: &str, body: &str) -> Answer {
    let header = format!("Bearer {token}");
    let body = body.as_bytes().to_vec();
    product.connect(address).await.ask(method, path, &[("authorization", &header)], body).await
}

async fn token(product: &Product, address: SocketAddr, wish: Value) -> String {
    let wish = wish.to_string().into_bytes();
    let answer = product.admin(address, "POST", "/admin/v1/tokens", wish).await;
    assert_eq!(answer.status, 201, "{:?}", answer.is());
    answer.json()["token"].as_str().unwrap().to_owned()
}

/// The events of the audit log, each with who did it.
async fn events(product: &Product, address: SocketAddr) -> Vec<(String, String)> {
    let answer = product.admin(address, "GET", "/admin/v1/audit/entries", Vec::new()).await;
    let pair = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["by"].as_str().unwrap().to_owned(), line["event"].as_str().unwrap().to_owned())
    };
    answer.is().1.lines().map(pair).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_does_its_own_and_nothing_else() {
    let product = Product::new();
    let server = product.serve().await;
    let address = server.address;
    let device = Device::enrolled(&product, address, "a").await;
    let readings = api::ADMIN_READINGS.replace("{id}", device.id.as_str());
    // Allowed requests get past the guard: what is wrong with them comes later.
    let requests = [
        ("GET", &*readings, "", 200),
        ("GET", "/admin/v1/audit/checkpoint", "", 200),
        ("POST", api::ADMIN_DEVICES, "nonsense", 422),
        ("POST", api::ADMIN_RELEASES, "nonsense", 422),
        ("GET", "/admin/v1/tokens", "", 200),
        ("DELETE", "/admin/v1/tokens/nobody", "", 404),
    ];
    for (role, allowed) in [
        ("viewer", [true, true, false, false, false, false]),
        ("operator", [true, true, true, false, false, false]),
        ("release-manager", [true, true, false, true, false, false]),
        ("admin", [true; 6]),
    ] {
        let token = token(&product, address, json!({ "name": format!("my-{role}"), "role": role })).await;
        for ((method, path, body, status), allowed) in requests.into_iter().zip(allowed) {
            let answer = ask(&product, address, &token, method, path, body).await;
            if allowed {
                assert_eq!(answer.status, status, "{role} {method} {path}");
            } else {
                assert_eq!(answer.is(), (403, REFUSED), "{role} {method} {path}");
            }
        }
    }
    let seen = events(&product, address).await;
    for event in [("my-viewer", "admin-forbidden"), ("my-operator", "enrolment-malformed"), ("admin", "token-added")] {
        assert!(seen.contains(&(event.0.to_owned(), event.1.to_owned())), "{event:?} in {seen:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_ends_when_it_is_revoked_or_has_expired() {
    let product = Product::new();
    let server = product.serve().await;
    let address = server.address;
    let ci = token(&product, address, json!({ "name": "ci", "role": "viewer", "days": 90 })).await;
    let gone = token(&product, address, json!({ "name": "gone", "role": "viewer", "days": 0 })).await;
    let checkpoint = "/admin/v1/audit/checkpoint";
    assert_eq!(ask(&product, address, &ci, "GET", checkpoint, "").await.status, 200);
    assert_eq!(ask(&product, address, &gone, "GET", checkpoint, "").await.is(), (401, REFUSED));
    let answer = product.admin(address, "DELETE", "/admin/v1/tokens/ci", Vec::new()).await;
    assert_eq!(answer.status, 204);
    assert_eq!(ask(&product, address, &ci, "GET", checkpoint, "").await.is(), (401, REFUSED));

    let listed = product.admin(address, "GET", "/admin/v1/tokens", Vec::new()).await.json();
    let names: Vec<&str> =
        listed["tokens"].as_array().unwrap().iter().map(|token| token["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["admin", "gone"]);
    assert!(!listed.to_string().contains(&product.admin_token) && listed["tokens"][0].get("hash").is_none());

    for (wish, reason) in [
        (json!({ "name": "gone", "role": "viewer" }), "token-name-taken"),
        (json!({ "name": "Upper", "role": "viewer" }), "token-malformed"),
        (json!({ "name": "a", "role": "root" }), "token-malformed"),
        (json!({ "name": "a", "role": "viewer", "more": 1 }), "token-malformed"),
    ] {
        let answer = product.admin(address, "POST", "/admin/v1/tokens", wish.to_string().into_bytes()).await;
        assert_eq!((answer.status, &answer.json()["reason"]), (422, &reason.into()));
    }
    let answer = product.admin(address, "DELETE", "/admin/v1/tokens/admin", Vec::new()).await;
    assert_eq!((answer.status, &answer.json()["reason"]), (422, &"token-last-admin".into()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_owns_the_host_makes_tokens_while_the_server_runs() {
    let product = Product::new();
    let server = product.serve().await;
    let host = |arguments: &'static str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cotter-server"));
        command.args(["token", "--config"]).arg(&product.config).args(arguments.split(' ')).env("RUST_LOG", "error");
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, made, _) = host("add rescue --role operator");
    assert_eq!(code, Some(0));
    let made: Value = serde_json::from_str(&made).unwrap();
    let rescue = made["token"].as_str().unwrap();
    let answer = ask(&product, server.address, rescue, "GET", "/admin/v1/audit/checkpoint", "").await;
    assert_eq!(answer.status, 200);
    let (code, _, error) = host("add rescue --role operator");
    assert!(code == Some(1) && error.contains("there is a token of the name rescue already"), "{error}");
    let (code, _, error) = host("revoke admin");
    assert!(code == Some(1) && error.contains("admin is the last admin whose token does not expire"), "{error}");
    assert!(host("list").1.contains("\"name\":\"rescue\""));
    assert_eq!(host("revoke rescue").0, Some(0));
    let answer = ask(&product, server.address, rescue, "GET", "/admin/v1/audit/checkpoint", "").await;
    assert_eq!(answer.is(), (401, REFUSED));
    assert_eq!(host("add x --role root").0, Some(2), "bad usage");
    let seen = events(&product, server.address).await;
    let of_host = seen.iter().filter(|(by, _)| by == "host").map(|(_, event)| &**event).collect::<Vec<_>>();
    assert_eq!(of_host, ["token-added", "token-added", "token-revoked"], "the first is init's");
    product.reviewed_audit_log(&[]);
    server.stop().await;
}
