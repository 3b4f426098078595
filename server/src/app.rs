//! Everything that a request may need, put together from the configuration.

use crate::alerts::Alerts;
use crate::at_rest::MasterKey;
use crate::audit::Audit;
use crate::audit::note::{NoteError, NoteKey, NoteSigner};
use crate::bridge::Bridge;
use crate::clock::{Clock, SystemClock};
use crate::commands::{Commands, Schema, SchemaError};
use crate::config::{self, Config, Limits};
use crate::device_key::DeviceKeys;
use crate::ecowatt::Ecowatt;
use crate::firmware::artifact::Artifacts;
use crate::firmware::{Firmware, Trust};
use crate::http::artifact::Downloads;
use crate::ingest::Ingest;
use crate::key_age::{KeyAges, KeyInUse};
use crate::key_file::{self, KeyFileError};
use crate::keyring::Keyring;
use crate::limits::budgets::Budgets;
use crate::master::{self, MASTER, MasterError};
use crate::metrics::Metrics;
use crate::occupied::{Occupied, OccupiedError};
use crate::recovery::Recoveries;
use crate::registry::Registry;
use crate::rollout::Rollouts;
use crate::rotation::Rotations;
use crate::sessions::Sessions;
use crate::store::sqlite::SqliteStore;
use crate::store::{Store, StoreError};
use crate::trust::Trusts;
use cotter_wire::firmware_key::{FirmwareKey, KeyError};
use cotter_wire::hex;
use cotter_wire::ids::{DeviceId, Nonce};
use cotter_wire::keys::EnrolmentKey;
use cotter_wire::manifest::{PolicyError, VerifyPolicy};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use std::path::PathBuf;
use std::sync::Arc;

/// The server without its sockets.
pub(crate) struct App {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) alerts: Arc<Alerts>,
    pub(crate) key_ages: KeyAges,
    pub(crate) keys_in_use: [KeyInUse; 3],
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) recoveries: Recoveries,
    pub(crate) rotations: Rotations,
    pub(crate) registry: Registry,
    pub(crate) firmware: Arc<Firmware>,
    pub(crate) rollouts: Rollouts,
    pub(crate) trusts: Trusts,
    pub(crate) downloads: Arc<Downloads>,
    pub(crate) ingest: Ingest,
    pub(crate) commands: Commands,
    pub(crate) device_keys: DeviceKeys,
    pub(crate) bridge: Bridge,
    pub(crate) ecowatt: Ecowatt,
    pub(crate) ecowatt_allowed: bool,
    pub(crate) audit_key: NoteKey,
    pub(crate) limits: Limits,
    /// Of each device, apart from its packets.
    pub(crate) requests: Budgets<DeviceId>,
    pub(crate) metrics: Arc<Metrics>,
    /// As long as the server runs.
    _occupied: Occupied,
}

