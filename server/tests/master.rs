//! Where the master key comes from, and another one in its place: whenever the change is interrupted, the server starts
//! and every device goes on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod product;

use cotter_server::at_rest::{MasterKey, Use};
use cotter_server::backup::custodian::Custodians;
use cotter_server::backup::{self};
use cotter_server::config::Config;
use cotter_server::host;
use cotter_server::key_file;
use cotter_server::master::{MasterError, Source};
use cotter_server::reseal::{ResealError, Resealed, reseal};
use cotter_server::server::{Server, StartError};
use cotter_server::store::{AuditEntry, DeviceRecord, Store};
use cotter_wire::api;
use cotter_wire::ids::{DeviceId, KeyEpoch, Nonce};
use product::Product;
use product::board::Board;
use product::device::Device;
use product::field::{Fetched, Field};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Lets the configuration name another master key beside the first.
fn name_next(product: &Product, next: &str) {
    let text = std::fs::read_to_string(&product.config).unwrap();
    std::fs::write(&product.config, text.replace("[keys]\n", &format!("[keys]\nnext_master = {next}\n"))).unwrap();
}

/// Lets it name only the new one.
fn forget_old(product: &Product, next: &str) {
    let text = std::fs::read_to_string(&product.config).unwrap();
    let text = text.replace(&format!("next_master = {next}\n"), "");
    std::fs::write(&product.config, text.replace("master = \"master.key\"", &format!("master = {next}"))).unwrap();
}

fn config(product: &Product) -> Config {
    Config::read(&product.config).unwrap()
}

/// The command, until it ends or the time is over.
fn reseal_for(product: &Product, time: Option<Duration>) -> Option<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cotter-server"));
    command.arg("reseal").arg("--config").arg(&product.config).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    if let Some(time) = time {
        std::thread::sleep(time);
        child.kill().unwrap();
    }
    let ended = child.wait_with_output().unwrap();
    ended.status.success().then(|| String::from_utf8(ended.stdout).unwrap())
}

/// Which of two keys opens every secret of the database; it must be one of them.
fn opened_by(product: &Product, names: [&str; 2]) -> usize {
    let connection = rusqlite::Connection::open(product.directory.path().join("cotter.db")).unwrap();
    let mut statement = connection.prepare("SELECT name, sealed_root_key FROM device").unwrap();
    let devices = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))).unwrap();
    let devices: Vec<_> = devices.map(Result::unwrap).collect();
    let count = names.map(|name| {
        let Ok(key) = key_file::read(&product.directory.path().join(name)) else { return 0 };
        let key = MasterKey::new(&key);
        devices.iter().filter(|(id, sealed)| key.open(Use::DeviceRootKey, id.as_bytes(), sealed).is_ok()).count()
    });
    match count {
        [all, 0] if all == devices.len() => 0,
        [0, all] if all == devices.len() => 1,
        _ => unreachable!("of {} secrets, {count:?} open", devices.len()),
    }
}

