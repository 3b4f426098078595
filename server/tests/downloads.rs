//! Artifacts over real TLS, range by range: always 206 or 416, byte-exact when resumed, bounded in memory and in number.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod product;

use cotter_wire::api;
use cotter_wire::ids::{ReleaseId, SecureVersion};
use cotter_wire::session::{DeviceSession, MAX_HEADER, Request};
use cotter_wire::version::Version;
use product::client::{Answer, Client, SERVER_NAME, tls};
use product::device::{Device, ask};
use product::{Product, release};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A device that was offered the published release.
struct InTheField {
    device: Device,
    client: Client,
    session: DeviceSession,
    path: String,
}

async fn published(product: &Product, address: SocketAddr) -> ReleaseId {
    let answer = product.admin(address, "POST", api::ADMIN_RELEASES, release::good("1.1.0")).await;
    let id = answer.json()["release"].as_str().unwrap().to_owned();
    let path = format!("/admin/v1/releases/{id}/publish");
    assert_eq!(product.admin(address, "POST", &path, Vec::new()).await.status, 200);
    id.parse().unwrap()
}

impl InTheField {
    async fn offered(product: &Product, address: SocketAddr, name: &str, release: &ReleaseId) -> Self {
        let device = Device::enrolled(product, address, name).await;
        let mut client = product.connect(address).await;
        let mut session = device.begin(&mut client).await;
        let path = api::update(&device.id, Version::new(1, 0, 0), SecureVersion(0));
        assert_eq!(ask(&mut client, &mut session, "GET", &path, Vec::new()).await.status, 200);
        let path = api::artifact(&device.id, release).to_string();
        Self { device, client, session, path }
    }

    fn credential(&mut self) -> String {
        let mut out = [0; MAX_HEADER];
        self.session.sign(&Request { method: "GET", path: &self.path, body: b"" }, &mut out).unwrap().to_owned()
    }

