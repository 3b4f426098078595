//! `cotter fleet` and `cotter release` as an operator types them, on a server process over TLS.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod product;

use cotter_factory::pki::ProductCa;
use product::{Product, refusal};
use std::os::unix::fs::PermissionsExt;

#[test]
fn devices_are_taken_in_once_and_listed() {
    let product = Product::new();
    assert_eq!(product.stdout("fleet devices"), "no devices\n");
    for name in ["solar-1", "solar-2", "solar-3"] {
        product.born(name);
    }
    let enrolled = product.stdout("fleet enrol solar-1.json solar-2.json solar-3.json");
    assert!(enrolled.contains("solar-2 enrolled, key epoch 1\n") && enrolled.ends_with("3 taken in, 0 refused\n"));
    // A record again, and one of another factory: the good one among them is taken in.
    product.born("solar-4");
    std::fs::write(product.path("foreign.json"), "{}").unwrap();
    let assert = product.run("fleet enrol solar-1.json foreign.json solar-4.json").assert().code(1);
    let said = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    assert!(said.contains("solar-1.json: the server refuses: solar-1 is enrolled with key epoch 1 already"), "{said}");
    assert!(said.contains("(enrolment-malformed)") && said.ends_with("1 taken in, 2 refused\n"), "{said}");

    let devices = product.json("fleet devices");
    let names: Vec<_> = devices["devices"].as_array().unwrap().iter().map(|device| &device["device"]).collect();
    assert_eq!(names, ["solar-1", "solar-2", "solar-3", "solar-4"]);
    let page = product.stdout("fleet devices --after solar-1 --limit 2");
    assert!(page.contains("solar-3") && !page.contains("solar-4"), "{page}");
    assert!(page.ends_with("more with --after solar-3\n"), "{page}");

    let device = product.json("fleet device solar-4");
    assert_eq!((&device["chip"], &device["mac"]), (&"esp32c3".into(), &"02:00:00:00:00:01".into()));
    let unknown = product.refusal("fleet device nobody");
    assert!(unknown.contains("404") && unknown.contains("help: `cotter fleet devices`"), "{unknown}");
    assert_eq!((&device["last_nonce"], &device["minimum_protocol"]), (&0.into(), &1.into()));
    assert_eq!(product.stdout("fleet minimum-protocol solar-4 2"), "solar-4 speaks protocol 2 or newer\n");
    assert!(product.stdout("fleet device solar-4").contains("speaks protocol 2 or newer"));
    let lower = product.refusal("fleet minimum-protocol solar-4 1");
    assert!(lower.contains("speaks protocol 2 at least, and that is never lowered"), "{lower}");
    assert!(product.refusal("fleet minimum-protocol nobody 2").contains("help: `cotter fleet devices`"));
    assert_eq!(product.stdout("fleet readings solar-4"), "no readings of solar-4\n");
    assert_eq!(product.stdout("fleet history solar-4"), "solar-4 has said nothing about updates\n");
}

#[test]
fn keys_of_devices_are_registered_until_they_are_removed() {
    let product = Product::new();
    product.born("solar-1");
    product.stdout("fleet enrol solar-1.json");
    assert_eq!(product.stdout("fleet device-key list solar-1"), "solar-1 has no keys\n");
    // The CA's: a certificate with a P-256 key. Only the key counts.
    let added = product.json("fleet device-key add solar-1 ca.pem --days 400");
    assert_eq!((&added["device"], &added["algorithm"]), (&"solar-1".into(), &"ES256".into()));
    let key = added["key"].as_str().unwrap();
    let listed = product.stdout("fleet device-key list solar-1");
    assert!(listed.contains(key) && listed.contains("until 2"), "{listed}");
    let again = product.refusal("fleet device-key add solar-1 ca.pem");
    assert!(again.contains("(device-key-already-there)"), "{again}");
    let secret = "-----BEGIN PRIVATE KEY-----\nMAAwADAA\n-----END PRIVATE KEY-----\n";
    std::fs::write(product.path("secret.pem"), secret).unwrap();
    let private = product.refusal("fleet device-key add solar-1 secret.pem");
    assert!(private.contains("this is a PRIVATE key") && private.contains("help: name the public half"), "{private}");
    let nonsense = product.refusal("fleet device-key add solar-1 solar-1.json");
    assert!(nonsense.contains("not one PEM block"), "{nonsense}");
    let nobody = product.refusal("fleet device-key add nobody ca.pem");
    assert!(nobody.contains("404") && nobody.contains("help: "), "{nobody}");
    let removed = product.stdout(&format!("fleet device-key remove solar-1 {key}"));
    assert_eq!(removed, format!("solar-1 signs no more with {key}\n"));
    assert!(product.refusal(&format!("fleet device-key remove solar-1 {key}")).contains("404"));
    assert_eq!(product.json("fleet device-key list solar-1")["keys"], serde_json::json!([]));
}

