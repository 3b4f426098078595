//! `cotter release trust` and `cotter fleet trust`: the keys of a product change, as its people type it.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod product;

use cotter_factory::signing::ManifestKey;
use product::Product;

fn with_new_key() -> Product {
    let product = Product::new();
    let new = ManifestKey::generate_p256().unwrap();
    new.save(&product.path("new.key.pem")).unwrap();
    std::fs::write(product.path("new.pem"), new.public_pem().unwrap()).unwrap();
    product
}

const NEW: &str = "release trust new --project cotter-app --number 1 --key new.pem -o 1.trust";

#[test]
fn a_statement_is_written_signed_by_both_sides_and_checked_offline() {
    let product = with_new_key();
    let drafted = product.stdout(NEW);
    assert!(drafted.starts_with("number 1 of cotter-app: releases need 1 of 1 keys\n"), "{drafted}");
    assert!(drafted.contains("has not signed this"));
    assert!(product.refusal(NEW).contains("1.trust exists"));
    let verify = "release trust verify 1.trust --key manifest.pem";
    assert!(product.refusal(verify).contains("trust statement: not signed"));
    product.stdout("release trust sign 1.trust --key new.key.pem");
    let refused = product.refusal(verify);
    assert!(refused.contains("0 signatures by the keys that it replaces, 1 required"), "{refused}");
    assert!(refused.contains("help: `cotter release trust show`"), "{refused}");
    let again = product.refusal("release trust sign 1.trust --key new.key.pem");
    assert!(again.contains("has signed it already"), "{again}");
    product.stdout("release trust sign 1.trust --key manifest.key.pem");
    assert_eq!(product.stdout(verify), "a device at number 0 follows this statement to number 1\n");
    let shown = product.json("release trust show 1.trust");
    assert_eq!((&shown["keys"][0]["signed"], shown["other_signatures"].as_array().unwrap().len()), (&true.into(), 1));

    // The next one, back to the first key and with a Secure Boot key.
    let digest = "ab".repeat(32);
    let next = format!(
        "release trust new --project cotter-app --number 2 --key manifest.pem --secure-boot {digest} -o 2.trust"
    );
    assert!(product.stdout(&next).contains(&format!("Secure Boot key {digest}")));
    product.stdout("release trust sign 2.trust --key manifest.key.pem --key new.key.pem");
    let after = product.stdout("release trust verify 2.trust --after 1.trust");
    assert_eq!(after, "a device at number 1 follows this statement to number 2\n");
    let skipped = product.refusal("release trust verify 2.trust --key manifest.pem");
    assert!(skipped.contains("number 2 does not follow number 0"), "{skipped}");
    product.run("release trust verify 2.trust").assert().code(2);
    product.run("release trust new --project a --number 0 --key new.pem -o 0.trust").assert().code(2);
    let twice = product.refusal("release trust new --project a --number 1 --key new.pem --key new.pem -o x.trust");
    assert!(twice.contains("is there twice"), "{twice}");
}

#[test]
fn the_keys_change_on_the_server_and_what_is_too_early_is_refused() {
    let product = with_new_key();
    assert!(product.stdout("fleet trust show").starts_with("trust number 0: 1 of 1 keys "));
    product.stdout(NEW);
    let refused = product.refusal("fleet trust plan 1.trust");
    assert!(refused.contains("(trust-unsigned)") && refused.contains("help: `cotter release trust sign`"), "{refused}");
    product.stdout("release trust sign 1.trust --key manifest.key.pem --key new.key.pem");
    product.born("solar-1");
    product.stdout("fleet enrol solar-1.json");
    assert_eq!(product.stdout("fleet trust plan 1.trust --days 7"), "trust number 1 is planned\n");
    let twice = product.refusal("fleet trust plan 1.trust");
    assert!(twice.contains("one change after the other (trust-unfinished)"), "{twice}");
    assert_eq!(product.stdout("fleet trust cancel"), "trust number 1 is cancelled\n");
    assert_eq!(product.stdout("fleet trust plan 1.trust --days 7"), "trust number 1 is planned\n");
    assert_eq!(product.stdout("fleet trust start"), "trust number 1 is bridging\n");
    let shown = product.stdout("fleet trust show");
    for said in ["bridging since", "not seen for 7 days", "0 of 1 devices have followed", "solar-1", "as made"] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    let refused = product.refusal("fleet trust retire");
    assert!(refused.contains("1 have not: solar-1 (trust-not-adopted)"), "{refused}");
    assert!(refused.contains("help: `cotter fleet trust show` names them"), "{refused}");
    assert!(product.refusal("fleet trust retire --leave-behind").contains("trust-not-adopted"));
    let json = product.json("fleet trust show");
    assert_eq!(
        (&json["missing"][0]["device"], &json["statements"][0]["state"]),
        (&"solar-1".into(), &"bridging".into())
    );
    // A release of the old key alone does not go out; one of both does.
    product.signed("1.1.0");
    product.stdout("release upload 1.1.0.release");
    let alone = product.refusal("release publish 1.1.0");
    assert!(alone.contains("devices at trust number 1 would refuse it"), "{alone}");
    let image = format!("{}/../firmware/images/app-1.2.0.bin", env!("CARGO_MANIFEST_DIR"));
    let signed = product.secure_boot.sign(&std::fs::read(image).unwrap()).unwrap();
    std::fs::write(product.path("1.2.0.bin"), signed).unwrap();
    product.stdout("release sign 1.2.0.bin --key manifest.key.pem --key new.key.pem -o 1.2.0.release");
    product.stdout("release upload 1.2.0.release");
    product.stdout("release publish 1.2.0");
}

/// The code that ships in flash, on a virtual chip: it boots, follows, and takes a release that only the new key signed.
#[test]
fn a_virtual_device_follows_and_takes_a_release_of_the_new_key_alone() {
    let product = with_new_key();
    product.ca.save(product.folder.path()).unwrap();
    product.signed("1.0.0");
    let boot = format!("{}/../firmware/images/boot.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(boot, product.path("boot.bin")).unwrap();
    let round = "fleet simulate --folder sim";
    product.stdout(&format!(
        "{round} --app 1.0.0.bin --boot boot.bin --ca-key ca.key.pem --enrolment-key enrolment.key \
         --manifest-key manifest.pem"
    ));
    product.stdout(NEW);
    product.stdout("release trust sign 1.trust --key manifest.key.pem --key new.key.pem");
    product.stdout("fleet trust plan 1.trust");
    product.stdout("fleet trust start");
    assert_eq!(product.json("fleet trust show")["numbers"], serde_json::json!([{ "number": 0, "devices": 1 }]));
    product.stdout(round);
    let shown = product.stdout("fleet trust show");
    assert!(shown.contains("adopted since") && shown.contains("1 of 1 devices have followed"), "{shown}");
    assert_eq!(product.stdout("fleet trust retire"), "trust number 1 is retired\n");

    let image = format!("{}/../firmware/images/app-1.1.0.bin", env!("CARGO_MANIFEST_DIR"));
    let signed = product.secure_boot.sign(&std::fs::read(image).unwrap()).unwrap();
    std::fs::write(product.path("1.1.0.bin"), signed).unwrap();
    product.stdout("release sign 1.1.0.bin --key manifest.key.pem -o old.release");
    assert!(product.refusal("release upload old.release").contains("(manifest-untrusted)"));
    product.stdout("release sign 1.1.0.bin --key new.key.pem -o new.release");
    product.stdout("release upload new.release");
    product.stdout("release publish 1.1.0");
    assert_eq!(product.json(round)["devices"][0]["runs"], "1.1.0");
}
