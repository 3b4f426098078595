//! Servers side by side, each a process of its own, and the load generator that asks them all the same.

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::tools::debian_package;
use crate::workspace::{cargo, output, root, run as run_command};

/// Where the programs are, and a folder for what they make; it goes with this value.
pub(super) struct Course {
    server: PathBuf,
    bench: PathBuf,
    folder: tempfile::TempDir,
    quiet: bool,
    // The nonces of a run are above those of the runs before.
    nonce: Cell<u32>,
}

/// A running server; killed when dropped.
pub(super) struct Server {
    process: Child,
    address: SocketAddr,
    mqtt: Option<SocketAddr>,
}

/// What the load generator is asked for.
#[derive(Clone, Copy)]
pub(super) struct Load {
    pub(super) devices: u32,
    pub(super) connections: u32,
    pub(super) uploads: u32,
    pub(super) forged: bool,
}

/// What it says.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) uploads: u32,
    /// Answers with the status that they should have.
    pub(super) as_expected: u32,
    pub(super) per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// Of all processes of the server, for one upload.
    pub(super) server_cpu_us: f64,
    pub(super) client_cpu_us: f64,
    /// Resident memory of the server at its highest since it began.
    pub(super) peak_kib: u64,
}

/// What is asked for in downloads.
pub(super) struct Download {
    pub(super) devices: u32,
    pub(super) size: u32,
    /// Ranges of this path, instead of chunks in sessions.
    pub(super) file: Option<String>,
}

/// What came of it.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Fetched {
    pub(super) devices: u32,
    pub(super) bytes_per_second: f64,
    /// Of all processes of the server, for one chunk.
    pub(super) server_cpu_us: f64,
    /// Resident memory of the server with all sessions open, before the first chunk.
    pub(super) before_kib: u64,
    /// At its highest.
    pub(super) peak_kib: u64,
}

impl Course {
    /// Builds what is measured, and how.
    ///
    /// # Errors
    /// The build, or a folder.
    pub(super) fn build(quiet: bool) -> Result<Self> {
        let release = ["build", "--release", "--locked", "--package", "cotter-server"];
        run_command(cargo().args(release).args(["--bin", "cotter-server", "--example", "bench"]))?;
        // On the disk that the repository is on: /tmp may be none.
        let target = root().join("target");
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(&target)?;
        let programs = target.join("release");
        let (server, bench) = (programs.join("cotter-server"), programs.join("examples/bench"));
        Ok(Self { server, bench, folder, quiet, nonce: Cell::new(0) })
    }

    /// A directory with so many enrolled devices, and a published release of so many bytes.
    ///
    /// # Errors
    /// They cannot be enrolled.
    pub(super) fn crowd(&self, devices: u32, release: Option<u32>) -> Result<PathBuf> {
        self.say(&format!("{devices} devices"));
        let directory = self.folder.path().join(devices.to_string());
        let mut command = Command::new(&self.bench);
        command.arg("crowd").arg(&directory).args(["--devices", &devices.to_string(), "--configuration", LIMITS]);
        if let Some(size) = release {
            command.arg("--release").arg(size.to_string());
        }
        output(&mut command)?;
        Ok(directory)
    }

    /// The same for the bridge, with a key for each device's tokens.
    ///
    /// # Errors
    /// They cannot be enrolled.
    pub(super) fn mqtt_crowd(&self, devices: u32) -> Result<PathBuf> {
        self.say(&format!("{devices} devices with keys"));
        let directory = self.folder.path().join(format!("mqtt-{devices}"));
        let mut command = Command::new(&self.bench);
        command.arg("crowd").arg(&directory).args(["--devices", &devices.to_string(), "--keys"]);
        output(command.arg("--configuration").arg(format!("{LIMITS}{MQTT}")))?;
        Ok(directory)
    }

