//! The story of a secure element: fifty cents of hardware prove who a device is, through a module that is not trusted.
//!
//! A host MCU has an ATECC608A and talks to an ESP-AT module over the encrypted link. The part signs a token, the host gives
//! it to the module (`AT+MQTTLONGPASSWORD`), and the module takes it to the server's MQTT bridge. Every step is a command
//! that a person can type.

use super::attacks::Attempt;
use super::hands::{Companion, Hands};
use super::report::{Attack, BOLD, Report, Stage};
use super::server_process::ServerProcess;
use super::stage::Running;
use crate::moment::Moment;
use crate::output::{self, Format};
use anyhow::Context;
use cotter_device::atecc::Error;
use cotter_device::atecc::command::key::{CreateKey, KeyPlace};
use cotter_device::atecc::command::zone::{ReadBlock, Zone};
use cotter_factory::identity::Identity;
use cotter_factory::output::{Visibility, write_whole};
use cotter_factory::pki::ProductCa;
use cotter_factory::signing::{ManifestKey, random};
use cotter_formats::atecc::Slot;
use cotter_formats::chip::Chip;
use cotter_server::init::{InitOptions, init};
use cotter_server::key_file;
use cotter_twin::element_bus::Place;
use cotter_wire::keys::EnrolmentKey;
use serde_json::Value;
use std::path::Path;

/// The whole story in `folder`.
pub(super) fn tell(folder: &Path, format: Format) -> anyhow::Result<Report> {
    let (server, hands, stage) = server(folder, format)?;
    let mut stages = vec![stage];
    let (_part, bus, stage) = element(&hands, format)?;
    stages.push(stage);
    stages.push(registration(&hands, format)?);
    let (stage, token) = conversation(&hands, &server, &bus, format)?;
    stages.push(stage);
    output::progress(format!("\n{BOLD}Attacks{BOLD:#}"), format);
    let attacks = attacks(&hands, &server, &bus, &token, format)?;
    let passed = stages.iter().all(Stage::passed) && attacks.iter().all(|attack| attack.stopped);
    Ok(Report { stages, attacks, kept: None, seconds: 0.0, passed })
}

/// A server with the bridge, and a factory's records of two devices.
fn server(folder: &Path, format: Format) -> anyhow::Result<(ServerProcess, Hands, Stage)> {
    let mut stage = Running::start("Server", format);
    let home = folder.join("server");
    std::fs::create_dir_all(&home)?;
    let ca = ProductCa::generate("product CA")?;
    let manifest = ManifestKey::generate_p256()?;
    let made = init(
        &home,
        &InitOptions {
            listen: "127.0.0.1:0".parse()?,
            admin: "demo".parse()?,
            project: PROJECT.to_owned(),
            manifest_keys: vec!["manifest.pem".to_owned()],
            manifest_required: 1,
            secure_boot_digests: vec![[0; 32]],
        },
    )?;
    write_whole(&home.join("manifest.pem"), manifest.public_pem()?.as_bytes(), Visibility::Public)?;
    let certificate = ca.issue_server(&["localhost"])?;
    write_whole(&home.join("server.pem"), certificate.certificate_pem.as_bytes(), Visibility::Public)?;
    write_whole(&home.join("server.key"), certificate.key_pem.as_bytes(), Visibility::Secret)?;
    write_whole(&folder.join("ca.pem"), ca.certificate_pem().as_bytes(), Visibility::Public)?;
    let mut config = std::fs::read_to_string(&made.config)?;
    config.push_str(&format!(
        "\n[mqtt]\nlisten = \"127.0.0.1:0\"\nproject = \"{PROJECT}\"\nlocation = \"{LOCATION}\"\nregistry = \
         \"{REGISTRY}\"\nplain_events = true\n"
    ));
    write_whole(&made.config, config.as_bytes(), Visibility::Secret)?;
    write_whole(&folder.join("admin.token"), made.admin_token.reveal().as_bytes(), Visibility::Secret)?;
    let enrolment = EnrolmentKey::new(key_file::read(&made.enrolment_key)?);
    for name in [DEVICE, NEIGHBOUR] {
        let identity = Identity::create(name.parse()?, &ca)?;
        let record = identity.enrolment(Chip::Esp32C3, [2, 0, 0, 0, 0, 1], [0; 32], &enrolment)?;
        write_whole(&folder.join(format!("{name}.json")), &record, Visibility::Secret)?;
    }
    let process = ServerProcess::start(&made.config, folder.join("server.log"))?;
    let mqtt = process.mqtt().context("the server does not speak MQTT")?;
    stage.done("server process, HTTPS and MQTT over TLS", format!("{}, {mqtt}", process.address()));
    let hands = Hands::new(folder, process.address().port())?;
    Ok((process, hands, stage.end()))
}

