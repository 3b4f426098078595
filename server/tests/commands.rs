//! Commands from an administrator over real TLS to the code that runs in a device, and its results back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

mod product;

use cotter_chip::fault::Fault;
use cotter_chip::flash::Flash;
use cotter_device::command::{Begun, Commands, ReceiveError, Received};
use cotter_device::identity::{self, Identity};
use cotter_device::nvs::Nvs;
use cotter_device::platform::{Random, Region};
use cotter_device::session::{Opening, Session};
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::nvs::page::Version;
use cotter_formats::nvs::{NvsImage, Value as NvsValue};
use cotter_wire::command::{Address, CommandCounter, CommandResult, MAX_RESULT, Outcome, Value as CommandValue};
use cotter_wire::session::{MAX_HEADER, MAX_MESSAGE, Request};
use cotter_wire::{api, keys::DeviceKeys};
use product::client::{Answer, Client};
use product::device::Device;
use product::{Product, Running};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

const SCHEMA: &str = r#"
[[commands]]
name = "open-valve"
parameters = [{ name = "percent", type = "integer", min = 0, max = 100 },
              { name = "why", type = "text", max_length = 8 }]

[[commands]]
name = "reboot"
"#;

const LEN: FlashLen = FlashLen(0x4000);
/// By the device's clock since its reset.
const UPTIME: u32 = 100;

struct System;

impl Random for System {
    fn fill(&mut self, out: &mut [u8]) {
        aws_lc_rs::rand::fill(out).unwrap();
    }
}

/// A device's own code, its flash, and a connection.
struct Field {
    identity: &'static Identity,
    store: Nvs<Flash>,
    commands: Commands<'static>,
    session: Session,
    client: Client,
}

impl Field {
    /// What the factory leaves in the flash of `device`, booted, with a session.
    async fn of(device: &Device, product: &Product, server: &Running) -> Self {
        let key = rcgen::KeyPair::generate().unwrap().public_key_pem();
        let key = SubjectPublicKeyInfoDer::from_pem_slice(key.as_bytes()).unwrap();
        let values = [
            (identity::DEVICE_ID, NvsValue::String(device.id.to_string().into())),
            (identity::EPOCH, NvsValue::U32(device.epoch.0)),
            (identity::ROOT_KEY, NvsValue::Blob(device.root.expose().to_vec().into())),
            (identity::PROJECT, NvsValue::String("cotter-app".into())),
            (identity::FIRMWARE_KEYS[0], NvsValue::Blob(key.to_vec().into())),
            (identity::FIRMWARE_REQUIRED, NvsValue::U32(1)),
        ];
        let mut image = NvsImage::new(LEN, Version::V2).unwrap();
        for (name, value) in &values {
            image.put(&identity::NAMESPACE, name, value).unwrap();
        }
        let flash = Flash::with_content(image.finish(), Fault::default()).unwrap();
        let mut store = Nvs::mount(Region::new(flash, FlashAddr(0), LEN).unwrap(), None).unwrap();
        let identity: &'static Identity = Box::leak(Box::new(Identity::load(&mut store).unwrap()));
        let mut client = product.connect(server.address).await;
        let opening = Opening::new(identity, &mut System);
        let hello = opening.hello(&mut [0; MAX_MESSAGE]).to_vec();
        let welcome = client.ask("POST", &api::session(&identity.device), &[], hello).await;
        assert_eq!(welcome.status, 200, "{welcome:?}");
        let session = opening.accept(&welcome.body, UPTIME, &mut store).unwrap();
        Self { identity, store, commands: Commands::new(identity), session, client }
    }

    async fn ask(&mut self, method: &str, path: &str, body: Vec<u8>) -> Answer {
        let mut out = [0; MAX_HEADER];
        let header = self.session.sign(&Request { method, path, body: &body }, &mut out).unwrap();
        self.client.ask(method, path, &[(api::SESSION_HEADER, header)], body).await
    }

    async fn fetch(&mut self) -> Answer {
        self.ask("GET", &api::commands(&self.identity.device), Vec::new()).await
    }

    fn receive(&mut self, sealed: &[u8], uptime: u32) -> Received {
        self.commands.receive(sealed, self.session.now(uptime), &mut self.store).unwrap()
    }

    /// Fetches what waits, and begins it.
    async fn begin(&mut self) -> Begun {
        let fetched = self.fetch().await;
        assert_eq!(fetched.status, 200, "{fetched:?}");
        match self.receive(&fetched.body, UPTIME) {
            Received::Execute(begun) => begun,
            Received::Report(result) => panic!("not executed: {result:?}"),
        }
    }

    async fn report(&mut self, result: &CommandResult) -> u16 {
        let body = self.commands.report(result, &mut [0; MAX_RESULT]).to_vec();
        self.ask("POST", &api::command_result(&self.identity.device), body).await.status
    }