#[test]
fn what_devices_are_told_over_mqtt_waits_for_them_or_does_not() {
    let product = Product::new();
    for name in ["hall-1", "sensor-7"] {
        product.born(name);
        product.stdout(&format!("fleet enrol {name}.json"));
    }
    assert_eq!(product.stdout("fleet bridge show sensor-7"), "sensor-7 is not connected\n");
    assert_eq!(product.stdout("fleet bridge events sensor-7"), "sensor-7 has said nothing more\n");
    std::fs::write(product.path("every.json"), "{\"every\":4}").unwrap();
    let set = product.stdout("fleet bridge config sensor-7 every.json");
    assert_eq!(set, "sensor-7 has configuration 1 now\n");
    assert_eq!(product.json("fleet bridge config sensor-7 every.json")["version"], 2);
    let shown = product.stdout("fleet bridge show sensor-7");
    assert!(shown.contains("config 2") && shown.contains("by alice") && shown.contains("{\"every\":4}"), "{shown}");
    let nobody = product.refusal("fleet bridge command sensor-7 every.json --folder led");
    assert!(nobody.contains("(bridge-not-there)") && nobody.contains("help: `cotter fleet bridge show`"), "{nobody}");
    let unknown = product.refusal("fleet bridge config nobody every.json");
    assert!(unknown.contains("404") && unknown.contains("help: `cotter fleet devices`"), "{unknown}");

    assert!(product.refusal("fleet bridge bind hall-1 sensor-7").contains("(bridge-no-gateway)"));
    assert_eq!(product.stdout("fleet bridge gateway hall-1"), "hall-1 is a gateway\n");
    assert_eq!(product.stdout("fleet bridge bind hall-1 sensor-7"), "sensor-7 is bound to hall-1\n");
    let shown = product.stdout("fleet bridge show hall-1");
    assert_eq!(shown, "hall-1 is not connected; a gateway, bound to it: sensor-7\n");
    assert_eq!(product.stdout("fleet bridge unbind hall-1 sensor-7"), "sensor-7 is not bound to hall-1\n");
    assert_eq!(product.json("fleet bridge show hall-1")["bound"], serde_json::json!([]));
    assert_eq!(product.stdout("fleet bridge gateway hall-1 --not"), "hall-1 is no gateway\n");
}

#[test]
fn tokens_do_what_their_role_may_until_they_are_revoked() {
    let product = Product::new();
    let made = product.stdout("fleet token add ci --role viewer --days 7 -o ci.token");
    assert!(made.starts_with("ci.token: the token of ci, viewer, valid until 2"), "{made}");
    assert_eq!(std::fs::metadata(product.path("ci.token")).unwrap().permissions().mode() & 0o777, 0o600);
    let ci = |arguments: &str| {
        let mut command = product.run(arguments);
        command.env("COTTER_TOKEN_FILE", "ci.token");
        command
    };
    ci("fleet devices").assert().success();
    let refused = refusal(ci("fleet token list"));
    assert!(refused.contains("403, the token's role may not do this") && refused.contains("help: "), "{refused}");
    let listed = product.json("fleet token list");
    assert_eq!(listed["tokens"][1]["name"], "ci");

    let taken = product.refusal("fleet token add ci --role admin -o other.token");
    assert!(taken.contains("(token-name-taken)"), "{taken}");
    let exists = product.refusal("fleet token add ci2 --role admin -o ci.token");
    assert!(exists.contains("ci.token exists"), "{exists}");
    assert_eq!(product.json("fleet token list")["tokens"].as_array().unwrap().len(), 2, "nothing was made for nowhere");
    let last = product.refusal("fleet token revoke alice");
    assert!(last.contains("(token-last-admin)"), "{last}");

    assert_eq!(product.stdout("fleet token revoke ci"), "the token of ci is void\n");
    let refused = refusal(ci("fleet devices"));
    assert!(refused.contains("401, it does not know this token"), "{refused}");
    assert!(product.refusal("fleet token revoke ci").contains("404"));
}

