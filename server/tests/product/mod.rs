//! A small product for the tests: its CA, its server (in this process or as a process of its own), its devices.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses another part")]

pub mod board;
pub mod client;
pub mod device;
pub mod evil;
pub mod field;
pub mod mqtt;
pub mod release;

use client::{Answer, Client};
use cotter_server::audit::note::NoteKey;
use cotter_server::audit::review::review;
use cotter_server::config::Config;
use cotter_server::init::{InitOptions, init};
use cotter_server::server::Server;
use cotter_server::store::sqlite::export_audit_log;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::CertificateDer;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Directory, keys and certificates of one product.
pub struct Product {
    pub directory: tempfile::TempDir,
    pub config: PathBuf,
    pub enrolment_key: PathBuf,
    pub admin_token: String,
    pub audit_key: NoteKey,
    pub ca: CertificateDer<'static>,
    pub authority: Authority,
    pub signers: release::Signers,
}

/// A certificate authority.
pub struct Authority {
    pub certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let made = parameters.self_signed(&key).unwrap();
        let (certificate, pem) = (made.der().clone(), made.pem());
        Self { certificate, pem, issuer: Issuer::new(parameters, key) }
    }

    pub fn pem(&self) -> String {
        self.pem.clone()
    }

    /// The certificate of a client with this common name, and its key.
    pub fn client(&self, name: &str) -> client::Shown {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap().der().clone();
        (certificate, key.serialize_der())
    }

    fn issue(&self, directory: &Path) {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec![client::SERVER_NAME.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(directory.join("server.pem"), certificate.pem()).unwrap();
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(directory.join("server.key")).unwrap();
        file.write_all(key.serialize_pem().as_bytes()).unwrap();
    }
}

impl Product {
    pub fn new() -> Self {
        Self::with("")
    }

    /// The checkpoint of the audit log, which is what was signed and continues the `earlier` ones.
    pub fn reviewed_audit_log(&self, earlier: &[String]) -> String {
        let mut log = Vec::new();
        let each = |line: String| writeln!(log, "{line}");
        let checkpoint = export_audit_log(&self.directory.path().join("cotter.db"), each).unwrap();
        review(&log[..], &checkpoint, earlier, &self.audit_key).unwrap();
        checkpoint
    }

    /// `extra` is appended to the configuration.
    pub fn with(extra: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let signers = release::Signers::new(directory.path());
        let made = init(
            directory.path(),
            &InitOptions {
                admin: "admin".parse().unwrap(),
                listen: ([127, 0, 0, 1], 0).into(),
                project: release::PROJECT.into(),
                manifest_keys: signers.public_key_files.clone(),
                manifest_required: 1,
                secure_boot_digests: vec![signers.secure_boot_digest()],
            },
        )
        .unwrap();
        let authority = Authority::new();
        authority.issue(directory.path());
        std::fs::write(directory.path().join("ca.pem"), authority.pem()).unwrap();
        let mut text = std::fs::read_to_string(&made.config).unwrap();
        text.push_str(extra);
        std::fs::write(&made.config, text).unwrap();
        Self {
            config: made.config,
            enrolment_key: made.enrolment_key,
            admin_token: made.admin_token.reveal().to_string(),
            audit_key: made.audit_key,
            ca: authority.certificate.clone(),
            authority,
            signers,
            directory,
        }
    }

    /// Starts the server in this process.
    pub async fn serve(&self) -> Running {
        Running::of(&self.config).await
    }

    /// Starts the server binary.
    pub fn spawn(&self) -> Process {
        self.spawn_after("true")
    }

    /// As [`Self::spawn`], after these words of a shell.
    pub fn spawn_after(&self, words: &str) -> Process {
        let mut child = Command::new("sh")
            .args(["-c", &format!("{words}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_cotter-server")])
            .args(["serve", "--config"])
            .arg(&self.config)
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .stderr(self.long_log())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = |name: &str| ready[name].as_str().map(|address| address.parse().unwrap());
        Process { child, address: address("listening").unwrap(), mqtt: address("mqtt") }
    }

    /// Where a process of its own logs: the end of a file that is so long already that no limit on the size of files which
    /// leaves a database room leaves the log any.
    fn long_log(&self) -> std::fs::File {
        let log =
            std::fs::OpenOptions::new().append(true).create(true).open(self.directory.path().join("log")).unwrap();
        log.set_len(log.metadata().unwrap().len().max(1 << 32)).unwrap();
        log
    }

    pub async fn connect(&self, address: SocketAddr) -> Client {
        Client::connect(address, &self.ca).await.unwrap()
    }

    /// A request of the administrator.
    pub async fn admin(&self, address: SocketAddr, method: &str, path: &str, body: Vec<u8>) -> Answer {
        let authorization = format!("Bearer {}", self.admin_token);
        self.connect(address).await.ask(method, path, &[("authorization", &authorization)], body).await
    }

    /// Event and detail of each line of the audit log about a device, oldest first.
    pub async fn audited(&self, address: SocketAddr, device: &str) -> Vec<(String, String)> {
        // Notes on devices are queued: what is written now comes behind them.
        self.admin(address, "POST", "/admin/v1/devices", b"nonsense".to_vec()).await;
        let lines = self.admin(address, "GET", "/admin/v1/audit/entries?from=0&limit=1000", Vec::new()).await;
        let lines = lines.is().1.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let text = |line: &serde_json::Value, name: &str| line[name].as_str().unwrap().to_owned();
        lines
            .filter(|line| line["subject"] == device)
            .map(|line| (text(&line, "event"), text(&line, "detail")))
            .collect()
    }

    /// Nonces of the stored readings of a device, newest first.
    pub async fn stored_nonces(&self, address: SocketAddr, device: &str) -> Vec<u64> {
        let answer = self.admin(address, "GET", &format!("/admin/v1/devices/{device}/readings"), Vec::new()).await;
        assert_eq!(answer.status, 200);
        let readings = answer.json();
        readings["readings"].as_array().unwrap().iter().map(|reading| reading["nonce"].as_u64().unwrap()).collect()
    }
}

/// A server in this process.
pub struct Running {
    pub address: SocketAddr,
    /// The listener of the compatibility profile.
    pub ecowatt: Option<SocketAddr>,
    /// The listener for MQTT.
    pub mqtt: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts a server in this process.
    pub async fn of(config: &Path) -> Self {
        let server = Server::bind(&Config::read(config).unwrap()).await.unwrap();
        let (address, ecowatt, mqtt) = (server.address(), server.ecowatt_address(), server.mqtt_address());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.run(async move { drop(stopped.await) }));
        Self { address, ecowatt, mqtt, stop, task }
    }

    /// Stops it the orderly way.
    pub async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap();
    }
}

/// A server in a process of its own.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    pub mqtt: Option<SocketAddr>,
}

impl Process {
    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already if the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
