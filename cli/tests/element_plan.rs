//! `cotter element plan`, `apply`, `lock` and what comes after, as a person types them, on a simulated part.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

mod running;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use cotter_server::device_key::{DeviceKey, KeyFormat};
use cotter_server::device_token::{Expected, RegisteredKey, Reuse, admit};
use cotter_wire::ids::UnixTime;
use running::Running;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;
use tempfile::TempDir;

const SERIAL: &str = "01230a0b0c0d0e0fee";

/// A desk with a part on it.
struct Desk {
    directory: TempDir,
    part: Option<Running>,
    port: String,
}

impl Desk {
    fn new() -> Self {
        let mut desk = Self { directory: tempfile::tempdir().unwrap(), part: None, port: String::new() };
        desk.plug("--serial 0a0b0c0d0e0f");
        desk
    }

    /// Puts the part on the bus, from its file if there is one.
    fn plug(&mut self, more: &str) {
        let arguments = format!("element simulate --state part.bin --listen 127.0.0.1:0 --clock bus {more}");
        let mut part = Running::start(self.path(), arguments.split_whitespace());
        let line = part.line_with("socket://");
        let (_, rest) = line.split_once("socket://").unwrap();
        self.port = rest.split([':', ' ']).take(2).collect::<Vec<_>>().join(":");
        part.is_not_heard();
        self.part = Some(part);
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// `BUS` stands for where the part is.
    fn cotter(&self, arguments: &str) -> Assert {
        let mut command = Command::cargo_bin("cotter").unwrap();
        let arguments = arguments.replace("BUS", &format!("--bus {}", self.port));
        command.current_dir(self.path()).args(arguments.split_whitespace()).assert()
    }

    fn says(&self, arguments: &str) -> String {
        String::from_utf8_lossy(&self.cotter(arguments).success().get_output().stdout).into_owned()
    }

    fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.says(&format!("--json {arguments}"))).unwrap()
    }

    fn refusal(&self, arguments: &str) -> String {
        String::from_utf8_lossy(&self.cotter(arguments).code(1).get_output().stderr).into_owned()
    }

    fn plan(&self) {
        self.says("element plan BUS -o part.plan.json");
    }

    fn apply(&self) -> Value {
        self.json("element apply BUS --plan part.plan.json --transport-key transport.key --yes")
    }

    fn openssl(&self, arguments: &str) -> std::process::Output {
        let mut command = std::process::Command::new("openssl");
        command.current_dir(self.path()).args(arguments.split_whitespace()).output().unwrap()
    }
}

