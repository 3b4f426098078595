//! The compatibility profile against a device in Python that behaves as EcoWatt's firmware, and against its enemies.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics where it fails, and says its seed")]

mod product;

use cotter_formats::secret::Secret;
use cotter_wire::ecowatt::upload::{MAX_UPLOAD, seal};
use cotter_wire::hex;
use cotter_wire::ids::Nonce;
use cotter_wire::keys::EcowattKey;
use product::client::Answer;
use product::{Product, Running};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PLAINTEXT: &str = "[ecowatt]\nlisten = \"127.0.0.1:0\"\nallow_plaintext = true\n";
const ADMIN: &str = "/admin/v1/ecowatt";

/// Switches a device on; its key, which the server made.
async fn switch_on(product: &Product, server: &Running, name: &str) -> String {
    let answer = product.admin(server.address, "POST", ADMIN, json!({ "name": name }).to_string().into()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["key"].as_str().unwrap().to_owned()
}

async fn wish(product: &Product, server: &Running, wish: Value) -> (u16, String) {
    let answer = product.admin(server.address, "POST", ADMIN, wish.to_string().into()).await;
    let reason = answer.json()["reason"].as_str().unwrap_or_default().to_owned();
    (answer.status, reason)
}

fn key(digits: &str) -> EcowattKey {
    let bytes: [u8; 32] = hex::decode(digits.as_bytes()).unwrap();
    EcowattKey::new(Secret::filled_by(|key| *key = bytes))
}

/// A signed upload of one bit-packed array.
fn signed(digits: &str, nonce: u32, name: &str) -> Vec<u8> {
    let inner = json!({
        "device_id": name, "timestamp": 1, "data_type": "compressed_sensor_batch", "sampling_interval": 5,
        "compressed_data": [{
            "compressed_binary": "AQwDj8Cq+gA=",
            "decompression_metadata": { "register_count": 3, "sample_count": 1, "compressed_size_bytes": 8,
                                        "timestamp": 1_700_000_000 + u64::from(nonce), "register_layout": [0, 1, 9] },
        }],
    });
    seal(&key(digits), Nonce(nonce), inner.to_string().as_bytes(), &mut [0; MAX_UPLOAD]).unwrap().to_vec()
}

/// Plain HTTP, one request per connection.
async fn post(address: SocketAddr, name: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /aggregated/{name} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut answer = String::new();
    // A refusal may come with a reset.
    let _ = stream.read_to_string(&mut answer).await;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// Lets a device in Python measure and send; what it says of it. The seed is printed, and taken from `COTTER_SEED`.
fn device_in_python(address: SocketAddr, name: &str, key: &str) -> Value {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let bin = std::env::var_os("COTTER_TOOLS").map_or_else(|| home.join("target/espressif-tools/bin"), PathBuf::from);
    let python = bin.join("python");
    assert!(python.is_file(), "no {}\nhelp: run `cargo xtask tools`", python.display());
    let mut random = [0; 4];
    aws_lc_rs::rand::fill(&mut random).unwrap();
    let seed = std::env::var("COTTER_SEED").unwrap_or_else(|_| u32::from_le_bytes(random).to_string());
    println!("inputs from COTTER_SEED={seed}");
    let mut command = Command::new(python);
    command.arg(home.join("interop/tests/ecowatt/device.py")).arg(address.port().to_string());
    let output = command.args([name, key, &seed]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn readings(product: &Product, server: &Running, name: &str) -> Vec<Value> {
    let answer = product.admin(server.address, "GET", &format!("{ADMIN}/{name}/readings"), Vec::new()).await;
    assert_eq!(answer.status, 200);
    answer.json()["readings"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_python_device_measures_is_what_is_stored() {
    let product = Product::with(PLAINTEXT);
    let server = product.serve().await;
    let address = server.ecowatt.unwrap();
    let device_key = switch_on(&product, &server, "ESP32_001").await;
    let said = tokio::task::spawn_blocking(move || device_in_python(address, "ESP32_001", &device_key)).await.unwrap();

    let codes = said["codes"].as_array().unwrap();
    assert!(codes.len() == 15 && codes.iter().all(|code| *code == 200), "{codes:?}");
    let (measured, mut stored) = (said["arrays"].as_array().unwrap(), readings(&product, &server, "ESP32_001").await);
    stored.reverse();
    assert_eq!(stored.len(), measured.len(), "each array once, also those that were sent twice");
    let (mut exact, mut differences) = (0, 0);
    for (stored, measured) in stored.iter().zip(measured) {
        assert_eq!(stored["at"], measured["at"]);
        let Some(samples) = stored["samples"].as_array() else {
            // After a lossy array nobody knows what differences are from.
            assert!(stored["refusal"].as_str().unwrap().contains("values of register"), "{stored}");
            differences += 1;
            continue;
        };
        for (sample, measured) in samples.iter().zip(measured["samples"].as_array().unwrap()) {
            for (value, measured) in sample.as_array().unwrap().iter().zip(measured.as_array().unwrap()) {
                if value["quality"] == "exact" {
                    exact += 1;
                    assert_eq!(value["raw"], *measured, "{stored}");
                }
            }
        }
    }
    println!("{} arrays, {exact} values exact, {differences} without a base", stored.len());
    assert!(exact > 50);

    // What it sent last comes again, byte for byte.
    let last = said["last"].as_str().unwrap();
    assert_eq!(post(address, "ESP32_001", last.as_bytes()).await.0, 401);
    assert_eq!(readings(&product, &server, "ESP32_001").await.len(), stored.len());
    product.reviewed_audit_log(&[]);
    server.stop().await;
}

#[tokio::test]
async fn is_off_unless_the_configuration_and_an_administrator_say_so() {
    let product = Product::new();
    let server = product.serve().await;
    assert!(server.ecowatt.is_none());
    assert_eq!(wish(&product, &server, json!({ "name": "A_1" })).await, (422, "ecowatt-off".into()));
    let posted: Answer =
        product.connect(server.address).await.ask("POST", "/aggregated/A_1", &[], b"{}".to_vec()).await;
    assert_eq!(posted.status, 404);
    server.stop().await;

    let product = Product::with(PLAINTEXT);
    let server = product.serve().await;
    let nobodys = signed(&"8f3b1c5e".repeat(8), 11_001, "A_1");
    assert_eq!(post(server.ecowatt.unwrap(), "A_1", &nobodys).await.0, 401);
    let posted = product.connect(server.address).await.ask("POST", "/aggregated/A_1", &[], nobodys).await;
    assert_eq!(posted.status, 404, "not on the other listener");
    server.stop().await;
}

#[tokio::test]
async fn without_permission_for_plaintext_it_is_tls() {
    let product = Product::with("[ecowatt]\nlisten = \"127.0.0.1:0\"\n");
    let server = product.serve().await;
    let address = server.ecowatt.unwrap();
    let device_key = switch_on(&product, &server, "A_1").await;
    let body = signed(&device_key, 11_001, "A_1");
    assert_eq!(post(address, "A_1", &body).await.0, 0, "no HTTP without TLS");
    let answer = product.connect(address).await.ask("POST", "/aggregated/A_1", &[], body).await;
    assert_eq!(answer.status, 200);
    let expected = json!({ "success": true, "device_id": "A_1", "message": "stored", "samples_count": 3,
                           "packets_processed": 1 });
    assert_eq!(answer.json(), expected);
    server.stop().await;
}

#[tokio::test]
async fn refuses_published_keys_fleet_keys_and_enrolled_devices() {
    let product = Product::with(PLAINTEXT);
    let server = product.serve().await;
    let with = |name: &str, digits: &str| json!({ "name": name, "key": digits });
    let published = "2b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfe";
    assert_eq!(wish(&product, &server, with("A_1", published)).await, (422, "ecowatt-key-refused".into()));
    assert_eq!(wish(&product, &server, with("A_1", &"00".repeat(32))).await, (422, "ecowatt-key-refused".into()));
    assert_eq!(wish(&product, &server, with("A_1", "abc")).await, (422, "ecowatt-malformed".into()));
    assert_eq!(wish(&product, &server, json!({ "name": "a/b" })).await, (422, "ecowatt-malformed".into()));
    let own = "8f3b1c5e9a7d2046e1b8f7a3c5d90e12647f8a9b0c1d2e3f405162738495a6b7";
    assert_eq!(wish(&product, &server, with("A_1", own)).await, (201, String::new()));
    assert_eq!(wish(&product, &server, with("A_1", own)).await, (422, "ecowatt-already-on".into()));
    assert_eq!(wish(&product, &server, with("B_1", own)).await, (422, "ecowatt-key-used".into()), "no fleet key");
    product::device::Device::enrolled(&product, server.address, "solar-1").await;
    assert_eq!(wish(&product, &server, json!({ "name": "solar-1" })).await, (422, "ecowatt-enrolled".into()));
    server.stop().await;
}

#[tokio::test]
async fn what_is_unsigned_forged_replayed_or_of_another_device_is_refused() {
    let product = Product::with(PLAINTEXT);
    let server = product.serve().await;
    let address = server.ecowatt.unwrap();
    let (a, b) = (switch_on(&product, &server, "A_1").await, switch_on(&product, &server, "B_1").await);
    let refused = r#"{"message":"refused","success":false}"#.to_owned();

    let plain = br#"{"device_id":"A_1","compressed_data":"AQwDj8Cq+gA="}"#;
    assert_eq!(post(address, "A_1", plain).await, (400, refused.clone()), "unsigned");
    let honest = signed(&a, 11_001, "A_1");
    for (from, to) in [("\"encrypted\":false", "\"encrypted\":true"), ("\"compressed\":false", "\"compressed\":true")] {
        let changed = String::from_utf8(honest.clone()).unwrap().replace(from, to);
        assert_eq!(post(address, "A_1", changed.as_bytes()).await, (400, refused.clone()), "{to}");
    }
    let renumbered = String::from_utf8(honest.clone()).unwrap().replace("11001", "11002");
    assert_eq!(post(address, "A_1", renumbered.as_bytes()).await, (401, refused.clone()), "a nonce that is not signed");
    assert_eq!(post(address, "B_1", &honest).await, (401, refused.clone()), "under another device's path");
    assert_eq!(post(address, "A_1", &signed(&b, 11_001, "A_1")).await, (401, refused.clone()), "by another device");
    assert_eq!(post(address, "A_1", &signed(&a, 11_001, "B_1")).await, (400, refused.clone()), "about another device");
    assert_eq!(post(address, "A_1", &signed(&a, u32::MAX, "A_1")).await, (401, refused.clone()), "a nonce too far");
    assert_eq!(post(address, "A_1", &vec![b'x'; 9000]).await.0, 413);
    assert_eq!(readings(&product, &server, "A_1").await, [] as [Value; 0]);

    // None of these consumed the nonce.
    assert_eq!(post(address, "A_1", &honest).await.0, 200);
    assert_eq!(post(address, "A_1", &honest).await, (401, refused.clone()), "replayed");
    assert_eq!(post(address, "A_1", &signed(&a, 11_000, "A_1")).await, (401, refused.clone()), "below");

    let off = product.admin(server.address, "DELETE", &format!("{ADMIN}/A_1"), Vec::new()).await;
    assert_eq!(off.status, 204);
    assert_eq!(post(address, "A_1", &signed(&a, 11_002, "A_1")).await, (401, refused), "switched off");
    let again = wish(&product, &server, json!({ "name": "A_1", "key": a })).await;
    assert_eq!(again, (422, "ecowatt-key-used".into()), "with the old key its old uploads would count again");
    assert_eq!(readings(&product, &server, "A_1").await.len(), 1, "what was stored stays");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_copies_at_once_one_is_stored() {
    let product = Product::with(PLAINTEXT);
    let server = product.serve().await;
    let address = server.ecowatt.unwrap();
    let device_key = switch_on(&product, &server, "A_1").await;
    for round in 0..10 {
        let body = signed(&device_key, 11_001 + round, "A_1");
        let copies: Vec<_> = (0..16)
            .map(|_| {
                let body = body.clone();
                tokio::spawn(async move { post(address, "A_1", &body).await.0 })
            })
            .collect();
        let mut codes = Vec::new();
        for copy in copies {
            codes.push(copy.await.unwrap());
        }
        codes.sort_unstable();
        assert_eq!((codes[0], &codes[1..]), (200, &[401; 15][..]));
    }
    assert_eq!(readings(&product, &server, "A_1").await.len(), 10);
    server.stop().await;
}
