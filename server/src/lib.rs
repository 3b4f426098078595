//! The server that devices report to and update from.
pub mod store;
