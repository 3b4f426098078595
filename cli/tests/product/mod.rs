//! A small product for the tests: its keys, its server (a process of its own), and an operator who types commands.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses another part")]

use assert_cmd::Command;
use cotter_factory::identity::Identity;
use cotter_factory::pki::ProductCa;
use cotter_factory::signing::{ManifestKey, SecureBootKey};
use cotter_formats::chip::Chip;
use cotter_server::init::{InitOptions, init};
use cotter_server::key_file;
use cotter_wire::keys::EnrolmentKey;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

pub struct Product {
    pub folder: tempfile::TempDir,
    pub ca: ProductCa,
    pub secure_boot: SecureBootKey,
    pub config: PathBuf,
    enrolment_key: PathBuf,
    server: Child,
    pub address: String,
}

impl Product {
    /// Keys, certificates, and a server that runs; the admin's token is in `admin.token`.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secure_boot = SecureBootKey::generate().unwrap();
        let manifest = ManifestKey::generate_p256().unwrap();
        manifest.save(&folder.path().join("manifest.key.pem")).unwrap();
        std::fs::write(folder.path().join("manifest.pem"), manifest.public_pem().unwrap()).unwrap();
        let made = init(
            folder.path(),
            &InitOptions {
                listen: "127.0.0.1:0".parse().unwrap(),
                admin: "alice".parse().unwrap(),
                project: "cotter-app".into(),
                manifest_keys: vec!["manifest.pem".into()],
                manifest_required: 1,
                secure_boot_digests: vec![secure_boot.digest().unwrap()],
            },
        )
        .unwrap();
        let ca = ProductCa::generate("product CA").unwrap();
        ca.issue_server(&["localhost"]).unwrap().save(folder.path(), "server").unwrap();
        std::fs::rename(folder.path().join("server.key.pem"), folder.path().join("server.key")).unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.certificate_pem()).unwrap();
        key_file::write_new(&folder.path().join("admin.token"), made.admin_token.reveal().as_bytes()).unwrap();
        let (server, address) = serve(&made.config);
        let (config, enrolment_key) = (made.config, made.enrolment_key);
        Self { folder, ca, secure_boot, config, enrolment_key, server, address }
    }

    /// `kill -9`, and the server comes back at another port.
    pub fn kill_and_restart(&mut self) {
        self.kill_and_restart_after(|_| ());
    }

    /// The same, and something happens in its folder meanwhile.
    pub fn kill_and_restart_after(&mut self, meanwhile: impl FnOnce(&Path)) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        meanwhile(self.folder.path());
        (self.server, self.address) = serve(&self.config);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The factory's record of a new device, in `NAME.json`; the device itself.
    pub fn born(&self, name: &str) -> Identity {
        let identity = Identity::create(name.parse().unwrap(), &self.ca).unwrap();
        let key = EnrolmentKey::new(key_file::read(&self.enrolment_key).unwrap());
        let digest = self.secure_boot.digest().unwrap();
        let record = identity.enrolment(Chip::Esp32C3, [2, 0, 0, 0, 0, 1], digest, &key).unwrap();
        std::fs::write(self.path(&format!("{name}.json")), record).unwrap();
        identity
    }

    /// A signed release of the committed firmware, in `VERSION.release`.
    pub fn signed(&self, version: &str) {
        let image = format!("{}/../firmware/images/app-{version}.bin", env!("CARGO_MANIFEST_DIR"));
        let signed = self.secure_boot.sign(&std::fs::read(image).unwrap()).unwrap();
        std::fs::write(self.path(&format!("{version}.bin")), signed).unwrap();
        self.stdout(&format!("release sign {version}.bin --key manifest.key.pem -o {version}.release"));
    }

    /// A command as the admin types it.
    pub fn run(&self, arguments: &str) -> Command {
        let mut command = Command::cargo_bin("cotter").unwrap();
        command.current_dir(self.folder.path()).args(arguments.split(' '));
        command.env("COTTER_SERVER", &self.address).env("COTTER_CA", "ca.pem").env("COTTER_TOKEN_FILE", "admin.token");
        command
    }

    pub fn stdout(&self, arguments: &str) -> String {
        String::from_utf8(self.run(arguments).assert().success().get_output().stdout.clone()).unwrap()
    }

    pub fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.stdout(&format!("{arguments} --json"))).unwrap()
    }

    /// What a refused command says, on stderr.
    pub fn refusal(&self, arguments: &str) -> String {
        refusal(self.run(arguments))
    }
}

/// What a refused command says, on stderr.
pub fn refusal(mut command: Command) -> String {
    let assert = command.assert().code(1);
    assert_eq!(String::from_utf8_lossy(&assert.get_output().stdout), "", "a refused run prints no result");
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

fn serve(config: &Path) -> (Child, String) {
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("cotter"))
        .args(["serve", "--config"])
        .arg(config)
        .env("RUST_LOG", "error")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let port = ready["listening"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
    (child, format!("https://localhost:{port}"))
}

impl Drop for Product {
    fn drop(&mut self) {
        // Gone already if the test ended it.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
