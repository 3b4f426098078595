//! The bridge and clients that nobody has changed for it: mosquitto's programs, paho and MicroPython's `umqtt.simple`, with
//! tokens by PyJWT, over OpenSSL's TLS. The server is killed under them, too.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_factory::identity::Identity;
use cotter_factory::pki::ProductCa;
use cotter_formats::chip::Chip;
use cotter_interop::{server_options, temp_dir, tools};
use cotter_server::config::Config;
use cotter_server::init::init;
use cotter_server::key_file;
use cotter_server::server::run;
use cotter_wire::keys::EnrolmentKey;
use std::path::Path;

const SCRIPT: &str = include_str!("mqtt/clients.py");
/// Names the configuration to the process that is to be the server.
const SERVE: &str = "COTTER_MQTT_SERVE";

const BRIDGE: &str = r#"
[mqtt]
listen = "127.0.0.1:0"
project = "stoked-axle-258910"
location = "asia-east1"
registry = "esp32"
client = "optional"
plain_events = true
messages_per_connection = { burst = 100000, per_second = 100000 }
"#;

#[test]
fn unmodified_clients_get_in_with_good_tokens_and_lose_nothing_when_the_server_is_killed() {
    if let Some(config) = std::env::var_os(SERVE) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let config = Config::read(Path::new(&config)).unwrap();
        return runtime.block_on(run(&config, |ready| println!("\n{ready}"))).unwrap();
    }
    let home = temp_dir();
    let path = |name: &str| home.path().join(name).display().to_string();
    let made = init(home.path(), &server_options()).unwrap();
    let ca = ProductCa::generate("product CA").unwrap();
    ca.save(home.path()).unwrap();
    ca.issue_server(&["localhost"]).unwrap().save(home.path(), "server").unwrap();
    std::fs::rename(path("server.key.pem"), path("server.key")).unwrap();
    tools().openssl(["pkey", "-in", &path("server.key"), "-pubout", "-out", &path("manifest.pem")]).accepted();
    let enrolment = EnrolmentKey::new(key_file::read(&made.enrolment_key).unwrap());
    for name in ["one", "two"] {
        let identity = Identity::create(name.parse().unwrap(), &ca).unwrap();
        identity.certificate.save(home.path(), name).unwrap();
        let record = identity.enrolment(Chip::Esp32C3, [2, 0, 0, 0, 0, 1], [0; 32], &enrolment).unwrap();
        std::fs::write(home.path().join(format!("{name}.json")), record).unwrap();
    }
    let text = std::fs::read_to_string(&made.config).unwrap();
    let text = text.replace("[tls]\n", "[tls]\nclient = \"optional\"\nclient_ca = \"ca.pem\"\n");
    std::fs::write(&made.config, format!("{text}{BRIDGE}")).unwrap();

    let this = std::env::current_exe().unwrap().display().to_string();
    let test = "unmodified_clients_get_in_with_good_tokens_and_lose_nothing_when_the_server_is_killed";
    let umqtt = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/umqtt");
    let cases = serde_json::json!({
        "home": home.path(),
        "config": made.config,
        "admin": made.admin_token.reveal().as_str(),
        "server": [this, test, "--exact", "--nocapture"],
        "variable": SERVE,
        "umqtt": umqtt,
    });
    let said = tools().python_on(SCRIPT, &[], cases.to_string().as_bytes()).accepted();
    println!("{said}");
    for line in [
        "mosquitto_pub: good tokens accepted in 3.1.1 and 5",
        "mosquitto_pub: 14 bad tokens refused, exit 5 and 135",
        "mosquitto_sub: configuration at once, retained; commands",
        "paho: good tokens accepted in 3.1.1 and 5, bad ones refused, a certificate instead",
        "umqtt.simple: as the demo does it; bad tokens refused",
        "kill -9: nothing acknowledged is lost",
    ] {
        assert!(said.contains(line), "not said: {line}\n{said}");
    }
}
