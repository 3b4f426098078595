//! Public keys of devices: given and taken over the admin API, and noted.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

mod product;

use product::device::Device;
use product::{Product, Running};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

/// The id of the key, or the reason why there is none.
async fn add(product: &Product, server: &Running, device: &str, wish: &Value) -> (u16, Value) {
    let path = format!("/admin/v1/devices/{device}/keys");
    let answer = product.admin(server.address, "POST", &path, wish.to_string().into()).await;
    let document = answer.json();
    (answer.status, document.get("reason").or(document.get("key")).cloned().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_gives_a_device_keys_and_takes_them_away() {
    let product = Product::new();
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "device-1").await.id.to_string();
    let ask = async |method: &str, path: &str| product.admin(server.address, method, path, Vec::new()).await;
    let add = async |device: &str, wish: &Value| add(&product, &server, device, wish).await;
    let key = KeyPair::generate().unwrap();
    let wish = json!({ "format": "ES256_PEM", "pem": key.public_key_pem() });
    let certificate = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem();
    let again = json!({ "format": "ES256_X509_PEM", "pem": certificate });

    let (status, id) = add(&device, &wish).await;
    assert_eq!(status, 201);
    let refused = |reason: &str| (422, Value::from(reason));
    assert_eq!(add(&device, &again).await, refused("device-key-already-there"));
    assert_eq!(add("nobody", &wish).await.0, 404);
    let private = json!({ "format": "ES256_PEM", "pem": key.serialize_pem() });
    assert_eq!(add(&device, &private).await, refused("device-key-private"));
    let misnamed = json!({ "format": "RSA_PEM", "pem": key.public_key_pem() });
    assert_eq!(add(&device, &misnamed).await, refused("device-key-algorithm"));
    let unknown = json!({ "format": "ED25519_PEM", "pem": key.public_key_pem() });
    assert_eq!(add(&device, &unknown).await, refused("device-key-format"));
    let past = json!({ "format": "ES256_PEM", "pem": KeyPair::generate().unwrap().public_key_pem(), "expires_at": 5 });
    assert_eq!(add(&device, &past).await, refused("device-key-expired"));
    assert_eq!(add(&device, &json!({ "format": "ES256_PEM" })).await, refused("device-key-malformed"));

    let path = format!("/admin/v1/devices/{device}/keys");
    let listed = ask("GET", &path).await.json();
    let first = json!({ "key": id, "algorithm": "ES256", "expires_at": null });
    assert_eq!(listed, json!({ "device": device, "keys": [first] }));
    for _ in 0..2 {
        let pem = KeyPair::generate().unwrap().public_key_pem();
        let wish = json!({ "format": "ES256_PEM", "pem": pem, "expires_at": 4_000_000_000_u64 });
        assert_eq!(add(&device, &wish).await.0, 201);
    }
    let fourth = json!({ "format": "ES256_PEM", "pem": KeyPair::generate().unwrap().public_key_pem() });
    assert_eq!(add(&device, &fourth).await, refused("device-key-full"));

    let one = format!("{path}/{}", id.as_str().unwrap());
    assert_eq!(ask("DELETE", &one).await.status, 204);
    assert_eq!(ask("DELETE", &one).await.status, 404);
    assert_eq!(ask("GET", &path).await.json()["keys"].as_array().unwrap().len(), 2);
    let log = ask("GET", "/admin/v1/audit/entries").await;
    let log = String::from_utf8(log.body).unwrap();
    for event in ["device-key-added", "device-key-removed", "device-key-private", "device-key-full"] {
        assert!(log.contains(event), "{event}");
    }
    server.stop().await;
}
