//! The server that devices report to and update from. It faces the network and holds no key that signs firmware.
//!
//! | file | noun |
//! |---|---|
//! | `config`, `init` | what an operator decides, and first steps on a host |
//! | `key_file`, `at_rest` | secrets in files and in the database |
//! | `master`, `reseal`, `occupied` | where the key comes from that seals them; another one; who works in the data directory |
//! | `administrator`, `admin_token`, `host` | who may do what, by which token; first steps and help from the host itself |
//! | `backup`, `backup_command` | everything that a server is, in one encrypted file, whose key custodians hold |
//! | `keyring`, `lru` | the keys of devices: sealed in the store and in a bounded directory of it, derived in a bounded cache |
//! | `audit`, `limits`, `clock` | what was refused and why, how often, and when |
//! | `alerts`, `key_age` | what an operator should look at now; since when keys are in use |
//! | `ingest` | a packet's way in, in the order of trust |
//! | `sessions` | which device is talking |
//! | `device_key`, `device_token` | public keys of devices for the MQTT bridge; whether a device is believed by its token |
//! | `commands` | what devices are told to do |
//! | `ecowatt` | the compatibility profile: uploads as EcoWatt's firmware builds them |
//! | `recovery` | new key epochs for devices that lost their nonce counter |
//! | `rotation` | new root keys for devices, and the end of the old ones |
//! | `registry` | which devices there are |
//! | `firmware` | which releases are accepted, and what a device is offered |
//! | `metrics` | what is counted for Prometheus |
//! | `rollout` | who is offered a release when, and when that goes on or stops by itself |
//! | `trust` | whose signatures firmware needs, and how that changes without leaving a device behind |
//! | `store` | durable state as use cases, each one transaction |
//! | `entrance` | the way in from the network: accept loop, caps, TLS, certificates |
//! | `http`, `mqtt` | the edges |
//! | `bridge` | what devices say and are told over MQTT |
//! | `app`, `server` | all of it put together; listening and its orderly end |

pub mod admin_token;
pub mod administrator;
pub mod alerts;
mod app;
pub mod at_rest;
pub mod audit;
pub mod backup;
pub mod backup_command;
pub mod bridge;
pub mod clock;
pub mod commands;
pub mod config;
pub mod device_key;
pub mod device_token;
pub mod ecowatt;
mod entrance;
pub mod firmware;
pub mod host;
mod http;
pub mod ingest;
pub mod init;
pub mod key_age;
pub mod key_file;
pub mod keyring;
pub mod limits;
mod lru;
pub mod master;
pub mod metrics;
pub mod mqtt;
mod occupied;
pub mod recovery;
pub mod registry;
pub mod reseal;
pub mod rollout;
pub mod rotation;
pub mod server;
pub mod sessions;
pub mod store;
pub mod trust;

pub use app::OpenError;
pub use entrance::TlsError;
pub use occupied::OccupiedError;