impl App {
    /// Reads keys and opens the database.
    pub(crate) fn open(config: &Config) -> Result<Self, OpenError> {
        std::fs::create_dir_all(&config.data)
            .map_err(|source| OpenError::Data { path: config.data.clone(), source })?;
        let occupied = Occupied::among_others(&config.data)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let audit_secret = key_file::read(&config.keys.audit)?;
        let enrolment = key_file::read(&config.keys.enrolment)?;
        let signer = NoteSigner::new(&audit_secret).map_err(OpenError::AuditKey)?;
        let audit_key = signer.key().clone();
        let store = SqliteStore::open(&config.data.join("cotter.db"), signer)?;
        let metrics = Arc::new(Metrics::new(store.commits().clone()));
        let store: Arc<dyn Store> = Arc::new(store);
        let master = master::in_use(&config.keys, &*store)?;
        let keys_in_use = [(MASTER, &master), ("enrolment", &enrolment), ("audit", &audit_secret)]
            .map(|(name, key)| KeyInUse::of(name, key));
        let master = MasterKey::new(&master);
        let alerts = Arc::new(Alerts::new(Arc::clone(&clock)));
        let audit = Arc::new(Audit::new(Arc::clone(&store), Arc::clone(&clock), Arc::clone(&alerts)));
        let key_ages = KeyAges::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            Arc::clone(&audit),
            Arc::clone(&alerts),
            config.keys.warn_days,
        );
        let config::Ingest { cached_devices, listed_devices, .. } = config.ingest;
        let keyring = Arc::new(Keyring::new(master, Arc::clone(&store), cached_devices, listed_devices));
        let ingest = Ingest {
            store: Arc::clone(&store),
            keyring: Arc::clone(&keyring),
            audit: Arc::clone(&audit),
            clock: Arc::clone(&clock),
            nonce_window: config.ingest.nonce_window,
            uploads: Budgets::new(config.limits.uploads_per_device, MOST_LIMITED),
        };
        let commands = Commands {
            schema: Schema::new(&config.commands)?,
            store: Arc::clone(&store),
            audit: Arc::clone(&audit),
            clock: Arc::clone(&clock),
        };
        let device_keys =
            DeviceKeys { store: Arc::clone(&store), audit: Arc::clone(&audit), clock: Arc::clone(&clock) };
        let bridge = Bridge::new(Arc::clone(&store), Arc::clone(&audit), Arc::clone(&clock));
        let ecowatt = Ecowatt {
            store: Arc::clone(&store),
            keyring: Arc::clone(&keyring),
            audit: Arc::clone(&audit),
            clock: Arc::clone(&clock),
            nonce_window: config.ingest.nonce_window,
        };
        let sessions = Arc::new(Sessions::new(MOST_SESSIONS));
        let recoveries = Recoveries::new(
            Arc::clone(&store),
            Arc::clone(&keyring),
            Arc::clone(&sessions),
            Arc::clone(&audit),
            Arc::clone(&clock),
        );
        let rotations = Rotations {
            store: Arc::clone(&store),
            keyring: Arc::clone(&keyring),
            sessions: Arc::clone(&sessions),
            audit: Arc::clone(&audit),
            clock: Arc::clone(&clock),
        };
        let registry = Registry {
            enrolment_key: EnrolmentKey::new(enrolment),
            store: Arc::clone(&store),
            keyring: Arc::clone(&keyring),
            sessions: Arc::clone(&sessions),
            audit: Arc::clone(&audit),
            clock: Arc::clone(&clock),
            nonce_floor: Nonce(config.ingest.nonce_floor),
        };
        let artifacts = config.data.join("artifacts");
        let artifacts = Artifacts::open(&artifacts).map_err(|source| OpenError::Data { path: artifacts, source })?;
        let firmware = Arc::new(Firmware::new(
            trust(&config.firmware)?,
            Arc::clone(&store),
            Arc::clone(&keyring),
            Arc::clone(&audit),
            Arc::clone(&clock),
            artifacts,
        ));
        let rollouts = Rollouts {
            store: Arc::clone(&store),
            firmware: Arc::clone(&firmware),
            audit: Arc::clone(&audit),
            clock: Arc::clone(&clock),
        };
        let trusts = Trusts {
            store: Arc::clone(&store),
            firmware: Arc::clone(&firmware),
            audit: Arc::clone(&audit),
            clock: Arc::clone(&clock),
        };
        let limits = config.limits;
        let requests = Budgets::new(limits.requests_per_device, MOST_LIMITED);
        let downloads = Arc::new(Downloads::new(limits.downloads, limits.downloads_per_device));
        Ok(Self {
            store,
            audit,
            alerts,
            key_ages,
            keys_in_use,
            clock,
            keyring,
            sessions,
            recoveries,
            rotations,
            registry,
            firmware,
            rollouts,
            trusts,
            downloads,
            ingest,
            commands,
            device_keys,
            bridge,
            ecowatt,
            ecowatt_allowed: config.ecowatt.is_some(),
            audit_key,
            limits,
            requests,
            metrics,
            _occupied: occupied,
        })
    }
}

/// Reads the public keys that releases are checked with.
fn trust(config: &config::Firmware) -> Result<Trust, OpenError> {
    let mut keys = Vec::new();
    for path in &config.manifest_keys {
        let der = SubjectPublicKeyInfoDer::from_pem_file(path)
            .map_err(|source| OpenError::Pem { path: path.clone(), source })?;
        keys.push(
            FirmwareKey::from_spki(&der).map_err(|source| OpenError::ManifestKey { path: path.clone(), source })?,
        );
    }
    let digests = config.secure_boot_digests.iter().map(|text| hex::decode(text.as_bytes()));
    Ok(Trust {
        project: config.project.clone(),
        manifest: VerifyPolicy::new(keys, config.manifest_required)?,
        secure_boot_digests: digests.collect::<Option<_>>().ok_or(OpenError::SecureBootDigest)?,
    })
}

/// Devices with budgets of their own at a time, about 100 bytes each.
const MOST_LIMITED: usize = 1 << 16;

/// About 300 bytes each.
const MOST_SESSIONS: usize = 1 << 17;

/// Why the server cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory cannot be made.
    #[error("data directory {path}: {source}", path = path.display())]
    Data {
        /// Which directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A key file cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// There is no master key, or not the right one.
    #[error(transparent)]
    Master(#[from] MasterError),
    /// The data directory is in other hands.
    #[error(transparent)]
    Occupied(#[from] OccupiedError),
    /// The key of the audit log is none.
    #[error("audit key: {0}")]
    AuditKey(#[source] NoteError),
    /// A public key file is missing or not PEM.
    #[error("manifest key {path}: {source}", path = path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// A public key is of no kind that we verify with.
    #[error("manifest key {path}: {source}", path = path.display())]
    ManifestKey {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: KeyError,
    },
    /// The keys make no policy.
    #[error("manifest keys: {0}")]
    Policy(#[from] PolicyError),
    /// A digest in the configuration is not one.
    #[error("a Secure Boot digest in the configuration is not 64 lower-case hexadecimal digits")]
    SecureBootDigest,
    /// A command in the configuration makes no sense.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}