    /// Fetches, does and reports one command.
    async fn obey(&mut self, outcome: Outcome, detail: &str) -> CommandResult {
        let begun = self.begin().await;
        let result = self.commands.finish(&begun, outcome, detail, &mut self.store).unwrap();
        assert_eq!(self.report(&result).await, 204);
        result
    }
}

fn path(device: &str) -> String {
    format!("/admin/v1/devices/{device}/commands")
}

async fn send(product: &Product, server: &Running, device: &str, wish: Value) -> (u16, Value) {
    let answer = product.admin(server.address, "POST", &path(device), wish.to_string().into()).await;
    (answer.status, answer.json())
}

/// The reason why a command is not queued.
async fn refusal(product: &Product, server: &Running, device: &str, wish: Value) -> String {
    let (status, answer) = send(product, server, device, wish).await;
    assert_eq!(status, 422, "{answer}");
    answer["reason"].as_str().unwrap().to_owned()
}

/// State and detail of each command, newest first.
async fn states(product: &Product, server: &Running, device: &str) -> Vec<(String, String)> {
    let answer = product.admin(server.address, "GET", &path(device), Vec::new()).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let listed = answer.json();
    let commands = listed["commands"].as_array().unwrap();
    commands.iter().map(|command| (text(&command["state"]), text(&command["detail"]))).collect()
}

fn valve(percent: i64) -> Value {
    json!({ "name": "open-valve", "values": { "percent": percent, "why": "test" } })
}

#[tokio::test]
async fn each_of_three_commands_is_executed_once_and_its_result_stored() {
    let product = Product::with(SCHEMA);
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let mut field = Field::of(&device, &product, &server).await;
    assert_eq!(field.fetch().await.status, 204, "nothing waits");
    for percent in [10, 20, 30] {
        let (status, sent) = send(&product, &server, "a", valve(percent)).await;
        assert_eq!((status, &sent["command"]), (201, &json!(percent / 10)));
    }
    for percent in [10, 20, 30] {
        let begun = field.begin().await;
        assert_eq!(begun.command().name.as_str(), "open-valve");
        assert_eq!(begun.command().value("percent"), Some(&CommandValue::Integer(percent)));
        let result = field.commands.finish(&begun, Outcome::Done, "moved", &mut field.store).unwrap();
        assert_eq!(field.report(&result).await, 204);
        assert_eq!(field.report(&result).await, 204, "the answer was lost");
    }
    assert_eq!(field.fetch().await.status, 204);
    let done = ("done".to_owned(), "moved".to_owned());
    assert_eq!(states(&product, &server, "a").await, [done.clone(), done.clone(), done]);

    let log = product.admin(server.address, "GET", "/admin/v1/audit/entries", Vec::new()).await;
    let log = String::from_utf8(log.body).unwrap();
    assert!(log.contains("command-queued") && log.contains("3: open-valve"), "{log}");
    product.reviewed_audit_log(&[]);
    server.stop().await;
}

#[tokio::test]
async fn what_the_schema_does_not_know_is_not_queued() {
    let product = Product::with(SCHEMA);
    let server = product.serve().await;
    Device::enrolled(&product, server.address, "a").await;
    let refused = async |wish| refusal(&product, &server, "a", wish).await;
    assert_eq!(refused(json!({ "name": "self-destruct" })).await, "command-unknown");
    assert_eq!(refused(valve(101)).await, "command-value");
    let oversize = json!({ "name": "open-valve", "values": { "percent": 1, "why": "123456789" } });
    assert_eq!(refused(oversize).await, "command-value");
    let missing = json!({ "name": "open-valve", "values": { "percent": 1 } });
    assert_eq!(refused(missing).await, "command-value-missing");
    let more = json!({ "name": "reboot", "values": { "now": true } });
    assert_eq!(refused(more).await, "command-unknown-parameter");
    assert_eq!(refused(json!({ "name": "reboot", "seconds": 0 })).await, "command-life");
    assert_eq!(refused(json!({ "name": "reboot", "seconds": 604_801 })).await, "command-life");
    assert_eq!(refused(json!({ "name": "reboot", "twice": true })).await, "command-malformed");
    assert_eq!(refusal(&product, &server, "stranger", json!({ "name": "reboot" })).await, "command-unknown-device");
    for _ in 0..16 {
        assert_eq!(send(&product, &server, "a", json!({ "name": "reboot" })).await.0, 201);
    }
    assert_eq!(refused(json!({ "name": "reboot" })).await, "command-queue-full");
    server.stop().await;
}

