//! The server that devices report to and update from. It faces the network and holds no signing key.
//!
//! | file | noun |
//! |---|---|
//! | `config`, `init` | what an operator decides, and first steps on a host |
//! | `key_file`, `at_rest`, `admin_token` | secrets: in files, in the database, in an administrator's hand |
//! | `keyring`, `lru` | the keys of devices, sealed in the store and derived in a bounded cache |
//! | `audit`, `limits`, `clock` | what was refused and why, how often, and when |
//! | `store` | durable state as use cases, each one transaction |
//! | `http` | the edge: accept loop, TLS, routes |

pub mod admin_token;
pub mod at_rest;
pub mod audit;
pub mod clock;
pub mod config;
pub mod init;
pub mod key_file;
pub mod keyring;
pub mod limits;
mod lru;
pub mod store;
pub mod http;