#[test]
fn a_plan_is_reviewed_rehearsed_applied_and_locked() {
    let desk = Desk::new();
    let said = desk.says("element plan BUS -o part.plan.json");
    for line in [
        "ATECC608A, serial number 01230a0b0c0d0e0fee, as identity",
        "    + private key, read by nobody, written by nobody, locked (8081 0033)",
        "   2 lock the configuration zone (for ever)",
        "   3 slot 0: have the part make a private key",
        "  slot 0: the private key; nobody reads it, replaces it or makes another one",
        "  slot 8: is written by everybody on the bus, until it is locked: `cotter element lock`",
    ] {
        assert!(said.lines().any(|found| found == line), "{line}\n{said}");
    }
    assert!(said.lines().last().unwrap().starts_with("rehearsed: "), "{said}");
    // Neither planning nor looking at the plan changes anything.
    let before = desk.json("element show BUS");
    let preview = desk.json("element apply BUS --plan part.plan.json");
    assert_eq!(preview["done"], false);
    assert!(preview["rehearsal"]["cuts"].as_u64().unwrap() > 200, "{preview}");
    assert_eq!(before, desk.json("element show BUS"));
    assert_eq!((&before["config_locked"], before["serial_number"].as_str()), (&Value::Bool(false), Some(SERIAL)));

    let refused = desk.refusal("element apply BUS --plan part.plan.json --yes");
    assert!(refused.contains("the plan writes a transport key") && refused.contains("--transport-key"), "{refused}");
    let done = desk.apply();
    assert_eq!((&done["done"], &done["resumed"]), (&Value::Bool(true), &Value::Bool(false)));
    let mode = std::fs::metadata(desk.path().join("transport.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let shown = desk.json("element show BUS --strict");
    assert_eq!((&shown["config_locked"], &shown["data_locked"]), (&Value::Bool(true), &Value::Bool(true)));
    assert_eq!(shown["findings"], serde_json::json!([]));
    assert_eq!(shown["slots"][0]["state"], "locked");
    assert_eq!(shown["slots"][0]["new_key_by_anybody"], false);
    // The key that it told is the one that it has.
    desk.says("element public-key BUS --slot 0 -o key.pem");
    let der = desk.openssl("pkey -pubin -in key.pem -outform DER").stdout;
    let point: String = der.iter().rev().take(64).rev().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(done["keys"][0]["public_key"], point);
    // A second time there is nothing to do, and for another plan it is too late.
    let again = desk.apply();
    assert_eq!((&again["resumed"], &again["keys"]), (&Value::Bool(true), &done["keys"]));
    let refused = desk.refusal("element apply BUS --plan part.plan.json --transport-key none.key --yes");
    assert!(refused.contains("cannot read none.key") && !desk.path().join("none.key").exists(), "{refused}");
    let refused = desk.refusal("element plan BUS");
    assert!(refused.contains("configuration zone is locked: there is nothing to plan any more"), "{refused}");
    // No secret in plan or journal.
    let key = std::fs::read(desk.path().join("transport.key")).unwrap();
    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    for file in ["part.plan.json", "part.plan.json.journal"] {
        assert!(!std::fs::read_to_string(desk.path().join(file)).unwrap().contains(&digits), "{file}");
    }
}

#[test]
fn a_plan_is_for_its_part_and_for_nobody_who_edits_it() {
    let desk = Desk::new();
    desk.plan();
    let plan = std::fs::read_to_string(desk.path().join("part.plan.json")).unwrap();
    std::fs::write(desk.path().join("edited.json"), plan.replace("\"use\": \"identity\"", "\"use\": \"agreement\""))
        .unwrap();
    let refused = desk.refusal("element apply BUS --plan edited.json --transport-key t.key --yes");
    assert!(refused.contains("help: "), "{refused}");
    assert!(!desk.path().join("t.key").exists());
    let other = Desk::new_other();
    std::fs::write(other.path().join("part.plan.json"), &plan).unwrap();
    let refused = other.refusal("element apply BUS --plan part.plan.json --transport-key t.key --yes");
    assert!(refused.contains("the plan is for the part with the serial number 01230a0b0c0d0e0fee"), "{refused}");
    // A key that others may read.
    std::fs::write(desk.path().join("open.key"), [7; 32]).unwrap();
    let refused = desk.refusal("element apply BUS --plan part.plan.json --transport-key open.key --yes");
    assert!(refused.contains("open.key is not for its owner only"), "{refused}");
    assert_eq!(desk.json("element show BUS")["config_locked"], false);
    let refused = desk.refusal("element plan BUS -o part.plan.json");
    assert!(refused.contains("part.plan.json exists"), "{refused}");
}

impl Desk {
    fn new_other() -> Self {
        let mut desk = Self { directory: tempfile::tempdir().unwrap(), part: None, port: String::new() };
        desk.plug("--serial 0f0f0f0f0f0f");
        desk
    }
}

#[test]
fn an_application_that_is_killed_again_and_again_is_finished_by_the_next() {
    let mut desk = Desk::new();
    desk.plan();
    let apply = |desk: &Desk| {
        let arguments = ["element", "apply", "--plan", "part.plan.json", "--transport-key", "transport.key", "--yes"];
        let bus = ["--bus", desk.port.as_str()];
        Running::start(desk.path(), arguments.iter().chain(&bus))
    };
    let mut lines = 0;
    for round in 0..12_u64 {
        let run = apply(&desk);
        // The journal grows as it goes on; kill it a little later each time.
        let journal = desk.path().join("part.plan.json.journal");
        let begun = std::time::Instant::now();
        let grown = || std::fs::read(&journal).map_or(0, |text| text.iter().filter(|byte| **byte == b'\n').count());
        let wanted = grown() + 3 + usize::try_from(3 * round).unwrap();
        while grown() < wanted && begun.elapsed().as_secs() < 20 {
            std::thread::yield_now();
        }
        run.kill();
        lines = grown();
        // And now and then the part loses its power too.
        if round % 3 == 2 {
            desk.part.take().unwrap().kill();
            desk.plug("");
        }
    }
    assert!(lines > 20);
    let done = desk.apply();
    assert_eq!((&done["done"], &done["resumed"]), (&Value::Bool(true), &Value::Bool(true)));
    let shown = desk.json("element show BUS --strict");
    assert_eq!(shown["findings"], serde_json::json!([]));
    // Without the journal nobody vouches for the key.
    let refused = desk
        .refusal("element apply BUS --plan part.plan.json --transport-key transport.key --journal none.journal --yes");
    assert!(refused.contains("the journal does not know that the plan was begun"), "{refused}");
}

#[test]
fn single_things_are_locked_by_hand_and_only_when_it_is_said() {
    let desk = Desk::new();
    desk.plan();
    let said = desk.says("element lock BUS config");
    assert!(said.contains("nothing is locked yet: say --yes to lock the configuration zone for ever"), "{said}");
    assert_eq!(desk.json("element show BUS")["config_locked"], false);
    let refused = desk.refusal("element lock BUS data --unchecked --yes");
    assert!(refused.contains("the configuration zone is not locked yet"), "{refused}");
    desk.apply();
    let refused = desk.refusal("element lock BUS config --yes");
    assert!(refused.contains("the configuration zone is locked already"), "{refused}");
    let refused = desk.refusal("element lock BUS slot 1 --yes");
    assert!(refused.contains("slot 1 cannot be locked"), "{refused}");
    let preview = desk.json("element lock BUS slot 8");
    assert_eq!((&preview["locked"], preview["content"].as_str().unwrap().len()), (&Value::Bool(false), 832));
    let locked = desk.json("element lock BUS slot 8 --yes");
    assert_eq!(locked["locked"], true);
    assert_eq!(desk.json("element show BUS")["slots"][8]["state"], "locked");
    let refused = desk.refusal("element lock BUS slot 8 --yes");
    assert!(refused.contains("slot 8 is locked already"), "{refused}");
}

/// The data zone of a part that was written by a plan, up to there, is locked by hand under the plan's sum.
#[test]
fn data_are_locked_under_the_sum_of_their_plan() {
    let desk = Desk::new();
    desk.plan();
    desk.says("element lock BUS config --yes");
    // Nothing of the plan is in it.
    std::fs::write(desk.path().join("transport.key"), [7; 32]).unwrap();
    std::fs::set_permissions(desk.path().join("transport.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let refused = desk.refusal("element lock BUS data --plan part.plan.json --transport-key transport.key --yes");
    assert!(refused.contains("it holds something else, or cannot be locked"), "{refused}");
    assert_eq!(desk.json("element show BUS")["data_locked"], false);
    let locked = desk.json("element lock BUS data --unchecked --yes");
    assert_eq!(locked["locked"], true);
}

#[test]
fn the_template_that_is_printed_is_the_one_that_is_built_in() {
    let desk = Desk::new();
    std::fs::write(desk.path().join("template.toml"), desk.says("element template")).unwrap();
    let own = desk.json("element plan BUS --template template.toml");
    assert_eq!(own["digest"], desk.json("element plan BUS")["digest"]);
    std::fs::write(desk.path().join("bad.toml"), "name = \"bad\"\n[[slot]]\nslot = 2\nuse = \"agreement\"\n").unwrap();
    let refused = desk.refusal("element plan BUS --template bad.toml");
    assert!(
        refused.contains("agrees-in-the-clear: slot 2") && refused.contains("help: change the template"),
        "{refused}"
    );
}

#[test]
fn a_key_of_the_part_gets_a_certificate_that_is_stored_whole_and_compressed() {
    let desk = Desk::new();
    desk.plan();
    desk.apply();
    desk.says("cert ca --subject CN=Test-CA -o ca.pem");
    let said = desk.says("element csr BUS --slot 0 -o device.csr");
    assert_eq!(said, format!("device.csr: request for CN={SERIAL}, signed by slot 0\n"));
    let verified = desk.openssl("req -in device.csr -verify -noout -subject");
    assert!(verified.status.success(), "{verified:?}");
    assert!(String::from_utf8_lossy(&verified.stdout).contains(SERIAL), "{verified:?}");
    let refused = desk.refusal("element csr BUS --slot 6 -o other.csr");
    assert!(refused.contains("slot 6") && refused.contains("help: "), "{refused}");
    // With another name.
    desk.says("element csr BUS --slot 0 --id device-0001 --san device.example -o named.csr");
    let named = desk.openssl("req -in named.csr -verify -noout -text");
    let text = String::from_utf8_lossy(&named.stdout).into_owned();
    assert!(text.contains("CN = device-0001") && text.contains("DNS:device.example"), "{text}");

    desk.says("cert issue --ca ca.pem --ca-key ca.key.pem --csr device.csr --for-element 25 -o device.pem");
    let store = "element certificate store BUS device.pem --ca ca.pem";
    assert!(desk.says(&format!("{store} --slots 8,9")).contains("bytes in slots 8, 9"));
    assert!(desk.says(&format!("{store} --slots 10 --compressed")).contains("72 bytes in slot 10"));
    let refused = desk.refusal(&format!("{store} --slots 8"));
    assert!(refused.contains("the slots have 416"), "{refused}");
    let refused = desk.refusal(&format!("{store} --slots 13"));
    assert!(refused.contains("slot 13 is not for certificates"), "{refused}");

    desk.says("element certificate read BUS --slots 8,9 -o whole.der");
    desk.says("element certificate read BUS --slots 10 --compressed --ca ca.pem -o again.der");
    let [whole, again] = ["whole.der", "again.der"].map(|file| std::fs::read(desk.path().join(file)).unwrap());
    assert_eq!(whole, again);
    let der = desk.openssl("x509 -in device.pem -outform DER").stdout;
    assert_eq!(der, whole);
    desk.says("element certificate read BUS --slots 10 --compressed --ca ca.pem -o again.pem");
    let verified = desk.openssl("verify -CAfile ca.pem -purpose sslclient again.pem");
    assert!(verified.status.success(), "{verified:?}");

    // Another CA, another key, another subject.
    desk.says("cert ca --subject CN=Test-CA -o other.pem");
    let refused = desk.refusal("element certificate read BUS --slots 10 --compressed --ca other.pem -o x.pem");
    assert!(refused.contains("it is by signer"), "{refused}");
    let read = "element certificate read BUS --slots 10 --compressed --ca ca.pem --subject CN=x -o x.pem";
    let refused = desk.refusal(read);
    assert!(refused.contains("the signature does not verify") && refused.contains("help: which CA"), "{refused}");
    desk.says("cert issue --ca ca.pem --ca-key ca.key.pem --subject CN=stranger -o stranger.pem");
    let refused = desk.refusal("element certificate store BUS stranger.pem --slots 8,9");
    assert!(refused.contains("the certificate is for another key than that in slot 0"), "{refused}");
    // An ordinary certificate does not fit, and says so.
    desk.says("cert issue --ca ca.pem --ca-key ca.key.pem --csr device.csr -o ordinary.pem");
    let refused = desk.refusal("element certificate store BUS ordinary.pem --slots 10 --compressed --ca ca.pem");
    assert!(refused.contains("does not fit") && refused.contains("--for-element"), "{refused}");
    let refused = desk.refusal("element certificate read BUS --slots 12 -o x.pem");
    assert!(refused.contains("there is no certificate in slots [12]"), "{refused}");
    // Locked, it stays.
    desk.says("element lock BUS slot 10 --yes");
    let refused = desk.refusal(&format!("{store} --slots 10 --compressed"));
    assert!(refused.contains("slot 10 is locked, for ever"), "{refused}");
    assert!(!desk.path().join("x.pem").exists());
}

#[test]
fn a_part_signs_tokens_that_a_server_believes() {
    let desk = Desk::new();
    desk.plan();
    let refused = desk.refusal("element token BUS --slot 0 --audience my-project");
    assert!(refused.contains("slot 0") && refused.contains("help: its SlotConfig"), "{refused}");
    desk.apply();
    desk.says("element public-key BUS --slot 0 -o key.pem");
    let pem = std::fs::read(desk.path().join("key.pem")).unwrap();
    let key = DeviceKey::from_pem(KeyFormat::Es256, &pem).unwrap();
    let keys = [RegisteredKey { key, expires_at: None }];
    let expected = Expected { project: "my-project", reuse: Reuse::WhileFresh };
    let now = UnixTime(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs());
    let made = desk.json("element token BUS --slot 0 --audience my-project --minutes 5 -o device.token");
    assert_eq!(made["audience"], "my-project");
    assert_eq!(std::fs::metadata(desk.path().join("device.token")).unwrap().permissions().mode() & 0o777, 0o600);
    let written = std::fs::read_to_string(desk.path().join("device.token")).unwrap();
    let printed = desk.says("element token BUS --slot 0 --audience my-project");
    for token in [written, printed] {
        let admitted = admit(token.trim_end().as_bytes(), &keys, &expected, now);
        assert!(admitted.is_ok(), "{admitted:?}");
    }
    let exists = desk.refusal("element token BUS --slot 0 --audience my-project -o device.token");
    assert!(exists.contains("device.token exists"), "{exists}");
    desk.cotter("element token BUS --slot 0 --audience a\"b").code(2);
    desk.cotter("element token BUS --slot 0 --audience my-project --minutes 1441").code(2);
}