#[tokio::test]
async fn a_result_counts_only_from_its_own_device_and_once() {
    let product = Product::with(SCHEMA);
    let server = product.serve().await;
    let (a, b) =
        (Device::enrolled(&product, server.address, "a").await, Device::enrolled(&product, server.address, "b").await);
    let (mut field_a, mut field_b) = (Field::of(&a, &product, &server).await, Field::of(&b, &product, &server).await);
    send(&product, &server, "a", valve(10)).await;
    let to_a = field_a.fetch().await.body;

    // Another device: it cannot fetch it, nor open it, nor answer it.
    let foreign = field_b.ask("GET", &api::commands(&a.id), Vec::new()).await;
    assert_eq!(foreign.status, 401, "in another device's session");
    let refused = field_b.commands.receive(&to_a, field_b.session.now(UPTIME), &mut field_b.store).unwrap_err();
    assert_eq!(refused.to_string(), "command: not sealed for this device, epoch and counter");
    let forged = CommandResult::new(CommandCounter(1), Outcome::Done, "forged");
    assert_eq!(field_b.report(&forged).await, 404, "it was never given one");
    let written = |keys: &DeviceKeys, from: &Device| {
        let from = Address { device: &from.id, epoch: from.epoch, counter: CommandCounter(1) };
        forged.write(&keys.command_result, &from, &mut [0; MAX_RESULT]).unwrap().to_vec()
    };
    let path_a = api::command_result(&a.id);
    assert_eq!(field_b.ask("POST", &path_a, written(&a.keys, &a)).await.status, 401, "not in b's session");
    assert_eq!(field_a.ask("POST", &path_a, written(&b.keys, &a)).await.status, 401, "not with b's key");
    assert_eq!(field_a.ask("POST", &path_a, written(&b.keys, &b)).await.status, 401);
    assert_eq!(field_a.ask("POST", &path_a, b"{}".to_vec()).await.status, 400);
    assert_eq!(states(&product, &server, "a").await, [("delivered".into(), String::new())]);

    let done = field_a.obey(Outcome::Done, "").await;
    assert_eq!(field_a.report(&done).await, 204, "the same again");
    let other = CommandResult::new(done.counter, Outcome::Failed, "");
    assert_eq!(field_a.report(&other).await, 409, "a second result");
    assert_eq!(states(&product, &server, "a").await, [("done".into(), String::new())]);

    // The captured command again: it was executed.
    assert_eq!(field_a.receive(&to_a, UPTIME), Received::Report(done));
    send(&product, &server, "a", valve(20)).await;
    field_a.obey(Outcome::Done, "").await;
    let replayed = field_a.commands.receive(&to_a, field_a.session.now(UPTIME), &mut field_a.store);
    let expected = ReceiveError::Replayed { counter: CommandCounter(1), latest: CommandCounter(2) };
    assert_eq!(replayed.unwrap_err(), expected);
    server.stop().await;
}

#[tokio::test]
async fn late_interrupted_and_cancelled_commands_are_not_executed_later() {
    let product = Product::with(SCHEMA);
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let mut field = Field::of(&device, &product, &server).await;

    // The power goes while it is executed: it is not executed again.
    send(&product, &server, "a", valve(10)).await;
    drop(field.begin().await);
    field.commands = Commands::new(field.identity);
    let again = field.fetch().await;
    let Received::Report(interrupted) = field.receive(&again.body, UPTIME) else { panic!("executed twice") };
    assert_eq!((interrupted.outcome, field.report(&interrupted).await), (Outcome::Interrupted, 204));

    // It was held back on the way: the device knows the time.
    send(&product, &server, "a", json!({ "name": "reboot", "seconds": 600 })).await;
    let held = field.fetch().await.body;
    let Received::Report(expired) = field.receive(&held, UPTIME + 601) else { panic!("executed too late") };
    assert_eq!((expired.outcome, field.report(&expired).await), (Outcome::Expired, 204));

    // Taken back: only as long as the device has not seen it.
    for _ in 0..2 {
        send(&product, &server, "a", json!({ "name": "reboot" })).await;
    }
    let cancel = async |number: u32| {
        let answer = product.admin(server.address, "DELETE", &format!("{}/{number}", path("a")), Vec::new()).await;
        (answer.status, String::from_utf8(answer.body).unwrap())
    };
    let begun = field.begin().await;
    let (status, why) = cancel(3).await;
    assert!(status == 422 && why.contains("command-delivered"), "{why}");
    assert_eq!(cancel(4).await, (204, String::new()));
    assert!(cancel(4).await.1.contains("command-over"));
    assert_eq!(cancel(9).await.0, 404);
    let done = field.commands.finish(&begun, Outcome::Rejected, "not now", &mut field.store).unwrap();
    assert_eq!(field.report(&done).await, 204);
    assert_eq!(field.fetch().await.status, 204, "the cancelled one never comes");

    // New keys: what waited for the old ones is void.
    send(&product, &server, "a", valve(10)).await;
    let renewed = Device::born("a", 2);
    let answer = product.admin(server.address, "POST", api::ADMIN_DEVICES, renewed.record(&product)).await;
    assert_eq!(answer.status, 200);
    let mut field = Field::of(&renewed, &product, &server).await;
    assert_eq!(field.fetch().await.status, 204);
    let expected = ["void", "cancelled", "rejected", "expired", "interrupted"];
    let found: Vec<String> = states(&product, &server, "a").await.into_iter().map(|(state, _)| state).collect();
    assert_eq!(found, expected);
    server.stop().await;
}
