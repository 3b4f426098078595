//! First steps on a host: key files that only their owner reads, and a configuration to begin with.

use crate::admin_token::AdminToken;
use crate::administrator::{AdminName, Role};
use crate::audit::note::{NoteError, NoteKey, NoteSigner};
use crate::config::{Config, ConfigError};
use crate::host::{self, HostError};
use crate::key_file::{self, KeyFileError};
use crate::master::{MasterError, Source};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What the operator knows beforehand.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Name of the first administrator.
    pub admin: AdminName,
    /// Project name of the firmware.
    pub project: String,
    /// Public keys of the manifest signers, as paths relative to the directory.
    pub manifest_keys: Vec<String>,
    /// How many of them must sign.
    pub manifest_required: usize,
    /// Digests of the Secure Boot keys that the fleet trusts.
    pub secure_boot_digests: Vec<[u8; 32]>,
}

/// What [`init`] has made.
#[derive(Debug)]
pub struct Initialised {
    /// The configuration file.
    pub config: PathBuf,
    /// The key that the factory seals enrolment records with.
    pub enrolment_key: PathBuf,
    /// The first administrator's token: show it once, it is stored as a hash only.
    pub admin_token: AdminToken,
    /// What verifies the audit log: keep it away from the server.
    pub audit_key: NoteKey,
}

/// Makes `directory` ready: master key, enrolment key, audit key, `cotter.toml`, and the database with the first
/// administrator. The TLS files
/// (`server.pem`, `server.key`) and the public keys come from the factory. Nothing is ever overwritten.
///
/// # Errors
/// [`InitError`].
pub fn init(directory: &Path, options: &InitOptions) -> Result<Initialised, InitError> {
    init_with(directory, options, &Source::File("master.key".into()))
}

/// As [`init`], with the master key elsewhere. It is made if it is not there; relative paths count from `directory`.
///
/// # Errors
/// [`InitError`].
pub fn init_with(directory: &Path, options: &InitOptions, master: &Source) -> Result<Initialised, InitError> {
    std::fs::create_dir_all(directory).map_err(|source| KeyFileError::Io { path: directory.into(), source })?;
    let config = directory.join("cotter.toml");
    let enrolment_key = directory.join("enrolment.key");
    // First what must not exist: a second `init` fails before it has made anything.
    key_file::write_new(&config, config_text(options, master).as_bytes())?;
    if let Err(refused) =
        Config::read(&config).map_err(InitError::from).and_then(|made| Ok(made.keys.master.load_or_make()?))
    {
        // So that the same command can be given again once the token is there.
        drop(std::fs::remove_file(&config));
        return Err(refused);
    }
    key_file::create(&enrolment_key)?;
    let audit_key = NoteSigner::new(&key_file::create(&directory.join("audit.key"))?)?.key().clone();
    let store = host::open(&Config::read(&config)?)?;
    let admin_token = host::add_token(&store, options.admin.clone(), Role::Admin, None)?;
    Ok(Initialised { config, enrolment_key, admin_token, audit_key })
}

fn config_text(options: &InitOptions, master: &Source) -> String {
    let digests: Vec<String> = options.secure_boot_digests.iter().map(hex).collect();
    format!(
        "# Paths count from this file. Every key file has mode 600.\n\
         listen = {listen}\n\
         data = \".\"\n\n\
         [tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"\n\n\
         [keys]\nmaster = {master}\nenrolment = \"enrolment.key\"\n\
         audit = \"audit.key\"\n\n\
         [firmware]\nproject = {project}\nmanifest_keys = {keys}\nmanifest_required = {required}\n\
         secure_boot_digests = {digests}\n",
        listen = toml_string(&options.listen.to_string()),
        master = master.to_toml().map_or_else(String::new, |value| value.to_string()),
        project = toml_string(&options.project),
        keys = toml_strings(&options.manifest_keys),
        required = options.manifest_required,
        digests = toml_strings(&digests),
    )
}

fn toml_string(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn toml_strings(texts: &[String]) -> String {
    toml::Value::from(texts.to_vec()).to_string()
}

fn hex(bytes: &[u8; 32]) -> String {
    let mut digits = [0; 64];
    cotter_wire::hex::encode(bytes, &mut digits).unwrap_or_default().to_owned()
}

/// Why a host is not ready.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// A file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The key of the audit log.
    #[error("audit key: {0}")]
    AuditKey(#[from] NoteError),
    /// The configuration that was just written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The master key.
    #[error(transparent)]
    Master(#[from] MasterError),
    /// The first administrator.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl InitError {
    /// What to do next, if there is something to say.
    #[must_use]
    pub const fn next_step(&self) -> Option<&'static str> {
        match self {
            Self::Master(error) => error.next_step(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn options() -> InitOptions {
        InitOptions {
            listen: "127.0.0.1:0".parse().unwrap(),
            admin: "first".parse().unwrap(),
            project: "app \"quoted\"".into(),
            manifest_keys: vec!["a.pem".into(), "b.pem".into()],
            manifest_required: 2,
            secure_boot_digests: vec![[0xab; 32]],
        }
    }

    #[test]
    fn makes_private_files_and_a_configuration_that_reads_back() {
        let directory = tempfile::tempdir().unwrap();
        let made = init(directory.path(), &options()).unwrap();
        let config = Config::read(&made.config).unwrap();
        assert_eq!(config.firmware.project, "app \"quoted\"");
        assert_eq!(config.firmware.secure_boot_digests, ["ab".repeat(32)]);
        assert_eq!((config.firmware.manifest_keys.len(), config.firmware.manifest_required), (2, 2));
        let tokens = host::tokens(&host::open(&config).unwrap()).unwrap();
        assert_eq!((tokens.len(), tokens[0].role, tokens[0].hash), (1, Role::Admin, made.admin_token.hash()));
        assert!(!config.keys.master.load().unwrap().ct_eq(&key_file::read(&made.enrolment_key).unwrap()));
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn never_overwrites() {
        let directory = tempfile::tempdir().unwrap();
        init(directory.path(), &options()).unwrap();
        let before = std::fs::read(directory.path().join("master.key")).unwrap();
        assert!(matches!(init(directory.path(), &options()), Err(InitError::KeyFile(KeyFileError::Io { .. }))));
        assert_eq!(std::fs::read(directory.path().join("master.key")).unwrap(), before);
    }
}
