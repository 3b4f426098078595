//! Everything that a request may need, put together from the configuration.

use crate::admin_token::AdminTokenHash;
use crate::at_rest::MasterKey;
use crate::audit::Audit;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Limits};
use crate::ingest::Ingest;
use crate::key_file::{self, KeyFileError};
use crate::keyring::Keyring;
use crate::store::sqlite::SqliteStore;
use crate::store::{Store, StoreError};
use std::path::PathBuf;
use std::sync::Arc;

/// The server without its sockets.
pub(crate) struct App {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) ingest: Ingest,
    pub(crate) admin: AdminTokenHash,
    pub(crate) limits: Limits,
}

impl App {
    /// Reads keys and opens the database.
    pub(crate) fn open(config: &Config) -> Result<Self, OpenError> {
        std::fs::create_dir_all(&config.data)
            .map_err(|source| OpenError::Data { path: config.data.clone(), source })?;
        let master = MasterKey::new(&key_file::read(&config.keys.master)?);
        let admin = AdminTokenHash::read(&config.keys.admin_token)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&config.data.join("cotter.db"))?);
        let audit = Arc::new(Audit::new(Arc::clone(&store), Arc::clone(&clock)));
        let keyring = Arc::new(Keyring::new(master, Arc::clone(&store), config.ingest.cached_devices));
        let ingest = Ingest {
            store: Arc::clone(&store),
            keyring: Arc::clone(&keyring),
            audit: Arc::clone(&audit),
            clock: Arc::clone(&clock),
            nonce_window: config.ingest.nonce_window,
        };
        Ok(Self { store, audit, ingest, admin, limits: config.limits })
    }
}

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
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}
