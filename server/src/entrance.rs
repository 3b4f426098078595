//! The way in from the network, for every protocol: who may connect, TLS, and whom a certificate names.
//!
//! | file | noun |
//! |---|---|
//! | `listener` | the accept loop, and how many connections there may be |
//! | `gate` | what an address may ask for |
//! | `tls` | TLS of a listener |
//! | `certificate` | certificates of clients |

pub(crate) mod certificate;
pub(crate) mod gate;
pub(crate) mod listener;
pub(crate) mod tls;

pub use tls::TlsError;
