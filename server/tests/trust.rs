//! The keys that sign firmware change, under devices with the code that ships in flash, over real TLS: early ones, late ones,
//! and one that was off for a year.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod product;

use cotter_chip::flash::Flash;
use cotter_device::identity::Identity;
use cotter_device::nvs::Nvs;
use cotter_device::session::{Opening, Session};
use cotter_device::trust;
use cotter_server::backup;
use cotter_server::backup::custodian::Custodians;
use cotter_wire::api;
use cotter_wire::firmware_key::FirmwareKey;
use cotter_wire::ids::SecureVersion;
use cotter_wire::manifest::{Envelope, Project, VerifyPolicy};
use cotter_wire::session::{MAX_HEADER, MAX_MESSAGE, Request};
use cotter_wire::trust::{MAX_BODY, MAX_STATEMENT, Statement, TrustNumber, encode_statement};
use cotter_wire::version::Version;
use product::Product;
use product::board::{Board, HostRandom};
use product::client::{Answer, Client};
use product::device::Device;
use product::release::{
    self, Signer, manifest_signer, other_manifest_signer, other_secure_boot_signer, secure_boot_signer,
};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

const TRUST: &str = "/admin/v1/trust";

/// Number `number`: `signers` count from now on, all of them; signed by `by`.
fn statement(number: u32, signers: &[&Signer], by: &[&Signer]) -> Vec<u8> {
    statement_of(number, signers, None, by)
}

/// The same, and with another Secure Boot key.
fn statement_of(number: u32, signers: &[&Signer], secure_boot: Option<&Signer>, by: &[&Signer]) -> Vec<u8> {
    let keys = signers.iter().map(|signer| FirmwareKey::from_spki(&signer.spki()).unwrap());
    let statement = Statement {
        project: Project::new(release::PROJECT).unwrap(),
        number: TrustNumber(number),
        policy: VerifyPolicy::new(keys, signers.len()).unwrap(),
        secure_boot: secure_boot.map(Signer::secure_boot_digest).into_iter().collect(),
    };
    let mut body = [0; MAX_BODY];
    let body = statement.encode(&mut body).unwrap();
    let signatures: Vec<_> = by.iter().map(|signer| signer.trust_signature(body)).collect();
    encode_statement(body, &signatures, &mut [0; MAX_STATEMENT]).unwrap().to_vec()
}

/// From the first key to the second.
fn change() -> Vec<u8> {
    let (old, new) = (manifest_signer(), other_manifest_signer());
    statement(1, &[new], &[old, new])
}

/// A release of this version, ready to upload.
fn release_by(version: &str, signers: &[&Signer]) -> Vec<u8> {
    let image = release::signed(&release::image_with_version(version), secure_boot_signer());
    release::upload(&release::envelope(&release::manifest(&image), signers), &image)
}

/// What an administrator does.
struct Desk<'a> {
    product: &'a Product,
    address: SocketAddr,
}

impl Desk<'_> {
    async fn ask(&self, method: &str, path: &str, body: Vec<u8>) -> (u16, Value) {
        let answer = self.product.admin(self.address, method, path, body).await;
        (answer.status, answer.json())
    }

    /// Status and reason.
    async fn plan(&self, statement: Vec<u8>) -> (u16, String) {
        reason(self.ask("POST", TRUST, statement).await)
    }

    /// Status, and the state or the reason.
    async fn act(&self, act: &str) -> (u16, String) {
        reason(self.ask("POST", &format!("{TRUST}/{act}"), Vec::new()).await)
    }

    async fn standing(&self) -> Value {
        let (status, standing) = self.ask("GET", TRUST, Vec::new()).await;
        assert_eq!(status, 200, "{standing}");
        standing
    }

    async fn state(&self) -> Value {
        let standing = self.standing().await;
        standing["statements"].as_array().unwrap().last().map_or(Value::Null, |last| last["state"].clone())
    }

    async fn upload(&self, release: Vec<u8>) -> (u16, String) {
        reason(self.ask("POST", api::ADMIN_RELEASES, release).await)
    }

    async fn publish(&self, release: &str) -> (u16, String) {
        reason(self.ask("POST", &api::ADMIN_PUBLISH.replace("{release}", release), Vec::new()).await)
    }
}

