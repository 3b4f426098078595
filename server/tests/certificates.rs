//! Certificates of devices, beside what devices sign: who may ask for what over which listener.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod product;

use cotter_server::TlsError;
use cotter_server::config::Config;
use cotter_server::server::{Server, StartError};
use cotter_wire::api;
use cotter_wire::ids::DeviceId;
use product::client::{Client, Shown};
use product::device::{Device, ask};
use product::{Authority, Product};
use std::net::SocketAddr;

const REFUSED: &str = "{\"result\":\"refused\"}";

/// A product whose server asks for certificates.
fn asking(tls: &str, rest: &str) -> Product {
    let product = Product::new();
    let text = std::fs::read_to_string(&product.config).unwrap();
    let text = text.replace("[tls]\n", &format!("[tls]\n{tls}\n"));
    std::fs::write(&product.config, format!("{text}\n{rest}")).unwrap();
    product
}

fn update(id: &DeviceId) -> String {
    format!("/v1/devices/{id}/update?version=1.0.0&secure_version=0")
}

async fn with(product: &Product, address: SocketAddr, shown: Shown) -> std::io::Result<Client> {
    Client::connect_with(address, &product.ca, Some(shown)).await
}

async fn status(client: &mut Client, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    client.ask(method, path, headers, Vec::new()).await.status
}