    /// Debian's mosquitto over the same TLS, with persistence on and a subscriber that has gone and wants everything.
    ///
    /// # Errors
    /// It is missing and cannot be installed, or does not start.
    pub(super) fn mosquitto(&self, crowd: &Path) -> Result<Server> {
        debian_package("/usr/sbin/mosquitto", "mosquitto")?;
        debian_package("/usr/bin/mosquitto_sub", "mosquitto-clients")?;
        let home = tempfile::Builder::new().prefix("mosquitto-").tempdir_in(self.folder.path())?.keep();
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let configuration = home.join("mosquitto.conf");
        let text = MOSQUITTO
            .replace("HOME", &home.display().to_string())
            .replace("CROWD", &crowd.display().to_string())
            .replace("PORT", &address.port().to_string());
        std::fs::write(&configuration, text)?;
        let mut command = Command::new("/usr/sbin/mosquitto");
        let process = command.arg("-c").arg(&configuration).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = Server { process: process.context("cannot start mosquitto")?, address, mqtt: Some(address) };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > Duration::from_secs(10) {
                bail!("mosquitto does not answer");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // It subscribes, and leaves: from then on every message is kept for it.
        let mut subscriber = Command::new("/usr/bin/mosquitto_sub");
        subscriber.args(["-i", "keeper", "-c", "-q", "1", "-t", "/devices/#", "-E", "--insecure"]);
        subscriber.arg("--cafile").arg(crowd.join("ca.pem"));
        output(subscriber.args(["-h", "127.0.0.1", "-p", &address.port().to_string()]))?;
        Ok(server)
    }

    /// One run of the load generator for MQTT.
    ///
    /// # Errors
    /// It fails, or a connection does.
    pub(super) fn mqtt<T: for<'a> Deserialize<'a>>(
        &self,
        server: &Server,
        crowd: &Path,
        connections: u32,
        messages: u32,
        with_tokens: bool,
    ) -> Result<T> {
        let address = server.mqtt.context("the server has no bridge")?;
        let mut command = Command::new(&self.bench);
        command.arg("mqtt").arg("--ca").arg(crowd.join("ca.pem")).arg("--address").arg(address.to_string());
        command.args(["--connections", &connections.to_string(), "--messages", &messages.to_string()]);
        if with_tokens {
            command.arg("--keys").arg(crowd.join("keys"));
        }
        self.measured(server, command)
    }

    /// Our server.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn serve(&self, crowd: &Path) -> Result<Server> {
        let mut command = Command::new(&self.server);
        Server::announced(command.args(["serve", "--config"]).arg(crowd.join("cotter.toml")).env("RUST_LOG", "error"))
    }

