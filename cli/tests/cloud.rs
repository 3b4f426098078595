//! `cotter cloud` as a person types it.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;

const ENDPOINT: &str = "a1b2c3-ats.iot.eu-west-1.amazonaws.com";
const GROUP_KEY: &str = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
const REGISTRATION: &str = "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6";
const DEVICE_KEY: &str = "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=";

/// A folder to work in, with a CA.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        desk.accepted("cert ca --subject CN=Root -o ca.pem");
        desk.issue("device-0001");
        desk
    }

    /// `device-0001.pem` and `device-0001.key.pem`.
    fn issue(&self, name: &str) {
        self.accepted(&format!("cert issue --ca ca.pem --ca-key ca.key.pem --subject CN={name} -o {name}.pem"));
    }

    /// Exit code, stdout, stderr.
    fn run(&self, line: &str) -> (i32, String, String) {
        let mut command = Command::cargo_bin("cotter").unwrap();
        let output = command.current_dir(self.0.path()).args(line.split(' ')).output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    fn accepted(&self, line: &str) -> String {
        let (code, text, error) = self.run(line);
        assert_eq!(code, 0, "{line}: {error}");
        text
    }

    /// What it says, after exit code 1.
    fn refused(&self, line: &str) -> String {
        let (code, _, error) = self.run(line);
        assert_eq!(code, 1, "{line}: {error}");
        error
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    fn mode(&self, name: &str) -> u32 {
        std::fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o777
    }
}

/// The example that the help of a verb shows, without the name of the program.
fn example(desk: &Desk, verb: &str) -> String {
    let help = desk.accepted(&format!("cloud {verb} --help"));
    let (_, rest) = help.split_once("Example: cotter ").unwrap();
    rest.split("\n\n").next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_examples_of_the_help_work() {
    let desk = Desk::new();
    for (name, file) in [("device-0001.pem", "device.pem"), ("device-0001.key.pem", "device.key.pem")] {
        std::fs::copy(desk.path(name), desk.path(file)).unwrap();
    }
    desk.accepted("key generate rsa2048 -o authorizer.pem");
    desk.write("group.key.txt", &format!("{GROUP_KEY}\n"));
    for verb in ["aws mqtt", "aws authorizer", "aws csr", "azure dps-key", "azure dps-sas", "azure sas", "azure x509"] {
        let line = example(&desk, verb);
        // Two of them write dps.json.
        desk.accepted(&format!("{line} --force"));
        let (code, _, error) = desk.run(&line);
        assert!(code == 1 && error.contains("--force"), "{verb} replaces nothing: {error}");
    }
}

#[test]
fn a_certificate_for_aws_is_looked_at_before_it_is_of_use() {
    let desk = Desk::new();
    desk.issue("device-0002");
    let mqtt = format!("cloud aws mqtt --endpoint {ENDPOINT} --certificate device-0001.pem");
    let told = desk.accepted(&format!("--json {mqtt} --key device-0001.key.pem --port 443 -o mqtt.json"));
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap()["file"], "mqtt.json");
    let document = desk.json("mqtt.json");
    for (name, expected) in [
        ("client_id", "device-0001"),
        ("thing", "device-0001"),
        ("alpn", "x-amzn-mqtt-ca"),
        ("endpoint", ENDPOINT),
        ("certificate", "device-0001.pem"),
    ] {
        assert_eq!(document[name], expected);
    }
    assert_eq!(document["private_key"]["file"], "device-0001.key.pem");
    assert_eq!(document["topics"]["jobs_next"], "$aws/things/device-0001/jobs/$next/get");
    assert!(!desk.text("mqtt.json").contains("PRIVATE KEY"));
    // On the other port there is nothing to ask for.
    let printed = desk.accepted(&format!("{mqtt} --key-in secure-element --thing lamp:7 -o -"));
    let document: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&document["alpn"], &document["port"]), (&Value::Null, &8883.into()));
    assert_eq!((&document["client_id"], &document["private_key"]["in"]), (&"lamp:7".into(), &"secure-element".into()));

    let error = desk.refused(&format!("{mqtt} --key device-0002.key.pem -o other.json"));
    assert!(error.contains("the certificate is for another key") && error.contains("help:"), "{error}");
    let error = desk.refused(&format!("{mqtt} --key-in ds -o other.json"));
    assert!(error.contains("P-256, which cannot be there"), "{error}");
    let error = desk.refused(&format!("{mqtt} --key-in nvs --thing a/b -o other.json"));
    assert!(error.contains("a thing name is 1 to 128 letters"), "{error}");
    assert!(!desk.path("other.json").exists());
    for wrong in ["--port 1883", "--key-in nvs --key device-0001.key.pem", ""] {
        assert_eq!(desk.run(format!("{mqtt} {wrong} -o other.json").replace("  ", " ").as_str()).0, 2, "{wrong}");
    }
}