fn reason((status, document): (u16, Value)) -> (u16, String) {
    let said = ["reason", "release", "state"].iter().find_map(|name| document[name].as_str());
    (status, said.unwrap_or_default().to_owned())
}

fn refused(reason: &str) -> (u16, String) {
    (422, reason.to_owned())
}

/// A device with the code that ships in flash.
struct InTheField {
    board: Board,
    store: Nvs<Flash>,
    identity: Identity,
}

impl InTheField {
    async fn enrolled(product: &Product, address: SocketAddr, name: &str) -> Self {
        Self::of(product, &Device::enrolled(product, address, name).await)
    }

    fn of(product: &Product, device: &Device) -> Self {
        let board = Board::new(product, device);
        let (store, identity) = board.boot();
        Self { board, store, identity }
    }

    fn reset(&mut self) {
        (self.store, self.identity) = self.board.boot();
    }

    fn number(&self) -> u32 {
        self.identity.trust().0
    }

    async fn session(&mut self, client: &mut Client) -> Session {
        let opening = Opening::new(&self.identity, &mut HostRandom);
        let hello = opening.hello(&mut [0; MAX_MESSAGE]).to_vec();
        let answer = client.ask("POST", &api::session(&self.identity.device), &[], hello).await;
        assert_eq!(answer.status, 200);
        opening.accept(&answer.body, 0, &mut self.store).unwrap()
    }

    async fn get(&mut self, client: &mut Client, path: &str) -> Answer {
        let mut session = self.session(client).await;
        let mut header = [0; MAX_HEADER];
        let header = session.sign(&Request { method: "GET", path, body: b"" }, &mut header).unwrap();
        client.ask("GET", path, &[(api::SESSION_HEADER, header)], Vec::new()).await
    }

    /// Asks once for a statement and stores it; `false` at the end of the chain.
    async fn fetches(&mut self, client: &mut Client) -> bool {
        let path = trust::path(&self.identity);
        let answer = self.get(client, &path).await;
        if answer.status == 204 {
            return false;
        }
        assert_eq!(answer.status, 200);
        trust::follow(&self.identity, &answer.body, &mut self.store).unwrap();
        true
    }

    /// Follows the chain to its end.
    async fn follows(&mut self, client: &mut Client) -> u32 {
        while self.fetches(client).await {
            self.reset();
        }
        self.number()
    }

    /// Which version it is offered. Whatever that is, the device believes it.
    async fn offered(&mut self, client: &mut Client) -> Option<Version> {
        let (version, secure_version) = (Version::new(1, 0, 0), SecureVersion(0));
        let path = api::update_trusting(&self.identity.device, version, secure_version, self.identity.trust());
        let answer = self.get(client, &path).await;
        if answer.status == 204 {
            return None;
        }
        assert_eq!(answer.status, 200);
        let envelope = Envelope::parse(&answer.body).unwrap();
        let believed = envelope.verify(self.identity.firmware_policy());
        Some(believed.expect("no device is offered what it would refuse").manifest().version)
    }
}

