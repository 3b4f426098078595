//! A disk that is full or read-only: a clear refusal, nothing acknowledged that is not stored, and work again when there
//! is room again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![allow(clippy::print_stderr, reason = "counts, for whoever reads the test's output")]

mod product;

use product::client::Client;
use product::device::Device;
use product::{Process, Product};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const REFUSED: &str = "{\"result\":\"refused\"}";

/// Uploads from `nonce` on until one is refused for want of room; what was acknowledged, and the nonce that was not.
async fn until_refused(client: &mut Client, device: &Device, mut nonce: u32) -> (Vec<u64>, u32) {
    let mut acknowledged = Vec::new();
    loop {
        assert!(acknowledged.len() < 5_000, "there is still room");
        let answer = device.upload(client, device.packet(nonce)).await;
        if answer.status != 200 {
            assert_eq!(answer.is(), (503, REFUSED));
            return (acknowledged, nonce);
        }
        acknowledged.push(u64::from(nonce));
        nonce += 1;
    }
}

/// Refused as long as there is no room, accepted with the same packet when there is.
async fn refuses_and_recovers(product: &Product, server: &Process, take_room: impl FnOnce(), give_room: impl FnOnce()) {
    let address = server.address;
    let device = Device::enrolled(product, address, "a").await;
    let mut client = product.connect(address).await;
    for nonce in 1..=3 {
        assert_eq!(device.upload(&mut client, device.packet(nonce)).await.status, 200);
    }
    take_room();
    let (acknowledged, refused) = until_refused(&mut client, &device, 4).await;
    for _ in 0..5 {
        assert_eq!(device.upload(&mut client, device.packet(refused)).await.is(), (503, REFUSED));
    }
    assert_eq!(client.ask("GET", "/healthz", &[], Vec::new()).await.status, 503);
    let newcomer = Device::born("b", 1);
    let answer = product.admin(address, "POST", cotter_wire::api::ADMIN_DEVICES, newcomer.record(product)).await;
    assert_eq!(answer.status, 503, "{:?}", answer.is());
    let newest = |stored: Vec<u64>| stored.first().copied();
    assert_eq!(newest(product.stored_nonces(address, "a").await), Some(u64::from(refused) - 1));

    give_room();
    assert_eq!(device.upload(&mut client, device.packet(refused)).await.status, 200, "its nonce was not burnt");
    assert_eq!(client.ask("GET", "/healthz", &[], Vec::new()).await.status, 200);
    assert_eq!(newest(product.stored_nonces(address, "a").await), Some(u64::from(refused)));
    let record = newcomer.record(product);
    assert_eq!(product.admin(address, "POST", cotter_wire::api::ADMIN_DEVICES, record).await.status, 201);
    eprintln!("{} acknowledged in what room was left, then refused, then accepted", acknowledged.len());
}

/// The limit on the size of a file, which needs no rights: every write beyond it fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_may_not_grow_is_refused_and_recovered_from() {
    let product = Product::new();
    let server = product.spawn_after("trap '' XFSZ");
    let limit = |size: &str| {
        let process = server.id().to_string();
        let status = Command::new("prlimit").args(["--pid", &process, &format!("--fsize={size}:")]).status().unwrap();
        assert!(status.success());
    };
    let log = product.directory.path().join("cotter.db-wal");
    let logged = || std::fs::metadata(product.directory.path().join("log")).unwrap().len();
    let take_room = || limit(&std::fs::metadata(&log).unwrap().len().to_string());
    let before = logged();
    let give_room = || {
        assert_eq!(logged(), before, "what went wrong could not be logged either");
        limit("unlimited");
    };
    refuses_and_recovers(&product, &server, take_room, give_room).await;
    product_is_whole(&product, server).await;
}

/// A file system of two megabytes, which root may make; elsewhere this says that it was not run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_refused_and_recovered_from_and_a_read_only_one_is_not_served_from() {
    let product = Product::new();
    let Some(disk) = Disk::mount(product.directory.path().join("disk")) else {
        assert!(std::env::var_os("CI").is_none(), "a file system cannot be mounted here, and in CI nothing is skipped");
        eprintln!("NOT RUN: a file system cannot be mounted here");
        return;
    };
    for name in ["cotter.db", "cotter.db-wal", "cotter.db-shm"] {
        let (from, to) = (product.directory.path().join(name), disk.0.join(name));
        if from.exists() {
            std::fs::copy(&from, &to).unwrap();
            std::fs::remove_file(&from).unwrap();
        }
    }
    let text = std::fs::read_to_string(&product.config).unwrap();
    std::fs::write(&product.config, text.replace("data = \".\"", "data = \"disk\"")).unwrap();

    let server = product.spawn();
    let ballast = disk.0.join("ballast");
    let take_room = || {
        let mut file = std::fs::File::create(&ballast).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    };
    refuses_and_recovers(&product, &server, take_room, || std::fs::remove_file(&ballast).unwrap()).await;
    let stored = product.stored_nonces(server.address, "a").await;
    server.kill();

    disk.remount("ro");
    let refused = Command::new(env!("CARGO_BIN_EXE_cotter-server"))
        .args(["serve", "--config"])
        .arg(&product.config)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && refused.stdout.is_empty(), "{said}");
    assert!(said.to_lowercase().contains("read-only") || said.contains("readonly"), "{said}");
    disk.remount("rw");
    let server = product.spawn();
    assert_eq!(product.stored_nonces(server.address, "a").await, stored);
    server.kill();
}

/// After a kill and a new start everything that was stored is there, and the log is what was signed.
async fn product_is_whole(product: &Product, server: Process) {
    let stored = product.stored_nonces(server.address, "a").await;
    server.kill();
    let server = product.spawn();
    assert_eq!(product.stored_nonces(server.address, "a").await, stored);
    server.kill();
    product.reviewed_audit_log(&[]);
}

struct Disk(PathBuf);

impl Disk {
    fn mount(path: PathBuf) -> Option<Self> {
        std::fs::create_dir(&path).unwrap();
        let disk = Self(path);
        disk.run(&["-t", "tmpfs", "-o", "size=2m", "tmpfs"], "mount").then_some(disk)
    }

    fn remount(&self, how: &str) {
        assert!(self.run(&["-o", &format!("remount,{how}")], "mount"));
    }

    fn run(&self, arguments: &[&str], program: &str) -> bool {
        let path: &Path = &self.0;
        Command::new(program).args(arguments).arg(path).output().is_ok_and(|output| output.status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a server may still be ending.
        self.run(&["-l"], "umount");
    }
}
