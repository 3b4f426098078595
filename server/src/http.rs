//! The edge: accept loop, TLS, routes.

pub(crate) mod listener;
mod stall;
pub mod tls;