#[test]
fn an_authorizers_token_is_a_secret_and_its_own_each_time() {
    let desk = Desk::new();
    desk.accepted("key generate rsa2048 -o authorizer.pem");
    let line = format!(
        "cloud aws authorizer --endpoint {ENDPOINT} --authorizer my-authorizer --token-key token --client-id lamp"
    );
    desk.accepted(&format!("{line} --key authorizer.pem -o first.json"));
    desk.accepted(&format!("{line} --key authorizer.pem -o second.json"));
    assert_eq!(desk.mode("first.json"), 0o600);
    let [first, second] = ["first.json", "second.json"].map(|name| desk.json(name)["user_name"].to_string());
    assert_ne!(first, second);
    assert!(first.contains("?x-amz-customauthorizer-name=my-authorizer&token="), "{first}");
    desk.write("token.txt", "aaa.bbb.ccc\n");
    let printed = desk.accepted(&format!("{line} --key authorizer.pem --user u --token token.txt -o -"));
    let document: Value = serde_json::from_str(&printed).unwrap();
    let name = document["user_name"].as_str().unwrap();
    assert!(name.starts_with("u?x-amz-customauthorizer-name=my-authorizer&token=aaa.bbb.ccc&x-amz-"), "{name}");
    assert_eq!((&document["port"], &document["alpn"]), (&443.into(), &"mqtt".into()));

    let error = desk.refused(&format!("{line} --key device-0001.key.pem -o no.json"));
    assert!(error.contains("RSA of 2048 to 4096 bits, and this one is") && error.contains("key generate"), "{error}");
    desk.write("token.txt", "a&x-amz-customauthorizer-name=other");
    let error = desk.refused(&format!("{line} --key authorizer.pem --token token.txt -o no.json"));
    assert!(error.contains("a token is 1 to 4096 letters") && !error.contains("other"), "{error}");
    assert!(!desk.path("no.json").exists());
}

#[test]
fn a_request_for_aws_is_for_the_devices_own_key() {
    let desk = Desk::new();
    let line = "cloud aws csr --key device-0001.key.pem --thing lamp --template my-fleet";
    desk.accepted(&format!("{line} --parameter SerialNumber=1=2 --parameter Line=3 -o provisioning.json"));
    let document = desk.json("provisioning.json");
    assert_eq!(document["subscribe"].as_array().unwrap().len(), 4);
    assert_eq!(document["certificate"]["publish"], "$aws/certificates/create-from-csr/json");
    assert_eq!(document["register"]["publish"], "$aws/provisioning-templates/my-fleet/provision/json");
    assert_eq!(document["register"]["payload"]["parameters"]["SerialNumber"], "1=2");
    let request = document["certificate"]["payload"]["certificateSigningRequest"].as_str().unwrap();
    desk.write("lamp.csr", request);
    desk.accepted("cert issue --ca ca.pem --ca-key ca.key.pem --csr lamp.csr -o lamp.pem");
    let connect = format!("cloud aws mqtt --endpoint {ENDPOINT} --certificate lamp.pem --key device-0001.key.pem -o -");
    assert!(desk.accepted(&connect).contains("\"client_id\": \"lamp\""));
    let twice = desk.refused(&format!("{line} --parameter A=1 --parameter A=2 -o no.json"));
    assert!(twice.contains("twice"), "{twice}");
    assert_eq!(desk.run(&format!("{line} --parameter A -o no.json")).0, 2);
}

