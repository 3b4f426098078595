//! A fleet gets new root keys: the real device code over real TLS, whatever is lost on the way, whoever is killed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says where")]

mod product;

use cotter_device::command::{Commands, Received};
use cotter_device::rotation::{Confirming, Rotation};
use cotter_server::backup;
use cotter_server::backup::custodian::Custodians;
use cotter_wire::api;
use cotter_wire::command::{MAX_RESULT, Outcome};
use cotter_wire::content::decrypt_chunk;
use cotter_wire::ids::{KeyEpoch, ReleaseId, SecureVersion};
use cotter_wire::manifest::Envelope;
use cotter_wire::rotation::MAX_MESSAGE;
use cotter_wire::version::Version;
use product::board::{Board, FLOOR, HostRandom};
use product::client::{Answer, Client};
use product::field::{Fetched, Field, REFUSED};
use product::{Product, Running, release};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

const CONFIG: &str = "\n[ingest]\nnonce_floor = 10000\n\n[[commands]]\nname = \"reboot\"\n";
const WEEK: u32 = 7 * 24 * 3600;
const ROTATIONS: &str = "/admin/v1/rotations";

async fn order(product: &Product, server: SocketAddr, wish: Value) -> u64 {
    let answer = product.admin(server, "POST", ROTATIONS, wish.to_string().into_bytes()).await;
    assert_eq!(answer.status, 201, "{:?}", answer.is());
    answer.json()["rotation"].as_u64().unwrap()
}

async fn all(product: &Product, server: SocketAddr, overlap: u32) -> u64 {
    order(product, server, json!({ "scope": "all", "overlap_seconds": overlap })).await
}

async fn act(product: &Product, server: SocketAddr, id: u64, act: &str) -> Answer {
    product.admin(server, "POST", &format!("{ROTATIONS}/{id}/{act}"), Vec::new()).await
}

/// State, waiting, offered, in overlap, retired.
async fn shown(product: &Product, server: SocketAddr, id: u64) -> (String, [u64; 4]) {
    let shown = product.admin(server, "GET", &format!("{ROTATIONS}/{id}"), Vec::new()).await.json();
    let count = |name: &str| shown[name].as_u64().unwrap();
    let counts = [count("waiting"), count("offered"), count("in_overlap"), count("retired")];
    (shown["state"].as_str().unwrap().to_owned(), counts)
}