const fn version(minor: u16) -> Option<Version> {
    Some(Version::new(1, minor, 0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_change_under_early_late_and_year_late_devices() {
    let product = Product::new();
    let server = product.serve().await;
    let desk = Desk { product: &product, address: server.address };
    let (old, new) = (manifest_signer(), other_manifest_signer());
    let mut client = product.connect(server.address).await;
    let mut early = InTheField::enrolled(&product, server.address, "early").await;
    let mut late = InTheField::enrolled(&product, server.address, "late").await;
    let mut asleep = InTheField::enrolled(&product, server.address, "asleep").await;
    let (status, old_only) = desk.upload(release_by("1.1.0", &[old])).await;
    assert_eq!((status, desk.publish(&old_only).await.0), (201, 200));

    // Planned: nothing changes for anybody.
    assert_eq!(desk.plan(change()).await, (201, "planned".into()));
    assert_eq!(early.follows(&mut client).await, 0);
    assert_eq!(desk.upload(release_by("1.2.0", &[new])).await, refused("manifest-untrusted"));
    assert_eq!(desk.act("retire").await, refused("trust-state"));

    // Bridging: the early one follows; it is offered nothing that only the old key signed.
    assert_eq!(desk.act("start").await, (200, "bridging".into()));
    assert_eq!(early.offered(&mut client).await, version(1));
    assert_eq!(early.follows(&mut client).await, 1);
    assert_eq!(early.offered(&mut client).await, None);
    assert_eq!(late.offered(&mut client).await, version(1));
    assert_eq!(desk.upload(release_by("1.2.0", &[new])).await, refused("manifest-untrusted"), "not adopted");
    let (status, urgent) = desk.upload(release_by("1.2.0", &[old])).await;
    assert_eq!((status, desk.publish(&urgent).await), (201, refused("release-refused-by-devices")));
    let (status, bridge) = desk.upload(release_by("1.3.0", &[old, new])).await;
    assert_eq!((status, desk.publish(&bridge).await.0), (201, 200));
    assert_eq!(early.offered(&mut client).await, version(3));
    assert_eq!(late.offered(&mut client).await, version(3));
    assert_eq!(desk.act("cancel").await, refused("trust-handed-out"));

    // The gate: two have not followed.
    let (status, said) = desk.ask("POST", "/admin/v1/trust/retire", Vec::new()).await;
    assert_eq!((status, &said["reason"]), (422, &json!("trust-not-adopted")));
    assert_eq!(said["detail"], "trust: 1 of 3 devices have followed it, 2 have not: asleep, late");
    assert_eq!(late.follows(&mut client).await, 1);
    let standing = desk.standing().await;
    assert_eq!(standing["numbers"], json!([{ "number": 0, "devices": 1 }, { "number": 1, "devices": 2 }]));
    assert_eq!((&standing["missing"][0]["device"], &standing["unseen"]), (&json!("asleep"), &json!(0)));
    assert_eq!(desk.act("retire?leave_behind=true").await, refused("trust-not-adopted"), "it was enrolled today");
    assert_eq!(desk.state().await, "bridging");

    // A year later, as far as the database knows: it goes on without the one that sleeps.
    server.stop().await;
    let connection = rusqlite::Connection::open(product.directory.path().join("cotter.db")).unwrap();
    let year_ago = "UPDATE device SET enrolled_at = enrolled_at - 31536000 WHERE name = 'asleep'";
    assert_eq!(connection.execute(year_ago, []).unwrap(), 1);
    assert_eq!(connection.execute("DELETE FROM device_trust WHERE number = 0", []).unwrap(), 0, "it never asked");
    drop(connection);
    let server = product.serve().await;
    let desk = Desk { product: &product, address: server.address };
    let mut client = product.connect(server.address).await;
    assert_eq!(desk.act("retire").await, refused("trust-not-adopted"));
    assert_eq!(desk.act("retire?leave_behind=true").await, (200, "retired".into()));
    assert_eq!(desk.upload(release_by("1.4.0", &[old])).await, refused("manifest-untrusted"));
    let (status, new_only) = desk.upload(release_by("1.4.0", &[new])).await;
    assert_eq!((status, desk.publish(&new_only).await.0), (201, 200));
    assert_eq!(early.offered(&mut client).await, version(4));

    // A second change, while it still sleeps.
    let second = statement(2, &[old], &[new, old]);
    assert_eq!(desk.plan(second).await, (201, "planned".into()));
    assert_eq!(desk.act("start").await, (200, "bridging".into()));

    // It wakes up: the bridge until it has followed, then the whole chain, then the newest that it believes.
    assert_eq!(asleep.offered(&mut client).await, version(3));
    assert_eq!(asleep.follows(&mut client).await, 2);
    assert_eq!(asleep.offered(&mut client).await, version(3), "the second bridge is not there yet");
    let (status, bridge) = desk.upload(release_by("1.5.0", &[new, old])).await;
    assert_eq!((status, desk.publish(&bridge).await.0), (201, 200));
    assert_eq!(asleep.offered(&mut client).await, version(5));
    assert_eq!(early.offered(&mut client).await, version(5), "at number 1");
    assert_eq!((early.follows(&mut client).await, late.follows(&mut client).await), (2, 2));
    assert_eq!(desk.state().await, "adopted");
    assert_eq!(desk.act("retire").await, (200, "retired".into()));
    server.stop().await;
    product.reviewed_audit_log(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_adopted_a_release_of_the_new_keys_is_taken_in_and_goes_out_when_the_old_are_retired() {
    let product = Product::new();
    let server = product.serve().await;
    let desk = Desk { product: &product, address: server.address };
    let mut client = product.connect(server.address).await;
    let mut device = InTheField::enrolled(&product, server.address, "a").await;
    desk.plan(change()).await;
    desk.act("start").await;
    assert_eq!(device.follows(&mut client).await, 1);
    assert_eq!(desk.state().await, "adopted");
    let (status, id) = desk.upload(release_by("1.2.0", &[other_manifest_signer()])).await;
    assert_eq!((status, desk.publish(&id).await), (201, refused("release-refused-by-devices")));
    assert_eq!(desk.act("cancel").await, refused("trust-state"));
    assert_eq!(desk.act("retire").await, (200, "retired".into()));
    assert_eq!(desk.publish(&id).await.0, 200);
    assert_eq!(device.offered(&mut client).await, version(2));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_next_statement_is_refused_by_name_and_changes_nothing() {
    let product = Product::new();
    let server = product.serve().await;
    let desk = Desk { product: &product, address: server.address };
    let (old, new) = (manifest_signer(), other_manifest_signer());
    for (statement, expected) in [
        (b"{}".to_vec(), "trust-malformed"),
        (statement(1, &[new], &[]), "trust-unsigned"),
        (statement(1, &[new], &[new]), "trust-too-few-old-keys"),
        (statement(1, &[new], &[old]), "trust-too-few-new-keys"),
        (statement(1, &[new, old], &[old, old]), "trust-signature"),
        (statement(2, &[new], &[old, new]), "trust-number"),
        (statement(0, &[new], &[old, new]), "trust-number"),
    ] {
        assert_eq!(desk.plan(statement).await, refused(expected));
    }
    let (status, said) = desk.ask("POST", "/admin/v1/trust?share=0", change()).await;
    assert_eq!((status, &said["reason"]), (422, &json!("trust-share")));
    for act in ["start", "retire", "cancel"] {
        assert_eq!(desk.act(act).await, refused("trust-nothing-planned"));
    }
    assert_eq!(desk.act("explode").await.0, 404);
    assert_eq!((desk.standing().await["number"].clone(), desk.state().await), (json!(0), Value::Null));
    assert_eq!(desk.plan(change()).await, (201, "planned".into()));
    assert_eq!(desk.plan(change()).await, refused("trust-unfinished"));
    assert_eq!(desk.act("cancel").await, (200, "cancelled".into()));
    assert_eq!(desk.plan(change()).await, (201, "planned".into()), "and again");

    let viewer = json!({ "name": "viewer", "role": "viewer" });
    let (_, token) = desk.ask("POST", "/admin/v1/tokens", serde_json::to_vec(&viewer).unwrap()).await;
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str())];
    let mut client = product.connect(server.address).await;
    assert_eq!(client.ask("GET", TRUST, &headers, Vec::new()).await.status, 200);
    for (path, body) in [(TRUST, change()), ("/admin/v1/trust/start", Vec::new())] {
        assert_eq!(client.ask("POST", path, &headers, body).await.status, 403, "{path}");
    }
    // A device asks for its own chain only, in its session only.
    assert_eq!(client.ask("GET", "/v1/devices/a/trust/0", &[], Vec::new()).await.status, 401);
    let mut device = InTheField::enrolled(&product, server.address, "a").await;
    for path in ["/v1/devices/a/trust/00", "/v1/devices/a/trust/x", "/v1/devices/a/trust/4294967296"] {
        assert_eq!(device.get(&mut client, path).await.status, 404, "{path}");
    }
    assert_eq!(device.get(&mut client, "/v1/devices/b/trust/0").await.status, 401);
    server.stop().await;
    let log = product.reviewed_audit_log(&[]);
    assert!(!log.is_empty());
}

/// Killed after each step: what was answered is there, and the change goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_goes_on_with_the_change_where_it_stood() {
    let product = Product::new();
    let mut server = product.spawn();
    let desk = |server: &product::Process| Desk { product: &product, address: server.address };
    let mut devices = Vec::new();
    for number in 0..4 {
        devices.push(InTheField::enrolled(&product, server.address, &format!("device-{number}")).await);
    }
    let bridge = desk(&server).upload(release_by("1.1.0", &[manifest_signer(), other_manifest_signer()])).await.1;
    assert_eq!(desk(&server).publish(&bridge).await.0, 200);
    let mut kills = 0;
    let mut restart = |server: product::Process| {
        kills += 1;
        server.kill();
        product.spawn()
    };
    assert_eq!(desk(&server).plan(change()).await, (201, "planned".into()));
    server = restart(server);
    assert_eq!(desk(&server).state().await, "planned");
    assert_eq!(desk(&server).act("start").await, (200, "bridging".into()));
    server = restart(server);
    for (index, device) in devices.iter_mut().enumerate() {
        assert_eq!(desk(&server).state().await, "bridging");
        let mut client = product.connect(server.address).await;
        // The statement is stored; the server dies before it is told.
        assert!(device.fetches(&mut client).await);
        server = restart(server);
        assert_eq!(desk(&server).act("cancel").await, refused("trust-handed-out"));
        device.reset();
        let mut client = product.connect(server.address).await;
        assert_eq!(device.offered(&mut client).await, version(1), "at number 1");
        server = restart(server);
        assert_eq!(desk(&server).standing().await["adopted"], index + 1, "what was answered is there");
    }
    assert_eq!(desk(&server).state().await, "adopted");
    assert_eq!(desk(&server).act("retire").await, (200, "retired".into()));
    server = restart(server);
    assert_eq!(desk(&server).state().await, "retired");
    for device in &mut devices {
        let mut client = product.connect(server.address).await;
        assert_eq!(device.follows(&mut client).await, 1);
    }
    server.kill();
    product.reviewed_audit_log(&[]);
    println!("{kills} kills");
}

/// Killed while a step is on its way, later each time: it is done or it is not, and if it was answered it is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_minus_nine_in_the_middle_of_a_step_leaves_it_done_or_not_begun() {
    let product = Product::new();
    let server = product.spawn();
    let mut devices = Vec::new();
    for name in ["a", "b"] {
        devices.push(InTheField::enrolled(&product, server.address, name).await);
    }
    let desk = Desk { product: &product, address: server.address };
    let bridge = desk.upload(release_by("1.1.0", &[manifest_signer(), other_manifest_signer()])).await.1;
    assert_eq!(desk.publish(&bridge).await.0, 200);
    server.kill();

    let mut sweep = Sweep { product: &product, kills: 0, unanswered: 0, checkpoints: Vec::new() };
    let [plan, start, cancel, retire] = ["", "/start", "/cancel", "/retire"].map(|act| format!("{TRUST}{act}"));
    sweep.until_done(&plan, &change(), json!(null), json!("planned")).await;
    sweep.until_done(&cancel, b"", json!("planned"), json!(null)).await;
    sweep.until_done(&plan, &change(), json!(null), json!("planned")).await;
    sweep.until_done(&start, b"", json!("planned"), json!("bridging")).await;
    let server = product.spawn();
    for device in &mut devices {
        let mut client = product.connect(server.address).await;
        assert_eq!(device.follows(&mut client).await, 1);
        assert_eq!(device.offered(&mut client).await, version(1), "the bridge");
    }
    server.kill();
    sweep.until_done(&retire, b"", json!("adopted"), json!("retired")).await;
    let server = product.spawn();
    for device in &mut devices {
        let mut client = product.connect(server.address).await;
        assert_eq!((device.follows(&mut client).await, device.offered(&mut client).await), (1, version(1)));
    }
    server.kill();
    println!("{} kills in 5 steps, {} of them done and not answered", sweep.kills, sweep.unanswered);
    assert!(sweep.kills > 10);
}

/// Steps that are interrupted.
struct Sweep<'a> {
    product: &'a Product,
    kills: u32,
    /// Steps that were done although nobody heard.
    unanswered: u32,
    checkpoints: Vec<String>,
}

impl Sweep<'_> {
    /// Asks and kills, a little later each time, until the state is `after`.
    async fn until_done(&mut self, path: &str, body: &[u8], before: Value, after: Value) {
        let authorization = format!("Bearer {}", self.product.admin_token);
        for delay in (0..).map(|attempt| Duration::from_micros(150 * attempt)) {
            assert!(delay < Duration::from_secs(1), "{path} is never done");
            let server = self.product.spawn();
            let mut client = self.product.connect(server.address).await;
            let headers = [("authorization", authorization.as_str())];
            let asked = client.try_ask("POST", path, &headers, body.to_vec());
            // Finer than the runtime's clock.
            let killed = tokio::task::spawn_blocking(move || {
                std::thread::sleep(delay);
                server.kill();
            });
            let (answer, killed) = tokio::join!(asked, killed);
            killed.unwrap();
            self.kills += 1;
            self.checkpoints.push(self.product.reviewed_audit_log(&self.checkpoints));
            let server = self.product.spawn();
            let state = Desk { product: self.product, address: server.address }.state().await;
            server.kill();
            if let Ok(answer) = &answer {
                assert!(matches!(answer.status, 200 | 201), "{path}: {:?}", answer.is());
                assert_eq!(state, after, "{path} was answered");
            }
            if state == after {
                self.unanswered += u32::from(answer.is_err());
                return;
            }
            assert_eq!(state, before, "{path} after {delay:?}");
        }
    }
}