/// Whether TLS lets somebody in; with TLS 1.3 the client learns it when it first reads.
async fn is_let_in(connected: std::io::Result<Client>) -> bool {
    let Ok(mut client) = connected else { return false };
    client.try_ask("GET", "/healthz", &[], Vec::new()).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_enough_for_its_own_device_and_for_nothing_else() {
    let product = asking("client = \"optional\"\nclient_ca = \"ca.pem\"\ndenied = [\"three\"]", "");
    let server = product.serve().await;
    let one = Device::enrolled(&product, server.address, "one").await;
    let two = Device::enrolled(&product, server.address, "two").await;
    let mut client = with(&product, server.address, product.authority.client("one")).await.unwrap();

    assert_eq!(status(&mut client, "GET", &update(&one.id), &[]).await, 204, "without a session");
    let report = br#"{"reason":"","result":"installed","version":"1.0.0"}"#.to_vec();
    let reported = client.ask("POST", &api::status(&one.id), &[], report).await.status;
    assert_ne!(reported, 401);
    assert_eq!(one.upload(&mut client, one.packet(1)).await.status, 200);
    let mut session = one.begin(&mut client).await;
    assert_eq!(ask(&mut client, &mut session, "GET", &update(&one.id), Vec::new()).await.status, 204);
    // A header is checked, also where none is needed.
    assert_eq!(status(&mut client, "GET", &update(&one.id), &[(api::SESSION_HEADER, "nonsense")]).await, 401);

    // What another device has signed itself is not this one's to send.
    assert_eq!(two.upload(&mut client, two.packet(1)).await.is(), (401, REFUSED));
    let (_, hello) = two.hello();
    assert_eq!(client.ask("POST", &api::session(&two.id), &[], hello).await.is(), (401, REFUSED));
    assert_eq!(status(&mut client, "GET", &update(&two.id), &[]).await, 401);
    assert_eq!(status(&mut client, "GET", "/v1/devices/%6fne/update?version=1.0.0&secure_version=0", &[]).await, 401);
    let token = format!("Bearer {}", product.admin_token);
    let administrator = [("authorization", token.as_str())];
    assert_eq!(
        status(&mut client, "GET", "/admin/v1/devices", &administrator).await,
        403,
        "no device is an administrator"
    );
    assert_eq!(status(&mut client, "GET", "/healthz", &[]).await, 200);

    // Without a certificate everything is as before.
    let mut bare = product.connect(server.address).await;
    assert_eq!(status(&mut bare, "GET", &update(&one.id), &[]).await, 401);
    let mut session = two.begin(&mut bare).await;
    assert_eq!(ask(&mut bare, &mut session, "GET", &update(&two.id), Vec::new()).await.status, 204);
    assert_eq!(two.upload(&mut bare, two.packet(1)).await.status, 200);
    assert_eq!(status(&mut bare, "GET", "/admin/v1/devices", &administrator).await, 200);

    // A certificate for a device that is not enrolled, or for none, or of one that is denied.
    let mut unknown = with(&product, server.address, product.authority.client("four")).await.unwrap();
    assert_eq!(status(&mut unknown, "GET", &update(&"four".parse().unwrap()), &[]).await, 401);
    assert!(!is_let_in(with(&product, server.address, product.authority.client("not a device")).await).await);
    assert!(!is_let_in(with(&product, server.address, product.authority.client("three")).await).await);
    assert!(!is_let_in(with(&product, server.address, Authority::new().client("one")).await).await, "foreign");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_and_administrators_have_listeners_of_their_own() {
    let staff = Authority::new();
    let product = asking(
        "client = \"required\"\nclient_ca = \"ca.pem\"",
        "[[listeners]]\nlisten = \"127.0.0.1:0\"\nserves = \"administrators\"\n\
         [[listeners]]\nlisten = \"127.0.0.1:0\"\nserves = \"administrators\"\nclient = \"required\"\nclient_ca = \"staff.pem\"\n",
    );
    let text = std::fs::read_to_string(&product.config).unwrap();
    // The first listener; the others follow.
    std::fs::write(&product.config, text.replacen("listen = ", "serves = \"devices\"\nlisten = ", 1)).unwrap();
    std::fs::write(product.directory.path().join("staff.pem"), staff.pem()).unwrap();

    let server = Server::bind(&Config::read(&product.config).unwrap()).await.unwrap();
    let [devices, desk, vault] = server.addresses().try_into().unwrap();
    let running = tokio::spawn(server.run(std::future::pending()));
    let one = Device::enrolled(&product, desk, "one").await;
    assert!(!is_let_in(Client::connect(devices, &product.ca).await).await, "no certificate");
    assert!(!is_let_in(with(&product, devices, Authority::new().client("one")).await).await, "a foreign one");
    let mut client = with(&product, devices, product.authority.client("one")).await.unwrap();
    assert_eq!(one.upload(&mut client, one.packet(1)).await.status, 200);
    assert_eq!(status(&mut client, "GET", &update(&one.id), &[]).await, 204);
    let token = format!("Bearer {}", product.admin_token);
    let administrator = [("authorization", token.as_str())];
    assert_eq!(status(&mut client, "GET", "/admin/v1/devices", &administrator).await, 404);

    let mut desk = product.connect(desk).await;
    assert_eq!(status(&mut desk, "GET", "/admin/v1/devices", &administrator).await, 200);
    assert_eq!(status(&mut desk, "GET", "/admin/v1/devices", &[]).await, 401);
    assert_eq!(one.upload(&mut desk, one.packet(2)).await.status, 404);

    assert!(!is_let_in(with(&product, vault, product.authority.client("one")).await).await, "a device's certificate");
    let mut client = with(&product, vault, staff.client("alice")).await.unwrap();
    assert_eq!(status(&mut client, "GET", "/admin/v1/devices", &[]).await, 401, "no token");
    assert_eq!(status(&mut client, "GET", "/admin/v1/devices", &administrator).await, 200);
    running.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_would_let_the_wrong_ones_in_does_not_start() {
    let refusal = async |tls: &str, rest: &str| {
        let product = asking(tls, rest);
        Server::bind(&Config::read(&product.config).unwrap()).await.err().unwrap()
    };
    let of_staff = |ca: &str| {
        format!("[[listeners]]\nlisten = \"127.0.0.1:0\"\nserves = \"administrators\"\nclient = \"required\"\n{ca}")
    };
    let found = refusal("client = \"required\"", "").await;
    assert!(matches!(found, StartError::Tls(TlsError::NoClientCa)), "{found}");
    let found = refusal("client_ca = \"ca.pem\"", &of_staff("")).await;
    assert!(matches!(found, StartError::Tls(TlsError::NoClientCa)), "{found}");
    let found = refusal("client_ca = \"ca.pem\"", &of_staff("client_ca = \"ca.pem\"\n")).await;
    assert!(matches!(found, StartError::ClientCa { .. }), "{found}");
    let found =
        refusal("client_ca = \"ca.pem\"", "[[listeners]]\nlisten = \"127.0.0.1:0\"\nclient_ca = \"ca.pem\"\n").await;
    assert!(matches!(found, StartError::ClientCa { .. }), "{found}");
    let found = refusal("client = \"optional\"\nclient_ca = \"ca.pem\"\nrevoked = [\"ca.pem\"]", "").await;
    assert!(matches!(found, StartError::Tls(TlsError::NoRevocations { .. })), "{found}");
    let found = refusal("denied = [\"no such name\"]", "").await;
    assert!(matches!(found, StartError::Tls(TlsError::Denied { .. })), "{found}");
}