async fn events(product: &Product, server: SocketAddr, device: &str) -> Vec<String> {
    product.audited(server, device).await.into_iter().map(|(event, _)| event).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_from_order_to_end() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let at = server.address;
    let (mut one, mut two) = (Field::of(&product, at, "a").await, Field::of(&product, at, "b").await);
    assert_eq!(one.follow().await.unwrap().epoch, KeyEpoch(1), "nobody has ordered anything");
    let (_, before) = one.board.boot();
    let id = all(&product, at, WEEK).await;
    assert_eq!(shown(&product, at, id).await, ("running".into(), [2, 0, 0, 0]));

    assert_eq!(one.follow().await.unwrap().epoch, KeyEpoch(2));
    assert_eq!(shown(&product, at, id).await, ("running".into(), [1, 0, 1, 0]));
    let (mut store, identity) = one.board.boot();
    assert_ne!(identity.offer_key().expose(), before.offer_key().expose(), "another root key");
    assert!(one.greet(&before, &mut store).await.unwrap().is_none(), "sessions under the old key end");
    assert_eq!(one.follow().await.unwrap().epoch, KeyEpoch(2), "once");
    // The first packet under the new keys ends the old ones.
    let packet = one.sealed();
    assert_eq!(one.upload(packet).await.is(), (200, &*format!("{{\"result\":\"accepted\",\"nonce\":{}}}", FLOOR + 1)));
    assert_eq!(shown(&product, at, id).await, ("running".into(), [1, 0, 0, 1]));

    assert_eq!(two.follow().await.unwrap().epoch, KeyEpoch(2));
    let packet = two.sealed();
    assert_eq!(two.upload(packet).await.status, 200);
    assert_eq!(events(&product, at, "a").await, ["device-enrolled", "root-key-rotated", "root-key-retired"]);
    server.stop().await;
    let server = product.serve().await;
    let mut seen = shown(&product, server.address, id).await;
    while seen.0 == "running" {
        tokio::task::yield_now().await;
        seen = shown(&product, server.address, id).await;
    }
    assert_eq!(seen, ("finished".into(), [0, 0, 0, 2]));
    // A recovery afterwards proves the new root key.
    two.client = product.connect(server.address).await;
    let (mut store, identity) = two.board.boot();
    assert_eq!(two.recover(identity, &mut store).await.epoch, KeyEpoch(3));
    assert_eq!(two.follow().await.unwrap().epoch, KeyEpoch(3));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_strand_nobody() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let mut field = Field::of(&product, server.address, "a").await;
    all(&product, server.address, WEEK).await;
    // The offer is lost: the same key is offered again.
    let (mut store, identity) = field.board.boot();
    let mut session = field.greet(&identity, &mut store).await.unwrap().unwrap();
    let mut tickets = Vec::new();
    for _ in 0..3 {
        let rotation = Rotation::begin(&identity, &mut HostRandom);
        let answer = field.ask(&mut session, "GET", &rotation.path(), Vec::new()).await.unwrap();
        tickets.push(answer.json()["ticket"].clone());
        // And one that was recorded opens nothing.
        let other = Rotation::begin(&identity, &mut HostRandom);
        other.offered(&answer.body, &mut store).unwrap_err();
    }
    assert!(tickets.iter().all(|ticket| *ticket == tickets[0]), "{tickets:?}");
    assert!(matches!(field.fetch(&identity, &mut store).await.unwrap(), Fetched::Pending));
    // The confirmation is lost: the present key goes on.
    drop(Confirming::pending(&identity, &mut store, &mut HostRandom).unwrap().unwrap());
    let packet = field.sealed();
    assert_eq!(field.upload(packet).await.status, 200);
    // The acknowledgement is lost, several times: the old key is no longer good, and the confirmation is answered again.
    let (mut store, identity) = field.board.boot();
    for _ in 0..3 {
        let confirming = Confirming::pending(&identity, &mut store, &mut HostRandom).unwrap().unwrap();
        let message = confirming.message(&mut [0; MAX_MESSAGE]).to_vec();
        let answers = [
            field.client.ask("POST", &api::key(&identity.device), &[], message.clone()).await,
            field.client.ask("POST", &api::key(&identity.device), &[], message).await,
        ];
        assert_eq!((answers[0].status, &answers[0].body), (200, &answers[1].body), "the same again");
    }
    assert!(field.greet(&identity, &mut store).await.unwrap().is_none());
    assert_eq!(field.follow().await.unwrap().epoch, KeyEpoch(2));
    let rotated = events(&product, server.address, "a").await;
    assert_eq!(rotated.iter().filter(|event| *event == "root-key-rotated").count(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_from_before_the_switch_count_once_and_in_their_time() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let at = server.address;
    let (mut v1, mut v2) = (Field::of(&product, at, "a").await, Field::of(&product, at, "b").await);
    let mut late = Field::of(&product, at, "c").await;
    order(&product, at, json!({ "scope": "device", "target": "c", "overlap_seconds": 0 })).await;
    let (early, kept, never) = (v1.sealed(), v1.sealed(), v1.sealed());
    assert_eq!(v1.upload(early.clone()).await.status, 200);
    let compact = v2.compact(3);
    assert_eq!(v2.upload_compact(compact[0].clone()).await.status, 200);
    let over = late.sealed();
    late.follow().await.unwrap();
    assert_eq!(late.upload(over).await.is(), (401, REFUSED), "no overlap was ordered");

    all(&product, at, WEEK).await;
    v1.follow().await.unwrap();
    v2.follow().await.unwrap();
    assert_eq!(v1.upload(early).await.is(), (409, "{\"result\":\"replay\",\"stored\":true}"));
    assert_eq!(v1.upload(kept.clone()).await.status, 200);
    assert_eq!(v1.upload(kept.clone()).await.status, 409);
    assert_eq!(v2.upload_compact(compact[1].clone()).await.status, 200);
    assert_eq!(v2.upload_compact(compact[1].clone()).await.status, 409);
    // Under the new keys; then nothing under the old ones counts, were it the next number.
    let (fresh, other) = (v1.sealed(), v2.compact(1));
    assert_eq!((v1.upload(fresh).await.status, v2.upload_compact(other[0].clone()).await.status), (200, 200));
    assert_eq!(v1.upload(never).await.is(), (401, REFUSED));
    assert_eq!(v2.upload_compact(compact[2].clone()).await.is(), (401, REFUSED));
    assert_eq!(v1.upload(kept).await.is(), (401, REFUSED));
    assert_eq!(product.stored_nonces(at, "a").await.len(), 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_and_downloads_go_on_over_the_switch() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let at = server.address;
    let mut field = Field::of(&product, at, "a").await;
    let uploaded = product.admin(at, "POST", api::ADMIN_RELEASES, release::good("1.1.0")).await;
    let release: ReleaseId = uploaded.json()["release"].as_str().unwrap().parse().unwrap();
    product.admin(at, "POST", &format!("/admin/v1/releases/{release}/publish"), Vec::new()).await;
    for _ in 0..2 {
        let wish = json!({ "name": "reboot" }).to_string().into_bytes();
        assert_eq!(product.admin(at, "POST", "/admin/v1/devices/a/commands", wish).await.status, 201);
    }
    let mut executed = Vec::new();
    let mut content_keys = Vec::new();
    let mut previous = None;
    for chunk in 0..2 {
        // Before the switch the command is begun, and its result does not get through.
        let (mut store, identity) = field.board.boot();
        let mut session = field.greet(&identity, &mut store).await.unwrap().unwrap();
        let mut commands = Commands::new(&identity);
        loop {
            let path = api::commands(&identity.device);
            let answer = field.ask(&mut session, "GET", &path, Vec::new()).await.unwrap();
            if answer.status == 204 {
                break;
            }
            let result = match commands.receive(&answer.body, session.now(0), &mut store).unwrap() {
                Received::Execute(begun) => {
                    let result = commands.finish(&begun, Outcome::Done, "", &mut store).unwrap();
                    executed.push(result.counter.0);
                    result
                }
                Received::Report(result) => result,
            };
            if chunk == 0 {
                break;
            }
            let body = commands.report(&result, &mut [0; MAX_RESULT]).to_vec();
            let path = api::command_result(&identity.device);
            assert_eq!(field.ask(&mut session, "POST", &path, body).await.unwrap().status, 204);
        }
        // One chunk before, the next one after it: the same content key, wrapped anew.
        let path = api::update(&identity.device, Version::new(1, 0, 0), SecureVersion(0));
        let offer = field.ask(&mut session, "GET", &path, Vec::new()).await.unwrap();
        let envelope = Envelope::parse(&offer.body).unwrap();
        let wrapped = envelope.content_key().unwrap();
        let key = wrapped.unwrap(&identity.keys().firmware_unwrap, &identity.device, &envelope.release()).unwrap();
        let path = api::chunk(&identity.device, &release, chunk);
        let mut bytes = field.ask(&mut session, "GET", &path, Vec::new()).await.unwrap().body;
        let mut iv = previous.unwrap_or([0; 16]);
        decrypt_chunk(&key, &mut iv, &mut bytes).unwrap();
        previous = Some(iv);
        content_keys.push((*key.expose(), envelope.release()));
        if chunk == 0 {
            all(&product, at, WEEK).await;
            assert_eq!(field.follow().await.unwrap().epoch, KeyEpoch(2));
        } else {
            assert_eq!(bytes[..], release::signed_image("1.1.0", release::secure_boot_signer())[2048..4096]);
        }
    }
    assert_eq!(content_keys[0], content_keys[1]);
    assert_eq!(executed, [1, 2], "each once");
    let listed = product.admin(at, "GET", "/admin/v1/devices/a/commands", Vec::new()).await.json();
    assert_eq!((&listed["commands"][0]["state"], &listed["commands"][1]["state"]), (&json!("done"), &json!("done")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_an_administrators_and_ends_when_told() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let at = server.address;
    let (mut one, mut two) = (Field::of(&product, at, "a").await, Field::of(&product, at, "b").await);
    for role in ["viewer", "operator", "release-manager"] {
        let wish = json!({ "name": role, "role": role }).to_string().into_bytes();
        let token = product.admin(at, "POST", "/admin/v1/tokens", wish).await.json()["token"].clone();
        let header = format!("Bearer {}", token.as_str().unwrap());
        let mut client = product.connect(at).await;
        let body = json!({ "scope": "all" }).to_string().into_bytes();
        let refused = client.ask("POST", ROTATIONS, &[("authorization", &header)], body).await;
        assert_eq!(refused.status, 403, "{role}");
        assert_eq!(client.ask("GET", ROTATIONS, &[("authorization", &header)], Vec::new()).await.status, 200);
    }
    for (wish, reason) in [
        (json!({ "scope": "some" }), "rotation-malformed"),
        (json!({ "scope": "all", "target": "x" }), "rotation-malformed"),
        (json!({ "scope": "all", "more": 1 }), "rotation-malformed"),
        (json!({ "scope": "device", "target": "stranger" }), "rotation-unknown-device"),
        (json!({ "scope": "all", "overlap_seconds": 90 * 24 * 3600 + 1 }), "rotation-overlap"),
    ] {
        let answer = product.admin(at, "POST", ROTATIONS, wish.to_string().into_bytes()).await;
        assert_eq!((answer.status, answer.json()["reason"].as_str().unwrap()), (422, reason));
    }
    product.admin(at, "PUT", "/admin/v1/devices/a/tags/field", Vec::new()).await;
    let id = order(&product, at, json!({ "scope": "tag", "target": "field" })).await;
    assert_eq!(two.follow().await.unwrap().epoch, KeyEpoch(1), "not for it");
    assert_eq!(act(&product, at, id, "pause").await.json(), json!({ "rotation": id, "state": "paused" }));
    assert_eq!(one.follow().await.unwrap().epoch, KeyEpoch(1), "paused");
    assert_eq!(act(&product, at, id, "resume").await.status, 200);
    let (mut store, identity) = one.board.boot();
    assert!(matches!(one.fetch(&identity, &mut store).await.unwrap(), Fetched::Pending));
    // Cancelled: nobody else is offered a key, and who has one may take it.
    assert_eq!(act(&product, at, id, "cancel").await.status, 200);
    assert_eq!(act(&product, at, id, "resume").await.json()["reason"], "rotation-state");
    assert_eq!((act(&product, at, 99, "pause").await.status, act(&product, at, id, "stop").await.status), (404, 404));
    product.admin(at, "PUT", "/admin/v1/devices/b/tags/field", Vec::new()).await;
    assert_eq!(two.follow().await.unwrap().epoch, KeyEpoch(1));
    assert_eq!(one.follow().await.unwrap().epoch, KeyEpoch(2));
    assert_eq!(shown(&product, at, id).await, ("cancelled".into(), [1, 0, 1, 0]));
    let listed = product.admin(at, "GET", ROTATIONS, Vec::new()).await.json();
    assert_eq!((&listed["rotations"][0]["created_by"], &listed["next"]), (&json!("admin"), &Value::Null));
    let keys = product.admin(at, "GET", "/admin/v1/keys", Vec::new()).await.json();
    assert_eq!(keys["devices_due"], 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_recorded_or_forged_does_nothing() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let at = server.address;
    let (mut field, mut other) = (Field::of(&product, at, "a").await, Field::of(&product, at, "b").await);
    all(&product, at, WEEK).await;
    let (mut store, identity) = field.board.boot();
    let mut session = field.greet(&identity, &mut store).await.unwrap().unwrap();
    for query in
        ["", "?nonce=", "?nonce=0", &format!("?nonce={}", "A".repeat(32)), &format!("?nonce={}&x", "a".repeat(32))]
    {
        let path = format!("{}{query}", api::key(&identity.device));
        assert_eq!(field.ask(&mut session, "GET", &path, Vec::new()).await.unwrap().is(), (400, REFUSED), "{query}");
    }
    let path = Rotation::begin(&identity, &mut HostRandom).path();
    assert_eq!(field.client.ask("GET", &path, &[], Vec::new()).await.is(), (401, REFUSED), "no session");

    assert!(matches!(field.fetch(&identity, &mut store).await.unwrap(), Fetched::Pending));
    let confirming = Confirming::pending(&identity, &mut store, &mut HostRandom).unwrap().unwrap();
    let first = confirming.message(&mut [0; MAX_MESSAGE]).to_vec();
    let device = identity.device;
    let post = async |client: &mut Client, device: &str, body: &[u8]| {
        client.ask("POST", &format!("/v1/devices/{device}/key"), &[], body.to_vec()).await.status
    };
    let log = product.directory.path().join("cotter.db-wal");
    let before = std::fs::metadata(&log).unwrap().len();
    assert_eq!(post(&mut field.client, "b", &first).await, 401);
    assert_eq!(post(&mut field.client, "stranger", &first).await, 401);
    for at in 0..first.len() {
        let mut changed = first.clone();
        changed[at] = if changed[at] == b'1' { b'2' } else { b'1' };
        let status = post(&mut field.client, device.as_str(), &changed).await;
        assert!([400, 401].contains(&status), "{at}: {status}");
    }
    assert_eq!(post(&mut field.client, device.as_str(), &first[..first.len() - 1]).await, 400);
    assert_eq!(std::fs::metadata(&log).unwrap().len(), before, "strangers write nothing");

    // A recorded confirmation of a key that was replaced since.
    field.follow().await.unwrap();
    all(&product, at, WEEK).await;
    assert_eq!(field.follow().await.unwrap().epoch, KeyEpoch(3));
    assert_eq!(post(&mut field.client, device.as_str(), &first).await, 401);
    assert_eq!(field.follow().await.unwrap().epoch, KeyEpoch(3));
    assert_eq!(events(&product, at, "a").await.last().unwrap(), "rotation-stale");
    other.follow().await.unwrap();
    server.stop().await;
}

/// Backups taken before the order, after the offer, and after the switch; devices that are further by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_restored_from_any_backup_strands_nobody() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let at = server.address;
    // Pending, switched, recovered after the switch, switched twice.
    let mut fields = Vec::new();
    for name in ["a", "b", "c", "d"] {
        fields.push(Field::of(&product, at, name).await);
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let mut backups = Vec::new();
    let take = |name: &str| {
        let (config, file) = (product.config.clone(), elsewhere.path().join(name));
        async move {
            let to = file.clone();
            let custodians = Custodians::new(1, 1).unwrap();
            let made = tokio::task::spawn_blocking(move || backup::make(&config, &to, custodians, |_| Ok(())).unwrap());
            let made = made.await.unwrap();
            backup::check(&file, &made.shares).unwrap();
            (file, made.shares)
        }
    };
    backups.push(("before the order", take("0").await));
    all(&product, at, WEEK).await;
    for field in &mut fields {
        let (mut store, identity) = field.board.boot();
        assert!(matches!(field.fetch(&identity, &mut store).await.unwrap(), Fetched::Pending));
    }
    backups.push(("after the offers", take("1").await));
    for field in &mut fields[1..] {
        assert_eq!(field.follow().await.unwrap().epoch, KeyEpoch(2));
    }
    backups.push(("after the switches", take("2").await));
    let (mut store, identity) = fields[2].board.boot();
    fields[2].recover(identity, &mut store).await;
    order(&product, at, json!({ "scope": "device", "target": "d" })).await;
    assert_eq!(fields[3].follow().await.unwrap().epoch, KeyEpoch(3));
    backups.push(("after all", take("3").await));
    server.stop().await;

    let flashes: Vec<Vec<u8>> = fields.iter().map(|field| field.board.flash.content().to_vec()).collect();
    for (which, (file, shares)) in backups {
        let into = elsewhere.path().join(which.replace(' ', "-"));
        backup::restore(&file, &shares, &into).unwrap();
        let restored = Restored::new(&product, into);
        let server = restored.serve().await;
        for (field, content) in fields.iter_mut().zip(&flashes) {
            field.board = Board::with_content(content.clone());
            field.client = Client::connect(server.address, &product.ca).await.unwrap();
            let identity = field.follow().await.unwrap();
            let packet = field.sealed();
            let answer = field.upload(packet).await;
            assert_eq!(answer.status, 200, "{which}: {} in epoch {}: {answer:?}", identity.device, identity.epoch);
        }
        server.stop().await;
    }
}

/// The same product, with another host's configuration.
struct Restored(std::path::PathBuf);

impl Restored {
    fn new(_: &Product, into: std::path::PathBuf) -> Self {
        Self(into.join("cotter.toml"))
    }

    async fn serve(&self) -> Running {
        Running::of(&self.0).await
    }
}

const RUNS: usize = 12;
const DEVICES: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_minus_nine_at_any_moment_strands_no_device() {
    let mut seed = [0; 8];
    aws_lc_rs::rand::fill(&mut seed).unwrap();
    let mut random = u64::from_be_bytes(seed);
    println!("seed {random}");
    let mut below = move |bound: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((random >> 33) % bound).unwrap()
    };
    let product = Product::with(CONFIG);
    let mut fields = Vec::new();
    let (mut orders, mut checkpoints) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let server = product.spawn();
        let at = server.address;
        if fields.is_empty() {
            for number in 0..DEVICES {
                fields.push(Field::of(&product, at, &format!("device-{number}")).await);
            }
        }
        let overlap = if run % 2 == 0 { 0 } else { 600 };
        let body = json!({ "scope": "all", "overlap_seconds": overlap }).to_string().into_bytes();
        let ordered = product.admin(at, "POST", ROTATIONS, body).await;
        if ordered.status == 201 {
            orders.push(ordered.json()["rotation"].as_u64().unwrap());
        }
        let (followed, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let until = 1 + below(DEVICES as u64);
        let mut tasks = Vec::new();
        for mut field in fields.drain(..) {
            field.client = product.connect(at).await;
            let (followed, enough) = (Arc::clone(&followed), Arc::clone(&enough));
            tasks.push(tokio::spawn(async move {
                // Until the server is gone, which may be in the middle of anything.
                while field.follow().await.is_ok() {
                    if followed.fetch_add(1, Ordering::Relaxed) + 1 == until {
                        enough.notify_one();
                    }
                    let packet = field.sealed();
                    let (_, identity) = field.board.boot();
                    let path = api::telemetry(&identity.device);
                    if field.client.try_ask("POST", &path, &[], packet).await.is_err() {
                        break;
                    }
                }
                field
            }));
        }
        tokio::time::timeout(Duration::from_secs(60), enough.notified()).await.unwrap();
        server.kill();
        for task in tasks {
            fields.push(task.await.unwrap());
        }
        checkpoints.push(product.reviewed_audit_log(&checkpoints));
    }
    let server = product.spawn();
    let mut epochs = Vec::new();
    for field in &mut fields {
        field.client = product.connect(server.address).await;
        epochs.push(field.follow().await.unwrap().epoch.0);
        let packet = field.sealed();
        let answer = field.upload(packet).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    for id in &orders {
        let (_, [waiting, offered, ..]) = shown(&product, server.address, *id).await;
        assert_eq!((waiting, offered), (0, 0), "order {id}");
    }
    println!("{RUNS} kills, {} orders, {DEVICES} devices in the epochs {epochs:?}", orders.len());
    assert!(epochs.iter().all(|epoch| *epoch as usize > 1));
    server.kill();
}
