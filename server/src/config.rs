//! The configuration file: TOML, unknown fields refused, paths relative to the file itself.

use crate::device_token::Reuse;
use crate::master::Source;
use serde::Deserialize;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything an operator decides.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address to listen on; port 0 lets the operating system choose.
    pub listen: SocketAddr,
    /// Who is served there.
    #[serde(default)]
    pub serves: Serves,
    /// More addresses to listen on.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// Where database and artifacts live.
    #[serde(default = "here")]
    pub data: PathBuf,
    /// The server's own certificate.
    pub tls: Tls,
    /// Secret files.
    pub keys: Keys,
    /// Which firmware may be released.
    pub firmware: Firmware,
    /// How packets are accepted.
    #[serde(default)]
    pub ingest: Ingest,
    /// What one peer may take.
    #[serde(default)]
    pub limits: Limits,
    /// What devices can be told to do; anything else is refused.
    #[serde(default)]
    pub commands: Vec<Command>,
    /// The insecure compatibility profile; without this section it is off.
    pub ecowatt: Option<Ecowatt>,
    /// What the server counts; not served unless asked for.
    pub metrics: Option<Metrics>,
    /// The bridge for devices that speak MQTT; without this section it is off.
    pub mqtt: Option<Mqtt>,
}

/// TLS files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain, PEM, leaf first.
    pub certificate: PathBuf,
    /// Its private key, PEM (PKCS#8), mode 600.
    pub key: PathBuf,
    /// Whether devices show certificates.
    #[serde(default)]
    pub client: Client,
    /// Who issues the certificates of devices, PEM.
    pub client_ca: Option<PathBuf>,
    /// Certificate revocation lists, PEM.
    #[serde(default)]
    pub revoked: Vec<PathBuf>,
    /// Devices whose certificates let nobody in.
    #[serde(default)]
    pub denied: Vec<String>,
}

/// Whether a listener asks clients for certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Client {
    /// No.
    #[default]
    Off,
    /// Yes; who has none is served too.
    Optional,
    /// Yes, and who has none is not let in.
    Required,
}

/// Who is served by a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Serves {
    /// All routes.
    #[default]
    Everybody,
    /// Not those of administrators.
    Devices,
    /// Not those of devices.
    Administrators,
}

/// Another address to listen on, with the same certificate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Port 0 lets the operating system choose.
    pub listen: SocketAddr,
    /// Who is served there.
    #[serde(default)]
    pub serves: Serves,
    /// Whether clients show certificates.
    #[serde(default)]
    pub client: Client,
    /// Who issues the certificates of administrators, PEM, where only these are served; others show those of `[tls]`.
    pub client_ca: Option<PathBuf>,
    /// Certificate revocation lists of that CA, PEM.
    #[serde(default)]
    pub revoked: Vec<PathBuf>,
}

/// Secrets; their files have mode 600.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Seals all other secrets at rest.
    pub master: Source,
    /// What [`Self::master`] will be, while it is changed.
    pub next_master: Option<Source>,
    /// Opens the records that the factory sends.
    pub enrolment: PathBuf,
    /// Signs the audit log.
    pub audit: PathBuf,
    /// Days after which a key is due for rotation.
    #[serde(default = "ninety")]
    pub warn_days: u32,
}

/// Which firmware may be released. There is no signing key here: the server checks and never signs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firmware {
    /// Project name in the application descriptor.
    pub project: String,
    /// Public keys of the manifest signers, PEM (SubjectPublicKeyInfo).
    pub manifest_keys: Vec<PathBuf>,
    /// How many of them must have signed.
    #[serde(default = "one")]
    pub manifest_required: usize,
    /// Digests of the Secure Boot keys that the fleet trusts, 64 hexadecimal digits each.
    pub secure_boot_digests: Vec<String>,
}

/// How packets are accepted.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ingest {
    /// How far a nonce may jump ahead.
    pub nonce_window: u32,
    /// What the factory has written as the first nonce: a device's first packet must be above it.
    pub nonce_floor: u32,
    /// Devices whose keys are kept in memory.
    pub cached_devices: usize,
    /// Devices of which everything else is in memory that an upload needs, about 200 bytes each.
    pub listed_devices: usize,
}

/// What one peer may take. Times in seconds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address.
    pub connections_per_address: usize,
    /// Downloads of whole artifacts at once.
    pub downloads: usize,
    /// Downloads of whole artifacts at once by one device.
    pub downloads_per_device: usize,
    /// For the TLS handshake.
    pub handshake_seconds: u64,
    /// For all headers of a request, and between requests.
    pub header_seconds: u64,
    /// For the body of a request.
    pub body_seconds: u64,
    /// Without any byte moving.
    pub stall_seconds: u64,
    /// For connections that are open at shutdown.
    pub shutdown_seconds: u64,
    /// Connections that one address may begin.
    pub handshakes_per_address: Rate,
    /// Requests of everybody together.
    pub requests: Rate,
    /// Requests of one address.
    pub requests_per_address: Rate,
    /// Refused requests of one address; then all of its requests are refused until some have refilled.
    pub refusals_per_address: Rate,
    /// Authentic packets of one device.
    pub uploads_per_device: Rate,
    /// Authentic other requests of one device.
    pub requests_per_device: Rate,
}