/// The database comes back from before the change; the devices are ahead of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_strands_no_device_that_is_ahead_of_it() {
    let mut product = Product::new();
    let server = product.serve().await;
    let mut device = InTheField::enrolled(&product, server.address, "a").await;
    let desk = Desk { product: &product, address: server.address };
    let bridge = desk.upload(release_by("1.1.0", &[manifest_signer(), other_manifest_signer()])).await.1;
    assert_eq!(desk.publish(&bridge).await.0, 200);
    let old_only = desk.upload(release_by("1.2.0", &[manifest_signer()])).await.1;
    assert_eq!(desk.publish(&old_only).await.0, 200);
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("a.backup");
    let (config, to) = (product.config.clone(), file.clone());
    let made = tokio::task::spawn_blocking(move || {
        backup::make(&config, &to, Custodians::new(1, 1).unwrap(), |_| Ok(())).unwrap()
    });
    let made = made.await.unwrap();
    let mut client = product.connect(server.address).await;
    desk.plan(change()).await;
    desk.act("start").await;
    assert_eq!(device.follows(&mut client).await, 1);
    assert_eq!(desk.act("retire").await, (200, "retired".into()));
    server.stop().await;

    let into = elsewhere.path().join("server");
    backup::restore(&file, &made.shares, &into).unwrap();
    product.config = into.join("cotter.toml");
    let server = product.serve().await;
    let desk = Desk { product: &product, address: server.address };
    let mut client = product.connect(server.address).await;
    assert_eq!(device.offered(&mut client).await, None, "nobody knows what it would believe");
    assert_eq!(device.follows(&mut client).await, 1);
    assert_eq!(desk.standing().await["numbers"], json!([{ "number": 1, "devices": 1 }]));
    assert_eq!(desk.plan(change()).await, (201, "planned".into()), "the same statement again");
    assert_eq!(desk.act("cancel").await, refused("trust-handed-out"), "a device has followed it");
    assert_eq!(device.offered(&mut client).await, version(1), "the bridge");
    assert_eq!(desk.act("start").await, (200, "adopted".into()));
    assert_eq!(desk.act("retire").await, (200, "retired".into()));
    server.stop().await;
}