    async fn get(&mut self, headers: &[(&str, &str)]) -> Answer {
        let credential = self.credential();
        let headers: Vec<_> = headers.iter().copied().chain([(api::SESSION_HEADER, credential.as_str())]).collect();
        self.client.ask("GET", &self.path, &headers, Vec::new()).await
    }
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// What is on the server's disk.
fn ciphertext(product: &Product, release: &ReleaseId) -> Vec<u8> {
    std::fs::read(product.directory.path().join(format!("artifacts/{release}.bin"))).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_is_always_206_or_416_and_resumes_byte_exact() {
    let product = Product::new();
    let server = product.serve().await;
    let release = published(&product, server.address).await;
    let whole = ciphertext(&product, &release);
    let total = whole.len();
    let mut etag = String::from("\"");
    for byte in Sha256::digest(&whole) {
        write!(etag, "{byte:02x}").unwrap();
    }
    etag.push('"');
    let mut device = InTheField::offered(&product, server.address, "one", &release).await;

    let answer = device.get(&[]).await;
    assert_eq!(answer.status, 206, "the whole is one range too");
    assert_eq!(header(&answer, "content-range"), format!("bytes 0-{}/{total}", total - 1));
    assert_eq!((header(&answer, "etag"), header(&answer, "accept-ranges")), (etag.as_str(), "bytes"));
    assert_eq!(header(&answer, "content-length"), total.to_string());
    assert!(answer.body == whole, "byte-exact");

    // Cut into pieces of changing lengths, each with the tag of the first.
    let (mut got, mut length) = (Vec::new(), 1);
    while got.len() < total {
        let range = format!("bytes={}-{}", got.len(), got.len() + length - 1);
        let answer = device.get(&[("range", &range), ("if-range", &etag)]).await;
        let last = (got.len() + length).min(total) - 1;
        assert_eq!(
            (answer.status, header(&answer, "content-range")),
            (206, &*format!("bytes {}-{last}/{total}", got.len()))
        );
        got.extend_from_slice(&answer.body);
        length = length * 3 + 7;
    }
    assert!(got == whole, "byte-exact");
    let answer = device.get(&[("range", "bytes=-100")]).await;
    assert!(answer.status == 206 && answer.body == whole[total - 100..]);
    let half = format!("bytes={}-", total / 2);
    assert!(device.get(&[("range", &half), ("if-match", &etag)]).await.body == whole[total / 2..]);

    let beyond = format!("bytes={total}-");
    for range in
        [&*beyond, "bytes=0-1,5-6", "bytes=0-5,3-9", "bytes=5-4", "bytes=-0", "bytes=x", "bytes=99999999999999999999-"]
    {
        let answer = device.get(&[("range", range)]).await;
        assert_eq!((answer.status, header(&answer, "content-range")), (416, &*format!("bytes */{total}")), "{range}");
        assert_eq!(header(&answer, "etag"), etag);
    }
    for tag in ["\"0\"", "*", "W/\"0\""] {
        for name in ["if-range", "if-match"] {
            let answer = device.get(&[("range", "bytes=5-9"), (name, tag)]).await;
            assert_eq!((answer.status, header(&answer, "etag")), (412, etag.as_str()), "{name} {tag}");
        }
    }
    assert_eq!(device.get(&[("range", "bytes=0-1"), ("range", "bytes=2-3")]).await.status, 400, "two headers");

    // The server knows how far it came; nobody waits for that note.
    for attempt in 0.. {
        let history = product.admin(server.address, "GET", "/admin/v1/devices/one/history", Vec::new()).await.json();
        if history["offers"][0]["progress"] == total {
            break;
        }
        assert!(attempt < 1000, "{history}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_artifact_is_for_the_device_that_it_was_offered_to() {
    let product = Product::new();
    let server = product.serve().await;
    let release = published(&product, server.address).await;
    let mut one = InTheField::offered(&product, server.address, "one", &release).await;
    let two = Device::enrolled(&product, server.address, "two").await;
    let mut client = product.connect(server.address).await;
    let mut session = two.begin(&mut client).await;

    let path = api::artifact(&two.id, &release);
    assert_eq!(ask(&mut client, &mut session, "GET", &path, Vec::new()).await.status, 404, "it has not asked for it");
    assert_eq!(ask(&mut client, &mut session, "GET", &one.path, Vec::new()).await.status, 401, "another's");
    assert_eq!(client.ask("GET", &path, &[], Vec::new()).await.status, 401, "no session");
    let credential = one.credential();
    let headers = [(api::SESSION_HEADER, credential.as_str())];
    assert_eq!(client.ask("GET", &one.path, &headers, Vec::new()).await.status, 206);
    assert_eq!(client.ask("GET", &one.path, &headers, Vec::new()).await.status, 401, "a credential is good once");
    let unknown = api::artifact(&one.device.id, &ReleaseId([9; 32]));
    assert_eq!(ask(&mut one.client, &mut one.session, "GET", &unknown, Vec::new()).await.status, 404);
    for path in ["/v1/devices/one/releases/..%2f..%2fmaster.key/artifact", "/v1/devices/one/releases/00/artifact"] {
        assert_eq!(ask(&mut one.client, &mut one.session, "GET", path, Vec::new()).await.status, 404, "{path}");
    }
    server.stop().await;
}

/// Asks on a raw connection and reads the head of the answer only: a device on a slow link.
async fn slow(product: &Product, address: SocketAddr, device: &mut InTheField) -> (u16, TlsStream<TcpStream>) {
    let mut stream = tls(address, &product.ca).await.unwrap();
    let (path, credential) = (device.path.clone(), device.credential());
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {SERVER_NAME}\r\n{}: {credential}\r\n\r\n", api::SESSION_HEADER);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let status = String::from_utf8(head).unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    (status, stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn downloads_are_bounded_per_device_and_in_all_and_the_rest_goes_on() {
    // How many are under way at a moment is the network's business; with a bound of none, each is one too many.
    for (limits, expected) in
        [("downloads_per_device = 0", (429, "10")), ("downloads = 0\ndownloads_per_device = 9", (503, "30"))]
    {
        let product = Product::with(&format!("\n[limits]\n{limits}\n"));
        let server = product.serve().await;
        let release = published(&product, server.address).await;
        let mut device = InTheField::offered(&product, server.address, "one", &release).await;
        let busy = device.get(&[]).await;
        assert_eq!((busy.status, header(&busy, "retry-after")), expected);
        let chunk = api::chunk(&device.device.id, &release, 0);
        assert_eq!(ask(&mut device.client, &mut device.session, "GET", &chunk, Vec::new()).await.status, 200);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_links_and_retry_storms_hold_up_nobody_else() {
    let product = Product::new();
    let server = product.serve().await;
    let release = published(&product, server.address).await;
    let whole = ciphertext(&product, &release);
    let mut storm = InTheField::offered(&product, server.address, "storm", &release).await;
    let mut other = InTheField::offered(&product, server.address, "other", &release).await;
    let mut open = Vec::new();
    for _ in 0..20 {
        // It asks again and again and reads no body.
        let (status, stream) = slow(&product, server.address, &mut storm).await;
        assert!(status == 206 || status == 429, "{status}");
        open.push(stream);
        let answer = other.get(&[]).await;
        assert!(answer.status == 206 && answer.body == whole);
    }
    // Whoever hangs up gives the places back; the server notices when it writes.
    drop(open);
    for attempt in 0.. {
        let answer = storm.get(&[]).await;
        if answer.status == 206 {
            assert!(answer.body == whole);
            break;
        }
        assert!(attempt < 500, "the places never came back");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_artifact_that_was_changed_on_disk_has_another_tag_after_a_restart_and_a_missing_one_is_503() {
    let product = Product::new();
    let server = product.serve().await;
    let release = published(&product, server.address).await;
    let mut device = InTheField::offered(&product, server.address, "one", &release).await;
    let tag = header(&device.get(&[("range", "bytes=0-9")]).await, "etag").to_owned();
    server.stop().await;

    let path = product.directory.path().join(format!("artifacts/{release}.bin"));
    let mut content = std::fs::read(&path).unwrap();
    content[4096] ^= 1;
    std::fs::write(&path, content).unwrap();
    let server = product.serve().await;
    device.client = product.connect(server.address).await;
    device.session = device.device.begin(&mut device.client).await;
    assert_eq!(device.get(&[("range", "bytes=10-"), ("if-range", &tag)]).await.status, 412, "not a mix of two");
    server.stop().await;

    std::fs::remove_file(&path).unwrap();
    let server = product.serve().await;
    device.client = product.connect(server.address).await;
    device.session = device.device.begin(&mut device.client).await;
    assert_eq!(device.get(&[]).await.status, 503);
    server.stop().await;
}
