//! `cotter fleet simulate`: virtual devices that a server takes for real ones, through updates, a rollback and a pause.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod product;

use product::Product;

const ROUND: &str = "fleet simulate --folder sim --devices 3";

fn steps(product: &Product, rollout: u32) -> Vec<String> {
    let shown = product.json(&format!("rollout show {rollout} --devices"));
    shown["devices"].as_array().unwrap().iter().map(|device| device["step"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_virtual_fleet_is_born_updates_in_stages_and_stops_a_bad_release() {
    let product = Product::new();
    product.ca.save(product.folder.path()).unwrap();
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        product.signed(version);
    }
    let boot = format!("{}/../firmware/images/boot.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(boot, product.path("boot.bin")).unwrap();
    let missing = product.refusal(ROUND);
    assert!(missing.contains("3 devices are to be made") && missing.contains("help: --app"), "{missing}");
    let born = product.json(&format!(
        "{ROUND} --app 1.0.0.bin --boot boot.bin --ca-key ca.key.pem --enrolment-key enrolment.key \
         --manifest-key manifest.pem"
    ));
    for device in born["devices"].as_array().unwrap() {
        assert_eq!((&device["reading"], &device["runs"], &device["said"]), (&true.into(), &"1.0.0".into(), &().into()));
    }
    assert_eq!(product.json("fleet readings virtual-0002")["readings"].as_array().unwrap().len(), 1);

    product.stdout("release upload 1.1.0.release");
    product.stdout("fleet tag add beta virtual-0002");
    product.stdout("rollout create 1.1.0 --stage tag:beta --stage 100% --start");
    let versions = |round: &serde_json::Value| -> Vec<String> {
        let devices = round["devices"].as_array().unwrap();
        devices.iter().map(|device| device["runs"].as_str().unwrap().to_owned()).collect()
    };
    // virtual-0002 reports before virtual-0003 asks, so that the second stage has begun by then.
    assert_eq!(versions(&product.json(ROUND)), ["1.0.0", "1.1.0", "1.1.0"]);
    assert_eq!(versions(&product.json(ROUND)), ["1.1.0", "1.1.0", "1.1.0"]);
    assert_eq!(product.json("rollout show 1")["state"], "finished");
    assert_eq!(steps(&product, 1), ["installed"; 3]);
    let device = product.stdout("fleet device virtual-0001");
    assert!(device.contains("runs 1.1.0 since") && device.contains("secure_version 1 (15 of 16 eFuse steps left)"));

    // Genuine, signed, and broken.
    product.stdout("release upload 1.2.0.release");
    product.stdout("rollout create 1.2.0 --stage 100%,failure=50,reports=2 --start");
    let round = product.json(ROUND);
    assert_eq!(versions(&round), ["1.1.0", "1.1.0", "1.1.0"]);
    assert_eq!(round["devices"][0]["said"], "rolled back");
    assert_eq!(round["devices"][2]["said"], serde_json::Value::Null, "it was offered nothing any more");
    let shown = product.stdout("rollout show 2");
    assert!(shown.starts_with("rollout 2 of 1.2.0: paused, stage 1 of 1 (stage 1: 2 offered, 0 installed, 2 failed)"));
    assert_eq!(steps(&product, 2), ["rolled-back"; 2]);
    let history = product.stdout("fleet history virtual-0001");
    assert!(history.contains("rolled-back: self-test-zero-gain"), "{history}");
}
