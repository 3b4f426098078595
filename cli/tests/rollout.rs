//! `cotter rollout` and `cotter fleet tag` as a release manager types them, on a server process over TLS.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod product;

use product::{Product, refusal};

fn with_release() -> Product {
    let product = Product::new();
    product.signed("1.1.0");
    product.stdout("release upload 1.1.0.release");
    product
}

#[test]
fn a_rollout_is_planned_started_paused_and_aborted() {
    let product = with_release();
    assert_eq!(product.stdout("rollout list"), "no rollouts\n");
    let planned = product.stdout(
        "rollout create 1.1.0 --stage tag:beta,reports=2 --stage 12.5%,success=80,failure=20,abort --stage 100% \
         --running-from 1.0.0 --without-tag lab",
    );
    assert!(planned.starts_with("rollout 1 of 1.1.0: draft, stage 1 of 3\n"), "{planned}");
    for said in ["only if running_from 1.0.0", "only if without_tag lab", "12.5%", "20 %, abort", "tag:beta"] {
        assert!(planned.contains(said), "{said}: {planned}");
    }
    let shown = product.json("rollout show 1 --devices");
    assert_eq!(shown["stages"][0]["reports"], 2);
    assert_eq!(shown["stages"][1]["percent"], 12.5);
    assert_eq!(shown["devices"], serde_json::json!([]));

    assert_eq!(product.stdout("rollout start 1"), "rollout 1 is running\n");
    let again = product.refusal("rollout start 1");
    assert!(again.contains("it is running, so start makes no sense") && again.contains("help: `cotter rollout show`"));
    assert_eq!(product.stdout("rollout pause 1"), "rollout 1 is paused\n");
    assert_eq!(product.stdout("rollout resume 1"), "rollout 1 is running\n");
    assert_eq!(product.stdout("rollout advance 1"), "rollout 1 is running\n");
    assert!(product.stdout("rollout list").contains("2 of 3"));
    assert_eq!(product.stdout("rollout retry 1"), "rollout 1: offered again to 0 devices\n");
    assert_eq!(product.stdout("rollout abort 1"), "rollout 1 is aborted\n");
    assert!(product.refusal("rollout resume 1").contains("(rollout-state)"));
    assert!(product.refusal("rollout show 7").contains("404"));
    assert_eq!(product.stdout("rollout create 1.1.0 --stage 100% --start"), "rollout 2 is running\n");
}

#[test]
fn what_makes_no_sense_is_refused_where_it_is_noticed() {
    let product = with_release();
    for bad in ["5", "tag:B", "5%,stop", "x%"] {
        product.run(&format!("rollout create 1.1.0 --stage {bad}")).assert().code(2);
    }
    product.run("rollout create 1.1.0").assert().code(2);
    let shrinks = product.refusal("rollout create 1.1.0 --stage 20% --stage 5%");
    assert!(shrinks.contains("stage 2 has no larger share") && shrinks.contains("(rollout-malformed)"), "{shrinks}");
    let chip = product.refusal("rollout create 1.1.0 --stage 5% --chip esp32");
    assert!(chip.contains("for esp32, but the release is for esp32c3"), "{chip}");
    assert!(product.refusal("rollout create 9.9.9 --stage 5%").contains("no release 9.9.9"));
    assert_eq!(product.stdout("rollout list"), "no rollouts\n");
}

#[test]
fn tags_are_put_on_devices_and_roles_hold() {
    let product = with_release();
    for name in ["solar-1", "solar-2"] {
        product.born(name);
    }
    product.stdout("fleet enrol solar-1.json solar-2.json");
    assert_eq!(product.stdout("fleet tag add beta solar-1 solar-2"), "beta is on 2 devices\n");
    assert_eq!(product.stdout("fleet tag remove beta solar-2"), "beta is off 1 device\n");
    let device = product.stdout("fleet device solar-1");
    assert!(device.contains("tags: beta") && device.contains("never asked for updates"), "{device}");
    assert!(product.refusal("fleet tag add beta nobody").contains("404"));
    product.run("fleet tag add Beta solar-1").assert().code(2);

    product.stdout("fleet token add bob --role operator -o bob.token");
    let bob = |arguments: &str| {
        let mut command = product.run(arguments);
        command.env("COTTER_TOKEN_FILE", "bob.token");
        command
    };
    bob("fleet tag add lab solar-2").assert().success();
    bob("rollout list").assert().success();
    assert!(refusal(bob("rollout create 1.1.0 --stage 5%")).contains("403"));
}

#[test]
fn a_rollout_is_where_it_was_after_kill_minus_nine() {
    let mut product = with_release();
    product.stdout("rollout create 1.1.0 --stage 5% --stage 100% --start");
    product.stdout("rollout advance 1");
    let before = product.json("rollout show 1");
    product.kill_and_restart();
    assert_eq!(product.json("rollout show 1"), before);
}

#[test]
fn a_release_tells_what_it_burns_and_publishing_is_a_rollout_to_everybody() {
    let product = with_release();
    let shown = product.stdout("release show 1.1.0");
    assert!(shown.contains("secure_version 1 of the 16 that the chip's eFuses can count: burns 1, for good; 15 left"));
    product.stdout("release publish 1.1.0");
    let shown = product.stdout("rollout show 1");
    assert!(shown.starts_with("rollout 1 of 1.1.0: finished, stage 1 of 1 (published)"), "{shown}");
    assert!(product.stdout("release show 1.1.0").contains("burns none, 15 left"));
    assert_eq!(product.stdout("rollout pause 1"), "rollout 1 is paused\n");
}