fn crowd(product: &Product, size: u32) {
    let config = config(product);
    let store = host::open(&config).unwrap();
    let master = MasterKey::new(&config.keys.master.load().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut pending = Vec::new();
        for number in 0..size {
            let id: DeviceId = format!("crowd-{number}").parse().unwrap();
            let record = DeviceRecord {
                id,
                chip: cotter_formats::chip::Chip::Esp32C3,
                mac: [0; 6],
                epoch: KeyEpoch(1),
                sealed_root_key: master.seal(Use::DeviceRootKey, id.as_bytes(), &[1; 32]).unwrap(),
                nonce_floor: Nonce(0),
                secure_boot_digest: [0; 32],
                enrolled_at: 0,
            };
            let text = String::new;
            let note = AuditEntry { at: 0, by: text(), subject: text(), event: text(), detail: text() };
            pending.push(store.enrol(record, note));
            if pending.len() == 500 {
                for enrolled in pending.drain(..) {
                    enrolled.await.unwrap();
                }
            }
        }
        for enrolled in pending {
            enrolled.await.unwrap();
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_go_on_under_another_master_key_and_the_old_secrets_are_overwritten() {
    let product = Product::new();
    let server = product.spawn();
    let device = Device::enrolled(&product, server.address, "device-1").await;
    let path = api::telemetry(&device.id);
    let mut client = product.connect(server.address).await;
    assert_eq!(client.ask("POST", &path, &[], device.packet(1)).await.status, 200);
    assert!(matches!(reseal(&config(&product)), Err(ResealError::NoNext)));
    name_next(&product, "\"second.key\"");
    assert!(matches!(reseal(&config(&product)), Err(ResealError::Occupied(_))), "a server runs");
    server.kill();
    // Named, but nothing was changed yet.
    let server = product.spawn();
    let mut client = product.connect(server.address).await;
    assert_eq!(client.ask("POST", &path, &[], device.packet(2)).await.status, 200);
    server.kill();

    let sealed = {
        let connection = rusqlite::Connection::open(product.directory.path().join("cotter.db")).unwrap();
        let query = "SELECT sealed_root_key FROM device";
        connection.query_row(query, [], |row| row.get::<_, Vec<u8>>(0)).unwrap()
    };
    assert_eq!(reseal(&config(&product)).unwrap(), Resealed::Now(1));
    assert_eq!(reseal(&config(&product)).unwrap(), Resealed::Before);
    assert_eq!(opened_by(&product, ["master.key", "second.key"]), 1);
    for entry in std::fs::read_dir(product.directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let content = std::fs::read(&path).unwrap();
            assert!(!content.windows(sealed.len()).any(|part| part == sealed), "{}", path.display());
        }
    }

    // With both named, and then without the old one.
    for nonce in [3, 4] {
        let server = product.spawn();
        let mut client = product.connect(server.address).await;
        assert_eq!(client.ask("POST", &path, &[], device.packet(nonce)).await.status, 200);
        let keys = product.admin(server.address, "GET", "/admin/v1/keys", Vec::new()).await.json();
        let names = keys["keys"].as_array().unwrap();
        assert_eq!(names.iter().filter(|age| age["key"] == "master").count(), 1);
        let audited = product.admin(server.address, "GET", "/admin/v1/audit/entries?from=0&limit=99", Vec::new()).await;
        let log = String::from_utf8(audited.body).unwrap();
        assert_eq!(log.matches(r#""event":"master-key-changed""#).count(), 1, "{log}");
        assert_eq!(log.matches(r#""event":"key-replaced""#).count(), 0, "{log}");
        server.kill();
        if nonce == 3 {
            forget_old(&product, "\"second.key\"");
            std::fs::remove_file(product.directory.path().join("master.key")).unwrap();
        }
    }
    product.reviewed_audit_log(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_goes_on_under_another_master_key() {
    let product = Product::with("\n[ingest]\nnonce_floor = 10000\n");
    let server = product.spawn();
    let mut fields = Vec::new();
    for name in ["has-stored-it", "has-asked", "waits"] {
        fields.push(Field::of(&product, server.address, name).await);
    }
    let order = br#"{"scope":"all","overlap_seconds":600}"#.to_vec();
    assert_eq!(product.admin(server.address, "POST", "/admin/v1/rotations", order).await.status, 201);
    // One has the new key in its flash; the answer to the other was lost.
    for (field, keeps) in fields.iter_mut().zip([true, false]) {
        let (mut store, identity) = field.board.boot();
        let before = field.board.flash.content();
        assert!(matches!(field.fetch(&identity, &mut store).await.unwrap(), Fetched::Pending));
        if !keeps {
            field.board = Board::with_content(before);
        }
    }
    server.kill();
    name_next(&product, "\"second.key\"");
    assert!(matches!(reseal(&config(&product)).unwrap(), Resealed::Now(_)));
    forget_old(&product, "\"second.key\"");
    std::fs::remove_file(product.directory.path().join("master.key")).unwrap();

    let server = product.spawn();
    for field in &mut fields {
        field.client = product.connect(server.address).await;
        assert_eq!(field.follow().await.unwrap().epoch.0, 2);
        let packet = field.sealed();
        assert_eq!(field.upload(packet).await.status, 200);
    }
    server.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_does_not_start_with_a_key_that_opens_nothing() {
    let product = Product::new();
    let server = product.serve().await;
    Device::enrolled(&product, server.address, "device-1").await;
    server.stop().await;
    let master = product.directory.path().join("master.key");
    let kept = std::fs::read(&master).unwrap();
    std::fs::remove_file(&master).unwrap();
    key_file::create(&master).unwrap();
    let refused = Server::bind(&config(&product)).await.err().unwrap();
    assert_eq!(
        refused.to_string(),
        "master key: it does not open what is stored: the database was sealed under another one"
    );
    assert!(refused.next_step().is_some());
    std::fs::write(&master, kept).unwrap();
    product.serve().await.stop().await;
}

#[test]
fn kill_minus_nine_at_any_moment_leaves_one_key_that_opens_everything() {
    const ROUNDS: u32 = 30;
    let product = Product::new();
    crowd(&product, 8_000);
    name_next(&product, "\"second.key\"");
    let begun = std::time::Instant::now();
    assert_eq!(reseal_for(&product, None).unwrap(), "{\"result\":\"resealed\",\"secrets\":8000}\n");
    let whole = begun.elapsed();
    let (mut interrupted, mut done) = (0, 0);
    for round in 0..ROUNDS {
        // Back and forth: what is new now is the old one then.
        let names = ["master.key", "second.key"];
        let text = std::fs::read_to_string(&product.config).unwrap();
        let now = opened_by(&product, names);
        let (from, to) = (names[now], names[1 - now]);
        let text: String = text
            .lines()
            .map(|line| match line.split_once(" = ") {
                Some(("master", _)) => format!("master = \"{from}\"\n"),
                Some(("next_master", _)) => format!("next_master = \"{to}\"\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        std::fs::write(&product.config, text).unwrap();
        if round % 3 == 0 {
            // A key that is yet to be made; it may have been interrupted before that already.
            let _ = std::fs::remove_file(product.directory.path().join(to));
        }
        let ended = reseal_for(&product, Some(whole * (round + 1) / ROUNDS));
        let after = opened_by(&product, names);
        if ended.is_some() {
            assert_ne!(after, now);
        }
        if after == now {
            interrupted += 1
        } else {
            done += 1
        }
        let config = config(&product);
        let store = host::open(&config).unwrap();
        let found = cotter_server::master::in_use(&config.keys, &store).unwrap();
        let expected = key_file::read(&product.directory.path().join(names[after])).unwrap();
        assert!(found.ct_eq(&expected), "round {round}: the server finds the key that opens");
    }
    product.reviewed_audit_log(&[]);
    println!("{ROUNDS} kills within {whole:?}: {interrupted} times nothing was changed, {done} times everything");
    assert!(interrupted > 0);
    assert!(reseal_for(&product, None).is_some(), "the same command goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_key_in_the_environment_is_in_the_backup_and_nowhere_on_the_host() {
    let mut product = Product::new();
    let server = product.spawn();
    let device = Device::enrolled(&product, server.address, "device-1").await;
    let path = api::telemetry(&device.id);
    server.kill();
    let key = "5a".repeat(32);
    name_next(&product, "{ env = \"COTTER_TEST_MASTER\" }");
    let command = |words: &[&str], variable: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cotter-server"));
        command.args(words).env_remove("COTTER_TEST_MASTER").envs(variable.map(|key| ("COTTER_TEST_MASTER", key)));
        let ended = command.output().unwrap();
        (ended.status.success(), String::from_utf8(ended.stdout).unwrap(), String::from_utf8(ended.stderr).unwrap())
    };
    let configuration = product.config.to_str().unwrap().to_owned();
    let reseal = ["reseal", "--config", &configuration];
    let (ok, _, said) = command(&reseal, None);
    assert!(!ok && said.contains("the environment variable COTTER_TEST_MASTER is not set\nhelp: set it"), "{said}");
    let (ok, _, said) = command(&reseal, Some("5A"));
    assert!(!ok && said.contains("does not hold 64 lower-case hexadecimal digits"), "{said}");
    assert_eq!(command(&reseal, Some(&key)).1, "{\"result\":\"resealed\",\"secrets\":1}\n");
    forget_old(&product, "{ env = \"COTTER_TEST_MASTER\" }");
    std::fs::remove_file(product.directory.path().join("master.key")).unwrap();
    assert_eq!(config(&product).keys.master, Source::Env("COTTER_TEST_MASTER".into()));

    let server = product.spawn_after(&format!("export COTTER_TEST_MASTER={key}"));
    let mut client = product.connect(server.address).await;
    assert_eq!(client.ask("POST", &path, &[], device.packet(1)).await.status, 200);
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("a.backup");
    let (to, shares) = (file.to_str().unwrap(), elsewhere.path().join("shares"));
    let make = ["backup", "make", "--config", &configuration, "--shares", shares.to_str().unwrap(), to];
    assert!(!command(&make, None).0, "what the environment has not, nobody can back up");
    let (ok, _, said) = command(&make, Some(&key));
    assert!(ok, "{said}");
    server.kill();
    for entry in std::fs::read_dir(product.directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let content = if path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        assert!(!content.windows(64).any(|part| part == key.as_bytes()), "{}", path.display());
    }

    let into = elsewhere.path().join("server");
    let share = shares.join("share-1.txt");
    let (ok, _, said) =
        command(&["backup", "restore", "--share", share.to_str().unwrap(), "--into", into.to_str().unwrap(), to], None);
    assert!(ok, "{said}");
    product.config = into.join("cotter.toml");
    assert_eq!(config(&product).keys.master, Source::File(into.join("keys-master")));
    let server = product.spawn();
    let mut client = product.connect(server.address).await;
    assert_eq!(client.ask("POST", &path, &[], device.packet(2)).await.status, 200, "no environment is needed");
    server.kill();
}

#[test]
fn a_backup_between_naming_and_changing_restores_the_key_in_use() {
    let product = Product::new();
    crowd(&product, 3);
    name_next(&product, "\"second.key\"");
    let elsewhere = tempfile::tempdir().unwrap();
    for (round, changed) in [(0, false), (1, true)] {
        if changed {
            assert_eq!(reseal(&config(&product)).unwrap(), Resealed::Now(3));
        }
        let file = elsewhere.path().join(format!("{round}.backup"));
        let shares = backup::make(&product.config, &file, Custodians::ALONE, |_| Ok(())).unwrap().shares;
        let into = elsewhere.path().join(format!("server-{round}"));
        assert_eq!(backup::restore(&file, &shares, &into).unwrap().sealed_keys, 3);
        let restored = Config::read(&into.join("cotter.toml")).unwrap();
        assert_eq!(restored.keys.next_master, None);
        let name = if changed { "second.key" } else { "master.key" };
        let expected = key_file::read(&product.directory.path().join(name)).unwrap();
        assert!(restored.keys.master.load().unwrap().ct_eq(&expected));
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let product = Product::new();
    std::fs::remove_file(product.directory.path().join("master.key")).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let refused = runtime.block_on(Server::bind(&config(&product))).err().unwrap();
    assert!(matches!(&refused, StartError::Open(cotter_server::OpenError::Master(MasterError::File(_)))), "{refused}");
}
