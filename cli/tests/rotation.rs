//! `cotter fleet rotate` and virtual devices with the code that ships in flash: they follow, and find back to a restored server.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod product;

use product::Product;
use std::path::Path;

const ROUND: &str = "fleet simulate --folder sim --devices 2";

/// The database and what belongs to it, from one folder to another.
fn copy_database(from: &Path, to: &Path) {
    for name in ["cotter.db", "cotter.db-wal", "cotter.db-shm"] {
        drop(std::fs::remove_file(to.join(name)));
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

#[test]
fn virtual_devices_follow_a_rotation_and_go_on() {
    let mut product = Product::new();
    product.ca.save(product.folder.path()).unwrap();
    product.signed("1.0.0");
    let boot = format!("{}/../firmware/images/boot.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(boot, product.path("boot.bin")).unwrap();
    product.stdout(&format!(
        "{ROUND} --app 1.0.0.bin --boot boot.bin --ca-key ca.key.pem --enrolment-key enrolment.key \
         --manifest-key manifest.pem"
    ));
    assert_eq!(product.json("fleet device virtual-0001")["epoch"], 1);

    let stored = |name: &str| product.json(&format!("fleet readings {name}"))["readings"].as_array().unwrap().len();
    product.stdout("fleet rotate start --all --overlap 0s");
    let shown = product.json("fleet rotate show 1");
    assert_eq!((&shown["waiting"], &shown["switched"]), (&2.into(), &0.into()));
    for device in product.json(ROUND)["devices"].as_array().unwrap() {
        assert_eq!((&device["reading"], &device["said"]), (&true.into(), &().into()), "{device}");
    }
    let shown = product.json("fleet rotate show 1");
    assert_eq!((&shown["waiting"], &shown["offered"], &shown["switched"]), (&0.into(), &0.into(), &2.into()));
    for name in ["virtual-0001", "virtual-0002"] {
        assert_eq!(product.json(&format!("fleet device {name}"))["epoch"], 2);
        assert_eq!(stored(name), 2, "one reading before, one after");
    }
    product.stdout(ROUND);
    assert_eq!(stored("virtual-0001"), 3);
    assert_eq!(product.json("fleet device virtual-0001")["epoch"], 2, "one order, one key");

    // The server's database is put back to before a rotation that the devices have gone through.
    let before = tempfile::tempdir().unwrap();
    product.kill_and_restart_after(|folder| copy_database(folder, before.path()));
    product.stdout("fleet rotate start --all --overlap 0s");
    product.stdout(ROUND);
    assert_eq!(product.json("fleet device virtual-0001")["epoch"], 3);
    product.kill_and_restart_after(|folder| copy_database(before.path(), folder));
    assert_eq!(product.json("fleet device virtual-0001")["epoch"], 2);
    for device in product.json(ROUND)["devices"].as_array().unwrap() {
        assert_eq!((&device["reading"], &device["said"]), (&true.into(), &().into()), "{device}");
    }
    assert_eq!(product.json("fleet device virtual-0001")["epoch"], 3);
}