    /// The reference.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn reference(&self, crowd: &Path) -> Result<Server> {
        Server::announced(Command::new(&self.bench).arg("reference").arg(crowd))
    }

    /// TLS and an answer that is made before.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn fixed(&self, crowd: &Path) -> Result<Server> {
        Server::announced(Command::new(&self.bench).arg("fixed").arg(crowd))
    }

    /// Debian's nginx, with a configuration, a port and temporary files of its own.
    ///
    /// # Errors
    /// It is missing and cannot be installed, or does not start.
    pub(super) fn nginx(&self, crowd: &Path, location: &str) -> Result<Server> {
        debian_package("/usr/sbin/nginx", "nginx-light")?;
        let home = tempfile::Builder::new().prefix("nginx-").tempdir_in(self.folder.path())?.keep();
        // It cannot let the system choose a port, so one is chosen and given back just before.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let configuration = home.join("nginx.conf");
        let text = NGINX
            .replace("HOME", &home.display().to_string())
            .replace("CROWD", &crowd.display().to_string())
            .replace("ADDRESS", &address.to_string())
            .replace("LOCATION", location);
        std::fs::write(&configuration, text)?;
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-e").arg(home.join("error.log")).arg("-p").arg(&home).arg("-c").arg(&configuration);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("cannot start nginx")?;
        let server = Server { process, address, mqtt: None };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > Duration::from_secs(10) {
                let log = std::fs::read_to_string(home.join("error.log")).unwrap_or_default();
                bail!("nginx does not answer: {}", log.trim_end());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// One run of the load generator.
    ///
    /// # Errors
    /// It fails, or a connection does.
    pub(super) fn drive(&self, server: &Server, crowd: &Path, load: Load) -> Result<Measured> {
        let Load { devices, connections, uploads, forged } = load;
        let mut command = Command::new(&self.bench);
        command.arg("load").arg("--ca").arg(crowd.join("ca.pem")).arg("--address").arg(server.address.to_string());
        let nonce = self.nonce.get();
        for (name, value) in
            [("--devices", devices), ("--connections", connections), ("--uploads", uploads), ("--nonce", nonce)]
        {
            command.arg(name).arg(value.to_string());
        }
        self.nonce.set(nonce + 2 + (uploads + uploads / 10) / devices);
        if forged {
            command.arg("--forged");
        }
        self.measured(server, command)
    }

    /// Downloads.
    ///
    /// # Errors
    /// A connection fails, or a chunk is refused or wrong.
    pub(super) fn fetch(&self, server: &Server, crowd: &Path, download: Download) -> Result<Fetched> {
        let mut command = Command::new(&self.bench);
        command.arg("download").arg("--ca").arg(crowd.join("ca.pem")).arg("--address").arg(server.address.to_string());
        command.arg("--devices").arg(download.devices.to_string()).arg("--size").arg(download.size.to_string());
        if let Some(file) = download.file {
            command.arg("--file").arg(file);
        }
        self.measured(server, command)
    }

    fn measured<T: for<'a> Deserialize<'a>>(&self, server: &Server, mut command: Command) -> Result<T> {
        for process in server.processes()? {
            command.arg("--server").arg(process.to_string());
        }
        let printed = output(&mut command)?;
        self.say(printed.trim_end());
        serde_json::from_str(&printed).with_context(|| format!("the load generator printed {printed:?}"))
    }

    fn say(&self, what: &str) {
        if !self.quiet {
            eprintln!("{what}");
        }
    }
}

impl Server {
    /// One that prints `{"listening":"ADDRESS"}` when it is ready.
    fn announced(command: &mut Command) -> Result<Self> {
        #[derive(Deserialize)]
        struct Ready {
            listening: SocketAddr,
            mqtt: Option<SocketAddr>,
        }
        let mut process =
            command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {command:?}"))?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let ready: serde_json::Result<Ready> = serde_json::from_str(&line);
        let Ok(Ready { listening: address, mqtt }) = ready else {
            let _ = process.kill();
            bail!("{command:?} is not ready: {line:?}, {}", process.wait()?);
        };
        Ok(Self { process, address, mqtt })
    }

    /// Itself and its children.
    fn processes(&self) -> Result<Vec<u32>> {
        let own = self.process.id();
        let path = format!("/proc/{own}/task/{own}/children");
        let children = std::fs::read_to_string(&path).context(path)?;
        let children: Result<Vec<u32>, _> = children.split_whitespace().map(str::parse).collect();
        Ok([vec![own], children?].concat())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // In order, so that nginx ends its workers.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// All uploads come from one address and as fast as they can.
const LIMITS: &str = "[limits]
handshakes_per_address = { burst = 1000000, per_second = 1000000 }
requests = { burst = 1000000, per_second = 1000000 }
requests_per_address = { burst = 1000000, per_second = 1000000 }
refusals_per_address = { burst = 1000000000, per_second = 1000000 }
uploads_per_device = { burst = 1000000, per_second = 1000000 }
requests_per_device = { burst = 1000000, per_second = 1000000 }
";

const MQTT: &str = "[mqtt]
listen = \"127.0.0.1:0\"
project = \"bench\"
location = \"here\"
registry = \"all\"
plain_events = true
connections_per_address = 100000
messages_per_connection = { burst = 1000000, per_second = 1000000 }
bytes_per_connection = { burst = 1000000000, per_second = 1000000000 }
";

const MOSQUITTO: &str = "listener PORT 127.0.0.1
cafile CROWD/ca.pem
certfile CROWD/server.pem
keyfile CROWD/server.key
user root
allow_anonymous true
persistence true
persistence_location HOME/
max_queued_messages 0
max_inflight_messages 0
log_dest none
";

const NGINX: &str = "daemon off;
user root;
pid HOME/pid;
error_log HOME/error.log;
worker_processes auto;
events { worker_connections 4096; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path HOME/body;
    proxy_temp_path HOME/proxy;
    fastcgi_temp_path HOME/fastcgi;
    uwsgi_temp_path HOME/uwsgi;
    scgi_temp_path HOME/scgi;
    default_type application/json;
    server {
        listen ADDRESS ssl backlog=4096;
        ssl_certificate CROWD/server.pem;
        ssl_certificate_key CROWD/server.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        location / { LOCATION }
    }
}
";