/// The configuration's keys are number 0 and stay: a server does not start with a chain that does not hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_statements_do_not_follow_from_its_configuration_does_not_start() {
    let product = Product::new();
    let server = product.serve().await;
    assert_eq!(Desk { product: &product, address: server.address }.plan(change()).await.0, 201);
    server.stop().await;
    let start = async || {
        let config = cotter_server::config::Config::read(&product.config).unwrap();
        cotter_server::server::Server::bind(&config).await.err().map(|refused| refused.to_string())
    };
    // Somebody puts the new key into the configuration, which signed the statement too.
    other_manifest_signer().write_public(&product.directory.path().join("manifest.pem"));
    let refused = start().await.unwrap();
    assert!(refused.starts_with("trust: the manifest keys in the configuration are not those"), "{refused}");
    manifest_signer().write_public(&product.directory.path().join("manifest.pem"));
    assert_eq!(start().await, None);

    // Somebody who can write to the database adds a key.
    let connection = rusqlite::Connection::open(product.directory.path().join("cotter.db")).unwrap();
    let forged = statement(1, &[other_manifest_signer()], &[other_manifest_signer()]);
    assert_eq!(connection.execute("UPDATE trust_statement SET statement = ?1", [forged]).unwrap(), 1);
    let expected = "trust: number 1 does not follow from what is before it: trust statement: 0 signatures by the keys that \
                    it replaces, 1 required";
    assert_eq!(start().await.as_deref(), Some(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_device_is_offered_an_image_without_a_block_of_the_key_in_its_efuses() {
    let product = Product::new();
    let server = product.serve().await;
    let desk = Desk { product: &product, address: server.address };
    let (old, new) = (manifest_signer(), other_manifest_signer());
    let (old_boot, new_boot) = (secure_boot_signer(), other_secure_boot_signer());
    let mut client = product.connect(server.address).await;
    let mut first = InTheField::enrolled(&product, server.address, "first").await;
    let born_later = Device::enrolled_with(&product, server.address, "second", new_boot.secure_boot_digest()).await;
    let mut second = InTheField::of(&product, &born_later);
    let by = |version: &str, boot: &[&Signer], signers: &[&Signer]| {
        let mut image = release::signed(&release::image_with_version(version), boot[0]);
        for further in &boot[1..] {
            image = release::signed_too(&image, further);
        }
        release::upload(&release::envelope(&release::manifest(&image), signers), &image)
    };
    assert_eq!(desk.upload(by("1.1.0", &[new_boot], &[old])).await, refused("image-signature"), "not known yet");

    assert_eq!(desk.plan(statement_of(1, &[new], Some(new_boot), &[old, new])).await, (201, "planned".into()));
    assert_eq!(desk.act("start").await, (200, "bridging".into()));
    // One block is not enough while the change lasts, whoever signed the manifest.
    let (status, one) = desk.upload(by("1.1.0", &[old_boot], &[old, new])).await;
    assert_eq!((status, desk.publish(&one).await), (201, refused("release-refused-by-devices")));
    assert_eq!(desk.upload(by("1.2.0", &[new_boot], &[old, new])).await, refused("image-signature"));
    let (status, both) = desk.upload(by("1.3.0", &[old_boot, new_boot], &[old, new])).await;
    assert_eq!((status, desk.publish(&both).await.0), (201, 200));
    for device in [&mut first, &mut second] {
        assert_eq!(device.offered(&mut client).await, version(3));
        assert_eq!(device.follows(&mut client).await, 1);
        assert_eq!(device.offered(&mut client).await, version(3));
    }

    // Afterwards by the new key alone: the device that has only the old digest is still offered what it boots.
    assert_eq!(desk.act("retire").await, (200, "retired".into()));
    assert_eq!(desk.upload(by("1.4.0", &[old_boot], &[new])).await, refused("image-signature"));
    let (status, alone) = desk.upload(by("1.4.0", &[new_boot], &[new])).await;
    assert_eq!((status, desk.publish(&alone).await.0), (201, 200));
    assert_eq!((first.offered(&mut client).await, second.offered(&mut client).await), (version(3), version(4)));
}