/// A blank part, planned, rehearsed, personalised and locked.
fn element(hands: &Hands, format: Format) -> anyhow::Result<(Companion, String, Stage)> {
    let mut stage = Running::start("Secure element", format);
    let (part, ready) = hands.companion(&simulate("part.bin"))?;
    let bus = bus_of(&ready);
    stage.done("a blank ATECC608A, simulated", format!("serial number {}, bus {bus}", text(&ready, "serial_number")));
    let plan = hands.cotter(&["element", "plan", "--bus", &bus, "-o", "part.plan.json"])?;
    let rehearsal = &plan["rehearsal"];
    stage.done(
        "its personalisation planned and rehearsed",
        format!("{} commands, {} power cuts resumed", rehearsal["commands"], rehearsal["cuts"]),
    );
    let apply = ["element", "apply", "--bus", &bus, "--plan", "part.plan.json", "--transport-key", "part.key", "--yes"];
    let applied = hands.cotter(&apply)?;
    stage.check("personalised and locked for ever", text(&applied, "digest"), applied["done"] == true);
    let shown = hands.cotter(&["element", "show", "--bus", &bus, "--strict"])?;
    let findings = shown["findings"].as_array().map_or(0, Vec::len);
    stage.check("what a product should not ship with", format!("{findings} findings"), findings == 0);
    hands.cotter(&["element", "public-key", "--bus", &bus, "--slot", "0", "-o", "host-1.pub.pem"])?;
    stage.done("public key of slot 0", "host-1.pub.pem; the private one was made in the part and stays there");
    Ok((part, bus, stage.end()))
}

/// The server learns the public key; the operator leaves a configuration.
fn registration(hands: &Hands, format: Format) -> anyhow::Result<Stage> {
    let mut stage = Running::start("Registration", format);
    hands.cotter(&["fleet", "enrol", "host-1.json", "host-2.json"])?;
    stage.done("two devices enrolled", "host-1, and host-2 which has no key");
    let key = hands.cotter(&["fleet", "device-key", "add", DEVICE, "host-1.pub.pem"])?;
    stage.done("public key registered", format!("{}, {}", text(&key, "key"), text(&key, "algorithm")));
    write_whole(&hands.folder().join("every.json"), CONFIGURATION.as_bytes(), Visibility::Public)?;
    let set = hands.cotter(&["fleet", "bridge", "config", DEVICE, "every.json"])?;
    stage.check("a configuration waits for the device", CONFIGURATION, set["version"] == 1);
    Ok(stage.end())
}

/// The host signs a token with the part, and has the module connect with it.
fn conversation(hands: &Hands, server: &ServerProcess, bus: &str, format: Format) -> anyhow::Result<(Stage, String)> {
    let mut stage = Running::start("Token and bridge", format);
    let mut secret = [0; 32];
    random(&mut secret)?;
    write_whole(&hands.folder().join("secret.bin"), &secret, Visibility::Secret)?;
    hands.cotter(&["at", "key", "psk", "--secret", "secret.bin", "--mac", MAC, "-o", "link.key"])?;
    let signed = signed_by_part(hands, bus, "device.token")?;
    stage.done("token signed by the part, no allocator", format!("ES256, {} characters", signed.len()));
    let outcome = talk(hands, server, DEVICE, &signed, "talk", Some(MESSAGE))?;
    let steps = outcome.steps.as_array().map_or(0, Vec::len);
    stage.check(
        "module connected, over TLS, with MQTTLONGPASSWORD",
        format!("{steps} steps of the script"),
        outcome.passed,
    );
    let heard = std::fs::read_to_string(hands.folder().join("talk.log"))?;
    stage.check("configuration came at once", CONFIGURATION, heard.contains(&format!(",{CONFIGURATION}")));
    let events = hands.cotter(&["fleet", "bridge", "events", DEVICE])?;
    let stored = events["events"][0]["payload"] == base64(MESSAGE.as_bytes()).as_str();
    stage.check("message stored before it was acknowledged", MESSAGE, stored);
    let wire = wire_of(&heard);
    let is_hidden = !wire.is_empty() && !contains(&wire, signed.as_bytes()) && !contains(&wire, MESSAGE.as_bytes());
    stage.check("on the serial line", format!("{} bytes, neither token nor message among them", wire.len()), is_hidden);
    Ok((stage.end(), signed))
}