/// So many at once, so many per second in the long run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// In the long run.
    pub per_second: u32,
}

/// Where the counters are served, in clear text and to everybody who can connect.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Must be a loopback address.
    pub listen: SocketAddr,
}

/// A command and its parameters, all of which have to be given.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// 1 to 32 lower-case letters, digits and `-`; what the firmware knows it by.
    pub name: String,
    /// At most 8.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
}

/// A parameter of a command.
#[derive(Debug, Clone, Deserialize)]
pub struct Parameter {
    /// As the name of a command.
    pub name: String,
    /// Which values it takes.
    #[serde(flatten)]
    pub kind: Kind,
}

/// Which values a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Kind {
    /// Yes or no.
    Boolean,
    /// A whole number.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// Printable ASCII.
    Text {
        /// Up to 64.
        max_length: usize,
    },
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("true or false"),
            Self::Integer { min, max } => write!(f, "an integer from {min} to {max}"),
            Self::Text { max_length } => write!(f, "a text of at most {max_length} printable ASCII characters"),
        }
    }
}

/// A listener for MQTT over TLS, with the server's certificate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mqtt {
    /// Usually port 8883; port 0 lets the operating system choose.
    pub listen: SocketAddr,
    /// What clients call the project, and what tokens are made for.
    pub project: String,
    /// What clients call the location.
    pub location: String,
    /// What clients call the registry.
    pub registry: String,
    /// Whether devices show certificates, of `tls.client_ca`.
    #[serde(default)]
    pub client: Client,
    /// For how long a token opens connections.
    #[serde(default)]
    pub tokens: Tokens,
    /// Takes messages that are no sealed packets: TLS protects them on their way, and nothing tells a repeated one.
    #[serde(default)]
    pub plain_events: bool,
    /// So many of these are kept of each device, the latest.
    #[serde(default = "ten_thousand")]
    pub kept_events: u64,
    /// Connections at once.
    #[serde(default = "fifty_thousand")]
    pub connections: usize,
    /// Connections at once from one address.
    #[serde(default = "thousand")]
    pub connections_per_address: usize,
    /// Messages of one connection.
    #[serde(default = "hundred_messages")]
    pub messages_per_connection: Rate,
    /// Bytes of messages of one connection.
    #[serde(default = "half_a_megabyte")]
    pub bytes_per_connection: Rate,
    /// States of one connection.
    #[serde(default = "a_state")]
    pub states_per_connection: Rate,
}

/// For how long a token opens connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tokens {
    /// Until it expires.
    #[default]
    UntilExpired,
    /// Within ten minutes after it was made.
    WhileFresh,
}

impl From<Tokens> for Reuse {
    fn from(tokens: Tokens) -> Self {
        match tokens {
            Tokens::UntilExpired => Self::UntilExpired,
            Tokens::WhileFresh => Self::WhileFresh,
        }
    }
}

/// A listener for devices that speak EcoWatt's packet, each of which is switched on by an administrator.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ecowatt {
    /// Its own address; port 0 lets the operating system choose.
    pub listen: SocketAddr,
    /// Plain HTTP, which is all that the firmware as built can do. Without it, TLS with the server's certificate.
    #[serde(default)]
    pub allow_plaintext: bool,
}

impl Config {
    /// Reads a file; relative paths in it count from its own directory.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.into(), source })?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")))
            .map_err(|source| ConfigError::Malformed { path: path.into(), source: Box::new(source) })
    }

    /// As [`Self::read`], from text; relative paths count from `base`.
    ///
    /// # Errors
    /// What TOML found wrong.
    pub fn parse(text: &str, base: &Path) -> Result<Self, toml::de::Error> {
        let mut config: Self = toml::from_str(text)?;
        config.data = base.join(&config.data);
        for (_, path) in config.files() {
            *path = base.join(&path);
        }
        for source in [Some(&mut config.keys.master), config.keys.next_master.as_mut()].into_iter().flatten() {
            source.rebase(base);
        }
        Ok(config)
    }

    /// Every file that the configuration names, by its key (`keys.audit`, `firmware.manifest_keys.0`), but for those of
    /// the master key: what a backup takes along.
    pub fn files(&mut self) -> Vec<(String, &mut PathBuf)> {
        let Self { tls, keys, firmware, listeners, .. } = self;
        let Keys { enrolment, audit, .. } = keys;
        let named = [
            ("tls.certificate", &mut tls.certificate),
            ("tls.key", &mut tls.key),
            ("keys.enrolment", enrolment),
            ("keys.audit", audit),
        ];
        let mut files: Vec<_> = named.into_iter().map(|(key, path)| (key.to_owned(), path)).collect();
        files.extend(tls.client_ca.as_mut().map(|path| ("tls.client_ca".to_owned(), path)));
        files.extend(numbered("tls.revoked", &mut tls.revoked));
        for (index, listener) in listeners.iter_mut().enumerate() {
            let name = format!("listeners.{index}");
            files.extend(listener.client_ca.as_mut().map(|path| (format!("{name}.client_ca"), path)));
            files.extend(numbered(&format!("{name}.revoked"), &mut listener.revoked));
        }
        files.extend(numbered("firmware.manifest_keys", &mut firmware.manifest_keys));
        files
    }
}