#[test]
fn an_ecowatt_device_is_switched_on_with_a_key_that_is_written_once_and_off_for_good() {
    let mut product = Product::new();
    let off = product.refusal("fleet ecowatt add ESP32_001 -o ESP32_001.key");
    assert!(off.contains("(ecowatt-off)"), "{off}");
    assert!(!product.path("ESP32_001.key").exists());
    let text = std::fs::read_to_string(&product.config).unwrap();
    let section = "\n[ecowatt]\nlisten = \"127.0.0.1:0\"\nallow_plaintext = true\n";
    std::fs::write(&product.config, text + section).unwrap();
    product.kill_and_restart();

    assert_eq!(product.stdout("fleet ecowatt list"), "the EcoWatt profile is on for no device\n");
    let on = product.stdout("fleet ecowatt add ESP32_001 -o ESP32_001.key");
    assert_eq!(on, "ESP32_001.key: the key of ESP32_001\nthe insecure EcoWatt profile is on for ESP32_001\n");
    assert_eq!(std::fs::metadata(product.path("ESP32_001.key")).unwrap().permissions().mode() & 0o777, 0o600);
    let exists = product.refusal("fleet ecowatt add ESP32_002 -o ESP32_001.key");
    assert!(exists.contains("ESP32_001.key exists"), "{exists}");
    let twice = product.refusal("fleet ecowatt add ESP32_001 -o again.key");
    assert!(twice.contains("(ecowatt-already-on)") && !product.path("again.key").exists(), "{twice}");
    let used = product.refusal("fleet ecowatt add ESP32_002 --key-file ESP32_001.key");
    assert!(used.contains("(ecowatt-key-used)"), "{used}");
    let own = "2f1c9a07d4e86b53908c7ae1f6425db0347981acbe05f2d36798c1e4ab5d7012";
    cotter_server::key_file::write_new(&product.path("own.key"), own.as_bytes()).unwrap();
    let brought = product.json("fleet ecowatt add ESP32_002 --key-file own.key --nonce-floor 70000");
    assert_eq!(brought, serde_json::json!({ "name": "ESP32_002", "file": null }));
    let listed = product.json("fleet ecowatt list");
    let devices: Vec<_> = listed["ecowatt"].as_array().unwrap().iter().map(|device| &device["last_nonce"]).collect();
    assert_eq!(devices, [10_000, 70_000]);

    assert_eq!(product.stdout("fleet ecowatt remove ESP32_001"), "the EcoWatt profile is off for ESP32_001\n");
    assert!(product.refusal("fleet ecowatt remove ESP32_001").contains("404"));
    let old = product.refusal("fleet ecowatt add ESP32_001 --key-file ESP32_001.key");
    assert!(old.contains("(ecowatt-key-used)"), "{old}");
    assert_eq!(product.json("fleet ecowatt list")["ecowatt"].as_array().unwrap().len(), 1);
}

