//! Schemathesis makes requests from the server's own OpenAPI document, right and wrong ones, as a stranger and as an
//! administrator: every answer is one that the document names, and the server is never at fault.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_interop::{server_options, temp_dir, tools};
use cotter_server::config::Config;
use cotter_server::init::init;
use cotter_server::server::Server;
use cotter_wire::api;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_no_answer_that_the_document_does_not_name() {
    let (tools, home) = (tools(), temp_dir());
    let path = |name: &str| home.path().join(name).display().to_string();
    let made = init(home.path(), &server_options()).unwrap();
    let key = path("server.key");
    tools.openssl(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &path("ec.key")]).accepted();
    tools.openssl(["pkcs8", "-topk8", "-nocrypt", "-in", &path("ec.key"), "-out", &key]).accepted();
    tools.openssl(["pkey", "-in", &key, "-pubout", "-out", &path("manifest.pem")]).accepted();
    let certificate = path("server.pem");
    let request = ["req", "-x509", "-new", "-key", &key, "-days", "2", "-subj", "/CN=server", "-out", &certificate];
    tools.openssl(request.into_iter().chain(["-addext", "subjectAltName=IP:127.0.0.1"])).accepted();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, private).unwrap();
    let mut text = std::fs::read_to_string(&made.config).unwrap();
    // All of it comes from one address, and most of it is refused.
    text.push_str("\n[limits]\nrefusals_per_address = { burst = 1000000, per_second = 1000 }\n");
    std::fs::write(&made.config, text).unwrap();

    let server = Server::bind(&Config::read(&made.config).unwrap()).await.unwrap();
    let document = format!("https://{}/openapi.json", server.address());
    tokio::spawn(server.run(std::future::pending()));

    // It knows no CBOR by itself.
    let (hooked, hooks) = (path("schemathesis.toml"), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi.py"));
    std::fs::write(&hooked, format!("hooks = {hooks:?}\n")).unwrap();

    // The same requests each time, so that a change of the server is what fails; another seed looks for more.
    let seed = std::env::var("SCHEMATHESIS_SEED").unwrap_or_else(|_| "20261122".to_owned());
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
    let bearer = format!("Authorization: Bearer {}", *made.admin_token.reveal());
    let all: [&[&str]; 3] = [&[], &["--header", &bearer], &["--include-path", api::COMPACT_TELEMETRY]];
    for chosen in all {
        let mut arguments = vec!["--config-file", &hooked, "run", &document, "--tls-verify", &certificate];
        arguments.extend(["--seed", &seed, "--checks", checks, "--max-time", "20", "--max-examples", "40"]);
        arguments.extend(["--generation-database", "none", "--no-color"]);
        arguments.extend(chosen);
        let said = tokio::task::block_in_place(|| tools.schemathesis(arguments).accepted());
        let generated = said.lines().find_map(|line| line.trim().split_once(" generated, ")?.0.parse::<u32>().ok());
        assert!(generated.is_some_and(|generated| generated >= 30), "{said}");
        println!(
            "{}",
            said.lines().rev().take(15).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
        );
    }
}