fn attacks(
    hands: &Hands,
    server: &ServerProcess,
    bus: &str,
    token: &str,
    format: Format,
) -> anyhow::Result<Vec<Attack>> {
    let mut attacks = Vec::new();
    let connect = |attempt: Attempt, device: &str, token: &str, file: &str| -> anyhow::Result<Attack> {
        let mark = server.mark()?;
        let outcome = talk(hands, server, device, token, file, None)?;
        let (refusal, detail) = server.refusal_since(mark)?.unwrap_or_default();
        Ok(attempt.saw(refusal, detail, outcome.passed, format))
    };
    let stolen = Attempt {
        name: "a token for another device",
        tried: "the good token of host-1, by a client that calls itself host-2",
        layer: "bridge: keys of the device",
        expected: "token-no-key",
    };
    attacks.push(connect(stolen, NEIGHBOUR, token, "stolen")?);
    let forged = Attempt {
        name: "a copy of the board",
        tried: "the same claims, signed by a part that was personalised the same way",
        layer: "bridge: signature",
        expected: "token-signature",
    };
    attacks.push(connect(forged, DEVICE, &signed_by_copy(hands)?, "forged")?);
    let unsigned = Attempt {
        name: "a token without a signature",
        tried: "the header says \"none\"",
        layer: "bridge: algorithm",
        expected: "token-algorithm",
    };
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", token.split('.').nth(1).unwrap_or_default());
    attacks.push(connect(unsigned, DEVICE, &none, "unsigned")?);

    let mut element = bus.parse::<Place>()?.open(ADDRESS)?;
    let said = |answer: Result<(), Error>| match answer {
        Ok(()) => ("done".to_owned(), String::new()),
        Err(Error::Execution) => ("execution error".to_owned(), Error::Execution.to_string()),
        Err(other) => (other.to_string(), String::new()),
    };
    let (refusal, detail) = said(element.run(CreateKey(KeyPlace::Slot(slot()))).map(drop));
    let again = Attempt {
        name: "a new key in the identity slot",
        tried: "GenKey on the bus, as anybody who reaches it could",
        layer: "part: slot lock",
        expected: "execution error",
    };
    attacks.push(again.saw(refusal, detail, true, format));
    let (refusal, detail) = said(element.run(ReadBlock { zone: Zone::Data(slot()), block: 0 }).map(drop));
    let read = Attempt {
        name: "the private key read out",
        tried: "Read of slot 0 on the bus",
        layer: "part: SlotConfig",
        expected: "execution error",
    };
    attacks.push(read.saw(refusal, detail, true, format));
    drop(element);
    // It has still the key that it had.
    hands.cotter(&["element", "public-key", "--bus", bus, "--slot", "0", "-o", "again.pub.pem"])?;
    let keys =
        ["host-1.pub.pem", "again.pub.pem"].map(|name| std::fs::read(hands.folder().join(name)).unwrap_or_default());
    anyhow::ensure!(keys[0] == keys[1], "the part has another key now");
    Ok(attacks)
}

/// What became of a script.
struct Outcome {
    passed: bool,
    steps: Value,
}

/// One conversation of the host with a module that has just got power. Without a message, the bridge is expected to refuse.
fn talk(
    hands: &Hands,
    server: &ServerProcess,
    device: &str,
    token: &str,
    name: &str,
    message: Option<&str>,
) -> anyhow::Result<Outcome> {
    let (command, log) = (format!("{name}.tty"), format!("{name}-log.tty"));
    let (_module, _) =
        hands.companion(&["at", "device", "--psk-file", "link.key", "--cmd", &command, "--log", &log])?;
    let script = script(hands.folder(), server, device, token, message)?;
    let file = format!("{name}.at");
    write_whole(&hands.folder().join(&file), script.as_bytes(), Visibility::Secret)?;
    let transcript = format!("{name}.log");
    let host = ["at", "host", "--psk-file", "link.key", "--cmd", &command, "--log", &log];
    let words: Vec<&str> = host.into_iter().chain(["--script", &file, "--log-file", &transcript]).collect();
    let verdict = hands.cotter_or_not(&words)?;
    Ok(Outcome { passed: verdict["passed"] == true, steps: verdict["steps"].clone() })
}