#[test]
fn a_release_is_signed_offline_uploaded_shown_and_published() {
    let product = Product::new();
    assert_eq!(product.stdout("release list"), "no releases\n");
    for version in ["1.0.0", "1.1.0"] {
        product.signed(version);
    }
    assert_eq!(std::fs::metadata(product.path("1.1.0.release")).unwrap().permissions().mode() & 0o777, 0o600);
    let uploaded = product.json("release upload 1.1.0.release");
    let id = uploaded["release"].as_str().unwrap();
    let shown = product.stdout("release show 1.1.0");
    assert!(shown.starts_with("cotter-app 1.1.0 for esp32c3, ") && shown.contains(id), "{shown}");
    assert!(shown.contains("published: no"), "{shown}");
    assert_eq!(product.json(&format!("release show {}", &id[..8])), product.json(&format!("release show {id}")));
    product.stdout("release publish 1.1.0");
    assert!(product.json("release show 1.1.0")["published_at"].is_u64());

    let older = product.refusal("release upload 1.0.0.release");
    assert!(older.contains("not newer than the published 1.1.0") && older.contains("(release-not-newer)"), "{older}");
    let garbage = product.refusal("release upload ca.pem");
    assert!(garbage.contains("(upload-malformed)") || garbage.contains("(manifest-malformed)"), "{garbage}");
    // Signed by a key that the server does not know.
    product.stdout("key generate firmware-p256 -o stranger.pem");
    product.stdout("release sign 1.1.0.bin --key stranger.pem -o foreign.release");
    let foreign = product.refusal("release upload foreign.release");
    assert!(foreign.contains("(manifest-untrusted)") && foreign.contains("help: `cotter release sign`"), "{foreign}");
    assert!(product.refusal("release show 9.9.9").contains("no release 9.9.9"));
}

#[test]
fn nothing_is_sent_to_a_server_that_is_not_proven_or_with_a_token_that_others_can_read() {
    let product = Product::new();
    let other = ProductCa::generate("another CA").unwrap();
    std::fs::write(product.path("other.pem"), other.certificate_pem()).unwrap();
    let mut command = product.run("fleet devices");
    command.env("COTTER_CA", "other.pem");
    let refused = refusal(command);
    assert!(refused.contains("UnknownIssuer") && refused.contains("help: --ca must name"), "{refused}");

    let token = product.path("admin.token");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o640)).unwrap();
    let refused = product.refusal("fleet devices");
    assert!(refused.contains("mode is 640, expected 600") && refused.contains("help: chmod 600"), "{refused}");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let text = std::fs::read(&token).unwrap();
    std::fs::write(&token, "not a token\n").unwrap();
    assert!(product.refusal("fleet devices").contains("expected 64 lower-case hexadecimal digits"));
    std::fs::write(&token, text).unwrap();

    let mut command = product.run("fleet devices");
    command.env_remove("COTTER_SERVER");
    assert!(refusal(command).contains("help: --server https://HOST"));
    product.run("fleet devices --server http://localhost:1").assert().code(2);
    let refused = product.refusal("fleet devices --server https://localhost:1");
    assert!(refused.contains("cannot reach localhost:1") && refused.contains("help: does it run"), "{refused}");
}