#[test]
fn keys_and_tokens_for_azure_are_secret_files() {
    let desk = Desk::new();
    desk.write("group.txt", &format!("{GROUP_KEY}\n"));
    desk.accepted(&format!("cloud azure dps-key --group-key group.txt --registration-id {REGISTRATION} -o key.txt"));
    assert_eq!((desk.text("key.txt"), desk.mode("key.txt")), (format!("{DEVICE_KEY}\n"), 0o600));
    let dps = format!("cloud azure dps-sas --id-scope 0ne00012345 --registration-id {REGISTRATION}");
    desk.accepted(&format!("{dps} --key key.txt --expires-at 1800000000 -o dps.json"));
    desk.accepted(&format!("{dps} --group-key group.txt --expires-at 1800000000 -o derived.json"));
    assert_eq!(desk.text("dps.json"), desk.text("derived.json"));
    assert_eq!(desk.mode("dps.json"), 0o600);
    let document = desk.json("dps.json");
    assert_eq!(document["host"], "global.azure-devices-provisioning.net");
    assert_eq!(document["client_id"], REGISTRATION);
    assert!(document["password"].as_str().unwrap().ends_with("&se=1800000000&skn=registration"));
    let hub = "cloud azure sas --hub my-hub.azure-devices.net --device lamp --key key.txt";
    let told = desk.accepted(&format!("{hub} --hours 2 -o hub.json"));
    assert!(told.starts_with("hub.json: lamp until 2") && !told.contains("sig="), "{told}");
    let document = desk.json("hub.json");
    assert_eq!(document["user_name"], "my-hub.azure-devices.net/lamp/?api-version=2021-04-12");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let left = document["expires_at"].as_u64().unwrap() - now;
    assert!((7_190..=7_200).contains(&left), "{left}");

    desk.write("bad.txt", "c2VjcmV0");
    let error = desk.refused(&hub.replace("key.txt", "bad.txt -o no.json"));
    assert!(error.contains("6 bytes, expected 16 to 64") && !error.contains("c2Vj"), "{error}");
    let error = desk.refused(&format!("{} -o no.json", hub.replace("lamp", "la:mp")));
    assert!(error.contains("two spellings"), "{error}");
    assert!(!desk.path("no.json").exists());
    for wrong in ["--hours 0", "--hours 8761", "--hours 1 --expires-at 5"] {
        assert_eq!(desk.run(&format!("{hub} {wrong} -o no.json")).0, 2, "{wrong}");
    }
}

#[test]
fn a_certificate_for_azure_names_its_registration() {
    let desk = Desk::new();
    let line = "cloud azure x509 --id-scope 0ne00012345 --certificate device-0001.pem";
    let printed = desk.accepted(&format!("{line} --key device-0001.key.pem -o -"));
    let document: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(document["registration_id"], "device-0001");
    assert_eq!(document["user_name"], "0ne00012345/registrations/device-0001/api-version=2019-03-31");
    assert_eq!((&document["password"], &document["expires_at"]), (&Value::Null, &Value::Null));
    desk.accepted("cert issue --ca ca.pem --ca-key ca.key.pem --subject CN=lamp/7 -o slash.pem");
    let error = desk.refused(&format!("{} --key-in nvs -o no.json", line.replace("device-0001.pem", "slash.pem")));
    assert!(error.contains("a registration id is 1 to 128 letters"), "{error}");
    let error = desk.refused(&format!("{} --key-in nvs -o no.json", line.replace("0ne00012345", "0ne/1")));
    assert!(error.contains("an id scope is"), "{error}");
}