fn script(
    folder: &Path,
    server: &ServerProcess,
    device: &str,
    token: &str,
    message: Option<&str>,
) -> anyhow::Result<String> {
    let port = server.mqtt().context("no bridge")?.port();
    let ca = std::fs::metadata(folder.join("ca.pem"))?.len();
    let client_id = format!("projects/{PROJECT}/locations/{LOCATION}/registries/{REGISTRY}/devices/{device}");
    let mut script = String::from("ready within 60s\n");
    let mut step = |what: &str, text: &str| script.push_str(&format!("{what} \"{}\"\n", text.replace('"', "\\\"")));
    // The module verifies the server's certificate, for which it needs the time.
    let time = format!("AT+SYSTIMESTAMP={}", Moment::now().0);
    for command in ["AT+CWMODE=1", "AT+CWJAP=\"any\",\"\"", &time] {
        step("send", command);
        step("expect", "OK\\r\\n");
    }
    step("send", &format!("AT+SYSMFG=2,\"mqtt_ca\",\"mqtt_ca\",8,{ca}"));
    step("expect", ">");
    step("file", "ca.pem");
    step("expect", "OK\\r\\n");
    // Scheme 3: TLS, and the server's certificate is verified.
    step("send", "AT+MQTTUSERCFG=0,3,\"x\",\"ignored\",\"\",0,0,\"\"");
    step("expect", "OK\\r\\n");
    for (command, text) in [("AT+MQTTLONGCLIENTID", client_id.as_str()), ("AT+MQTTLONGPASSWORD", token)] {
        step("send", &format!("{command}=0,{}", text.len()));
        step("expect", ">");
        step("raw", text);
        step("expect", "OK\\r\\n");
    }
    step("send", &format!("AT+MQTTCONN=0,\"localhost\",{port},0"));
    match message {
        None => script.push_str("expect \"ERROR\\r\\n\" within 30s\n"),
        Some(message) => {
            let quoted = message.replace('"', "\\\"");
            script.push_str(&format!(
                "expect \"+MQTTCONNECTED:0,3,\" within 30s\nexpect \"OK\\r\\n\"\n\
                 send \"AT+MQTTSUB=0,\\\"/devices/{device}/config\\\",1\"\n\
                 expect \"+MQTTSUBRECV:0,\\\"/devices/{device}/config\\\",{},{}\" within 30s\n\
                 send \"AT+MQTTPUBRAW=0,\\\"/devices/{device}/events\\\",{},1,0\"\nexpect \">\"\nraw \"{quoted}\"\n\
                 expect \"+MQTTPUB:OK\\r\\n\" within 30s\nsend \"AT+MQTTCLEAN=0\"\nexpect \"OK\\r\\n\"\n",
                CONFIGURATION.len(),
                CONFIGURATION.replace('"', "\\\""),
                message.len()
            ));
        }
    }
    Ok(script)
}

/// As the device does it: the driver, the slot as the device's signer, the token's writer.
fn signed_by_part(hands: &Hands, bus: &str, file: &str) -> anyhow::Result<String> {
    hands.cotter(&["element", "token", "--bus", bus, "--slot", "0", "--audience", PROJECT, "-o", file])?;
    Ok(std::fs::read_to_string(hands.folder().join(file))?.trim_end().to_owned())
}

/// By the part of a board that somebody has copied: personalised like ours, with a key of its own.
fn signed_by_copy(hands: &Hands) -> anyhow::Result<String> {
    let (_part, ready) = hands.companion(&simulate("copy.bin"))?;
    let bus = bus_of(&ready);
    hands.cotter(&["element", "plan", "--bus", &bus, "-o", "copy.plan.json"])?;
    hands.cotter(&[
        "element",
        "apply",
        "--bus",
        &bus,
        "--plan",
        "copy.plan.json",
        "--transport-key",
        "copy.key",
        "--yes",
    ])?;
    signed_by_part(hands, &bus, "copy.token")
}

fn simulate(state: &str) -> [&str; 8] {
    ["element", "simulate", "--state", state, "--listen", "127.0.0.1:0", "--clock", "bus"]
}

fn bus_of(ready: &Value) -> String {
    text(ready, "port").rsplit('/').next().unwrap_or_default().to_owned()
}

/// The bytes on the wire, as the host's transcript has them.
fn wire_of(transcript: &str) -> Vec<u8> {
    let lines = transcript.lines().filter_map(|line| {
        let (_, bytes) = line.split_once("intf-sec-tx: ").or_else(|| line.split_once("intf-sec-rx: "))?;
        Some(bytes)
    });
    lines.flat_map(str::split_whitespace).filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect()
}

fn contains(wire: &[u8], what: &[u8]) -> bool {
    wire.windows(what.len().max(1)).any(|window| window == what)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn base64(bytes: &[u8]) -> String {
    use base64ct::{Base64, Encoding};
    Base64::encode_string(bytes)
}

fn slot() -> Slot {
    Slot::from_low_bits(0)
}

const PROJECT: &str = "stoked-axle-258910";
const LOCATION: &str = "asia-east1";
const REGISTRY: &str = "esp32";
const DEVICE: &str = "host-1";
const NEIGHBOUR: &str = "host-2";
const MAC: &str = "7c:df:a1:e0:00:42";
const ADDRESS: u8 = 0x60;
const CONFIGURATION: &str = "{\"every\":4}";
const MESSAGE: &str = "{\"temp\":128,\"device_id\":\"host-1\"}";