impl Limits {
    /// For the TLS handshake.
    #[must_use]
    pub const fn handshake(&self) -> Duration {
        Duration::from_secs(self.handshake_seconds)
    }

    /// For the body of a request.
    #[must_use]
    pub const fn body(&self) -> Duration {
        Duration::from_secs(self.body_seconds)
    }
}

impl Default for Ingest {
    fn default() -> Self {
        Self { nonce_window: 1 << 20, nonce_floor: 0, cached_devices: 1 << 16, listed_devices: 1 << 20 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_address: 1024,
            downloads: 2048,
            downloads_per_device: 2,
            handshake_seconds: 10,
            header_seconds: 30,
            body_seconds: 30,
            stall_seconds: 60,
            shutdown_seconds: 10,
            handshakes_per_address: Rate { burst: 2_000, per_second: 100 },
            requests: Rate { burst: 50_000, per_second: 25_000 },
            requests_per_address: Rate { burst: 10_000, per_second: 2_000 },
            refusals_per_address: Rate { burst: 1_000, per_second: 20 },
            uploads_per_device: Rate { burst: 600, per_second: 10 },
            requests_per_device: Rate { burst: 2_000, per_second: 200 },
        }
    }
}

fn numbered<'a>(name: &str, paths: &'a mut [PathBuf]) -> impl Iterator<Item = (String, &'a mut PathBuf)> {
    paths.iter_mut().enumerate().map(move |(index, path)| (format!("{name}.{index}"), path))
}

fn here() -> PathBuf {
    PathBuf::from(".")
}

const fn one() -> usize {
    1
}

const fn ninety() -> u32 {
    90
}

const fn ten_thousand() -> u64 {
    10_000
}

const fn fifty_thousand() -> usize {
    50_000
}

const fn thousand() -> usize {
    1_024
}

// As in Cloud IoT Core, each for as long as two seconds at once.

const fn hundred_messages() -> Rate {
    Rate { burst: 200, per_second: 100 }
}

const fn half_a_megabyte() -> Rate {
    Rate { burst: 1 << 20, per_second: 512 * 1024 }
}

const fn a_state() -> Rate {
    Rate { burst: 2, per_second: 1 }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("configuration {path}: {source}", path = path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what we expect.
    #[error("configuration {path}: {source}", path = path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"
        listen = "127.0.0.1:0"
        tls = { certificate = "server.pem", key = "/abs/server.key" }
        keys = { master = "master.key", enrolment = "enrolment.key", audit = "audit.key" }
        firmware = { project = "app", manifest_keys = ["a.pem"], secure_boot_digests = [] }
    "#;

    const RATE: &str = "[limits]\nrequests = { burst = 1, per_second = 1, per_minute = 1 }";

    #[test]
    fn paths_count_from_the_file() {
        let config = Config::parse(MINIMAL, Path::new("/etc/cotter")).unwrap();
        assert_eq!(config.tls.certificate, Path::new("/etc/cotter/server.pem"));
        assert_eq!(config.tls.key, Path::new("/abs/server.key"));
        assert_eq!(config.firmware.manifest_keys, [Path::new("/etc/cotter/a.pem")]);
        assert_eq!((config.ingest.nonce_window, config.firmware.manifest_required), (1 << 20, 1));
    }

    #[test]
    fn the_insecure_profile_is_off_and_encrypted_unless_it_is_asked_for() {
        let config = |extra: &str| Config::parse(&format!("{MINIMAL}\n{extra}\n"), Path::new("")).unwrap().ecowatt;
        assert!(config("").is_none());
        assert!(!config("[ecowatt]\nlisten = \"127.0.0.1:0\"").unwrap().allow_plaintext);
        assert!(config("[ecowatt]\nlisten = \"127.0.0.1:0\"\nallow_plaintext = true").unwrap().allow_plaintext);
    }

    #[test]
    fn refuses_unknown_fields() {
        for extra in ["debug = true", "[limits]\nconnexions = 1", "[ingest]\nnonce_windows = 1", RATE] {
            let refused = Config::parse(&format!("{MINIMAL}\n{extra}\n"), Path::new("")).unwrap_err();
            assert!(refused.message().contains("unknown field"), "{refused}");
        }
    }
}