#[test]
fn a_command_waits_for_its_device_until_it_is_taken_back() {
    const VALVE: &str = r#"
[[commands]]
name = "open-valve"
parameters = [{ name = "percent", type = "integer", min = 0, max = 100 },
              { name = "slowly", type = "boolean" },
              { name = "why", type = "text", max_length = 8 }]
"#;
    let mut product = Product::new();
    let config = std::fs::read_to_string(&product.config).unwrap();
    std::fs::write(&product.config, config + VALVE).unwrap();
    product.kill_and_restart();
    product.born("solar-1");
    product.stdout("fleet enrol solar-1.json");
    assert_eq!(product.stdout("fleet command list solar-1"), "no commands to solar-1\n");

    const SEND: &str = "fleet command send solar-1 open-valve";
    let sent = product.stdout(&format!("{SEND} percent=40 slowly=true --text why=007"));
    assert_eq!(sent, "command 1 for solar-1: open-valve\n");
    let listed = product.json("fleet command list solar-1");
    let command = &listed["commands"][0];
    let values = serde_json::json!({ "percent": 40, "slowly": true, "why": "007" });
    assert_eq!((&command["state"], &command["values"]), (&"queued".into(), &values));
    assert_eq!(command["queued_by"], "alice");

    for (wrong, code) in [
        ("percent=101 slowly=true why=x", "command-value"),
        ("percent=much slowly=true why=x", "command-value"),
        ("percent=1 slowly=true", "command-value"),
        ("percent=1 slowly=true why=x --seconds 0", "command-life"),
    ] {
        let refused = product.refusal(&format!("{SEND} {wrong}"));
        assert!(refused.contains(code), "{wrong}: {refused}");
    }
    let unknown = product.refusal("fleet command send solar-1 explode");
    assert!(unknown.contains("(command-unknown)"), "{unknown}");
    let nobody = product.refusal("fleet command send nobody open-valve percent=1 slowly=true why=x");
    assert!(nobody.contains("(command-unknown-device)") && nobody.contains("help: "), "{nobody}");
    product.run(&format!("{SEND} percent")).assert().code(2);
    assert!(product.refusal(&format!("{SEND} percent=1 percent=2")).contains("percent is given twice"));

    let gone = product.stdout("fleet command cancel solar-1 1");
    assert_eq!(gone, "command 1 is taken back; solar-1 never sees it\n");
    assert_eq!(product.json("fleet command list solar-1")["commands"][0]["state"], "cancelled");
    let again = product.refusal("fleet command cancel solar-1 1");
    assert!(again.contains("has ended or expired (command-over)"), "{again}");
}

#[test]
fn a_rotation_is_ordered_watched_and_cancelled() {
    let product = Product::new();
    assert_eq!(product.stdout("fleet rotate list"), "no rotations\n");
    for name in ["solar-1", "solar-2"] {
        product.born(name);
    }
    product.stdout("fleet enrol solar-1.json solar-2.json");
    let started = product.stdout("fleet rotate start --all --overlap 12h");
    assert!(started.starts_with("rotation 1 of all devices, running, overlap 12h\nordered by alice 2"), "{started}");
    let counts = "devices: 2 wait, 0 offered, 0 switched and in overlap, 0 done\n";
    assert!(started.ends_with(counts) && product.stdout("fleet rotate show 1").ends_with(counts), "{started}");
    let one = product.json("fleet rotate start --device solar-2");
    assert_eq!((&one["rotation"], &one["target"], &one["waiting"]), (&2.into(), &"solar-2".into(), &1.into()));
    assert_eq!(one["overlap_seconds"], 604_800);
    assert_eq!(product.stdout("fleet rotate pause 2"), "rotation 2 is paused\n");
    assert_eq!(product.stdout("fleet rotate resume 2"), "rotation 2 is running\n");
    assert_eq!(product.stdout("fleet rotate cancel 2"), "rotation 2 is cancelled\n");
    let over = product.refusal("fleet rotate resume 2");
    assert!(over.contains("(rotation-state)") && over.contains("help: `cotter fleet rotate show`"), "{over}");
    let listed = product.json("fleet rotate list");
    let states: Vec<_> = listed["rotations"].as_array().unwrap().iter().map(|order| &order["state"]).collect();
    assert_eq!(states, ["cancelled", "running"]);
    let nobody = product.refusal("fleet rotate start --device nobody");
    assert!(
        nobody.contains("(rotation-unknown-device)") && nobody.contains("help: `cotter fleet devices`"),
        "{nobody}"
    );
    assert!(product.refusal("fleet rotate show 9").contains("help: `cotter fleet rotate list`"));
    let long = product.refusal("fleet rotate start --all --overlap 91d");
    assert!(long.contains("(rotation-overlap)"), "{long}");
    for nonsense in ["fleet rotate start", "fleet rotate start --all --tag x", "fleet rotate start --all --overlap 7"] {
        product.run(nonsense).assert().code(2);
    }
    product.stdout("fleet token add olga --role operator -o olga.token");
    let mut operator = product.run("fleet rotate start --all");
    operator.env("COTTER_TOKEN_FILE", "olga.token");
    assert!(refusal(operator).contains("403, the token's role may not do this"));
}
