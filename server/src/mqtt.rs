//! The edge for MQTT 3.1.1 and 5 over TLS: the bridge contract of Cloud IoT Core, against a server that its owner runs.
//!
//! | file | noun |
//! |---|---|
//! | `client_id`, `topic` | what clients call themselves, and what they may name |
//! | `session` | one client's protocol, without sockets: what it has said, what it is told |
//! | `believe` | who is let in: by a token, or by the certificate of the connection |
//! | `broker`, `wire` | a connection up to the greeting; its bytes |
//! | `visit` | a client that was let in, to its end |
//! | `subscriber` | a device on a connection: its own, or one that a gateway has brought |
//! | `taken` | messages that are being stored, in their order |
//! | `errors` | what a gateway is told about its devices |
//!
//! What a client wants of the bridge, and what the bridge keeps, is in [`crate::bridge`]. `docs/mqtt.md` is the guide.

mod believe;
mod broker;
mod client_id;
mod errors;
pub mod session;
mod subscriber;
mod taken;
mod topic;
mod visit;
mod wire;

pub(crate) use broker::Broker;
pub use client_id::{ClientId, ClientIdError};
pub(crate) use topic::is_folder;
pub use topic::{Filter, FilterKind, Publication, PublicationKind};
